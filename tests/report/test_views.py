# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from genpatch.report.document import Example
from genpatch.report.views import groups, places, rank, shares, tally, verdict

from .builders import FINDINGS, baselined, clean, faulty, finding


def test_levels() -> None:
    assert [rank(level) for level in ("error", "warning", "note", "other")] == [0, 1, 2, 3]


def test_groups_are_worst_first() -> None:
    assert [(group.rule, group.level, len(group.findings)) for group in groups(FINDINGS)] == [
        ("GP104", "error", 1),
        ("GP205", "error", 2),
        ("GP208", "warning", 1),
        ("GP107", "note", 1),
    ]


def test_a_group_has_its_worst_level() -> None:
    (group,) = groups((finding(level="note"), finding(level="warning")))
    assert [each.level for each in group.findings] == ["warning", "note"]
    assert group.level == "warning"


@pytest.mark.parametrize(
    ("wanted", "budget", "given"),
    [
        ([3, 30], 10, [3, 7]),
        ([30, 30], 5, [3, 2]),
        ([1, 1, 1], 2, [1, 1, 0]),
        ([2, 2], 50, [2, 2]),
        ([2], 0, [0]),
        ([], 5, []),
    ],
)
def test_shares(wanted: list[int], budget: int, given: list[int]) -> None:
    assert shares(wanted, budget) == given


def test_places_begin_with_the_finding() -> None:
    first = Example(address="0xffffffff8004bc60", symbol="vfs_read")
    other = Example(address="0x10", symbol="other")
    assert places(finding()) == [first]
    assert places(finding(examples=(other,))) == [first, other]
    assert places(finding(examples=(other, first))) == [other, first]
    assert places(finding(address=None)) == []


def test_tally_and_verdict() -> None:
    assert tally(FINDINGS) == {"error": 3, "warning": 1, "note": 1}
    assert verdict(clean()) == "0 errors, 0 warnings, 0 notes; 0 rules not run"
    assert verdict(faulty()) == "3 errors, 1 warning, 1 note; 3 rules not run, 1 failed"
    assert verdict(baselined()) == "1 error, 0 warnings, 0 notes; 3 rules not run, 1 failed; 4 known findings"
