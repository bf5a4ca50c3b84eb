# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of a scalar hart, without a hart."""

from __future__ import annotations

import pytest

from genpatch.machine.memory import PAGE, Memory
from genpatch.machine.outcome import Cause, CodeWritten, Trap
from genpatch.units import Span

TOP = 1 << 64


def views_load(memory: Memory, code: str, address: int) -> int:
    width = {"b": 1, "h": 2, "i": 4, "q": 8}[code.lower()]
    return int(memory.loads[code][address >> 12][(address & 4095) // width])


def views_store(memory: Memory, code: str, address: int, value: int) -> None:
    width = {"b": 1, "h": 2, "i": 4, "q": 8}[code.lower()]
    memory.stores[code][address >> 12][(address & 4095) // width] = value


def trap_of(memory: Memory, method: str, *args: int) -> tuple[Cause, int]:
    with pytest.raises(Trap) as caught:
        getattr(memory, method)(*args)
    return caught.value.cause, caught.value.tval


# -- what is mapped


def test_regions_that_cannot_be() -> None:
    memory = Memory()
    memory.map(0x1000, size=0x1000)
    for start, size in ((0x1000, 1), (0x1FFF, 1), (0xFFF, 2), (0x800, 0x4000), (0, 0), (-1, 1), (TOP - 1, 2)):
        with pytest.raises(ValueError):
            memory.map(start, size=size)
        with pytest.raises(ValueError):
            memory.alias(start, size, 0x1000)
    memory.map(0xFFF, size=1)
    memory.map(0x2000, size=1)
    memory.map(TOP - 1, b"\7")
    assert memory.load(1, TOP - 1) == 7
    assert [m.span.start for m in memory.mappings] == [0xFFF, 0x1000, 0x2000, TOP - 1]


def test_content_is_shared_and_never_written() -> None:
    content = bytearray(b"\x11" * 0x1800)
    memory = Memory()
    memory.map(0x1000, content, size=0x3000)
    views_store(memory, "Q", 0x1008, 0x0123456789ABCDEF)
    memory.store(8, 0x27FC, 0xFFFF_FFFF_FFFF_FFFF)
    assert content == b"\x11" * 0x1800
    assert memory.load(8, 0x1008) == views_load(memory, "Q", 0x1008) == 0x0123456789ABCDEF
    assert memory.load(8, 0x1010) == 0x1111_1111_1111_1111
    assert memory.load(8, 0x27FC) == TOP - 1
    assert memory.read(0x2803, 0x10) == b"\xff" + bytes(15)
    assert views_load(memory, "Q", 0x3FF8) == 0


@pytest.mark.parametrize(("code", "value"), [("b", -0x80), ("h", -0x8000), ("i", -(1 << 31)), ("q", -(1 << 63))])
def test_signed_views(code: str, value: int) -> None:
    memory = Memory()
    memory.map(0x1000, size=0x1000)
    memory.map(0x2000, size=0x801)  # no plain page
    width = {"b": 1, "h": 2, "i": 4, "q": 8}[code]
    for address in (0x1040, 0x2040):
        memory.store(width, address, value)
        assert views_load(memory, code, address) == memory.load_signed(width, address) == value
        assert views_load(memory, code.upper(), address) == memory.load(width, address) == value + (1 << 8 * width)


def test_a_region_mapped_into_a_page_that_was_written() -> None:
    memory = Memory()
    memory.map(0x1000, b"a" * 0x800)
    memory.store(1, 0x1000, ord("x"))
    memory.map(0x1800, b"b" * 0x400, size=0x800)
    assert memory.read(0x17FF, 2) == b"ab"
    assert memory.load(2, 0x17FF) == 0x6261
    assert memory.read(0x1BFF, 2) == b"b\0"
    assert memory.read(0x1000, 1) == b"x"


def test_unmap_and_map_again() -> None:
    memory = Memory()
    mapping = memory.map(0x1000, b"a" * 0x1000)
    views_store(memory, "B", 0x1000, 1)
    assert views_load(memory, "B", 0x1000) == 1
    memory.unmap(mapping)
    assert trap_of(memory, "load", 1, 0x1000) == (Cause.LOAD_FAULT, 0x1000)
    with pytest.raises(Trap):
        views_load(memory, "B", 0x1000)
    with pytest.raises(Trap):
        views_store(memory, "B", 0x1000, 1)
    with pytest.raises(ValueError):
        memory.unmap(mapping)
    memory.map(0x1000, b"c" * 0x1000)
    assert memory.read(0x1000, 2) == b"cc"
    memory.store(1, 0x1000, ord("d"))
    views_store(memory, "B", 0x1001, ord("e"))
    assert memory.read(0x1000, 3) == b"dec"


def test_unmap_one_of_two_regions_of_a_page() -> None:
    memory = Memory()
    first, _ = memory.map(0x1000, b"a" * 0x800), memory.map(0x1800, b"b" * 0x800)
    memory.store(4, 0x17FE, 0x31323334)
    memory.unmap(first)
    assert trap_of(memory, "load", 2, 0x17FF) == (Cause.LOAD_FAULT, 0x17FF)
    assert memory.read(0x1800, 3) == b"21b"
    memory.map(0x1400, b"c" * 0x400)
    assert memory.read(0x17FE, 4) == b"cc21"


def test_unmapped_or_replaced_code_is_forgotten() -> None:
    memory = Memory()
    mapping = memory.map(0x1000, b"\x13\0\0\0", size=0x1000, permissions="rx")
    memory.fetch(0x1000)
    epoch = memory.epoch
    memory.unmap(mapping)
    assert memory.epoch > epoch
    assert trap_of(memory, "fetch", 0x1000) == (Cause.FETCH_FAULT, 0x1000)


# -- permissions, faults, wrap-around


def test_permissions() -> None:
    memory = Memory()
    for number, permissions in enumerate(("", "r", "w", "x", "rw", "rx", "wx", "rwx")):
        start = 0x1_0000 + number * PAGE
        memory.map(start, size=PAGE, permissions=permissions)
        for width in (1, 2, 4, 8):
            if "r" in permissions:
                assert memory.load(width, start) == 0
            else:
                assert trap_of(memory, "load", width, start) == (Cause.LOAD_FAULT, start)
            if "w" in permissions:
                memory.store(width, start, 0)
            else:
                assert trap_of(memory, "store", width, start, 0) == (Cause.STORE_FAULT, start)
        if "x" not in permissions:
            assert trap_of(memory, "fetch", start) == (Cause.FETCH_FAULT, start)
        assert memory.read(start, 4) == bytes(4)  # the host may
        memory.write(start, b"host")
        assert memory.read(start, 4) == b"host"


def test_the_first_byte_that_faults() -> None:
    memory = Memory()
    memory.map(0x1000, size=0x1803)
    memory.map(0x2803, size=0x7FD, permissions="r")
    for width in (2, 4, 8):
        for before in range(1, width):
            assert trap_of(memory, "store", width, 0x2803 - before, TOP - 1) == (Cause.STORE_FAULT, 0x2803)
            assert memory.read(0x27F8, 0x20) == bytes(0x20)  # nothing is stored
            assert memory.load(width, 0x2803 - before) == 0
            assert trap_of(memory, "load", width, 0x3000 - before) == (Cause.LOAD_FAULT, 0x3000)
            assert trap_of(memory, "load", width, 0x1000 - before) == (Cause.LOAD_FAULT, 0x1000 - before)


def test_wrap_around() -> None:
    memory = Memory()
    memory.map(TOP - PAGE, b"", size=PAGE)
    memory.map(0, size=PAGE)
    memory.store(8, TOP - 3, 0x0807060504030201)
    assert memory.read(TOP - 3, 3) + memory.read(0, 5) == bytes(range(1, 9))
    assert memory.load(8, TOP - 3) == memory.load(8, -3) == 0x0807060504030201
    assert memory.load_signed(1, TOP + 1) == 5
    assert views_load(memory, "Q", TOP) == memory.load(8, 0)
    views_store(memory, "Q", -8, 9)
    assert memory.load(8, TOP - 8) == 9


def test_misaligned_refused() -> None:
    memory = Memory(misaligned=False)
    memory.map(0x1000, size=0x2000)
    for width in (2, 4, 8):
        assert memory.load(width, 0x1000 + width) == 0
        for off in range(1, width):
            assert trap_of(memory, "load", width, 0x1000 + off) == (Cause.LOAD_MISALIGNED, 0x1000 + off)
            assert trap_of(memory, "store", width, 0x1FFF, 0) == (Cause.STORE_MISALIGNED, 0x1FFF)
    assert trap_of(memory, "load", 4, 0x9001) == (Cause.LOAD_MISALIGNED, 0x9001)


# -- fetching


def test_fetch_at_the_end_of_regions() -> None:
    memory = Memory()
    memory.map(0x1000, b"\x01\x00" * 0x7FF + b"\x13\x05", permissions="x")
    assert memory.fetch(0x1FFC) == 1  # a short instruction is read alone
    assert trap_of(memory, "fetch", 0x1FFE) == (Cause.FETCH_FAULT, 0x2000)
    data = memory.map(0x2000, b"\x30\x00", permissions="r")
    assert trap_of(memory, "fetch", 0x1FFE) == (Cause.FETCH_FAULT, 0x2000)
    memory.unmap(data)
    memory.map(0x2000, b"\x30\x00\x01", permissions="x")
    assert memory.fetch(0x1FFE) == 0x00300513
    assert trap_of(memory, "fetch", 0x2002) == (Cause.FETCH_FAULT, 0x2002)  # half a parcel
    memory.map(TOP - 2, b"\x13\x05", permissions="x")
    assert trap_of(memory, "fetch", TOP - 2) == (Cause.FETCH_FAULT, 0)
    memory.map(0, b"\x10\x00", permissions="x")
    assert memory.fetch(TOP - 2) == 0x00100513


def test_stores_to_fetched_bytes_are_announced() -> None:
    memory = Memory()
    memory.map(0x1000, b"\x13\0\0\0" * 4, size=0x1000, permissions="rwx")
    memory.store(4, 0x1000, 0x01)
    views_store(memory, "Q", 0x1FF8, 1)  # from now on quick
    assert memory.epoch == 0
    memory.fetch(0x1000)
    memory.fetch(0x1004)
    for address in (0x1004, 0x1007, 0x1001, 0x1000):
        with pytest.raises(CodeWritten):
            memory.store(1, address, 0xFF)
    with pytest.raises(CodeWritten):
        views_store(memory, "Q", 0x1000, 0)
    assert memory.read(0x1004, 4) == b"\x13\0\0\0"
    memory.store(2, 0x1002, 0)  # the parcel behind a short instruction was not fetched
    views_store(memory, "Q", 0x1008, 5)  # nor was this
    assert memory.epoch == 0
    memory.guarded = False
    memory.store(8, 0x1003, 0)
    assert memory.epoch == 1
    memory.write(0x1004, b"\1\2")
    assert memory.epoch == 1  # nobody has fetched it since
    memory.fetch(0x1004)
    memory.write(0x1004, b"\1\2")
    assert memory.epoch == 2


# -- aliases


def aliased() -> Memory:
    memory = Memory()
    memory.map(0x1000, bytes(range(256)) * 16, permissions="rx")
    memory.map(0x2000, b"\xee" * 0x1000)
    memory.alias(0x8800, 0x1000, 0x1800)  # across both
    return memory


def test_alias() -> None:
    memory = aliased()
    assert memory.load(4, 0x8800) == 0x03020100
    memory.store(8, 0x8FFC, 0x0807060504030201)  # read-only there, writable here
    assert memory.read(0x1FFC, 8) == memory.read(0x8FFC, 8) == bytes(range(1, 9))
    assert memory.load(8, 0x1FFC) == memory.load(8, 0x8FFC) == 0x0807060504030201
    assert trap_of(memory, "store", 1, 0x1FFC, 0) == (Cause.STORE_FAULT, 0x1FFC)
    assert trap_of(memory, "load", 1, 0x9800) == (Cause.LOAD_FAULT, 0x9800)
    views_store(memory, "B", 0x2001, 0x77)
    assert views_load(memory, "B", 0x9001) == 0x77
    memory.write(0x8FFF, b"AB")
    assert memory.read(0x1FFF, 2) == memory.read(0x8FFF, 2) == b"AB"


def test_host_across_the_end_of_an_alias() -> None:
    memory = aliased()
    memory.map(0x9800, b"behind", size=0x800)
    assert memory.read(0x97FF, 4) == b"\xeebeh"
    memory.write(0x97FF, b"1234")
    assert memory.read(0x27FF, 2) == b"1\xee"
    assert memory.read(0x9800, 4) == b"234i"
    memory.map(0x8700, b"0" * 0x100)
    assert memory.read(0x87FE, 3) == b"00\0"
    memory.write(0x87FE, b"abc")
    assert memory.read(0x87FE, 3) == b"abc"
    assert memory.read(0x1800, 1) == b"c"


def test_alias_to_code() -> None:
    memory = aliased()
    memory.fetch(0x1800)
    with pytest.raises(CodeWritten):
        memory.store(1, 0x8800, 1)
    memory.guarded = False
    memory.store(1, 0x8800, 1)
    assert memory.epoch == 1


def test_fetch_through_an_alias() -> None:
    memory = Memory()
    memory.map(0x1000, b"\x13\x05\x30\x00", size=0x1000, permissions="rw")
    memory.alias(0x5000, 0x1000, 0x1000, permissions="rx")
    assert memory.fetch(0x5000) == 0x00300513
    with pytest.raises(CodeWritten):
        memory.store(4, 0x1000, 0x00400513)
    memory.guarded = False
    memory.store(4, 0x1000, 0x00400513)
    assert memory.epoch == 1
    assert memory.fetch(0x5000) == 0x00400513


def test_alias_to_nothing() -> None:
    memory = Memory()
    memory.alias(0x5000, 0x1000, 0x1000, permissions="rwx")
    for method, cause in (("load", Cause.LOAD_FAULT), ("store", Cause.STORE_FAULT), ("fetch", Cause.FETCH_FAULT)):
        args = {"load": (1,), "store": (1,), "fetch": ()}[method]
        with pytest.raises(Trap) as caught:
            getattr(memory, method)(*args, 0x5000, *((0,) if method == "store" else ()))
        assert caught.value.cause == cause


# -- forks


def test_fork_isolates_both_ways() -> None:
    memory = Memory()
    memory.map(0x1000, b"m" * 0x3000)
    views_store(memory, "B", 0x1000, ord("1"))
    assert views_load(memory, "B", 0x2000) == ord("m")
    child = memory.fork()
    views_store(memory, "B", 0x1001, ord("p"))
    views_store(child, "B", 0x1002, ord("c"))
    memory.store(1, 0x2000, ord("P"))
    child.store(1, 0x2001, ord("C"))
    assert memory.read(0x1000, 4) == b"1pmm"
    assert child.read(0x1000, 4) == b"1mcm"
    assert memory.read(0x2000, 3) == b"Pmm"
    assert child.read(0x2000, 3) == b"mCm"
    grandchild = child.fork()
    grandchild.write(0x1000, b"G")
    assert [each.load(1, 0x1000) for each in (memory, child, grandchild)] == [ord("1"), ord("1"), ord("G")]
    child.map(0x9000, size=1)
    assert memory.mapping_at(0x9000) is None
    assert views_load(memory, "B", 0x1001) == ord("p")


def test_fork_keeps_what_a_memory_is() -> None:
    memory = Memory(misaligned=False)
    memory.map(0x1000, size=0x1000, poison=True)
    memory.store(1, 0x1000, 5)
    memory.watch(Span(0x1000, 0x1008))
    child = memory.fork()
    seen: list[tuple[str, int, int, int]] = []
    child.observer = lambda *what: seen.append(what)
    child.store(2, 0x1002, 0x1234)
    assert child.load(1, 0x1000) == 5
    child.load(1, 0x1001)
    assert seen == [("store", 0x1002, 2, 0x1234), ("poison", 0x1001, 1, 0)]
    assert trap_of(child, "load", 2, 0x1001) == (Cause.LOAD_MISALIGNED, 0x1001)
    memory.observer = lambda *what: seen.append(what)
    memory.load(1, 0x1002)
    assert seen[2:] == [("poison", 0x1002, 1, 0)]


# -- poison and watch


def test_poison() -> None:
    memory = Memory()
    memory.map(0x1000, size=0x1800, poison=True)
    seen: list[tuple[str, int, int, int]] = []
    memory.observer = lambda *what: seen.append(what)
    memory.store(4, 0x1004, 0)
    assert memory.load(4, 0x1004) == 0
    assert seen == []
    assert memory.load(8, 0x1000) == 0x00000000_A5A5A5A5
    assert views_load(memory, "B", 0x1FFF) == 0xA5
    assert memory.load(2, 0x1FFF) == 0xA5A5
    assert seen == [("poison", 0x1000, 8, 0), *[("poison", 0x1FFF, 1, 0)] * 2, ("poison", 0x2000, 1, 0)]
    assert memory.read(0x1003, 2) == b"\xa5\0"
    assert memory.read(0x2700, 2) == b"\xa5\xa5"
    assert len(seen) == 4  # the host may look
    memory.write(0x2000, b"\1")
    assert memory.load(1, 0x2000) == 1
    assert len(seen) == 4


def test_poison_beside_other_bytes() -> None:
    memory = Memory()
    memory.map(0x1000, b"left", size=0x400)
    memory.map(0x1400, b"known", size=0x400, poison=True)
    memory.map(0x1800, b"right", size=0x800)
    seen: list[tuple[str, int, int, int]] = []
    memory.observer = lambda *what: seen.append(what)
    assert memory.load(1, 0x1405) == 0xA5
    assert memory.read(0x1000, 5) == b"left\0"
    assert memory.read(0x1800, 6) == b"right\0"
    assert seen == [("poison", 0x1405, 1, 0)]
    assert memory.load(4, 0x1400) == int.from_bytes(b"know", "little")
    assert len(seen) == 1  # what a region begins with was put there


def test_watch() -> None:
    memory = Memory()
    memory.map(0x1000, size=0x2000)
    memory.alias(0x8000, 0x1000, 0x1000)
    views_store(memory, "Q", 0x1010, 1)
    memory.watch(Span(0x1010, 0x1018))
    seen: list[tuple[str, int, int, int]] = []
    memory.observer = lambda *what: seen.append(what)
    views_store(memory, "Q", 0x1008, 1)
    views_store(memory, "Q", 0x1018, 1)
    assert seen == []
    views_store(memory, "B", 0x1010, 0xFE)
    memory.store(8, 0x100C, TOP - 1)
    memory.store(4, 0x8010, 3)
    assert seen == [("store", 0x1010, 1, 0xFE), ("store", 0x100C, 8, TOP - 1), ("store", 0x1010, 4, 3)]
    assert memory.load(4, 0x1010) == 3


def test_strings() -> None:
    memory = Memory()
    memory.map(0x1000, b"abc\0de")
    assert memory.string(0x1000) == b"abc"
    assert memory.string(0x1003) == b""
    assert trap_of(memory, "string", 0x1004) == (Cause.LOAD_FAULT, 0x1006)
    assert memory.string(0x1004, 2) == b"de"
    memory.map(0x2FF0, b"x" * 0x100)
    assert memory.string(0x2FF0, 0x20) == b"x" * 0x20
    assert memory.string(0x2FF0, 3) == b"xxx"


def test_host_outside() -> None:
    memory = Memory()
    memory.map(0x1000, size=0x10)
    assert trap_of(memory, "read", 0x100F, 2)[1] == 0x1010
    with pytest.raises(Trap):
        memory.write(0x100F, b"ab")
    assert memory.read(0x100F, 1) == b"\0"
    assert memory.read(0x100F, 0) == b""


@pytest.mark.parametrize("width", [1, 8])
def test_an_alias_of_an_alias_leads_nowhere(width: int) -> None:
    memory = Memory()
    memory.alias(0x1000, 0x1000, 0x1000)
    with pytest.raises(Trap) as caught:
        memory.load(width, 0x1008)
    assert (caught.value.cause, caught.value.tval) == (Cause.LOAD_FAULT, 0x1008)
    with pytest.raises(Trap) as caught:
        memory.store(width, 0x1008, 1)
    assert (caught.value.cause, caught.value.tval) == (Cause.STORE_FAULT, 0x1008)
    with pytest.raises(Trap):
        memory.read(0x1008, width)
    with pytest.raises(Trap):
        memory.write(0x1008, bytes(width))
