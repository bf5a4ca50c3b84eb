# SPDX-License-Identifier: GPL-2.0-or-later
"""GP411: a call amid patching leaves the sled, the trampoline and the body."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule

_MISTAKE = ("ftrace_make_call", "addi a4, a4, 4\n", "addi a4, a4, 8\n")


@rule(
    "GP411",
    "wild-execution",
    severity=Severity.ERROR,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(edit=_MISTAKE), "one: enable in environment own: .* found among"),
    ),
)
def wild_execution(facts: Facts) -> Iterator[Finding]:
    """A call amid patching leaves the sled, the trampoline and the body.

    ## What it checks
    Every interleaving of what the kernel's own functions store with a call of the function, each instruction fetched
    stale or new as the harts may: whether the pc stays in sled, trampoline, callback and body, whether what is fetched
    is an instruction, and whether the call comes to an end.

    ## Why it matters
    Half of an old call with half of a new one is a jump to an address that nobody chose.

    ## Remedy
    Look at the path ('genpatch race KERNEL --witness'). Several instructions that must change together can only
    change while no task is among them: patch one aligned word, or none that a preempted task may come back to.

    ## References
    RISC-V unprivileged ISA, Zifencei and Ziccif; linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code
    patching").
    """
    yield from unsafe(facts, Kind.WILD)
