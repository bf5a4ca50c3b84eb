# SPDX-License-Identifier: GPL-2.0-or-later
"""JUnit XML, flat as GitLab and Jenkins want it: a suite an image, a case a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from ...audit.model import Status, plural
from ..document import AuditDocument, FindingRecord, SourceFinding
from ..escape import printable
from ..views import RuleRow, artefact_names, fails, places, rule_rows, worst_first
from . import RenderOptions

NAME = "junit"
DESCRIPTION = "JUnit XML for CI systems: a suite an image, a case a rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One testcase element; `kind` is "failure", "error", "skipped" or "" for a pass."""

    kind: str
    text: str


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield one XML document without a time stamp; it is pure ASCII."""
    names = artefact_names(document)
    suites = [
        (
            names[image.input.path],
            [_case(row, names[image.input.path], document.verb, options) for row in rule_rows(image)],
        )
        for image in document.images
    ]
    every = [case for _, cases in suites for case in cases]
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<testsuites name="genpatch" {_counts(every)} time="{document.seconds:.3f}">\n'
    for name, cases in suites:
        yield f"  <testsuite name={_attribute(name)} {_counts(cases)}>\n"
        yield from (case.text for case in cases)
        yield "  </testsuite>\n"
    yield "</testsuites>\n"


def _counts(cases: list[_Case]) -> str:
    kinds = [case.kind for case in cases]
    return (
        f'tests="{len(cases)}" failures="{kinds.count("failure")}" '
        f'errors="{kinds.count("error")}" skipped="{kinds.count("skipped")}"'
    )


def _attribute(text: str) -> str:
    return quoteattr(printable(text, ascii_only=True))


def _body(lines: list[str]) -> str:
    return "\n".join(escape(printable(line, ascii_only=True)) for line in lines)


def _case(row: RuleRow, artefact: str, verb: str, options: RenderOptions) -> _Case:
    record = row.record
    kind, outcome = _outcome(row, options)
    title = _attribute(f"{record.rule} {record.name}")
    head = f'    <testcase classname="genpatch.{verb}" name={title} file={_attribute(artefact)} time="0"'
    text = f"{head}>\n      {outcome}\n    </testcase>\n" if outcome else f"{head}/>\n"
    return _Case(kind=kind, text=text)


def _outcome(row: RuleRow, options: RenderOptions) -> tuple[str, str]:
    """Return the kind of a case and the element that says so."""
    record = row.record
    if record.status == Status.ERROR:
        return "error", f"<error type={_attribute(record.rule)} message={_attribute(record.reason)}/>"
    if fails(row, options.strict):
        message = _attribute(plural(len(row.open), "finding"))
        body = _body(_lines(row, options))
        return "failure", f"<failure type={_attribute(record.rule)} message={message}>{body}</failure>"
    if row.open:
        return "", f"<system-out>{_body(_lines(row, options))}</system-out>"
    if row.known:
        reason = f"baseline: {plural(len(row.known), 'known finding')}"
        return "skipped", f"<skipped message={_attribute(reason)}/>"
    if record.status == Status.SKIPPED:
        return "skipped", f"<skipped message={_attribute(record.reason)}/>"
    return "", ""


def _lines(row: RuleRow, options: RenderOptions) -> list[str]:
    findings = worst_first(row.open)
    lines = [line for each in findings[: options.max_findings] for line in _finding(each, options)]
    if len(findings) > options.max_findings:
        lines.append(f"... {len(findings) - options.max_findings:,} more")
    return lines


def _finding(finding: FindingRecord, options: RenderOptions) -> Iterator[str]:
    if isinstance(finding, SourceFinding):
        yield f"{finding.level}: {finding.place}: {finding.message}"
        return
    yield f"{finding.level}: {finding.message}"
    found = places(finding)
    for place in found[: options.max_examples]:
        yield f"  {place.address} {place.symbol}".rstrip()
    rest = max(finding.sites, len(found)) - min(len(found), options.max_examples)
    if found and rest > 0:
        yield f"  ... {rest:,} more"
