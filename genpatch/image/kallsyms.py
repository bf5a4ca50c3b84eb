# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols out of a boot Image: the tables that scripts/kallsyms.c put into .rodata, found and read.

Nothing points at the tables, so they are recognised by what they must satisfy. The token table holds every
digit as a token of its own and is followed by an index that restates its offsets. The markers in front of it
restate where every 256th name starts. The names in front of these are a chain that must pass every marker and
end where the markers begin. The addresses are in one of several layouts, tried until one gives ascending
addresses within reach of the image. Which layout it is, those bytes decide, never a version.

Sources:
    linux scripts/kallsyms.c and kernel/kallsyms.c of v6.1, v6.12 and v7.2.
    In v6.4 scripts/kallsyms.c began to write the addresses behind the token index.
    linux kernel commit a081b5789255 ("kallsyms: Get rid of kallsyms relative base") (in v7.0): offsets count
    from their own places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..units import BoolArray, I32Array, I64Array, U8Array, U16Array, U32Array, U64Array, as_hex
from .bootimage import iter_find
from .symbols import FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, SHN_ABS, SHN_UNKNOWN, WEAK, SymbolTable

KERNEL_LINK_ADDR = 0xFFFF_FFFF_8000_0000
"""Where riscv64 kernels with an MMU are linked (arch/riscv/include/asm/pgtable.h)."""

KSYM_NAME_LEN = 512
"""A symbol's longest name with its NUL [bytes]; include/linux/kallsyms.h."""

_Number = TypeVar("_Number", np.uint16, np.int32, np.uint32, np.int64, np.uint64)

_PAGE_SIZE = 4096
_REACH = 1 << 31

_TOKENS = 256
_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
_ZERO = ord("0")
_MAX_TOKEN_TABLE = 1 << 16

_BLOCK = 256
_BIG = 0x80
_MAX_STORED = KSYM_NAME_LEN + 2
_MAX_SYMBOLS = 1 << 22
_SEQ_SIZE = 3
_MAX_NAMES_SIZE = 128 << 20
_EXPAND_STEP = 1 << 17

_MAX_DIGITS = 256
_MAX_TABLES = 4
_MAX_MARKERS = 8
_MAX_STARTS = 1024

_VOTES = 3
_R_RISCV_RELATIVE = 3
_BASE_ALIGNMENT = 1 << 21

_FIRST_SYMBOLS = 64


class Layout(StrEnum):
    """How kallsyms stores addresses."""

    ABSOLUTE = "absolute addresses"
    BASE_BEFORE = "base-relative, before the names"
    BASE_AFTER = "base-relative, behind the token index"
    PC_RELATIVE = "pc-relative"


@dataclass(frozen=True, kw_only=True)
class Kallsyms:
    """What an image's kallsyms tell.

    Args:
        symbols: all of them, ascending by address; sizes are 0 (unknown). A ``t`` or ``T`` becomes FUNC: nm
            gives these to every symbol in a text section, so labels that are NOTYPE in the ELF file are among
            them.
        base: virtual address of the image's first byte.
        base_source: where the base comes from: ``"given"``, ``"_start"``, ``"pointers"`` (see find_base),
            ``".rela.dyn"`` or ``"assumed"``.
        layout: how the addresses were stored.
    """

    symbols: SymbolTable
    base: int
    base_source: str
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """The token table, uint8[m] with NULs: token i is text[start[i]:][:size[i]]; end is behind the index."""

    at: int
    end: int
    text: U8Array
    start: I32Array
    size: I32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The compressed names: count_at is kallsyms_num_syms; heads int64[n] are offsets of the length bytes."""

    count_at: int
    start: int
    end: int
    heads: I64Array
    wide: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Addresses, uint64[n], with the base if a relocation told it; or distances from the base, int64[n]."""

    layout: Layout
    absolute: U64Array | None = None
    relative: I64Array | None = None
    base: int | None = None


def _damaged(at: int, expected: str, got: str) -> ImageError:
    return ImageError("", f"kallsyms, token table at offset {at:#x}", expected=expected, got=got)


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def _letter_table(default: int, letters: dict[str, int]) -> U16Array:
    table = np.full(256, default, np.uint16)
    for group, value in letters.items():
        table[np.frombuffer(group.encode(), np.uint8)] = value
    return table


_IS_LETTER = np.isin(np.arange(256), np.frombuffer(b"aAbBcCdDgGiInNpPrRsStTuUvVwW-?", np.uint8))
_KIND = _letter_table(NOTYPE, {"tTwW": FUNC, "dDbBrRgGsSvV": OBJECT})
_BINDING = _letter_table(LOCAL, {"ABCDGIRSTUu": GLOBAL, "wWvV": WEAK})
_SECTION = _letter_table(SHN_UNKNOWN, {"aA": SHN_ABS})


def are_type_letters(letters: U8Array) -> BoolArray:
    """Tell for each byte whether nm uses it as a type letter: bool[n]."""
    known: BoolArray = _IS_LETTER[letters]
    return known


def symbols_of(source: str, address: U64Array, letters: U8Array, name_at: U32Array, names: U8Array) -> SymbolTable:
    """Make a SymbolTable from what nm prints.

    Args:
        source: ``"kallsyms"`` or ``"System.map"``.
        address: uint64[n].
        letters: uint8[n], nm's type letters. t T w W are taken as functions, v V d D b B r R g G s S as
            objects, others have no type; a A are absolute; upper case and u are global, w W v V weak.
        name_at: uint32[n], where in `names` each NUL-terminated name starts.
        names: uint8[m].
    """
    return SymbolTable(
        source=source,
        address=address,
        size=np.zeros(len(address), np.uint64),
        kind=_KIND[letters].astype(np.uint8),
        binding=_BINDING[letters].astype(np.uint8),
        section=_SECTION[letters],
        name_at=name_at,
        names=names,
    )


def _view(part: U8Array, kind: type[_Number]) -> NDArray[_Number]:
    """Return bytes as little-endian numbers, without copying them."""
    return part.view(np.dtype(kind).newbyteorder("<"))


def _array(data: U8Array, at: int, count: int, kind: type[_Number]) -> NDArray[_Number] | None:
    """Return `count` numbers stored at an offset, or None where the data does not hold them."""
    end = at + np.dtype(kind).itemsize * count
    return _view(data[at:end], kind) if at >= 0 and end <= len(data) else None


# --- the token table ---


def _tokens_at(data: U8Array, zero_at: int) -> _Tokens | None:
    """Return the token table whose token ``0`` stands at an offset, or None if no index confirms it."""
    nul = np.flatnonzero(data[zero_at : zero_at + _MAX_TOKEN_TABLE] == 0)
    if len(nul) < _TOKENS - _ZERO:
        return None
    table_end = zero_at + int(nul[_TOKENS - _ZERO - 1]) + 1
    for alignment in (4, 8):
        index_at = _align(table_end, alignment)
        stored = _array(data, index_at, _TOKENS, np.uint16)
        if stored is None:
            return None
        index = stored.astype(np.int32)
        at = zero_at - int(index[_ZERO])
        if index[0] == 0 and at >= 0 and at % 4 == 0:
            text = data[at:table_end]
            ends = np.flatnonzero(text == 0).astype(np.int32)
            if len(ends) == _TOKENS and np.array_equal(ends[:-1] + 1, index[1:]):
                return _Tokens(at=at, end=index_at + 2 * _TOKENS, text=text, start=index, size=ends - index)
    return None


def _iter_tokens(data: U8Array) -> Iterator[_Tokens]:
    for digits_at in islice(iter_find(data, _DIGITS), _MAX_DIGITS):
        tokens = _tokens_at(data, digits_at)
        if tokens is not None:
            yield tokens


def has_kallsyms(data: U8Array) -> bool:
    """Tell whether there is a token table with its index: if recover() fails then, the image is damaged.

    Args:
        data: uint8[n], the flat Image.
    """
    return next(_iter_tokens(data), None) is not None


# --- the names ---


def _marker_runs(data: U8Array, tokens_at: int, window: int) -> list[tuple[int, int]]:
    """List places where the markers may be: (offset, number of markers), nearest to the token table first.

    Markers start with 0, grow by what 256 names can take, and are followed by the token table or, before
    v6.4, by three bytes per symbol (kallsyms_seqs_of_names) and the token table.
    """
    low = max(0, tokens_at - window // 4 * 4)
    words = _view(data[low:tokens_at], np.uint32)
    if not len(words):
        return []
    steps = words[1:] - words[:-1]
    grows = (steps - np.uint32(2 * _BLOCK)) <= np.uint32((_MAX_STORED - 2) * _BLOCK)
    last = np.append(np.flatnonzero(~grows), len(words) - 1)
    starts = words == 0
    starts[:-_BLOCK][~grows[: max(0, len(words) - _BLOCK)]] = False
    start = np.flatnonzero(starts)
    longest = last[np.searchsorted(last, start)] - start + 1
    found: list[tuple[int, int]] = []
    for count in (longest, longest - 1):
        gap = 4 * (len(words) - start - count)
        fewest = _SEQ_SIZE * (_BLOCK * (count - 1) + 1)
        fits = (gap < 8) | ((gap >= fewest) & (gap < _SEQ_SIZE * _BLOCK * count + 8))
        chosen = np.flatnonzero(fits & (count > 0))[-_MAX_MARKERS:][::-1]
        found += [(low + 4 * int(start[i]), int(count[i])) for i in chosen]
    return found


def _next_heads(data: U8Array, heads: I64Array, wide: bool) -> I64Array:
    """Return for each name's first byte where the next name starts, maybe behind the data: int64[k]."""
    limit = len(data) - 2
    at = np.minimum(heads, limit)
    size = data[at].astype(np.int64)
    if not wide:
        return heads + size + 1
    big = size >= _BIG
    if not big.any():
        return heads + size + 1
    return heads + np.where(big, (size & (_BIG - 1)) + (data[at + 1].astype(np.int64) << 7) + 2, size + 1)


def _possible_starts(data: U8Array, markers_at: int, last: int, blocks: int) -> tuple[I64Array, I64Array, I64Array]:
    """List where names may start, with kallsyms_num_syms and its offset: int64[c] three times, nearest first.

    num_syms stands 4 bytes before the names, or 8 where labels are 8-byte aligned (before v7.0).
    """
    low = _align(max(8, markers_at - 8 - last - _MAX_STORED * _BLOCK), 4)
    high = markers_at - last - 2
    if high < low:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    words = _view(data[low - 8 : low + (high - low) // 4 * 4], np.uint32).astype(np.int64)
    fits = np.flatnonzero((words > _BLOCK * (blocks - 1)) & (words <= _BLOCK * blocks))
    count_at = low - 8 + 4 * fits
    start = np.concatenate([count_at + 4, count_at + 8])
    chosen = np.flatnonzero((start >= low) & (start <= high))
    chosen = chosen[np.argsort(start[chosen], kind="stable")[::-1]][:_MAX_STARTS]
    return start[chosen], np.tile(words[fits], 2)[chosen], np.tile(count_at, 2)[chosen]


def _starts_that_end(data: U8Array, markers_at: int, markers: I64Array, wide: bool) -> list[tuple[int, int, int]]:
    """List (start, count, count_at) for which the last block's names end where the markers begin."""
    blocks = len(markers)
    last = int(markers[-1])
    start, count, count_at = _possible_starts(data, markers_at, last, blocks)
    if not len(start):
        return []
    heads = start + last
    left = count - _BLOCK * (blocks - 1)
    for i in range(int(left.max())):
        heads = np.where(i < left, np.minimum(_next_heads(data, heads, wide), markers_at + 8), heads)
    gap = markers_at - heads
    return [(int(start[i]), int(count[i]), int(count_at[i])) for i in np.flatnonzero((gap >= 0) & (gap < 8))]


def _walk(data: U8Array, start: int, markers: I64Array, count: int, wide: bool) -> tuple[I64Array, int] | None:
    """Follow all blocks at once; return the heads, int64[count], and the end; None if a marker is missed."""
    blocks = len(markers)
    steps = np.empty((_BLOCK + 1, blocks), np.int64)
    steps[0] = start + markers
    for i in range(_BLOCK):
        steps[i + 1] = _next_heads(data, steps[i], wide)
    if not np.array_equal(steps[_BLOCK, :-1], steps[0, 1:]):
        return None
    end = int(steps[count - _BLOCK * (blocks - 1), -1])
    heads = np.ascontiguousarray(steps[:_BLOCK].T).reshape(-1)[:count]
    return None if (np.diff(heads, append=end) < 2).any() else (heads, end)


def _are_likely(data: U8Array, heads: I64Array, wide: bool, tokens: _Tokens) -> bool:
    """Tell whether most names start with a type letter, as far as their first tokens tell."""
    first = heads + 1 + ((data[heads] >= _BIG) & wide)
    letters = tokens.text[tokens.start[data[first]]]
    return int(are_type_letters(letters).sum()) * 2 > len(heads)


def _names_before(data: U8Array, tokens: _Tokens, markers_at: int, blocks: int) -> _Names | None:
    markers = _view(data[markers_at : markers_at + 4 * blocks], np.uint32).astype(np.int64)
    for wide in (True, False):
        for start, count, count_at in _starts_that_end(data, markers_at, markers, wide)[:_MAX_MARKERS]:
            walked = _walk(data, start, markers, count, wide)
            if walked is not None and _are_likely(data, walked[0], wide, tokens):
                return _Names(count_at=count_at, start=start, end=walked[1], heads=walked[0], wide=wide)
    return None


def _find_names(data: U8Array, tokens: _Tokens) -> _Names:
    """Return the compressed names; ImageError where no markers lead to any."""
    for window in (4 * _MAX_SYMBOLS // _BLOCK, (_SEQ_SIZE + 1) * _MAX_SYMBOLS):
        for markers_at, blocks in _marker_runs(data, tokens.at, window):
            names = _names_before(data, tokens, markers_at, blocks)
            if names is not None:
                return names
    raise _damaged(tokens.at, "names whose lengths agree with markers before it", "none")


def _expand(data: U8Array, names: _Names, tokens: _Tokens) -> tuple[U8Array, I64Array]:
    """Expand all names.

    The length bytes become a token of one NUL, their second bytes an empty one, so that the whole stream is
    expanded in one go.

    Returns:
        uint8[m], NULs before, between and behind the names with their letters; int64[n], where they start.
    """
    heads = names.heads - names.start
    stream = data[names.start : names.end].astype(np.int16)
    if names.wide:
        stream[heads[stream[heads] >= _BIG] + 1] = _TOKENS + 1
    stream[heads] = _TOKENS
    size = np.append(tokens.size, [1, 0]).astype(np.int32)
    start = np.append(tokens.start, [len(tokens.text) - 1, 0]).astype(np.int32)
    total = int(np.bincount(stream, minlength=len(size)) @ size.astype(np.int64)) + 1
    if total > _MAX_NAMES_SIZE:
        raise _damaged(tokens.at, f"names of at most {_MAX_NAMES_SIZE} bytes", f"{total} bytes")
    sizes = size[stream]
    ends = np.cumsum(sizes, dtype=np.int32)
    text = np.zeros(total, np.uint8)
    for low in range(0, len(stream), _EXPAND_STEP):
        part = slice(low, low + _EXPAND_STEP)
        begin, end = int(ends[low] - sizes[low]), int(ends[part][-1])
        source = np.repeat(start[stream[part]] - (ends[part] - sizes[part]), sizes[part])
        source += np.arange(begin, end, dtype=np.int32)
        text[begin:end] = tokens.text[source]
    return text, ends[heads].astype(np.int64)


def _check_names(tokens: _Tokens, text: U8Array, name_at: I64Array) -> None:
    letters = text[name_at]
    wrong = np.flatnonzero(~are_type_letters(letters))
    if len(wrong):
        raise _damaged(tokens.at, "a type letter before each name", f"{letters[wrong[0]]:#04x} (name {wrong[0]})")
    size = np.diff(name_at, append=len(text)) - 2
    wrong = np.flatnonzero((size < 1) | (size >= KSYM_NAME_LEN))
    if len(wrong):
        raise _damaged(tokens.at, f"names of 1 to {KSYM_NAME_LEN - 1} bytes", f"{size[wrong[0]]} (name {wrong[0]})")


# --- the addresses ---


def _ascends(values: NDArray[_Number]) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def _from_base(offsets: I32Array, base: int) -> U64Array | None:
    """Decode 32-bit offsets from the lowest symbol's address, in either encoding: uint64[n], or None.

    Plain: unsigned, so the first is 0. With CONFIG_KALLSYMS_ABSOLUTE_PERCPU: negative ones mean
    base - 1 - offset, so the first of these is -1; others are absolute values and come first.
    """
    plain = offsets.view(np.uint32)
    if plain[0] == 0 and plain[-1] < _REACH and _ascends(plain):
        return plain.astype(np.uint64) + np.uint64(base)
    absolute = int(np.argmax(offsets < 0))
    if offsets[absolute] != -1 or (offsets[absolute:] >= 0).any():
        return None
    address = np.where(offsets < 0, np.uint64(base) + (-1 - offsets.astype(np.int64)).astype(np.uint64), plain)
    return address if _ascends(address[absolute:]) and _ascends(address[:absolute]) else None


def _base_relative(data: U8Array, offsets_at: int, base_at: int, count: int, layout: Layout) -> _Placed | None:
    """Read offsets from kallsyms_relative_base, which a relocation tells where the word itself is empty."""
    offsets, words = _array(data, offsets_at, count, np.int32), _array(data, base_at, 1, np.uint64)
    if offsets is None or words is None:
        return None
    lowest = int(words[0])
    image_base = None
    if lowest == 0:
        image_base, lowest = _relocated_word(data, base_at) or (None, 0)
    if lowest == 0 or lowest % _PAGE_SIZE:
        return None
    address = _from_base(offsets.astype(np.int32), lowest)
    wraps = address is not None and bool(address[-1] < address[0])  # past the end of the address space
    return None if address is None or wraps else _Placed(layout=layout, absolute=address, base=image_base)


def _relocated_word(data: U8Array, at: int) -> tuple[int, int] | None:
    """Return (image base, addend) of the one R_RISCV_RELATIVE that fills the word at an offset, or None.

    A CONFIG_RELOCATABLE Image carries .rela.dyn: 24-byte records, 8-byte aligned, whose r_offset is a virtual
    address. Less the word's offset it is the image's base. The addend is the lowest symbol, near the base.
    """
    words = _view(data[: len(data) // 8 * 8], np.uint64)
    info = np.flatnonzero(words[1:-1] == _R_RISCV_RELATIVE) + 1
    place, addend = words[info - 1], words[info + 1]
    base = place - np.uint64(at)
    near = (addend >= base) & (addend - base < _BASE_ALIGNMENT) & (addend % _PAGE_SIZE == 0)
    hits = np.flatnonzero(near & (place >= at) & (base % _BASE_ALIGNMENT == 0))
    return (int(base[hits[0]]), int(addend[hits[0]])) if len(hits) == 1 else None


def _pc_relative(data: U8Array, at: int, count: int) -> _Placed | None:
    """Read offsets that count from their own places; text comes before them, so the first is negative."""
    offsets = _array(data, at, count, np.int32)
    if offsets is None or offsets[0] >= 0:
        return None
    relative = offsets + (at + 4 * np.arange(count, dtype=np.int64))
    if relative[0] < 0 or relative[-1] >= _REACH or not _ascends(relative):
        return None
    return _Placed(layout=Layout.PC_RELATIVE, relative=relative)


def _absolute(data: U8Array, at: int, count: int) -> _Placed | None:
    """Read 64-bit addresses; absolute symbols may come before those of the image."""
    address = _array(data, at, count, np.uint64)
    if address is None:
        return None
    near = address[-1] - address < np.uint64(_REACH)
    if int(address[-1]) < _REACH or address[0] == address[-1] or not _ascends(address) or near.sum() * 2 < count:
        return None
    return _Placed(layout=Layout.ABSOLUTE, absolute=address)


def _place(data: U8Array, names: _Names, tokens: _Tokens) -> _Placed:
    """Read the addresses in the first layout that holds; ImageError if none does."""
    count, behind, before = len(names.heads), tokens.end, names.count_at
    base_behind = _align(behind + 4 * count, 8)
    offsets_before = before - 8 - _align(4 * count, 8)
    placed = (
        _base_relative(data, behind, base_behind, count, Layout.BASE_AFTER)
        or _pc_relative(data, behind, count)
        or _absolute(data, behind, count)
        or _base_relative(data, offsets_before, before - 8, count, Layout.BASE_BEFORE)
        or _absolute(data, before - 8 * count, count)
    )
    if placed is None:
        raise _damaged(tokens.at, f"ascending addresses of {count} symbols in a known layout", "none")
    return placed


# --- the base ---


def _elected(bases: U64Array) -> int | None:
    """Return the base that at least half of the votes name, and enough of them; None without one."""
    candidates, votes = np.unique(bases, return_counts=True)
    best = int(np.argmax(votes)) if len(votes) else -1
    return int(candidates[best]) if best >= 0 and votes[best] >= max(_VOTES, votes.sum() // 2) else None


def _base_of_list_heads(words: U64Array) -> int | None:
    """Return the base that empty list heads tell: they hold their own address, twice; words: uint64[n]."""
    at = np.flatnonzero((words[1:] == words[:-1]) & (words[1:] != 0))
    bases = words[at] - 8 * at.astype(np.uint64)
    return _elected(bases[bases % _PAGE_SIZE == 0])


def _base_of_relocations(words: U64Array) -> int | None:
    """Return the base that relocations of empty list heads tell: they put a word's own address into it.

    A CONFIG_RELOCATABLE kernel is linked at a multiple of 2 GiB: 0xffffffff80000000, or 0 without MMU.
    """
    info = np.flatnonzero(words[1:-1] == _R_RISCV_RELATIVE) + 1
    place = words[info - 1]
    return _elected(
        place[(place == words[info + 1]) & (place != 0) & (place % 8 == 0)] & np.uint64(-_REACH % (1 << 64))
    )


def find_base(data: U8Array) -> int | None:
    """Infer the virtual address of the image's first byte, or None.

    An empty ``struct list_head`` holds its own address twice. That less the file offset is the base. Every
    list head votes. In a CONFIG_RELOCATABLE image they are zero, and the relocations that fill them vote.

    Args:
        data: uint8[n], contiguous, the flat Image.
    """
    words = _view(data[: len(data) // 8 * 8], np.uint64)
    base = _base_of_list_heads(words)
    return _base_of_relocations(words) if base is None else base


def _find_start(address: U64Array | I64Array, text: U8Array, name_at: I64Array) -> int | None:
    """Return the value of ``_start``, which is at the image's first byte and so among the lowest symbols."""
    for value, at in zip(address[:_FIRST_SYMBOLS], name_at[:_FIRST_SYMBOLS], strict=True):
        if text[at + 1 : at + 8].tobytes() == b"_start\0":
            return int(value)
    return None


def _choose_base(data: U8Array, placed: _Placed, start: int | None, given: int | None) -> tuple[int, str]:
    if given is not None:
        return given, "given"
    if placed.base is not None:
        return placed.base, ".rela.dyn"
    if placed.absolute is not None and start is not None:
        return start, "_start"
    found = find_base(data)
    return (KERNEL_LINK_ADDR, "assumed") if found is None else (found, "pointers")


def _settle(data: U8Array, placed: _Placed, start: int | None, given: int | None) -> tuple[U64Array, int, str]:
    """Return addresses, base and where the base comes from; ImageError where they contradict each other."""
    base, source = _choose_base(data, placed, start, given)
    place, got = "kallsyms, base", f"{as_hex(base)} ({source})"
    if not 0 <= base < 1 << 64 or base % _PAGE_SIZE:
        raise ImageError("", place, expected="a page-aligned 64-bit address", got=got)
    if placed.absolute is not None:
        address = placed.absolute
    else:
        assert placed.relative is not None
        address = placed.relative.astype(np.uint64) + np.uint64(base)
        start = None if start is None else start + base
    if start is not None and start != base:
        raise ImageError("", place, expected=f"{as_hex(start)} (_start)", got=got)
    if ((address - np.uint64(base)) < np.uint64(_REACH)).sum() * 2 < len(address):
        expected = f"at most 2 GiB below {as_hex(int(address[-1]))} (the last symbol)"
        raise ImageError("", place, expected=expected, got=got)
    return address, base, source


def _recover(data: U8Array, tokens: _Tokens, base: int | None) -> Kallsyms:
    names = _find_names(data, tokens)
    text, name_at = _expand(data, names, tokens)
    _check_names(tokens, text, name_at)
    placed = _place(data, names, tokens)
    stored = placed.absolute if placed.absolute is not None else placed.relative
    assert stored is not None
    address, image_base, source = _settle(data, placed, _find_start(stored, text, name_at), base)
    symbols = symbols_of("kallsyms", address, text[name_at], (name_at + 1).astype(np.uint32), text)
    return Kallsyms(symbols=symbols, base=image_base, base_source=source, layout=placed.layout)


def recover(data: U8Array, base: int | None = None) -> Kallsyms:
    """Recover every symbol of a flat boot Image.

    Args:
        data: uint8[n], contiguous, the Image; file offset = virtual address - base.
        base: virtual address of data[0], None to infer it.
    Returns:
        Symbols in ascending order of address, the base and the layout.
    Raises:
        ImageError: no kallsyms at all, or tables that contradict themselves; the message tells which.
    """
    first: ImageError | None = None
    for tokens in islice(_iter_tokens(data), _MAX_TABLES):
        try:
            return _recover(data, tokens, base)
        except ImageError as error:
            first = first or error
    if first is not None:
        raise first
    got = "none (CONFIG_KALLSYMS=n, or not a whole Image)"
    raise ImageError("", "kallsyms", expected="a token table with its index", got=got)
