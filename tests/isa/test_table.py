# SPDX-License-Identifier: GPL-2.0-or-later
"""The records: consistent, no two alike, encode and decode inverse to each other."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from genpatch.errors import OutOfReach
from genpatch.isa.asm import encode
from genpatch.isa.insn import SPECS, Spec, decode, extension, insn_size

IGNORED = {"fence": 0x000F8F80, "fence.tso": 0x000F8F80, "fence.i": 0xFFFF8F80}
"""Bits that base implementations shall ignore (unprivileged ISA, FENCE and FENCE.I)."""


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_record_accounts_for_every_bit_once(spec: Spec) -> None:
    assert spec.match & ~spec.mask == 0
    assert spec.size == insn_size(spec.match)
    taken = spec.mask
    for field in spec.fields:
        assert taken & field.mask == 0, field.name
        taken |= field.mask
    assert bool(spec.implied) <= bool(spec.base)
    whole = (1 << 8 * spec.size) - 1
    assert whole & ~taken == IGNORED.get(spec.name, 0)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_records_overlap_only_where_one_is_a_special_case(spec: Spec) -> None:
    for other in SPECS.values():
        if other is spec or other.size != spec.size:
            continue
        common = spec.mask & other.mask
        if spec.match & common == other.match & common:
            assert common in (spec.mask, other.mask), other.name
            assert spec.mask != other.mask, other.name


@pytest.mark.parametrize("spec", [spec for spec in SPECS.values() if spec.base], ids=lambda spec: spec.name)
def test_compressed_fills_the_operands_of_its_base(spec: Spec) -> None:
    base = SPECS[spec.base]
    roles = {role for field in spec.fields for role in field.roles} | dict(spec.implied).keys()
    needed = {role for field in base.fields for role in field.roles}
    assert roles == needed or (spec.name, needed) == ("c.ebreak", set())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_encode_inverts_decode(spec: Spec) -> None:
    rng = random.Random(spec.name)
    roles = {role for field in spec.fields for role in field.roles}
    seen = 0
    for _ in range(200):
        bits = rng.getrandbits(8 * spec.size) if rng.random() < 0.8 else rng.choice((0, 0xFFFFFFFF))
        word = spec.match | sum(bits & field.mask for field in spec.fields)
        insn = decode(word)
        if insn is None or insn.spec is not spec:
            continue  # operands that the encoding forbids, or that make it a more special instruction
        seen += 1
        assert encode(spec.name, **{role: getattr(insn, role) for role in roles}) == word
        everything = {role: getattr(insn, role) for role in roles | dict(spec.implied).keys()}
        assert encode(spec.name, **everything) == word
        if spec.base:
            full = decode(encode(spec.base, **everything))
            assert full is not None
            assert full.text() == insn.base.text()
    assert seen > 0


@pytest.mark.parametrize(
    ("name", "operands", "said"),
    [
        ("jalr", {"rd": 5, "rs1": 5, "imm": 2048}, "jalr cannot have imm=0x800"),
        ("jalr", {"rd": 5, "rs1": 5, "imm": -2049}, "imm=-0x801"),
        ("jal", {"rd": 0, "imm": 3}, "imm=0x3"),
        ("jal", {"rd": 0, "imm": 0x100000}, "imm=0x100000"),
        ("beq", {"rs1": 0, "rs2": 0, "imm": -4098}, "imm=-0x1002"),
        ("auipc", {"rd": 5, "imm": 0x80000}, "imm=0x80000"),
        ("slliw", {"rd": 5, "rs1": 5, "imm": 32}, "imm=0x20"),
        ("slli", {"rd": 5, "rs1": 5, "imm": -1}, "imm=-0x1"),
        ("c.addi16sp", {"imm": 0}, "c.addi16sp cannot have imm=0x0"),
        ("c.sdsp", {"rs2": 1, "imm": 4}, "imm=0x4"),
    ],
)
def test_encode_refuses_immediates(name: str, operands: dict[str, int], said: str) -> None:
    with pytest.raises(OutOfReach, match=said):
        encode(name, **operands)


@pytest.mark.parametrize(
    ("name", "operands", "said"),
    [
        ("jarl", {}, "no instruction 'jarl'"),
        ("jalr", {"rd": 5, "rs1": 5}, r"missing: \['imm'\]"),
        ("add", {"rd": 5, "rs1": 5, "rs2": 6, "imm": 0}, r"unknown: \['imm'\]"),
        ("add", {"rd": 32, "rs1": 5, "rs2": 6}, "add cannot have rd=0x20"),
        ("add", {"rd": -1, "rs1": 5, "rs2": 6}, "rd=-0x1"),
        ("c.ld", {"rd": 1, "rs1": 10, "imm": 0}, "rd=0x1"),
        ("c.jr", {"rs1": 0}, "rs1=0x0"),
        ("c.sdsp", {"rs1": 3, "rs2": 1, "imm": 8}, "rs1=0x3"),
    ],
)
def test_encode_refuses_operands(name: str, operands: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        encode(name, **operands)


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="jalr is declared twice"):
        extension("test")("jalr", "", 0x67, 0x7F)


def test_numpy_words_decode_like_ints() -> None:
    for scalar in (np.uint32(0xFFC282E7), np.uint64(0xFFC282E7), np.int64(0xFFC282E7)):
        insn = decode(scalar)  # type: ignore[arg-type]
        assert insn is not None
        assert insn.imm == -4
        assert type(insn.imm) is int


def test_capstone_is_not_imported_early() -> None:
    code = "import sys, genpatch.isa.asm, genpatch.isa.disasm; sys.exit('capstone' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
