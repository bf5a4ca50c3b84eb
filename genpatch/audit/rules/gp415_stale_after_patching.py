# SPDX-License-Identifier: GPL-2.0-or-later
"""GP415: a call that begins after patching is done still does what the old state says."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule


@rule(
    "GP415",
    "stale-after-patching",
    severity=Severity.WARNING,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(without=("flush_icache_all",)), "enable in environment own: a call after the patcher"),
    ),
)
def stale_after_patching(facts: Facts) -> Iterator[Finding]:
    """A call that begins after patching is done still does what the old state says.

    ## What it checks
    Calls that begin when the patching functions have returned: each reaches the tracer that it should, and none that
    was taken away.

    ## Why it matters
    Enabling has returned and events are missing; disabling has returned and the tracer is still called. What the
    tracer frees then, or expects, is broken one step later. A warning, because by itself nothing crashes.

    ## Remedy
    Behind the last store: fence, then fence.i on every hart, and wait for it (flush_icache_all does) before returning.

    ## References
    RISC-V unprivileged ISA, Zifencei; linux, arch/riscv/mm/cacheflush.c (flush_icache_all).
    """
    yield from unsafe(facts, Kind.STALE)
