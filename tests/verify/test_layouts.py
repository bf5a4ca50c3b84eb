# SPDX-License-Identifier: GPL-2.0-or-later
"""Where fields are: from types, or assumed and said to be."""

from __future__ import annotations

from dataclasses import replace

from genpatch.audit.cases import FREGS, OPS, ToyTypes, layout_of
from genpatch.audit.live import RECORD
from genpatch.schemes import Link
from genpatch.sites.patching import Frame, Trampoline
from genpatch.units import Span
from genpatch.verify.layouts import Layouts, OpsLayout, layouts_of, slots_of

from .toys import call_ops


def layouts(*structs: object, **more: object) -> Layouts:
    types = ToyTypes(*structs) if structs else None  # type: ignore[arg-type]
    return layouts_of(replace(call_ops().image, types=types), **more)  # type: ignore[arg-type]


def test_from_types() -> None:
    found = layouts(FREGS, OPS, RECORD)
    assert (found.record_ip, found.record_flags, found.record_size) == (0, 8, 16)
    assert found.ops == OpsLayout(size=200, func=0, flags=16, direct_call=192)
    assert (found.regs["epc"], found.regs["a7"], found.regs_name) == (0, 104, "__arch_ftrace_regs")
    assert found.notes == ()


def test_a_record_of_another_order() -> None:
    found = layouts(FREGS, OPS, layout_of("dyn_ftrace", 32, flags=0, ip=16))
    assert (found.record_ip, found.record_flags, found.record_size) == (16, 0, 32)


def test_without_types() -> None:
    found = layouts()
    assert (found.record_ip, found.record_flags, found.regs) == (0, 8, {})
    assert found.ops.direct_call is None
    assert [note.split(":")[0] for note in found.notes] == [
        "struct dyn_ftrace", "struct ftrace_regs", "struct ftrace_ops",
    ]  # fmt: skip


def test_without_types_the_trampoline_tells() -> None:
    found = layouts(direct_at=192, func_at=8)
    assert (found.ops.func, found.ops.direct_call) == (8, 192)
    assert found.ops.size >= 200
    assert "as the trampoline loads them" in found.notes[-1]


CALLER = Trampoline(
    name="ftrace_caller", span=Span(0, 8), link=Link.T0, literals=(-16,), passes_ops=True, direct_at=None,
    ops_func_at=0, ip_argument=-4, parent_argument=1, lost=frozenset(), unbalanced=0, complete=True,
    frame=Frame(
        size=48, base=0, saved={0: 5, 8: 1, 16: 2, 32: 10, 40: 11},
        stored=dict.fromkeys((0, 8, 16, 24, 32, 40), 8), restored={5: 0, 1: 8, 6: 24, 10: 32, 11: 32}, passes_frame=13,
    ),
)  # fmt: skip
"""Keeps t0, ra, sp, a0 and a1, of which it restores a1 from elsewhere, and looks for a direct call at 24."""


def test_the_slots_of_a_trampoline() -> None:
    assert slots_of(CALLER) == {"epc": 0, "ra": 8, "sp": 16, "t1": 24, "a0": 32}


def test_slots_that_are_not_known() -> None:
    frame = CALLER.frame
    assert frame is not None
    assert slots_of(None) == {}
    assert slots_of(replace(CALLER, complete=False)) == {}
    assert slots_of(replace(CALLER, link=Link.RA)) == {}
    assert slots_of(replace(CALLER, frame=None)) == {}
    assert slots_of(replace(CALLER, frame=replace(frame, passes_frame=None))) == {}
    assert slots_of(replace(CALLER, frame=replace(frame, restored={1: 8}))) == {}


def test_a_t1_that_is_only_kept_is_no_direct_call() -> None:
    frame = CALLER.frame
    assert frame is not None
    kept = replace(frame, saved={**frame.saved, 24: 6})
    assert slots_of(replace(CALLER, frame=kept))["t1"] == 24
    assert "t1" not in slots_of(replace(CALLER, frame=replace(frame, restored={**frame.restored, 6: 64})))


def test_types_win_over_slots() -> None:
    assert layouts(FREGS, OPS, RECORD, slots={"epc": 8}).regs["epc"] == 0
    found = layouts(slots={"epc": 8})
    assert found.regs == {"epc": 8}
    assert "what C reads there is not known" in found.notes[1]


def test_ops_without_a_direct_call() -> None:
    assert layouts(FREGS, layout_of("ftrace_ops", 64, func=0, flags=16), RECORD).ops.direct_call is None


def test_the_newest_name_of_the_frame_wins() -> None:
    pt_regs = layout_of("pt_regs", 288, epc=0, ra=8)
    old = layout_of("ftrace_regs", 288, epc=8, ra=0)
    assert layouts(pt_regs, old, OPS, RECORD).regs_name == "ftrace_regs"
    assert layouts(pt_regs, old, FREGS, OPS, RECORD).regs_name == "__arch_ftrace_regs"
    assert layouts(pt_regs, OPS, RECORD).regs == {"epc": 0, "ra": 8}


def test_an_opaque_structure_does_not_count() -> None:
    opaque, pt_regs = layout_of("ftrace_regs", 0), layout_of("pt_regs", 288, epc=0, ra=8)
    assert layouts(opaque, pt_regs, OPS, RECORD).regs_name == "pt_regs"
