# SPDX-License-Identifier: GPL-2.0-or-later
"""GitLab Code Quality (artifacts:reports:codequality): a JSON array, an object a finding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..document import AuditDocument, FindingRecord, SourceFinding
from ..escape import printable
from ..fingerprint import unique
from ..views import artefact_names, open_findings, worst_first
from . import RenderOptions

NAME = "gitlab"
DESCRIPTION = "GitLab Code Quality report"

_SEVERITY = {"error": "critical", "warning": "major"}


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield the array; what the baseline knows is left out."""
    names = artefact_names(document)
    findings = worst_first(open_findings(document.total.findings))
    fingerprints = unique(finding.fingerprint for finding in findings)
    entries = [
        {
            "description": printable(f"{finding.rule} {finding.name}: {finding.message}"),
            "check_name": finding.rule,
            "fingerprint": fingerprint,
            "severity": _SEVERITY.get(finding.level, "info"),
            "location": _location(finding, names),
        }
        for finding, fingerprint in zip(findings, fingerprints, strict=True)
    ]
    yield json.dumps(entries, indent=2)
    yield "\n"


def _location(finding: FindingRecord, names: dict[str, str]) -> dict[str, Any]:
    if isinstance(finding, SourceFinding):
        return {"path": printable(finding.file), "lines": {"begin": max(finding.line, 1)}}
    return {"path": printable(names[finding.image]), "lines": {"begin": 1}}
