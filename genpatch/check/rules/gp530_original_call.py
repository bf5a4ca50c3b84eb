# SPDX-License-Identifier: GPL-2.0-or-later
"""GP530: BPF trampolines call the original function behind its sled."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..emitted import new_faults
from ..model import Problem
from ..registry import source_rule


@source_rule("GP530", "bpf-original-call")
def original_call(change: Change) -> Iterable[Problem]:
    """A BPF trampoline no longer calls the traced function behind the instructions that called it.

    ## What it checks
    The code that __arch_prepare_bpf_trampoline() emits, by running that function in an interpreter: with
    BPF_TRAMP_F_CALL_ORIG the original is called once, as many bytes behind its entry as arch/riscv/Makefile asks
    nops for (RV_FENTRY_NINSNS where it is not in plain numbers). Only what the patch brings is reported.

    ## Why it matters
    At the function's entry stands the call of this very trampoline: it calls itself until the stack is full. A few
    bytes behind it the second half of that call runs alone.

    ## Remedy
    Move the address by RV_FENTRY_NINSNS * 4 under BPF_TRAMP_F_CALL_ORIG, the flag under which it is called.

    ## References
    __arch_prepare_bpf_trampoline() in arch/riscv/net/bpf_jit_comp64.c; include/linux/bpf.h.
    """
    return new_faults(change, "original")
