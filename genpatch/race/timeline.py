# SPDX-License-Identifier: GPL-2.0-or-later
"""What patched bytes are at each moment: stores in the order in which they have become visible.

A timeline is a tuple of numbers of pieces; moment i is what is there once the first i of them are visible. A piece is
what becomes visible at once: an aligned store of 1, 2, 4 or 8 bytes. A store that is not aligned falls into pieces of
its own alignment, in any order (RVWMO: misaligned accesses are no single memory operation); a copy of more than
16 bytes, made where nobody can look, counts as one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

from ..isa.insn import decode
from ..machine.memory import Memory
from ..units import Span
from .environment import Fetch, Fused
from .model import Event

__all__ = ["Loaded", "Loads", "Piece", "Timelines", "pieces_of"]

_COPY = 16
Timeline = tuple[int, ...]


class Loaded(NamedTuple):
    """Bytes that were loaded at once, and the moment that they are from."""

    at: int
    size: int
    moment: int


Loads = tuple[Loaded, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that become visible at once; `event` is the store that they are of."""

    at: int
    data: bytes
    event: Event

    def overlaps(self, other: Piece) -> bool:
        """Tell whether two pieces have a byte in common; those become visible in program order."""
        return self.at < other.at + len(other.data) and other.at < self.at + len(self.data)


def pieces_of(event: Event) -> list[Piece]:
    """Return the pieces of a store."""
    at, data = event.at, event.data
    if len(data) > _COPY:
        return [Piece(at, data, event)]
    pieces = []
    while data:
        alignment = at & -at & 7 or 8
        size = next(width for width in (8, 4, 2, 1) if width <= min(alignment, len(data)))
        if len(event.data) <= 8 and len(event.data) & len(event.data) - 1 == 0 and event.at % len(event.data):
            size = min(size, event.at & -event.at)  # one misaligned access: pieces of its alignment
        pieces.append(Piece(at, data[:size], event))
        at, data = at + size, data[size:]
    return pieces


class Timelines:
    """The bytes of a memory under stores.

    Args:
        memory: as it is at moment 0.
        pieces: by number.
        fetch: how harts fetch.
        fused: what they fetch as one.
    """

    def __init__(self, memory: Memory, pieces: list[Piece], fetch: Fetch, fused: Fused):
        self.memory, self.pieces, self.fetch, self.fused = memory, pieces, fetch, fused
        self._bytes: dict[tuple[Timeline, int, int], tuple[bytes, ...]] = {}
        self._words: dict[tuple[Timeline, int, int], tuple[tuple[int, ...], ...]] = {}

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """All bytes that some piece writes."""
        return tuple(Span(piece.at, piece.at + len(piece.data)) for piece in self.pieces)

    def bytes_at(self, timeline: Timeline, address: int, size: int) -> tuple[bytes, ...]:
        """Return what is at an address at each moment of a timeline, from 0 to its length."""
        key = (timeline, address, size)
        found = self._bytes.get(key)
        if found is None:
            if timeline:
                before = self.bytes_at(timeline[:-1], address, size)
                found = (*before, _written(before[-1], address, self.pieces[timeline[-1]]))
            else:
                found = (self._first_bytes(address, size),)
            self._bytes[key] = found
        return found

    def _first_bytes(self, address: int, size: int) -> bytes:
        """Return bytes at moment 0; zeros, which are no instruction, where nothing is mapped."""
        mapped = (self.memory.mapping_at(at) is not None for at in range(address, address + size))
        return b"".join(self.memory.read(at, 1) if there else b"\0" for at, there in enumerate(mapped, address))

    def loads(
        self, timeline: Timeline, address: int, width: int, first: int, known: Loads = ()
    ) -> list[tuple[int, Loads]]:
        """Return what a load may see from a moment on: (value, what it is made of, each of its earliest moment).

        An aligned load is of one moment; one that is not falls into pieces, each of a moment of its own. No piece is
        older than an earlier load of some of its bytes, as `known` has them.
        """
        size = min(width, address & -address or width)
        parts = []
        for at in range(address, address + width, size):
            seen: dict[bytes, Loaded] = {}
            start = max([first, *(each.moment for each in known if each.at < at + size and at < each.at + each.size)])
            for moment, data in enumerate(self.bytes_at(timeline, at, size)[start:], start):
                seen.setdefault(data, Loaded(at, size, moment))
            parts.append(list(seen.items()))
        return [
            (int.from_bytes(b"".join(data for data, _ in choice), "little"), tuple(each for _, each in choice))
            for choice in product(*parts)
        ]

    def fetches(self, timeline: Timeline, pc: int, first: int) -> tuple[tuple[int, ...], ...]:
        """Return what a fetch at a pc may give from a moment on: one instruction word, or two that are fused."""
        key = (timeline, pc, first)
        found = self._words.get(key)
        if found is None:
            found = self._words[key] = tuple(dict.fromkeys(self._fetched(timeline, pc, first)))
        return found

    def _fetched(self, timeline: Timeline, pc: int, first: int) -> list[tuple[int, ...]]:
        if self.fused is not Fused.NO and pc % 8 == 0 and self.is_mapped(pc, 8):
            return self._fetched_pairs(timeline, pc, first)
        if self.fetch is Fetch.STRONG:
            return [(_word(self.bytes_at(timeline, pc, 4)[-1]),)]
        unit = 4 if self.fetch is Fetch.ZICCIF else 2
        return [(word,) for word in self._fetched_units(timeline, pc, first, unit)]

    def _fetched_units(self, timeline: Timeline, pc: int, first: int, unit: int) -> list[int]:
        """Put parcels together, each of the moment at which its unit was fetched."""
        start = pc & -unit
        words = []
        for low_unit in self.bytes_at(timeline, start, unit)[first:]:
            low = low_unit[pc - start :]
            if low[0] & 3 != 3 or len(low) >= 4:
                words.append(_word(low))
                continue
            words += [_word(low + high[: 4 - len(low)]) for high in self.bytes_at(timeline, start + unit, unit)[first:]]
        return words

    def _fetched_pairs(self, timeline: Timeline, pc: int, first: int) -> list[tuple[int, ...]]:
        """Fetch eight bytes at once where they are a pair; what is none is fetched as harts without fusion do."""
        moments = self.bytes_at(timeline, pc, 8)
        found: list[tuple[int, ...]] = []
        alone: list[tuple[int, ...]] = []
        for data in moments[-1:] if self.fetch is Fetch.STRONG else moments[first:]:
            words = (_word(data[:4]), _word(data[4:]))
            whole = words[0] & 3 == 3 and words[1] & 3 == 3
            is_pair = whole and (self.fused is Fused.ANY or _is_call(*words))
            (found if is_pair else alone).append(words if is_pair else words[:1])
        if alone and self.fetch is Fetch.PARCEL:
            halves = {words[0] for words in found}
            alone += [(word,) for word in self._fetched_units(timeline, pc, first, 2) if word not in halves]
        return found + alone

    def is_mapped(self, address: int, size: int) -> bool:
        """Tell whether bytes are there at all."""
        return all(self.memory.mapping_at(at) is not None for at in (address, address + size - 1))


def _written(data: bytes, address: int, piece: Piece) -> bytes:
    """Return bytes that stand at an address, with those of a piece in their places."""
    low, high = max(address, piece.at), min(address + len(data), piece.at + len(piece.data))
    if low >= high:
        return data
    return data[: low - address] + piece.data[low - piece.at : high - piece.at] + data[high - address :]


def _word(data: bytes) -> int:
    """Return an instruction word: 16 bits if it is no longer."""
    return int.from_bytes(data[:4] if data[0] & 3 == 3 else data[:2], "little")


def _is_call(first: int, second: int) -> bool:
    """Tell whether two words are auipc rd and jalr through it."""
    one, two = decode(first), decode(second)
    return one is not None and two is not None and (one.name, two.name) == ("auipc", "jalr") and one.rd == two.rs1
