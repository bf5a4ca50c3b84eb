# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps that the kernel writes into a trampoline that tasks may be in: it leaves programs out that are detached.

Two kinds are known, by the members of struct bpf_tramp_image: from `ip_after_call` to `ip_epilogue`, over all programs
behind the traced function; and, where there is `skips`, over one program each. The host writes them as the kernel
does, one `jal` over a nop, and trampolines are run once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...image.btf import StructLayout
from ...units import BoolArray, I64Array, U64Array
from .cases import Case, Flag
from .jit import Built, Trampolines
from .life import Breach
from .promises import BpfPromise

__all__ = ["Detour", "find_skips", "jump_word", "leave_out", "way_out"]

_U64 = np.uint64
_NOPS = (0x0000_0013,)
_REACH = 1 << 20
_AFTER, _EPILOGUE, _SKIPS, _COUNT = "ip_after_call", "ip_epilogue", "skips", "nr_skips"

Detour = tuple[I64Array, U64Array, U64Array, list[Case]]
"""(int64[k] lanes, uint64[k] where a jump is written, uint64[k] where it leads, the cases as they then are)."""


def jump_word(distance: I64Array) -> U64Array:
    """Return ``jal zero, distance`` [bytes, even, within 1 MiB] as words: uint64[k]."""
    raw = distance.view(_U64)
    bits = (raw >> _U64(20) & _U64(1)) << _U64(31) | (raw >> _U64(1) & _U64(0x3FF)) << _U64(21)
    word: U64Array = bits | (raw >> _U64(11) & _U64(1)) << _U64(20) | (raw >> _U64(12) & _U64(0xFF)) << _U64(12)
    return word | _U64(0x6F)


def way_out(made: Trampolines, built: Built, im: StructLayout) -> tuple[Detour | None, list[Breach]]:
    """Return the jumps behind the traced function, for trampolines that call it, and what is wrong with their places.

    Args:
        made: the trampolines, with their struct bpf_tramp_image.
        built: what the JIT came to.
        im: that structure.
    """
    if not (im.has(_AFTER) and im.has(_EPILOGUE)):
        return None, []
    flags = np.array([int(case.flags) for case in made.cases], np.int64)
    lanes = np.flatnonzero(built.accepted & (flags & int(Flag.CALL_ORIG) != 0)).astype(np.int64)
    start, end = (made.read_im(lanes, im.offset(name)) for name in (_AFTER, _EPILOGUE))
    sound, breaches = _sound(made, built, lanes, start, end, "the jump over programs behind the traced function")
    calm = np.array([made.cases[lane].stops < 0 for lane in lanes.tolist()], np.bool_) & sound
    lanes = lanes[calm]
    cases = [replace(made.cases[lane], fexit=()) for lane in lanes.tolist()]
    return (lanes, start[calm], end[calm], cases), breaches


def find_skips(
    made: Trampolines, built: Built, im: StructLayout, skip: StructLayout | None
) -> tuple[Detour | None, list[Breach]]:
    """Return a jump over the last program of each trampoline that has one, and what is wrong with its place."""
    if skip is None or not (im.has(_SKIPS) and im.has(_COUNT)):
        return None, []
    count = made.read_im(np.arange(len(made.cases), dtype=np.int64), im.offset(_COUNT)) & _U64(0xFFFF_FFFF)
    programs = np.array([len(case.fentry) + len(case.fmod) + len(case.fexit) for case in made.cases])
    wrong = np.flatnonzero(built.accepted & (count != programs)).astype(np.int64)
    breaches = []
    if len(wrong):
        note = "they are not as many as there are programs"
        expected = programs[wrong].astype(_U64)
        breaches.append(Breach(BpfPromise.MADE, "the places to skip programs", wrong, expected, count[wrong], note))
    indirect = np.array([bool(case.flags & Flag.INDIRECT) for case in made.cases], np.bool_)  # never detached singly
    lanes = np.flatnonzero(built.accepted & ~indirect & (programs > 0) & (count == programs)).astype(np.int64)
    at = _U64(made.skips_at) + _U64(skip.size) * (programs[lanes] - 1).astype(_U64)
    prog, nop, target = (
        made.memory.read_u64(lanes, at + _U64(skip.offset(name))) for name in ("prog", "nop", "target")
    )
    sound, more = _sound(made, built, lanes, nop, target, "the jump over a program")
    lanes, prog, nop, target = lanes[sound], prog[sound], nop[sound], target[sound]
    cases = [leave_out(made.cases[lane], int(which)) for lane, which in zip(lanes.tolist(), prog, strict=True)]
    return (lanes, nop, target, cases), breaches + more


def leave_out(case: Case, prog: int) -> Case:
    """Return a case without the last program whose struct bpf_prog is at an address."""
    for name in ("fexit", "fmod", "fentry"):
        programs: tuple[object, ...] = getattr(case, name)
        chosen = [number for number, program in enumerate(getattr(case, name)) if program.at == prog]
        if chosen:
            kept = programs[: chosen[-1]] + programs[chosen[-1] + 1 :]
            stops = -1 if name == "fmod" and case.stops >= chosen[-1] else case.stops
            return replace(case, **{name: kept, "stops": stops})  # type: ignore[arg-type]
    return case


def _sound(
    made: Trampolines, built: Built, lanes: I64Array, start: U64Array, end: U64Array, what: str
) -> tuple[BoolArray, list[Breach]]:
    """Tell where a jump may be written, bool[k], and what is wrong elsewhere."""
    low, high = built.start[lanes], built.start[lanes] + built.size[lanes].astype(_U64)
    inside: BoolArray = (start >= low) & (end >= start) & (end <= high) & (start + _U64(4) <= high)
    breaches = list(_breach(what, lanes, ~inside, low, start, "it is not within the trampoline"))
    words = np.zeros(len(lanes), _U64)
    if inside.any():
        words[inside] = made.memory.read_u64(lanes[inside], start[inside]) & _U64(0xFFFF_FFFF)
    is_nop = np.isin(words, np.array(_NOPS, _U64))
    nop = np.full(len(lanes), _NOPS[0], _U64)
    breaches += _breach(what, lanes, inside & ~is_nop, nop, words, "there is no nop to write it over")
    reach = (end - start).astype(np.int64) < _REACH
    return inside & is_nop & reach, breaches


def _breach(
    what: str, lanes: I64Array, wrong: BoolArray, expected: U64Array, got: U64Array, note: str
) -> Iterator[Breach]:
    if wrong.any():
        yield Breach(BpfPromise.MADE, what, lanes[wrong], expected[wrong], got[wrong], note)


def some_of(detour: Detour, chosen: BoolArray) -> Detour:
    """Return a detour of those lanes alone that are chosen: bool[n]."""
    lanes, start, end, cases = detour
    kept = chosen[lanes]
    return lanes[kept], start[kept], end[kept], [case for case, keep in zip(cases, kept.tolist(), strict=True) if keep]


def write_jumps(made: Trampolines, detour: Detour) -> None:
    """Write the jumps of a detour."""
    lanes, start, end, _ = detour
    words = jump_word((end - start).astype(np.int64)).astype("<u4")
    if len(lanes):
        made.memory.write(lanes, start, words.view(np.uint8).reshape(-1, 4))


def whole(cases: Sequence[Case], detour: Detour) -> list[Case]:
    """Return all cases, those that a detour changes as they then are."""
    changed = list(cases)
    for lane, case in zip(detour[0].tolist(), detour[3], strict=True):
        changed[lane] = case
    return changed


__all__ += ["some_of", "whole", "write_jumps"]
