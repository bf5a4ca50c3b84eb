# SPDX-License-Identifier: GPL-2.0-or-later
"""Edits: what is done at an anchor; applied in memory, and the result is looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from .anchors import Anchor, locate
from .csource import Span, parse
from .errors import AnchorError, EmitError
from .kbuild import is_balanced

__all__ = ["Action", "Edit", "apply_edits"]


class Action(Enum):
    """What is done with the text at an anchor."""

    REPLACE = "replace"
    BEFORE = "before"
    AFTER = "after"
    DELETE = "delete"
    SUBSTITUTE = "substitute"
    REWRITE = "rewrite"


@dataclass(frozen=True)
class Edit:
    """One change to a file.

    Args:
        path: of the file in the tree.
        anchor: the place.
        action: what is done there; BEFORE, AFTER and DELETE are about whole lines.
        text: the new text.
        pattern: SUBSTITUTE and REWRITE only: a regular expression that must fit exactly once in the anchor's
            text; what it fits is replaced. The text of REWRITE names its groups: ``\\1``.
    """

    path: str
    anchor: Anchor
    action: Action
    text: str = ""
    pattern: str = ""


def apply_edits(texts: Mapping[str, str], edits: Sequence[Edit]) -> dict[str, str]:
    """Return the files that edits change, changed; each edit sees what those before it did.

    Args:
        texts: every file that is edited.

    Raises:
        AnchorError: a place is missing or ambiguous.
        EmitError: the result is not what an edit may make of a file.
    """
    new = dict(texts)
    for edit in edits:
        new[edit.path] = _apply(new[edit.path], edit)
    changed = {path: text for path, text in new.items() if text != texts[path]}
    for path, text in changed.items():
        _check(path, texts[path], text)
    return changed


def _apply(text: str, edit: Edit) -> str:
    span = locate(text, edit.anchor, edit.path)
    if edit.action in (Action.SUBSTITUTE, Action.REWRITE):
        found = list(re.finditer(edit.pattern, span.of(text)))
        if len(found) != 1:
            raise AnchorError(edit.path, f"{edit.anchor}: {edit.pattern}", len(found))
        new = found[0].expand(edit.text) if edit.action is Action.REWRITE else edit.text
        span = Span(span.start + found[0].start(), span.start + found[0].end())
        return text[: span.start] + new + text[span.end :]
    if edit.action is Action.REPLACE:
        return text[: span.start] + edit.text + text[span.end :]
    first = text.rfind("\n", 0, span.start) + 1
    last = text.find("\n", span.end) + 1 or len(text)
    match edit.action:
        case Action.BEFORE:
            return text[:first] + edit.text + text[first:]
        case Action.AFTER:
            return text[:last] + edit.text + text[last:]
        case Action.DELETE:
            return text[:first] + text[last:]


def _check(path: str, old: str, new: str) -> None:
    """Refuse a result that is no longer what the file was; a file of which nothing is left goes.

    Raises:
        EmitError: it is not.
    """
    if not new:
        return
    if not new.endswith("\n"):
        raise EmitError(f"{path}: after the edits it would not end in a line's end")
    before = set(old.split("\n"))
    for line in new.split("\n"):
        if line != line.rstrip() and line not in before:
            raise EmitError(f"{path}: an edit leaves space at the end of a line: {line!r}")
    if PurePosixPath(path).suffix in (".c", ".h"):
        if parse(new).errors > parse(old).errors:
            raise EmitError(f"{path}: after the edits it no longer parses as before")
    elif PurePosixPath(path).name.startswith("Makefile") and is_balanced(old) and not is_balanced(new):
        raise EmitError(f"{path}: after the edits a conditional does not end")
