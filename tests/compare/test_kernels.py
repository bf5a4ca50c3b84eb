# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels. Sites within reach of a jal and on each alignment were counted with nm and readelf; what a
kernel's own stores must be follows from the alignments, and its own text from its section headers."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genpatch.compare.run import Comparison, compare
from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.schemes import get_scheme

pytestmark = pytest.mark.kernels

RELEASES = {"6.12": "6.12.107+deb13-riscv64", "7.2": "7.2.13+deb14-riscv64"}
SITES = {"6.12": 39_507, "7.2": 43_709}
NAMES = ("pair-t0", "pair-aligned8", "nop-jalr", "jal-dispatch", "jal-per-func", "call-ops", "dynamic-trampoline")
ALL = pytest.mark.parametrize("version", RELEASES)
BOTH = pytest.mark.parametrize("kind", ["vmlinux", "boot"])
EXPECTED: dict[str, dict[str, Any]] = {
    "6.12": {
        "sections": 10_963_320 + 377_008, "traced": 41, "jal": 4_693, "dispatchers": 7, "alignment": 2,
        "stores": {(2, True): 4 * 18_861, (4, True): 2 * 10_369, (8, True): 10_277}, "fences": 0,
        "per_site": {((2, 4),): 18_861, ((4, 2),): 10_369, ((8, 1),): 10_277},
    },
    "7.2": {
        "sections": 14_490_106 + 465_856, "traced": 42, "jal": 3_896, "dispatchers": 8, "alignment": 8,
        "stores": {(4, True): 43_709, (8, True): 43_709}, "fences": 43_709,
        "per_site": {((4, 1), (8, 1)): 43_709},
    },
}  # fmt: skip


@cache
def compared(path: Path) -> Comparison:
    return compare(read_image(open_content(path)), schemes=[get_scheme(name) for name in NAMES])


def given(version: str, kind: str = "vmlinux") -> Comparison:
    """Return the comparison on a kernel; skip where it is not there or of another release."""
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder:
        pytest.skip("GENPATCH_KERNELS names no directory of kernels")
    path = Path(folder, version, kind)
    if not path.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/{kind}")
    comparison = compared(path)
    if comparison.image.release != RELEASES[version]:
        pytest.skip(f"{version}/{kind} is {comparison.image.release}, figures are of {RELEASES[version]}")
    return comparison


@ALL
@BOTH
def test_sites_in_reach(version: str, kind: str) -> None:
    rows = {row.scheme.name: row for row in given(version, kind).rows}
    reached = {name: row.reach.reached for name, row in rows.items() if row.reach is not None}
    every = dict.fromkeys(NAMES, SITES[version])
    assert reached == {**every, "jal-dispatch": EXPECTED[version]["jal"], "nop-jalr": 0}


@ALL
def test_dispatchers_stand_between_functions_and_serve_all(version: str) -> None:
    comparison = given(version)
    (found,) = [row.dispatchers for row in comparison.rows if row.dispatchers is not None]
    assert len(found.at) == EXPECTED[version]["dispatchers"]
    assert (sum(found.served), found.left) == (SITES[version], 0)
    at, func = np.array(found.at, np.uint64), comparison.sites.func
    distance = (at[:, None] - func[None, :]).astype(np.int64)
    assert ((distance >= -(1 << 20)) & (distance < 1 << 20)).any(axis=0).all()
    symbols = comparison.image.symbols
    holder = symbols.at_or_before(at - np.uint64(1))
    ends = symbols.address[holder] + symbols.size[holder]
    assert (ends <= at).all()


@ALL
@BOTH
def test_the_text_put_together_again_is_the_text(version: str, kind: str) -> None:
    layout = given(version, kind).layout
    again = layout.as_built
    assert again.size == layout.size
    assert abs(layout.size - EXPECTED[version]["sections"]) <= 64
    run = np.cumsum(layout.first) - 1
    base = (layout.start - (layout.below + layout.padding).astype(np.uint64))[layout.first]
    assert np.array_equal(again.offset, (layout.start - base[run]).astype(np.int64))
    assert layout.alignment == EXPECTED[version]["alignment"]
    assert (int(layout.traced.sum()), layout.unplaced) == (SITES[version], 0)


@ALL
def test_nearly_all_of_the_text_is_explained(version: str) -> None:
    layout = given(version).layout
    assert layout.kept.sum() < 0.005 * layout.size
    assert (layout.kept == 0).mean() > 0.95


@ALL
def test_both_files_give_the_same_text(version: str) -> None:
    rows = [{row.scheme.name: row.text for row in given(version, kind).rows} for kind in ("vmlinux", "boot")]
    for name in NAMES:
        sizes = [each[name] for each in rows]
        assert sizes[0] is not None
        assert sizes[1] is not None
        assert sizes[0].sled == sizes[1].sled
        assert abs(sizes[0].size - sizes[1].size) < 0.001 * sizes[0].size  # kallsyms tells no sizes


@ALL
def test_what_a_scheme_adds(version: str) -> None:
    comparison = given(version)
    for row in comparison.rows:
        assert row.text is not None
        assert row.text.sled == SITES[version] * (row.scheme.before + row.scheme.after)
    own = next(row for row in comparison.rows if row.scheme is comparison.verdict.scheme)
    assert own.text is not None
    assert (own.text.size == comparison.layout.size) == (version == "7.2")  # 6.12 stands on 2, its scheme wants 4


@ALL
@BOTH
def test_what_its_own_code_does(version: str, kind: str) -> None:
    own, expected = given(version, kind).own, EXPECTED[version]
    assert own.notes == []
    for each in own.patching:
        assert each.sites == SITES[version]
        assert each.events.get("remote fence.i", 0) == expected["fences"]
        if each.function != "ftrace_init_nop":
            assert each.stores == expected["stores"]
            assert each.per_site == expected["per_site"]
    paths = {path.state: (path.least, path.most, path.sites) for path in own.paths}
    assert paths == {
        "disabled": (2, 2, SITES[version]),
        "traced": (expected["traced"], expected["traced"], SITES[version]),
    }


@ALL
@BOTH
def test_the_list_is_walked_by_the_kernels_own_function(version: str, kind: str) -> None:
    walk = given(version, kind).walk
    if walk.notes:
        assert kind == "boot"
        pytest.skip(f"the boot image does not have what it takes: {walk.notes[0]}")
    assert walk.function == "arch_ftrace_ops_list_func"
    each = (walk.one[1000] - walk.one[10]) / 990
    assert 40 < each < 80
    assert walk.every[1000] > walk.one[1000]
