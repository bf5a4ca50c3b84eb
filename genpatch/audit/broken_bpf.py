# SPDX-License-Identifier: GPL-2.0-or-later
"""From promises that a kernel's BPF JIT has broken to findings: what all rules about it share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..units import as_hex
from ..verify.bpf.promises import BpfPromise
from .facts import Facts
from .model import Finding, Severity

if TYPE_CHECKING:
    from ..verify.bpf.run import BpfFailure, BpfResult

__all__ = ["broken_bpf", "with_bpf"]

_BY_VALUE = (
    BpfPromise.ARGUMENTS, BpfPromise.PASSED, BpfPromise.LOCAL, BpfPromise.VALUE, BpfPromise.NARROW,
    BpfPromise.LEAVES, BpfPromise.ORIGINAL, BpfPromise.STACK, BpfPromise.PROGRAM, BpfPromise.POKE,
)  # fmt: skip
"""Promises about a number: it is said what it is and what it should be."""
_LEVELS = {BpfPromise.NARROW: Severity.WARNING, BpfPromise.LOCAL: Severity.NOTE}
_SUBJECT = {
    BpfPromise.MADE: "{what} fails",
    BpfPromise.SIZE: "{what} is wrong",
    BpfPromise.SEQUENCE: "{what}",
    BpfPromise.ORIGINAL: "{what} is entered at another place than behind its sled",
    BpfPromise.LEAVES: "{what} is not left as it must be",
    BpfPromise.STACK: "{what} is out of order",
}


def broken_bpf(facts: Facts, *promises: BpfPromise) -> Iterator[Finding]:
    """Yield a finding for each kind of thing that was broken in trampolines or programs that the kernel asks for."""
    result = facts.need_bpf()
    for failure in result.failures:
        if failure.promise in promises and failure.requested:
            yield _finding(result, failure)


def _finding(result: BpfResult, failure: BpfFailure) -> Finding:
    subject = _SUBJECT.get(failure.promise, "{what} is wrong").format(what=failure.what)
    more = f" (and {failure.alike:,} more like it)" if failure.alike else ""
    of = f" of {result.made:,}" if result.made and failure.kind == "trampoline" else ""
    counted = f"in {failure.cases:,}{of} {failure.kind}{'s' * (failure.cases != 1 or bool(of))}"
    values = ""
    if failure.promise in _BY_VALUE and failure.expected != failure.got:
        values = f": {as_hex(failure.got)} instead of {as_hex(failure.expected)}"
    notes = "".join(f"; {note}" for note in (failure.note, failure.unused) if note)
    return Finding(
        message=f"{subject}{more} {counted}, as with {failure.example}{values}{notes}",
        kind=f"{failure.promise.value}-{_slug(failure.what)}",
        level=_LEVELS.get(failure.promise, Severity.WARNING if failure.unused else None),
        subject=failure.what,
    )


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")


def with_bpf(facts: Facts, *failures: BpfFailure) -> Facts:
    """Return facts of a kernel whose BPF was run, with what that came to; what the rules carry their cases on."""
    from dataclasses import replace

    from ..verify.bpf.run import BpfResult
    from ..verify.run import prepare_verification

    verification, _ = prepare_verification(facts.image)
    verification.bpf = BpfResult(cases=10, made=10, ran=10, failures=list(failures))
    return replace(facts, verification=verification)
