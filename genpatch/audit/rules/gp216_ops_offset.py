# SPDX-License-Identifier: GPL-2.0-or-later
"""GP216: the trampoline reads ftrace_ops where its members are."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import FREGS, OPS, Fn, clean, fires, kernel, layout_of
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_OTHER = layout_of("ftrace_ops", 208, func=0, flags=16, direct_call=200)


@rule(
    "GP216",
    "ops-offset-mismatch",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux arch/riscv/kernel/asm-offsets.c: FTRACE_OPS_FUNC, FTRACE_OPS_DIRECT_CALL; BTF of the image",
    cases=(
        clean(lambda: kernel(Fn(name="one"), structs=(FREGS, OPS))),
        fires(lambda: kernel(Fn(name="one"), structs=(FREGS, _OTHER)), "direct_call at 192, .* 200"),
    ),
)
def ops_offset_mismatch(facts: Facts) -> Iterator[Finding]:
    """The trampoline loads a member of struct ftrace_ops from another offset than the struct has it at.

    ## What it checks
    The offsets at which ftrace_caller loads the callback and the direct target from the ops, against BTF.

    ## Why it matters
    The trampoline jumps through whatever member stands at that offset.

    ## Remedy
    Generate the constants from the struct (asm-offsets.c) and rebuild all objects.

    ## References
    arch/riscv/kernel/asm-offsets.c; include/linux/ftrace.h (struct ftrace_ops).
    """
    caller, ops = facts.code.caller, facts.struct("ftrace_ops")
    if ops is None:
        raise Skip("no type information for struct ftrace_ops")
    if caller is None or caller.literal is None:
        raise Skip("ftrace_caller loads nothing from an ops")
    for member, used in (("func", caller.ops_func_at), ("direct_call", caller.direct_at)):
        if used is None:
            continue
        if not ops.has(member) or ops.offset(member) != used:
            stands = f"has it at {ops.offset(member)}" if ops.has(member) else "has no such member"
            yield Finding(
                message=f"ftrace_caller reads ops->{member} at {used}, struct ftrace_ops {stands}",
                kind=member, address=caller.span.start, symbol=caller.name,
            )  # fmt: skip
