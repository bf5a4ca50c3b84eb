# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches as they were read, what is found in them, and rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .change import Change

MESSAGE = "-"
"""The file of a finding that is about a message."""


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Skip(Exception):  # noqa: N818 - not an error: a rule that lacks its facts says so
    """Raised by a rule that cannot judge a patch; the text says why."""


class Line(NamedTuple):
    """A line of a hunk.

    Args:
        kind: a space, ``+`` or ``-``.
        text: without its mark, with its line end if it has one.
    """

    kind: str
    text: str


class Hunk(NamedTuple):
    """A hunk.

    Args:
        start: of its old side, the first line is 1.
        new_start: of its new side.
        lines: in order.
        at: its line in the input.
    """

    start: int
    new_start: int
    lines: tuple[Line, ...]
    at: int


class FileDiff(NamedTuple):
    """What a patch does to a file.

    Args:
        old: its path before; None if the patch makes it.
        new: its path after; None if the patch takes it away.
        blob: name that git gives to the old content, perhaps shortened; empty if the patch does not say.
        is_copy: the old file stays.
        hunks: in order.
    """

    old: str | None
    new: str | None
    blob: str
    is_copy: bool
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        """The path to name in a finding."""
        return self.new or self.old or ""


class MessageLine(NamedTuple):
    """A line of a commit message, and its line in the input."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch.

    Args:
        name: of the input it stands in.
        subject: None if the input is a bare diff.
        author: as ``Name <address>``, may be empty.
        body: of the commit message, without the subject.
        files: what it changes.
        at: line of its subject in the input.
        first: line of the input at which it starts.
        raw: the part of the input that it was read from.
    """

    name: str
    subject: MessageLine | None
    author: str
    body: tuple[MessageLine, ...]
    files: tuple[FileDiff, ...]
    at: int
    first: int = 1
    raw: bytes = b""


class Finding(NamedTuple):
    """Something wrong.

    Args:
        rule: its code.
        level: how bad.
        file: of the tree, or MESSAGE; of what an image shows, the image.
        line: of the file after the patch, or of the input; 0 if it is about no line.
        message: in words.
        patch: name of the input.
        name: of the rule.
    """

    rule: str
    level: Level
    file: str
    line: int
    message: str
    patch: str = ""
    name: str = ""


class Place(NamedTuple):
    """A line of a file of the tree, the first line is 1."""

    path: str
    line: int


class Problem(NamedTuple):
    """Something wrong with a tree; what was there before a patch is not the patch's.

    Args:
        key: what tells it from others.
        places: that it is about, the best one to name first.
        message: in words.
        level: None for the rule's own.
    """

    key: str
    places: tuple[Place, ...]
    message: str
    level: Level | None = None


MessageCheck = Callable[[Patch], Iterable[tuple[MessageLine, str]]]
SourceCheck = Callable[["Change"], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Args:
        code: ``GP511``.
        name: in words with dashes.
        level: of its findings.
        doc: its documentation.
        of_message: what it does with a message, if it is about that.
        of_source: what it does with a change, if it is about that.
        since: version that brought it.
    """

    code: str
    name: str
    level: Level
    doc: str
    of_message: MessageCheck | None = None
    of_source: SourceCheck | None = None
    since: str = "0.1.0"

    @property
    def is_about_source(self) -> bool:
        """Whether it needs a tree."""
        return self.of_message is None


class Outcome(NamedTuple):
    """What became of a rule on one patch.

    Args:
        rule: its code.
        name: its name.
        level: of its worst finding, else the rule's own.
        status: ``pass``, ``fail``, ``skipped`` or ``error``.
        findings: how many.
        reason: why it was skipped or broke, else empty.
    """

    rule: str
    name: str
    level: Level
    status: str
    findings: int = 0
    reason: str = ""
