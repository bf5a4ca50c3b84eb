# SPDX-License-Identifier: GPL-2.0-or-later
"""direct-calls: ftrace_caller takes ops->direct_call, where one word of a call is patched."""

from __future__ import annotations

from ..parts.one_word import direct_edits, missing, shape_of
from ..recipe import PatchPlan, Recipe, State, Verdict
from ..tree import Tree


def _look(tree: Tree) -> State:
    if (state := missing(tree)) is not None:
        return state
    shape = shape_of(tree)
    if not shape.word:
        return State(Verdict.NOT, "a site calls direct trampolines itself, in two words: auipc-fixed or call-ops first")
    if shape.direct:
        return State(Verdict.THERE, "arch/riscv/Kconfig selects HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")
    if not shape.dispatcher:
        return State(Verdict.NOT, "ftrace_caller has no ftrace_common_ops")
    return State(Verdict.CAN, "all calls go to ftrace_caller, and that takes no direct calls")


def _plan(tree: Tree) -> list[PatchPlan]:
    ops = shape_of(tree).ops
    return [PatchPlan(f"direct-calls/{'ops' if ops else 'list'}.message.j2", tuple(direct_edits(ops=ops)))]


RECIPE = Recipe(
    name="direct-calls",
    summary="direct calls (BPF trampolines) are taken in ftrace_caller, where one word of a call is patched",
    trees="that have had auipc-fixed, or call-ops without its last patch",
    look=_look,
    plan=_plan,
    scheme="call-ops-direct",
)
