# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of the notation that Python has no operator for, on int."""

from __future__ import annotations

from ..units import MASK64

_BYTES = 0x0101010101010101


def div(left: int, right: int) -> int:
    """Return a signed quotient, rounded towards zero; -1 for a division by 0."""
    if right == 0:
        return -1
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def rem(left: int, right: int) -> int:
    """Return the remainder that belongs to `div`; the dividend for a division by 0."""
    if right == 0:
        return left
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def divu(left: int, right: int) -> int:
    """Return an unsigned quotient; all ones for a division by 0."""
    return left // right if right else MASK64


def remu(left: int, right: int) -> int:
    """Return the remainder that belongs to `divu`; the dividend for a division by 0."""
    return left % right if right else left


def ctz(value: int) -> int:
    """Return the number of trailing zero bits, 64 for 0."""
    return (value & -value).bit_length() - 1 if value else 64


def orcb(value: int) -> int:
    """Return 0xff for each byte that is not zero."""
    value |= value >> 4 & 0x0F0F0F0F0F0F0F0F
    value |= value >> 2 & 0x3F3F3F3F3F3F3F3F
    value |= value >> 1
    return (value & _BYTES) * 0xFF


def rev8(value: int) -> int:
    """Return the bytes in the other order."""
    return int.from_bytes(value.to_bytes(8, "little"), "big")
