# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for a terminal: a table a scheme, or one table of many schemes, or a kernel's report with its table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...audit.model import plural
from ..document import AuditDocument
from ..formats import RenderOptions
from ..formats import text as audit_text
from ..formats.text import Page, Part
from ..racing import RaceDocument
from .cells import NOTHING, OWN_SAYS, Table, cell, own_evidence, paths, skipped, tables, verdict, worst

MAX_WIDTH, MIN_WIDTH, GAP = 120, 72, 2
FEW = 3
_STYLES = {"unsafe": "bold red", "unfinished": "bold yellow", "safe": "green", "skipped": "dim"}


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield tables, why cells are empty, and with `witness` the shortest path to each failure."""
    assert isinstance(document, RaceDocument)
    page = Page(options)
    if document.images:
        yield from _kernel(page, document, options)
        return
    listed = tables(document)
    if len(listed) > FEW and not options.verbose:
        _matrix(page, document, options)
        _reasons(page, [f"{table.subject}: {reason}" for table in listed for reason in _whys(document, table)])
        yield page.take()
    else:
        for table in listed:
            page.line((table.subject, "bold"))
            _table(page, table, options)
            _reasons(page, _whys(document, table))
            page.line()
            yield page.take()
    if options.witness:
        _witnesses(page, document)
    if options.summary:
        _summary(page, document)
    yield page.take()


def _kernel(page: Page, document: RaceDocument, options: RenderOptions) -> Iterator[str]:
    """The audit's report, with a table behind the facts of the image, the paths at its end and then the verdict."""
    chunks = audit_text.render(document, replace(options, verdict=False))
    if options.summary:
        yield next(chunks)
        for table in tables(document):
            page.line()
            page.line((table.subject, "bold"))
            _table(page, table, options)
            _reasons(page, _whys(document, table))
        if document.function_choice:
            page.labelled((f"  {'function':9} ", "dim"), (document.function_choice, ""))
        if evidence := own_evidence(document):
            page.labelled((f"  {'own':9} ", "dim"), (f"{OWN_SAYS}: {'; '.join(evidence)}", ""))
        for line in document.notes:
            page.labelled((f"  {'note':9} ", "dim"), (line, ""))
        page.labelled((f"  {'explored':9} ", "dim"), (_rate(document), ""))
        yield page.take()
    yield from chunks
    if options.witness:
        page.line()
        _witnesses(page, document)
    elif options.summary:
        page.line()
    if options.summary:
        audit_text.say_verdict(page, document)
    yield page.take()


def _table(page: Page, table: Table, options: RenderOptions) -> None:
    room = _room(options)
    first = max(len(name) for name in (table.corner, *table.down)) + GAP
    for detail in (3, 2, 1, 0):
        columns = [
            max(len(name), *(len(cell(row[place], detail)) for row in table.cells)) + GAP
            for place, name in enumerate(table.across)
        ]
        if first + sum(columns) <= room:
            break
    else:
        _list(page, table)
        return
    heads = (f"{name:<{width}}" for name, width in zip(table.across, columns, strict=True))
    page.row((f"  {table.corner:<{first}}" + "".join(heads), "dim"))
    for name, row in zip(table.down, table.cells, strict=True):
        cells: list[Part] = [
            (f"{cell(each, detail):<{width}}", _STYLES[each.verdict if each else "skipped"])
            for each, width in zip(row, columns, strict=True)
        ]
        page.row((f"  {name:<{first}}", ""), *cells)
    if detail == 0:
        page.line(("a wider terminal or another format shows each kind of failure", "dim"), indent=2)
    elif detail == 1 and any(each is not None and len(each.kinds) > 1 for row in table.cells for each in row):
        page.line(("+ more than one kind of failure: a wider terminal or another format shows each", "dim"), indent=2)


def _list(page: Page, table: Table) -> None:
    """One line a row, where a table would be too wide."""
    width = max(map(len, table.across)) + GAP
    for name, row in zip(table.down, table.cells, strict=True):
        page.row((f"  {name}", ""))
        for other, each in zip(table.across, row, strict=True):
            page.row((f"    {other:<{width}}", ""), (cell(each), _STYLES[each.verdict if each else "skipped"]))


def _matrix(page: Page, document: RaceDocument, options: RenderOptions) -> None:
    """Environments down, schemes across, in each cell the worst of the transitions; wrapped where it is too wide."""
    listed = tables(document)
    environments = tuple(dict.fromkeys(name for table in listed for name in table.down))
    first = max(len(name) for name in ("environment", *environments)) + GAP
    found: dict[tuple[str, str], tuple[str, str]] = {
        (table.subject, name): worst(each for each in row if each is not None)
        for table in listed
        for name, row in zip(table.down, table.cells, strict=True)
    }
    widths = {
        table.subject: GAP
        + max(
            *(len(part) for part in _split(table.subject)),
            *(len(found.get((table.subject, name), ("", ""))[1]) for name in environments),
        )
        for table in listed
    }
    for group in _groups(widths, _room(options) - first - GAP):
        heads = [_split(name) for name in group]
        tall = max(map(len, heads))
        for line in range(tall):
            parts = (
                f"{([''] * (tall - len(head)) + head)[line]:<{widths[name]}}"
                for name, head in zip(group, heads, strict=True)
            )
            page.row((f"  {'environment' if line == tall - 1 else '':<{first}}" + "".join(parts), "dim"))
        for name in environments:
            cells: list[Part] = []
            for subject in group:
                state, word = found.get((subject, name), ("skipped", NOTHING))
                cells.append((f"{word:<{widths[subject]}}", _STYLES[state]))
            page.row((f"  {name:<{first}}", ""), *cells)
        page.line()
    across = tuple(dict.fromkeys(row.transition for row in document.rows))
    joined = across[0] if len(across) == 1 else f"the worst of {', '.join(across[:-1])} and {across[-1]}"
    page.line((f"Cells: {joined}; + more than one kind of failure; --verbose shows each.", "dim"))


def _split(name: str) -> list[str]:
    """Return the lines of a column's head: ``call-``, ``ops-``, ``direct`` joined where they are short."""
    lines: list[str] = []
    for part in name.replace("-", "- ").split():
        if lines and len(lines[-1] + part) <= 9:
            lines[-1] += part
        else:
            lines.append(part)
    return lines or [name]


def _groups(widths: dict[str, int], room: int) -> list[list[str]]:
    """Divide columns among as few tables as there is room for, of about the same width each."""
    number = max(1, -(-sum(widths.values()) // max(room, 1)))
    while True:
        groups, share = [[]], max(sum(widths.values()) / number, max(widths.values()))  # type: list[list[str]], float
        used = 0
        for name, width in widths.items():
            if groups[-1] and used + width / 2 > share * len(groups):
                groups.append([])
            groups[-1].append(name)
            used += width
        if number >= len(widths) or all(sum(widths[name] for name in group) <= room for group in groups):
            return groups
        number += 1


def _room(options: RenderOptions) -> int:
    return max(min(options.width, MAX_WIDTH), MIN_WIDTH)


def _whys(document: RaceDocument, table: Table) -> list[str]:
    return skipped(row for row in document.rows if row.subject == table.subject)


def _reasons(page: Page, reasons: list[str]) -> None:
    for reason in reasons:
        page.labelled(("  - ", "dim"), (reason, "dim"))


def _witnesses(page: Page, document: RaceDocument) -> None:
    for path in paths(document):
        page.line((path.title, "bold"))
        for line in path.text:
            page.plain(line, indent=2)
        page.line()


def _summary(page: Page, document: RaceDocument) -> None:
    counts = document.counts
    style = next((_STYLES[name] for name in ("unsafe", "unfinished", "safe") if counts[name]), "bold")
    page.line((verdict(document), style), (_speed(document), ""))


def _rate(document: RaceDocument) -> str:
    return f"{plural(len(document.rows), 'row')}: {verdict(document)}{_speed(document)}"


def _speed(document: RaceDocument) -> str:
    seconds = max(document.seconds, 1e-9)
    return f" in {seconds:.1f} s, {document.states / seconds:,.0f} a second"
