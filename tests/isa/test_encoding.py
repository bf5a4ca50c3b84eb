# SPDX-License-Identifier: GPL-2.0-or-later
"""Immediates: the split of a PC-relative distance, reach, sign extension, field layouts, register names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genpatch.errors import OutOfReach
from genpatch.isa.encoding import (
    FIELDS,
    REACH_BRANCH,
    REACH_JAL,
    REACH_LO12,
    REACH_PCREL,
    REG_NAMES,
    REG_NUMBERS,
    hi20_of,
    in_pcrel_reach,
    insn_size,
    sext,
    split_pcrel,
)


@pytest.mark.parametrize(
    ("value", "bits", "expected"),
    [
        (0, 12, 0),
        (0x7FF, 12, 2047),
        (0x800, 12, -2048),
        (0xFFF, 12, -1),
        (0x1FFF, 12, -1),
        (-1, 64, -1),
        (2**63, 64, -(2**63)),
        (2**64 + 5, 64, 5),
        (1, 1, -1),
        (0xFFFFFFFF, 32, -1),
    ],
)
def test_sext(value: int, bits: int, expected: int) -> None:
    assert sext(value, bits) == expected


@pytest.mark.parametrize(
    ("delta", "hi20", "lo12"),
    [
        (0, 0, 0),
        (0x7FF, 0, 2047),
        (0x800, 1, -2048),
        (-0x800, 0, -2048),
        (-0x801, -1, 2047),
        (0x1000, 1, 0),
        (0x7FFF_F7FF, 0x7FFFF, 0x7FF),
        (-0x8000_0800, -0x80000, -0x800),
    ],
)
def test_split_pcrel(delta: int, hi20: int, lo12: int) -> None:
    assert split_pcrel(delta) == (hi20, lo12)


@pytest.mark.parametrize(
    ("delta", "said"), [(0x7FFF_F800, "distance 0x7ffff800"), (-0x8000_0801, "distance -0x80000801")]
)
def test_split_pcrel_out_of_reach(delta: int, said: str) -> None:
    with pytest.raises(OutOfReach, match=f"{said}, auipc reaches -0x80000800 to 0x7ffff7ff"):
        split_pcrel(delta)


@given(st.integers(REACH_PCREL.start, REACH_PCREL.stop - 1))
def test_split_pcrel_joins_again(delta: int) -> None:
    hi20, lo12 = split_pcrel(delta)
    assert hi20 * 4096 + lo12 == delta
    assert -(2**19) <= hi20 < 2**19
    assert lo12 in REACH_LO12


def test_bulk_agrees_with_scalar() -> None:
    rng = np.random.default_rng(7)
    deltas = rng.integers(REACH_PCREL.start, REACH_PCREL.stop, 20_000, dtype=np.int64)
    edges = [REACH_PCREL.start, REACH_PCREL.stop - 1, -0x801, -0x800, 0x7FF, 0x800, 0]
    deltas = np.concatenate([deltas, np.array(edges, dtype=np.int64)])
    expected = [split_pcrel(delta)[0] for delta in deltas.tolist()]
    assert hi20_of(deltas).dtype == np.int64
    assert hi20_of(deltas).tolist() == expected
    assert in_pcrel_reach(deltas).all()


def test_bulk_reach() -> None:
    deltas = np.array([0x7FFF_F7FF, 0x7FFF_F800, -0x8000_0800, -0x8000_0801, 2**62, -(2**63)], dtype=np.int64)
    assert in_pcrel_reach(deltas).tolist() == [True, False, True, False, False, False]


def test_reach_of_jumps() -> None:
    assert 0xFFFFE in REACH_JAL
    assert 0x100000 not in REACH_JAL
    assert -0x100000 in REACH_JAL
    assert 3 not in REACH_JAL
    assert (REACH_BRANCH[0], REACH_BRANCH[-1]) == (-4096, 4094)


@pytest.mark.parametrize(
    ("parcel", "size"),
    [
        (0x0001, 2),
        (0x0000, 2),
        (0x0013, 4),
        (0xFFFE, 2),
        (0x001F, 0),
        (0x003F, 0),
        (0x007F, 0),
        (0xFFFF, 0),
        (0x001B, 4),
    ],
)
def test_insn_size(parcel: int, size: int) -> None:
    assert insn_size(parcel) == size


def test_register_names() -> None:
    assert [REG_NAMES[n] for n in (0, 1, 2, 5, 6, 8, 9, 10, 17, 18, 27, 28, 31)] == [
        "zero", "ra", "sp", "t0", "t1", "s0", "s1", "a0", "a7", "s2", "s11", "t3", "t6",
    ]  # fmt: skip
    assert len(REG_NAMES) == 32
    assert (REG_NUMBERS["t0"], REG_NUMBERS["x31"], REG_NUMBERS["fp"]) == (5, 31, 8)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_hold_what_was_put_in(name: str) -> None:
    field = FIELDS[name]
    for word in (0, 0xFFFFFFFF, 0x5A5A5A5A, 0xA5A5A5A5):
        kept = word & field.mask
        assert field.insert(field.extract(word)) == kept
    assert field.mask < (1 << 32)
