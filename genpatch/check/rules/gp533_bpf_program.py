# SPDX-License-Identifier: GPL-2.0-or-later
"""GP533: BPF programs end as they begin, and tail calls enter them where they should."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..emitted import new_faults
from ..model import Problem
from ..registry import source_rule


@source_rule("GP533", "bpf-program-entry")
def program_entry(change: Change) -> Iterable[Problem]:
    """The prologue and the epilogue of BPF programs no longer agree.

    ## What it checks
    The code that bpf_jit_build_prologue() and __build_epilogue() emit, run one after the other with every saved
    register in use: the stack pointer and saved registers are restored; a tail call enters the next program behind
    the instruction that sets its counter, with and without CFI; the nops at the start are RV_FENTRY_NINSNS
    instructions. Only what the patch brings is reported.

    ## Why it matters
    A tail call that sets the counter anew never ends, one that enters too late skips a store of the prologue.

    ## Remedy
    Count in __build_epilogue() what the prologue emits before the counter's instruction, and that instruction.

    ## References
    arch/riscv/net/bpf_jit_comp64.c; bpf_func in arch/riscv/net/bpf_jit_core.c.
    """
    return new_faults(change, "program")
