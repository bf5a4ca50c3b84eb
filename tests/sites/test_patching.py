# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of the kernel's patching code, on routines written for it."""

from __future__ import annotations

import pytest

from genpatch.audit.cases import (
    CALL_OPS_CALLER,
    CALL_OPS_CODE,
    CALL_OPS_MAKE_CALL,
    PAIR_CALLER,
    PAIR_CODE,
    PAIR_MAKE_CALL,
    TEXT,
    Code,
    Fn,
    kernel,
    replaced,
)
from genpatch.schemes import Link
from genpatch.sites.patching import PatchingCode, TextStore

FUNCTION = Fn(name="f")


def code_of(routines: tuple[Code, ...] = CALL_OPS_CODE, **symbols: int) -> PatchingCode:
    return PatchingCode(image=kernel(FUNCTION, code=routines, symbols=symbols).image)


def with_routine(name: str, source: str, base: tuple[Code, ...] = CALL_OPS_CODE) -> PatchingCode:
    return code_of(replaced(base, name, source))


# --- trampolines


def test_the_call_ops_trampoline() -> None:
    caller = code_of().caller
    assert caller is not None
    assert (caller.name, caller.span.start, caller.span.size) == ("ftrace_caller", TEXT, 4 * 40)
    assert caller.link is Link.T0
    assert caller.literal == -16
    assert caller.direct_at == 192
    assert caller.ops_func_at == 0
    assert caller.ip_argument == -4
    assert caller.parent_argument == 1
    assert caller.unbalanced == 0
    assert caller.complete
    frame = caller.frame
    assert frame is not None
    assert (frame.size, frame.base, frame.passes_frame) == (112, 0, 13)
    assert frame.saved == {0: 5, 8: 1, 24: 8, 48: 10, 56: 11, 64: 12, 72: 13, 80: 14, 88: 15, 96: 16, 104: 17, 16: 2}
    assert sorted(frame.stored) == [0, 8, 16, 24, 32, 48, 56, 64, 72, 80, 88, 96, 104]
    assert frame.restored == {
        5: 0, 1: 8, 8: 24, 6: 32, 10: 48, 11: 56, 12: 64, 13: 72, 14: 80, 15: 88, 16: 96, 17: 104
    }  # fmt: skip


def test_what_the_call_ops_trampoline_loses() -> None:
    caller = code_of().caller
    assert caller is not None
    assert caller.lost == {6, 7, 28, 29, 30, 31}


def test_the_pair_trampoline() -> None:
    caller = code_of(PAIR_CODE).caller
    assert caller is not None
    assert (caller.link, caller.literal, caller.direct_at, caller.ops_func_at) == (Link.T0, None, None, None)
    assert (caller.ip_argument, caller.parent_argument, caller.complete) == (-8, 1, True)
    assert caller.frame is not None
    assert caller.frame.size == 112


def test_a_trampoline_that_returns_through_ra() -> None:
    source = """
        addi sp, sp, -16
        sd ra, 8(sp)
        sd a0, 0(sp)
        addi a0, ra, -12
        jal ra, callback
        ld a0, 0(sp)
        ld ra, 8(sp)
        addi sp, sp, 16
        jalr zero, 0(ra)
        callback: jalr zero, 0(ra)
    """
    caller = with_routine("ftrace_caller", source, PAIR_CODE).caller
    assert caller is not None
    assert caller.link is Link.RA
    assert caller.complete
    assert caller.ip_argument is None
    assert 10 not in caller.lost


@pytest.mark.parametrize(
    ("old", "new", "attribute", "value"),
    [
        ("    ld a3, 72(sp)\n", "", "lost", {6, 7, 13, 28, 29, 30, 31}),
        ("addi sp, sp, 112\n    bne", "addi sp, sp, 96\n    bne", "unbalanced", -16),
        ("addi a1, ra, 0", "addi a1, s0, 0", "parent_argument", 8),
        ("addi a1, ra, 0", "addi a1, ra, 4", "parent_argument", None),
        ("addi a0, t0, -4", "addi a0, ra, -4", "ip_argument", None),
        ("ld t1, 192(t1)", "ld t1, 200(t1)", "direct_at", 200),
        ("ld ra, 0(a2)", "ld ra, 24(a2)", "ops_func_at", 24),
    ],
)
def test_a_trampoline_with_one_change(old: str, new: str, attribute: str, value: object) -> None:
    assert old in CALL_OPS_CALLER
    caller = with_routine("ftrace_caller", CALL_OPS_CALLER.replace(old, new, 1)).caller
    assert caller is not None
    assert getattr(caller, attribute) == value


def test_a_literal_that_is_loaded_behind_the_frame_is_no_direct_call() -> None:
    late = CALL_OPS_CALLER.replace("    ld t1, -16(t0)\n    ld t1, 192(t1)\n    bne t1, zero, direct\n", "")
    late = late.replace("    bne t1, zero, direct\n", "").replace("direct:\n    jalr zero, 0(t1)\n", "")
    caller = with_routine("ftrace_caller", late).caller
    assert caller is not None
    assert (caller.literal, caller.direct_at, caller.complete) == (-16, None, True)


def test_no_trampoline() -> None:
    assert code_of(()).caller is None
    assert code_of(()).trampoline("ftrace_regs_caller") is None


def test_a_trampoline_that_cannot_be_read() -> None:
    data = kernel(FUNCTION, code=(), symbols={"ftrace_caller": TEXT + 0x900}).image
    caller = PatchingCode(image=data).caller
    assert caller is not None
    assert (caller.complete, caller.link, caller.frame) == (False, None, None)


def test_labels_inside_a_trampoline_do_not_end_it() -> None:
    base = kernel(FUNCTION, code=CALL_OPS_CODE, symbols={"ftrace_call": TEXT + 0x60}).image
    span = PatchingCode(image=base).span("ftrace_caller")
    assert span is not None
    assert span.end == TEXT + 4 * 40
    sizeless = base.symbols
    sizeless.size[:] = 0
    span = PatchingCode(image=base).span("ftrace_caller")
    assert span is not None
    assert span.end == TEXT + 0x200  # the next function, ftrace_make_call


# --- the adjustment


@pytest.mark.parametrize(
    ("source", "adjust"),
    [
        ("addi a0, a0, 12\n jalr zero, 0(ra)", 12),
        ("jalr zero, 0(ra)", 0),
        ("addi a0, a0, -4\n addi a0, a0, 8\n jalr zero, 0(ra)", 4),
        # with a frame, as -fno-omit-frame-pointer makes it
        (
            "addi sp, sp, -16\n sd ra, 8(sp)\n sd s0, 0(sp)\n addi s0, sp, 16\n addi a0, a0, 12\n ld ra, 8(sp)\n"
            "ld s0, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)",
            12,
        ),
        ("addi sp, sp, -16\n sd a0, 8(sp)\n ld a0, 8(sp)\n addi a0, a0, 4\n addi sp, sp, 16\n jalr zero, 0(ra)", 4),
        ("add a0, a0, a1\n jalr zero, 0(ra)", None),
        ("addi a0, zero, 12\n jalr zero, 0(ra)", None),
        ("beq a0, zero, out\n addi a0, a0, 12\n out: jalr zero, 0(ra)", 12),
        ("beq a1, zero, out\n addi a0, a0, 4\n jalr zero, 0(ra)\n out: addi a0, a0, 8\n jalr zero, 0(ra)", None),
        # 0 is no entry, and stays 0
        ("beq a0, zero, none\n addi a0, a0, 4\n jalr zero, 0(ra)\n none: addi a0, zero, 0\n jalr zero, 0(ra)", 4),
        ("bne a0, zero, some\n addi a0, zero, 0\n jalr zero, 0(ra)\n some: addi a0, a0, 4\n jalr zero, 0(ra)", 4),
        ("beq a1, zero, none\n addi a0, a0, 4\n jalr zero, 0(ra)\n none: addi a0, zero, 0\n jalr zero, 0(ra)", None),
        ("beq a0, zero, none\n addi a0, a0, 4\n jalr zero, 0(ra)\n none: addi a0, zero, 8\n jalr zero, 0(ra)", None),
        ("bne a0, zero, some\n addi a0, a0, 4\n jalr zero, 0(ra)\n some: addi a0, zero, 0\n jalr zero, 0(ra)", None),
        ("addi a0, a0, 12", None),
    ],
)
def test_call_adjust(source: str, adjust: int | None) -> None:
    assert with_routine("ftrace_call_adjust", source).call_adjust == adjust


def test_symaddr() -> None:
    assert code_of().symaddr == -4
    assert code_of(PAIR_CODE).symaddr is None
    assert code_of(PAIR_CODE).call_adjust is None


# --- stores


def test_the_stores_of_call_ops() -> None:
    code = code_of()
    assert code.call_stores == (TextStore(-12, 8, 8, "patch_text_nosync"), TextStore(0, 4, 1, "patch_insn_write"))
    assert code.call_width == 4
    assert code.literal_store == TextStore(-12, 8, 8, "patch_text_nosync")
    assert code.literal_store.address(0x1004) == 0xFF8
    assert code.literal_store.address(0x100C) == 0x1000


def test_the_stores_of_a_pair() -> None:
    code = code_of(PAIR_CODE)
    assert code.call_stores == (TextStore(0, 8, 1, "patch_text_nosync"),)
    assert (code.call_width, code.literal_store) == (8, None)


def test_stores_through_helpers() -> None:
    """ftrace_make_call(rec) calls a helper with rec->ip, which writes."""
    frame = "addi sp, sp, -16\n sd ra, 8(sp)\n"
    back = "ld ra, 8(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
    code = replaced(CALL_OPS_CODE, "__ftrace_modify_call", f"{frame} addi a2, zero, 8\n jal ra, patch_text\n {back}")
    code = (*code, Code(name="patch_text", source="jalr zero, 0(ra)", at=TEXT + 0x900))
    code = replaced(code, "ftrace_make_call", f"{frame} ld a0, 0(a0)\n jal ra, __ftrace_modify_call\n {back}")
    assert code_of(code).call_stores == (TextStore(0, 8, 1, "patch_text"),)


def test_a_width_that_is_not_constant() -> None:
    source = CALL_OPS_MAKE_CALL.replace("addi a2, zero, 4", "addi a2, a1, 4")
    code = with_routine("ftrace_make_call", source)
    assert code.call_stores[1] == TextStore(0, None, 1, "patch_insn_write")
    assert code.call_width is None


def test_two_widths() -> None:
    twice = PAIR_MAKE_CALL.replace(
        "    ld ra, 24(sp)\n",
        "    ld a0, 8(sp)\n    ld ra, 24(sp)\n",
    ).replace("sd ra, 24(sp)", "sd ra, 24(sp)\n    sd a0, 8(sp)")
    twice = twice.replace(
        "    ld a0, 8(sp)\n",
        "    ld a0, 8(sp)\n    ld a0, 0(a0)\n    addi a2, zero, 4\n    jal ra, patch_insn_write\n",
    )
    code = with_routine("ftrace_make_call", twice, PAIR_CODE)
    assert [store.width for store in code.call_stores] == [8, 4]
    assert code.call_width is None


def test_writes_elsewhere_are_no_stores() -> None:
    source = PAIR_MAKE_CALL.replace("ld a0, 0(a0)", "ld a0, 8(a0)")
    assert with_routine("ftrace_make_call", source, PAIR_CODE).call_stores == ()


def test_no_stores() -> None:
    assert code_of(()).call_stores == ()
    assert code_of(()).call_width is None
    assert code_of().stores("ftrace_make_nop") == ()


# --- how it is done


def updates(call: str) -> str:
    return f"addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, {call}\n ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (updates("stop_machine"), True),
        (updates("ftrace_modify_all_code"), False),
        (updates("flush_icache_all"), None),
        ("jal zero, ftrace_modify_all_code", False),
        ("jalr zero, 0(ra)", None),
    ],
)
def test_stops_machine(source: str, answer: bool | None) -> None:
    assert with_routine("arch_ftrace_update_code", source).stops_machine is answer


def test_stops_machine_is_not_known() -> None:
    assert code_of(()).stops_machine is None
    assert code_of(PAIR_CODE).stops_machine is True
    assert code_of().stops_machine is False


_IN, _OUT = "addi sp, sp, -16\n sd ra, 0(sp)\n", "out: ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (f"{_IN} jal ra, sort\n {_OUT}", True),
        (f"{_IN} beq a0, zero, out\n jal ra, sort\n {_OUT}", False),
        (f"{_IN} addi s0, a0, 0\n beq zero, s0, out\n jal ra, sort\n {_OUT}", False),
        (f"{_IN} beq a1, zero, out\n jal ra, sort\n {_OUT}", True),
        (f"{_IN} {_OUT}", False),
        (f"{_IN} addi a0, a0, 1", None),
    ],
)
def test_sorts_own_table(source: str, answer: bool | None) -> None:
    routines = (
        *CALL_OPS_CODE,
        Code(name="sort", source="jalr zero, 0(ra)", at=TEXT + 0x900),
        Code(name="ftrace_process_locs", source=source, at=TEXT + 0xA00),
    )
    assert code_of(routines).sorts_own_table is answer


def test_a_kernel_without_sort() -> None:
    assert with_routine("ftrace_process_locs", f"{_IN} {_OUT}").sorts_own_table is None
    assert code_of().sorts_own_table is None


@pytest.mark.parametrize(
    ("compare", "limit"),
    [
        ("bgeu a2, a4, near", 2047),
        ("bltu a2, a4, near", 2047),
        ("bgeu a4, a2, near", 2046),
        ("bltu a4, a2, near", 2046),
        ("beq a2, a4, near", None),
        ("bge a2, a4, near", None),
    ],
)
def test_direct_guard(compare: str, limit: int | None) -> None:
    guard = f"auipc a5, 0\n sub a4, a5, a1\n addi a2, zero, 2047\n {compare}\n near: addi a0, a0, 0\n"
    assert with_routine("ftrace_make_call", guard + CALL_OPS_MAKE_CALL).direct_guard == limit


@pytest.mark.parametrize(("number", "limit"), [(15, None), (16, 16), (0x400, 0x400)])
def test_a_direct_guard_is_no_small_number(number: int, limit: int | None) -> None:
    guard = f"addi a2, zero, {number}\n bgeu a2, a4, near\n near: addi a0, a0, 0\n"
    assert with_routine("ftrace_make_call", guard + CALL_OPS_MAKE_CALL).direct_guard == limit


def test_no_direct_guard() -> None:
    assert code_of().direct_guard is None
    assert code_of(()).direct_guard is None


def test_spans() -> None:
    code = code_of()
    span = code.span("ftrace_call_adjust")
    assert span is not None
    assert (span.start, span.size) == (TEXT + 0x300, 8)
    assert code.span("nothing") is None
    assert code.routine("nothing") is None
    assert PAIR_CALLER != CALL_OPS_CALLER
