# SPDX-License-Identifier: GPL-2.0-or-later
"""GP532: a dry run of the BPF JIT is no shorter than the image."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..emitted import new_faults
from ..model import Problem
from ..registry import source_rule


@source_rule("GP532", "bpf-dry-run")
def dry_run(change: Change) -> Iterable[Problem]:
    """A BPF trampoline may come out longer than its dry run said.

    ## What it checks
    __arch_prepare_bpf_trampoline() is run in an interpreter without an image, as arch_bpf_trampoline_size() does,
    and with images near to and far from what they call; the second must not emit more. Compressed instructions are
    not looked at. Only what the patch brings is reported.

    ## Why it matters
    The image has room for what the dry run counted. emit_imm() and emit_call() emit as many instructions as an
    address takes, and the dry run does not have the address.

    ## Remedy
    Emit a fixed number of instructions, or the longest in the dry run: ``ctx->insns ? address : RV_MAX_COUNT_IMM``.

    ## References
    arch_bpf_trampoline_size() in arch/riscv/net/bpf_jit_comp64.c.
    """
    return new_faults(change, "size")
