# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols as arrays, whatever they were read from: .symtab, kallsyms or System.map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..units import BoolArray, I64Array, U8Array, U16Array, U32Array, U64Array
from .memory import sliding_rows

NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
LOCAL, GLOBAL, WEAK = 0, 1, 2
SHN_UNDEF, SHN_ABS, SHN_UNKNOWN = 0, 0xFFF1, 0xFFFF

_KEY_BYTES = 8
_ONES = 0x0101_0101_0101_0101
_MARKS = (
    "_text", "_stext", "_etext", "_sinittext", "_einittext", "__init_text_begin", "__init_text_end",
    "__exittext_begin", "__exittext_end", "__noinstr_text_start", "__noinstr_text_end", "__sched_text_start",
    "__sched_text_end", "__lock_text_start", "__lock_text_end", "__kprobes_text_start", "__kprobes_text_end",
    "__entry_text_start", "__entry_text_end", "__irqentry_text_start", "__irqentry_text_end",
    "__softirqentry_text_start", "__softirqentry_text_end", "__cpuidle_text_start", "__cpuidle_text_end",
    "__static_call_text_start", "__static_call_text_end", "__hyp_text_start", "__hyp_text_end",
)  # fmt: skip
"""Where text sections begin and end (linux include/asm-generic/vmlinux.lds.h)."""


def _head(raw: bytes) -> np.uint64:
    """The first eight bytes of a name, zero padded, as one number."""
    return np.uint64(int.from_bytes(raw[:_KEY_BYTES], "little"))


class _NameIndex(NamedTuple):
    """Some symbols (int64[k]) with the heads of their names (uint64[k])."""

    symbols: I64Array
    heads: U64Array


@dataclass(frozen=True, kw_only=True)
class SymbolTable:
    """The symbols of one image, n of them, in the order of their source.

    Args:
        source: ``"symtab"``, ``"kallsyms"``, ``"System.map"`` or ``"none"``.
        address: uint64[n], virtual addresses.
        size: uint64[n] [bytes], 0 where the source does not tell.
        kind: uint8[n], NOTYPE, OBJECT, FUNC or SECTION.
        binding: uint8[n], LOCAL, GLOBAL or WEAK.
        section: uint16[n], section header index, SHN_ABS, or SHN_UNKNOWN.
        name_at: uint32[n], where in `names` each name starts.
        names: uint8[m], NUL-terminated strings; they may share tails.
    """

    source: str
    address: U64Array
    size: U64Array
    kind: U8Array
    binding: U8Array
    section: U16Array
    name_at: U32Array
    names: U8Array
    _found: dict[str, I64Array] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def empty(cls) -> SymbolTable:
        """Return a table without symbols."""
        return cls(
            source="none",
            address=np.empty(0, np.uint64),
            size=np.empty(0, np.uint64),
            kind=np.empty(0, np.uint8),
            binding=np.empty(0, np.uint8),
            section=np.empty(0, np.uint16),
            name_at=np.empty(0, np.uint32),
            names=np.zeros(1, np.uint8),
        )

    def __len__(self) -> int:
        return len(self.address)

    def _heads(self, chosen: I64Array) -> U64Array:
        """The first eight bytes of some names, zero from the NUL on: uint64[k]."""
        last = max(len(self.names) - _KEY_BYTES, 0)
        padded = self.names if len(self.names) >= _KEY_BYTES else np.pad(self.names, (0, _KEY_BYTES))
        windows = sliding_rows(padded, _KEY_BYTES)
        start = self.name_at[chosen].astype(np.int64)
        heads = np.ascontiguousarray(windows[np.minimum(start, last)]).view("<u8").reshape(-1)
        for position in np.flatnonzero(start > last):  # the last few names of the table
            heads[position] = _head(self._raw_name(int(start[position])))
        # the lowest set bit of `zeros` marks the first byte that is zero; bytes behind it are cleared
        zeros = (heads - np.uint64(_ONES)) & ~heads & np.uint64(_ONES << 7)
        return np.where(zeros != 0, heads & ((zeros & (~zeros + np.uint64(1))) - np.uint64(1)), heads)

    @cached_property
    def _global_index(self) -> _NameIndex:
        """Defined symbols that other files may name: few, and those that one looks for."""
        return self._index(self.binding != LOCAL)

    @cached_property
    def _local_index(self) -> _NameIndex:
        """Defined local symbols but for labels (NOTYPE), of which there may be millions."""
        return self._index((self.binding == LOCAL) & (self.kind != NOTYPE))

    def _index(self, mask: BoolArray) -> _NameIndex:
        chosen = np.flatnonzero(mask & (self.section != SHN_UNDEF))
        return _NameIndex(chosen, self._heads(chosen))

    def _raw_name(self, start: int) -> bytes:
        """The bytes of the name that starts there, without its NUL."""
        for size in (64, 1024, len(self.names)):
            raw = self.names[start : start + size].tobytes()
            end = raw.find(b"\0")
            if end >= 0:
                return raw[:end]
        return raw

    def name(self, index: int) -> str:
        """Return one symbol's name, as text that may be printed."""
        return self._raw_name(int(self.name_at[index])).decode("utf-8", "replace")

    def named(self, indices: Iterable[int]) -> list[str]:
        """Return the names of a few symbols; -1 gives an empty string."""
        return [self.name(i) if i >= 0 else "" for i in indices]

    def indices(self, name: str) -> I64Array:
        """Return every defined symbol of that name, global ones first, local labels never: int64[k].

        Names are compared by their bytes: a linker stores ``bar`` as the tail of ``foobar``, so no
        NUL need stand before it.
        """
        cached = self._found.get(name)
        if cached is None:
            raw = name.encode()
            parts = [self._exact(index, raw) for index in (self._global_index, self._local_index)]
            cached = self._found[name] = np.concatenate(parts)
        return cached

    def find(self, name: str) -> int | None:
        """Return the address of a symbol, or None; a global one wins over local namesakes."""
        index = self.find_index(name)
        return None if index is None else int(self.address[index])

    def find_index(self, name: str) -> int | None:
        """Return the index of a symbol, or None; a global one wins over local namesakes."""
        raw = name.encode()
        found = self._exact(self._global_index, raw)
        if not len(found):
            found = self._exact(self._local_index, raw)
        return int(found[0]) if len(found) else None

    def _exact(self, index: _NameIndex, raw: bytes) -> I64Array:
        near = index.symbols[index.heads == _head(raw)]
        return near if len(raw) < _KEY_BYTES else self._starting(near, raw + b"\0")

    def _starting(self, near: I64Array, raw: bytes) -> I64Array:
        same = [i for i in near if self.names[int(self.name_at[i]) :][: len(raw)].tobytes() == raw]
        return np.array(same, np.int64)

    def with_prefix(self, prefix: str) -> I64Array:
        """Return every defined symbol whose name starts so, labels aside: int64[k]."""
        raw = prefix.encode()
        mask = np.uint64((1 << (8 * min(len(raw), _KEY_BYTES))) - 1)
        parts = []
        for index in (self._global_index, self._local_index):
            near = index.symbols[(index.heads & mask) == _head(raw)]
            parts.append(near if len(raw) <= _KEY_BYTES else self._starting(near, raw))
        return np.concatenate(parts)

    def code_between(self, low: int, high: int) -> I64Array:
        """Return the defined functions and global code labels in [low, high], by address: int64[k].

        Assembly routines are often STT_NOTYPE; mapping symbols (``$x``) and local labels are left out.
        """
        inside = (self.address >= low) & (self.address <= high) & (self.section != SHN_UNDEF)
        chosen = np.flatnonzero(inside & ((self.kind == FUNC) | ((self.kind == NOTYPE) & (self.binding != LOCAL))))
        return chosen[np.argsort(self.address[chosen], kind="stable")]

    @cached_property
    def functions(self) -> I64Array:
        """Indices of function symbols, by ascending address: int64[k].

        kallsyms gives the marks of the linker script (_stext) the letter of a function; they are left out.
        """
        mask = (self.kind == FUNC) & (self.section != SHN_UNDEF)
        if self.source != "symtab":
            for name in _MARKS:
                mask[self.indices(name)] = False
        chosen = np.flatnonzero(mask)
        return chosen[np.argsort(self.address[chosen], kind="stable")]

    @cached_property
    def function_starts(self) -> U64Array:
        """The addresses of `functions`: uint64[k], ascending."""
        return self.address[self.functions]

    def at_or_after(self, addresses: U64Array) -> I64Array:
        """Return for each address the first function symbol at or above it, -1 if none: int64[m]."""
        return self._pick(np.searchsorted(self.function_starts, addresses, "left"))

    def at_or_before(self, addresses: U64Array) -> I64Array:
        """Return for each address the last function symbol at or below it, -1 if none: int64[m]."""
        return self._pick(np.searchsorted(self.function_starts, addresses, "right") - 1)

    def _pick(self, positions: I64Array) -> I64Array:
        valid: BoolArray = (positions >= 0) & (positions < len(self.functions))
        if not len(self.functions):
            return np.full(len(positions), -1, np.int64)
        return np.where(valid, self.functions[np.clip(positions, 0, len(self.functions) - 1)], -1)

    def nearest(self, address: int) -> str:
        """Return ``name+0xoffset`` for an address, or its hex where no function precedes it."""
        index = int(self.at_or_before(np.array([address], np.uint64))[0])
        if index < 0:
            return f"{address:#x}"
        offset = address - int(self.address[index])
        return self.name(index) + (f"+{offset:#x}" if offset else "")
