# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's patching functions, called for every site at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ..image.memory import AddressSpace
from ..machine.lane_log import LaneEvents
from ..machine.lane_memory import LaneMemory
from ..machine.lanes import Hook, Lanes
from ..machine.memory import PAGE
from ..machine.outcome import Status
from ..run.kernel import A0, GP, RA, RETURN, SHADOW_CALL_STACK, SP, TP, Place, global_pointer
from ..units import BoolArray, I64Array, U64Array
from .layouts import Layouts
from .pages import PAGE_OF, ModuleText
from .scene import Scene
from .stubs import FIXMAP, Stub

__all__ = ["NO_GUESTS", "Call", "Guests", "Patcher"]

BUDGET = 5_000
_U64 = np.uint64
_FRAME = 512
_MOST_SLOTS = 64  # different fixmap slots in one call of all lanes; any kernel takes two


@dataclass(frozen=True, slots=True)
class Call:
    """One function, called in many lanes.

    Args:
        name: the function.
        lanes: int64[m], the lanes that called it.
        returned: bool[m], whether it came back.
        value: int64[m], what it returned, as a C int.
        insns: instructions that all lanes executed.
        events: what it stored, fenced and called, in order.
    """

    name: str
    lanes: I64Array
    returned: BoolArray
    value: I64Array
    insns: int
    events: tuple[LaneEvents, ...]


@dataclass(frozen=True, slots=True)
class Guests:
    """What is in memory beside the kernel.

    Args:
        places: bytes of modules, disjoint.
        text: how the kernel writes to the text of modules, None without modules.
        traced: addresses of the kernel's own functions that have a site.
        memory: the same bytes as an address space, None without modules.
    """

    places: tuple[Place, ...] = ()
    text: ModuleText | None = None
    traced: frozenset[int] = frozenset()
    memory: AddressSpace | None = None


NO_GUESTS = Guests()


class Patcher:
    """A kernel in n lanes, one for each site.

    Args:
        scene: the kernel.
        ip: uint64[n], what the kernel calls rec->ip of each site.
        layouts: of the structures that its functions take.
        guests: modules, whose sites they may be.

    Attributes:
        lanes: the lanes.
        record, ops: addresses of each lane's struct dyn_ftrace and of its own struct ftrace_ops.
        gp: what gp holds when a function is called.
        found_ops: uint64[n], what ftrace_find_unique_ops answers.
    """

    def __init__(self, scene: Scene, ip: U64Array, layouts: Layouts, guests: Guests = NO_GUESTS):
        self.scene, self.ip, self.layouts, self.guests = scene, ip, layouts, guests
        n = len(ip)
        self.memory = LaneMemory(n)
        for place in (*scene.places, *guests.places):
            content = np.ascontiguousarray(place.content).data
            self.memory.map(
                place.span.start, content, size=place.span.size, permissions=place.permissions, name=place.name,
                logged=place.logged,
            )  # fmt: skip
        self.record, self.ops = scene.scratch.start, scene.scratch.start + PAGE
        self.memory.map_private(scene.task.start, scene.task.size, name="task")
        self.memory.map_private(scene.scratch.start, 2 * PAGE, name="records")
        self.memory.map_private(scene.stack.start, scene.stack.size, name="stack", poison=True)
        self.gp = self._global_pointer()
        self.lanes = Lanes(self.memory)
        self.all: I64Array = np.arange(n, dtype=np.int64)
        self.found_ops: U64Array = np.full(n, self.ops, _U64)
        self.hooks = self._stub_hooks()
        self.memory.write_u64(None, self.record + layouts.record_ip, ip)
        self.memory.watch(None)

    def _global_pointer(self) -> int:
        """Return what gp holds: what it holds at boot, or a shadow call stack of the lane's own, which nobody logs."""
        if self.scene.image.address_of(SHADOW_CALL_STACK) is None:
            return global_pointer(self.scene.image)
        start = self.scene.scratch.start + 2 * PAGE
        self.memory.map_private(start, PAGE, name="shadow call stack")
        return start

    def _stub_hooks(self) -> dict[int, Hook]:
        hooks: dict[int, Hook] = {address: self._stub(stub) for address, stub in self.scene.stubs.items()}
        image = self.scene.image
        fixmap, unique = image.address_of(FIXMAP), image.address_of("ftrace_find_unique_ops")
        if fixmap is not None and self.scene.fixmap_top is not None:
            hooks[fixmap] = self._map_text
        if unique is not None:
            hooks[unique] = self._unique_ops
        page_of = image.address_of(PAGE_OF)
        if page_of is not None and self.guests.text is not None and self.guests.text.pages is not None:
            hooks[page_of] = self._page_of
        return hooks

    def _stub(self, stub: Stub) -> Hook:
        def hook(lanes: Lanes, group: I64Array) -> None:
            if stub.event:
                self.memory.note(stub.event, group, lanes.x[A0, group])
            if stub.calls >= 0:
                lanes.pc[group] = lanes.x[A0 + stub.calls, group]
                lanes.x[A0, group] = lanes.x[A0 + stub.calls + 1, group]
            else:
                lanes.pc[group] = lanes.x[RA, group]
                if not stub.echoes:
                    lanes.x[A0, group] = _U64(stub.value)

        return hook

    def let_pass(self, callbacks: frozenset[int], link: int) -> None:
        """Let host functions return at once, for sites that the patching code itself goes through.

        Args:
            callbacks: addresses of callbacks, which return through ra.
            link: register through which a direct trampoline goes back.
        """
        self.hooks |= dict.fromkeys(callbacks, _returning(RA))
        self.hooks[self.scene.direct] = _returning(link)

    def _unique_ops(self, lanes: Lanes, group: I64Array) -> None:
        lanes.x[A0, group] = self.found_ops[group]
        lanes.pc[group] = lanes.x[RA, group]

    def _page_of(self, lanes: Lanes, group: I64Array) -> None:
        """Stand in for vmalloc_to_page(address)."""
        text = self.guests.text
        assert text is not None
        assert text.pages is not None
        lanes.x[A0, group] = _U64(text.pages) + lanes.x[A0, group] // _U64(PAGE) * _U64(text.page_size)
        lanes.pc[group] = lanes.x[RA, group]

    def _map_text(self, lanes: Lanes, group: I64Array) -> None:
        """Honour __set_fixmap(index, physical, protection): a second name for a page of text."""
        top = self.scene.fixmap_top or 0
        for index in np.unique(lanes.x[A0, group]).tolist()[:_MOST_SLOTS]:
            some = group[lanes.x[A0, group] == _U64(index)]
            start = top - index * PAGE
            mapped = lanes.x[A0 + 2, some] != 0
            targets = lanes.x[A0 + 1, some[mapped]] & _U64(-PAGE & 0xFFFF_FFFF_FFFF_FFFF)
            with suppress(ValueError):  # no such slot, or nothing there: a write that follows is a fault
                if mapped.any():
                    self.memory.alias(start, PAGE, targets, lanes=some[mapped], name="fixmap")
                if not mapped.all():
                    self.memory.unalias(start, PAGE, lanes=some[~mapped])
        lanes.pc[group] = lanes.x[RA, group]

    def call(self, name: str, arguments: Mapping[int, U64Array | int], lanes: I64Array | None = None) -> Call:
        """Call a function in some lanes.

        Args:
            name: a function that the image has.
            arguments: number of the argument to its value: uint64[m] or one.
            lanes: which; all by default.
        """
        group = self.all if lanes is None else lanes
        engine, entry = self.lanes, self.scene.image.address_of(name)
        if entry is None:
            raise ValueError(f"no {name}")
        engine.x[:, group] = 0
        fixed = {GP: self.gp, TP: self.scene.task.start, SP: self.scene.stack.end - _FRAME, RA: RETURN}
        for register, value in fixed.items():
            engine.x[register, group] = _U64(value)
        for number, argument in arguments.items():
            engine.x[A0 + number, group] = _U64(argument) if isinstance(argument, int) else argument
        engine.hooks, engine.breakpoints = self.hooks, {RETURN}
        seen, executed = len(self.memory.log.events), engine.insns
        engine.start(entry, group)
        engine.run(BUDGET)
        returned = (engine.status[group] == Status.STOPPED) & (engine.pc[group] == _U64(RETURN))
        value = engine.x[A0, group].astype(np.uint32).view(np.int32).astype(np.int64)
        return Call(name, group, returned, value, engine.insns - executed, tuple(self.memory.log.events[seen:]))


def _returning(register: int) -> Hook:
    def hook(lanes: Lanes, group: I64Array) -> None:
        lanes.pc[group] = lanes.x[register, group] & _U64(0xFFFF_FFFF_FFFF_FFFE)

    return hook
