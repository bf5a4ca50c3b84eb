# SPDX-License-Identifier: GPL-2.0-or-later
"""GP131: a module's sleds are those of its kernel."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.model import ImageKind
from ..cases import PAIR_CODE, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_CALL_OPS = (Fn(name="one"), Fn(name="two"))


@rule(
    "GP131",
    "module-sled-differs",
    severity=Severity.ERROR,
    applies="module",
    source="linux kernel/trace/ftrace.c (ftrace_module_init): a module's sites are patched like the kernel's",
    cases=(
        clean(lambda: kernel(*_CALL_OPS, kind=ImageKind.MODULE, of=kernel(*_CALL_OPS))),
        fires(
            lambda: kernel(*_CALL_OPS, kind=ImageKind.MODULE, of=kernel(Fn(name="k", before=0), code=PAIR_CODE)),
            "8 bytes before and 8 after, its kernel's 0 and 8",
        ),
    ),
)
def module_sled_differs(facts: Facts) -> Iterator[Finding]:
    """A module was built with another -fpatchable-function-entry than its kernel.

    ## What it checks
    The usual sled of the module, before and after the symbol, against the kernel's.

    ## Why it matters
    The kernel patches a module's sites with its own constants. With another layout it writes into functions
    as soon as the module is loaded.

    ## Remedy
    Rebuild the module in the kernel's own build tree, with its Makefile and compiler.

    ## References
    arch/riscv/Makefile (CC_FLAGS_FTRACE).
    """
    if facts.kernel is None:
        raise Skip("the module's kernel was not given")
    if not len(facts.sites) or not len(facts.kernel.sites):
        raise Skip("the module or its kernel has no sites")
    mine, theirs = facts.sites.usual, facts.kernel.sites.usual
    if mine != theirs:
        yield Finding(
            message=f"the module's sleds have {mine[0]} bytes before and {mine[1]} after, its kernel's "
            f"{theirs[0]} and {theirs[1]}",
            kind="sled",
            count=len(facts.sites),
        )
