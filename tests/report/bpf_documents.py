# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents of verify about BPF: of the sample, with a mistake or none, and some that are written out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genpatch.audit.registry import all_rules
from genpatch.report.document import plain
from genpatch.report.verifying import BpfFailureRecord, BpfRecord, verify_document
from tests.report.builders import clean
from tests.verify.bpf.toys import image_with, sound_image

RULES = tuple(rule for code, rule in all_rules().items() if code.startswith("GP3"))


@cache
def _of_sample(mistake: str) -> str:
    with TemporaryDirectory() as folder:
        image = image_with(mistake, Path(folder)) if mistake else sound_image()
        document = verify_document(image, RULES, with_sites=False)
    return json.dumps(document.as_json())


def of_sample(mistake: str = "") -> dict[str, Any]:
    """Return what verify --bpf says of the sample."""
    made: dict[str, Any] = json.loads(_of_sample(mistake))
    made["input"]["build_id"] = (mistake or "sound").encode().hex().ljust(40, "0")[:40]  # two of them are two kernels
    return made


def failure(what: str = "a1 of the traced function", **more: Any) -> BpfFailureRecord:
    values: dict[str, Any] = {
        "promise": "passed", "what": what, "alike": 0, "cases": 3, "example": "CALL_ORIG, 2 arguments",
        "expected": "0x1", "got": "0x2", "note": "", "requested": True, "listing": (),
    } | more  # fmt: skip
    return BpfFailureRecord(**values)


def record(*failures: BpfFailureRecord, **more: Any) -> BpfRecord:
    values: dict[str, Any] = {
        "trouble": "", "function": "kernel_clone", "accepted": 4, "refused": 12, "flags": ("CALL_ORIG", "no flags"),
        "trampolines": 20, "made": 18, "passed": 15, "programs": 7, "programs_refused": 2, "programs_passed": 6,
        "pokes": 5, "detached": 9, "jit_insns": 1234, "insns": 567, "failures": failures, "notes": (), "seconds": 1.5,
    } | more  # fmt: skip
    return BpfRecord(**values)


def told(each: BpfFailureRecord, level: str = "error", rule: str = "GP353") -> dict[str, Any]:
    """Return the finding that tells of a failure, as its rule words it."""
    return {
        "rule": rule, "name": "trampoline-arguments", "level": level, "image": "vmlinux", "address": None,
        "symbol": "", "section": "", "sites": 0, "examples": [], "fingerprint": "0123456789abcdef:1",
        "baseline": None,
        "message": f"{each.what} is wrong in {each.cases:,} of 20 trampolines, as with {each.example}: {each.got} "
                   f"instead of {each.expected}",
    }  # fmt: skip


def body(bpf: BpfRecord | None, *findings: dict[str, Any]) -> dict[str, Any]:
    """Return a document of verify in which sites were not run."""
    return {
        **clean().as_json(), "schema": "genpatch/verify/1", "states": [], "failures": [], "runs": [], "insns": 0,
        "sites": 0, "bpf": None if bpf is None else json.loads(json.dumps(plain(bpf))), "findings": list(findings),
    }  # fmt: skip
