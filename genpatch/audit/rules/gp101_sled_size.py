# SPDX-License-Identifier: GPL-2.0-or-later
"""GP101: sleds are as long as the scheme needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...schemes.model import Need
from ...sites.model import Nops
from ..cases import C_NOP, NOP, PAIR_CODE, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, plural, where
from ..registry import rule

_TWO = (Fn(name="one"), Fn(name="two"), Fn(name="three"))


@rule(
    "GP101",
    "sled-size-mismatch",
    severity=Severity.ERROR,
    source="gcc and clang manuals, -fpatchable-function-entry=N,M: N nop instructions in all, M of them before",
    cases=(
        clean(lambda: kernel(*_TWO)),
        clean(lambda: kernel(Fn(name="f", before=0, nop=NOP), Fn(name="g", before=0, nop=NOP), code=PAIR_CODE)),
        fires(lambda: kernel(*_TWO, Fn(name="short", after=4)), "4 bytes after .* needs 8"),
        fires(lambda: kernel(*_TWO, Fn(name="short", before=4)), "4 bytes before .* needs 8"),
        fires(
            lambda: kernel(Fn(name="f", before=0, after=16), code=PAIR_CODE),
            "16 bytes .* 8 c.nop instructions",
        ),
        fires(lambda: kernel(*_TWO, Fn(name="long", after=16, nop=C_NOP)), "16 bytes after .* needs 8"),
    ),
)
def sled_size_mismatch(facts: Facts) -> Iterator[Finding]:
    """Some sleds are shorter or longer than the scheme needs.

    ## What it checks
    The nops below the function symbol and from it on, in bytes, each against what the image's scheme
    patches: 8 and 8 for call-ops, 0 and 8 for pair-t0 and auipc-fixed, 0 and 16 for mcount-ra16.

    ## Why it matters
    A sled that is too short lets the patcher overwrite the function's first instructions, or the function
    before it. One that is too long is executed as nops at every call, and whoever skips the sled by its
    size (a BPF trampoline that calls the original function) skips to the wrong place.

    ## Remedy
    -fpatchable-function-entry counts instructions, not bytes: with compressed instructions 4 nops are 8
    bytes, without them 2 nops are. Check CC_FLAGS_FTRACE of every directory and objects that were built
    with other flags.

    ## References
    arch/riscv/Makefile (CC_FLAGS_FTRACE); arch/riscv/include/asm/ftrace.h (MCOUNT_INSN_SIZE).
    """
    scheme, sites = facts.need_scheme(), facts.need_sites()
    nops = (sites.spelling >= Nops.C_NOP) & (sites.spelling <= Nops.MIXED)
    needed_after = scheme.after - (sites.lead if Need.LANDING_PAD in scheme.needs else 0)  # the pad is no nop
    told = sites.named & (sites.lead == 0)  # an entry behind a pad says nothing of what is below func
    short_after = nops & (sites.after < needed_after)
    long_after = nops & (sites.after > needed_after)
    parts = (
        ("after", sites.after, short_after, scheme.after, Severity.ERROR),
        ("after", sites.after, long_after, scheme.after, Severity.WARNING),
        ("before", sites.before, told & (sites.before < scheme.before), scheme.before, Severity.ERROR),
        (
            "before",
            sites.before,
            told & (sites.before > scheme.before),
            scheme.before,
            Severity.WARNING,
        ),
    )
    for side, sizes, wrong, needed, level in parts:
        for size in np.unique(sizes[wrong]) if wrong.any() else ():
            hit = where(wrong & (sizes == size))
            yield facts.about_sites(
                hit,
                f"{plural(len(hit), 'sled')} of {int(size)} bytes {side} the function symbol, {scheme.name} needs "
                f"{needed}{_instructions(facts, int(hit[0]), side, int(size), needed)}",
                f"{side}-{'short' if size < needed else 'long'}",
                level=level,
                subject=f"{size}",
            )


def _instructions(facts: Facts, site: int, side: str, size: int, needed: int) -> str:
    """Say how many instructions that is, where the flag's unit is the likely cause."""
    spelling = facts.sites.spelling[site] if side == "after" else facts.sites.before_spelling[site]
    width = {int(Nops.C_NOP): 2, int(Nops.NOP): 4}.get(int(spelling))
    if width is None or not size:
        return ""
    name = Nops(int(spelling)).text
    return f" (they are {size // width} {name} instructions; {needed // width} would do)"
