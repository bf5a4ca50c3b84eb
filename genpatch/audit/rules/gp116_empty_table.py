# SPDX-License-Identifier: GPL-2.0-or-later
"""GP116: the table has entries."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.model import ImageKind
from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule


@rule(
    "GP116",
    "empty-table",
    severity=Severity.ERROR,
    source="linux kernel/trace/ftrace.c (ftrace_init): a kernel without entries disables ftrace",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: kernel(Fn(name="one"), table=(0, 0, 0)), "all 3 entries are zero"),
        fires(lambda: kernel(Fn(name="one"), table=()), "is empty"),
    ),
)
def empty_table(facts: Facts) -> Iterator[Finding]:
    """The table is there, but lists nothing.

    ## What it checks
    A table without entries, or with nothing but zeros after relocation.

    ## Why it matters
    ftrace finds no function to trace and switches itself off; live patching and fentry fail.

    ## Remedy
    All zero: the relocations of the table were lost, or the pruning of weak functions mistook every function
    for one. Empty: the section was discarded at link time (--gc-sections without KEEP).

    ## References
    include/asm-generic/vmlinux.lds.h (MCOUNT_REC); scripts/sorttable.c.
    """
    table = facts.image.table
    if table is None:
        if facts.image.kind is ImageKind.MODULE and any(region.executable for region in facts.image.memory.regions):
            yield Finding(
                message="the module has instructions, but no __patchable_function_entries: nothing in it can be traced",
                kind="no-table", level=Severity.NOTE,
            )  # fmt: skip
            return
        raise Skip("the image has no table")
    if not len(table.entries):
        yield Finding(message=f"the table ({table.source}) is empty", kind="empty")
    elif not len(facts.sites):
        yield Finding(message=f"all {len(table.entries):,} entries are zero", kind="zero", count=len(table.entries))
