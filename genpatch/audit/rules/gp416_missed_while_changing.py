# SPDX-License-Identifier: GPL-2.0-or-later
"""GP416: a call while one tracer is replaced by another reaches neither."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule

_MISTAKE = (
    "ftrace_make_call",
    "chosen:\n    addi a0, s1, 0\n    jal ra, ftrace_set_ops",
    "chosen:\n    sd a1, 0(sp)\n    addi a0, s1, 0\n    la a1, NOP_OPS\n    jal ra, ftrace_set_ops\n"
    "    addi a0, s1, 0\n    ld a1, 0(sp)\n    jal ra, ftrace_set_ops",
)


@rule(
    "GP416",
    "missed-while-changing",
    severity=Severity.WARNING,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(edit=_MISTAKE), "change in environment own: "),
    ),
)
def missed_while_changing(facts: Facts) -> Iterator[Finding]:
    """A call while one tracer is replaced by another reaches neither.

    ## What it checks
    Calls during ftrace_modify_call, from one tracer to another: each reaches the old one or the new one.

    ## Why it matters
    A live patch that is replaced by a newer one must not be absent in between; a trace has a hole that nobody sees. A
    warning, because nothing crashes.

    ## Remedy
    Go from one to the other by one store; never through the state that calls nobody.

    ## References
    kernel/trace/ftrace.c (FTRACE_UPDATE_MODIFY_CALL); Documentation/livepatch/livepatch.rst.
    """
    yield from unsafe(facts, Kind.MISSED)
