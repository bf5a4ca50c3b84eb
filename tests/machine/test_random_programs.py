# SPDX-License-Identifier: GPL-2.0-or-later
"""Random programs: a Hart that translates, one that does not, and unicorn come to the same.

GENPATCH_LONG=1 in the environment runs some ten thousand programs, not some hundred.
"""

from __future__ import annotations

import pytest

from genpatch.isa.insn import SPECS, decode
from genpatch.machine.outcome import Cause, Outcome, Status

from .guests import LONG, State, first_difference, hart_of, hot_after, judge_of, regions_of, state_of
from .programs import Program, make_program

SEEDS = 12_000 if LONG else 240
FAULTY = 4_000 if LONG else 80
GROUP = 20


def under_hart(program: Program, *, translate: bool) -> tuple[State, Outcome]:
    hart = hart_of(program, translate=translate)
    outcome = hart.run(1_000_000)
    if translate:
        assert program.end not in hart._paths
    return state_of(hart, regions_of(program), outcome), outcome


def compare(program: Program) -> tuple[int, Outcome]:
    theirs = judge_of(program).run(program.base, program.end)
    with hot_after(3):
        ours, outcome = under_hart(program, translate=True)
    plain, plain_outcome = under_hart(program, translate=False)
    if found := ours.differences(theirs) or plain.differences(theirs):
        pytest.fail("\n".join((*found, first_difference(program))), pytrace=False)
    assert outcome == plain_outcome
    return theirs.retired, outcome


def test_what_programs_are_made_of() -> None:
    assert make_program(7) == make_program(7)
    names: set[str] = set()
    for seed in range(300):
        program = make_program(seed)
        assert program.base <= program.end < program.base + len(program.code)
        at = 0
        while at < len(program.code):
            insn = decode(int.from_bytes(program.code[at : at + 4], "little"))
            assert insn is not None
            names.add(insn.name)
            at += insn.size
    left_out = {name for name in SPECS if "mop." not in name} - names
    assert left_out == OUTSIDE


OUTSIDE = {
    *("ecall", "fence.i", "c.ebreak", "c.nop", "sret", "mret", "wfi", "sfence.vma"),
    *("sinval.vma", "sfence.w.inval", "sfence.inval.ir", "cbo.inval", "cbo.clean", "cbo.flush", "cbo.zero"),
    *("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"),
}
"""Instructions that no program has."""


@pytest.mark.parametrize("start", range(0, SEEDS, GROUP))
def test_programs_that_end(start: int) -> None:
    for seed in range(start, start + GROUP):
        program = make_program(seed)
        retired, outcome = compare(program)
        assert outcome == Outcome(Status.STOPPED, program.end, text="breakpoint")
        assert retired > 5


@pytest.mark.parametrize("start", range(0, FAULTY, GROUP))
def test_programs_that_fault(start: int) -> None:
    for seed in range(start, start + GROUP):
        _, outcome = compare(make_program(1_000_000 + seed, faulty=True))
        assert outcome.status == Status.FAULT
        assert outcome.cause in (Cause.LOAD_FAULT, Cause.STORE_FAULT)


@pytest.mark.parametrize("start", range(0, SEEDS // 4, GROUP))
def test_budget_split_anywhere(start: int) -> None:
    """A program run in slices comes to the same, whatever their lengths."""
    for seed in range(start, start + GROUP):
        program = make_program(seed)
        whole, outcome = under_hart(program, translate=False)
        hart, regions = hart_of(program), regions_of(program)
        budget, total = 1 + seed % 37, 0
        with hot_after(2):
            while (last := hart.run(budget)).status == Status.BUDGET and hart.pc != program.end:
                total += budget
                assert hart.retired == total
                budget = 1 + (budget * 7 + 3) % 101
        assert last == outcome or hart.pc == program.end
        assert state_of(hart, regions, last) == whole
