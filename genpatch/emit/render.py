# SPDX-License-Identifier: GPL-2.0-or-later
"""Templates of new code and of messages. A name that a template uses and nobody gives is an error."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["code", "message", "wrapped"]

WIDTH = 72
_TRAILER = re.compile(r"[A-Z][A-Za-z-]+: \S")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    packaged = Path(__file__).parent.parent / "_templates"
    root = packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"
    return Environment(
        loader=FileSystemLoader(root / "emit"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def code(template: str, **values: object) -> str:
    """Return the text of a template: ``hi20-check/test.c.j2``."""
    return _environment().get_template(template).render(**values)


def message(template: str, **values: object) -> tuple[str, str]:
    """Return subject and body of a message: the first line, and the paragraphs below it, wrapped."""
    text = code(template, genpatch=__version__, **values).strip("\n")
    subject, _, body = text.partition("\n")
    return subject.strip(), wrapped(body)


def wrapped(text: str) -> str:
    """Return paragraphs filled to 72 columns; those that are indented and trailers stay as they are."""
    paragraphs = re.split(r"\n{2,}", text.strip("\n"))
    return "\n\n".join(_filled(paragraph) for paragraph in paragraphs if paragraph.strip()) + "\n"


def _filled(paragraph: str) -> str:
    lines = paragraph.split("\n")
    if paragraph[0] in " \t" or all(_TRAILER.match(line) for line in lines):
        return "\n".join(line.rstrip() for line in lines)
    return textwrap.fill(" ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
