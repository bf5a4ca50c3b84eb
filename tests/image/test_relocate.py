# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a relocatable kernel once its dynamic relocations are applied, byte by byte."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from genpatch.errors import GenpatchError
from genpatch.image.containers import Content, Format
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.image.relocate import relocated_bytes
from genpatch.run.kernel import KernelBench, has_returned
from tests.elfwriter import (
    ALLOC,
    DYNSYM,
    ET_DYN,
    OBJECT,
    R_RISCV_32,
    R_RISCV_64,
    R_RISCV_NONE,
    R_RISCV_RELATIVE,
    WRITE,
    Section,
    Symbol,
    elf,
    rela,
    symbol_record,
    text,
)

TEXT, DATA, OTHER = 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_8010_0000, 0xFFFF_FFFF_8020_0000
LOAD_AND_RETURN = bytes.fromhex("0335050067800000")  # ld a0, 0(a0); ret


def kernel(
    *records: tuple[int, int, int, int], values: tuple[int, ...] = (), rela_name: str = ".rela.dyn", **more: object
) -> KernelImage:
    dynsym = bytes(24) + b"".join(symbol_record(0, Symbol(name="", value=value), 1) for value in values)
    sections = [
        text(LOAD_AND_RETURN, TEXT),
        Section(name=".data", data=bytes(range(64)), addr=DATA, flags=ALLOC | WRITE),
        Section(name=".other", data=b"\x11" * 12, size=12, addr=OTHER, flags=ALLOC | WRITE),
        Section(name=".dynsym", type=DYNSYM, data=dynsym, addr=OTHER + 0x1000),
        rela(*records, name=rela_name, flags=ALLOC, addr=OTHER + 0x2000),
    ]
    symbols = [Symbol(name="start_kernel", value=TEXT), Symbol(name="word", value=DATA, section=".data", kind=OBJECT)]
    if "bounds" in more:
        low, high = more["bounds"]  # type: ignore[misc]
        symbols += [Symbol(name="__rela_dyn_start", value=low, section=rela_name, kind=OBJECT)]
        symbols += [Symbol(name="__rela_dyn_end", value=high, section=rela_name, kind=OBJECT)]
    return image_of(elf(*sections, symbols=symbols, type=ET_DYN))


def image_of(raw: bytes) -> KernelImage:
    return read_image(Content(path="vmlinux", format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


def bytes_of(image: KernelImage) -> dict[str, bytes]:
    return {region.name: data.tobytes() for region, data in relocated_bytes(image)}


def test_relative() -> None:
    found = bytes_of(kernel((DATA + 8, 0, R_RISCV_RELATIVE, TEXT - (1 << 64))))
    assert found[".data"] == bytes(range(8)) + bytes.fromhex("00000080ffffffff") + bytes(range(16, 64))
    assert found[".text"] == LOAD_AND_RETURN
    assert found[".other"] == b"\x11" * 12


def test_symbols_and_addends() -> None:
    records = [
        (DATA, 1, R_RISCV_64, 0),
        (DATA + 8, 2, R_RISCV_64, 5),
        (DATA + 16, 2, R_RISCV_64, -0x2001),
        (DATA + 24, 0, R_RISCV_64, 7),
    ]
    found = bytes_of(kernel(*records, values=(0x1122334455667788, 0x2000)))[".data"]
    assert found[:32] == bytes.fromhex("88776655443322110520000000000000ffffffffffffffff0700000000000000")
    assert found[32:] == bytes(range(32, 64))


def test_unaligned_places_and_the_last_eight_bytes() -> None:
    found = bytes_of(kernel((DATA + 3, 0, R_RISCV_RELATIVE, 0x0102030405060708), (DATA + 56, 0, R_RISCV_RELATIVE, -1)))[
        ".data"
    ]
    assert found == bytes([0, 1, 2, 8, 7, 6, 5, 4, 3, 2, 1]) + bytes(range(11, 56)) + b"\xff" * 8


def test_the_last_of_two_relocations_stays() -> None:
    found = bytes_of(
        kernel((DATA, 0, R_RISCV_RELATIVE, 1), (DATA, 0, R_RISCV_RELATIVE, 2), (DATA + 4, 0, R_RISCV_RELATIVE, 0))
    )
    assert found[".data"][:12] == bytes.fromhex("020000000000000000000000")


@pytest.mark.parametrize(
    "record",
    [
        (DATA - 1, 0, R_RISCV_RELATIVE, -1), (DATA + 57, 0, R_RISCV_RELATIVE, -1), (DATA + 64, 0, R_RISCV_RELATIVE, -1),
        (OTHER + 5, 0, R_RISCV_RELATIVE, -1), (0, 0, R_RISCV_RELATIVE, -1), ((1 << 64) - 4, 0, R_RISCV_RELATIVE, -1),
        (DATA, 0, R_RISCV_NONE, -1), (DATA, 1, R_RISCV_32, -1), (DATA, 99, R_RISCV_64, -1),
        (DATA, 0xFFFFFFFF, R_RISCV_64, -1),
        (DATA, 0, 0xFFFFFFFF, -1),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_changes_nothing(record: tuple[int, int, int, int]) -> None:
    assert bytes_of(kernel(record, values=(5,))) == bytes_of(kernel(values=(5,))) | {
        ".rela.dyn": rela(record, name="x").data
    }


def test_an_offset_that_wraps_around_a_region_at_zero() -> None:
    zero = Section(name=".zero", data=bytes(range(32)), addr=0, flags=ALLOC | WRITE)
    names = [Symbol(name="start_kernel", value=0, section=".zero")]
    records = rela(
        ((1 << 64) - 4, 0, R_RISCV_RELATIVE, -1),
        (8, 0, R_RISCV_RELATIVE, 0),
        name=".rela.dyn",
        flags=ALLOC,
        addr=0x1000,
    )
    found = bytes_of(image_of(elf(zero, records, symbols=names, type=ET_DYN)))
    assert found[".zero"] == bytes(range(8)) + bytes(8) + bytes(range(16, 32))


def test_regions_shorter_than_a_word() -> None:
    tiny = Section(name=".tiny", data=b"abc", addr=DATA, flags=ALLOC | WRITE)
    names = [Symbol(name="start_kernel", value=DATA, section=".tiny")]
    records = rela((DATA, 0, R_RISCV_RELATIVE, -1), name=".rela.dyn", flags=ALLOC, addr=0x1000)
    assert bytes_of(image_of(elf(tiny, records, symbols=names, type=ET_DYN)))[".tiny"] == b"abc"


def test_the_image_itself_is_left_alone() -> None:
    image = kernel((DATA, 0, R_RISCV_RELATIVE, -1))
    assert bytes_of(image)[".data"][:8] == b"\xff" * 8
    assert image.memory.read(DATA, 8) == bytes(range(8))


def test_records_between_symbols() -> None:
    """As in a boot image, where nothing is named a section."""
    record, bounds = (DATA, 0, R_RISCV_RELATIVE, 0x55), (OTHER + 0x2000, OTHER + 0x2018)
    assert bytes_of(kernel(record, rela_name=".init.rela", bounds=bounds))[".data"][:8] == b"\x55" + bytes(7)
    assert bytes_of(kernel(record, rela_name=".init.rela", bounds=bounds[::-1]))[".data"] == bytes(range(64))
    assert bytes_of(kernel(record, rela_name=".init.rela", bounds=(bounds[0], bounds[1] + 1)))[".data"] == bytes(
        range(64)
    )
    assert bytes_of(kernel(record, rela_name=".init.rela"))[".data"] == bytes(range(64))


def test_a_ragged_tail_of_the_table() -> None:
    record, bounds = (DATA, 0, R_RISCV_RELATIVE, 0x55), (OTHER + 0x2000, OTHER + 0x2017)
    assert bytes_of(kernel(record, rela_name=".init.rela", bounds=bounds))[".data"] == bytes(range(64))


def test_a_function_sees_relocated_data() -> None:
    bench = KernelBench(kernel((DATA, 1, R_RISCV_64, 2), values=(40,)))
    assert has_returned(bench.call("start_kernel", DATA))
    assert bench.hart.x[10] == 42


def test_many_relocations_agree_with_one_at_a_time() -> None:
    rng = random.Random(11)
    for _ in range(60):
        values = tuple(rng.getrandbits(64) for _ in range(rng.randrange(4)))
        places = (DATA, OTHER, TEXT, 0, (1 << 64) - 8)
        records = [
            (
                (rng.choice(places) + rng.randrange(-9, 70)) % (1 << 64), rng.randrange(6),
                rng.choice((R_RISCV_RELATIVE, R_RISCV_64, R_RISCV_64, R_RISCV_32)), rng.randrange(-(1 << 63), 1 << 63),
            )
            for _ in range(rng.randrange(20))
        ]  # fmt: skip
        expected = {TEXT: bytearray(LOAD_AND_RETURN), DATA: bytearray(range(64)), OTHER: bytearray(b"\x11" * 12)}
        for place, symbol, kind, addend in records:
            if kind == R_RISCV_32 or (kind == R_RISCV_64 and symbol > len(values)):
                continue
            base = (0, *values)[symbol] if kind == R_RISCV_64 else 0
            for start, data in expected.items():
                if start <= place <= start + len(data) - 8:
                    data[place - start : place - start + 8] = struct.pack("<Q", (base + addend) % (1 << 64))
        found = bytes_of(kernel(*records, values=values))
        assert [found[name] for name in (".text", ".data", ".other")] == [bytes(each) for each in expected.values()]


def test_damaged_tables_end_in_our_own_errors() -> None:
    rng = random.Random(12)
    seed = elf(
        text(LOAD_AND_RETURN, TEXT),
        Section(name=".data", data=bytes(64), addr=DATA, flags=ALLOC | WRITE),
        Section(name=".dynsym", type=DYNSYM, data=bytes(48), addr=OTHER),
        rela(
            *[(DATA + 8 * n, n % 3, 2 + n % 2, n) for n in range(8)], name=".rela.dyn", flags=ALLOC, addr=OTHER + 0x1000
        ),
        symbols=[Symbol(name="start_kernel", value=TEXT)],
        type=ET_DYN,
    )
    read = 0
    for _ in range(500):
        data = bytearray(seed)
        for _ in range(rng.randrange(1, 6)):
            at, size = rng.randrange(len(data)), rng.choice((1, 4, 8))
            data[at : at + size] = rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size)))[: len(data) - at]
        try:
            regions = relocated_bytes(image_of(bytes(data)))
        except GenpatchError:
            continue
        assert all(len(found) == len(region.data) for region, found in regions)
        read += 1
    assert read > 100
