# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs of the field as patches to real trees, harmless patches to the same files, and what is said of each.

``python -m tests.check.bugs`` writes bugs.md beside this file; GENPATCH_KERNEL_SOURCES names the trees.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from genpatch.check.model import Finding
from genpatch.check.patches import read_patches
from genpatch.check.run import check_patches
from genpatch.emit.series import Change, file_diff
from genpatch.emit.tree import Tree, open_tree

TABLE = Path(__file__).with_name("bugs.md")
SOURCES = "GENPATCH_KERNEL_SOURCES"
Swap = tuple[str, str, str]


class Misfit(Exception):  # noqa: N818
    """A replacement that has no place, or several, in a tree."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A patch, told by what it replaces in a tree.

    Args:
        id: as in the list of bugs, or one's own; with a dash and a letter where one bug has several forms.
        tree: ``6.1``, ``6.12`` or ``7.2``.
        what: what the patch does, on one line.
        swaps: (path, old, new); ``old`` stands once in the text as the swaps before it leave it; an empty one makes
            the file.
        expected: codes of rules of which one at least must speak; none for a patch that is harmless, or a bug that
            is missed.
        missed: why nothing is said of a bug.
        first: what is replaced in the tree before the patch, so that the patch has something to break.
        every: as swaps, before them, wherever ``old`` stands in the text.
        subject: of the mail, with its ``[PATCH]``.
        body: of the message, with its tags; what follows a line of ``---`` is no part of it.
    """

    id: str
    tree: str
    what: str
    swaps: tuple[Swap, ...]
    expected: tuple[str, ...] = ()
    missed: str = ""
    first: tuple[Swap, ...] = ()
    every: tuple[Swap, ...] = ()
    subject: str = "[PATCH] riscv: change what patches text"
    body: str = "Say why.\n"


def trees() -> dict[str, Path]:
    """Return the real trees by version (``6.12``)."""
    found = {}
    for path in filter(None, os.environ.get(SOURCES, "").split(os.pathsep)):
        version = open_tree(Path(path)).version
        found[".".join(version.split(".")[:2])] = Path(path)
    return found


@cache
def _opened(root: Path) -> Tree:
    return open_tree(root)


def _swapped(tree: Tree, texts: dict[str, str], swaps: Iterable[Swap]) -> dict[str, str]:
    """Return texts with parts replaced.

    Raises:
        Misfit: a part is not there once.
    """
    texts = dict(texts)
    for path, old, new in swaps:
        if not old and not tree.has(path) and path not in texts:
            texts[path] = new
            continue
        text = texts[path] if path in texts else tree.read(path)
        if text.count(old) != 1:
            raise Misfit(f"{path} has {text.count(old)} places of {old!r}")
        texts[path] = text.replace(old, new)
    return texts


def patch_of(bug: Bug, root: Path) -> tuple[Tree, str]:
    """Return the tree that a patch is for, and the patch as a mail.

    Raises:
        Misfit: it has no place there.
    """
    tree = _opened(root)
    before = _swapped(tree, {}, bug.first)
    after = dict(before)
    for path, old, new in bug.every:
        text = after[path] if path in after else tree.read(path)
        if old not in text:
            raise Misfit(f"{path} has no place of {old!r}")
        after[path] = text.replace(old, new)
    after = _swapped(tree, after, bug.swaps)
    diffs = []
    for path, new in after.items():
        old = before.get(path, tree.read(path) if tree.has(path) else None)
        if old != new:
            diffs.append(file_diff(Change(path, old, new)))
    head = f"From {'1' * 40} Mon Sep 17 00:00:00 2001\nFrom: A. Hacker <a@example.org>\n"
    mail = f"{head}Subject: {bug.subject}\n\n{bug.body}---\n\n{''.join(diffs)}-- \n2.39.5\n\n"
    return Tree(tree.root, tree.version, _texts=dict(tree._texts) | before), mail


def judged(bug: Bug, root: Path) -> tuple[Finding, ...]:
    """Return what is found in a patch.

    Raises:
        Misfit: it has no place in the tree.
    """
    tree, mail = patch_of(bug, root)
    return check_patches(read_patches(mail.encode(), bug.id), tree).findings


def all_bugs() -> list[Bug]:
    """Return the bugs of every file of bug_patches, by id and tree."""
    from tests.check import bug_patches

    found: list[Bug] = []
    for module in pkgutil.iter_modules(bug_patches.__path__):
        found += import_module(f"{bug_patches.__name__}.{module.name}").BUGS
    return sorted(found, key=lambda bug: (bug.id.split("-")[0], bug.id, [int(n) for n in bug.tree.split(".")]))


def all_harmless() -> list[Bug]:
    """Return the patches in which nothing may be found."""
    from tests.check.harmless import HARMLESS
    from tests.check.harmless_blind import HARMLESS as BLIND
    from tests.check.harmless_ftrace import HARMLESS as ABOUT_FTRACE
    from tests.check.harmless_states import HARMLESS as ABOUT_STATES

    return [*HARMLESS, *ABOUT_FTRACE, *ABOUT_STATES, *BLIND]


def gist(findings: Iterable[Finding]) -> str:
    """Return findings as a cell of a table: rule and message, each once."""
    said = dict.fromkeys(f"{each.rule}: {each.message}" for each in findings)
    return "<br>".join(text.replace("|", "\\|") for text in said)


def table(roots: dict[str, Path]) -> Iterator[str]:
    """Yield the lines of bugs.md."""
    bugs = [bug for bug in all_bugs() if bug.tree in roots]
    harmless = [patch for patch in all_harmless() if patch.tree in roots]
    rows = [(bug, judged(bug, roots[bug.tree])) for bug in bugs]
    flagged = sum(bool(findings) for _, findings in rows)
    yield "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n"
    yield "# What `genpatch check` says of bugs, written as patches to real trees\n"
    yield "\nMade by `python -m tests.check.bugs`, which applies each patch in memory and checks it as a user would.\n"
    yield "Ids with a letter and two digits are of bugs that shipped or were caught in review; X is what people get\n"
    yield "wrong in the same places; B was written by somebody who had not read the rules, from B51 on when those\n"
    yield "were there that the first of them had brought. Before the rules were mended, 13 of the 42 up to B45 were\n"
    yield "flagged, and 5 of the 18 from B51 on.\n"
    yield f"\n{flagged} of {len(rows)} are flagged.\n"
    yield "\n| bug | tree | what the patch does | what is said |\n|---|---|---|---|\n"
    for bug, findings in rows:
        yield f"| {bug.id} | {bug.tree} | {bug.what} | {gist(findings) or f'not flagged: {bug.missed}'} |\n"
    yield f"\n# What it says of {len(harmless)} harmless patches to the same files\n"
    yield "\n| tree | what the patch does | what is said |\n|---|---|---|\n"
    for patch in harmless:
        yield f"| {patch.tree} | {patch.what} | {gist(judged(patch, roots[patch.tree])) or 'nothing'} |\n"


def main() -> None:
    """Write the table."""
    roots = trees()
    if set(roots) != {"6.1", "6.12", "7.2"}:
        raise SystemExit(f"{SOURCES} names {', '.join(roots) or 'no trees'}, expected 6.1, 6.12 and 7.2")
    TABLE.write_text("".join(table(roots)), encoding="utf-8")


if __name__ == "__main__":
    main()
