# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents of check and prove for pages: of patches to a toy tree, and of a proof that is written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.tree import open_tree
from genpatch.prove.model import Found, Proof, StageResult, Status, Subject
from genpatch.report.patch_record import check_record
from genpatch.report.proving import proof_record
from tests.check.trees import BPF, FTRACE, edited, mail, toy
from tests.report.builders import SCRIPT

NEW_FILE = "arch/riscv/kernel/new.c"


def checked(root: Path, *mails: str, with_tree: bool = True) -> dict[str, Any]:
    """Return the document of mails that were checked with a toy tree."""
    tree = open_tree(toy(root)) if with_tree else None
    patches = [patch for n, text in enumerate(mails, 1) for patch in read_patches(text.encode(), f"{n:04}.patch")]
    made: dict[str, Any] = json.loads(json.dumps(check_record(check_patches(patches, tree))))
    return made


def bad() -> tuple[str, ...]:
    """Mails: one with an error in its diff and a warning of its subject, one in order, one that does not apply."""
    return (
        mail(edited(BPF, ("NINSNS 2", "NINSNS 4")), subject="[PATCH 1/3] a thing"),
        mail(edited(FTRACE, ("// toy", "// a toy")), subject="[PATCH 2/3] riscv: ftrace: word it anew"),
        mail(edited(FTRACE, ("// toy", "// no toy")), subject="[PATCH 3/3] riscv: ftrace: word it once more"),
    )


def hostile() -> tuple[str, ...]:
    """A mail whose subject, message, file name and added lines are out to break a page."""
    new = (
        f"diff --git a/{NEW_FILE} b/{NEW_FILE}\nnew file mode 100644\n--- /dev/null\n+++ b/{NEW_FILE}\n"
        f"@@ -0,0 +1,3 @@\n+{SCRIPT}\n+\tev\u202eil\x1b[31m\n+<!-- ]]> --> {{{{ 7 * 7 }}}}\n"
    )
    return (mail(new, subject=f"[PATCH] riscv: {SCRIPT}", body=f"{SCRIPT}\n", author=f"{SCRIPT} <a@example.org>"),)


def spoilt(value: Any, name: str = "") -> Any:
    """Return a document with every text replaced by a hostile one, but for those that a schema fixes."""
    fixed = ("schema", "level", "status", "worst", "digest", "version", "fail_on", "rule")
    if isinstance(value, dict):
        return {key: each if key in fixed else spoilt(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [spoilt(each, name) for each in value]
    if isinstance(value, str):
        return (value[:1] if name == "lines" and value[:1] in (" ", "+", "-") else "") + SCRIPT
    return value


def proof(*, failed: str = "", with_baseline: bool = True) -> dict[str, Any]:
    """Return the document of a proof; `failed` names the stage that does not pass."""
    jit = Found("GP356", "error", "argument 1 of kfunc is wrong", "verify:GP356:1", 0)
    reach = Found("GP202", "error", "auipc has another hi20", "audit:GP202:1", 1020)
    fewer = Found("GP115", "note", "126 sites have no function symbol", "audit:GP115:1", 126)

    def stage(name: str, seconds: float, evidence: str, **more: Any) -> StageResult:
        status = Status.FAILED if name == failed else Status.OK
        return StageResult(name, status, seconds, evidence, **more)

    stages = (
        stage("apply", 0.1, "1 patch, 1 file, 1 hunk"),
        stage("check", 0.8, "no findings", lines=("not checked: 0001: GP547 was not judged: not understood",)),
        stage("build", 3723.4, "vmlinux 1,000 bytes", log="logs/build.log"),
        stage("audit", 0.2, "17,329 sites, call-ops, 1 note", findings=(fewer,)),
        stage("verify", 8.4, "17,351 sites in 16 states, none failed", findings=(jit,), lines=("passed: boot 17,329",)),
        stage("race", 0.5, "15 transitions: 15 safe"),
        stage(
            "boot", 31.7, "3 start-up tests passed",
            lines=("Linux version 6.12", "complaint: BUG: bad", "failed: kprobe tracing",
                   "passed: tracer function, all events"),
        ),
        StageResult("debug", Status.SKIPPED, evidence="not asked for"),
    )  # fmt: skip
    more = Found("GP115", "note", "130 sites have no function symbol", "audit:GP115:1", 130)
    without = (
        StageResult("audit", Status.OK, 0.2, "17,000 sites", findings=(reach, more)),
        StageResult("verify", Status.OK, 8.0, "17,000 sites", findings=(jit,)),
        StageResult("race", Status.OK, 0.4, "10 transitions"),
    )
    return json.loads(json.dumps(proof_record(Proof(
        version="6.12.107", tree="86,645 files", patches=(Subject("riscv: ftrace: a thing", (FTRACE,)),),
        digest="bdc48646051b", programs={"compiler": "clang 19"}, config="tinyconfig", stages=stages,
        baseline=without if with_baseline else (), notes=("a note of the proof",),
    ))))  # fmt: skip
