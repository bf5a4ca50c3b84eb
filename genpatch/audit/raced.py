# SPDX-License-Identifier: GPL-2.0-or-later
"""From rows of explored interleavings to findings: what all rules about races share, and the kernels they try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as with_

from ..race.model import Kind
from ..race.rows import RaceRow, nothing_explored, undecided
from .facts import Facts, join_names
from .live import patching
from .model import Finding, Skip, Undecided, plural

__all__ = ["Races", "raced", "unsafe"]

_CALL = "addi sp, sp, -16\n sd ra, 8(sp)\n"
_BACK = "ld ra, 8(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
FRAME: Mapping[str, str] = {
    "ftrace_arch_code_modify_prepare": f"{_CALL} jal ra, mutex_lock\n {_BACK}",
    "ftrace_arch_code_modify_post_process": f"{_CALL} jal ra, mutex_unlock\n {_BACK}",
    "mutex_lock": "jalr zero, 0(ra)",
    "mutex_unlock": "jalr zero, 0(ra)",
    "arch_ftrace_update_code": f"{_CALL} jal ra, ftrace_modify_all_code\n jal ra, flush_icache_all\n {_BACK}",
    "ftrace_modify_all_code": "jalr zero, 0(ra)",
    "flush_icache_all": f"{_CALL} fence.i\n fence rw, rw\n jal ra, sbi_remote_fence_i\n {_BACK}",
    "sbi_remote_fence_i": "jalr zero, 0(ra)",
    "ftrace_shutdown": f"{_CALL} jal ra, synchronize_rcu_tasks\n {_BACK}",
    "synchronize_rcu_tasks": "jalr zero, 0(ra)",
}
"""What a kernel has around its patching, by name: a lock, a fence.i on all harts, and in the end a wait for tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Races:
    """What exploring one function's transitions came to.

    Args:
        function, func: its name and address.
        rows: one for each transition in each environment; some may be about code that is not in the image.
        is_paired: there are rows of two patchers at the same time.
    """

    function: str
    func: int
    rows: tuple[RaceRow, ...]
    is_paired: bool = False


def unsafe(facts: Facts, kind: Kind) -> Iterator[Finding]:
    """Yield a finding for each transition that fails so; environments in which it fails alike are one.

    Raises:
        Undecided: nothing fails so, and not everything was seen.
        Skip: nothing was explored.
    """
    races = facts.need_races()
    if nothing := nothing_explored(races.rows):
        raise Skip(nothing)
    alike: dict[tuple[str, str], list[RaceRow]] = {}
    for row in races.rows:
        if kind.value in row.witnesses:
            alike.setdefault((row.transition, _broken(row, kind)), []).append(row)
    for (transition, broken), rows in alike.items():
        yield _finding(races, transition, broken, rows, kind)
    left = undecided(races.rows)
    if left and not alike:
        raise Undecided(left)


def _broken(row: RaceRow, kind: Kind) -> str:
    """Return what a row's path breaks, in words: its last line, without the name of the kind."""
    return row.witnesses[kind.value][-1].text.removeprefix(f"{kind.value}: ")


def _finding(races: Races, transition: str, broken: str, rows: list[RaceRow], kind: Kind) -> Finding:
    is_there = rows[0].subject == races.function
    first = min(rows, key=lambda row: len(row.witnesses[kind.value]))
    names = join_names(row.environment for row in rows)
    lines = len(first.witnesses[kind.value]) - 1
    more = "" if first.complete else ", and there are more"
    return Finding(
        message=f"{first.subject}: {transition} in environment {names}: {broken}; the shortest way there has "
        f"{plural(lines, 'step')}, found among {plural(first.states, 'state')}{more}",
        kind=_slug(transition),
        address=races.func if is_there else None,
        symbol=races.function if is_there else "",
        subject=transition,
    )


def _slug(text: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")


def raced(
    *,
    edit: tuple[str, str, str] | None = None,
    without: tuple[str, ...] = (),
    config: Mapping[str, str] | None = None,
    is_paired: bool = False,
    max_states: int = 20_000,
) -> Facts:
    """Return the facts of a toy kernel with several harts, its function's transitions explored.

    Args:
        edit: (routine, old text, new text): a mistake to make.
        without: calls that are left out of what is around patching.
        config: beside CONFIG_SMP.
        is_paired: only that two functions are enabled at the same time.
        max_states: of each transition.
    """
    from ..race.kernel import kernel_races, pair_of
    from ..race.run import explored

    routines = dict(FRAME)
    for name in without:
        routines = {
            each: source.replace(f"jal ra, {name}\n", "addi zero, zero, 0\n") for each, source in routines.items()
        }
    options = {"CONFIG_SMP": "y", "CONFIG_PREEMPTION": "n", **(config or {})}
    facts = patching(edit=edit, routines=routines, config=options)
    made = kernel_races(facts.image, function="one")
    own, scenarios = with_(made.settings, name="own"), made.scenarios
    if is_paired:
        other = kernel_races(facts.image, function="two")
        scenarios = (pair_of(made.scenario("enable"), other.scenario("enable")),)
    rows = tuple(explored(made.function, each.name, each, own, max_states=max_states) for each in scenarios)
    return with_(facts, races=Races(function=made.function, func=made.func, rows=rows, is_paired=is_paired))
