# SPDX-License-Identifier: GPL-2.0-or-later
"""cfi-prefix: nops before a function only in builds whose ftrace knows of them."""

from __future__ import annotations

import re

from ..anchors import MakeBlock
from ..csource import parse
from ..edits import Action, Edit
from ..errors import EmitError
from ..kbuild import Assignment, assignments
from ..recipe import PatchPlan, Recipe, State, Verdict
from ..render import code
from ..tree import Tree

_FILE = "arch/riscv/Makefile"
_SOURCE = "arch/riscv/kernel/ftrace.c"
_VARIABLE = "CC_FLAGS_FTRACE"
_OPTION = "CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS"
_ENTRY = re.compile(r"-fpatchable-function-entry=(\d+)(?:,(\d+))?")


def _nops(assignment: Assignment) -> tuple[int, int]:
    """Return how many nops a flag asks for: (before the function, in it)."""
    found = _ENTRY.search(assignment.value)
    total, before = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    return before, total - before


def _prefixed(tree: Tree) -> list[Assignment]:
    return [each for each in assignments(tree.read(_FILE), _VARIABLE) if _nops(each)[0]]


def _is_for_call_ops(assignment: Assignment) -> bool:
    """Tell whether some conditional lets an assignment through only with call ops."""
    return any(
        f"{_OPTION})" in f"{condition.replace(' ', ')')})"
        and condition.startswith(("ifeq ", "ifdef ", "else of ifneq ", "else of ifndef "))
        for condition in assignment.conditions
    )


def _look(tree: Tree) -> State:
    for path in (_FILE, _SOURCE):
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    found = _prefixed(tree)
    if not found:
        return State(Verdict.NOT, f"no {_VARIABLE} in {_FILE} asks for nops before a function")
    if all(_is_for_call_ops(each) for each in found):
        return State(Verdict.THERE, f"nops before a function are asked for only with {_OPTION}")
    text = tree.read(_SOURCE)
    adjusts = [span.of(text) for span in parse(text).functions("ftrace_call_adjust")]
    if not any(_OPTION in body for body in adjusts):
        return State(Verdict.NOT, f"ftrace_call_adjust() does not depend on {_OPTION}")
    return State(Verdict.CAN, f"nops before a function are asked for without {_OPTION} too")


def _plan(tree: Tree) -> list[PatchPlan]:
    found = [each for each in _prefixed(tree) if not _is_for_call_ops(each)]
    block = _block_of(found)
    nops = {_nops(each)[1] for each in found}
    values = [(each.conditions[-1].startswith("else of "), _nops(each)[1]) for each in found]
    if len(nops) != 2 or [is_else for is_else, _ in values] != [False, True]:
        raise EmitError(f"{_FILE}: assignments to {_VARIABLE}: expected one in each branch of {block.condition}")
    lines = code("cfi-prefix/else.mk.j2", condition=block.condition, first=values[0][1], other=values[1][1])
    edits = (
        Edit(_FILE, block, Action.AFTER, lines),
        Edit(_FILE, block, Action.BEFORE, code("cfi-prefix/if.mk.j2")),
    )
    fixes = (("c217157bcd1d", "riscv: Implement HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS"),)
    return [PatchPlan("cfi-prefix/message.j2", edits, {"flags": [_ENTRY.findall(e.value)[0] for e in found]}, fixes)]


def _block_of(found: list[Assignment]) -> MakeBlock:
    """Return the conditional that chooses between the flags.

    Raises:
        EmitError: they do not stand in one.
    """
    opened = [each for each in found if each.blocks]
    if len(opened) != len(found) or len({each.blocks[-1] for each in found}) != 1:
        raise EmitError(f"{_FILE}: assignments to {_VARIABLE}: expected in the branches of one conditional")
    condition = found[0].conditions[-1].removeprefix("else of ").partition(", if")[0]
    return MakeBlock(condition, found[0].conditions[:-1], _VARIABLE)


RECIPE = Recipe(
    name="cfi-prefix",
    summary="no nops before functions where call-ops is off, so that CFI builds boot and trace",
    trees="that ask the compiler for nops before functions in every build (7.2)",
    look=_look,
    plan=_plan,
)
