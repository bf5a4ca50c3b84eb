# SPDX-License-Identifier: GPL-2.0-or-later
"""How many arguments struct_ops take: counted in types as C spells them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.verify.bpf.run import _Gathered
from genpatch.verify.bpf.struct_ops import _count, most_arguments

from .toys import sound_image


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("void", 0), ("int", 1), ("struct sock *, u32, u32", 3),
        ("int (*)(void *, int), void *", 2), ("void (*)(int (*)(int, int), int)", 1),
    ],
)  # fmt: skip
def test_parameters_are_counted(text: str, count: int) -> None:
    assert _count(text) == count


def test_a_kernel_without_struct_ops() -> None:
    types = sound_image().types
    assert types is not None
    assert most_arguments(types) is None


@pytest.mark.kernels
@pytest.mark.parametrize("version", ["7.2", "6.12"])
def test_debians_struct_ops_fit_into_registers(version: str) -> None:
    """test_2() of struct bpf_dummy_ops takes five, in 7.2 hid_hw_request() of struct hid_bpf_ops, too (pahole)."""
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder or not Path(folder, version, "vmlinux").exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/vmlinux")
    types = read_image(open_content(str(Path(folder, version, "vmlinux")))).types
    assert types is not None
    assert most_arguments(types) == 5


@pytest.mark.parametrize(
    ("has_struct_ops", "fewest", "begins"), [(True, 9, "this kernel has no"), (True, 0, ""), (False, 9, "")]
)
def test_what_only_a_struct_ops_comes_to_is_unused_in_a_kernel_without_any(
    has_struct_ops: bool, fewest: int, begins: str
) -> None:
    image = SimpleNamespace(types=sound_image().types, address_of=lambda name: 1 if has_struct_ops else None)
    run: Any = SimpleNamespace(stage=SimpleNamespace(image=image))
    why = _Gathered._unused(run, fewest)
    assert why.startswith(begins)
    assert bool(why) is bool(begins)
