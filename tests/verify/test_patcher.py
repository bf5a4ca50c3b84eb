# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of one function in many lanes: arguments, what they return, what they store through the fixmap."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.audit.cases import DATA, SITES_AT
from genpatch.audit.live import LIVE, patching
from genpatch.run.kernel import RETURN, global_pointer, second_global_pointer
from genpatch.verify.patcher import Patcher
from genpatch.verify.run import Verification, verify
from genpatch.verify.scene import prepare_scene

from .toys import call_ops

IP = np.array([SITES_AT + 0x14, SITES_AT + 0x34, SITES_AT + 0x54], np.uint64)
FUNC = IP - np.uint64(4)


def patcher(verification: Verification | None = None) -> Patcher:
    found = verification if verification is not None else call_ops()
    return Patcher(prepare_scene(found.image), IP, found.layouts)


def test_a_record_for_each_lane() -> None:
    made = patcher()
    assert made.memory.read_u64(None, made.record).tolist() == IP.tolist()
    assert made.record != made.ops


def test_init_nop() -> None:
    made = patcher()
    call = made.call("ftrace_init_nop", {0: 0, 1: made.record})
    assert (call.returned.tolist(), call.value.tolist()) == ([True] * 3, [0] * 3)
    assert call.insns > 0
    stores = [event for event in call.events if event.kind == "store"]
    assert [event.width for event in stores] == [8, 8]
    assert stores[0].targets.tolist() == (FUNC - np.uint64(8)).tolist()
    assert stores[0].values.tolist() == [DATA + 0x100] * 3
    assert stores[1].targets.tolist() == FUNC.tolist()
    assert made.memory.read(None, FUNC, 8)[:, 4:].tolist() == [[0x13, 0, 0, 0]] * 3


def test_some_lanes_only() -> None:
    made = patcher()
    before = made.memory.read(None, FUNC, 8).tolist()
    call = made.call("ftrace_init_nop", {0: 0, 1: made.record}, np.array([1]))
    after = made.memory.read(None, FUNC, 8).tolist()
    assert call.lanes.tolist() == [1]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]


def test_arguments_of_each_lane() -> None:
    made = patcher()
    call = made.call("ftrace_call_adjust", {0: np.array([1, 2, 100], np.uint64)})
    assert call.value.tolist() == [13, 14, 112]


def test_what_a_c_int_is() -> None:
    made = patcher()
    call = made.call("ftrace_call_adjust", {0: np.array([0, 0xFFFF_FFFF_FFFF_FFF3, 0xF_FFFF_FFF3], np.uint64)})
    assert call.value.tolist() == [12, -1, -1]


def test_one_that_does_not_return() -> None:
    loop = ("addi a0, a0, 12\n jalr zero, 0(ra)", "x:\n addi a0, a0, 1\n jal zero, x")
    made = patcher(call_ops("ftrace_call_adjust", loop))
    assert made.call("ftrace_call_adjust", {0: 0}).returned.tolist() == [False] * 3


def test_no_such_function() -> None:
    with pytest.raises(ValueError, match="no nothing_at_all"):
        patcher().call("nothing_at_all", {})


def test_unique_ops() -> None:
    made = patcher()
    made.found_ops = np.array([1, 2, 3], np.uint64)
    assert made.call("ftrace_find_unique_ops", {0: made.record}).value.tolist() == [1, 2, 3]


@pytest.mark.parametrize("index", [5, 0, 0x7FFF_FFFF, (1 << 64) - 1])
@pytest.mark.parametrize("protection", [0, 1])
def test_any_fixmap_slot(index: int, protection: int) -> None:
    """Whatever a kernel asks for, it is answered; what was never mapped may be taken away."""
    made = patcher()
    physical = int(IP[0])
    assert made.call("__set_fixmap", {0: index, 1: physical, 2: protection}).returned.all()
    assert made.call("__set_fixmap", {0: index, 1: physical, 2: 0}).returned.all()


def test_a_slot_of_each_lane() -> None:
    made = patcher()
    slots = np.array([5, 6, 7], np.uint64)
    made.call("__set_fixmap", {0: slots, 1: IP, 2: 1})
    top = made.scene.fixmap_top
    assert top is not None
    page = np.uint64(top) - slots * np.uint64(4096) + IP % np.uint64(4096)
    assert (made.memory.read(None, page, 4) == made.memory.read(None, IP, 4)).all()


def test_where_a_call_starts() -> None:
    made = patcher()
    made.call("ftrace_call_adjust", {0: 0})
    assert made.lanes.pc.tolist() == [RETURN] * 3
    assert (made.lanes.x[2] % np.uint64(16) == 0).all()


def test_a_shadow_call_stack_is_the_lanes_own() -> None:
    """What functions push through gp is no store of patching, and gp is what it was behind them."""
    write = LIVE["patch_insn_write"]
    pushing = "sd ra, 0(gp)\n addi gp, gp, 8\n" + write.replace(
        "    ld ra, 40(sp)\n    addi sp, sp, 48\n", "    addi gp, gp, -8\n    ld ra, 0(gp)\n    addi sp, sp, 48\n"
    )
    facts = patching(edit=("patch_insn_write", write, pushing), symbols={"init_shadow_call_stack": DATA + 0x400})
    assert second_global_pointer(facts.image) == global_pointer(facts.image) + 2048
    verification = verify(facts.image)
    assert verification.failures == []
    steps = verification.sequences["ftrace_make_call, func % 8 == 0"]
    assert [step.split(":")[0] for step in steps if "store" in step] == ["store 8 at func-8", "store 4 at func+4"]


def test_without_a_shadow_call_stack_gp_is_the_same_on_every_hart() -> None:
    image = patching().image
    assert second_global_pointer(image) == global_pointer(image)
