# SPDX-License-Identifier: GPL-2.0-or-later
"""GP214: what callbacks read of ftrace_regs was written."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CALL_OPS_CALLER, CALL_OPS_CODE, FREGS, OPS, Fn, clean, fires, kernel, layout_of, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule
from .gp211_frame_mismatch import struct_passed

_READ = frozenset({"epc", "ra", "sp", "s0", "t1", *(f"a{n}" for n in range(8))})
_NO_S0 = CALL_OPS_CALLER.replace("    sd s0, 24(sp)\n", "").replace("    ld s0, 24(sp)\n", "")
_FULL = layout_of("__arch_ftrace_regs", 112, **{m.name: m.offset for m in FREGS.members if m.name != "direct_tramp"})


@rule(
    "GP214",
    "field-unset",
    severity=Severity.WARNING,
    applies="kernel",
    source="linux arch/riscv/include/asm/ftrace.h: ftrace_regs_get_*, ftrace_partial_regs",
    cases=(
        clean(lambda: kernel(Fn(name="one"), structs=(_FULL, OPS))),
        fires(lambda: kernel(Fn(name="one"), structs=(FREGS, OPS)), "direct_tramp"),
        fires(
            lambda: kernel(Fn(name="one"), structs=(_FULL, OPS), code=replaced(CALL_OPS_CODE, "ftrace_caller", _NO_S0)),
            "does not store s0",
        ),
    ),
)
def field_unset(facts: Facts) -> Iterator[Finding]:
    """ftrace_caller leaves members of struct ftrace_regs unwritten.

    ## What it checks
    Each member of the struct against the stores that ftrace_caller makes before it calls back. Members that
    the kernel's accessors read (epc, ra, sp, s0, t1, a0-a7) give a warning, others a note.

    ## Why it matters
    The callback reads what happened to be on the stack. The frame pointer is the usual case: it is stored
    only when frame pointers are configured, yet function graph, perf and BPF read it.

    ## Remedy
    Store every member, or take it out of the struct.

    ## References
    arch/riscv/kernel/mcount-dyn.S (SAVE_ABI_REGS); arch/riscv/kernel/ftrace.c (ftrace_graph_func).
    """
    if facts.image.types is None:
        raise Skip("no type information (BTF)")
    caller, struct = facts.code.caller, struct_passed(facts, "ftrace_caller")
    if caller is None or caller.frame is None or struct is None or caller.frame.passes_frame is None:
        raise Skip("ftrace_caller passes no frame whose struct is known")
    if struct.size > caller.frame.size - caller.frame.base:
        raise Skip("the frame is smaller than the struct (frame-struct-mismatch)")
    unset = [member.name for member in struct.members if member.size == 8 and member.offset not in caller.frame.stored]
    for level, names in (
        (Severity.WARNING, [name for name in unset if name in _READ]),
        (Severity.NOTE, [name for name in unset if name not in _READ]),
    ):
        if names:
            yield Finding(
                message=f"ftrace_caller does not store {', '.join(names)} of struct {struct.name} before it calls back",
                kind="unset", level=level, address=caller.span.start, symbol=caller.name,
                subject=",".join(names),
            )  # fmt: skip
