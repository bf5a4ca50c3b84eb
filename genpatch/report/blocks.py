# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributions as characters: bars and rows of bars for a terminal, in ASCII where that is all it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .document import ImageRecord

__all__ = ["bar", "distributions", "row"]

_RISING = " ▁▂▃▄▅▆▇█"
_FILLING = " ▏▎▍▌▋▊▉█"
_ASCII = " .,-~+=*%@"
_MIB = 1 << 20
_MOST_SHAPES = 4


def row(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Return values as columns of one line, the highest as high as a character; nothing is a blank, little is not.

    Args:
        width: characters at most; neighbours are added up.
    """
    some = _squeezed(values, width)
    signs, most = (_ASCII if ascii_only else _RISING), max(some, default=0)
    steps = len(signs) - 1
    return "".join(signs[0] if value <= 0 else signs[max(1, round(steps * value / most))] for value in some)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar that fills a share (0 to 1) of a width, without blanks behind it."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        return "#" * (max(1, round(share * width)) if share else 0)
    eighths = max(1, round(share * width * 8)) if share else 0
    return _FILLING[8] * (eighths // 8) + _FILLING[eighths % 8].strip()


def _squeezed(values: Sequence[float], width: int) -> list[float]:
    count = len(values)
    if count <= width:
        return list(values)
    return [sum(values[count * at // width : count * (at + 1) // width]) for at in range(width)]


def distributions(image: ImageRecord, width: int, *, ascii_only: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield (label, lines) of what a summary says in numbers, drawn.

    Args:
        width: characters of a line.
    """
    spread, sites = image.spread, image.table.sites
    if spread is not None and sites:
        room = max(width - 26, 16)
        span = len(spread.sites) * spread.bin
        lines = [f"{row(spread.sites, room, ascii_only=ascii_only)}  sites in {span / _MIB:.1f} MiB of text"]
        lines += [
            f"{row(counts, room, ascii_only=ascii_only)}  {level}: {sum(counts):,}"
            for level, counts in spread.levels.items()
            if any(counts)
        ]
        yield "where", lines
    if image.alignment and sites:
        room = max((width - sum(len(size) + 3 for size in image.alignment)) // len(image.alignment), 1)
        parts = [
            f"{size} {bar(count / sites, min(room, 10), ascii_only=ascii_only)}"
            for size, count in image.alignment.items()
        ]
        yield "multiples", ["  ".join(parts)]
    if len(image.sleds) > 1:
        yield (
            "shapes",
            [
                f"{bar(sled.sites / sites, 24, ascii_only=ascii_only):<24} {sled.before}+{sled.after} {sled.nop}"
                for sled in image.sleds[:_MOST_SHAPES]
            ],
        )
