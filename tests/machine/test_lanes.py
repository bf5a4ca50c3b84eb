# SPDX-License-Identifier: GPL-2.0-or-later
"""The lanes engine: who executes what, when lanes part and meet, and how they end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genpatch.isa.assemble import assemble
from genpatch.machine.groups import Schedule
from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lanes import Lanes
from genpatch.machine.outcome import Cause, Outcome, Status
from tests.bench import lanes as bench

CODE, STACK, DATA = 0x1_0000, 0x8_0000, 0x20_0000
NOP, RET = 0x13, 0x8067


def u64(*values: int) -> Any:
    return np.array(values, np.uint64)


def made(source: str, n: int, *, permissions: str = "rx", **options: Any) -> Lanes:
    """Return lanes that stand at the first instruction of a source, with a stack of 4 KiB."""
    memory = LaneMemory(n, **options)
    code = assemble(source, CODE)
    memory.map(CODE, code + bytes(-len(code) % 4096), permissions=permissions, name="code")
    memory.map_private(STACK, 0x1000, name="stack")
    lanes = Lanes(memory)
    lanes.x[2] = STACK + 0x1000
    lanes.start(CODE)
    return lanes


def counted(n: int) -> Any:
    return np.arange(n, dtype=np.uint64)


# -- parting and meeting


def test_if_and_else_meet_again() -> None:
    lanes = made(
        """
        andi t0, a0, 1
        beq t0, zero, even
        addi a1, a0, 100
        addi a1, a1, 1
        jal zero, out
        even: addi a1, a0, 200
        out: addi a1, a1, 1000
        addi a2, a1, 0
        ebreak
        """,
        100,
    )
    lanes.x[10] = counted(100)
    lanes.run(100)
    assert lanes.x[12].tolist() == [i + (1101 if i % 2 else 1200) for i in range(100)]
    assert (lanes.cause == Cause.BREAKPOINT).all()
    assert lanes.retired.tolist() == [7 if i % 2 else 5 for i in range(100)]
    assert lanes.steps == 8  # each instruction once
    assert lanes.insns == 600


def test_loops_of_different_lengths_end_together() -> None:
    lanes = made("loop: addi a0, a0, -1; addi a1, a1, 3; bne a0, zero, loop; addi a2, a1, 0; ebreak", 50)
    lanes.x[10] = counted(50) + np.uint64(1)
    lanes.run()
    assert lanes.x[12].tolist() == [3 * (i + 1) for i in range(50)]
    assert lanes.steps == 3 * 50 + 1


def test_calls_at_different_depths_join_behind_the_return() -> None:
    lanes = made(
        """
        beq a0, zero, skip
        addi sp, sp, -16
        sd ra, 0(sp)
        jal ra, deep
        ld ra, 0(sp)
        addi sp, sp, 16
        skip: addi a1, a1, 5
        ebreak
        deep: addi a1, a1, 1
        jalr zero, 0(ra)
        """,
        64,
    )
    lanes.x[10] = counted(64) % np.uint64(2)
    lanes.run()
    assert lanes.x[11].tolist() == [5, 6] * 32
    assert lanes.steps == 1 + 5 + 2 + 1


def test_many_targets_are_executed_scattered_and_meet() -> None:
    body = "\n".join(f"addi a1, zero, {i}\njal zero, out" for i in range(100))
    lanes = made(f"jalr zero, 0(a0)\n{body}\nout: addi a1, a1, 7\nebreak", 400)
    lanes.x[10] = np.uint64(CODE + 4) + counted(400) % np.uint64(100) * np.uint64(8)
    lanes.run()
    assert lanes.x[11].tolist() == [i % 100 + 7 for i in range(400)]
    assert lanes.steps == 4
    assert (lanes.retired == 4).all()


def test_groups_come_out_of_a_scattered_crowd() -> None:
    """Half of the lanes stand at one place and run as a group, the others each at its own."""
    source = "\n".join(["addi a1, a1, 1"] * 300 + ["ebreak"])
    lanes = made(source, 200)
    places = np.where(counted(200) < 100, 0, counted(200))
    lanes.start(np.uint64(CODE) + places * np.uint64(4))
    lanes.run()
    assert lanes.x[11].tolist() == [300 if i < 100 else 300 - i for i in range(200)]
    assert lanes.steps <= 600


def test_schedule_joins_and_orders() -> None:
    schedule = Schedule(6)
    schedule.add(np.array([0, 4]), 0x100, 0)
    schedule.add(np.array([1]), 0x80, 0)
    schedule.add(np.array([2]), 0x200, -16)
    schedule.add(np.array([3]), 0x100, 0)
    assert len(schedule) == 3
    taken = []
    while (group := schedule.take()) is not None:
        assert group.lanes is not None
        taken.append((group.pc, group.lanes.tolist()))
    assert taken == [(0x200, [2]), (0x80, [1]), (0x100, [0, 3, 4])]
    schedule.add(np.array([0, 1, 2]), 0x100, 0)
    schedule.add(np.array([3, 4, 5]), 0x100, -8)
    assert schedule.least() == (-8, 0x100)
    group = schedule.take()
    assert group is not None
    assert group.lanes is None
    assert schedule.take() is None


def test_random_walks_come_to_what_python_comes_to() -> None:
    """Branches that depend on a hash of the lane: the lanes part all the time."""
    lanes = made(
        """
        addi s1, zero, 60
        loop: slli t0, a0, 13
        xor a0, a0, t0
        srli t0, a0, 7
        xor a0, a0, t0
        slli t0, a0, 17
        xor a0, a0, t0
        andi t0, a0, 1
        beq t0, zero, odd
        addi a1, a1, 3
        andi t0, a0, 6
        bne t0, zero, next
        addi a1, a1, 11
        jal zero, next
        odd: xori a1, a1, 5
        next: addi s1, s1, -1
        bne s1, zero, loop
        ebreak
        """,
        500,
    )
    lanes.x[10] = counted(500) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    start = lanes.x[10].tolist()
    lanes.run()
    for lane, value in enumerate(start):
        total = 0
        for _ in range(60):
            value ^= value << 13 & (1 << 64) - 1
            value ^= value >> 7
            value ^= value << 17 & (1 << 64) - 1
            if value & 1 == 0:
                total ^= 5
            else:
                total += 3 + (0 if value & 6 else 11)
        assert (int(lanes.x[10, lane]), int(lanes.x[11, lane])) == (value, total)
    assert lanes.steps == 1 + 60 * 16


# -- code that differs between lanes


def test_each_lane_patches_its_own_code_and_runs_it() -> None:
    lanes = made("sw a0, 12(a1); fence.i; nop_: addi zero, zero, 0; addi a2, zero, 1; ebreak", 40, permissions="rwx")
    lanes.x[11] = CODE
    # addi a2, zero, lane
    lanes.x[10] = np.uint64(0x00000613) | counted(40) << np.uint64(20)
    lanes.run()
    assert lanes.x[12].tolist() == list(range(40))
    assert (lanes.retired == 4).all()


def test_two_versions_of_one_instruction() -> None:
    lanes = made(
        "beq a0, zero, same; sw a1, 12(a2); same: addi zero, zero, 0; addi a3, zero, 1; ebreak", 10, permissions="rwx"
    )
    lanes.x[10] = counted(10) % np.uint64(2)
    lanes.x[11], lanes.x[12] = 0x00200693, CODE  # addi a3, zero, 2
    lanes.run()
    assert lanes.x[13].tolist() == [1, 2] * 5


def test_code_written_after_it_was_executed() -> None:
    lanes = made(
        """
        jal ra, func
        sw a1, 0(a2)
        fence.i
        jal ra, func
        ebreak
        func: addi a3, a3, 1
        jalr zero, 0(ra)
        """,
        20,
        permissions="rwx",
    )
    lanes.x[11], lanes.x[12] = 0x06468693, CODE + 20  # addi a3, a3, 100
    lanes.run()
    assert (lanes.x[13] == 101).all()


def test_code_in_private_memory() -> None:
    lanes = made("jalr zero, 0(a0)", 20)
    lanes.memory.map_private(0x40_0000, 0x1000, permissions="rwx")
    lanes.memory.write(None, 0x40_0000, np.frombuffer(assemble("addi a1, a0, 0; ebreak", 0), np.uint8))
    lanes.x[10] = 0x40_0000
    lanes.run()
    assert (lanes.x[11] == 0x40_0000).all()
    assert (lanes.cause == Cause.BREAKPOINT).all()


# -- ends


def test_faults_of_some_lanes_do_not_concern_others() -> None:
    lanes = made("addi a1, zero, 1; ld a2, 0(a0); sd a1, 8(a0); addi a1, zero, 2; ebreak", 6)
    lanes.x[10] = u64(STACK, STACK + 0xFFC, 0, CODE, STACK + 16, STACK + 0xFF8)
    lanes.run()
    assert [lanes.outcome(i) for i in range(6)] == [
        Outcome(Status.FAULT, CODE + 16, Cause.BREAKPOINT, CODE + 16),
        Outcome(Status.FAULT, CODE + 4, Cause.LOAD_FAULT, STACK + 0x1000),
        Outcome(Status.FAULT, CODE + 4, Cause.LOAD_FAULT, 0),
        Outcome(Status.FAULT, CODE + 8, Cause.STORE_FAULT, CODE + 8),
        Outcome(Status.FAULT, CODE + 16, Cause.BREAKPOINT, CODE + 16),
        Outcome(Status.FAULT, CODE + 8, Cause.STORE_FAULT, STACK + 0x1000),
    ]
    assert lanes.x[11].tolist() == [2, 1, 1, 1, 2, 1]
    assert lanes.retired.tolist() == [4, 1, 1, 2, 4, 2]


def test_fetch_faults() -> None:
    lanes = made("jalr ra, 0(a0)", 3)
    lanes.x[10] = u64(STACK, 0x1234_5678, 0)
    lanes.run()
    assert [lanes.outcome(i) for i in range(3)] == [
        Outcome(Status.FAULT, at, Cause.FETCH_FAULT, at) for at in (STACK, 0x1234_5678, 0)
    ]
    assert (lanes.x[1] == CODE + 4).all()
    odd = made("ebreak", 2)
    odd.start(u64(CODE, CODE + 1))
    odd.run()
    assert odd.outcome(1) == Outcome(Status.FAULT, CODE + 1, Cause.FETCH_MISALIGNED, CODE + 1)


@pytest.mark.parametrize("scattered", [False, True])
def test_words_that_are_no_instructions(scattered: bool) -> None:
    n = 40
    memory = LaneMemory(n)
    code = b"".join(word.to_bytes(4, "little") for word in (0, 0x00107057, 0x5A5A5A5A))
    memory.map(CODE, code * 40, permissions="x")
    lanes = Lanes(memory)
    for number, word in enumerate((0, 0x00107057)):  # reserved; vsetvli
        lanes.start(
            np.uint64(CODE + 4 * number) + np.uint64(12) * (counted(n) if scattered else np.zeros(n, np.uint64))
        )
        lanes.run()
        for lane in range(n):
            outcome = lanes.outcome(lane)
            assert (outcome.cause, outcome.tval) == (Cause.ILLEGAL, word)
            assert outcome.status == (Status.UNSUPPORTED if number else Status.FAULT)
            assert bool(outcome.text) == bool(number)


@pytest.mark.parametrize("name", ["sret", "mret"])
def test_returns_from_traps_are_not_supported(name: str) -> None:
    lanes = made(f"addi zero, zero, 0; {name}", 2)
    lanes.run()
    assert lanes.outcome(1).status == Status.UNSUPPORTED
    assert lanes.outcome(1).text == f"{name} in lanes"
    assert lanes.outcome(1).pc == CODE + 4


@pytest.mark.parametrize("source", ["jal zero, here", "beq zero, zero, here", "jalr zero, 0(a0)"])
def test_jump_to_itself(source: str) -> None:
    lanes = made(f"addi zero, zero, 0; here: {source}", 3)
    lanes.x[10] = CODE + 4
    lanes.run()
    assert (lanes.status == Status.STUCK).all()
    assert (lanes.pc == CODE + 4).all()
    assert (lanes.retired == 2).all()


def test_budget_is_exact() -> None:
    lanes = made("loop: addi a1, a1, 1; beq a1, a0, out; jal zero, loop; out: addi a2, zero, 1; ebreak", 20)
    lanes.x[10] = counted(20) + np.uint64(1)
    for total in (1, 2, 7, 20, 50, 100):
        lanes.run(total - int(lanes.retired.max()))
        assert int(lanes.retired.max()) <= total
        for lane in range(20):
            whole = 3 * lane + 3
            ended = whole < total  # the ebreak needs an instruction of budget, too
            assert lanes.retired[lane] == min(whole, total)
            assert (lanes.status[lane] == Status.FAULT) == ended
            assert (lanes.status[lane] == Status.BUDGET) != ended


def test_budget_of_nothing() -> None:
    lanes = made("ebreak", 2)
    lanes.run(0)
    assert lanes.outcome(0) == Outcome(Status.BUDGET, CODE)
    lanes.run(1)
    assert lanes.outcome(0).cause == Cause.BREAKPOINT


# -- hooks and breakpoints


def test_hook_may_change_registers_and_return() -> None:
    lanes = made("jal ra, func; addi a1, a1, 1; ebreak; func: ebreak", 30)
    lanes.x[10] = counted(30)
    seen: list[Any] = []

    def hook(engine: Lanes, who: Any) -> None:
        seen.append(who.tolist())
        assert (engine.pc[who] == CODE + 12).all()
        assert (engine.retired[who] == 1).all()
        engine.x[11][who] = engine.x[10][who] * np.uint64(2)
        engine.pc[who] = engine.x[1][who]

    lanes.hooks[CODE + 12] = hook
    lanes.run()
    assert seen == [list(range(30))]
    assert lanes.x[11].tolist() == [2 * i + 1 for i in range(30)]
    assert (lanes.retired == 2).all()


def test_hook_that_leaves_the_pc_lets_the_instruction_be_executed() -> None:
    lanes = made("addi a0, a0, 1; addi a0, a0, 1; ebreak", 3)
    calls = []
    for at in (CODE, CODE + 4):
        lanes.hooks[at] = lambda engine, who: calls.append(len(who))
    lanes.run()
    assert lanes.x[10].tolist() == [2] * 3
    assert calls == [3, 3]


def test_hook_may_send_lanes_to_different_places_and_end_some() -> None:
    lanes = made("addi zero, zero, 0; addi a1, zero, 1; ebreak; addi a1, zero, 2; ebreak", 9)

    def hook(engine: Lanes, who: Any) -> None:
        engine.pc[who[who % 3 == 1]] = CODE + 12
        engine.stop(who[who % 3 == 2], Status.EXITED, 7)

    lanes.hooks[CODE + 4] = hook
    lanes.run()
    assert lanes.x[11].tolist() == [1, 2, 0] * 3
    assert lanes.outcome(2) == Outcome(Status.EXITED, CODE + 4, value=7)


@pytest.mark.parametrize("n", [3, 100])
def test_hooks_and_breakpoints_among_scattered_lanes(n: int) -> None:
    lanes = made("\n".join(["addi a0, a0, 1"] * (n + 20) + ["ebreak"]), n)
    lanes.start(np.uint64(CODE) + np.uint64(4) * counted(n))
    hooked: list[int] = []
    lanes.hooks[CODE + 4 * n] = lambda engine, who: hooked.extend(who.tolist())
    lanes.breakpoints = {CODE + 4 * (n + 10)}
    lanes.run()
    assert sorted(hooked) == list(range(n))
    assert (lanes.status == Status.STOPPED).all()
    assert lanes.outcome(0) == Outcome(Status.STOPPED, CODE + 4 * (n + 10), text="breakpoint")
    assert lanes.x[10].tolist() == [n + 10 - i for i in range(n)]


def test_run_does_not_stop_where_it_starts() -> None:
    lanes = made("here: addi a0, a0, 1; jal zero, here", 5)
    lanes.breakpoints = {CODE}
    for times in (1, 2):
        lanes.start(CODE)
        lanes.run()
        assert (lanes.x[10] == times).all()
        assert (lanes.status == Status.STOPPED).all()


def test_breakpoint_and_hook_at_one_address() -> None:
    lanes = made("addi a0, a0, 1; addi a0, a0, 1; ebreak", 3)
    calls: list[int] = []
    lanes.hooks[CODE + 4] = lambda engine, who: calls.append(len(who))
    lanes.breakpoints = {CODE + 4}
    lanes.run()
    assert (lanes.status == Status.STOPPED).all()
    assert calls == []
    lanes.start(CODE + 4)
    lanes.run()
    assert (lanes.x[10] == 2).all()
    assert calls == [3]


def test_hook_may_stop_lanes_that_wait() -> None:
    lanes = made("beq a0, zero, wait; addi a1, zero, 1; wait: addi a2, zero, 1; ebreak", 4)
    lanes.x[10] = u64(0, 1, 0, 1)
    lanes.hooks[CODE + 4] = lambda engine, who: engine.stop(np.array([0]), Status.STOPPED, text="enough")
    lanes.run()
    assert lanes.x[12].tolist() == [0, 1, 1, 1]
    assert lanes.outcome(0) == Outcome(Status.STOPPED, CODE + 8, text="enough")


def test_jump_to_the_last_address() -> None:
    """2**64 - 1 is what marks a free slot in tables."""
    lanes = made("ebreak", 40)
    lanes.start((1 << 64) - 1)
    lanes.breakpoints = {CODE}
    lanes.run()
    assert (lanes.cause == Cause.FETCH_MISALIGNED).all()


def test_fault_at_a_hook_does_not_call_it_again() -> None:
    lanes = made("ld a1, 0(a0); ebreak", 4)
    lanes.x[10] = u64(STACK, 0, STACK, 0)
    calls: list[int] = []
    lanes.hooks[CODE] = lambda engine, who: calls.append(len(who))
    lanes.run()
    assert calls == [4]
    assert lanes.cause.tolist() == [Cause.BREAKPOINT, Cause.LOAD_FAULT] * 2


def test_some_lanes_only() -> None:
    lanes = made("addi a0, a0, 1; ebreak", 4)
    lanes.stop(None, Status.STOPPED)
    lanes.start(CODE, np.array([1, 3]))
    lanes.run()
    assert lanes.x[10].tolist() == [0, 1, 0, 1]
    assert lanes.status.tolist() == [Status.STOPPED, Status.FAULT] * 2


@pytest.mark.parametrize("scattered", [False, True])
def test_ecall(scattered: bool) -> None:
    lanes = made("\n".join(["ecall; addi a1, a1, 1; ebreak"] * 40), 40)
    if scattered:
        lanes.start(np.uint64(CODE) + np.uint64(12) * counted(40))
    lanes.x[17] = counted(40)

    def answer(engine: Lanes, who: Any) -> None:
        assert not engine.retired[who].any()
        engine.x[10][who] = engine.x[17][who] + np.uint64(1)
        engine.stop(who[engine.x[17][who] == 3], Status.EXITED, 4)

    lanes.on_ecall = answer
    lanes.run()
    assert lanes.x[10].tolist() == list(range(1, 41))
    assert lanes.x[11].tolist() == [int(i != 3) for i in range(40)]
    end = CODE + 4 + (36 if scattered else 0)
    assert lanes.outcome(3) == Outcome(Status.EXITED, end, value=4)
    assert lanes.retired.tolist() == [1 if i == 3 else 2 for i in range(40)]


def test_ecall_of_nobody() -> None:
    lanes = made("addi a0, zero, 1; ecall", 2)
    lanes.run()
    assert lanes.outcome(0) == Outcome(Status.FAULT, CODE + 4, Cause.ECALL, 0)


# -- atomics, CSRs, fences


def test_reservations() -> None:
    lanes = made(
        """
        lr.d t0, (a0)
        addi t0, t0, 1
        sc.d a1, t0, (a2)
        sc.d a3, t0, (a0)
        lr.w t1, (a0)
        sc.d a4, t0, (a0)
        ebreak
        """,
        3,
    )
    lanes.x[10] = STACK
    lanes.x[12] = u64(STACK, STACK + 8, STACK)
    lanes.memory.write_u64(None, STACK, u64(41, 5, 1 << 40))
    lanes.run()
    assert lanes.x[11].tolist() == [0, 1, 0]
    assert lanes.x[13].tolist() == [1, 1, 1]  # any sc ends the reservation
    assert lanes.x[14].tolist() == [1, 1, 1]  # another width
    assert lanes.memory.read_u64(None, STACK).tolist() == [42, 5, (1 << 40) + 1]


def test_amo_on_shared_memory() -> None:
    lanes = made("amoadd.w a1, a2, (a0); amoadd.w a3, a2, (a0); ebreak", 40)
    lanes.memory.map(DATA, (0x7FFFFFFF).to_bytes(4, "little") * 4)
    lanes.x[10], lanes.x[12] = DATA + 4, counted(40)
    lanes.run()
    first = [0x7FFFFFFF + i for i in range(40)]
    assert (lanes.x[11] == 0x7FFFFFFF).all()
    assert lanes.x[13].tolist() == [value if value < 1 << 31 else value | 0xFFFFFFFF << 32 for value in first]
    assert lanes.memory.read(None, DATA, 4).tolist() == [[255, 255, 255, 127]] * 40
    assert lanes.memory.read(np.array([1]), DATA + 4, 4).view("<u4").tolist() == [[0x80000001]]


def test_misaligned_atomics_fault() -> None:
    lanes = made("lr.w a1, (a0); amoadd.d a1, a2, (a3); sc.w a1, a1, (a4); ebreak", 4)
    lanes.x[10] = u64(STACK + 2, STACK, STACK, STACK)
    lanes.x[13] = u64(STACK, STACK + 4, STACK, STACK)
    lanes.x[14] = u64(STACK, STACK, STACK + 1, STACK)
    lanes.run()
    causes = [Cause.LOAD_MISALIGNED, Cause.STORE_MISALIGNED, Cause.STORE_MISALIGNED, Cause.BREAKPOINT]
    assert lanes.cause.tolist() == causes
    assert lanes.tval.tolist() == [STACK + 2, STACK + 4, STACK + 1, CODE + 12]


def test_csrs() -> None:
    sscratch, sepc, cycle, instret = 0x140, 0x141, 0xC00, 0xC02
    lanes = made(
        f"""
        csrrw a1, {sscratch}, a0
        csrrs a2, {sscratch}, a3
        csrrc a4, {sscratch}, zero
        csrrwi a5, {sepc}, 7
        csrrs a6, {sepc}, zero
        csrrs a7, {instret}, zero
        beq a0, zero, bad
        ebreak
        bad: csrrw a1, {cycle}, a0
        """,
        4,
    )
    lanes.x[10], lanes.x[13] = counted(4), 0x10
    lanes.run()
    assert lanes.x[11].tolist() == [0] * 4
    assert lanes.x[12].tolist() == [0, 1, 2, 3]
    assert lanes.x[14].tolist() == [0x10, 0x11, 0x12, 0x13]
    assert (lanes.x[16] == 6).all()  # bit 0 of sepc is not kept
    assert (lanes.x[17] == 5).all()
    assert lanes.csrs[0x140].tolist() == [0x10, 0x11, 0x12, 0x13]
    outcome = lanes.outcome(0)
    assert (outcome.status, outcome.cause, outcome.tval) == (Status.FAULT, Cause.ILLEGAL, 0xC00515F3)
    assert lanes.outcome(1).cause == Cause.BREAKPOINT


@pytest.mark.parametrize(("number", "status"), [(0x7C0, Status.FAULT), (0x001, Status.UNSUPPORTED)])
def test_csr_that_is_not_there(number: int, status: Status) -> None:
    lanes = made(f"csrrs a0, {number}, zero", 2)
    lanes.run()
    assert lanes.outcome(1).status == status
    assert (lanes.cause == Cause.ILLEGAL).all()


def test_csrs_of_scattered_lanes() -> None:
    lanes = made("\n".join(f"csrrwi a0, {0x140 + i % 4}, {i % 32}; ebreak" for i in range(60)), 60)
    lanes.start(np.uint64(CODE) + np.uint64(8) * counted(60))
    lanes.run(1)
    for lane in range(60):
        values = lanes.csrs[0x140 + lane % 4]
        assert values[lane] == (lane % 32 & ~(lane % 4 == 1))
        assert values[(lane + 1) % 60] == 0


def test_log_is_in_order() -> None:
    lanes = made("sw a0, 0(a1); fence rw, rw; fence.i; sw a0, 4(a1); sfence.vma a1, zero; ebreak", 3)
    lanes.memory.map(DATA, bytes(64))
    lanes.memory.watch(None)
    lanes.x[10], lanes.x[11] = counted(3), DATA
    lanes.run()
    assert [tuple(event)[1:] for event in lanes.memory.log.of_lane(2)] == [
        ("store", CODE, DATA, DATA, 4, 2),
        ("fence", CODE + 4, 0x33, 0x33, 0, 0),
        ("fence.i", CODE + 8, 0, 0, 0, 0),
        ("store", CODE + 12, DATA + 4, DATA + 4, 4, 2),
        ("sfence", CODE + 16, DATA, DATA, 0, 0),
    ]


def test_poison_is_told_with_its_pc() -> None:
    lanes = made("addi zero, zero, 0; ld a1, 0(a0); ld a2, 8(a0); ebreak", 2)
    lanes.memory.map_private(DATA, 0x1000, poison=True)
    lanes.x[10] = DATA
    lanes.memory.write_u64(np.array([0]), DATA, 5)
    lanes.run()
    assert lanes.memory.poison_pcs.tolist() == [CODE + 8, CODE + 4]
    assert lanes.memory.poison_addresses.tolist() == [DATA + 8, DATA]


def test_cache_block_is_zeroed() -> None:
    lanes = made("cbo.zero (a0); ebreak", 2)
    lanes.memory.write(None, STACK, np.full(256, 0xFF, np.uint8))
    lanes.x[10] = u64(STACK + 0x47, STACK + 0xFFF)
    lanes.run()
    after = lanes.memory.read(None, STACK, 256)
    assert after[0].tolist() == [0xFF] * 64 + [0] * 64 + [0xFF] * 128
    assert after[1].tolist() == [0xFF] * 256


def test_overlay_limit_is_no_fault_of_the_guest() -> None:
    lanes = made("loop: sd a0, 0(a0); addi a0, a0, 8; jal zero, loop", 4, overlay_limit=10)
    lanes.memory.map(DATA, bytes(0x4000))
    lanes.x[10] = np.uint64(DATA) + counted(4) * np.uint64(0x1000)
    lanes.run(1000)
    assert (lanes.status == Status.UNSUPPORTED).all()
    assert "more than 10 words" in lanes.outcome(0).text


def test_bench_runs() -> None:
    result = bench.run(500, 1)
    assert result.insns == 500 * (2 + len(bench.trampoline()) // 4)


@pytest.mark.parametrize("n", [1, 2, 5000])
def test_memory_of_idle_lanes_is_small(n: int) -> None:
    """Registers, pc, status and what a small stack takes: far from 8 KiB a lane."""
    lanes = made("sd a0, -8(sp); ebreak", n)
    arrays = [value for value in vars(lanes).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 512 * n
    lanes.run()
