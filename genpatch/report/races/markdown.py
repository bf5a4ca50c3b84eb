# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows as Markdown tables, fit to be kept as a document: the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..document import AuditDocument
from ..escape import printable
from ..formats import RenderOptions
from ..formats import markdown as audit_markdown
from ..formats.markdown import code, prose
from ..racing import RaceDocument
from .cells import NOTHING, OWN_SAYS, Table, cell, own_evidence, paths, skipped, tables, verdict, worst


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield the verdict, of several schemes who is safe where, then a table a scheme and what the environments are."""
    assert isinstance(document, RaceDocument)
    if document.images:
        yield from audit_markdown.render(document, options)
    else:
        yield f"## genpatch race: {prose(document.title)}\n"
    yield f"\n**{verdict(document)}**\n"
    listed = tables(document)
    if len(listed) > 1 and not document.images:
        yield from _matrix(listed)
    for table in listed:
        yield from _table(document, table)
    yield from _environments(document)
    notes = (*([f"function {document.function_choice}"] if document.function_choice else []), *document.notes)
    for title, lines in ((f"Environment own: {OWN_SAYS}", own_evidence(document)), ("Notes", notes)):
        if lines:
            yield f"\n### {title}\n\n"
            yield from (f"- {prose(line)}\n" for line in lines)
    if options.witness:
        yield from _witnesses(document)


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


def _matrix(listed: list[Table]) -> Iterator[str]:
    environments = tuple(dict.fromkeys(name for table in listed for name in table.down))
    yield "\n### The worst of all transitions\n"
    rows = []
    for table in listed:
        found = {
            name: worst(each for each in row if each is not None)
            for name, row in zip(table.down, table.cells, strict=True)
        }
        rows.append([code(table.subject), *(_word(*found.get(name, ("skipped", NOTHING))) for name in environments)])
    yield from _lines(["", *map(prose, environments)], rows)
    yield "\nA cell names the worst kind of failure; + stands for others beside it.\n"


def _word(state: str, word: str) -> str:
    return f"**{prose(word)}**" if state in ("unsafe", "unfinished") else prose(word)


def _table(document: RaceDocument, table: Table) -> Iterator[str]:
    yield f"\n### {prose(table.subject)}\n"
    rows = [
        [prose(name), *(_word(each.verdict if each else "skipped", cell(each)) for each in row)]
        for name, row in zip(table.down, table.cells, strict=True)
    ]
    yield from _lines([table.corner, *map(prose, table.across)], rows)
    whys = skipped(row for row in document.rows if row.subject == table.subject)
    if whys:
        yield "\n"
        yield from (f"- {prose(why)}\n" for why in whys)


def _environments(document: RaceDocument) -> Iterator[str]:
    rows = [
        (prose(each.name), prose(each.what), prose(", ".join(f"{k}={v}" for k, v in each.settings().items())))
        for each in document.environments
    ]
    if rows:
        yield "\n### Environments\n"
        yield from _lines(("environment", "what", "settings"), rows)


def _witnesses(document: RaceDocument) -> Iterator[str]:
    found = paths(document)
    if found:
        yield "\n### Shortest paths to failures\n"
    for path in found:
        yield f"\n#### {prose(path.title)}\n\n```text\n"
        yield from (f"{printable(line).replace('`', chr(92) + 'x60')}\n" for line in path.text)
        yield "```\n"
