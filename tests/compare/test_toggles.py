# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from genpatch.compare.toggles import toggle_of
from genpatch.schemes import CATALOG, get_scheme


@pytest.mark.parametrize(
    ("scheme", "one", "everything", "fences", "stops"),
    [
        ("mcount-ra16", {16: 1}, {16: 100}, 0, 1),
        ("pair-t0", {8: 1}, {8: 100}, 0, 1),
        ("pair-aligned8", {8: 1}, {8: 100}, 1, 0),
        ("nop-jalr", {4: 1}, {4: 100}, 1, 0),
        ("detour-24", {4: 1, 8: 1}, {4: 100, 8: 100}, 2, 0),
        ("auipc-fixed", {4: 1}, {4: 100, 8: 1}, 2, 0),  # one slot for all
        ("call-ops", {4: 1, 8: 1}, {4: 100, 8: 100}, 2, 0),
        ("dynamic-trampoline", {8: 1}, {8: 100, 192: 1}, 0, 1),  # one trampoline for all sites of a tracer
    ],
)
def test_enabling(scheme: str, one: dict[int, int], everything: dict[int, int], fences: int, stops: int) -> None:
    toggle = toggle_of(get_scheme(scheme), "enable", 100)
    assert toggle.stores == one
    assert toggle.all_stores == everything
    assert (toggle.fences, toggle.stops) == (fences, stops)
    assert toggle.fences_apart == 100 * fences
    assert toggle.per_site == sum(one.values())


def test_other_transitions() -> None:
    assert toggle_of(get_scheme("detour-24"), "disable", 1).stores == {4: 1}
    assert toggle_of(get_scheme("detour-24"), "change", 1).stores == {8: 1}
    assert toggle_of(get_scheme("auipc-fixed"), "change", 9).all_stores == {8: 1}


@pytest.mark.parametrize("transition", ["enable", "change", "disable"])
def test_every_scheme_stores_what_it_says(transition: str) -> None:
    for scheme in CATALOG.values():
        toggle = toggle_of(scheme, transition, 3)
        assert toggle.per_site + sum(toggle.shared.values()) == len(getattr(scheme, transition))
        assert toggle.publishes >= 1
