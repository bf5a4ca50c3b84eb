# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's own code does while it patches, as events of a patcher.

A function is called on a scalar hart of a machine that believes it has two. What is stored to a site is seen
where it lands, whichever fixmap slot it went through; functions that tell other harts to do something are not
executed, but what they would have the other harts do is, on a second hart, so that a cross-call counts as a
remote fence.i only if what it calls executes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from ..errors import ImageError
from ..image.model import KernelImage
from ..isa.insn import decode
from ..machine.hart import Event as Seen
from ..machine.hart import Hart
from ..machine.memory import PAGE, Mapping, Memory
from ..machine.outcome import Outcome, Trap
from ..run.kernel import A0, GP, RA, RETURN, SP, TP, KernelBench, go_back, has_returned, second_global_pointer
from ..units import Span
from ..verify.pages import PAGE_OF, ModuleText
from ..verify.scene import Scene, hook_stubs
from ..verify.stubs import FIXMAP, Stub
from ..verify.update import UPDATE
from .model import Act, Event

__all__ = ["Call", "KernelObserver", "Observed", "fence_sets"]

PREPARE, FINISH = "ftrace_arch_code_modify_prepare", "ftrace_arch_code_modify_post_process"
INNER = "ftrace_modify_all_code"
_UPDATE_CALLS = 1  # the command FTRACE_UPDATE_CALLS
_HARTS = 2
_ONLINE = {"__num_online_cpus": _HARTS, "__cpu_online_mask": (1 << _HARTS) - 1}
"""What boot would have filled in, and without which a kernel tells nobody."""
_EXECUTED = frozenset({"flush_icache_all"})
"""Stubs of verification that are executed here, for the sake of the fences in them."""
_CROSS = {
    "on_each_cpu_cond_mask": 1,
    "smp_call_function": 0,
    "smp_call_function_many": 1,
    "smp_call_function_many_cond": 1,
}
"""Which argument is the function that other harts execute; its argument and whether to wait follow."""
_TEXT_LOCK = "text_mutex"
_SLOTS = ("FIX_TEXT_POKE0", "FIX_TEXT_POKE1")
_BUDGET = 200_000
_WAITING = 5_000
"""Instructions after which a hart that has not come back counts as waiting."""
_SLED_WORD = 4
_SETS = "iorw"

Hook = Callable[[Hart], None]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the kernel's functions."""

    function: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What a call came to.

    Args:
        events: what others may see of it, in order.
        value: what the function returned, signed, 32 bits.
        notes: what else there is to say.
    """

    events: tuple[Event, ...]
    value: int
    notes: tuple[str, ...] = ()

    @property
    def stores(self) -> tuple[Event, ...]:
        """The stores among the events."""
        return tuple(event for event in self.events if event.act is Act.STORE)


def fence_sets(operands: int) -> tuple[str, str]:
    """Return the predecessor and successor sets of a fence as assembler has them: ``("rw", "w")``."""
    before, after = (
        "".join(letter for n, letter in enumerate(_SETS) if operands >> shift & 8 >> n) for shift in (4, 0)
    )
    return before, after


class KernelObserver:
    """One kernel whose patching is watched; calls follow one another and see what earlier ones did.

    Args:
        image: the kernel.
        scene: prepared for it.
        text: how it writes to text that is not its own, if it is to.

    Attributes:
        bench: the kernel in its memory.
        unique_ops: what ftrace_find_unique_ops answers.
        slots: number of a fixmap slot to its name.
    Raises:
        ImageError: where the kernel writes to its text was not found.
    """

    def __init__(self, image: KernelImage, scene: Scene, text: ModuleText | None = None):
        self.image, self.scene = image, scene
        self.bench = KernelBench(image)
        self.bench.map_shadow(scene.fixmap_top)
        self.unique_ops = 0
        self.notes: list[str] = []
        self.slots = _slot_names(image)
        self._events: list[Event] = []
        self._span = Span(0, 0)
        self.also: tuple[Span, ...] = ()
        self._mapped: dict[int, Mapping] = {}
        self._depth = 0
        self._sled = Span(0, 0)
        fixmap = image.address_of(FIXMAP)
        if fixmap is not None and scene.fixmap_top is None:
            raise ImageError(image.path, expected="to see where text is written", got="; ".join(scene.notes) or FIXMAP)
        if fixmap is None:
            self.make_writable()
        self._believe_in_harts()
        self._hooks = self._hooks_of(fixmap, text)

    def make_writable(self) -> None:
        """Let code be written where it is, in a kernel that has no other way."""
        memory = self.bench.memory
        for mapping in [each for each in memory.mappings if each.permissions.execute and not each.permissions.write]:
            span = mapping.span
            memory.unmap(mapping)
            memory.map(span.start, mapping.content, size=span.size, permissions="rwx", name=mapping.name)

    def answer(self, function: int, value: int) -> None:
        """Let a function return a value instead of being executed."""
        self._hooks[function] = lambda hart: go_back(hart, value)

    def fresh_memory(self) -> Memory:
        """Return the memory as it is now, for a victim whose stack is empty."""
        memory, stack = self.bench.memory.fork(), self.bench.stack
        memory.write(stack.start, bytes(stack.size))
        return memory

    def _believe_in_harts(self) -> None:
        memory = self.bench.memory
        for name, value in _ONLINE.items():
            address = self.image.address_of(name)
            with suppress(Trap):  # a symbol that stands nowhere
                if address is not None and memory.read(address, 4) == bytes(4):
                    memory.write(address, value.to_bytes(4, "little"))

    def _hooks_of(self, fixmap: int | None, text: ModuleText | None) -> dict[int, Hook]:
        image, scene = self.image, self.scene
        stubs = {address: stub for address, stub in scene.stubs.items() if stub.name not in _EXECUTED}
        hook_stubs(self.bench.hart, stubs)
        hooks: dict[int, Hook] = {}
        for address, stub in stubs.items():
            special = self._special(stub)
            if special is not None:
                hooks[address] = special
        if fixmap is not None:
            hooks[fixmap] = self._map
        unique, page_of = image.address_of("ftrace_find_unique_ops"), image.address_of(PAGE_OF)
        if unique is not None:
            hooks[unique] = lambda hart: go_back(hart, self.unique_ops)
        if (waits := image.address_of(Act.WAIT_TASKS.value)) is not None:
            hooks[waits] = lambda hart: self._tell(hart, Event(act=Act.WAIT_TASKS))
        if page_of is not None and text is not None and text.pages is not None:
            hooks[page_of] = lambda hart: go_back(hart, text.page_of(hart.x[A0]))
        return hooks

    def _special(self, stub: Stub) -> Hook | None:
        """Return what takes the place of a stub because it is an event."""
        if stub.calls >= 0:
            return self._stop
        if stub.name in _CROSS:
            return lambda hart: self._cross(hart, stub.name)
        match stub.event:
            case "lock" | "unlock" if "mutex" in stub.name:
                return lambda hart: self._lock(hart, stub.event)
            case "remote fence.i":
                return lambda hart: self._tell(hart, Event(act=Act.REMOTE_FENCE_I, what=stub.name))
            case "warning":
                return lambda hart: self._warn(hart, stub.name)
            case _:
                return None

    # -- what functions that are not executed come to

    def _tell(self, hart: Hart, event: Event) -> None:
        self._events.append(event)
        go_back(hart)

    def _warn(self, hart: Hart, name: str) -> None:
        self.notes.append(f"{name} called from {self.image.symbols.nearest(hart.x[RA])}")
        go_back(hart)

    def _lock(self, hart: Hart, what: str) -> None:
        """Note the lock of text: the others are not what patchers exclude each other by."""
        wanted = self.image.address_of(_TEXT_LOCK)
        if wanted in (None, hart.x[A0]):
            self._depth += 1 if what == "lock" else -1
            if self._depth == (1 if what == "lock" else 0):
                self._events.append(Event(act=Act.LOCK if what == "lock" else Act.UNLOCK, what=_TEXT_LOCK))
        go_back(hart)

    def _map(self, hart: Hart) -> None:
        """Honour __set_fixmap(index, physical, protection): a second name for a page of text."""
        index, physical, protection = hart.x[A0 : A0 + 3]
        memory, name = self.bench.memory, self._slot_name(index)
        mapped = self._mapped.pop(index, None)
        if mapped is not None:
            memory.unmap(mapped)
        if protection:
            target = physical & -PAGE
            start = (self.scene.fixmap_top or 0) - index * PAGE
            self._mapped[index] = memory.alias(start, PAGE, target, name="fixmap")
            self._events.append(Event(act=Act.MAP, at=target, slot=name))
        elif mapped is not None:
            self._events.append(Event(act=Act.UNMAP, slot=name))
        go_back(hart)

    def _stop(self, hart: Hart) -> None:
        """Honour stop_machine(function, data, cpus): with cpus every hart calls it, the other one first."""
        function, data, cpus = hart.x[A0 : A0 + 3]
        self._events.append(Event(act=Act.STOP))
        other = _Other(self, hart) if cpus else None
        if other is not None:
            other.start(function, data)

        def resume(hart: Hart) -> None:
            if other is not None:
                other.go_on()
                if not other.has_returned:
                    self.notes.append("stop_machine: a hart that waits for the patcher does not come back")
                elif not other.log.fenced:
                    self.notes.append("stop_machine: the harts that wait execute no fence.i")
            else:
                self.notes.append("stop_machine: one hart is called, the others execute no fence.i of their own")
            self._events.append(Event(act=Act.RESUME, fences=other is not None and other.log.fenced))

        _when_back(hart, resume)
        hart.pc, hart.x[A0] = function, data

    def _cross(self, hart: Hart, name: str) -> None:
        """Let another hart execute what it is asked to, and see whether that is a fence.i."""
        first = A0 + _CROSS[name]
        function, argument, wait = hart.x[first : first + 3]
        other = _Other(self, hart)
        other.start(function, argument)
        if not other.has_returned:
            self.notes.append(f"{name}: {self.image.symbols.nearest(function)} does not return")
        elif other.log.fenced and wait:
            if name.startswith("on_each_cpu"):  # this hart is one of them
                self._events.append(Event(act=Act.FENCE_I))
            self._events.append(Event(act=Act.REMOTE_FENCE_I, what=self.image.symbols.nearest(function)))
        elif other.log.fenced:
            self.notes.append(f"{name}: nobody waits for the remote fence.i")
        go_back(hart)

    # -- what harts do

    def take(self, seen: Seen, log: _Log) -> None:
        """Keep what a hart did if others may notice it."""
        match seen.kind:
            case "store" if self._is_watched(seen.address, seen.width):
                data = (seen.value & (1 << 8 * seen.width) - 1).to_bytes(seen.width, "little")
                what, slot = self._what(seen.address, data), self._slot(seen.address)
                self._events.append(Event(act=Act.STORE, at=seen.address, data=data, slot=slot, what=what))
                log.stored = True
            case "fence" if log.is_own or log.stored:
                before, after = fence_sets(seen.address)
                if "w" in before and after:  # pause is spelt fence w, and nothing
                    self._events.append(Event(act=Act.FENCE, what=f"fence {before},{after}"))
            case "fence.i":
                log.fenced = True
                if log.is_own:
                    self._events.append(Event(act=Act.FENCE_I))
            case _:
                pass

    def _is_watched(self, address: int, width: int) -> bool:
        return any(span.start < address + width and address < span.end for span in (self._span, *self.also))

    def _slot(self, address: int) -> str:
        """Return the name of the fixmap slot that stands for an address, empty without one."""
        page = address & -PAGE
        names = (self._slot_name(index) for index, mapping in self._mapped.items() if mapping.target == page)
        return next(names, "")

    def _slot_name(self, index: int) -> str:
        return self.slots.get(index, f"slot {index}")

    def _what(self, address: int, data: bytes) -> str:
        """Return in words what is stored to a site."""
        sled = self._sled
        if any(address in span for span in self.also):
            return "what all trampolines hand on"
        if address < sled.start:
            return "the ops pointer" if len(data) == 8 else f"{len(data)} bytes of the ops pointer"
        if len(data) < _SLED_WORD or (address - sled.start) % _SLED_WORD:
            return f"{len(data)} bytes of an instruction"
        names = []
        for start, end in pairwise(range(0, len(data) + 1, _SLED_WORD)):
            insn = decode(int.from_bytes(data[start:end], "little"))
            text = insn.text() if insn is not None else "no instruction"
            names.append(text.split(" ")[0] if text != "nop" else text)
        return " and ".join(names)

    # -- calls

    def observe(self, calls: Sequence[Call], span: Span, sled: Span, inner: Call | None = None) -> Observed:
        """Call functions one after the other.

        Args:
            calls: which; the last one's value is returned.
            span: of addresses; stores elsewhere are not events.
            sled: of the site, to tell what is stored.
            inner: what is called in the place of ftrace_modify_all_code; its value is what is returned then.
        Raises:
            ImageError: one does not return.
        """
        hart = self.bench.hart
        for each in (span, *self.also):
            self.bench.memory.watch(each)
        self._span, self._sled, self._events, self._depth = span, sled, [], 0
        self.notes = []
        kept = dict(hart.hooks)
        hart.hooks.update(self._hooks)
        hart.log = _Log(self, is_own=True)
        values: list[int] = []
        if inner is not None:
            self._divert(inner, values)
        try:
            for call in calls:
                self._call(call)
                if inner is None:
                    values[:] = [hart.x[A0]]
        finally:
            hart.hooks, hart.log = kept, None
        value = values[0] & 0xFFFF_FFFF if values else 0
        return Observed(tuple(self._events), value - (value >> 31 << 32), tuple(dict.fromkeys(self.notes)))

    def _call(self, call: Call) -> None:
        outcome = self.bench.call(call.function, *call.arguments, budget=_BUDGET)
        if not has_returned(outcome):
            where = self.image.symbols.nearest(outcome.pc)
            raise ImageError(self.image.path, got=f"{call.function} does not return: {outcome.reason} at {where}")

    def _divert(self, call: Call, values: list[int]) -> None:
        address, function = self.bench.function(INNER), self.bench.function(call.function)

        def divert(hart: Hart) -> None:
            _when_back(hart, lambda hart: values.append(hart.x[A0]))
            hart.pc = function
            for number, argument in enumerate(call.arguments, A0):
                hart.x[number] = argument

        self.bench.hart.hooks[address] = divert

    def update(self, call: Call, span: Span, sled: Span) -> Observed:
        """Patch one site as an update of many does: locked, framed and fenced as the kernel's own is."""
        has = {name: self.image.address_of(name) is not None for name in (PREPARE, UPDATE, INNER, FINISH)}
        if not (has[UPDATE] and has[INNER]):
            seen = self.observe([call], span, sled)
            missing = " and ".join(name for name in (UPDATE, INNER) if not has[name])
            note = f"no {missing}: what an update does around {call.function} was not seen"
            return Observed(seen.events, seen.value, (*seen.notes, note))
        calls = [Call(UPDATE, (_UPDATE_CALLS,))]
        calls = [*([Call(PREPARE)] if has[PREPARE] else []), *calls, *([Call(FINISH)] if has[FINISH] else [])]
        return self.observe(calls, span, sled, call)


class _Log(list[Seen]):
    """Takes what a hart logs as it happens."""

    def __init__(self, observer: KernelObserver, *, is_own: bool):
        super().__init__()
        self._observer, self.is_own = observer, is_own
        self.fenced = self.stored = False

    def append(self, seen: Seen) -> None:
        self._observer.take(seen, self)


class _Other:
    """Another hart of the same machine, which does one thing that it was asked to."""

    def __init__(self, observer: KernelObserver, asking: Hart):
        bench = observer.bench
        self.memory, self.log = bench.memory, _Log(observer, is_own=False)
        self.hart = hart = Hart(bench.memory, compressed=asking.compressed)
        hart.log, hart.hooks = self.log, {**asking.hooks}
        hart.breakpoints = {RETURN}
        hart.x[RA], hart.x[GP] = RETURN, second_global_pointer(bench.image)
        hart.x[TP], hart.x[SP] = asking.x[TP], bench.stack.start + bench.stack.size // 2
        self.has_returned = False

    def start(self, function: int, argument: int) -> None:
        self.hart.pc, self.hart.x[A0] = function, argument
        self.go_on()

    def go_on(self) -> None:
        if self.has_returned:
            return
        observer = self.memory.observer
        self.has_returned = has_returned(self.hart.run(_WAITING))
        self.memory.observer = observer


def _when_back(hart: Hart, act: Hook) -> None:
    """Do something once when the function that is called now comes back, before what waits for its caller."""
    back = hart.x[RA]
    before = hart.hooks.get(back)

    def hook(hart: Hart) -> Outcome | None:
        if before is None:
            del hart.hooks[back]
        else:
            hart.hooks[back] = before
        act(hart)
        return before(hart) if before is not None else None

    hart.hooks[back] = hook


def _slot_names(image: KernelImage) -> dict[int, str]:
    numbers = {name: image.types.enumerator(name) for name in _SLOTS} if image.types is not None else {}
    return {number: name for name, number in numbers.items() if number is not None}
