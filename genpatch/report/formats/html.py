# SPDX-License-Identifier: GPL-2.0-or-later
"""One page for a browser, complete in itself."""

from __future__ import annotations

from collections.abc import Iterator

from ..document import AuditDocument
from ..site_columns import with_sites
from . import RenderOptions

NAME = "html"
DESCRIPTION = "one page that opens offline, with every site"
NEEDS_SITES = True


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield the page."""
    from ..html import page_of

    yield from page_of([with_sites(document)])
