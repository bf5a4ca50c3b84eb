# SPDX-License-Identifier: GPL-2.0-or-later
"""GP122: where the image uses landing pads, each function starts with one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import Fn, clean, fires, kernel, words
from ..facts import Facts
from ..model import Finding, Severity, agree, plural, where
from ..registry import rule

_LPAD = words(0x00000017)


@rule(
    "GP122",
    "landing-pad-missing",
    severity=Severity.ERROR,
    source="RISC-V Zicfilp: an indirect call must arrive at LPAD (AUIPC with rd = x0)",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(
            lambda: kernel(
                *(Fn(name=f"f{n}", before=0, head=_LPAD, after=12, entry="sled") for n in range(3)),
                Fn(name="bare", before=0),
            ),
            "1 site of 4 .* no landing pad",
        ),
        clean(lambda: kernel(*(Fn(name=f"f{n}", before=0, head=_LPAD, after=12) for n in range(3)))),
    ),
)
def landing_pad_missing(facts: Facts) -> Iterator[Finding]:
    """Some functions start with their sled instead of a landing pad.

    ## What it checks
    If most traced functions start with LPAD, that all do: the pad is the first instruction and the sled
    stands behind it.

    ## Why it matters
    With forward-edge protection on, an indirect call that does not arrive at a landing pad traps. A sled
    before the pad also stops working once it is patched: the pad is then no longer the first instruction.

    ## Remedy
    Build every object with the same -fcf-protection, and check that the compiler puts the pad before the
    patchable entry.

    ## References
    Documentation/arch/riscv/zicfilp.rst.
    """
    sites = facts.need_sites()
    data, stored = facts.image.memory.windows(sites.func, 0, 4)
    has_pad = stored.all(axis=1) & ((np.ascontiguousarray(data).view("<u4")[:, 0] & 0xFFF) == 0x17)
    has_pad |= sites.lead > 0
    hit = where(~has_pad & sites.in_text)
    if has_pad.mean() > 0.5 and len(hit):
        yield facts.about_sites(
            hit,
            f"{plural(len(hit), 'site')} of {len(sites):,} {agree(len(hit), 'has', 'have')} no landing pad "
            "as first instruction",
            "bare",
        )
