# SPDX-License-Identifier: GPL-2.0-or-later
"""GP510: a patch that applies."""

from __future__ import annotations

from ..model import Level, Rule
from ..registry import add

_DOC = """\
A hunk does not apply to the tree.

## What it checks
Every hunk, with its context to the letter, wherever its lines have moved to; a series one patch after the other.
A single patch that the tree has already is undone in memory first. run.py reports it, before any other rule.

## Why it matters
A patch that does not apply is not read, and what it makes of the source cannot be judged.

## Remedy
Make it anew on the tree that it is for.

## References
git-apply(1)."""

add(Rule("GP510", "applies", Level.ERROR, _DOC))
