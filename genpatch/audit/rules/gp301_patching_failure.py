# SPDX-License-Identifier: GPL-2.0-or-later
"""GP301: a patching function of the kernel does not return, or returns an error."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_make_nop", "addi a3, zero, 0x13", "lw a3, 0(zero)")


@rule(
    "GP301",
    "patching-failure",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "ftrace_make_nop fails at 3 sites"),
    ),
)
def patching_failure(facts: Facts) -> Iterator[Finding]:
    """A patching function of the kernel does not return, or returns an error.

    ## What it checks
    ftrace_init_nop, ftrace_make_call, ftrace_modify_call and ftrace_make_nop are called as machine code for
    every site, with a record laid out from the kernel's types, and must return 0. Locks, printk, cross-calls and the
    mapping of text are stood in for; the copy routine runs.

    ## Why it matters
    An error there is what ftrace_bug() reports: the tracer is shut down for good. A fault is an oops with
    text_mutex held.

    ## Remedy
    Run `genpatch trace` on the function with the site's record to see where it goes wrong; compare the words
    that it expects with those that the previous state left.

    ## References
    arch/riscv/kernel/ftrace.c; kernel/trace/ftrace.c (ftrace_bug).
    """
    yield from broken(facts, Promise.PATCH_RETURNS)
