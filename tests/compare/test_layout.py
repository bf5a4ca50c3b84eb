# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from genpatch.audit.cases import RET, SITES_AT, Fn, kernel
from genpatch.compare.layout import HOLE, TextLayout, read_layout, relaid
from genpatch.schemes import CATALOG, get_scheme
from tests.compare.toys import THREE, layout, toy


def test_what_functions_are_made_of() -> None:
    found = layout(*THREE)
    assert found.below.tolist() == found.after.tolist() == [8, 8, 8]
    assert found.own.tolist() == [2, 4, 2]
    assert found.padding.tolist() == [0, 6, 4]
    assert found.kept.tolist() == [0, 0, 0]
    assert found.first.tolist() == [True, False, False]
    assert (found.alignment, found.natural, found.unplaced, found.sized) == (8, 2, 0, True)
    assert found.sections == (".text",)
    assert found.size == 0x42


@pytest.mark.parametrize(
    ("scheme", "sled", "padding"),
    [
        ("mcount-ra16", 48, 2 + 0),  # 18 | 20
        ("pair-t0", 24, 2 + 0),  # 10 | 12
        ("pair-aligned8", 24, 6 + 4),  # 10 | 12
        ("detour-24", 72, 6 + 4),  # 26 | 28
        ("jal-dispatch", 36, 2 + 0),  # 6 + 8 | 8 + 8
        ("jal-per-func", 108, 2 + 0),  # 6 + 32 | 8 + 32
        ("call-ops", 48, 6 + 4),  # 10 + 8 | 12 + 8
        ("call-ops-cfi", 84, 2 + 0),  # 14 + 16 | 16 + 16
    ],
)
def test_text_of_a_scheme(scheme: str, sled: int, padding: int) -> None:
    found = layout(*THREE)
    again = relaid(found, get_scheme(scheme))
    assert (again.sled, again.padding, again.size) == (sled, padding, 8 + sled + padding)
    assert found.bare.size == 8


def test_its_own_scheme_gives_the_text_that_is_there() -> None:
    found = layout(*THREE)
    again = found.as_built
    assert again.size == found.size == relaid(found, get_scheme("call-ops")).size
    assert [SITES_AT + offset for offset in again.offset.tolist()] == found.start.tolist()


def test_what_no_alignment_explains_is_kept() -> None:
    found = layout(*THREE, Fn(name="d", at=SITES_AT + 0x70))
    assert found.kept.tolist() == [0, 0, 0x20, 0]  # 0x42 to 0x68: 6 bytes of padding, 32 of something else
    assert found.padding.tolist() == [0, 6, 4, 6]
    assert found.as_built.size == found.size == 0x7A - 0
    assert found.bare.size == 10 + 0x20


def test_a_hole_is_no_text() -> None:
    at = SITES_AT + 0x48 + 2 * HOLE
    found = layout(*THREE, Fn(name="d", at=at), Fn(name="e", at=at + 0x18))
    assert found.first.tolist() == [True, False, False, True, False]
    assert found.size == 0x42 + 0x2A
    assert found.as_built.size == found.size


def test_each_section_is_laid_out_by_itself() -> None:
    facts = kernel(*THREE, Fn(name="d", at=0xFFFF_FFFF_8010_0008), code=())
    found = read_layout(facts.image, facts.sites, get_scheme("call-ops"))
    assert found.sections == (".text", ".init.text")
    assert found.first.tolist() == [True, False, False, True]
    assert found.size == 0x42 + 0x12


def test_a_label_within_a_function_is_none() -> None:
    inner = Fn(name="inner", at=SITES_AT + 0x24, before=0, after=0, body=b"", entry=None, size=2)
    assert layout(*THREE, inner).start.tolist() == layout(*THREE).start.tolist()


def test_what_is_not_traced_has_no_sled_and_is_aligned_by_the_compiler_or_not() -> None:
    plain = Fn(name="plain", at=SITES_AT + 0x48, before=0, after=0, body=RET * 3, entry=None)
    last = Fn(name="d", at=SITES_AT + 0x58)
    found = layout(*THREE, plain, last)
    assert found.traced.tolist() == [True, True, True, False, True]
    assert found.own.tolist() == [2, 4, 2, 6, 2]
    pair = get_scheme("pair-t0")
    # 10 | 12 | 10 | 6 | 10 on multiples of 4, the fourth on one of 8 where only traced functions move
    assert relaid(found, pair).size == 10 + 2 + 12 + 10 + 2 + 6 + 2 + 10
    assert relaid(found, pair, traced_only=True).size == 10 + 2 + 12 + 10 + 6 + 6 + 2 + 10
    assert relaid(found, pair).sled == 4 * 8


def test_a_function_off_the_alignment_stays_where_it_falls() -> None:
    many = tuple(Fn(name=f"f{number}", at=SITES_AT + 8 + 24 * number) for number in range(40))
    odd = Fn(name="odd", at=SITES_AT + 24 * 40 + 2, before=0, after=0, body=RET, entry=None)
    found = layout(*many, odd)
    assert found.alignment == 8
    assert found.follows.tolist() == [True] * 40 + [False]
    assert found.kept[39] == 8
    again = relaid(found, get_scheme("call-ops"))
    assert again.size == found.size
    assert relaid(found, get_scheme("pair-t0")).size == 40 * 10 + 39 * 2 + 8 + 2


def test_a_function_without_a_symbol_is_a_site_still() -> None:
    hidden = Fn(name="", at=SITES_AT + 0x48, size=10)
    found = layout(*THREE, hidden, Fn(name="d", at=SITES_AT + 0x60))
    assert found.start.tolist() == [SITES_AT + at for at in (0x08, 0x20, 0x38, 0x48, 0x60)]
    assert found.traced.all()


def test_without_sizes_nops_in_front_of_a_function_are_padding() -> None:
    functions = tuple(replace(each, size=0) for each in THREE)
    nops = b"\x01\x00"
    padded = (functions[0], replace(functions[1], body=RET * 2 + nops * 2), functions[2])
    found = layout(replace(padded[0], body=RET + nops * 3), *padded[1:])
    assert not found.sized
    assert found.own.tolist()[:2] == [2, 4]
    assert found.padding.tolist() == [0, 6, 4]


def test_an_alignment_that_the_scheme_does_not_ask_for_is_there_without_it() -> None:
    wide = tuple(Fn(name=f"f{number}", at=SITES_AT + 0x10 + 32 * number) for number in range(4))
    assert layout(*wide).natural == 16
    assert relaid(layout(*wide), get_scheme("pair-t0")).size == 3 * 16 + 10
    assert layout(*THREE, scheme="pair-t0").natural == 8


def test_a_kernel_of_an_unknown_scheme() -> None:
    facts = toy(*THREE)
    assert read_layout(facts.image, facts.sites, None).natural == 8


def test_every_scheme_as_a_loop_would_do_it() -> None:
    source = random.Random(1)
    for _ in range(20):
        n = source.randrange(1, 60)
        draw = lambda choices, n=n: np.array(source.choices(choices, k=n))  # noqa: E731
        text = TextLayout(
            start=np.arange(n, dtype=np.uint64), below=draw([8]), after=draw([8]), own=draw(range(0, 40, 2)),
            kept=draw([0, 0, 0, 14]), padding=draw([0]), first=draw([False] * 9 + [True]).astype(bool),
            traced=draw([False, True, True]).astype(bool), alignment=8, natural=2,
            follows=draw([True] * 9 + [False]).astype(bool), unplaced=0, sized=True, sections=(),
        )  # fmt: skip
        text.first[0] = True
        for scheme in CATALOG.values():
            for only in (False, True):
                wanted = max(scheme.alignment, 2)
                total = at = 0
                for number in range(n):
                    if text.first[number]:
                        at = 0
                    traced = bool(text.traced[number])
                    usual = (8 if only else wanted) if text.follows[number] else 1
                    alignment = wanted if traced else usual
                    below, after = (scheme.before, scheme.after) if traced else (0, 0)
                    func = -(-(at + below) // alignment) * alignment
                    end = func + after + int(text.own[number] + text.kept[number])
                    total, at = total + end - at, end
                assert relaid(text, scheme, traced_only=only).size == total
