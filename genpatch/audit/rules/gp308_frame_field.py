# SPDX-License-Identifier: GPL-2.0-or-later
"""GP308: a field of the frame that a callback gets does not hold its register."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_caller", "    sd s0, 24(sp)\n", "")


@rule(
    "GP308",
    "frame-field",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "s0 in the frame is never written at 3 sites"),
    ),
)
def frame_field(facts: Facts) -> Iterator[Finding]:
    """A field of the frame that a callback gets does not hold its register.

    ## What it checks
    ra, sp, s0 and a0-a7 in the frame, at the offsets that the kernel's types give, hold what the registers held at
    the call; epc lies between the function's start and its body. What was never written is told from what is wrong.

    ## Why it matters
    Callbacks read arguments and frame pointers from there: BPF programs, live patching, the function graph
    tracer. A field that is never written hands out old stack.

    ## Remedy
    Store every register for which the structure has a field and which is read by someone.

    ## References
    arch/riscv/include/asm/ftrace.h (struct __arch_ftrace_regs);
    linux 7caa9765465f ("ftrace: riscv: move from REGS to ARGS").
    """
    yield from broken(facts, Promise.FRAME, Promise.FRAME_SET)
