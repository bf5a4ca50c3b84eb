# SPDX-License-Identifier: GPL-2.0-or-later
"""GP553: cpus_read_lock() is taken outside of text_mutex."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..ctree import trees_of
from ..locks import CPUS, TEXT_MUTEX, nested, text_sources
from ..model import Place, Problem
from ..patching import MOST_TEXT
from ..registry import source_rule

_ELSEWHERE = ("kernel/kprobes.c", "arch/riscv/net/bpf_jit_comp64.c", "kernel/jump_label.c")


@source_rule("GP553", "lock-order")
def lock_order(change: Change) -> Iterable[Problem]:
    """cpus_read_lock() is taken inside text_mutex, and elsewhere in the tree outside of it.

    ## What it checks
    Every way through the functions that the patch changes, in the C files of arch/riscv that patch text: whether
    they take cpus_read_lock(), by its name or by a guard, while they hold text_mutex, where another function of
    the same file, of kernel/kprobes.c or of the BPF JIT takes the two the other way round. Only what the patch
    brings is reported.

    ## Why it matters
    One waits for text_mutex with the processors held, another for the processors with text_mutex: once somebody
    takes a processor offline in between, nothing patches text any more.

    ## Remedy
    cpus_read_lock() first, then text_mutex; give them back in the other order.

    ## References
    kernel/kprobes.c; Documentation/locking/lockdep-design.rst.
    """
    for path, old, new in text_sources(change):
        both = [name for name in new if all(word in new[name].body for word in ("cpus_read_lock", "text_mutex"))]
        if all(name in old and old[name].bodies == new[name].bodies for name in both):
            continue
        trees, before = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        for name in both:
            if (name in old and old[name].bodies == new[name].bodies) or name not in trees:
                continue
            lines = nested(trees[name], TEXT_MUTEX, CPUS)
            if not lines or (name in before and nested(before[name], TEXT_MUTEX, CPUS)):
                continue
            other = next(_others(change, path), None)
            if other is not None:
                text = f"{name}() takes cpus_read_lock() inside text_mutex, {other} takes text_mutex inside it"
                yield Problem(name, (Place(path, lines[0]), Place(path, trees[name].line)), text)


def _others(change: Change, path: str) -> Iterator[str]:
    """Yield functions that take text_mutex inside cpus_read_lock()."""
    places: list[tuple[Texts, str]] = [(change.after, path), (change.before, path)]
    places += [(change.after, each) for each in _ELSEWHERE if each != path]
    for texts, where in places:
        text = texts.read(where) or ""
        if len(text) > MOST_TEXT or "cpus_read_lock" not in text:
            continue
        trees = trees_of(text)
        for name in trees.saying(("text_mutex",)):
            if nested(trees[name], CPUS, TEXT_MUTEX):
                yield f"{name}()" if where == path else f"{name}() in {where}"
