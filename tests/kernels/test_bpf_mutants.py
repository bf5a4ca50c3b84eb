# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs of the BPF JIT are well-formed, find their places, are in the table, and where builds are given are detected.

GENPATCH_KERNEL_SOURCES names trees, separated as in PATH, of the versions that the list names. GENPATCH_KERNEL_BUILDS
names finished builds of the same trees, in the same order; an empty name is none. Each mutant takes 20 seconds;
GENPATCH_BPF_MUTANTS names those to make, separated by spaces, instead of a few; `all` means all.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from genpatch.audit.registry import select
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import BpfFailure, BpfResult

from . import bpf_mutants
from .bpf_mutants import (
    ASKED,
    HARMLESS,
    MUTANTS,
    OTHER,
    PROGRAMS,
    RULES,
    TRAMPOLINES,
    Found,
    Reported,
    Verdict,
    bug,
    chosen,
    compare,
    row,
    verdicts,
)
from .mutants import Edit, Mutant, MutantError, mutate, version_of

SOURCES, BUILDS, WHICH = "GENPATCH_KERNEL_SOURCES", "GENPATCH_KERNEL_BUILDS", "GENPATCH_BPF_MUTANTS"
FEW = ("sled-16-bytes-and-ra", "call-orig-wrong-flag", "s1-not-restored", "tail-call-4-late", "poke-writes-half")
TABLE = Path(__file__).with_name("bpf_mutants.md")
IDS = [f"{mutant.tree}-{mutant.name}" for mutant in MUTANTS]
SOUND = Found(
    (
        Reported((ASKED, "arguments", "argument slot # of ctx", ""), 208, "GP353", "slot 8 is wrong"),
        Reported((OTHER, "sequence", "a instead of b", ""), 4, "", "a instead of b"),
    ),
    cases=10,
)
LEAVES = Reported((ASKED, "leaves", "ra", "it is not what it was"), 7, "GP354", "ra is not left as it must be")


def trees() -> dict[str, Path]:
    paths = [Path(path) for path in os.environ.get(SOURCES, "").split(os.pathsep) if path]
    return {version_of(path): path for path in paths}


def builds() -> list[tuple[Path, Path]]:
    names = [os.environ.get(name, "").split(os.pathsep) for name in (SOURCES, BUILDS)]
    return [(Path(source), Path(out)) for source, out in zip(*names, strict=False) if source and out]


def table() -> dict[tuple[str, str], list[str]]:
    """The rows of the table by tree and mutant."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d", line):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            key = cells[0], cells[1].partition(" ")[0]
            assert key not in rows
            rows[key] = cells
    return rows


def example(*expect: tuple[str, str], why_missed: str = "") -> Mutant:
    return bug("x", "7.2", Edit("one", "two"), "it", *expect, why_missed=why_missed)


def test_names_are_unique_and_plain() -> None:
    names = Counter((mutant.tree, mutant.name) for mutant in MUTANTS)
    assert not [name for name, count in names.items() if count > 1]
    assert all(re.fullmatch(r"[a-z0-9-]+", mutant.name) for mutant in MUTANTS)
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_a_mutant_is_well_formed(mutant: Mutant) -> None:
    promises = {str(promise) for promise in BpfPromise}
    assert mutant.breaks
    assert mutant.edits
    assert bool(mutant.expect) != bool(mutant.why_missed)
    assert all(state == ASKED and promise in promises for state, promise, _ in mutant.expect)
    assert all(re.compile(edit.anchor).groups >= ("\\1" in edit.new) for edit in mutant.edits)


@pytest.mark.parametrize("mutant", MUTANTS, ids=IDS)
def test_its_edits_find_their_places(mutant: Mutant) -> None:
    tree = trees().get(mutant.tree)
    if tree is None:
        pytest.skip(f"{SOURCES} names no tree of {mutant.tree}")
    text = (tree / mutant.file).read_text(encoding="utf-8")
    changed = mutate(text, mutant)
    assert changed != text
    assert abs(changed.count("\n") - text.count("\n")) <= 2


def test_the_table_has_a_row_for_each_mutant() -> None:
    rows = table()
    assert rows.keys() == {(mutant.tree, mutant.name) for mutant in MUTANTS}
    for mutant in MUTANTS:
        cells = rows[mutant.tree, mutant.name]
        assert len(cells) == 6
        assert cells[2] == mutant.breaks
        assert cells[3] == ("detected" if mutant.expect else "**missed**")
        assert "not as expected" not in cells[5]


def test_the_table_names_a_rule_and_a_promise_for_what_is_detected() -> None:
    codes, promises = set(select((RULES,))), {str(promise) for promise in BpfPromise}
    wanted = {(mutant.tree, mutant.name): {promise for _, promise, _ in mutant.expect} for mutant in MUTANTS}
    for key, cells in table().items():
        if cells[3] == "detected":
            rule, promise = cells[4].split()
            assert rule in codes
            assert promise in promises & wanted[key]
            assert cells[5]


def test_the_table_counts_its_rows() -> None:
    text = re.sub(r"\s+", " ", TABLE.read_text(encoding="utf-8"))
    detected = sum(bool(mutant.expect) for mutant in MUTANTS)
    harmless = sum(mutant.why_missed.startswith(HARMLESS) for mutant in MUTANTS)
    missed = len(MUTANTS) - detected - harmless
    assert f"{len(MUTANTS)} bugs, {detected} detected, {missed} missed, {harmless} harmless" in text


def test_what_the_sound_kernel_has_too_does_not_count() -> None:
    same = compare(example(), SOUND, SOUND)
    assert (same.new, same.detected) == ((), False)
    more = Found((Reported(SOUND.reported[0].key, 900, "GP353", "slot 0 is wrong"), LEAVES))
    verdict = compare(example(("leaves", "ra")), more, SOUND)
    assert [each.cases for each in verdict.new] == [900, 7]
    assert verdict.as_expected
    assert row(verdict) == (
        "| 7.2 | x | it | detected | GP354 leaves | ra is not left as it must be; also arguments |"
    )  # fmt: skip
    grown = compare(example(("arguments", "slot")), Found(more.reported[:1]), SOUND)
    assert row(grown).endswith("| GP353 arguments | slot 0 is wrong (208 of them without the bug) |")


def test_what_nobody_asks_for_is_not_detected() -> None:
    found = Found((Reported((OTHER, "leaves", "sp", ""), 3, "", "sp"),))
    verdict = compare(example(why_missed="no way"), found, SOUND)
    assert verdict.as_expected
    assert row(verdict) == "| 7.2 | x | it | **missed** | | no way; said beside: sp |"


def test_another_promise_than_that_which_is_written_is_told_of() -> None:
    verdict = compare(example(("value", "the value")), Found((LEAVES,)), SOUND)
    assert verdict.detected
    assert not verdict.as_expected
    assert row(verdict).endswith("**(not as expected)** |")
    assert not compare(example(why_missed="no way"), Found((LEAVES,)), SOUND).as_expected


def test_trouble_is_no_detection() -> None:
    verdict = Verdict(example(why_missed="no way"), trouble="the JIT makes no trampoline at all")
    assert not verdict.detected
    assert row(verdict).endswith("no way; said beside: the JIT makes no trampoline at all |")


def test_the_rule_that_reports_a_failure_is_found() -> None:
    result = BpfResult(cases=10, made=10, ran=10)
    failure = BpfFailure(BpfPromise.LEAVES, "s11", 2, "RESTORE_REGS, 1 fentry", 1, 2, "it is not what it was")
    found = bpf_mutants._reported(result, failure)
    assert (found.key, found.rule) == ((ASKED, "leaves", "s#", "it is not what it was"), "GP354")
    assert "in 2 of 10 trampolines, as with RESTORE_REGS, 1 fentry" in found.message
    failure.requested = False
    assert (bpf_mutants._reported(result, failure).rule, failure.promise) == ("", BpfPromise.LEAVES)


@pytest.mark.parametrize(
    ("promise", "rule"), [(BpfPromise.PROGRAM, "GP356"), (BpfPromise.POKE, "GP357"), (BpfPromise.STACK, "GP355")]
)
def test_what_breaks_in_programs_is_found_by_its_rule(promise: BpfPromise, rule: str) -> None:
    failure = BpfFailure(promise, "R0 (a5)", 2, "a tail call", 1, 2, "it is not what it was")
    found = bpf_mutants._found(BpfResult(programs=65, failures=[failure], notes=["a note"]))
    assert (found.cases, found.programs, found.notes) == (0, 65, ("a note",))
    assert [(each.key, each.rule) for each in found.reported] == [
        ((ASKED, str(promise), "R# (a#)", "it is not what it was"), rule)
    ]
    assert compare(example((str(promise), "R0 (a5)")), found, SOUND).as_expected


def test_bugs_about_programs_are_looked_for_in_programs_alone() -> None:
    assert {bpf_mutants._look(mutant) for mutant in PROGRAMS} == {bpf_mutants.find_programs}
    assert {bpf_mutants._look(mutant) for mutant in TRAMPOLINES} == {bpf_mutants.find}
    about = {promise for mutant in PROGRAMS for _, promise, _ in mutant.expect}
    assert about == {"program", "poke", "stack"}


def test_a_setting_needs_a_build_that_has_it() -> None:
    assert all(not mutant.setting for mutant in chosen("7.2", "\nCONFIG_BPF_JIT=y\n", []))
    assert {mutant.setting for mutant in chosen("7.2", "\nCONFIG_CFI=y\n", [])} == {"CFI"}
    with pytest.raises(MutantError, match=r"^no mutants for 5\.4$"):
        chosen("5.4", "", [])


@pytest.mark.parametrize(("source", "out"), builds(), ids=lambda path: path.name)
def test_the_verdicts_are_those_of_the_table(source: Path, out: Path, tmp_path: Path) -> None:
    only = os.environ.get(WHICH, " ".join(FEW)).split()
    config = (out / ".config").read_text(encoding="utf-8")
    if version_of(source) not in {mutant.tree for mutant in MUTANTS}:
        pytest.skip(f"no mutants for {version_of(source)}")
    mutants = chosen(version_of(source), config, [] if "all" in only else only)
    rows = table()
    for verdict, _ in verdicts(source, out, mutants, tmp_path):
        mutant = verdict.mutant
        assert verdict.as_expected, row(verdict)
        assert verdict.detected == (rows[mutant.tree, mutant.name][3] == "detected")
