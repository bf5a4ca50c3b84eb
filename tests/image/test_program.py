# SPDX-License-Identifier: GPL-2.0-or-later
"""Executables: what is loaded where, and what is refused."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from genpatch.errors import GenpatchError, ImageError
from genpatch.image.containers import Content, Format
from genpatch.image.program import Program, read_program
from genpatch.units import Span
from tests.elfwriter import ABS, ET_CORE, ET_DYN, ET_REL, Section, Segment, Symbol, elf, text

PIE = 0x40_0000


def read(raw: bytes) -> Program:
    return read_program(Content(path="prog", format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


def test_segments_in_ascending_order() -> None:
    program = read(
        elf(
            segments=[
                Segment(vaddr=0x3000, data=b"data", memsz=0x100, flags=6),
                Segment(vaddr=0x1000, data=b"code", flags=5),
                Segment(vaddr=0x2000, data=b"text", flags=4),
                Segment(vaddr=0x8000, data=b"", memsz=8, flags=0),
            ],
            entry=0x1002,
        )
    )
    assert (program.path, program.entry) == ("prog", 0x1002)
    found = [(each.span, each.content.tobytes(), each.permissions) for each in program.segments]
    assert found == [
        (Span(0x1000, 0x1004), b"code", "rx"),
        (Span(0x2000, 0x2004), b"text", "r"),
        (Span(0x3000, 0x3100), b"data", "rw"),
        (Span(0x8000, 0x8008), b"", ""),
    ]


def test_other_headers_are_no_segments() -> None:
    raw = bytearray(elf(segments=[Segment(vaddr=0x1000, data=b"code"), Segment(vaddr=0x1000, data=b"note")]))
    raw[64 + 56 : 64 + 60] = struct.pack("<I", 4)
    assert [each.span for each in read(bytes(raw)).segments] == [Span(0x1000, 0x1004)]


def test_a_header_of_no_size_is_no_segment() -> None:
    raw = elf(segments=[Segment(vaddr=0x1000, data=b"code"), Segment(vaddr=0x1002, data=b"")])
    assert len(read(raw).segments) == 1


def test_a_position_independent_program_is_moved() -> None:
    symbols = [Symbol(name="main", value=0x10), Symbol(name="fixed", value=0x20, section=ABS)]
    raw = elf(text(bytes(4)), symbols=symbols, segments=[Segment(vaddr=0, data=b"code")], type=ET_DYN, entry=0x10)
    program = read(raw)
    assert program.entry == PIE + 0x10
    assert program.segments[0].span == Span(PIE, PIE + 4)
    assert (program.symbols.find("main"), program.symbols.find("fixed")) == (PIE + 0x10, 0x20)
    assert program.symbols.nearest(program.entry + 4) == "main+0x4"


def test_symbols_of_a_linked_program_stay() -> None:
    raw = elf(
        text(bytes(4)), symbols=[Symbol(name="main", value=0x1000)], segments=[Segment(vaddr=0x1000, data=b"code")]
    )
    assert read(raw).symbols.find("main") == 0x1000


def test_an_entry_stays_in_64_bits() -> None:
    assert read(elf(segments=[Segment(vaddr=0, data=b"code")], type=ET_DYN, entry=(1 << 64) - 1)).entry == PIE - 1


ATTRIBUTES = "rv64i2p1_m2p0_a2p1{}_zicsr2p0"


@pytest.mark.parametrize(
    ("flags", "arch", "compressed"),
    [
        (1, None, True), (0, None, True), (1, "", True), (0, "", False), (0, "_c2p0", True),
        (0, "_f2p2_d2p2_c2p0", True),
        (0, "_zca1p0", True), (0, "_zcb1p0", False), (0, "_zicbom1p0", False), (4, "", False), (5, "", True),
    ],
)  # fmt: skip
def test_whether_compressed_instructions_may_be_used(flags: int, arch: str | None, compressed: bool) -> None:
    sections = [
        Section(
            name=".riscv.attributes", data=b"A\x20\0\0\0riscv\0\x05" + ATTRIBUTES.format(arch).encode() + b"\0", flags=0
        )
    ]
    raw = elf(*(sections if arch is not None else []), segments=[Segment(vaddr=0x1000, data=b"code")], flags=flags)
    assert read(raw).compressed is compressed


def test_attributes_that_say_nothing_of_the_architecture() -> None:
    section = Section(name=".riscv.attributes", data=b"A\0\0\0\0", flags=0)
    assert read(elf(section, segments=[Segment(vaddr=0x1000, data=b"code")], flags=0)).compressed


def one(**claim: int) -> bytes:
    vaddr = claim.pop("vaddr", 0x1000)
    return elf(segments=[Segment(vaddr=vaddr, data=b"code", claim=claim)])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "offset 0: expected an ELF magic, got nothing"),
        (b"hello", "expected an ELF magic"),
        (elf(machine=62), "e_machine: expected 243 (RISC-V), got 62"),
        (elf(segments=[Segment(vaddr=0, data=b"x")], type=ET_REL), "e_type: expected an executable, got type 1"),
        (
            elf(segments=[Segment(vaddr=0, data=b"x")], type=ET_CORE),
            "e_type: expected ET_EXEC, ET_DYN or ET_REL, got 4",
        ),
        (elf(), "expected something to load, got no PT_LOAD"),
        (elf(segments=[Segment(vaddr=0x1000, data=b"")]), "expected something to load, got no PT_LOAD"),
        (one(filesz=5, memsz=4), "program header 0: expected p_filesz up to p_memsz, got 0x5 > 0x4"),
        (one(offset=1 << 63), "program header 0: expected bytes within"),
        (one(offset=(1 << 64) - 2), "expected bytes within"),
        (one(filesz=1 << 40, memsz=1 << 40), "expected bytes within"),
        (
            one(vaddr=(1 << 64) - 3),
            "program header 0: expected an end below 2**64, got 0x4 bytes at 0xfffffffffffffffd",
        ),
        (one(memsz=(1 << 32) + 1), "expected at most 0x100000000 bytes, got 0x100000001"),
        (one(memsz=(1 << 64) - 1), "expected an end below 2**64"),
        (
            elf(segments=[Segment(vaddr=0x1000, data=b"x" * 9), Segment(vaddr=0x1008, data=b"y")]),
            "expected segments apart",
        ),
        (elf(segments=[Segment(vaddr=0, data=b"x")], phnum=9), "program headers: expected 9 of 56 bytes"),
        (elf(segments=[Segment(vaddr=0, data=b"x")], phentsize=32), "program headers: expected"),
        (elf(segments=[Segment(vaddr=0, data=b"x")], phoff=(1 << 64) - 1), "program headers: expected"),
        (elf(segments=[Segment(vaddr=(1 << 64) - PIE, data=b"x")], type=ET_DYN), "expected an end below 2**64"),
    ],
)
def test_mistakes(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(raw)
    assert str(caught.value).startswith("prog: ")
    assert message in str(caught.value)


def test_a_program_that_wants_a_loader() -> None:
    raw = bytearray(elf(segments=[Segment(vaddr=0x1000, data=b"code"), Segment(vaddr=0, data=b"/lib/ld.so")]))
    raw[64 + 56 : 64 + 60] = struct.pack("<I", 3)
    with pytest.raises(ImageError, match="expected a static executable, got one that asks for a dynamic loader"):
        read(bytes(raw))


def test_segments_that_touch() -> None:
    raw = elf(segments=[Segment(vaddr=0x1000, data=b"abcd"), Segment(vaddr=0x1004, data=b"efgh")])
    assert [each.span.size for each in read(raw).segments] == [4, 4]


def test_the_last_byte_of_the_address_space() -> None:
    assert read(one(vaddr=(1 << 64) - 4)).segments[0].span.end == 1 << 64


def test_many_segments_are_read_in_time() -> None:
    """Reading is linear: 65,535 headers would take minutes if it were not."""
    count = 65_535
    header = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 4, 4, 1)
    raw = bytearray(elf(segments=[Segment(vaddr=0, data=b"code")], phnum=count))
    del raw[64:]
    for number in range(count):
        raw += header[:16] + struct.pack("<Q", number * 8) + header[24:]
    program = read(bytes(raw))
    assert len(program.segments) == count
    assert program.segments[-1].span == Span(count * 8 - 8, count * 8 - 4)


def test_damaged_files_end_in_our_own_errors() -> None:
    rng = random.Random(3)
    seed = elf(
        text(bytes(16), 0x1000),
        Section(name=".riscv.attributes", data=b"rv64i2p1_c2p0\0", flags=0),
        symbols=[Symbol(name="main", value=0x1000)],
        segments=[Segment(vaddr=0x1000 * n, data=bytes(64), memsz=100) for n in range(1, 5)],
    )
    wild = (0, 1, 2, 3, 4, 0xFFFF, 0xFFFF_FFFF, 1 << 31, 1 << 63, (1 << 64) - 1, 0x1000, 0xFFFF_FFFF_FFFF_F000)
    loaded = 0
    for _ in range(1500):
        data = bytearray(seed)
        for _ in range(rng.choice((1, 1, 2, 4))):
            size = rng.choice((1, 2, 4, 8))
            at = rng.randrange(64 + 4 * 56) if rng.random() < 0.8 else rng.randrange(len(data) - 8)
            data[at : at + size] = (rng.choice(wild) & (1 << 8 * size) - 1).to_bytes(size, "little")
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        try:
            program = read(bytes(data))
        except GenpatchError as error:
            assert "\n" not in str(error)  # noqa: PT017 - what is wrong is one line
            continue
        loaded += 1
        ends = 0
        for each in program.segments:
            assert ends <= each.span.start < each.span.end <= 1 << 64
            assert len(each.content) <= each.span.size
            ends = each.span.end
        assert 0 <= program.entry < 1 << 64
    assert loaded > 200
