# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of patch sites: linked, relocated, and in objects."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from genpatch.errors import ImageError, RelocationError
from genpatch.image import tables
from genpatch.image.elf import RELA, ElfFile
from genpatch.image.model import EntryTable
from genpatch.units import Span
from tests.elfwriter import (
    ALLOC,
    DYNSYM,
    ET_DYN,
    ET_REL,
    LINK_ORDER,
    LOCAL,
    NOBITS,
    OBJECT,
    R_RISCV_32,
    R_RISCV_64,
    R_RISCV_ADD32,
    R_RISCV_RELATIVE,
    R_RISCV_SUB32,
    SECTION,
    TABLE,
    UNDEF,
    WRITE,
    Section,
    Symbol,
    elf,
    rela,
    symbol_record,
    text,
    words64,
)

AT, DATA = 0xFFFF_FFFF_8000_2000, 0xFFFF_FFFF_8010_0000
START, STOP = "__start_mcount_loc", "__stop_mcount_loc"


def parse(raw: bytes) -> ElfFile:
    return ElfFile.parse(np.frombuffer(raw, np.uint8), "vmlinux")


def bounds(start: int = DATA, stop: int = DATA + 24) -> tuple[Symbol, ...]:
    return (
        Symbol(name=START, value=start, section=".data", kind=OBJECT),
        Symbol(name=STOP, value=stop, section=".data", kind=OBJECT),
    )


def linked(data: bytes, *extra: Section, symbols: tuple[Symbol, ...] = bounds(), **more: Any) -> ElfFile:
    section = Section(name=".data", data=data, addr=DATA, flags=ALLOC | WRITE, align=8)
    return parse(elf(text(bytes(64), AT), section, *extra, symbols=symbols, **more))


def read_linked(file: ElfFile) -> EntryTable:
    span = tables.linked_span("vmlinux", file.symbols())
    assert span is not None
    return tables.read_linked("vmlinux", file.address_space(), span)


def read_relocated(file: ElfFile) -> EntryTable:
    symbols = file.symbols()
    span = tables.linked_span("vmlinux", symbols)
    assert span is not None
    return tables.read_relocated(file, file.address_space(), symbols, span)


# --- linked


def test_a_linked_table() -> None:
    table = read_linked(linked(words64(AT, 0, AT + 32)))
    assert table.entries.tolist() == [AT, 0, AT + 32]
    assert table.span == Span(DATA, DATA + 24)
    assert (table.source, table.missing, table.in_place_zero) == (START, 0, 0)


@pytest.mark.parametrize("kept", [0, 1])
def test_no_table(kept: int) -> None:
    assert tables.linked_span("vmlinux", linked(bytes(24), symbols=bounds()[kept : kept + 1]).symbols()) is None


@pytest.mark.parametrize("stop", [DATA - 8, DATA + 4, DATA + 25])
def test_a_reversed_or_ragged_table(stop: int) -> None:
    file = linked(bytes(32), symbols=bounds(DATA, stop))
    with pytest.raises(
        ImageError,
        match=r"^vmlinux: __stop_mcount_loc: expected a multiple of 8 bytes behind 0xffffffff80100000, got 0x",
    ):
        tables.linked_span("vmlinux", file.symbols())


def test_a_table_in_bss() -> None:
    bss = Section(name=".data", type=NOBITS, size=64, addr=DATA, flags=ALLOC | WRITE)
    file = parse(elf(text(bytes(64), AT), bss, symbols=bounds()))
    message = "^vmlinux: __start_mcount_loc: expected 24 bytes stored at 0xffffffff80100000, got none$"
    with pytest.raises(ImageError, match=message):
        read_linked(file)


def test_a_table_that_leaves_its_section() -> None:
    file = linked(bytes(16))
    with pytest.raises(ImageError, match="expected 24 bytes stored"):
        read_linked(file)


def test_a_table_as_large_as_the_address_space() -> None:
    file = linked(bytes(16), symbols=bounds(DATA, (1 << 64) - 8))
    with pytest.raises(ImageError, match="expected 2146435064 bytes stored"):
        read_linked(file)


def test_an_empty_table_inside_a_section() -> None:
    assert read_linked(linked(bytes(24), symbols=bounds(DATA + 8, DATA + 8))).entries.tolist() == []


def test_an_empty_table_at_the_end_of_a_section() -> None:
    assert read_linked(linked(bytes(24), symbols=bounds(DATA + 24, DATA + 24))).entries.tolist() == []


# --- relocated


def dynamic(*records: tuple[int, int, int, int], stored: bytes = bytes(24), symbols: int = 0) -> ElfFile:
    """An ET_DYN kernel; with `symbols`, .dynsym has one at AT + 0x100 behind the null symbol."""
    extra: tuple[Section, ...] = ()
    if symbols:
        raw = bytes(24) + symbol_record(0, Symbol(name="", value=AT + 0x100), 1)
        extra = (Section(name=".dynsym", data=raw, type=DYNSYM),)
    link = ".dynsym" if symbols else 0
    return linked(stored, rela(*records, name=".rela.dyn", link=link), *extra, type=ET_DYN)


def test_relative_relocations() -> None:
    table = read_relocated(
        dynamic(
            (DATA, 0, R_RISCV_RELATIVE, AT - (1 << 64)),
            (DATA + 16, 0, R_RISCV_RELATIVE, AT + 32 - (1 << 64)),
            (DATA + 8, 0, R_RISCV_RELATIVE, AT + 16 - (1 << 64)),
            (AT, 0, R_RISCV_32, 5),
            (DATA + 24, 0, R_RISCV_32, 5),
        )
    )
    assert table.entries.tolist() == [AT, AT + 16, AT + 32]
    assert (table.source, table.in_place_zero, table.missing) == (".rela.dyn", 3, 0)


def test_slots_without_relocation() -> None:
    table = read_relocated(dynamic((DATA + 8, 0, R_RISCV_RELATIVE, 0x1000)))
    assert table.entries.tolist() == [0, 0x1000, 0]
    assert (table.in_place_zero, table.missing) == (3, 2)


def test_what_stands_in_the_file_stays_without_relocation() -> None:
    table = read_relocated(dynamic((DATA, 0, R_RISCV_RELATIVE, 0x1000), stored=words64(7, 0x2000, 0x3000)))
    assert table.entries.tolist() == [0x1000, 0x2000, 0x3000]
    assert (table.in_place_zero, table.missing) == (0, 0)


def test_an_et_dyn_whose_table_is_filled() -> None:
    table = read_relocated(dynamic(stored=words64(AT, 0, AT + 8)))
    assert table.entries.tolist() == [AT, 0, AT + 8]
    assert (table.source, table.in_place_zero, table.missing) == (START, 0, 0)


def test_relocations_with_a_symbol() -> None:
    table = read_relocated(
        dynamic((DATA, 1, R_RISCV_64, 8), (DATA + 8, 0, R_RISCV_64, 0x40), (DATA + 16, 1, R_RISCV_64, -4), symbols=1)
    )
    assert table.entries.tolist() == [AT + 0x108, 0x40, AT + 0xFC]


@pytest.mark.parametrize("symbols", [0, 1])
def test_a_relocation_whose_symbol_does_not_exist(symbols: int) -> None:
    with pytest.raises(ImageError):
        read_relocated(dynamic((DATA, 9, R_RISCV_64, 8), symbols=symbols))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(1, "R_RISCV_32"), (5, "R_RISCV_JUMP_SLOT"), (58, "R_RISCV_IRELATIVE"), (0, "R_RISCV_NONE"), (99, "type 99")],
)
def test_a_relocation_of_an_unknown_kind(kind: int, name: str) -> None:
    file = dynamic((DATA, 0, R_RISCV_RELATIVE, AT - (1 << 64)), (DATA + 8, 0, kind, 0))
    place = r"section 3 \(.rela.dyn\), relocation at 0xffffffff80100008"
    with pytest.raises(RelocationError, match=f"^vmlinux: {place}: expected .*, got .*{name}$"):
        read_relocated(file)


def test_relative_records_over_a_boot_image() -> None:
    linked_table = EntryTable(source=START, entries=np.zeros(3, np.uint64), span=Span(0x100, 0x118))
    records = np.array([(0x108, 3, 0x5000), (0x110, 2, 0x6000), (0x118, 3, 0x7000), (0xF8, 3, 0x8000)], RELA)
    table = tables.with_relative(linked_table, records)
    assert table.entries.tolist() == [0, 0x5000, 0]
    assert (table.source, table.in_place_zero) == (".rela.dyn", 3)
    assert linked_table.entries.tolist() == [0, 0, 0]
    assert tables.with_relative(linked_table, records[1:]) is linked_table


# --- objects

PLACED = 0x1000_0000


def obj(*sections: Section, symbols: tuple[Symbol, ...] = (), undefined: bool = False) -> ElfFile:
    """.text and .text.hot (64 bytes each), then `sections`; symbol 1 is .text, 2 is .text.hot."""
    named = (
        Symbol(name="", kind=SECTION, binding=LOCAL),
        Symbol(name="", kind=SECTION, binding=LOCAL, section=".text.hot"),
    )
    last = (Symbol(name="elsewhere", section=UNDEF),) if undefined else ()
    return parse(
        elf(
            text(bytes(64), align=16),
            text(bytes(64), name=".text.hot", align=16),
            *sections,
            symbols=[*named, *symbols, *last],
            type=ET_REL,
        )
    )


def entries(size: int, *, link: str | int = 0, flags: int = ALLOC | WRITE) -> Section:
    return Section(name=TABLE, data=bytes(size), flags=flags, align=8, link=link)


def read_object(file: ElfFile) -> EntryTable:
    table = tables.read_object(file, file.symbols())
    assert table is not None
    return table


def test_an_object_without_a_table() -> None:
    file = obj()
    assert tables.read_object(file, file.symbols()) is None


def test_one_table_section() -> None:
    file = obj(
        entries(24), rela((16, 2, R_RISCV_64, 4), (0, 1, R_RISCV_64, 0), (8, 1, R_RISCV_64, 32), name="r", info=TABLE)
    )
    table = read_object(file)
    assert table.entries.tolist() == [PLACED, PLACED + 32, PLACED + 68]
    assert (table.missing, table.outside, table.sections, table.link_mismatch) == (0, 0, 1, 0)
    assert table.span is None
    assert table.source == "__patchable_function_entries and its relocations"


def test_several_tables_with_link_order() -> None:
    file = obj(
        entries(16, link=".text", flags=ALLOC | WRITE | LINK_ORDER),
        rela((0, 1, R_RISCV_64, 0), (8, 1, R_RISCV_64, 16), name="r1", info=3),
        entries(8, link=".text.hot", flags=ALLOC | WRITE | LINK_ORDER),
        rela((0, 2, R_RISCV_64, 8), name="r2", info=5),
    )
    table = read_object(file)
    assert table.entries.tolist() == [PLACED, PLACED + 16, PLACED + 64 + 8]
    assert (table.sections, table.link_mismatch, table.missing) == (2, 0, 0)


def test_a_table_tied_to_another_section() -> None:
    file = obj(
        entries(16, link=".text.hot", flags=ALLOC | WRITE | LINK_ORDER),
        rela((0, 1, R_RISCV_64, 0), (8, 2, R_RISCV_64, 16), name="r1", info=3),
        entries(8, link=".text.hot", flags=ALLOC | WRITE | LINK_ORDER),
        rela((0, 2, R_RISCV_64, 8), name="r2", info=5),
    )
    assert read_object(file).link_mismatch == 1


def test_a_partial_link_keeps_one_sh_link_for_all() -> None:
    file = obj(
        entries(16, link=".text.hot", flags=ALLOC | WRITE | LINK_ORDER),
        rela((0, 1, R_RISCV_64, 0), (8, 2, R_RISCV_64, 16), name="r1", info=3),
    )
    assert read_object(file).link_mismatch == 0


def test_missing_relocations() -> None:
    file = obj(entries(32), rela((8, 1, R_RISCV_64, 0), (0, 1, R_RISCV_32, 0), name="r", info=TABLE))
    table = read_object(file)
    assert (table.entries.tolist(), table.missing) == ([PLACED], 3)


def test_a_table_without_relocations() -> None:
    table = read_object(obj(entries(32)))
    assert (table.entries.tolist(), table.missing, table.outside) == ([], 4, 0)


def test_two_relocations_for_one_slot() -> None:
    file = obj(entries(16), rela((0, 1, R_RISCV_64, 0), (0, 1, R_RISCV_64, 4), name="r", info=TABLE))
    assert read_object(file).missing == 1


def test_relocations_behind_the_end() -> None:
    file = obj(entries(8), rela((0, 1, R_RISCV_64, 0), (8, 1, R_RISCV_64, 8), (1 << 63, 9, 2, 0), name="r", info=TABLE))
    table = read_object(file)
    assert (table.entries.tolist(), table.outside, table.missing) == ([PLACED], 2, 0)


@pytest.mark.parametrize(("symbol", "undefined"), [(0, False), (3, True), (4, False), (0xFFFF_FFFF, False)])
def test_a_relocation_without_a_symbol_of_the_object(symbol: int, undefined: bool) -> None:
    file = obj(entries(8), rela((0, symbol, R_RISCV_64, 0), name="r", info=TABLE), undefined=undefined)
    message = f"^vmlinux: relocation at 0x0 of {TABLE}: expected a symbol of this object, got symbol {symbol}$"
    with pytest.raises(ImageError, match=message):
        read_object(file)


def test_an_object_without_symbols() -> None:
    file = parse(elf(text(bytes(8)), entries(8), type=ET_REL))
    with pytest.raises(ImageError, match="expected a symbol table for its relocations, got none"):
        tables.read_object(file, file.symbols())


def test_entries_with_named_symbols() -> None:
    labels = (Symbol(name=".Lpfe0", value=24, kind=0, binding=LOCAL), Symbol(name="f", value=8, section=".text.hot"))
    file = obj(entries(16), rela((0, 3, R_RISCV_64, 0), (8, 4, R_RISCV_64, -8), name="r", info=TABLE), symbols=labels)
    assert read_object(file).entries.tolist() == [PLACED + 24, PLACED + 64]


# --- what else patches code


def records(at: int, *code: int) -> bytes:
    """16-byte records that begin with a distance from themselves."""
    return b"".join(struct.pack("<iiII", target - (at + 16 * number), 99, 0, 0) for number, target in enumerate(code))


def marks(start: str, stop: str, at: int, size: int) -> tuple[Symbol, ...]:
    return (
        Symbol(name=start, value=at, section=".data", kind=OBJECT),
        Symbol(name=stop, value=at + size, section=".data", kind=OBJECT),
    )


def test_jump_labels_and_alternatives() -> None:
    labels, alternatives = records(DATA, AT + 48, AT + 8), records(DATA + 32, AT + 4)
    file = linked(
        labels + alternatives,
        symbols=(
            *marks("__start___jump_table", "__stop___jump_table", DATA, 32),
            *marks("__alt_start", "__alt_end", DATA + 32, 16),
        ),
    )
    memory, symbols = file.address_space(), file.symbols()
    assert tables.jump_labels(memory, symbols).tolist() == [AT + 48, AT + 8]
    assert tables.linked_other_patches(memory, symbols).tolist() == [AT + 4, AT + 8, AT + 48]


@pytest.mark.parametrize(("at", "size"), [(DATA, 0), (DATA, -16), (DATA, 24), (DATA, 64), (DATA + 0x1000, 16)], ids=str)
def test_a_jump_table_that_lies(at: int, size: int) -> None:
    file = linked(records(DATA, AT, AT + 4), symbols=marks("__start___jump_table", "__stop___jump_table", at, size))
    assert tables.linked_other_patches(file.address_space(), file.symbols()).tolist() == []


def test_a_table_of_another_layout() -> None:
    """Before v6.4 alternatives held absolute pointers: most records do not lead into text."""
    data = words64(AT, AT + 4, AT + 8, AT + 12)
    file = linked(data, symbols=marks("__alt_start", "__alt_end", DATA, 32))
    assert tables.linked_other_patches(file.address_space(), file.symbols()).tolist() == []


def test_other_patches_of_an_object() -> None:
    kinds = (R_RISCV_ADD32, R_RISCV_SUB32)
    jump = Section(name="__jump_table", data=bytes(32), flags=ALLOC | WRITE, align=8)
    alternative = Section(name=".alternative", data=bytes(16), align=8)
    file = obj(
        jump,
        rela(
            (0, 1, kinds[0], 8), (0, 1, kinds[1], 0), (4, 1, kinds[0], 60), (8, 1, R_RISCV_64, 60),
            (16, 2, kinds[0], 4), name="r1", info="__jump_table",
        ),
        alternative,
        rela((0, 1, kinds[0], 0), (4, 1, kinds[0], 44), name="r2", info=".alternative"),
    )  # fmt: skip
    assert tables.object_other_patches(file, file.symbols()).tolist() == [PLACED, PLACED + 8, PLACED + 68]


def test_no_other_patches() -> None:
    file = obj()
    assert tables.object_other_patches(file, file.symbols()).tolist() == []
