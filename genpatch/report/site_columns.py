# SPDX-License-Identifier: GPL-2.0-or-later
"""The sites of an image as columns of a JSON document; documents have them only where somebody asked for sites."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..units import BoolArray, I64Array, U8Array
from .document import AuditDocument, ImageRecord, SiteRows, SledBytes

__all__ = ["WORD", "columns_of", "with_sites"]

WORD = 4
"""Bytes of a sled are kept in columns of this width."""


def with_sites(document: AuditDocument) -> dict[str, Any]:
    """Return a document as plain data, with `site_rows` at each image whose sites were kept."""
    body = document.as_json()
    if all(image.site_rows is None for image in document.images):
        return body
    levels = {finding.rule: finding.level for finding in reversed(document.total.findings)}
    if len(document.images) == 1:
        return {**body, **_rows_of(document.images[0], levels)}
    kept = [_rows_of(image, levels) for image in document.images]
    listed = body.get("images", [])
    return {**body, "images": [{**image, **rows} for image, rows in zip(listed, kept, strict=True)]}


def _rows_of(image: ImageRecord, levels: dict[str, str]) -> dict[str, Any]:
    return {} if image.site_rows is None else {"site_rows": columns_of(image.site_rows, levels)}


def columns_of(rows: SiteRows, levels: dict[str, str]) -> dict[str, Any]:
    """Return sites as plain columns of n entries each.

    Args:
        rows: the sites.
        levels: of the rules that name sites.
    """
    sections, section = _distinct_names(rows.sections)
    shapes, shape = _shapes(rows)
    base = int(rows.func.min()) if len(rows.func) else 0
    return {
        "count": len(rows.func),
        "base": f"{base:#x}",
        "func": (rows.func - np.uint64(base)).astype(np.int64).tolist(),
        "symbols": list(rows.symbols),
        "sections": sections,
        "section": section,
        "shapes": shapes,
        "shape": shape,
        "alignment": rows.alignment.tolist(),
        "hits": [
            {"rule": rule, "level": levels.get(rule, "note"), "sites": positions.tolist()}
            for rule, positions in rows.hits
        ],
        "states": [_state(each) for each in rows.states],
        "literal": rows.literal,
        "names": rows.names,
    }


def _distinct_names(names: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Return the different names in order, and for each name its position among them."""
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(order), list(map(order.__getitem__, names))


def _shapes(rows: SiteRows) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the kinds of sleds, and for each site its kind."""
    relative = [(each - rows.func).astype(np.int64) for each in (rows.entry, rows.ip)]
    stacked = np.stack([rows.before, rows.after, rows.nop.astype(np.int64), *relative], axis=1)
    kinds, numbers = np.unique(stacked, axis=0, return_inverse=True)
    listed = [
        {"before": before, "after": after, "nop": rows.nop_names[nop], "entry": entry, "ip": ip}
        for before, after, nop, entry, ip in kinds.tolist()
    ]
    return listed, numbers.reshape(-1).tolist()


def _state(sled: SledBytes) -> dict[str, Any]:
    """Return a sled's bytes in one state, word by word; what cannot be read is -1 in a column's index."""
    width = sled.data.shape[1] // WORD
    known = np.logical_and.reduce(sled.known.reshape(len(sled.data), width, WORD), axis=2)
    words = [
        _word(sled.data[:, at * WORD : (at + 1) * WORD], known[:, at], sled.offset + at * WORD) for at in range(width)
    ]
    return {"state": sled.state, "what": sled.what, "words": words}


def _word(data: U8Array, known: BoolArray, at: int) -> dict[str, Any]:
    words = np.ascontiguousarray(data).view("<u4").reshape(-1)
    values, numbers = np.unique(words[known], return_inverse=True)
    index: I64Array = np.full(len(words), -1, np.int64)
    index[known] = numbers
    return {"at": at, "values": [f"{value:#010x}" for value in values.tolist()], "index": index.tolist()}
