# SPDX-License-Identifier: GPL-2.0-or-later
"""The listing of one site's run: the same way as in the lanes, and what the host did in between."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.verify.replay import replay
from genpatch.verify.trial import Behaviour, Trial

from .test_trial import BODY, FUNC, IP, trial


def listing(made: Trial, lane: int = 0, behaviour: Behaviour = Behaviour.PLAIN) -> list[str]:
    return replay(made, lane, behaviour, made.patcher.scene.image.symbols.nearest)


@pytest.mark.parametrize("behaviour", Behaviour)
def test_it_goes_where_the_lane_goes(behaviour: Behaviour) -> None:
    made = trial()
    end = int(made.run(behaviour=behaviour).pc[1])
    lines = listing(made, 1, behaviour)
    assert lines[-1].startswith(f"arrives at {end:#x} (")
    assert lines[0].startswith(f"{int(FUNC[1]):#x} two ")


def test_as_many_instructions_as_the_lane() -> None:
    made = trial()
    lines = [line for line in listing(made) if line.startswith("0x")]
    assert len(lines) == int(made.run().insns[0])


def test_the_callback_is_listed_with_its_arguments() -> None:
    lines = [line for line in listing(trial()) if line.startswith("-- ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"-- callback(ip={int(IP[0]):#x}, parent_ip=0x")


def test_what_it_asks_for_is_listed() -> None:
    made = trial()
    assert any(
        line.startswith("-- it writes 0x") and "fregs->epc" in line for line in listing(made, 0, Behaviour.REDIRECT)
    )
    assert listing(made, 0, Behaviour.REDIRECT)[-1].endswith("(<where the callback sent it>)")
    assert listing(made, 0, Behaviour.OVERRIDE)[-1].endswith("(<the caller>)")
    direct = f"-- direct trampoline, goes back through t0={int(BODY[0]):#x}"
    assert direct in listing(made, 0, Behaviour.DIRECT)


def test_a_disabled_site() -> None:
    assert len(listing(trial(enabled=False))) == 3


@pytest.mark.parametrize(
    ("edit", "end"),
    [
        ("ld a1, 0(zero)", "load from memory that is not readable"),
        (".word 0xffffffff", "illegal instruction"),
        ("x:\n    jal zero, x", ""),
    ],
)
def test_it_does_not_arrive(edit: str, end: str) -> None:
    lines = listing(trial(("addi a1, ra, 0", edit)))
    assert not lines[-1].startswith("arrives")
    assert end in lines[-1]
    assert len(lines) <= 500


@pytest.mark.parametrize("frame", ["addi a3, zero, 0", "addi a3, sp, 2040\n    addi a3, a3, 16", "addi a3, zero, -8"])
@pytest.mark.parametrize("behaviour", Behaviour)
def test_a_frame_that_is_none(frame: str, behaviour: Behaviour) -> None:
    assert listing(trial(("addi a3, sp, 0", frame)), 0, behaviour)


def test_the_lanes_are_left_alone() -> None:
    made = trial()
    before = made.patcher.memory.read(None, FUNC - np.uint64(8), 16).tolist()
    listing(made)
    assert made.patcher.memory.read(None, FUNC - np.uint64(8), 16).tolist() == before
