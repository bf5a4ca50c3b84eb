# SPDX-License-Identifier: GPL-2.0-or-later
"""GP355: A BPF trampoline's stack is misaligned, its frames mislead an unwinder, or its slots overlap."""

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
        BpfPromise.STACK, "sp at a program", 10, "RESTORE_REGS, no argument", 16, 8, "sp is no multiple of 16"
    )
    return with_bpf(patching(), failure)


@rule(
    "GP355",
    "trampoline-stack",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "sp at a program is out of order in 10 of 10"),
    ),
)
def trampoline_stack(facts: Facts) -> Iterator[Finding]:
    """A BPF trampoline's stack is misaligned, its frames mislead an unwinder, or its slots overlap.

    ## What it checks
    sp is a multiple of 16 at every call; the chain of frame pointers leads to the traced function and to its caller;
    the caller's frame is not written to; nothing is read from the stack that was not written. Of each combination of
    flags one trampoline has an interrupt before each instruction: what is below sp is lost then.

    ## Why it matters
    Code is compiled for an aligned sp; a stack trace from a program goes astray; old data of other functions leaks.

    ## Remedy
    Round the frame to 16 bytes; keep ra and s0 at fp - 8 and fp - 16 in each frame.

    ## References
    RISC-V psABI, integer calling convention; arch/riscv/kernel/stacktrace.c, walk_stackframe().
    """
    yield from broken_bpf(facts, BpfPromise.STACK)
