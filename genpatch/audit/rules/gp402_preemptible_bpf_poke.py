# SPDX-License-Identifier: GPL-2.0-or-later
"""GP402: BPF programs are not rewritten under tasks that run in them."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule
from .gp221_bpf_sled import _SITE, _poke, poked_size


@rule(
    "GP402",
    "preemptible-bpf-poke",
    severity=Severity.WARNING,
    applies="kernel",
    source='linux 596f2e6f9cf4 ("riscv, bpf: Add bpf_arch_text_poke support for RV64"), v6.3',
    cases=(
        clean(lambda: kernel(_SITE, code=_poke(8))),
        clean(lambda: kernel(Fn(name="one"), symbols={"preempt_schedule": SITES_AT + 0x9000}, code=_poke(4))),
        fires(
            lambda: kernel(_SITE, code=_poke(8), symbols={"preempt_schedule": SITES_AT + 0x9000}),
            "rewrites 2 instructions",
        ),
    ),
)
def preemptible_bpf_poke(facts: Facts) -> Iterator[Finding]:
    """bpf_arch_text_poke rewrites several instructions of a program that preempted tasks may be in.

    ## What it checks
    How many bytes bpf_arch_text_poke rewrites (decoded), in a kernel with full or lazy preemption.

    ## Why it matters
    A task preempted on the first nop of a BPF program's sled resumes on the second half of a call that was
    written meanwhile, and jumps through a register that was never set. stop_machine does not help: it stops
    harts, not tasks. The window is small and opens whenever a trampoline is attached to a running program.

    ## Remedy
    Patch one instruction of the program's sled, as ftrace does for functions.

    ## References
    arch/riscv/net/bpf_jit_comp64.c (bpf_arch_text_poke); arch/riscv/kernel/patch.c (patch_text).
    """
    size = poked_size(facts)
    if size is None:
        raise Skip("bpf_arch_text_poke is not there or its constants could not be followed")
    if facts.preemption.full is None:
        raise Skip(f"preemption is not known: {facts.preemption.evidence}")
    if facts.preemption.full and size > 4:
        span = facts.code.span("bpf_arch_text_poke")
        yield Finding(
            message=f"bpf_arch_text_poke rewrites {size // 4} instructions of a live program's sled, and tasks are "
            f"preempted between them ({facts.preemption.evidence})",
            kind="preempt",
            address=span.start if span else None,
            symbol="bpf_arch_text_poke",
        )
