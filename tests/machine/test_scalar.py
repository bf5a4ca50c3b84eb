# SPDX-License-Identifier: GPL-2.0-or-later
"""The printer: what it prints computes what the notation says, with what it knows of values and without."""

from __future__ import annotations

import itertools
import random

import pytest

from genpatch.machine import arith
from genpatch.machine.scalar import HELPERS, Printer, Value, constant, unsigned
from genpatch.units import MASK64

from .guests import LONG
from .references import as_signed

VALUES = [0, 1, 2, 31, 63, 0x7F, 0x80, 0xFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, (1 << 63) - 1]
VALUES += [1 << 63, (1 << 63) + 1, MASK64 - 1, MASK64, 0xFFFF_FFFF_8000_0000, 0x0123_4567_89AB_CDEF]


def kinds(value: int, name: str) -> list[Value]:
    """Return what a printer may know of an operand that has this value."""
    exact = (1 << value.bit_length()) - 1
    return [
        unsigned(name),
        constant(value),
        Value(name, 0, exact) if exact else constant(0),
        Value(name, value // 2, min(value * 2, MASK64)),
        Value(f"({name} - {1 << 64})", value - (1 << 64), -1) if value >> 63 else Value(name, 0, value),
        Value(f"({name} + {1 << 64})", 0, 1 << 65),
    ]


def evaluate(run: str, a: Value, b: Value, numbers: tuple[int, int], imm: int = 0) -> int:
    """Return what printed source leaves in rd."""
    operands = {"rs1": a, "rs2": b, "imm": constant(imm), "pc": constant(0), "next": constant(4)}
    printer = Printer(operands, lambda name, value: f"rd = {value.text}")
    printer.print(run)
    names: dict[str, object] = {**HELPERS, "a": numbers[0], "b": numbers[1]}
    exec("\n".join(printer.lines), names)
    result = names["rd"]
    assert isinstance(result, int)
    return result


def signed(x: int) -> int:
    return as_signed(x % 2**64)


EXPRESSIONS = {
    # of the notation, and what they come to for a and b of 64 bits
    "rs1 + rs2": lambda a, b: a + b,
    "rs1 - rs2": lambda a, b: a - b,
    "rs1 * rs2": lambda a, b: a * b,
    "rs1 - rs2 >> 8": lambda a, b: (a - b) % 2**64 // 256,
    "rs1 - rs2 < rs2": lambda a, b: (a - b) % 2**64 < b,
    "signed(rs1 + rs2) < signed(rs2 - rs1)": lambda a, b: signed(a + b) < signed(b - a),
    "signed(rs1) >= signed(rs2)": lambda a, b: signed(a) >= signed(b),
    "signed(rs1) < signed(-5)": lambda a, b: signed(a) < -5,
    "signed(rs1) < signed(0)": lambda a, b: signed(a) < 0,
    "signed(0) < signed(rs1)": lambda a, b: signed(a) > 0,
    "signed(rs1 - rs2) >= signed(0)": lambda a, b: signed(a - b) >= 0,
    "signed(rs1) >> (rs2 & 63)": lambda a, b: signed(a) // 2 ** (b % 64),
    "signed(sext(rs1 - rs2, 32)) >> 7": lambda a, b: as_signed((a - b) % 2**32, 4) // 128,
    "rs1 << (rs2 & 63)": lambda a, b: a * 2 ** (b % 64),
    "rs1 >> (-rs2 & 63)": lambda a, b: a // 2 ** (-b % 64),
    "~rs1 & rs2": lambda a, b: (2**64 - 1 - a) & b,
    "~rs1 & ~rs2": lambda a, b: (2**64 - 1 - a) & (2**64 - 1 - b),
    "~(rs1 | ~rs2)": lambda a, b: (2**64 - 1 - a) & b,
    "-rs1 ^ rs2": lambda a, b: (-a % 2**64) ^ b,
    "-rs1 | -rs2": lambda a, b: (-a % 2**64) | (-b % 2**64),
    "sext(rs1 + rs2, 8)": lambda a, b: as_signed((a + b) % 256, 1),
    "sext(rs1 * rs2, 32)": lambda a, b: as_signed(a * b % 2**32, 4),
    "zext(rs1 - rs2, 16)": lambda a, b: (a - b) % 2**16,
    "sext(-1, 8) + rs1": lambda a, b: a - 1,
    "mulh(rs1, rs2)": lambda a, b: signed(a) * signed(b) // 2**64,
    "mulhu(rs1, rs2)": lambda a, b: a * b // 2**64,
    "mulhsu(rs1, rs2)": lambda a, b: signed(a) * b // 2**64,
    "mulhsu(rs1 - rs2, rs2)": lambda a, b: signed(a - b) * b // 2**64,
    "clz(rs1 + rs2)": lambda a, b: 64 - ((a + b) % 2**64).bit_length(),
    "ctz(rs1 << 3)": lambda a, b: (f"{a * 8 % 2**64:064b}"[::-1] + "1").index("1"),
    "cpop(rs1 - rs2)": lambda a, b: f"{(a - b) % 2**64:b}".count("1"),
    "rev8(rs1 - 1)": lambda a, b: int.from_bytes(((a - 1) % 2**64).to_bytes(8, "little"), "big"),
    "orcb(rs1 - rs2)": lambda a, b: int.from_bytes(
        bytes(255 * (byte > 0) for byte in ((a - b) % 2**64).to_bytes(8, "big")), "big"
    ),
    "rs1 if rs1 - rs2 else 7": lambda a, b: a if a != b else 7,
    "rs1 - rs2 if signed(rs1) < signed(rs2) else ~rs2": lambda a, b: a - b if signed(a) < signed(b) else ~b,
    "(rs1 < rs2) + (rs1 == rs2) * 2": lambda a, b: (a < b) + 2 * (a == b),
    "rs1 != rs1": lambda a, b: 0,
    "signed(rs2) >= signed(rs2)": lambda a, b: 1,
    "rs1 + 0 - 0 | 0": lambda a, b: a,
    "0 * rs1 + (rs2 & 0)": lambda a, b: 0,
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression: str) -> None:
    expected = EXPRESSIONS[expression]
    rng = random.Random(expression)
    pairs = list(itertools.product(VALUES, VALUES))
    for a, b in pairs if LONG else rng.sample(pairs, 30):
        for left, right in itertools.product(kinds(a, "a"), kinds(b, "b")):
            if LONG or rng.random() < 0.3:
                got = evaluate(f"rd = {expression}", left, right, (a, b))
                assert got == expected(a, b) % 2**64, (a, b, left, right)


DIVISIONS = [
    # dividend, divisor, div, rem, divu, remu; the manual's table of division by zero and overflow first
    (7, 0, MASK64, 7, MASK64, 7),
    (MASK64, 0, MASK64, MASK64, MASK64, MASK64),
    (1 << 63, MASK64, 1 << 63, 0, 0, 1 << 63),
    (0, 0, MASK64, 0, MASK64, 0),
    (7, MASK64 - 1, MASK64 - 2, 1, 0, 7),
    (MASK64 - 6, 2, MASK64 - 2, MASK64, (1 << 63) - 4, 1),
    (MASK64 - 6, MASK64 - 1, 3, MASK64, 0, MASK64 - 6),
    (1 << 63, 1, 1 << 63, 0, 1 << 63, 0),
    (1 << 63, 3, (1 << 64) - (1 << 63) // 3, MASK64 - 1, (1 << 63) // 3, 2),
]


@pytest.mark.parametrize("row", DIVISIONS)
def test_division(row: tuple[int, ...]) -> None:
    a, b, *expected = row
    for left, right in itertools.product(kinds(a, "a"), kinds(b, "b")):
        got = [evaluate(f"rd = {name}(rs1, rs2)", left, right, (a, b)) for name in ("div", "rem", "divu", "remu")]
        assert got == expected


def test_bits_by_hand() -> None:
    assert [arith.ctz(n) for n in (0, 1, 8, 1 << 63, MASK64)] == [64, 0, 3, 63, 0]
    assert arith.orcb(0x0100_8000_0000_4002) == 0xFF00_FF00_0000_FFFF
    assert arith.orcb(0) == 0
    assert arith.rev8(0x0102_0304_0506_0708) == 0x0807_0605_0403_0201


def test_targets_and_conditions() -> None:
    operands = {"rs1": unsigned("a"), "imm": constant(-4), "pc": constant(0), "rs2": constant(3)}
    printer = Printer(operands, lambda name, value: "")
    printer.print("if rs1 == rs2: goto(pc + imm)")
    assert printer.target is not None
    assert printer.target.const == MASK64 - 3
    assert printer.condition is not None
    assert eval(printer.condition.text, {"a": 3}) is True
    assert eval(printer.condition.text, {"a": 4}) is False
    known = Printer({**operands, "rs1": constant(3)}, lambda name, value: "")
    known.print("if rs1 == rs2: goto(pc + imm)")
    assert known.condition is not None
    assert known.condition.const == 1
