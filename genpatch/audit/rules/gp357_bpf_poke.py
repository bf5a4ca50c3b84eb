# SPDX-License-Identifier: GPL-2.0-or-later
"""GP357: bpf_arch_text_poke() does not attach, replace or detach a trampoline at a BPF program's sled."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.bpf.promises import BpfPromise
from ..broken_bpf import broken_bpf, with_bpf
from ..cases import clean, fires
from ..facts import Facts
from ..live import patching
from ..model import Finding, Severity
from ..registry import rule


def _broken() -> Facts:
    from ...verify.bpf.run import BpfFailure

    failure = BpfFailure(BpfPromise.POKE, "nop to call", 1, "exit", 0, 1, "it returns an error", kind="program")
    return with_bpf(patching(), failure)


@rule(
    "GP357",
    "bpf-poke",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "nop to call is wrong in 1 program"),
    ),
)
def bpf_poke(facts: Facts) -> Iterator[Finding]:
    """bpf_arch_text_poke() does not attach, replace or detach a trampoline at a BPF program's sled.

    ## What it checks
    The kernel's own bpf_arch_text_poke() is executed on the sled of a program that its JIT has made: from nothing to a
    call, to another call and back, and the same for jumps; then the program is run. A stale address must be refused
    and change nothing.

    ## Why it matters
    A trampoline is not reached, or the program is entered at a wrong place behind it.

    ## Remedy
    Let the sled that the prologue emits and the words that are poked be of one size.

    ## References
    arch/riscv/net/bpf_jit_comp64.c, bpf_arch_text_poke().
    """
    yield from broken_bpf(facts, BpfPromise.POKE)
