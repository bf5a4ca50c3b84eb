# SPDX-License-Identifier: GPL-2.0-or-later
"""Renderings of the audit document, a file each; adding a format is adding a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from ...errors import UsageError
from ..document import AuditDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """What a rendering may vary in; every format ignores what does not concern it.

    Args:
        color: use ANSI sequences.
        width: columns of the terminal.
        encoding: of the stream; text for people is ASCII unless this is UTF-8.
        max_findings: findings (or lines of them) that are shown before the rest is only counted.
        max_examples: places that are named for each finding.
        explain: say how to have a rule explained.
        summary: begin with the facts of the image; without it only findings are shown.
        verdict: count findings behind the facts and at the end (text).
        strict: notes fail a test (ktap, junit) and are annotated (github).
        witness: list the paths to failures (race).
        verbose: every transition of every scheme (race).
        sites: put the sites into the document, if they were kept (json).
    """

    color: bool = False
    width: int = 80
    encoding: str = "utf-8"
    max_findings: int = 50
    max_examples: int = 3
    explain: bool = True
    summary: bool = True
    verdict: bool = True
    strict: bool = False
    witness: bool = False
    verbose: bool = False
    sites: bool = False

    @property
    def ascii_only(self) -> bool:
        """Whether the stream may not be able to take more than ASCII."""
        return self.encoding.lower().replace("-", "").replace("_", "") not in ("utf8", "utf8sig")


Render = Callable[[AuditDocument, RenderOptions], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One output format; `needs_sites` says that it lists sites, so the document must keep them."""

    name: str
    description: str
    render: Render
    needs_sites: bool


@cache
def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted; imports none of them."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get_format(name: str) -> Format:
    """Return one format and import nothing but it.

    Raises:
        UsageError: there is no such format.
    """
    if name not in format_names():
        raise UsageError(f"unknown format {name!r}: use one of {', '.join(format_names())}")
    module = import_module(f"{__name__}.{name}")
    return Format(
        name=module.NAME,
        description=module.DESCRIPTION,
        render=module.render,
        needs_sites=getattr(module, "NEEDS_SITES", False),
    )


def formats() -> dict[str, Format]:
    """Return every format by name; imports all of them."""
    return {name: get_format(name) for name in format_names()}
