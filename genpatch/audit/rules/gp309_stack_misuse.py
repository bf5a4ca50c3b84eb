# SPDX-License-Identifier: GPL-2.0-or-later
"""GP309: the trampoline's stack is misaligned, too small, or read before it is written."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "addi sp, sp, -112", "addi sp, sp, -104")


@rule(
    "GP309",
    "stack-misuse",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "sp is out of order"),
    ),
)
def stack_misuse(facts: Facts) -> Iterator[Finding]:
    """The trampoline's stack is misaligned, too small, or read before it is written.

    ## What it checks
    sp is a multiple of 16 when the callback is called; the frame lies between it and the caller's sp; nothing is
    read from the stack that was not written before.

    ## Why it matters
    Code is compiled for an aligned sp; a frame that reaches into the caller's overwrites its variables; memory
    that nothing has written is another function's old data.

    ## Remedy
    Make the frame as large as the structure, rounded up to 16 bytes, and restore only what was saved.

    ## References
    RISC-V psABI, integer calling convention (stack alignment); linux 67a5ba8f742f ("riscv: fgraph: Fix stack layout to
    match __arch_ftrace_regs argument of ftrace_return_to_handler"), a frame that was too small.
    """
    yield from broken(facts, Promise.STACK, Promise.INITIALISED)
