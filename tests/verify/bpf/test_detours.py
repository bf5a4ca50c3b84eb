# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps over programs that are detached: their words, their places, and what runs then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from capstone import CS_ARCH_RISCV, CS_MODE_RISCV64, Cs

from genpatch.verify.bpf.bench import call_trampolines
from genpatch.verify.bpf.cases import Case, Flag, case_of
from genpatch.verify.bpf.detours import find_skips, jump_word, leave_out, some_of, way_out, whole, write_jumps
from genpatch.verify.bpf.hosts import find_around, run
from genpatch.verify.bpf.jit import Built, Trampolines
from genpatch.verify.bpf.life import Life
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import stage_of, verify_bpf
from genpatch.verify.run import Journey

from .toys import sound_image

_EXIT = Flag.CALL_ORIG | Flag.SKIP_FRAME


@pytest.mark.parametrize("distance", [0, 4, 8, 0x7FE, 0x800, 0x1000, 0x7_F802, 0xF_FFFE, -4, -0x800, -0x10_0000])
def test_the_word_of_a_jump(distance: int) -> None:
    word = int(jump_word(np.array([distance], np.int64))[0])
    (insn,) = Cs(CS_ARCH_RISCV, CS_MODE_RISCV64).disasm(word.to_bytes(4, "little"), 0)
    # capstone prints a jump without a link as j, its distance in hex from 10 on
    assert insn.mnemonic == "j"
    assert int(insn.op_str, 0) == distance


def test_a_jump_by_hand() -> None:
    assert jump_word(np.array([8], np.int64)).tolist() == [0x0080006F]  # j .+8


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
    lanes, start, end, changed = detour
    assert lanes.tolist() == [0, 1]  # the third calls nothing; in the fourth no function runs that it lies behind
    assert (end > start).all()
    assert [len(case.fexit) for case in changed] == [0, 0]
    assert [case.fexit for case in whole(cases, detour)] == [(), (), (), cases[3].fexit]
    assert some_of(detour, np.array([False, True, True, True]))[0].tolist() == [1]


def test_programs_behind_the_function_are_left_out() -> None:
    cases = some_cases()
    journey, trampolines, built = made(*cases)
    stage = stage_of(sound_image())[0]
    call_trampolines(journey, stage.places.near, stage.places.far)
    detour, _ = way_out(trampolines, built, stage.interface.im)
    assert detour is not None
    write_jumps(trampolines, detour)
    by_site = np.ones(len(cases), np.bool_)

    def broken(asked: list[Case]) -> set[BpfPromise]:
        life = Life(journey.patcher, stage.interface, stage.programs, stage.traced, asked, built, local=False)
        run(life, find_around(journey.patcher), detour[0], by_site)
        return {each.promise for each in life.breaches}

    assert broken(whole(cases, detour)) == set()
    assert broken(cases) == {BpfPromise.SEQUENCE}  # the programs are expected, and do not come


def test_a_structure_without_the_members_has_no_detours() -> None:
    cases = some_cases()
    _, trampolines, built = made(*cases)
    im = stage_of(sound_image())[0].interface.im
    bare = replace(im, members=tuple(each for each in im.members if each.name not in ("ip_after_call", "skips")))
    assert way_out(trampolines, built, bare) == (None, [])
    assert find_skips(trampolines, built, bare, None) == (None, [])


def test_the_last_program_is_left_out() -> None:
    case = some_cases()[0]
    last = leave_out(case, case.fexit[1].at)
    assert (last.fentry, last.fexit) == (case.fentry, case.fexit[:1])
    assert leave_out(last, case.fexit[0].at).fexit == ()
    assert leave_out(case, 0) == case


def test_an_fmod_ret_program_that_is_left_out_stops_nothing() -> None:
    case = some_cases()[3]
    assert leave_out(case, case.fmod[0].at).stops == -1


def test_they_are_part_of_the_whole() -> None:
    result = verify_bpf(sound_image())
    assert not result.failures
    assert 0 < result.detached < result.made
