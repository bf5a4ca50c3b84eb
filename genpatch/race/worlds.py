# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything but the victim: patchers, the stores that they have made, harts that have to be told.

A world is what is true of these at one moment. Worlds have numbers, and what can happen next in one is worked out
once, whatever the victim is doing: a step says what it asks of the victim, and the explorer looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .environment import Environment, Patching, Preemption
from .model import Act, Broken, Event, Kind, Scenario
from .timeline import Timeline, Timelines, pieces_of
from .victim import Victim

__all__ = ["HART_NAMES", "A", "Action", "B", "P", "World", "WorldStep", "Worlds", "bits"]

P, A, B = range(3)
"""The harts: the patcher's, and two others."""
HART_NAMES = ("the patcher's hart", "hart 1", "hart 2")

_RETURN = Event(act=Act.UNLOCK, what="return")
_WAITING = frozenset({Act.FENCE, Act.STOP, Act.RESUME, Act.WAIT_TASKS, Act.UNLOCK})
_SLEEPING = frozenset({Act.LOCK, Act.STOP, Act.WAIT_TASKS})
_INVISIBLE = frozenset({Act.FENCE, Act.LOCK, Act.UNLOCK, Act.MAP, Act.UNMAP})


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


class World(NamedTuple):
    """What is true of everything but the victim.

    Args:
        at: number of each patcher's next event.
        seen: pieces that are visible, in that order.
        pending: bit mask of those that are stored and not visible.
        floors: for P the number of pieces that were stored when it last executed fence.i; for A and B
            how many were visible when they did.
        telling: for each patcher a bit mask of harts that have still to execute a fence.i, 0 if none was told.
        slots: for each fixmap slot the page it stands for.
    """

    at: tuple[int, ...]
    seen: Timeline
    pending: int
    floors: tuple[int, int, int]
    telling: tuple[int, ...]
    slots: tuple[int, ...]


class WorldStep(NamedTuple):
    """One thing that can happen in a world.

    Args:
        action: what it is.
        target: number of the world that it leads to, -1 if it breaks something.
        broken: what it breaks, or None.
        by_patcher: a patcher does it, so not while the victim keeps it from its hart.
        outside: it needs the victim outside of a call.
        orders: the victim's loads see from then on everything that is visible.
    """

    action: Action
    target: int
    broken: Broken | None = None
    by_patcher: bool = True
    outside: bool = False
    orders: bool = False


@dataclass(frozen=True, slots=True)
class Op:
    """One event of a patcher as it is explored: a store is one op for each piece.

    Args:
        act: what it does, None for the patcher's return.
        event: what it is of.
        piece: number of the piece, -1 for no store.
        waits: it waits until all earlier stores of its patcher are visible.
    """

    act: Act | None
    event: Event
    piece: int = -1
    waits: bool = False


class Worlds:
    """The worlds of one scenario in one environment.

    Args:
        scenario, environment: what is explored.
        reduce: leave out what nobody can tell from something else.

    Attributes:
        ops: what each patcher does.
        pieces: what is stored, by number; the pieces of one patcher are in program order.
        timelines: their bytes.
        worlds: by number; 0 is the first.
    """

    def __init__(self, scenario: Scenario, environment: Environment, *, reduce: bool):
        self.scenario, self.environment, self.reduce = scenario, environment, reduce
        stores = [event for events in scenario.patchers for event in events if event.act is Act.STORE]
        self.pieces = [piece for event in stores for piece in pieces_of(event)]
        self.ops = list(_compiled(scenario.patchers))
        self.timelines = Timelines(scenario.memory, self.pieces, environment.fetch, environment.fused)
        self.single = len(self.ops) == 1
        self.frees = [event for events in scenario.patchers for event in events if event.act is Act.FREE]
        self._is_full = environment.preemption is Preemption.FULL
        self.uses_b = self._is_full and environment.migration  # else nobody ever runs there
        self._owner = {op.piece: k for k, ops in enumerate(self.ops) for op in ops if op.piece >= 0}
        self._slots = sorted({event.slot for events in scenario.patchers for event in events if event.slot})
        self._stopped = [list(_between(ops, Act.STOP, Act.RESUME)) for ops in self.ops]
        self._held = [list(_between(ops, Act.LOCK, Act.UNLOCK)) for ops in self.ops]
        self._finals = self._final_bytes()
        k = len(self.ops)
        self.worlds = [World((0,) * k, (), 0, (0, 0, 0), (0,) * k, (0,) * len(self._slots))]
        self._numbers = {self.worlds[0]: 0}
        self._steps: dict[int, tuple[WorldStep, ...]] = {}
        self._alone: dict[int, WorldStep | None] = {}
        self._views: dict[tuple[int, int], tuple[Timeline, int]] = {}

    def _final_bytes(self) -> set[tuple[bytes, ...]]:
        """Return what may be stored when all patchers have returned: the work of one after the other, in any order."""
        if self.single:
            return set()
        orders = [[op.piece for op in ops if op.piece >= 0] for ops in self.ops]
        return {self._bytes(tuple(order)) for order in (orders[0] + orders[1], orders[1] + orders[0])}

    def _bytes(self, timeline: Timeline) -> tuple[bytes, ...]:
        spans = self.timelines.spans
        return tuple(self.timelines.bytes_at(timeline, span.start, span.size)[-1] for span in spans)

    def number(self, world: World) -> int:
        """Return a world's number."""
        if self.reduce and self.single:  # two patchers may write the same bytes: the order is what they are then
            world = self._settled(world)
        found = self._numbers.get(world)
        if found is None:
            found = self._numbers[world] = len(self.worlds)
            self.worlds.append(world)
        return found

    def _settled(self, world: World) -> World:
        """Forget in which order pieces became visible that every hart must have seen: nobody looks back so far."""
        floors = world.floors
        count = min(floors[A], floors[B]) if self.uses_b else floors[A]
        known = world.seen[:count]
        if count < 2 or max(known) >= floors[P]:
            return world
        ordered = tuple(sorted(known))
        return world if known == ordered else world._replace(seen=ordered + world.seen[count:])

    # -- what is true of one

    def is_stopped(self, number: int) -> bool:
        """Tell whether stop_machine holds all other harts."""
        return any(self._stopped[k][at] for k, at in enumerate(self.worlds[number].at))

    def is_over(self, number: int) -> bool:
        """Tell whether all patchers have returned."""
        return all(at == len(ops) for at, ops in zip(self.worlds[number].at, self.ops, strict=True))

    def lets_others_run(self, number: int) -> bool:
        """Tell whether another task may run on the patcher's hart without preemption: it sleeps, or is not patching."""
        places = zip(self.worlds[number].at, self.ops, strict=True)
        return all(at in (0, len(ops)) or ops[at].act in _SLEEPING for at, ops in places)

    def freed(self, number: int) -> list[Event]:
        """Return what has been freed."""
        done = [op.event for ops, at in zip(self.ops, self.worlds[number].at, strict=True) for op in ops[:at]]
        return [event for event in done if event.act is Act.FREE]

    def view(self, number: int, hart: int) -> tuple[Timeline, int]:
        """Return the stores that a hart may fetch, and the moment from which on it must."""
        key = (number, hart)
        found = self._views.get(key)
        if found is None:
            world = self.worlds[number]
            timeline, first = world.seen, world.floors[hart]
            if hart == P and self.single:
                timeline = tuple(range(_stored(world)))  # in program order, as the hart that stored them sees them
            elif hart == P:
                timeline = (*world.seen, *bits(world.pending))
                own = (place for place, piece in enumerate(timeline, 1) if piece < world.floors[P])
                first = max(own, default=0)
            found = self._views[key] = timeline, first
        return found

    # -- what can happen in one

    def alone(self, number: int) -> WorldStep | None:
        """Return a patcher's step that commutes with everything, if its next one does."""
        if number not in self._alone:
            world, found = self.worlds[number], None
            if self.single and world.at[0] < len(self.ops[0]):
                op = self.ops[0][world.at[0]]
                sleeps = not self._is_full and (world.at[0] == 0 or op.act in _SLEEPING)  # others may run before it
                if op.act in _INVISIBLE and not sleeps and not (op.waits and world.pending):
                    found = next(self._patcher_steps(world, 0))
            self._alone[number] = found
        return self._alone[number]

    def steps(self, number: int) -> tuple[WorldStep, ...]:
        """Return everything that can happen."""
        found = self._steps.get(number)
        if found is None:
            world = self.worlds[number]
            steps = [*self._hart_steps(world)]
            for k in range(len(self.ops)):
                steps += self._patcher_steps(world, k)
            found = self._steps[number] = tuple(steps)
        return found

    def _hart_steps(self, world: World) -> Iterator[WorldStep]:
        """Let stores become visible, and harts execute the fence.i that they were told to."""
        for piece in bits(world.pending):
            if self._may_show(world.pending, piece):
                yield WorldStep(Action(-2, "visible", piece), self.number(_shown(world, piece)), by_patcher=False)
        for k, mask in enumerate(world.telling):
            for hart in bits(mask):
                left = mask & ~(1 << hart)
                after = world._replace(
                    floors=fenced(world, hart),
                    telling=_put(world.telling, k, left),
                    at=world.at if left else _put(world.at, k, world.at[k] + 1),
                )
                yield WorldStep(Action(-2, "fence.i", hart), self.number(after), by_patcher=False)

    def _may_show(self, pending: int, piece: int) -> bool:
        """Tell whether a piece may become visible: not before an earlier one of the same bytes."""
        mine = self.pieces[piece]
        earlier = (each for each in bits(pending) if each < piece and self._owner[each] == self._owner[piece])
        return not any(self.pieces[each].overlaps(mine) for each in earlier)

    def _patcher_steps(self, world: World, k: int) -> Iterator[WorldStep]:
        ops, at = self.ops[k], world.at[k]
        if at >= len(ops) or world.telling[k]:
            return
        if any(self._stopped[j][other] for j, other in enumerate(world.at) if j != k):
            return
        op = ops[at]
        if op.waits and any(self._owner[piece] == k for piece in bits(world.pending)):
            return
        if op.act is Act.STORE:
            yield from self._store_steps(world, k, op)
        elif op.act is not Act.LOCK or not any(self._held[j][other] for j, other in enumerate(world.at) if j != k):
            yield self._event_step(world, k, op)

    def _event_step(self, world: World, k: int, op: Op) -> WorldStep:
        """Return the step of an event that is no store."""
        after = world._replace(at=_put(world.at, k, world.at[k] + 1))
        outside = orders = False
        match op.act:
            case Act.FENCE_I if k == 0:
                after = after._replace(floors=fenced(world, P))
            case Act.REMOTE_FENCE_I if self.environment.harts > 1:
                mask = 1 << A | (1 << B if self.uses_b else 0)
                after = world._replace(telling=_put(world.telling, k, mask))
            case Act.STOP:
                outside = not self._is_full
            case Act.RESUME:
                everything, orders = len(world.seen), True
                if op.event.fences:
                    after = after._replace(floors=(world.floors[P], everything, everything))
            case Act.WAIT_TASKS:
                outside = orders = True
            case Act.MAP | Act.UNMAP:
                page = op.event.at if op.act is Act.MAP else 0
                after = after._replace(slots=_put(world.slots, self._slots.index(op.event.slot), page))
        broken = self._finished(after)
        target = self.number(after) if broken is None else -1
        return WorldStep(Action(k, "event", world.at[k]), target, broken, outside=outside, orders=orders)

    def _store_steps(self, world: World, k: int, op: Op) -> Iterator[WorldStep]:
        """Make a store: seen at once, or pending."""
        at = world.at[k]
        event = op.event
        if event.slot and not self.single:
            page = world.slots[self._slots.index(event.slot)]
            if page >> 12 != event.at >> 12:
                lines = self.scenario.lines
                to, where = (lines.get(each, f"{each:#x}") for each in (event.at, page))
                text = f"the store to {to} goes through {event.slot}, which stands for {where if page else 'nothing'}"
                yield WorldStep(Action(k, "event", at), -1, Broken(Kind.LOST, text))
                return
        stored = world._replace(pending=world.pending | 1 << op.piece, at=_put(world.at, k, at + 1))
        if self._may_show(stored.pending, op.piece):
            yield WorldStep(Action(k, "event", at), self.number(_shown(stored, op.piece)))
        unseen = self._stopped[k][at] and self.environment.patcher is not Patching.ITSELF
        waits = self.ops[k][at + 1].waits and not world.pending
        if not (self.reduce and (waits or unseen)):
            yield WorldStep(Action(k, "store", at), self.number(stored))

    def _finished(self, world: World) -> Broken | None:
        """Judge what two patchers have made of the text between them."""
        if self.single or any(at < len(ops) for at, ops in zip(world.at, self.ops, strict=True)):
            return None
        if self._bytes(world.seen) in self._finals:
            return None
        return Broken(Kind.LOST, "when both patchers have returned, the site is what neither of them has made it")


def _compiled(patchers: tuple[tuple[Event, ...], ...]) -> Iterator[list[Op]]:
    number = 0
    for events in patchers:
        own: list[Op] = []
        for event in events:
            if event.act is not Act.STORE:
                own.append(Op(event.act, event, waits=event.act in _WAITING))
                continue
            for _ in pieces_of(event):
                own.append(Op(Act.STORE, event, number))
                number += 1
        yield [*own, Op(None, _RETURN, waits=True)]


def _between(ops: list[Op], first: Act, last: Act) -> Iterator[bool]:
    """Yield for each position whether it is behind `first` and not behind `last`."""
    inside = False
    for op in ops:
        yield inside
        inside = (inside or op.act is first) and op.act is not last
    yield inside


def fenced(world: World, hart: int) -> tuple[int, int, int]:
    """Return the floors when a hart has executed fence.i."""
    if hart == P:
        return _stored(world), world.floors[A], world.floors[B]
    floors = list(world.floors)
    floors[hart] = len(world.seen)
    return floors[P], floors[A], floors[B]


def is_patched(victim: Victim, pc: int) -> bool:
    """Tell whether what is fetched at a pc may change; the neighbours that are fetched with it count."""
    return victim.is_patched(pc & -4, 8)


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _shown(world: World, piece: int) -> World:
    return world._replace(seen=(*world.seen, piece), pending=world.pending & ~(1 << piece))


def _put(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _stored(world: World) -> int:
    """Return how many pieces the only patcher has stored: their numbers are in program order."""
    return len(world.seen) + world.pending.bit_count()
