# SPDX-License-Identifier: GPL-2.0-or-later
"""The chapter about BPF: trampolines and programs that the kernel's JIT made, and how one came to each failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...verify.bpf.promises import BpfPromise
from ..bpf_changes import bpf_of, cause_of, finding_of, has_values, unit_of
from ..documents import Document
from ..views import rank
from .dossiers import Dossier

__all__ = ["bpf_chapter", "failure_anchors"]

_MOST_FAILURES = 100
_MOST_FLAGS = 600
_WRONG = "!!"
_PROMISES = {
    BpfPromise.MADE: "The JIT returns, without a WARN, and writes only into what it was given.",
    BpfPromise.SIZE: "The dry run's size holds what is written then, and no byte behind that is written.",
    BpfPromise.SEQUENCE: "Programs, and the functions around them, are called in order and as often as they must be.",
    BpfPromise.ORIGINAL: "The traced function is entered right behind its sled.",
    BpfPromise.LEAVES: "A trampoline is left to where it must be, with ra, sp and saved registers as they were.",
    BpfPromise.ARGUMENTS: "Programs, and the functions around them, are called with the right arguments.",
    BpfPromise.PASSED: "The traced function gets the arguments that its caller passed.",
    BpfPromise.VALUE: "The right value is returned, and programs see it.",
    BpfPromise.NARROW: "The right value is returned where it is unsigned and below 32 bits.",
    BpfPromise.STACK: "sp is aligned, frames lead an unwinder, slots do not overlap and hold what was written.",
    BpfPromise.PROGRAM: "A program computes what its BPF instructions say.",
    BpfPromise.LOCAL: "Registers in which clang passes arguments of local functions keep their values.",
    BpfPromise.POKE: "A program's sled is changed to what it is told, and what is not there is refused.",
}


def bpf_chapter(dossier: Dossier) -> dict[str, Any] | None:
    """Return what the template needs of a kernel's BPF; None if nobody tried to run it."""
    document = dossier.documents.get("verify")
    bpf = bpf_of(document) if document is not None else None
    if document is None or bpf is None:
        return None
    asked = [_failure(each, finding_of(each, document["findings"])) for each in bpf["failures"] if each["requested"]]
    asked = _merged(sorted(asked, key=lambda each: rank(each["level"])))
    others = [each for each in bpf["failures"] if not each["requested"]]
    return {
        **bpf,
        "rows": [
            _row("trampolines", bpf["trampolines"], bpf["made"], bpf["passed"]),
            _row("programs", bpf["programs"] + bpf["programs_refused"], bpf["programs"], bpf["programs_passed"]),
        ],
        "flags": bpf["flags"][:_MOST_FLAGS],
        "failures": [
            {**each, "anchor": f"{dossier.anchor}-bpf-{number}"} for number, each in enumerate(asked[:_MOST_FAILURES])
        ],
        "more": max(len(asked) - _MOST_FAILURES, 0),
        "others": [_described(each) for each in others[:_MOST_FAILURES]],
        "more_others": max(len(others) - _MOST_FAILURES, 0),
        "other_cases": sum(each["cases"] for each in others),
        "notes": [note.removeprefix("bpf: ") for note in bpf["notes"]],
    }


def failure_anchors(bpf: dict[str, Any] | None) -> dict[tuple[str, str], str]:
    """Return where a chapter tells of what findings are about: anchors by (rule, message)."""
    shown = bpf["failures"] if bpf is not None else ()
    return {
        (each["rule"], told["message"]): each["anchor"]
        for each in shown
        if each["rule"]
        for told in (each, *each["also"])
    }


def _merged(failures: Sequence[Document]) -> list[dict[str, Any]]:
    """Return failures, of those with the same breach and verdict the first, with the others under `also`."""
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for each in failures:
        key = each["promise"], each["what"], each["rule"], each["level"], cause_of(each["note"])
        if key in groups:
            groups[key]["cases"] += each["cases"]
            groups[key]["also"].append(each)
        else:
            groups[key] = {**each, "also": []}
    return list(groups.values())


def _row(what: str, asked: int, made: int, passed: int) -> dict[str, Any]:
    return {"what": what, "asked": asked, "made": made, "passed": passed, "failed": made - passed}


def _failure(failure: Document, finding: Document | None) -> dict[str, Any]:
    told = ("level", "rule", "message")
    return {
        **_described(failure),
        **{name: finding[name] if finding is not None else "" for name in told},
        "lines": [{"text": line, "is_wrong": line.startswith(_WRONG)} for line in failure["listing"]],
    }


def _described(failure: Document) -> dict[str, Any]:
    promise = failure["promise"]
    return {
        "unused": "",
        **failure,
        "unit": unit_of(promise),
        "says": _PROMISES.get(promise, ""),
        "has_values": has_values(promise, failure["expected"], failure["got"]),
    }
