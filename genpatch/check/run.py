# SPDX-License-Identifier: GPL-2.0-or-later
"""From patches and a tree to findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..emit.tree import Tree
from .change import Change, Texts, apply_patch
from .layout import BPF, FTRACE, HEADER, MAKEFILE, layouts
from .model import MESSAGE, Finding, Level, Patch
from .patching import MOST_TEXT
from .registry import all_rules

__all__ = ["DOES_NOT_APPLY", "Checked", "check_patches"]

DOES_NOT_APPLY = "GP510"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it.

    Args:
        findings: by patch, as they were found.
        skipped: what was not looked at, and why.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]


def check_patches(patches: Sequence[Patch], tree: Tree | None) -> Checked:
    """Check a series: each message, and what each patch makes of the tree after those before it."""
    findings: list[Finding] = []
    skipped: list[str] = []
    texts = Texts(tree) if tree is not None else None
    for patch in patches:
        findings += _of_message(patch)
        if texts is None or not patch.files:
            continue
        change, unfit = apply_patch(texts, patch, may_be_there=len(patches) == 1)
        findings += [Finding(DOES_NOT_APPLY, Level.ERROR, u.path, u.line, u.why, patch.name) for u in unfit]
        if unfit:
            skipped.append(f"{patch.name}: it does not apply, so what it makes of the source was not checked")
        else:
            findings += _of_source(change, patch)
            skipped += _not_understood(change, patch)
        texts = change.after
    if tree is None and any(patch.files for patch in patches):
        skipped.append("no kernel source tree, so only messages were checked; name one with --linux")
    return Checked(tuple(findings), tuple(skipped))


def _not_understood(change: Change, patch: Patch) -> Iterator[str]:
    """Say what of a change the rules cannot judge; silence is no pass."""
    of_layout = sorted({MAKEFILE, HEADER, FTRACE, BPF}.intersection(change.paths))
    if of_layout and not list(layouts(change.after)):
        reason = f"how {MAKEFILE} asks for nops, or what {FTRACE} counts on, was not understood"
        yield f"{patch.name}: {reason}: GP511 and GP512 were not judged"
    for path in change.paths:
        if len(change.after.read(path) or "") > MOST_TEXT:
            yield f"{patch.name}: {path} is too long to be parsed: GP513, GP514 and GP515 were not judged there"


def _of_message(patch: Patch) -> Iterator[Finding]:
    for rule in all_rules().values():
        if rule.of_message is not None:
            for line, message in rule.of_message(patch):
                yield Finding(rule.code, rule.level, MESSAGE, line.at, message, patch.name)


def _of_source(change: Change, patch: Patch) -> Iterator[Finding]:
    for rule in all_rules().values():
        if rule.of_source is not None:
            for problem in rule.of_source(change):
                place = change.best(problem.places)
                yield Finding(rule.code, rule.level, place.path, place.line, problem.message, patch.name)
