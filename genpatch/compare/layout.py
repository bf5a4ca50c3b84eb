# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a kernel taken apart into functions, and put together again as another scheme would have it.

What a function is made of is read from symbols and the site table: its sled below and behind the symbol, its own
bytes, the padding in front. Bytes that no symbol, no sled and no alignment explains (data among code, overridden
weak functions, the linker's own alignment) are kept where they are, behind the function before them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..image.model import KernelImage
from ..schemes import CallScheme
from ..sites.model import Sites
from ..units import PARCEL_SIZE, WORD_SIZE, BoolArray, I64Array, Span, U64Array

__all__ = ["Relaid", "TextLayout", "read_layout", "relaid"]

HOLE = 4096
"""Unexplained bytes between two functions from which on they are taken for a hole between sections [bytes]."""
_MOST_ALIGNMENT = 64
_MOSTLY = 0.95
"""Share of functions that must stand on a multiple for it to count as the alignment they were compiled with."""
_LOOK_BACK = 64


@dataclass(frozen=True, kw_only=True)
class TextLayout:
    """The functions of an image's traced sections, n of them, by address.

    Args:
        start: uint64[n], where each function's symbol is.
        below: int64[n], sled bytes below it.
        after: int64[n], sled bytes from it on; neither is there for what is not traced.
        own: int64[n], its bytes beside the sled [bytes].
        kept: int64[n], unexplained bytes behind it [bytes].
        padding: int64[n], bytes in front of it (of its sled below) that its alignment takes.
        first: bool[n], nothing stands in front of it: a section begins, or there is a hole.
        traced: bool[n].
        alignment: what functions of this build stand on [bytes].
        natural: what they would stand on without the scheme that it has [bytes].
        follows: bool[n], the function stands on a multiple of `alignment`, as what was compiled does.
        unplaced: sites whose function is no function of its own here.
        sized: the source of the symbols tells how long functions are.
        sections: names of the sections.
    """

    start: U64Array
    below: I64Array
    after: I64Array
    own: I64Array
    kept: I64Array
    padding: I64Array
    first: BoolArray
    traced: BoolArray
    alignment: int
    natural: int
    follows: BoolArray
    unplaced: int
    sized: bool
    sections: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def size(self) -> int:
        """Bytes of text as they are, holes aside."""
        return int((self.padding + self.below + self.after + self.own + self.kept).sum())

    @property
    def as_built(self) -> Relaid:
        """The text as it is, put together again: what must come out as it went in."""
        below, after = (np.where(self.traced, each, 0) for each in (self.below, self.after))
        return _relay(self, below, after, np.where(self.follows, self.alignment, 1))

    @cached_property
    def bare(self) -> Relaid:
        """The text without any sled, functions on their natural alignment."""
        nothing = np.zeros(len(self), np.int64)
        return _relay(self, nothing, nothing, np.where(self.follows, self.natural, 1))


@dataclass(frozen=True, kw_only=True)
class Relaid:
    """A text put together.

    Args:
        size: [bytes].
        sled: bytes below and from functions on that are the scheme's.
        padding: bytes in front of functions.
        offset: int64[n], where each function's symbol is, counted from where its run of functions begins.
    """

    size: int
    sled: int
    padding: int
    offset: I64Array


def relaid(layout: TextLayout, scheme: CallScheme, *, traced_only: bool = False) -> Relaid:
    """Put a text together as a scheme would have it.

    Args:
        layout: of the kernel.
        scheme: every traced function gets its sled and what it has below.
        traced_only: align only what is traced; otherwise, as compilers do, every function that was compiled, which
            is what stands on the alignment of this build.
    """
    below = np.where(layout.traced, scheme.before, 0)
    after = np.where(layout.traced, scheme.after, 0)
    wanted = max(scheme.alignment, layout.natural)
    usual = layout.alignment if traced_only else wanted
    alignment = np.where(layout.traced, wanted, np.where(layout.follows, usual, 1))
    return _relay(layout, below, after, alignment)


def _relay(layout: TextLayout, below: I64Array, after: I64Array, alignment: I64Array) -> Relaid:
    body = after + layout.own + layout.kept
    padding = _paddings(below, body, alignment, layout.first)
    taken = padding + below + body
    end = np.cumsum(taken)
    run = np.cumsum(layout.first) - 1
    base = (end - taken)[layout.first]
    offset = end - body - (base[run] if len(run) else 0)
    return Relaid(size=int(taken.sum()), sled=int(below.sum() + after.sum()), padding=int(padding.sum()), offset=offset)


def _paddings(below: I64Array, body: I64Array, alignment: I64Array, first: BoolArray) -> I64Array:
    """Return the padding in front of each function: int64[n].

    A function's end, modulo the largest alignment, depends on where it was begun, hence on every function before it.
    Each is therefore a table from the one residue to the other, and tables are composed with those 1, 2, 4, ...
    before them until none depends on its argument; a function on the largest alignment never does.
    """
    modulus = int(alignment.max(initial=1))
    residues = np.arange(modulus)
    ends = (residues + below[:, None]) % modulus
    ends = (ends + -ends % alignment[:, None] + body[:, None]) % modulus
    ends[first] = ends[first, :1]
    step = 1
    while step < len(ends) and (ends != ends[:, :1]).any():
        ends[step:] = np.take_along_axis(ends[step:], ends[:-step], axis=1)
        step *= 2
    begun = np.zeros(len(below), np.int64)
    begun[1:] = ends[:-1, 0] if len(ends) else 0
    begun[first] = 0
    padding: I64Array = -(begun + below) % alignment
    return padding


def read_layout(image: KernelImage, sites: Sites, scheme: CallScheme | None) -> TextLayout:
    """Take the sections of a kernel that have sites apart.

    Args:
        image: a linked kernel.
        sites: of it.
        scheme: that it has, which tells whether an alignment is there for its sake; None if that is not known.
    """
    regions = image.memory.regions
    numbers = np.unique(image.memory.region_numbers(sites.func[sites.in_text]))
    chosen = [regions[number] for number in numbers.tolist() if number >= 0 and regions[number].executable]
    start, size = _functions(image, sites, [region.span for region in chosen])
    sized = bool((size > 0).any())
    inside = size > 0
    ends = np.where(inside, start + size.astype(np.uint64), start)
    before = np.append(np.uint64(0), np.maximum.accumulate(ends)[:-1]) if len(ends) else ends
    start, size = start[start >= before], size[start >= before]  # a label within a function is none of its own
    traced = np.isin(start, sites.func)
    below, after = _sleds(sites, start, traced)
    alignment = _seen_alignment(start, image)
    natural = PARCEL_SIZE if image.has_rvc is not False else WORD_SIZE
    if scheme is None or alignment > max(scheme.alignment, WORD_SIZE):
        natural = alignment  # there for another reason than the scheme
    follows = start % np.uint64(alignment) == 0
    section = image.memory.region_numbers(start)
    layout = TextLayout(
        start=start,
        below=below,
        after=after,
        own=size,
        kept=np.zeros(len(start), np.int64),
        padding=np.zeros(len(start), np.int64),
        first=np.append(True, section[1:] != section[:-1])[: len(start)],
        traced=traced,
        alignment=alignment,
        natural=min(natural, alignment),
        follows=follows,
        unplaced=len(sites) - int(np.isin(sites.func, start[traced]).sum()),
        sized=sized,
        sections=tuple(region.name for region in chosen),
    )
    return _explained(layout, image, section)


def _functions(image: KernelImage, sites: Sites, spans: list[Span]) -> tuple[U64Array, I64Array]:
    """Return the addresses of functions in some spans, each once, ascending, and their sizes, 0 if not known."""
    symbols = image.symbols
    address = np.concatenate((symbols.address[symbols.functions], sites.func))
    size = np.concatenate((symbols.size[symbols.functions].astype(np.int64), np.zeros(len(sites), np.int64)))
    inside = np.zeros(len(address), np.bool_)
    for span in spans:
        inside |= span.holds(address)
    address, size = address[inside], size[inside]
    order = np.lexsort((size, address))
    address, size = address[order], size[order]
    last = np.append(address[1:] != address[:-1], True)[: len(address)]
    return address[last], size[last]


def _sleds(sites: Sites, start: U64Array, traced: BoolArray) -> tuple[I64Array, I64Array]:
    """Return the bytes of each function's sled below and from its symbol on: int64[n] each."""
    order = np.argsort(sites.func, kind="stable")
    func = sites.func[order]
    at = order[np.minimum(np.searchsorted(func, start), max(len(func) - 1, 0))] if len(func) else order
    below = np.where(traced, sites.before[at], 0) if len(func) else np.zeros(len(start), np.int64)
    return below, np.where(traced, sites.usual[1], 0)


def _seen_alignment(start: U64Array, image: KernelImage) -> int:
    """Return the largest power of two that nearly all functions stand on a multiple of."""
    best = PARCEL_SIZE if image.has_rvc is not False else WORD_SIZE
    alignment = best
    while alignment <= _MOST_ALIGNMENT and len(start):
        if (start % np.uint64(alignment) == 0).mean() < _MOSTLY:
            break
        best, alignment = alignment, alignment * 2
    return best


def _explained(layout: TextLayout, image: KernelImage, section: I64Array) -> TextLayout:
    """Say for every byte between two functions what it is: own, padding, or unexplained."""
    if not len(layout):
        return layout
    low = (layout.start - layout.below.astype(np.uint64)).astype(np.int64)  # kernels are in the upper half: negative
    start = layout.start.astype(np.int64)
    bound = np.append(low[1:], 0)
    last = np.append(layout.first[1:], True)
    bound[last] = image.memory.ends[section[last]].astype(np.int64)
    limit = np.where(layout.follows, layout.alignment, 1)
    limit = np.append(limit[1:], layout.alignment)
    nops = np.minimum(_nops_before(image, bound.astype(np.uint64)), limit - 1)
    end = np.where(layout.own > 0, np.minimum(start + layout.own, bound), np.maximum(bound - nops, start))
    end = np.where(last & (layout.own > 0), start + layout.own, end)
    after = np.minimum(layout.after, end - start)
    free = np.where(last, 0, bound - end)
    hole = free >= HOLE
    first = layout.first | np.append(True, hole[:-1])
    wanted = np.append(0, -(end[:-1] + layout.below[1:]) % limit[:-1])
    padding = np.where(first, -layout.below % np.where(layout.follows, layout.alignment, 1), wanted)
    kept = np.where(hole, 0, free - np.append(np.where(first, 0, padding)[1:], 0))
    return replace(layout, after=after, own=end - start - after, kept=kept, padding=padding, first=first)


def _nops_before(image: KernelImage, address: U64Array) -> I64Array:
    """Return how many bytes in front of each address are nops or zeros: int64[n]."""
    data, stored = image.memory.windows(address - np.uint64(_LOOK_BACK), 0, _LOOK_BACK)
    parcels = data.view("<u2")[:, ::-1]
    filler = ((parcels == 0x0001) | (parcels == 0x0000) | (parcels == 0x0013)) & stored[:, ::-2]
    count: I64Array = np.where(filler.all(axis=1), filler.shape[1], np.argmin(filler, axis=1)).astype(np.int64)
    return count * PARCEL_SIZE
