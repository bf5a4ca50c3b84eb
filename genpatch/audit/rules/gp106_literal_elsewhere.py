# SPDX-License-Identifier: GPL-2.0-or-later
"""GP106: the ops pointer is written where the trampoline reads it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule


@rule(
    "GP106",
    "literal-elsewhere",
    severity=Severity.ERROR,
    source='linux c217157bcd1d ("riscv: Implement HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"), v6.16',
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="odd", at=SITES_AT + 0x44)), "written at .* read at"),
    ),
)
def literal_elsewhere(facts: Facts) -> Iterator[Finding]:
    """The patcher writes the ops pointer to another address than the trampoline loads it from.

    ## What it checks
    For each site the address that ftrace_make_call writes 8 bytes to (decoded, rounding included) against the
    address that ftrace_caller loads through the link register.

    ## Why it matters
    The trampoline would call through whatever stands at the other address: nops, or another function's code.
    The kernel rounds the address down to 8, so the two differ where a function stands at 4 modulo 8.

    ## Remedy
    Align functions to 8 (FUNCTION_ALIGNMENT_8B with a compiler that has -fmin-function-alignment), or write
    without rounding.

    ## References
    arch/riscv/kernel/ftrace.c (ftrace_rec_set_ops); arch/riscv/kernel/mcount-dyn.S (ftrace_caller).
    """
    sites, caller = facts.need_sites(), facts.code.caller
    if facts.need_scheme().literal is None:
        raise Skip("the scheme has no literal")
    store = facts.code.literal_store
    if caller is None or caller.literal is None or store is None or facts.ip is None:
        raise Skip("the write or the load of the literal could not be read")
    written = (facts.ip + np.uint64(store.at % (1 << 64))) & np.uint64(-store.align_down % (1 << 64))
    for literal in sorted(set(caller.literals)):
        read = facts.ip + np.uint64((4 + literal) % (1 << 64))
        hit = where(read != written)
        if not len(hit):
            continue
        first = int(hit[0])
        writes_at, reads_at = ((at - sites.func).astype(np.int64)[first] for at in (written, read))
        yield facts.about_sites(
            hit,
            f"at {plural(len(hit), 'site')} the ops pointer is written at func{writes_at:+d} and read at "
            f"func{reads_at:+d}",
            "elsewhere",
        )
