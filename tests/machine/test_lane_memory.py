# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of lanes: by hand, and against a model that is a dict of bytes for each lane."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from genpatch.machine.lane_access import FETCH, LaneTrap
from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lane_table import Table
from genpatch.machine.outcome import Cause, Trap
from genpatch.units import Span

N = 20
TOP = (1 << 64) - 16
RNG_CONTENT = random.Random("content").randbytes(0x85)


def u64(*values: int) -> Any:
    return np.array(values, np.uint64)


def lanes_of(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def values_of(found: Any, count: int) -> list[int]:
    return np.broadcast_to(found, (count,)).tolist()  # type: ignore[no-any-return]


# -- the table


def test_table_against_a_dict() -> None:
    rng, table, model = random.Random(1), Table(), {}
    for _ in range(60):
        keys = rng.sample(range(0, 5000 << 40, 1 << 40), rng.randrange(1, 200))
        values = [rng.getrandbits(64) for _ in keys]
        table.put(u64(*keys), u64(*values))
        model.update(zip(keys, values, strict=True))
        wanted = [rng.randrange(5200) << 40 for _ in range(300)]
        slots = table.find(u64(*wanted))
        found = [int(table.values[slot]) if slot >= 0 else None for slot in slots]
        assert found == [model.get(key) for key in wanted]
    assert table.count == len(model)


# -- by hand


def test_private_bytes_are_each_lanes_own() -> None:
    memory = LaneMemory(4)
    memory.map_private(0x1000, 0x2000)
    memory.store(None, np.uint64(0x1010), 8, u64(1, 2, 3, 4))
    memory.store(lanes_of(1, 3), np.uint64(0x1012), 2, u64(0xAAAA, 0xBBBB))
    assert memory.load(None, np.uint64(0x1010), 8).tolist() == [1, 0xAAAA0002, 3, 0xBBBB0004]
    assert memory.load(None, u64(0x1010, 0x1012, 0x100F, 0x1013), 4).tolist() == [1, 0xAAAA, 0x300, 0xBB]


def test_load_of_a_private_row_is_a_copy() -> None:
    memory = LaneMemory(2)
    memory.map_private(0x1000, 0x1000)
    memory.store(None, np.uint64(0x1000), 8, u64(5, 6))
    old = memory.load(None, np.uint64(0x1000), 8)
    memory.store(None, np.uint64(0x1000), 8, u64(7, 8))
    assert old.tolist() == [5, 6]


def test_access_over_words_and_pages() -> None:
    memory = LaneMemory(2)
    memory.map_private(0x1000, 0x2000)
    memory.store(None, np.uint64(0x1FFD), 8, np.uint64(0x1122334455667788))
    assert memory.read(None, 0x1FFB, 12).tolist() == [[0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0]] * 2
    assert memory.load(None, u64(0x1FFF, 0x2003), 2).tolist() == [0x5566, 0x1122]


def test_shared_content_and_the_zeros_behind_it() -> None:
    memory = LaneMemory(2)
    memory.map(0x1001, bytes(range(1, 10)), size=16, name="data")
    assert memory.load(None, np.uint64(0x1001), 8) == 0x0807060504030201
    assert memory.load(None, u64(0x1006, 0x1009), 8).tolist() == [0x09080706, 9]
    memory.store(lanes_of(1), u64(0x1008), 4, u64(0xDDCCBBAA))
    assert memory.load(None, np.uint64(0x1006), 8).tolist() == [0x09080706, 0x0000DDCCBBAA0706]


@pytest.mark.parametrize("who", [lanes_of(3), None])
def test_what_a_lane_writes_others_do_not_see(who: Any) -> None:
    memory = LaneMemory(64)
    content = bytes(range(64))
    memory.map(0x1000, content)
    memory.store(who, np.uint64(0x1009), 2, np.uint64(0xBEEF))
    mine, other = 0x0F0E0D0C0BBEEF08, 0x0F0E0D0C0B0A0908
    found = memory.load(None, np.uint64(0x1008), 8).tolist()
    assert found == ([mine] * 64 if who is None else [other] * 3 + [mine] + [other] * 60)
    assert content == bytes(range(64))


def test_word_written_by_one_then_by_all() -> None:
    memory = LaneMemory(64)
    memory.map(0x1000, bytes(64))
    memory.store(lanes_of(5), u64(0x1000), 4, u64(0x55555555))
    memory.store(None, np.uint64(0x1006), 2, np.uint64(0xFFFF))
    memory.store(lanes_of(6), u64(0x1001), 1, u64(0x66))
    found = memory.load(None, np.uint64(0x1000), 8).tolist()
    high = 0xFFFF << 48
    assert found == [high] * 5 + [high | 0x55555555, high | 0x6600] + [high] * 57


def test_unwritten_words_stay_quick() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, bytes(0x1000), permissions="rwx")
    memory.store(lanes_of(0), u64(0x1008), 4, u64(0x13))
    assert memory.fetch_same(0x1000) == 0
    assert memory.fetch_same(0x100C) is None
    assert memory.fetch_same(0x1006) == 0  # two bytes
    assert memory.fetch(None, u64(0x1008, 0x1008)).tolist() == [0x13, 0]


def test_epoch_tells_of_new_code() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, bytes(0x1000), permissions="rwx")
    before = memory.epoch
    memory.store(lanes_of(0), u64(0x1008), 4, u64(0x13))
    assert memory.epoch != before


def test_faults_name_the_first_byte_and_change_nothing() -> None:
    memory = LaneMemory(4)
    memory.map_private(0x1000, 0x1000, name="mine")
    memory.map(0x2000, bytes(16), permissions="r")
    with pytest.raises(LaneTrap) as caught:
        memory.store(None, u64(0x1FF8, 0x1FFC, 0x2000, 0x3000), 8, np.uint64(7))
    trap = caught.value
    assert trap.failed is not None
    assert (trap.cause, trap.failed.tolist()) == (Cause.STORE_FAULT, [False, True, True, True])
    assert np.asarray(trap.tval)[1:].tolist() == [0x2000, 0x2000, 0x3000]
    assert not memory.read(None, 0x1FF0, 16).any()
    with pytest.raises(LaneTrap) as caught:
        memory.load(None, np.uint64(0x200D), 4)
    assert caught.value.cause == Cause.LOAD_FAULT
    assert np.asarray(caught.value.tval).tolist() == [0x2010] * 4


def test_misaligned_by_policy() -> None:
    memory = LaneMemory(2, misaligned=False)
    memory.map_private(0x1000, 0x1000)
    for addresses, failed in ((u64(0x1001, 0x1002), [True, False]), (np.uint64(0x1003), [True, True])):
        with pytest.raises(LaneTrap) as caught:
            memory.load(None, addresses, 2)
        assert (caught.value.cause, np.asarray(caught.value.failed).tolist()) == (Cause.LOAD_MISALIGNED, failed)
    with pytest.raises(LaneTrap) as caught:
        memory.store(None, u64(0x1004, 0x1001), 4, np.uint64(0))
    assert caught.value.cause == Cause.STORE_MISALIGNED
    assert memory.load(None, u64(0x1001, 0x1002), 1).tolist() == [0, 0]


def test_atomics_are_always_aligned_and_need_to_write() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, bytes(64), permissions="r")
    with pytest.raises(LaneTrap) as caught:
        memory.atomic(None, u64(0x1000, 0x1002), 4)
    assert (caught.value.cause, np.asarray(caught.value.failed).tolist()) == (Cause.STORE_MISALIGNED, [False, True])
    with pytest.raises(LaneTrap) as caught:
        memory.atomic(None, np.uint64(0x1000), 4)
    assert caught.value.cause == Cause.STORE_FAULT


def test_address_space_wraps() -> None:
    memory = LaneMemory(2)
    memory.map_private(TOP, 16)
    memory.map_private(0, 16)
    memory.store(None, u64((1 << 64) - 3, (1 << 64) - 1), 4, np.uint64(0x44332211))
    assert memory.read(None, TOP + 12, 4).tolist() == [[0, 0x11, 0x22, 0x33], [0, 0, 0, 0x11]]
    assert memory.read(None, 0, 4).tolist() == [[0x44, 0, 0, 0], [0x22, 0x33, 0x44, 0]]


def test_alias_per_lane() -> None:
    memory = LaneMemory(4)
    memory.map(0x1000, bytes(range(0x80)), permissions="rx")
    memory.map_private(0x8000, 0x1000)
    memory.alias(0x4000, 16, u64(0x1000, 0x1010, 0x1020), lanes=lanes_of(0, 1, 3), name="window")
    assert memory.load(lanes_of(0, 1, 3), np.uint64(0x4001), 1).tolist() == [1, 0x11, 0x21]
    with pytest.raises(LaneTrap) as caught:
        memory.load(None, np.uint64(0x4001), 1)
    assert np.asarray(caught.value.failed).tolist() == [False, False, True, False]
    memory.store(lanes_of(0, 3), np.uint64(0x4002), 2, u64(0xAAAA, 0xBBBB))
    assert memory.load(None, np.uint64(0x1000), 4).tolist() == [0xAAAA0100, *[0x03020100] * 3]
    assert memory.load(None, np.uint64(0x1020), 4).tolist() == [*[0x23222120] * 3, 0xBBBB2120]
    memory.alias(0x4000, 16, 0x8000, lanes=lanes_of(0))
    assert memory.load(lanes_of(0, 1), np.uint64(0x4000), 8).tolist() == [0, 0x1716151413121110]
    memory.unalias(0x4000, 16, lanes=lanes_of(1))
    with pytest.raises(LaneTrap) as caught:
        memory.load(lanes_of(0, 1), np.uint64(0x4000), 8)
    assert np.asarray(caught.value.failed).tolist() == [False, True]
    with pytest.raises(ValueError, match="no alias"):
        memory.unalias(0x5000, 16)


def test_alias_over_nothing_is_a_fault_at_the_alias() -> None:
    memory = LaneMemory(1)
    memory.map(0x1000, bytes(8))
    memory.alias(0x4000, 16, 0x1000)
    with pytest.raises(LaneTrap) as caught:
        memory.load(None, np.uint64(0x4006), 4)
    assert (caught.value.cause, np.asarray(caught.value.tval).tolist()) == (Cause.LOAD_FAULT, [0x4008])


def test_poison_is_noted_once() -> None:
    memory = LaneMemory(3)
    memory.map_private(0x1000, 0x2000, poison=True)
    memory.pcs = np.uint64(0x111)
    memory.store(None, np.uint64(0x1004), 4, u64(1, 2, 3))
    assert memory.load(None, np.uint64(0x1004), 4).tolist() == [1, 2, 3]
    assert not memory.poison_reads.any()
    assert memory.load(lanes_of(1), np.uint64(0x1002), 4).tolist() == [0x0002A5A5]
    memory.pcs = u64(0x300, 0x301, 0x302)  # by lane
    assert memory.load(lanes_of(1, 2), u64(0x1FFE, 0x1003), 8).tolist() == [0xA5A5A5A5A5A5A5A5, 0xA5A5A500000003A5]
    assert memory.poison_reads.tolist() == [False, True, True]
    assert memory.poison_addresses.tolist() == [0, 0x1002, 0x1003]
    assert memory.poison_pcs.tolist() == [0, 0x111, 0x302]
    assert memory.read(lanes_of(0), 0x1000, 9)[0].tolist() == [0xA5] * 4 + [1, 0, 0, 0, 0xA5]
    assert not memory.poison_reads[0]


def test_overlay_grows() -> None:
    memory = LaneMemory(30)
    memory.map(0x10000, bytes(0x20000))
    for step in range(2000):
        offsets = (np.arange(30, dtype=np.uint64) * np.uint64(8 * 17) + np.uint64(8 * step)) % np.uint64(0x20000)
        memory.store(None, np.uint64(0x10000) + offsets, 8, offsets + np.uint64(step))
    found = memory.read_u64(lanes_of(3), u64(0x10000 + 8 * (3 * 17 + 1234)))
    assert found.tolist() == [8 * (3 * 17 + 1234) + 1234]
    assert memory.read_u64(lanes_of(3), u64(0x10000 + 8 * (3 * 17 + 2000))).tolist() == [0]
    assert memory.read_u64(lanes_of(3), u64(0x10000 + 8 * (3 * 17 - 1))).tolist() == [0]


def test_overlay_has_a_limit() -> None:
    memory = LaneMemory(4, overlay_limit=6)
    memory.map(0x1000, bytes(0x1000))
    memory.store(None, u64(0x1000, 0x1100, 0x1200, 0x1300), 8, np.uint64(1))
    memory.store(None, u64(0x1000, 0x1100, 0x1200, 0x1300), 4, np.uint64(2))  # nothing new
    with pytest.raises(LaneTrap, match="more than 6 words") as caught:
        memory.store(None, u64(0x1008, 0x1100, 0x1208, 0x1308), 8, np.uint64(3))
    assert np.asarray(caught.value.failed).tolist() == [False, False, False, True]
    assert not caught.value.supported
    assert memory.read_u64(None, 0x1008).tolist() == [0, 0, 0, 0]
    with pytest.raises(LaneTrap):
        memory.store(None, np.uint64(0x1800), 8, np.uint64(3))


def test_book_keeping_is_not_logged() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, size=0x1000)
    memory.map(0x2000, size=0x1000, logged=False)
    memory.watch(None)
    memory.store(None, np.uint64(0x2000), 8, np.uint64(1))
    memory.store(None, u64(0x1FF8, 0x2010), 8, u64(2, 3))
    assert [(event.target, event.value) for lane in (0, 1) for event in memory.log.of_lane(lane)] == [(0x1FF8, 2)]
    assert memory.read_u64(None, 0x2000).tolist() == [1, 1]
    memory.watch(Span(0x2000, 0x2008))
    memory.store(None, np.uint64(0x2000), 8, np.uint64(4))
    assert [event.value for event in memory.log.of_lane(1)] == [4]


def test_log_of_stores() -> None:
    memory = LaneMemory(3)
    memory.map(0x1000, bytes(0x1000), permissions="rx")
    memory.map(0x2000, bytes(0x1000))
    memory.map_private(0x8000, 0x1000)
    memory.alias(0x4000, 0x100, u64(0x1000, 0x1010, 0x1020))
    memory.store(None, np.uint64(0x2000), 8, np.uint64(1))
    memory.watch(None)
    memory.pcs = np.uint64(0x70)
    memory.store(None, np.uint64(0x4004), 4, u64(0x11, 0x1_0000_0022, 0x33))
    memory.note("fence", lanes_of(0, 2), np.uint64(0x33))
    memory.pcs = u64(0x80, 0x81, 0x82)
    memory.store(lanes_of(1, 2), u64(0x8000, 0x2008), 2, u64(0xA, 0xB))
    memory.write(None, 0x2000, np.zeros(8, np.uint8))
    events = memory.log.of_lane(2)
    assert [tuple(event) for event in events] == [
        (0, "store", 0x70, 0x4004, 0x1024, 4, 0x33),
        (1, "fence", 0x70, 0x33, 0x33, 0, 0),
        (2, "store", 0x82, 0x2008, 0x2008, 2, 0xB),
    ]
    assert [event.value for event in memory.log.of_lane(1)] == [0x22]


def test_log_of_a_span_by_any_of_its_names() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, bytes(0x1000))
    memory.map_private(0x8000, 0x1000)
    memory.alias(0x4000, 0x100, 0x1000)
    memory.watch(Span(0x1008, 0x1010))
    memory.watch(Span(0x8000, 0x8001))
    for address in (0x1004, 0x1007, 0x100F, 0x1010, 0x400C, 0x4010, 0x8000, 0x8001):
        memory.store(None, np.uint64(address), 2, np.uint64(0))
    assert [int(event.addresses[0]) for event in memory.log.events] == [0x1007, 0x100F, 0x400C, 0x8000]


def test_host_reads_what_is_not_readable_and_not_what_is_not_there() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, b"abcdefghijk", permissions="")
    memory.write(lanes_of(1), 0x1003, np.frombuffer(b"XYZ", np.uint8))
    assert [bytes(row) for row in memory.read(None, 0x1000, 11)] == [b"abcdefghijk", b"abcXYZghijk"]
    assert [bytes(row) for row in memory.read(None, u64(0x1001, 0x1004), 3)] == [b"bcd", b"YZg"]
    with pytest.raises(Trap) as caught:
        memory.read(None, u64(0x1000, 0x1008), 8)
    assert (caught.value.cause, caught.value.tval) == (Cause.LOAD_FAULT, 0x100B)
    memory.map_private(0x3000, 0x1000, permissions="")
    memory.write_u64(None, 0x3008, u64(5, 6))
    assert memory.read_u64(None, 0x3008).tolist() == [5, 6]


def test_host_access_of_no_lanes() -> None:
    memory = LaneMemory(2)
    memory.map(0x1000, bytes(8))
    assert memory.read(lanes_of(), 0x1000, 3).shape == (0, 3)
    memory.write(lanes_of(), 0x1000, np.zeros(3, np.uint8))
    assert memory.read_u64(lanes_of(), 0x1000).tolist() == []


@pytest.mark.parametrize(
    ("start", "size", "message"),
    [(0x1800, 0x100, "overlaps"), (0x0FFF, 2, "overlaps"), (0x3000, 0, "no part"), ((1 << 64) - 8, 16, "no part")],
)
def test_regions_that_cannot_be(start: int, size: int, message: str) -> None:
    memory = LaneMemory(1)
    memory.map(0x1000, bytes(0x1000))
    for make in (memory.map_private, lambda at, length: memory.map(at, size=length)):
        with pytest.raises(ValueError, match=message):
            make(start, size)
    with pytest.raises(ValueError, match=message):
        memory.alias(start, size, 0x1000)


def test_fetch_over_the_end() -> None:
    memory = LaneMemory(3)
    memory.map(0x1000, bytes.fromhex("0100 0100 1300"), permissions="x")
    memory.map_private(0x1006, 0x10, permissions="x")
    assert memory.fetch(None, u64(0x1000, 0x1002, 0x1004)).tolist() == [1, 1, 0x13]
    bare = LaneMemory(3)
    bare.map(0x1000, bytes.fromhex("0100 0100 1300"), permissions="x")
    with pytest.raises(LaneTrap) as caught:
        bare.fetch(None, u64(0x1002, 0x1004, 0x2000))
    assert np.asarray(caught.value.failed).tolist() in ([False, True, True], [False, False, True])
    with pytest.raises(LaneTrap) as caught:
        bare.fetch(lanes_of(0, 1), u64(0x1002, 0x1004))
    assert (caught.value.cause, np.asarray(caught.value.failed).tolist()) == (Cause.FETCH_FAULT, [False, True])
    assert np.asarray(caught.value.tval)[1] == 0x1006


# -- against a model


class Model:
    """A dict of bytes for each lane, and rules for what may be accessed."""

    REGIONS = (
        (0x0, 0x10, "rw"),
        (0x1003, 0x1108, "rw"),
        (0x1108, 0x210D, "rw"),
        (0x210D, 0x2140, "rw"),
        (0x3000, 0x3010, "r"),
        (TOP, 1 << 64, "rw"),
    )
    ALIAS = (0x4000, 0x4040)

    def __init__(self) -> None:
        self.bytes: list[dict[int, int]] = [{} for _ in range(N)]
        self.targets: dict[int, int] = {}

    def place(self, lane: int, address: int, need: str) -> int | None:
        address %= 1 << 64
        if self.ALIAS[0] <= address < self.ALIAS[1]:
            if lane not in self.targets:
                return None
            return self.place(lane, self.targets[lane] + address - self.ALIAS[0], "")
        for start, end, allowed in self.REGIONS:
            if start <= address < end:
                return address if need in allowed else None
        return None

    def value(self, lane: int, address: int) -> int:
        if address in self.bytes[lane]:
            return self.bytes[lane][address]
        if 0x210D <= address < 0x2140:
            return 0xA5
        if 0x1003 <= address < 0x1003 + len(RNG_CONTENT):
            return RNG_CONTENT[address - 0x1003]
        return RNG_CONTENT[address - 0x3000] if 0x3000 <= address < 0x3010 else 0

    def fault(self, lane: int, address: int, width: int, need: str) -> int | None:
        for byte in range(width):
            if self.place(lane, address + byte, need) is None:
                return (address + byte) % (1 << 64)
        return None

    def load(self, lane: int, address: int, width: int) -> int:
        places = [self.place(lane, address + byte, "r") for byte in range(width)]
        return sum(self.value(lane, at) << 8 * i for i, at in enumerate(places) if at is not None)

    def store(self, lane: int, address: int, width: int, value: int) -> None:
        for byte in range(width):
            at = self.place(lane, address + byte, "w")
            assert at is not None
            self.bytes[lane][at] = value >> 8 * byte & 0xFF


def modelled_memory() -> LaneMemory:
    memory = LaneMemory(N)
    memory.map_private(0, 0x10)
    memory.map(0x1003, RNG_CONTENT, size=0x105)
    memory.map_private(0x1108, 0x1005)
    memory.map_private(0x210D, 0x33, poison=True)
    memory.map(0x3000, RNG_CONTENT[:16], permissions="r")
    memory.map_private(TOP, 16)
    memory.alias(0x4000, 0x40, 0x1003, lanes=lanes_of())
    return memory


def attempt(
    memory: LaneMemory, need: str, lanes: Any, addresses: Any, width: int, values: Any
) -> tuple[LaneTrap | None, Any]:
    """Load or store; return the trap, if any, and what was loaded."""
    try:
        if need == "r":
            return None, memory.load(lanes, addresses, width)
        memory.store(lanes, addresses, width, values)
    except LaneTrap as trap:
        return trap, None
    return None, np.uint64(0)


PLACES = (
    0x1003,
    0x1040,
    0x1085,
    0x1088,
    0x1108,
    0x1FFE,
    0x2100,
    0x210D,
    0x2140,
    0x3000,
    0x3010,
    0x4000,
    0x4040,
    TOP,
    8,
)


@pytest.mark.parametrize("seed", range(12))
def test_against_the_model(seed: int) -> None:
    rng, memory, model = random.Random(seed), modelled_memory(), Model()
    for _ in range(400):
        who = sorted(rng.sample(range(N), rng.choice((1, 3, N // 2, N))))
        lanes = None if len(who) == N else lanes_of(*who)
        near = rng.choice(PLACES)
        if rng.random() < 0.4:
            addresses = [(near + rng.randrange(-10, 10)) % (1 << 64)] * len(who)
        elif rng.random() < 0.5:
            addresses = [(near + rng.randrange(-20, 20)) % (1 << 64) for _ in who]
        else:
            addresses = [(rng.choice(PLACES) + rng.randrange(-9, 9)) % (1 << 64) for _ in who]
        width = rng.choice((1, 2, 4, 8))
        if rng.random() < 0.05:
            target = rng.choice((0x1008, 0x1100, 0x1FE0, 0x2100, 0x3000))
            memory.alias(0x4000, 0x40, target, lanes=lanes)
            model.targets.update(dict.fromkeys(who, target))
            continue
        need = rng.choice("rw")
        values = [rng.getrandbits(64) for _ in who]
        faults = [model.fault(lane, at, width, need) for lane, at in zip(who, addresses, strict=True)]
        trap, found = attempt(memory, need, lanes, u64(*addresses), width, u64(*values))
        if trap is None:
            assert faults == [None] * len(who)
            for lane, at, value, got in zip(who, addresses, values, values_of(found, len(who)), strict=True):
                if need == "r":
                    assert got == model.load(lane, at, width)
                else:
                    model.store(lane, at, width, value)
        else:
            failed = np.asarray(trap.failed).tolist()
            assert failed == [fault is not None for fault in faults]
            assert trap.cause == (Cause.LOAD_FAULT if need == "r" else Cause.STORE_FAULT)
            tval = np.asarray(trap.tval).tolist()
            assert [at for at, bad in zip(tval, failed, strict=True) if bad] == [at for at in faults if at is not None]
    for start, end, _ in model.REGIONS:
        after = memory.read(None, start, end - start)
        for lane in range(N):
            assert after[lane].tolist() == [model.value(lane, at) for at in range(start, end)]


def test_fetch_access_needs_x() -> None:
    memory = LaneMemory(1)
    memory.map(0x1000, bytes(8), permissions="rw")
    with pytest.raises(LaneTrap) as caught:
        memory.load(None, np.uint64(0x1000), 2, FETCH)
    assert caught.value.cause == Cause.FETCH_FAULT
