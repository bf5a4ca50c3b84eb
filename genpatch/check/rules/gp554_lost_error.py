# SPDX-License-Identifier: GPL-2.0-or-later
"""GP554: a write of text that has failed is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ..change import Change
from ..ctree import Expr, FunctionTree, Stmt, parts_of, trees_of
from ..locks import reached_from, text_sources
from ..model import Place, Problem
from ..patching import STORES
from ..registry import source_rule


@source_rule("GP554", "lost-error")
def lost_error(change: Change) -> Iterable[Problem]:
    """What a write of text returns is thrown away before anything looks at it.

    ## What it checks
    In the functions that the patch changes, in the C files of arch/riscv that patch text: a variable that takes
    what patch_text(), patch_insn_write() or a function of the file that ends in one of these returns, and that
    takes something else before it is read, or is never read; and calls whose result was looked at before and is
    not any more. Only what the patch brings is reported.

    ## Why it matters
    ftrace, kprobes and BPF take the text for written. With half of the sites written, a tracer that goes away
    is called until the next boot.

    ## Remedy
    Return the first error, or write on only while there is none.

    ## References
    ftrace_update_ftrace_func() in arch/riscv/kernel/ftrace.c; ftrace_bug() in kernel/trace/ftrace.c.
    """
    for path, old, new in text_sources(change):
        changed = [name for name in new if name in old and old[name].bodies != new[name].bodies]
        if not changed:
            continue
        trees, before = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        writers = {name for name in trees.saying(STORES) if reached_from([name], trees) & STORES} | STORES
        for name in changed:
            if name not in trees or name not in before:
                continue
            known = Counter(callee for callee, _, _ in _lost(before[name], writers))
            for callee, line, what in _lost(trees[name], writers):
                known[callee] -= 1
                if known[callee] < 0:
                    yield Problem(f"{name} {callee}", _at(path, line, trees[name]), f"{name}() {what}")
            for callee in _dropped(before[name], trees[name], writers):
                line = next((call[3] for call in trees[name].calls if call[1] == callee), trees[name].line)
                text = f"{name}() no longer looks at what {callee}() returns"
                yield Problem(f"{name} {callee}", _at(path, line, trees[name]), text)


def _at(path: str, line: int, tree: FunctionTree) -> tuple[Place, ...]:
    return Place(path, line), Place(path, tree.line)


def _lost(tree: FunctionTree, writers: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    """Yield callee, line and words of results that are written over or never read."""
    reads = _reads(tree)
    for body in _blocks(tree.body):
        for i, stmt in enumerate(body):
            name, call = _taken(stmt)
            if call is None or call[1] not in writers:
                continue
            if not reads[name]:
                yield call[1], call[3], f"never looks at what {call[1]}() returns"
                continue
            later = next((each for each in body[i + 1 :] if ("id", name) in parts_of(each)), None)
            if later is not None and _writes_over(later, name):
                yield call[1], call[3], f"writes over what {call[1]}() returned before it looks at it"


def _blocks(body: tuple[Stmt, ...]) -> Iterator[tuple[Stmt, ...]]:
    """Yield the lists of statements in a function."""
    yield body
    for stmt in body:
        for part in parts_of(stmt):
            if part[0] == "block":
                yield part[1]


def _taken(stmt: Stmt) -> tuple[str, Expr | None]:
    """Return the variable that takes what a call returns, and the call."""
    if stmt[0] == "expr" and stmt[1][0] == "assign" and stmt[1][1] == "=":
        target, value = stmt[1][2], stmt[1][3]
        if target[0] == "id" and value[0] == "call":
            return target[1], value
    if stmt[0] == "decl" and len(stmt[1]) == 1 and stmt[1][0][4] is not None and stmt[1][0][4][0] == "call":
        return stmt[1][0][1], stmt[1][0][4]
    return "", None


def _reads(tree: FunctionTree) -> Counter[str]:
    """Return how often each variable is read."""
    found: Counter[str] = Counter()
    for part in (part for stmt in tree.body for part in parts_of(stmt)):
        if part[0] == "id":
            found[part[1]] += 1
        elif part[0] == "assign" and part[1] == "=" and part[2][0] == "id":
            found[part[2][1]] -= 1
    return found


def _writes_over(stmt: Stmt, name: str) -> bool:
    if stmt[0] != "expr" or stmt[1][0] != "assign" or stmt[1][1] != "=" or stmt[1][2] != ("id", name):
        return False
    return ("id", name) not in parts_of(stmt[1][3])


def _dropped(old: FunctionTree, new: FunctionTree, writers: Iterable[str]) -> Iterator[str]:
    """Yield what was called for its result and is called as a statement."""
    (bare, every), (was_bare, was) = _counts(new), _counts(old)
    for callee in bare:
        used, was_used = every[callee] - bare[callee], was[callee] - was_bare[callee]
        if callee in writers and bare[callee] > was_bare[callee] and used < was_used:
            yield callee


def _counts(tree: FunctionTree) -> tuple[Counter[str], Counter[str]]:
    bare = Counter(
        part[1][1]
        for stmt in tree.body
        for part in parts_of(stmt)
        if part[0] == "expr" and len(part) > 1 and part[1] and part[1][0] == "call"
    )
    return bare, Counter(call[1] for call in tree.calls)
