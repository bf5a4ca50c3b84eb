# SPDX-License-Identifier: GPL-2.0-or-later
"""From table entries to sites: which function, where its symbol is, which bytes make its sled."""

from __future__ import annotations

import numpy as np

from ..image.model import KernelImage
from ..units import WORD_SIZE, BoolArray, I64Array, U8Array, U16Array, U64Array
from .model import Nops, Sites

MAX_BEFORE = 64
"""No scheme puts more than this below a function symbol [bytes]."""
MAX_AFTER = 64
"""Sled bytes looked at from the symbol on [bytes]."""

LANDING_PAD_SIZE = 4
_FIRST_LOOK = 24

_C_NOP, _NOP_LOW, _NOP_HIGH = 0x0001, 0x0013, 0x0000


def find_sites(image: KernelImage) -> Sites:
    """Locate and classify every patch site of an image that has a table."""
    entries = image.table.entries if image.table else np.empty(0, np.uint64)
    entry = entries[entries != 0]
    candidate = image.symbols.at_or_after(entry)
    func, symbol, lead = _functions(image, entry, candidate)
    sled = func + lead.astype(np.uint64)
    after, spelling = _sleds(image, sled)
    before = np.maximum((func - entry).astype(np.int64), 0)
    region = image.memory.region_numbers(entry)
    return Sites(
        entry=entry,
        func=func,
        symbol=symbol,
        region=region,
        before=before,
        after=after,
        spelling=spelling,
        before_spelling=_spelling_below(image, func, before),
        alignment=_alignment(image, func),
        offset=_offsets(image, entry, region),
        lead=lead,
    )


def _functions(image: KernelImage, entry: U64Array, candidate: I64Array) -> tuple[U64Array, I64Array, I64Array]:
    """Return (func, symbol, lead) of each entry.

    The function is the first symbol within MAX_BEFORE above the entry with nothing but nops between, or the
    one whose landing pad (lpad, 4 bytes) stands right below the entry. An entry whose function has no symbol
    (a weak function that was overridden) is given the distance that most entries of the image have.
    """
    lead = np.zeros(len(entry), np.int64)
    if not len(entry) or not len(image.symbols):
        return entry, np.full(len(entry), -1, np.int64), lead
    address = image.symbols.address[np.maximum(candidate, 0)]
    distance = np.where(candidate >= 0, address - entry, np.uint64(MAX_BEFORE + 1)).astype(np.uint64)
    near = distance <= MAX_BEFORE
    near &= _only_nops_between(image, entry, np.where(near, distance, 0).astype(np.int64))
    padded, pad_symbol = _behind_landing_pad(image, entry, near)
    lead[padded] = LANDING_PAD_SIZE
    usual = np.uint64(0)
    if near.any():
        values, count = np.unique(distance[near], return_counts=True)
        usual = values[np.argmax(count)]
        candidate, distance = _prefer_usual(image, entry, candidate, distance, usual, near)
        address = entry + distance
        near |= (candidate >= 0) & (distance == usual) & ~padded  # whatever the bytes between are
    func = np.where(near, address, entry + usual)
    func[padded] = entry[padded] - np.uint64(LANDING_PAD_SIZE)
    return func, np.where(padded, pad_symbol, np.where(near, candidate, -1)), lead


def _prefer_usual(
    image: KernelImage,
    entry: U64Array,
    candidate: I64Array,
    distance: U64Array,
    usual: np.uint64,
    near: BoolArray,
) -> tuple[I64Array, U64Array]:
    """Replace a symbol at an unusual distance by one at the usual distance, if there is one.

    kallsyms lists section marks (_sinittext) like functions, and such a mark may stand where a sled starts.
    """
    odd = np.flatnonzero(near & (distance < usual))
    if not len(odd):
        return candidate, distance
    other = image.symbols.at_or_after(entry[odd] + usual)
    fits = (other >= 0) & (image.symbols.address[np.maximum(other, 0)] == entry[odd] + usual)
    fits &= _only_nops_between(image, entry[odd], np.full(len(odd), int(usual), np.int64))
    candidate, distance = candidate.copy(), distance.copy()
    candidate[odd[fits]], distance[odd[fits]] = other[fits], usual
    return candidate, distance


def _behind_landing_pad(image: KernelImage, entry: U64Array, near: BoolArray) -> tuple[BoolArray, I64Array]:
    """Tell which entries stand right behind an lpad at a function symbol: (bool[n], symbol int64[n]).

    Source: RISC-V Zicfilp: LPAD is AUIPC with rd = x0.
    """
    if near.all():
        return ~near, np.full(len(entry), -1, np.int64)
    symbol = image.symbols.at_or_before(entry)
    start = image.symbols.address[np.maximum(symbol, 0)]
    at_pad = (symbol >= 0) & (entry - start == np.uint64(LANDING_PAD_SIZE)) & ~near
    if at_pad.any():
        data, stored = image.memory.windows(start, 0, LANDING_PAD_SIZE)
        at_pad &= stored.all(axis=1) & ((data.view("<u4")[:, 0] & 0xFFF) == 0x17)
    return at_pad, symbol


def _only_nops_between(image: KernelImage, entry: U64Array, distance: I64Array) -> BoolArray:
    """Tell for each entry whether only nops stand on the way to the symbol."""
    result = np.ones(len(entry), np.bool_)
    some = np.flatnonzero(distance > 0)
    if len(some):
        parcels, stored = _parcels(image, entry[some], int(distance.max()) + WORD_SIZE)
        result[some] = _nop_run(parcels, stored)[0] >= distance[some]
    return result


def _parcels(image: KernelImage, start: U64Array, size: int) -> tuple[U16Array, BoolArray]:
    """Return the parcels from each address on and which are stored: uint16[n, k], bool[n, k]."""
    data, stored = image.memory.windows(start, 0, -(-size // WORD_SIZE) * WORD_SIZE)
    return data.view("<u2"), stored[:, ::2] & stored[:, 1::2]


def _nop_run(parcels: U16Array, stored: BoolArray, *, alike: bool = False) -> tuple[I64Array, U8Array]:
    """Measure the nops that each row starts with.

    Args:
        parcels: uint16[n, k].
        stored: bool[n, k].
        alike: stop where the spelling changes.
    Returns:
        (int64[n] bytes, uint8[n] `Nops`).
    """
    rows, columns = parcels.shape
    compressed = (parcels == _C_NOP) & stored
    if columns and compressed.all():  # the usual case
        return np.full(rows, columns * 2, np.int64), np.full(rows, Nops.C_NOP, np.uint8)
    full = np.zeros_like(compressed)
    full[:, :-1] = (parcels[:, :-1] == _NOP_LOW) & (parcels[:, 1:] == _NOP_HIGH) & stored[:, :-1] & stored[:, 1:]
    if alike:
        short, long = _leading(compressed), _leading(full[:, ::2]) * 2
        seen = np.where(short > 0, np.uint8(Nops.C_NOP), np.where(long > 0, np.uint8(Nops.NOP), np.uint8(0)))
        return np.maximum(short, long) * 2, seen.astype(np.uint8)
    at = np.zeros(rows, np.int64)
    seen = np.zeros(rows, np.uint8)
    for column in range(columns):
        here = at == column
        is_short, is_long = here & compressed[:, column], here & full[:, column]
        at += is_short
        at += 2 * is_long
        seen |= is_short * np.uint8(Nops.C_NOP) | is_long * np.uint8(Nops.NOP)
        if not (at > column).any():
            break
    return at * 2, seen


def _leading(mask: BoolArray) -> I64Array:
    """Return how many columns hold from the first on: int64[n] of bool[n, k]."""
    count: I64Array = np.where(mask.all(axis=1), mask.shape[1], np.argmin(mask, axis=1)).astype(np.int64)
    return count


def _sleds(image: KernelImage, start: U64Array) -> tuple[I64Array, U8Array]:
    """Return the sled from each address on: (int64[n] bytes, uint8[n] `Nops`).

    A sled is spelt alike; what follows it in another spelling (a jump label's 4-byte nop behind c.nops) is
    body. Only where that leaves less than most sites have, nops of both kinds are counted together. A first
    look is short; the few sites whose nops go on to its end are looked at again.
    """
    room = _room_to_known_code(image, start)
    parcels, stored = _parcels(image, start, _FIRST_LOOK)
    alike, spelling = _nop_run(parcels, stored, alike=True)
    full = np.flatnonzero(alike >= _FIRST_LOOK - WORD_SIZE)
    if len(full):
        alike[full], spelling[full] = _nop_run(*_parcels(image, start[full], MAX_AFTER), alike=True)
    alike = np.minimum(alike, room)
    if not len(alike):
        return alike, spelling
    values, count = np.unique(alike, return_counts=True)
    usual = int(values[np.argmax(count)])
    short = np.flatnonzero((alike < usual) & (alike > 0))
    if len(short):
        mixed, seen = _nop_run(*_parcels(image, start[short], usual))
        mixed = np.minimum(np.minimum(mixed, room[short]), usual)
        better = mixed > alike[short]
        alike[short[better]], spelling[short[better]] = mixed[better], seen[better]
    return alike, _classify(parcels, stored, alike, spelling)


def _spelling_below(image: KernelImage, func: U64Array, distance: I64Array) -> U8Array:
    """Return how the `distance` bytes below func, which are nops, are spelt: uint8[n] `Nops`."""
    spelling = np.zeros(len(func), np.uint8)
    some = np.flatnonzero(distance > 0)
    if len(some):
        parcels, stored = _parcels(image, func[some] - distance[some].astype(np.uint64), int(distance.max()))
        inside = (np.arange(parcels.shape[1]) < distance[some][:, None] // 2) & stored
        c_nop = ((parcels == _C_NOP) & inside).any(axis=1)
        nop = ((parcels == _NOP_LOW) & inside).any(axis=1)
        spelling[some] = c_nop * np.uint8(Nops.C_NOP) | nop * np.uint8(Nops.NOP)
        spelling[some[_nop_run(parcels, stored)[0] < distance[some]]] = Nops.FOREIGN
    return spelling


def _classify(parcels: U16Array, stored: BoolArray, after: I64Array, spelling: U8Array) -> U8Array:
    """Refine the spelling of sites that have no nops at func: already patched, foreign, unreadable."""
    result = spelling.copy()
    result[after == 0] = Nops.FOREIGN
    is_auipc = (parcels[:, 0] & 0x7F) == 0x17
    second = parcels[:, 2].astype(np.uint32) | (parcels[:, 3].astype(np.uint32) << 16)
    call_or_nop = ((second & 0x707F) == 0x67) | (second == _NOP_LOW)
    result[(after == 0) & is_auipc & call_or_nop] = Nops.PATCHED
    result[~stored[:, 0]] = Nops.UNREADABLE
    return result


def _room_to_known_code(image: KernelImage, func: U64Array) -> I64Array:
    """Return the bytes from func to the first jump label or alternative at or behind it: int64[n]."""
    known = image.other_patches
    if not len(known):
        return np.full(len(func), MAX_AFTER, np.int64)
    at = np.searchsorted(known, func)
    following = np.append(known, np.uint64(0))[np.minimum(at, len(known))]
    room = np.where(at < len(known), following - func, np.uint64(MAX_AFTER))
    room = np.minimum(room, np.uint64(MAX_AFTER)).astype(np.int64)
    return room & -WORD_SIZE  # a c.nop right before a jump label only aligns it


def _alignment(image: KernelImage, func: U64Array) -> I64Array:
    """Return the power of two that each func is guaranteed to be a multiple of: int64[n]."""
    lowest = (func & (~func + np.uint64(1))).astype(np.int64)
    lowest[lowest <= 0] = 1 << 16
    if not image.memory.placed:
        return np.minimum(lowest, 1 << 16)
    numbers = image.memory.region_numbers(func)
    guaranteed = np.array([region.alignment for region in image.memory.regions] + [1], np.int64)
    start = np.append(image.memory.starts, np.uint64(0))
    offset = func - start[numbers]
    lowest = (offset & (~offset + np.uint64(1))).astype(np.int64)
    lowest[lowest <= 0] = 1 << 16
    return np.minimum(lowest, guaranteed[numbers])


def _offsets(image: KernelImage, entry: U64Array, region: I64Array) -> I64Array:
    start = np.append(image.memory.starts, np.uint64(0))
    return np.where(region >= 0, entry - start[region], 0).astype(np.int64)
