# SPDX-License-Identifier: GPL-2.0-or-later
"""The flag that gives a site an ops of its own, with types and without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genpatch.audit.cases import FREGS, OPS, ToyTypes
from genpatch.audit.live import CALL_OPS_EN, RECORD, live
from genpatch.image.model import KernelImage
from genpatch.verify.layouts import layouts_of
from genpatch.verify.own_ops import own_ops_flag
from genpatch.verify.scene import prepare_scene

from .toys import call_ops, without


def flag(image: KernelImage) -> tuple[int, list[str]]:
    lines: list[str] = []
    scene, ip = prepare_scene(image), image_ip(image)
    return own_ops_flag(scene, layouts_of(image), ip, tell=lines.append), lines


def image_ip(image: KernelImage) -> int:
    one = image.address_of("one")
    assert one is not None
    return one + 4


def test_types_tell() -> None:
    assert flag(call_ops().image) == (CALL_OPS_EN, [])


@pytest.mark.parametrize("bit", [3, 20, 31])
def test_without_types_the_kernel_is_asked(bit: int) -> None:
    facts = live(edit=("ftrace_make_call", "srli a2, a2, 20", f"srli a2, a2, {bit}"))
    found, lines = flag(replace(facts.image, types=None))
    assert found == 1 << bit
    assert lines == [
        f"FTRACE_FL_CALL_OPS_EN: no type; taken for bit {bit}, with which ftrace_make_call calls ftrace_find_unique_ops"
    ]


def test_a_kernel_that_always_asks_has_no_such_flag() -> None:
    facts = live(edit=("ftrace_make_call", "beq a2, zero, chosen", "addi a2, zero, 0"))
    assert flag(replace(facts.image, types=None)) == (0, [])


def test_a_kernel_that_never_asks_has_no_such_flag() -> None:
    facts = live(edit=("ftrace_make_call", "andi a2, a2, 1", "addi a2, zero, 0"))
    assert flag(replace(facts.image, types=None)) == (0, [])


def test_a_kernel_without_the_functions() -> None:
    image = replace(call_ops().image, types=None)
    for name in ("ftrace_find_unique_ops", "ftrace_make_call", "ftrace_caller"):
        assert flag(without(image, name)) == (0, [])


def test_types_without_the_flag_are_believed() -> None:
    class NoFlag(ToyTypes):
        def enumerator(self, name: str) -> int | None:
            return None

    assert flag(replace(call_ops().image, types=NoFlag(FREGS, OPS, RECORD))) == (0, [])
