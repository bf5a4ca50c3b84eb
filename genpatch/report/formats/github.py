# SPDX-License-Identifier: GPL-2.0-or-later
"""GitHub annotations: workflow commands on stdout, and the Markdown that a job summary takes."""

from __future__ import annotations

from collections.abc import Iterator

from ...audit.model import plural
from ..document import AuditDocument, FindingRecord, SourceFinding
from ..escape import printable
from ..views import Group, artefact_names, groups, open_findings, places, tally
from . import RenderOptions, markdown

NAME = "github"
DESCRIPTION = "annotations for GitHub Actions, at most ten a level"

MAX_ANNOTATIONS = 10
SUMMARY_SIZE = 1 << 20
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield one annotation for each level and rule, worst first; the last says what was left out.

    Notes are annotated only when strict, since GitHub shows ten annotations a level and step.
    """
    names = artefact_names(document)
    findings = open_findings(document.total.findings)
    left = tally(findings)
    for level in ("error", "warning", "note") if options.strict else ("error", "warning"):
        ranked = list(_gathered([finding for finding in findings if finding.level == level]))
        for group in ranked[:MAX_ANNOTATIONS]:
            left[level] -= len(group.findings)
            yield _annotation(group, names, options)
    if any(left.values()):
        parts = [plural(count, level) for level, count in left.items() if count]
        yield f"::notice title=genpatch::{', '.join(parts)} not annotated; the report has them all\n"


def render_markdown(document: AuditDocument, options: RenderOptions) -> str:
    """Return what to append to ``$GITHUB_STEP_SUMMARY``: whole lines, within GitHub's limit of 1 MiB."""
    lines: list[str] = []
    room = SUMMARY_SIZE - 1024
    for line in "".join(markdown.render(document, options)).splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            return "".join([*lines, "\n... cut off: GitHub takes no more than 1 MiB\n"])
        lines.append(line)
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")


def remark(command: str, line: str) -> str:
    """Return an annotation that is about no file."""
    return f"::{command} title=genpatch::{_data(printable(line))}\n"


def _gathered(findings: list[FindingRecord]) -> Iterator[Group]:
    """Yield what gets an annotation each: a rule, and of source every finding, since each has a line of its own."""
    in_source = [finding for finding in findings if isinstance(finding, SourceFinding)]
    yield from groups(finding for finding in findings if not isinstance(finding, SourceFinding))
    for finding in in_source:
        yield Group(rule=finding.rule, name=finding.name, level=finding.level, findings=(finding,))


def _annotation(group: Group, names: dict[str, str], options: RenderOptions) -> str:
    first = group.findings[0]
    title = _property(f"genpatch ({group.rule} {group.name})")
    file, line = (first.file, first.line or 1) if isinstance(first, SourceFinding) else (names[first.image], 1)
    place = f"file={_property(file)},line={line},title={title}"
    body = "\n".join(map(printable, _body(group, options)))
    return f"::{_COMMANDS[group.level]} {place}::{_data(body)}\n"


def _body(group: Group, options: RenderOptions) -> Iterator[str]:
    """The messages of a group and where they apply, as lines."""
    for finding in group.findings[: options.max_examples]:
        yield finding.message
        for place in places(finding)[: options.max_examples]:
            yield f"  {place.address} {place.symbol}".rstrip()
    rest = len(group.findings) - options.max_examples
    if rest > 0:
        yield f"... and {plural(rest, 'finding')} more"
