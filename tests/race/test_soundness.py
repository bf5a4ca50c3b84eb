# SPDX-License-Identifier: GPL-2.0-or-later
"""A safe verdict rests on each of its preconditions: take one away and it is unsafe, or it is said here why not."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from genpatch.race.catalog import scenario_of
from genpatch.race.environment import get_environment
from genpatch.race.explore import explore
from genpatch.schemes import CATALOG

LONG = bool(os.environ.get("GENPATCH_LONG"))
ALL = ("enable", "change", "disable", "retire")

STOPPED = ("mcount-ra16", "bpf-fentry-ra16", "pair-t0", "pair-aligned8", "dynamic-trampoline", "bpf-fentry")
SAVES_RA = STOPPED[:2]
PAIRS = STOPPED[2:]
NEAR, DETOUR, SLOT = ("nop-jalr",), ("detour-24",), ("auipc-fixed",)
LITERAL = ("call-ops", "call-ops-direct", "call-ops-cfi", "jal-dispatch", "jal-per-func")
POINTER = SLOT + LITERAL
LIVE = NEAR + DETOUR + POINTER
QUICK = (*STOPPED, *NEAR, *DETOUR, *SLOT, "call-ops")
"""What is explored by default; the others with GENPATCH_LONG=1."""


@dataclass(frozen=True)
class Claim:
    """What one precondition does.

    Args:
        schemes: for which it is claimed.
        without: the setting that takes it away.
        broken: transition to kinds; the other transitions stay safe.
        why: of those that break, and of those that do not.
    """

    schemes: tuple[str, ...]
    without: str
    broken: dict[str, str]
    why: str


STOP_CLAIMS = (
    Claim(PAIRS, "stop_machine=no", dict.fromkeys(ALL, "wild"), "two words, fetched one after the other"),
    Claim(
        SAVES_RA, "stop_machine=no",
        {"enable": "registers wild", "change": "wild", "disable": "registers wild", "retire": "registers wild"},
        "four words; half of them leave ra or the stack changed",
    ),
    Claim(
        PAIRS, "preemption=full", {"enable": "wild", "change": "wild"},
        "stopped between the two; on the way off a nop follows auipc, and t0 is free",
    ),
    Claim(
        SAVES_RA, "preemption=full",
        {"enable": "registers wild", "change": "wild", "disable": "registers", "retire": "registers"},
        "stopped between the four; on the way off ra has been changed and is not restored",
    ),
    Claim(STOPPED, "patchers=2,lock=no", dict.fromkeys(ALL, "lost"), "a store goes through the other's slot"),
    Claim(STOPPED, "patchers=2", {}, "they take turns"),
    Claim(STOPPED, "fetch=parcel", {}, "nobody fetches meanwhile, and stop_machine ends with fence.i everywhere"),
    Claim(STOPPED, "alignment=4", {}, "nobody looks meanwhile"),
    Claim(STOPPED, "alignment=2", {}, "nobody looks meanwhile"),
    Claim(STOPPED, "remote_fence=missing", {}, "stop_machine ends with fence.i everywhere"),
    Claim(STOPPED, "remote_fence=early", {}, "the same"),
    Claim(STOPPED, "remote_fence=unordered", {}, "the same"),
    Claim(STOPPED, "tasks_wait=no", {}, "without preemption stop_machine has waited: it begins when nobody is inside"),
    Claim(STOPPED, "fetch=strong,remote_fence=missing", {}, "both are not needed"),
    Claim(PAIRS, "preemption=full,tasks_wait=no", {"enable": "wild", "change": "wild", "retire": "freed"},
          "stopped inside what is freed"),
    Claim(LIVE, "stop_machine=no", {}, "one word, and data that are loaded at once, need none"),
    Claim(LIVE, "preemption=full", {}, "one word has no place between"),
)  # fmt: skip
"""From ``stop``, in which everything is safe."""

SWITCHED = ("enable", "disable", "retire")
LIVE_CLAIMS = (
    Claim(
        LIVE, "fetch=parcel", dict.fromkeys(SWITCHED, "wild"),
        "half of the old word, half of the new; changing stores data, or a jalr that differs in its upper parcel only",
    ),
    Claim(NEAR + SLOT, "alignment=4", {}, "they are made for 4"),
    Claim(DETOUR, "alignment=4", {}, "the target is stored in halves, but all of the kernel shares the upper one"),
    Claim(
        LITERAL, "alignment=4", {"change": "ops", "disable": "ops", "retire": "ops"},
        "the ops pointer is stored in halves; enabling makes it known before anybody loads it",
    ),
    Claim(NEAR + SLOT, "alignment=2", dict.fromkeys(SWITCHED, "wild"), "the word is stored in halves"),
    Claim(DETOUR, "alignment=2", dict.fromkeys(ALL, "wild"), "so are the quarters of the target"),
    Claim(
        LITERAL, "alignment=2", {"enable": "wild", "change": "ops", "disable": "ops wild", "retire": "ops wild"},
        "so are the quarters of the ops pointer",
    ),
    Claim(
        NEAR, "remote_fence=missing", {"enable": "stale", "change": "stale", "disable": "stale", "retire": "freed"},
        "other harts go on as before",
    ),
    Claim(
        DETOUR, "remote_fence=missing", {"enable": "stale wild", "disable": "stale", "retire": "freed"},
        "other harts go on as before; or see the detour open before they see its target. Changing stores data only",
    ),
    Claim(
        POINTER, "remote_fence=missing", {"enable": "stale"},
        "other harts do not call yet; that they still call harms nobody, the pointer leads to ops that do nothing",
    ),
    Claim(
        NEAR, "remote_fence=early", {"enable": "stale", "change": "stale", "disable": "stale", "retire": "freed"},
        "as if it were missing",
    ),
    Claim(
        DETOUR, "remote_fence=early", {"enable": "stale", "disable": "stale", "retire": "freed"},
        "as if it were missing, but for the target, which every hart knows before the detour is open",
    ),
    Claim(POINTER, "remote_fence=early", {"enable": "stale"}, "as if it were missing"),
    Claim(
        NEAR, "remote_fence=unordered", {"enable": "stale", "change": "stale", "disable": "stale", "retire": "freed"},
        "the store may still be on its way",
    ),
    Claim(
        DETOUR, "remote_fence=unordered", {"enable": "stale wild", "disable": "stale", "retire": "freed"},
        "the stores may still be on their way",
    ),
    Claim(POINTER, "remote_fence=unordered", {"enable": "stale"}, "the store may still be on its way"),
    Claim(LIVE, "tasks_wait=no", {"retire": "freed"}, "somebody is on the way to what is freed"),
    Claim(LIVE, "patchers=2,lock=no", dict.fromkeys(ALL, "lost"), "a store goes through the other's slot"),
    Claim(LIVE, "patchers=2", {}, "they take turns"),
    Claim(NEAR + POINTER, "fetch=strong,remote_fence=missing", {}, "harts that always fetch the newest need none"),
    Claim(NEAR + POINTER, "fetch=strong,remote_fence=early", {}, "the same"),
    Claim(NEAR + POINTER, "fetch=strong,remote_fence=unordered", {}, "the same"),
    Claim(DETOUR, "fetch=strong,remote_fence=missing", {"enable": "wild"},
          "the detour is seen open, and its target is loaded old: fences are for data as well"),
    Claim(DETOUR, "fetch=strong,remote_fence=early", {}, "the target is known before the detour is open"),
    Claim(LIVE, "migration=no", {}, "migration is no precondition"),
    Claim(LIVE, "preemption=none", {}, "nor is preemption"),
)  # fmt: skip
"""From ``smp-preempt``, in which everything of theirs is safe."""

CASES = [
    pytest.param(base, scheme, claim.without, claim, id=f"{scheme} | {base},{claim.without}")
    for base, claims in (("stop", STOP_CLAIMS), ("smp-preempt", LIVE_CLAIMS))
    for claim in claims
    for scheme in claim.schemes
    if LONG or scheme in QUICK
]


def verdicts(scheme: str, environment: str) -> dict[str, str]:
    """Return the transitions that break, and how."""
    where = get_environment(environment)
    found = {}
    for transition in ALL:
        result = explore(scenario_of(CATALOG[scheme], transition, where), where)
        assert result.complete
        if result.witnesses:
            found[transition] = " ".join(sorted(result.witnesses))
    return found


@pytest.mark.parametrize("scheme", STOPPED + LIVE)
def test_the_base_is_safe(scheme: str) -> None:
    assert verdicts(scheme, "stop" if scheme in STOPPED else "smp-preempt") == {}


@pytest.mark.parametrize(("base", "scheme", "without", "claim"), CASES)
def test_without(base: str, scheme: str, without: str, claim: Claim) -> None:
    assert verdicts(scheme, f"{base},{without}") == claim.broken, claim.why


def test_every_scheme_is_here() -> None:
    assert set(STOPPED + LIVE) == set(CATALOG)


@pytest.mark.parametrize(("claims", "schemes"), [(STOP_CLAIMS, STOPPED), (LIVE_CLAIMS, LIVE)], ids=["stop", "live"])
def test_every_precondition_is_here(claims: tuple[Claim, ...], schemes: tuple[str, ...]) -> None:
    """Each scheme has a claim about each way of being less careful."""
    settings = {"fetch=parcel", "alignment=4", "alignment=2", "tasks_wait=no", "patchers=2,lock=no"}
    settings |= {f"remote_fence={each}" for each in ("missing", "early", "unordered")}
    for scheme in schemes:
        assert settings <= {claim.without for claim in claims if scheme in claim.schemes}, scheme


def test_a_claim_is_made_once() -> None:
    for claims in (STOP_CLAIMS, LIVE_CLAIMS):
        made = [(scheme, claim.without) for claim in claims for scheme in claim.schemes]
        assert len(made) == len(set(made))
