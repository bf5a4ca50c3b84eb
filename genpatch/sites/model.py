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

    @cached_property
    def sled_kinds(self) -> list[tuple[int, int, int, int]]:
        """Count the sleds by shape.

        Returns:
            (before, after, spelling, number of sites), the most frequent first; before and after in bytes.
        """
        if not len(self):
            return []
        key = (self.before << 24) | (self.after << 8) | self.spelling
        values, count = np.unique(key, return_counts=True)
        rows = [
            (shape >> 24, shape >> 8 & 0xFFFF, shape & 0xFF, n)
            for shape, n in zip(values.tolist(), count.tolist(), strict=True)
        ]
        return sorted(rows, key=lambda row: (-row[3], row[:3]))

    @cached_property
    def usual(self) -> tuple[int, int]:
        """The shape that most sites have: (before, after) [bytes]; (0, 0) without sites."""
        shapes: dict[tuple[int, int], int] = {}
        for before, after, _, count in self.sled_kinds:
            shapes[before, after] = shapes.get((before, after), 0) + count
        return max(shapes, key=lambda shape: shapes[shape], default=(0, 0))
