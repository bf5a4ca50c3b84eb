# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of a scalar hart: mapped regions with permissions, copied page by page when they are written.

The quick way to a value is two lookups that a translated instruction does by itself:
``loads["Q"][address >> 12][(address & 4095) >> 3]``. What is no plain page - unmapped, shared between regions,
poisoned, watched, an alias, code - is there a `_SlowPage`, which looks like an array and asks the memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ..units import MASK64, Span, as_hex
from .outcome import Cause, CodeWritten, Trap

__all__ = ["PAGE", "Mapping", "Memory", "Permissions"]

PAGE = 4096
PAGE_SHIFT = 12
POISON = 0xA5
"""The byte that stands where nothing was written."""

_FORMATS = {"B": 1, "H": 2, "I": 4, "Q": 8, "b": 1, "h": 2, "i": 4, "q": 8}
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}

Page = memoryview
"""4096 bytes, writable once a memory owns them."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What may be done with a region's bytes."""

    read: bool = False
    write: bool = False
    execute: bool = False

    @classmethod
    def of(cls, text: str) -> Permissions:
        """Read ``"rw"``, ``"rx"``, ``"rwx"``."""
        return cls("r" in text, "w" in text, "x" in text)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One region.

    Args:
        span: addresses it covers.
        content: its first bytes, shared and never written; what is behind them is zero.
        permissions: what may be done with it.
        name: for messages.
        poison: bytes that are read before they are written are reported.
        target: the address that span.start stands for, if the region is a second name for other bytes.
    """

    span: Span
    content: memoryview
    permissions: Permissions
    name: str = ""
    poison: bool = False
    target: int | None = None


class _SlowPage:
    """Stands where a page cannot be indexed directly; asks the memory for each access."""

    __slots__ = ("format", "memory", "start", "width")

    def __init__(self, memory: Memory, page: int, code: str):
        self.memory, self.start, self.format, self.width = memory, page << PAGE_SHIFT, code, _FORMATS[code]

    def __getitem__(self, index: int) -> int:
        value = self.memory.load(self.width, self.start + index * self.width)
        bits = 8 * self.width
        return value - ((value >> bits - 1) << bits) if self.format.islower() else value

    def __setitem__(self, index: int, value: int) -> None:
        self.memory.store(self.width, self.start + index * self.width, value)


class _Loads(dict[int, Any]):
    """Pages that may be read, by number, as arrays of one format; filled as they are asked for."""

    __slots__ = ("format", "memory")

    def __init__(self, memory: Memory, code: str):
        super().__init__()
        self.memory, self.format = memory, code

    def _bytes_of(self, page: int) -> Page | None:
        return self.memory.plain_page(page)

    def __missing__(self, page: int) -> Any:
        data = self._bytes_of(page)
        if data is None:
            return _SlowPage(self.memory, page, self.format)
        view = self[page] = data.cast(cast("Any", self.format))
        return view


class _Stores(_Loads):
    """Pages that may be written."""

    __slots__ = ()

    def _bytes_of(self, page: int) -> Page | None:
        return self.memory.own_plain_page(page)


class Memory:
    """What a hart loads, stores and fetches.

    Args:
        misaligned: whether a load or store may stand at any address; if not it is a fault.

    Attributes:
        loads, stores: the quick way, see the module; a dict of pages for each format of `struct`.
        observer: called with (what, address, width, value) for each store to a watched span, as
            ``"store"``, and for each read of poison, as ``"poison"``.
        guarded: a store to bytes that have been fetched raises CodeWritten before it is done, so that what
            was translated of them can be left.
        epoch: counts the times that bytes changed which had been fetched; what was made of them is then void.
    """

    def __init__(self, *, misaligned: bool = True):
        self.misaligned = misaligned
        self.observer: Callable[[str, int, int, int], None] | None = None
        self.mappings: list[Mapping] = []
        self._starts: list[int] = []
        self._pages: dict[int, Page] = {}  # pages that differ from their mappings' content
        self._owned: set[int] = set()  # of these, the ones that no fork shares
        self._written: dict[int, bytearray] = {}  # of poisoned pages, which bytes hold something
        self._fetched: dict[int, bytearray] = {}  # of pages with code, which bytes have been fetched
        self.epoch = 0
        self.guarded = True
        self._watched: list[Span] = []
        self.loads = {code: _Loads(self, code) for code in _FORMATS}
        self.stores = {code: _Stores(self, code) for code in "BHIQ"}

    # -- what is mapped

    def map(
        self,
        start: int,
        content: bytes | bytearray | memoryview = b"",
        *,
        size: int | None = None,
        permissions: str = "rw",
        name: str = "",
        poison: bool = False,
    ) -> Mapping:
        """Map bytes at an address.

        Args:
            start: first address.
            content: the first bytes; the buffer is kept and never written.
            size: bytes in all, zero behind the content; the content's size by default.
            permissions: of ``r``, ``w`` and ``x``.
            name: for messages.
            poison: report bytes that are read before they are written.
        Raises:
            ValueError: the region is empty, leaves the address space or overlaps another.
        """
        view = memoryview(content).cast("B").toreadonly()
        span = Span(start, start + max(len(view), size or 0))
        return self._insert(Mapping(span, view, Permissions.of(permissions), name, poison))

    def alias(self, start: int, size: int, target: int, *, permissions: str = "rw", name: str = "") -> Mapping:
        """Make [start, start + size) another name for the bytes at `target`; errors as `map`."""
        span = Span(start, start + size)
        return self._insert(Mapping(span, memoryview(b""), Permissions.of(permissions), name, target=target))

    def unmap(self, mapping: Mapping) -> None:
        """Take a region away; what was written to it is lost unless it was an alias.

        Raises:
            ValueError: it is not mapped.
        """
        position = self.mappings.index(mapping)
        del self.mappings[position], self._starts[position]
        self._forget_views()
        for page in range(mapping.span.start >> PAGE_SHIFT, (mapping.span.end - 1 >> PAGE_SHIFT) + 1):
            if page in self._pages and not any(self._mappings_in(page)):
                del self._pages[page]
                self._owned.discard(page)
                self._written.pop(page, None)
        if mapping.permissions.execute:
            self._fetched.clear()
            self.epoch += 1

    def _insert(self, mapping: Mapping) -> Mapping:
        span = mapping.span
        if not 0 <= span.start < span.end <= MASK64 + 1:
            raise ValueError(f"{span} is no part of the address space")
        position = bisect_right(self._starts, span.start)
        for other in self.mappings[max(position - 1, 0) : position + 1]:
            if other.span.start < span.end and span.start < other.span.end:
                raise ValueError(f"{span} {mapping.name} overlaps {other.span} {other.name}".strip())
        self.mappings.insert(position, mapping)
        self._starts.insert(position, span.start)
        self._forget_views()
        for page in {span.start >> PAGE_SHIFT, span.end - 1 >> PAGE_SHIFT} & self._pages.keys():
            _copy_overlap(mapping, page, self._own(page))
            if page in self._written:
                _mark_overlap(mapping, page, self._written[page])
        return mapping

    def mapping_at(self, address: int) -> Mapping | None:
        """Return the region that holds an address, or None."""
        position = bisect_right(self._starts, address) - 1
        if position < 0 or address not in self.mappings[position].span:
            return None
        return self.mappings[position]

    def watch(self, span: Span) -> None:
        """Report every store into a span to the observer, also one that goes there through an alias."""
        self._watched.append(span)
        self._forget_views()

    def fork(self) -> Memory:
        """Return a memory that starts with the same bytes; neither sees what the other writes from now on."""
        child = Memory(misaligned=self.misaligned)
        child.mappings, child._starts = list(self.mappings), list(self._starts)
        child._watched = list(self._watched)
        child._pages = dict(self._pages)
        child._written = {page: bytearray(written) for page, written in self._written.items()}
        self._owned.clear()
        self._forget_views()
        return child

    def _forget_views(self) -> None:
        for views in (*self.loads.values(), *self.stores.values()):
            views.clear()

    # -- pages

    def _mappings_in(self, page: int) -> list[Mapping]:
        start, end = page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1)
        return [mapping for mapping in self.mappings[first:last] if mapping.span.end > start]

    def _plain_mapping(self, page: int) -> Mapping | None:
        """Return the region that a whole page is of, if its bytes can be used as they are."""
        mapping = self.mapping_at(page << PAGE_SHIFT)
        if mapping is None or mapping.span.end < (page + 1) << PAGE_SHIFT or mapping.poison:
            return None
        return mapping if mapping.target is None else None

    def _content(self, page: int) -> Page:
        """Return a page's bytes as its regions have them."""
        mapping = self._plain_mapping(page)
        if mapping is not None:
            offset = (page << PAGE_SHIFT) - mapping.span.start
            part = mapping.content[offset : offset + PAGE]
            if len(part) == PAGE:
                return part
        data = bytearray(PAGE)
        for mapping in self._mappings_in(page):
            _copy_overlap(mapping, page, data)
        return memoryview(data).toreadonly()

    def _page(self, page: int) -> Page:
        held = self._pages.get(page)
        return self._content(page) if held is None else held

    def _own(self, page: int) -> Page:
        """Return a page's bytes to write to."""
        if page not in self._owned:
            self._pages[page] = memoryview(bytearray(self._page(page)))
            self._owned.add(page)
            for views in self.loads.values():
                views.pop(page, None)
        return self._pages[page]

    def _marks(self, page: int) -> bytearray:
        """Return for each byte of a page with poison whether it holds something."""
        if page not in self._written:
            self._written[page] = bytearray(PAGE)
            for mapping in self._mappings_in(page):
                _mark_overlap(mapping, page, self._written[page])
        return self._written[page]

    def plain_page(self, page: int) -> Page | None:
        """Return the bytes of a page that may be read without asking further, else None."""
        mapping = self._plain_mapping(page)
        return self._page(page) if mapping is not None and mapping.permissions.read else None

    def own_plain_page(self, page: int) -> Page | None:
        """Return the bytes of a page that may be written without asking further, else None."""
        mapping = self._plain_mapping(page)
        if mapping is None or not mapping.permissions.write or page in self._fetched:
            return None
        start = page << PAGE_SHIFT
        if any(span.start < start + PAGE and start < span.end for span in self._watched):
            return None
        return self._own(page)

    def written_pages(self, span: Span) -> list[tuple[int, bytes]]:
        """Return the pages that have been written and overlap a span: (address, 4096 bytes) each."""
        first, last = span.start >> PAGE_SHIFT, span.end - 1 >> PAGE_SHIFT
        numbers = sorted(page for page in self._pages if first <= page <= last)
        return [(page << PAGE_SHIFT, bytes(self._pages[page])) for page in numbers]

    # -- the guest's accesses

    def load(self, width: int, address: int) -> int:
        """Return `width` bytes at an address, zero-extended.

        Raises:
            Trap: it may not be read.
        """
        address &= MASK64
        if address & width - 1 and not self.misaligned:
            raise Trap(Cause.LOAD_MISALIGNED, address)
        parts = self._parts(width, address, "read", Cause.LOAD_FAULT)
        return int.from_bytes(b"".join(self._read_part(*part) for part in parts), "little")

    def load_signed(self, width: int, address: int) -> int:
        """Return `width` bytes as two's complement; errors as `load`."""
        value = self.load(width, address)
        return value - (value >> 8 * width - 1 << 8 * width)

    def _read_part(self, mapping: Mapping, address: int, size: int) -> bytes:
        """Return bytes within one page."""
        page, offset = address >> PAGE_SHIFT, address & PAGE - 1
        if mapping.poison and not all(self._marks(page)[offset : offset + size]) and self.observer:
            self.observer("poison", address, size, 0)
        return bytes(self._page(page)[offset : offset + size])

    def store(self, width: int, address: int, value: int) -> None:
        """Write the low `width` bytes of a value.

        Raises:
            Trap: it may not be written; nothing is.
            CodeWritten: it was not written, for the bytes have been fetched before and the memory is `guarded`.
        """
        address &= MASK64
        if address & width - 1 and not self.misaligned:
            raise Trap(Cause.STORE_MISALIGNED, address)
        data = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        parts = self._parts(width, address, "write", Cause.STORE_FAULT)
        if self.guarded and any(self._is_fetched(at, size) for _, at, size in parts):
            raise CodeWritten
        if self.observer and self._watched and self._is_watched(parts):
            self.observer("store", parts[0][1], width, int.from_bytes(data, "little"))
        for mapping, at, size in parts:
            self._write_part(mapping, at, data[:size])
            data = data[size:]

    def _is_watched(self, parts: list[tuple[Mapping, int, int]]) -> bool:
        return any(span.start < at + size and at < span.end for span in self._watched for _, at, size in parts)

    def _parts(self, width: int, address: int, may: str, cause: Cause) -> list[tuple[Mapping, int, int]]:
        """Return where an access goes: (region, address, size) of each part, within one page and no alias.

        Raises:
            Trap: with `cause`, if a region is missing or its permissions lack `may`; the host's accesses need none.
        """
        parts = []
        while width:
            mapping = self.mapping_at(address)
            if mapping is None or (may and not getattr(mapping.permissions, may)):
                raise Trap(cause, address)
            size = min(width, mapping.span.end - address, PAGE - (address & PAGE - 1))
            if mapping.target is None:
                parts.append((mapping, address, size))
            else:
                parts += self._alias_parts(size, mapping.target + address - mapping.span.start, cause)
            address, width = (address + size) & MASK64, width - size
        return parts

    def _alias_parts(self, width: int, address: int, cause: Cause) -> list[tuple[Mapping, int, int]]:
        """Return where an access through an alias goes; the permissions of what is behind it do not matter."""
        parts = []
        while width:
            mapping = self.mapping_at(address)
            if mapping is None or mapping.target is not None:  # an alias of an alias leads nowhere
                raise Trap(cause, address)
            size = min(width, mapping.span.end - address, PAGE - (address & PAGE - 1))
            parts.append((mapping, address, size))
            address, width = address + size, width - size
        return parts

    def _write_part(self, mapping: Mapping, address: int, data: bytes) -> None:
        """Write within one page."""
        page, offset = address >> PAGE_SHIFT, address & PAGE - 1
        if mapping.poison:
            self._marks(page)[offset : offset + len(data)] = b"\1" * len(data)
        self._own(page)[offset : offset + len(data)] = data
        if self._is_fetched(address, len(data)):
            self._fetched.clear()
            self.epoch += 1

    def _is_fetched(self, address: int, size: int) -> bool:
        """Tell whether bytes within one page have been fetched."""
        fetched = self._fetched.get(address >> PAGE_SHIFT)
        return fetched is not None and any(fetched[address & PAGE - 1 : (address & PAGE - 1) + size])

    def fetch(self, pc: int) -> int:
        """Return the 32 bits at pc, 16 if the instruction there is no longer.

        Raises:
            Trap: a parcel of it is not executable; tval is that parcel's address.
        """
        low = self._fetch_parcel(pc)
        return low if low & 0b11 != 0b11 else low | self._fetch_parcel((pc + 2) & MASK64) << 16

    def _fetch_parcel(self, address: int) -> int:
        mapping = self.mapping_at(address)
        if mapping is None or not mapping.permissions.execute or address + 1 not in mapping.span:
            raise Trap(Cause.FETCH_FAULT, address)
        at = address
        if mapping.target is not None:
            at = mapping.target + address - mapping.span.start
            behind = self.mapping_at(at)
            if at & 1 or behind is None or behind.target is not None or at + 1 not in behind.span:
                raise Trap(Cause.FETCH_FAULT, address)
        page, offset = at >> PAGE_SHIFT, at & PAGE - 1
        if page not in self._fetched:
            self._fetched[page] = bytearray(PAGE)
            for views in self.stores.values():
                views.pop(page, None)
        self._fetched[page][offset : offset + 2] = b"\1\1"
        data = self._page(page)
        return data[offset] | (data[offset + 1] << 8)

    # -- the host's accesses

    def read(self, address: int, size: int) -> bytes:
        """Return bytes, whatever the permissions.

        Raises:
            Trap: some are not mapped.
        """
        parts = self._parts(size, address, "", Cause.LOAD_FAULT)
        return b"".join(bytes(self._page(at >> PAGE_SHIFT)[at & PAGE - 1 :][:count]) for _, at, count in parts)

    def write(self, address: int, data: bytes) -> None:
        """Write bytes, whatever the permissions.

        Raises:
            Trap: some are not mapped.
        """
        for mapping, at, size in self._parts(len(data), address, "", Cause.STORE_FAULT):
            self._write_part(mapping, at, data[:size])
            data = data[size:]

    def string(self, address: int, limit: int = 1 << 16) -> bytes:
        """Return the bytes up to a NUL, at most `limit` of them; errors as `read`."""
        found = bytearray()
        while len(found) < limit:
            at = address + len(found)
            mapping = self.mapping_at(at)
            room = mapping.span.end - at if mapping is not None else 1
            chunk = self.read(at, min(64, room, limit - len(found)))
            end = chunk.find(0)
            if end >= 0:
                return bytes(found + chunk[:end])
            found += chunk
        return bytes(found)

    def __repr__(self) -> str:
        return f"<Memory: {', '.join(f'{m.name} {m.span}' for m in self.mappings) or as_hex(0)}>"


def _overlap(mapping: Mapping, page: int) -> tuple[int, int, memoryview]:
    """Return where in a page a region is, how many bytes it has there, and the first of them as it has them."""
    start = max(mapping.span.start, page << PAGE_SHIFT)
    offset = start - mapping.span.start
    room = min(mapping.span.end, (page + 1) << PAGE_SHIFT) - start
    return start & PAGE - 1, room, mapping.content[offset : offset + room]


def _copy_overlap(mapping: Mapping, page: int, data: bytearray | Page) -> None:
    """Copy what a region holds of a page to its place there."""
    at, room, part = _overlap(mapping, page)
    data[at : at + room] = bytes(part).ljust(room, bytes([POISON if mapping.poison else 0]))


def _mark_overlap(mapping: Mapping, page: int, marks: bytearray) -> None:
    """Mark the bytes of a page that a region begins with."""
    at, room, part = _overlap(mapping, page)
    marks[at : at + room] = (b"\1" * len(part)).ljust(room, b"\0")
