# SPDX-License-Identifier: GPL-2.0-or-later
"""Views of the document that several renderers share: order, groups, counts, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..audit.model import plural
from .document import AuditDocument, Example, FindingRecord, ImageRecord, RuleRecord
from .fingerprint import artefact_name

LEVELS = ("error", "warning", "note")
KNOWN = "unchanged"


def rank(level: str) -> int:
    """Return 0 for the worst level, more for milder ones."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def is_known(finding: FindingRecord) -> bool:
    """Tell whether the baseline has this finding."""
    return finding.baseline == KNOWN


def open_findings(findings: Iterable[FindingRecord]) -> tuple[FindingRecord, ...]:
    """Return the findings that the baseline does not have."""
    return tuple(finding for finding in findings if not is_known(finding))


def worst_first(findings: Iterable[FindingRecord]) -> list[FindingRecord]:
    """Sort by level and rule; within a rule the order stays."""
    return sorted(findings, key=lambda finding: (rank(finding.level), finding.rule))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The findings of one rule, worst first; `level` is the worst of them."""

    rule: str
    name: str
    level: str
    findings: tuple[FindingRecord, ...]


def groups(findings: Iterable[FindingRecord]) -> list[Group]:
    """Group findings by rule, the worst rule first."""
    by_rule: dict[str, list[FindingRecord]] = {}
    for finding in worst_first(findings):
        by_rule.setdefault(finding.rule, []).append(finding)
    return [
        Group(rule=rule, name=members[0].name, level=members[0].level, findings=tuple(members))
        for rule, members in by_rule.items()
    ]


def shares(wanted: Sequence[int], budget: int) -> list[int]:
    """Divide a budget among those who want some of it: one each in turn until it is spent."""
    given = [0] * len(wanted)
    while budget > 0 and any(have < want for have, want in zip(given, wanted, strict=True)):
        for place, want in enumerate(wanted):
            if budget > 0 and given[place] < want:
                given[place] += 1
                budget -= 1
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule on one image with its findings; those in the baseline apart."""

    record: RuleRecord
    open: tuple[FindingRecord, ...]
    known: tuple[FindingRecord, ...]


def rule_rows(image: ImageRecord) -> list[RuleRow]:
    """Return every rule of an image in order of its code; a finding whose rule has no record gets one."""
    findings: dict[str, list[FindingRecord]] = {}
    for finding in image.findings:
        findings.setdefault(finding.rule, []).append(finding)
    records = {record.rule: record for record in image.rules}
    for code, members in findings.items():
        records.setdefault(code, _missing_record(members))
    return [
        RuleRow(
            record=records[code],
            open=open_findings(findings.get(code, ())),
            known=tuple(filter(is_known, findings.get(code, ()))),
        )
        for code in sorted(records)
    ]


def _missing_record(findings: Sequence[FindingRecord]) -> RuleRecord:
    first = findings[0]
    return RuleRecord(
        rule=first.rule,
        name=first.name,
        level=first.level,
        status="fail",
        findings=len(findings),
        reason="",
    )


def fails(row: RuleRow, strict: bool) -> bool:
    """Tell whether a test report counts a rule as failed: notes count only when strict."""
    return any(strict or rank(finding.level) < rank("note") for finding in row.open)


def undecided_rules(document: AuditDocument) -> tuple[RuleRecord, ...]:
    """Return the rules of a race that were asked, but not of every state; one that broke has a finding that says so."""
    if document.verb != "race":
        return ()
    return tuple(rule for rule in document.total.rules if rule.status == "error" and not rule.findings)


def artefact_names(document: AuditDocument) -> dict[str, str]:
    """Return path -> name for the images of a document; where names clash the path is the name."""
    paths = [image.input.path for image in document.images] or [document.total.input.path]
    paths += [finding.image for finding in document.total.findings]
    names = {path: artefact_name(path) for path in paths}
    seen = Counter(names.values())
    return {path: name if seen[name] == 1 else path.lstrip("/") for path, name in names.items()}


def places(finding: FindingRecord) -> list[Example]:
    """Return where a finding is: its own address first, then the examples."""
    found = list(finding.examples)
    if finding.address is not None and all(example.address != finding.address for example in found):
        found.insert(0, Example(address=finding.address, symbol=finding.symbol))
    return found


def verdict(document: AuditDocument) -> str:
    """Return one line: what was found, and what was not looked at."""
    summary = document.summary
    counts = ", ".join(
        plural(count, noun)
        for count, noun in ((summary.errors, "error"), (summary.warnings, "warning"), (summary.notes, "note"))
    )
    text = f"{counts}; {plural(summary.skipped_rules, 'rule')} not run"
    undecided = len(undecided_rules(document))
    if summary.failed_rules > undecided:
        text += f", {summary.failed_rules - undecided:,} failed"
    if undecided:
        text += f", {undecided:,} not decided"
    known = sum(map(is_known, document.total.findings))
    return f"{text}; {plural(known, 'known finding')}" if known else text


def tally(findings: Iterable[FindingRecord]) -> dict[str, int]:
    """Count the findings that the baseline does not have, by level, the worst level first."""
    counts = dict.fromkeys(LEVELS, 0)
    for finding in open_findings(findings):
        counts[finding.level] = counts.get(finding.level, 0) + 1
    return counts


def images_with_findings(document: AuditDocument) -> list[tuple[ImageRecord, dict[str, int]]]:
    """Return each image that has findings with its counts, most errors first, then warnings, then notes."""
    counted = [(image, tally(image.findings)) for image in document.images]
    return sorted(
        ((image, counts) for image, counts in counted if any(counts.values())),
        key=lambda pair: tuple(-count for count in pair[1].values()),
    )
