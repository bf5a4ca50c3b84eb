# SPDX-License-Identifier: GPL-2.0-or-later
"""GP111: an entry stands in the table once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, agree, plural
from ..registry import rule


@rule(
    "GP111",
    "duplicate-entry",
    severity=Severity.ERROR,
    source="linux kernel/trace/ftrace.c (ftrace_process_locs): one record is made for each entry",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), table=(SITES_AT + 8, SITES_AT + 8)), "1 entry stands"),
    ),
)
def duplicate_entry(facts: Facts) -> Iterator[Finding]:
    """The table lists an address twice.

    ## What it checks
    Whether two entries of the table (zeros aside) have the same value.

    ## Why it matters
    Two records for one site are patched one after the other: the second finds bytes that it does not expect,
    and ftrace shuts itself down ("ftrace bug").

    ## Remedy
    Usually an object was linked twice, or a section was merged twice by a linker script.

    ## References
    include/asm-generic/vmlinux.lds.h (MCOUNT_REC).
    """
    sites = facts.need_sites()
    ordered = np.sort(sites.entry)
    if not (ordered[1:] == ordered[:-1]).any():
        return
    _, first, count = np.unique(sites.entry, return_index=True, return_counts=True)
    repeated = int(np.count_nonzero(count > 1))
    if repeated:
        hit = np.sort(first[count > 1])
        yield facts.about_sites(
            hit, f"{plural(repeated, 'entry', 'entries')} {agree(repeated, 'stands', 'stand')} "
            "in the table more than once",
            "duplicate",
        )  # fmt: skip
