# SPDX-License-Identifier: GPL-2.0-or-later
"""GP539: who newly writes text holds text_mutex."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change
from ..ctree import Trees, trees_of
from ..locks import callbacks_of, reached_from, text_sources, unheld_stores
from ..model import Place, Problem
from ..patching import STORES
from ..registry import source_rule

_HOOK = "ftrace_arch_code_modify_prepare"
_WRITES = STORES - {"copy_to_kernel_nofault", "ftrace_modify_all_code"}


@source_rule("GP539", "unlocked-caller")
def unlocked_caller(change: Change) -> Iterable[Problem]:
    """A function that did not write text before does so, and text_mutex is not held.

    ## What it checks
    In the C files of arch/riscv that the patch changes: functions that the patch makes write text, themselves or
    through others of the file, on some way without text_mutex held. A function that asserts the mutex leaves it to
    its callers, and so do new functions that others can call, what runs inside stop_machine(), and what ftrace
    calls between its hooks that take the mutex; a static one that nothing of its file calls (an initcall, a
    callback) has nobody to leave it to.

    ## Why it matters
    All who write text share two fixmap pages; one that does not wait its turn writes where another one looks.

    ## Remedy
    Take the mutex around the write, or say by lockdep_assert_held(&text_mutex) that the caller has.

    ## References
    arch/riscv/kernel/patch.c; include/linux/memory.h.
    """
    for path, old, new in text_sources(change):
        trees, old_trees = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        unheld = _unheld(trees)
        known = _unheld(old_trees) if unheld else {}
        stopped = reached_from(callbacks_of(trees), trees)
        hooked = _HOOK in new
        for name, (callee, line) in unheld.items():
            if name in known or name in stopped or name not in new or _is_reached(name, old_trees):
                continue
            if _is_called(name, trees) or (not new[name].is_static and (hooked or name not in old)):
                continue
            places = (Place(path, line), Place(path, trees[name].line))
            yield Problem(name, places, f"{name}() calls {callee}() without text_mutex held")


def _is_called(name: str, trees: Trees) -> bool:
    return any(call[1] == name for other in trees.saying((name,)) for call in trees[other].calls)


def _is_reached(name: str, trees: Trees) -> bool:
    """Tell whether a function wrote text before, with or without the mutex: GP514 judges those."""
    return name in trees and bool(reached_from([name], trees) & STORES)


def _unheld(trees: Trees) -> dict[str, tuple[str, int]]:
    """Return the functions that may write text without the mutex: (what they call for it, line)."""
    found: dict[str, tuple[str, int]] = {}
    while True:
        names = frozenset(_WRITES | found.keys())
        more = {name: hits[0] for name, hits in _hits(trees, names) if name not in found}
        if not more:
            return found
        found |= more


def _hits(trees: Trees, names: frozenset[str]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    for name in trees.saying(names):
        tree = trees[name]
        if any(call[1] in names for call in tree.calls):
            hits = unheld_stores(tree, names)
            if hits:
                yield name, hits
