# SPDX-License-Identifier: GPL-2.0-or-later
"""The document as JSON, for programs; its schema is `report.schema.AUDIT_JSON_SCHEMA`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..document import AuditDocument
from ..site_columns import with_sites
from . import RenderOptions

NAME = "json"
DESCRIPTION = "the whole audit as one JSON document"


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield the document, indented unless it lists sites; pure ASCII, so that odd names survive any channel."""
    if options.sites:
        yield json.dumps(with_sites(document), separators=(",", ":"))
    else:
        yield json.dumps(document.as_json(), indent=2)
    yield "\n"
