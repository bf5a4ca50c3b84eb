# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP, the kernel's test protocol (Documentation/dev-tools/ktap.rst): artefacts, and within them rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...audit.model import Status, plural
from ..document import AuditDocument, FindingRecord
from ..escape import printable
from ..views import RuleRow, artefact_names, fails, rule_rows, worst_first
from . import RenderOptions

NAME = "ktap"
DESCRIPTION = "KTAP version 1 for kernel test systems: a test an image, a subtest a rule"

_NOT_IN_DESCRIPTIONS = re.compile(r"[#\r\n]+")


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield nested KTAP; an image fails when a rule on it does."""
    names = artefact_names(document)
    yield f"KTAP version 1\n1..{len(document.images)}\n"
    for number, image in enumerate(document.images, 1):
        rows = rule_rows(image)
        yield from _rules(rows, options)
        failed = any(_is_failure(row, options) for row in rows)
        yield f"{_result(failed)} {number} {describe(names[image.input.path])}\n"
    if not document.images:
        yield "# no image was audited\n"


def _rules(rows: list[RuleRow], options: RenderOptions) -> Iterator[str]:
    yield f"  KTAP version 1\n  1..{max(len(rows), 1)}\n"
    if not rows:
        yield "  ok 1 rules # SKIP no rule was selected\n"
    for number, row in enumerate(rows, 1):
        yield from (f"  # {line}\n" for line in _diagnostics(row, options))
        title = describe(f"{row.record.rule} {row.record.name}")
        line = f"  {_result(_is_failure(row, options))} {number} {title}{_directive(row)}"
        yield line.rstrip() + "\n"


def _is_failure(row: RuleRow, options: RenderOptions) -> bool:
    return row.record.status == Status.ERROR or fails(row, options.strict)


def _result(failed: bool) -> str:
    return "not ok" if failed else "ok"


def describe(text: str) -> str:
    """A description holds no # and does not begin with a dash, which parsers take for a separator."""
    plain = " ".join(printable(_NOT_IN_DESCRIPTIONS.sub(" ", text)).split())
    return plain.lstrip("-: ") or "unnamed"


def _directive(row: RuleRow) -> str:
    """What stands behind the description: why there is no verdict, or how many findings."""
    if row.record.status == Status.ERROR:
        return f" # ERROR {_reason(row)}"
    if row.open:
        return f" # {plural(len(row.open), 'finding')}"
    if row.known:
        return f" # XFAIL baseline: {plural(len(row.known), 'known finding')}"
    return f" # SKIP {_reason(row)}" if row.record.status == Status.SKIPPED else ""


def _reason(row: RuleRow) -> str:
    return printable(_NOT_IN_DESCRIPTIONS.sub(" ", row.record.reason))


def _diagnostics(row: RuleRow, options: RenderOptions) -> Iterator[str]:
    findings = worst_first(row.open)
    for finding in findings[: options.max_findings]:
        yield printable(_diagnostic(finding))
    if len(findings) > options.max_findings:
        yield f"... {len(findings) - options.max_findings:,} more"


def _diagnostic(finding: FindingRecord) -> str:
    place = f"{finding.place}: " if finding.place else ""
    return f"{finding.rule} {finding.name}: {finding.level}: {place}{finding.message}"
