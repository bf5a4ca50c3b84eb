# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of the notation that numpy has no operator for, on uint64 arrays.

Each takes arrays uint64[m] or single np.uint64, in any mixture, and returns values of the same kind; `out` is
an array uint64[m] that may take the result, or None for a new one. They want np.errstate(all="ignore").
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["div", "divu", "rem", "remu", "clz", "ctz", "cpop", "mulh", "mulhsu", "mulhu", "orcb", "rev8"]  # noqa: RUF022 - in the order of the notation

_U8, _U64, _I64 = np.uint8, np.uint64, np.int64
_ZERO, _ONE, _32, _56, _63, _64 = (_U64(value) for value in (0, 1, 32, 56, 63, 64))
_LOW = _U64(0xFFFFFFFF)
_BYTES = _U64(0x0101010101010101)
_SIGN = _U64(1 << 63)
_ONES = _U64((1 << 64) - 1)
_FOLDS = ((4, 0x0F0F0F0F0F0F0F0F), (2, 0x3F3F3F3F3F3F3F3F), (1, 0x7F7F7F7F7F7F7F7F))
"""Shifts and masks that bring all bits of each byte to its lowest."""


def extender(narrow: type[np.signedinteger[Any]]) -> Any:
    """Return the function (x, out) that sign-extends the low bits of x, as many as the type has."""

    def extended(value: Any, out: Any = None) -> Any:
        if out is None:
            return value.astype(narrow).astype(_I64).view(_U64)
        out.view(_I64)[...] = value.astype(narrow)
        return out

    return extended


def mulhu(left: Any, right: Any) -> Any:
    """Return the upper 64 bits of the unsigned product, by halves of 32 bits."""
    left_low, left_high = left & _LOW, left >> _32
    right_low, right_high = right & _LOW, right >> _32
    middle = left_high * right_low + (left_low * right_low >> _32)
    other = left_low * right_high + (middle & _LOW)
    return left_high * right_high + (middle >> _32) + (other >> _32)


def mulhsu(left: Any, right: Any) -> Any:
    """Return the upper 64 bits of the product of a signed and an unsigned number."""
    return mulhu(left, right) - (right & _sign_mask(left))


def mulh(left: Any, right: Any) -> Any:
    """Return the upper 64 bits of the signed product."""
    return mulhsu(left, right) - (left & _sign_mask(right))


def divu(left: Any, right: Any) -> Any:
    """Return the unsigned quotient; all ones for a division by 0."""
    return np.where(right == _ZERO, _ONES, left // np.where(right == _ZERO, _ONE, right))


def remu(left: Any, right: Any) -> Any:
    """Return the remainder that belongs to `divu`; the dividend for a division by 0."""
    return np.where(right == _ZERO, left, left % np.where(right == _ZERO, _ONE, right))


def div(left: Any, right: Any) -> Any:
    """Return the signed quotient, rounded towards zero; all ones for a division by 0."""
    quotient = _negated_if((left ^ right) & _SIGN != _ZERO, divu(_magnitude(left), _magnitude(right)))
    return np.where(right == _ZERO, _ONES, quotient)


def rem(left: Any, right: Any) -> Any:
    """Return the remainder that belongs to `div`; the dividend for a division by 0."""
    return _negated_if(left & _SIGN != _ZERO, remu(_magnitude(left), _magnitude(right)))


def _sign_mask(value: Any) -> Any:
    """Return all ones where the value is negative, else 0."""
    return (value.view(_I64) >> _I64(63)).view(_U64)


def _magnitude(value: Any) -> Any:
    return _negated_if(value & _SIGN != _ZERO, value)


def _negated_if(test: Any, value: Any) -> Any:
    return np.where(test, _ZERO - value, value)


def _cpop_by_folding(value: Any) -> Any:
    """Return the number of one bits; for a numpy that cannot count them."""
    value = value - (value >> _ONE & _U64(0x5555555555555555))
    value = (value & _U64(0x3333333333333333)) + (value >> _U64(2) & _U64(0x3333333333333333))
    value = value + (value >> _U64(4)) & _U64(0x0F0F0F0F0F0F0F0F)
    return value * _BYTES >> _56


def _cpop_by_numpy(value: Any) -> Any:
    return np.bitwise_count(value).astype(_U64)


cpop = _cpop_by_numpy if hasattr(np, "bitwise_count") else _cpop_by_folding
"""Return the number of one bits."""


def clz(value: Any) -> Any:
    """Return the number of leading zero bits, 64 for 0."""
    for shift in (1, 2, 4, 8, 16, 32):
        value = value | value >> _U64(shift)
    return _64 - cpop(value)


def ctz(value: Any) -> Any:
    """Return the number of trailing zero bits, 64 for 0."""
    return cpop(~value & value - _ONE)


def orcb(value: Any) -> Any:
    """Return 0xff for each byte that is not zero."""
    for shift, mask in _FOLDS:
        value = value | value >> _U64(shift) & _U64(mask)
    return (value & _BYTES) * _U64(0xFF)


def rev8(value: Any) -> Any:
    """Return the bytes in the other order."""
    return value.byteswap()
