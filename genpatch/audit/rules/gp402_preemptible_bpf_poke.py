# SPDX-License-Identifier: GPL-2.0-or-later
"""GP402: BPF programs are not rewritten under tasks that run in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..cases import SITES_AT, Code, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule
from .gp221_bpf_sled import _SITE, _poke, poked_size

_POKE, _WAIT = "bpf_arch_text_poke", "synchronize_rcu_tasks"
_MOST = 32
_PREEMPT = {"preempt_schedule": SITES_AT + 0x9000}
_HELPER = "addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, {}\n ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"


def _poke_through(callee: str) -> tuple[Code, ...]:
    """Kernel code whose bpf_arch_text_poke writes by a helper that calls another function."""
    wait = Code(name=_WAIT, source="jalr zero, 0(ra)", at=SITES_AT - 0x680)
    helper = Code(name="poke_sled", source=_HELPER.format(callee), at=SITES_AT - 0x640)
    *others, poke = _poke(8)
    return (*others, wait, helper, replace(poke, source=poke.source.replace("patch_text", "poke_sled")))


@rule(
    "GP402",
    "preemptible-bpf-poke",
    severity=Severity.WARNING,
    applies="kernel",
    source='linux 596f2e6f9cf4 ("riscv, bpf: Add bpf_arch_text_poke support for RV64"), v6.3',
    cases=(
        clean(lambda: kernel(_SITE, code=_poke(8))),
        clean(lambda: kernel(Fn(name="one"), symbols={"preempt_schedule": SITES_AT + 0x9000}, code=_poke(4))),
        clean(lambda: kernel(_SITE, symbols=_PREEMPT, code=_poke_through(_WAIT))),
        fires(lambda: kernel(_SITE, code=_poke(8), symbols=_PREEMPT), "rewrites 2 instructions"),
        fires(lambda: kernel(_SITE, symbols=_PREEMPT, code=_poke_through("patch_text")), "rewrites 2 instructions"),
    ),
)
def preemptible_bpf_poke(facts: Facts) -> Iterator[Finding]:
    """bpf_arch_text_poke rewrites several instructions of a program that preempted tasks may be in.

    ## What it checks
    How many bytes bpf_arch_text_poke rewrites (decoded), in a kernel with full or lazy preemption. Not where it, or
    what it calls, waits for tasks (synchronize_rcu_tasks): whether that is enough is for genpatch race.

    ## Why it matters
    A task preempted on the first nop of a BPF program's sled resumes on the second half of a call that was
    written meanwhile, and jumps through a register that was never set. stop_machine does not help: it stops
    harts, not tasks. The window is small and opens whenever a trampoline is attached to a running program.

    ## Remedy
    Patch one instruction of the program's sled, as ftrace does for functions, and let it go through an address that
    is stored at once (genpatch emit bpf-poke).

    ## References
    arch/riscv/net/bpf_jit_comp64.c (bpf_arch_text_poke); arch/riscv/kernel/patch.c (patch_text).
    """
    size = poked_size(facts)
    if size is None:
        raise Skip("bpf_arch_text_poke is not there or its constants could not be followed")
    if facts.preemption.full is None:
        raise Skip(f"preemption is not known: {facts.preemption.evidence}")
    if facts.preemption.full and size > 4 and not _waits_for_tasks(facts):
        span = facts.code.span("bpf_arch_text_poke")
        yield Finding(
            message=f"bpf_arch_text_poke rewrites {size // 4} instructions of a live program's sled, and tasks are "
            f"preempted between them ({facts.preemption.evidence})",
            kind="preempt",
            address=span.start if span else None,
            symbol="bpf_arch_text_poke",
        )


def _waits_for_tasks(facts: Facts) -> bool:
    """Tell whether bpf_arch_text_poke, or a routine that it calls by name, calls synchronize_rcu_tasks."""
    wait, poke = facts.image.address_of(_WAIT), facts.code.routine(_POKE)
    if wait is None or poke is None:
        return False
    targets = {call.target for call in poke.calls()} - {None}
    called = (facts.code.routine(facts.image.symbols.nearest(at)) for at in list(targets)[:_MOST] if at is not None)
    routines = [poke, *(routine for routine in called if routine is not None and routine.start in targets)]
    return any(call.target == wait for routine in routines for call in routine.calls())
