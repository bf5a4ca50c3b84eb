# SPDX-License-Identifier: GPL-2.0-or-later
"""Where patch sites are listed: the linked table, its relocations, or the sections of an object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ImageError, RelocationError
from ..units import BoolArray, I64Array, Span, U64Array, as_hex
from .elf import (
    R_RISCV_64,
    R_RISCV_ADD32,
    R_RISCV_RELATIVE,
    RELA,
    SHF_LINK_ORDER,
    SHT_RELA,
    SHT_SYMTAB,
    ElfFile,
)
from .memory import AddressSpace
from .model import EntryTable
from .symbols import SHN_UNDEF, SymbolTable

TABLE_SECTION = "__patchable_function_entries"
ENTRY_SIZE = 8


def linked_span(path: str, symbols: SymbolTable) -> Span | None:
    """Return the span of ``__start_mcount_loc .. __stop_mcount_loc``, None where it is absent.

    Raises:
        ImageError: the two symbols are reversed or not a whole number of entries apart.
    """
    start, stop = symbols.find("__start_mcount_loc"), symbols.find("__stop_mcount_loc")
    if start is None or stop is None:
        return None
    if stop < start or (stop - start) % ENTRY_SIZE:
        raise ImageError(
            path, "__stop_mcount_loc",
            expected=f"a multiple of {ENTRY_SIZE} bytes behind {as_hex(start)}", got=as_hex(stop),
        )  # fmt: skip
    return Span(start, stop)


def read_linked(path: str, memory: AddressSpace, span: Span) -> EntryTable:
    """Read the table of a kernel that needs no relocation.

    Raises:
        ImageError: the table is not stored in the image.
    """
    words = np.frombuffer(_stored(path, memory, span), "<u8")
    return EntryTable(source="__start_mcount_loc", entries=words.astype(np.uint64), span=span)


def read_relocated(elf: ElfFile, memory: AddressSpace, symbols: SymbolTable, span: Span) -> EntryTable:
    """Read the table of an ET_DYN kernel: what stands in the file, then its dynamic relocations over it.

    Raises:
        RelocationError: a relocation over the table is of an unknown kind.
    """
    words = np.frombuffer(_stored(elf.path, memory, span), "<u8").astype(np.uint64)
    in_place_zero = int(np.count_nonzero(words == 0))
    filled = np.zeros(len(words), np.bool_)
    for index in elf.of_type(SHT_RELA):
        rela = elf.records(index, RELA)
        rela = rela[span.holds(rela["offset"])]
        if len(rela):
            slots, values = _dynamic_values(elf, index, rela, symbols, span)
            words[slots] = values
            filled[slots] = True
    return EntryTable(
        source=".rela.dyn" if filled.any() else "__start_mcount_loc",
        entries=words,
        span=span,
        in_place_zero=in_place_zero if filled.any() else 0,
        missing=int(np.count_nonzero(~filled & (words == 0))) if filled.any() else 0,
    )


def with_relative(table: EntryTable, rela: np.ndarray) -> EntryTable:
    """Return a linked table after R_RISCV_RELATIVE records over it; other kinds are left alone."""
    assert table.span is not None
    rela = rela[table.span.holds(rela["offset"]) & ((rela["info"] & 0xFFFFFFFF) == R_RISCV_RELATIVE)]
    if not len(rela):
        return table
    entries = table.entries.copy()
    slots = ((rela["offset"] - np.uint64(table.span.start)) // ENTRY_SIZE).astype(np.int64)
    entries[slots] = rela["addend"].astype(np.uint64)
    zero = int(np.count_nonzero(table.entries == 0))
    return replace(table, source=".rela.dyn", entries=entries, in_place_zero=zero)


def _dynamic_values(
    elf: ElfFile, index: int, rela: np.ndarray, symbols: SymbolTable, span: Span
) -> tuple[I64Array, U64Array]:
    """Return (slot numbers, values) that dynamic relocations give to the table."""
    kind, symbol = rela["info"] & 0xFFFFFFFF, (rela["info"] >> 32).astype(np.int64)
    slots = ((rela["offset"] - np.uint64(span.start)) // ENTRY_SIZE).astype(np.int64)
    values = rela["addend"].astype(np.uint64)
    with_symbol = kind == R_RISCV_64
    if with_symbol.any():
        dynamic = elf.dynamic_symbol_values(index)
        wild = with_symbol & (symbol >= max(len(dynamic), 1))
        if wild.any():
            first = rela[int(np.argmax(wild))]
            raise RelocationError(
                elf.path, f"{elf.describe(index)}, relocation at {int(first['offset']):#x}",
                expected=f"a symbol below {len(dynamic)}", got=f"symbol {int(first['info']) >> 32}",
            )  # fmt: skip
        inside = with_symbol & (symbol < len(dynamic))
        values[inside] += dynamic[symbol[inside]]
    known = (kind == R_RISCV_RELATIVE) | with_symbol
    elf.require_known(index, rela, known)
    return slots, values


def read_object(elf: ElfFile, symbols: SymbolTable) -> EntryTable | None:
    """Read every table section of a relocatable object through its relocations.

    An object built with -ffunction-sections or by clang has one table section for each text section,
    tied to it by SHF_LINK_ORDER. The words themselves are usually zero; what counts is the relocation.
    Returns:
        The table in file order, or None where the object has no table section.
    """
    found = elf.find_all(TABLE_SECTION)
    if not found:
        return None
    entries, missing, mismatch, outside = [], 0, 0, 0
    values = _SymbolValues(elf, symbols)
    for index in found:
        size = int(elf.sections["size"][index])
        rela = elf.rela_of(index)
        rela = rela[(rela["info"] & 0xFFFFFFFF) == R_RISCV_64]
        in_range = rela["offset"] < np.uint64(size)
        outside += int(np.count_nonzero(~in_range))
        rela = np.sort(rela[in_range], order="offset")
        addresses, sections = values.of(rela)
        entries.append(addresses)
        missing += max(size // ENTRY_SIZE - len(np.unique(rela["offset"])), 0)
        is_tied = len(found) > 1 and int(elf.sections["flags"][index]) & SHF_LINK_ORDER
        if is_tied and len(sections):  # ld -r merges all tables into one and keeps a single sh_link
            mismatch += int(np.count_nonzero(sections != int(elf.sections["link"][index])))
    return EntryTable(
        source=f"{TABLE_SECTION} and its relocations",
        entries=np.concatenate(entries) if entries else np.empty(0, np.uint64),
        missing=missing,
        outside=outside,
        sections=len(found),
        link_mismatch=mismatch,
    )


class _SymbolValues:
    """Placed addresses and sections of the symbols that relocations name."""

    def __init__(self, elf: ElfFile, symbols: SymbolTable) -> None:
        tables = elf.of_type(SHT_SYMTAB)
        if not tables or not len(symbols):
            raise ImageError(elf.path, TABLE_SECTION, expected="a symbol table for its relocations", got="none")
        self._path = elf.path
        self._address = symbols.address
        self._undefined: BoolArray = symbols.section == SHN_UNDEF
        self._section = elf.symbol_sections(tables[0], symbols.section)

    def of(self, rela: np.ndarray) -> tuple[U64Array, I64Array]:
        """Return (address uint64[n], section index int64[n]) of each relocation's symbol + addend."""
        symbol = (rela["info"] >> 32).astype(np.int64)
        wild = (symbol >= len(self._address)) | self._undefined[np.minimum(symbol, len(self._address) - 1)]
        if wild.any():
            first = rela[np.argmax(wild)]
            raise ImageError(
                self._path, f"relocation at {int(first['offset']):#x} of {TABLE_SECTION}",
                expected="a symbol of this object", got=f"symbol {int(first['info']) >> 32}",
            )  # fmt: skip
        return self._address[symbol] + rela["addend"].astype(np.uint64), self._section[symbol]


_RECORD_SIZE = 16


def linked_other_patches(memory: AddressSpace, symbols: SymbolTable) -> U64Array:
    """Return the code that jump labels and alternatives patch in a linked kernel: uint64[m], ascending.

    Both tables hold 16-byte records that begin with a s32 relative to itself.
    Source: struct jump_entry, linux include/linux/jump_label.h; struct alt_entry, linux
    arch/riscv/include/asm/alternative.h (absolute 8-byte pointers before v6.4: such a table is not used).
    """
    names = (("__start___jump_table", "__stop___jump_table"), ("__alt_start", "__alt_end"))
    found = [_relative_records(memory, symbols, *pair) for pair in names]
    return np.unique(np.concatenate(found))


def jump_labels(memory: AddressSpace, symbols: SymbolTable) -> U64Array:
    """Return the code addresses of a linked kernel's jump labels: uint64[m]."""
    return _relative_records(memory, symbols, "__start___jump_table", "__stop___jump_table")


def _relative_records(memory: AddressSpace, symbols: SymbolTable, start: str, stop: str) -> U64Array:
    low, high = symbols.find(start), symbols.find(stop)
    empty = np.empty(0, np.uint64)
    if low is None or high is None or high <= low or (high - low) % _RECORD_SIZE or not memory.has(low, high - low):
        return empty
    words = np.frombuffer(memory.read(low, high - low), "<i4").reshape(-1, _RECORD_SIZE // 4)
    at = np.uint64(low) + np.arange(len(words), dtype=np.uint64) * np.uint64(_RECORD_SIZE)
    code: U64Array = at + words[:, 0].astype(np.int64).astype(np.uint64)
    executable = np.array([region.executable for region in memory.regions] + [False])
    valid = executable[memory.region_numbers(code)]
    return code if valid.mean() > 0.9 else empty


def object_other_patches(elf: ElfFile, symbols: SymbolTable) -> U64Array:
    """Return the same for a relocatable object, through its R_RISCV_ADD32 relocations: uint64[m], ascending."""
    parts = [np.empty(0, np.uint64)]
    for name in ("__jump_table", ".alternative"):
        for index in elf.find_all(name):
            rela = elf.rela_of(index)
            rela = rela[((rela["info"] & 0xFFFFFFFF) == R_RISCV_ADD32) & (rela["offset"] % _RECORD_SIZE == 0)]
            if len(rela):
                parts.append(_SymbolValues(elf, symbols).of(rela)[0])
    return np.unique(np.concatenate(parts))


def _stored(path: str, memory: AddressSpace, span: Span) -> bytes:
    if not span.size:
        return b""
    try:
        return memory.read(span.start, span.size)
    except ImageError as error:
        raise ImageError(
            path,
            "__start_mcount_loc",
            expected=f"{span.size} bytes stored at {as_hex(span.start)}",
            got="none",
        ) from error
