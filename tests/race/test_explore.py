# SPDX-License-Identifier: GPL-2.0-or-later
"""The explorer and the reference come to the same, whatever is patched and wherever."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings

from genpatch.race.environment import ENVIRONMENTS, Environment, get_environment
from genpatch.race.explore import Explorer, explore
from genpatch.race.model import Behaviour, Broken, Kind, Scenario
from genpatch.race.timeline import Timelines
from genpatch.race.victim import Victim

from .litmus import (
    FAR_A,
    FAR_B,
    FUNC,
    NEAR_A,
    OPS_A,
    PUBLISH,
    call_words,
    environments,
    messages,
    scenario,
    scenarios,
    store,
    word,
)
from .reference import Now, Reference, TooLarge

LONG = bool(os.environ.get("GENPATCH_LONG"))
FEW = settings(
    max_examples=600 if LONG else 40,
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
MOST = 20_000 if LONG else 1200

JAL = scenario(store(FUNC, word(f"jal t0, {NEAR_A}", FUNC)), *PUBLISH, sled="nop")
PAIR = scenario(store(FUNC, call_words(FAR_A, FUNC)), *PUBLISH)
NOTHING = scenario(sled="nop", new=())


class RecordingExplorer(Explorer):
    """Remembers what calls came to, whether that was right or not."""

    ends: set[tuple[bool, Behaviour]]

    def _judge(self, after: int, behaviour: Behaviour) -> Broken | None:
        self.ends.add((bool(after), behaviour))
        return super()._judge(after, behaviour)


class RecordingReference(Reference):
    ends: set[tuple[bool, Behaviour]]

    def judged(self, now: Now) -> Kind | None:
        self.ends.add((now.late, now.calls))
        return super().judged(now)


Known = tuple[Scenario, Environment, frozenset[Kind], set[tuple[bool, Behaviour]]]


def known(what: Scenario, where: Environment) -> Known | None:
    """Ask the reference; None if that would take too long."""
    reference = RecordingReference(what, where)
    reference.ends = set()
    try:
        return what, where, reference.run(MOST), reference.ends
    except TooLarge:
        return None


def agrees(each: Known, *, reduce: bool) -> bool:
    what, where, kinds, ends = each
    explorer = RecordingExplorer(what, where, reduce=reduce)
    explorer.ends = set()
    result = explorer.run(100 * MOST)
    assert result.complete
    return set(result.witnesses) == kinds and explorer.ends == ends


def compare(what: Scenario, where: Environment) -> str:
    """Explore in all three ways; say what came of it."""
    each = known(what, where)
    if each is None:
        return "too large"
    assert agrees(each, reduce=True)
    assert agrees(each, reduce=False)
    return " ".join(sorted(each[2])) or "safe"


@FEW
@given(scenarios(), environments())
def test_one_patcher(what: Scenario, where: Environment) -> None:
    event(compare(what, where))


@FEW
@given(messages(), environments())
def test_messages(what: Scenario, where: Environment) -> None:
    event(compare(what, where))


@FEW
@given(scenarios(2), environments(2))
def test_two_patchers(what: Scenario, where: Environment) -> None:
    event(compare(what, where))


# -- the comparison is not blind: what is broken on purpose is found at random, by this many examples


@cache
def corpus() -> tuple[Known, ...]:
    found: list[Known] = []

    @settings(FEW, max_examples=120, derandomize=True)
    @given(messages(), environments())
    def collect(what: Scenario, where: Environment) -> None:
        each = known(what, where)
        if each is not None:
            found.append(each)

    collect()
    return tuple(found)


def _nothing_is_stale(patch: pytest.MonkeyPatch) -> None:
    fetches = Timelines.fetches
    patch.setattr(Timelines, "fetches", lambda self, timeline, pc, first: fetches(self, timeline, pc, len(timeline)))


def _no_address_depends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Victim, "_origins", lambda self, local, word: 0)


def _no_load_remembers(patch: pytest.MonkeyPatch) -> None:
    loads = Timelines.loads
    patch.setattr(
        Timelines, "loads", lambda self, line, at, width, first, known=(): loads(self, line, at, width, first)
    )


@pytest.mark.parametrize("breaks", [_nothing_is_stale, _no_address_depends, _no_load_remembers])
def test_a_broken_explorer_is_found_out(
    breaks: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(agrees(each, reduce=True) for each in corpus())
    breaks(monkeypatch)
    assert not all(agrees(each, reduce=True) for each in corpus())


@pytest.mark.parametrize("name", [name for name, each in ENVIRONMENTS.items() if each.patchers == 1])
@pytest.mark.parametrize("what", [JAL, PAIR], ids=["jal", "pair"])
def test_named_environments(what: Scenario, name: str) -> None:
    assert compare(what, get_environment(name)) != "too large"


def test_nothing_happens() -> None:
    result = explore(NOTHING, get_environment("smp-preempt"))
    assert (result.verdict, result.complete, result.witnesses) == ("safe", True, {})
    # before and behind the return, each of three harts: not begun, in the sled; and done
    assert result.states < 60


def test_a_call_that_is_wrong_from_the_start_needs_no_patcher() -> None:
    result = explore(scenario(sled="ebreak", new=()), get_environment("up"))
    assert set(result.witnesses) == {Kind.WILD}
    assert [step.action.what for step in result.witnesses[Kind.WILD].steps] == ["begin", "fetch"]


def test_too_few_states_are_no_verdict() -> None:
    result = explore(JAL, get_environment("smp-preempt"), max_states=10)
    assert (result.verdict, result.complete, result.states) == ("unfinished", False, 10)


def test_an_unsafe_verdict_needs_not_all_states() -> None:
    whole = explore(PAIR, get_environment("smp-preempt"))
    part = explore(PAIR, get_environment("smp-preempt"), max_states=whole.states - 1)
    assert (part.verdict, part.complete) == ("unsafe", False)


def test_it_is_deterministic() -> None:
    first, second = (explore(PAIR, get_environment("smp-preempt")) for _ in range(2))
    assert (first.states, first.transitions) == (second.states, second.transitions)
    assert first.witnesses == second.witnesses


def test_the_scenario_is_left_alone() -> None:
    before = PAIR.memory.read(FUNC - 8, 32)
    explore(PAIR, get_environment("smp-preempt"))
    assert PAIR.memory.read(FUNC - 8, 32) == before


def test_a_witness_is_a_path() -> None:
    """Each step starts where the one before has led to."""
    result = explore(PAIR, get_environment("smp-preempt"))
    for witness in result.witnesses.values():
        assert witness.steps[0].before.local == -1
        for one, two in zip(witness.steps, witness.steps[1:], strict=False):
            assert one.after == two.before
        assert witness.steps[-1].after is None


@pytest.mark.parametrize(
    "setting", ["alignment=2", "stop_machine=yes", "remote_fence=missing", "tasks_wait=no", "lock=no"]
)
def test_what_the_patcher_honours_the_explorer_does_not(setting: str) -> None:
    """Such settings are in the events, or nowhere."""
    plain, changed = (explore(PAIR, get_environment(text)) for text in ("smp", f"smp,{setting}"))
    assert (plain.states, set(plain.witnesses)) == (changed.states, set(changed.witnesses))


def test_quiet_ops_are_nobody() -> None:
    what = scenario(sled=call_words(FAR_B, FUNC), old=(), new=())
    assert explore(what, get_environment("up")).verdict == "unsafe"
    quiet = replace(what, quiet=frozenset({what.site.directs[FAR_B]}))
    assert explore(quiet, get_environment("up")).verdict == "safe"
    assert explore(replace(what, new=(what.site.directs[FAR_B],)), get_environment("up")).verdict == "safe"


def test_ops_that_nobody_knows() -> None:
    what = replace(JAL, ops=frozenset({OPS_A}))
    assert explore(what, get_environment("smp")).verdict == "safe"
