# SPDX-License-Identifier: GPL-2.0-or-later
"""BPF trampolines and programs in documents of verify: which finding tells of a failure, and what has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..verify.bpf.promises import BpfPromise
from .documents import Document

__all__ = [
    "BpfChange",
    "BpfChanges",
    "BpfCounts",
    "bpf_changes",
    "bpf_of",
    "cause_of",
    "finding_of",
    "grown",
    "has_values",
    "matched",
    "unit_of",
]

_DIGITS = re.compile(r"\d+")
_RULES = "GP35"
_MOST_FINDINGS = 500
_OF_PROGRAMS = (BpfPromise.PROGRAM, BpfPromise.POKE)
_WITHOUT_VALUES = (BpfPromise.MADE, BpfPromise.SIZE, BpfPromise.SEQUENCE)
_LANDING = re.compile(r"(?:^|; )a tail call lands at .*\Z", re.DOTALL)
_ABSENT = "verify was told to leave BPF out"


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfCounts:
    """What running a kernel's BPF JIT came to, counted; see `verifying.BpfRecord`."""

    accepted: int
    refused: int
    trampolines: int
    made: int
    passed: int
    programs: int
    programs_refused: int
    programs_passed: int
    pokes: int
    detached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfChange:
    """A failure in one kernel or in both: change is new, grown, shrunk, gone or same.

    Counts are of trampolines or programs.

    `rule` and `level` are those of the finding that tells of it, empty without one. What it is about, with an example
    and values, is as the new kernel has it, or the old one if it is gone.
    """

    change: str
    promise: str
    what: str
    alike: int
    requested: bool
    rule: str
    level: str
    cases_old: int
    cases_new: int
    example: str
    expected: str
    got: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfChanges:
    """What became of BPF trampolines and programs; counts are None where they were not run, the reason beside it."""

    old: BpfCounts | None
    new: BpfCounts | None
    why_old: str
    why_new: str
    failures: tuple[BpfChange, ...]


def bpf_of(document: Document) -> Document | None:
    """Return what running the kernel's BPF JIT came to; None if nobody tried. The kernel is the first of several runs.

    Args:
        document: of verify.
    """
    runs = document.get("runs") or [document]
    found: Document | None = runs[0].get("bpf")
    return found


def unit_of(promise: str) -> str:
    """Return what those that break a promise are."""
    return "program" if promise in _OF_PROGRAMS else "trampoline"


def has_values(promise: str, expected: str, got: str) -> bool:
    """Tell whether a failure is about a number: what was expected and what came means something then."""
    return promise not in _WITHOUT_VALUES and expected != got


def cause_of(note: str) -> str:
    """Return a note without where a tail call landed: that differs from program to program, the breach does not."""
    return _LANDING.sub("", note)


def finding_of(failure: Document, findings: Iterable[Document]) -> Document | None:
    """Return the finding that tells of a failure, None if no rule was asked, or nothing asks for what failed."""
    if not failure["requested"]:
        return None
    example, counted = f", as with {failure['example']}", f" in {failure['cases']:,} "
    told = (finding for finding in findings if finding["rule"].startswith(_RULES))
    for finding in islice(told, _MOST_FINDINGS):
        message = finding["message"]
        if message.startswith(failure["what"]) and example in message and counted in message:
            return finding
    return None


def bpf_changes(old: Document, new: Document) -> BpfChanges | None:
    """Compare what two kernels' BPF JITs came to; None if neither was run, and nobody wanted it.

    Args:
        old, new: documents of verify.
    """
    before, after = bpf_of(old), bpf_of(new)
    if before is None and after is None:
        return None
    return BpfChanges(
        old=_counts(before), new=_counts(after), why_old=_why(before), why_new=_why(after),
        failures=tuple(_changes(_failures(before), _failures(after), old["findings"], new["findings"])),
    )  # fmt: skip


def _counts(bpf: Document | None) -> BpfCounts | None:
    if bpf is None or bpf["trouble"]:
        return None
    return BpfCounts(**{name: bpf[name] for name in BpfCounts.__dataclass_fields__})


def _why(bpf: Document | None) -> str:
    return _ABSENT if bpf is None else str(bpf["trouble"])


def _failures(bpf: Document | None) -> Sequence[Document]:
    return () if bpf is None else list(bpf["failures"])


def _changes(
    old: Sequence[Document], new: Sequence[Document], findings_old: Sequence[Document], findings_new: Sequence[Document]
) -> Iterator[BpfChange]:
    """Yield failures, those that the kernel asks for first, and of those what is new before what is gone."""
    pairs, _, _ = matched(old, new, _KEYS)
    before = {id(second): first for first, second in pairs}
    taken = {id(first) for first, _ in pairs}
    found = []
    for each in new:
        was = before.get(id(each))
        cases = was["cases"] if was is not None else 0
        change = "new" if was is None else grown(cases, each["cases"])
        found.append(_change(change, each, finding_of(each, findings_new), cases, each["cases"]))
    found += [
        _change("gone", each, finding_of(each, findings_old), each["cases"], 0) for each in old if id(each) not in taken
    ]
    order = ("new", "grown", "shrunk", "gone", "same")
    yield from sorted(found, key=lambda each: (not each.requested, order.index(each.change)))


def _change(change: str, failure: Document, finding: Document | None, old: int, new: int) -> BpfChange:
    return BpfChange(
        change=change, promise=failure["promise"], what=failure["what"], alike=failure["alike"],
        requested=failure["requested"], rule=finding["rule"] if finding else "",
        level=finding["level"] if finding else "", cases_old=old, cases_new=new, example=failure["example"],
        expected=failure["expected"], got=failure["got"], note=failure["note"],
    )  # fmt: skip


_Key = Callable[[Document], tuple[object, ...]]


def _thing(failure: Document) -> tuple[object, ...]:
    """Return which promise was broken about what; numbers of arguments and programs are alike."""
    return failure["promise"], _masked(failure["what"]), failure["requested"]


def _masked(text: str) -> str:
    return _DIGITS.sub("#", text)


_KEYS: tuple[_Key, ...] = (
    lambda each: (*_thing(each), each["what"], each["note"], each["example"]),
    lambda each: (*_thing(each), _masked(each["note"])),
    _thing,
)


def grown(old: int, new: int) -> str:
    """Tell what became of something that is in both, by how many things it is about."""
    return "same" if old == new else ("grown" if new > old else "shrunk")


def matched(
    old: Sequence[Document], new: Sequence[Document], keys: Sequence[Callable[[Document], tuple[object, ...]]]
) -> tuple[list[tuple[Document, Document]], list[Document], list[Document]]:
    """Return what is the same by the narrowest key that tells, and what is left of the old and of the new."""
    pairs: list[tuple[Document, Document]] = []
    left, right = list(old), list(new)
    for key in keys:
        waiting: dict[tuple[object, ...], list[Document]] = {}
        for each in left:
            waiting.setdefault(key(each), []).append(each)
        rest = []
        for each in right:
            found = waiting.get(key(each))
            if found:
                pairs.append((found.pop(0), each))
            else:
                rest.append(each)
        left, right = [each for some in waiting.values() for each in some], rest
    return pairs, left, right
