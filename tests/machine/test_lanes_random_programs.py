# SPDX-License-Identifier: GPL-2.0-or-later
"""Random programs in lanes: what each lane comes to is what unicorn comes to from the same registers.

GENPATCH_LONG=1 in the environment runs some thousand programs, not some dozen.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lanes import Lanes
from genpatch.machine.outcome import Cause, Outcome, Status

from .guests import LONG, State, hart_of, judge_of, regions_of, state_of, writable
from .programs import EDGES, FREE, Program, make_program

SEEDS = 1_000 if LONG else 40
N = 12


def variants(program: Program, count: int) -> list[Program]:
    """Return the program with other data in the registers, so that lanes go other ways."""
    rng, found = random.Random(program.seed), [program]
    while len(found) < count:
        registers = list(program.registers)
        for register in FREE:
            if rng.random() < 0.5:
                registers[register] = rng.choice(EDGES) if rng.random() < 0.5 else rng.getrandbits(64)
        found.append(replace(program, registers=tuple(registers)))
    return found


def shared_memory(program: Program, n: int) -> LaneMemory:
    memory = LaneMemory(n)
    for region in regions_of(program):
        memory.map(region.start, region.content, permissions=region.permissions)
    return memory


def private_memory(programs: list[Program]) -> LaneMemory:
    """Return a memory in which each lane has its own program at its own place."""
    memory = LaneMemory(len(programs))
    memory.map_private(0, 1 << 22, permissions="rwx")
    for number, program in enumerate(programs):
        for region in regions_of(program):
            memory.write(np.array([number]), region.start, np.frombuffer(region.content, np.uint8))
    return memory


def lanes_of(memory: LaneMemory, programs: list[Program]) -> Lanes:
    lanes = Lanes(memory)
    lanes.x[...] = np.array([program.registers for program in programs], np.uint64).T
    lanes.start(np.array([program.base for program in programs], np.uint64))
    lanes.breakpoints = {program.end for program in programs}
    return lanes


def lane_state(lanes: Lanes, lane: int, program: Program) -> State:
    fault = lanes.outcome(lane).status in (Status.FAULT, Status.UNSUPPORTED)
    who = np.array([lane])
    memory = tuple(
        lanes.memory.read(who, region.start, len(region.content)).tobytes() for region in writable(regions_of(program))
    )
    registers = tuple(lanes.x[:, lane].tolist())
    return State(int(lanes.pc[lane]), registers, memory, int(lanes.retired[lane]), fault)


def compare(lanes: Lanes, programs: list[Program]) -> None:
    for lane, program in enumerate(programs):
        theirs = judge_of(program).run(program.base, program.end)
        if found := lane_state(lanes, lane, program).differences(theirs):
            pytest.fail("\n".join((f"seed {program.seed}, lane {lane}", *found)), pytrace=False)
        if not theirs.fault:
            assert lanes.status[lane] == Status.STOPPED
    assert lanes.insns == int(lanes.retired.sum())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_program_with_other_data_in_each_lane(seed: int) -> None:
    programs = variants(make_program(seed), N)
    lanes = lanes_of(shared_memory(programs[0], N), programs)
    lanes.run(1_000_000)
    compare(lanes, programs)


@pytest.mark.parametrize("seed", range(1_000_000, 1_000_000 + SEEDS // 2))
def test_programs_that_fault(seed: int) -> None:
    programs = variants(make_program(seed, faulty=True), N)
    lanes = lanes_of(shared_memory(programs[0], N), programs)
    lanes.run(1_000_000)
    compare(lanes, programs)
    for lane, program in enumerate(programs):
        assert lanes.outcome(lane) == hart_of(program).run(1_000_000)


@pytest.mark.parametrize("seed", range(0, 40 * SEEDS // 20, 40))
def test_another_program_in_each_lane(seed: int) -> None:
    programs = [make_program(number) for number in range(seed, seed + 40)]
    lanes = lanes_of(private_memory(programs), programs)
    lanes.breakpoints = set()  # one's end is amid another; an ebreak stands at each
    lanes.run(1_000_000)
    assert (lanes.cause == Cause.BREAKPOINT).all()
    lanes.stop(None, Status.STOPPED)
    compare(lanes, programs)


@pytest.mark.parametrize("seed", range(5, 5 + SEEDS // 4))
def test_budgets_that_end_anywhere(seed: int) -> None:
    """Lanes that are run in slices come to the same as a hart that is; after each slice each lane is exact."""
    programs = variants(make_program(seed), N)
    lanes = lanes_of(shared_memory(programs[0], N), programs)
    harts = [hart_of(program) for program in programs]
    outcomes: list[Outcome | None] = [None] * N
    budget = 1 + seed
    while any(outcome is None or outcome.status == Status.BUDGET for outcome in outcomes):
        lanes.run(budget)
        for lane, hart in enumerate(harts):
            last = outcomes[lane]
            if last is None or last.status == Status.BUDGET:
                outcomes[lane] = hart.run(budget)
        assert [lanes.outcome(lane) for lane in range(N)] == outcomes
        assert lanes.retired.tolist() == [hart.retired for hart in harts]
        budget = 1 + (budget * 7 + 3) % 501
    for lane, (hart, program) in enumerate(zip(harts, programs, strict=True)):
        assert lane_state(lanes, lane, program) == state_of(hart, regions_of(program), outcomes[lane])
