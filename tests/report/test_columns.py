# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns of a page are read as they were written, whatever names and addresses are."""

from __future__ import annotations

import zlib

import pytest

from genpatch.report.html.columns import Columns
from tests.report.builders import HOSTILE
from tests.report.columns import unpacked


def both_ways(*images: tuple[list[str], list[int]]) -> None:
    columns = Columns()
    far = []
    for names, func in images:
        columns.names(names)
        far.append(columns.steps(func))
    about, body = columns.packed()
    assert unpacked(about, body, [(len(names), each) for (names, _), each in zip(images, far, strict=True)]) == [
        (names, func) for names, func in images
    ]


def test_names_and_addresses_of_several_images() -> None:
    both_ways(
        (["vfs_read", "vfs_write", "__vfs_write", "", "vfs_write.isra.0"], [0, 2, 34, 34, 70_000]),
        ([], []),
        (["vfs_write"], [16]),
        (list(HOSTILE), [32 * n for n in range(len(HOSTILE))]),
    )


@pytest.mark.parametrize(
    "func", [[1, 3, 8], [0, 131_068, 262_138, 131_070], [0, 1 << 40, 2], [0, 131_070, 262_140], [9, 0, 4]]
)
def test_steps_that_are_odd_negative_or_far(func: list[int]) -> None:
    both_ways((["f"] * len(func), func))


def test_more_words_than_one_byte_or_two_can_tell() -> None:
    names = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676 % 26)}x{n}" for n in range(40_000)]
    both_ways((names, list(range(0, 80_000, 2))))


def test_a_name_of_very_many_words() -> None:
    name = "_".join(f"w{n}" for n in range(400))
    both_ways(([name, name, f"{name}_x"], [0, 2, 4]))


def test_names_take_less_room_than_lines() -> None:
    names = [f"{one}_{two}_{three}" for one in ("vfs", "ext4", "tcp", "udp") for two in ("read", "write", "sync_file")
             for three in ("begin", "end", "folio", "page", "iter")]  # fmt: skip
    columns = Columns()
    columns.names(names)
    _, body = columns.packed()
    assert len(body) < len("\n".join(names)) / 4
    assert len(zlib.compress(body, 9)) < len(zlib.compress("\n".join(names).encode(), 9))
