# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a relocatable kernel as they are once it has relocated itself to where it is linked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import U8Array, U64Array
from .elf import R_RISCV_64, R_RISCV_RELATIVE, RELA
from .memory import Region
from .model import KernelImage

__all__ = ["relocated_bytes"]

_SYMBOL_SIZE = 24
_SYMBOL_VALUE = slice(8, 16)


def relocated_bytes(image: KernelImage) -> list[tuple[Region, U8Array]]:
    """Return each region of an image with its bytes, dynamic relocations applied where it has any.

    Returns:
        One uint8 array a region; a copy where something was written, else the image's own.
    """
    records = _records(image)
    if records is None:
        return [(region, region.data) for region in image.memory.regions]
    offsets, values = records
    return [(region, _patched(region, offsets, values)) for region in image.memory.regions]


def _records(image: KernelImage) -> tuple[U64Array, U64Array] | None:
    """Return the address and the value of every 8-byte relocation, or None."""
    raw = _rela(image)
    if raw is None or not len(raw):
        return None
    kind = raw["info"] & np.uint64(0xFFFFFFFF)
    symbol = (raw["info"] >> np.uint64(32)).astype(np.int64)
    values = _symbol_values(image)
    known = (kind == R_RISCV_RELATIVE) | ((kind == R_RISCV_64) & (symbol < len(values)))
    base = np.zeros(len(raw), np.uint64)
    named = known & (kind == R_RISCV_64)
    base[named] = values[symbol[named]]
    return raw["offset"][known], (base + raw["addend"].astype(np.uint64))[known]


def _rela(image: KernelImage) -> NDArray[Any] | None:
    span = image.span_of("__rela_dyn_start", "__rela_dyn_end")
    region = next((each for each in image.memory.regions if each.name == ".rela.dyn"), None)
    if region is not None:
        data = region.data
    elif span is not None and image.memory.has(span.start, span.size):
        data = image.memory.view(span.start, span.size)
    else:
        return None
    return np.frombuffer(data[: len(data) // RELA.itemsize * RELA.itemsize].tobytes(), RELA)


def _symbol_values(image: KernelImage) -> U64Array:
    region = next((each for each in image.memory.regions if each.name == ".dynsym"), None)
    if region is None:
        return np.zeros(0, np.uint64)
    rows = region.data[: len(region.data) // _SYMBOL_SIZE * _SYMBOL_SIZE].reshape(-1, _SYMBOL_SIZE)
    return np.ascontiguousarray(rows[:, _SYMBOL_VALUE]).view("<u8").reshape(-1)


def _patched(region: Region, offsets: U64Array, values: U64Array) -> U8Array:
    start, room = np.uint64(region.span.start), len(region.data) - 8
    if room < 0:
        return region.data
    inside = (offsets >= start) & (offsets - start <= np.uint64(room))
    if not inside.any():
        return region.data
    data = region.data.copy()
    at = (offsets[inside] - start).astype(np.int64)
    data[at[:, None] + np.arange(8)] = np.ascontiguousarray(values[inside], "<u8").view(np.uint8).reshape(-1, 8)
    return data
