# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from genpatch.audit.cases import SITES_AT, kernel
from genpatch.compare.walk import OURS, walk_of
from tests.compare.toys import THREE

AROUND = 10 + 1 + 7
"""Our loop: six of a frame, three copies and the head; the last test; five loads, sp, return."""
MISS, HIT = 9, 14


def test_our_own_loop_counted_by_hand() -> None:
    walk = walk_of(kernel(*THREE, code=()).image, SITES_AT, (1, 2, 10))
    assert walk.function == OURS
    assert walk.one == {1: AROUND + HIT, 2: AROUND + HIT + MISS, 10: AROUND + HIT + 9 * MISS}
    assert walk.every == {1: AROUND + HIT, 2: AROUND + 2 * HIT, 10: AROUND + 10 * HIT}
    assert walk.notes == ("the image does not name its list function, ftrace_ops_list and ftrace_list_end",)


def test_types_that_are_missing_are_named() -> None:
    names = dict.fromkeys(("ftrace_ops_list_func", "ftrace_ops_list", "ftrace_list_end"), SITES_AT + 0x100)
    walk = walk_of(kernel(*THREE, code=(), symbols=names).image, SITES_AT, (1,))
    assert walk.function == OURS
    assert walk.notes[0].startswith("no type of struct ftrace_ops")
