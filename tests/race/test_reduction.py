# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reduction leaves out changes no verdict; and each of its rules would, were it a little bolder.

Compared are the kinds that break, with and without reduction, and for each kind the choices on its witness: the
steps that were taken where something else could have been done. The reduction takes choices away, so a witness with
it has no more of them. Its steps may be more: a fence that commutes with everything is executed at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from genpatch.race import explore as explore_module
from genpatch.race import worlds as worlds_module
from genpatch.race.catalog import NoScenarioError, scenario_of
from genpatch.race.environment import ENVIRONMENTS, get_environment
from genpatch.race.explore import Explorer, Result, explore
from genpatch.race.model import Act, Kind
from genpatch.race.victim import Move
from genpatch.race.worlds import World, Worlds, WorldStep
from genpatch.schemes import CATALOG

from .test_litmus import TESTS, Litmus

LONG = bool(os.environ.get("GENPATCH_LONG"))
MOST = 3_000_000 if LONG else 60_000
CELLS = [
    (scheme, transition, environment)
    for scheme in CATALOG
    for transition in ("enable", "change", "disable", "retire")
    for environment in ENVIRONMENTS
]
SAMPLE = CELLS if LONG else CELLS[::37]


def choices(result: Result, kind: Kind) -> int:
    explorer = result.explorer
    return sum(len(explorer.successors(tuple(step.before))) > 1 for step in result.witnesses[kind].steps)


def agree(reduced: Result, whole: Result) -> None:
    assert reduced.complete
    assert set(reduced.witnesses) == set(whole.witnesses)
    assert reduced.states <= whole.states
    for kind in reduced.witnesses:
        assert choices(reduced, kind) <= choices(whole, kind)


@pytest.mark.parametrize("test", TESTS, ids=[f"{test.name} | {test.environment}" for test in TESTS])
def test_litmus(test: Litmus) -> None:
    environment = get_environment(test.environment)
    agree(explore(test.scenario, environment), explore(test.scenario, environment, reduce=False))


@pytest.mark.parametrize(("scheme", "transition", "environment"), SAMPLE)
def test_catalog(scheme: str, transition: str, environment: str) -> None:
    where = get_environment(environment)
    try:
        what = scenario_of(CATALOG[scheme], transition, where)
    except NoScenarioError:
        pytest.skip("no such transition")
    whole = explore(what, where, reduce=False, max_states=MOST)
    if not whole.complete:
        pytest.skip("too large without reduction; GENPATCH_LONG=1 has the time")
    agree(explore(what, where), whole)


# -- what is a little too bold


def _litmus(name: str, environment: str) -> Litmus:
    return next(test for test in TESTS if (test.name, test.environment) == (name, environment))


def _patched_fetches_are_plain(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(explore_module, "is_patched", lambda victim, pc: False)


def _neighbours_are_plain(patch: pytest.MonkeyPatch) -> None:
    """Only the bytes at pc itself count, not those that are fetched with them as one."""
    patch.setattr(explore_module, "is_patched", lambda victim, pc: victim.is_patched(pc, 2))


def _all_moves_are_plain(but: str) -> Callable[[pytest.MonkeyPatch], None]:
    def forget(patch: pytest.MonkeyPatch) -> None:
        def is_plain(move: Move) -> bool:
            asked = {"touched": not move.touched, "fences": not move.fences, "load": move.load is None}
            del asked[but]
            return move.target >= 0 and all(asked.values())

        patch.setattr(Move, "is_plain", property(is_plain))

    return forget


def _commutes(act: Act) -> Callable[[pytest.MonkeyPatch], None]:
    def forget(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(worlds_module, "_INVISIBLE", worlds_module._INVISIBLE | {act})

    return forget


def _no_store_is_late(patch: pytest.MonkeyPatch) -> None:
    steps = Worlds._store_steps

    def at_once(self: Worlds, world: World, k: int, op: worlds_module.Op) -> Iterator[WorldStep]:
        return (step for step in steps(self, world, k, op) if step.action.what != "store")

    patch.setattr(Worlds, "_store_steps", at_once)


def _all_orders_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worlds, "_settled", lambda self, world: world._replace(seen=tuple(sorted(world.seen))))


def _two_patchers_orders_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What two patchers have stored counts as stored by the first one first."""
    number = Worlds.number
    patch.setattr(Worlds, "number", lambda self, world: number(self, world._replace(seen=tuple(sorted(world.seen)))))


def _over_when_begun(patch: pytest.MonkeyPatch) -> None:
    """Nothing can go wrong any more once the call is inside, if there is one patcher."""
    successors = Explorer.successors

    def cut(self: Explorer, state: tuple[int, ...]) -> list[explore_module.Next]:
        return [] if state[1] >= 0 and self.worlds.is_over(state[0]) else successors(self, state)

    patch.setattr(Explorer, "successors", cut)


BOLD = {
    "patched fetches are plain": (_patched_fetches_are_plain, _litmus("pair", "smp")),
    "only the parcel at pc is fetched": (_neighbours_are_plain, _litmus("jal to jal, upper half", "parcel")),
    "loads are plain": (_all_moves_are_plain("load"), _litmus("pointer", "smp")),
    "fences are plain": (_all_moves_are_plain("fences"), _litmus("message by flag, fence r,r", "smp")),
    "use of what is freed is plain": (_all_moves_are_plain("touched"), _litmus("trampoline freed at once", "smp")),
    "fence.i commutes": (_commutes(Act.FENCE_I), _litmus("pair", "interrupted")),
    "waiting for tasks commutes": (_commutes(Act.WAIT_TASKS), _litmus("ops freed", "smp-preempt")),
    "stop_machine commutes": (_commutes(Act.STOP), _litmus("pair, stopped", "stop-preempt")),
    "no store is late": (_no_store_is_late, _litmus("message by pointer, no fence", "smp")),
    "every order is forgotten": (_all_orders_are_forgotten, _litmus("pointer, jalr", "strong")),
    "two patchers' order is forgotten": (
        _two_patchers_orders_are_forgotten,
        _litmus("two pairs by halves", "two-patchers,preemption=none"),
    ),
    "over when everybody has returned": (_over_when_begun, _litmus("no remote fence", "smp")),
}


@pytest.mark.parametrize("name", BOLD)
def test_a_bolder_rule_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate, test = BOLD[name]
    environment = get_environment(test.environment)
    assert " ".join(sorted(explore(test.scenario, environment).witnesses)) == test.kinds
    mutate(monkeypatch)
    assert " ".join(sorted(explore(test.scenario, environment).witnesses)) != test.kinds
