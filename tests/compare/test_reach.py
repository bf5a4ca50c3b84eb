# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.audit.cases import CALL_OPS_CODE, EXIT, INIT, SITES_AT, TEXT, Fn, kernel
from genpatch.compare.reach import Reach, boundaries, call_offset, dispatchers_for, reach_of
from genpatch.schemes import CATALOG, get_scheme
from tests.compare.toys import THREE, layout

FAR = (Fn(name="near", at=SITES_AT + 8), Fn(name="init", at=INIT + 8), Fn(name="exit", at=EXIT + 8))


def reach(scheme: str, **symbols: int) -> Reach:
    facts = kernel(
        *FAR, code=CALL_OPS_CODE, symbols={name.replace("gp", "__global_pointer$"): at for name, at in symbols.items()}
    )
    return reach_of(get_scheme(scheme), facts.image, facts.sites)


@pytest.mark.parametrize(
    ("scheme", "offset"),
    [("mcount-ra16", 4), ("pair-t0", 0), ("nop-jalr", 0), ("jal-dispatch", 0), ("call-ops", 0), ("call-ops-cfi", 4)],
)
def test_whose_reach_counts(scheme: str, offset: int) -> None:
    assert call_offset(get_scheme(scheme)) == offset


def test_a_jal_reaches_a_mebibyte() -> None:
    found = reach("jal-dispatch")  # ftrace_caller is at TEXT: 0x1008, 0xfe008 and 0x17e008 below the sites
    assert (found.sites, found.reached, found.nearest, found.farthest) == (3, 2, -0x1008, -0x17E008)


def test_a_pair_reaches_all_of_them() -> None:
    assert reach("call-ops").reached == reach("pair-t0").reached == reach("detour-24").reached == 3
    assert reach("mcount-ra16").nearest == -0x100C


def test_a_dispatcher_of_its_own_is_always_there() -> None:
    found = reach("jal-per-func")
    assert (found.reached, found.nearest) == (3, -0x1008 + 24)


@pytest.mark.parametrize(
    ("at", "reached"), [(TEXT + 0x800, 3), (TEXT + 0x801, 0), (TEXT - 0x7FF, 3), (TEXT - 0x800, 0)]
)
def test_from_gp_all_sites_reach_or_none(at: int, reached: int) -> None:
    assert reach("nop-jalr", gp=at).reached == reached


def test_what_is_not_known_is_not_counted() -> None:
    assert reach("nop-jalr").reached is None
    assert reach("dynamic-trampoline").reached is None
    facts = kernel(*FAR, code=())
    found = reach_of(get_scheme("call-ops"), facts.image, facts.sites)
    assert found.reached is None
    assert "no such symbol" in found.what


def test_trampolines_are_made_where_modules_are() -> None:
    end = 0xFFFF_FFFF_8140_0000
    found = reach("dynamic-trampoline", _start=TEXT, _end=end)
    assert found.reached == 3
    assert found.farthest == end - (1 << 31) - (EXIT + 8)
    # an end so far up that the area begins above what an early site reaches does not exist; one below it does
    assert reach("dynamic-trampoline", _start=TEXT, _end=SITES_AT - 0x2000).reached == 0


def test_every_ftrace_scheme_of_the_catalog_is_counted() -> None:
    for scheme in CATALOG.values():
        if scheme.owner == "ftrace":
            assert reach(scheme.name, gp=TEXT, _start=TEXT, _end=EXIT + 0x1_0000).reached is not None


def test_places_are_between_functions() -> None:
    assert boundaries(layout(*THREE)).tolist() == [SITES_AT + at for at in (0x00, 0x12, 0x2C, 0x42)]


def test_dispatchers_worked_out_by_hand() -> None:
    call = np.array([0, 10, 40, 41, 70, 200], np.uint64) + np.uint64(1000)
    places = np.array([995, 1018, 1019, 1045, 1066, 1400], np.uint64)
    found = dispatchers_for(call, places, range(-20, 21))
    # 1000 and 1010 by 1019, 1040 and 1041 by 1045 only: 1066 is too far; 1070 by 1066; none is near 1200
    assert found.at == (1019, 1045, 1066)
    assert found.served == (2, 2, 1)
    assert found.left == 1


def test_no_site_and_no_place() -> None:
    none = np.zeros(0, np.uint64)
    assert dispatchers_for(none, none).at == ()
    assert dispatchers_for(np.array([4, 8], np.uint64), none).left == 2


def fewest(calls: list[int], places: list[int], reach: range) -> tuple[int, int]:
    """Return (fewest places, calls that none serves), by trying all sets of places."""
    near = {call: {place for place in places if place - call in range(reach.start, reach[-1] + 1)} for call in calls}
    wanted = [each for each in near.values() if each]
    count = next(
        n for n in range(len(places) + 1) for some in combinations(places, n) if all(set(some) & w for w in wanted)
    )
    return count, sum(not each for each in near.values())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(100, 160), max_size=10, unique=True),
    st.lists(st.integers(80, 180), max_size=8, unique=True),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_no_fewer_dispatchers_would_do(calls: list[int], places: list[int], below: int, above: int) -> None:
    reach = range(-below, above)
    found = dispatchers_for(np.array(calls, np.uint64), np.array(sorted(places), np.uint64), reach)
    assert (len(found.at), found.left) == fewest(calls, places, reach)
    assert sum(found.served) + found.left == len(calls)
    assert set(found.at) <= set(places)
