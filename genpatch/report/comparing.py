# SPDX-License-Identifier: GPL-2.0-or-later
"""The schemes on one kernel, as tables for people and as a document for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap
from typing import Any

from .. import __version__
from ..audit.model import plural
from ..compare.own import OwnPatching
from ..compare.run import RACED, TOGGLED, TRACERS, Comparison, SchemeRow, finds_by, worst
from ..race.rows import RaceRow
from ..units import U64Array, as_hex
from .document import COMPARE_SCHEMA
from .escape import printable
from .formats.markdown import prose

__all__ = [
    "RENDERERS",
    "WIDTH",
    "Table",
    "as_json",
    "render_html",
    "render_json",
    "render_markdown",
    "render_text",
    "tables_of",
]

_OWN = " *"
_OWN_CODE = "this kernel's own code"
_STOPPED = "stopped"
_MOST_KINDS = 3
_JOINT = "\N{NO-BREAK SPACE}"
WIDTH = 100
"""Columns of text that does not go to a terminal."""
_LEFT = frozenset(
    (
        "scheme",
        "what",
        "enable one",
        "disable one",
        "enable all",
        "stores",
        "finds its tracer by",
        "function",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One quantity.

    Args:
        title: what it is about.
        heads: of the columns; those in _LEFT hold words, the others numbers.
        rows: cells, as many as heads each.
        remarks: lines below it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


# -- tables


def tables_of(comparison: Comparison) -> list[Table]:
    """Return what is shown, a table for each quantity."""
    makers = (_text, _calls, _patching, _reach, _trampolines, _races, _others, _executed)
    return [table for make in makers if (table := make(comparison)).rows]


def _name(comparison: Comparison, row: SchemeRow) -> str:
    return row.scheme.name + (_OWN if row.scheme.name in comparison.is_own else "")


def _text(comparison: Comparison) -> Table:
    layout = comparison.layout
    bare, again = layout.bare, layout.as_built
    rows = []
    for row in comparison.rows:
        if row.text is None or row.traced_only is None:
            continue
        added, scheme = row.text.size - bare.size, row.scheme
        rows.append((
            _name(comparison, row), f"{scheme.before}+{scheme.after}", str(scheme.alignment), f"{row.text.sled:,}",
            f"{row.text.padding - bare.padding:,}", f"{added:,}", f"{100 * added / max(bare.size, 1):.2f} %",
            f"{row.traced_only.size - bare.size:,}",
        ))  # fmt: skip
    unexplained = int(layout.kept.sum())
    explained = int((layout.kept == 0).sum())
    guessed = (
        f"{comparison.image.symbols.source} tells no sizes: a function is taken to reach to the next symbol, nops and "
        "zeros aside; its size is an upper estimate, and what is added may be off either way",
    )
    return Table(
        title=f"text bytes added to {bare.size:,} without a scheme",
        heads=("scheme", "sled", "align", "sleds", "padding", "added", "of text", "only traced aligned"),
        rows=tuple(rows),
        remarks=(
            f"as it is: {layout.size:,} bytes on a multiple of {layout.alignment}; put together again: {again.size:,}, "
            f"{again.size - bare.size:,} of them for its scheme",
            f"what stands before {explained:,} of {len(layout):,} functions is sled and padding; {unexplained:,} bytes "
            f"({100 * unexplained / max(layout.size, 1):.2f} %) before the others are kept as they are",
            *(() if layout.sized else guessed),
        ),
    )


def _calls(comparison: Comparison) -> Table:
    rows = []
    for row in comparison.rows:
        direct = str(row.direct.instructions) if row.direct else "-"
        several = (f"{row.tracers.call[n]:,}" for n in TRACERS[1:])
        rows.append((
            _name(comparison, row), str(row.disabled.instructions), str(row.traced.instructions), direct, *several,
            row.tracers.finds,
        ))  # fmt: skip
    own = {path.state: path.usual for path in comparison.own.paths}
    if own:
        traced, scheme = own.get("traced"), comparison.verdict.scheme
        finds = finds_by(scheme) if scheme is not None else "-"
        walks = (comparison.walk.one[n] if finds == "list" else 0 for n in TRACERS[1:])
        several = ("-" if traced is None or finds == "-" else f"{traced + walk:,}" for walk in walks)
        cells = (str(own.get(state, "-")) for state in ("disabled", "traced"))
        rows.append((_OWN_CODE, *cells, "-", *several, finds))
    return Table(
        title=f"instructions from func to the body, executed; callback excluded; frame {comparison.frame}",
        heads=(
            "scheme",
            "disabled",
            "traced",
            "direct",
            *(f"{n:,} tracers" for n in TRACERS[1:]),
            "finds its tracer by",
        ),
        rows=tuple(rows),
        remarks=("schemes: the catalog's trampolines, which keep t2 to t6 too; this kernel's: its ftrace_caller",),
    )


def _widths(stores: Mapping[int, int]) -> str:
    return " + ".join(f"{count:,} x {width}" for width, count in stores.items()) or "none"


def _fences(row: SchemeRow) -> tuple[str, str]:
    """Return the remote fences of all sites, batched and apart."""
    toggle = row.toggles["enable"]
    return (_STOPPED, "-") if toggle.stopped else (f"{toggle.fences:,}", f"{toggle.fences_apart:,}")


def _patching(comparison: Comparison) -> Table:
    rows = []
    for row in comparison.rows:
        toggle = row.toggles["enable"]
        undone = _widths(row.toggles["disable"].stores)
        cells = (_widths(toggle.stores), undone, _widths(toggle.all_stores), *_fences(row))
        rows.append((_name(comparison, row), *cells))
    count = int(comparison.sites.in_text.sum())
    remarks = [
        "a store of more than 8 bytes is a copy; apart: where each site is patched by itself; "
        f"{_STOPPED}: one call of stop_machine in place of fences"
    ]
    done = {each.function: each for each in comparison.own.patching}
    enabled, disabled = (done.get(name) for name in ("ftrace_make_call", "ftrace_make_nop"))
    if enabled is not None:
        fences, around = _executed_fences(comparison, enabled)
        own = (_kinds(enabled), _kinds(disabled), _executed_stores(enabled), fences, "-")
        rows.append((_OWN_CODE, *own))
        remarks.append(
            f"{_OWN_CODE}: executed for {enabled.sites:,} sites, one after the other, each where it stands{around}; "
            "that, not *, is what this kernel does"
        )
    return Table(
        title=f"enabling and disabling {count:,} sites: stores x bytes, as the scheme's record has it, on its own "
        "alignment, batched",
        heads=("scheme", "enable one", "disable one", "enable all", "remote fences", "apart"),
        rows=tuple(rows),
        remarks=tuple(remarks),
    )


def _kinds(patching: OwnPatching | None) -> str:
    """Return what a site gets, the most frequent first where sites differ."""
    if patching is None:
        return "-"
    kinds = [_widths(dict(kind)) for kind in patching.per_site]
    more = len(kinds) - _MOST_KINDS
    return " or ".join(kinds[:_MOST_KINDS]) + (f" or {more} more" if more > 0 else "") or "none"


def _executed_stores(patching: OwnPatching) -> str:
    stores = (
        f"{count:,} x {width}{'' if aligned else ' misaligned'}" for (width, aligned), count in patching.stores.items()
    )
    return " + ".join(stores) or "none"


def _executed_fences(comparison: Comparison, patching: OwnPatching) -> tuple[str, str]:
    """Return the remote fences that were executed, and what to say of those around all sites."""
    framing = comparison.own.framing
    fences, around = patching.events.get("remote fence.i", 0), framing.count("remote fence.i")
    if "stop_machine" in framing and not fences:
        return _STOPPED, ""
    return (f"{fences:,} + {around}", f"; + {around}: around all") if around else (f"{fences:,}", "")


def _reach(comparison: Comparison) -> Table:
    rows: list[tuple[str, ...]] = []
    remarks: list[str] = []
    for row in comparison.rows:
        if row.reach is None:
            continue
        reached = "?" if row.reach.reached is None else f"{row.reach.reached:,}"
        far = "-" if row.reach.farthest is None else f"{row.reach.farthest:,}"
        count = str(len(row.dispatchers.at)) if row.dispatchers else "-"
        rows.append((_name(comparison, row), reached, far, count, row.reach.what))
        if row.dispatchers is not None:
            remarks += _stands(comparison, row)
    return Table(
        title=f"reach of {int(comparison.sites.in_text.sum()):,} sites, text as it is",
        heads=("scheme", "reach it", "farthest", "dispatchers", "what"),
        rows=tuple(rows),
        remarks=tuple(remarks),
    )


def _stands(comparison: Comparison, row: SchemeRow) -> Iterator[str]:
    assert row.dispatchers is not None
    yield f"{row.scheme.name}: the fewest dispatchers that serve all sites, each in front of the function named"
    for address, served, symbol in _dispatchers(comparison, row):
        yield f"  {as_hex(address)}  {served:,} sites  {symbol}"
    if row.dispatchers.left:
        yield f"  {row.dispatchers.left:,} sites have no place for one in reach"


def _dispatchers(comparison: Comparison, row: SchemeRow) -> Iterator[tuple[int, int, str]]:
    """Yield address, sites served and the function behind each dispatcher, or "the end" of its section."""
    import numpy as np

    if row.dispatchers is None:
        return
    symbols, layout = comparison.image.symbols, comparison.layout
    places: U64Array = np.array(row.dispatchers.at, np.uint64)
    at = np.searchsorted(layout.start, places)
    following = layout.start[np.minimum(at, len(layout) - 1)]
    is_near = (at < len(layout)) & ~layout.first[np.minimum(at, len(layout) - 1)]
    index = np.where(is_near, symbols.at_or_before(following), -1).tolist()
    for place, served, name in zip(row.dispatchers.at, row.dispatchers.served, symbols.named(index), strict=True):
        yield place, served, name or "(behind the last function)"


def _trampolines(comparison: Comparison) -> Table:
    rows = []
    for row in comparison.rows:
        packed, paged = row.tracers.packed, row.tracers.paged
        cells = (f"{packed[n]:,}" for n in TRACERS)
        rows.append((_name(comparison, row), f"{row.trampoline:,}", *cells, f"{paged[TRACERS[-1]]:,}"))
    own = comparison.own_trampoline
    at_most = "" if comparison.layout.sized else "at most "
    return Table(
        title=f"bytes of trampolines and dispatchers outside functions; frame {comparison.frame}",
        heads=("scheme", "one", *(plural(n, "tracer") for n in TRACERS), "in pages of their own"),
        rows=tuple(rows),
        remarks=() if own is None else (f"this kernel's ftrace_caller: {at_most}{own:,} bytes",),
    )


def _judged(rows: Sequence[RaceRow]) -> str:
    verdict, kinds = worst(rows)
    return ", ".join(kinds) if verdict == "unsafe" else verdict


def _races(comparison: Comparison) -> Table:
    rows = []
    for row in comparison.rows:
        cells = (_judged(row.races[name]) + (" <" if name == row.here else "") for name in RACED)
        rows.append((_name(comparison, row), *cells))
    preemption = comparison.preemption
    full = {True: "full preemption", False: "no full preemption", None: "preemption not known"}[preemption.full]
    return Table(
        title="races: what breaks, all interleavings of enabling, changing, disabling and retiring explored",
        heads=("scheme", *RACED),
        rows=tuple(rows),
        remarks=(
            "a function stands on its scheme's alignment; parcels of 4 bytes are fetched at once",
            f"<: this kernel's, if it had the scheme: {full} ({preemption.evidence})",
            "environments: 'genpatch race --list' explains them",
        ),
    )


def _others(comparison: Comparison) -> Table:
    rows = tuple(
        (
            row.scheme.name, str(row.disabled.instructions),
            str(row.traced.instructions), f"{row.trampoline:,}", _widths(row.toggles["enable"].stores),
            *(_judged(row.races[name]) for name in RACED),
        )
        for row in comparison.others
    )  # fmt: skip
    return Table(
        title="programs compiled at run time; their text and its reach are not in the image",
        heads=("scheme", "disabled", "traced", "trampoline", "enable one", *RACED),
        rows=rows,
    )


def _executed(comparison: Comparison) -> Table:
    rows = []
    for each in comparison.own.patching:
        fences = each.events.get("remote fence.i", 0)
        rows.append((each.function, f"{each.sites:,}", _executed_stores(each), f"{fences:,}", f"{each.insns:,}"))
    framing = ", ".join(comparison.own.framing)
    return Table(
        title="this kernel's own patching code, executed for every site",
        heads=("function", "sites", "stores", "remote fences", "instructions"),
        rows=tuple(rows),
        remarks=(f"around them: {framing}",) if framing else (),
    )


# -- renderings


def _heading(comparison: Comparison) -> Iterator[str]:
    image, verdict = comparison.image, comparison.verdict
    names = verdict.name + (f" ({verdict.variant.name})" if verdict.variant else "")
    yield f"{image.path}: {image.release or 'a kernel of unknown release'}, {image.kind_text}"
    yield f"scheme {names}, {plural(len(comparison.sites), 'site')}; its own are marked with *"
    if comparison.warning:
        yield f"warning: {comparison.warning}"


def _notes(comparison: Comparison) -> Iterator[str]:
    """Yield the notes that the heading does not say."""
    yield from (note for note in comparison.notes if note != comparison.warning)


def render_text(comparison: Comparison, *, notes: bool = True, width: int = WIDTH) -> Iterator[str]:
    """Yield lines that fit a width, tables where their numbers and names do."""
    for line in _heading(comparison):
        yield from _wrapped(line, width)
    for table in tables_of(comparison):
        yield "\n"
        yield from _wrapped(table.title, width)
        yield from _aligned(table, width)
        for line in table.remarks:
            yield from _wrapped(line, width, "  ")
    if notes and comparison.notes:
        yield "\n"
        for note in _notes(comparison):
            yield from _wrapped(f"note: {note}", width)
    yield f"\n{comparison.seconds:.1f} s\n" if notes else ""


def _wrapped(line: str, width: int, indent: str = "") -> Iterator[str]:
    """Yield a line in pieces that fit; those from the second on are indented more."""
    text = printable(line)
    lead = indent + text[: len(text) - len(text.lstrip())]
    pieces = wrap(
        text.strip(), width, initial_indent=lead, subsequent_indent=lead + "  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    yield from (f"{each}\n" for each in pieces)


def _aligned(table: Table, width: int) -> Iterator[str]:
    """Yield a table's lines: headings and words go on below where a row would be too wide."""
    words = [head in _LEFT or head in RACED for head in table.heads]
    columns = [[printable(cell) for cell in column] for column in zip(table.heads, *table.rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    least = [
        max(
            len(piece) for n, cell in enumerate(column) for piece in (_broken(cell, 1) if is_word or not n else (cell,))
        )
        for column, is_word in zip(columns, words, strict=True)
    ]
    least[0] = widths[0]
    rows = list(zip(*columns, strict=True))
    cells_only = [max(least[n], *map(len, column[1:])) for n, column in enumerate(columns)]
    for bounds in (cells_only, least):  # headings first
        while sum(widths) + 2 * len(widths) > width:
            wider = [n for n, each in enumerate(widths) if each > bounds[n]]
            if not wider:
                break
            narrowed = {n: [each - (at == n) for at, each in enumerate(widths)] for n in wider}
            widths = narrowed[min(wider, key=lambda n: (_height(rows, narrowed[n]), -widths[n]))]
    for number, row in enumerate(rows):
        broken = [_broken(cell, each) for cell, each in zip(row, widths, strict=True)]
        height = max(map(len, broken))
        for at in range(height):
            cells = []
            for pieces, each, is_word in zip(broken, widths, words, strict=True):
                from_top = at if number else at - height + len(pieces)  # headings stand on their column
                piece = pieces[from_top] if 0 <= from_top < len(pieces) else ""
                cells.append(f"{piece:<{each}}" if is_word else f"{piece:>{each}}")
            yield f"  {'  '.join(cells).rstrip()}\n"


def _height(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> int:
    """Return the lines that rows take with columns of some widths."""
    return sum(max(len(_broken(cell, each)) for cell, each in zip(row, widths, strict=True)) for row in rows)


@lru_cache(maxsize=8192)
def _broken(cell: str, width: int) -> tuple[str, ...]:
    """Return a cell in pieces that fit, if they can; "2 x 8", "safe <" and "pair-t0 *" stay together."""
    if len(cell) <= width:
        return (cell,)
    joined = cell.replace(" x ", f"{_JOINT}x{_JOINT}").replace(" <", f"{_JOINT}<").replace(" *", f"{_JOINT}*")
    pieces = wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return tuple(piece.replace(_JOINT, " ") for piece in pieces) or ("",)


def render_markdown(comparison: Comparison, *, notes: bool = True, width: int = WIDTH) -> Iterator[str]:
    """Yield Markdown tables, as wide as they are."""
    first, *others = _heading(comparison)
    yield f"## genpatch compare: {prose(first)}\n"
    yield from (f"\n{prose(line)}\n" for line in others)
    for table in tables_of(comparison):
        yield f"\n### {prose(table.title)}\n\n"
        marks = ("---" if head in _LEFT or head in RACED else "---:" for head in table.heads)
        yield f"| {' | '.join(map(prose, table.heads))} |\n| {' | '.join(marks)} |\n"
        yield from (f"| {' | '.join(map(prose, row))} |\n" for row in table.rows)
        yield "\n" if table.remarks else ""
        yield from (f"- {prose(line)}\n" for line in table.remarks)
    if notes and comparison.notes:
        yield "\n### Notes\n\n"
        yield from (f"- {prose(note)}\n" for note in _notes(comparison))


def render_json(comparison: Comparison, *, notes: bool = True, width: int = WIDTH) -> Iterator[str]:
    """Yield the document, on one page."""
    yield json.dumps(as_json(comparison), indent=2)
    yield "\n"


def render_html(comparison: Comparison, *, notes: bool = True, width: int = WIDTH) -> Iterator[str]:
    """Yield one page for a browser."""
    from .html import page_of

    yield from page_of([as_json(comparison)])


RENDERERS: Mapping[str, Callable[..., Iterator[str]]] = {
    "text": render_text,
    "json": render_json,
    "markdown": render_markdown,
    "html": render_html,
}


# -- the document


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything as plain data; addresses are hex strings."""
    image, verdict, layout = comparison.image, comparison.verdict, comparison.layout
    return {
        "schema": COMPARE_SCHEMA,
        "tool": {"name": "genpatch", "version": __version__},
        "input": {
            "path": image.path, "kind": image.kind_text, "kernel_release": image.release, "build_id": image.build_id,
            "symbols": image.symbols.source, "types": image.types_note, "config": image.config.source,
        },
        "sites": len(comparison.sites),
        "scheme": verdict.name,
        "scheme_variant": verdict.variant.name if verdict.variant else None,
        "frame": comparison.frame,
        "preemption": {"full": comparison.preemption.full, "evidence": comparison.preemption.evidence},
        "text": {
            "sections": list(layout.sections), "size": layout.size, "bare": layout.bare.size,
            "relaid": layout.as_built.size, "unexplained": int(layout.kept.sum()), "functions": len(layout),
            "explained": int((layout.kept == 0).sum()), "traced": int(layout.traced.sum()),
            "alignment": layout.alignment, "natural_alignment": layout.natural, "unplaced": layout.unplaced,
        },
        "schemes": [_record(comparison, row) for row in comparison.rows],
        "others": [_record(comparison, row) for row in comparison.others],
        "own": _own_record(comparison),
        "walk": {
            "function": comparison.walk.function,
            "tracers": [
                {"tracers": n, "one": comparison.walk.one[n], "every": comparison.walk.every[n]} for n in TRACERS
            ],
        },
        "notes": list(comparison.notes),
        "seconds": round(comparison.seconds, 3),
    }  # fmt: skip


def _counted(stores: Mapping[int, int]) -> list[dict[str, int]]:
    return [{"width": width, "count": count} for width, count in stores.items()]


def _record(comparison: Comparison, row: SchemeRow) -> dict[str, Any]:
    scheme, bare, tracers = row.scheme, comparison.layout.bare, row.tracers
    text = None
    if row.text is not None and row.traced_only is not None:
        added = row.text.size - bare.size
        text = {
            "size": row.text.size, "added": added, "percent": round(100 * added / max(bare.size, 1), 3),
            "sled": row.text.sled, "padding": row.text.padding - bare.padding,
            "added_traced_only": row.traced_only.size - bare.size,
        }  # fmt: skip
    return {
        "scheme": scheme.name,
        "summary": scheme.summary,
        "source": scheme.source,
        "before": scheme.before,
        "after": scheme.after,
        "alignment": scheme.alignment,
        "own": scheme.name in comparison.is_own,
        "why_not": row.why_not,
        "text": text,
        "instructions": {
            "disabled": row.disabled.instructions, "traced": row.traced.instructions,
            "direct": row.direct.instructions if row.direct else None, "traced_in_function": row.traced.sled,
            "traced_loads": row.traced.loads, "traced_stores": row.traced.stores,
        },
        "trampoline": row.trampoline,
        "toggles": [
            {
                "transition": name, "per_site": _counted(row.toggles[name].stores),
                "shared": _counted(row.toggles[name].shared), "all": _counted(row.toggles[name].all_stores),
                "fences": row.toggles[name].fences, "fences_apart": row.toggles[name].fences_apart,
                "stop_machine": row.toggles[name].stops,
            }
            for name in TOGGLED
        ],
        "reach": _reach_record(row),
        "dispatchers": None if row.dispatchers is None else {
            "at": [
                {"address": as_hex(address), "before": symbol, "sites": served}
                for address, served, symbol in _dispatchers(comparison, row)
            ],
            "left": row.dispatchers.left,
        },
        "finds": tracers.finds,
        "tracers": [
            {"tracers": n, "packed": tracers.packed[n], "paged": tracers.paged[n], "call": tracers.call[n]}
            for n in TRACERS
        ],
        "here": row.here,
        "races": [_race_record(name, row.races[name]) for name in RACED],
    }  # fmt: skip


def _reach_record(row: SchemeRow) -> dict[str, Any] | None:
    if row.reach is None:
        return None
    return {name: getattr(row.reach, name) for name in ("what", "sites", "reached", "nearest", "farthest")}


def _race_record(environment: str, rows: Sequence[RaceRow]) -> dict[str, Any]:
    verdict, kinds = worst(rows)
    return {
        "environment": environment,
        "verdict": verdict,
        "kinds": list(kinds),
        "transitions": [
            {"transition": row.transition, "verdict": row.verdict, "kinds": list(row.kinds), "states": row.states}
            for row in rows
        ],
    }


def _own_record(comparison: Comparison) -> dict[str, Any]:
    own = comparison.own
    return {
        "sites": own.sites,
        "trampoline": comparison.own_trampoline,
        "paths": [
            {name: getattr(path, name) for name in ("state", "sites", "least", "most", "usual")} for path in own.paths
        ],
        "patching": [
            {
                "function": each.function, "sites": each.sites, "insns": each.insns, "events": each.events,
                "stores": [
                    {"width": width, "aligned": aligned, "count": count}
                    for (width, aligned), count in each.stores.items()
                ],
            }
            for each in own.patching
        ],
        "framing": list(own.framing),
    }  # fmt: skip
