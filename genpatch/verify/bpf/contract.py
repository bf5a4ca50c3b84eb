# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trampoline must do, worked out from its case: what is called in which order, with which values.

This follows from the flags alone (include/linux/bpf.h says what each asks for), whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...units import BoolArray, I64Array, U64Array
from .cases import Case, Flag
from .programs import Program, Programs

__all__ = ["ENTER", "EXIT", "ORIGINAL", "PROGRAM", "TRAMP_ENTER", "TRAMP_EXIT", "Contract", "Values", "as_register"]

TRAMP_ENTER, TRAMP_EXIT, ORIGINAL = 1, 2, 3
ENTER, PROGRAM, EXIT = 1000, 2000, 3000
_U64 = np.uint64
_ARGUMENT = 0x00A6_0000_0000_0000
_LOW = 0x8000_00F1
_MOST_SLOTS = 40
_ERROR = -13 & 0xFFFF_FFFF
_FENTRY, _FMOD = 0, 2


class Contract:
    """The contract of n cases, as arrays.

    Args:
        cases: one a lane.
        programs: the pool.

    Attributes:
        flags: int64[n].
        slots: int64[n], 8-byte slots of the arguments.
        events: int16[n, k], what must happen in order; 0 behind the last.
        to_parent: bool[n], the trampoline is left to the function's caller.
        restores, saves: bool[n], argument registers are restored; a return value is kept.
        sessions: bool[n], some program runs at entry and at exit.
        kind, sleepable, is_session, has_session_cookie, cookies, position: of each program.
        skipped: bool[n, programs], which are entered but not run.
        stops: int64[n], position of the fmod_ret program that returns an error.
    """

    def __init__(self, cases: Sequence[Case], programs: Programs):
        self.cases = cases
        pool = programs.all
        self.kind = np.array([program.kind for program in pool], np.int64)
        self.position = np.array([program.position for program in pool], np.int64)
        self.sleepable = np.array([program.sleepable for program in pool], np.bool_)
        self.is_session = np.array([program.session for program in pool], np.bool_)
        self.has_session_cookie = np.array([program.session_cookie for program in pool], np.bool_)
        self.cookies = np.array([program.cookie for program in pool], _U64)
        self.flags = np.array([int(case.flags) for case in cases], np.int64)
        self.slots: I64Array = np.array([case.slots for case in cases], np.int64)
        self.stops = np.array([case.stops for case in cases], np.int64)
        self.skipped = np.zeros((len(cases), len(pool)), np.bool_)
        sequences = [_events(case) for case in cases]
        self.events = np.zeros((len(cases), max(map(len, sequences), default=0) + 2), np.int16)
        self._late_from = np.zeros(len(cases), np.int64)
        for row, (case, events) in enumerate(zip(cases, sequences, strict=True)):
            self.events[row, : len(events)] = events
            self.skipped[row, list(case.skipped)] = True
            self._late_from[row] = len(events) - _tail(case)
        self.to_parent = self.flag(Flag.SKIP_FRAME) | self.flag(Flag.INDIRECT)
        self.restores = self.flag(Flag.RESTORE_REGS)
        self.saves = self.flag(Flag.CALL_ORIG) | self.flag(Flag.RET_FENTRY_RET)
        self.sessions = np.array([any(program.session for program in case.fentry) for case in cases], np.bool_)
        self.has_value = self.flag(Flag.CALL_ORIG) | np.array([_keeps_some(case) for case in cases], np.bool_)

    def flag(self, flag: Flag) -> BoolArray:
        """Tell which cases have a flag: bool[n]."""
        has: BoolArray = self.flags & int(flag) != 0
        return has

    def event(self, lanes: I64Array, cursor: I64Array) -> I64Array:
        """Return what must happen at a position, int64[m]; 0 for nothing."""
        last = self.events.shape[1] - 1
        found: I64Array = self.events[lanes, np.minimum(cursor, last)].astype(np.int64)
        return found

    def is_late(self, lanes: I64Array, cursor: I64Array) -> BoolArray:
        """Tell whether a position is behind the traced function, or what takes its place: bool[m]."""
        late: BoolArray = cursor >= self._late_from[lanes]
        return late

    def keeps_value(self, lanes: I64Array, numbers: I64Array) -> BoolArray:
        """Tell where a program's return value becomes the trampoline's: bool[m]."""
        kind = self.kind[numbers]
        first = (kind == _FENTRY) & (self.flags[lanes] & int(Flag.RET_FENTRY_RET) != 0) & ~self.sessions[lanes]
        kept: BoolArray = (kind == _FMOD) | first
        return kept

    def sees_value(self, lanes: I64Array, numbers: I64Array) -> BoolArray:
        """Tell where a program finds a return value behind the arguments: bool[m]."""
        sees: BoolArray = ((self.kind[numbers] != _FENTRY) | self.is_session[numbers]) & self.saves[lanes]
        return sees

    def spell(self, event: int, programs: Programs) -> str:
        """Return an event in words."""
        plain = {0: "nothing", TRAMP_ENTER: "__bpf_tramp_enter", TRAMP_EXIT: "__bpf_tramp_exit",
                 ORIGINAL: "the traced function"}  # fmt: skip
        if event in plain:
            return plain[event]
        number = event % 1000
        name = programs.all[number].name if number < len(programs.all) else "an unknown program"
        before = {ENTER: "enter of ", PROGRAM: "", EXIT: "exit of "}.get(event // 1000 * 1000, "")
        return f"{before}{name}"


def _program_events(program: Program, case: Case) -> list[int]:
    runs = [] if program.number in case.skipped else [PROGRAM + program.number]
    return [ENTER + program.number, *runs, EXIT + program.number]


def _events(case: Case) -> list[int]:
    """Return what a trampoline must do in order."""
    calls = bool(case.flags & Flag.CALL_ORIG)
    events = [TRAMP_ENTER] if calls else []
    for program in case.fentry:
        events += _program_events(program, case)
    stopped = False
    for program in case.fmod:
        events += _program_events(program, case)
        stopped = program.position == case.stops and program.number not in case.skipped
        if stopped:
            break
    if calls and not stopped:
        events.append(ORIGINAL)
    for program in case.fexit:
        events += _program_events(program, case)
    return [*events, TRAMP_EXIT] if calls else events


def _tail(case: Case) -> int:
    """Return how many events are behind the traced function."""
    return sum(len(_program_events(program, case)) for program in case.fexit) + bool(case.flags & Flag.CALL_ORIG)


def _keeps_some(case: Case) -> bool:
    """Tell whether a program at entry leaves a value."""
    some = any(program.number not in case.skipped for program in case.fentry)
    return bool(case.flags & Flag.RET_FENTRY_RET) and some


def as_register(values: U64Array, sizes: I64Array, signed: BoolArray) -> U64Array:
    """Return values as they stand in registers: uint64[n].

    Scalars narrower than XLEN are extended by their own sign up to 32 bits, then by bit 31 (RISC-V psABI,
    integer calling convention).

    Args:
        values: uint64[n].
        sizes: int64[n] [bytes]; 8 and 0 leave a value alone.
        signed: bool[n].
    """
    narrow = (sizes > 0) & (sizes < 8)
    bits = np.where(narrow, 8 * sizes, 0).astype(_U64)
    low = np.where(narrow, values & (_U64(1) << bits) - _U64(1), values)
    sign = np.where(narrow & (signed | (sizes == 4)), _U64(1) << np.maximum(bits, _U64(1)) - _U64(1), _U64(0))
    extended: U64Array = (low ^ sign) - sign
    return extended


class Values:
    """The numbers that go through trampolines; each slot of each lane has its own.

    Args:
        contract: of the lanes.
        first: what the first lane counts as.

    Attributes:
        slots: uint64[n, k], arguments.
        returned: uint64[n], what the traced function returns.
        slot: uint64[n], what stands where the return value is kept; known where `known`.
        full: uint64[n], all 64 bits that the last program with a kept value returned.
    """

    def __init__(self, contract: Contract, first: int = 0):
        n, self.first = len(contract.cases), first
        width = max(int(contract.slots.max(initial=0)), 1)
        if width > _MOST_SLOTS:
            raise ValueError(f"{width} argument slots")
        lane, slot = np.arange(first, first + n, dtype=_U64)[:, None], np.arange(1, width + 1, dtype=_U64)[None, :]
        raw = _U64(_ARGUMENT | _LOW) + (slot << _U64(40)) + (lane << _U64(8))
        sizes, signed = np.zeros((n, width), np.int64), np.zeros((n, width), np.bool_)
        for row, case in enumerate(contract.cases):
            at = 0
            for argument in case.arguments:
                sizes[row, at] = 0 if argument.struct else argument.size
                signed[row, at] = argument.signed
                at += argument.slots
        self.slots = as_register(raw, sizes, signed)
        self.sizes = np.array([case.returns.size for case in contract.cases])
        self.signed = np.array([case.returns.signed for case in contract.cases])
        number = np.arange(first, first + n, dtype=_U64) << _U64(4)
        self.returned = as_register(_U64(0x0BAD_F00D_8765_4321) + number, self.sizes, self.signed)
        self.slot: U64Array = np.zeros(n, _U64)
        self.known: BoolArray = contract.sessions | np.array([bool(case.fmod) for case in contract.cases], np.bool_)
        self.known &= np.array([bool(case.fmod) for case in contract.cases], np.bool_) | contract.sessions
        self.full: U64Array = np.zeros(n, _U64)

    def of_program(self, contract: Contract, lanes: I64Array, numbers: I64Array) -> U64Array:
        """Return all 64 bits that programs return, uint64[m]; of fmod_ret 0, or an error where it stops the rest."""
        spread = (lanes.astype(_U64) + _U64(self.first)) * _U64(0x1_0001_0000) & _U64(
            0xFFFF_FFFF_7FFF_FFFF
        )  # bits 7, 15 and 31 stay set
        value: U64Array = _U64(0x7177_0000_8000_8080) + spread + numbers.astype(_U64)
        stops = contract.stops[lanes] == contract.position[numbers]
        return np.where(contract.kind[numbers] == _FMOD, np.where(stops, _U64(_ERROR), _U64(0)), value)

    def final(self, contract: Contract, lanes: I64Array) -> tuple[U64Array, BoolArray]:
        """Return the value that the caller must get, uint64[m], and where that is known, bool[m]."""
        calls = contract.flag(Flag.CALL_ORIG)[lanes]
        indirect = contract.flag(Flag.INDIRECT)[lanes]
        whole = as_register(self.full[lanes], self.sizes[lanes], self.signed[lanes])
        value: U64Array = np.where(calls | ~indirect, self.slot[lanes], whole)
        matters = (self.sizes[lanes] > 0) | ~indirect
        return value, contract.has_value[lanes] & matters


def low_word(values: U64Array) -> U64Array:
    """Return the low 32 bits, sign-extended: uint64[n]."""
    extended: U64Array = values.astype(np.uint32).view(np.int32).astype(np.int64).view(_U64)
    return extended


__all__ += ["low_word"]
