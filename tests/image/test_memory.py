# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError
from genpatch.image.memory import AddressSpace, Region, sliding_rows
from genpatch.units import Span, U8Array

BASE = 0xFFFF_FFFF_8000_0000
FILE = np.arange(1, 65, dtype=np.uint8)


def region(name: str, start: int, data: U8Array, size: int | None = None, at: int = 0, **more: bool) -> Region:
    return Region(
        name=name,
        span=Span(start, start + (len(data) if size is None else size)),
        data=data,
        executable=more.get("executable", True),
        writable=False,
        alignment=4,
        at=at,
    )


def space(*, with_buffer: bool = True) -> AddressSpace:
    """.text 16 bytes, .data 8 bytes right behind it, a hole, .bss with 4 of 12 bytes stored, .zero."""
    regions = (
        region(".text", BASE, FILE[8:24], at=8),
        region(".data", BASE + 16, FILE[32:40], at=32, executable=False),
        region(".bss", BASE + 64, FILE[60:64], 12, at=60, executable=False),
        region(".zero", BASE + 96, FILE[:0], 32, executable=False),
    )
    return AddressSpace(regions=regions, buffer=FILE if with_buffer else None)


BOTH = pytest.mark.parametrize("with_buffer", [True, False], ids=["buffer", "arrays"])


def windows(memory: AddressSpace, address: int, below: int, width: int) -> tuple[list[int], list[int]]:
    found, stored = memory.windows(np.array([address], np.uint64), below, width)
    return found[0].tolist(), stored[0].astype(int).tolist()


@BOTH
@pytest.mark.parametrize(
    ("offset", "below", "found", "stored"),
    [
        (0, 0, [9, 10, 11, 12], [1, 1, 1, 1]),
        (4, 4, [9, 10, 11, 12], [1, 1, 1, 1]),
        (2, 4, [0, 0, 9, 10], [0, 0, 1, 1]),
        (12, 0, [21, 22, 23, 24], [1, 1, 1, 1]),
        (14, 0, [23, 24, 0, 0], [1, 1, 0, 0]),
        (16, 0, [33, 34, 35, 36], [1, 1, 1, 1]),
        (16, 2, [0, 0, 33, 34], [0, 0, 1, 1]),
        (20, 0, [37, 38, 39, 40], [1, 1, 1, 1]),
        (23, 0, [40, 0, 0, 0], [1, 0, 0, 0]),
        (24, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (24, 4, [0, 0, 0, 0], [0, 0, 0, 0]),
        (-1, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (64, 0, [61, 62, 63, 64], [1, 1, 1, 1]),
        (65, 0, [62, 63, 64, 0], [1, 1, 1, 0]),
        (70, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (70, 4, [63, 64, 0, 0], [1, 1, 0, 0]),
        (96, 0, [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_windows(with_buffer: bool, offset: int, below: int, found: list[int], stored: list[int]) -> None:
    assert windows(space(with_buffer=with_buffer), BASE + offset, below, 4) == (found, stored)


@BOTH
def test_windows_far_away(with_buffer: bool) -> None:
    memory = space(with_buffer=with_buffer)
    for address in (0, 1, 1 << 63, (1 << 64) - 1, BASE - (1 << 32)):
        assert windows(memory, address, 4, 8) == ([0] * 8, [0] * 8)


@BOTH
def test_windows_of_no_addresses(with_buffer: bool) -> None:
    found, stored = space(with_buffer=with_buffer).windows(np.empty(0, np.uint64), 4, 12)
    assert found.shape == stored.shape == (0, 12)


def test_windows_wider_than_the_file() -> None:
    found, stored = windows(space(), BASE, 0, 100)
    assert found == [*range(9, 25), *[0] * 84]
    assert stored == [1] * 16 + [0] * 84


def test_windows_without_regions() -> None:
    assert windows(AddressSpace(regions=(), buffer=FILE), BASE, 0, 4) == ([0] * 4, [0] * 4)


def test_what_windows_gives_may_be_changed() -> None:
    found, _ = space().windows(np.array([BASE], np.uint64), 0, 4)
    found[0, 0] = 99
    assert FILE[8] == 9


@given(
    offsets=st.lists(st.integers(-40, 160), max_size=20),
    below=st.integers(0, 40),
    more=st.integers(1, 40),
)
def test_both_ways_agree(offsets: list[int], below: int, more: int) -> None:
    addresses = np.array([BASE + offset for offset in offsets], np.uint64)
    one = space(with_buffer=True).windows(addresses, below, below + more)
    other = space(with_buffer=False).windows(addresses, below, below + more)
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert not one[0][~one[1]].any()


@given(offset=st.integers(-8, 140), size=st.integers(0, 24))
@settings(max_examples=200)
def test_windows_read_what_read_reads(offset: int, size: int) -> None:
    memory = space()
    found, stored = windows(memory, BASE + offset, 0, 24)
    if memory.has(BASE + offset, size):
        assert stored[:size] == [1] * size
        assert memory.read(BASE + offset, size) == bytes(found[:size])
    elif size and memory.region_at(BASE + offset) is not None:
        assert not all(stored[:size])


def test_region_at() -> None:
    memory = space()
    names = {at: getattr(memory.region_at(BASE + at), "name", None) for at in (-1, 0, 15, 16, 23, 24, 63, 64, 75, 76)}
    assert names == {
        -1: None, 0: ".text", 15: ".text", 16: ".data", 23: ".data", 24: None, 63: None, 64: ".bss", 75: ".bss",
        76: None,
    }  # fmt: skip


def test_region_numbers() -> None:
    addresses = np.array([0, BASE, BASE + 15, BASE + 16, BASE + 24, BASE + 70, BASE + 127, BASE + 128], np.uint64)
    assert space().region_numbers(addresses).tolist() == [-1, 0, 0, 1, -1, 2, 3, -1]
    assert AddressSpace(regions=()).region_numbers(addresses).tolist() == [-1] * 8
    assert AddressSpace(regions=()).region_at(0) is None


def test_has() -> None:
    memory = space()
    assert memory.has(BASE, 16)
    assert not memory.has(BASE, 17)
    assert memory.has(BASE + 16, 8)
    assert memory.has(BASE + 64, 4)
    assert not memory.has(BASE + 64, 5)
    assert not memory.has(BASE + 96)
    assert not memory.has(BASE + 24)


def test_read() -> None:
    memory = space()
    assert memory.read(BASE + 14, 2) == b"\x17\x18"
    assert memory.read(BASE, 0) == b""
    assert memory.unsigned(BASE + 16, 4) == 0x24232221


@pytest.mark.parametrize(("offset", "size"), [(14, 4), (-4, 4), (24, 1), (68, 1), (64, 8), (96, 1), (0, -1)])
def test_read_of_what_is_not_there(offset: int, size: int) -> None:
    place = f"{BASE + offset:#x}"
    with pytest.raises(ImageError, match=f"^address {place}: expected {size} bytes of the image, got none$"):
        space().read(BASE + offset, size)


def test_sliding_rows() -> None:
    rows = sliding_rows(np.array([1, 2, 3, 4], np.uint8), 3)
    assert rows.tolist() == [[1, 2, 3], [2, 3, 4]]
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1
