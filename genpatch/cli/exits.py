# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit statuses, in the habits of several CI systems."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..report.document import AuditDocument

_RANK = {"none": 0, "note": 1, "warning": 2, "error": 3, "never": 4}
_NIPA_WARNING, _SKIP, _BISECT_SKIP = 250, 4, 125
STYLES = ("default", "nipa", "kselftest", "bisect")


def _judged_bad(document: AuditDocument, fail_on: str) -> bool:
    """Tell whether some finding fails that is not about what could not be judged (GP9xx, a rule that broke)."""
    return any(
        _RANK[finding.level] >= _RANK[fail_on]
        for image in document.images
        for finding in image.findings
        if finding.baseline != "unchanged"
        and not finding.rule.startswith("GP9")
        and not any(rule.status == "error" for rule in image.rules if rule.rule == finding.rule)
    )


def exit_status(document: AuditDocument, *, fail_on: str, style: str) -> int:
    """Return the exit status of an audit.

    Args:
        document: the audit.
        fail_on: the level at and above which findings fail, or "never".
        style: default (0, 1); nipa (0, 250 for warnings, 1); kselftest (0, 1, 4 if no image could be
            judged); bisect (0, 1, 125 if no image could be judged).
    Raises:
        UsageError: no such style.
    """
    if style not in STYLES:
        raise UsageError(f"--exit-style {style!r}: expected one of {', '.join(STYLES)}")
    if fail_on == "never":
        return 0
    failed = _RANK[document.summary.worst] >= _RANK[fail_on]
    undecided = bool(document.summary.failed_rules) or all(image.scheme == "unknown" for image in document.images)
    if style == "nipa":
        return 1 if document.summary.errors else (_NIPA_WARNING if document.summary.warnings else 0)
    if style in ("kselftest", "bisect") and undecided and not _judged_bad(document, fail_on):
        return _SKIP if style == "kselftest" else _BISECT_SKIP
    return int(failed)


def status_of(levels: Collection[str], *, fail_on: str, style: str, undecided: bool) -> int:
    """Return the exit status of findings that are about no image.

    Args:
        levels: of the findings.
        fail_on: as in `exit_status`.
        style: as in `exit_status`.
        undecided: something could not be judged.
    """
    if fail_on == "never":
        return 0
    if style == "nipa":
        return 1 if "error" in levels else (_NIPA_WARNING if "warning" in levels else 0)
    failed = any(_RANK[level] >= _RANK[fail_on] for level in levels)
    if style in ("kselftest", "bisect") and undecided and not failed:
        return _SKIP if style == "kselftest" else _BISECT_SKIP
    return int(failed)
