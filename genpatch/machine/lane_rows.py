# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that every lane has of its own, stored word by word: all lanes' copies of one word are contiguous.

An access at one address in all lanes, the usual one to a stack, is then one row. Pages are made when they are
first written and zeroed by the kernel, so rows that nobody touches take no memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import I64Array
from .lane_access import LaneSet

__all__ = ["Rows"]

_WORDS = 512
_SHIFT = 9


class Rows:
    """One word a lane, for every word number; 0 at first.

    Args:
        n: lanes.
        kind: type of a word.
    """

    def __init__(self, n: int, kind: type[np.unsignedinteger[Any]]):
        self._n, self._kind = n, kind
        self._all: I64Array = np.arange(n, dtype=np.int64)
        self._pages: dict[int, NDArray[Any]] = {}  # each word[512, n]
        self._zeros: NDArray[Any] = np.zeros(n, kind)

    def _page(self, number: int) -> NDArray[Any]:
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = np.zeros((_WORDS, self._n), self._kind)
        return page

    def seen(self, word: int) -> NDArray[Any]:
        """Return the row of a word to read, word[n]."""
        page = self._pages.get(word >> _SHIFT)
        row: NDArray[Any] = self._zeros if page is None else page[word & _WORDS - 1]
        return row

    def row(self, word: int) -> NDArray[Any]:
        """Return the row of a word to write, word[n]."""
        row: NDArray[Any] = self._page(word >> _SHIFT)[word & _WORDS - 1]
        return row

    def gather(self, lanes: LaneSet, words: I64Array) -> NDArray[Any]:
        """Return lanes[i]'s words[i], word[m]."""
        lanes = self._all if lanes is None else lanes
        number = _one_page(words)
        if number is not None:
            page = self._pages.get(number)
            if page is None:
                return np.zeros(len(words), self._kind)
            values: NDArray[Any] = page.reshape(-1).take((words & _WORDS - 1) * self._n + lanes)
            return values
        found = np.empty(len(words), self._kind)
        for part in _by_page(words):
            found[part] = self.gather(lanes[part], words[part])
        return found

    def scatter(self, lanes: LaneSet, words: I64Array, values: NDArray[Any]) -> None:
        """Set lanes[i]'s words[i] to values[i]."""
        lanes = self._all if lanes is None else lanes
        number = _one_page(words)
        if number is not None:
            self._page(number).reshape(-1)[(words & _WORDS - 1) * self._n + lanes] = values
            return
        for part in _by_page(words):
            self.scatter(lanes[part], words[part], values[part])


def _one_page(words: I64Array) -> int | None:
    """Return the page that all words are of, or None."""
    number = int(words[0]) >> _SHIFT
    return number if bool((words >> _SHIFT == number).all()) else None


def _by_page(words: I64Array) -> list[I64Array]:
    """Return the positions of the words of each page."""
    numbers = words >> _SHIFT
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
