# SPDX-License-Identifier: GPL-2.0-or-later
"""Sites: every patch site of an image as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from ..units import BoolArray, I64Array, U8Array, U64Array


class Nops(IntEnum):
    """How the bytes of a sled are spelt."""

    NONE = 0
    C_NOP = 1
    NOP = 2
    MIXED = 3
    PATCHED = 4
    FOREIGN = 5
    UNREADABLE = 6

    @property
    def text(self) -> str:
        """The name in reports: ``"c.nop"``, ``"nop"``, ``"mixed"``, ..."""
        return ("none", "c.nop", "nop", "mixed", "patched", "foreign", "unreadable")[self]


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The patch sites of one image, n of them, in table order without the zeros.

    Args:
        entry: uint64[n], addresses in the table.
        func: uint64[n], the function's first instruction: its symbol, or where it would be.
        symbol: int64[n], index of the function's symbol, -1 where none stands at func.
        region: int64[n], position of the entry's region in the image's memory, -1 if outside.
        before: int64[n], nop bytes that end at func and start at the entry.
        after: int64[n], nop bytes from func on, as far as they are spelt alike.
        spelling: uint8[n], how the bytes from func on are spelt (`Nops`).
        before_spelling: uint8[n], the same for the bytes below func.
        alignment: int64[n], the power of two that func is a multiple of, as far as the linker or
            loader guarantees it [bytes].
        offset: int64[n], entry minus the start of its region [bytes].
        lead: int64[n], bytes of a landing pad between func and the sled; 0 without one.
    """

    entry: U64Array
    func: U64Array
    symbol: I64Array
    region: I64Array
    before: I64Array
    after: I64Array
    spelling: U8Array
    before_spelling: U8Array
    alignment: I64Array
    offset: I64Array
    lead: I64Array

    def __len__(self) -> int:
        return len(self.entry)

    @cached_property
    def named(self) -> BoolArray:
        """bool[n]: a function symbol stands at func."""
        mask: BoolArray = self.symbol >= 0
        return mask

    @cached_property
    def in_text(self) -> BoolArray:
        """bool[n]: the entry lies in some region of the image."""
        mask: BoolArray = self.region >= 0
        return mask

    def sled_kinds(self) -> list[tuple[int, int, int, int]]:
        """Count the sleds by shape.

        Returns:
            (before, after, spelling, number of sites), the most frequent first; before and after in bytes.
        """
        if not len(self):
            return []
        shape = np.stack([self.before, self.after, self.spelling.astype(np.int64)], axis=1)
        key = (shape[:, 0] << 24) | (shape[:, 1] << 8) | shape[:, 2]
        _, first, count = np.unique(key, return_index=True, return_counts=True)
        rows = [(int(a), int(b), int(c), int(n)) for (a, b, c), n in zip(shape[first], count, strict=True)]
        return sorted(rows, key=lambda row: (-row[3], row[:3]))

    @cached_property
    def usual(self) -> tuple[int, int]:
        """The shape that most sites have: (before, after) [bytes]; (0, 0) without sites."""
        if not len(self):
            return 0, 0
        key, count = np.unique((self.before << 16) | self.after, return_counts=True)
        most = int(key[np.argmax(count)])
        return most >> 16, most & 0xFFFF
