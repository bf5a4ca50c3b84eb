# SPDX-License-Identifier: GPL-2.0-or-later
"""GP109: what is rewritten together lies together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import PAIR_CODE, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural
from ..registry import rule

PAGE, LINE = 4096, 64


@rule(
    "GP109",
    "pair-straddles",
    severity=Severity.NOTE,
    source="linux arch/riscv/kernel/patch.c: a second page is mapped when a write crosses one",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        clean(lambda: kernel(Fn(name="one", before=0, at=SITES_AT + 0x38), code=PAIR_CODE)),
        fires(
            lambda: kernel(Fn(name="one", before=0, at=SITES_AT + 0x3C), code=PAIR_CODE),
            "1 across a 64-byte line",
        ),
        fires(lambda: kernel(Fn(name="one", before=0, at=SITES_AT + 0xFFC), code=PAIR_CODE), "1 across a page"),
    ),
)
def pair_straddles(facts: Facts) -> Iterator[Finding]:
    """Instructions that are rewritten together lie on two pages or two cache lines.

    ## What it checks
    For schemes that rewrite more than one word: whether the first and the last byte they write lie on the
    same 4 KiB page and in the same 64-byte line.

    ## Why it matters
    Two lines reach another hart one after the other, and two pages need two mappings. Neither is wrong under
    stop_machine; both are a reason why such a pair can never be one store.

    ## Remedy
    None is needed while patching stops the machine. A scheme that patches one aligned word has none of these.

    ## References
    arch/riscv/kernel/patch.c (patch_map, __patch_insn_write).
    """
    scheme, sites = facts.need_scheme(), facts.need_sites()
    if not scheme.is_multi_word:
        raise Skip(f"{scheme.name} rewrites one word")
    if facts.is_module:
        raise Skip("a module's addresses are not final")
    last = facts.call + np.uint64(scheme.code_store.width - 1)
    page = np.flatnonzero(facts.call // PAGE != last // PAGE)
    line = np.flatnonzero(facts.call // LINE != last // LINE)
    if len(line):
        yield facts.about_sites(
            line,
            f"of {plural(len(sites), 'call pair')} {len(page):,} across a page and {len(line):,} across a "
            f"{LINE}-byte line",
            "straddles",
        )
