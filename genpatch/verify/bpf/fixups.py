# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of BPF programs, handled as the kernel handles them: its own fixup_exception() is executed.

The host stands in for the search alone: it looks through the tables of the programs that run, with each entry's own
address, as search_bpf_extables() does once it has found the program. Source: arch/riscv/mm/extable.c,
add_exception_handler() and ex_handler_bpf() of the JIT.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...image.model import KernelImage
from ...isa.encoding import REG_NAMES
from ...machine.hart import Hart
from ...run.kernel import A0, go_back, has_returned
from ...units import MASK64, Span
from .compile import JitBench

__all__ = ["Fixups", "can_fix"]

_FIX, _SEARCH = "fixup_exception", "search_exception_tables"
_MOST = 4096


def can_fix(image: KernelImage) -> bool:
    """Tell whether a kernel's handling of faults can be executed here."""
    return all(image.address_of(name) is not None for name in (_FIX, _SEARCH))


class Fixups:
    """The tables of exceptions of some programs, and the kernel that handles faults.

    Args:
        bench: it has compiled the programs.
        progs: addresses of their struct bpf_prog.

    Attributes:
        trouble: what went wrong while a fault was handled, empty for nothing.
        faults: how many were handled.
    Raises:
        TypesError: the kernel's types do not say what an entry or struct pt_regs is.
    """

    def __init__(self, bench: JitBench, progs: Iterable[int]):
        self.bench, self.trouble, self.faults = bench, "", 0
        self._entry, self._regs = bench.layout("exception_table_entry"), bench.layout("pt_regs")
        self._fields = [self._regs.offset("epc"), *(self._regs.offset(name) for name in REG_NAMES[1:32])]
        self._at = bench.allocate(bytes(self._regs.size))
        self._search = bench.image.address_of(_SEARCH)
        self.entries: dict[int, int] = {}
        for prog in progs:
            self._read_table(prog)

    def _read_table(self, prog: int) -> None:
        bench = self.bench
        aux = bench.read(prog, bench.prog, "aux")
        table, count = bench.read(aux, bench.aux, "extable"), bench.read(aux, bench.aux, "num_exentries")
        if not table or not 0 <= count <= _MOST:
            return
        member = self._entry.member("insn")
        for at in range(table, table + count * self._entry.size, self._entry.size):
            where = at + member.offset
            raw = int.from_bytes(bench.bench.memory.read(where, member.size), "little", signed=True)
            self.entries[(where + raw if member.size == 4 else raw) & MASK64] = at

    def outside(self, spans: Iterable[Span]) -> list[int]:
        """Return addresses of instructions that the tables name and that are in none of some spans."""
        spans = list(spans)
        return [pc for pc in self.entries if not any(pc in span for span in spans)]

    def fix(self, hart: Hart, pc: int) -> bool:
        """Let the kernel handle a fault of an instruction; tell whether it says that the program may go on.

        Args:
            hart: whose registers are changed.
            pc: address of the instruction.
        """
        bench, memory = self.bench, self.bench.bench.memory
        entry = self.entries.get(pc, 0)
        for offset, value in zip(self._fields, [pc, *hart.x[1:32]], strict=True):
            memory.write(self._at + offset, value.to_bytes(8, "little"))
        hooks = {self._search: lambda other: go_back(other, entry)} if self._search is not None else {}
        outcome = bench.call(_FIX, self._at, hooks=hooks)
        if not has_returned(outcome):
            self.trouble = f"{_FIX} does not return: {outcome.reason} at {bench.image.symbols.nearest(outcome.pc)}"
            return False
        if not bench.bench.hart.x[A0] & 0xFF:
            return False
        values = [int.from_bytes(memory.read(self._at + offset, 8), "little") for offset in self._fields]
        hart.pc, hart.x[1:32] = values[0], values[1:]
        self.faults += 1
        return True
