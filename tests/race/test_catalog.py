# SPDX-License-Identifier: GPL-2.0-or-later
"""What the mailing list argues about the schemes, as claims that the explorer has to come to by itself.

Expected verdicts are those of the discussions (and, where they say nothing, worked out by hand from the model), not
what the explorer printed.
"""

from __future__ import annotations

from functools import cache

import pytest

from genpatch.race.catalog import NoScenarioError, scenario_of
from genpatch.race.environment import get_environment
from genpatch.race.rows import RaceRow
from genpatch.race.run import catalog_rows, explored
from genpatch.schemes import CATALOG, get_scheme

PAIRS = ("pair-t0", "mcount-ra16")
ONE_WORD = ("auipc-fixed", "call-ops", "call-ops-direct", "call-ops-cfi", "jal-dispatch", "jal-per-func", "nop-jalr")
LITERALS = ("call-ops", "call-ops-direct", "call-ops-cfi", "jal-dispatch", "jal-per-func")
TRANSITIONS = ("enable", "change", "disable", "retire")


@cache
def row(scheme: str, transition: str, environment: str) -> RaceRow:
    world = get_environment(environment)
    return explored(scheme, transition, scenario_of(get_scheme(scheme), transition, world), world)


def texts(found: RaceRow, kind: str) -> list[str]:
    return [line.text for line in found.witnesses[kind]]


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("transition", ["enable", "change"])
def test_a_preempted_pair_panics_even_under_stop_machine(scheme: str, transition: str) -> None:
    """The first message: switched out behind auipc, patched meanwhile, switched back to the other jalr."""
    found = row(scheme, transition, "stop-preempt")
    assert found.verdict == "unsafe"
    assert "wild" in found.kinds
    lines = texts(found, "wild")
    preempted = next(number for number, line in enumerate(lines) if line.startswith("(preempted at func+"))
    assert lines.index("stop_machine") < preempted < lines.index("end of stop_machine")
    assert any("jalr" in line for line in lines[preempted:])


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("environment", ["stop", "stop-voluntary"])
def test_stop_machine_without_preemption_is_enough_for_a_pair(scheme: str, transition: str, environment: str) -> None:
    assert row(scheme, transition, environment).verdict == "safe"


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_pair_on_smp_needs_stop_machine(scheme: str, transition: str) -> None:
    """Mark Rutland's question: two harts, no preemption at all."""
    assert row(scheme, transition, "smp").verdict == "unsafe"


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_an_aligned_pair_needs_harts_that_fuse_any_pair(transition: str) -> None:
    assert row("pair-aligned8", transition, "smp-preempt").verdict == "unsafe"
    assert row("pair-aligned8", transition, "fused").verdict == "safe"


def test_if_only_calls_fuse_then_two_nops_are_an_open_door() -> None:
    """nop and nop are no pair: the victim stands between them when they become one."""
    assert row("pair-aligned8", "change", "fused-call").verdict == "safe"
    found = row("pair-aligned8", "enable", "fused-call")
    assert found.kinds == ("wild",)
    lines = texts(found, "wild")
    assert "func: nop" in lines
    assert any(line.startswith("func+0x4: jalr") for line in lines)


@pytest.mark.parametrize("scheme", ONE_WORD)
@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("environment", ["smp", "smp-preempt"])
def test_one_word_needs_no_stop_machine(scheme: str, transition: str, environment: str) -> None:
    assert row(scheme, transition, environment).verdict == "safe"


@pytest.mark.parametrize("scheme", ["auipc-fixed", "nop-jalr"])
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_4_byte_alignment_is_enough_without_a_literal(scheme: str, transition: str) -> None:
    assert row(scheme, transition, "align4").verdict == "safe"


@pytest.mark.parametrize("scheme", ONE_WORD)
def test_2_byte_alignment_is_not(scheme: str) -> None:
    assert "wild" in row(scheme, "enable", "align2").kinds
    assert "wild" in row(scheme, "disable", "align2").kinds


@pytest.mark.parametrize("scheme", ONE_WORD)
def test_nor_are_2_byte_parcels(scheme: str) -> None:
    assert "wild" in row(scheme, "enable", "parcel").kinds


@pytest.mark.parametrize("scheme", LITERALS)
def test_a_literal_off_a_multiple_of_8_tears(scheme: str) -> None:
    found = row(scheme, "change", "align4")
    assert "ops" in found.kinds
    assert texts(found, "ops")[-1].endswith("torn")
    assert row(scheme, "change", "smp-preempt").verdict == "safe"


@pytest.mark.parametrize("environment", ["no-fence", "early-fence", "unordered-fence"])
@pytest.mark.parametrize("scheme", ONE_WORD)
def test_without_a_remote_fence_calls_stay_stale(scheme: str, environment: str) -> None:
    found = row(scheme, "enable", environment)
    assert found.kinds == ("stale",)
    assert any(line.endswith("[stale]") for line in texts(found, "stale"))


@pytest.mark.parametrize("environment", ["no-fence", "early-fence", "unordered-fence"])
def test_or_worse(environment: str) -> None:
    """A trampoline that is jumped to from a sled that was never refetched, behind the wait for tasks."""
    for scheme in ("nop-jalr", "dynamic-trampoline", "bpf-fentry"):
        assert "freed" in row(scheme, "retire", environment).kinds


@pytest.mark.parametrize("scheme", [name for name in CATALOG if name not in ("detour-24",)])
def test_what_is_freed_without_waiting_is_used(scheme: str) -> None:
    found = row(scheme, "retire", "no-wait")
    assert "freed" in found.kinds
    assert any(line.startswith("free ") for line in texts(found, "freed"))
    assert "synchronize_rcu_tasks" not in texts(found, "freed")


@pytest.mark.parametrize("scheme", CATALOG)
def test_two_patchers_need_a_lock(scheme: str) -> None:
    assert "lost" in row(scheme, "enable", "two-patchers").kinds
    assert "lost" not in row(scheme, "enable", "two-locked").kinds


def test_the_call_of_an_interrupt_amid_patching() -> None:
    """The patcher's own hart has fetched neither word anew yet: any mixture may be executed."""
    assert row("pair-t0", "enable", "interrupted").kinds == ("wild",)
    assert row("pair-t0", "enable", "itself").kinds == ("wild",)
    assert row("auipc-fixed", "enable", "interrupted").verdict == "safe"


def test_one_hart_is_not_enough_with_preemption() -> None:
    assert row("pair-t0", "change", "up").verdict == "safe"
    assert row("pair-t0", "change", "up-preempt").kinds == ("wild",)


def test_a_row_says_how_far_it_got() -> None:
    world = get_environment("smp-preempt")
    found = explored("call-ops", "enable", scenario_of(get_scheme("call-ops"), "enable", world), world, max_states=50)
    assert (found.verdict, found.states, found.complete) == ("unfinished", 50, False)
    assert "50 states" in found.why


def test_frames_do_not_matter_to_a_race() -> None:
    for frame in ("args", "regs"):
        rows = list(catalog_rows([get_scheme("call-ops")], [get_environment("smp-preempt")], frame=frame))
        assert {each.verdict for each in rows} == {"safe"}


def test_processes_give_the_rows_of_one() -> None:
    schemes, worlds = [get_scheme("pair-t0"), get_scheme("nop-jalr")], [get_environment("stop"), get_environment("up")]

    def told(jobs: int) -> list[tuple[str, ...]]:
        rows = catalog_rows(schemes, worlds, jobs=jobs)
        return [(each.subject, each.environment, each.transition, each.verdict, str(each.states)) for each in rows]

    assert told(1) == told(2)
    assert len(told(1)) == 16


def test_an_unknown_transition_is_no_scenario() -> None:
    with pytest.raises(NoScenarioError, match="call-ops has no upgrade"):
        scenario_of(get_scheme("call-ops"), "upgrade", get_environment("smp"))
