# SPDX-License-Identifier: GPL-2.0-or-later
"""GP303: a site that was enabled and disabled again is not what it was after boot."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.promises import Promise
from ..broken import broken
from ..cases import clean, fires
from ..facts import Facts
from ..live import live
from ..model import Finding, Severity
from ..registry import rule

_MISTAKE = ("ftrace_make_nop", "addi a3, zero, 0x13", "addi a3, zero, 1")


@rule(
    "GP303",
    "site-not-restored",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own code, executed",
    cases=(
        clean(live),
        fires(lambda: live(edit=_MISTAKE), "does not bring back the bytes"),
    ),
)
def site_not_restored(facts: Facts) -> Iterator[Finding]:
    """A site that was enabled and disabled again is not what it was after boot.

    ## What it checks
    The bytes of sled and literal after ftrace_make_nop equal those after ftrace_init_nop.

    ## Why it matters
    The next ftrace_make_call may find words that it does not expect, and a checksum of the text differs.

    ## Remedy
    Let both functions write the same words; nop may be spelt in more than one way.

    ## References
    arch/riscv/kernel/ftrace.c (ftrace_init_nop, ftrace_make_nop).
    """
    yield from broken(facts, Promise.RESTORES)
