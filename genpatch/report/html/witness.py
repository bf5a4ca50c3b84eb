# SPDX-License-Identifier: GPL-2.0-or-later
"""A path to a failure as numbered steps, each victim's instruction tied to the store that it executes or misses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..documents import Document

__all__ = ["witness_rows"]

_STORE = re.compile(r"^store (?P<size>\d+) at (?P<name>[^ ]+?)(?P<offset>[+-](?:0x[0-9a-f]+|\d+))? =")
_PLACE = re.compile(r"^(?P<name>[^ :(][^ :]*?)(?P<offset>\+0x[0-9a-f]+)?: ")


def witness_rows(lines: Sequence[Document], anchor: str) -> list[dict[str, Any]]:
    """Return a row for each line: its number, who does it, the text, and steps that belong to it.

    Args:
        lines: who and text.
        anchor: what the identifiers of its steps start with.
    """
    stores: list[tuple[int, str, int, int]] = []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        row = {"number": number, "id": f"{anchor}-{number}", "who": line["who"], "text": line["text"], "links": []}
        store = _STORE.match(line["text"]) if line["who"].startswith("patcher") else None
        place = _PLACE.match(line["text"]) if line["who"] == "victim" else None
        if store is not None:
            stores.append((number, store["name"], _number(store["offset"]), int(store["size"])))
        if place is not None:
            at = _number(place["offset"])
            found = [n for n, name, first, size in stores if name == place["name"] and first <= at < first + size]
            if found:
                stale = "[stale]" in line["text"]
                row["links"].append({"to": found[-1], "text": "misses" if stale else "executes"})
                rows[found[-1] - 1]["links"].append({"to": number, "text": "missed by" if stale else "executed by"})
        rows.append(row)
    return rows


def _number(text: str | None) -> int:
    return int(text, 0) if text else 0
