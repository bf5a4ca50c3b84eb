# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of exploring, as rows that a table, a report, a rule or another process can take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["RaceRow", "WitnessLine", "nothing_explored", "undecided"]


@dataclass(frozen=True, slots=True)
class WitnessLine:
    """One line of a path: who did it (``patcher``, ``patcher 2``, ``victim``, ``harts``) and what."""

    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRow:
    """What exploring one transition in one environment came to.

    Args:
        subject: the scheme, or the kernel's function.
        transition: ``enable``, ``change``, ``disable``, ``retire``, or what a kernel does beside.
        environment: name, as `get_environment` takes it.
        verdict: ``safe``, ``unsafe``, ``unfinished`` (nothing broke, not everything was seen), ``skipped``.
        kinds: how it breaks, in the order in which that was found.
        states, steps: visited, and steps between them.
        complete: whether all states were visited.
        seconds: time taken.
        witnesses: for each kind a shortest path; its last line says what is broken.
        why: why it was skipped or is unfinished, else empty.
    """

    subject: str
    transition: str
    environment: str
    verdict: str
    kinds: tuple[str, ...] = ()
    states: int = 0
    steps: int = 0
    complete: bool = True
    seconds: float = 0.0
    witnesses: dict[str, tuple[WitnessLine, ...]] = field(default_factory=dict)
    why: str = ""


def undecided(rows: Iterable[RaceRow]) -> str:
    """Return one line about the rows of which nobody knows; empty if there are none."""
    rows = tuple(rows)
    left = [row for row in rows if row.verdict == "unfinished"]
    if not left:
        return ""
    first = left[0]
    many = f"{len(left):,} row{'s' if len(left) > 1 else ''} of {len(rows):,}"
    return (
        f"{many} not decided: more than {min(row.states for row in left):,} states "
        f"(first: {first.subject} {first.transition} in {first.environment})"
    )


def nothing_explored(rows: Iterable[RaceRow]) -> str:
    """Return one line if all rows were skipped; empty if one was not, or there are none."""
    rows = tuple(rows)
    if not rows or any(row.verdict != "skipped" for row in rows):
        return ""
    reasons = list(dict.fromkeys(row.why for row in rows if row.why))
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 2 else "; ".join(["", *reasons[1:]])
    return f"nothing was explored: all rows were skipped: {reasons[0] if reasons else 'no reason is known'}{more}"
