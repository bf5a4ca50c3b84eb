# SPDX-License-Identifier: GPL-2.0-or-later
"""Markdown tables for pull requests, job summaries and mails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...audit.model import Status, plural
from ..document import AuditDocument, FindingRecord
from ..escape import printable
from ..overview import facts
from ..views import artefact_names, images_with_findings, open_findings, places, undecided_rules, verdict, worst_first
from . import RenderOptions

NAME = "markdown"
DESCRIPTION = "Markdown tables for pull requests and job summaries"

MAX_CELL = 500
# An underscore between letters is not markup.
_SPECIAL = re.compile(r"[\\`*\[\]#|~$@]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_NOT_IN_CODE = re.compile(r"[`|<>]")


def prose(text: str) -> str:
    """Return text that Markdown shows as it is: nothing in it is markup, HTML or the end of a cell."""
    plain = printable(text, limit=MAX_CELL)
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(lambda match: "\\" + match[0], plain)


def code(text: str) -> str:
    """Return a code span; what could end it or its table cell becomes ``\\xNN``."""
    plain = printable(text, limit=MAX_CELL)
    plain = _NOT_IN_CODE.sub(lambda match: f"\\x{ord(match[0]):02x}", plain)
    return f"`{plain}`" if plain.strip() else ""


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield a heading, the verdict, and tables of facts, images, findings and rules that were not run."""
    names = artefact_names(document)
    yield f"## genpatch {document.verb}: {prose(document.title)}\n\n**{verdict(document)}**\n"
    if options.summary:
        rows = [(label, "<br>".join(map(prose, lines))) for label, lines in facts(document.total)]
        yield from _table("", ("", ""), rows)
        yield from _images(document, names, options)
    yield from _findings(document, names, options)
    rules = document.total.rules
    undecided = undecided_rules(document)
    for title, some in (
        ("Rules not run", [rule for rule in rules if rule.status == Status.SKIPPED]),
        ("Rules not decided", undecided),
        ("Rules that failed to run", [rule for rule in rules if rule.status == Status.ERROR and rule not in undecided]),
    ):
        rows = [(f"{code(rule.rule)} {prose(rule.name)}", prose(rule.reason)) for rule in some]
        yield from _table(title, ("Rule", "Reason"), rows)


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table with a heading, or nothing when it has no rows."""
    if not rows:
        return
    yield f"\n### {title}\n\n" if title else "\n"
    yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


def _findings(document: AuditDocument, names: dict[str, str], options: RenderOptions) -> Iterator[str]:
    findings = worst_first(open_findings(document.total.findings))
    several = len(document.images) > 1
    heads = ("Level", "Rule", *(["Image"] if several else []), "Finding", "Where")
    rows = []
    for finding in findings[: options.max_findings]:
        image = [code(names[finding.image])] if several else []
        rule = f"{code(finding.rule)} {prose(finding.name)}"
        rows.append((finding.level, rule, *image, prose(finding.message), _where(finding, options)))
    yield from _table("Findings", heads, rows)
    yield from _rest(len(findings) - len(rows), "finding")


def _where(finding: FindingRecord, options: RenderOptions) -> str:
    found = places(finding)
    shown = [f"{code(place.address)} {code(place.symbol)}".strip() for place in found[: options.max_examples]]
    rest = max(finding.sites, len(found)) - len(shown)
    if shown and rest > 0:
        shown.append(f"... {rest:,} more")
    return "<br>".join(shown) or "the image"


def _images(document: AuditDocument, names: dict[str, str], options: RenderOptions) -> Iterator[str]:
    if len(document.images) < 2:
        return
    ranked = images_with_findings(document)
    rows = [
        (code(names[image.input.path]), f"{image.table.sites:,}", *map(str, counts.values()))
        for image, counts in ranked[: options.max_findings]
    ]
    yield from _table("Images with findings", ("Image", "Sites", "Errors", "Warnings", "Notes"), rows)
    yield from _rest(len(ranked) - len(rows), "image")
    yield f"\n{plural(len(document.images) - len(ranked), 'image')} without findings\n"


def _rest(count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield f"\n... and {plural(count, noun)} more\n"
