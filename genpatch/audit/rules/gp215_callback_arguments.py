# SPDX-License-Identifier: GPL-2.0-or-later
"""GP215: the callback is told the right addresses."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CALL_OPS_CALLER, CALL_OPS_CODE, PAIR_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_LATE = CALL_OPS_CALLER.replace("addi a0, t0, -4", "addi a0, t0, -8")
_NO_FRAME = CALL_OPS_CALLER.replace("addi a3, sp, 0", "addi a3, zero, 0")
_NO_PARENT = CALL_OPS_CALLER.replace("addi a1, ra, 0", "addi a1, t0, 0")


@rule(
    "GP215",
    "callback-arguments-wrong",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux include/linux/ftrace.h: ftrace_func_t(ip, parent_ip, op, fregs)",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: kernel(Fn(name="one", before=0), code=PAIR_CODE)),
        fires(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _LATE)), r"func\+0"),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _NO_PARENT)),
            "parent",
        ),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _NO_FRAME)),
            "a3",
        ),
    ),
)
def callback_arguments_wrong(facts: Facts) -> Iterator[Finding]:
    """ftrace_caller passes an ip or a parent ip that is not the site's.

    ## What it checks
    a0 at the callback (an offset from the link register, decoded) against where the scheme patches; a1
    against the return address that the function was called with.

    ## Why it matters
    ftrace finds the record of a callback by ip. With a wrong one hash lookups fail: filters, function graph
    and live patching act on nothing.

    ## Remedy
    Subtract from the link register exactly the distance to the patched instruction.

    ## References
    arch/riscv/kernel/mcount-dyn.S (PREPARE_ARGS).
    """
    scheme, caller = facts.need_scheme(), facts.code.caller
    if caller is None or caller.ip_argument is None or not caller.complete or caller.link is None:
        raise Skip("ftrace_caller is not there or its arguments could not be followed")
    if caller.link.value != "t0":
        raise Skip("the trampoline is not called through t0")
    passed = scheme.return_offset + caller.ip_argument
    if passed != scheme.ip_offset:
        yield Finding(
            message=f"ftrace_caller passes func{passed:+d} as ip, the site is func{scheme.ip_offset:+d}",
            kind="ip", address=caller.span.start, symbol=caller.name,
        )  # fmt: skip
    if caller.frame is not None and caller.frame.passes_frame != 13:
        yield Finding(
            message="ftrace_caller does not pass its frame as ftrace_regs (a3)",
            kind="fregs", address=caller.span.start, symbol=caller.name,
        )  # fmt: skip
    if caller.literal is not None and caller.ops_func_at is not None and not caller.passes_ops:
        yield Finding(
            message="ftrace_caller does not pass the ops that it loaded (a2)",
            kind="ops", address=caller.span.start, symbol=caller.name,
        )  # fmt: skip
    if caller.parent_argument != 1:
        yield Finding(
            message="ftrace_caller does not pass the function's return address (ra) as parent ip",
            kind="parent", address=caller.span.start, symbol=caller.name,
        )  # fmt: skip
