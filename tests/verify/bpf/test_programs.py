# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that trampolines call, and the bytes that they are described by."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from genpatch.image.btf import Member
from genpatch.verify.bpf.interface import find_interface
from genpatch.verify.bpf.programs import COOKIES, Programs, make_programs, set_member

from .toys import make_pool, sound_image

START, CODE = 0xFFFF_AF80_0050_0000, 0xFFFF_FFFF_7F70_0000


def member(offset: int, size: int, *, at: int = 0, bits: int = 0) -> Member:
    """Return a member; with `bits`, a bitfield from bit `at` of its offset on."""
    return Member(name="m", offset=offset, bit_offset=at, bit_size=bits, size=size, type_name="u32")


def sample_pool() -> Programs:
    image = sound_image()
    return make_programs(image, find_interface(image), START, CODE)


# -- members


@pytest.mark.parametrize(
    ("at", "bits", "value", "expected"),
    [
        (0, 1, 1, "0100000000"),
        (3, 2, 3, "1800000000"),
        (7, 1, 1, "8000000000"),
        (7, 2, 2, "0001000000"),  # across a byte
        (5, 12, 0xFFF, "e0ff010000"),  # across two
        (3, 2, 0xFF, "1800000000"),  # no bit beside it
        (0, 32, 0x8000_0001, "0100008000"),
    ],
)
def test_bitfields_are_set(at: int, bits: int, value: int, expected: str) -> None:
    content = bytearray(5)
    set_member(content, 0, member(0, 4, at=at, bits=bits), value)
    assert content.hex() == expected


def test_bits_beside_a_bitfield_stay() -> None:
    content = bytearray(b"\xff" * 4)
    set_member(content, 1, member(1, 2, at=2, bits=3), 0b010)
    assert content.hex() == "ffffebff"  # 111 010 11


@pytest.mark.parametrize(("size", "expected"), [(1, "00f3000000"), (2, "00f3ff0000"), (4, "00f3ffffff")])
def test_other_members_are_cut_to_their_size(size: int, expected: str) -> None:
    content = bytearray(5)
    set_member(content, 1, member(0, size), -13)
    assert content.hex() == expected


# -- the pool


def test_numbers_of_programs() -> None:
    """Kind by kind, position by position, variant by variant; sessions behind them."""
    pool = make_pool(sessions=True)
    assert [program.number for program in pool.all] == list(range(36 + 6))
    assert [pool.find(kind, 2, 3).number for kind in range(3)] == [11, 23, 35]
    assert pool.session(2, cookie=True).number == 41
    names = [pool.all[number].name for number in (0, 11, 12, 24, 35, 41)]
    assert names == ["fentry 0", "fentry 2", "fexit 0", "fmod_ret 0", "fmod_ret 2", "fsession 2"]


def test_the_pool_of_a_kernel_without_sessions() -> None:
    pool = sample_pool()
    assert len(pool.all) == 36
    for number, program in enumerate(pool.all):
        assert (program.number, program.kind, program.position) == (number, number // 12, number // 4 % 3)
        assert (program.sleepable, program.has_cookie) == (bool(number & 1), bool(number & 2))
        assert program.cookie == (COOKIES[number // 4 * 2 + (number & 1)] if number & 2 else 0)
        assert bool(program.insns) == (program.position == 1 and not number & 3)  # not JITed
        assert program.code == CODE + 16 * number
        assert not program.session


def test_cookies_are_all_different() -> None:
    assert len({*COOKIES, 0}) == 1 + 3 * 3 * 2
    assert all(0 < cookie < 1 << 64 for cookie in COOKIES)


def test_the_kernel_chooses_what_is_called_around_each() -> None:
    image, pool = sound_image(), sample_pool()
    for chosen, name in ((pool.enters, "__bpf_prog_enter"), (pool.exits, "__bpf_prog_exit")):
        plain, sleepable = image.address_of(name), image.address_of(f"{name}_sleepable")
        assert chosen == tuple(sleepable if number & 1 else plain for number in range(36))


def test_structures_keep_apart() -> None:
    pool = sample_pool()
    starts = sorted(at for program in pool.all for at in (program.at, program.node))
    assert len(set(starts)) == 2 * 36
    assert all(at % 8 == 0 and START <= at < START + len(pool.content) for at in starts)
    assert min(b - a for a, b in pairwise(starts)) >= 40  # struct bpf_prog and bpf_tramp_link


@pytest.mark.parametrize(("kind", "position", "variant"), [(0, 0, 0), (1, 2, 1), (2, 1, 2), (0, 2, 3), (2, 1, 0)])
def test_a_program_is_described_as_the_sample_declares_it(kind: int, position: int, variant: int) -> None:
    """Read back with the layouts of jit.h, written out here."""
    pool = sample_pool()
    program = pool.find(kind, position, variant)
    at = program.at - START
    _, bits, kind_of, length, aux, code = struct.unpack_from("<HHIIxxxxQQ", pool.content, at)
    is_jited = not (position == 1 and variant == 0)
    assert bits == is_jited | (4 if variant & 1 else 0)  # jited, gpl_compatible, sleepable
    assert program.insns == (0 if is_jited else program.at + 32)
    assert (kind_of, length, code) == (26, 1, program.code)
    assert struct.unpack_from("<QQ", pool.content, aux - START) == (0, program.at)
    node = struct.unpack_from("<QQQQ", pool.content, program.node - START)
    assert node == (0, program.at, 0, program.cookie)
