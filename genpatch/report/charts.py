# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as bar charts, one SVG for each quantity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..compare.run import TRACERS, Comparison, SchemeRow
from ..schemes.trampoline import template_root
from .escape import printable

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["CHARTS", "charts_of"]

_ROOM = 380
"""Length of the longest bar."""
_MOST_NAME = 80


@dataclass(frozen=True, slots=True)
class Chart:
    """One quantity: a file's name, a title, a unit and what is measured of a row; None leaves a row out."""

    name: str
    title: str
    unit: str
    measure: Callable[[Comparison, SchemeRow], int | None]


def _added(comparison: Comparison, row: SchemeRow) -> int | None:
    return None if row.text is None else row.text.size - comparison.layout.bare.size


def _reached(comparison: Comparison, row: SchemeRow) -> int | None:
    return None if row.reach is None else row.reach.reached


CHARTS = (
    Chart("text-bytes", "Text bytes added", "bytes: sleds and alignment padding", _added),
    Chart(
        "disabled", "A call that is not traced", "instructions of the sled", lambda _, row: row.disabled.instructions
    ),
    Chart(
        "traced", "A traced call", "instructions from func to the body, callback excluded",
        lambda _, row: row.traced.instructions,
    ),
    Chart(
        "tracers", f"A traced call with {TRACERS[1]} tracers", "instructions, each tracer with functions of its own",
        lambda _, row: row.tracers.call[TRACERS[1]],
    ),
    Chart(
        "stores", "Stores for enabling one site", "stores to the site, on the scheme's own alignment",
        lambda _, row: row.toggles["enable"].per_site,
    ),
    Chart("reach", "Sites in reach of what they call", "sites", _reached),
    Chart(
        "trampolines", f"Trampolines of {TRACERS[-1]:,} tracers", "bytes, in pages of their own where they are made",
        lambda _, row: row.tracers.paged[TRACERS[-1]],
    ),
)  # fmt: skip


def charts_of(comparison: Comparison) -> dict[str, str]:
    """Return the charts: file name to SVG."""
    return {f"{chart.name}.svg": _drawn(chart, comparison) for chart in CHARTS}


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(template_root()), undefined=StrictUndefined, autoescape=True)
    return environment.get_template("chart.svg.j2")


def _drawn(chart: Chart, comparison: Comparison) -> str:
    measured = [(row, chart.measure(comparison, row)) for row in comparison.rows]
    known = [(row, value) for row, value in measured if value is not None]
    most = max((value for _, value in known), default=0)
    bars = [
        {
            "label": row.scheme.name,
            "value": f"{value:,}",
            "width": _ROOM * value // most if most else 0,
            "own": row.scheme.name in comparison.is_own,
        }
        for row, value in known
    ]
    image = comparison.image
    name = printable(image.release or image.path, limit=_MOST_NAME)
    about = (
        f"{name}, {len(comparison.sites):,} sites, frame {comparison.frame}; its scheme is {comparison.verdict.name}."
    )
    return _template().render(
        name=chart.name,
        title=f"{chart.title}: {name}",
        about=f"{about} {'; '.join(f'{row.scheme.name} {value:,}' for row, value in known)}.",
        unit=chart.unit,
        bars=bars,
        height=54 + 20 * len(bars),
    )
