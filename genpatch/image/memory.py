# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes at addresses: the regions of an image, read one by one or for many sites at once."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import ImageError
from ..units import BoolArray, I64Array, Span, U8Array, U64Array, as_hex


def sliding_rows(data: U8Array, width: int) -> U8Array:
    """Return every run of `width` bytes as a row, without a copy: uint8[len(data) - width + 1, width], read-only."""
    rows = np.ndarray((len(data) - width + 1, width), np.uint8, buffer=data.data, strides=(1, 1))
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One stretch of an image that has an address.

    Args:
        name: section name, or ``"Image"`` for a boot image.
        span: addresses it covers; in a relocatable object these are placed by us.
        data: uint8[k], k <= span.size; what is missing (bss) reads as absent.
        executable: SHF_EXECINSTR or its equivalent.
        writable: SHF_WRITE or its equivalent.
        alignment: what the linker or loader guarantees of span.start [bytes].
        index: section header index, -1 if none.
        at: position of `data` in the address space's buffer [bytes].
    """

    name: str
    span: Span
    data: U8Array
    executable: bool
    writable: bool
    alignment: int
    index: int = -1
    at: int = 0


@dataclass(frozen=True, kw_only=True)
class AddressSpace:
    """The regions of one image in ascending order; they do not overlap.

    Args:
        regions: sorted by span.start.
        placed: the addresses are ours (relocatable object), so only offsets within a section mean anything.
        buffer: uint8[m], the file whose parts the regions' bytes are, or None if they are arrays of their own.
    """

    regions: tuple[Region, ...]
    placed: bool = False
    buffer: U8Array | None = None

    @cached_property
    def starts(self) -> U64Array:
        """uint64[r]: first address of each region."""
        return np.array([region.span.start for region in self.regions], np.uint64)

    @cached_property
    def ends(self) -> U64Array:
        """uint64[r]: first address behind each region."""
        return np.array([region.span.end for region in self.regions], np.uint64)

    @cached_property
    def _start_list(self) -> list[int]:
        return [region.span.start for region in self.regions]

    def region_numbers(self, addresses: U64Array) -> I64Array:
        """Return for each address the position of its region in `regions`, or -1: int64[n]."""
        if not self.regions:
            return np.full(len(addresses), -1, np.int64)
        at = np.searchsorted(self.starts, addresses, "right") - 1
        inside = (at >= 0) & (addresses < self.ends[np.maximum(at, 0)])
        return np.where(inside, at, -1)

    def region_at(self, address: int) -> Region | None:
        """Return the region that holds an address, or None."""
        number = bisect_right(self._start_list, address) - 1
        if number < 0 or address not in self.regions[number].span:
            return None
        return self.regions[number]

    def has(self, address: int, size: int = 1) -> bool:
        """Tell whether bytes are stored for [address, address + size)."""
        region = self.region_at(address)
        return region is not None and address - region.span.start + size <= len(region.data)

    def read(self, address: int, size: int) -> bytes:
        """Return stored bytes.

        Raises:
            ImageError: some of them are outside the image or not stored (bss).
        """
        return self.view(address, size).tobytes()

    def view(self, address: int, size: int) -> U8Array:
        """Return stored bytes without a copy: uint8[size]; errors as `read`."""
        region = self.region_at(address)
        if region is not None and size >= 0:
            offset = address - region.span.start
            if offset + size <= len(region.data):
                return region.data[offset : offset + size]
        raise ImageError("", f"address {as_hex(address)}", expected=f"{size} bytes of the image", got="none")

    def unsigned(self, address: int, size: int) -> int:
        """Return a little-endian unsigned integer of `size` bytes; errors as `read`."""
        return int.from_bytes(self.read(address, size), "little")

    def windows(self, addresses: U64Array, below: int, width: int) -> tuple[U8Array, BoolArray]:
        """Gather the bytes around many addresses.

        Args:
            addresses: uint64[n].
            below: bytes wanted below each address.
            width: bytes wanted in all.
        Returns:
            (uint8[n, width], bool[n, width]); where the second is False nothing is stored and the byte is 0.
        """
        numbers = self.region_numbers(addresses)
        if self.buffer is not None and len(self.buffer) >= width and len(self.regions):
            return self._buffer_windows(self.buffer, addresses, numbers, below, width)
        found = np.zeros((len(addresses), width), np.uint8)
        stored = np.zeros((len(addresses), width), np.bool_)
        for number in np.unique(numbers[numbers >= 0]):
            region = self.regions[number]
            if len(region.data):
                here = np.flatnonzero(numbers == number)
                offsets = (addresses[here] - np.uint64(region.span.start)).astype(np.int64)[:, None]
                offsets = offsets + np.arange(-below, width - below)
                inside = (offsets >= 0) & (offsets < len(region.data))
                found[here] = np.where(inside, region.data[np.clip(offsets, 0, len(region.data) - 1)], 0)
                stored[here] = inside
        return found, stored

    @cached_property
    def _places(self) -> tuple[I64Array, I64Array]:
        """Where each region's bytes start in the buffer and how many are stored: int64[r] each."""
        at = np.array([region.at for region in self.regions], np.int64)
        return at, np.array([len(region.data) for region in self.regions], np.int64)

    def _buffer_windows(
        self, buffer: U8Array, addresses: U64Array, numbers: I64Array, below: int, width: int
    ) -> tuple[U8Array, BoolArray]:
        """Gather windows out of one buffer, whatever regions they are in."""
        at, size = self._places
        offset = (addresses - self.starts[numbers]).astype(np.int64) - below
        room = np.where(numbers >= 0, size[numbers], 0)
        rows = sliding_rows(buffer, width)
        wanted = at[numbers] + offset
        start = np.minimum(np.maximum(wanted, 0), len(rows) - 1)
        found = rows[start]
        whole = (offset >= 0) & (offset + width <= room) & (wanted == start)
        stored = np.repeat(whole[:, None], width, axis=1)
        for row in np.flatnonzero(~whole):  # windows that stick out of their region: a few at section ends
            low, high = max(0, -int(offset[row])), min(width, int(room[row]) - int(offset[row]))
            found[row] = 0
            if low < high:
                first = int(wanted[row])
                found[row, low:high] = buffer[first + low : first + high]
                stored[row, low:high] = True
        return found, stored
