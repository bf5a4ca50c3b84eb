# SPDX-License-Identifier: GPL-2.0-or-later
"""How bpf_arch_text_poke() is called: found in the kernel's types, never by its version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...image.btf import Btf
from ...units import as_hex

__all__ = ["ANSWERS", "CALL", "JUMP", "NOP", "ONLINE", "POKE", "PokeInterface", "Target", "find_poke_interface"]

POKE = "bpf_arch_text_poke"
NOP, CALL, JUMP = "nop", "call", "jump"
_ENUMERATORS = {NOP: "BPF_MOD_NOP", CALL: "BPF_MOD_CALL", JUMP: "BPF_MOD_JUMP"}
ANSWERS = ("is_bpf_text_address", "bpf_address_lookup", "__bpf_address_lookup")
"""Functions that say whether an address is BPF's: they are answered 1."""
ONLINE = ("__num_online_cpus", "__cpu_online_mask")
"""Variables of 32 bits that are 1 where one hart is online, as the first one makes them when it boots."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the sled leads to: what kind of jump, and its target; a nop has none."""

    kind: str
    address: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == NOP else f"{self.kind} {as_hex(self.address)}"


@dataclass(frozen=True, slots=True)
class PokeInterface:
    """How bpf_arch_text_poke() is told what is there and what is to be.

    Args:
        has_both: it takes two types, that of what is there and that of what is to be; else one for both.
        kinds: number of each kind of jump.
    """

    has_both: bool
    kinds: Mapping[str, int]

    def types(self, old: Target, new: Target) -> tuple[int, ...]:
        """Return the types between the place and the two targets."""
        first, second = (self.kinds.get(each.kind, 0) for each in (old, new))
        if self.has_both:
            return first, second
        return (second if new.kind != NOP else first,)


def find_poke_interface(types: Btf | None) -> PokeInterface | None:
    """Return how the function is called, None if there is none or it is not understood."""
    proto = types.func_proto(POKE) if types is not None else None
    if types is None or proto is None:
        return None
    has_both = sum(each.type_name.startswith("enum ") for each in proto.parameters) == 2
    if len(proto.parameters) != 4 + has_both:
        return None
    numbers = {kind: types.enumerator(name) for kind, name in _ENUMERATORS.items()}
    return PokeInterface(has_both, {kind: number for kind, number in numbers.items() if number is not None})
