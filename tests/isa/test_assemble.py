# SPDX-License-Identifier: GPL-2.0-or-later
"""The assembler against words from the manual (and GNU as)."""

from __future__ import annotations

import pytest

from genpatch.errors import GenpatchError, OutOfReach
from genpatch.isa.assemble import assemble

PC = 0xFFFF_FFFF_8000_2000


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("addi zero, zero, 0", "13000000"),
        ("addi a0, a0, 12", "1305c500"),
        ("addi sp, sp, -112", "130101f9"),
        ("auipc t0, 0", "97020000"),
        ("auipc t0, 0xfffff", "97f2ffff"),
        ("lui t2, 0x12345", "b7533412"),
        ("jalr t0, 0(t0)", "e7820200"),
        ("jalr t0, t0, 0", "e7820200"),
        ("jalr zero, 0(ra)", "67800000"),
        ("jalr t0, -4(t0)", "e782c2ff"),
        ("sd ra, 8(sp)", "23341100"),
        ("sd ra, -8(sp)", "233c11fe"),
        ("ld ra, 8(sp)", "83308100"),
        ("ld t1, -16(t0)", "03b302ff"),
        ("lw t1, -12(a1)", "03a345ff"),
        ("add a0, a0, a1", "3305b500"),
        ("andi a0, a0, -8", "137585ff"),
        ("fence.i", "0f100000"),
        ("ebreak", "73001000"),
        ("c.mv a0, a1", "2e85"),
        ("c.li a0, 3", "0d45"),
        ("addi a0,a0,12", "1305c500"),
        ("  addi a0,  a0,   12  ", "1305c500"),
        ("addi x10, x10, 12", "1305c500"),
    ],
)
def test_instructions(source: str, words: str) -> None:
    assert assemble(source, PC).hex() == words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("again: jal zero, again", "6f000000"),
        ("jal ra, on\n addi zero, zero, 0\n on: jalr zero, 0(ra)", "ef008000 13000000 67800000"),
        ("on: addi zero, zero, 0\n bne t1, zero, on", "13000000 e31e03fe"),
        ("beq a0, zero, out; addi a0, a0, 8; out: jalr zero, 0(ra)", "63040500 13058500 67800000"),
        ("first: second:\n jal zero, first\n jal zero, second", "6f000000 6ff0dfff"),
        ("c.li a0, 3\n jal zero, out\n out:", "0d45 6f004000"),
    ],
)
def test_labels(source: str, words: str) -> None:
    assert assemble(source, PC).hex() == words.replace(" ", "")


def test_symbols() -> None:
    assert assemble("jal ra, helper", PC, symbols={"helper": PC + 0x800}).hex() == "ef001000"
    assert assemble("jal ra, helper", PC, symbols={"helper": PC - 0x800}).hex() == "eff01f80"
    assert assemble("addi a0, zero, size", PC, symbols={"size": 12}).hex() == "1305c000"


def test_a_label_hides_a_symbol() -> None:
    assert assemble("out: jal zero, out", PC, symbols={"out": PC + 0x800}).hex() == "6f000000"


def test_nothing() -> None:
    assert assemble("", PC) == b""
    assert assemble("\n  ;; \n label:\n", PC) == b""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("frobnicate a0", "no instruction in 'frobnicate a0'"),
        ("nop", "no instruction in 'nop'"),
        ("addi a0, a0", "'addi a0, a0': expected addi {rd}, {rs1}, {imm}"),
        ("addi a0, a0, 1, 2", "expected addi"),
        ("addi a9, a0, 1", "no register 'a9'"),
        ("addi a0, a0, twelve", "no label or number 'twelve'"),
        ("jal ra, nowhere", "no label or number 'nowhere'"),
        ("sd ra, 8[sp]", "'sd ra, 8.sp.': expected sd"),
        ("c.lwsp zero, 0(sp)", "c.lwsp"),
    ],
)
def test_mistakes(source: str, message: str) -> None:
    with pytest.raises(GenpatchError, match=message):
        assemble(source, PC)


@pytest.mark.parametrize(
    "source",
    ["addi a0, a0, 2048", "addi a0, a0, -2049", "sd ra, 2048(sp)", "jal ra, far", "beq a0, a1, far", "jal ra, odd"],
)
def test_out_of_reach(source: str) -> None:
    with pytest.raises(OutOfReach):
        assemble(source, PC, symbols={"far": PC + (1 << 20), "odd": PC + 3})


@pytest.mark.parametrize(("distance", "fits"), [(0xFFFFE, True), (-0x100000, True), (-0x100002, False)])
def test_the_reach_of_jal(distance: int, fits: bool) -> None:
    symbols = {"there": PC + distance}
    if fits:
        assert len(assemble("jal ra, there", PC, symbols=symbols)) == 4
    else:
        with pytest.raises(OutOfReach):
            assemble("jal ra, there", PC, symbols=symbols)


def test_tabs() -> None:
    assert assemble("addi\ta0, a0, 12", PC).hex() == "1305c500"
