# SPDX-License-Identifier: GPL-2.0-or-later
"""Many harts in lockstep: one instruction is executed by all lanes that stand at it.

Lanes at one address form a group, which runs instruction after instruction until it branches apart or meets
another; `groups` says who goes on next. Lanes that stand at many addresses go on step by step together, sorted by
what they execute, until enough of them meet. All the work is in the printed functions and in the memory; here
is who executes what, and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..units import I64Array, U64Array
from .csrs import SUPERVISOR
from .groups import FEW, Group, Key, Schedule
from .lane_access import LaneSet, LaneTrap, same_in_all, spread
from .lane_code import REGISTERS, VALUES, Bound, Columns, bind, insn_of
from .lane_effects import Effects
from .lane_memory import LaneMemory
from .lane_table import Table
from .outcome import Cause, Outcome, Status
from .vector import Compiled

__all__ = ["Hook", "Lanes"]

_U64 = np.uint64
_FEW_PLACES = 16
_BREAKPOINT, _HOOK = _U64(1), _U64(2)
_STUCK = "an instruction that jumps to itself"
_UNLIMITED = np.iinfo(np.int64).max

Hook = Callable[["Lanes", I64Array], None]
"""Called with the lanes that have arrived, int64[m] ascending. It may change them, also their pc, and stop them."""


class Lanes:
    """n harts over one memory.

    Args:
        memory: of n lanes.
        csrs: numbers and first values of the CSRs.
        compressed: whether 16-bit instructions exist; without them a lane that arrives at an address which is
            no multiple of 4 faults there.

    Attributes:
        x: uint64[32, n], a row for each register; x[0] stays 0.
        pc: uint64[n], address of the next instruction.
        status: int8[n], a Status.
        cause: int8[n], a Cause of a FAULT or an UNSUPPORTED, else -1.
        tval: uint64[n], what the cause is about; the exit status of an EXITED.
        retired: int64[n], instructions that each lane has executed.
        insns: their sum.
        steps: how often an instruction was executed, whatever the number of lanes.
        csrs: number to value, one np.uint64 or uint64[n].
        hooks: functions to call when lanes arrive at an address, before its instruction is executed; read
            when a run starts. Where a hook leaves the pc, that instruction is executed next.
        breakpoints: addresses at which lanes stop, unless a run starts there; read when a run starts.
        on_ecall: called for ECALL, which is a fault without it. A lane whose pc it leaves goes on behind.
    """

    def __init__(self, memory: LaneMemory, *, csrs: Mapping[int, int] = SUPERVISOR, compressed: bool = True):
        n = memory.n
        self.n, self.memory = n, memory
        self._odd = 1 if compressed else 3  # bits that a pc must not have
        self.x: U64Array = np.zeros((32, n), _U64)
        self.pc: U64Array = np.zeros(n, _U64)
        self.status = np.full(n, Status.STOPPED, np.int8)
        self.cause = np.full(n, -1, np.int8)
        self.tval: U64Array = np.zeros(n, _U64)
        self.retired: I64Array = np.zeros(n, np.int64)
        self.insns = self.steps = 0
        self.hooks: dict[int, Hook] = {}
        self.breakpoints: set[int] = set()
        self.on_ecall: Hook | None = None
        self._effects = Effects(memory, csrs, self.retired)
        self.csrs = self._effects.csrs
        self._all: I64Array = np.arange(n, dtype=np.int64)
        self._all.flags.writeable = False
        self._first_sp: U64Array = np.zeros(n, _U64)
        self._limit: I64Array = np.zeros(n, np.int64)
        self._texts = [""]
        self._text = np.zeros(n, np.int16)  # of each lane, a position in _texts
        self._fresh = np.zeros(n, np.bool_)  # lanes that were started since they last ran
        self._schedule = Schedule(n)
        self._columns = Columns()
        self._code: dict[int, Bound] = {}
        self._epoch = memory.epoch
        self._stops: dict[int, Hook | None] = {}
        self._stop_table = Table()

    # -- from outside

    def start(self, pc: U64Array | int, lanes: LaneSet = None) -> None:
        """Let lanes run from an address, when `run` is called; the registers are what they are.

        Args:
            pc: uint64[m], or one for all.
            lanes: which.
        """
        where: Any = ... if lanes is None else lanes
        self.pc[where] = pc if isinstance(pc, np.ndarray) else _U64(pc)
        self._end(where, Status.RUNNING)
        self._fresh[where] = True

    def stop(self, lanes: LaneSet, status: Status, value: int | U64Array = 0, text: str = "") -> None:
        """End lanes where they stand.

        Args:
            lanes: which.
            status: STOPPED or EXITED.
            value: exit status, uint64[m] or one for all.
            text: what there is to say.
        """
        tval = value if isinstance(value, np.ndarray) else value & 0xFFFFFFFFFFFFFFFF
        self._end(... if lanes is None else lanes, status, tval=tval, text=text)

    def outcome(self, lane: int) -> Outcome:
        """Return how a lane's run ended."""
        status, tval = Status(int(self.status[lane])), int(self.tval[lane])
        cause = Cause(int(self.cause[lane])) if self.cause[lane] >= 0 else None
        is_exit = status == Status.EXITED
        text = self._texts[self._text[lane]]
        return Outcome(status, int(self.pc[lane]), cause, 0 if is_exit else tval, tval if is_exit else 0, text)

    def run(self, budget: int | None = None) -> None:
        """Execute until all lanes have ended; those that had used up their budget go on, too.

        Args:
            budget: instructions of each lane at most; unlimited by default.
        """
        lanes = np.flatnonzero((self.status == Status.RUNNING) | (self.status == Status.BUDGET))
        self._end(lanes, Status.RUNNING)
        self._limit[lanes] = _UNLIMITED if budget is None else self.retired[lanes] + budget
        self._first_sp[self._fresh] = self.x[2, self._fresh]
        self._fresh[:] = False
        self._effects.has_environment = self.on_ecall is not None
        with np.errstate(all="ignore"):
            self._find_stops()
            self._leave_breakpoints(lanes)
            while (group := self._schedule.take()) is not None:
                if group.pc is None:
                    self._run_scattered(group)
                else:
                    self._run_group(group, group.pc)

    def _end(self, where: Any, status: Status, *, cause: int = -1, tval: Any = 0, text: str = "") -> None:
        if text not in self._texts:
            self._texts.append(text)
        self.status[where] = status
        self.cause[where] = cause
        self.tval[where] = tval
        self._text[where] = self._texts.index(text)

    # -- stops

    def _find_stops(self) -> None:
        self._stops = self.hooks | dict.fromkeys(self.breakpoints)
        self._stop_table = Table(len(self._stops))
        for addresses, kind in ((self.hooks, _HOOK), (self.breakpoints, _BREAKPOINT)):
            if addresses:
                keys = np.fromiter(addresses, _U64, len(addresses))
                self._stop_table.put(keys, np.full(len(keys), kind))

    def _leave_breakpoints(self, lanes: I64Array) -> None:
        """Let lanes go, those that start at a breakpoint by executing its instruction first."""
        lanes = self._solvent(lanes)
        if not self.breakpoints or not len(lanes):
            return self._disperse(lanes)
        at = self._stop_table.find(self.pc[lanes]) >= 0
        self._disperse(lanes[~at])
        starting, here = lanes[at], []
        for pc in np.unique(self.pc[starting]).tolist():
            group = starting[self.pc[starting] == pc]
            here.append(self._call(self.hooks[pc], group, pc) if pc in self.hooks else group)
        if here:
            self._step(np.sort(np.concatenate(here)))
        return None

    def _arrive(self, lanes: I64Array, pc: int) -> I64Array:
        """Do what is to be done where lanes have arrived; return those that execute what is there."""
        hook = self._stops[pc]
        if hook is None:
            self.stop(lanes, Status.STOPPED, text="breakpoint")
            return lanes[:0]
        return self._call(hook, lanes, pc)

    def _call(self, hook: Hook, lanes: I64Array, pc: int) -> I64Array:
        """Call a hook; return the lanes that execute what is at its address."""
        hook(self, lanes)
        lanes = self._running(lanes)
        stays = self.pc[lanes] == _U64(pc)
        self._disperse(lanes[~stays])
        staying: I64Array = lanes[stays]
        return staying

    def _arrive_scattered(self, lanes: I64Array) -> I64Array:
        """Do the same for lanes at many addresses."""
        slots = self._stop_table.find(self.pc[lanes])
        if (slots < 0).all():
            return lanes
        is_hook = (slots >= 0) & (self._stop_table.values[slots] == _HOOK)
        hooked, going = lanes[is_hook], [lanes[slots < 0]]
        self.stop(lanes[(slots >= 0) & ~is_hook], Status.STOPPED, text="breakpoint")
        pcs = self.pc[hooked]
        for pc in np.unique(pcs).tolist():
            going.append(self._arrive(hooked[pcs == pc], pc))
        together: I64Array = np.sort(np.concatenate(going))
        return together

    def _running(self, lanes: I64Array) -> I64Array:
        running: I64Array = lanes[self.status[lanes] == Status.RUNNING]
        return running

    def _solvent(self, lanes: I64Array) -> I64Array:
        """End lanes that have no budget left; return the others."""
        broke = self.retired[lanes] >= self._limit[lanes]
        if not broke.any():
            return lanes
        self._end(lanes[broke], Status.BUDGET)
        solvent: I64Array = lanes[~broke]
        return solvent

    # -- groups

    def numbers(self, lanes: LaneSet) -> I64Array:
        """Return the numbers of some lanes, int64[m], not to be written to."""
        return self._all if lanes is None else lanes

    def _depth(self, lanes: LaneSet) -> int:
        """Return how far sp of the first lane is from where it started."""
        first = 0 if lanes is None else lanes[0]
        return int((self.x[2, first] - self._first_sp[first]).astype(np.int64))

    def _wait(self, lanes: I64Array, pc: int | None) -> None:
        """Put lanes in the schedule; their pc and what they have retired are up to date."""
        if not len(lanes):
            return
        group = None if len(lanes) == self.n else lanes
        if pc is None:
            depths = (self.x[2][lanes] - self._first_sp[lanes]).view(np.int64)
            self._schedule.add(group, None, int(depths.min()))
        else:
            self._schedule.add(group, pc, self._depth(group))

    def _disperse(self, lanes: I64Array) -> None:
        """Put running lanes in the schedule according to where they stand."""
        if not len(lanes):
            return
        pcs = self.pc[lanes]
        pc = same_in_all(pcs)
        if pc is not None:
            self._wait(lanes, pc)
            return
        ordered = np.sort(pcs)
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sizes = np.diff(np.concatenate((starts, [len(ordered)])))
        chosen = sizes > 0 if len(starts) <= _FEW_PLACES else sizes >= FEW
        rest = np.ones(len(lanes), np.bool_)
        for place in ordered[starts[chosen]]:
            here = pcs == place
            self._wait(lanes[here], int(place))
            rest &= ~here
        self._wait(lanes[rest], None)

    # -- lanes at one address

    def _run_group(self, group: Group, pc: int) -> None:
        lanes = self._solvent(self._running(self.numbers(group.lanes)))
        while len(lanes):
            if pc in self._stops:
                lanes = self._arrive(lanes, pc)
                if not len(lanes):
                    return
            stretch = _Stretch(self, None if len(lanes) == self.n else lanes, pc)
            stretch.run()
            lanes, pc = self.numbers(stretch.lanes), stretch.pc
            if not stretch.is_at_stop:
                self._disperse(self._running(lanes))
                return

    def bound(self, lanes: LaneSet, pc: int) -> Bound | None:
        """Return the instruction at pc, None if it differs between the lanes.

        Raises:
            LaneTrap: some have none there.
        """
        if self._epoch != self.memory.epoch:
            self._epoch = self.memory.epoch
            self._code.clear()
        entry = self._code.get(pc)
        if entry is not None:
            return entry
        if pc & self._odd:
            raise LaneTrap(Cause.FETCH_MISALIGNED, None, pc)
        word = self.memory.fetch_same(pc)
        if word is None:
            count = self.n if lanes is None else len(lanes)
            word = same_in_all(self.memory.fetch(lanes, np.full(count, pc, _U64)))
            return None if word is None else bind(word, pc, self.x)
        entry = self._code[pc] = bind(word, pc, self.x)
        return entry

    def fail(self, lanes: I64Array, trap: LaneTrap) -> Any:
        """End the lanes that a trap is about, where they stand; return which of them go on, bool[m]."""
        failed = np.ones(len(lanes), np.bool_) if trap.failed is None else trap.failed
        status = Status.FAULT if trap.supported else Status.UNSUPPORTED
        tval = spread(_U64(trap.tval) if isinstance(trap.tval, int) else trap.tval, len(lanes))[failed]
        self._end(lanes[failed], status, cause=int(trap.cause), tval=tval, text=trap.text)
        return ~failed

    def end_stuck(self, lanes: I64Array) -> None:
        """End lanes whose instruction jumps to itself."""
        if len(lanes):
            self._end(lanes, Status.STUCK, text=_STUCK)

    def retire(self, lanes: LaneSet, pcs: Any, count: int = 1) -> None:
        """Note that lanes have executed instructions, and where they stand: uint64[m] or one."""
        where: Any = ... if lanes is None else lanes
        self.pc[where] = pcs
        self.retired[where] += count
        self.insns += count * (self.n if lanes is None else len(lanes))

    def ask(self, lanes: I64Array, following: Any) -> None:
        """Let the environment answer an ECALL, at which lanes stand; following: uint64[m] or one, behind it."""
        self._effects.asks_environment = False
        assert self.on_ecall is not None
        before = self.pc[lanes]
        self.on_ecall(self, lanes)
        after = self.pc[lanes]
        self.retire(lanes, np.where(after == before, following, after))

    # -- lanes at many addresses

    def _run_scattered(self, group: Group) -> None:
        lanes = self._solvent(self._running(self.numbers(group.lanes)))
        if self._stops and len(lanes):
            lanes = self._arrive_scattered(lanes)
        if len(lanes):
            self._step(lanes)

    def _step(self, lanes: I64Array) -> None:
        """Execute one instruction of each lane, wherever it stands."""
        self.step_each(lanes)
        self._disperse(self._running(lanes))

    def step_each(self, lanes: I64Array) -> None:
        """Execute one instruction of each lane; those that end are ended, the others stand where they go on."""
        lanes, words = self._fetch(lanes)
        if not len(lanes):
            return
        numbers = self._columns.numbers_of(words)
        kinds = self._columns.kind[numbers]
        order = np.argsort(kinds, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
            if kinds[part[0]] < 0:
                self._refuse(lanes[part], words[part])
            else:
                self._step_kind(int(kinds[part[0]]), lanes[part], numbers[part], words[part])

    def _fetch(self, lanes: I64Array) -> tuple[I64Array, U64Array]:
        """Return the lanes that have an instruction to execute, and its word."""
        while len(lanes):
            pcs = self.pc[lanes]
            try:
                odd = (pcs & _U64(self._odd)) != 0
                if odd.any():
                    raise LaneTrap(Cause.FETCH_MISALIGNED, odd, pcs)
                return lanes, self.memory.fetch(lanes, pcs)
            except LaneTrap as trap:
                lanes = lanes[self.fail(lanes, trap)]
        return lanes, self.pc[lanes]

    def _refuse(self, lanes: I64Array, words: U64Array) -> None:
        """End lanes whose words are no instructions."""
        for word in np.unique(words).tolist():
            try:
                insn_of(word)
            except LaneTrap as trap:
                self.fail(lanes[words == word], trap)

    def _step_kind(self, kind: int, lanes: I64Array, numbers: I64Array, words: U64Array) -> None:
        """Execute instructions of one record; numbers: int64[m] of the columns, words: uint64[m]."""
        function, repeats = self._columns.kinds[kind]
        operands = {
            name: self._operand_of(name, lanes, numbers) for name in {*function.operands, "pc", "size"} - {"next"}
        }
        operands["next"] = operands["pc"] + operands["size"]
        if "csr" in function.operands and same_in_all(operands["csr"]) is None:
            for csr in np.unique(operands["csr"]):
                part = operands["csr"] == csr
                self._step_kind(kind, lanes[part], numbers[part], words[part])
            return
        effects = self._effects
        effects.lanes, effects.pcs, effects.words, self.memory.pcs = lanes, operands["pc"], words, self.pc
        try:
            result = function.function(effects, None, *(operands[name] for name in function.operands))
        except LaneTrap as trap:
            rest = self.fail(lanes, trap)
            if rest.any():
                self._step_kind(kind, lanes[rest], numbers[rest], words[rest])
            return
        target, value = _outcome_of(function, result, operands["next"])
        if value is not None:
            self._write_each(lanes, self._columns.registers[2].take(numbers), value)
        self.steps += 1
        if effects.asks_environment:
            self.ask(lanes, target)
            return
        self.retire(lanes, target)
        if function.jumps and repeats:
            self.end_stuck(lanes[np.equal(target, operands["pc"])])

    def _operand_of(self, name: str, lanes: I64Array, numbers: I64Array) -> Any:
        """Return an operand of each lane's instruction, uint64[m]."""
        columns = self._columns
        if name == "pc":
            return self.pc[lanes]
        if name in REGISTERS:
            places = columns.registers[REGISTERS.index(name)].take(numbers) * self.n + lanes
            return self.x.reshape(-1).take(places)
        return columns.values[VALUES.index(name)].take(numbers)

    def _write_each(self, lanes: I64Array, registers: I64Array, values: Any) -> None:
        """Set lanes[i]'s register registers[i]; values: uint64[m] or one."""
        self.x.reshape(-1)[registers * self.n + lanes] = values
        self.x[0] = 0

    # -- what a stretch needs to know

    @property
    def effects(self) -> Effects:
        """What compiled functions act on."""
        return self._effects

    @property
    def stops(self) -> Mapping[int, Hook | None]:
        """Addresses at which something is to be done before their instruction: a hook, None to stop."""
        return self._stops

    def budget_of(self, lanes: LaneSet) -> int:
        """Return how many instructions all of some lanes may still execute."""
        lanes = self.numbers(lanes)
        return int((self._limit[lanes] - self.retired[lanes]).min())

    def is_due(self, lanes: LaneSet, pc: int, least: Key) -> bool:
        """Tell whether the lanes that wait with this key go before some others, or meet them."""
        return (self._depth(lanes), pc) >= least

    @property
    def next_key(self) -> Key | None:
        """The key of the group that goes next."""
        return self._schedule.least()


def _outcome_of(function: Compiled, result: Any, following: U64Array) -> tuple[Any, Any]:
    """Return (where to go on, value for rd or None) of what a compiled function returned."""
    if not function.jumps:
        return following, result
    if not function.branches:
        return result  # type: ignore[no-any-return]
    condition, target = result
    return np.where(condition, target, following), None


class _Stretch:
    """Lanes at one address that execute one instruction after the other, together.

    Args:
        engine: theirs.
        lanes: which.
        pc: where they stand; what there is to do there before its instruction has been done.

    Attributes:
        is_at_stop: whether they are still together, have budget left, and stand at a stop.
    """

    def __init__(self, engine: Lanes, lanes: LaneSet, pc: int):
        self.engine, self.lanes, self.pc = engine, lanes, pc
        self.is_at_stop = False
        self._left = engine.budget_of(lanes)
        self._done = 0  # instructions that the engine does not know of yet

    def run(self) -> None:
        """Execute until the lanes part, meet others, stand at a stop, or have used up a budget."""
        engine = self.engine
        stops, least = engine.stops, engine.next_key
        while True:
            try:
                if not self._execute(engine.bound(self.lanes, self.pc)):
                    return
            except LaneTrap as trap:
                if not self._trapped(trap):
                    return
                continue
            is_due = least is not None and engine.is_due(self.lanes, self.pc, least)
            if is_due or self._done >= self._left or self.pc in stops:
                self.is_at_stop = not is_due and self._done < self._left
                self._flush()
                return

    def _numbers(self) -> I64Array:
        return self.engine.numbers(self.lanes)

    def _flush(self) -> None:
        """Let the engine know where the lanes are."""
        engine = self.engine
        engine.retire(self.lanes, _U64(self.pc), self._done)
        engine.steps += self._done
        self._left -= self._done
        self._done = 0

    def _trapped(self, trap: LaneTrap) -> bool:
        """End the lanes that a trap is about; tell whether there are others, which try again."""
        self._flush()
        lanes = self._numbers()
        self.lanes = lanes[self.engine.fail(lanes, trap)]
        return bool(len(self.lanes))

    def _execute(self, entry: Bound | None) -> bool:
        """Execute an instruction, None for one that differs between the lanes; tell whether they stay together."""
        if entry is None:
            self._flush()
            self.engine.step_each(self._numbers())
            return False
        lanes, function = self.lanes, entry.compiled
        if not entry.is_idle:
            if function.acts:
                self._prepare(entry)
            out = entry.rd if lanes is None else None
            result = function.function(self.engine.effects, out, *entry.operands(lanes))
            if function.jumps:
                return self._jump(entry, result)
            if entry.rd is not None:
                self._write(entry.rd, result)
        if entry.is_system and self.engine.effects.asks_environment:
            self.engine.steps += 1
            self.engine.ask(self._numbers(), _U64(entry.next))
            return False
        self._done += 1
        self.pc = entry.next
        return True

    def _prepare(self, entry: Bound) -> None:
        """Tell the effects who executes what."""
        if entry.is_system:
            self._flush()
        effects = self.engine.effects
        effects.lanes, effects.pcs, effects.words = self.lanes, entry.pc, entry.word
        effects.memory.pcs = entry.pc

    def _write(self, row: U64Array, values: Any) -> None:
        if self.lanes is not None:
            row[self.lanes] = values
        elif values is not row:
            row[...] = values

    def _jump(self, entry: Bound, result: Any) -> bool:
        """Go on where the instruction says: together, which is what it returns, or each lane for itself."""
        if entry.compiled.branches:
            condition, target = result
            if np.ndim(condition) and 0 < np.count_nonzero(condition) < len(condition):
                return self._part(entry, np.where(condition, target, _U64(entry.next)))
            return self._go(entry, int(target) if np.any(condition) else entry.next)
        target, value = result
        if entry.rd is not None:
            self._write(entry.rd, value)
        together = same_in_all(target)
        return self._part(entry, target) if together is None else self._go(entry, together)

    def _go(self, entry: Bound, pc: int) -> bool:
        self._done += 1
        if pc == self.pc and entry.repeats:
            self._flush()
            self.engine.end_stuck(self._numbers())
            return False
        self.pc = pc
        return True

    def _part(self, entry: Bound, targets: U64Array) -> bool:
        self._flush()
        self.engine.retire(self.lanes, targets)
        self.engine.steps += 1
        if entry.repeats:
            self.engine.end_stuck(self._numbers()[targets == entry.pc])
        return False
