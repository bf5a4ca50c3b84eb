# SPDX-License-Identifier: GPL-2.0-or-later
"""What is not executed: nothing that writes to text, and each for a reason."""

from __future__ import annotations

import pytest

from genpatch.audit.live import patching
from genpatch.race.kernel import kernel_races
from genpatch.sites.patching import PATCH_PRIMITIVES
from genpatch.verify.run import verify
from genpatch.verify.scene import FUNCTIONS
from genpatch.verify.stubs import FIXMAP, STUBS, Stub


def test_no_name_twice() -> None:
    assert len({stub.name for stub in STUBS}) == len(STUBS)


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.name)
def test_each_has_a_reason(stub: Stub) -> None:
    assert stub.why
    assert -1 <= stub.calls < 7
    assert 0 <= stub.value <= 1


def test_nothing_that_changes_text_is_stubbed() -> None:
    """Least of all the copy routines: their widths are what is observed."""
    names = {stub.name for stub in STUBS} | {FIXMAP}
    assert not names & {*PATCH_PRIMITIVES, *FUNCTIONS}
    assert not names & {"copy_to_kernel_nofault", "memcpy", "__memcpy", "memset", "ftrace_caller", "patch_map"}


def test_stop_machine_runs_its_function() -> None:
    assert {stub.name for stub in STUBS if stub.calls >= 0} == {"stop_machine", "stop_machine_cpuslocked"}


@pytest.mark.parametrize("name", ["__phys_addr_symbol", "__virt_to_phys"])
def test_checked_physical_addresses_are_what_unchecked_ones_are(name: str) -> None:
    """CONFIG_DEBUG_VIRTUAL checks them by what only boot fills in, and stops the kernel."""
    old = "    addi a1, a0, 0\n    addi a0, zero, 5\n"
    edit = ("patch_insn_write", old, f"    jal ra, {name}\n{old}")
    facts = patching(edit=edit, routines={name: "ebreak"})
    verification = verify(facts.image)
    assert verification.failures == []
    assert {state.name for state in verification.states if not state.skipped} >= {"boot", "enabled", "direct"}
    assert [scenario.name for scenario in kernel_races(facts.image).scenarios][:2] == ["enable", "change"]
