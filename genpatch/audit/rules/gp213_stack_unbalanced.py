# SPDX-License-Identifier: GPL-2.0-or-later
"""GP213: trampolines keep the stack aligned and balanced."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CALL_OPS_CALLER, CALL_OPS_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_ODD = CALL_OPS_CALLER.replace("112", "120")
_LEAKS = CALL_OPS_CALLER.replace("    addi sp, sp, 112\n", "    addi sp, sp, 96\n")


@rule(
    "GP213",
    "stack-unbalanced",
    severity=Severity.ERROR,
    applies="kernel",
    source="RISC-V psABI: the stack pointer is a multiple of 16 at every call",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _ODD)), "120 bytes"),
        fires(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _LEAKS)), "-16"),
    ),
)
def stack_unbalanced(facts: Facts) -> Iterator[Finding]:
    """A trampoline's frame is not a multiple of 16 bytes, or is not given back.

    ## What it checks
    For ftrace_caller, ftrace_regs_caller, return_to_handler and arch_rethook_trampoline: how far sp is lowered
    at the callback, and where it stands when the trampoline jumps back.

    ## Why it matters
    A misaligned stack breaks code that relies on the ABI's alignment. A frame that is not given back moves
    the traced function's stack: its saved registers are read from the wrong place.

    ## Remedy
    Round the frame up (STACK_ALIGN in asm-offsets.c) and undo what was done.

    ## References
    arch/riscv/kernel/asm-offsets.c (FREGS_SIZE_ON_STACK).
    """
    judged = 0
    for name in ("ftrace_caller", "ftrace_regs_caller", "return_to_handler", "arch_rethook_trampoline"):
        trampoline = facts.code.trampoline(name)
        if trampoline is None or trampoline.frame is None:
            continue
        judged += 1
        size = trampoline.frame.size
        if size % 16:
            yield Finding(
                message=f"{name} lowers sp by {size} bytes, not a multiple of 16",
                kind="alignment", address=trampoline.span.start, symbol=name,
            )  # fmt: skip
        pushed = facts.scheme.pushed if name == "ftrace_caller" and facts.scheme is not None else 0
        if trampoline.unbalanced is not None and trampoline.unbalanced != pushed and trampoline.complete:
            yield Finding(
                message=f"{name} returns with sp {trampoline.unbalanced:+d} bytes from where it was",
                kind="balance", address=trampoline.span.start, symbol=name,
            )  # fmt: skip
    if not judged:
        raise Skip("no trampoline is there or could be followed")
