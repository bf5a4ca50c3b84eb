# SPDX-License-Identifier: GPL-2.0-or-later
"""GP536: what is more than one instruction is patched while the machine is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..change import Change
from ..ctree import FunctionTree, trees_of
from ..layout import HEADER
from ..lengths import WRITES, Use, constants, uses_of
from ..locks import STOPS, reached_from, text_sources
from ..model import Place, Problem
from ..patching import KPROBES, STORES
from ..registry import source_rule
from ..source import constant

_WORD = 4
_MANY = 3


@source_rule("GP536", "lost-stop-machine")
def lost_stop(change: Change) -> Iterable[Problem]:
    """Several instructions are patched, and other processors are no longer stopped.

    ## What it checks
    In the C files of arch/riscv that the patch changes: functions that called stop_machine() or patch_text() and
    now write more than one instruction without it: ftrace by MCOUNT_INSN_SIZE of asm/ftrace.h, others by the
    lengths of the calls that they and functions of the file that they call make, where those are plain numbers,
    and a patch_text() that takes any length. A variable that is no array is one number, and written at once; not so
    in what arms and disarms kprobes, where four bytes may stand on any multiple of two. A call that moved to a
    function that they call, or that calls them, is not missed.

    ## Why it matters
    A processor that runs the instructions while they are written sees some of the old and some of the new.

    ## Remedy
    Keep stop_machine(), or patch one aligned instruction at a time.

    ## References
    arch/riscv/kernel/patch.c; arch/riscv/kernel/ftrace.c.
    """
    for path, was, new in text_sources(change):
        changed = [name for name in new if name in was and was[name].bodies != new[name].bodies]
        if not changed:
            continue
        trees, old = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        macros = constants(change.after.read(HEADER), change.after.read(path))
        for name in changed:
            if name not in trees or name not in old or not _stops(old[name]) or _stops(trees[name]):
                continue
            near = reached_from([name], trees) & set(trees)
            near |= {other for other in trees if name in _called(trees[other])}
            if any(_stops(trees[other]) > _stops(old.get(other)) for other in near):
                continue
            yield from _lost(path, trees, name, macros)


def _lost(path: str, trees: Mapping[str, FunctionTree], name: str, macros: Mapping[str, str]) -> Iterator[Problem]:
    reached = reached_from([name], trees)
    tree = trees[name]
    many = 0
    if "ftrace_modify_all_code" in reached:
        many = constant(macros.get("MCOUNT_INSN_SIZE", ""), macros, {}) or 0
    elif reached & STORES:
        callees = [trees[other] for other in sorted(reached) if other in trees and other != name]
        uses, others = _writes([tree], macros), _writes(callees, macros)
        many = max((_at_once(use) for use in (*uses, *others)), default=0)
        if path == KPROBES and _of_probe(tree):
            many = _WORD + 1
        is_known = uses or (others and all(use.takes is not None for use in others))
        if not is_known and len(tree.parameters) >= _MANY:
            many = _WORD + 1
    if many > _WORD:
        text = f"{name}() writes more than one instruction and no longer stops other processors"
        line = next((call[3] for call in tree.calls if call[1] in reached), tree.line)
        yield Problem(name, (Place(path, line), Place(path, tree.line)), text)


def _writes(functions: Iterable[FunctionTree], macros: Mapping[str, str]) -> list[Use]:
    return [use for tree in functions for use in uses_of(tree, macros) if use.callee in WRITES]


def _at_once(use: Use) -> int:
    """Return the bytes that a call writes, or a word if they are one number: an address, that a load takes whole."""
    if use.takes is None:
        return 0
    return _WORD if not use.elements and use.has == use.takes else use.takes


def _of_probe(tree: FunctionTree) -> bool:
    """Tell whether a function writes where a probe stands."""
    return any(
        call[1] in WRITES and call[2] and call[2][0][0] == "field" and call[2][0][2] == "addr" for call in tree.calls
    )


def _called(tree: FunctionTree) -> set[str]:
    return {call[1] for call in tree.calls}


def _stops(tree: FunctionTree | None) -> int:
    if tree is None:
        return 0
    names = [call[1] for call in tree.calls]
    return sum(name in STOPS or (name == "patch_text" and tree.name != "patch_text") for name in names)
