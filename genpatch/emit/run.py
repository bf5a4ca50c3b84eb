# SPDX-License-Identifier: GPL-2.0-or-later
"""From a name and a tree to a series, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import UsageError
from .edits import apply_edits
from .errors import EmitError
from .recipe import PatchPlan, Recipe, Verdict, find_recipes
from .render import message, wrapped
from .series import Change, Cover, Mail, Patch, mails_of
from .tree import Tree

__all__ = ["FIXED_DATE", "NOBODY", "Series", "find_recipe", "identity_of", "make_series"]

NOBODY = "genpatch <genpatch@invalid>"
"""The author where the user's git knows no name."""
FIXED_DATE = 946684800
"""When a series was made if nothing says when: 2000-01-01, the same every time."""


@dataclass(frozen=True)
class Series:
    """A series as it will be written.

    Args:
        recipe: what made it.
        patches: in order.
        cover: the letter before it, if there is one.
        identity: author of each patch.
        date: [seconds since 1970].
        letter: the cover as a message.
        mails: the patches as messages.
        notes: what the user should know about it.
    """

    recipe: Recipe
    patches: tuple[Patch, ...]
    cover: Cover | None
    identity: str
    date: int
    letter: Mail | None
    mails: tuple[Mail, ...]
    notes: tuple[str, ...]


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        UsageError: there is none; the nearest is named.
    """
    known = find_recipes()
    if name not in known:
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"is it {near[0]!r}?" if near else "'genpatch emit --list' lists them"
        raise UsageError(f"{name!r}: nothing of that name can be emitted; {hint}")
    return known[name]


def identity_of(tree: Tree) -> str:
    """Return the author that the user's git configuration names, ``Name <address>``; empty if it names none."""
    found = (tree.git("var", "GIT_AUTHOR_IDENT") or "").strip()
    return found[: found.rindex(">") + 1] if "> " in found and " <" in found else ""


def make_series(
    tree: Tree,
    recipe: Recipe,
    *,
    with_cover: bool = False,
    signoff: bool = False,
    trailers: Sequence[str] = (),
    date: int | None = None,
) -> Series:
    """Return the series that a recipe makes of a tree. Nothing is written.

    Args:
        with_cover: write the letter also for a single patch.
        signoff: add the user's Signed-off-by.
        trailers: further lines for the end of each message.
        date: of each patch [seconds since 1970]; by default that of the tree's last commit, or FIXED_DATE.

    Raises:
        EmitError: it cannot be made: what it makes is there, or does not fit, or a file was changed since the
            last commit, or a place was not found.
    """
    state = recipe.look(tree)
    if state.verdict is not Verdict.CAN:
        raise EmitError(f"{tree.root}: {recipe.name}: {state}")
    plans = recipe.plan(tree)
    paths = sorted({edit.path for plan in plans for edit in plan.edits})
    if dirty := tree.changed(paths):
        raise EmitError(f"{tree.root}: not what the last commit has: {', '.join(dirty)}; commit or restore it first")
    author = identity_of(tree)
    if signoff and not author:
        raise EmitError("--signoff: git knows no name and address to sign with (git config user.name, user.email)")
    identity = author or NOBODY
    ends = [*trailers, *([f"Signed-off-by: {identity}"] if signoff else [])]
    notes: list[str] = []
    patches = _patches(tree, recipe, plans, ends, notes)
    cover = _cover(tree, recipe, patches, ends) if with_cover or len(patches) > 1 else None
    when = next((each for each in (date, tree.head_date) if each is not None), FIXED_DATE)
    letter, mails = mails_of(patches, cover, identity=identity, date=when)
    return Series(recipe, tuple(patches), cover, identity, when, letter, tuple(mails), tuple(notes))


def _patches(
    tree: Tree, recipe: Recipe, plans: Sequence[PatchPlan], ends: Sequence[str], notes: list[str]
) -> list[Patch]:
    texts = {edit.path: tree.read(edit.path) for plan in plans for edit in plan.edits}
    patches: list[Patch] = []
    for plan in plans:
        changed = apply_edits(texts, plan.edits)
        if not changed:
            raise EmitError(f"{recipe.name}: the edits change nothing")
        subject, body = message(plan.message, version=tree.version, name=recipe.name, **plan.values)
        fixes = []
        for commit, title in plan.fixes:
            if tree.knows_commit(commit, title):
                fixes.append(f'Fixes: {commit} ("{title}")')
            else:
                note = f'no Fixes: line, as this tree has no history with {commit} ("{title}")'
                notes += [note] if note not in notes else []
        if trailers := [*fixes, *ends]:
            body = f"{body}\n" + "".join(f"{line}\n" for line in trailers)
        changes = tuple(Change(path, texts[path], text, tree.mode(path)) for path, text in sorted(changed.items()))
        patches.append(Patch(subject, body, changes))
        texts |= changed
    return patches


def _cover(tree: Tree, recipe: Recipe, patches: Sequence[Patch], ends: Sequence[str]) -> Cover:
    base = tree.public_base
    subject, body = message(
        recipe.cover,
        name=recipe.name,
        version=tree.version,
        summary=recipe.summary,
        subjects=[patch.subject for patch in patches],
        base=base,
    )
    if ends:
        body += "\n" + "".join(f"{line}\n" for line in ends)
    return Cover(subject, wrapped(body), base)
