# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps that the kernel writes into a trampoline that tasks may be in: where they are, and what is to happen then.

Two kinds are known, by the members of struct bpf_tramp_image: from `ip_after_call` to `ip_epilogue`, over all programs
behind the traced function; and, where there is `skips`, over one program each. `jumps` has them written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...image.btf import StructLayout
from ...units import BoolArray, I64Array, U64Array
from .cases import Case, Flag
from .jit import Built, Trampolines
from .life import Breach
from .programs import Program
from .promises import BpfPromise

__all__ = ["Detour", "find_skips", "leave_out", "stops", "way_out", "whole"]

_U64 = np.uint64
_AFTER, _EPILOGUE, _SKIPS, _COUNT = "ip_after_call", "ip_epilogue", "skips", "nr_skips"


@dataclass(frozen=True)
class Detour:
    """Jumps, one a lane.

    Args:
        what: what they are, in reports.
        is_skip: whether each is over one program.
        lanes: int64[k].
        start, end: uint64[k], where a jump is written and where it leads.
        cases: of each lane, as it then is.
        amid: bool[k], the jump is written while the traced function runs; elsewhere before the trampoline is entered.
    """

    what: str
    is_skip: bool
    lanes: I64Array
    start: U64Array
    end: U64Array
    cases: Sequence[Case]
    amid: BoolArray

    def some_of(self, chosen: BoolArray) -> Detour:
        """Return those of which `chosen`, bool[k], is true."""
        cases = [case for case, keep in zip(self.cases, chosen.tolist(), strict=True) if keep]
        return replace(
            self, lanes=self.lanes[chosen], start=self.start[chosen], end=self.end[chosen], cases=cases,
            amid=self.amid[chosen],
        )  # fmt: skip


def way_out(made: Trampolines, built: Built, im: StructLayout) -> tuple[Detour | None, list[Breach]]:
    """Return the jumps behind the traced function, for trampolines that call it, and what is wrong with their places.

    A task that is in the function comes back to the jump, and runs no program any more. One that an fmod_ret program
    has sent past the function never comes to it: it runs what there is behind the jump.

    Args:
        made: the trampolines, with their struct bpf_tramp_image.
        built: what the JIT came to.
        im: that structure.
    """
    if not (im.has(_AFTER) and im.has(_EPILOGUE)):
        return None, []
    flags = np.array([int(case.flags) for case in made.cases], np.int64)
    calls = flags & int(Flag.CALL_ORIG) != 0
    breaches = list(_not_asked_for(made, built, im, ~calls))
    lanes = np.flatnonzero(built.accepted & calls).astype(np.int64)
    start, end = (made.read_im(lanes, im.offset(name)) for name in (_AFTER, _EPILOGUE))
    what = "the jump over programs behind the traced function"
    comes = np.array([not stops(made.cases[lane]) for lane in lanes.tolist()], np.bool_)
    cases = [replace(made.cases[lane], fexit=()) if come else made.cases[lane]
             for lane, come in zip(lanes.tolist(), comes.tolist(), strict=True)]  # fmt: skip
    detour = Detour(what, False, lanes, start, end, cases, comes)
    sound, wrong = _sound(built, detour)
    return detour.some_of(sound), breaches + wrong


def stops(case: Case) -> bool:
    """Tell whether an fmod_ret program that is run returns an error."""
    return any(each.position == case.stops and each.number not in case.skipped for each in case.fmod)


def _not_asked_for(made: Trampolines, built: Built, im: StructLayout, calm: BoolArray) -> Iterator[Breach]:
    """Yield trampolines that call no function, and say where the kernel is to write a jump behind it."""
    lanes = np.flatnonzero(built.accepted & calm).astype(np.int64)
    found = made.read_im(lanes, im.offset(_AFTER)) if len(lanes) else np.zeros(0, _U64)
    note = "no function is called: the kernel would write a jump there, and wait for tasks that are not counted"
    yield from _breach(_AFTER, lanes, found != 0, np.zeros(len(lanes), _U64), found, note)


def find_skips(
    made: Trampolines, built: Built, im: StructLayout, skip: StructLayout | None
) -> tuple[Detour | None, list[Breach]]:
    """Return a jump over one program of each trampoline that has any, and what is wrong with its place.

    Which one differs from lane to lane. Of a program that runs at entry and at exit it is that at exit.
    """
    if skip is None or not (im.has(_SKIPS) and im.has(_COUNT)):
        return None, []
    count = made.read_im(np.arange(len(made.cases), dtype=np.int64), im.offset(_COUNT)) & _U64(0xFFFF_FFFF)
    programs = np.array([len(_in_order(case)) for case in made.cases])
    indirect = np.array([bool(case.flags & Flag.INDIRECT) for case in made.cases], np.bool_)  # never detached singly
    wrong = np.flatnonzero(built.accepted & ~indirect & (count != programs)).astype(np.int64)
    note = "they are not as many as there are programs"
    expected = programs[wrong].astype(_U64)
    breaches = list(_breach("the places to skip programs", wrong, wrong >= 0, expected, count[wrong], note))
    lanes = np.flatnonzero(built.accepted & ~indirect & (programs > 0) & (count == programs)).astype(np.int64)
    which = np.array([_choose(made.cases[lane], lane) for lane in lanes.tolist()], np.int64)
    at = _U64(made.skips_at) + _U64(skip.size) * which.astype(_U64)
    prog, nop, target = (
        made.memory.read_u64(lanes, at + _U64(skip.offset(name))) for name in ("prog", "nop", "target")
    )
    numbered = list(zip(lanes.tolist(), which.tolist(), strict=True))
    whose = np.array([_in_order(made.cases[lane])[number].at for lane, number in numbered], _U64)
    breaches += _breach("the program that a jump leads over", lanes, prog != whose, whose, prog, "it is another")
    cases = [leave_out(made.cases[lane], number) for lane, number in numbered]
    detour = Detour("the jump over a program", True, lanes, nop, target, cases, np.zeros(len(lanes), np.bool_))
    sound, more = _sound(built, detour)
    return detour.some_of(sound), breaches + more


def _in_order(case: Case) -> tuple[Program, ...]:
    """Return a trampoline's programs in the order in which it calls them."""
    return (*case.fentry, *case.fmod, *case.fexit)


def _choose(case: Case, lane: int) -> int:
    """Return the number of the program that a lane is to leave out."""
    programs = _in_order(case)
    chosen = lane % len(programs)
    return chosen if not programs[chosen].session or chosen >= len(case.fentry) else len(programs) - 1


def leave_out(case: Case, number: int) -> Case:
    """Return a case without one of its programs, counted in the order in which they are called."""
    for name in ("fentry", "fmod", "fexit"):
        programs: tuple[Program, ...] = getattr(case, name)
        if number < len(programs):
            kept = programs[:number] + programs[number + 1 :]
            is_stop = name == "fmod" and programs[number].position == case.stops
            return replace(case, **{name: kept, "stops": -1 if is_stop else case.stops})  # type: ignore[arg-type]
        number -= len(programs)
    return case


def _sound(built: Built, detour: Detour) -> tuple[BoolArray, list[Breach]]:
    """Tell where a jump may be written, bool[k], and what is wrong elsewhere."""
    lanes, start, end = detour.lanes, detour.start, detour.end
    low, high = built.start[lanes], built.start[lanes] + built.size[lanes].astype(_U64)
    inside: BoolArray = (start >= low) & (end >= start) & (end <= high) & (start + _U64(4) <= high)
    return inside, list(_breach(detour.what, lanes, ~inside, low, start, "it is not within the trampoline"))


def _breach(
    what: str, lanes: I64Array, wrong: BoolArray, expected: U64Array, got: U64Array, note: str
) -> Iterator[Breach]:
    if wrong.any():
        yield Breach(BpfPromise.MADE, what, lanes[wrong], expected[wrong], got[wrong], note)


def whole(cases: Sequence[Case], detour: Detour) -> list[Case]:
    """Return all cases, those that a detour changes as they then are."""
    changed = list(cases)
    for lane, case in zip(detour.lanes.tolist(), detour.cases, strict=True):
        changed[lane] = case
    return changed
