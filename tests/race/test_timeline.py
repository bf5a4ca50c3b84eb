# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores in pieces, and what fetches and loads make of them; expected bytes are written out."""

from __future__ import annotations

import pytest

from genpatch.isa.assemble import assemble
from genpatch.machine.memory import Memory
from genpatch.race.environment import Fetch, Fused
from genpatch.race.model import Act, Event
from genpatch.race.timeline import Loaded, Piece, Timelines, pieces_of

BASE = 0x8000_0000
NOP, JAL = 0x0000_0013, 0x0400_02EF
C_NOP = 0x0001
AUIPC, JALR = 0x0000_1297, 0x0042_82E7


def store(at: int, data: bytes) -> Event:
    return Event(act=Act.STORE, at=BASE + at, data=data)


def timelines(content: bytes, *stores: Event, fetch: Fetch = Fetch.ZICCIF, fused: Fused = Fused.NO) -> Timelines:
    memory = Memory()
    memory.map(BASE, content, size=len(content), permissions="rx")
    return Timelines(memory, [piece for event in stores for piece in pieces_of(event)], fetch, fused)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4 if value & 3 == 3 else 2, "little") for value in values)


EIGHT = bytes(range(1, 9))
CUTS = {
    (0, EIGHT): [(0, b"\1\2\3\4\5\6\7\10")],
    (4, EIGHT): [(4, b"\1\2\3\4"), (8, b"\5\6\7\10")],
    (2, EIGHT): [(2, b"\1\2"), (4, b"\3\4"), (6, b"\5\6"), (8, b"\7\10")],
    (6, EIGHT): [(6, b"\1\2"), (8, b"\3\4"), (10, b"\5\6"), (12, b"\7\10")],
    (0, EIGHT[:4]): [(0, b"\1\2\3\4")],
    (4, EIGHT[:4]): [(4, b"\1\2\3\4")],
    (2, EIGHT[:4]): [(2, b"\1\2"), (4, b"\3\4")],
    (6, EIGHT[:4]): [(6, b"\1\2"), (8, b"\3\4")],
    (6, EIGHT[:2]): [(6, b"\1\2")],
    (3, EIGHT[:2]): [(3, b"\1"), (4, b"\2")],
    (3, EIGHT[:1]): [(3, b"\1")],
    # copies: the widest aligned accesses
    (4, EIGHT + EIGHT[:4]): [(4, b"\1\2\3\4"), (8, b"\5\6\7\10\1\2\3\4")],
    (0, EIGHT + EIGHT): [(0, EIGHT), (8, EIGHT)],
    (2, EIGHT[:6]): [(2, b"\1\2"), (4, b"\3\4\5\6")],
    (2, EIGHT + EIGHT): [(2, b"\1\2"), (4, b"\3\4\5\6"), (8, b"\7\10\1\2\3\4\5\6"), (16, b"\7\10")],
    # where nobody looks
    (2, EIGHT * 3): [(2, EIGHT * 3)],
}


@pytest.mark.parametrize(("at", "data"), CUTS, ids=[f"{len(data)} at {at}" for at, data in CUTS])
def test_pieces(at: int, data: bytes) -> None:
    event = store(at, data)
    assert pieces_of(event) == [Piece(BASE + start, part, event) for start, part in CUTS[at, data]]


def test_pieces_overlap() -> None:
    one, two, three = (pieces_of(store(at, EIGHT[:4]))[0] for at in (0, 4, 0))
    assert one.overlaps(three)
    assert not one.overlaps(two)
    wide = pieces_of(store(0, EIGHT))[0]
    assert wide.overlaps(two)
    assert two.overlaps(wide)


def test_bytes_at_each_moment() -> None:
    lines = timelines(bytes(8), store(0, b"\1\1"), store(1 + 1, b"\2\2\2\2"), store(0, b"\3\3"))
    # pieces: 0 (2 bytes at 0), 1 and 2 (2 bytes each, at 2 and 4), 3 (2 bytes at 0)
    assert lines.bytes_at((), BASE, 4) == (bytes(4),)
    assert lines.bytes_at((2, 0, 3), BASE, 6) == (
        b"\0\0\0\0\0\0", b"\0\0\0\0\2\2", b"\1\1\0\0\2\2", b"\3\3\0\0\2\2",
    )  # fmt: skip
    assert lines.bytes_at((1,), BASE + 1, 2) == (b"\0\0", b"\0\2")


def test_spans() -> None:
    lines = timelines(bytes(16), store(4, EIGHT))
    assert [(span.start - BASE, span.end - BASE) for span in lines.spans] == [(4, 8), (8, 12)]


@pytest.mark.parametrize(
    ("fetch", "expected"),
    [
        (Fetch.STRONG, {JAL}),
        (Fetch.ZICCIF, {NOP, JAL}),
        (Fetch.PARCEL, {NOP, JAL, 0x0000_02EF, 0x0400_0013}),
    ],
)
def test_one_word(fetch: Fetch, expected: set[int]) -> None:
    lines = timelines(words(NOP, NOP), store(0, words(JAL)), fetch=fetch)
    assert {word for (word,) in lines.fetches((0,), BASE, 0)} == expected
    assert lines.fetches((0,), BASE, 1) == ((JAL,),)
    assert lines.fetches((), BASE, 0) == ((NOP,),)


@pytest.mark.parametrize(
    ("fetch", "expected"),
    [
        (Fetch.STRONG, {JAL}),
        (Fetch.ZICCIF, {NOP, JAL, 0x0000_02EF, 0x0400_0013}),
        (Fetch.PARCEL, {NOP, JAL, 0x0000_02EF, 0x0400_0013}),
    ],
)
def test_one_word_across_units(fetch: Fetch, expected: set[int]) -> None:
    lines = timelines(words(C_NOP, NOP, C_NOP), store(2, words(JAL)), fetch=fetch)
    assert {word for (word,) in lines.fetches((0, 1), BASE + 2, 0)} == expected


def test_across_units_each_is_as_new_as_the_fence() -> None:
    lines = timelines(words(C_NOP, NOP, C_NOP), store(2, words(JAL)))
    assert {word for (word,) in lines.fetches((0, 1), BASE + 2, 1)} == {0x0000_02EF, JAL}
    assert {word for (word,) in lines.fetches((1, 0), BASE + 2, 1)} == {0x0400_0013, JAL}


def test_the_strong_see_what_is_there_now() -> None:
    lines = timelines(words(C_NOP, NOP, C_NOP), store(2, words(JAL)), fetch=Fetch.STRONG)
    assert lines.fetches((1,), BASE + 2, 0) == ((0x0400_0013,),)


def test_compressed_and_not() -> None:
    """Whether a second parcel belongs to it is for the first to say, which is stale or new."""
    lines = timelines(words(C_NOP, C_NOP), store(0, words(JAL)[:2]), fetch=Fetch.PARCEL)
    assert set(lines.fetches((0,), BASE, 0)) == {(C_NOP,), (0x0001_02EF,)}


def test_two_in_one_unit() -> None:
    """Each fetch is on its own, also of two instructions in one unit."""
    lines = timelines(words(C_NOP, C_NOP), store(0, assemble("c.li a0, 1\n c.li a1, 1", 0)))
    assert {word for (word,) in lines.fetches((0,), BASE, 0)} == {C_NOP, 0x4505}
    assert {word for (word,) in lines.fetches((0,), BASE + 2, 0)} == {C_NOP, 0x4585}


PAIR = words(AUIPC, JALR)


@pytest.mark.parametrize(
    ("fused", "expected"),
    [
        (Fused.NO, {(NOP,), (AUIPC,)}),
        (Fused.CALL, {(NOP,), (AUIPC, JALR)}),
        (Fused.ANY, {(NOP, NOP), (AUIPC, JALR)}),
    ],
)
def test_fused(fused: Fused, expected: set[tuple[int, ...]]) -> None:
    lines = timelines(words(NOP, NOP) + words(NOP, NOP), store(0, PAIR), fused=fused)
    assert set(lines.fetches((0,), BASE, 0)) == expected
    assert set(lines.fetches((0,), BASE + 4, 0)) == {(NOP,), (JALR,)}


def test_fused_and_strong() -> None:
    lines = timelines(words(NOP, NOP), store(0, PAIR), fetch=Fetch.STRONG, fused=Fused.ANY)
    assert lines.fetches((0,), BASE, 0) == ((AUIPC, JALR),)


def test_not_aligned_is_not_fused() -> None:
    lines = timelines(words(NOP, NOP, NOP, NOP), store(4, PAIR), fused=Fused.ANY)
    assert set(lines.fetches((0, 1), BASE + 4, 0)) == {(NOP,), (AUIPC,)}


def test_compressed_are_not_fused() -> None:
    lines = timelines(words(NOP, C_NOP, C_NOP), store(0, words(JAL)), fused=Fused.ANY)
    assert set(lines.fetches((0,), BASE, 0)) == {(NOP,), (JAL,)}


def test_a_call_is_by_one_register() -> None:
    other = words(AUIPC, JALR ^ 1 << 15)  # through another one
    lines = timelines(words(NOP, NOP), store(0, other), fused=Fused.CALL)
    assert set(lines.fetches((0,), BASE, 0)) == {(NOP,), (AUIPC,)}


OLD, NEW = 0x1111_1111_2222_2222, 0x3333_3333_4444_4444
QUAD = NEW.to_bytes(8, "little")


def test_an_aligned_load() -> None:
    lines = timelines(OLD.to_bytes(8, "little"), store(0, QUAD))
    assert lines.loads((0,), BASE, 8, 0) == [
        (OLD, (Loaded(BASE, 8, 0),)),
        (NEW, (Loaded(BASE, 8, 1),)),
    ]
    assert lines.loads((0,), BASE, 8, 1) == [(NEW, (Loaded(BASE, 8, 1),))]
    assert [value for value, _ in lines.loads((0,), BASE + 4, 4, 0)] == [0x1111_1111, 0x3333_3333]


def test_a_misaligned_load_is_torn() -> None:
    lines = timelines(bytes(4) + OLD.to_bytes(8, "little") + bytes(4), store(4, QUAD))
    found = dict(lines.loads((1, 0), BASE + 4, 8, 0))
    assert set(found) == {OLD, NEW, 0x3333_3333_2222_2222, 0x1111_1111_4444_4444}
    assert found[NEW] == (Loaded(BASE + 4, 4, 2), Loaded(BASE + 8, 4, 1))
    assert set(dict(lines.loads((1, 0), BASE + 4, 8, 1))) == {NEW, 0x3333_3333_2222_2222}


def test_an_aligned_load_of_a_misaligned_store_is_torn_by_time() -> None:
    lines = timelines(bytes(16), store(0, QUAD[:4]), store(4, QUAD[4:]))
    assert [value for value, _ in lines.loads((1, 0), BASE, 8, 0)] == [0, 0x3333_3333_0000_0000, NEW]


def test_no_byte_is_loaded_older_than_before() -> None:
    lines = timelines(OLD.to_bytes(8, "little"), store(0, QUAD))
    known = (Loaded(BASE + 4, 4, 1),)
    assert [value for value, _ in lines.loads((0,), BASE, 8, 0, known)] == [NEW]
    assert [value for value, _ in lines.loads((0,), BASE, 4, 0, known)] == [0x2222_2222, 0x4444_4444]


def test_the_earliest_moment_counts() -> None:
    """A value that comes back may be from either time."""
    lines = timelines(b"\1" * 8, store(0, b"\2" * 8), store(0, b"\1" * 8))
    assert [(value & 0xFF, parts[0].moment) for value, parts in lines.loads((0, 1), BASE, 8, 0)] == [(1, 0), (2, 1)]
    assert [(value & 0xFF, parts[0].moment) for value, parts in lines.loads((0, 1), BASE, 8, 1)] == [(2, 1), (1, 2)]


def test_behind_the_end_of_memory() -> None:
    """A torn word may look longer than there is memory for."""
    lines = timelines(words(C_NOP), store(0, words(JAL)[:2]))
    assert set(lines.fetches((0,), BASE, 0)) == {(C_NOP,), (0x0000_02EF,)}
