# SPDX-License-Identifier: GPL-2.0-or-later
"""GP311: a traced function reads a register before it writes it, and a traced call changes that register."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import Fn, clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_READS_T2 = bytes.fromhex("33857300")  # add a0, t2, t2


@rule(
    "GP311",
    "live-register-changed",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(
            lambda: live(Fn(name="one"), Fn(name="two", body=_READS_T2)),
            "t2, which a traced call changes, is read first at 1 site",
        ),
    ),
)
def live_register_changed(facts: Facts) -> Iterator[Finding]:
    """A traced function reads a register before it writes it, and a traced call changes that register.

    ## What it checks
    The first instructions behind each sled, up to the first jump, are decoded: a register that they read before
    they write it must not be among those that differ after a call to a tracer was run.

    ## Why it matters
    The function is compiled or written for a value that its caller passes outside the calling convention: clang's
    local calls, a static chain, assembly. Traced, it gets junk.

    ## Remedy
    Save the register in the trampoline, or take the function off the table (notrace).

    ## References
    LLVM D68559 (arguments of local functions in t2-t6); linux f8693f6dffcd ("riscv: ftrace: support fastcc in Clang for
    WITH_ARGS"); RISC-V psABI, integer register convention.
    """
    yield from broken(facts, Promise.LIVE)
