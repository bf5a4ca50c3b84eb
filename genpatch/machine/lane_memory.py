# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of many lanes: what they share, what each has of its own, what each has written over what they share.

An access gives one address a lane. Two cases are quick, and are most of all: the same address in all lanes, and
addresses that lie all in one region. The rest is taken apart, at worst byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import MASK64, BoolArray, I64Array, Span, U8Array, U64Array
from .lane_access import AMO, FETCH, HOST, LOAD, STORE, Access, LaneSet, LaneTrap, picked, same_in_all, spread
from .lane_log import LaneLog
from .lane_regions import AliasRegion, Overlay, PoisonedRegion, PrivateRegion, Region, SharedRegion, WordRegion
from .outcome import Cause, Trap

__all__ = ["LaneMemory"]

_U64 = np.uint64
_NO_REGION = Region(0, 0, "", "nothing")


class LaneMemory:
    """What lanes load, store and fetch.

    Args:
        n: lanes.
        misaligned: whether a load or store may stand at any address; if not it is a fault. Atomics may not.
        overlay_limit: words of shared regions that all lanes together may write, a word that is written by
            many at once counting n times; 256 a lane and at least 1 Mi by default.

    Attributes:
        epoch: changes when bytes that might have been executed are written or mapped.
        pcs: the instruction that accesses, one np.uint64 or uint64[n] by lane; for the log and for poison.
        log: what was stored while something was watched.
        poison_reads: bool[n], lanes that read what they had not written.
        poison_pcs, poison_addresses: uint64[n], where each did so first.
    """

    def __init__(self, n: int, *, misaligned: bool = True, overlay_limit: int | None = None):
        self.n, self.misaligned = n, misaligned
        self.epoch = 0
        self.pcs: Any = _U64(0)
        self.log = LaneLog()
        self.poison_reads: BoolArray = np.zeros(n, np.bool_)
        self.poison_pcs: U64Array = np.zeros(n, _U64)
        self.poison_addresses: U64Array = np.zeros(n, _U64)
        self.regions: list[Region] = []
        self._all: I64Array = np.arange(n, dtype=np.int64)
        self._overlay = Overlay(n, max(256 * n, 1 << 20) if overlay_limit is None else overlay_limit)
        self._notes_poison = True
        self._watches_all = False
        self._watched: list[Span] = []
        self._recent: WordRegion | None = None
        self._index()

    # -- what is mapped

    def map(
        self,
        start: int,
        content: bytes | bytearray | memoryview = b"",
        *,
        size: int | None = None,
        permissions: str = "rw",
        name: str = "",
        logged: bool = True,
    ) -> None:
        """Map bytes that all lanes share until they write to them.

        Args:
            start: first address.
            content: the first bytes; the buffer is kept and never written.
            size: bytes in all, zero behind the content; the content's size by default.
            permissions: of ``r``, ``w`` and ``x``.
            name: for messages.
            logged: whether stores to it concern anybody, and are logged where everything is watched.
        Raises:
            ValueError: the region is empty, leaves the address space or overlaps another.
        """
        view = memoryview(content).cast("B").toreadonly()
        total = max(len(view), size or 0)
        self._check_free(start, total, name)
        parts = ((start, view, len(view)), (start + len(view), view[:0], total - len(view)))
        for at, part, length in parts:
            if length:
                region = SharedRegion(self._overlay, at, length, permissions, name, part, self._code_changed)
                region.is_private = not logged
                self._insert(region)

    def map_private(
        self, start: int, size: int, *, permissions: str = "rw", name: str = "", poison: bool = False
    ) -> None:
        """Map bytes that each lane has of its own, at the same addresses.

        Args:
            start, size, permissions, name: as of `map`.
            poison: note reads of bytes that were not written before; without it they are zero.
        Raises:
            ValueError: as `map`.
        """
        self._check_free(start, size, name)
        if poison:
            self._insert(PoisonedRegion(self.n, start, size, permissions, name, self._note_poison))
        else:
            self._insert(PrivateRegion(self.n, start, size, permissions, name))

    def clear(self, start: int) -> None:
        """Make a private region what it was at first, and forget the reads of poison.

        Raises:
            ValueError: no private region starts there.
        """
        region = next((each for each in self.regions if each.start == start), None)
        if not isinstance(region, PrivateRegion):
            raise ValueError(f"no private region starts at {start:#x}")
        region.clear()
        self.poison_reads[:] = False

    def alias(
        self,
        start: int,
        size: int,
        targets: U64Array | int,
        *,
        lanes: LaneSet = None,
        permissions: str = "rw",
        name: str = "",
    ) -> None:
        """Make [start, start + size) another name for other bytes; again, to aim it at others.

        Args:
            start, size, permissions, name: as of `map`; what is behind the name may have other permissions.
            targets: what `start` stands for, uint64[m] or the same for all.
            lanes: whose name it is; the others keep what they have. All by default.
        Raises:
            ValueError: as `map`, unless the region is there already.
        """
        region = self._alias_at(start, size)
        if region is None:
            self._check_free(start, size, name)
            region = AliasRegion(self.n, start, size, permissions, name)
            self._insert(region)
        region.aim(lanes, _U64(targets) if isinstance(targets, int) else targets)
        self._code_changed()

    def unalias(self, start: int, size: int, *, lanes: LaneSet = None) -> None:
        """Take a name away from some lanes, whose accesses then fault.

        Raises:
            ValueError: there is no such alias.
        """
        region = self._alias_at(start, size)
        if region is None:
            raise ValueError(f"no alias at {Span(start, start + size)}")
        region.is_set[... if lanes is None else lanes] = False
        self._code_changed()

    def _alias_at(self, start: int, size: int) -> AliasRegion | None:
        found = (region for region in self.regions if region.start == start and region.last == start + size - 1)
        return next((region for region in found if isinstance(region, AliasRegion)), None)

    def _check_free(self, start: int, size: int, name: str) -> None:
        span = Span(start, start + size)
        if not 0 <= span.start < span.end <= MASK64 + 1:
            raise ValueError(f"{span} is no part of the address space")
        for other in self.regions:
            if other.start < span.end and span.start <= other.last:
                raise ValueError(f"{span} {name} overlaps {Span(other.start, other.last + 1)} {other.name}".strip())

    def _insert(self, region: Region) -> None:
        self.regions.append(region)
        self.regions.sort(key=lambda other: other.start)
        self._index()
        self._code_changed()

    def _index(self) -> None:
        """Make arrays of the regions to look up many addresses in; the last of them stands for no region."""
        regions = (*self.regions, _NO_REGION)
        self._starts: U64Array = np.array([region.start for region in self.regions], _U64)
        self._lasts: U64Array = np.array([region.last & MASK64 for region in regions], _U64)
        self._permissions: NDArray[np.int64] = np.array([region.permissions for region in regions], np.int64)
        self._is_alias: BoolArray = np.array([isinstance(region, AliasRegion) for region in regions], np.bool_)
        self._is_private: BoolArray = np.array([region.is_private for region in regions], np.bool_)

    def _code_changed(self) -> None:
        self.epoch += 1

    # -- which region

    def _region_at(self, address: int, width: int, needs: int) -> WordRegion | None:
        """Return the region that an access lies in and that allows it; no alias."""
        recent = self._recent
        if recent is not None and recent.permits(needs, address, width):
            return recent
        found = int(np.searchsorted(self._starts, _U64(address), "right")) - 1
        region = self.regions[found] if found >= 0 else _NO_REGION
        if not isinstance(region, WordRegion) or not region.permits(needs, address, width):
            return None
        self._recent = region
        return region

    def _common_region(self, addresses: U64Array, width: int, needs: int) -> WordRegion | None:
        """Return the region that all of some accesses lie in and that allows them; no alias."""
        low, high = int(addresses.min()), int(addresses.max())
        region = self._region_at(low, width, needs)
        return region if region is not None and region.permits(needs, high, width) else None

    def _numbers_of(self, addresses: U64Array) -> I64Array:
        """Return the number of each address' region, -1 for none, int64[m]."""
        found = np.searchsorted(self._starts, addresses, "right") - 1
        found[addresses > self._lasts[found]] = -1
        return found

    # -- may it be accessed

    def _is_misaligned(self, access: Access, width: int) -> bool:
        """Tell whether an access of this kind and width must be aligned."""
        return width > 1 and (access.always_aligned or not (self.misaligned or access is FETCH or access is HOST))

    def check(self, lanes: LaneSet, addresses: U64Array, width: int, access: Access) -> None:
        """Raise a LaneTrap if some lanes may not access; addresses: uint64[m]."""
        if self._is_misaligned(access, width):
            misaligned = (addresses & _U64(width - 1)) != 0
            if misaligned.any():
                raise LaneTrap(access.misaligned, misaligned, addresses)
        if self._common_region(addresses, width, access.needs) is not None:
            return
        failed = np.zeros(len(addresses), np.bool_)
        tval = addresses.copy()
        for byte in reversed(range(width)):
            at = addresses + _U64(byte)
            forbidden = ~self._permits(lanes, at, access.needs)
            failed |= forbidden
            tval[forbidden] = at[forbidden]
        if failed.any():
            raise LaneTrap(access.fault, failed, tval)

    def _permits(self, lanes: LaneSet, addresses: U64Array, needs: int) -> BoolArray:
        """Tell for each byte whether it may be accessed, bool[m]."""
        numbers = self._numbers_of(addresses)
        allowed: BoolArray = (numbers >= 0) & (self._permissions[numbers] & needs == needs)
        for region, part in self._aliases(numbers):
            whose = picked(lanes, part)
            behind = self._numbers_of(region.translated(whose, addresses[part]))
            allowed[part] &= region.is_set[whose] & (behind >= 0) & ~self._is_alias[behind]
        return allowed

    def _aliases(self, numbers: I64Array) -> Iterator[tuple[AliasRegion, I64Array]]:
        """Yield each alias among regions, and the positions where it is."""
        if self._is_alias[numbers].any():
            for number in np.unique(numbers):
                region = self.regions[number] if number >= 0 else _NO_REGION
                if isinstance(region, AliasRegion):
                    yield region, np.flatnonzero(numbers == number)

    def _behind(self, lanes: LaneSet, addresses: U64Array) -> U64Array:
        """Return addresses with aliases resolved, perhaps the same array."""
        found = addresses
        for region, part in self._aliases(self._numbers_of(addresses)):
            found = found.copy() if found is addresses else found
            found[part] = region.translated(picked(lanes, part), addresses[part])
        return found

    # -- accesses

    def load(
        self, lanes: LaneSet, addresses: Any, width: int, access: Access = LOAD, out: U64Array | None = None
    ) -> Any:
        """Return `width` bytes of each lane, zero-extended.

        Args:
            lanes: which.
            addresses: uint64[m], or one np.uint64 for all.
            width: 1, 2, 4 or 8.
            access: what for.
            out: uint64[m] that may take the result.
        Returns:
            uint64[m], or one np.uint64 if it is the same in all lanes.
        Raises:
            LaneTrap: some lanes may not.
        """
        address = same_in_all(addresses)
        if address is not None and not (address & width - 1 and self._is_misaligned(access, width)):
            region = self._region_at(address, width, access.needs)
            if region is not None:
                return region.load_row(lanes, address, width, out)
        addresses = spread(addresses, self._count(lanes))
        self.check(lanes, addresses, width, access)
        return self._load(lanes, addresses, width)

    def store(self, lanes: LaneSet, addresses: Any, width: int, values: Any, access: Access = STORE) -> None:
        """Write the low bytes of values.

        Args:
            lanes, addresses, width, access: as of `load`.
            values: uint64[m], or one np.uint64 for all.
        Raises:
            LaneTrap: some lanes may not; no lane has stored.
        """
        address = same_in_all(addresses)
        region = None
        if address is not None and not (address & width - 1 and self._is_misaligned(access, width)):
            region = self._region_at(address, width, access.needs)
        if region is not None and address is not None:
            region.store_row(lanes, address, width, values)
        else:
            addresses = spread(addresses, self._count(lanes))
            self.check(lanes, addresses, width, access)
            self._store(lanes, addresses, width, spread(values, len(addresses)))
        if self.is_watching and (address is None or region is None or self._concerns(region, address, width)):
            self._record(lanes, addresses, width, values)

    def _count(self, lanes: LaneSet) -> int:
        return self.n if lanes is None else len(lanes)

    def _load(self, lanes: LaneSet, addresses: U64Array, width: int) -> U64Array:
        """Load what may be loaded."""
        common = self._common_region(addresses, width, 0)
        if common is not None:
            return common.load(lanes, addresses, width)
        found = np.zeros(len(addresses), _U64)
        for region, part in self._parts(addresses, width):
            whose, where = picked(lanes, part), addresses[part]
            if region is None:
                for byte in range(width):
                    found[part] |= self._load(whose, where + _U64(byte), 1) << _U64(8 * byte)
            elif isinstance(region, AliasRegion):
                found[part] = self._load(whose, region.translated(whose, where), width)
            elif isinstance(region, WordRegion):
                found[part] = region.load(whose, where, width)
        return found

    def _store(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> None:
        """Store what may be stored."""
        common = self._common_region(addresses, width, 0)
        if common is not None:
            common.store(lanes, addresses, width, values)
            return
        for region, part in self._parts(addresses, width):
            whose, where, what = picked(lanes, part), addresses[part], values[part]
            if region is None:
                for byte in range(width):
                    self._store(whose, where + _U64(byte), 1, what >> _U64(8 * byte) & _U64(0xFF))
            elif isinstance(region, AliasRegion):
                self._store(whose, region.translated(whose, where), width, what)
            elif isinstance(region, WordRegion):
                region.store(whose, where, width, what)

    def _parts(self, addresses: U64Array, width: int) -> Iterator[tuple[Region | None, I64Array]]:
        """Yield each region and the positions of the accesses in it; None for those that leave a region."""
        numbers, ends = self._numbers_of(addresses), self._numbers_of(addresses + _U64(width - 1))
        leaves = numbers != ends
        if leaves.any():
            yield None, np.flatnonzero(leaves)
        for number in np.unique(numbers[~leaves]):
            yield self.regions[number], np.flatnonzero((numbers == number) & ~leaves)

    def zero_block(self, lanes: LaneSet, addresses: Any, size: int) -> None:
        """Write zeros to the aligned block of `size` bytes around each address; errors as `store`."""
        starts = spread(addresses, self._count(lanes)) & _U64(MASK64 & -size)
        for at in range(0, size, 8):
            self.check(lanes, starts + _U64(at), 8, STORE)
        self.note("cbo.zero", lanes, starts)
        for at in range(0, size, 8):
            self.store(lanes, starts + _U64(at), 8, _U64(0))

    def atomic(self, lanes: LaneSet, addresses: Any, width: int) -> Any:
        """Return what an AMO reads; errors as `store` of the same bytes, then as `load`."""
        self.check(lanes, spread(addresses, self._count(lanes)), width, AMO)
        return self.load(lanes, addresses, width)

    # -- fetching

    def fetch_same(self, pc: int) -> int | None:
        """Return the instruction at pc, 16 or 32 bits, if it is one that all lanes share, else None."""
        low = self._parcel_of_all(pc)
        if low is None or low & 0b11 != 0b11:
            return low
        high = self._parcel_of_all(pc + 2 & MASK64)
        return None if high is None else high << 16 | low

    def _parcel_of_all(self, address: int) -> int | None:
        region = self._region_at(address, 2, FETCH.needs)
        return region.value_of_all(address, 2) if isinstance(region, SharedRegion) else None

    def fetch(self, lanes: LaneSet, pcs: U64Array) -> U64Array:
        """Return the instructions at pcs, 16 or 32 bits of each, uint64[m].

        Raises:
            LaneTrap: a parcel is not executable in some lanes; tval is that parcel's address.
        """
        if self._common_region(pcs, 4, FETCH.needs) is not None:
            words = spread(self.load(lanes, pcs, 4, FETCH), len(pcs))
            return np.where(words & _U64(3) == 3, words, words & _U64(0xFFFF))
        words = self._parcels(lanes, pcs).copy()
        long = np.flatnonzero(words & _U64(3) == 3)
        if len(long):
            words[long] |= self._upper_parcels(picked(lanes, long), pcs[long], long, len(pcs)) << _U64(16)
        return words

    def _parcels(self, lanes: LaneSet, addresses: U64Array) -> U64Array:
        try:
            return spread(self.load(lanes, addresses, 2, FETCH), len(addresses))
        except LaneTrap as trap:
            raise LaneTrap(trap.cause, trap.failed, addresses) from None

    def _upper_parcels(self, lanes: I64Array, pcs: U64Array, positions: I64Array, count: int) -> U64Array:
        """Return the parcels behind pcs; a trap speaks of `count` lanes, of which these are some."""
        try:
            return self._parcels(lanes, pcs + _U64(2))
        except LaneTrap as trap:
            raise trap.widened(positions, count) from None

    # -- the host's accesses

    def read(self, lanes: LaneSet, addresses: Any, size: int) -> U8Array:
        """Return bytes whatever the permissions; unwritten poison is no event here.

        Args:
            lanes: whose.
            addresses: uint64[m], or one int or np.uint64 for all.
            size: bytes of each.
        Returns:
            uint8[m, size].
        Raises:
            Trap: some are not mapped.
        """
        addresses = self._host_addresses(lanes, addresses)
        found = np.empty((len(addresses), size), np.uint8)
        for offset, width in _chunks(size):
            values = self._read(lanes, addresses + _U64(offset), width)
            found[:, offset : offset + width] = values.astype(f"<u{width}").view(np.uint8).reshape(-1, width)
        return found

    def write(self, lanes: LaneSet, addresses: Any, data: U8Array) -> None:
        """Write bytes whatever the permissions; data: uint8[m, size], or uint8[size] for all; errors as `read`."""
        addresses = self._host_addresses(lanes, addresses)
        data = np.broadcast_to(data, (len(addresses), data.shape[-1]))
        for offset, width in _chunks(data.shape[-1]):
            part = np.ascontiguousarray(data[:, offset : offset + width])
            self._write(lanes, addresses + _U64(offset), width, part.view(f"<u{width}")[:, 0].astype(_U64))

    def read_u64(self, lanes: LaneSet, addresses: Any) -> U64Array:
        """Return 8 bytes at each address, uint64[m]; as `read`."""
        return self._read(lanes, self._host_addresses(lanes, addresses), 8)

    def write_u64(self, lanes: LaneSet, addresses: Any, values: Any) -> None:
        """Write 8 bytes at each address; values: uint64[m] or one; as `write`."""
        addresses = self._host_addresses(lanes, addresses)
        self._write(lanes, addresses, 8, spread(values, len(addresses)))

    def _host_addresses(self, lanes: LaneSet, addresses: Any) -> U64Array:
        return spread(_U64(addresses) if isinstance(addresses, int) else addresses, self._count(lanes))

    def _read(self, lanes: LaneSet, addresses: U64Array, width: int) -> U64Array:
        if not len(addresses):
            return np.empty(0, _U64)
        self._notes_poison = False
        try:
            return np.array(spread(self.load(lanes, addresses, width, HOST), len(addresses)))
        except LaneTrap as trap:
            raise _host_trap(trap) from None
        finally:
            self._notes_poison = True

    def _write(self, lanes: LaneSet, addresses: U64Array, width: int, values: U64Array) -> None:
        if not len(addresses):
            return
        watched = self._watches_all, self._watched
        self._watches_all, self._watched = False, []
        try:
            self.store(lanes, addresses, width, values, HOST)
        except LaneTrap as trap:
            raise _host_trap(trap) from None
        finally:
            self._watches_all, self._watched = watched

    # -- what is to be told

    @property
    def is_watching(self) -> bool:
        """Whether the log is kept."""
        return self._watches_all or bool(self._watched)

    def watch(self, span: Span | None) -> None:
        """Keep the log, of stores to a span - under any of its names - or, with None, of all but private regions."""
        if span is None:
            self._watches_all = True
        else:
            self._watched.append(span)

    def _concerns(self, region: WordRegion, address: int, width: int) -> bool:
        """Tell whether a store of all lanes to one address is to be logged."""
        touched = any(span.start < address + width and address < span.end for span in self._watched)
        return touched or (self._watches_all and not region.is_private)

    def _record(self, lanes: LaneSet, addresses: Any, width: int, values: Any) -> None:
        """Log a store where it is watched."""
        count = self._count(lanes)
        addresses = spread(addresses, count)
        targets = self._behind(lanes, addresses)
        wanted = np.zeros(count, np.bool_)
        if self._watches_all:
            wanted |= ~self._is_private[self._numbers_of(targets)]
        for span in self._watched:
            for place in (addresses, targets):
                wanted |= _touches(place, width, span)
        if wanted.any():
            at = np.flatnonzero(wanted)
            whose, values = picked(lanes, at), spread(values, count)[at]
            self.log.add("store", whose, self._pcs_of(whose), addresses[at], targets[at], width, values)

    def note(self, kind: str, lanes: LaneSet, operand: Any = _U64(0)) -> None:  # noqa: B008 - a number
        """Log what is no store, if the log is kept."""
        if self.is_watching:
            lanes = self._all if lanes is None else lanes
            self.log.add(kind, lanes, self._pcs_of(lanes), operand)

    def _note_poison(self, lanes: I64Array, addresses: U64Array) -> None:
        if not self._notes_poison:
            return
        new = np.flatnonzero(~self.poison_reads[lanes])
        whose = lanes[new]
        self.poison_reads[whose] = True
        self.poison_addresses[whose] = addresses[new]
        self.poison_pcs[whose] = self._pcs_of(whose)

    def _pcs_of(self, lanes: I64Array) -> Any:
        return self.pcs if getattr(self.pcs, "ndim", 0) == 0 else self.pcs[lanes]


def _touches(addresses: U64Array, width: int, span: Span) -> BoolArray:
    """Tell for each of some accesses whether it touches a span, bool[m]."""
    behind = addresses - _U64(span.start)
    before = _U64(span.start) - addresses
    touches: BoolArray = (behind < _U64(span.size)) | (before < _U64(width))
    return touches


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, width) of the accesses that make up `size` bytes."""
    offset = 0
    while offset < size:
        width = next(width for width in (8, 4, 2, 1) if offset + width <= size)
        yield offset, width
        offset += width


def _host_trap(trap: LaneTrap) -> Trap:
    """Return a trap for the host, about the first lane that failed."""
    first = 0 if trap.failed is None else int(np.argmax(trap.failed))
    tval = int(np.atleast_1d(trap.tval)[first if np.ndim(trap.tval) else 0])
    return Trap(Cause(trap.cause), tval, trap.text, supported=trap.supported)
