# SPDX-License-Identifier: GPL-2.0-or-later
"""A hash table in numpy: many keys looked up or entered at once."""

from __future__ import annotations

import numpy as np

from ..units import I64Array, U64Array

__all__ = ["Table"]

_EMPTY = np.uint64((1 << 64) - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: Fibonacci hashing
_MISSING = np.int64(-1)


class Table:
    """uint64 keys to uint64 values, open addressing with linear probing; at most half full.

    Args:
        size: entries to make room for at first.

    Attributes:
        count: entries.
        values: uint64[slots]; values[find(keys)] are the values of keys that are there.
    """

    def __init__(self, size: int = 32):
        self._make(max(2 * size, 64))

    def _make(self, slots: int) -> None:
        bits = (slots - 1).bit_length()
        self.count = 0
        self._shift = np.uint64(64 - bits)
        self._mask = np.int64((1 << bits) - 1)
        self._keys = np.full(1 << bits, _EMPTY)
        self.values = np.zeros(1 << bits, np.uint64)

    def find(self, keys: U64Array) -> I64Array:
        """Return each key's slot, int64[m], -1 where there is none; keys: uint64[m]."""
        slots = self._home(keys)
        pending = self._elsewhere(slots, keys)
        while len(pending):
            slots[pending] = (slots[pending] + 1) & self._mask
            pending = pending[self._elsewhere(slots[pending], keys[pending])]
        return np.where((self._keys[slots] == keys) & (keys != _EMPTY), slots, _MISSING)

    def _home(self, keys: U64Array) -> I64Array:
        return (keys * _GOLDEN >> self._shift).view(np.int64)

    def _elsewhere(self, slots: I64Array, keys: U64Array) -> I64Array:
        """Return the positions whose slot holds another key."""
        held = self._keys[slots]
        return np.flatnonzero((held != keys) & (held != _EMPTY))

    def put(self, keys: U64Array, values: U64Array) -> None:
        """Enter or replace values; keys: uint64[m], each once and none all ones; values: uint64[m]."""
        slots = self.find(keys)
        new = np.flatnonzero(slots < 0)
        if len(new):
            if 2 * (self.count + len(new)) > len(self._keys):
                self._grow(self.count + len(new))
            self._enter(keys[new])
            slots = self.find(keys)
        self.values[slots] = values

    def _grow(self, needed: int) -> None:
        used = np.flatnonzero(self._keys != _EMPTY)
        keys, values = self._keys[used], self.values[used]
        self._make(max(4 * needed, 64))
        if len(keys):
            self.put(keys, values)

    def _enter(self, keys: U64Array) -> None:
        """Claim a slot for each of some keys that are not there."""
        self.count += len(keys)
        slots = self._home(keys)
        while len(keys):
            free = np.flatnonzero(self._keys[slots] == _EMPTY)
            self._keys[slots[free]] = keys[free]  # of several that want one slot the last gets it
            lost = self._keys[slots] != keys
            keys, slots = keys[lost], (slots[lost] + 1) & self._mask
