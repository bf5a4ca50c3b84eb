# SPDX-License-Identifier: GPL-2.0-or-later
"""Trampolines run: a traced function is called in each lane, and what its trampoline does is compared.

BPF programs, the functions around them and the traced function's body are the host's (`hosts`). Lanes run until
each stands before one of them, are looked at all together, and go on: a round for each thing that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...isa.encoding import REG_NAMES
from ...machine.lanes import Lanes
from ...machine.outcome import Status
from ...run.kernel import A0, GP, RA, SP, TP
from ...units import BoolArray, I64Array, U8Array, U64Array
from ..patcher import Patcher
from ..trial import first_values
from .bench import Traced
from .cases import Case, Flag
from .contract import Contract, Values
from .interface import Interface
from .jit import ROOM, Built
from .programs import Programs
from .promises import BpfPromise

__all__ = ["BUDGET", "S0", "Breach", "Life"]

T0, S0 = 5, 8
_SAVED = (SP, GP, TP, 8, 9, *range(18, 28))
_LOCAL = (7, 28, 29, 30, 31)
_ROOM = 1024
"""Bytes of stack above the sp that the traced function is called with: its caller's frame."""
_INTERRUPT, _LOST = 288, 0xB7
"""Bytes that an interrupt keeps, struct pt_regs, and what they are."""
BUDGET = 4_000
"""Instructions between two things that happen."""
_MOST_ROUNDS = 200
_U64 = np.uint64


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was broken in some lanes.

    Args:
        promise: which.
        what: what it is about.
        lanes: int64[k], cases.
        expected, got: uint64[k].
        note: one sentence, empty if the values say it all.
    """

    promise: BpfPromise
    what: str
    lanes: I64Array
    expected: U64Array
    got: U64Array
    note: str = ""


@dataclass
class Life:
    """The lanes of a batch while their trampolines run.

    Args:
        patcher: the lanes; the site of the traced function calls trampolines.
        interface: layouts.
        programs: the pool.
        traced: the function.
        cases: one a lane.
        built: their trampolines.
        local: t2-t6 are arguments of local functions, too.
        real: let the traced function run, instead of a host function in its place.
        first_lane: number that the numbers of the first lane are made from.
        budget: instructions between two things that happen.

    Attributes:
        breaches: in the order in which they were seen.
        cursor: int64[n], how many events have happened.
        lost: bool[n], lanes that are no longer compared.
        is_stranded: the traced function itself, which was let run, did not come back.
        insns: instructions executed.
        tell: called with a line for each thing that happens, if anybody wants to know.
        step, stepped: called before and after each instruction of lane 0, if there are no others.
        amid: called with lanes that are in the traced function, before it returns.
        interrupts: let one come before each instruction of a trampoline: what is below sp is lost.
    """

    patcher: Patcher
    interface: Interface
    programs: Programs
    traced: Traced
    cases: Sequence[Case]
    built: Built
    local: bool
    real: bool = False
    first_lane: int = 0
    budget: int = BUDGET
    breaches: list[Breach] = field(default_factory=list)
    insns: int = 0
    tell: Callable[[str], None] | None = None
    step: Callable[[Lanes], None] | None = None
    stepped: Callable[[Lanes], None] | None = None
    amid: Callable[[I64Array], None] | None = None
    interrupts: bool = False

    def __post_init__(self) -> None:
        n = len(self.cases)
        self.engine, self.memory, self.scene = self.patcher.lanes, self.patcher.memory, self.patcher.scene
        self.contract = Contract(self.cases, self.programs)
        self.values = Values(self.contract, self.first_lane)
        self.cursor: I64Array = np.zeros(n, np.int64)
        self.lost: BoolArray = np.zeros(n, np.bool_)
        self.first: U64Array = first_values(n)
        self.above: U8Array = np.zeros(0, np.uint8)
        self.is_stranded = False

    @property
    def stack_top(self) -> int:
        """The sp that the traced function is called with."""
        return self.scene.stack.end - _ROOM

    def prepare(self, group: I64Array, by_site: BoolArray) -> None:
        """Set registers and stack of lanes as the traced function's caller does, and where they start.

        Args:
            group: which lanes.
            by_site: bool[n], which go through the site and the kernel's own direct call.
        """
        scene, first, slots = self.scene, self.first, self.contract.slots
        self.memory.clear(scene.stack.start)
        sp = self.stack_top
        first[SP], first[RA], first[GP], first[TP] = sp, scene.parent, self.patcher.gp, scene.task.start
        first[S0] = scene.stack.end - 64
        pattern = np.arange(_ROOM, dtype=np.uint16).astype(np.uint8) ^ np.uint8(0x3C)
        self.memory.write(group, sp, pattern)
        for number in range(self.values.slots.shape[1]):
            column = self.values.slots[:, number]
            if number < 8:
                first[A0 + number] = np.where(slots > number, column, first[A0 + number])
            else:
                some = group[slots[group] > number]
                self.memory.write_u64(some, sp + 8 * (number - 8), column[some])
        indirect = self.contract.flag(Flag.INDIRECT)
        first[T0] = np.where(indirect | by_site, first[T0], _U64(self.traced.body))
        self.engine.x[:, group] = first[:, group]
        self.above = self.memory.read(None, sp, _ROOM)
        self.engine.stop(np.flatnonzero(self.engine.status == Status.BUDGET), Status.STOPPED)  # of an earlier life
        start = np.where(by_site & ~indirect, _U64(self.traced.func), self.built.entry)
        self.engine.start(start[group], group)

    def rounds(self, group: I64Array, stops: set[int]) -> Iterator[I64Array]:
        """Let lanes run to the next address of `stops`, again and again; yield those that stand at one.

        Whoever looks at them starts those that are to go on.
        """
        engine = self.engine
        engine.hooks, engine.breakpoints = {}, stops
        for _ in range(_MOST_ROUNDS):
            executed = engine.insns
            self._run(stops)
            self.insns += engine.insns - executed
            here = group[(engine.status[group] == Status.STOPPED) & ~self.lost[group]]
            yield here
            group = group[engine.status[group] == Status.RUNNING]
            if not len(group):
                return

    def _run(self, stops: set[int]) -> None:
        engine = self.engine
        if self.interrupts:
            self._run_interrupted(stops)
            return
        if self.step is None or self.stepped is None:
            engine.run(self.budget)
            return
        for _ in range(self.budget):
            self.step(engine)
            engine.run(1)
            self.stepped(engine)
            if engine.status[0] != Status.BUDGET:
                return
            if int(engine.pc[0]) in stops:
                engine.stop(None, Status.STOPPED)
                return

    def _run_interrupted(self, stops: set[int]) -> None:
        engine, places = self.engine, np.fromiter(stops, _U64, len(stops))
        for _ in range(self.budget):
            engine.run(1)
            going = np.flatnonzero(engine.status == Status.BUDGET).astype(np.int64)
            arrived = np.isin(engine.pc[going], places)
            if arrived.any():
                engine.stop(going[arrived], Status.STOPPED)
            going = going[~arrived]
            if not len(going):
                return
            self._interrupt(going)

    def _interrupt(self, lanes: I64Array) -> None:
        """Overwrite what is below sp in lanes that are in a trampoline."""
        start, pc, stack = self.built.start[lanes], self.engine.pc[lanes], self.scene.stack
        lanes = lanes[(pc >= start) & (pc < start + _U64(ROOM))]
        sp = self.engine.x[SP, lanes]
        sound = (sp > _U64(stack.start + _INTERRUPT)) & (sp <= _U64(stack.end)) & (sp & _U64(7) == 0)
        if sound.any():
            self.memory.write(lanes[sound], sp[sound] - _U64(_INTERRUPT), np.full(_INTERRUPT, _LOST, np.uint8))

    # -- what is compared

    def breach(
        self, promise: BpfPromise, what: str, lanes: I64Array, wrong: BoolArray, expected: U64Array | int,
        got: U64Array | int, note: str = "",
    ) -> None:  # fmt: skip
        """Note what was broken in lanes[wrong]; lanes that are no longer compared are left out."""
        wrong = wrong & ~self.lost[lanes]
        if not wrong.any():
            return
        wanted, found = (np.broadcast_to(np.asarray(each, _U64), (len(lanes),))[wrong] for each in (expected, got))
        self.breaches.append(Breach(promise, what, lanes[wrong], wanted, found, note))
        if self.tell is not None:
            self.tell(f"!! {what}: {int(found[0]):#x}, not {int(wanted[0]):#x}{'; ' * bool(note)}{note}")

    def lose(self, lanes: I64Array) -> None:
        """Compare lanes no longer."""
        self.lost[lanes] = True

    def judge(self, group: I64Array) -> None:
        """Compare where and how lanes ended."""
        self._judge_end(group)
        self._judge_registers(group)
        going = group[~self.lost[group]]
        now, was = self.memory.read(going, self.stack_top, _ROOM), self.above[going]
        differs = now != was
        at = differs.argmax(axis=1).astype(_U64) + _U64(self.stack_top)
        self.breach(BpfPromise.STACK, "the caller's frame", going, differs.any(axis=1), at, at, "it is written to")
        where = self.memory.poison_pcs[group]
        self.breach(
            BpfPromise.STACK, "the stack", group, self.memory.poison_reads[group], where, where,
            "memory is read that nothing has written",
        )  # fmt: skip

    def _judge_end(self, group: I64Array) -> None:
        engine, contract = self.engine, self.contract
        target = np.where(contract.to_parent, _U64(self.scene.parent), _U64(self.traced.body))[group]
        status, pc = engine.status[group], engine.pc[group]
        stopped = status == Status.STOPPED
        if self.real:  # what a function does with arguments that somebody has thought of is no matter of its trampoline
            start = self.built.start[group]
            away = ~stopped & ~((pc >= start) & (pc < start + _U64(ROOM)))
            self.is_stranded = bool(away.any())
            self.lose(group[away])
        for kind in np.unique(status[~stopped & ~self.lost[group]]).tolist():
            here = (status == kind) & ~self.lost[group]
            reason = engine.outcome(int(group[here][0])).reason
            self.breach(BpfPromise.LEAVES, "the trampoline", group, here, target, pc, f"it ends there: {reason}")
        self.lose(group[~stopped])
        wanted = contract.event(group, self.cursor[group])
        missing = stopped & (wanted != 0)
        for event in np.unique(wanted[missing & ~self.lost[group]]).tolist():
            what = f"{contract.spell(event, self.programs)} does not happen"
            self.breach(BpfPromise.SEQUENCE, what, group, missing & (wanted == event), pc, pc)
        self.lose(group[missing])
        self.breach(BpfPromise.LEAVES, "the trampoline", group, pc != target, target, pc, "it is left to there")

    def _judge_registers(self, group: I64Array) -> None:
        engine, contract = self.engine, self.contract
        first, last = self.first[:, group], engine.x[:, group]
        for number in (*_SAVED, RA):
            wrong = last[number] != first[number]
            wrong &= ~contract.to_parent[group] if number == RA else True
            self.breach(
                BpfPromise.LEAVES, REG_NAMES[number], group, wrong, first[number], last[number], "it is not what it was"
            )
        restored = contract.restores[group]
        for number in range(A0, A0 + 8):
            here = restored & (contract.slots[group] > number - A0) & (last[number] != first[number])
            here &= ~contract.saves[group] if number == A0 else True
            what = f"{REG_NAMES[number]} when the function goes on"
            self.breach(BpfPromise.PASSED, what, group, here, first[number], last[number])
        goes_on = restored & ~contract.to_parent[group]
        for position, number in enumerate(_LOCAL if self.local else ()):
            here = goes_on & (contract.slots[group] > 8 + position) & (last[number] != first[number])
            note = "clang passes arguments of local functions there behind a7"
            self.breach(BpfPromise.LOCAL, REG_NAMES[number], group, here, first[number], last[number], note)
        wanted, known = self.values.final(contract, group)
        wrong = known & (last[A0] != wanted)
        sizes = self.values.sizes[group]
        narrow = self.contract.flag(Flag.INDIRECT)[group] & ~self.values.signed[group] & (sizes > 0) & (sizes < 4)
        what, got = "the value that is returned", last[A0]
        self.breach(BpfPromise.VALUE, what, group, wrong & ~narrow, wanted, got)
        note = "bits above an unsigned type's own are what the program left there"
        self.breach(BpfPromise.NARROW, what, group, wrong & narrow, wanted, got, note)
