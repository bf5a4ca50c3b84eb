# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of regions that lanes have: of their own, with poison, shared until written, other names.

All but the last are made of 8-byte words at 8-byte aligned addresses; narrower and misaligned accesses are
shifted and merged. An access lies within its region and is permitted: `lane_memory` has seen to that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from ..units import MASK64, BoolArray, I64Array, U64Array
from .lane_access import LaneSet, LaneTrap, permission_bits, picked
from .lane_rows import Rows
from .lane_table import Table
from .memory import POISON
from .outcome import Cause

__all__ = ["AliasRegion", "Overlay", "PoisonedRegion", "PrivateRegion", "Region", "SharedRegion"]
__all__ += ["WordRegion"]

_U64 = np.uint64
_SEVEN, _EIGHT = np.int64(7), np.int64(8)
_MASKS = {width: (1 << 8 * width) - 1 for width in (1, 2, 4, 8)}


class Region:
    """Some addresses.

    Args:
        start: the first of them.
        size: bytes.
        permissions: of ``r``, ``w`` and ``x``.
        name: for messages.

    Attributes:
        last: the last address.
        is_private: stores to it concern nobody else, so that they are not logged.
    """

    is_private = False

    def __init__(self, start: int, size: int, permissions: str, name: str):
        self.start, self.last, self.name = start, start + size - 1, name
        self.permissions = permission_bits(permissions)

    def permits(self, needs: int, address: int, width: int) -> bool:
        """Tell whether an access lies wholly inside and is allowed."""
        return self.start <= address and address + width - 1 <= self.last and self.permissions & needs == needs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.start:#x}..{self.last:#x}>"


class WordRegion(Region, ABC):
    """A region made of words that may differ from lane to lane."""

    def __init__(self, start: int, size: int, permissions: str, name: str):
        super().__init__(start, size, permissions, name)
        self._base = start & ~7
        self._words = (self.last >> 3) - (start >> 3) + 1

    # -- one word at a time, to be provided

    @abstractmethod
    def _word_row(self, lanes: LaneSet, word: int) -> Any:
        """Return a word of each lane, uint64[m] or one np.uint64; not to be written to nor kept."""

    @abstractmethod
    def _set_word_row(self, lanes: LaneSet, word: int, values: Any, bits: int) -> None:
        """Set the bits of a word in each lane; values: uint64[m] or one np.uint64."""

    @abstractmethod
    def _word_each(self, lanes: LaneSet, words: I64Array) -> U64Array:
        """Return lanes[i]'s words[i], a new uint64[m]."""

    @abstractmethod
    def _set_word_each(self, lanes: LaneSet, words: I64Array, values: U64Array, bits: U64Array) -> None:
        """Set the bits[i] of lanes[i]'s words[i]."""

    # -- accesses

    def load_row(self, lanes: LaneSet, address: int, width: int, out: U64Array | None = None) -> Any:
        """Return `width` bytes at one address in each lane, zero-extended.

        Args:
            lanes: which.
            address: the first byte's.
            width: 1, 2, 4 or 8.
            out: uint64[m] that may take the result.
        Returns:
            uint64[m], not shared with the region, or one np.uint64 if the lanes agree.
        """
        word, bit = _place(address - self._base)
        value = self._word_row(lanes, word)
        if bit == 0 and width == 8:
            if out is None:
                return value.copy() if lanes is None else value
            out[...] = value
            return out
        if bit:
            value = value >> _U64(bit)
        if bit + 8 * width > 64:
            value = value | self._word_row(lanes, word + 1) << _U64(64 - bit)
        return value & _U64(_MASKS[width])

    def store_row(self, lanes: LaneSet, address: int, width: int, values: Any) -> None:
        """Write the low bytes of uint64[m], or of one np.uint64, at one address in each lane."""
        word, bit = _place(address - self._base)
        mask = _MASKS[width]
        self._set_word_row(lanes, word, values << _U64(bit) if bit else values, mask << bit & MASK64)
        if bit + 8 * width > 64:
            self._set_word_row(lanes, word + 1, values >> _U64(64 - bit), mask >> 64 - bit)

    def load(self, lanes: LaneSet, addresses: U64Array, width: int) -> U64Array:
        """Return `width` bytes at each lane's own address, zero-extended, a new uint64[m]."""
        words, bits = _places(addresses, self._base)
        values = self._word_each(lanes, words)
        if bits.any():
            values >>= bits
            across = np.flatnonzero(bits > _U64(64 - 8 * width))
            if len(across):
                upper = self._word_each(picked(lanes, across), words[across] + 1)
                values[across] |= upper << _U64(64) - bits[across]
        return values if width == 8 else values & _U64(_MASKS[width])

    def store(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> None:
        """Write the low bytes of values[i] at addresses[i] of lanes[i]."""
        words, bits = _places(addresses, self._base)
        mask = _U64(_MASKS[width])
        self._set_word_each(lanes, words, values << bits, mask << bits)
        across = np.flatnonzero(bits > _U64(64 - 8 * width))
        if len(across):
            down = _U64(64) - bits[across]
            self._set_word_each(picked(lanes, across), words[across] + 1, values[across] >> down, mask >> down)


def _place(offset: int) -> tuple[int, int]:
    """Return the word that a byte is in, and its first bit there."""
    return offset >> 3, 8 * (offset & 7)


def _places(addresses: U64Array, base: int) -> tuple[I64Array, U64Array]:
    """Return (int64[m] words, uint64[m] bits) of addresses."""
    offsets = (addresses - _U64(base)).view(np.int64)
    return offsets >> np.int64(3), ((offsets & _SEVEN) * _EIGHT).view(_U64)


class PrivateRegion(WordRegion):
    """Bytes that each lane has of its own at the same addresses, zero at first.

    Args:
        n: lanes.
        start, size, permissions, name: as of a Region.
    """

    is_private = True

    def __init__(self, n: int, start: int, size: int, permissions: str, name: str):
        super().__init__(start, size, permissions, name)
        self._n = n
        self._rows = Rows(n, np.uint64)

    def clear(self) -> None:
        """Make the bytes of all lanes what they were at first."""
        self._rows = Rows(self._n, np.uint64)

    def _word_row(self, lanes: LaneSet, word: int) -> U64Array:
        row = self._rows.seen(word)
        return row if lanes is None else row.take(lanes)

    def _set_word_row(self, lanes: LaneSet, word: int, values: Any, bits: int) -> None:
        set_row(self._rows.row(word), lanes, values, bits)

    def _word_each(self, lanes: LaneSet, words: I64Array) -> U64Array:
        return self._rows.gather(lanes, words)

    def _set_word_each(self, lanes: LaneSet, words: I64Array, values: U64Array, bits: U64Array) -> None:
        set_each(self._rows, lanes, words, values, bits)


def set_row(row: U64Array, lanes: LaneSet, values: Any, bits: int) -> None:
    """Set bits of a row; values: uint64[m] or one np.uint64."""
    where: Any = ... if lanes is None else lanes
    row[where] = values if bits == MASK64 else row[where] & _U64(~bits & MASK64) | values & _U64(bits)


def set_each(rows: Rows, lanes: LaneSet, words: I64Array, values: U64Array, bits: U64Array) -> None:
    """Set bits[i] of lanes[i]'s words[i]."""
    if not (bits == _U64(MASK64)).all():
        values = rows.gather(lanes, words) & ~bits | values & bits
    rows.scatter(lanes, words, values)


# uint64[256]: all ones in the bytes that a mask of one bit a byte names
_BYTES = np.array([sum(0xFF << 8 * i for i in range(8) if mask >> i & 1) for mask in range(256)], _U64)
_POISON_WORD = _U64(int.from_bytes(bytes([POISON]) * 8, "little"))


class PoisonedRegion(PrivateRegion):
    """A private region that knows which bytes have been written; the others read as POISON.

    Args:
        n, start, size, permissions, name: as of a PrivateRegion.
        note: called with (lanes, addresses uint64[m]) for reads of bytes that were not.
    """

    def __init__(
        self, n: int, start: int, size: int, permissions: str, name: str, note: Callable[[I64Array, U64Array], None]
    ):
        super().__init__(n, start, size, permissions, name)
        self._written = Rows(n, np.uint8)  # one bit a byte
        self._note = note
        self._all: I64Array = np.arange(n, dtype=np.int64)

    def clear(self) -> None:
        """Make the bytes of all lanes poison again."""
        super().clear()
        self._written = Rows(self._n, np.uint8)

    def load_row(self, lanes: LaneSet, address: int, width: int, out: U64Array | None = None) -> Any:
        """See WordRegion; unwritten bytes are poison."""
        value = super().load_row(lanes, address, width, out)
        word, bit = _place(address - self._base)
        needed = (1 << width) - 1 << bit // 8
        written = self._written.seen(word) if lanes is None else self._written.seen(word).take(lanes)
        if needed <= 0xFF and (written & np.uint8(needed) == needed).all():
            return value
        return self._poisoned(lanes, np.full(len(written), address, _U64), width, value)

    def load(self, lanes: LaneSet, addresses: U64Array, width: int) -> U64Array:
        """See WordRegion; unwritten bytes are poison."""
        return self._poisoned(lanes, addresses, width, super().load(lanes, addresses, width))

    def _poisoned(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> U64Array:
        """Put poison where nothing was written, in values as they stand in memory, and note it."""
        words, bits = _places(addresses, self._base)
        written = self._written.gather(lanes, words)
        if (written == np.uint8(0xFF)).all() and not (bits > _U64(64 - 8 * width)).any():
            return values
        written = written.astype(np.uint16)
        across = np.flatnonzero(bits > _U64(64 - 8 * width))
        if len(across):
            upper = self._written.gather(picked(lanes, across), words[across] + 1)
            written[across] |= upper.astype(np.uint16) << np.uint16(8)
        missing = ~(written >> (bits >> _U64(3)).astype(np.uint16)) & np.uint16((1 << width) - 1)
        found = np.flatnonzero(missing)
        if len(found):
            self._note(picked(lanes, found), addresses[found])
            values |= _POISON_WORD & _BYTES[missing]
        return values

    def store_row(self, lanes: LaneSet, address: int, width: int, values: Any) -> None:
        """See WordRegion."""
        super().store_row(lanes, address, width, values)
        word, bit = _place(address - self._base)
        written = (1 << width) - 1 << bit // 8
        where: Any = ... if lanes is None else lanes
        self._written.row(word)[where] |= np.uint8(written & 0xFF)
        if written >> 8:
            self._written.row(word + 1)[where] |= np.uint8(written >> 8)

    def store(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> None:
        """See WordRegion."""
        super().store(lanes, addresses, width, values)
        words, bits = _places(addresses, self._base)
        written = np.uint16((1 << width) - 1) << (bits >> _U64(3)).astype(np.uint16)
        self._mark(lanes, words, written.astype(np.uint8))
        across = np.flatnonzero(written >> np.uint16(8))
        if len(across):
            self._mark(picked(lanes, across), words[across] + 1, (written[across] >> np.uint16(8)).astype(np.uint8))

    def _mark(self, lanes: LaneSet, words: I64Array, written: Any) -> None:
        self._written.scatter(lanes, words, self._written.gather(lanes, words) | written)


class Overlay:
    """Words of shared regions that single lanes have written, of all regions together.

    Args:
        n: lanes.
        limit: words that they may write in all; a word that most lanes write counts n times.
    """

    def __init__(self, n: int, limit: int):
        self.n, self.limit = n, limit
        self.used = 0
        self.numbers = 0  # of words that regions have reserved
        self._table = Table()

    def reserve(self, words: int) -> int:
        """Return the number of the first of a region's words here."""
        first = self.numbers
        self.numbers += words
        return first

    @staticmethod
    def _keys(lanes: I64Array, numbers: I64Array) -> U64Array:
        return (lanes << np.int64(40) | numbers).view(_U64)

    def find(self, lanes: I64Array, numbers: I64Array) -> I64Array:
        """Return the slot of lanes[i]'s word numbers[i], int64[m], or -1."""
        return self._table.find(self._keys(lanes, numbers))

    def values(self, slots: I64Array) -> U64Array:
        """Return what words hold; valid for slots that were found."""
        return self._table.values[slots]

    def put(self, lanes: I64Array, numbers: I64Array, values: U64Array) -> None:
        """Set words."""
        before = self._table.count
        self._table.put(self._keys(lanes, numbers), values)
        self.used += self._table.count - before


_CLEAN, _HASHED, _ROW = np.uint8(0), np.uint8(1), np.uint8(2)


class SharedRegion(WordRegion):
    """Bytes that all lanes read from one buffer, until a lane writes.

    What lanes write stands in the overlay, word by word; a word that many lanes write at once becomes a row.
    Words that no lane has written are read from the buffer without asking further.

    Args:
        overlay: of the memory.
        start, size, permissions, name: as of a Region.
        content: `size` bytes, or none for zeros.
        changed: called when words that might have been executed are first written.
    """

    def __init__(
        self,
        overlay: Overlay,
        start: int,
        size: int,
        permissions: str,
        name: str,
        content: memoryview,
        changed: Callable[[], None],
    ):
        super().__init__(start, size, permissions, name)
        self._overlay, self._content, self._changed = overlay, content, changed
        self._first = overlay.reserve(self._words)
        self._all: I64Array = np.arange(overlay.n, dtype=np.int64)
        self._state = np.zeros(self._words, np.uint8)
        self._is_clean = True
        self._rows = Rows(overlay.n, np.uint64)
        self._many = max(16, overlay.n // 4)
        self._gatherers = {width: self._gatherer(width) for width in _MASKS}

    # -- the buffer

    def _gatherer(self, width: int) -> Callable[[U64Array], U64Array]:
        """Return the function from addresses, uint64[m], to `width` bytes of the buffer, zero-extended."""
        size = len(self._content)
        if size < width:
            return lambda addresses: np.zeros(len(addresses), _U64)
        anywhere: Any = np.ndarray((size - width + 1,), f"<u{width}", self._content, strides=(1,))
        skip = -self.start % width
        aligned: Any = np.frombuffer(self._content[skip : size - (size - skip) % width], f"<u{width}")
        pick = aligned.take if aligned.flags.aligned else aligned.__getitem__
        start, first, low, shift = _U64(self.start), _U64(self.start + skip), _U64(width - 1), width.bit_length() - 1

        def gather(addresses: U64Array) -> U64Array:
            if (addresses & low).any():
                found = anywhere[(addresses - start).view(np.int64)]
            else:
                found = pick((addresses - first).view(np.int64) >> np.int64(shift))
            return found.astype(_U64, copy=False)  # type: ignore[no-any-return]

        return gather

    def _image(self, offset: int, width: int) -> int:
        """Return bytes of the buffer, zero where it has none; offset from the start of the first word."""
        at = offset - (self.start - self._base)
        part = bytes(self._content[max(at, 0) : max(at + width, 0)])
        return int.from_bytes(bytes(max(-at, 0)) + part, "little") & (1 << 8 * width) - 1

    def _image_words(self, words: I64Array) -> U64Array:
        addresses = _U64(self._base) + (words << np.int64(3)).view(_U64)
        # the first and the last word may stand half outside
        is_edge = (words == 0) | (words == self._words - 1)
        if not is_edge.any():
            return self._gatherers[8](addresses)
        found = np.empty(len(words), _U64)
        inner = np.flatnonzero(~is_edge)
        if len(inner):
            found[inner] = self._gatherers[8](addresses[inner])
        for word in (0, self._words - 1):
            found[words == word] = self._image(8 * word, 8)
        return found

    # -- words

    def is_clean(self, address: int, width: int) -> bool:
        """Tell whether no lane has written the words that some bytes are in."""
        words = slice(address - self._base >> 3, (address + width - 1 - self._base >> 3) + 1)
        return self._is_clean or not self._state[words].any()

    def value_of_all(self, address: int, width: int) -> int | None:
        """Return `width` bytes if no lane has written to their words."""
        return self._image(address - self._base, width) if self.is_clean(address, width) else None

    def _word_row(self, lanes: LaneSet, word: int) -> Any:
        state = self._state[word]
        if state == _CLEAN:
            return _U64(self._image(8 * word, 8))
        if state == _ROW:
            row = self._rows.seen(word)
            return row if lanes is None else row.take(lanes)
        lanes = self._all if lanes is None else lanes
        return self._word_each(lanes, np.full(len(lanes), word, np.int64))

    def _word_each(self, lanes: LaneSet, words: I64Array) -> U64Array:
        lanes = self._all if lanes is None else lanes
        values = self._image_words(words)
        state = self._state[words]
        hashed = np.flatnonzero(state == _HASHED)
        if len(hashed):
            slots = self._overlay.find(lanes[hashed], self._first + words[hashed])
            there = slots >= 0
            values[hashed[there]] = self._overlay.values(slots[there])
        rowed = np.flatnonzero(state == _ROW)
        if len(rowed):
            values[rowed] = self._rows.gather(lanes[rowed], words[rowed])
        return values

    def _set_word_row(self, lanes: LaneSet, word: int, values: Any, bits: int) -> None:
        if self._state[word] != _ROW:
            self._make_row(word)
        set_row(self._rows.row(word), lanes, values, bits)

    def _make_row(self, word: int) -> None:
        row = self._rows.row(word)
        row[...] = self._word_row(None, word)
        self._overlay.used += len(row)
        self._set_state(slice(word, word + 1), _ROW)

    def _set_word_each(self, lanes: LaneSet, words: I64Array, values: U64Array, bits: U64Array) -> None:
        lanes = self._all if lanes is None else lanes
        is_row = self._state[words] == _ROW
        rowed, hashed = np.flatnonzero(is_row), np.flatnonzero(~is_row)
        if len(rowed):
            set_each(self._rows, lanes[rowed], words[rowed], values[rowed], bits[rowed])
        if len(hashed):
            lanes, words, values, bits = lanes[hashed], words[hashed], values[hashed], bits[hashed]
            merged = self._word_each(lanes, words) & ~bits | values & bits
            self._overlay.put(lanes, self._first + words, merged)
            self._set_state(words, _HASHED)

    def _set_state(self, words: Any, state: np.uint8) -> None:
        if (self._state[words] == _CLEAN).any():
            self._is_clean = False
            self._changed()
        self._state[words] = state

    # -- accesses

    def load_row(self, lanes: LaneSet, address: int, width: int, out: U64Array | None = None) -> Any:
        """See WordRegion."""
        value = self.value_of_all(address, width)
        return super().load_row(lanes, address, width, out) if value is None else _U64(value)

    def load(self, lanes: LaneSet, addresses: U64Array, width: int) -> U64Array:
        """See WordRegion."""
        values = self._gatherers[width](addresses)
        if self._is_clean:
            return values
        words, _ = _places(addresses, self._base)
        ends, _ = _places(addresses + _U64(width - 1), self._base)
        written = np.flatnonzero(self._state[words] | self._state[ends])
        if len(written):
            values[written] = super().load(picked(lanes, written), addresses[written], width)
        return values

    def store_row(self, lanes: LaneSet, address: int, width: int, values: Any) -> None:
        """See WordRegion."""
        count = self._overlay.n if lanes is None else len(lanes)
        word, bit = _place(address - self._base)
        has_room = self._overlay.used + 2 * self._overlay.n <= self._overlay.limit
        if (count >= self._many and has_room) or (self._state[word] == _ROW and bit + 8 * width <= 64):
            super().store_row(lanes, address, width, values)
        else:
            self.store(lanes, np.full(count, address, _U64), width, np.broadcast_to(values, (count,)))

    def store(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> None:
        """See WordRegion.

        Raises:
            LaneTrap: some lanes would go beyond the overlay's limit.
        """
        if self._overlay.used + 2 * len(addresses) > self._overlay.limit:
            self._refuse_beyond(self._all if lanes is None else lanes, addresses, width)
        super().store(lanes, addresses, width, values)

    def _refuse_beyond(self, lanes: I64Array, addresses: U64Array, width: int) -> None:
        words, _ = _places(addresses, self._base)
        ends, _ = _places(addresses + _U64(width - 1), self._base)
        wanted = self._is_new(lanes, words).astype(np.int64)
        wanted += self._is_new(lanes, ends) & (ends != words)
        failed = (np.cumsum(wanted) > self._overlay.limit - self._overlay.used) & (wanted > 0)
        if failed.any():
            text = f"lanes wrote more than {self._overlay.limit} words of shared memory"
            raise LaneTrap(Cause.STORE_FAULT, failed, addresses, text, supported=False)

    def _is_new(self, lanes: I64Array, words: I64Array) -> BoolArray:
        is_new: BoolArray = (self._state[words] != _ROW) & (self._overlay.find(lanes, self._first + words) < 0)
        return is_new


class AliasRegion(Region):
    """A second name for other bytes, which may be others in each lane.

    Args:
        n: lanes.
        start, size, permissions, name: as of a Region.

    Attributes:
        targets: uint64[n], the addresses that the region's start stands for.
        is_set: bool[n], whether a lane has one.
    """

    def __init__(self, n: int, start: int, size: int, permissions: str, name: str):
        super().__init__(start, size, permissions, name)
        self.targets: U64Array = np.zeros(n, _U64)
        self.is_set: BoolArray = np.zeros(n, np.bool_)

    def aim(self, lanes: LaneSet, targets: Any) -> None:
        """Set the targets of some lanes; uint64[m] or one."""
        where: Any = ... if lanes is None else lanes
        self.targets[where] = targets
        self.is_set[where] = True

    def translated(self, lanes: LaneSet, addresses: U64Array) -> U64Array:
        """Return the addresses that are meant, uint64[m]."""
        targets = self.targets if lanes is None else self.targets[lanes]
        return targets + (addresses - _U64(self.start))
