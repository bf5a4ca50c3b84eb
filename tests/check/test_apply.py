# SPDX-License-Identifier: GPL-2.0-or-later
"""Hunks, applied."""

from __future__ import annotations

from genpatch.check.apply import apply_hunks, lines_of
from genpatch.check.model import Hunk
from genpatch.check.patches import read_patches
from tests.check.trees import diff_of

OLD = "".join(f"{number}\n" for number in range(40))
NEW = OLD.replace("\n5\n", "\nfive\n").replace("\n30\n", "\n30\nmore\n")


def hunks(old: str = OLD, new: str = NEW) -> tuple[Hunk, ...]:
    return read_patches(diff_of("x", old, new).encode(), "p")[0].files[0].hunks


def test_as_it_is() -> None:
    applied = apply_hunks(OLD, hunks())
    assert (applied.text, applied.failed, applied.added) == (NEW, (), frozenset({6, 32}))


def test_moved_lines() -> None:
    assert apply_hunks(f"top\n{OLD}", hunks()).text == f"top\n{NEW}"
    assert apply_hunks(OLD[4:], hunks()).text == NEW[4:]


def test_context_must_match() -> None:
    applied = apply_hunks(OLD.replace("\n8\n", "\n 8\n"), hunks())
    assert applied.text == OLD.replace("\n8\n", "\n 8\n").replace("\n30\n", "\n30\nmore\n")
    assert [(hunk.at, line) for hunk, line in applied.failed] == [(4, 3)]


def test_the_nearest_place_is_taken() -> None:
    twice = "a\nb\nc\n" * 20
    changed = "a\nb\nc\n" * 10 + "a\nB\nc\n" + "a\nb\nc\n" * 9
    assert apply_hunks(twice, hunks(twice, changed)).text == changed


def test_only_a_line_feed_ends_a_line() -> None:
    assert lines_of("a\x0cb\u2028c\n\nd") == ["a\x0cb\u2028c\n", "\n", "d"]
    assert lines_of("") == []
