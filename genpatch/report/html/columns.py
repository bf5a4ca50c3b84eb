# SPDX-License-Identifier: GPL-2.0-or-later
"""Long columns of a page as bytes: names of functions as words of one list, addresses as steps. data.js undoes it.

All columns of a kind stand together, those of all images one after the other: that is what compresses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...units import I64Array

__all__ = ["Columns"]

_WORD = re.compile(r"_*[A-Za-z]+|_*[0-9]+|[^A-Za-z0-9]+")
_SHORT = 140
"""Words of less than that take one byte; 0 ends a name."""
_LONG = 255
"""Byte before a word of three bytes; those between take one more byte."""
_TWO_BYTES = (_LONG - _SHORT) << 8
_MOST_SHARED = 255
_FAR = 0xFFFF
"""Step that stands for one of `far`; others are multiples of 2, and twice what is written."""


class Columns:
    """Gathers columns in the order in which a page reads them."""

    def __init__(self) -> None:
        self._names: list[list[list[str]]] = []
        self._low: list[bytes] = []
        self._high: list[bytes] = []

    def names(self, names: Sequence[str]) -> None:
        """Take the names of an image's functions."""
        self._names.append(list(map(_WORD.findall, names)))

    def steps(self, values: Sequence[int]) -> list[int]:
        """Take a column of integers; return the steps that are too large, negative or odd."""
        column: I64Array = np.array([0, *values], np.int64)
        steps = column[1:] - column[:-1]
        near = (steps >= 0) & (steps < 2 * _FAR) & (steps % 2 == 0)
        halves = np.where(near, steps // 2, _FAR)
        self._low.append((halves & 0xFF).astype(np.uint8).tobytes())
        self._high.append((halves >> 8).astype(np.uint8).tobytes())
        far: list[int] = steps[~near].tolist()
        return far

    def packed(self) -> tuple[dict[str, Any], bytes]:
        """Return what tells the columns apart, and the columns: words, shared words, low bytes, high bytes."""
        words = _order(Counter(word for image in self._names for parts in image for word in parts))
        code = {word: _code(number) for number, word in enumerate(words, 1)}
        written, shared = bytearray(), bytearray()
        for image in self._names:
            _write_names(image, code, written, shared)
        parts = [bytes(written), bytes(shared), b"".join(self._low), b"".join(self._high)]
        return {"words": words, "sizes": [len(part) for part in parts]}, b"".join(parts)


def _order(counts: Counter[str]) -> list[str]:
    """Return words, frequent ones first; those of which only the last byte differs by the alphabet."""
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    first, rest = ranked[: _SHORT - 1], ranked[_SHORT - 1 :]
    return first + [word for at in range(0, len(rest), 256) for word in sorted(rest[at : at + 256])]


def _code(number: int) -> bytes:
    if number < _SHORT:
        return bytes([number])
    number -= _SHORT
    if number < _TWO_BYTES:
        return bytes([_SHORT + (number >> 8), number & 0xFF])
    return bytes([_LONG]) + number.to_bytes(3, "big")


def _write_names(names: Sequence[list[str]], code: dict[str, bytes], written: bytearray, shared: bytearray) -> None:
    """Write names: how many words each has in common with the one before it, and the other words."""
    before: list[str] = []
    for parts in names:
        same, most = 0, min(len(parts), len(before), _MOST_SHARED)
        while same < most and parts[same] == before[same]:
            same += 1
        shared.append(same)
        for word in parts[same:]:
            written += code[word]
        written.append(0)
        before = parts
