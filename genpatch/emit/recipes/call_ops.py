# SPDX-License-Identifier: GPL-2.0-or-later
"""call-ops: auipc-fixed, and a pointer to the ftrace_ops before each function, which one trampoline loads."""

from __future__ import annotations

from ..parts.one_word import call_ops_edits, direct_edits, missing, no_ops, obstacle, one_word_plans, shape_of
from ..recipe import PatchPlan, Recipe, State, Verdict
from ..tree import Tree


def _look(tree: Tree) -> State:
    if (state := missing(tree)) is not None:
        return state
    shape = shape_of(tree)
    if shape.ops:
        return State(Verdict.THERE, "arch/riscv/Kconfig selects HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS")
    if (state := no_ops(tree)) is not None:
        return state
    if not shape.word:
        return obstacle(tree) or State(Verdict.CAN, "both instructions of a call are patched, with the machine stopped")
    if not shape.dispatcher:
        return State(Verdict.NOT, "one word of a call is patched, but ftrace_caller has no ftrace_common_ops")
    return State(Verdict.CAN, "one word of a call is patched, no function has ops of its own")


def _plan(tree: Tree) -> list[PatchPlan]:
    shape = shape_of(tree)
    plans = [] if shape.word else one_word_plans(tree)
    direct = shape.word and shape.direct
    plans.append(PatchPlan("call-ops/ops.message.j2", tuple(call_ops_edits(tree, direct=direct))))
    if not direct:
        plans.append(PatchPlan("direct-calls/ops.message.j2", tuple(direct_edits(ops=True))))
    return plans


RECIPE = Recipe(
    name="call-ops",
    summary="a pointer to the ftrace_ops before each function, one word patched, without stopping the machine",
    trees="whose trampoline saves ftrace_regs and that patch both instructions of a call (6.12), or with auipc-fixed",
    look=_look,
    plan=_plan,
    cover="call-ops/cover.j2",
    scheme="call-ops-direct",
)
