# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a program of the kernel's own JIT is put; what it is used for is in test_kernel.py."""

from __future__ import annotations

import pytest

from genpatch.errors import ImageError
from genpatch.race.kernel_program import _filler, _least_aligned, compile_program
from genpatch.race.kernel_site import prepare_kernel
from tests.race.kernels import call_ops


@pytest.mark.parametrize(
    ("limit", "number"), [(0, 0), (1, 0), (4, 0), (5, 4), (12, 4), (13, 12), (20, 12), (21, 20), (56, 52), (57, 52)]
)
def test_the_largest_number_below_a_limit_that_is_four_behind_a_multiple_of_eight(limit: int, number: int) -> None:
    assert _least_aligned(limit) == number


@pytest.mark.parametrize(
    ("code", "filler"), [("", 0), ("00000000", 4), ("13000000", 0), ("0000000000001300", 4), ("00000000 0000 0100", 4)]
)
def test_zeros_in_front_are_filler_word_by_word(code: str, filler: int) -> None:
    assert _filler(bytes.fromhex(code)) == filler


def test_a_kernel_without_a_jit() -> None:
    kernel = prepare_kernel(call_ops())
    with pytest.raises(ImageError, match="expected a JIT of BPF programs"):
        compile_program(kernel.image, kernel.scene, kernel.program_page)
