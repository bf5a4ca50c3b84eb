# SPDX-License-Identifier: GPL-2.0-or-later
"""What was said of patches, as a document that the audit's writers render."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..check.model import MESSAGE, Finding, Outcome
from ..check.render import as_record
from ..check.run import Checked, Judged
from .build import build_document
from .document import AuditDocument, FindingRecord, ImageRecord, InputRecord, RuleRecord, SourceFinding, TableRecord
from .fingerprint import artefact_name, fingerprint, unique
from .formats import Render, get_format

__all__ = ["FORMATS", "CheckDocument", "check_document", "render_of"]

FORMATS = ("github", "gitlab", "junit", "ktap", "sarif")
"""Formats that render it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDocument(AuditDocument):
    """The document of `genpatch check`: an image record each patch, whose findings are `SourceFinding`."""

    checked: Checked

    @property
    def verb(self) -> str:
        """Whose document it is."""
        return "check"

    @property
    def is_about_source(self) -> bool:
        """Its findings are about lines."""
        return True

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain data."""
        return as_record(self.checked)


def check_document(checked: Checked, *, seconds: float = 0.0) -> CheckDocument:
    """Return the document of patches that were checked."""
    records = [_record(part) for part in checked.parts]
    title = checked.parts[0].name if len(records) == 1 else f"{len(records)} patches"
    made = build_document(records, title=title, seconds=seconds, notes=checked.skipped)
    return CheckDocument(
        title=title,
        images=made.images,
        total=made.total,
        summary=made.summary,
        seconds=seconds,
        checked=checked,
    )


def render_of(name: str) -> Render:
    """Return how a format of FORMATS shows it; imports nothing but that format."""
    return get_format(name).render


def _record(part: Judged) -> ImageRecord:
    kind = "patch" if part.patch is not None else "kernel"
    return ImageRecord(
        input=InputRecord(
            path=part.name, kind=kind, kernel_release=None, build_id=None, symbols="none", types="none", config="none"
        ),
        table=TableRecord(entries=0, zero=0, sites=0, source="none", sorted=None),
        scheme="",
        scheme_variant=None,
        scheme_evidence=(),
        sleds=(),
        alignment=dict.fromkeys(("2", "4", "8", "16"), 0),
        reach=None,
        pair=None,
        rules=tuple(map(_rule, part.outcomes)),
        findings=tuple(_findings(part)),
    )


def _rule(outcome: Outcome) -> RuleRecord:
    return RuleRecord(
        rule=outcome.rule,
        name=outcome.name,
        level=str(outcome.level),
        status=outcome.status,
        findings=outcome.findings,
        reason=outcome.reason,
    )


def _findings(part: Judged) -> Iterable[FindingRecord]:
    name = artefact_name(part.name)
    prints = unique(fingerprint(each.rule, _file(each, name), each.message, "") for each in part.findings)
    for each, mark in zip(part.findings, prints, strict=True):
        yield SourceFinding(
            rule=each.rule,
            name=each.name,
            level=str(each.level),
            image=part.name,
            address=None,
            symbol="",
            section="",
            message=each.message,
            sites=0,
            examples=(),
            fingerprint=mark,
            file=part.name if _file(each, name) == name else each.file,
            line=each.line,
        )


def _file(finding: Finding, name: str) -> str:
    """Return what a finding is in: a file of the tree, or what was checked, by its name."""
    return name if finding.file in (MESSAGE, finding.patch) else finding.file
