# SPDX-License-Identifier: GPL-2.0-or-later
"""GP560: what is asked for of ftrace_regs is what is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..layout import FTRACE, HEADER
from ..model import Problem
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_ROOTS = (
    "ftrace_regs_get_instruction_pointer",
    "ftrace_regs_get_return_address",
    "ftrace_regs_get_stack_pointer",
    "ftrace_regs_get_frame_pointer",
    "ftrace_regs_get_return_value",
    "ftrace_regs_set_instruction_pointer",
    "ftrace_regs_set_return_value",
    "arch_ftrace_set_direct_caller",
    "ftrace_override_function_with_return",
    "ftrace_graph_func",
)


@source_rule("GP560", "regs-accessors")
def regs_accessors(change: Change) -> Iterable[Problem]:
    """A function reads or changes another register of a traced function than it is named for.

    ## What it checks
    The accessors of ftrace_regs in asm/ftrace.h, and ftrace_graph_func() of ftrace.c, are run on registers that
    all differ: the instruction pointer is epc, the return address ra, a direct call goes to a register that the
    traced function does not count on, what overrides a function sets epc to ra and nothing else, and the function
    graph replaces ra. Only what the patch brings is reported.

    ## Why it matters
    Tracers, fprobe and livepatch see or change another register: the traced function goes on in its caller, or
    returns into itself.

    ## Remedy
    Read and set the member that the name stands for.

    ## References
    include/linux/ftrace_regs.h; arch/riscv/include/asm/ftrace.h; arch/riscv/kernel/ftrace.c.
    """
    if {HEADER, FTRACE}.isdisjoint(change.paths):
        return []
    return brought(change, (HEADER, FTRACE), _ROOTS, _judged)


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..accessors import accessor_faults

    return accessor_faults(texts.read(HEADER) or "", texts.read(FTRACE) or "")
