# SPDX-License-Identifier: GPL-2.0-or-later
"""The race model once more, as plainly as it can be said: a set of states, nothing left out, nothing remembered.

It shares with the explorer the records of a scenario and the hart that executes one instruction, and no more. What
a store falls into, what a fetch and a load may see, what a patcher waits for and what is judged is all said again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from genpatch.isa.insn import decode
from genpatch.machine.hart import Hart, recorded
from genpatch.machine.outcome import Trap
from genpatch.race.environment import Environment, Fetch, Fused, Patching, Preemption
from genpatch.race.model import Act, Event, Kind, Scenario

P, A, B = "P", "A", "B"
CALLER_SAVED = [1, 5, 6, 7, *range(10, 18), *range(28, 32)]
READS = 0b0010
"""Of the sets of a FENCE: I O R W."""


class TooLarge(Exception):  # noqa: N818
    """More states than were asked for."""


class Part(NamedTuple):
    """What becomes visible at once."""

    owner: int
    at: int
    data: bytes


class Now(NamedTuple):
    """A state of everything.

    Args:
        steps: how many events of its own each patcher has done.
        told: for each patcher the harts that it still waits for.
        stored, visible: numbers of parts, in the orders in which they were.
        fenced: for P how many were stored at its last fence.i, for A and B how many were visible.
        slots: (slot, page) of those that stand for something.
        phase: ``before``, ``inside`` or ``done``.
        hart: where the victim is.
        late: its call began when all patchers had returned.
        pc, x, calls: the victim's; `calls` are the ops that callbacks were given.
        stack: (address, byte, age) of what it has stored.
        ages: for each register the moment that its value cannot be older than.
        since: the moment that nothing it loads can be older than.
        loaded: (address of a byte, moment) of the patched bytes that it has loaded.
    """

    steps: tuple[int, ...]
    told: tuple[frozenset[str], ...]
    stored: tuple[int, ...]
    visible: tuple[int, ...]
    fenced: tuple[int, int, int]
    slots: tuple[tuple[str, int], ...]
    phase: str
    hart: str
    late: bool
    pc: int
    x: tuple[int, ...]
    calls: tuple[int, ...]
    stack: tuple[tuple[int, int, int], ...]
    ages: tuple[int, ...]
    since: int
    loaded: tuple[tuple[int, int], ...]


def parts_of(owner: int, event: Event) -> list[Part]:
    """An access of 2, 4 or 8 bytes is one part if aligned, else parts of its alignment; a copy is accesses."""
    at, data = event.at, event.data
    if len(data) > 16:
        return [Part(owner, at, data)]
    if len(data) in (1, 2, 4, 8):
        width = len(data)
        while at % width:
            width //= 2
        return [Part(owner, at + i, data[i : i + width]) for i in range(0, len(data), width)]
    parts = []
    while data:
        width = max(w for w in (1, 2, 4, 8) if at % w == 0 and w <= len(data))
        parts.append(Part(owner, at, data[:width]))
        at, data = at + width, data[width:]
    return parts


class Reference:
    """All states of a scenario in an environment, and what breaks in them."""

    def __init__(self, scenario: Scenario, environment: Environment):
        self.scenario, self.world = scenario, environment
        self.single = len(scenario.patchers) == 1
        assert self.single or (environment.harts > 1 and environment.patcher is Patching.ELSEWHERE)
        self.parts: list[Part] = []
        self.programs: list[list[tuple[Act | None, Event | None, int]]] = []
        for owner, events in enumerate(scenario.patchers):
            program: list[tuple[Act | None, Event | None, int]] = []
            for event in events:
                if event.act is not Act.STORE:
                    program.append((event.act, event, -1))
                    continue
                for part in parts_of(owner, event):
                    program.append((Act.STORE, event, len(self.parts)))
                    self.parts.append(part)
            self.programs.append([*program, (None, None, -1)])
        self.full = environment.preemption is Preemption.FULL
        self.elsewhere = environment.patcher is Patching.ELSEWHERE
        self.kinds: set[Kind] = set()
        self.states = 0

    # -- the search

    def run(self, most: int = 400_000) -> frozenset[Kind]:
        site, none = self.scenario.site, len(self.programs)
        first = Now(
            (0,) * none, (frozenset(),) * none, (), (), (0, 0, 0), (), "before", A, False, site.func, site.registers,
            (), (), (0,) * 32, 0, (),
        )  # fmt: skip
        leads_to: dict[Now, set[Now]] = {}
        ends: set[Now] = set()
        todo = [first]
        while todo:
            now = todo.pop()
            if now in leads_to:
                continue
            if len(leads_to) >= most:
                raise TooLarge
            following = leads_to[now] = set()
            for after in self.successors(now):
                if isinstance(after, Kind):
                    self.kinds.add(after)
                    ends.add(now)
                else:
                    following.add(after)
            todo += following
            if now.phase == "done":
                ends.add(now)
        self.states = len(leads_to)
        if any(now.phase == "inside" for now in set(leads_to) - self._that_come_to(ends, leads_to)):
            self.kinds.add(Kind.WILD)  # a call that can never end
        return frozenset(self.kinds)

    @staticmethod
    def _that_come_to(ends: set[Now], leads_to: dict[Now, set[Now]]) -> set[Now]:
        before: dict[Now, list[Now]] = {}
        for now, following in leads_to.items():
            for after in following:
                before.setdefault(after, []).append(now)
        found, todo = set(ends), list(ends)
        while todo:
            for now in before.get(todo.pop(), ()):
                if now not in found:
                    found.add(now)
                    todo.append(now)
        return found

    def successors(self, now: Now) -> Iterator[Now | Kind]:
        yield from self.memory_steps(now)
        for k in range(len(self.programs)):
            yield from self.patcher_steps(now, k)
        yield from self.victim_steps(now)

    # -- stores and fences

    def memory_steps(self, now: Now) -> Iterator[Now]:
        """A store becomes visible, or a hart that was told executes fence.i."""
        pending = [n for n in now.stored if n not in now.visible]
        for n in pending:
            mine = self.parts[n]
            earlier = [self.parts[m] for m in pending if m < n and self.parts[m].owner == mine.owner]
            if not any(set(_range(mine)) & set(_range(each)) for each in earlier):
                yield now._replace(visible=(*now.visible, n))
        for k, harts in enumerate(now.told):
            for hart in harts:
                left = harts - {hart}
                after = self.fence_i(now, hart)._replace(told=_at(now.told, k, left))
                yield after if left else after._replace(steps=_at(now.steps, k, now.steps[k] + 1))

    def fence_i(self, now: Now, hart: str) -> Now:
        count = len(now.stored) if hart == P else len(now.visible)
        return now._replace(fenced=_at(now.fenced, (P, A, B).index(hart), count))

    def patcher_steps(self, now: Now, k: int) -> Iterator[Now | Kind]:
        program, at = self.programs[k], now.steps[k]
        if at == len(program) or now.told[k] or self.keeps_the_patcher_out(now):
            return
        if any(self.is_between(j, now, Act.STOP, Act.RESUME) for j in range(len(self.programs)) if j != k):
            return
        act, event, part = program[at]
        is_clean = all(n in now.visible for n in now.stored if self.parts[n].owner == k)
        if act in (None, Act.FENCE, Act.STOP, Act.RESUME, Act.WAIT_TASKS, Act.UNLOCK) and not is_clean:
            return
        after = now._replace(steps=_at(now.steps, k, at + 1))
        inside = now.phase == "inside"
        match act:
            case Act.STORE:
                assert event is not None
                if event.slot and not self.single and dict(now.slots).get(event.slot) != event.at >> 12:
                    yield Kind.LOST
                    return
                after = after._replace(stored=(*now.stored, part))
            case Act.FENCE_I if k == 0:
                after = self.fence_i(after, P)
            case Act.REMOTE_FENCE_I if self.world.harts > 1:
                harts = {A, B} if self.full and self.world.migration else {A}
                after = now._replace(told=_at(now.told, k, frozenset(harts)))
            case Act.STOP if inside and not self.full:
                return
            case Act.RESUME:
                for hart in (A, B) if event is None or event.fences else ():
                    after = self.fence_i(after, hart)
                after = after._replace(since=len(now.visible))
            case Act.WAIT_TASKS:
                if inside:
                    return
                after = after._replace(since=len(now.visible))
            case Act.LOCK:
                if any(self.is_between(j, now, Act.LOCK, Act.UNLOCK) for j in range(len(self.programs)) if j != k):
                    return
            case Act.MAP | Act.UNMAP:
                assert event is not None
                slots = dict(now.slots)
                slots.pop(event.slot, None)
                if act is Act.MAP:
                    slots[event.slot] = event.at >> 12
                after = after._replace(slots=tuple(sorted(slots.items())))
        if not self.single and self.have_returned(after) and not self.is_some_order(after):
            yield Kind.LOST
        else:
            yield after

    def keeps_the_patcher_out(self, now: Now) -> bool:
        """A call on P, and nothing that would take P from it."""
        return now.phase == "inside" and now.hart == P and not (self.full and self.elsewhere)

    def is_between(self, k: int, now: Now, first: Act, last: Act) -> bool:
        done = [act for act, _, _ in self.programs[k][: now.steps[k]] if act in (first, last)]
        return bool(done) and done[-1] is first

    def have_returned(self, now: Now) -> bool:
        return all(at == len(program) for at, program in zip(now.steps, self.programs, strict=True))

    def is_some_order(self, now: Now) -> bool:
        """Tell whether memory is as if one patcher had come after the other."""
        first, second = ([n for n, part in enumerate(self.parts) if part.owner == k] for k in (0, 1))
        touched = sorted({at for part in self.parts for at in _range(part)})
        left = [self.byte(now.visible, at) for at in touched]
        return any(left == [self.byte(order, at) for at in touched] for order in (first + second, second + first))

    # -- what is seen

    def byte(self, order: tuple[int, ...] | list[int], at: int) -> int:
        """A byte behind some parts: what the last of them has made it."""
        for n in reversed(order):
            part = self.parts[n]
            if part.at <= at < part.at + len(part.data):
                return part.data[at - part.at]
        try:
            return self.scenario.memory.read(at, 1)[0]
        except Trap:
            return 0

    def bytes(self, order: tuple[int, ...], at: int, size: int) -> bytes:
        return bytes(self.byte(order, at + i) for i in range(size))

    def is_patched(self, at: int, size: int) -> bool:
        return any(part.at < at + size and at < part.at + len(part.data) for part in self.parts)

    def moments(self, now: Now) -> list[tuple[int, ...]]:
        """What the victim's hart may fetch of: its stores in program order for P, else what is visible."""
        order = now.stored if now.hart == P else now.visible
        first = now.fenced[(P, A, B).index(now.hart)]
        return [order[:count] for count in range(first, len(order) + 1)]

    def fetched(self, now: Now) -> set[tuple[bytes, ...]]:
        """The instructions that may be fetched at pc: one, or two that are fused."""
        pc, moments = now.pc, self.moments(now)
        if self.world.fetch is Fetch.STRONG:
            moments = moments[-1:]
        if self.world.fused is not Fused.NO and pc % 8 == 0:
            pairs = set()
            for moment in moments:
                one, two = self.bytes(moment, pc, 4), self.bytes(moment, pc + 4, 4)
                both = is_long(one) and is_long(two) and (self.world.fused is Fused.ANY or is_call(one, two))
                pairs.add((one, two) if both else (cut(one),))
            return pairs
        unit = {Fetch.STRONG: 64, Fetch.ZICCIF: 4, Fetch.PARCEL: 2}[self.world.fetch]
        choices: list[set[bytes]] = []
        at = pc
        while at < pc + 4:
            size = min(at // unit * unit + unit, pc + 4) - at
            choices.append({self.bytes(moment, at, size) for moment in moments})
            at += size
        return {(cut(b"".join(choice)),) for choice in product(*choices)}

    # -- the victim

    def victim_steps(self, now: Now) -> Iterator[Now | Kind]:
        stopped = any(self.is_between(k, now, Act.STOP, Act.RESUME) for k in range(len(self.programs)))
        if now.phase == "done" or (stopped and self.world.patcher is not Patching.ITSELF):
            return
        if now.phase == "before":
            late = self.have_returned(now)
            for hart in self.may_begin_on(now):
                since = len(now.visible) if late else now.since
                yield now._replace(phase="inside", hart=hart, late=late, since=since)
            return
        yield from self.executed(now)
        if self.full and self.world.migration and self.world.harts > 1 and self.elsewhere:
            for hart in (P, A, B) if self.single else (A, B):
                has_left_stores = now.hart == P and len(now.visible) < len(now.stored)  # it takes them along
                if hart != now.hart and not has_left_stores:
                    yield now._replace(hart=hart, since=len(now.visible))

    def may_begin_on(self, now: Now) -> list[str]:
        if not self.elsewhere:
            return [P]
        harts = [A, B] if self.world.harts > 1 else []
        if not (self.full and self.world.migration):
            harts = harts[:1]
        sleeps = all(
            at in (0, len(program)) or program[at][0] in (Act.LOCK, Act.STOP, Act.WAIT_TASKS)
            for at, program in zip(now.steps, self.programs, strict=True)
        )
        return [*harts, P] if self.single and (self.full or sleeps) else harts

    def stands_in(self, now: Now) -> list[Now | Kind] | None:
        """What happens where no instruction is executed; None where one is."""
        site, x = self.scenario.site, now.x
        if now.pc == site.body:
            if any(x[r] != site.registers[r] for r in range(1, 32) if r not in site.clobbers):
                return [Kind.REGISTERS]
            kind = self.judged(now)
            return [now._replace(phase="done", pc=0, x=(), stack=(), ages=(), loaded=()) if kind is None else kind]
        if now.pc in site.callbacks:
            ops = x[site.ops_register]
            if self.is_freed(now, ops, 8):
                return [Kind.FREED]
            if self.scenario.ops and ops not in self.scenario.ops:
                return [Kind.OPS]
            changed = tuple(0x7777_0000_0000 + r if r in CALLER_SAVED else x[r] for r in range(32))
            ages = tuple(0 if r in CALLER_SAVED else now.ages[r] for r in range(32))
            return [now._replace(pc=x[1] & ~1, x=changed, ages=ages, calls=(*now.calls, ops))]
        if now.pc in site.directs:
            ops = site.directs[now.pc]
            if self.is_freed(now, ops, 8):
                return [Kind.FREED]
            return [now._replace(pc=x[site.link] & ~1, calls=(*now.calls, ops))]
        if not any(now.pc in span for span in site.code.values()):
            return [Kind.WILD]
        return None

    def judged(self, now: Now) -> Kind | None:
        scenario = self.scenario
        calls = tuple(ops for ops in now.calls if ops not in scenario.quiet)
        wanted = [scenario.new] + ([scenario.other] if scenario.other is not None else [])
        if calls in wanted or (calls == scenario.old and not now.late):
            return None
        return Kind.STALE if now.late else Kind.OPS if calls else Kind.MISSED

    def is_freed(self, now: Now, at: int, size: int) -> bool:
        for program, done in zip(self.programs, now.steps, strict=True):
            for act, event, _ in program[:done]:
                if act is Act.FREE and event is not None and at < event.at + event.size and event.at < at + size:
                    return True
        return False

    def executed(self, now: Now) -> Iterator[Now | Kind]:
        """One instruction, or one fused pair, in each way in which it may be fetched."""
        hosted = self.stands_in(now)
        if hosted is not None:
            yield from hosted
            return
        for words in self.fetched(now):
            for after in self.issued(now, words[0]):
                alone = isinstance(after, Kind) or len(words) == 1 or after.pc != now.pc + 4
                if isinstance(after, Kind) or alone or self.stands_in(after) is not None:
                    yield after
                else:
                    yield from self.issued(after, words[1])

    def issued(self, now: Now, word: bytes) -> Iterator[Now | Kind]:
        """One instruction that was fetched; it may load each of several values."""
        if word in (b"\x73\0\x10\0", b"\x02\x90") and now.pc in self.scenario.site.breakpoints:
            ops, word = self.scenario.site.breakpoints[now.pc]
            now = now._replace(calls=(*now.calls, ops))
        hart, accesses, failed = self.hart_behind(now, word, {})
        loads = [(at, size) for kind, at, size, _ in accesses if kind == "load" and self.is_patched(at, size)]
        insn = decode(int.from_bytes(word, "little"))
        sources = [r for r in (insn.base.rs1, insn.base.rs2) if r > 0] if insn is not None else []
        age = max((now.ages[r] for r in sources), default=0)
        if not loads:
            for kind, at, size, _ in accesses:
                if kind == "load":
                    age = max([age, *(old for each, _, old in now.stack if at <= each < at + size)])
            yield self.behind(now, word, hart, accesses, failed, age, age)
            return
        assert len(loads) == 1, "an instruction that loads twice"
        at, size = loads[0]
        for value, moments in self.loadable(now, at, size, age):
            is_pointer = any((at, size) == (span.start, span.size) for span in self.scenario.pointers)
            if is_pointer and int.from_bytes(value, "little") not in self.scenario.ops:
                yield Kind.OPS
                continue
            result = self.hart_behind(now, word, {at + i: byte for i, byte in enumerate(value)})
            loaded = dict(now.loaded)
            for i, moment in enumerate(moments):
                loaded[at + i] = moment
            seen = now._replace(loaded=tuple(sorted(loaded.items())))
            yield self.behind(seen, word, *result, max(moments), age)

    def loadable(self, now: Now, at: int, size: int, age: int) -> list[tuple[bytes, list[int]]]:
        """The values that a load may see, and for each byte the earliest moment that it can be of."""
        if now.hart == P:
            return [(self.bytes(now.stored, at, size), [0] * size)]
        step = size
        while at % step:
            step //= 2
        choices = []
        for low in range(at, at + size, step):
            fetched = now.fenced[(P, A, B).index(now.hart)]  # an instruction loads after it was fetched
            first = max([now.since, fetched, age, *(moment for each, moment in now.loaded if low <= each < low + step)])
            seen: dict[bytes, int] = {}
            for moment in range(first, len(now.visible) + 1):
                seen.setdefault(self.bytes(now.visible[:moment], low, step), moment)
            choices.append(list(seen.items()))
        found = []
        for choice in product(*choices):
            moments = [moment for part, moment in choice for _ in part]
            found.append((b"".join(part for part, _ in choice), moments))
        return found

    def hart_behind(
        self, now: Now, word: bytes, patched: dict[int, int]
    ) -> tuple[Hart, list[tuple[str, int, int, int]], bool]:
        """A new hart on a new memory, behind one instruction."""
        memory = self.scenario.memory.fork()
        for at, byte, _ in now.stack:
            memory.write(at, bytes([byte]))
        for at, byte in patched.items():
            memory.write(at, bytes([byte]))
        hart = Hart(memory)
        hart.x[:32], hart.pc, hart.log = list(now.x), now.pc, []
        with recorded(hart) as accesses:
            outcome = hart.issue(int.from_bytes(word, "little"))
        return hart, list(accesses), outcome is not None

    def behind(
        self, now: Now, word: bytes, hart: Hart, accesses: list[tuple[str, int, int, int]], failed: bool, age: int,
        stored_age: int,
    ) -> Now | Kind:  # fmt: skip
        """The state behind an instruction, or what it breaks."""
        used = [(now.pc, len(word)), *((at, size) for kind, at, size, _ in accesses if kind == "load")]
        if any(self.is_freed(now, at, size) for at, size in used):
            return Kind.FREED
        stack = {at: (byte, old) for at, byte, old in now.stack}
        for kind, at, size, value in accesses:
            if kind == "store":
                if not (at in self.scenario.site.stack and at + size - 1 in self.scenario.site.stack):
                    return Kind.WILD
                for i in range(size):
                    stack[at + i] = (value >> 8 * i & 255, stored_age)
        if failed:
            return Kind.WILD
        ages = list(now.ages)
        insn = decode(int.from_bytes(word, "little"))
        if insn is not None and insn.base.rd > 0:
            ages[insn.base.rd] = age
        kept = tuple((at, byte, old) for at, (byte, old) in sorted(stack.items()))
        after = now._replace(pc=hart.pc, x=tuple(hart.x[:32]), stack=kept, ages=tuple(ages))
        for event in hart.log or []:
            if event.kind == "fence.i":
                after = self.fence_i(after, now.hart)._replace(since=len(now.visible))
            elif event.kind == "fence" and event.address & READS and event.address >> 4 & READS:
                after = after._replace(since=len(now.visible))
        return after


def kinds_of(scenario: Scenario, environment: Environment, most: int = 400_000) -> frozenset[Kind]:
    """Return everything that can break."""
    return Reference(scenario, environment).run(most)


def is_long(data: bytes) -> bool:
    return data[0] & 3 == 3


def cut(data: bytes) -> bytes:
    """An instruction, without what is fetched behind it."""
    return data if is_long(data) else data[:2]


def is_call(one: bytes, two: bytes) -> bool:
    first, second = int.from_bytes(one, "little"), int.from_bytes(two, "little")
    is_auipc, is_jalr = first & 0x7F == 0x17, second & 0x707F == 0x67
    return is_auipc and is_jalr and first >> 7 & 31 == second >> 15 & 31


def _range(part: Part) -> range:
    return range(part.at, part.at + len(part.data))


def _at(values: tuple, place: int, value: object) -> tuple:
    return (*values[:place], value, *values[place + 1 :])
