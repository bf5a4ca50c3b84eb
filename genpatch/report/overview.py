# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of an image in a few labelled lines, for reports that people read. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Iterator

from ..audit.model import plural
from .document import ImageRecord

MAX_SLEDS = 4


def facts(image: ImageRecord) -> Iterator[tuple[str, list[str]]]:
    """Yield (label, lines), each line short enough for one row of a terminal when its parts are."""
    yield "kernel", [_kernel(image)]
    source = image.input
    yield "read", [f"symbols: {source.symbols}; types: {source.types}; config: {source.config}"]
    yield "scheme", list(_scheme(image))
    yield "sites", [_sites(image)]
    if image.sleds:
        yield "sleds", list(_sleds(image))
    if image.alignment and image.table.sites:
        yield "aligned", [_alignment(image)]
    if image.reach is not None:
        yield "reach", [_reach(image)]
    if image.pair is not None:
        pair = image.pair
        yield "pairs", [f"{pair.across_page:,} across a page, {pair.across_line:,} across a cache line"]
    if image.notes:
        yield "remarks", list(image.notes)


def _kernel(image: ImageRecord) -> str:
    source = image.input
    release = f"Linux {source.kernel_release}" if source.kernel_release else "release unknown"
    build_id = f"build-id {source.build_id[:12]}" if source.build_id else ""
    return ", ".join(part for part in (release, source.kind, build_id) if part)


def _scheme(image: ImageRecord) -> Iterator[str]:
    yield f"{image.scheme} ({image.scheme_variant})" if image.scheme_variant else image.scheme
    if image.scheme_evidence:
        yield "; ".join(image.scheme_evidence)


def _sites(image: ImageRecord) -> str:
    table = image.table
    counts = f"{table.sites:,} of {plural(table.entries, 'entry').replace('entrys', 'entries')}"
    zero = f"{table.zero:,} zero" if table.zero else ""
    order = {True: "sorted", False: "not sorted", None: ""}[table.sorted]
    return ", ".join(part for part in (counts, zero, table.source, order) if part)


def _sleds(image: ImageRecord) -> Iterator[str]:
    width = max(len(f"{sled.sites:,}") for sled in image.sleds)
    for sled in image.sleds[:MAX_SLEDS]:
        yield f"{sled.sites:>{width},} with {sled.before} bytes before, {sled.after} after, {sled.nop}"
    if len(image.sleds) > MAX_SLEDS:
        rest = image.sleds[MAX_SLEDS:]
        yield f"{sum(sled.sites for sled in rest):>{width},} of {plural(len(rest), 'other kind')}"


def _alignment(image: ImageRecord) -> str:
    sites = image.table.sites
    parts = (f"{size}: {_share(count, sites)}" for size, count in image.alignment.items())
    return f"on a multiple of {', '.join(parts)}"


def _share(count: int, sites: int) -> str:
    if count >= sites:
        return "all"
    return f"{count:,} ({100 * count // sites}%)" if count else "none"


def _reach(image: ImageRecord) -> str:
    reach = image.reach
    assert reach is not None
    span = f"{reach.target} is {reach.min:,} .. {reach.max:,} bytes away"
    return f"{span}; jal reaches it from {plural(reach.within_jal, 'site')}"
