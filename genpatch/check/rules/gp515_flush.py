# SPDX-License-Identifier: GPL-2.0-or-later
"""GP515: instruction caches are told of every write to text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change
from ..model import Place, Problem
from ..patching import FLUSHES_HERE, FLUSHES_THERE, STORES, sources
from ..registry import source_rule
from ..source import Function, calls

_WHOSE = (("all harts'", FLUSHES_THERE), ("this hart's", FLUSHES_HERE | FLUSHES_THERE))


@source_rule("GP515", "lost-flush")
def lost_flush(change: Change) -> Iterable[Problem]:
    """A flush of the instruction caches is gone from a function that writes text.

    ## What it checks
    In the C files of arch/riscv that the patch changes, the functions that write text: whether a flush follows
    their last write, on all harts (patch_text_nosync() and patch_text() do it themselves) or on their own, and did
    so before. A flush that went to a function that calls this one, or that it calls, is not missed.

    ## Why it matters
    Other harts go on with the old instructions out of their caches, as long as it pleases them: a fence.i on one
    hart does nothing on another.

    ## Remedy
    Flush behind the write: flush_icache_range() or flush_icache_all(); local_flush_icache_all() only for a hart
    that waits for the writer.

    ## References
    arch/riscv/kernel/patch.c; arch/riscv/mm/cacheflush.c.
    """
    for path, old, new in sources(change):
        yield from _lost(path, old, new)


def _lost(path: str, old: dict[str, Function], new: dict[str, Function]) -> Iterator[Problem]:
    for name, each in new.items():
        if name not in old or not (_writes(old[name]) and _writes(each)):
            continue
        whose = next((words for words, flushes in _WHOSE if _flushed(each, flushes) < _flushed(old[name], flushes)), "")
        if not whose:
            continue
        flushes = dict(_WHOSE)[whose]
        if _all_wait(each) and _count(each, FLUSHES_HERE) > _count(old[name], FLUSHES_HERE):
            continue  # inside stop_machine() each hart flushes for itself
        near = {callee for callee, _ in calls(each.body)} | {n for n, f in new.items() if f"{name}(" in f.body}
        if any(_count(new.get(n), flushes) > _count(old.get(n), flushes) for n in near - {name}):
            continue
        yield Problem(name, (Place(path, each.line),), f"{name}() writes text and no longer flushes {whose} caches")


def _all_wait(each: Function) -> bool:
    return re.search(r"\bwhile \(atomic_read\([^;{}]*num_online_cpus\(\)", each.body) is not None


def _writes(each: Function) -> bool:
    return any(name in STORES for name, _ in calls(each.body))


def _flushed(each: Function, flushes: frozenset[str]) -> int:
    """Return in how many definitions of a function one of some flushes follows the last write, or does both."""
    count = 0
    for body in each.bodies:
        named = calls(body)
        last = max((at for name, at in named if name in STORES), default=len(body))
        count += any(name in flushes for name, at in named if at >= last)
    return count


def _count(each: Function | None, flushes: frozenset[str]) -> int:
    return sum(name in flushes for name, _ in calls(each.body)) if each is not None else 0
