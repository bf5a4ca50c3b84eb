# SPDX-License-Identifier: GPL-2.0-or-later
"""What a patch brings of what runs of a few functions of the kernel show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .change import Change, Texts
from .ctree import same_code, trees_of
from .model import Place, Problem, Skip

__all__ = ["Shown", "brought"]

_MOST_TEXT = 1 << 18


class Shown(NamedTuple):
    """Something wrong that a run has shown.

    Args:
        key: what tells it from others.
        path: of the file.
        function: of it that does it.
        message: in words.
        kind: of several of one kind the first is told; each that has none.
    """

    key: str
    path: str
    function: str
    message: str
    kind: str = ""


def brought(
    change: Change,
    paths: Sequence[str],
    roots: Sequence[str],
    judge: Callable[[Texts], Sequence[Shown]],
) -> list[Problem]:
    """Return what a patch brings of what runs of functions show.

    Args:
        change: the patch.
        paths: of the files that are run, the one with most of the functions first.
        roots: functions that are run; where none of them is there, or nothing of them changes, nothing is judged.
        judge: runs them in a tree.
    Raises:
        Skip: they cannot be run.
    """
    texts = [change.after.read(path) or "" for path in paths]
    if set(paths).isdisjoint(change.paths) or not any(f"{root}(" in text for root in roots for text in texts):
        return []
    was = [change.before.read(path) or "" for path in paths]
    if any(len(text) > _MOST_TEXT for text in texts):
        raise Skip(f"{paths[0]} is too long to be run")
    if was[1:] == texts[1:] and same_code(was[0], texts[0], roots):
        return []
    found, why = _tried(judge, change.after)
    if not found and not why:
        return []
    known, old_why = _tried(judge, change.before)
    if why:
        raise Skip(f"{paths[0]}: what {', '.join(f'{root}()' for root in roots)} does was not understood: {why}")
    if old_why and any(f"{root}(" in text for root in roots for text in was):
        raise Skip(f"{paths[0]}: what it did before the patch was not understood: {old_why}")
    keys = {each.key for each in known}
    fresh: dict[str, Shown] = {}
    for each in found:
        if each.key not in keys:
            fresh.setdefault(each.kind or each.key, each)
    return [Problem(each.key, _places(change, each), each.message) for each in fresh.values()]


def _tried(judge: Callable[[Texts], Sequence[Shown]], texts: Texts) -> tuple[Sequence[Shown], str]:
    from .cexec import NotRun  # loaded only where it is needed

    try:
        return judge(texts), ""
    except NotRun as why:
        return (), str(why)


def _places(change: Change, shown: Shown) -> tuple[Place, ...]:
    """Return the lines that the patch adds to what shows a fault and what that calls, then those functions."""
    trees = trees_of(change.after.read(shown.path) or "")
    names, waiting = dict[str, None](), [shown.function]
    while waiting:
        name = waiting.pop(0)
        if name in trees and name not in names:
            names[name] = None
            waiting += [call[1] for call in trees[name].calls]
    added = sorted(change.added.get(shown.path, ()))
    lines = [line for name in names for line in added if trees[name].line <= line <= trees[name].end]
    own = [Place(shown.path, line) for line in [*lines, *(trees[name].line for name in names)]]
    others = [Place(path, min(lines)) for path, lines in change.added.items() if path != shown.path and lines]
    return (*own[: len(lines)], *others, *own[len(lines) :]) or (Place(shown.path, 1),)
