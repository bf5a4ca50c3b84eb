# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs: what they find in memory, on the stack, and what their system calls do."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from genpatch.errors import GenpatchError, ImageError, UsageError
from genpatch.image.containers import Content, Format
from genpatch.image.program import Program, read_program
from genpatch.isa.assemble import assemble
from genpatch.machine.outcome import Cause, Status
from genpatch.run.program import Process, Setting, layout_of, system_call
from genpatch.units import Span
from tests.elfwriter import ET_DYN, Segment, elf

CODE, DATA, TOP = 0x1_0000, 0x2_0000, 0x3F_FFFF_F000
EXIT = "li a7, 93\necall\n"


def program(source: str = EXIT, *segments: Segment, entry: int = CODE, **more: int) -> Program:
    code = Segment(vaddr=CODE, data=assemble(source, CODE), flags=5)
    return of(elf(segments=[code, *segments], entry=entry, **more))


def of(raw: bytes) -> Program:
    return read_program(Content(path="prog", format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


class Ran:
    """A program that was run, and what it wrote."""

    def __init__(self, loaded: Program, setting: Setting | None = None, budget: int = 10_000):
        self.written: list[tuple[int, bytes]] = []
        self.process = Process(loaded, lambda where, data: self.written.append((where, data)), setting)
        self.outcome = self.process.run(budget)
        self.x = self.process.hart.x


def data(content: bytes = b"", **more: int) -> Segment:
    return Segment(vaddr=more.pop("vaddr", DATA), data=content, memsz=more.pop("memsz", 64), flags=more.pop("flags", 6))


@pytest.mark.parametrize("number", [93, 94])
@pytest.mark.parametrize(("status", "seen"), [(0, 0), (7, 7), (255, 255), (256, 0), (-1, 255), (0x12345, 0x45)])
def test_exit(number: int, status: int, seen: int) -> None:
    ran = Ran(program(f"li a0, {status}\nli a7, {number}\necall\nebreak"))
    assert (ran.outcome.status, ran.outcome.value) == (Status.EXITED, seen)


def test_what_a_program_finds_on_its_stack() -> None:
    ran = Ran(program(), Setting(("one", "", "\u00e9\udcff")))
    sp = TOP - len(layout_of(program(), Setting(("one", "", "\u00e9\udcff"))).stack_content)
    assert ran.x[2] == sp
    assert sp % 16 == 0
    memory = ran.process.memory
    words = struct.unpack("<14Q", memory.read(sp, 112))
    assert words[0] == 4
    assert [memory.string(at) for at in words[1:5]] == [b"prog", b"one", b"", b"\xc3\xa9\xff"]
    assert words[5:7] == (0, 0), "the ends of argv and of the environment"
    auxiliary = dict(zip(words[7::2], words[8::2], strict=False))
    assert (auxiliary[6], auxiliary[9]) == (4096, CODE)
    assert memory.read(auxiliary[25], 16) == bytes(16)


def test_the_registers_at_entry() -> None:
    process = Process(program(), lambda *_: None)
    assert [number for number in range(32) if process.hart.x[number]] == [2]
    assert process.hart.pc == CODE


@pytest.mark.parametrize(("size", "whole"), [(4096, 4096), (4097, 8192), (1 << 20, 1 << 20)])
def test_the_size_of_the_stack(size: int, whole: int) -> None:
    store = "li t0, {}\nadd t0, t0, {}\nsb zero, 0(t0)\n" + EXIT
    layout = layout_of(program(), Setting(stack_size=size))
    assert layout.stack == Span(TOP - whole, TOP)
    setting = Setting(stack_size=size)
    assert Ran(program(store.format(TOP - whole, "zero")), setting).outcome.status == Status.EXITED
    below = Ran(program(store.format(TOP - whole - 1, "zero")), setting).outcome
    assert (below.cause, below.tval) == (Cause.STORE_FAULT, TOP - whole - 1)
    above = Ran(program(store.format(TOP, "zero")), setting).outcome
    assert (above.cause, above.tval) == (Cause.STORE_FAULT, TOP)


def test_a_stack_without_room_for_the_arguments() -> None:
    with pytest.raises(UsageError, match="a stack of 4096 bytes has no room for 3"):
        layout_of(program(), Setting(("x" * 3000,), stack_size=4096))


def test_a_program_where_the_stack_would_be() -> None:
    loaded = program(EXIT, data(vaddr=TOP - 8192, memsz=64))
    assert layout_of(loaded, Setting()).stack.end == TOP - (1 << 32)
    assert Ran(loaded).outcome.status == Status.EXITED


def test_a_program_that_leaves_no_room_for_a_stack() -> None:
    loaded = program(EXIT, *(data(vaddr=0x3F_FFFF_0000 - (n << 32)) for n in range(64)))
    with pytest.raises(ImageError, match="prog: expected 0x100000 free bytes for a stack, got none"):
        layout_of(loaded, Setting())


def test_an_entry_beyond_the_address_space() -> None:
    raw = elf(segments=[Segment(vaddr=0, data=b"code")], type=ET_DYN, entry=(1 << 64) - 2)
    assert Ran(of(raw)).outcome.cause == Cause.FETCH_FAULT


# --- whole pages


def spans(*segments: Segment) -> list[tuple[int, int, bytes]]:
    layout = layout_of(of(elf(segments=segments)), Setting())
    return [(each.span.start, each.span.end, each.content.tobytes()) for each in layout.segments]


def test_a_segment_has_its_pages_to_itself() -> None:
    assert spans(Segment(vaddr=0x1234, data=b"abc", memsz=0x1000)) == [(0x1000, 0x3000, bytes(0x234) + b"abc")]


def test_segments_in_one_page() -> None:
    found = spans(Segment(vaddr=0x1100, data=b"a"), Segment(vaddr=0x1200, data=b"b"), Segment(vaddr=0x1300, data=b"c"))
    assert found == [(0x1000, 0x1101, bytes(256) + b"a"), (0x1200, 0x1201, b"b"), (0x1300, 0x2000, b"c")]


def test_segments_in_neighbouring_pages() -> None:
    found = spans(Segment(vaddr=0x1FFF, data=b"ab"), Segment(vaddr=0x2100, data=b"c"), Segment(vaddr=0x3000, data=b"d"))
    assert found == [(0x1000, 0x2001, bytes(0xFFF) + b"ab"), (0x2100, 0x3000, b"c"), (0x3000, 0x4000, b"d")]


def test_what_is_behind_the_file_is_zero() -> None:
    source = f"li t0, {DATA}\nlbu a0, 3(t0)\nlbu a1, 4(t0)\nadd a0, a0, a1\n" + EXIT
    assert Ran(program(source, data(b"\1\2\3\4", memsz=8))).outcome.value == 4


@pytest.mark.parametrize(
    ("flags", "store", "cause"),
    [
        (6, "sb zero, 0(t0)", None), (4, "sb zero, 0(t0)", Cause.STORE_FAULT), (4, "lb t1, 0(t0)", None),
        (2, "sb zero, 0(t0)", None), (2, "lb t1, 0(t0)", Cause.LOAD_FAULT), (6, "jr t0", Cause.FETCH_FAULT),
    ],
)  # fmt: skip
def test_permissions(flags: int, store: str, cause: Cause | None) -> None:
    ran = Ran(program(f"li t0, {DATA}\n{store}\n" + EXIT, data(flags=flags)))
    assert ran.outcome.cause == cause


def test_misaligned_accesses() -> None:
    loaded = program(f"li t0, {DATA}\nld a0, 1(t0)\n" + EXIT, data(bytes(range(16))))
    assert Ran(loaded).outcome.value == 1
    outcome = Ran(loaded, Setting(misaligned=False)).outcome
    assert (outcome.cause, outcome.tval) == (Cause.LOAD_MISALIGNED, DATA + 1)


# --- system calls

WRITE = f"li a7, 64\nli a1, {DATA}\n"


def test_write() -> None:
    ran = Ran(program(WRITE + "li a0, 1\nli a2, 5\necall\nli a0, 2\nli a2, 2\necall\n" + EXIT, data(b"hello")))
    assert ran.written == [(1, b"hello"), (2, b"he")]
    assert ran.outcome.value == 2


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("li a7, 64\nli a0, 0\nli a1, 0x20000\nli a2, 1", -9), ("li a7, 64\nli a0, 3\nli a1, 0x20000\nli a2, 1", -9),
        ("li a7, 64\nli a0, -1\nli a1, 0x20000\nli a2, 1", -9), ("li a7, 64\nli a0, 1\nli a1, 0\nli a2, 1", -14),
        ("li a7, 64\nli a0, 1\nli a1, 0x20ff0\nli a2, 17", -14), ("li a7, 64\nli a0, 1\nli a1, 0\nli a2, 0", 0),
        ("li a7, 64\nli a0, 1\nli a1, 0x20000\nli a2, -1", -14), ("li a7, 64\nli a0, 1\nli a1, -1\nli a2, 1", -14),
        ("li a7, 63", -38), ("li a7, -1", -38), ("li a7, 0", -38),
    ],
)  # fmt: skip
def test_calls_that_fail(source: str, result: int) -> None:
    ran = Ran(program(source + f"\necall\nli t0, {DATA}\nsd a0, 0(t0)\n" + EXIT, data()))
    assert ran.outcome.status == Status.EXITED
    assert ran.process.memory.read(DATA, 8) == struct.pack("<q", result)
    assert [each for each in ran.written if each[1]] == []


def test_system_call_alone() -> None:
    asked: list[tuple[int, int]] = []

    def read(address: int, size: int) -> bytes:
        asked.append((address, size))
        return b"text"

    written: list[tuple[int, bytes]] = []
    assert system_call(64, (1, 0x10, 1 << 40), read, lambda where, what: written.append((where, what))) == 4
    assert asked == [(0x10, 0x7FFF_F000)]
    assert written == [(1, b"text")]


def test_a_budget() -> None:
    ran = Ran(program("1: addi a0, a0, 1\nj 1b"), budget=99)
    assert (ran.outcome.status, ran.process.hart.retired, ran.x[10]) == (Status.BUDGET, 99, 50)


# --- hostile programs


def test_wild_programs_end_in_an_outcome_or_our_own_error() -> None:
    rng = random.Random(9)
    places = (0, 1, 0x1000, 0x1800, CODE, TOP - 4096, TOP, 0xFFFF_FFFF_FFFF_F000, (1 << 64) - 256, 1 << 63)
    ran = 0
    for _ in range(300):
        segments = [
            Segment(
                vaddr=rng.choice(places) + rng.randrange(256), data=rng.randbytes(rng.randrange(256)),
                memsz=rng.choice((None, 256, 4096, 1 << 30)), flags=rng.randrange(8),
            )
            for _ in range(rng.randrange(1, 6))
        ]  # fmt: skip
        entry = rng.choice([each.vaddr & ~1 for each in segments] + [rng.getrandbits(64)])
        segments = [each for each in segments if each.vaddr < 1 << 64]
        try:
            loaded = of(elf(segments=segments, entry=entry % (1 << 64), type=rng.choice((2, 2, 3))))
            outcome = Ran(loaded, Setting(("a",) * rng.randrange(3)), budget=300).outcome
        except GenpatchError:
            continue
        assert outcome.status != Status.RUNNING
        ran += 1
    assert ran > 80


def test_many_segments_are_laid_out_in_time() -> None:
    """65,535 segments, 8 bytes apart, some in one page: minutes if each were compared with all the others."""
    from genpatch.image.program import Segment as Loaded

    count = 65_535
    one = np.zeros(4, np.uint8)
    segments = tuple(Loaded(Span(8 * n, 8 * n + 4), one, "r") for n in range(count))
    base = program()
    loaded = Program(path="prog", entry=0, segments=segments, compressed=True, symbols=base.symbols)
    layout = layout_of(loaded, Setting())
    assert [each.span for each in layout.segments[:2]] == [Span(0, 4), Span(8, 12)]
    assert layout.segments[-1].span == Span(8 * count - 8, 0x8_0000)
