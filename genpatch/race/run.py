# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios explored, one after the other or in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..schemes import CallScheme, get_scheme
from .environment import Environment
from .explore import MOST_STATES, explore
from .model import Scenario
from .rows import RaceRow
from .witness import lines_of

__all__ = ["catalog_rows", "explored"]

Progress = Callable[[int, int, str], None]


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
