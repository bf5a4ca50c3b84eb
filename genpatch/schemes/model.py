# SPDX-License-Identifier: GPL-2.0-or-later
"""A call scheme: where the sled is, what is written to it, and what that needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Link(StrEnum):
    """The register that the call leaves its return address in."""

    RA = "ra"
    T0 = "t0"


class Need(StrEnum):
    """What a scheme relies on to be safe."""

    STOP_MACHINE = "stop_machine"
    NO_PREEMPTION = "no PREEMPTION"
    ZICCIF = "Ziccif"
    REMOTE_FENCE_I = "remote fence.i"
    STORE_8 = "8-byte store"
    LANDING_PAD = "landing pad"
    FUSED_PAIR = "auipc + jalr fetched at once"


class Place(StrEnum):
    """What a store's distance is counted from."""

    FUNC = "func"
    SLOT = "slot"
    """A pointer in data that the trampoline loads."""
    TRAMPOLINE = "trampoline"
    """The tracer's own trampoline."""


class OpsIn(StrEnum):
    """Where the code behind the call finds its ops."""

    LITERAL = "literal"
    """In the bytes below func."""
    SLOT = "slot"
    """In a pointer elsewhere in data."""
    OWN = "own"
    """In a word of the trampoline's own: each tracer has a trampoline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store that patching makes.

    Args:
        at: distance from `place` [bytes, signed].
        width: [bytes]; 0 for all of the place.
        what: what is stored, for people.
        place: what `at` is counted from.
        is_data: what is stored is loaded, never executed.
        is_published: every hart shall see it before the next store is made.
    """

    at: int
    width: int
    what: str
    place: Place = Place.FUNC
    is_data: bool = False
    is_published: bool = False

    @property
    def patches(self) -> bool:
        """It changes instructions of a sled."""
        return self.place is Place.FUNC and not self.is_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a scheme looks like in an image; None where it does not matter or was not seen.

    Args:
        before, after: sled bytes below and from func.
        ip_offset: what the kernel patches first, minus func [bytes].
        link: the register the trampoline returns through.
        literal: -8 if the trampoline loads the ops pointer from below func, however far; 0 for "it does not".
        direct: the trampoline looks at ops->direct_call before it makes a frame.
        call_width: bytes of instructions that ftrace_make_call writes.
    """

    before: int | None = None
    after: int | None = None
    ip_offset: int | None = None
    link: Link | None = None
    literal: int | None = None
    direct: bool | None = None
    call_width: int | None = None

    def known(self) -> dict[str, object]:
        """Return the traits that are not None."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScheme:
    """One way of putting a call into a function.

    Args:
        name: catalog name.
        owner: ``"ftrace"`` or ``"bpf"``.
        summary: one line.
        before, after: sled bytes below func and from func on.
        alignment: what func must be a multiple of for the stores to be single [bytes].
        ip_offset: ftrace's site address minus func [bytes].
        link: link register of the call.
        disabled, enabled: what stands from func on, as assembler text, with holes: {hi20} and {lo12} of the
            distance to where the call goes, {target} for that address.
        init: the stores that make a compiled sled a disabled site.
        enable: the stores that turn a disabled site into an enabled one, in order.
        change: those that lead an enabled site from one tracer to another.
        disable: those that turn an enabled site into a disabled one.
        ops_in: where the ops are found.
        literal: where the ops pointer lives, minus func [bytes], or None.
        literal_alignment: what the literal's address must be a multiple of [bytes].
        dispatcher: a routine of each function's own, minus func [bytes], or None.
        below: other words below func, as pairs of distance and assembler text.
        direct_call: the trampoline goes to ops->direct_call, where there is one, before it makes a frame.
        frozen_auipc: the auipc is written once, so every target must share its hi20.
        base: the register that targets are near to; None where they are reached from the pc.
        reach: distances that the call covers, from its first instruction or from the base register [bytes].
        clobbers: registers the call may change on the way to the trampoline.
        needs: what it takes to be safe.
        traits: how it betrays itself in an image; nothing where it looks like another one.
        refines: a scheme of which this one is a variant, or None.
        source: commits or documents.
    """

    name: str
    owner: str
    summary: str
    before: int
    after: int
    alignment: int
    ip_offset: int
    link: Link
    disabled: tuple[str, ...]
    enabled: tuple[str, ...]
    init: tuple[Store, ...]
    enable: tuple[Store, ...]
    change: tuple[Store, ...]
    disable: tuple[Store, ...]
    ops_in: OpsIn
    literal: int | None = None
    literal_alignment: int = 8
    dispatcher: int | None = None
    below: tuple[tuple[int, str], ...] = ()
    direct_call: bool = False
    frozen_auipc: bool = False
    base: str | None = None
    reach: range
    clobbers: frozenset[str]
    needs: frozenset[Need]
    traits: Traits
    refines: str | None = None
    source: str

    @property
    def code_store(self) -> Store:
        """The widest store into instructions that enabling makes."""
        return max((store for store in self.enable if store.patches), key=lambda store: store.width)

    @property
    def words_patched(self) -> int:
        """How many instruction words enabling rewrites."""
        return sum(store.width for store in self.enable if store.patches) // 4

    @property
    def is_multi_word(self) -> bool:
        """More than one instruction changes, so a task may be preempted between them."""
        return self.words_patched > 1

    @property
    def return_offset(self) -> int:
        """Where the call of an enabled site returns to, minus func [bytes]."""
        texts = [line.split(",")[0] for line in self.enabled]
        return 4 * next(at for at, text in enumerate(texts, 1) if text in (f"jalr {self.link}", f"jal {self.link}"))

    @property
    def pushed(self) -> int:
        """What a function's own dispatcher has put on the stack when the trampoline is entered [bytes]."""
        return 16 if self.dispatcher is not None else 0

    @property
    def is_in_linux(self) -> bool:
        """A released kernel has had it; the others were proposed."""
        return self.source.startswith("linux ")


def named(schemes: tuple[CallScheme, ...]) -> MappingProxyType[str, CallScheme]:
    """Return the schemes by name; a name given twice is our bug."""
    table = {scheme.name: scheme for scheme in schemes}
    assert len(table) == len(schemes), "two schemes share a name"
    return MappingProxyType(table)
