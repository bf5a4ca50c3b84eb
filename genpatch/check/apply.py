# SPDX-License-Identifier: GPL-2.0-or-later
"""Hunks applied to text in memory: context must match exactly, lines may have moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .model import FileDiff, Hunk, Line

__all__ = ["MOST_MOVED", "MOST_TRIED", "Applied", "apply_hunks", "lines_of", "reverted"]

MOST_MOVED = 10_000
"""Lines that a hunk may have moved."""
MOST_TRIED = 2_000_000
"""Places that are tried for all hunks of a file; then each hunk is looked for where it says, and nowhere else."""


class Applied(NamedTuple):
    """What came of it.

    Args:
        text: with the hunks that fit.
        failed: (hunk, line of the file) of those that do not.
        added: lines of the new text that the hunks put there.
    """

    text: str
    failed: tuple[tuple[Hunk, int], ...]
    added: frozenset[int]


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their ends; only a line feed ends one."""
    parts = text.split("\n")
    return [f"{line}\n" for line in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def apply_hunks(text: str, hunks: Sequence[Hunk]) -> Applied:
    """Apply the hunks of one file, in order."""
    lines, out, failed = lines_of(text), [], []
    added: set[int] = set()
    at = moved = tried = 0
    for hunk in hunks:
        old = [line.text for line in hunk.lines if line.kind in " -"]
        wanted = hunk.start + moved - (1 if old else 0)
        most = MOST_MOVED if tried < MOST_TRIED else 0
        found = _find(lines, old, wanted, at, most)
        tried += 2 * min(most, len(lines)) if found is None else abs(found - wanted)
        if found is None:
            failed.append((hunk, max(1, min(wanted + 1, len(lines)))))
            continue
        moved += found - wanted
        out += lines[at:found]
        for line in hunk.lines:
            if line.kind != "-":
                out.append(line.text)
            if line.kind == "+":
                added.add(len(out))
        at = found + len(old)
    return Applied("".join([*out, *lines[at:]]), tuple(failed), frozenset(added))


def _find(lines: Sequence[str], old: Sequence[str], wanted: int, lowest: int, most: int) -> int | None:
    """Return where lines stand, nearest to where they should, not before some line nor `most` lines away."""
    if not old:
        return wanted if lowest <= wanted <= len(lines) else None
    highest = len(lines) - len(old)
    if not lowest <= highest:
        return None
    for distance in range(most + 1):
        for at in {wanted + distance, wanted - distance}:
            if lowest <= at <= highest and lines[at] == old[0] and list(lines[at : at + len(old)]) == list(old):
                return at
        if wanted + distance > highest and wanted - distance < lowest:
            return None
    return None


def reverted(diff: FileDiff) -> FileDiff:
    """Return what undoes a diff."""
    swap = {"+": "-", "-": "+", " ": " "}
    hunks = tuple(
        Hunk(hunk.new_start, hunk.start, tuple(Line(swap[line.kind], line.text) for line in hunk.lines), hunk.at)
        for hunk in diff.hunks
    )
    return FileDiff(diff.new, diff.old, "", diff.is_copy, hunks)
