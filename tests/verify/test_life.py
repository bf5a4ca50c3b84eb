# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of states: each is reachable, says what it is, and asks for what a kernel can have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genpatch.verify.contract import Arrival
from genpatch.verify.life import STATES, Abilities, State, state_names
from genpatch.verify.scene import FUNCTIONS
from genpatch.verify.trial import Behaviour

EVERYTHING = Abilities(
    functions=frozenset(FUNCTIONS), literal=True, unique_ops=True, direct=True, direct_slot=True,
    regs_caller=True, graph=True, frame=True, kprobe=True,
)  # fmt: skip
NOTHING = Abilities(
    functions=frozenset(), literal=False, unique_ops=False, direct=False, direct_slot=False,
    regs_caller=False, graph=False, frame=False, kprobe=False,
)  # fmt: skip
BY_NAME = {state.name: state for state in STATES}


def test_names() -> None:
    names = state_names()
    assert len(set(names)) == len(names)
    assert {"boot", "enabled", "changed", "disabled", "direct", "kprobed", "returned", "rethook"} <= set(names)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_each_state(state: State) -> None:
    assert state.what
    assert state.runs
    assert not state.needs(NOTHING)
    assert state.why_not
    assert {patch.function for patch in state.patches} <= set(FUNCTIONS)


def test_a_kernel_with_everything_has_all_but_those_for_one_trampoline() -> None:
    assert {state.name for state in STATES if not state.needs(EVERYTHING)} == {
        "redirected", "overridden", "direct-in-frame",
    }  # fmt: skip
    one = replace(EVERYTHING, regs_caller=False)
    assert {state.name for state in STATES if not state.needs(one)} == {
        "changed-regs", "enabled-regs", "regs-redirected", "regs-overridden", "regs-direct-in-frame",
    }  # fmt: skip


def test_every_state_but_the_first_follows_one_that_patches() -> None:
    assert STATES[0].patches[0].function == "ftrace_init_nop"
    assert STATES[1].patches[0].function == "ftrace_make_call"


def test_what_must_come_of_it() -> None:
    assert [(run.calls, run.direct) for run in BY_NAME["boot"].runs] == [(0, 0)]
    assert [(run.calls, run.direct) for run in BY_NAME["enabled"].runs] == [(1, 0)]
    assert [(run.calls, run.direct) for run in BY_NAME["direct"].runs] == [(0, 1)]
    assert [(run.calls, run.direct) for run in BY_NAME["direct-in-frame"].runs] == [(1, 1)]
    assert BY_NAME["redirected"].runs[0].arrival is Arrival.ELSEWHERE
    assert BY_NAME["overridden"].runs[0].arrival is Arrival.PARENT
    assert BY_NAME["graph"].runs[0].behaviour is Behaviour.GRAPH
    assert BY_NAME["disabled"].restores
    assert BY_NAME["disabled-again"].restores
    assert BY_NAME["kprobed"].patches[-1].probed
