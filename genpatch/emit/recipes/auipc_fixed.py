# SPDX-License-Identifier: GPL-2.0-or-later
"""auipc-fixed: the auipc of a call is written once, its jalr alone is patched, while all harts run."""

from __future__ import annotations

from ..parts.one_word import missing, obstacle, one_word_plans, shape_of
from ..recipe import PatchPlan, Recipe, State, Verdict
from ..tree import Tree


def _look(tree: Tree) -> State:
    if (state := missing(tree)) is not None:
        return state
    if shape_of(tree).word:
        return State(Verdict.THERE, "one word of a call is patched (MCOUNT_INSN_SIZE is 4)")
    return obstacle(tree) or State(Verdict.CAN, "both instructions of a call are patched, with the machine stopped")


def _plan(tree: Tree) -> list[PatchPlan]:
    return one_word_plans(tree)


RECIPE = Recipe(
    name="auipc-fixed",
    summary="the auipc of a call is written once and its jalr alone is patched, without stopping the machine",
    trees="whose trampoline saves ftrace_regs and that patch both instructions of a call (6.12)",
    look=_look,
    plan=_plan,
    cover="auipc-fixed/cover.j2",
    scheme="auipc-fixed",
)
