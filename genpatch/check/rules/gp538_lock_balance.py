# SPDX-License-Identifier: GPL-2.0-or-later
"""GP538: text_mutex is taken and given back in turn, outside of stop_machine()."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change
from ..ctree import Expr, FunctionTree, Stmt, Trees, calls_in, parts_of, trees_of
from ..locks import ASSERT, FLAG, LOCKS, MUTEX, STOPS, callbacks_of, lock_faults, reached_from, text_sources
from ..model import Place, Problem
from ..patching import STORES
from ..registry import source_rule


@source_rule("GP538", "lock-balance")
def lock_balance(change: Change) -> Iterable[Problem]:
    """text_mutex is left held, taken twice, given back untaken, or asked for inside stop_machine().

    ## What it checks
    In the C files of arch/riscv that the patch changes and that patch text: every way through a function, with its
    early returns, gotos and guards, for text_mutex, cpus_read_lock(), preempt_disable() and the flag
    riscv_patch_in_stop_machine; what stop_machine()'s callbacks reach in the same file and that takes the mutex, or
    asserts it without looking at that flag; functions that stop the machine to patch and no longer set the flag,
    assert the mutex before, or hold cpus_read_lock(). Only what the patch brings is reported; a function that
    leaves something held on every way does so by intent, unless it did not before.

    ## Why it matters
    A mutex left held stops the next patcher for good. Inside stop_machine() another thread holds it: asserting it
    there is a false alarm at every patch, and waiting for it never ends.

    ## Remedy
    Leave by one exit that unlocks, or use ``guard(mutex)(&text_mutex)`` alone; keep the flag around stop_machine().

    ## References
    arch/riscv/kernel/patch.c; include/linux/cleanup.h.
    """
    for path, old, new in text_sources(change):
        before = change.before.read(path) or ""
        after = change.after.read(path) or ""
        if "text_mutex" not in after and "text_mutex" not in before:
            continue
        trees, old_trees = trees_of(after), trees_of(before)
        for name in new:
            if (name not in old or old[name].bodies != new[name].bodies) and name in trees:
                yield from _unbalanced(path, trees[name], old_trees.get(name))
        yield from _stopped(path, trees, old_trees)


def _unbalanced(path: str, tree: FunctionTree, old: FunctionTree | None) -> Iterator[Problem]:
    for lock in LOCKS:
        known = {fault.message for fault in lock_faults(old, lock)} if old is not None else set()
        for fault in lock_faults(tree, lock, old):
            if fault.message not in known:
                known.add(fault.message)
                places = (Place(path, fault.line), Place(path, tree.line))
                yield Problem(f"{fault.kind} {tree.name}", places, f"{tree.name}() {fault.message}")
    if old is not None:
        yield from _lost(path, tree, old)


def _named(tree: FunctionTree) -> set[str]:
    """Return what a function calls, by a guard too."""
    guards = {str(arg[1]) for _, name, args, _ in tree.calls if "guard" in name for arg in args if arg[0] == "id"}
    return {call[1] for call in tree.calls} | guards


def _lost(path: str, tree: FunctionTree, old: FunctionTree) -> Iterator[Problem]:
    """Yield what a function still needs and no longer asks for."""
    now, then = (_named(each) for each in (tree, old))
    place = (Place(path, tree.line),)
    if "patch_text" in now & then and "cpus_read_lock" in then - now:
        text = (
            f"{tree.name}() calls patch_text(), which stops processors, and no longer holds off their coming and going"
        )
        yield Problem(f"cpus {tree.name}", place, text)
    asserted, asserts = (any(call[1] == ASSERT and MUTEX in call[2] for call in each.calls) for each in (old, tree))
    takes = any(MUTEX in call[2] for call in tree.calls)
    if asserted and not asserts and not takes and now & STOPS:
        text = f"{tree.name}() stops the machine to patch and no longer asserts that text_mutex is held"
        yield Problem(f"no assert {tree.name}", place, text)


def _stopped(path: str, trees: Trees, old: Trees) -> Iterator[Problem]:
    """Yield what a patch does wrong inside stop_machine()."""
    now = _inside(trees)
    then = _inside(old) if now else {}
    for key, (line, message) in now.items():
        if key not in then:
            yield Problem(key, (Place(path, line),), message)


def _inside(trees: Trees) -> dict[str, tuple[int, str]]:
    callbacks = callbacks_of(trees)
    inside = reached_from(callbacks, trees)
    found: dict[str, tuple[int, str]] = {}
    for name in sorted(inside & set(trees)):
        tree = trees[name]
        for call in _plain_calls(tree.body, ASSERT):
            text = f"{name}() asserts text_mutex inside stop_machine(), where the thread that holds it is another"
            found[f"assert {name}"] = (call[3], text)
        for call in _plain_calls(tree.body, "mutex_lock"):
            text = f"{name}() takes text_mutex inside stop_machine(), where nothing may wait"
            found[f"lock {name}"] = (call[3], text)
    sets = _flag_line(trees, 1)
    if sets and not _flag_line(trees, 0):
        found["never cleared"] = (sets, f"{FLAG} is set and never cleared: the lock is asserted no more")
    for callback, name in callbacks.items():
        if not sets and reached_from([callback], trees) & STORES:
            text = f"{name}() patches inside stop_machine() and nothing sets {FLAG}: the lock's assertion fails"
            found[f"flag {name}"] = (trees[name].line, text)
    return found


def _plain_calls(body: Iterable[Stmt], wanted: str) -> Iterator[Expr]:
    """Yield calls about the mutex that no condition on the flag guards."""
    for stmt in body:
        if stmt[0] == "if" and any(part == ("id", FLAG) for part in parts_of(stmt[1])):
            continue
        if stmt[0] == "block":
            yield from _plain_calls(stmt[1], wanted)
        elif stmt[0] == "if":
            yield from _plain_calls([each for each in stmt[2:] if each is not None], wanted)
        else:
            yield from (call for call in calls_in(stmt) if call[1] == wanted and MUTEX in call[2])


def _flag_line(trees: Trees, value: int) -> int:
    """Return the line where a function starts that gives the flag a value, 0 if none does."""
    for tree in (trees[name] for name in trees.saying((FLAG,))):
        for stmt in tree.body:
            for part in parts_of(stmt):
                if part[0] == "assign" and part[2] == ("id", FLAG) and part[3] == ("num", value):
                    return tree.line
    return 0
