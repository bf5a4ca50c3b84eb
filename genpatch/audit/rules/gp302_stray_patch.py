# SPDX-License-Identifier: GPL-2.0-or-later
"""GP302: a patching function writes to instructions that are not the site's."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = (
    "ftrace_make_nop",
    "addi a2, zero, 4\n    jal ra, patch_insn_write",
    "addi a0, a0, 4\n    addi a2, zero, 4\n    jal ra, patch_insn_write",
)


@rule(
    "GP302",
    "stray-patch",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "ftrace_make_nop writes to other instructions"),
    ),
)
def stray_patch(facts: Facts) -> Iterator[Finding]:
    """A patching function writes to instructions that are not the site's.

    ## What it checks
    Each store that a patching function makes to executable memory, with the address that the fixmap stands
    for, lies within the sled or the literal of the record it was given.

    ## Why it matters
    What lies behind the sled is the function's first instruction: it is lost, and comes back only by chance.

    ## Remedy
    Look at the address that the function computes from rec->ip, and at the length that it passes on.

    ## References
    arch/riscv/kernel/ftrace.c, arch/riscv/kernel/patch.c.
    """
    yield from broken(facts, Promise.PATCH_STAYS)
