# SPDX-License-Identifier: GPL-2.0-or-later
"""GP537: inside stop_machine() the last processor to arrive patches, and the others wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change
from ..ctree import Expr, Stmt, Trees, calls_in, parts_of, trees_of
from ..locks import callbacks_of, reached_from, text_sources
from ..model import Place, Problem
from ..patching import FLUSHES_HERE, FLUSHES_THERE, STORES
from ..registry import source_rule

_ARRIVES = ("atomic_inc_return", "atomic_inc_return_relaxed", "atomic_inc_return_acquire", "atomic_fetch_inc")
_ONLINE = "num_online_cpus"
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
Found = tuple[str, int, str]


@source_rule("GP537", "last-arrives")
def last_arrives(change: Change) -> Iterable[Problem]:
    """Processors that wait inside stop_machine() no longer wait for the text to be written.

    ## What it checks
    The callbacks of stop_machine() in the C files of arch/riscv that the patch changes, where each processor counts
    itself in with atomic_inc_return(): the one that writes is the last to arrive (num_online_cpus()), it counts
    once more behind its last write, and the others wait until the counter is above num_online_cpus(). Only what
    the patch brings is reported.

    ## Why it matters
    Processors that are not there yet run the text that is being written; those that leave early go on with half
    of it.

    ## Remedy
    ``if (atomic_inc_return(&count) == num_online_cpus())`` writes, then increments; the others loop while
    ``atomic_read(&count) <= num_online_cpus()``.

    ## References
    patch_text_cb() in arch/riscv/kernel/patch.c.
    """
    for path, _, _ in text_sources(change):
        found = list(_found(trees_of(change.after.read(path) or "")))
        known = {key for key, _, _ in _found(trees_of(change.before.read(path) or ""))} if found else set()
        for key, line, message in found:
            if key not in known:
                yield Problem(key, (Place(path, line),), message)


def _found(trees: Trees) -> Iterator[Found]:
    callbacks = callbacks_of(trees)
    if not callbacks:
        return
    writers = {name for name in trees if reached_from([name], trees) & STORES} | STORES
    for name in callbacks:
        if name in trees:
            for stmt in trees[name].body:
                for part in parts_of(stmt):
                    if part[0] == "if":
                        yield from _branches(name, part, writers)


def _branches(name: str, stmt: Stmt, writers: Iterable[str]) -> Iterator[Found]:
    """Yield what is wrong with a choice between the processor that writes and those that wait."""
    _, test, first, other = stmt
    if test[0] != "bin" or test[1] not in ("==", "!="):
        return
    sides = [test[2], test[3]]
    counted = next((side for side in sides if side[0] == "call" and side[1] in _ARRIVES), None)
    if counted is None:
        return
    against = sides[1 - sides.index(counted)]
    writer, waiter = (first, other) if test[1] == "==" else (other, first)
    if writer is None or not any(call[1] in writers for call in calls_in(writer)):
        return
    if against[0] == "num":
        yield f"{name} first", counted[3], f"processor {against[1]} to arrive writes in {name}(), not the last one"
    yield from _writer(name, writer, writers)
    if waiter is not None:
        yield from _waiter(name, waiter, counted[3])
        yield from _flushes_early(name, waiter)


def _writer(name: str, stmt: Stmt, writers: Iterable[str]) -> Iterator[Found]:
    calls = list(calls_in(stmt))
    writes = [i for i, call in enumerate(calls) if call[1] in writers]
    counts = [i for i, call in enumerate(calls) if call[1].startswith(("atomic_inc", "atomic_add", "atomic_set"))]
    if not counts:
        yield f"{name} never", calls[writes[-1]][3], f"{name}() does not release the processors that wait"
    elif counts[0] < writes[-1]:
        text = f"{name}() releases the processors that wait before the text is written"
        yield f"{name} early", calls[counts[0]][3], text


def _waiter(name: str, stmt: Stmt, line: int) -> Iterator[Found]:
    for part in parts_of(stmt):
        if part[0] != "for" or part[2] is None or part[2][0] != "bin":
            continue
        _, op, left, right = part[2]
        if _is_call(right, "atomic_read") and _is_call(left, _ONLINE):
            op, left, right = _MIRRORED.get(op, op), right, left
        if _is_call(left, "atomic_read") and _is_call(right, _ONLINE) and op in ("<", "!="):
            text = f"in {name}() processors wait until all have arrived, not until the text is written"
            yield f"{name} wait", left[3] if left[3] else line, text


def _flushes_early(name: str, stmt: Stmt) -> Iterator[Found]:
    """Yield that processors flush before they wait, and no more behind."""
    body = stmt[1] if stmt[0] == "block" else (stmt,)
    waits = [i for i, each in enumerate(body) if each[0] in ("for", "do") and "atomic_read" in _names(each)]
    if not waits:
        return
    early = [call for each in body[: waits[0]] for call in calls_in(each) if call[1] in FLUSHES_HERE]
    behind = {each for stmt_ in body[waits[0] :] for each in _names(stmt_)}
    if early and behind.isdisjoint(FLUSHES_HERE | FLUSHES_THERE):
        text = f"in {name}() processors flush before they wait for the text to be written, and not behind it"
        yield f"{name} flush", early[0][3], text


def _names(stmt: Stmt) -> set[str]:
    return {call[1] for call in calls_in(stmt)}


def _is_call(expr: Expr, name: str) -> bool:
    return expr[0] == "call" and bool(expr[1] == name)
