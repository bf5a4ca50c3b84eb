# SPDX-License-Identifier: GPL-2.0-or-later
"""GP112: a table that the kernel does not sort is sorted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import CALL_OPS_CODE, SITES_AT, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural
from ..registry import rule

_SORTS_MODULES = replaced(
    replaced(CALL_OPS_CODE, "sort", "jalr zero, 0(ra)"),
    "ftrace_process_locs",
    "addi sp, sp, -16\n sd ra, 0(sp)\n beq a0, zero, out\n jal ra, sort\n out: ld ra, 0(sp)\n addi sp, sp, 16\n"
    "jalr zero, 0(ra)",
)


@rule(
    "GP112",
    "unsorted-table",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux kernel/trace/ftrace.c (ftrace_process_locs); scripts/sorttable.c",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"), code=_SORTS_MODULES)),
        fires(
            lambda: kernel(Fn(name="one"), Fn(name="two"), code=_SORTS_MODULES, table=(SITES_AT + 0x28, SITES_AT + 8)),
            "not in ascending order",
        ),
    ),
)
def unsorted_table(facts: Facts) -> Iterator[Finding]:
    """The table is not in ascending order, and this kernel does not sort it.

    ## What it checks
    The order of the entries as the kernel will see them (after relocation), and whether
    ftrace_process_locs calls sort() for the kernel's own table (decoded; else CONFIG_BUILDTIME_MCOUNT_SORT).

    ## Why it matters
    Records are searched by bisection. In an unsorted table ftrace does not find functions that it has, and
    kprobes, BPF and live patching refuse them.

    ## Remedy
    scripts/sorttable sorts the words of the file. In a relocatable kernel (ET_DYN) those are all zero and the
    entries are relocations, so it sorts nothing and reports success.

    ## References
    scripts/sorttable.c; scripts/link-vmlinux.sh; kernel/trace/ftrace.c.
    """
    table = facts.image.table
    if table is None or len(table.entries) < 2:
        raise Skip("the image has no table of two entries")
    nonzero = np.flatnonzero(table.entries)
    entries = table.entries[nonzero]  # the kernel passes over zeros
    inversions = np.flatnonzero(entries[1:] < entries[:-1])
    if not len(inversions):
        return
    sorts = facts.code.sorts_own_table
    if sorts is None and (at_build := facts.image.config.enabled("BUILDTIME_MCOUNT_SORT")) is not None:
        sorts = not at_build
    if sorts is None:
        raise Skip("the table is not sorted; whether the kernel sorts it at boot could not be read")
    if not sorts:
        site = int(inversions[0]) + 1
        entry = int(entries[site])
        yield Finding(
            message=f"the table is not in ascending order ({plural(len(inversions), 'inversion')}) and the kernel "
            "does not sort it",
            kind="unsorted",
            address=entry,
            symbol=facts.site_name(site),
            count=len(inversions),
        )
