# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of a page read once more, by another hand than the page's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any


def unpacked(about: dict[str, Any], body: bytes, images: Sequence[tuple[int, list[int]]]) -> list[Any]:
    """Return (names, offsets) of each image.

    Args:
        about: the words, and sizes of the columns.
        body: the columns.
        images: (sites, steps that are far) of each.
    """
    starts = [sum(about["sizes"][:n]) for n in range(len(about["sizes"]) + 1)]
    assert starts[-1] == len(body)
    written, shared, low, high = (body[a:b] for a, b in pairwise(starts))
    words, at, ids = ["", *about["words"]], 0, _ids(written)
    found = []
    for count, far in images:
        names: list[list[str]] = []
        for n in range(count):
            before = names[-1] if names else []
            parts = before[: shared[at + n]]
            while (number := next(ids)) != 0:
                parts.append(words[number])
            names.append(parts)
        left, sum_of, func = iter(far), 0, []
        for a, b in zip(low[at : at + count], high[at : at + count], strict=True):
            sum_of += next(left) if (a, b) == (255, 255) else 2 * (a + 256 * b)
            func.append(sum_of)
        assert next(left, None) is None
        at += count
        found.append((["".join(parts) for parts in names], func))
    assert next(ids, None) is None
    assert at == len(shared) == len(low) == len(high)
    return found


def _ids(written: bytes) -> Iterator[int]:
    left = iter(written)
    for first in left:
        if first < 140:
            yield first
        elif first < 255:
            yield 140 + 256 * (first - 140) + next(left)
        else:
            yield 140 + 65536 * next(left) + 256 * next(left) + next(left)
