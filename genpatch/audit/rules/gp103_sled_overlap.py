# SPDX-License-Identifier: GPL-2.0-or-later
"""GP103: a sled is one function's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, plural
from ..registry import rule


@rule(
    "GP103",
    "sled-overlap",
    severity=Severity.ERROR,
    source="linux arch/riscv/kernel/ftrace.c: a site's bytes are written as a whole",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(
            lambda: kernel(Fn(name="one"), Fn(name="two"), symbols={"inner": SITES_AT + 0x10 + 4}),
            "reaches into the next function",
        ),
        fires(
            lambda: kernel(Fn(name="one"), Fn(name="two"), Fn(name="", at=SITES_AT + 0x14, before=0)),
            "reaches into another sled",
        ),
    ),
)
def sled_overlap(facts: Facts) -> Iterator[Finding]:
    """The bytes that patching writes belong to two functions.

    ## What it checks
    The bytes that the scheme writes from each function symbol on, against the next function symbol and
    against the first byte of the next site.

    ## Why it matters
    Enabling one site would change instructions of another function, or undo the other site's patch.

    ## Remedy
    Two entries a few bytes apart mean that a function was given a sled twice, or that an entry is off.
    A symbol inside a sled is an alias with an offset, or assembly that carries a sled of its own.

    ## References
    scripts/sorttable.c; include/linux/linkage.h.
    """
    sites = facts.need_sites()
    size = np.int64(facts.scheme.after) if facts.scheme else sites.after
    start = sites.func + sites.lead.astype(np.uint64)
    end = start + np.asarray(size).astype(np.uint64)
    starts = facts.image.symbols.function_starts
    following = np.append(starts, np.uint64((1 << 64) - 1))[np.searchsorted(starts, sites.func, "right")]
    hit = np.flatnonzero((following < end) & sites.named)
    if len(hit):
        yield facts.about_sites(
            hit, f"the sled of {plural(len(hit), 'site')} reaches into the next function symbol", "symbol"
        )
    order = np.argsort(sites.entry, kind="stable")
    lowest = sites.entry[order]
    overlaps = (lowest[1:] < end[order][:-1]) & (lowest[1:] > lowest[:-1])
    hit = np.sort(order[:-1][overlaps])
    if len(hit):
        yield facts.about_sites(hit, f"the sled of {plural(len(hit), 'site')} reaches into another sled", "sled")
