# SPDX-License-Identifier: GPL-2.0-or-later
"""The same code under a Hart and under unicorn, which knows nothing of genpatch.

``Judge`` is unicorn with the instructions that it lacks added from `references`; ``hart_of`` makes a Hart with the
same memory. Both give a State.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from genpatch.machine import hart as hart_module
from genpatch.machine.hart import Hart
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Outcome, Status

from .programs import Program, Region
from .references import Reference, reference_of

unicorn = pytest.importorskip("unicorn", reason="unicorn, the judge of the machine, is not installed (test extra)")
riscv_const = pytest.importorskip("unicorn.riscv_const")

LONG = os.environ.get("GENPATCH_LONG", "0") not in ("", "0")
PC = riscv_const.UC_RISCV_REG_PC
X = [riscv_const.UC_RISCV_REG_X0 + n for n in range(32)]
PAGE = 4096
MASK64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class State:
    """What a guest can see of a machine, and how far it came.

    Args:
        pc: address of the instruction that did not complete, or of the next one.
        registers: x0 to x31.
        memory: bytes of each region that may be written.
        retired: instructions executed.
        fault: whether it ended by a fault.
    """

    pc: int
    registers: tuple[int, ...]
    memory: tuple[bytes, ...]
    retired: int
    fault: bool = False

    def differences(self, other: State) -> list[str]:
        """Return what differs, in words: ours is self, theirs is other."""
        found = [
            f"{name}: {ours:#x}, judge {theirs:#x}"
            for name, ours, theirs in (
                ("pc", self.pc, other.pc),
                ("retired", self.retired, other.retired),
                ("fault", self.fault, other.fault),
                *((f"x{n}", *pair) for n, pair in enumerate(zip(self.registers, other.registers, strict=True))),
            )
            if ours != theirs
        ]
        for number, (mine, theirs) in enumerate(zip(self.memory, other.memory, strict=True)):
            if mine == theirs:
                continue
            at = next(at for at, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1])
            found.append(f"region {number} at +{at:#x}: {mine[at : at + 8].hex()}, judge {theirs[at : at + 8].hex()}")
        return found


def pages_of(regions: Iterable[Region]) -> list[tuple[int, int]]:
    """Return the spans of whole pages that regions touch."""
    pages = sorted({page for r in regions for page in range(r.start // PAGE, -(-(r.start + len(r.content)) // PAGE))})
    spans: list[tuple[int, int]] = []
    for page in pages:
        if spans and spans[-1][1] == page * PAGE:
            spans[-1] = (spans[-1][0], (page + 1) * PAGE)
        else:
            spans.append((page * PAGE, (page + 1) * PAGE))
    return spans


def writable(regions: Iterable[Region]) -> list[Region]:
    """Return the regions that may be written."""
    return [region for region in regions if "w" in region.permissions]


class _Registers(MutableSequence[int]):
    def __init__(self, uc: object):
        self.uc = uc

    def __getitem__(self, number: int) -> int:  # type: ignore[override]
        return self.uc.reg_read(X[number]) if number else 0  # type: ignore[attr-defined, no-any-return]

    def __setitem__(self, number: int, value: int) -> None:  # type: ignore[override]
        if number:
            self.uc.reg_write(X[number], value)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return 32

    def __delitem__(self, number: object) -> None:
        raise TypeError

    def insert(self, number: int, value: int) -> None:
        raise TypeError


class Judge:
    """Unicorn, with memory for some regions.

    Args:
        regions: memory; all of it may be read, written and executed.

    Attributes:
        added: how often an instruction was executed that unicorn does not know itself.
    """

    def __init__(self, regions: tuple[Region, ...]):
        self.regions, self.retired, self.added, self.current = regions, 0, 0, 0
        self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        for start, end in pages_of(regions):
            self.uc.mem_map(start, end - start)
        for region in regions:
            self.uc.mem_write(region.start, region.content)
        self.short: dict[int, tuple[Reference | None, int]] = {}  # by address, of instructions of 16 bits
        self.x = _Registers(self.uc)
        self.failed = False
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._exception)
        self.uc.hook_add(unicorn.UC_HOOK_CODE, self._count)

    def load(self, address: int, width: int) -> bytes:
        return bytes(self.uc.mem_read(address, width))

    def store(self, address: int, data: bytes) -> None:
        self.uc.mem_write(address, data)

    def _count(self, uc: object, address: int, size: int, data: object) -> None:
        self.retired += 1
        self.current = address
        if address not in self.short:
            word = int.from_bytes(self.load(address, 2), "little")
            self.short[address] = reference_of(word) if word & 3 != 3 else None, word
        reference, word = self.short[address]
        if reference is not None:  # unicorn does not know it, and says nothing of it
            self.added += 1
            reference(self, 0, 0, 0, word)
            self.uc.reg_write(PC, address + 2)

    def _exception(self, uc: object, number: int, data: object) -> None:
        word = int.from_bytes(self.load(self.current, 4), "little")
        reference = reference_of(word) if number == 2 else None
        if reference is None:
            self.failed = True
            self.uc.emu_stop()
            return
        self.added += 1
        reference(self, word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, word)

    def set_registers(self, registers: Iterable[int]) -> None:
        """Set x1 to x31."""
        self.uc.reg_write_batch(list(zip(X, registers, strict=True))[1:])

    def run(self, pc: int, end: int, *, count: int = 0) -> State:
        """Execute from pc until end, or so many instructions."""
        fault = self.failed = False
        try:
            self.uc.emu_start(pc, end, count=count)
        except unicorn.UcError:
            fault = True
            self.retired -= 1  # the hook counts before the instruction is done
        if self.failed:
            fault = True
        return self.state(fault=fault)

    def state(self, *, fault: bool = False) -> State:
        """Return the state as it is."""
        registers = self.uc.reg_read_batch(X)
        memory = tuple(bytes(self.uc.mem_read(r.start, len(r.content))) for r in writable(self.regions))
        return State(self.uc.reg_read(PC), (0, *registers[1:]), memory, self.retired, fault)


def memory_of(regions: Iterable[Region], *, misaligned: bool = True) -> Memory:
    """Return a memory with these regions."""
    memory = Memory(misaligned=misaligned)
    for region in regions:
        memory.map(region.start, region.content, permissions=region.permissions)
    return memory


def code_region(program: Program) -> Region:
    """Return the code of a program as a region."""
    return Region(program.base, program.code, "rx")


def regions_of(program: Program) -> tuple[Region, ...]:
    """Return all regions of a program, its code first."""
    return (code_region(program), *program.regions)


def hart_of(program: Program, *, translate: bool = True, misaligned: bool = True) -> Hart:
    """Return a hart that is about to execute a program, and will stop at its end."""
    hart = Hart(memory_of(regions_of(program), misaligned=misaligned), translate=translate)
    hart.pc = program.base
    hart.x[:32] = program.registers
    hart.breakpoints.add(program.end)
    return hart


def state_of(hart: Hart, regions: Iterable[Region], outcome: Outcome | None = None) -> State:
    """Return what a hart has come to."""
    fault = outcome is not None and outcome.status in (Status.FAULT, Status.UNSUPPORTED)
    memory = tuple(hart.memory.read(region.start, len(region.content)) for region in writable(regions))
    return State(hart.pc, tuple(hart.x[:32]), memory, hart.retired, fault)


def judge_of(program: Program) -> Judge:
    """Return unicorn with the memory and the registers of a program."""
    judge = Judge(regions_of(program))
    judge.set_registers(program.registers)
    return judge


def first_difference(program: Program, limit: int = 1_000_000) -> str:
    """Execute a program under both step by step, and say where they part."""
    hart, judge = hart_of(program, translate=False), judge_of(program)
    regions = regions_of(program)
    lines: list[str] = []
    for number in range(limit):
        pc = hart.pc
        if pc == program.end:
            break
        outcome = hart.step()
        theirs = judge.run(pc, MASK64, count=1)
        ours = state_of(hart, regions, outcome)
        insn = hart._last.insn
        lines = [*lines[-3:], f"{pc:#x}: {insn.text(pc)}"]
        if found := ours.differences(theirs):
            return "\n".join((f"seed {program.seed}, instruction {number}:", *lines, *found))
        if outcome is not None:
            break
    return f"seed {program.seed}: no difference step by step; it is in what was translated"


@contextmanager
def hot_after(times: int) -> Iterator[None]:
    """Let paths be translated after so many arrivals."""
    before, hart_module.HOT = hart_module.HOT, times
    try:
        yield
    finally:
        hart_module.HOT = before
