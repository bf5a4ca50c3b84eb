# SPDX-License-Identifier: GPL-2.0-or-later
"""hi20-check: a direct call is taken for near only if it shares the auipc of ftrace_caller."""

from __future__ import annotations

from dataclasses import replace

from ..anchors import Function, Statement, locate
from ..edits import Action, Edit
from ..recipe import PatchPlan, Recipe, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree

_FILE = "arch/riscv/kernel/ftrace.c"
_HEADER = "arch/riscv/include/asm/ftrace.h"
_TEST = Statement("ftrace_make_call", "if", condition=("distance", "JALR_RANGE"))
_CONDITION = replace(_TEST, only_condition=True)
_NAMES = ("distance", "orig_addr", "pc")


def _look(tree: Tree) -> State:
    if not tree.has(_FILE) or not tree.has(_HEADER):
        return State(Verdict.NOT, f"there is no {_FILE if tree.has(_HEADER) else _HEADER}")
    if "JALR_RANGE" not in tree.read(_HEADER):
        return State(Verdict.NOT, "ftrace_make_call() writes the auipc with the jalr, there is no reach to test")
    if integer_macro(tree, _HEADER, "MCOUNT_JALR_SIZE") is None:
        return State(Verdict.NOT, "the jalr is not patched alone (there is no MCOUNT_JALR_SIZE)")
    text = tree.read(_FILE)
    body = locate(text, Function("ftrace_make_call"), _FILE).of(text)
    if "to_auipc_t0" in body:
        return State(Verdict.THERE, "ftrace_make_call() compares the auipc of both targets")
    for place in _CONDITION.places(text):
        if (test := " ".join(place.of(text).split())) != "distance > JALR_RANGE":
            return State(Verdict.NOT, f"the reach test is not the plain one: {test}")
    return State(Verdict.CAN, "ftrace_make_call() tests the distance only")


def _plan(_: Tree) -> list[PatchPlan]:
    declaration = Statement("ftrace_make_call", "declaration", _NAMES)
    edits = (
        Edit(_FILE, declaration, Action.AFTER, code("hi20-check/declaration.c.j2")),
        Edit(_FILE, _TEST, Action.BEFORE, code("hi20-check/offsets.c.j2")),
        Edit(
            _FILE,
            _CONDITION,
            Action.REPLACE,
            code("hi20-check/condition.c.j2").rstrip("\n"),
        ),
    )
    fixes = (("b2137c3b6d7a", "riscv: ftrace: prepare ftrace for atomic code patching"),)
    return [PatchPlan("hi20-check/message.j2", edits, fixes=fixes)]


RECIPE = Recipe(
    name="hi20-check",
    summary="the reach test of ftrace_make_call() compares what the auipc must be, not only the distance",
    trees="that patch the jalr alone and call near targets directly (7.2)",
    look=_look,
    plan=_plan,
)
