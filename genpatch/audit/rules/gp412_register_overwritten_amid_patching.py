# SPDX-License-Identifier: GPL-2.0-or-later
"""GP412: a call amid patching enters the body with other registers than it came with."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule

_MISTAKE = ("ftrace_caller", "    ld a3, 72(sp)\n", "")


@rule(
    "GP412",
    "register-overwritten-amid-patching",
    severity=Severity.ERROR,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(edit=_MISTAKE), "enable in environment own: the body is entered with a3 = "),
    ),
)
def register_overwritten_amid_patching(facts: Facts) -> Iterator[Finding]:
    """A call amid patching enters the body with other registers than it came with.

    ## What it checks
    On every path that ends in the body: arguments, ra, sp, gp, tp and callee-saved registers are what the call came
    with; only the link register of the sled and what the trampoline is known to use may differ.

    ## Why it matters
    The function computes with values that its caller never passed, or returns to the wrong place. The states before
    and after may both be right: GP306 judges those.

    ## Remedy
    A sled that saves and restores a register must not be entered or left between the two: have the trampoline do it,
    or use a link register that is free at a function's entry.

    ## References
    RISC-V psABI, integer calling convention; linux 6724a76cff85 ("riscv: ftrace: Reduce the detour code size to half").
    """
    yield from unsafe(facts, Kind.REGISTERS)
