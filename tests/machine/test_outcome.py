# SPDX-License-Identifier: GPL-2.0-or-later
"""How outcomes and traps read."""

from __future__ import annotations

import pytest

from genpatch.machine.outcome import Cause, Outcome, Status, Trap


def test_causes_are_the_manuals() -> None:
    assert {cause.name: cause.value for cause in Cause} == {
        "FETCH_MISALIGNED": 0,
        "FETCH_FAULT": 1,
        "ILLEGAL": 2,
        "BREAKPOINT": 3,
        "LOAD_MISALIGNED": 4,
        "LOAD_FAULT": 5,
        "STORE_MISALIGNED": 6,
        "STORE_FAULT": 7,
        "ECALL": 8,
    }
    assert len({cause.text for cause in Cause}) == len(Cause)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(Status.FAULT, 0, Cause.ILLEGAL), "illegal instruction"),
        (Outcome(Status.FAULT, 0, Cause.ILLEGAL, text="why"), "illegal instruction (why)"),
        (Outcome(Status.UNSUPPORTED, 0, Cause.ILLEGAL, text="V"), "not supported (V)"),
        (Outcome(Status.EXITED, 0, value=3), "exit 3"),
        (Outcome(Status.BUDGET, 0), "instruction budget used up"),
        (Outcome(Status.STOPPED, 0, text="breakpoint"), "breakpoint"),
        (Outcome(Status.STUCK, 0), "stuck"),
        (Outcome(Status.RUNNING, 0), "running"),
    ],
)
def test_reason(outcome: Outcome, reason: str) -> None:
    assert outcome.reason == reason


def test_traps() -> None:
    trap = Trap(Cause.LOAD_FAULT, 0x1234)
    assert str(trap) == "load from memory that is not readable, 0x1234"
    assert trap.outcome(8) == Outcome(Status.FAULT, 8, Cause.LOAD_FAULT, 0x1234)
    trap = Trap(Cause.ILLEGAL, 0x57, "V", supported=False)
    assert trap.outcome(8) == Outcome(Status.UNSUPPORTED, 8, Cause.ILLEGAL, 0x57, text="V")
