# SPDX-License-Identifier: GPL-2.0-or-later
"""One line a site, for tools that look at sites themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from ..document import AuditDocument, ImageRecord, SiteRows
from . import RenderOptions

NAME = "jsonl"
DESCRIPTION = "one JSON object a line and a site, with the rules that name it"
NEEDS_SITES = True

CHUNK_LINES = 4096
_LINE = (
    '{{"image": {}, "entry": "{:#x}", "func": "{:#x}", "ip": "{:#x}", "symbol": {}, "section": {}, '
    '"before": {}, "after": {}, "nop": {}, "alignment": {}, "rules": {}}}\n'
).format


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield the sites of every image in table order, some thousand lines at once."""
    for image in document.images:
        if image.site_rows is not None:
            yield from _image(image, image.site_rows)


def _image(image: ImageRecord, rows: SiteRows) -> Iterator[str]:
    count = len(rows.symbols)
    columns: tuple[Sequence[Any], ...] = (
        [quote(image.input.path)] * count,
        rows.entry.tolist(),
        rows.func.tolist(),
        rows.ip.tolist(),
        list(map(quote, rows.symbols)),
        list(map(quote, rows.sections)),
        rows.before.tolist(),
        rows.after.tolist(),
        [quote(rows.nop_names[nop]) for nop in rows.nop.tolist()],
        rows.alignment.tolist(),
        _rules(rows, count),
    )
    lines = map(_LINE, *columns)
    for _ in range(0, count, CHUNK_LINES):
        yield "".join(islice(lines, CHUNK_LINES))


def _rules(rows: SiteRows, count: int) -> list[str]:
    """For each site the JSON list of the rules that name it."""
    codes: dict[int, list[str]] = {}
    for code, positions in sorted(rows.hits, key=lambda hit: hit[0]):
        for position in positions.tolist():
            codes.setdefault(position, []).append(quote(code))
    lists = ["[]"] * count
    for position, names in codes.items():
        lists[position] = f"[{', '.join(dict.fromkeys(names))}]"
    return lists
