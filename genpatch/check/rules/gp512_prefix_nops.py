# SPDX-License-Identifier: GPL-2.0-or-later
"""GP512: nops before a function that ftrace does not know of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..layout import layouts
from ..model import Problem
from ..registry import source_rule


@source_rule("GP512", "prefix-nops")
def prefix_nops(change: Change) -> Iterable[Problem]:
    """Nops before a function are asked for in builds where ftrace does not count them.

    ## What it checks
    For each configuration, the bytes of nops before a function that arch/riscv/Makefile asks for against what
    ftrace_call_adjust() adds: a site before the function's entry is wrong. Only what the patch brings is reported.

    ## Why it matters
    ftrace then patches nops that nothing executes, and the tracer never fires. With kCFI the hash before the
    function is no longer where its callers look, and the kernel panics at boot.

    ## Remedy
    Ask for nops before functions only under the option that makes ftrace_call_adjust() add them, as a rule
    CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS; ``genpatch emit cfi-prefix`` does it.

    ## References
    arch/riscv/Makefile; ftrace_call_adjust() in arch/riscv/kernel/ftrace.c.
    """
    found = list(change.new(_problems))
    if found:
        names = "; ".join(each.key for each in found)
        yield Problem(
            "prefix", tuple(dict.fromkeys(p for e in found for p in e.places)), f"{found[0].message} ({names})"
        )


def _problems(texts: Texts) -> Iterator[Problem]:
    for each in layouts(texts):
        if each.before and each.adjust is not None and each.adjust < each.before:
            what = f"{each.before} bytes of nops before a function, ftrace_call_adjust() adds {each.adjust}"
            yield Problem(each.name, each.named("makefile", "adjust"), f"the Makefile asks for {what}")
