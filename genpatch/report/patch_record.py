# SPDX-License-Identifier: GPL-2.0-or-later
"""The document of `genpatch check` with the patches themselves, so that a page can show each finding in its place.

Nothing here needs more than `genpatch check` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from ..check.model import FileDiff, Hunk, Patch
from ..check.render import as_record
from ..check.run import Checked, Judged

__all__ = ["check_record"]


def check_record(checked: Checked) -> dict[str, Any]:
    """Return what `as_record` does; each part also names its findings, each patch has its message and its diff."""
    document, numbers = as_record(checked), count()
    findings = {id(part): [next(numbers) for _ in part.findings] for part in checked.parts}
    patches = [part for part in checked.parts if part.patch is not None]
    images = [part for part in checked.parts if part.patch is None]
    for part, body in zip(patches, document["patches"], strict=True):
        body |= {"found": findings[id(part)], **_text(part)}
    for part, body in zip(images, document["images"], strict=True):
        body["found"] = findings[id(part)]
    return document


def _text(part: Judged) -> dict[str, Any]:
    patch = part.patch
    if patch is None:
        return {}
    return {
        "author": patch.author,
        "message": [{"line": each.at, "text": each.text} for each in (*_subject(patch), *patch.body)],
        "diff": list(_diff(part, patch)),
    }


def _subject(patch: Patch) -> tuple[Any, ...]:
    return (patch.subject,) if patch.subject is not None else ()


def _diff(part: Judged, patch: Patch) -> Iterator[dict[str, Any]]:
    added = part.change.added if part.change is not None else {}
    for each in patch.files:
        yield {"old": each.old, "new": each.new, "copy": each.is_copy, "hunks": list(_hunks(each, added))}


def _hunks(diff: FileDiff, added: Mapping[str, frozenset[int]]) -> Iterator[dict[str, Any]]:
    """Yield the hunks of a file with the lines at which they stand in the tree: there they may have moved."""
    places = _places(diff, sorted(added.get(diff.path, ())))
    moved = 0
    for hunk, place in zip(diff.hunks, places, strict=True):
        moved = moved if place is None else place
        yield {
            "old": hunk.start + moved,
            "new": hunk.new_start + moved,
            "lines": [f"{line.kind}{line.text}" for line in hunk.lines],
        }


def _places(diff: FileDiff, added: list[int]) -> list[int | None]:
    """Return by how many lines each hunk has moved, None where it adds none that could tell."""
    firsts = [_first_added(hunk) for hunk in diff.hunks]
    counts = [sum(line.kind == "+" for line in hunk.lines) for hunk in diff.hunks]
    if sum(counts) != len(added):  # it was not applied, or stands in two parts
        return [None] * len(firsts)
    places: list[int | None] = []
    at = 0
    for first, many in zip(firsts, counts, strict=True):
        places.append(added[at] - first if first is not None else None)
        at += many
    return places


def _first_added(hunk: Hunk) -> int | None:
    """Return the line of its new side at which a hunk says that it adds the first, None if it adds none."""
    line = hunk.new_start
    for each in hunk.lines:
        if each.kind == "+":
            return line
        line += each.kind == " "
    return None
