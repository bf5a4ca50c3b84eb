# SPDX-License-Identifier: GPL-2.0-or-later
"""GP305: a tracer's callback, or a direct trampoline, is not called exactly once."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = (
    "ftrace_make_call",
    "addi a4, a4, 4\n    slliw a4, a4, 20\n    lui a3, 0x28\n    addi a3, a3, 0x2e7\n    add a4, a4, a3",
    "addi a4, zero, 0x13",
)


@rule(
    "GP305",
    "call-count",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "the callback is not called once at 3 sites"),
    ),
)
def call_count(facts: Facts) -> Iterator[Finding]:
    """A tracer's callback, or a direct trampoline, is not called exactly once.

    ## What it checks
    While a site is enabled each call of its function calls the callback once; while it is disabled, never.

    ## Why it matters
    A function that is traced without its callback being called is lost silently: for a live patch that means
    that the old function still runs.

    ## Remedy
    Compare what was patched with what is executed: the sled that the compiler made may lie elsewhere.

    ## References
    arch/riscv/Makefile (CC_FLAGS_FTRACE), arch/riscv/kernel/ftrace.c (ftrace_call_adjust).
    """
    yield from broken(facts, Promise.CALLS)
