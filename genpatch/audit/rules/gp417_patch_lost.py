# SPDX-License-Identifier: GPL-2.0-or-later
"""GP417: of two patchers at the same time one loses a store, or writes where the other maps."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..raced import raced, unsafe
from ..registry import rule


@rule(
    "GP417",
    "patch-lost",
    severity=Severity.ERROR,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(lambda: raced(is_paired=True)),
        fires(
            lambda: raced(is_paired=True, without=("mutex_lock", "mutex_unlock")),
            "enable against enable in environment own: the store .* goes through",
        ),
    ),
)
def patch_lost(facts: Facts) -> Iterator[Finding]:
    """Of two patchers at the same time one loses a store, or writes where the other maps.

    ## What it checks
    Two of the kernel's patching functions at the same time, with the locks that they were seen to take: each store goes
    to the page that it was meant for, and when both have returned the text is what one after the other would make it.

    ## Why it matters
    Both write through the same fixmap slot: what one maps the other writes through, and instructions land in another
    function's page.

    ## Remedy
    Hold text_mutex from before the slot is mapped until after it is unmapped, on every path that writes text.

    ## References
    arch/riscv/kernel/patch.c (patch_map); linux e3f16d63d54e ("riscv: ftrace: Properly acquire text_mutex to fix a race
    condition").
    """
    if not facts.need_races().is_paired:
        raise Skip("two patchers at the same time were not explored")
    yield from unsafe(facts, Kind.LOST)
