# SPDX-License-Identifier: GPL-2.0-or-later
"""GP540: a function that only flushes still does."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..ctree import FunctionTree, Trees, trees_of
from ..locks import reached_from, text_sources
from ..model import Place, Problem
from ..patching import FLUSHES_HERE, FLUSHES_THERE, STORES
from ..registry import source_rule

_PLAIN = STORES - FLUSHES_THERE
_KINDS = (("all harts'", FLUSHES_THERE), ("this hart's", FLUSHES_HERE | FLUSHES_THERE))


@source_rule("GP540", "lost-late-flush")
def late_flush(change: Change) -> Iterable[Problem]:
    """A function that flushed the instruction caches for others, which write text, no longer does.

    ## What it checks
    In the C files of arch/riscv that the patch changes and that write text without a flush of all harts' caches:
    functions that write nothing themselves and that flushed, and where no function of the changed files flushes
    more instead.

    ## Why it matters
    The generic code of jump labels and of ftrace calls one function for each place and another one when all are
    written. Without that one's flush other harts go on with the old instructions, as long as it pleases them.

    ## Remedy
    Flush there: flush_icache_all(); or write by patch_text_nosync(), which flushes each time.

    ## References
    arch_jump_label_transform_apply() in arch/riscv/kernel/jump_label.c; arch/riscv/mm/cacheflush.c.
    """
    pairs = [
        (path, trees_of(change.before.read(path) or ""), trees_of(change.after.read(path) or ""))
        for path, _, _ in text_sources(change)
    ]
    for whose, flushes in _KINDS:
        gained = any(
            _count(new[name], flushes) > _count(old.get(name), flushes)
            for _, old, new in pairs
            for name in new.saying(flushes)
        )
        if gained:
            continue
        for path, old, new in pairs:
            found = list(_lost(path, old, new, flushes, whose))
            if found:
                yield from found
                return


def _lost(path: str, old: Trees, new: Trees, flushes: frozenset[str], whose: str) -> Iterable[Problem]:
    if not any(call[1] in _PLAIN for name in new.saying(_PLAIN) for call in new[name].calls):
        return
    had = frozenset(old.saying(flushes))
    for name in new:
        if name not in had or _count(new[name], flushes) or not _count(old[name], flushes):
            continue
        if reached_from([name], new) & STORES or reached_from([name], old) & STORES:
            continue  # GP515
        text = f"{name}() no longer flushes {whose} caches, and what writes text in this file does not"
        yield Problem(name, (Place(path, new[name].line),), text)


def _count(tree: FunctionTree | None, flushes: frozenset[str]) -> int:
    if tree is None:
        return 0
    return sum(call[1] in flushes for call in tree.calls)
