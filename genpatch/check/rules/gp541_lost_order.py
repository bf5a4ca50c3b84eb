# SPDX-License-Identifier: GPL-2.0-or-later
"""GP541: stores that others rely on keep their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change
from ..ctree import FunctionTree, trees_of
from ..locks import reached_from, text_sources
from ..model import Place, Problem
from ..patching import FLUSHES_THERE, STORES
from ..registry import source_rule

_BARRIERS = frozenset(
    ("smp_wmb", "smp_mb", "smp_store_release", "smp_mb__before_atomic", "smp_mb__after_atomic", "wmb", "mb")
)
_ORDERED = ("_release",)
_ON_OTHERS = ("smp_call_function", "smp_call_function_many", "on_each_cpu", "on_each_cpu_mask")
_FULL = ("atomic_inc_return", "atomic_dec_return", "atomic_fetch_inc", "atomic_xchg", "atomic_cmpxchg")
_STORES = STORES | {"WRITE_ONCE", "rcu_assign_pointer"}


@source_rule("GP541", "lost-order")
def lost_order(change: Change) -> Iterable[Problem]:
    """A barrier or a release is gone from a function that stores what other harts read.

    ## What it checks
    In the C files of arch/riscv that the patch changes, functions that write text or use WRITE_ONCE(): barriers
    (smp_wmb(), smp_mb(), smp_store_release()) and atomic operations that order what is before them (``_release``,
    or those that return a value). Reported if there are fewer than before while the stores are still there, and
    no flush of all harts' caches or another barrier takes their place.

    ## Why it matters
    Harts of RISC-V see stores in any order. One that waits for a counter may leave before the text is written, a
    trampoline may read the new ops and the old function.

    ## Remedy
    Keep the barrier, or the variant of the atomic operation that ends in ``_release``.

    ## References
    Documentation/memory-barriers.txt; patch_text_cb() in arch/riscv/kernel/patch.c.
    """
    for path, old_functions, functions in text_sources(change):
        trees, old = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        for name in old_functions:
            if name in functions and functions[name].bodies == old_functions[name].bodies:
                continue
            if name not in trees or name not in old:
                continue
            if trees[name].unreadable:
                continue
            for callee in _hurried(old[name], trees[name]):
                text = f"{name}() calls {callee}() and no longer waits until the other harts have run it"
                yield Problem(f"{name} {callee}", _places(change, path, trees[name]), text)
            now, then = _orders(trees[name]), _orders(old[name])
            stores = _stores(trees[name]) and _stores(old[name])
            if now >= then or not stores or _flushes(trees[name]) > _flushes(old[name]):
                continue
            near = reached_from([name], trees) & set(trees) - {name}
            near |= {other for other in trees if any(call[1] == name for call in _calls(trees[other]))}
            if any(_orders(trees[other]) > (_orders(old[other]) if other in old else 0) for other in near):
                continue
            text = f"{name}() stores what other harts read, with fewer barriers between than before"
            yield Problem(name, _places(change, path, trees[name]), text)


def _places(change: Change, path: str, tree: FunctionTree) -> tuple[Place, ...]:
    added = sorted(line for line in change.added.get(path, ()) if tree.line <= line <= tree.end)
    return (*(Place(path, line) for line in added), Place(path, tree.line))


def _hurried(old: FunctionTree, new: FunctionTree) -> Iterator[str]:
    """Yield what runs something on other harts, was waited for, and is not."""
    for callee in _ON_OTHERS:
        waits, waited = ([call[2][-1] for call in tree.calls if call[1] == callee and call[2]] for tree in (new, old))
        if waits.count(("num", 0)) > waited.count(("num", 0)) and len(waits) <= len(waited):
            yield callee


def _calls(tree: FunctionTree) -> Iterable[tuple[object, ...]]:
    return (call for call in tree.calls)


def _orders(tree: FunctionTree) -> int:
    names = [str(call[1]) for call in _calls(tree)]
    return sum(name in _BARRIERS or name.endswith(_ORDERED) or name in _FULL for name in names)


def _stores(tree: FunctionTree) -> bool:
    return any(call[1] in _STORES for call in _calls(tree))


def _flushes(tree: FunctionTree) -> int:
    return sum(call[1] in FLUSHES_THERE for call in _calls(tree))
