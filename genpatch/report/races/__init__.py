# SPDX-License-Identifier: GPL-2.0-or-later
"""Renderings of what was explored; formats that know nothing of rows show a kernel's findings."""

from __future__ import annotations

from importlib import import_module

from ..formats import Render, get_format

__all__ = ["CATALOG_FORMATS", "render_of"]

_OWN = ("concise", "github", "ktap", "markdown", "text")
CATALOG_FORMATS = ("html", "json", "ktap", "markdown", "text")
"""Formats for schemes: there are no findings to show."""


def render_of(name: str) -> Render:
    """Return how a format shows a `RaceDocument`; imports nothing but that format."""
    if name in _OWN:
        render: Render = import_module(f"{__name__}.{name}").render
        return render
    return get_format(name).render
