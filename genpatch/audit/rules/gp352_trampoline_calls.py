# SPDX-License-Identifier: GPL-2.0-or-later
"""GP352: A BPF trampoline calls something else than it must, or the traced function at the wrong place."""

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

    failure = BpfFailure(
        BpfPromise.ORIGINAL,
        "the traced function",
        4,
        "CALL_ORIG|SKIP_FRAME, 1 argument",
        0x1008,
        0x1010,
        "it is entered beside the first instruction behind its sled",
    )
    return with_bpf(patching(), failure)


@rule(
    "GP352",
    "trampoline-calls",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "the traced function is entered at another place"),
    ),
)
def trampoline_calls(facts: Facts) -> Iterator[Finding]:
    """A BPF trampoline calls something else than it must, or the traced function at the wrong place.

    ## What it checks
    Each trampoline is run over a traced function, reached through the kernel's own direct call. Programs must be
    entered, run and left in order; one that is not entered must not run; fmod_ret programs that return an error must
    end the chain before the function; the function must be entered exactly behind its sled. With the jump over detached
    programs put in while the function runs, programs at exit must not run.

    ## Why it matters
    Instructions of the function are skipped or executed twice: a sled of 8 bytes that is taken for one of 16 loses
    the first instructions, often those that save ra.

    ## Remedy
    Compare the sled's size in the JIT (RV_FENTRY_NINSNS) with that of the compiler's flag; look at the listing.

    ## References
    arch/riscv/net/bpf_jit_comp64.c; linux 25ad10658dc1 ("riscv, bpf: Adapt bpf trampoline to optimized riscv ftrace
    framework").
    """
    yield from broken_bpf(facts, BpfPromise.SEQUENCE, BpfPromise.ORIGINAL)
