# SPDX-License-Identifier: GPL-2.0-or-later
"""GP306: a register that belongs to the traced function is not what it was."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "    ld a3, 72(sp)\n", "")


@rule(
    "GP306",
    "register-changed",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "a3 is not preserved at 3 sites"),
    ),
)
def register_changed(facts: Facts) -> Iterator[Finding]:
    """A register that belongs to the traced function is not what it was.

    ## What it checks
    At arrival in the body, and at a direct trampoline, all of a0-a7, s0-s11, ra, sp, gp and tp hold what they held
    at the call, t2-t6 too in a kernel that clang built; a disabled sled changes nothing but its link register. The
    callback makes junk of everything that a C function may change.

    ## Why it matters
    The function runs with wrong arguments, or its caller finds its own registers changed. clang passes arguments
    of functions that only their own file calls in t2-t6.

    ## Remedy
    Save the register in the trampoline and restore it from the same place.

    ## References
    RISC-V psABI, integer register convention;
    linux f8693f6dffcd ("riscv: ftrace: support fastcc in Clang for WITH_ARGS").
    """
    yield from broken(facts, Promise.REGISTERS)
