# SPDX-License-Identifier: GPL-2.0-or-later
"""One line a finding, then one about what was not decided."""

from __future__ import annotations

from collections.abc import Iterator

from ..document import AuditDocument
from ..escape import printable
from ..formats import RenderOptions
from ..formats import concise as audit_concise


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield an audit's lines, and ``path: error: message`` for trouble."""
    yield from audit_concise.render(document, options)
    for line in document.trouble:
        yield printable(f"{document.title}: error: {line}", ascii_only=options.ascii_only) + "\n"
