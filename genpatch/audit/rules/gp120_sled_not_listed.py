# SPDX-License-Identifier: GPL-2.0-or-later
"""GP120: every function with a sled is in the table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...sites.model import Nops
from ...units import I64Array, U64Array
from ..cases import Fn, clean, fires, kernel
from ..facts import Facts, join_names
from ..model import Finding, Severity, Skip, agree, plural
from ..registry import rule

_NOPS = (b"\x01\x00", b"\x13\x00\x00\x00")


@rule(
    "GP120",
    "sled-not-listed",
    severity=Severity.WARNING,
    source="gcc and clang manuals, -fpatchable-function-entry: each sled gets an entry of __patchable_function_entries",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="plain", before=0, after=0, entry=None))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="two"), Fn(name="lost", entry=None)), "1 function has .*: lost"),
    ),
)
def sled_not_listed(facts: Facts) -> Iterator[Finding]:
    """Functions carry a sled like all others, but the table does not list them.

    ## What it checks
    Function symbols in executable sections that have nops before and behind the symbol exactly as the
    image's sites have them, and are not in the table.

    ## Why it matters
    The function pays for its sled and cannot be traced, patched live or hooked. When entries are pruned at
    build time this is how a function that was taken for an overridden one by mistake shows.

    ## Remedy
    Compare the objects' __patchable_function_entries with the linked table. If the entry is zero there,
    look at how scripts/sorttable reads the list of symbols.

    ## References
    scripts/sorttable.c (parse_symbols); scripts/link-vmlinux.sh.
    """
    sites, memory = facts.need_sites(), facts.image.memory
    before, after = sites.usual
    if before + after < 8:
        raise Skip("the usual sled is too short to be told from padding")
    starts, chosen = _unlisted(facts)
    data, stored = memory.windows(starts, before, before + after)
    pattern = np.frombuffer(_NOPS[sites.sled_kinds[0][2] == Nops.NOP] * ((before + after) // 2), np.uint8)
    alike = (data == pattern[: before + after]).all(axis=1) & stored.all(axis=1)
    known = facts.image.other_patches  # a jump label's nop is no sled
    free = np.searchsorted(known, starts) == np.searchsorted(known, starts + np.uint64(after))
    hit = chosen[alike & free]
    if len(hit):
        names = join_names(facts.image.symbols.named(hit.tolist()[:6]), limit=4)
        rest = f" and {len(hit) - 4:,} more" if len(hit) > 6 else ""
        yield Finding(
            message=f"{plural(len(hit), 'function')} {agree(len(hit), 'has', 'have')} a sled of {before}+{after} bytes "
            f"but no entry in the table: {names}{rest}",
            kind="unlisted",
            address=int(facts.image.symbols.address[hit[0]]),
            symbol=facts.image.symbols.name(int(hit[0])),
            count=len(hit),
        )


def _unlisted(facts: Facts) -> tuple[U64Array, I64Array]:
    """Return addresses and symbols of the functions in instructions that no entry belongs to."""
    symbols = facts.image.symbols
    starts = symbols.function_starts
    sites = np.sort(facts.sites.func)
    at = np.searchsorted(sites, starts)
    fresh = np.append(True, starts[1:] != starts[:-1])[: len(starts)]  # one symbol an address
    keep = np.flatnonzero(fresh & (sites[np.minimum(at, len(sites) - 1)] != starts))
    keep = keep[facts.executable[facts.image.memory.region_numbers(starts[keep])]]
    return starts[keep], symbols.functions[keep]
