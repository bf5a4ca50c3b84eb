# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps over programs that are detached: their places, and what is to happen then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genpatch.verify.bpf.cases import Case, Flag, case_of
from genpatch.verify.bpf.detours import find_skips, leave_out, stops, way_out, whole
from genpatch.verify.bpf.jit import Built, Trampolines
from genpatch.verify.bpf.run import stage_of, verify_bpf
from genpatch.verify.run import Journey

from .toys import sound_image

_EXIT = Flag.CALL_ORIG | Flag.SKIP_FRAME


def made(*cases: Case) -> tuple[Journey, Trampolines, Built]:
    stage, _ = stage_of(sound_image())
    journey, trampolines = stage.trampolines(cases)
    return journey, trampolines, trampolines.build()


def some_cases() -> list[Case]:
    programs = stage_of(sound_image())[0].programs
    return [
        case_of(_EXIT, programs, (1, 0, 2)), case_of(_EXIT, programs, (0, 1, 1)),
        case_of(Flag.RESTORE_REGS, programs, (1, 0, 0)), replace(case_of(_EXIT, programs, (0, 1, 1)), stops=0),
    ]  # fmt: skip


def test_only_trampolines_that_call_the_function_have_a_way_out() -> None:
    cases = some_cases()
    _, trampolines, built = made(*cases)
    im = stage_of(sound_image())[0].interface.im
    detour, breaches = way_out(trampolines, built, im)
    assert not breaches
    assert detour is not None
    assert detour.lanes.tolist() == [0, 1, 3]  # the third calls nothing
    assert (detour.end > detour.start).all()
    assert detour.amid.tolist() == [True, True, False]  # in the fourth no function runs that it lies behind
    assert [case.fexit for case in detour.cases] == [(), (), cases[3].fexit]
    assert [case.fexit for case in whole(cases, detour)] == [(), (), (), cases[3].fexit]
    assert detour.some_of(np.array([False, True, True])).lanes.tolist() == [1, 3]


def test_an_error_that_is_not_returned_stops_nothing() -> None:
    case = some_cases()[3]
    assert stops(case)
    assert not stops(replace(case, skipped=frozenset({case.fmod[0].number})))
    assert not stops(replace(case, stops=-1))


def test_a_structure_without_the_members_has_no_detours() -> None:
    cases = some_cases()
    _, trampolines, built = made(*cases)
    im = stage_of(sound_image())[0].interface.im
    bare = replace(im, members=tuple(each for each in im.members if each.name not in ("ip_after_call", "skips")))
    assert way_out(trampolines, built, bare) == (None, [])
    assert find_skips(trampolines, built, bare, None) == (None, [])


def test_one_program_is_left_out() -> None:
    case = some_cases()[0]
    assert leave_out(case, 0) == replace(case, fentry=())
    assert leave_out(case, 1) == replace(case, fexit=case.fexit[1:])
    assert leave_out(case, 2) == replace(case, fexit=case.fexit[:1])
    assert leave_out(case, 3) == case


def test_an_fmod_ret_program_that_is_left_out_stops_nothing() -> None:
    case = replace(some_cases()[3], stops=0)
    assert leave_out(case, 0) == replace(case, fmod=(), stops=-1)
    assert leave_out(case, 1) == replace(case, fexit=())


def test_an_fmod_ret_program_stops_by_its_position_whoever_is_left_out() -> None:
    programs = stage_of(sound_image())[0].programs
    case = replace(case_of(_EXIT, programs, (0, 2, 0)), stops=1)
    shorter = leave_out(case, 0)
    assert (shorter.fmod, shorter.stops) == (case.fmod[1:], 1)
    assert stops(shorter)


def test_they_are_part_of_the_whole() -> None:
    result = verify_bpf(sound_image())
    assert not result.failures
    assert 0 < result.detached < result.made
