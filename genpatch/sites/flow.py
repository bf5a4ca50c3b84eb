# SPDX-License-Identifier: GPL-2.0-or-later
"""A static reader of small routines: what they load, store and call, as expressions of their arguments.

This is no interpreter. It walks a routine's instructions once, keeps a symbolic value for each register
and stack slot, and records events. What it cannot follow becomes an unknown value, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..image.memory import AddressSpace
from ..isa.encoding import sext
from ..isa.insn import Insn, decode, insn_size
from ..units import MASK64

MAX_INSNS = 600
"""Instructions read of one routine."""

ZERO, RA, SP, T0, A0 = 0, 1, 2, 5, 10
CALLER_SAVED = (1, 5, 6, 7, *range(10, 18), *range(28, 32))

_LOADS = {"lb": 1, "lh": 2, "lw": 4, "ld": 8, "lbu": 1, "lhu": 2, "lwu": 4}
_STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
_SLOT = 8
_BRANCHES = frozenset({"beq", "bne", "blt", "bge", "bltu", "bgeu"})


@dataclass(frozen=True, slots=True)
class Value:
    """base + offset: base is None for a constant, else what the routine started with or loaded.

    Bases: ``("entry", register)``, ``("load", Value, width)``, ``("align", Value, mask)``, ``("opaque", pc)``.
    """

    base: tuple[object, ...] | None
    offset: int

    def plus(self, amount: int) -> Value:
        """Return the value displaced by a constant, wrapped to 64 bits."""
        return Value(self.base, (self.offset + amount) & MASK64 if self.base is None else self.offset + amount)

    @property
    def constant(self) -> int | None:
        """The number, if it is one."""
        return self.offset & MASK64 if self.base is None else None

    def distance_from(self, base: Value) -> int | None:
        """Return self - base where both stand on the same base [bytes]."""
        return self.offset - base.offset if self.base == base.base else None


def entry_value(register: int) -> Value:
    """Return what a register held when the routine was entered."""
    return Value(("entry", register), 0)


@dataclass(frozen=True, slots=True)
class Access:
    """A load or a store: width in bytes, the register it fills or empties, and its value."""

    pc: int
    address: Value
    width: int
    register: int
    value: Value
    is_store: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call or a jump out of the routine.

    Args:
        target: address if it is known, else None.
        through: the register's value for an indirect one.
        link: link register, 0 for a jump.
        arguments: a0..a7 at that point.
        registers: every register at that point.
    """

    pc: int
    target: int | None
    through: Value
    via: int
    link: int
    registers: tuple[Value, ...]

    @property
    def arguments(self) -> tuple[Value, ...]:
        """a0 .. a7."""
        return self.registers[A0 : A0 + 8]


@dataclass(frozen=True, slots=True)
class Branch:
    """A conditional branch: the instruction, the compared values, and where it goes."""

    pc: int
    name: str
    left: Value
    right: Value
    target: int


Event = Access | Call | Branch


@dataclass(frozen=True, kw_only=True)
class Routine:
    """What was read of one routine, in order of reading.

    Args:
        start: address of its first instruction.
        events: loads, stores, calls and branches.
        insns: (pc, instruction) as read.
        complete: every path was followed to a return, a jump out or a call that does not return.
        constants: immediates that li or lui+addi built, in order.
    """

    start: int
    events: tuple[Event, ...]
    insns: tuple[tuple[int, Insn], ...]
    complete: bool
    constants: tuple[int, ...]

    def accesses(self) -> Iterator[Access]:
        """Yield the loads and stores."""
        return (event for event in self.events if isinstance(event, Access))

    def calls(self) -> Iterator[Call]:
        """Yield calls and jumps out."""
        return (event for event in self.events if isinstance(event, Call))

    def branches(self) -> Iterator[Branch]:
        """Yield conditional branches."""
        return (event for event in self.events if isinstance(event, Branch))

    def reaches(self, wanted: int, *, zero: Value) -> bool:
        """Tell whether some path leads to the instruction at `wanted` when the value `zero` is zero.

        Branches that compare that value with zero go one way; all others may go both.
        """
        at = dict(self.insns)
        tests = {branch.pc: branch for branch in self.branches()}
        pending, seen = [self.start], set[int]()
        while pending:
            pc = pending.pop()
            if pc == wanted:
                return True
            if pc in seen or pc not in at:
                continue
            seen.add(pc)
            pending += _following(pc, at[pc], tests.get(pc), zero)
        return False


def _following(pc: int, insn: Insn, test: Branch | None, zero: Value) -> list[int]:
    """Return where an instruction may go next, given that a value is zero."""
    after, target = pc + insn.size, insn.target(pc)
    if test is not None:
        is_known = zero in (test.left, test.right) and Value(None, 0) in (test.left, test.right)
        if is_known and test.name in ("beq", "bne"):
            return [test.target if test.name == "beq" else after]
        return [after, test.target]
    if insn.name == "jal" and insn.rd == ZERO and target is not None:
        return [target]
    if insn.name == "jalr" and insn.rd == ZERO:
        return []
    return [after]


@dataclass(slots=True)
class _State:
    registers: list[Value]
    slots: dict[Value, Value] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(list(self.registers), dict(self.slots))

    def store(self, address: Value, width: int, value: Value) -> None:
        for shift in range(1 - _SLOT, width):  # what it overlaps is no longer whole
            self.slots.pop(address.plus(shift), None)
        if width == _SLOT:
            self.slots[address] = value

    def set(self, register: int, value: Value) -> None:
        if register != ZERO:
            self.registers[register] = value


class _Reader:
    """Walks one routine; every instruction is read once, with the state of the first path that gets there."""

    def __init__(self, memory: AddressSpace, start: int, end: int) -> None:
        self.start, self.end = start, end
        region = memory.region_at(start)
        at = 0 if region is None else start - region.span.start
        self.text = b"" if region is None else region.data[at : at + end - start + 4].tobytes()
        self.events: list[Event] = []
        self.insns: list[tuple[int, Insn]] = []
        self.constants: list[int] = []
        self.complete = True
        self.seen: set[int] = set()
        self.pending: list[tuple[int, _State]] = []

    def run(self) -> Routine:
        registers = [entry_value(number) for number in range(32)]
        registers[ZERO] = Value(None, 0)
        self.pending.append((self.start, _State(registers)))
        while self.pending:
            self._walk(*self.pending.pop())
        return Routine(
            start=self.start,
            events=tuple(self.events),
            insns=tuple(self.insns),
            complete=self.complete,
            constants=tuple(self.constants),
        )

    def _walk(self, pc: int, state: _State) -> None:
        after_call = False
        while pc not in self.seen:
            if pc >= self.end and after_call:
                return  # the call was one that does not return (__stack_chk_fail)
            insn = self._fetch(pc)
            if insn is None or len(self.insns) >= MAX_INSNS:
                self.complete = False
                return
            self.seen.add(pc)
            self.insns.append((pc, insn))
            following = self._step(pc, insn, state)
            if following is None:
                return
            after_call = (insn.rd == RA and insn.name in ("jal", "jalr")) or (after_call and _is_nop(insn))
            pc = following

    def _fetch(self, pc: int) -> Insn | None:
        at = pc - self.start
        raw = self.text[at : at + 4] if at >= 0 else b""
        if len(raw) < 2 or len(raw) < insn_size(raw[0] | raw[1] << 8):
            return None
        insn = decode(int.from_bytes(raw, "little"))
        return insn.base if insn is not None else None

    def _step(self, pc: int, insn: Insn, state: _State) -> int | None:
        """Apply one instruction; return the next pc of this path, None where it ends."""
        name, following = insn.name, pc + insn.size
        if name in _BRANCHES:
            target = (pc + insn.imm) & MASK64
            left, right = state.registers[insn.rs1], state.registers[insn.rs2]
            self.events.append(Branch(pc, name, left, right, target))
            if self.start <= target < self.end:
                self.pending.append((target, state.copy()))
            return following
        if name == "jal":
            return self._transfer(pc, following, (pc + insn.imm) & MASK64, insn.rd, -1, state)
        if name == "jalr":
            through = state.registers[insn.rs1].plus(insn.imm)
            return self._transfer(pc, following, through.constant, insn.rd, insn.rs1, state, through)
        if name in ("ebreak", "mret", "sret"):
            return None
        if name in _LOADS or name in _STORES:
            self._access(pc, insn, state)
        else:
            self._compute(pc, insn, state)
        return following

    def _transfer(
        self,
        pc: int,
        following: int,
        target: int | None,
        link: int,
        via: int,
        state: _State,
        through: Value | None = None,
    ) -> int | None:
        if link == ZERO and target is not None and self.start <= target < self.end:
            return target
        value = through if through is not None else Value(None, target or 0)
        self.events.append(Call(pc, target, value, via, link, tuple(state.registers)))
        if link == ZERO:
            return None
        for register in CALLER_SAVED:
            state.registers[register] = Value(("opaque", pc, register), 0)
        return following

    def _access(self, pc: int, insn: Insn, state: _State) -> None:
        address = state.registers[insn.rs1].plus(insn.imm)
        if insn.name in _STORES:
            value = state.registers[insn.rs2]
            state.store(address, _STORES[insn.name], value)
            self.events.append(Access(pc, address, _STORES[insn.name], insn.rs2, value, True))
            return
        width = _LOADS[insn.name]
        value = (
            state.slots.get(address, Value(("load", address, width), 0))
            if width == 8
            else Value(("load", address, width), 0)
        )
        self.events.append(Access(pc, address, width, insn.rd, value, False))
        state.set(insn.rd, value)

    def _compute(self, pc: int, insn: Insn, state: _State) -> None:
        if insn.rd is None or insn.rd < 0:
            return
        value = _result(pc, insn, state.registers)
        if value.base is None and insn.name in ("addi", "addiw", "lui"):
            self.constants.append(value.offset)
        state.set(insn.rd, value)


def _is_nop(insn: Insn) -> bool:
    return insn.name == "addi" and insn.rd == insn.rs1 == ZERO


def _result(pc: int, insn: Insn, registers: list[Value]) -> Value:
    """Return the value an arithmetic instruction leaves; opaque where it is not followed."""
    name = insn.name
    if name == "lui":
        return Value(None, sext(insn.imm << 12, 32) & MASK64)
    if name == "auipc":
        return Value(None, (pc + sext(insn.imm << 12, 32)) & MASK64)
    if name == "addi":
        return registers[insn.rs1].plus(insn.imm)
    if name == "add":
        left, right = registers[insn.rs1], registers[insn.rs2]
        if right.constant is not None:
            return left.plus(sext(right.constant, 64))
        if left.constant is not None:
            return right.plus(sext(left.constant, 64))
    if name == "sub":
        left, right = registers[insn.rs1], registers[insn.rs2]
        if right.constant is not None:
            return left.plus(-sext(right.constant, 64))
    if name == "andi":
        return _aligned(registers[insn.rs1], insn.imm, pc)
    if name == "addiw" and registers[insn.rs1].constant is not None:
        return Value(None, sext(registers[insn.rs1].offset + insn.imm, 32) & MASK64)
    return Value(("opaque", pc), 0)


def _aligned(value: Value, mask: int, pc: int) -> Value:
    if value.constant is not None:
        return Value(None, value.constant & mask & MASK64)
    return Value(("align", value, mask), 0) if mask < 0 else Value(("opaque", pc), 0)


def read_routine(memory: AddressSpace, start: int, end: int) -> Routine:
    """Read the routine [start, end).

    Args:
        memory: the image.
        start: address of its first instruction.
        end: first address behind it; jumps beyond are calls or tail calls.
    """
    return _Reader(memory, start, max(end, start)).run()
