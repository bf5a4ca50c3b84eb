# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes at addresses: the regions of an image, read one by one or for many sites at once."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import ImageError
from ..units import BoolArray, I64Array, Span, U8Array, U64Array, as_hex


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
    """

    name: str
    span: Span
    data: U8Array
    executable: bool
    writable: bool
    alignment: int
    index: int = -1


@dataclass(frozen=True, kw_only=True)
class AddressSpace:
    """The regions of one image in ascending order; they do not overlap.

    Args:
        regions: sorted by span.start.
        placed: the addresses are ours (relocatable object), so only offsets within a section mean anything.
    """

    regions: tuple[Region, ...]
    placed: bool = False

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
        found = np.zeros((len(addresses), width), np.uint8)
        stored = np.zeros((len(addresses), width), np.bool_)
        numbers = self.region_numbers(addresses)
        steps = np.arange(width, dtype=np.int64)
        for number in np.unique(numbers[numbers >= 0]):
            region = self.regions[number]
            if not len(region.data):
                continue
            here = np.flatnonzero(numbers == number)
            first = (addresses[here] - np.uint64(region.span.start)).astype(np.int64) - below
            whole = (first >= 0) & (first + width <= len(region.data))
            if whole.any():
                rows = np.lib.stride_tricks.sliding_window_view(region.data, width)
                found[here[whole]] = rows[first[whole]]
                stored[here[whole]] = True
            if not whole.all():
                edge, offsets = here[~whole], first[~whole][:, None] + steps
                inside = (offsets >= 0) & (offsets < len(region.data))
                found[edge] = np.where(inside, region.data[np.clip(offsets, 0, len(region.data) - 1)], 0)
                stored[edge] = inside
        return found, stored

    def text_spans(self) -> list[Region]:
        """Return the executable regions."""
        return [region for region in self.regions if region.executable]
