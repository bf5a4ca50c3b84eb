# SPDX-License-Identifier: GPL-2.0-or-later
"""The printed numpy functions against integers worked out here, the scalar hart, and unicorn."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from genpatch.errors import OutOfReach
from genpatch.isa.asm import encode
from genpatch.isa.insn import SPECS, Spec
from genpatch.isa.semantics import SYSTEM, calls_of
from genpatch.machine import lane_arith
from genpatch.machine.hart import Hart
from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lanes import Lanes
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Status
from genpatch.machine.vector import compiled

from .guests import Judge
from .programs import Region

M64 = (1 << 64) - 1
EDGES = (0, 1, 2, 3, 7, 8, 63, 64, 0x7F, 0x80, 0xFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x1_0000_0000)
EDGES += (0x123456789ABCDEF0, 0x7FFFFFFFFFFFFFFF, 1 << 63, (1 << 63) + 1, 0xFFFFFFFF80000000, M64 - 1, M64)
PAIRS = [(left, right) for left in EDGES for right in EDGES]
CODE, DATA, SIZE = 0x1000, 0x20000, 0x2000
CODE_REGION = Region(0x10_0000, bytes(0x1_0000), "rx")
FAR = 0x100
"""Where words stand for unicorn, and how far from one another."""


def s64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def quotient(left: int, right: int) -> int:
    return (abs(left) // abs(right)) * (1 if (left < 0) == (right < 0) else -1) if right else -1


BINARY: dict[str, Callable[[int, int], int]] = {
    "mulhu": lambda a, b: a * b >> 64,
    "mulh": lambda a, b: s64(a) * s64(b) >> 64,
    "mulhsu": lambda a, b: s64(a) * b >> 64,
    "divu": lambda a, b: a // b if b else M64,
    "remu": lambda a, b: a % b if b else a,
    "div": lambda a, b: quotient(s64(a), s64(b)),
    "rem": lambda a, b: s64(a) - quotient(s64(a), s64(b)) * s64(b) if b else a,
}
UNARY: dict[str, Callable[[int], int]] = {
    "clz": lambda a: f"{a:064b}".find("1") if a else 64,
    "ctz": lambda a: f"{a:064b}"[::-1].find("1") if a else 64,
    "cpop": lambda a: f"{a:b}".count("1"),
    "orcb": lambda a: sum(0xFF << 8 * i for i in range(8) if a >> 8 * i & 0xFF),
    "rev8": lambda a: int.from_bytes(a.to_bytes(8, "little"), "big"),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_function(name: str) -> None:
    left, right = (np.array(column, np.uint64) for column in zip(*PAIRS, strict=True))
    with np.errstate(all="ignore"):
        got = getattr(lane_arith, name)(left, right).tolist()
    assert got == [BINARY[name](a, b) & M64 for a, b in PAIRS]


@pytest.mark.parametrize("name", UNARY)
def test_unary_function(name: str) -> None:
    with np.errstate(all="ignore"):
        got = getattr(lane_arith, name)(np.array(EDGES, np.uint64)).tolist()
    assert got == [UNARY[name](a) for a in EDGES]


def test_bits_are_counted_without_the_help_of_numpy() -> None:
    got = lane_arith._cpop_by_folding(np.array(EDGES, np.uint64)).tolist()
    assert got == [UNARY["cpop"](a) for a in EDGES]


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_functions_of_single_values(name: str) -> None:
    """One np.uint64 stands for the same in all lanes, alone or beside an array."""
    function, values = getattr(lane_arith, name), np.array(EDGES, np.uint64)
    with np.errstate(all="ignore"):
        if name in UNARY:
            assert [int(function(value)) for value in values] == function(values).tolist()
        else:
            assert function(values, values[4]).tolist() == [int(function(value, values[4])) for value in values]
            assert function(values[4], values).tolist() == [int(function(values[4], value)) for value in values]


@pytest.mark.parametrize(("bits", "kind"), [(8, np.int8), (16, np.int16), (32, np.int32)])
def test_sign_extension(bits: int, kind: type[np.signedinteger]) -> None:
    values = np.array(EDGES, np.uint64)
    expected = [((a & (1 << bits) - 1) ^ 1 << bits - 1) - (1 << bits - 1) & M64 for a in EDGES]
    out = np.zeros(len(values), np.uint64)
    extended = lane_arith.extender(kind)
    assert extended(values).tolist() == expected
    assert extended(values, out) is out
    assert out.tolist() == expected


def test_hand_made_values() -> None:
    """Some of riscv-tests' vectors, so that not all that is expected is computed."""
    one = np.uint64(1)
    with np.errstate(all="ignore"):
        assert int(lane_arith.mulhu(np.uint64(0xAAAAAAAAAAAAAAAB), np.uint64(0x2FE7D))) == 0x1FEFE
        assert int(lane_arith.mulhsu(np.uint64(0xAAAAAAAAAAAAAAAB), np.uint64(0x2FE7D))) == 0xFFFFFFFFFFFF0081
        assert int(lane_arith.mulh(np.uint64(0xFFFFFFFF80000000), np.uint64(0xFFFFFFFFFFFF8000))) == 0
        assert int(lane_arith.div(np.uint64(1 << 63), -one)) == 1 << 63
        assert int(lane_arith.rem(np.uint64(1 << 63), -one)) == 0
        assert int(lane_arith.rem(np.uint64(M64 - 19), np.uint64(6))) == M64 - 1  # -20 rem 6 == -2
        assert int(lane_arith.rev8(np.uint64(0x0102030405060708))) == 0x0807060504030201
        assert int(lane_arith.orcb(np.uint64(0x0001_8000_0010_0000))) == 0x00FF_FF00_00FF_0000


def test_every_record_is_printed() -> None:
    for spec in SPECS.values():
        if not spec.base:
            assert compiled(spec).source.startswith("def run_")


def test_result_may_be_written_in_place() -> None:
    out = np.zeros(3, np.uint64)
    operands = np.array([1, 2, M64], np.uint64), np.array([5, 6, 7], np.uint64)
    assert compiled(SPECS["add"]).function(None, out, *operands) is out
    assert out.tolist() == [6, 8, 6]


# -- every record against the scalar hart and unicorn


def executable() -> list[Spec]:
    """Records that compute, load, store or jump; what needs the machine has its tests elsewhere."""
    special = SYSTEM | {"conditional", "zero_block"}
    return [spec for spec in SPECS.values() if not spec.base and not calls_of(spec.run) & special]


def words_of(spec: Spec, rng: random.Random) -> list[int]:
    """Some words of a record: rd a0, rs1 a1, rs2 a2 or others, immediates of all sizes."""
    registers = [{"rd": 10, "rs1": 11, "rs2": 12}, {"rd": 11, "rs1": 11, "rs2": 12}, {"rd": 0, "rs1": 11, "rs2": 12}]
    registers += [{"rd": 12, "rs1": 11, "rs2": 12}, {"rd": 10, "rs1": 11, "rs2": 11}, {"rd": 10, "rs1": 11, "rs2": 0}]
    roles = {role for field in spec.fields for role in field.roles}
    words = []
    for choice in registers:
        operands = {role: value for role, value in choice.items() if role in roles}
        for _ in range(100 if "imm" in roles else 1):
            if "imm" in roles:
                operands["imm"] = rng.choice(
                    (rng.randrange(-2048, 2048), rng.randrange(64), rng.randrange(-64, 64) * 2)
                )
            with suppress(ValueError, OutOfReach):
                words.append(encode(spec.name, **operands))
    return list(dict.fromkeys(words))[:12]


def inputs(spec: Spec, rng: random.Random, count: int) -> list[tuple[int, int, int]]:
    """Values of a0, a1, a2; a1 is an address for what accesses memory."""
    accesses = bool(calls_of(spec.run) & {"load", "store", "atomic", "reserve"})
    found = []
    for _ in range(count):
        values = [
            rng.choice((rng.choice(EDGES), rng.getrandbits(64), rng.getrandbits(rng.randrange(1, 65)))) for _ in "abc"
        ]
        if accesses:
            values[1] = DATA + 0x800 + 8 * rng.randrange(16)
        if spec.name == "jalr":
            values[1] = CODE_REGION.start + 0x1000 + rng.randrange(64)
        found.append((values[0], values[1], values[2]))
    return found


def content(rng: random.Random) -> bytes:
    return bytes(rng.choice((0, 0xFF, 0x80, 0x7F, rng.randrange(256))) for _ in range(SIZE))


def run_lanes(word: int, values: list[tuple[int, int, int]], data: bytes) -> list[tuple[object, ...]]:
    """Execute one word in a lane for each of the values; return what the lanes then are."""
    memory = LaneMemory(len(values))
    memory.map(CODE, word.to_bytes(4, "little") * 2, permissions="x", name="code")
    memory.map(DATA, data, name="data")
    lanes = Lanes(memory)
    lanes.x[10:13] = np.array(values, np.uint64).T
    lanes.start(CODE)
    lanes.run(1)
    after = memory.read(None, DATA, SIZE)
    assert not lanes.x[0].any()
    went_on = np.isin(lanes.status, (Status.BUDGET, Status.STUCK)).tolist()
    columns = went_on, lanes.pc.tolist(), lanes.x.T.tolist(), [bytes(row) for row in after]
    return list(zip(*columns, strict=True))


def run_hart(word: int, values: tuple[int, int, int], data: bytes) -> tuple[object, ...]:
    memory = Memory()
    memory.map(CODE, word.to_bytes(4, "little") * 2, permissions="x", name="code")
    memory.map(DATA, data, name="data")
    hart = Hart(memory, translate=False)
    hart.x[10:13] = values
    hart.pc = CODE
    outcome = hart.run(1)
    return outcome.status in (Status.BUDGET, Status.STUCK), hart.pc, hart.x[:32], memory.read(DATA, SIZE)


@pytest.mark.parametrize("name", [spec.name for spec in executable()])
def test_record_against_the_scalar_hart(name: str) -> None:
    rng = random.Random(name)
    data = content(rng)
    for word in words_of(SPECS[name], rng):
        values = inputs(SPECS[name], rng, 24)
        expected = [run_hart(word, each, data) for each in values]
        assert run_lanes(word, values, data) == expected, hex(word)


@pytest.mark.parametrize("name", [spec.name for spec in executable()])
def test_record_against_unicorn(name: str) -> None:
    """All words at once, each in a lane of its own: executed by record, with operands that differ."""
    rng = random.Random(name)
    data = Region(DATA, content(rng), "rw")
    words = [word for word in words_of(SPECS[name], rng) for _ in range(5)]
    values = inputs(SPECS[name], rng, len(words))
    pcs = [CODE_REGION.start + 0x4000 + FAR * number for number in range(len(words))]
    judge = Judge((CODE_REGION, data))
    expected = []
    for word, each, pc in zip(words, values, pcs, strict=True):
        judge.uc.mem_write(pc, word.to_bytes(4, "little"))
        judge.uc.ctl_remove_cache(pc, pc + 4)
        judge.uc.mem_write(DATA, data.content)
        judge.set_registers([0] * 10 + list(each) + [0] * 19)
        state = judge.run(pc, M64, count=1)
        assert not state.fault
        expected.append((state.pc, state.registers, state.memory[0]))
    code = bytearray(CODE_REGION.content)
    for word, pc in zip(words, pcs, strict=True):
        code[pc - CODE_REGION.start : pc - CODE_REGION.start + 4] = word.to_bytes(4, "little")
    memory = LaneMemory(len(words))
    memory.map(CODE_REGION.start, code, permissions="rx")
    memory.map(DATA, data.content)
    lanes = Lanes(memory)
    lanes.x[10:13] = np.array(values, np.uint64).T
    lanes.start(np.array(pcs, np.uint64))
    lanes.run(1)
    after = memory.read(None, DATA, SIZE)
    for i, (word, state) in enumerate(zip(words, expected, strict=True)):
        assert (int(lanes.pc[i]), tuple(lanes.x[:, i].tolist()), bytes(after[i])) == state, hex(word)
