# SPDX-License-Identifier: GPL-2.0-or-later
"""One line a finding, for grep, editors and logs."""

from __future__ import annotations

from collections.abc import Iterator

from ..document import AuditDocument, FindingRecord
from ..escape import printable
from ..views import open_findings, worst_first
from . import RenderOptions

NAME = "concise"
DESCRIPTION = "one line a finding: path:address: level: GPnnn name: message"


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield ``path:address: level: GPnnn name: message``; without an address the path stands alone."""
    for finding in worst_first(open_findings(document.total.findings)):
        yield printable(_line(finding), ascii_only=options.ascii_only) + "\n"


def _line(finding: FindingRecord) -> str:
    where = finding.image if finding.address is None else f"{finding.image}:{finding.address}"
    symbol = f" ({finding.symbol})" if finding.symbol and finding.symbol not in finding.message else ""
    return f"{where}: {finding.level}: {finding.rule} {finding.name}: {finding.message}{symbol}"
