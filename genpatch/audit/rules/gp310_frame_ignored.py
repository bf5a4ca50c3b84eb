# SPDX-License-Identifier: GPL-2.0-or-later
"""GP310: what a callback writes to the frame is not obeyed, or a return hook loses a value."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "    ld ra, 8(sp)\n", "    ld zero, 8(sp)\n")


@rule(
    "GP310",
    "frame-ignored",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "ra is not what the callback asked for"),
    ),
)
def frame_ignored(facts: Facts) -> Iterator[Finding]:
    """What a callback writes to the frame is not obeyed, or a return hook loses a value.

    ## What it checks
    A return address that the callback replaced (function graph tracing) is the one that the function has; a return
    value that it set is the one that the caller gets; return_to_handler comes back with a0, a1, sp and s0-s11
    as the function left them.

    ## Why it matters
    Function graph tracing, fprobe and error injection do nothing, or lose the function's result.

    ## Remedy
    Restore registers from the frame after the callback, and in return_to_handler save a0 and a1 around the call.

    ## References
    arch/riscv/kernel/mcount.S (return_to_handler), arch/riscv/kernel/ftrace.c (ftrace_graph_func).
    """
    yield from broken(facts, Promise.OBEYS, Promise.RETURNS)
