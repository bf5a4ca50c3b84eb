# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule is, what it finds, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GenpatchError
from ..units import BoolArray, I64Array

if TYPE_CHECKING:
    from .cases import Case
    from .facts import Facts


class Severity(IntEnum):
    """How bad a finding is."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def text(self) -> str:
        """``"note"``, ``"warning"`` or ``"error"``."""
        return self.name.lower()


class Status(StrEnum):
    """What became of a rule on an image."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"
    ERROR = "error"


class Skip(Exception):  # noqa: N818 - not an error: a rule that lacks its facts says so
    """Raised by a rule that cannot judge this image; the text says which fact is missing."""


class Undecided(Skip):
    """Raised by a rule that ran in part, found nothing, and cannot say that there is nothing."""


class RuleError(GenpatchError):
    """A rule is declared wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one image.

    Args:
        message: one sentence, with numbers.
        kind: a short constant that tells this finding from others of its rule; part of the fingerprint.
        level: None for the rule's own.
        address: where, or None for the image as a whole.
        symbol: the symbol at or around `address`, may be empty.
        sites: int64[k], the sites concerned (positions in `Sites`), or None.
        count: how many things are concerned, if they are not sites.
        subject: what the fingerprint names beside rule and kind; the symbol by default.
    """

    message: str
    kind: str
    level: Severity | None = None
    address: int | None = None
    symbol: str = ""
    sites: I64Array | None = None
    count: int | None = None
    subject: str | None = None

    def at_level(self, level: Severity) -> Finding:
        """Return the same finding with a level."""
        return replace(self, level=level)


Check = Callable[["Facts"], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """A rule as declared by `rule`.

    Args:
        code: ``GPnnn``; 1xx tables and layout, 2xx encoding and reach, 3xx observed in the interpreter,
            4xx concurrent patching, 5xx emitted patches, 9xx what could not be determined.
        name: reads well after "allow".
        severity: of its findings unless they say otherwise.
        since: version that brought it.
        source: specification, or kernel commit and subject.
        check: the function; its docstring is the documentation.
        cases: images on which it must and must not fire.
        applies: ``"kernel"``, ``"module"``, ``"any"``; ``"verify"`` for what is seen when an image is run, ``"race"``
            for what is seen when interleavings are explored.
    """

    code: str
    name: str
    severity: Severity
    since: str
    source: str
    check: Check
    cases: tuple[Case, ...]
    applies: str

    @property
    def doc(self) -> str:
        """The documentation: markdown with fixed headings."""
        return self.check.__doc__ or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What a rule said of an image; `reason` is set when it was skipped or failed to run."""

    rule: Rule
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def where(mask: BoolArray) -> I64Array:
    """Return the positions where a mask holds: int64[k]."""
    return np.flatnonzero(mask).astype(np.int64)


def plural(count: int, noun: str, many: str = "") -> str:
    """Return ``1 site`` or ``1,020 sites``; `many` is the plural where it is not noun + s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or noun + 's'}"


def agree(count: int, one: str, many: str) -> str:
    """Return the form of a verb that goes with a count: ``agree(1, "has", "have")``."""
    return one if count == 1 else many
