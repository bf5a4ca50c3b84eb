# SPDX-License-Identifier: GPL-2.0-or-later
"""What is explored: a patcher's events, a victim's site, and what must hold whichever way they interleave.

A scenario is data and says nothing of where it comes from: the catalog of schemes, a real kernel's own events, or
a litmus test. Addresses are absolute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ..units import Span, as_hex

if TYPE_CHECKING:
    from ..machine.memory import Memory

__all__ = ["Act", "Behaviour", "Broken", "Event", "Kind", "Scenario", "Site"]


class Act(StrEnum):
    """What a patcher does in one event."""

    STORE = "store"
    """Bytes are stored; other harts see them at some later moment, at the latest after a FENCE."""
    FENCE = "fence"
    """All stores before it are visible to all harts before anything after it."""
    FENCE_I = "fence.i"
    """The patcher's own hart fetches what it has stored from now on."""
    REMOTE_FENCE_I = "remote fence.i"
    """Every other hart executes fence.i, each at a moment of its own, before the patcher goes on."""
    STOP = "stop_machine"
    """Begins when every other hart has switched to its stopper thread; nothing else runs until RESUME."""
    RESUME = "end of stop_machine"
    """The others go on; whether they have executed fence.i is up to the function that ran meanwhile."""
    WAIT_TASKS = "synchronize_rcu_tasks"
    """Waits until every task has been outside of sleds and trampolines."""
    FREE = "free"
    """Memory goes back to the allocator: whoever still uses it is broken."""
    LOCK = "lock"
    UNLOCK = "unlock"
    MAP = "map"
    """A fixmap slot becomes a second name for a page of text: stores through it go there."""
    UNMAP = "unmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a patcher.

    Args:
        act: what it does.
        at: first address of a STORE or FREE; address that MAP makes its slot stand for.
        data: bytes of a STORE.
        size: of what is freed [bytes].
        slot: of a MAP, an UNMAP and of a STORE that goes through one; "" for none.
        what: in words, for witnesses: ``the ops pointer``, ``jalr``.
        fences: of a RESUME: every hart that waited executes fence.i before it goes on. The patcher's own is an
            event of its own.
    """

    act: Act
    at: int = 0
    data: bytes = b""
    size: int = 0
    slot: str = ""
    what: str = ""
    fences: bool = True

    @property
    def text(self) -> str:
        """The event on one line of a witness."""
        match self.act:
            case Act.STORE:
                value = int.from_bytes(self.data, "little") if len(self.data) <= 8 else None
                shown = f" = {value:#x}" if value is not None else ""
                return f"store {len(self.data)} at {as_hex(self.at)}{shown}" + (f" ({self.what})" if self.what else "")
            case Act.FREE:
                return f"free {self.what or as_hex(self.at)}"
            case Act.MAP:
                return f"map {self.slot} to {as_hex(self.at)}"
            case Act.UNMAP:
                return f"unmap {self.slot}"
            case Act.LOCK | Act.UNLOCK if self.what:
                return f"{self.act.value} {self.what}"
            case Act.RESUME if not self.fences:
                return f"{self.act.value}, no fence.i on the others"
            case _:
                return self.act.value


class Kind(StrEnum):
    """How a path breaks what must hold."""

    WILD = "wild"
    """The pc leaves the sled, the trampoline and the body, or what it fetches is no instruction."""
    REGISTERS = "registers"
    """The body is entered with other registers than the call came with."""
    OPS = "ops"
    """The callback gets an ops that was registered at no moment of the call, or half of one."""
    FREED = "freed"
    """Something is used that the patcher has freed."""
    STALE = "stale"
    """A call that began after the patcher had returned does what the old state says."""
    MISSED = "missed"
    """A call while one tracer is replaced by another reaches neither."""
    LOST = "lost"
    """A patcher's store did not go where it was meant to go, or another patcher has undone it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """What a path broke, in words."""

    kind: Kind
    text: str


Behaviour = tuple[int, ...]
"""The ops that a call hands to callbacks, in order; empty for a call that is not traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The victim's side: what it runs through and what it must come to.

    Args:
        func: where a call begins.
        body: where a call is over: the first instruction behind the sled.
        code: name to span of what may be executed on the way: ``sled``, ``ftrace_caller``.
        callbacks: addresses at which the host stands in for a callback, which is given its ops in register
            `ops_register`, changes every caller-saved register and returns through ra.
        directs: addresses at which the host stands in for a direct trampoline: address to the ops that being
            called there stands for. It returns through the scheme's link register.
        link: number of the link register of calls from a sled.
        clobbers: numbers of the registers that may have changed at the body.
        registers: first values, x0 to x31.
        stack: the victim's own memory; what it stores elsewhere is wild.
        ops_register: number of the callback's argument that holds the ops.
        breakpoints: addresses at which an ebreak, when it is what is executed there, counts as a callback: address
            to the ops that it stands for and the bytes of the instruction that the host then executes in its place.
    """

    func: int
    body: int
    code: Mapping[str, Span]
    callbacks: frozenset[int]
    directs: Mapping[int, int] = field(default_factory=dict)
    link: int = 5
    clobbers: frozenset[int]
    registers: tuple[int, ...]
    stack: Span
    ops_register: int = 12
    breakpoints: Mapping[int, tuple[int, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One transition, ready to be explored.

    Args:
        name: for people: ``call-ops enable``.
        memory: as it is before the first event, code, ops and stack mapped.
        site: the victim's.
        patchers: events of each patcher, in program order; one, or two that run at the same time.
        old: what a call does before.
        new: what a call does afterwards. With two patchers each has a state of its own: `new` is what the
            first leaves when it is last, `other` when the second is.
        other: see `new`.
        quiet: ops that count as not being called: ftrace_nop_ops, whose callback does nothing.
        ops: every ops pointer that a callback may be given at all.
        pointers: spans of 8 bytes that hold an ops pointer; a value that is none of `ops` was torn.
        lines: for witnesses, name of some addresses.
        nearest: returns ``symbol+0x12`` for any other, if there are symbols.
    """

    name: str
    memory: Memory
    site: Site
    patchers: tuple[tuple[Event, ...], ...]
    old: Behaviour
    new: Behaviour
    other: Behaviour | None = None
    quiet: frozenset[int] = frozenset()
    ops: frozenset[int] = frozenset()
    pointers: tuple[Span, ...] = ()
    lines: Mapping[int, str] = field(default_factory=dict)
    nearest: Callable[[int], str] | None = None
