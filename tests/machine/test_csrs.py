# SPDX-License-Identifier: GPL-2.0-or-later
"""The CSR file, and the six instructions that access it."""

from __future__ import annotations

import pytest

from genpatch.isa.asm import encode
from genpatch.machine.csrs import MACHINE, SUPERVISOR, CsrFile
from genpatch.machine.hart import Hart
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Cause, Outcome, Status, Trap
from genpatch.units import MASK64

SSCRATCH, SEPC, MEPC, MHARTID, CYCLE = 0x140, 0x141, 0x341, 0xF14, 0xC00
OLD = 0xF0F0_F0F0_0000_00FF


def file_of(values: dict[int, int]) -> CsrFile:
    return CsrFile(values, lambda: 1234)


@pytest.mark.parametrize("kind", ["supervisor", "machine"])
def test_every_csr(kind: str) -> None:
    declared = SUPERVISOR if kind == "supervisor" else MACHINE
    csrs = file_of(dict(declared))
    for number in range(4096):
        if number in (0xC00, 0xC01, 0xC02):
            assert csrs.read(number) == 1234
        elif number in declared:
            assert csrs.read(number) == declared[number]
        else:
            with pytest.raises(Trap) as caught:
                csrs.read(number)
            supported = number not in (1, 2, 3, 8, 9, 10, 15, 0xC20, 0xC21, 0xC22)
            assert (caught.value.cause, caught.value.supported) == (Cause.ILLEGAL, supported)
        if number in declared and number < 0xC00:  # the two highest bits say read-only
            csrs.write(number, MASK64)
            assert csrs.read(number) == MASK64 - (number in (SEPC, MEPC))
            csrs.write(number, 1 << 64 | 6)
            assert csrs.read(number) == 6
        else:
            with pytest.raises(Trap):
                csrs.write(number, 1)


def test_which_there_are() -> None:
    """Numbers from the manual's listing, without the machine's pmp registers."""
    supervisor = {0x100, 0x104, 0x105, 0x106, 0x10A, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14D, 0x180}
    assert set(SUPERVISOR) == supervisor
    machine = {*range(0x300, 0x305), 0x305, 0x306, 0x30A, *range(0x340, 0x345), *range(0xF11, 0xF16)}
    assert {n for n in MACHINE if not 0x3A0 <= n < 0x3F0} == supervisor | machine
    assert MACHINE[0x301] >> 62 == 2
    assert {chr(65 + bit) for bit in range(26) if MACHINE[0x301] >> bit & 1} == set("ACIMSU")


def executed(name: str, csr: int, rd: int, source: int, value: int = 0, old: int = OLD) -> tuple[Outcome, Hart]:
    memory = Memory()
    operand = {"imm": source} if name.endswith("i") else {"rs1": source}
    memory.map(0x1000, encode(name, csr=csr, rd=rd, **operand).to_bytes(4, "little"), permissions="x")
    hart = Hart(memory, csrs=MACHINE)
    hart.pc = 0x1000
    hart.x[5], hart.x[6] = value, 0xDEAD
    hart.csrs.values[SSCRATCH] = old
    return hart.run(1), hart


@pytest.mark.parametrize(
    ("name", "source", "value", "new"),
    [
        ("csrrw", 5, 0x1234, 0x1234),
        ("csrrw", 0, 0, 0),
        ("csrrs", 5, 0x0F00_0000_0000_0F00, 0xFFF0_F0F0_0000_0FFF),
        ("csrrs", 5, 0, OLD),
        ("csrrs", 0, 0, OLD),
        ("csrrc", 5, 0xF000_0000_0000_000F, 0x00F0_F0F0_0000_00F0),
        ("csrrc", 0, 0, OLD),
        ("csrrwi", 31, 0, 31),
        ("csrrwi", 0, 0, 0),
        ("csrrsi", 16, 0, OLD),
        ("csrrsi", 0, 0, OLD),
        ("csrrci", 17, 0, OLD - 17),
        ("csrrci", 0, 0, OLD),
    ],
)
def test_accesses(name: str, source: int, value: int, new: int) -> None:
    for rd in (6, 0):
        outcome, hart = executed(name, SSCRATCH, rd, source, value)
        assert outcome == Outcome(Status.BUDGET, 0x1004)
        assert hart.csrs.values[SSCRATCH] == new
        assert hart.x[6] == (OLD if rd else 0xDEAD)
        assert hart.x[0] == 0


def test_swap_with_itself() -> None:
    _, hart = executed("csrrw", SSCRATCH, 5, 5, 42)
    assert (hart.x[5], hart.csrs.values[SSCRATCH]) == (OLD, 42)
    _, hart = executed("csrrs", SSCRATCH, 5, 5, 0xF00)
    assert (hart.x[5], hart.csrs.values[SSCRATCH]) == (OLD, OLD | 0xF00)


@pytest.mark.parametrize("csr", [MHARTID, CYCLE, 0xC02])
def test_read_only(csr: int) -> None:
    for name, source, value, legal in (
        ("csrrs", 0, 0, True),
        ("csrrc", 0, 0, True),
        ("csrrsi", 0, 0, True),
        ("csrrci", 0, 0, True),
        ("csrrs", 5, 0, False),  # a register that holds 0 is still a write
        ("csrrc", 5, 0, False),
        ("csrrw", 0, 0, False),
        ("csrrwi", 0, 0, False),
        ("csrrsi", 1, 0, False),
    ):
        outcome, hart = executed(name, csr, 6, source, value)
        if legal:
            assert outcome.status == Status.BUDGET
            assert hart.x[6] == 0
        else:
            assert (outcome.status, outcome.cause, outcome.pc) == (Status.FAULT, Cause.ILLEGAL, 0x1000)
            assert outcome.tval == hart.memory.fetch(0x1000)
            assert (hart.x[6], hart.retired) == (0xDEAD, 0)


def test_missing() -> None:
    for csr, status in ((0x7C0, Status.FAULT), (0x003, Status.UNSUPPORTED), (0xC20, Status.UNSUPPORTED)):
        outcome, hart = executed("csrrs", csr, 6, 0)
        assert (outcome.status, outcome.cause) == (status, Cause.ILLEGAL)
        assert outcome.tval == hart.memory.fetch(0x1000)
        assert hart.x[6] == 0xDEAD


def test_returns() -> None:
    for name, csr in (("sret", SEPC), ("mret", MEPC)):
        memory = Memory()
        memory.map(0x1000, encode(name).to_bytes(4, "little"), permissions="x")
        hart = Hart(memory, csrs=MACHINE)
        hart.pc = 0x1000
        hart.csrs.write(csr, 0x2003)
        assert hart.run(1) == Outcome(Status.BUDGET, 0x2002)
        assert hart.retired == 1
