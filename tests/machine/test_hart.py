# SPDX-License-Identifier: GPL-2.0-or-later
"""A hart around its instructions: faults amid hot loops, budgets, stops, code that changes, traps, traces."""

from __future__ import annotations

import signal
from types import FrameType

import pytest

from genpatch.isa.assemble import assemble
from genpatch.isa.insn import decode
from genpatch.machine import hart as hart_module
from genpatch.machine.csrs import MACHINE, MCAUSE, MEPC, MTVAL, MTVEC, SCAUSE, SEPC, STVAL, STVEC
from genpatch.machine.hart import Event, Hart, Retired
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Cause, Outcome, Status
from genpatch.units import MASK64, Span

CODE, DATA = 0x1_0000, 0x2_0000
BOTH = pytest.mark.parametrize("translate", [True, False], ids=["translated", "stepped"])


@pytest.fixture(autouse=True)
def _soon_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hart_module, "HOT", 4)


def hart_with(
    source: str,
    *,
    translate: bool = True,
    compressed: bool = True,
    misaligned: bool = True,
    permissions: str = "rx",
    csrs: dict[int, int] | None = None,
    data: int = 0x2000,
    symbols: dict[str, int] | None = None,
) -> Hart:
    memory = Memory(misaligned=misaligned)
    memory.map(CODE, assemble(source, CODE, symbols=symbols), size=0x2000, permissions=permissions)
    memory.map(DATA, size=data)
    kwargs = {} if csrs is None else {"csrs": csrs}
    hart = Hart(memory, translate=translate, compressed=compressed, **kwargs)  # type: ignore[arg-type]
    hart.pc = CODE
    hart.x[10] = DATA
    return hart


def seen(hart: Hart, outcome: Outcome | None = None) -> tuple[object, ...]:
    return outcome, hart.pc, hart.x[:32], hart.retired, hart.memory.read(DATA, 0x40), hart.memory.read(CODE, 0x80)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


COUNT = """
loop:
    addi a1, a1, 1
    addi a2, a2, 3
    bne a1, a3, loop
    ebreak
"""

# -- faults amid hot loops

WALKS = {
    "load": ("ld t0, 0(a0)", Cause.LOAD_FAULT),
    "load of a byte": ("lb t0, 0(a0)", Cause.LOAD_FAULT),
    "store": ("sd a1, 0(a0)", Cause.STORE_FAULT),
    "store of a byte": ("sb a1, 0(a0)", Cause.STORE_FAULT),
    "short store": ("c.sw a1, 0(a0)", Cause.STORE_FAULT),
    "amo": ("amoadd.d t0, a1, (a0)", Cause.STORE_FAULT),
    "lr": ("lr.w t0, (a0)", Cause.LOAD_FAULT),
}


@BOTH
@pytest.mark.parametrize("name", WALKS)
def test_fault_in_a_hot_loop(name: str, translate: bool) -> None:
    line, cause = WALKS[name]
    hart = hart_with(
        f"loop: addi a1, a1, 1; {line}; addi a0, a0, 8; addi a2, a2, 2; jal zero, loop", translate=translate
    )
    outcome = hart.run(100_000)
    turns = 0x2000 // 8
    fault_pc = CODE + 4
    assert outcome == Outcome(Status.FAULT, fault_pc, cause, DATA + 0x2000)
    assert hart.pc == fault_pc
    assert hart.retired == 5 * turns + 1
    assert (hart.x[10], hart.x[11], hart.x[12]) == (DATA + 0x2000, turns + 1, 2 * turns)
    assert bool(hart._paths) == translate
    last = hart.memory.load(8, DATA + 0x1FF8)
    assert last == {"s": turns, "a": turns, "c": turns}.get(line[0], 0) & (0xFF if "sb" in line else MASK64)


@BOTH
def test_illegal_word_in_a_hot_loop(translate: bool) -> None:
    hart = hart_with(
        """
    loop: addi a1, a1, 1
        addi a2, a1, -200
        bltu a1, a3, loop
        addi a4, zero, 5
        """,
        translate=translate,
    )
    hart.x[13] = 150
    outcome = hart.run()
    assert outcome == Outcome(Status.FAULT, CODE + 16, Cause.ILLEGAL, 0)
    assert (hart.retired, hart.x[11], hart.x[14]) == (451, 150, 5)


@BOTH
@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ld t0, 0(a0)", Cause.LOAD_MISALIGNED),
        ("lh t0, 0(a0)", Cause.LOAD_MISALIGNED),
        ("sw t0, 0(a0)", Cause.STORE_MISALIGNED),
        ("amoor.w t0, a1, (a0)", Cause.STORE_MISALIGNED),
        ("lr.d t0, (a0)", Cause.LOAD_MISALIGNED),
        ("sc.d t0, a1, (a0)", Cause.STORE_MISALIGNED),
    ],
)
def test_misaligned_in_a_hot_loop(line: str, cause: Cause, translate: bool) -> None:
    source = f"loop: addi a1, a1, 1; {line}; sltu a4, a1, a3; xori a4, a4, 1; add a0, a0, a4; jal zero, loop"
    hart = hart_with(source, translate=translate, misaligned=False)
    hart.x[13] = 20
    outcome = hart.run(10_000)
    assert outcome == Outcome(Status.FAULT, CODE + 4, cause, DATA + 1)
    assert (hart.x[11], hart.retired) == (21, 20 * 6 + 1)


def test_atomics_are_never_misaligned() -> None:
    for line in ("amoadd.h t0, a1, (a0)", "lr.w t0, (a0)", "sc.w t0, a1, (a0)", "amocas.d t0, a1, (a0)"):
        hart = hart_with(line)
        hart.x[10] = DATA + 1
        assert hart.run().cause in (Cause.LOAD_MISALIGNED, Cause.STORE_MISALIGNED)
        assert hart.memory.read(DATA, 16) == bytes(16)


@BOTH
def test_interrupted_by_the_host(translate: bool) -> None:
    """An exception from outside, such as Ctrl-C, leaves a hart that can go on."""
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = 1 << 40

    class BellError(Exception):
        pass

    def ring(number: int, frame: FrameType | None) -> None:
        raise BellError

    def run_until_it_rings() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.004)
        hart.run()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for _ in range(20):
            with pytest.raises(BellError):
                run_until_it_rings()
            assert hart.pc in (CODE, CODE + 4, CODE + 8)
            assert hart.run(10).status == Status.BUDGET
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hart.retired > 100


# -- budgets


@BOTH
def test_every_budget(translate: bool) -> None:
    for budget in range(120):
        hart = hart_with(COUNT, translate=translate)
        hart.x[13] = 30
        outcome = hart.run(budget)
        turns, rest = divmod(budget, 3)
        if budget <= 90:
            at = CODE + 4 * rest if budget < 90 else CODE + 12
            assert outcome == Outcome(Status.BUDGET, at)
            assert (hart.x[11], hart.x[12]) == (turns + (rest > 0), 3 * (turns + (rest > 1)))
            assert (hart.retired, hart.pc) == (budget, at)
        else:
            assert outcome == Outcome(Status.FAULT, CODE + 12, Cause.BREAKPOINT, CODE + 12)
            assert (hart.retired, hart.x[11]) == (90, 30)


def test_every_budget_when_it_is_hot() -> None:
    hart = hart_with(COUNT)
    hart.x[13] = MASK64
    hart.run(300)
    assert hart._paths
    total = 300
    for budget in [*range(60), *range(60, 0, -1)]:
        assert hart.run(budget).status == Status.BUDGET
        total += budget
        assert hart.retired == total
        assert hart.x[11] == (total + 2) // 3
        assert hart.x[12] == 3 * ((total + 1) // 3)
        assert hart.pc == CODE + 4 * (total % 3)


@BOTH
def test_counters_are_exact(translate: bool) -> None:
    source = (
        "csrrs t0, instret, zero; loop: addi a1, a1, 1; csrrs a2, cycle, zero; bne a1, a3, loop; csrrs a4, time, zero"
    )
    hart = hart_with(source, translate=translate)
    hart.x[13] = 60
    assert hart.run(182).status == Status.BUDGET
    assert (hart.x[5], hart.x[12], hart.x[14]) == (0, 1 + 59 * 3 + 1, 181)
    hart.pc = CODE
    assert hart.run(1).status == Status.BUDGET
    assert hart.x[5] == hart.retired - 1 == 182
    hart.pc = CODE
    hart.step()
    assert hart.x[5] == hart.retired - 1 == 183


# -- breakpoints and hooks


@BOTH
def test_breakpoint_in_a_hot_loop(translate: bool) -> None:
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = 1000
    hart.run(300)
    hart.breakpoints.add(CODE + 4)
    assert hart.run(600) == Outcome(Status.STOPPED, CODE + 4, text="breakpoint")
    assert (hart.retired, hart.x[11]) == (301, 101)
    assert hart.run(600) == Outcome(Status.STOPPED, CODE + 4, text="breakpoint")
    assert (hart.retired, hart.x[11]) == (304, 102)
    hart.breakpoints.clear()
    assert hart.run().cause == Cause.BREAKPOINT
    assert hart.retired == 3000


@BOTH
def test_hook_in_a_hot_loop(translate: bool) -> None:
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = 1000
    hart.run(300)
    calls: list[int] = []

    def hook(hart: Hart) -> Outcome | None:
        calls.append(hart.x[11])
        hart.x[12] += 1
        return Outcome(Status.STOPPED, hart.pc, text="enough") if len(calls) == 5 else None

    hart.hooks[CODE + 8] = hook
    assert hart.run() == Outcome(Status.STOPPED, CODE + 8, text="enough")
    assert calls == [101, 102, 103, 104, 105]
    assert (hart.retired, hart.x[12], hart.pc) == (300 + 14, 105 * 3 + 5, CODE + 8)
    del hart.hooks[CODE + 8]
    assert hart.run().cause == Cause.BREAKPOINT
    assert (hart.retired, hart.x[12]) == (3000, 3005)
    assert len(calls) == 5


@BOTH
def test_hook_that_moves_pc(translate: bool) -> None:
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = 100
    chain: list[int] = []

    def skip(hart: Hart) -> None:
        chain.append(hart.pc)
        hart.pc += 4

    hart.hooks[CODE] = skip  # a1 is never counted, and at the next address is a hook too
    hart.hooks[CODE + 4] = lambda hart: chain.append(hart.pc)
    hart.x[11] = 100
    assert hart.run(100).cause == Cause.BREAKPOINT
    assert chain == [CODE, CODE + 4]
    assert (hart.retired, hart.x[11], hart.x[12]) == (2, 100, 3)
    hart.pc, hart.x[11] = CODE, 0
    assert hart.run(60).status == Status.BUDGET
    assert hart.x[11] == 0
    assert hart.retired == 62


@BOTH
def test_hook_at_the_head_of_a_hot_loop(translate: bool) -> None:
    for is_there_first in (True, False):
        hart = hart_with(COUNT, translate=translate)
        hart.x[13] = 1000
        if not is_there_first:
            hart.run(300)
        calls: list[int] = []
        hart.hooks[CODE] = lambda hart, calls=calls: calls.append(hart.x[11])  # type: ignore[misc]
        assert hart.run(600).status == Status.BUDGET
        assert calls == list(range(200)) if is_there_first else list(range(100, 300))
        hart.breakpoints.add(CODE)
        assert hart.run(600).text == "breakpoint"
        assert len(calls) == 201  # called where it starts, which is no breakpoint; not where it stops
        assert hart.x[11] == len(calls) if is_there_first else 100 + len(calls)


@BOTH
def test_watch_and_poison_under_a_hot_loop(translate: bool) -> None:
    """Memory that becomes special after a path was made of loads and stores to it."""
    hart = hart_with("loop: addi a1, a1, 1; sd a1, 0(a0); lw a2, 0(a4); jal zero, loop", translate=translate)
    hart.x[14] = DATA + 0x800
    hart.run(400)
    events: list[tuple[str, int, int, int]] = []
    hart.memory.watch(Span(DATA, DATA + 4))
    hart._observe = lambda *what: events.append(what)  # type: ignore[method-assign]
    hart.run(12)
    assert events == [("store", DATA, 8, 101 + n) for n in range(3)]
    data = hart.memory.mapping_at(DATA)
    assert data is not None
    hart.memory.unmap(data)
    hart.memory.map(DATA, size=0x1000, poison=True)
    hart.run(4)
    assert events[3:] == [("store", DATA, 8, 104), ("poison", DATA + 0x800, 4, 0)]
    assert hart.x[12] == MASK64 ^ 0xFFFFFFFF | 0xA5A5A5A5
    assert hart.retired == 416


@BOTH
def test_stops_that_come_while_it_runs(translate: bool) -> None:
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = 200

    def hook(hart: Hart) -> None:
        if hart.x[11] == 50:
            hart.breakpoints.add(CODE + 4)

    hart.hooks[CODE + 8] = hook
    assert hart.run() == Outcome(Status.STOPPED, CODE + 4, text="breakpoint")
    assert (hart.x[11], hart.retired) == (51, 151)


@BOTH
def test_stops_that_an_ecall_sets(translate: bool) -> None:
    hart = hart_with("loop: ecall; addi a1, a1, 1; addi a2, a2, 1; jal zero, loop", translate=translate)

    def ask(hart: Hart) -> None:
        if hart.x[11] == 20:
            hart.hooks[CODE + 8] = lambda hart: Outcome(Status.STOPPED, hart.pc, text="hook")

    hart.on_ecall = ask
    assert hart.run(1000) == Outcome(Status.STOPPED, CODE + 8, text="hook")
    assert (hart.x[11], hart.x[12], hart.retired) == (21, 20, 82)


def test_retired_while_it_runs() -> None:
    """What a hook and an ecall handler see of `retired` is exact too."""
    hart = hart_with("addi a1, a1, 1; ecall; addi a1, a1, 1; c.nop; ebreak")
    counts: list[int] = []
    hart.on_ecall = lambda hart: counts.append(hart.retired)
    hart.hooks[CODE + 12] = lambda hart: counts.append(hart.retired)
    hart.run()
    assert counts == [1, 3]


def test_breakpoint_where_it_starts() -> None:
    hart = hart_with("loop: addi a1, a1, 1; jal zero, loop")
    hart.breakpoints.add(CODE)
    for turn in range(1, 100):
        assert hart.run(10) == Outcome(Status.STOPPED, CODE, text="breakpoint")
        assert hart.x[11] == turn


def test_hooks_are_for_run_alone() -> None:
    hart = hart_with("addi a1, a1, 1; addi a1, a1, 1")
    hart.hooks[CODE] = lambda hart: pytest.fail("called")
    hart.breakpoints.add(CODE + 4)
    assert hart.step() is None
    assert hart.step() is None
    assert (hart.x[11], hart.retired) == (2, 2)


# -- code that changes


@BOTH
@pytest.mark.parametrize("store", ["sw t1, 0(t2)", "amoswap.w zero, t1, (t2)", "lr.w zero, (t2); sc.w zero, t1, (t2)"])
def test_loop_that_rewrites_itself(store: str, translate: bool) -> None:
    """In turn 30 `addi a2, a2, 1` becomes `addi a2, a2, 16`, by a store before or behind it."""
    for order in (0, 1):
        body = [f"bne a1, a4, over; {store}; over:", "patched: addi a2, a2, 1"]
        source = "; ".join(("loop: addi a1, a1, 1", *(body[order], body[1 - order]), "bne a1, a3, loop; ebreak"))
        hart = hart_with(source, translate=translate, permissions="rwx")
        at = CODE + 4 if order else CODE + 8 + 4 * (1 + store.count(";"))
        assert decode(hart.memory.load(4, at)).text() == "addi a2, a2, 1"  # type: ignore[union-attr]
        hart.x[7], hart.x[6], hart.x[13], hart.x[14] = at, 0x01060613, 60, 30
        assert hart.run(10_000).cause == Cause.BREAKPOINT
        changed = 60 - 30 + (0 if order else 1)
        assert hart.x[12] == (60 - changed) + 16 * changed
        assert hart.retired == 60 * 4 + 1 + store.count(";")


@BOTH
def test_data_on_a_page_of_code(translate: bool) -> None:
    hart = hart_with(
        "loop: addi a1, a1, 1; sd a1, 256(a5); ld a2, 256(a5); amoadd.w a6, a1, (a7); bne a1, a3, loop; ebreak",
        translate=translate,
        permissions="rwx",
    )
    hart.x[15], hart.x[17], hart.x[13] = CODE, CODE + 0x180, 80
    assert hart.run(10_000).cause == Cause.BREAKPOINT
    assert (hart.x[12], hart.memory.load(8, CODE + 256), hart.memory.load(4, CODE + 0x180)) == (80, 80, 80 * 81 // 2)
    assert hart.retired == 400
    assert hart.memory.epoch == 0


@BOTH
def test_two_harts_patch_each_other(translate: bool) -> None:
    loop = "loop: addi a1, a1, 1; addi a2, a2, 1; jal zero, loop"
    first = hart_with(loop, translate=translate, permissions="rwx")
    second = Hart(first.memory, translate=translate)
    first.memory.write(CODE + 0x100, assemble(loop, CODE + 0x100))
    second.pc = CODE + 0x100
    # each adds t0 to the immediate of the other's second instruction
    for hart, other in ((first, CODE + 0x100), (second, CODE)):
        hart.memory.write(
            hart.pc + 0x80,
            assemble("amoadd.w zero, t0, (t1); jal zero, start", hart.pc + 0x80, symbols={"start": hart.pc}),
        )
        hart.x[5], hart.x[6] = 1 << 20, other + 4
    step = [1, 1]
    total = [0, 0]
    for turn in range(12):
        for number, hart in enumerate((first, second)):
            hart.run(300)
            total[number] += 100 * step[number]
            assert hart.x[12] == total[number]
            if turn % 3 == 2:
                start = hart.pc
                assert start in (CODE, CODE + 0x100)
                hart.pc = start + 0x80
                hart.run(2)
                assert hart.pc == start
                step[1 - number] += 1
    assert step == [5, 5]


@BOTH
def test_reservation_is_lost_to_another_hart(translate: bool) -> None:
    first = hart_with("lr.d t0, (a0); addi t0, t0, 1; sc.d t1, t0, (a0)", translate=translate)
    second = Hart(first.memory, translate=translate)
    second.pc, second.x[10], second.x[5] = CODE + 0x40, DATA, 7
    first.memory.write(CODE + 0x40, assemble("amoadd.d zero, t0, (a0)", 0))
    first.run(2)
    second.run(1)
    first.run(1)
    assert first.x[6] == 1
    assert first.memory.load(8, DATA) == 7


@BOTH
def test_host_and_fork_change_code(translate: bool) -> None:
    hart = hart_with(COUNT, translate=translate)
    hart.x[13] = MASK64
    hart.run(300)
    fork = Hart(hart.memory.fork(), translate=translate)
    fork.pc, fork.x[:32] = hart.pc, hart.x[:32]
    fork.memory.write(CODE + 4, assemble("addi a2, a2, 5", CODE))
    for each, amount in ((hart, 3), (fork, 5), (hart, 3)):
        before = each.x[12]
        each.run(300)
        assert each.x[12] - before == 100 * amount
    hart.memory.write(CODE + 4, assemble("c.addi a2, 7; c.nop", CODE))
    before = fork.x[12], hart.x[12]
    fork.run(300)
    hart.run(400)
    assert (fork.x[12] - before[0], hart.x[12] - before[1]) == (500, 700)


@BOTH
def test_code_through_an_alias(translate: bool) -> None:
    hart = hart_with("loop: addi a1, a1, 1; addi a2, a2, 1; jal zero, loop", translate=translate)
    hart.memory.alias(0x9_0000, 0x1000, CODE, permissions="rwx")
    hart.run(300)
    patch = hart.memory
    hart.hooks[CODE] = lambda hart: patch.write(0x9_0004, assemble("addi a2, a2, 2", 0)) if hart.x[11] == 150 else None
    hart.run(300)
    assert hart.x[12] == 150 + 2 * 50
    hart.hooks.clear()
    hart.pc = 0x9_0000  # and executed there
    hart.run(300)
    assert hart.x[12] == 250 + 2 * 100
    hart.memory.write(CODE + 4, assemble("addi a2, a2, 3", 0))
    hart.run(300)
    assert hart.x[12] == 450 + 3 * 100


@BOTH
def test_unmapped_while_hot(translate: bool) -> None:
    hart = hart_with("loop: addi a1, a1, 1; ld t0, 0(a0); jal zero, loop", translate=translate)
    hart.run(300)
    code, data = (hart.memory.mapping_at(address) for address in (CODE, DATA))
    assert code is not None
    assert data is not None
    hart.memory.unmap(data)
    assert hart.run(10) == Outcome(Status.FAULT, CODE + 4, Cause.LOAD_FAULT, DATA)
    hart.memory.map(DATA, b"\1" * 8)
    assert hart.run(6).status == Status.BUDGET
    assert hart.x[5] == 0x0101010101010101
    hart.memory.unmap(code)
    assert hart.run(6) == Outcome(Status.FAULT, CODE + 4, Cause.FETCH_FAULT, CODE + 4)


# -- where instructions are


@BOTH
def test_instruction_across_regions(translate: bool) -> None:
    memory = Memory()
    code = assemble("c.nop; loop: addi a1, a1, 1; bne a1, a3, loop; ebreak", 0x1FFC)
    memory.map(0x1FFC, code[:4], permissions="rx")
    memory.map(0x2000, code[4:], permissions="x")
    hart = Hart(memory, translate=translate)
    hart.pc, hart.x[13] = 0x1FFC, 50
    assert hart.run(1000) == Outcome(Status.FAULT, 0x2006, Cause.BREAKPOINT, 0x2006)
    assert (hart.x[11], hart.retired) == (50, 101)
    memory.unmap(memory.mappings[1])
    hart.pc = 0x1FFC
    assert hart.run(10) == Outcome(Status.FAULT, 0x1FFE, Cause.FETCH_FAULT, 0x2000)


@BOTH
def test_jalr_clears_bit_0(translate: bool) -> None:
    hart = hart_with(
        "loop: addi a1, a1, 1; jalr t0, 5(a5); c.nop; addi t2, t0, 0; bne a1, a3, loop; ebreak", translate=translate
    )
    hart.x[15], hart.x[13] = CODE + 6, 50
    assert hart.run(1000).cause == Cause.BREAKPOINT
    assert (hart.x[5], hart.x[7], hart.retired) == (CODE + 8, CODE + 8, 200)


@BOTH
@pytest.mark.parametrize("jump", ["jal t0, there", "jalr t0, 6(a5)", "beq zero, zero, there", "bne a1, a4, there"])
def test_without_compressed(jump: str, translate: bool) -> None:
    source = f"loop: addi a1, a1, 1; bltu a1, a3, loop; {jump}; ebreak"
    hart = hart_with(source, translate=translate, compressed=False, symbols={"there": CODE + 0x106})
    hart.x[15], hart.x[13], hart.x[5] = CODE + 0x101, 50, 99
    outcome = hart.run(1000)
    assert outcome == Outcome(Status.FAULT, CODE + 8, Cause.FETCH_MISALIGNED, CODE + 0x106)
    assert (hart.x[5], hart.retired, hart.pc) == (99, 100, CODE + 8)


@BOTH
def test_misaligned_jump_amid_a_path(translate: bool) -> None:
    """A branch of a hot loop that is taken in the end, to where no instruction can be."""
    source = "loop: addi a1, a1, 1; addi a2, a2, 2; beq a1, a3, there; addi a4, a4, 1; jal zero, loop"
    hart = hart_with(source, translate=translate, compressed=False, symbols={"there": CODE + 0x102})
    hart.x[13] = 70
    assert hart.run(1000) == Outcome(Status.FAULT, CODE + 8, Cause.FETCH_MISALIGNED, CODE + 0x102)
    assert (hart.x[12], hart.x[14], hart.retired) == (140, 69, 69 * 5 + 2)


def test_short_instruction_without_compressed() -> None:
    hart = hart_with("c.addi a1, 1", compressed=False)
    assert hart.run(5) == Outcome(Status.FAULT, CODE, Cause.ILLEGAL, 0x0585, text=hart.run(5).text)
    hart.pc = CODE + 2
    assert hart.run(5) == Outcome(Status.FAULT, CODE + 2, Cause.FETCH_MISALIGNED, CODE + 2)
    hart = hart_with("c.addi a1, 1")
    hart.pc = CODE + 1
    assert hart.run(5).cause == Cause.FETCH_MISALIGNED


@BOTH
def test_pc_wraps_around(translate: bool) -> None:
    memory = Memory()
    memory.map(
        MASK64 - 7, assemble("auipc a2, 0; jal a4, start", MASK64 - 7, symbols={"start": MASK64 + 13}), permissions="x"
    )
    memory.map(
        0,
        bytes(12) + assemble("addi a1, a1, 1; jal zero, start", 12, symbols={"start": -8}) + bytes(8),
        permissions="x",
    )
    hart = Hart(memory, translate=translate)
    hart.pc = MASK64 - 7
    assert hart.run(400).status == Status.BUDGET
    assert (hart.x[11], hart.x[12], hart.x[14], hart.pc) == (100, MASK64 - 7, 0, MASK64 - 7)


# -- the end of a program


@BOTH
@pytest.mark.parametrize(
    "line",
    ["jal zero, self", "c.j self", "beq a1, a1, self", "jal ra, self", "jalr zero, 0(a5)", "c.jr a5", "jalr t0, 0(a5)"],
)
def test_stuck(line: str, translate: bool) -> None:
    """A jump to itself ends a run, also behind a hot loop and when it is executed again."""
    hart = hart_with(f"loop: addi a1, a1, 1; addi a2, a2, 1; bne a1, a3, loop; self: {line}", translate=translate)
    for turn in range(1, 12):
        hart.pc, hart.x[13], hart.x[15] = CODE, 30 * turn, CODE + 12
        assert hart.run(10_000).status == Status.STUCK
        assert hart.pc == CODE + 12
        assert hart.retired == turn * 91
        assert hart.x[12] == 30 * turn


@BOTH
def test_branch_to_itself_amid_a_loop(translate: bool) -> None:
    hart = hart_with(
        "loop: addi a1, a1, 1; addi a2, a2, 1; self: beq a1, a3, self; jal zero, loop", translate=translate
    )
    hart.x[13] = 60
    assert hart.run(10_000).status == Status.STUCK
    assert (hart.pc, hart.retired) == (CODE + 8, 59 * 4 + 3)


@BOTH
def test_jump_to_itself_by_a_register_amid_a_loop(translate: bool) -> None:
    hart = hart_with(
        "loop: addi a1, a1, 1; sltu a4, a1, a3; slli a4, a4, 3; add a4, a4, a5; jalr zero, 0(a4); c.nop; c.nop; "
        "jal zero, loop",
        translate=translate,
    )
    hart.x[13], hart.x[15] = 60, CODE + 16  # a4 is the jalr, or what is 8 behind it
    assert hart.run(10_000).status == Status.STUCK
    assert (hart.pc, hart.retired) == (CODE + 16, 59 * 6 + 5)


def test_not_stuck() -> None:
    hart = hart_with("auipc t0, 0; jalr t0, 4(t0); ebreak")  # to itself, then to what is behind it
    assert hart.run(100) == Outcome(Status.FAULT, CODE + 12, Cause.ILLEGAL, 0)
    assert hart.retired == 3


def test_ecall() -> None:
    hart = hart_with("addi a1, a1, 1; ecall; addi a1, a1, 1; ecall; addi a1, a1, 1")
    assert hart.run() == Outcome(Status.FAULT, CODE + 4, Cause.ECALL, 0)
    assert hart.retired == 1
    asked: list[int] = []

    def ask(hart: Hart) -> Outcome | None:
        asked.append(hart.pc)
        hart.x[12] = 5
        return Outcome(Status.EXITED, hart.pc, value=3) if len(asked) == 2 else None

    hart.on_ecall = ask
    assert hart.run() == Outcome(Status.EXITED, CODE + 12, value=3)
    assert asked == [CODE + 4, CODE + 12]
    assert (hart.pc, hart.retired, hart.x[11], hart.x[12]) == (CODE + 16, 4, 2, 5)
    assert hart.step() is None
    assert hart.x[11] == 3


def test_ebreak() -> None:
    for line, size in (("ebreak", 4), ("c.ebreak", 2)):
        hart = hart_with(f"addi a1, a1, 1; {line}; addi a1, a1, 1")
        assert hart.run() == Outcome(Status.FAULT, CODE + 4, Cause.BREAKPOINT, CODE + 4)
        hart.pc += size
        assert hart.step() is None
        assert (hart.x[11], hart.retired) == (2, 2)


@pytest.mark.parametrize(("word", "name"), [(0x00053087, "D"), (0x02A5F553, "D"), (0x00000057, "V")])
def test_extensions_that_are_missing(word: int, name: str) -> None:
    hart = hart_with("")
    hart.memory.write(CODE, words(word))
    hart.csrs.values[STVEC] = CODE + 0x100
    outcome = hart.run()
    assert (outcome.status, outcome.pc, outcome.cause, outcome.tval) == (Status.UNSUPPORTED, CODE, Cause.ILLEGAL, word)
    assert name in outcome.text
    assert hart.retired == 0


# -- traps that the program handles

HANDLER = """
    csrrs t0, {epc}, zero
    csrrs t1, {cause}, zero
    csrrs t2, {tval}, zero
    addi s2, s2, 1
    addi t0, t0, {size}
    csrrw zero, {epc}, t0
    {ret}
"""


@BOTH
@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize(
    ("line", "cause", "tval", "size"),
    [
        ("ld a6, 0(zero)", Cause.LOAD_FAULT, 0, 4),
        ("sd a6, 8(zero)", Cause.STORE_FAULT, 8, 4),
        ("ecall", Cause.ECALL, 0, 4),
        ("ebreak", Cause.BREAKPOINT, CODE + 4, 4),
        ("c.ebreak", Cause.BREAKPOINT, CODE + 4, 2),
        ("csrrs a6, 0x7c0, zero", Cause.ILLEGAL, 0x7C002873, 4),
        ("csrrw zero, cycle, a6", Cause.ILLEGAL, 0xC0081073, 4),
    ],
)
def test_handler(mode: str, line: str, cause: Cause, tval: int, size: int, translate: bool) -> None:
    registers = {name: f"{mode}{name}" for name in ("epc", "cause", "tval", "ret")}
    source = f"loop: addi a1, a1, 1; {line}; addi a2, a2, 1; bne a1, a3, loop; self: jal zero, self"
    hart = hart_with(source, translate=translate, csrs=dict(MACHINE))
    hart.memory.write(CODE + 0x100, assemble(HANDLER.format(size=size, **registers), 0))
    hart.csrs.values[STVEC if mode == "s" else MTVEC] = CODE + 0x101  # vectored, which is for interrupts
    hart.x[13] = 50
    assert hart.run(10_000).status == Status.STUCK
    assert (hart.x[5], hart.x[6], hart.x[7]) == (CODE + 4 + size, cause, tval)
    assert (hart.x[18], hart.x[11], hart.x[12]) == (50, 50, 50)
    assert hart.retired == 50 * (3 + 7) + 1
    values = hart.csrs.values
    number = (SEPC, SCAUSE, STVAL) if mode == "s" else (MEPC, MCAUSE, MTVAL)
    assert [values[n] for n in number] == [CODE + 4 + size, cause, tval]


@BOTH
def test_handlers_that_never_end(translate: bool) -> None:
    for handler, source in (
        (CODE, "ebreak"),  # traps at the handler itself
        (CODE + 0x800, "ebreak"),  # the handler is an illegal instruction
        (0x7000, "ebreak"),  # there is none
        (CODE + 4, "ebreak; ld a1, 0(zero)"),
        (CODE + 4, "ebreak; addi a1, a1, 1; ebreak"),
        (CODE + 4, "ebreak; sret"),
        (CODE + 4, "ebreak; addi a1, a1, 1; sret"),
    ):
        hart = hart_with(source, translate=translate)
        hart.csrs.values[STVEC] = handler
        outcome = hart.run()
        assert outcome.status == Status.FAULT
        assert "again and again" in outcome.text


@BOTH
def test_breakpoint_at_a_handler(translate: bool) -> None:
    hart = hart_with("ebreak; addi a1, a1, 1", translate=translate)
    hart.csrs.values[STVEC] = CODE + 4
    hart.breakpoints.add(CODE + 4)
    assert hart.run() == Outcome(Status.STOPPED, CODE + 4, text="breakpoint")
    assert hart.retired == 0
    hart.pc = CODE
    assert hart.step() is None  # a step may be a trap
    assert (hart.pc, hart.retired) == (CODE + 4, 0)


def test_a_trap_takes_the_reservation() -> None:
    hart = hart_with("lr.d t0, (a0); ebreak; sc.d t1, t0, (a0); sc.d t2, t0, (a0)")
    hart.csrs.values[STVEC] = CODE + 8
    hart.run(3)
    assert (hart.x[6], hart.x[7]) == (1, 1)


# -- reservations


@BOTH
def test_reservations(translate: bool) -> None:
    hart = hart_with(
        """
        loop: lr.w t0, (a0)
        addi t1, t0, 1
        sc.w t2, t1, (a0)
        sc.w t3, t1, (a0)
        lr.d t0, (a5)
        sc.d t4, t1, (a0)
        sc.d t5, t1, (a5)
        addi a1, a1, 1
        bne a1, a3, loop
        ebreak
        """,
        translate=translate,
    )
    hart.x[15], hart.x[13] = DATA + 8, 50
    assert hart.run(1000).cause == Cause.BREAKPOINT
    assert [hart.x[n] for n in (7, 28, 29, 30)] == [0, 1, 1, 1]
    assert hart.memory.read(DATA, 16) == (50).to_bytes(16, "little")


# -- traces, logs


def test_trace() -> None:
    hart = hart_with(
        """
        addi a1, zero, -1
        sh a1, 3(a0)
        lw a2, 0(a0)
        lbu a3, 4(a0)
        amoadd.d a4, a1, (a0)
        c.lw a5, 4(a0)
        addi a1, a1, 0
        self: beq a1, zero, self
        sd a1, 0(a6)
        """
    )
    hart.x[16] = DATA + 0xFFC
    retired = list(hart.trace(9))
    assert retired[-1] == Outcome(Status.BUDGET, CODE + 34)
    done = [each for each in retired if isinstance(each, Retired)]
    assert [each.pc - CODE for each in done] == [0, 4, 8, 12, 16, 20, 22, 26, 30]
    assert [each.insn.name for each in done] == ["addi", "sh", "lw", "lbu", "amoadd.d", "c.lw", "addi", "beq", "sd"]
    assert [each.writes for each in done] == [
        ((11, MASK64),),
        (),
        ((12, 0xFFFF_FFFF_FF00_0000),),
        ((13, 0xFF),),
        ((14, 0xFF_FF00_0000),),
        ((15, 0xFF),),
        ((11, MASK64),),
        (),
        (),
    ]
    assert [each.accesses for each in done] == [
        (),
        (("store", DATA + 3, 2, 0xFFFF),),
        (("load", DATA, 4, 0xFF00_0000),),
        (("load", DATA + 4, 1, 0xFF),),
        (("load", DATA, 8, 0xFF_FF00_0000), ("store", DATA, 8, 0xFF_FEFF_FFFF)),
        (("load", DATA + 4, 4, 0xFF),),
        (),
        (),
        (("store", DATA + 0xFFC, 8, MASK64),),
    ]


def test_traced_loads_are_as_in_memory() -> None:
    """`Access` has the value, the same whether a load was quick or not."""
    for address in (DATA, DATA + 1, DATA + 0xFFF):
        hart = hart_with("lh a1, 0(a0)")
        hart.memory.write(address, b"\xfe\xff")
        hart.x[10] = address
        first, _ = hart.trace(1)
        assert isinstance(first, Retired)
        assert first.accesses == (("load", address, 2, 0xFFFE),)
        assert first.writes == ((11, MASK64 - 1),)


def test_trace_of_code_that_is_written() -> None:
    hart = hart_with("amoadd.w a1, a2, (a3); addi a4, zero, 1", permissions="rwx")
    hart.x[13], hart.x[12] = CODE + 4, 4 << 20
    hart.pc = CODE + 4
    hart.run(1)  # it has been fetched
    hart.pc = CODE
    first, second, _ = hart.trace(2)
    assert isinstance(first, Retired)
    assert isinstance(second, Retired)
    assert first.accesses == (("load", CODE + 4, 4, 0x00100713), ("store", CODE + 4, 4, 0x00500713))
    assert second.writes == ((14, 5),)


def test_trace_is_a_run() -> None:
    """Hooks, breakpoints, traps and budgets as in a run."""

    def made() -> tuple[Hart, list[int]]:
        hart = hart_with("loop: addi a1, a1, 1; ebreak; addi a2, a2, 1; jal zero, loop")
        hart.memory.write(
            CODE + 0x100, assemble(HANDLER.format(epc="sepc", cause="scause", tval="stval", ret="sret", size=4), 0)
        )
        hart.csrs.values[STVEC] = CODE + 0x100
        calls: list[int] = []
        hart.hooks[CODE + 8] = lambda hart: calls.append(hart.retired)
        hart.hooks[CODE + 12] = lambda hart: calls.append(hart.retired)
        return hart, calls

    for budget in range(40):
        run, run_calls = made()
        trace, trace_calls = made()
        outcome = run.run(budget)
        *retired, last = trace.trace(budget)
        assert last == outcome
        assert len(retired) == run.retired == trace.retired == budget
        assert seen(run) == seen(trace)
        assert len(run_calls) == len(trace_calls)
    run, _ = made()
    trace, _ = made()
    run.breakpoints.add(CODE + 8)
    trace.breakpoints.add(CODE + 8)
    for _ in range(3):
        assert run.run() == list(trace.trace())[-1]
        assert seen(run) == seen(trace)


def test_log() -> None:
    hart = hart_with(
        """
        sd a1, 0(a0)
        sd a1, 64(a0)
        fence rw, w
        fence.i
        sfence.vma a0, zero
        cbo.flush (a0)
        cbo.zero (a5)
        wfi
        ld a2, 256(a6)
        ebreak
        """
    )
    hart.memory.map(0x5_0000, size=0x1000, poison=True)
    hart.memory.watch(Span(DATA, DATA + 8))
    hart.x[15], hart.x[16] = DATA + 0x9F, 0x5_0000
    hart.memory.write(DATA + 0x78, b"\xff" * 0x50)
    hart.log = []
    hart.run()
    assert hart.log == [
        Event("store", CODE, DATA, 8, 0),
        Event("fence", CODE + 8, 0x31),
        Event("fence.i", CODE + 12),
        Event("sfence", CODE + 16, DATA),
        Event("cbo", CODE + 20, DATA),
        Event("cbo.zero", CODE + 24, DATA + 0x80),
        Event("wfi", CODE + 28),
        Event("poison", CODE + 32, 0x5_0100, 8),
    ]
    assert hart.memory.read(DATA + 0x78, 0x50) == b"\xff" * 8 + bytes(64) + b"\xff" * 8


def test_log_of_code_that_is_zeroed() -> None:
    hart = hart_with("cbo.zero (a5)", permissions="rwx")
    hart.x[15] = CODE + 0x44
    hart.memory.write(CODE + 0x40, b"\1\0" * 32)
    hart.pc = CODE + 0x40
    hart.run(2)
    hart.pc, hart.log = CODE, []
    hart.run(1)
    assert hart.log == [Event("cbo.zero", CODE, CODE + 0x40)]
    assert hart.memory.read(CODE + 0x40, 64) == bytes(64)


@BOTH
def test_x0(translate: bool) -> None:
    """x0 is 0 whatever was written to it, by anything."""
    loads = "addi zero, a0, 1; lw zero, 0(a0); amoadd.w zero, a3, (a0)"
    others = "jal zero, on; on: sc.w zero, a0, (a0); mulh zero, a0, a0"
    hart = hart_with(
        f"loop: {loads}; {others}; add a2, a2, zero; addi a1, a1, 1; bne a1, a3, loop; ebreak", translate=translate
    )
    hart.x[13] = 50
    hart.run(1000)
    assert (hart.x[0], hart.x[12]) == (0, 0)


@BOTH
def test_x0_as_what_amocas_compares_with(translate: bool) -> None:
    source = "loop: addi zero, a0, 5; amocas.w zero, a3, (a0); sd zero, 0(a0); addi a1, a1, 1; bne a1, a3, loop"
    hart = hart_with(f"{source}; addi zero, a0, 5; amocas.w zero, a3, (a0); ebreak", translate=translate)
    hart.x[13] = 50
    assert hart.run(1000).cause == Cause.BREAKPOINT
    assert hart.memory.load(8, DATA) == 50
