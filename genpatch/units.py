# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses, offsets, spans and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray

Vaddr = NewType("Vaddr", int)
"""A virtual address in an image [bytes, 0 <= Vaddr < 2**64]."""

FileOffset = NewType("FileOffset", int)
"""A distance from the start of a file [bytes]."""

U8Array = NDArray[np.uint8]
U16Array = NDArray[np.uint16]
U32Array = NDArray[np.uint32]
U64Array = NDArray[np.uint64]
I32Array = NDArray[np.int32]
I64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

WORD_SIZE = 4
PARCEL_SIZE = 2
MASK64 = (1 << 64) - 1


def as_hex(value: int) -> str:
    """Return an address as reports write it: lower case, ``0x``, no padding."""
    return f"{value & MASK64:#x}"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of addresses or offsets, ``start <= x < end`` [bytes]."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Length [bytes]."""
        return self.end - self.start

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end

    def holds(self, addresses: U64Array) -> BoolArray:
        """Tell for each address whether it lies inside; addresses: uint64[n]."""
        inside: BoolArray = (addresses >= np.uint64(self.start)) & (addresses < np.uint64(self.end))
        return inside

    def __str__(self) -> str:
        return f"[{as_hex(self.start)}, {as_hex(self.end)})"
