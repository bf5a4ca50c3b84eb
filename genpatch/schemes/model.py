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


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store that patching makes.

    Args:
        at: distance from func [bytes, signed].
        width: [bytes].
        what: what is stored, for people.
    """

    at: int
    width: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a scheme looks like in an image; None where it does not matter or was not seen.

    Args:
        before, after: sled bytes below and from func.
        ip_offset: what the kernel patches first, minus func [bytes].
        link: the register the trampoline returns through.
        literal: where the trampoline loads the ops pointer, minus func [bytes]; 0 for "it does not".
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
        disabled, enabled: the words from func on, as assembler text with the holes {hi20} and {lo12}.
        enable: the stores that turn a disabled site into an enabled one, in order; disabling writes the same places.
        init: the stores that make a compiled sled a disabled site.
        literal: where the ops pointer lives, minus func [bytes], or None.
        literal_alignment: what the literal's address must be a multiple of [bytes].
        frozen_auipc: the auipc is written once, so every target must share its hi20.
        reach: distances that the call covers, from its first instruction [bytes].
        clobbers: registers the call may change on the way to the trampoline.
        needs: what it takes to be safe.
        traits: how it betrays itself in an image.
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
    enable: tuple[Store, ...]
    init: tuple[Store, ...]
    literal: int | None = None
    literal_alignment: int = 8
    frozen_auipc: bool = False
    reach: range
    clobbers: frozenset[str]
    needs: frozenset[Need]
    traits: Traits
    refines: str | None = None
    source: str

    @property
    def code_store(self) -> Store:
        """The widest store into instructions that enabling makes."""
        return max((store for store in self.enable if store.at >= 0), key=lambda store: store.width)

    @property
    def words_patched(self) -> int:
        """How many instruction words enabling rewrites."""
        return sum(store.width for store in self.enable if store.at >= 0) // 4

    @property
    def is_multi_word(self) -> bool:
        """More than one instruction changes, so a task may be preempted between them."""
        return self.words_patched > 1


def named(schemes: tuple[CallScheme, ...]) -> MappingProxyType[str, CallScheme]:
    """Return the schemes by name; a name given twice is our bug."""
    table = {scheme.name: scheme for scheme in schemes}
    assert len(table) == len(schemes), "two schemes share a name"
    return MappingProxyType(table)
