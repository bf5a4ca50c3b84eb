# SPDX-License-Identifier: GPL-2.0-or-later
"""GP307: the callback gets a wrong ip, parent_ip, ops or frame."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "addi a1, ra, 0", "addi a1, t0, 0")


@rule(
    "GP307",
    "callback-argument",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "parent_ip is wrong at 3 sites"),
    ),
)
def callback_argument(facts: Facts) -> Iterator[Finding]:
    """The callback gets a wrong ip, parent_ip, ops or frame.

    ## What it checks
    The four arguments of ftrace_func_t as the callback finds them: the record's ip, the address that the function
    returns to, the ops that the site belongs to, and a pointer to a frame on the stack.

    ## Why it matters
    Callers look the function up by ip and would find another, or none; with the wrong ops another tracer's data
    is used.

    ## Remedy
    Compute ip from the call's return address with the distance that ftrace_call_adjust stands for.

    ## References
    include/linux/ftrace.h (ftrace_func_t); arch/riscv/kernel/mcount-dyn.S.
    """
    yield from broken(facts, Promise.ARGUMENTS)
