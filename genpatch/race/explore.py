# SPDX-License-Identifier: GPL-2.0-or-later
"""Every interleaving of a scenario's patchers with its victim, breadth first.

A global state is a world and a victim: where its call is, on which hart, what it has loaded so far. All states are
kept, so none is visited twice, and the first path to a failure is a shortest one.

The reduction leaves out interleavings that differ in nothing that anybody could notice:

- an instruction of the victim that nobody patches, and that loads nothing that somebody patches, commutes with
  everything: the victim goes on to the next that does not in one step;
- a fence behind stores that are visible, and a lock or a fixmap slot if there is one patcher, commute with everything;
- a store that the patcher's next event waits for is never seen late: being stored later is the same; nor is one that
  is made while all others are stopped, for when they go on they see it;
- the order in which stores became visible that every hart has to see is forgotten;
- nothing can go wrong any more once the only call is over, if there is one patcher.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from ..units import Span
from .environment import Environment, Patching, Preemption
from .model import Behaviour, Broken, Kind, Scenario
from .timeline import Loads
from .victim import DONE, ENDLESS, LONGEST, Load, Move, Victim
from .worlds import A, Action, B, P, Worlds, fenced, is_patched

__all__ = ["MOST_STATES", "Explorer", "Result", "State", "Step", "Witness", "explore"]

MOST_STATES = 2_000_000
WAITING = -1
"""The victim's local state before its call."""

Plain = tuple[int, int, int, int, int, Loads]
Next = tuple[Action, Plain | None, Broken | None]


class State(NamedTuple):
    """A global state; the search has it as a plain tuple.

    Args:
        world: number of the world.
        local: the victim's local state, WAITING before its call, DONE behind it.
        hart: that it runs on: P, A or B.
        after: 1 if the call began when all patchers had returned.
        since: the moment from which on the victim's loads may see.
        loads: the patched bytes that the call has loaded.
    """

    world: int
    local: int
    hart: int
    after: int
    since: int
    loads: Loads


class Step(NamedTuple):
    """One step of a witness: the state it starts from, what happened, the state it leads to."""

    before: State
    action: Action
    after: State | None


@dataclass(frozen=True, slots=True)
class Witness:
    """A shortest path to a failure."""

    broken: Broken
    steps: tuple[Step, ...]


@dataclass
class Result:
    """What came of exploring one scenario in one environment.

    Args:
        explorer: that did it, for whoever wants to put a witness into words.
        states: global states visited.
        transitions: steps between them.
        complete: whether all states were visited.
        witnesses: for each way in which something breaks, a shortest path.
        seconds: time taken.
    """

    explorer: Explorer
    states: int = 0
    transitions: int = 0
    complete: bool = True
    witnesses: dict[Kind, Witness] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """``unsafe``, ``safe``, or ``unfinished`` if nothing broke and not everything was seen."""
        if self.witnesses:
            return "unsafe"
        return "safe" if self.complete else "unfinished"


def explore(
    scenario: Scenario, environment: Environment, *, reduce: bool = True, max_states: int = MOST_STATES
) -> Result:
    """Visit every state that a scenario can come to.

    Args:
        scenario: what is patched, and by what.
        environment: what may happen meanwhile.
        reduce: leave out interleavings that nobody can tell from others.
        max_states: states at most; the result is not complete then.
    """
    return Explorer(scenario, environment, reduce=reduce).run(max_states)


_ENDLESS_MOVE = Move(DONE, ENDLESS)


class Explorer:
    """The search of one scenario in one environment."""

    def __init__(self, scenario: Scenario, environment: Environment, *, reduce: bool = True):
        self.scenario, self.environment, self.reduce = scenario, environment, reduce
        self.worlds = Worlds(scenario, environment, reduce=reduce)
        freed = tuple(Span(event.at, event.at + event.size) for event in self.worlds.frees)
        self.victim = Victim(scenario, self.worlds.timelines.spans, freed)
        full = environment.preemption is Preemption.FULL
        self.own_call = environment.patcher is not Patching.ELSEWHERE
        self.runs_stopped = environment.patcher is Patching.ITSELF
        self.keeps_hart = not full or self.own_call  # a call on the patcher's hart is not interrupted by the patcher
        self.takes_turns = not full and not self.own_call  # a task runs on the patcher's hart only when that sleeps
        single = self.worlds.single
        self.migrates = full and environment.migration and environment.harts > 1 and not self.own_call
        self.harts = (P, A, B) if single else (A, B)
        if self.own_call or environment.harts == 1:
            self.begins: tuple[int, ...] = (P,)
        else:
            self.begins = (A, P) if single else (A,)
        self._plain: dict[int, tuple[int, int]] = {}
        self._moves: dict[tuple[int, int], tuple[tuple[Action, Move], ...]] = {}
        self._views: dict[tuple[int, int], int] = {}
        self._view_numbers: dict[tuple[tuple[int, ...], int], int] = {}
        self._stopped: dict[int, bool] = {}

    # -- the search

    def run(self, max_states: int) -> Result:
        """Visit all states, at most so many."""
        with _no_collection():
            return self._search(max_states)

    def _search(self, max_states: int) -> Result:
        started = perf_counter()
        result = Result(self)
        first: Plain = (0, WAITING, A, 0, 0, ())
        parents: dict[Plain, tuple[Plain, Action] | None] = {first: None}
        queue = deque([first])
        transitions = 0
        successors = self.successors
        while queue:
            state = queue.popleft()
            for action, after, broken in successors(state):
                transitions += 1
                if broken is not None:
                    if broken.kind not in result.witnesses:
                        result.witnesses[broken.kind] = _witness(parents, state, action, broken)
                elif after is not None and after not in parents:
                    if len(parents) >= max_states:
                        result.complete = False
                        queue.clear()
                        break
                    parents[after] = (state, action)
                    queue.append(after)
        result.states, result.transitions = len(parents), transitions
        result.seconds = perf_counter() - started
        return result

    def successors(self, state: Plain) -> list[Next]:
        """Return each step that can be next: what it is, where it leads, what it breaks."""
        world, local, hart, after, since, loads = state
        worlds = self.worlds
        inside = local >= 0
        blocked = inside and hart == P and self.keeps_hart
        if self.reduce:
            if local == DONE and worlds.single:
                return []
            if not blocked and (alone := worlds.alone(world)) is not None:
                return [(alone.action, (alone.target, *state[1:]), alone.broken)]
        found: list[Next] = []
        stopped = self._stopped.get(world)
        if stopped is None:
            stopped = self._stopped[world] = worlds.is_stopped(world)
        if not stopped or self.runs_stopped:
            if inside:
                if self.reduce:
                    target, count = self._plain.get(local) or self._plain_chain(local)
                    if count and target >= 0:
                        return [(Action(-1, "run", count), (world, target, hart, after, since, loads), None)]
                found += self._execute(state)
                if self.migrates:
                    moment = len(worlds.worlds[world].seen)
                    found += [
                        (Action(-1, "migrate", other), (world, local, other, after, moment, loads), None)
                        for other in self.harts
                        if other != hart
                    ]
            elif local == WAITING:
                found += self._begin(state)
        for action, target, broken, by_patcher, outside, orders in worlds.steps(world):
            if (blocked and by_patcher) or (outside and inside):
                continue
            if broken is not None:
                found.append((action, None, broken))
            else:
                moment = len(worlds.worlds[target].seen) if orders else since
                found.append((action, (target, local, hart, after, moment, loads), None))
        return found

    # -- the victim

    def _begin(self, state: Plain) -> list[Next]:
        """Let the call begin, on each hart that is different."""
        world, since = state[0], state[4]
        after = int(self.worlds.is_over(world))
        moment = len(self.worlds.worlds[world].seen) if after else since
        start = self.victim.start
        harts = self.begins
        if self.takes_turns and P in harts and not self.worlds.lets_others_run(world):
            harts = tuple(hart for hart in harts if hart != P)
        return [(Action(-1, "begin", hart), (world, start, hart, after, moment, ()), None) for hart in harts]

    def _execute(self, state: Plain) -> list[Next]:
        """Let the victim execute one instruction, or one pair, in each way in which it may be fetched."""
        world, local, hart = state[:3]
        view = self._views.get((world, hart))
        if view is None:
            seen = self.worlds.view(world, hart)
            view = self._view_numbers.setdefault(seen, len(self._view_numbers))
            self._views[world, hart] = view
        moves = self._moves.get((local, view))
        if moves is None:
            moves = self._moves[local, view] = tuple(self._fetched(local, world, hart))
        found: list[Next] = []
        for action, move in moves:
            if move.load is not None:
                found += self._loaded(state, action, move.load)
            else:
                found.append(self._moved(state, action, move))
        return found

    def _fetched(self, local: int, world: int, hart: int) -> list[tuple[Action, Move]]:
        """Return what may be fetched in a local state, and what that does."""
        victim = self.victim
        if self._plain_chain(local)[0] == DONE:
            return [(Action(-1, "fetch"), _ENDLESS_MOVE)]
        host = victim.host_move(local)
        if host is not None:
            return [(Action(-1, "host"), host)]
        pc = victim.locals[local].pc
        if not is_patched(victim, pc):
            word = victim.constant(pc)
            if isinstance(word, Broken):
                return [(Action(-1, "fetch"), Move(DONE, word))]
            return [(Action(-1, "fetch", 0, (word,)), victim.move(local, word))]
        fetched = self.worlds.timelines.fetches(
            *self.worlds.view(world, hart)[:1], pc, self.worlds.view(world, hart)[1]
        )
        return [self._issued(local, words) for words in fetched]

    def _issued(self, local: int, words: tuple[int, ...]) -> tuple[Action, Move]:
        """Return what fetched words do: of two that are fused, the second follows if the first does not jump."""
        victim = self.victim
        move = victim.move(local, words[0])
        pc = victim.locals[local].pc
        falls_through = move.is_plain and victim.locals[move.target].pc == pc + 4 != self.scenario.site.body
        follows = len(words) > 1 and falls_through
        if follows:
            move = victim.move(move.target, words[1])
        return Action(-1, "fetch", 0, words if follows else words[:1]), move

    def _loaded(self, state: Plain, action: Action, load: Load) -> list[Next]:
        """Return what a load of patched bytes comes to, for each value that it may see."""
        world, local, hart, after, since, loads = state
        timeline, fetched = self.worlds.view(world, hart)
        first = len(timeline) if hart == P else max(since, fetched)  # an instruction loads after it was fetched
        for ordinal, each in enumerate(loads):
            if load.origins >> ordinal & 1:
                first = max(first, each.moment)
        found: list[Next] = []
        word = action.words[-1]
        if len(action.words) > 1:  # the load is the second of a fused pair
            local = self.victim.move(local, action.words[0]).target
        for value, parts in self.worlds.timelines.loads(timeline, load.address, load.width, first, loads):
            seen = (world, local, hart, after, since, (*loads, *parts))
            origin = (1 << len(parts)) - 1 << len(loads)
            move = self._torn(load, value) or self.victim.loaded(local, word, value, load, origin)
            found.append(self._moved(seen, action._replace(value=value), move))
        return found

    def _torn(self, load: Load, value: int) -> Move | None:
        """Return what it comes to that a pointer is none."""
        scenario = self.scenario
        for span in scenario.pointers:
            if (load.address, load.width) == (span.start, span.size) and value not in scenario.ops:
                text = f"the ops pointer at {self.victim.name(load.address)} is loaded as {value:#x}, torn"
                return Move(DONE, Broken(Kind.OPS, text))
        return None

    def _moved(self, state: Plain, action: Action, move: Move) -> Next:
        """Return the step that a move is in a state."""
        world, _, hart, after, since, loads = state
        broken = self._freed(world, move) if move.touched else None
        broken = broken or move.broken
        if broken is not None:
            return action, None, broken
        if move.target == DONE:
            broken = self._judge(after, move.behaviour)
            return action, (None if broken is not None else (world, DONE, hart, after, since, ())), broken
        if move.fences:
            here = self.worlds.worlds[world]
            since = len(here.seen)
            if "fence.i" in move.fences:
                world = self.worlds.number(here._replace(floors=fenced(here, hart)))
        return action, (world, move.target, hart, after, since, loads), None

    def _freed(self, world: int, move: Move) -> Broken | None:
        for event in self.worlds.freed(world):
            for address, size in move.touched:
                if event.at < address + size and address < event.at + event.size:
                    what = event.what or self.victim.name(event.at)
                    return Broken(Kind.FREED, f"{what} is used after it was freed")
        return None

    def _judge(self, after: int, behaviour: Behaviour) -> Broken | None:
        """Compare what a call did with what it may do."""
        scenario = self.scenario
        got = tuple(ops for ops in behaviour if ops not in scenario.quiet)
        new = {scenario.new, *(() if scenario.other is None else (scenario.other,))}
        if got in new or (not after and got == scenario.old):
            return None
        said = self._said(got)
        if after:
            wanted = " or ".join(self._said(each) for each in sorted(new))
            return Broken(Kind.STALE, f"a call after the patcher has returned is {said}; it must be {wanted}")
        if not got:
            return Broken(Kind.MISSED, "a call is not traced, neither by the old tracer nor by the new one")
        return Broken(Kind.OPS, f"a call is {said}, which at no moment of the call was asked for")

    def _said(self, behaviour: Behaviour) -> str:
        if not behaviour:
            return "not traced"
        return "traced by " + " and ".join(self.victim.name(ops) for ops in behaviour)

    def _plain_chain(self, local: int) -> tuple[int, int]:
        """Follow instructions that nobody can notice: (the last state, how many), DONE if there is no end to them."""
        known = self._plain.get(local)
        if known is not None:
            return known
        at, passed = local, {local}
        while (move := self._plain_move(at)) is not None:
            at = move.target
            if at in passed or len(passed) > LONGEST:
                at = DONE
                break
            passed.add(at)
        self._plain[local] = at, len(passed) - (at != DONE)
        return self._plain[local]

    def _plain_move(self, local: int) -> Move | None:
        victim = self.victim
        move = victim.host_move(local)
        if move is None:
            pc = victim.locals[local].pc
            word = victim.constant(pc) if not is_patched(victim, pc) else None
            if word is None or isinstance(word, Broken):
                return None
            move = victim.move(local, word)
        return move if move.is_plain and move.broken is None else None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for cycles among millions of tuples, which have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _witness(
    parents: dict[Plain, tuple[Plain, Action] | None], state: Plain, action: Action, broken: Broken
) -> Witness:
    steps = [Step(State._make(state), action, None)]
    while (link := parents[state]) is not None:
        steps.append(Step(State._make(link[0]), link[1], State._make(state)))
        state = link[0]
    return Witness(broken, tuple(reversed(steps)))
