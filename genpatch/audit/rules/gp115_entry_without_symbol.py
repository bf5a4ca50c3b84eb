# SPDX-License-Identifier: GPL-2.0-or-later
"""GP115: each entry belongs to a function that exists."""

from __future__ import annotations

from collections.abc import Iterator

from ...sites.model import Nops
from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, agree, plural, where
from ..registry import rule


@rule(
    "GP115",
    "entry-without-symbol",
    severity=Severity.NOTE,
    source='linux ef378c3b8233 ("scripts/sorttable: Zero out weak functions in mcount_loc table"), v6.15',
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="")), "no function symbol"),
        fires(lambda: kernel(Fn(name="one"), Fn(name=""), in_place_zero=2), "pruned nothing"),
    ),
)
def entry_without_symbol(facts: Facts) -> Iterator[Finding]:
    """Entries belong to functions that have no symbol: weak ones that were overridden.

    ## What it checks
    Entries that have no function symbol where their function would start. The linker keeps the code of an
    overridden weak function but drops its symbol. In a table whose words are zero in the file (the entries
    are relocations) the build could not prune them, and that is said.

    ## Why it matters
    The code never runs, yet ftrace counts, patches and lists it under the name of the function before it, so
    a filter by name enables a site that cannot fire. Kernels that prune such entries rely on there being none.

    ## Remedy
    Kernels since 6.15 prune them when the table is sorted at build time. A relocatable kernel needs the
    pruning to look at relocations instead of the words in the file.

    ## References
    scripts/sorttable.c; kernel/trace/ftrace.c (ftrace_process_locs).
    """
    sites = facts.need_sites()
    if not len(facts.image.symbols.functions):
        raise Skip("there are no function symbols")
    whole = (sites.after >= sites.usual[1]) & (sites.spelling <= Nops.MIXED)
    hit = where(~sites.named & facts.executable[sites.region] & whole)
    if not len(hit):
        return
    table = facts.image.table
    pruned = table is not None and table.in_place_zero > 0
    yield facts.about_sites(
        hit,
        f"{plural(len(hit), 'site')} of {len(sites):,} {agree(len(hit), 'has', 'have')} no function symbol "
        "(overridden weak functions)"
        + (": the table's words are zero in the file, so the build pruned nothing" if pruned else ""),
        "weak",
        level=Severity.WARNING if pruned else Severity.NOTE,
    )
