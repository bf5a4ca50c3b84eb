# SPDX-License-Identifier: GPL-2.0-or-later
"""Every interleaving of a scenario's patchers with its victim, breadth first.

A global state is a tuple: the victim's local state by number, the hart that it runs on, how far each patcher is, the
stores that have become visible and in which order, those that have not, and from which moment on each hart fetches
and loads. All states are kept, so none is visited twice, and the first path to a failure is a shortest one.

The reduction leaves out interleavings that differ in nothing that anybody could notice:

- an instruction of the victim that nobody patches, and that loads nothing that somebody patches, commutes with
  everything: the victim goes on to the next that does not in one step;
- a fence behind stores that are visible, and a lock or a fixmap slot if there is one patcher, commute with everything;
- a store that the patcher's next event waits for is never seen late: being stored later is the same;
- nothing can go wrong any more once the only call is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from ..units import Span
from .environment import Environment, Patching, Preemption
from .model import Act, Behaviour, Broken, Event, Kind, Scenario
from .timeline import Timeline, Timelines, pieces_of
from .victim import DONE, LONGEST, Move, Victim

__all__ = ["MOST_STATES", "Action", "Result", "Step", "Witness", "explore"]

MOST_STATES = 2_000_000
_OUTSIDE = (-1, DONE)
P, A, B = range(3)
HART_NAMES = ("the patcher's hart", "hart 1", "hart 2")


class Action(NamedTuple):
    """What one step of a path is; turned into words only for witnesses.

    Args:
        who: 0 or 1 for a patcher, -1 for the victim, -2 for the harts between them.
        what: ``event``, ``store`` (made, not visible yet), ``visible``, ``fence.i``, ``begin``, ``migrate``,
            ``fetch``, ``host``, ``run``.
        number: of the patcher's event, of a piece, of a hart; how many instructions were run.
        words: what the victim fetched.
        value: what it loaded, -1 for nothing.
    """

    who: int
    what: str
    number: int = 0
    words: tuple[int, ...] = ()
    value: int = -1


class State(NamedTuple):
    """A global state.

    Args:
        local: the victim's, -1 before its call, DONE behind it.
        hart: that it runs on: P, A or B.
        after: 1 if the call began when all patchers had returned.
        at: number of each patcher's next event.
        seen: pieces that are visible, in that order.
        pending: bit mask of those that are stored and not visible.
        floors: for P the number of pieces that were stored when it last executed fence.i; for A and B
            how many were visible when they did.
        since: the moment from which on the victim's loads may see.
        loads: (address, moment) of the patched bytes that the call has loaded.
        telling: for each patcher a bit mask of harts that have still to execute a fence.i, 0 if none was told.
        slots: for each fixmap slot the page it stands for.
    """

    local: int
    hart: int
    after: int
    at: tuple[int, ...]
    seen: Timeline
    pending: int
    floors: tuple[int, int, int]
    since: int
    loads: tuple[tuple[int, int], ...]
    telling: tuple[int, ...]
    slots: tuple[int, ...]


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
        scenario, environment: names.
        states: global states visited.
        transitions: steps between them.
        complete: whether all states were visited.
        witnesses: for each way in which something breaks, a shortest path.
        seconds: time taken.
        lines: the witness of each kind as text is made by `witness.lines_of`, from this.
    """

    scenario: Scenario
    environment: Environment
    states: int = 0
    transitions: int = 0
    complete: bool = True
    witnesses: dict[Kind, Witness] = field(default_factory=dict)
    seconds: float = 0.0
    explorer: Explorer | None = None

    @property
    def verdict(self) -> str:
        """``unsafe``, ``safe``, or ``unknown`` if nothing broke and not everything was seen."""
        if self.witnesses:
            return "unsafe"
        return "safe" if self.complete else "unknown"


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


@dataclass(frozen=True, slots=True)
class _Op:
    """One event of a patcher as it is explored: a store is one op for each piece."""

    act: Act | None  # None for the patcher's return
    event: Event
    piece: int = -1
    waits: bool = False  # it waits until all earlier stores of its patcher are visible


_RETURN = Event(act=Act.UNLOCK, what="return")
_WAITING = frozenset({Act.FENCE, Act.STOP, Act.RESUME, Act.WAIT_TASKS, Act.UNLOCK})
_INVISIBLE = frozenset({Act.FENCE, Act.LOCK, Act.UNLOCK, Act.MAP, Act.UNMAP})


_ENDLESS = Broken(Kind.WILD, f"the call does not come back: it goes round, or on for more than {LONGEST} instructions")


class Explorer:
    """The search of one scenario in one environment."""

    def __init__(self, scenario: Scenario, environment: Environment, *, reduce: bool = True):
        self.scenario, self.environment, self.reduce = scenario, environment, reduce
        self.pieces = [
            piece
            for events in scenario.patchers
            for event in events
            if event.act is Act.STORE
            for piece in pieces_of(event)
        ]
        self.ops = self._compiled()
        self.timelines = Timelines(scenario.memory, self.pieces, environment.fetch, environment.fused)
        self.owner = [self._owner_of(number) for number in range(len(self.pieces))]
        freed = [event for events in scenario.patchers for event in events if event.act is Act.FREE]
        self.freed_spans = [(event.at, event.at + event.size, event.what) for event in freed]
        spans = tuple(Span(event.at, event.at + event.size) for event in freed)
        self.victim = Victim(scenario, self.timelines.spans, spans)
        self.slot_names = sorted({event.slot for events in scenario.patchers for event in events if event.slot})
        self.full = environment.preemption is Preemption.FULL
        self.own_call = environment.patcher is not Patching.ELSEWHERE
        self.single = len(scenario.patchers) == 1
        self.stopped_from, self.freed_at, self.held = self._derived()
        self.finals = self._final_bytes()
        self._plain: dict[int, tuple[int, int]] = {}
        self._patched_pc: dict[int, bool] = {}

    # -- what patchers do

    def _compiled(self) -> list[list[_Op]]:
        ops, number = [], 0
        for events in self.scenario.patchers:
            own: list[_Op] = []
            for event in events:
                if event.act is Act.STORE:
                    for _ in pieces_of(event):
                        own.append(_Op(Act.STORE, event, number))
                        number += 1
                else:
                    own.append(_Op(event.act, event, waits=event.act in _WAITING))
            own.append(_Op(None, _RETURN, waits=True))
            ops.append(own)
        return ops

    def _owner_of(self, piece: int) -> int:
        return next(k for k, ops in enumerate(self.ops) if any(op.piece == piece for op in ops))

    def _derived(self) -> tuple[list[list[bool]], list[list[int]], list[list[bool]]]:
        """Return for each patcher and position: is all stopped, how many FREEs are done, is the lock held."""
        stopped, freed, held = [], [], []
        for ops in self.ops:
            is_stopped = is_held = False
            count, rows = 0, []
            for op in ops:
                rows.append((is_stopped, count, is_held))
                is_stopped = {Act.STOP: True, Act.RESUME: False}.get(op.act, is_stopped) if op.act else is_stopped
                is_held = {Act.LOCK: True, Act.UNLOCK: False}.get(op.act, is_held) if op.act else is_held
                count += op.act is Act.FREE
            rows.append((is_stopped, count, is_held))
            stopped.append([row[0] for row in rows])
            freed.append([row[1] for row in rows])
            held.append([row[2] for row in rows])
        return stopped, freed, held

    def _final_bytes(self) -> set[tuple[bytes, ...]]:
        """Return what the patched bytes may be when all patchers have returned: one after the other, in any order."""
        if self.single:
            return set()
        orders: list[list[int]] = [[], []]
        for number, owner in enumerate(self.owner):
            orders[owner].append(number)
        return {
            tuple(self.timelines.bytes_at(tuple(order), span.start, span.size)[-1] for span in self.timelines.spans)
            for order in (orders[0] + orders[1], orders[1] + orders[0])
        }

    def is_stopped(self, state: State) -> bool:
        """Tell whether stop_machine holds all other harts."""
        return any(self.stopped_from[k][at] for k, at in enumerate(state.at))

    # -- the search

    def first_state(self) -> State:
        """Return the state in which nothing has happened."""
        k = len(self.ops)
        return State(-1, A, 0, (0,) * k, (), 0, (0, 0, 0), 0, (), (0,) * k, (0,) * len(self.slot_names))

    def run(self, max_states: int) -> Result:
        """Visit all states, at most so many."""
        started = perf_counter()
        result = Result(self.scenario, self.environment, explorer=self)
        first = self.first_state()
        parents: dict[State, tuple[State, Action] | None] = {first: None}
        queue = deque([first])
        transitions = 0
        successors = self.successors
        while queue:
            state = queue.popleft()
            for action, after, broken in successors(state):
                transitions += 1
                if broken is not None:
                    if broken.kind not in result.witnesses:
                        result.witnesses[broken.kind] = self._witness(parents, state, action, after, broken)
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

    def _witness(
        self,
        parents: dict[State, tuple[State, Action] | None],
        state: State,
        action: Action,
        after: State | None,
        broken: Broken,
    ) -> Witness:
        steps = [Step(state, action, after)]
        while (link := parents[state]) is not None:
            steps.append(Step(link[0], link[1], state))
            state = link[0]
        return Witness(broken, tuple(reversed(steps)))

    # -- steps

    def successors(self, state: State) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Yield each step that can be next: what it is, where it leads, what it breaks."""
        if self.reduce:
            if state.local == DONE and self.single:
                return
            alone = self._alone(state)
            if alone is not None:
                yield alone
                return
        yield from self._victim_steps(state)
        yield from self._hart_steps(state)
        for k in range(len(self.ops)):
            yield from self._patcher_steps(state, k)

    def _alone(self, state: State) -> tuple[Action, State | None, Broken | None] | None:
        """Return a step that commutes with all others, if there is one: it is enough to take that."""
        if self.single:
            at = state.at[0]
            op = self.ops[0][at] if at < len(self.ops[0]) else None
            may = op is not None and op.act in _INVISIBLE and not (op.waits and state.pending)
            if may and not self._is_blocked(state):
                return next(self._patcher_steps(state, 0))
        if state.local >= 0 and self._may_run(state):
            target, count = self._plain_chain(state.local)
            if target == DONE:
                return Action(-1, "run", count), None, _ENDLESS
            if count:
                return Action(-1, "run", count), state._replace(local=target), None
        return None

    def _may_run(self, state: State) -> bool:
        return not self.is_stopped(state) or self.environment.patcher is Patching.ITSELF

    # -- the victim

    def _victim_steps(self, state: State) -> Iterator[tuple[Action, State | None, Broken | None]]:
        if state.local == DONE:
            return
        if state.local == -1:
            yield from self._begin(state)
            return
        if not self._may_run(state):
            return
        yield from self._execute(state)
        if self.full and self.environment.migration and self.environment.harts > 1 and not self.own_call:
            for hart in (P, A, B) if self.single else (A, B):
                if hart != state.hart:
                    after = state._replace(hart=hart, since=len(state.seen))
                    yield Action(-1, "migrate", hart), after, None

    def _begin(self, state: State) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Let the call begin, on each hart that is different."""
        if self.is_stopped(state) and self.environment.patcher is not Patching.ITSELF:
            return
        after = int(all(at == len(ops) for at, ops in zip(state.at, self.ops, strict=True)))
        if self.own_call or self.environment.harts == 1:
            harts: tuple[int, ...] = (P,)
        else:
            harts = (A, P) if self.single else (A,)
        since = len(state.seen) if after else state.since
        for hart in harts:
            begun = state._replace(local=self.victim.start, hart=hart, after=after, since=since)
            yield Action(-1, "begin", hart), begun, None

    def _execute(self, state: State) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Let the victim execute one instruction, or one pair, in each way in which it may be fetched."""
        victim = self.victim
        if self._plain_chain(state.local)[0] == DONE:
            yield Action(-1, "fetch"), None, _ENDLESS
            return
        host = victim.host_move(state.local)
        if host is not None:
            yield self._moved(state, Action(-1, "host"), host)
            return
        pc = victim.locals[state.local].pc
        if not self._is_patched(pc):
            word = victim.constant(pc)
            if isinstance(word, Broken):
                yield Action(-1, "fetch"), None, word
            else:
                yield from self._issue(state, (word,))
            return
        timeline, first = self._view(state)
        for words in self.timelines.fetches(timeline, pc, first):
            yield from self._issue(state, words)

    def _is_patched(self, pc: int) -> bool:
        """Tell whether what is fetched at a pc may change; with fused pairs its neighbour counts."""
        known = self._patched_pc.get(pc)
        if known is None:
            low, size = pc & -4, 8
            known = self._patched_pc[pc] = self.victim.is_patched(low, size)
        return known

    def _view(self, state: State) -> tuple[Timeline, int]:
        """Return the stores that the victim's hart may fetch, and from which moment on it must have seen them."""
        if state.hart != P:
            return state.seen, state.floors[state.hart]
        timeline = (*state.seen, *_bits(state.pending))
        own = state.floors[P]
        first = 1 + max((place for place, piece in enumerate(timeline) if piece < own), default=-1)
        return timeline, first

    def _issue(
        self, state: State, words: tuple[int, ...], shown: tuple[int, ...] = ()
    ) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Execute what was fetched: one instruction, or two of which the second follows if the first does not jump."""
        shown = shown or words
        move = self.victim.move(state.local, words[0])
        moves = [(move, state, -1)] if move.load is None else list(self._loads(state, words[0], move))
        for each, before, value in moves:
            action, after, broken = self._moved(before, Action(-1, "fetch", 0, shown, value), each)
            goes_on = len(words) > 1 and after is not None and after.local >= 0 and broken is None
            if goes_on and after is not None and self._pc(after) == self._pc(before) + 4:
                yield from self._issue(after, words[1:], shown)
            else:
                yield action, after, broken

    def _pc(self, state: State) -> int:
        return self.victim.locals[state.local].pc

    def _loads(self, state: State, word: int, move: Move) -> Iterator[tuple[Move, State, int]]:
        """Yield what a load of patched bytes comes to, for each value that it may see."""
        load = move.load
        assert load is not None
        if state.hart == P:
            timeline: Timeline = (*state.seen, *_bits(state.pending))
            first = len(timeline)
        else:
            timeline, first = state.seen, state.since
        for ordinal, (address, moment) in enumerate(state.loads):
            if load.origins >> ordinal & 1 or address == load.address:
                first = max(first, moment)
        for value, moment in self.timelines.loads(timeline, load.address, load.width, min(first, len(timeline))):
            after = state._replace(loads=(*state.loads, (load.address, moment)))
            torn = self._torn(load.address, load.width, value)
            if torn is not None:
                yield Move(DONE, torn), after, value
            else:
                yield self.victim.loaded(state.local, word, value, load, len(state.loads)), after, value

    def _torn(self, address: int, width: int, value: int) -> Broken | None:
        """Return what is wrong with a pointer that was loaded."""
        scenario = self.scenario
        for span in scenario.pointers:
            if address == span.start and width == span.size and value not in scenario.ops:
                return Broken(Kind.OPS, f"the ops pointer at {self.victim.name(address)} is loaded as {value:#x}, torn")
        return None

    def _moved(self, state: State, action: Action, move: Move) -> tuple[Action, State | None, Broken | None]:
        """Return the step that a move is in a state."""
        for address, size in move.touched:
            freed = self._freed(state, address, size)
            if freed is not None:
                return action, None, freed
        if move.broken is not None:
            return action, None, move.broken
        if move.target == DONE:
            broken = self._judge(state, move.behaviour)
            return action, (state._replace(local=DONE, loads=()) if broken is None else None), broken
        after = state._replace(local=move.target)
        if "fence" in move.fences:
            after = after._replace(since=len(state.seen))
        if "fence.i" in move.fences:
            after = after._replace(floors=self._fenced(state, state.hart))
        return action, after, None

    def _freed(self, state: State, address: int, size: int) -> Broken | None:
        done = (
            self.freed_at[0][state.at[0]] if self.single else sum(self.freed_at[k][at] for k, at in enumerate(state.at))
        )
        for start, end, what in self.freed_spans[:done]:
            if start < address + size and address < end:
                return Broken(Kind.FREED, f"{what or self.victim.name(start)} is used after it was freed")
        return None

    def _judge(self, state: State, behaviour: Behaviour) -> Broken | None:
        """Compare what a call did with what it may do."""
        scenario = self.scenario
        got = tuple(ops for ops in behaviour if ops not in scenario.quiet)
        new = {scenario.new, *(() if scenario.other is None else (scenario.other,))}
        if got in new or (not state.after and got == scenario.old):
            return None
        said = self._said(got)
        if state.after:
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
            if self._is_patched(pc):
                return None
            word = victim.constant(pc)
            if isinstance(word, Broken):
                return None
            move = victim.move(local, word)
        return move if move.is_plain and move.broken is None else None

    # -- harts and patchers

    def _hart_steps(self, state: State) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Let stores become visible, and harts execute the fence.i that they were told to."""
        for piece in _bits(state.pending):
            if self._may_show(state, piece):
                yield Action(-2, "visible", piece), self._shown(state, piece), None
        for k, mask in enumerate(state.telling):
            for hart in _bits(mask):
                left = mask & ~(1 << hart)
                at = state.at if left else _put(state.at, k, state.at[k] + 1)
                after = state._replace(floors=self._fenced(state, hart), telling=_put(state.telling, k, left), at=at)
                yield Action(-2, "fence.i", hart), after, None

    def _may_show(self, state: State, piece: int) -> bool:
        return not any(
            other < piece and self.owner[other] == self.owner[piece] and self.pieces[other].overlaps(self.pieces[piece])
            for other in _bits(state.pending)
        )

    def _shown(self, state: State, piece: int) -> State:
        return state._replace(seen=(*state.seen, piece), pending=state.pending & ~(1 << piece))

    def _fenced(self, state: State, hart: int) -> tuple[int, int, int]:
        if hart == P:
            return _stored(state), state.floors[A], state.floors[B]
        floors = list(state.floors)
        floors[hart] = len(state.seen)
        return floors[P], floors[A], floors[B]

    def _is_blocked(self, state: State) -> bool:
        """Tell whether the victim's call keeps the patcher from going on: it runs on its hart and is not preempted."""
        return state.local >= 0 and state.hart == P and (not self.full or self.own_call)

    def _patcher_steps(self, state: State, k: int) -> Iterator[tuple[Action, State | None, Broken | None]]:
        ops, number = self.ops[k], state.at[k]
        if number >= len(ops) or self._is_blocked(state) or state.telling[k]:
            return
        if not self.single and any(self.stopped_from[j][at] for j, at in enumerate(state.at) if j != k):
            return
        op = ops[number]
        if op.waits and any(self.owner[piece] == k for piece in _bits(state.pending)):
            return
        action = Action(k, "event", number)
        after = state._replace(at=_put(state.at, k, number + 1))
        match op.act:
            case Act.STORE:
                yield from self._store_steps(state, after, k, op)
                return
            case Act.FENCE_I:
                after = after._replace(floors=self._fenced(state, P)) if k == 0 else after
            case Act.REMOTE_FENCE_I:
                if self.environment.harts > 1:
                    mask = 1 << A | (1 << B if self.full and self.environment.migration else 0)
                    after = state._replace(telling=_put(state.telling, k, mask))
            case Act.STOP:
                if state.local not in _OUTSIDE and not self.full:
                    return
            case Act.RESUME:
                everything = len(state.seen)
                after = after._replace(floors=(_stored(state), everything, everything), since=everything)
            case Act.WAIT_TASKS:
                if state.local not in _OUTSIDE:
                    return
                after = after._replace(since=len(state.seen))
            case Act.LOCK:
                if any(self.held[j][at] for j, at in enumerate(state.at) if j != k):
                    return
            case Act.MAP | Act.UNMAP:
                page = op.event.at if op.act is Act.MAP else 0
                after = after._replace(slots=_put(state.slots, self.slot_names.index(op.event.slot), page))
        yield action, after, self._finished(after)

    def _store_steps(
        self, state: State, after: State, k: int, op: _Op
    ) -> Iterator[tuple[Action, State | None, Broken | None]]:
        """Make a store: seen at once, or pending."""
        action = Action(k, "event", state.at[k])
        if op.event.slot and not self.single:
            page = state.slots[self.slot_names.index(op.event.slot)]
            if page >> 12 != op.event.at >> 12:
                where = self.victim.name(page) if page else "nothing"
                text = f"the store to {self.victim.name(op.event.at)} goes through {op.event.slot}, which is {where}"
                yield action, None, Broken(Kind.LOST, text)
                return
        stored = after._replace(pending=state.pending | 1 << op.piece)
        if self._may_show(stored, op.piece):
            yield action, self._shown(stored, op.piece), None
        following = self.ops[k][state.at[k] + 1]
        if not (self.reduce and following.waits and not state.pending):
            yield Action(k, "store", state.at[k]), stored, None

    def _finished(self, state: State) -> Broken | None:
        """Judge what two patchers have made of the text between them."""
        if self.single or any(at < len(ops) for at, ops in zip(state.at, self.ops, strict=True)):
            return None
        now = tuple(self.timelines.bytes_at(state.seen, span.start, span.size)[-1] for span in self.timelines.spans)
        if now in self.finals:
            return None
        return Broken(Kind.LOST, "when both patchers have returned, the site is what neither of them has made it")


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _put(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _stored(state: State) -> int:
    """Return how many pieces the only patcher has stored: their numbers are in program order."""
    return len(state.seen) + state.pending.bit_count()
