# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel whose code looks into KASAN's shadow before it loads and stores."""

from __future__ import annotations

import pytest

from genpatch.audit.live import LIVE, patching
from genpatch.image.model import KernelImage
from genpatch.run.kernel import KernelBench
from genpatch.units import Span
from genpatch.verify.run import verify

OFFSET = 0xDFFF_FFFF_0000_0000
"""KASAN_SHADOW_OFFSET of 64-bit kernels, arch/riscv/Kconfig."""
LOOK = """
    srli a5, {register}, 3
    lui a7, 0xe0000
    addiw a7, a7, -1
    slli a7, a7, 32
    add a5, a5, a7
    lb a5, 0(a5)
"""
"""What inline instrumentation does before it accesses what a register points to."""
CHECK = "addi sp, sp, -16\n sd ra, 8(sp)\n" + LOOK.format(register="a0") + "ld ra, 8(sp)\n addi sp, sp, 16\n jr ra"
TEXT_END, HOST = (1 << 64) - 1, 0xFFFF_AF80_0000_0000


def instrumented(check: str = "__asan_load1", mark: str = "kasan_early_shadow_page", also: str = "") -> KernelImage:
    """The toy kernel with checks before the loads and stores of its copy routine."""
    write = LIVE["patch_insn_write"]
    for old in ("    ld a4, 0(a1)\n", "    lw a4, 0(a1)\n"):
        write = write.replace(
            old, LOOK.format(register="a1") + LOOK.format(register="a3") + "bne a5, zero, done\n" + old
        )
    edit = ("patch_insn_write", LIVE["patch_insn_write"], also + write)
    return patching(edit=edit, routines={check: CHECK, mark: "jr ra"}).image


def shadow_of(address: int) -> int:
    return ((address >> 3) + OFFSET) & TEXT_END


@pytest.mark.parametrize("check", ["__asan_load1", "__asan_load1_noabort", "__kasan_check_byte"])
def test_the_shadow_is_found_and_zero(check: str) -> None:
    bench = KernelBench(instrumented(check))
    assert bench.shadow_spans == [
        Span(shadow_of(HOST), shadow_of(HOST) + (1 << 29)),
        Span(shadow_of(0xFFFF_FFFF_0000_0000), shadow_of(0xFFFF_FFFF_0000_0000) + (1 << 29)),
    ]
    for address in (bench.stack.start, bench.scratch.end - 1, bench.image.address_of("ftrace_caller") or 0, TEXT_END):
        assert bench.memory.read(shadow_of(address), 1) == b"\0"


def test_a_kernel_without_kasan_has_none() -> None:
    assert KernelBench(instrumented(mark="something_else")).shadow_spans == []


def test_a_shadow_that_is_not_found_is_none() -> None:
    assert KernelBench(instrumented(check="something_else")).shadow_spans == []


def test_instrumented_code_is_run() -> None:
    verification = verify(instrumented())
    assert verification.failures == []
    assert {state.name for state in verification.states if not state.skipped} >= {"boot", "enabled", "direct"}


def test_what_code_writes_to_the_shadow_is_not_of_its_patching() -> None:
    """The toy marks its frame, as instrumented functions do with theirs."""
    mark = LOOK.format(register="sp").replace("lb a5, 0(a5)", "sb zero, 0(a5)")
    verification = verify(instrumented(also=mark))
    assert verification.failures == []
    steps = verification.sequences["ftrace_make_call, func % 8 == 0"]
    assert [step.split(":")[0] for step in steps if "store" in step] == ["store 8 at func-8", "store 4 at func+4"]


def test_without_the_shadow_it_does_not_return() -> None:
    verification = verify(instrumented(mark="something_else"))
    assert {failure.promise.value for failure in verification.failures} >= {"patch-returns"}
