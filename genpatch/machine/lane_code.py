# SPDX-License-Identifier: GPL-2.0-or-later
"""Instruction words made ready to be executed by lanes: one word for all of them, or many words at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..isa.foreign import foreign
from ..isa.insn import Insn, decode
from ..isa.semantics import SYSTEM, calls_of
from ..units import MASK64, I64Array, U64Array
from .lane_access import LaneSet, LaneTrap
from .lane_table import Table
from .outcome import Cause
from .vector import Compiled, compiled

__all__ = ["REGISTERS", "VALUES", "Bound", "Columns", "bind", "insn_of"]

REGISTERS = ("rs1", "rs2", "rd")
"""Operands that are registers, in the order of `Columns.registers`."""
VALUES = ("imm", "csr", "rs1_is_x0", "size")
"""What else is known of an instruction, in the order of `Columns.values`."""

_U64 = np.uint64


def insn_of(word: int) -> Insn:
    """Return the instruction of a word, under its uncompressed name.

    Raises:
        LaneTrap: it is none, in all lanes.
    """
    insn = decode(word)
    if insn is None:
        name = foreign(word)
        raise LaneTrap(Cause.ILLEGAL, None, word, name, supported=not name)
    return insn.base


def _repeats(insn: Insn) -> bool:
    """Tell whether a jump of this instruction to itself can only be followed by another."""
    return insn.name != "jalr" or insn.rd == 0


@dataclass(slots=True, eq=False)
class Bound:
    """An instruction at an address, with the rows of registers that it works on.

    Args:
        compiled: what it does.
        sources: each operand: a row of registers uint64[n], or one np.uint64.
        is_row: which of them are rows.
        rd: row that its result goes to, or None.
        pc, next: its address and the one behind it.
        word: its bits.
        is_idle: it does nothing.
        is_system: it needs the machine in order, as `semantics.SYSTEM` says.
        repeats: whether a jump to itself would go on for ever.
    """

    compiled: Compiled
    sources: tuple[Any, ...]
    is_row: tuple[bool, ...]
    rd: U64Array | None
    pc: np.uint64
    next: int
    word: np.uint64
    is_idle: bool
    is_system: bool
    repeats: bool

    def operands(self, lanes: LaneSet) -> tuple[Any, ...]:
        """Return the operands of some lanes."""
        if lanes is None:
            return self.sources
        pairs = zip(self.sources, self.is_row, strict=True)
        return tuple(source.take(lanes) if is_row else source for source, is_row in pairs)


def bind(word: int, pc: int, x: U64Array) -> Bound:
    """Return the instruction `word` at an address.

    Args:
        word: 16 or 32 bits.
        pc: its address.
        x: the registers, uint64[32, n].
    Raises:
        LaneTrap: it is no instruction that lanes know.
    """
    insn = insn_of(word)
    function = compiled(insn.spec)
    following = pc + insn.size & MASK64
    values = {
        "imm": insn.imm,
        "csr": insn.csr,
        "rs1_is_x0": int(insn.rs1 == 0),
        "pc": pc,
        "next": following,
    }
    registers = {"rs1": insn.rs1, "rs2": insn.rs2, "rd": insn.rd}
    is_row = tuple(registers.get(name, 0) > 0 for name in function.operands)
    sources = tuple(
        x[registers[name]] if registers.get(name, 0) > 0 else _U64(values.get(name, 0) & MASK64)
        for name in function.operands
    )
    rd = x[insn.rd] if function.writes_rd and insn.rd > 0 else None
    is_idle = rd is None and not function.acts and not function.jumps
    is_system = bool(calls_of(insn.spec.run) & SYSTEM)
    return Bound(
        function, sources, is_row, rd, _U64(pc), following, _U64(word), is_idle, is_system, _repeats(insn)
    )  # fmt: skip


class Columns:
    """Many instructions as arrays, one element each, in the order in which they were first met.

    Attributes:
        kinds: the different records: (compiled function, whether a jump to itself goes on for ever).
        kind: int16[k], position in kinds, or -1 for a word that is no instruction.
        registers: int64[3, k], numbers of the REGISTERS; 0 where there is none.
        values: uint64[4, k], the VALUES.
    """

    def __init__(self) -> None:
        self.kinds: list[tuple[Compiled, bool]] = []
        self.kind = np.empty(0, np.int16)
        self.registers: I64Array = np.empty((3, 0), np.int64)
        self.values: U64Array = np.empty((4, 0), _U64)
        self._number_of: dict[tuple[str, bool], int] = {}
        self._table = Table()

    def numbers_of(self, words: U64Array) -> I64Array:
        """Return the number of each word's instruction, int64[m]; words: uint64[m]."""
        slots = self._table.find(words)
        if (slots < 0).any():
            self._learn(np.unique(words[slots < 0]))
            slots = self._table.find(words)
        return self._table.values[slots].view(np.int64)

    def _learn(self, words: U64Array) -> None:
        first = len(self.kind)
        rows = [self._row_of(int(word)) for word in words]
        self.kind = np.concatenate((self.kind, np.array([row[0] for row in rows], np.int16)))
        registers = np.array([row[1] for row in rows], np.int64).T
        values = np.array([row[2] for row in rows], _U64).T
        self.registers = np.concatenate((self.registers, registers), axis=1)
        self.values = np.concatenate((self.values, values), axis=1)
        self._table.put(words, np.arange(first, first + len(rows), dtype=_U64))

    def _row_of(self, word: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        try:
            insn = insn_of(word)
        except LaneTrap:
            return -1, (0, 0, 0), (0, 0, 0, 0)
        registers = tuple(max(number, 0) for number in (insn.rs1, insn.rs2, insn.rd))
        values = (insn.imm & MASK64, max(insn.csr, 0), int(insn.rs1 == 0), insn.size)
        return self._kind_of(insn), registers, values

    def _kind_of(self, insn: Insn) -> int:
        key = insn.name, _repeats(insn)
        if key not in self._number_of:
            self._number_of[key] = len(self.kinds)
            self.kinds.append((compiled(insn.spec), key[1]))
        return self._number_of[key]
