# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps over detached programs, written into trampolines by the kernel's own function, executed in each lane.

What bpf_tramp_image_put() and the detaching of one program call is called: `bpf_arch_text_poke` from a nop to a jump,
or `arch_bpf_trampoline_skip`. What it has written is then taken back, and put there again when a trampoline is run:
before it is entered, or while the traced function runs. Where the function cannot be run, the host writes one `jal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...machine.lane_memory import LaneMemory
from ...machine.lanes import Lanes
from ...machine.memory import PAGE
from ...machine.outcome import Trap
from ...run.kernel import A0, RA
from ...units import BoolArray, I64Array, U8Array, U64Array
from ..pages import PAGE_OF, ModuleText, find_module_text
from ..patcher import Call, Patcher
from ..scene import Scene
from .detours import Detour
from .life import Breach
from .poke_interface import ANSWERS, JUMP, NOP, ONLINE, POKE, Target, find_poke_interface
from .promises import BpfPromise

__all__ = ["JumpWriter", "Written", "jump_word"]

_SKIP = "arch_bpf_trampoline_skip"
_U64 = np.uint64
_WINDOW = 24
_NOP = b"\x13\x00\x00\x00"
_TRIAL_BELOW = 4 << 20


def jump_word(distance: I64Array) -> U64Array:
    """Return ``jal zero, distance`` [bytes, even, within 1 MiB] as words: uint64[k]."""
    raw = distance.view(_U64)
    bits = (raw >> _U64(20) & _U64(1)) << _U64(31) | (raw >> _U64(1) & _U64(0x3FF)) << _U64(21)
    word: U64Array = bits | (raw >> _U64(11) & _U64(1)) << _U64(20) | (raw >> _U64(12) & _U64(0xFF)) << _U64(12)
    return word | _U64(0x6F)


@dataclass(frozen=True)
class Written:
    """Jumps that can be put into trampolines and taken away again.

    Args:
        memory: of the lanes.
        detour: those lanes of a detour whose jumps were written.
        before, after: uint8[k, w], what stands from each jump's place on.
    """

    memory: LaneMemory
    detour: Detour
    before: U8Array
    after: U8Array

    @cached_property
    def _rows(self) -> I64Array:
        rows = np.full(self.memory.n, -1, np.int64)
        rows[self.detour.lanes] = np.arange(len(self.detour.lanes))
        return rows

    def put(self, lanes: I64Array, kept: int = 0) -> None:
        """Put the jumps of some lanes; `kept` bytes at the beginning stay as they were."""
        rows = self._rows[lanes]
        lanes, rows = lanes[rows >= 0], rows[rows >= 0]
        now = self.after[rows].copy()
        now[:, :kept] = self.before[rows, :kept]
        if len(lanes):
            self.memory.write(lanes, self.detour.start[rows], now)

    def take_back(self) -> None:
        """Make all trampolines what they were."""
        self.memory.write(self.detour.lanes, self.detour.start, self.before)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Offsets from a jump's place on at which a task may stand that has executed what was there before."""
        changed = (self.before != self.after).any(axis=0)
        size = int(np.flatnonzero(changed).max(initial=-1)) + 1
        unit = 4 if int(self.before[0, 0]) & 3 == 3 else 2
        return tuple(range(unit, size, unit))


class JumpWriter:
    """Lets a kernel write jumps into trampolines.

    Args:
        scene: the kernel.
        near: address of trampolines close to it.
    """

    def __init__(self, scene: Scene, near: int):
        self.scene, self.image = scene, scene.image
        self._poke = find_poke_interface(scene.image.types)
        self._near = near
        self._ready: Patcher | None = None

    @cached_property
    def _text(self) -> ModuleText:
        return find_module_text(self.scene, self._near - _TRIAL_BELOW & -PAGE)

    def _function(self, is_skip: bool) -> str:
        """Return the function that writes a jump, empty without one."""
        if is_skip and self.image.address_of(_SKIP) is not None:
            return _SKIP
        return POKE if self.image.address_of(POKE) is not None and self._poke is not None else ""

    def note(self, is_skip: bool) -> str:
        """Return why the kernel's function is not run, empty if it is."""
        if not self._function(is_skip):
            return f"no {POKE} that is understood: the host writes jumps over detached programs"
        why = self._text.note or ("text is written where it is" if self._text.writable else "")
        return f"the host writes jumps over detached programs: {why}" if why else ""

    def write(self, patcher: Patcher, detour: Detour) -> tuple[Written, list[Breach]]:
        """Write the jumps of a detour, look at them and take them back.

        Returns:
            (those that were written, what was broken).
        """
        memory, lanes, start = patcher.memory, detour.lanes, detour.start
        before = memory.read(lanes, start, _WINDOW)
        if self.note(detour.is_skip):
            return self._by_host(memory, detour, before)
        name = self._function(detour.is_skip)
        call = self._called(patcher, name, detour)
        after = memory.read(lanes, start, _WINDOW)
        memory.write(lanes, start, before)
        failed = ~call.returned | (call.value != 0)
        return self._kept(memory, detour, before, after, failed), list(self._breaches(patcher, name, detour, call))

    def _called(self, patcher: Patcher, name: str, detour: Detour) -> Call:
        self.prepare(patcher)
        arguments: Sequence[U64Array | int] = (detour.start, detour.end)
        if name == POKE:
            assert self._poke is not None
            types = self._poke.types(Target(NOP), Target(JUMP))
            arguments = (detour.start, *types, 0, detour.end)
        return patcher.call(name, dict(enumerate(arguments)), detour.lanes)

    def prepare(self, patcher: Patcher) -> None:
        """Let a kernel's lanes take trampolines for what they are, and themselves for the only hart."""
        if self._ready is patcher:
            return
        self._ready = patcher
        for name in ANSWERS:
            if (address := self.image.address_of(name)) is not None:
                patcher.hooks[address] = _yes
        if (address := self.image.address_of(PAGE_OF)) is not None and self._text.pages is not None:
            patcher.hooks[address] = self._page_of
        for name in ONLINE:
            if (address := self.image.address_of(name)) is not None:
                try:
                    patcher.memory.write(None, address, np.frombuffer((1).to_bytes(4, "little"), np.uint8))
                except Trap:
                    continue

    def _page_of(self, lanes: Lanes, group: I64Array) -> None:
        """Stand in for vmalloc_to_page(address)."""
        text = self._text
        lanes.x[A0, group] = _U64(text.pages or 0) + lanes.x[A0, group] // _U64(PAGE) * _U64(text.page_size)
        lanes.pc[group] = lanes.x[RA, group]

    def _by_host(self, memory: LaneMemory, detour: Detour, before: U8Array) -> tuple[Written, list[Breach]]:
        after = before.copy()
        words = jump_word((detour.end - detour.start).astype(np.int64)).astype("<u4")
        after[:, :4] = words.view(np.uint8).reshape(-1, 4)
        nop = np.frombuffer(_NOP, np.uint8)
        failed = (before[:, :4] != nop).any(axis=1)
        found = before[:, :4].copy().view("<u4")[:, 0].astype(_U64)
        note = "there is no nop to write it over"
        breaches = [_breach(detour, failed, int.from_bytes(_NOP, "little"), found, note)] if failed.any() else []
        return self._kept(memory, detour, before, after, failed), breaches

    def _kept(self, memory: LaneMemory, detour: Detour, before: U8Array, after: U8Array, failed: BoolArray) -> Written:
        sound = ~failed & (before != after).any(axis=1)
        return Written(memory, detour.some_of(sound), before[sound], after[sound])

    def _breaches(self, patcher: Patcher, name: str, detour: Detour, call: Call) -> list[Breach]:
        found = []
        stuck = ~call.returned
        if stuck.any():
            reason = patcher.lanes.outcome(int(detour.lanes[stuck][0])).reason
            found.append(_breach(detour, stuck, 0, detour.start, f"{name} does not return: {reason}"))
        refused = call.returned & (call.value != 0)
        for value in np.unique(call.value[refused]).tolist():
            these = refused & (call.value == value)
            found.append(_breach(detour, these, 0, call.value.view(_U64), f"{name} returns {value} and writes nothing"))
        return found


def _breach(detour: Detour, wrong: BoolArray, expected: int, got: U64Array, note: str) -> Breach:
    wanted = np.full(int(wrong.sum()), expected, _U64)
    return Breach(BpfPromise.MADE, detour.what, detour.lanes[wrong], wanted, got[wrong], note)


def _yes(lanes: Lanes, group: I64Array) -> None:
    lanes.x[A0, group] = _U64(1)
    lanes.pc[group] = lanes.x[RA, group]
