# SPDX-License-Identifier: GPL-2.0-or-later
"""What is not executed: nothing that writes to text, and each for a reason."""

from __future__ import annotations

import pytest

from genpatch.sites.patching import PATCH_PRIMITIVES
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
