# SPDX-License-Identifier: GPL-2.0-or-later
"""Every bug that should be flagged is, nothing is said of harmless patches, and bugs.md says so.

Set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH.
"""

from __future__ import annotations

import time

import pytest

from tests.check.bugs import TABLE, Bug, all_bugs, all_harmless, judged, patch_of, table, trees

ROOTS = trees()
MOST_SECONDS = 3.0  # of one patch, on a processor: ten times what it should take


def _name(bug: Bug) -> str:
    return f"{bug.id}-{bug.tree}"


def _needs(bug: Bug) -> None:
    if bug.tree not in ROOTS:
        pytest.skip(f"GENPATCH_KERNEL_SOURCES names no tree of {bug.tree}: {bug.id} is NOT tested")


@pytest.mark.parametrize("bug", all_bugs(), ids=_name)
def test_bugs(bug: Bug) -> None:
    _needs(bug)
    assert bool(bug.expected) != bool(bug.missed)
    started = time.process_time()
    said = {each.rule for each in judged(bug, ROOTS[bug.tree])}
    assert time.process_time() - started < MOST_SECONDS
    assert set(bug.expected) <= said if bug.expected else not said, said


@pytest.mark.parametrize("patch", all_harmless(), ids=_name)
def test_harmless(patch: Bug) -> None:
    _needs(patch)
    assert patch_of(patch, ROOTS[patch.tree])[1].count("\n@@ ")
    assert judged(patch, ROOTS[patch.tree]) == ()


def test_there_are_enough() -> None:
    ids = [(bug.id, bug.tree) for bug in [*all_bugs(), *all_harmless()]]
    assert len(ids) == len(set(ids))
    for tree in ("6.1", "6.12", "7.2"):
        assert sum(patch.tree == tree for patch in all_harmless()) >= 10


def test_the_table_is_what_is_computed() -> None:
    if len(ROOTS) < 3:
        pytest.skip("GENPATCH_KERNEL_SOURCES does not name all three trees: the table is NOT tested")
    assert TABLE.read_text(encoding="utf-8") == "".join(table(ROOTS))
