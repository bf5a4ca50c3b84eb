# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of mutants is well-formed; where kernel trees are given, every edit finds its place in them.

Set GENPATCH_KERNEL_SOURCES to trees, separated as in PATH, of the versions that the list names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from genpatch.race.model import Kind
from genpatch.race.rows import RaceRow, WitnessLine
from genpatch.verify.contract import Promise
from genpatch.verify.life import state_names

from .mutants import (
    MUTANTS,
    Edit,
    Findings,
    Mutant,
    MutantError,
    Raced,
    Verdict,
    compare,
    mutate,
    newly,
    row,
    version_of,
)

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
    assert bool(mutant.expect or mutant.races or mutant.noted) != bool(mutant.why_missed)
    assert all(name and kind in {each.value for each in Kind} for name, kind in mutant.races)
    assert all(state in states and promise in promises and what for state, promise, what in mutant.expect)
    assert all(re.compile(edit.anchor).groups >= edit.new.count("\\1") for edit in mutant.edits)
    assert mutant.object.endswith(".o") or mutant.setting


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


def raced(*ways: tuple[str, str], notes: tuple[str, ...] = (), tried: tuple[str, ...] = ("enable",)) -> Raced:
    line = WitnessLine("victim", "enters the body")
    rows = {
        (name, kind): RaceRow(
            subject="f", transition=name, environment="kernel", verdict="unsafe", kinds=(kind,),
            witnesses={kind: (line, line, WitnessLine("", f"{kind}: it"))},
        )
        for name, kind in ways
    }  # fmt: skip
    return Raced(rows, notes, dict.fromkeys(tried, 9))


def judged(mutant: Mutant, found: Raced, base: Raced) -> Verdict:
    return replace(compare(mutant, SOUND, SOUND), raced=newly(found, base))


def test_a_way_to_break_that_the_sound_kernel_has_too_does_not_count() -> None:
    stale, wild = ("enable", "stale"), ("poke", "wild")
    mutant = example(races=(stale,))
    both = judged(mutant, raced(stale, wild), raced(wild))
    assert (both.detected, both.as_expected) == (True, True)
    assert row(both) == "| 7.2 | x | it | race: enable: stale (2 steps) |"
    assert not judged(mutant, raced(wild), raced(wild)).as_expected
    assert not judged(example(why_missed="no way"), raced(stale), raced()).as_expected


def test_a_scenario_that_a_mutant_has_not_is_told_of() -> None:
    assert newly(raced(tried=()), raced(notes=("old",))).notes == ("no scenario 'enable'",)


def test_a_note_detects_what_no_verdict_is_about() -> None:
    mutant = example(noted="no fence.i")
    assert judged(mutant, raced(notes=("f: no fence.i",)), raced()).as_expected
    silent = judged(mutant, raced(), raced())
    assert (silent.detected, silent.as_expected) == (False, False)
    told = row(judged(mutant, raced(notes=("f: no fence.i",)), raced()))
    assert told == "| 7.2 | x | it | race: no verdict, but a note: f: no fence.i |"


def test_what_must_be_explored_was() -> None:
    assert not compare(example(races=(("enable", "stale"),)), SOUND, SOUND).as_expected
    assert compare(example(why_missed="no way"), SOUND, SOUND).as_expected


def test_a_setting_is_told_of() -> None:
    mutant = example(races=(("enable", "wild"),), setting="preemption=full")
    told = row(judged(mutant, raced(("enable", "wild")), raced()))
    assert told.endswith("| race, explored with preemption=full: enable: wild (2 steps) |")


def test_the_header_is_compiled_into_what_patches() -> None:
    assert example(file="arch/riscv/include/asm/ftrace.h").object == "arch/riscv/kernel/ftrace.o"
    assert example(file="arch/riscv/kernel/mcount-dyn.S").object == "arch/riscv/kernel/mcount-dyn.o"
    assert example(file="arch/riscv/Kconfig").object == ""


def test_the_version_is_read_from_the_makefile(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\nSUBLEVEL = 0\n", encoding="utf-8")
    assert version_of(tmp_path) == "7.2"
