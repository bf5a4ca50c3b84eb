# SPDX-License-Identifier: GPL-2.0-or-later
"""GP354: A BPF trampoline is left to the wrong place, with wrong registers or with a wrong value."""

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

    failure = BpfFailure(BpfPromise.LEAVES, "ra", 10, "RESTORE_REGS, no argument", 1, 2, "it is not what it was")
    return with_bpf(patching(), failure)


@rule(
    "GP354",
    "trampoline-return",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "ra is not left as it must be in 10 of 10 trampolines"),
    ),
)
def trampoline_return(facts: Facts) -> Iterator[Finding]:
    """A BPF trampoline is left to the wrong place, with wrong registers or with a wrong value.

    ## What it checks
    A trampoline ends in the function behind its sled, at the function's caller if the frame is skipped, or at its own
    caller; with ra, sp, s0-s11 as they were. The value is the function's, or that of the fmod_ret program that ended
    it, extended as the psABI wants.

    A warning where only bits above an unsigned type's own are left: a program that clang has compiled clears them.

    ## Why it matters
    The kernel goes on at a wrong address, or a caller takes the leftovers of a register for a result.

    ## Remedy
    Look at the listing: which slot is ra, t0 or a0 loaded from, and what was stored there?

    ## References
    RISC-V psABI, integer calling convention; linux fd2e08128944 ("riscv, bpf: Sign extend struct ops return values
    properly").
    """
    yield from broken_bpf(facts, BpfPromise.LEAVES, BpfPromise.VALUE, BpfPromise.NARROW)
