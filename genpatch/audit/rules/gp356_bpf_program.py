# SPDX-License-Identifier: GPL-2.0-or-later
"""GP356: A BPF program that the kernel's JIT has compiled does not do what its instructions say."""

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

    failure = BpfFailure(BpfPromise.PROGRAM, "the result", 1, "tail call", 1, 2, "", kind="program")
    return with_bpf(patching(), failure)


@rule(
    "GP356",
    "bpf-program",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "the result is wrong in 1 program, as with tail call: 0x2 instead of 0x1"),
    ),
)
def bpf_program(facts: Facts) -> Iterator[Finding]:
    """A BPF program that the kernel's JIT has compiled does not do what its instructions say.

    ## What it checks
    bpf_int_jit_compile() is executed on small programs, and what it makes is run: results, calls of helpers and kernel
    functions with their arguments, tail calls with their limit, calls of subprograms, saved registers, accesses that
    may fault (the kernel's fixup_exception() handles them). All is done for a plain hart and for one with more
    extensions, for which the kernel's own code applies its alternatives.

    ## Why it matters
    The verifier has proved another program than the one that runs.

    ## Remedy
    Run 'genpatch verify --bpf' with a listing; compare the emitted instructions with the eBPF ones.

    ## References
    RFC 9669 (BPF Instruction Set Architecture); arch/riscv/net/bpf_jit_comp64.c.
    """
    yield from broken_bpf(facts, BpfPromise.PROGRAM)
