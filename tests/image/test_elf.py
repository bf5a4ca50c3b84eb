# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files that are right, and one lie at a time."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from genpatch.errors import ImageError, RelocationError
from genpatch.image.containers import Content, Format
from genpatch.image.elf import ElfFile, relocation_name
from genpatch.image.read import read_image
from tests.elfwriter import (
    ABS,
    ALLOC,
    COMMON,
    COMPRESSED,
    ET_CORE,
    ET_DYN,
    ET_REL,
    EXEC,
    NOBITS,
    OBJECT,
    RELA,
    SYMTAB,
    SYMTAB_SHNDX,
    TLS,
    UNDEF,
    WRITE,
    XINDEX,
    Section,
    Segment,
    Symbol,
    elf,
    rela,
    symbol_record,
    text,
)
from tests.toykernel import module, vmlinux

AT = 0xFFFF_FFFF_8000_2000


def parse(raw: bytes) -> ElfFile:
    return ElfFile.parse(np.frombuffer(raw, np.uint8), "vmlinux")


def read(raw: bytes) -> Any:
    return read_image(Content(path="vmlinux", format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


def small(**header: int) -> bytes:
    return elf(text(b"\x01\x00" * 8, AT), symbols=[Symbol(name="f", value=AT)], **header)


def put(raw: bytes, at: int, value: bytes) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


def test_a_small_file() -> None:
    file = parse(small())
    assert file.type == 2
    assert file.has_rvc
    assert file.names == ["", ".text", ".symtab", ".strtab", ".shstrtab"]
    assert len(file) == 5
    assert (file.find(".symtab"), file.find(".bss")) == (2, None)
    assert file.find_all(".text") == [1]
    assert file.contents(1).tobytes() == b"\x01\x00" * 8
    assert file.describe(1) == "section 1 (.text)"
    assert file.describe(0) == "section 0"


def test_rvc_is_a_flag() -> None:
    assert not parse(small(flags=0)).has_rvc


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"MZ" + small()[2:], "vmlinux: offset 0: expected an ELF magic, got 4d 5a 4c 46"),
        (b"", "vmlinux: offset 0: expected an ELF magic, got nothing"),
        (small()[:63], "vmlinux: ELF header: expected 64 bytes, got 63"),
        (elf(**{"class": 1}), r"vmlinux: EI_CLASS: expected 2 \(64-bit\), got 1 \(32-bit\)"),
        (elf(**{"class": 7}), r"vmlinux: EI_CLASS: expected 2 \(64-bit\), got 7$"),
        (elf(data=2), r"vmlinux: EI_DATA: expected 1 \(little-endian\), got 2 \(big-endian\)"),
        (elf(machine=62), r"vmlinux: e_machine: expected 243 \(RISC-V\), got 62 \(EM_X86_64\)"),
        (elf(machine=183), r"got 183 \(EM_AARCH64\)"),
        (elf(machine=0xFEED), "vmlinux: e_machine: expected 243 .RISC-V., got 65261$"),
        (elf(type=ET_CORE), r"vmlinux: e_type: expected ET_EXEC, ET_DYN or ET_REL, got 4 \(ET_CORE\)"),
        (elf(type=0), "vmlinux: e_type: .* got 0$"),
        (small(shentsize=40), "vmlinux: e_shentsize: expected 64, got 40"),
        (small(shoff=1 << 40), "vmlinux: e_shoff: expected a section table within 488 bytes, got offset 0x100"),
        (small(shoff=(1 << 64) - 1), "vmlinux: e_shoff: .* got offset 0xffffffffffffffff"),
        (small(shnum=500), "vmlinux: section table: expected 500 headers within 488 bytes, got offset 0xa8"),
        (small(shstrndx=5), "vmlinux: e_shstrndx: expected a section below 5, got 5"),
    ],
)
def test_a_wrong_header(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse(raw)


def test_the_header_is_all_there_may_be() -> None:
    file = parse(small(shoff=0, shnum=0, shstrndx=0))
    assert len(file) == 0
    assert file.names == []
    assert file.address_space().regions == ()
    assert len(file.symbols()) == 0


def test_sections_without_names() -> None:
    assert parse(small(shstrndx=0)).names == [""] * 5


def many_sections(count: int, claimed: int) -> bytes:
    """An ELF with e_shnum = 0: the number stands in sh_size of section 0, the name table in its sh_link."""
    names = b"\0.text\0.shstrtab\0"
    start = 64 + len(names)
    zero = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, claimed, count - 1, 0, 0, 0)
    code = struct.pack("<IIQQQQIIQQ", 1, 1, ALLOC | EXEC, AT, 0, 16, 0, 0, 4, 0)
    last = struct.pack("<IIQQQQIIQQ", 7, 3, 0, 0, 64, len(names), 0, 0, 1, 0)
    headers = zero + code * (count - 2) + last
    raw = elf(shoff=start, shnum=0, shstrndx=0xFFFF)[:64]
    return raw + names + headers


def test_more_sections_than_the_header_can_count() -> None:
    file = parse(many_sections(0xFF01, 0xFF01))
    assert len(file) == 65281
    assert file.names[1] == ".text"
    assert file.names[-1] == ".shstrtab"


@pytest.mark.parametrize("claimed", [0xFF02, 1 << 32, (1 << 64) - 1])
def test_a_section_count_that_lies(claimed: int) -> None:
    with pytest.raises(ImageError, match=f"section table: expected {claimed} headers within"):
        parse(many_sections(0xFF01, claimed))


def test_no_sections_at_all_in_section_zero() -> None:
    assert len(parse(many_sections(4, 0))) == 0


@pytest.mark.parametrize(
    "claim",
    [{"offset": 1 << 20}, {"size": 1 << 40}, {"offset": (1 << 64) - 8}, {"size": (1 << 64) - 1}],
    ids=str,
)
def test_a_section_outside_the_file(claim: dict[str, int]) -> None:
    file = parse(elf(text(b"\x01\x00", AT, claim=claim)))
    with pytest.raises(ImageError, match=r"vmlinux: section 1: expected bytes within 0x[0-9a-f]+, got 0x"):
        file.contents(1)
    with pytest.raises(ImageError):
        file.address_space()


def test_a_name_table_outside_the_file() -> None:
    raw = small()
    header = len(raw) - 64
    with pytest.raises(ImageError, match="section 4"):
        parse(put(raw, header + 24, struct.pack("<Q", 1 << 33)))


def test_a_name_outside_its_table() -> None:
    raw = small()
    text_header = len(raw) - 4 * 64
    assert parse(put(raw, text_header, struct.pack("<I", 0xFFFF_FFFF))).names[1] == ""


def test_section_names_are_bounded() -> None:
    raw = elf(text(b"\x01\x00", AT), Section(name="x" * 100_000, data=b"\0", flags=0))
    assert max(len(name) for name in parse(raw).names) <= 4096


def test_nobits_takes_no_bytes() -> None:
    file = parse(elf(Section(name=".bss", type=NOBITS, size=100 << 30, addr=0xFFFF << 48)))
    assert len(file.contents(1)) == 0
    (region,) = file.address_space().regions
    assert (region.span.size, len(region.data), region.writable) == (100 << 30, 0, False)


def test_nobits_may_claim_any_offset() -> None:
    bss = Section(name=".bss", type=NOBITS, size=8, addr=AT + 16, claim={"offset": (1 << 64) - 1})
    memory = parse(elf(text(b"\x01\x00" * 8, AT), bss)).address_space()
    found, stored = memory.windows(np.array([AT], np.uint64), 0, 4)
    assert found.tolist() == [[1, 0, 1, 0]]
    assert stored.all()


def test_an_end_behind_the_address_space() -> None:
    file = parse(elf(Section(name=".bss", type=NOBITS, size=0x2000, addr=(1 << 64) - 0x1000)))
    with pytest.raises(ImageError, match=r"section 1 \(\.bss\): expected an end below 2\*\*64, got a wrap-around"):
        file.address_space()


@pytest.mark.parametrize(
    "raw",
    [
        elf(Section(name=".hi", data=bytes(16), addr=(1 << 64) - 16)),
        elf(segments=[Segment(vaddr=(1 << 64) - 16, data=bytes(16))]),
    ],
    ids=["section", "segment"],
)
def test_an_end_at_the_end_of_the_address_space(raw: bytes) -> None:
    try:
        memory = parse(raw).address_space()
    except ImageError:
        return
    assert memory.region_numbers(np.array([(1 << 64) - 1, 0], np.uint64)).tolist() == [0, -1]


def test_truncated_at_every_byte() -> None:
    for size in range(len(small())):
        with pytest.raises(ImageError, match="vmlinux: "):
            read(small()[:size])


@pytest.mark.parametrize("make", [vmlinux, module], ids=["vmlinux", "module"])
def test_a_truncated_kernel_is_an_image_error(make: Any) -> None:
    whole = make()
    read(whole)
    for size in [*range(400), *range(400, len(whole), 37), len(whole) - 1]:
        with pytest.raises(ImageError):
            read(whole[:size])


@pytest.mark.parametrize("make", [vmlinux, module], ids=["vmlinux", "module"])
def test_any_byte_of_the_headers_may_be_wrong(make: Any) -> None:
    """Whatever one byte says, the answer is an image or an ImageError."""
    whole = make()
    start = int.from_bytes(whole[40:48], "little")
    for at in [*range(4, 64), *range(start, len(whole))]:
        for value in {0, 0xFF, whole[at] ^ 1}:
            try:
                read(put(whole, at, bytes([value])))
            except ImageError as error:
                assert str(error).startswith("vmlinux")  # noqa: PT017


# --- symbols


def test_symbols_of_a_linked_file() -> None:
    raw = elf(
        text(bytes(16), AT),
        symbols=[
            Symbol(name="f", value=AT, size=4),
            Symbol(name="limit", value=0x1234, section=ABS, kind=OBJECT),
            Symbol(name="missing", section=UNDEF),
        ],
    )
    symbols = parse(raw).symbols()
    assert symbols.source == "symtab"
    assert len(symbols) == 4
    assert (symbols.find("f"), symbols.find("limit"), symbols.find("missing")) == (AT, 0x1234, None)


def test_a_ragged_symbol_table() -> None:
    raw = elf(
        text(bytes(16), AT),
        Section(name=".symtab", data=bytes(47), type=SYMTAB, flags=0, link=".strtab"),
        Section(name=".strtab", data=b"\0", type=3, flags=0),
    )
    with pytest.raises(ImageError, match=r"section 2 \(\.symtab\): expected a multiple of 24 bytes, got 47"):
        parse(raw).symbols()


@pytest.mark.parametrize("link", [0, 1, 77])
def test_a_symbol_table_without_strings(link: int) -> None:
    raw = elf(text(bytes(16), AT), Section(name=".symtab", data=bytes(48), type=SYMTAB, flags=0, claim={"link": link}))
    with pytest.raises(ImageError, match=f"expected sh_link to a string table, got section {link}"):
        parse(raw).symbols()


def test_symbols_of_an_object_are_placed() -> None:
    raw = elf(
        text(bytes(24), 0x5000, align=16),
        text(bytes(8), 0x7777, name=".init.text", align=8),
        symbols=[
            Symbol(name="f", value=4),
            Symbol(name="g", value=2, section=".init.text"),
            Symbol(name="far", value=99, section=ABS),
            Symbol(name="shared", value=8, section=COMMON, kind=OBJECT),
        ],
        type=ET_REL,
    )
    file = parse(raw)
    memory = file.address_space()
    assert memory.placed
    first, second = memory.regions
    assert first.span.start == 0x1000_0000
    assert second.span.start == 0x1000_0018
    assert (first.alignment, second.alignment) == (16, 8)
    symbols = file.symbols()
    assert symbols.find("f") == 0x1000_0004
    assert symbols.find("g") == 0x1000_001A
    assert symbols.find("far") == 99
    assert symbols.find("shared") == 8


def test_extended_section_indices() -> None:
    """A symbol with SHN_XINDEX has its section in SHT_SYMTAB_SHNDX."""
    symbols = (
        bytes(24) + symbol_record(1, Symbol(name="f", value=6), XINDEX) + symbol_record(3, Symbol(name="g", value=2), 1)
    )
    sections = (
        text(bytes(16), align=16),
        text(bytes(16), name=".text.f", align=16),
        Section(name=".symtab", data=symbols, type=SYMTAB, flags=0, link=".strtab", align=8),
        Section(name=".strtab", data=b"\0f\0g\0", type=3, flags=0),
    )
    indices = struct.pack("<3I", 0, 2, 0)
    table = Section(name=".symtab_shndx", data=indices, type=SYMTAB_SHNDX, flags=0, link=".symtab")
    found = parse(elf(*sections, table, type=ET_REL)).symbols()
    assert found.find("f") == 0x1000_0016
    assert found.find("g") == 0x1000_0002

    without = parse(elf(*sections, type=ET_REL)).symbols()
    assert without.find("f") == 6  # of no known section
    short = Section(name=".symtab_shndx", data=indices[:8], type=SYMTAB_SHNDX, flags=0, link=".symtab")
    assert parse(elf(*sections, short, type=ET_REL)).symbols().find("f") == 6


# --- bytes at addresses


def test_sections_become_regions() -> None:
    raw = elf(
        Section(name=".data", data=b"\x07" * 8, addr=AT + 0x1000, flags=ALLOC | WRITE),
        text(b"\x01\x00" * 8, AT),
        Section(name=".comment", data=b"gcc", flags=0),
        Section(name=".tbss", type=NOBITS, size=64, addr=AT, flags=ALLOC | WRITE | TLS),
        Section(name=".nothing", addr=AT),
    )
    memory = parse(raw).address_space()
    assert not memory.placed
    assert [(each.name, each.span.start, each.executable, each.writable, each.index) for each in memory.regions] == [
        (".text", AT, True, False, 2),
        (".data", AT + 0x1000, False, True, 1),
    ]
    assert memory.regions[0].alignment == 0x2000
    assert memory.read(AT + 0x1002, 2) == b"\x07\x07"


def test_overlapping_sections_keep_the_code() -> None:
    raw = elf(
        Section(name=".data", data=bytes(64), addr=AT - 16),
        text(b"\x01\x00" * 8, AT),
        Section(name=".rodata", data=bytes(64), addr=AT + 8),
    )
    assert [region.name for region in parse(raw).address_space().regions] == [".text"]


def test_a_compressed_section_in_memory() -> None:
    raw = elf(Section(name=".text", data=bytes(32), addr=AT, flags=ALLOC | EXEC | COMPRESSED))
    with pytest.raises(ImageError, match="section 1: expected allocated bytes, got SHF_COMPRESSED"):
        parse(raw).address_space()


def test_segments_stand_in_for_sections() -> None:
    raw = elf(
        segments=[
            Segment(vaddr=AT + 0x1000, data=b"\x05" * 8, memsz=64, flags=6),
            Segment(vaddr=AT, data=b"\x01\x00" * 8),
            Segment(vaddr=AT + 0x9000, data=b"", memsz=0),
        ]
    )
    file = parse(raw)
    memory = file.address_space()
    assert [(each.name, each.span.start, each.span.size, each.executable) for each in memory.regions] == [
        ("segment 1", AT, 16, True),
        ("segment 0", AT + 0x1000, 64, False),
    ]
    assert memory.read(AT + 0x1000, 8) == b"\x05" * 8
    assert not memory.has(AT + 0x1008)
    found, stored = memory.windows(np.array([AT + 0x1004], np.uint64), 2, 8)
    assert found.tolist() == [[5, 5, 5, 5, 5, 5, 0, 0]]
    assert stored.tolist() == [[True] * 6 + [False] * 2]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (elf(segments=[Segment(vaddr=AT, data=b"12", claim={"offset": 1 << 50})]), "program header 0"),
        (elf(segments=[Segment(vaddr=(1 << 64) - 8, data=b"12", memsz=64)]), "program header 0"),
        (elf(segments=[Segment(vaddr=AT, data=b"12")], phentsize=32), "program headers: expected 1 of 56 bytes"),
        (elf(segments=[Segment(vaddr=AT, data=b"12")], phnum=9), "program headers: expected 9 of 56 bytes"),
        (elf(segments=[Segment(vaddr=AT, data=b"12")], phoff=1 << 60), "program headers"),
    ],
    ids=["offset", "wrap", "size", "number", "table"],
)
def test_segments_that_lie(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse(raw).address_space()


# --- relocations


def test_relocations_of_a_section() -> None:
    raw = elf(
        text(bytes(16)),
        Section(name=".data", data=bytes(16)),
        rela((0, 1, 2, 4), (8, 1, 2, -8), name=".rela.data", info=".data"),
        rela((4, 1, 35, 0), name=".rela.more", info=".data"),
        symbols=[Symbol(name="f")],
        type=ET_REL,
    )
    file = parse(raw)
    found = file.rela_of(2)
    assert found["offset"].tolist() == [0, 8, 4]
    assert found["addend"].tolist() == [4, -8, 0]
    assert len(file.rela_of(1)) == 0
    assert file.of_type(RELA) == [3, 4]


def test_ragged_relocations() -> None:
    raw = elf(text(bytes(16)), Section(name=".rela.text", data=bytes(25), type=RELA, info=".text"), type=ET_REL)
    with pytest.raises(ImageError, match=r"section 2 \(\.rela\.text\): expected a multiple of 24 bytes, got 25"):
        parse(raw).rela_of(1)


@pytest.mark.parametrize(
    ("number", "name"),
    [(2, "R_RISCV_64"), (3, "R_RISCV_RELATIVE"), (58, "R_RISCV_IRELATIVE"), (77, "relocation type 77")],
)
def test_relocation_names(number: int, name: str) -> None:
    assert relocation_name(number) == name


def test_require_known() -> None:
    file = parse(elf(text(bytes(16), AT), rela((AT, 0, 5, 0), name=".rela.dyn", link=0), type=ET_DYN))
    records = file.rela_of(0)
    file.require_known(2, records, np.array([True]))
    with pytest.raises(
        RelocationError,
        match=r"section 2 \(\.rela\.dyn\), relocation at 0xffffffff80002000: expected .*, got R_RISCV_JUMP_SLOT",
    ):
        file.require_known(2, records, np.array([False]))
