# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as tables: what stands in a cell, and which paths to failures are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...race.rows import RaceRow, WitnessLine
from ...race.witness import two_columns
from ..racing import OWN, RaceDocument, ranked_kinds

__all__ = [
    "OWN_SAYS",
    "Path",
    "Table",
    "cell",
    "own_evidence",
    "paths",
    "rows_by",
    "shortened",
    "skipped",
    "tables",
    "verdict",
    "worst",
]

NOTHING = "-"
OWN_SAYS = "what the kernel's configuration, symbols and ftrace events say"
_VERDICTS = ("unsafe", "unfinished", "safe", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one subject: environments down and transitions across, or the other way; None for no row."""

    subject: str
    corner: str
    down: tuple[str, ...]
    across: tuple[str, ...]
    cells: tuple[tuple[RaceRow | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One path to a failure, and the environments in which it is the shortest."""

    subject: str
    transition: str
    kind: str
    environments: tuple[str, ...]
    lines: tuple[WitnessLine, ...]

    @property
    def title(self) -> str:
        """What the path is about, on one line."""
        return f"{self.subject} {self.transition}: {self.kind} in {', '.join(self.environments)}"

    @property
    def text(self) -> list[str]:
        """The path in two columns."""
        return two_columns(list(self.lines))


def rows_by(document: RaceDocument) -> dict[tuple[str, str, str], RaceRow]:
    """Return the rows by subject, environment and transition."""
    return {(row.subject, row.environment, row.transition): row for row in document.rows}


def tables(document: RaceDocument) -> list[Table]:
    """Return a table for each subject, in the order of the rows; a kernel's many transitions go down."""
    found = rows_by(document)
    order: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in document.rows:
        environments, transitions = order.setdefault(row.subject, ({}, {}))
        environments[row.environment] = transitions[row.transition] = None
    listed = []
    for subject, (environments, transitions) in order.items():
        cells = tuple(tuple(found.get((subject, each, name)) for name in transitions) for each in environments)
        if document.images:
            turned = tuple(zip(*cells, strict=True))
            table = Table(
                subject=subject, corner="transition", down=tuple(transitions), across=tuple(environments), cells=turned
            )
        else:
            table = Table(
                subject=subject, corner="environment", down=tuple(environments), across=tuple(transitions), cells=cells
            )
        listed.append(table)
    return listed


def cell(row: RaceRow | None, detail: int = 3) -> str:
    """Return what stands in a table for a row.

    Args:
        row: None for no such row.
        detail: 3 for all kinds of failure and the number of states; 2 without states of what is unsafe; 1 for the
            worst kind, with ``+`` if there are more; 0 without a kind.
    """
    if row is None or row.verdict == "skipped":
        return NOTHING
    states = f"{'' if row.complete else '>'}{row.states:,}"
    if row.verdict != "unsafe":
        return f"{row.verdict} {states}"
    kinds = ranked_kinds(row.kinds)
    if detail < 2:
        return _worst_kind(kinds) if detail else "UNSAFE"
    return f"UNSAFE {','.join(kinds)}" + (f" {states}" if detail == 3 else "")


def _worst_kind(kinds: Sequence[str]) -> str:
    return f"UNSAFE {kinds[0]}" + ("+" if len(kinds) > 1 else "")


def worst(rows: Iterable[RaceRow]) -> tuple[str, str]:
    """Return the worst verdict of some rows, and what stands in a table for it, as `cell` has it with detail 1."""
    rows = tuple(rows)
    found = min((row.verdict for row in rows), key=_VERDICTS.index, default="skipped")
    if found == "skipped":
        return found, NOTHING
    kinds = ranked_kinds(kind for row in rows for kind in row.kinds)
    return found, found if found != "unsafe" else _worst_kind(kinds)


def shortened(environments: Sequence[str]) -> str:
    """Return ``a, b and 3 more``."""
    listed = ", ".join(environments[:4])
    return listed if len(environments) <= 4 else f"{listed} and {len(environments) - 4} more"


def skipped(rows: Iterable[RaceRow]) -> list[str]:
    """Return why rows were skipped or are not decided, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.why and row.verdict in ("skipped", "unfinished"):
            reasons.setdefault(row.why, []).append(
                row.transition if row.verdict == "skipped" else f"{row.transition} in {row.environment}"
            )
    return [
        why if all(place in why for place in places) else f"{shortened(list(dict.fromkeys(places)))}: {why}"
        for why, places in reasons.items()
    ]


def own_evidence(document: RaceDocument) -> tuple[str, ...]:
    """Return what a kernel's own environment was read from, if there are rows of that."""
    names = {row.environment.partition(",")[0] for row in document.rows}
    return document.evidence if OWN in names else ()


def paths(document: RaceDocument) -> list[Path]:
    """Return the shortest paths to failures, each once with the environments that have it."""
    alike: dict[tuple[str, str, str, tuple[WitnessLine, ...]], list[str]] = {}
    for row in document.rows:
        for kind in ranked_kinds(row.witnesses):
            alike.setdefault((row.subject, row.transition, kind, row.witnesses[kind]), []).append(row.environment)
    return [
        Path(subject=subject, transition=transition, kind=kind, environments=tuple(environments), lines=lines)
        for (subject, transition, kind, lines), environments in alike.items()
    ]


def verdict(document: RaceDocument) -> str:
    """Return one line: how many rows there are of each verdict, and states in all; the same on every machine."""
    counts = ", ".join(f"{count:,} {name}" for name, count in document.counts.items())
    return f"{counts}; {document.states:,} states"
