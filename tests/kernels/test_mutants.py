# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of mutants is well-formed; where kernel trees are given, every edit finds its place in them.

Set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH, of the versions that the list names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from genpatch.verify.contract import Promise
from genpatch.verify.life import state_names

from .mutants import MUTANTS, Edit, Findings, Mutant, MutantError, compare, mutate, row, version_of

SOURCES = "GENPATCH_KERNEL_SOURCES"
SOUND = Findings({("direct:x", "arrives", "body"): 3}, {"f": ("store", "fence.i")}, 2, ())


def trees() -> dict[str, Path]:
    paths = [Path(path) for path in os.environ.get(SOURCES, "").split(os.pathsep) if path]
    return {version_of(path): path for path in paths}


def example(**changes: object) -> Mutant:
    known = {"name": "x", "tree": "7.2", "file": "a.c", "edits": (Edit("one", "two"),), "breaks": "it"}
    return Mutant(**(known | changes))  # type: ignore[arg-type]


def test_names_are_unique_and_plain() -> None:
    names = Counter((mutant.tree, mutant.name) for mutant in MUTANTS)
    assert not [name for name, count in names.items() if count > 1]
    assert all(re.fullmatch(r"[a-z0-9-]+", mutant.name) for mutant in MUTANTS)
    assert len(MUTANTS) >= 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.tree}-{mutant.name}")
def test_a_mutant_is_well_formed(mutant: Mutant) -> None:
    states, promises = set(state_names()), {str(promise) for promise in Promise}
    assert mutant.breaks
    assert mutant.edits
    assert bool(mutant.expect) != bool(mutant.why_missed)
    assert all(state in states and promise in promises and what for state, promise, what in mutant.expect)
    assert all(re.compile(edit.anchor).groups >= edit.new.count("\\1") for edit in mutant.edits)
    assert mutant.object.endswith(".o")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.tree}-{mutant.name}")
def test_its_edits_find_their_places(mutant: Mutant) -> None:
    tree = trees().get(mutant.tree)
    if tree is None:
        pytest.skip(f"{SOURCES} names no tree of {mutant.tree}")
    text = (tree / mutant.file).read_text(encoding="utf-8")
    assert mutate(text, mutant) != text


def test_an_edit_that_finds_another_number_of_places_is_refused() -> None:
    with pytest.raises(MutantError, match=r"^x: 'one' matches 2 places of a\.c, not 1$"):
        mutate("one one", example())
    assert mutate("one", example()) == "two"


def test_what_the_sound_kernel_has_too_does_not_count() -> None:
    same = compare(example(), SOUND, SOUND)
    assert not same.detected
    assert same.sequences == ()
    found = Findings({("direct:x", "stack", "sp"): 9, ("boot", "registers", "a0"): 5}, {"f": ("store",)}, 2, ("hm",))
    other = compare(example(expect=(("boot", "registers", "a0"),)), found, SOUND)
    assert other.new == {("boot", "registers", "a0"): 5}
    assert (other.sequences, other.notes, other.as_expected) == (("f",), ("hm",), True)
    assert row(other) == "| 7.2 | x | it | boot: registers a0 (5); note: hm |"


def test_a_mutant_that_is_missed_says_why() -> None:
    quiet = compare(example(why_missed="no way"), Findings(SOUND.failures, {"f": ("store",)}, 2, ()), SOUND)
    assert quiet.as_expected
    assert row(quiet) == "| 7.2 | x | it | **missed**: no way; f differs |"
    assert not compare(example(expect=(("boot", "stack", "sp"),)), SOUND, SOUND).as_expected


def test_the_header_is_compiled_into_what_patches() -> None:
    assert example(file="arch/riscv/include/asm/ftrace.h").object == "arch/riscv/kernel/ftrace.o"
    assert example(file="arch/riscv/kernel/mcount-dyn.S").object == "arch/riscv/kernel/mcount-dyn.o"


def test_the_version_is_read_from_the_makefile(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 0\n", encoding="utf-8")
    assert version_of(tmp_path) == "7.2"
