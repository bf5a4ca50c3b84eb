# SPDX-License-Identifier: GPL-2.0-or-later
"""GP304: a traced function does not arrive where it must: in its body, where it was sent, or at its caller."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "bne t1, zero, direct\n    jalr zero, 0(t0)", "bne t1, zero, direct\n    jalr zero, 4(t0)")


@rule(
    "GP304",
    "call-astray",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "does not arrive in the body at 3 sites"),
    ),
)
def call_astray(facts: Facts) -> Iterator[Finding]:
    """A traced function does not arrive where it must: in its body, where it was sent, or at its caller.

    ## What it checks
    After each state was made by the kernel's own code, every function is called with known registers. It must
    arrive at the first instruction behind its sled; where the callback sent it; or at its caller, if the callback
    returned in its place.

    ## Why it matters
    Execution goes on in the middle of something else, with the arguments of the traced function.

    ## Remedy
    Look at the listing: a jump that lands 4096 bytes away has the upper immediate of another target, a jump
    into the sled or behind the body's start an offset that does not suit the sled.

    ## References
    arch/riscv/kernel/mcount-dyn.S; linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code patching").
    """
    yield from broken(facts, Promise.ARRIVES)
