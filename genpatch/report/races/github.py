# SPDX-License-Identifier: GPL-2.0-or-later
"""GitHub annotations, with one about what was not decided."""

from __future__ import annotations

from collections.abc import Iterator

from ..document import AuditDocument
from ..formats import RenderOptions
from ..formats import github as audit_github


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield trouble as errors of the whole run, then an audit's annotations."""
    for line in document.trouble:
        yield audit_github.remark("error", line)
    yield from audit_github.render(document, options)
