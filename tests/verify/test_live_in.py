# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers that functions read first, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.image.memory import AddressSpace, Region
from genpatch.isa.assemble import assemble
from genpatch.units import Span
from genpatch.verify.live_in import live_at_entry

AT = 0x8000_0000


def memory(*functions: bytes, executable: bool = True) -> AddressSpace:
    raw = np.frombuffer(b"".join(each.ljust(64, b"\0") for each in functions), np.uint8)
    region = Region(
        name=".text",
        span=Span(AT, AT + len(raw)),
        data=raw,
        executable=executable,
        writable=False,
        alignment=4,
        index=1,
    )
    return AddressSpace(regions=(region,))


def live(source: str) -> set[int]:
    return bits(int(live_at_entry(memory(assemble(source, AT)), np.array([AT], np.uint64))[0]))


def bits(mask: int) -> set[int]:
    return {number for number in range(64) if mask >> number & 1}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("jalr zero, 0(ra)", {1}),
        ("add a0, t2, t3\n jalr zero, 0(ra)", {1, 7, 28}),
        ("addi t2, zero, 1\n add a0, t2, t2\n jalr zero, 0(ra)", {1}),
        ("ld t2, 0(t2)\n jalr zero, 0(ra)", {1, 7}),
        ("sd t4, 8(sp)\n jalr zero, 0(ra)", {1, 2, 29}),
        ("addi sp, sp, -16\n sd ra, 8(sp)\n jal ra, 0x80000100", {1, 2}),
        # behind a jump nothing is certain
        ("jal zero, 0x80000020\n add a0, t2, t2", set()),
        ("beq a0, a1, 0x80000020\n add a0, t2, t2", {10, 11}),
        # lui, auipc read nothing; zero is never read
        ("lui t2, 1\n auipc t3, 0\n add t4, t2, zero\n jalr zero, 0(t3)", set()),
        ("c.mv a0, t2\n c.jr ra", {1, 7}),
        ("c.addi t2, 1\n c.jr ra", {1, 7}),
        ("c.swsp t5, 8(sp)\n c.jr ra", {1, 2, 30}),
        ("csrw sscratch, t6\n jalr zero, 0(ra)", {1, 31}),
        ("ecall\n add a0, t2, t2", set()),
        (".word 0xffffffff\n add a0, t2, t2", set()),
    ],
)  # fmt: skip
def test_what_is_read_first(source: str, expected: set[int]) -> None:
    assert live(source) == expected


def test_no_more_than_a_dozen_instructions() -> None:
    assert live("addi a0, zero, 0\n" * 11 + "add a1, t2, t2") == {7}
    assert live("addi a0, zero, 0\n" * 12 + "add a1, t2, t2") == set()


def test_many_functions_at_once() -> None:
    sources = ("add a0, t2, t2\n jalr zero, 0(ra)", "c.jr ra", "add a0, a1, a2\n c.jr ra", "jal zero, 0x80000000")
    space = memory(*(assemble(source, AT + 64 * n) for n, source in enumerate(sources)))
    starts = np.array([AT, AT + 64, AT + 128, AT + 192], np.uint64)
    assert [bits(int(mask)) for mask in live_at_entry(space, starts)] == [{1, 7}, {1}, {1, 11, 12}, set()]
    assert starts.tolist() == [AT, AT + 64, AT + 128, AT + 192]


def test_an_order_of_its_own() -> None:
    space = memory(assemble("c.jr ra", AT), assemble("c.jr t2", AT + 64))
    assert live_at_entry(space, np.array([AT + 64, AT], np.uint64)).tolist() == [1 << 7, 1 << 1]


def test_nothing_is_there() -> None:
    assert live_at_entry(memory(b""), np.array([AT + 4096, 0, (1 << 64) - 2], np.uint64)).tolist() == [0, 0, 0]
    assert live_at_entry(memory(b""), np.zeros(0, np.uint64)).tolist() == []


def test_a_function_that_runs_off_the_end() -> None:
    raw = assemble("addi a0, zero, 0\n add a1, t2, t2", AT)
    region = Region(
        name=".text", span=Span(AT, AT + 8), data=np.frombuffer(raw, np.uint8), executable=True, writable=False,
        alignment=4, index=1,
    )  # fmt: skip
    assert live_at_entry(AddressSpace(regions=(region,)), np.array([AT], np.uint64)).tolist() == [1 << 7]
