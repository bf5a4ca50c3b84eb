# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of instructions and of paths, with steps made by hand."""

from __future__ import annotations

import pytest

from genpatch.isa.assemble import assemble
from genpatch.isa.insn import SPECS, decode
from genpatch.machine.hart import Hart
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Cause, CodeWritten, Trap
from genpatch.machine.translate import SINK, PathFunction, Step, path_function, step_function, views_of
from genpatch.units import MASK64

CODE, DATA = 0x1000, 0x8000


def hart_with(**registers: int) -> Hart:
    memory = Memory()
    memory.map(CODE, size=0x1000, permissions="rwx")
    memory.map(DATA, bytes(range(256)), size=0x1000)
    hart = Hart(memory)
    for name, value in registers.items():
        hart.x[int(name[1:])] = value
    return hart


def steps_of(source: str, *taken: int) -> list[Step]:
    """Return the steps of code that runs straight on, but for the targets that are given by their position."""
    code, at, steps = assemble(source, CODE), 0, []
    where = dict(zip(taken[::2], taken[1::2], strict=True))
    while at < len(code):
        insn = decode(int.from_bytes(code[at : at + 4], "little"))
        assert insn is not None
        steps.append(Step(insn.base, CODE + at, where.get(len(steps), CODE + at + insn.size)))
        at += insn.size
    return steps


def path_of(hart: Hart, source: str, *taken: int, is_loop: bool = False, checks_target: bool = False) -> PathFunction:
    return path_function(steps_of(source, *taken), views_of(hart.memory), is_loop=is_loop, checks_target=checks_target)


def test_registers_that_change_after_they_were_used() -> None:
    """What is known of a value does not lean on a register that another instruction overwrites."""
    hart = hart_with(x5=1 << 40, x6=7)
    path = path_of(
        hart, "ctz a0, t0; srliw a1, a0, 20; addi a0, t1, -1; add a2, a1, a0; xor a3, a1, a2; sltu a4, a1, a0"
    )
    assert path(hart, hart.x, 6) == (CODE + 24, 0)
    assert hart.x[10:15] == [6, 0, 6, 6, 1]


@pytest.mark.parametrize(
    "narrow", ["ctz a0, t0", "sltu a0, zero, t0", "lbu a0, 0(t2)", "andi a0, t0, 31", "cpop a0, t0"]
)
def test_bounds_that_leave_one_value(narrow: str) -> None:
    for use in ("srli a1, a0, 30", "srliw a1, a0, 30", "andi a1, a0, 1024", "sraiw a1, a0, 31", "bexti a1, a0, 40"):
        hart = hart_with(x5=MASK64, x6=1, x7=DATA + 9)
        path = path_of(hart, f"{narrow}; {use}; addi a0, zero, -1; srli a0, a0, 1; add a2, a1, a0; sltu a3, a1, t1")
        _, left = path(hart, hart.x, 6)
        assert (hart.x[11], hart.x[12], hart.x[13], left) == (0, MASK64 >> 1, 1, 0)


def test_budget_shorter_than_the_path() -> None:
    hart = hart_with(x5=1)
    for is_loop, taken in ((False, ()), (True, (2, CODE))):
        path = path_of(hart, "addi t0, t0, 1; addi t0, t0, 1; jal zero, 0x1000", *taken, is_loop=is_loop)
        for budget in range(3):
            assert path(hart, hart.x, budget) == (CODE, budget)
            assert hart.x[5] == (1 if not is_loop else 3)
        assert path(hart, hart.x, 3) == (CODE, 0)
    assert path(hart, hart.x, 3 * 100 + 2) == (CODE, 2)
    assert hart.x[5] == 5 + 200


@pytest.mark.parametrize("position", range(4))
def test_side_exits(position: int) -> None:
    """Each branch of a path leaves it for the other side, with the instructions before it done."""
    source = "; ".join(f"addi a0, a0, 1; beq t{number}, zero, 0x1080" for number in range(3)) + "; addi a1, a1, 1"
    registers = {f"x{number}": 1 for number in (5, 6, 7)}
    if position < 3:
        registers[f"x{5 + position}"] = 0
    hart = hart_with(**registers)
    pc, left = path_of(hart, source)(hart, hart.x, 10)
    assert (pc, left) == ((0x1080, 10 - 2 * position - 2) if position < 3 else (CODE + 28, 3))
    assert (hart.x[10], hart.x[11]) == (min(position + 1, 3), position // 3)


def test_taken_branch_and_its_exit() -> None:
    for value, expected in ((0, (CODE + 12, 0)), (1, (CODE + 4, 2))):
        hart = hart_with(x5=value)
        steps = steps_of("beq t0, zero, 0x1008; addi a0, a0, 1; addi a1, a1, 1; addi a2, a2, 1", 0, CODE + 8)
        path = path_function([steps[0], *steps[2:3]], views_of(hart.memory), is_loop=False, checks_target=False)
        pc, left = path(hart, hart.x, 2)
        assert (pc, left) == ((CODE + 12, 0) if value == 0 else (CODE + 4, 1))
        assert hart.x[10:13] == ([0, 1, 0] if value == 0 else [0, 0, 0])
        assert expected[0] == pc


def test_known_targets_are_not_checked_and_others_are() -> None:
    hart = hart_with(x5=0x1010)
    path = path_of(hart, "jalr ra, 0(t0); addi a0, a0, 1", 0, CODE + 4)
    assert path(hart, hart.x, 2) == (0x1010, 1)
    assert (hart.x[1], hart.x[10]) == (CODE + 4, 0)
    hart.x[5] = CODE + 5
    assert path(hart, hart.x, 2) == (CODE + 8, 0)
    path = path_of(hart, "auipc t0, 0; jalr ra, 8(t0); addi a0, a0, 1", 1, CODE + 8)
    assert path(hart, hart.x, 3) == (CODE + 12, 0)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ld a1, 0(t0)", Cause.LOAD_FAULT),
        ("sb a1, 0(t0)", Cause.STORE_FAULT),
        ("amoor.d a1, a1, (t0)", Cause.STORE_FAULT),
        ("lr.d a1, (t0)", Cause.LOAD_FAULT),
        ("sd a1, 4(t1)", None),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_left_by_an_exception(line: str, error: Cause | None, before: int) -> None:
    hart = hart_with(x5=0x4000_0000, x6=CODE + 0x800, x11=77)
    hart.memory.fetch(CODE + 0x804)
    source = "; ".join(["addi a0, a0, 1"] * before + [line] + ["addi a1, a1, 1; addi a2, a2, 1"])
    with pytest.raises(Trap if error is not None else CodeWritten) as caught:
        path_of(hart, source)(hart, hart.x, 20)
    if error is not None:
        assert caught.value.cause == error  # type: ignore[union-attr]
    assert (hart.pc, hart._left) == (CODE + 4 * before, 20 - before)
    assert hart.x[10:13] == [before, 77, 0]


def test_exception_in_a_later_turn() -> None:
    hart = hart_with(x5=DATA + 0xF00)
    path = path_of(hart, "addi a0, a0, 1; ld a1, 0(t0); addi t0, t0, 8; jal zero, 0x1000", 3, CODE, is_loop=True)
    with pytest.raises(Trap):
        path(hart, hart.x, 1000)
    assert (hart.pc, hart._left, hart.x[10], hart.x[5]) == (CODE + 4, 1000 - 4 * 32 - 1, 33, DATA + 0x1000)


def test_misaligned_targets() -> None:
    hart = hart_with(x5=CODE + 6)
    for source in ("addi a0, a0, 1; jalr ra, 0(t0)", "addi a0, a0, 1; bne a0, zero, 0x1006"):
        with pytest.raises(Trap) as caught:
            path_of(hart, source, checks_target=True)(hart, hart.x, 2)
        assert (caught.value.cause, caught.value.tval) == (Cause.FETCH_MISALIGNED, CODE + 6)
        assert (hart.pc, hart.x[1]) == (CODE + 4, 0)
        assert path_of(hart, source)(hart, hart.x, 2) == (CODE + 6, 0)
        hart.x[1] = hart.x[10] = 0
    hart.x[5] = CODE + 8
    assert path_of(hart, "jalr ra, 0(t0)", checks_target=True)(hart, hart.x, 1) == (CODE + 8, 0)


def test_a_path_is_for_its_memory() -> None:
    first, second = hart_with(x5=DATA), hart_with(x5=DATA)
    second.memory.store(8, DATA, 0x55)
    path = path_of(first, "ld a0, 0(t0); sd t0, 8(t0)")
    path(first, first.x, 2)
    assert first.x[10] == 0x0706050403020100
    assert first.memory.load(8, DATA + 8) == DATA
    assert second.memory.load(8, DATA + 8) != DATA
    fork = first.memory.fork()
    first.memory.store(8, DATA, 1)
    path(first, first.x, 2)
    assert first.x[10] == 1
    assert fork.load(8, DATA) == 0x0706050403020100


def test_steps_write_x0_aside() -> None:
    hart = hart_with(x5=3)
    add = step_function(SPECS["add"], False)
    assert add(hart, hart.x, SINK, 5, 5, 0, 0x100, 0x104, -1) == 0x104
    assert (hart.x[0], hart.x[SINK]) == (0, 6)
    assert add(hart, hart.x, 5, 5, 5, 0, 0x100, 0x104, -1) == 0x104
    assert hart.x[5] == 6


def test_steps_go_where_they_say() -> None:
    hart = hart_with(x5=0x2003, x6=1)
    jalr, beq = (step_function(SPECS[name], False) for name in ("jalr", "beq"))
    assert jalr(hart, hart.x, 5, 5, -1, 4, 0x100, 0x104, -1) == 0x2006
    assert hart.x[5] == 0x104
    assert beq(hart, hart.x, -1, 6, 5, -32, 0x10, 0x14, -1) == 0x14
    assert beq(hart, hart.x, -1, 6, 6, -32, 0x10, 0x14, -1) == MASK64 - 15
    checked = step_function(SPECS["beq"], True)
    with pytest.raises(Trap):
        checked(hart, hart.x, -1, 6, 6, 6, 0x10, 0x14, -1)
    assert checked(hart, hart.x, -1, 6, 5, 6, 0x10, 0x14, -1) == 0x14
