# SPDX-License-Identifier: GPL-2.0-or-later
"""GP114: discarded text has no sites."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import EXIT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, plural, where
from ..registry import rule


@rule(
    "GP114",
    "entry-in-exit-text",
    severity=Severity.WARNING,
    source="linux include/linux/init.h: __exit functions are notrace",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="leave", at=EXIT + 8)), "in .exit.text"),
    ),
)
def entry_in_exit_text(facts: Facts) -> Iterator[Finding]:
    """Sites lie in .exit.text.

    ## What it checks
    Whether an entry lies in a section named .exit.text.

    ## Why it matters
    The section is discarded (in the kernel with the init memory, in a module when it cannot be unloaded), and
    __exit functions are not traced for that reason. A site there is patched after its memory was given away.

    ## Remedy
    Mark the function __exit instead of placing it with a bare section attribute, which loses notrace.

    ## References
    arch/riscv/kernel/vmlinux.lds.S; include/linux/init.h.
    """
    sites = facts.need_sites()
    is_exit = np.array([region.name.startswith(".exit.text") for region in facts.image.memory.regions] + [False])
    hit = where(is_exit[sites.region])
    if len(hit):
        yield facts.about_sites(hit, f"{plural(len(hit), 'site')} in .exit.text, which is discarded", "exit")
