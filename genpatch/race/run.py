# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios explored, and what came of each as a row that a table, a report or another process can take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..schemes import CallScheme, get_scheme
from .environment import Environment
from .explore import MOST_STATES, explore
from .model import Scenario
from .witness import WitnessLine, lines_of

__all__ = ["RaceRow", "catalog_rows", "explored", "nothing_explored", "undecided"]

Progress = Callable[[int, int, str], None]


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


def explored(
    subject: str,
    transition: str,
    scenario: Scenario,
    environment: Environment,
    *,
    reduce: bool = True,
    max_states: int = MOST_STATES,
) -> RaceRow:
    """Explore a scenario and return its row."""
    if len(scenario.patchers) > 1 and environment.harts == 1:
        why = "two patchers at the same time need more than one hart"
        return RaceRow(subject=subject, transition=transition, environment=environment.name, verdict="skipped", why=why)
    result = explore(scenario, environment, reduce=reduce, max_states=max_states)
    why = "" if result.complete else f"{max_states:,} states were visited and there are more"
    return RaceRow(
        subject=subject,
        transition=transition,
        environment=environment.name,
        verdict=result.verdict,
        kinds=tuple(kind.value for kind in result.witnesses),
        states=result.states,
        steps=result.transitions,
        complete=result.complete,
        seconds=result.seconds,
        witnesses={kind.value: tuple(lines_of(result, kind)) for kind in result.witnesses},
        why=why,
    )


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


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of a table; small enough to be sent to another process."""

    scheme: str
    transition: str
    environment: Environment
    frame: str = "args"
    max_states: int = MOST_STATES


def catalog_rows(
    schemes: Iterable[CallScheme],
    environments: Iterable[Environment],
    transitions: Iterable[str] = ("enable", "change", "disable", "retire"),
    *,
    frame: str = "args",
    max_states: int = MOST_STATES,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[RaceRow]:
    """Explore every transition of schemes in environments; rows come scheme by scheme, in the order given.

    Args:
        schemes: of the catalog.
        environments: named or made.
        transitions: which.
        frame: ``args`` or ``regs``, what the trampoline saves.
        max_states: states at most for each.
        jobs: processes.
        progress: called with (done, of how many, what is next).
    """
    worlds, kinds = tuple(environments), tuple(transitions)
    cases = [
        Case(scheme.name, kind, world, frame, max_states) for scheme in schemes for world in worlds for kind in kinds
    ]
    told = progress or _silent
    for number, row in enumerate(_rows(cases, jobs)):
        told(number + 1, len(cases), row.subject)
        yield row


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


def _rows(cases: list[Case], jobs: int) -> Iterator[RaceRow]:
    if jobs < 2 or len(cases) < 2:
        yield from map(row_of, cases)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(row_of, cases, chunksize=max(1, min(16, len(cases) // (4 * jobs))))


def row_of(case: Case) -> RaceRow:
    """Explore one case."""
    from .catalog import NoScenarioError, scenario_of

    scheme = get_scheme(case.scheme)
    try:
        scenario = scenario_of(scheme, case.transition, case.environment, frame=case.frame)
    except NoScenarioError as error:
        return RaceRow(
            subject=case.scheme,
            transition=case.transition,
            environment=case.environment.name,
            verdict="skipped",
            why=str(error),
        )
    return explored(case.scheme, case.transition, scenario, case.environment, max_states=case.max_states)
