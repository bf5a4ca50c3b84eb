# SPDX-License-Identifier: GPL-2.0-or-later
"""BPF in `genpatch diff`: failures that are new, gone, the same, and what was not run."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from genpatch.report.bpf_changes import bpf_of, finding_of, matched
from genpatch.report.diff_text import diff_text, verdict_of
from genpatch.report.diffing import Diff, compare_sides
from genpatch.report.schema import DIFF_JSON_SCHEMA
from genpatch.report.verifying import BpfFailureRecord
from tests.report.bpf_documents import body, failure, of_sample, record, told
from tests.report.builders import ESCAPES, SCRIPT
from tests.report.test_json import closed


def compared(old: dict[str, Any], new: dict[str, Any]) -> Diff:
    found = compare_sides({"verify": old}, {"verify": new})
    jsonschema.validate(found.as_json(), closed(DIFF_JSON_SCHEMA))
    return found


def changes(found: Diff) -> list[tuple[str, str, int, int]]:
    assert found.bpf is not None
    return [(each.change, each.what, each.cases_old, each.cases_new) for each in found.bpf.failures]


def lines_of(found: Diff) -> list[str]:
    return "".join(diff_text(found, ascii_only=True)).split("\n")


def test_a_mistake_is_new_with_the_level_of_its_finding() -> None:
    found = compared(of_sample(), of_sample("SKIP_BY_T0"))
    assert found.bpf is not None
    assert changes(found) == [("new", "the trampoline", 0, 6532), ("new", "the trampoline", 0, 406)]
    first, other = found.bpf.failures
    assert (first.requested, first.rule, first.level, first.promise) == (True, "GP354", "error", "leaves")
    assert (other.requested, other.rule, other.level) == (False, "", "")
    assert found.bpf.old is not None
    assert found.bpf.new is not None
    assert (found.bpf.old.made, found.bpf.old.passed) == (9880, 9880)
    assert (found.bpf.new.made, found.bpf.new.passed) == (9880, 9880 - 6532)
    assert found.levels == ("error", "error")  # the finding, and the failure
    assert verdict_of(found) == "1 finding new; 1 BPF failure new"
    assert "bpf: 9,880 of 9,880 trampolines and 0 of 0 programs passed -> 3,348 of 9,880" in lines_of(found)
    assert "  new     error GP354 leaves: the trampoline: 6,532 trampolines, as with" in lines_of(found)
    assert any("nothing in the kernel asks for: 1 failure (1 new)" in line for line in lines_of(found))


def test_a_mistake_that_is_mended_is_gone() -> None:
    found = compared(of_sample("SKIP_BY_T0"), of_sample())
    assert [each[0] for each in changes(found)] == ["gone", "gone"]
    assert found.levels == ()
    assert verdict_of(found) == "1 finding gone; 1 BPF failure gone"


def test_a_kernel_does_not_differ_from_itself() -> None:
    made = of_sample("NOT_EXTENDED")
    found = compared(made, made)
    assert {(change, old == new) for change, _, old, new in changes(found)} == {("same", True)}
    assert found.levels == ()
    assert "BPF" not in verdict_of(found)


def test_a_failure_behind_the_only_finding_of_a_rule_is_not_taken_for_another() -> None:
    """Findings that are alone of their rule are one; what failed tells that these are two."""
    old, new = failure("a1 of the traced function"), failure("a0 when the function goes on")
    found = compared(body(record(old), told(old, "warning")), body(record(new), told(new, "warning")))
    assert [pair.change for pair in found.findings] == ["same"]
    assert [each[:2] for each in changes(found)] == [("new", new.what), ("gone", old.what)]
    assert found.levels == ("warning",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (failure("a1 of f"), failure("a17 of f", cases=5), [("grown", "a17 of f", 3, 5)]),
        (failure(note="it ends there"), failure(note="it is left"), [("same", "a1 of the traced function", 3, 3)]),
        (failure(promise="passed"), failure(promise="value"),
         [("new", "a1 of the traced function", 0, 3), ("gone", "a1 of the traced function", 3, 0)]),
        (failure(requested=False), failure(requested=True),
         [("new", "a1 of the traced function", 0, 3), ("gone", "a1 of the traced function", 3, 0)]),
    ],
    ids=["digits", "note", "promise", "now asked for"],
)  # fmt: skip
def test_what_is_the_same(
    old: BpfFailureRecord, new: BpfFailureRecord, expected: list[tuple[str, str, int, int]]
) -> None:
    assert changes(compared(body(record(old)), body(record(new)))) == expected


def test_of_several_alike_the_nearest_are_paired() -> None:
    first, second = failure("the result", example="a tail call"), failure("the result", example="a loop", cases=7)
    found = compared(body(record(first, second)), body(record(second)))
    assert changes(found) == [("gone", "the result", 3, 0), ("same", "the result", 7, 7)]


def test_counts_are_told_as_they_were_and_are() -> None:
    found = compared(body(record(failure(cases=3))), body(record(failure(cases=1))))
    assert "  shrunk  passed: a1 of the traced function: 3 -> 1 trampoline, as with" in lines_of(found)


def test_what_was_not_run_is_no_pass() -> None:
    refused = of_sample("REFUSES")
    found = compared(refused, of_sample("SKIP_BY_T0"))
    why = "the JIT makes no trampoline at all: it returns -22"
    assert found.bpf is not None
    assert (found.bpf.old, found.bpf.why_old, found.bpf.why_new) == (None, why, "")
    assert f"bpf: the old kernel's was not run: {why}" in found.notes
    assert [each[0] for each in changes(found)] == ["new", "new"]
    assert any(line.startswith("bpf: not run -> 3,348 of 9,880") for line in lines_of(found))
    left_out = compared(body(record()), body(None))
    assert "bpf: the new kernel's was not run: verify was told to leave BPF out" in left_out.notes
    assert compared(body(None), body(None)).bpf is None


def test_a_document_from_before_bpf_is_compared_without_it() -> None:
    old = body(None)
    del old["bpf"]
    assert compared(old, old).bpf is None
    before = compared(old, old).as_json()
    del before["bpf"]
    jsonschema.validate(before, DIFF_JSON_SCHEMA)


def test_the_kernel_is_the_first_of_several_runs() -> None:
    one = body(record())
    several = {**one, "bpf": None, "runs": [{"bpf": one["bpf"]}, {"bpf": None}]}
    assert bpf_of(several) == one["bpf"]


def test_the_finding_of_a_failure() -> None:
    mine, fewer = failure(), failure(cases=2)
    findings = [told(fewer), {**told(mine), "rule": "GP304"}, told(mine)]
    (each,) = body(record(mine))["bpf"]["failures"]
    assert finding_of(each, findings) is findings[2]
    assert finding_of(each, findings[:2]) is None
    assert finding_of({**each, "requested": False}, findings) is None


@pytest.mark.parametrize("mistake", ["NOT_EXTENDED", "WARNS", "SKIP_BY_T0"])
def test_the_rules_word_findings_so_that_failures_find_them(mistake: str) -> None:
    made = of_sample(mistake)
    asked = [each for each in made["bpf"]["failures"] if each["requested"]]
    found = [finding_of(each, made["findings"]) for each in asked]
    assert None not in found
    assert len({id(each) for each in found}) == len(asked) == len(made["findings"])


def test_hostile_names_are_printable() -> None:
    bad = failure(SCRIPT + ESCAPES, example=ESCAPES, note=ESCAPES)
    lines = lines_of(compared(body(record()), body(record(bad))))
    assert all(line.isprintable() for line in lines)
    assert any(SCRIPT.split()[0] in line for line in lines)


def test_what_is_paired_once_is_not_paired_again() -> None:
    """One of the new ones is the old one to the letter; the other is like it only, and comes with nothing."""
    old, new = [{"text": "a 1"}], [{"text": "a 2"}, {"text": "a 1"}]
    keys = (lambda each: (each["text"],), lambda each: (each["text"][0],))
    assert matched(old, new, keys) == ([(old[0], new[1])], [], [new[0]])
    assert matched(new, old, keys) == ([(new[1], old[0])], [new[0]], [])
    assert matched(new, new, keys[1:]) == ([(new[0], new[0]), (new[1], new[1])], [], [])


def test_a_failure_in_more_trampolines_is_worse() -> None:
    few, many = failure(cases=208), failure(cases=4208)
    found = compared(body(record(few), told(few, "error")), body(record(many), told(many, "error")))
    assert [each[0] for each in changes(found)] == ["grown"]
    assert found.levels == ("error",)
    assert "1 BPF failure grown" in verdict_of(found)
    back = compared(body(record(many), told(many, "error")), body(record(few), told(few, "error")))
    assert ([each[0] for each in changes(back)], back.levels) == (["shrunk"], ())
