# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of sites: what the host's callback notes, spoils and asks for."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.audit.cases import SITES_AT
from genpatch.machine.outcome import Status
from genpatch.verify.patcher import Patcher
from genpatch.verify.scene import prepare_scene
from genpatch.verify.trial import CALLER_SAVED, Behaviour, Trial, arrived, first_values

from .toys import Edit, call_ops

FUNC = np.array([SITES_AT + 0x10, SITES_AT + 0x30, SITES_AT + 0x50], np.uint64)
IP, BODY = FUNC + np.uint64(4), FUNC + np.uint64(8)


def trial(*edits: Edit, enabled: bool = True) -> Trial:
    verification = call_ops("ftrace_caller", *edits) if edits else call_ops()
    scene = prepare_scene(verification.image)
    patcher = Patcher(scene, IP, verification.layouts)
    patcher.call("ftrace_init_nop", {0: 0, 1: patcher.record})
    listed = verification.image.address_of("ftrace_ops_list_func")
    assert listed is not None
    if enabled:
        assert patcher.call("ftrace_make_call", {0: patcher.record, 1: 0}).returned.all()
    hook = verification.image.address_of("return_to_handler") or 0
    return Trial(patcher, FUNC, BODY, frozenset({scene.callback, listed}), hook)


def test_first_values() -> None:
    values = first_values(1000)
    assert not values[[0, 2, 3, 4]].any()
    others = np.delete(values, [0, 2, 3, 4], axis=0)
    assert len(np.unique(others)) == others.size
    assert (others >> np.uint64(48) == 0x5EED).all()


def test_caller_saved() -> None:
    """RISC-V psABI: t0-t6 and a0-a7."""
    assert set(CALLER_SAVED) == {5, 6, 7, 28, 29, 30, 31, *range(10, 18)}


def test_a_disabled_site() -> None:
    seen = trial(enabled=False).run()
    assert seen.calls.tolist() == [0] * 3
    assert seen.pc.tolist() == BODY.tolist()
    assert (seen.status == Status.STOPPED).all()
    assert seen.insns.tolist() == [2] * 3
    changed = {number for number in range(32) if (seen.first[number] != seen.last[number]).any()}
    assert changed == {5}


def test_an_enabled_site() -> None:
    made = trial()
    seen = made.run()
    assert arrived(seen, BODY).all()
    assert (seen.calls.tolist(), seen.direct.tolist()) == ([1] * 3, [0] * 3)
    assert seen.arguments[0].tolist() == IP.tolist()
    assert seen.arguments[1].tolist() == [made.patcher.scene.parent] * 3
    assert seen.has_frame.all()
    assert seen.frame is not None
    assert seen.frame.shape == (3, 112)
    assert seen.frame[:, 48:56].tobytes() == seen.first[10].astype("<u8").tobytes()
    assert not seen.poison.any()


def test_some_sites() -> None:
    seen = trial().run(np.array([2]))
    assert (seen.lanes.tolist(), seen.pc.tolist(), seen.calls.tolist()) == ([2], [int(BODY[2])], [1])
    assert seen.first.shape == (32, 1)


def test_a_run_does_not_know_of_the_one_before() -> None:
    made = trial()
    first, second = made.run(), made.run()
    assert second.calls.tolist() == [1] * 3
    assert first.insns.tolist() == second.insns.tolist()


@pytest.mark.parametrize(("behaviour", "where"), [(Behaviour.REDIRECT, "elsewhere"), (Behaviour.OVERRIDE, "parent")])
def test_where_the_callback_sends_it(behaviour: Behaviour, where: str) -> None:
    made = trial()
    seen = made.run(behaviour=behaviour)
    assert seen.pc.tolist() == [getattr(made.patcher.scene, where)] * 3
    assert arrived(seen, getattr(made.patcher.scene, where)).all()


def test_a_direct_call_from_the_frame() -> None:
    made = trial()
    seen = made.run(behaviour=Behaviour.DIRECT)
    assert (seen.calls.tolist(), seen.direct.tolist()) == ([1] * 3, [1] * 3)
    assert seen.direct_registers[5].tolist() == BODY.tolist()
    assert arrived(seen, BODY).all()


def test_a_replaced_return_address() -> None:
    made = trial()
    assert made.run(behaviour=Behaviour.GRAPH).last[1].tolist() == [made.return_hook] * 3


def test_what_the_callback_spoils() -> None:
    """A trampoline that relies on the stack below its own sp reads junk there, not what it wrote."""
    below = (("    sd a5, 88(sp)\n", "    sd a5, -8(sp)\n"), ("    ld a5, 88(sp)\n", "    ld a5, -8(sp)\n"))
    assert trial(*below).run().last[15].tolist() == [0xDEAD_0000_0000_0001] * 3


def test_unwritten_stack_is_noticed() -> None:
    seen = trial(("    sd a5, 88(sp)\n", "")).run()
    assert seen.poison.all()
    assert (seen.last[15] == 0xA5A5_A5A5_A5A5_A5A5).all()


@pytest.mark.parametrize(
    "frame", ["addi a3, zero, 0", "addi a3, zero, -1", "addi a3, sp, 2040\n    addi a3, a3, 16", "lui a3, 0x80000"]
)
@pytest.mark.parametrize("behaviour", Behaviour)
def test_a_frame_that_is_none(frame: str, behaviour: Behaviour) -> None:
    seen = trial(("addi a3, sp, 0", frame)).run(behaviour=behaviour)
    assert not seen.has_frame.any()
    assert seen.calls.tolist() == [1] * 3


@pytest.mark.parametrize("edit", ["addi sp, zero, 0", "addi sp, zero, 8", "lui sp, 0x80000", "addi sp, zero, -1"])
def test_a_stack_pointer_that_is_none(edit: str) -> None:
    """The callback has no stack to spoil then, and the run goes on to whatever end."""
    seen = trial(("addi a3, sp, 0", f"addi a3, sp, 0\n    {edit}")).run()
    assert seen.calls.tolist() == [1] * 3
    assert not arrived(seen, BODY).any()
