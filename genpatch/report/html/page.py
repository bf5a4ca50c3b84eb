# SPDX-License-Identifier: GPL-2.0-or-later
"""The page: what templates get, and what a browser is allowed to do with it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from ... import __version__
from ...audit.model import plural
from ..bpf_changes import has_values, unit_of
from ..diff_text import verdict_of
from ..diffing import Diff, compare_sides
from ..documents import Document
from ..escape import printable
from ..views import LEVELS
from .chapters import chapter_of
from .columns import Columns
from .dossiers import Dossier, dossiers_of
from .pack import as_script_data

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["page_of", "policy_of"]

_HERE = Path(__file__).parent
_SCRIPTS = ("dom.js", "data.js", "strip.js", "site.js", "sites.js", "views.js", "main.js")
_DIFFED = ("audit", "verify", "race", "compare")


def page_of(documents: Iterable[Document]) -> Iterator[str]:
    """Yield the page of some documents, which are put together by the kernels that they are about.

    Every text of a document is escaped by the template, or is compressed data that scripts show as text.
    """
    dossiers = dossiers_of(documents)
    columns = Columns()
    chapters = [chapter_of(dossier, columns) for dossier in dossiers]
    payload = {"kernels": [chapter.pop("data") for chapter in chapters]}
    style, script, diff = _style(), _script(), _diff(dossiers)
    template = _environment().get_template("page.html.j2")
    yield template.render(
        title=_title(dossiers),
        version=__version__,
        policy=policy_of(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(as_script_data(payload, columns)),
        chapters=chapters,
        diff=diff,
        sides=[chapter for chapter in chapters if chapter["dossier"].is_kernel],
        diff_verdict=verdict_of(diff) if diff is not None else "",
        diff_worst=_worst(diff),
        unit_of=unit_of,
        has_values=has_values,
    )


def policy_of(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style and this script, and no request to anywhere."""
    return (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode("ascii")


def _title(dossiers: list[Dossier]) -> str:
    names = [dossier.short for dossier in dossiers]
    return f"{' and '.join(names) if len(names) < 3 else plural(len(names), 'kernel')} - genpatch"


def _diff(dossiers: list[Dossier]) -> Diff | None:
    """Return what has changed between two kernels, if the page has two with something in common."""
    kernels = [dossier for dossier in dossiers if dossier.is_kernel]
    if len(kernels) != 2:
        return None
    old, new = ({verb: each for verb, each in kernel.documents.items() if verb in _DIFFED} for kernel in kernels)
    found = compare_sides(old, new)
    return found if found.compared else None


def _worst(diff: Diff | None) -> str:
    """Return the worst level of what is worse than it was."""
    levels = diff.levels if diff is not None else ()
    return next((level for level in LEVELS if level in levels), "clean")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    )  # fmt: skip
    made.filters["urlencode"] = lambda value: quote(printable(value), safe="")  # as packed data has the name
    made.filters["count"] = lambda value: f"{value:,}"
    made.filters["plural"] = lambda value, noun, many="": plural(value, noun, many)
    return made


def _shown(value: Any) -> Any:
    """Make text printable: a name may hold characters that turn the direction of what follows."""
    if type(value) is str and not value.isprintable():
        return "\n".join(printable(line, limit=1 << 20) for line in value.split("\n"))
    return value


@cache
def _style() -> str:
    return (_HERE / "style.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    """Return all scripts as one function: they share names with each other and with nothing else."""
    parts = [(_HERE / "js" / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();"
