# SPDX-License-Identifier: GPL-2.0-or-later
"""GP531: BPF trampolines give back what they were entered with."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..emitted import new_faults
from ..model import Problem
from ..registry import source_rule


@source_rule("GP531", "bpf-trampoline-frame")
def trampoline_frame(change: Change) -> Iterable[Problem]:
    """A BPF trampoline returns by the wrong register, or does not restore what its caller counts on.

    ## What it checks
    The code that __arch_prepare_bpf_trampoline() emits, followed instruction by instruction for trampolines at a
    function's entry and for those that are called directly (BPF_TRAMP_F_INDIRECT): the stack pointer, saved
    registers, arguments and the return value; the register that it leaves by, against the one that ftrace's and
    bpf_arch_text_poke()'s calls use; stores outside of its frame; what programs find on the stack (arguments,
    before them their number and the function's address). Only what the patch brings is reported.

    ## Why it matters
    A trampoline stands in the middle of somebody else's function call. What it loses is missed far away from it.

    ## Remedy
    Make the slots and their offsets agree, and what is emitted at the start with what is emitted at the end.

    ## References
    arch/riscv/net/bpf_jit_comp64.c; arch/riscv/include/asm/ftrace.h.
    """
    return new_faults(change, "frame")
