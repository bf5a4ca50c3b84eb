# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts between the instructions of trampolines, and how the sample copies them to their place."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.verify.bpf.bench import call_trampolines
from genpatch.verify.bpf.cases import REQUESTED, Case, Flag, case_of
from genpatch.verify.bpf.hosts import find_around, run
from genpatch.verify.bpf.jumps import JumpWriter
from genpatch.verify.bpf.life import Breach, Life
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import stage_of
from genpatch.verify.bpf.spot import copied, interrupted

from .test_trampolines import switch
from .toys import sound_image

_EXIT = Flag.CALL_ORIG | Flag.SKIP_FRAME


def some_cases() -> list[Case]:
    programs = stage_of(sound_image())[0].programs
    return [
        case_of(Flag.RESTORE_REGS, programs, (1, 0, 0)), case_of(_EXIT, programs, (1, 0, 1)),
        case_of(Flag.INDIRECT, programs, (1, 0, 0)), case_of(_EXIT, programs, (2, 0, 0)),
        case_of(Flag.CALL_ORIG, programs, (1, 0, 0)),
    ]  # fmt: skip


def looked_at(mistake: str) -> tuple[list[Breach], list[Breach], list[Breach]]:
    """Return what is broken of some trampolines: run as they are, with interrupts, and when one is copied."""
    stage, cases = stage_of(sound_image())[0], some_cases()
    journey, made = stage.trampolines(cases)
    switch(journey, [mistake] * len(cases))
    built = made.build()
    call_trampolines(journey, stage.places.near, stage.places.far)
    everybody = np.ones(len(cases), np.bool_)
    life = Life(journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, local=True)
    run(life, find_around(journey.patcher), np.arange(len(cases)), everybody)
    amid = list(interrupted(stage, journey, cases, built, everybody, everybody))
    writer = JumpWriter(stage.scene, stage.places.near)
    return life.breaches, amid, list(copied(stage, journey, made, built, writer))


def test_nothing_is_wrong_with_the_sample() -> None:
    assert looked_at("NONE") == ([], [], [])


@pytest.mark.parametrize(
    ("mistake", "promises"),
    # ra and the frame pointer of the caller are lost, at the end or from the beginning on, when an unwinder needs them;
    # and a function that is gone on with, and not called, returns to where it was called from
    [
        ("EARLY_SP", {BpfPromise.LEAVES, BpfPromise.SEQUENCE}),
        ("LATE_SP", {BpfPromise.LEAVES, BpfPromise.SEQUENCE, BpfPromise.STACK}),
    ],
)
def test_what_lies_below_sp_is_lost_to_an_interrupt(mistake: str, promises: set[BpfPromise]) -> None:
    calm, amid, _ = looked_at(mistake)
    assert calm == []
    assert {each.promise for each in amid} == promises
    lanes = {lane for each in amid for lane in each.lanes.tolist()}
    assert lanes == {0, 1, 2}  # one of each combination of flags that is asked for
    assert [case.flags in REQUESTED for case in some_cases()] == [True, True, True, True, False]
    assert all(each.what.endswith(", with an interrupt before each instruction") for each in amid)


def test_a_copy_that_other_harts_are_not_told_of() -> None:
    calm, amid, (breach,) = looked_at("NOT_FLUSHED")
    assert (calm, amid) == ([], [])
    assert (breach.promise, breach.what) == (BpfPromise.MADE, "the copy of a trampoline")
    assert breach.note == "other harts may execute what was there before"
