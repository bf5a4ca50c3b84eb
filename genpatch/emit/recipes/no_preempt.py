# SPDX-License-Identifier: GPL-2.0-or-later
"""no-preempt: no function tracer in preemptible kernels where a sled is more than one instruction to patch."""

from __future__ import annotations

import re

from ..anchors import KconfigLine, locate
from ..edits import Action, Edit
from ..recipe import PatchPlan, Recipe, State, Verdict, integer_macro
from ..tree import Tree

_FILE = "arch/riscv/Kconfig"
_HEADER = "arch/riscv/include/asm/ftrace.h"
_WORD = 4
_SELECT = KconfigLine("select", "HAVE_FUNCTION_TRACER")
_GUARD = re.compile(r"!PREEMPT(?:ION)?\b")


def _look(tree: Tree) -> State:
    for path in (_FILE, _HEADER):
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    size = integer_macro(tree, _HEADER, "MCOUNT_INSN_SIZE")
    if size is None:
        return State(Verdict.NOT, f"{_HEADER} has no MCOUNT_INSN_SIZE")
    if size <= _WORD:
        return State(Verdict.NOT, f"one word is patched (MCOUNT_INSN_SIZE is {size}): preemption does no harm")
    text = tree.read(_FILE)
    line = locate(text, _SELECT, _FILE).of(text)
    dynamic = [span.of(text) for span in KconfigLine("select", "HAVE_DYNAMIC_FTRACE").places(text)]
    if _GUARD.search(line) or (dynamic and all(_GUARD.search(each) for each in dynamic)):
        return State(Verdict.THERE, "the tracer is not offered with PREEMPTION")
    return State(Verdict.CAN, f"{size} bytes are patched, and the tracer is offered with PREEMPTION")


def _plan(tree: Tree) -> list[PatchPlan]:
    text = tree.read(_FILE)
    line = locate(text, _SELECT, _FILE).of(text)
    head, has_condition, condition = line.partition(" if ")
    if not has_condition:
        new = f"{line} if !PREEMPTION"
    elif "||" in condition:
        new = f"{head} if ({condition.strip()}) && !PREEMPTION"
    else:
        new = f"{line} && !PREEMPTION"
    edits = (Edit(_FILE, _SELECT, Action.REPLACE, new),)
    size = integer_macro(tree, _HEADER, "MCOUNT_INSN_SIZE")
    return [PatchPlan("no-preempt/message.j2", edits, {"size": size, "words": (size or 0) // _WORD})]


RECIPE = Recipe(
    name="no-preempt",
    summary="no function tracer with PREEMPTION where a call is more than one instruction to patch",
    trees="whose ftrace patches several words and that have lost the guard (6.1 without it)",
    look=_look,
    plan=_plan,
)
