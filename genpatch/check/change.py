# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree before and after a patch, as rules see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..emit.tree import Tree
from .apply import apply_hunks, reverted
from .model import FileDiff, Hunk, Patch, Place, Problem

__all__ = ["Change", "Texts", "Unfit", "apply_patch"]

_MOST_NAMED = 20  # hunks of a file that do not apply


@dataclass(frozen=True)
class Texts:
    """The texts of a tree, some of them changed in memory.

    Args:
        tree: the rest of it.
        changed: text by path; None is a file that was taken away.
    """

    tree: Tree
    changed: Mapping[str, str | None] = field(default_factory=dict)
    _read: dict[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    def read(self, path: str) -> str | None:
        """Return a file's text; None if there is no such file."""
        if path in self.changed:
            return self.changed[path]
        if path not in self._read:
            self._read[path] = self.tree.read(path) if self.tree.has(path) else None
        return self._read[path]

    def with_changed(self, changed: Mapping[str, str | None]) -> Texts:
        """Return the same tree with other files changed."""
        return Texts(self.tree, changed, self._read)


@dataclass(frozen=True)
class Change:
    """What one patch makes of a tree.

    Args:
        before: the tree without it.
        after: with it.
        paths: of the files that it changes.
        added: lines that it puts into each.
    """

    before: Texts
    after: Texts
    paths: tuple[str, ...]
    added: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def new(self, problems: Callable[[Texts], Iterable[Problem]]) -> Iterable[Problem]:
        """Return the problems that were not there before."""
        found = list(problems(self.after))
        if not found:
            return []
        old = {problem.key for problem in problems(self.before)}
        return [problem for problem in found if problem.key not in old]

    def best(self, places: tuple[Place, ...]) -> Place:
        """Return the place to name: on a line that the patch adds, in a file that it changes, or the first."""
        for place in places:
            if place.path in self.paths and place.line in self.added.get(place.path, ()):
                return place
        return next((place for place in places if place.path in self.paths), places[0])


class Unfit(NamedTuple):
    """A part of a patch that does not apply."""

    path: str
    line: int
    why: str


def apply_patch(before: Texts, patch: Patch, *, may_be_there: bool) -> tuple[Change, list[Unfit]]:
    """Apply a patch.

    Args:
        before: what it is applied to.
        may_be_there: the tree may have the patch already; then it is undone to see what was before it.
    Returns:
        The change, and what does not apply.
    """
    after, unfit, added = _applied(before, patch.files)
    paths = tuple(sorted({path for each in patch.files for path in (each.old, each.new) if path}))
    if unfit and may_be_there:
        undone, still, _ = _applied(before, [reverted(each) for each in reversed(patch.files)])
        if not still:
            _, _, added = _applied(undone, patch.files)
            return Change(undone, before, paths, added), []
        if (old := _from_blobs(before, patch)) is not None:
            new, still, added = _applied(old, patch.files)
            if not still:
                return Change(old, new, paths, added), []
    return Change(before, after, paths, added), unfit


def _from_blobs(texts: Texts, patch: Patch) -> Texts | None:
    """Return the tree with the files as they were when the patch was made, if git still knows them."""
    if not texts.tree.is_git:
        return None
    changed: dict[str, str | None] = dict(texts.changed)
    for each in patch.files:
        if each.new is not None:
            changed[each.new] = None
        if each.old is not None:
            text = texts.tree.git("cat-file", "blob", each.blob) if each.blob.strip("0") else None
            if text is None:
                return None
            changed[each.old] = text
    return texts.with_changed(changed)


def _applied(before: Texts, files: Iterable[FileDiff]) -> tuple[Texts, list[Unfit], dict[str, frozenset[int]]]:
    changed = dict(before.changed)
    unfit: list[Unfit] = []
    added: dict[str, frozenset[int]] = {}
    for each in files:
        again = each.old == each.new and each.old in added  # one file in two parts
        source = before.with_changed(changed) if again else before
        old = source.read(each.old) if each.old is not None else ""
        if each.old is not None and old is None:
            unfit.append(Unfit(each.old, 1, "the tree has no such file"))
            continue
        if each.old is None and each.new is not None and before.read(each.new) is not None:
            unfit.append(Unfit(each.new, 1, "the patch makes this file, which is there"))
            continue
        applied = apply_hunks(old or "", each.hunks)
        unfit += [Unfit(each.path, line, _why(hunk)) for hunk, line in applied.failed[:_MOST_NAMED]]
        if (more := len(applied.failed) - _MOST_NAMED) > 0:
            unfit.append(Unfit(each.path, 1, f"{more:,} more hunks of the patch do not apply"))
        if each.new is None and applied.text and not applied.failed:
            unfit.append(Unfit(each.path, 1, "the patch takes this file away, which has more lines than that"))
        if each.old is not None and each.old != each.new and not each.is_copy:
            changed[each.old] = None
        if each.new is not None:
            changed[each.new] = applied.text
            added[each.new] = applied.added
    return before.with_changed(changed), unfit, added


def _why(hunk: Hunk) -> str:
    return f"the hunk at line {hunk.at} of the patch does not apply"
