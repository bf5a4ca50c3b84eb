# SPDX-License-Identifier: GPL-2.0-or-later
"""GP105: arch_ftrace_get_symaddr leads back from the site to the symbol."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cases import CALL_OPS_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule


@rule(
    "GP105",
    "symaddr-mismatch",
    severity=Severity.ERROR,
    source='linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for atomic code patching"), v6.16',
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(
            lambda: kernel(
                Fn(name="one"),
                code=replaced(CALL_OPS_CODE, "arch_ftrace_get_symaddr", "addi a0, a0, -8\n jalr zero, 0(ra)"),
            ),
            "returns func-4",
        ),
    ),
)
def symaddr_mismatch(facts: Facts) -> Iterator[Finding]:
    """arch_ftrace_get_symaddr does not return the function's symbol.

    ## What it checks
    ip + what arch_ftrace_get_symaddr adds (read from its instructions) against the function symbol.

    ## Why it matters
    fprobe, kprobe multi-links and BPF look the function up by this address: with a wrong one they attach to
    nothing, or report another function.

    ## Remedy
    The constant must be minus the distance from the symbol to the patched instruction: -4 where auipc stands
    first and jalr is toggled.

    ## References
    arch/riscv/kernel/ftrace.c (arch_ftrace_get_symaddr); kernel/trace/fprobe.c.
    """
    sites, code = facts.need_sites(), facts.code
    if code.symaddr is None or facts.ip is None:
        raise Skip("arch_ftrace_get_symaddr is not there or could not be read")
    returned = (facts.ip - sites.func).astype(np.int64) + code.symaddr
    wrong = sites.named & (returned != 0)
    for distance in np.unique(returned[wrong]) if wrong.any() else ():
        hit = where(wrong & (returned == distance))
        yield facts.about_sites(
            hit,
            f"at {plural(len(hit), 'site')} arch_ftrace_get_symaddr returns func{int(distance):+d}",
            "symaddr",
            subject=f"{distance:+d}",
        )
