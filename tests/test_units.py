# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genpatch.errors import GenpatchError, ImageError, InputError, RelocationError, TypesError, UsageError
from genpatch.units import Span, as_hex


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0x0"),
        (0xFFFF_FFFF_8004_BC60, "0xffffffff8004bc60"),
        (-1, "0xffffffffffffffff"),
        (1 << 64, "0x0"),
        (0xABC, "0xabc"),
    ],
)
def test_as_hex(value: int, text: str) -> None:
    assert as_hex(value) == text


def test_as_hex_of_a_numpy_number() -> None:
    assert as_hex(int(np.uint64(0xFFFF_FFFF_FFFF_FFFF))) == "0xffffffffffffffff"


def test_span() -> None:
    span = Span(0x1000, 0x1010)
    assert span.size == 16
    assert [address in span for address in (0xFFF, 0x1000, 0x100F, 0x1010)] == [False, True, True, False]
    assert str(span) == "[0x1000, 0x1010)"
    assert Span(5, 5).size == 0
    assert 5 not in Span(5, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        span.start = 0  # type: ignore[misc]


def test_span_starts_at_zero() -> None:
    assert 0 in Span(0, 1)
    assert sorted([Span(4, 5), Span(0, 9)]) == [Span(0, 9), Span(4, 5)]


def test_span_holds() -> None:
    top = 0xFFFF_FFFF_FFFF_FFFF
    addresses = np.array([0, 7, 8, 15, 16, top], np.uint64)
    assert Span(8, 16).holds(addresses).tolist() == [False, False, True, True, False, False]
    assert Span(16, top).holds(addresses).tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImageError("a", "place", expected="1", got="2"), "a: place: expected 1, got 2"),
        (ImageError("a", got="gone"), "a: gone"),
        (InputError("", "place", got="gone"), "place: gone"),
        (UsageError("--x: no"), "--x: no"),
    ],
)
def test_what_errors_say(error: GenpatchError, text: str) -> None:
    assert str(error) == text
    assert error.exit_code == 2


def test_an_error_moves_to_the_named_file() -> None:
    moved = RelocationError("", "slot 3", expected="R_RISCV_64", got="77").at("vmlinux")
    assert type(moved) is RelocationError
    assert str(moved) == "vmlinux: slot 3: expected R_RISCV_64, got 77"


def test_the_error_tree() -> None:
    assert issubclass(RelocationError, ImageError)
    assert issubclass(TypesError, ImageError)
    assert issubclass(ImageError, InputError)
    assert issubclass(InputError, GenpatchError)
