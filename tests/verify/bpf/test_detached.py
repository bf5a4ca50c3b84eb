# SPDX-License-Identifier: GPL-2.0-or-later
"""Jumps over detached programs: written by the kernel's function, or in its place by one of two instructions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from capstone import CS_ARCH_RISCV, CS_MODE_RISCV64, Cs

from genpatch.isa.assemble import assemble
from genpatch.verify.bpf.bench import call_trampolines
from genpatch.verify.bpf.cases import Case, Flag, case_of
from genpatch.verify.bpf.detached import Detachment
from genpatch.verify.bpf.detours import Detour
from genpatch.verify.bpf.jumps import JumpWriter, Written, jump_word
from genpatch.verify.bpf.life import Breach
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import stage_of
from genpatch.verify.patcher import Patcher

from .test_trampolines import switch
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


class TwoWords(JumpWriter):
    """Writes auipc and jalr over two nops, and refuses what is not two nops, as 6.12 does."""

    def write(self, patcher: Patcher, detour: Detour) -> tuple[Written, list[Breach]]:
        before = patcher.memory.read(detour.lanes, detour.start, 24)
        after, nops = before.copy(), np.frombuffer(assemble("nop; nop", 0), np.uint8)
        for row, start, end in zip(after, detour.start.tolist(), detour.end.tolist(), strict=True):
            text = "1: auipc t1, %pcrel_hi(end); jalr zero, %pcrel_lo(1b)(t1)"
            row[:8] = np.frombuffer(assemble(text, start, symbols={"end": end}), np.uint8)
        failed = (before[:, :8] != nops).any(axis=1)
        zeros = np.zeros(int(failed.sum()), np.uint64)
        told = [Breach(BpfPromise.MADE, detour.what, detour.lanes[failed], zeros, zeros, "it returns -14")]
        return self._kept(patcher.memory, detour, before, after, failed), told if failed.any() else []


def some_cases() -> list[Case]:
    """Two that come to the jump; one that calls nothing; one whose first fmod_ret program returns an error."""
    programs = stage_of(sound_image())[0].programs
    return [
        case_of(_EXIT, programs, (1, 0, 2)), case_of(_EXIT, programs, (0, 1, 1)),
        case_of(Flag.RESTORE_REGS, programs, (1, 0, 0)), replace(case_of(_EXIT, programs, (0, 2, 1)), stops=0),
    ]  # fmt: skip


def detached(
    mistake: str = "NONE", writer: type[JumpWriter] = JumpWriter, *, preempts: bool = True
) -> tuple[Detachment, dict[str, set[int]]]:
    """Detach the programs of some trampolines; return which breaches were found in which lanes."""
    stage, cases = stage_of(sound_image())[0], some_cases()
    journey, made = stage.trampolines(cases)
    switch(journey, [mistake] * len(cases))
    built = made.build()
    before = [made.words(lane, int(built.size[lane])) for lane in range(len(cases))]
    call_trampolines(journey, stage.places.near, stage.places.far)
    everybody = np.ones(len(cases), np.bool_)
    what = Detachment(stage)
    what.writer, what.preempts = writer(stage.scene, stage.places.near), preempts
    found: dict[str, set[int]] = {}
    for breach in what.breaches(journey, made, built, everybody, everybody):
        found.setdefault(breach.what, set()).update(breach.lanes.tolist())
    assert [made.words(lane, int(built.size[lane])) for lane in range(len(cases))] == before
    return what, found


def test_the_kernels_own_function_writes_the_jumps() -> None:
    what, found = detached()
    assert found == {}
    assert what.ran == 3
    assert what.notes == []
    # the two that come to the jump enter no fexit program: 2 and 1 fewer than before, and the third as before
    assert what.insns > 0


def test_a_jump_of_two_instructions_in_a_kernel_that_preempts_nobody() -> None:
    what, found = detached(writer=TwoWords, preempts=False)
    assert (what.ran, found) == (3, {})


def test_a_jump_of_two_instructions_is_torn_where_tasks_are_preempted() -> None:
    what, found = detached(writer=TwoWords)
    (told,) = found
    assert "while a task is preempted 4 bytes behind where the jump begins" in told
    assert found[told] == {0, 1}  # the last never comes there
    assert what.ran == 3 + 2


def test_the_second_nop_is_no_place_for_two_instructions() -> None:
    """As a bug of 6.12 that was missed before: the kernel refuses to write it, and programs that are freed are run."""
    assert detached("WAY_OUT_LATE")[1] == {}  # one instruction has room there
    assert detached("WAY_OUT_LATE", TwoWords, preempts=False)[1] == {
        "the jump over programs behind the traced function": {0, 1, 3}
    }


def test_an_error_that_leads_into_the_jump() -> None:
    """As a bug of 6.12 that was missed before: a task comes to the second instruction, with another t1."""
    assert detached("ERROR_EARLY")[1] == {}  # the second nop stays one
    _, found = detached("ERROR_EARLY", TwoWords, preempts=False)
    assert [(what.split(",")[0], lanes) for what, lanes in found.items()] == [("the trampoline", {3})]


def test_without_the_kernels_function_the_host_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genpatch.verify.bpf.jumps.find_poke_interface", lambda types: None)
    what, found = detached()
    assert (what.ran, found) == (3, {})
    assert what.notes == ["bpf: no bpf_arch_text_poke that is understood: the host writes jumps over detached programs"]


def test_a_task_in_the_function_comes_back_to_the_jump() -> None:
    """What is written before the function is called, or while it runs: lanes 0 and 1 are amid it."""
    stage, cases = stage_of(sound_image())[0], some_cases()
    journey, made = stage.trampolines(cases)
    built = made.build()
    detour = Detour("a jump", False, np.array([0]), built.start[:1], built.start[:1] + np.uint64(8), cases[:1],
                    np.array([True]))  # fmt: skip
    writer = JumpWriter(stage.scene, stage.places.near)
    written, (breach,) = writer.write(journey.patcher, detour)  # a trampoline does not begin with a nop
    assert (breach.promise, breach.note) == (BpfPromise.MADE, "bpf_arch_text_poke returns -14 and writes nothing")
    assert not len(written.detour.lanes)
