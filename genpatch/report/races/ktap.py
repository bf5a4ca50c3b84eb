# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as KTAP: a test a scheme or function, a subtest a transition in an environment."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.rows import RaceRow
from ...race.witness import two_columns
from ..document import AuditDocument
from ..escape import printable
from ..formats import RenderOptions
from ..formats.ktap import describe
from ..racing import RaceDocument, ranked_kinds


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield nested KTAP; what is unsafe is not ok, with the paths to it above it; what nobody knows has timed out."""
    assert isinstance(document, RaceDocument)
    subjects = document.subjects
    yield f"KTAP version 1\n1..{len(subjects)}\n"
    for number, subject in enumerate(subjects, 1):
        rows = [row for row in document.rows if row.subject == subject]
        yield f"  KTAP version 1\n  1..{len(rows)}\n"
        for place, row in enumerate(rows, 1):
            yield from (f"  # {line}".rstrip() + "\n" for line in _diagnostics(row))
            title = describe(f"{row.transition} in {row.environment}")
            yield f"  {_result(_fails(row))} {place} {title}{_directive(row)}".rstrip() + "\n"
        yield f"{_result(any(map(_fails, rows)))} {number} {describe(subject)}\n"
    if not subjects:
        yield "# nothing was explored\n"


def _fails(row: RaceRow) -> bool:
    return row.verdict in ("unsafe", "unfinished")


def _result(failed: bool) -> str:
    return "not ok" if failed else "ok"


def _directive(row: RaceRow) -> str:
    """What stands behind the description; a # in it is none of a name's."""
    match row.verdict:
        case "unsafe":
            return f" # {' '.join(ranked_kinds(row.kinds))}, {row.states:,} states"
        case "unfinished":
            return f" # TIMEOUT {describe(row.why)}"
        case "skipped":
            return f" # SKIP {describe(row.why)}"
        case _:
            return f" # {row.states:,} states"


def _diagnostics(row: RaceRow) -> Iterator[str]:
    for kind in ranked_kinds(row.witnesses):
        yield from map(printable, two_columns(list(row.witnesses[kind])))
