# SPDX-License-Identifier: GPL-2.0-or-later
"""GP104: compiler, symbol and ftrace_call_adjust agree where the site is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...schemes.model import Need
from ..cases import CALL_OPS_CODE, PAIR_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule


@rule(
    "GP104",
    "layout-mismatch",
    severity=Severity.ERROR,
    source='linux c217157bcd1d ("riscv: Implement HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"), v6.16',
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        clean(lambda: kernel(Fn(name="one", before=0), code=PAIR_CODE)),
        fires(
            lambda: kernel(
                Fn(name="one"),
                code=replaced(CALL_OPS_CODE, "ftrace_call_adjust", "addi a0, a0, 4\n jalr zero, 0(ra)"),
            ),
            r"func-4, .* patches func\+4",
        ),
        fires(lambda: kernel(Fn(name="one", before=0), Fn(name="two", before=0)), r"func\+12"),
    ),
)
def layout_mismatch(facts: Facts) -> Iterator[Finding]:
    """ftrace_call_adjust does not lead from the table entry to the instruction that must be patched.

    ## What it checks
    entry + what ftrace_call_adjust adds (read from its instructions) against symbol + where the scheme's
    first patched instruction stands. The entry is where the compiler put the sled, so three parties are
    compared: -fpatchable-function-entry=N,M, the function symbol, and the kernel's C code.

    ## Why it matters
    When they disagree the kernel patches bytes that are never executed, or the middle of the function.
    Tracing then stays silent, or the kernel crashes when the first tracer is enabled.

    ## Remedy
    The prefix (M of N,M) must be there exactly when ftrace_call_adjust skips it. On 6.16 and later that is
    when DYNAMIC_FTRACE_WITH_CALL_OPS is set; the compiler flag was not made conditional on it, so a
    configuration that excludes CALL_OPS (CFI) still gets the prefix.

    ## References
    arch/riscv/Makefile (CC_FLAGS_FTRACE); arch/riscv/kernel/ftrace.c (ftrace_call_adjust).
    """
    scheme, sites = facts.need_scheme(), facts.need_sites()
    if facts.ip is None or facts.adjust is None:
        raise Skip("ftrace_call_adjust could not be read")
    off = (facts.ip - sites.func).astype(np.int64)
    lead = 0 if Need.LANDING_PAD in scheme.needs else sites.lead  # a scheme with a pad counts it
    wrong = sites.named & (off != scheme.ip_offset + lead)
    for distance in np.unique(off[wrong]) if wrong.any() else ():
        hit = where(wrong & (off == distance))
        below = int(sites.before[hit[0]])
        yield facts.about_sites(
            hit,
            f"at {plural(len(hit), 'site')} the entry stands {below} bytes before the symbol and ftrace_call_adjust "
            f"adds {facts.adjust}: the kernel takes func{int(distance):+d}, but {scheme.name} patches "
            f"func{scheme.ip_offset:+d}",
            "ip",
            subject=f"{distance:+d}",
        )
