# SPDX-License-Identifier: GPL-2.0-or-later
"""GP113: entries point into instructions."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import DATA, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, plural, where
from ..registry import rule


@rule(
    "GP113",
    "entry-outside-text",
    severity=Severity.ERROR,
    source="linux kernel/trace/ftrace.c (ftrace_process_locs): an entry is patched wherever it points",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), table=(SITES_AT + 8, DATA + 0x100)), "in .data"),
        fires(lambda: kernel(Fn(name="one"), table=(SITES_AT + 8, 0x1000)), "outside the image"),
        fires(lambda: kernel(Fn(name="one", entry=SITES_AT + 9)), "odd"),
    ),
)
def entry_outside_text(facts: Facts) -> Iterator[Finding]:
    """Entries point outside the image, into data, or between parcels.

    ## What it checks
    That each entry is even and lies in an executable section.

    ## Why it matters
    ftrace writes nops to the address at boot. Outside text that is a fault or silently corrupted data.

    ## Remedy
    Entries that are off by a constant come from a relocation that was applied twice or not at all; small
    values such as 4 or 12 are a zero that ftrace_call_adjust was applied to.

    ## References
    kernel/trace/ftrace.c; linux ef378c3b8233 ("scripts/sorttable: Zero out weak functions in mcount_loc table").
    """
    sites = facts.need_sites()
    hit = where(sites.region < 0)
    if len(hit):
        yield facts.about_sites(hit, f"{plural(len(hit), 'entry', 'entries')} outside the image",
                                "outside")  # fmt: skip
    hit = where((sites.region >= 0) & ~facts.executable[sites.region])
    if len(hit):
        yield facts.about_sites(
            hit,
            f"{len(hit):,} of the entries are not in instructions but in {facts.section_counts(hit)}",
            "data",
        )
    hit = where(sites.entry % 2 == 1)
    if len(hit):
        yield facts.about_sites(hit, f"{len(hit):,} of the entries are odd addresses", "odd")
