# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch check`` as a user and b4 meet it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.check.trees import BPF, FTRACE, edited, mail, toy
from tests.cli.conftest import Run
from tests.emit.trees import git, repository

GOOD = mail(edited(FTRACE, ("// toy", "// a toy")))
BAD = mail(edited(BPF, ("NINSNS 2", "NINSNS 4")), subject="[PATCH] a thing that says ERROR: here")
TEXT = "RV_FENTRY_NINSNS is 16 bytes, the Makefile asks for 8 bytes of nops in a function (every configuration)"
SUBJECT = "the subject names no subsystem, expected 'riscv: ftrace: text' or the like"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = toy(tmp_path / "linux")
    (tmp_path / "good").write_text(GOOD)
    (tmp_path / "bad").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    return root


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_text(run: Run, tree: Path) -> None:
    ran = run("check", "good", "--linux", tree)
    assert (ran.status, ran.out, ran.err) == (0, "no findings\n", "")
    ran = run("check", "good", "bad", "--linux", tree)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == f"bad:4: warning: GP501: {SUBJECT}\n{BPF}:1: error: GP511: {TEXT}\n2 findings\n"


def test_b4(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    piped(monkeypatch, GOOD.partition("\n")[2])
    ran = run("check", "--format=b4", "--salt", "2", "-")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    piped(monkeypatch, BAD.partition("\n")[2])
    ran = run("check", "--format=b4")
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == f"-:3: WARNING: GP501: {SUBJECT}\n{BPF}:1: ERROR: GP511: {TEXT}\n"


def test_b4_of_a_commit_that_is_made_already(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tree)
    (tree / BPF).write_text((tree / BPF).read_text().replace("NINSNS 2", "NINSNS 4"))
    git(tree, "commit", "-qam", "riscv, bpf: one")
    first = git(tree, "format-patch", "-1", "--stdout")
    (tree / BPF).write_text((tree / BPF).read_text().replace("NINSNS 4", "NINSNS 2"))
    git(tree, "commit", "-qam", "riscv, bpf: two")
    monkeypatch.chdir(tree)
    for text, status in ((first, 1), (git(tree, "format-patch", "-1", "--stdout"), 0)):
        piped(monkeypatch, text)
        ran = run("check", "--format=b4")
        assert (ran.status, ran.err) == (status, "")


def test_json(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "json")
    assert (ran.status, ran.err) == (1, "")
    assert json.loads(ran.out) == {
        "schema": "genpatch/check/1",
        "findings": [
            {"rule": "GP501", "level": "warning", "file": "-", "line": 4, "message": SUBJECT, "patch": "bad"},
            {"rule": "GP511", "level": "error", "file": BPF, "line": 1, "message": TEXT, "patch": "bad"},
        ],
        "skipped": [],
    }


def test_without_a_tree(run: Run, tree: Path) -> None:
    ran = run("check", "good")
    assert (ran.status, ran.out) == (0, "no findings\n")
    assert ran.err == "genpatch: note: no kernel source tree, so only messages were checked; name one with --linux\n"
    ran = run("check", "good", "--format", "b4")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "genpatch: the current directory is no kernel source tree; name one with --linux TREE\n"


def test_a_commit_message(run: Run, tree: Path) -> None:
    Path("msg").write_text("riscv: a\n\nFixes: 1234567\n# comment\n")
    ran = run("check", "--commit-msg", "msg", "--format", "b4")
    want = "expected 'Fixes: <12 or more hexadecimal digits> (\"subject\")' on one line"
    assert (ran.status, ran.out, ran.err) == (1, f"-:3: WARNING: GP502: {want}\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("none",), "none: No such file or directory"),
        (("linux",), "linux: Is a directory"),
        (("good", "--format", "sarif"), "--format 'sarif': expected one of text, b4, json"),
        (("good", "--commit-msg", "good"), "--commit-msg checks a message alone: leave out the patches"),
        (("good", "--linux", "none"), "none: no directory, expected a kernel source tree"),
        (("--explain", "GP599"), "no rule 'GP599'; 'genpatch check --list' lists them"),
        (("linux/Kconfig",), "linux/Kconfig: no diff in it"),
    ],
)
def test_refused(run: Run, tree: Path, args: tuple[str, ...], said: str) -> None:
    ran = run("check", *args)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {said}\n")


def test_a_link_that_leaves_the_tree(run: Run, tree: Path) -> None:
    Path("secret").write_text("a\n")
    (tree / "arch/riscv/link.c").symlink_to(Path("secret").resolve())
    Path("p").write_text("--- a/arch/riscv/link.c\n+++ b/arch/riscv/link.c\n@@ -1 +1 @@\n-a\n+b\n")
    ran = run("check", "p", "--linux", tree)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("genpatch: arch/riscv/link.c: leads out of ")


def test_rules(run: Run) -> None:
    ran = run("check", "--list")
    assert [line[:5] for line in ran.out.splitlines()][:5] == ["GP501", "GP502", "GP503", "GP504", "GP510"]
    ran = run("check", "--explain", "gp511")
    assert ran.out.startswith("GP511 layout-equation (error)\n\nThe files that know the layout")
    assert "\n## Remedy\n" in ran.out


def test_the_tree_is_not_changed_and_it_is_quick(tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    command = (sys.executable, "-m", "genpatch", "check", "bad", "--linux", str(tree))
    took = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, check=False)
        took.append(time.perf_counter() - start)
        assert (done.returncode, done.stderr) == (1, b"")
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before
    assert min(took) < 1.5  # 0.2 s on a machine that does nothing else
