# SPDX-License-Identifier: GPL-2.0-or-later
"""The document of a kernel that was run, against its schema and in every format."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch.audit.live import live
from genpatch.audit.registry import all_rules
from genpatch.errors import UsageError
from genpatch.report import verifying
from genpatch.report.formats import RenderOptions, format_names, get_format
from genpatch.report.schema import AUDIT_JSON_SCHEMA, JSON_SCHEMAS, RACE_JSON_SCHEMA, VERIFY_JSON_SCHEMA
from genpatch.report.verifying import VerifyDocument, run_record, verify_document

from .builders import HOSTILE
from .test_json import closed

LOST_A3 = ("ftrace_caller", "    ld a3, 72(sp)\n", "")
RULES = tuple(rule for code, rule in all_rules().items() if code.startswith("GP3"))


def document(edit: tuple[str, str, str] | None = LOST_A3, **more: Any) -> VerifyDocument:
    return verify_document(live(edit=edit).image, RULES, **more)


LOST, RIGHT = document(), document(None)


def rendered(name: str, which: VerifyDocument) -> str:
    return "".join(get_format(name).render(which, RenderOptions()))


def test_schemas() -> None:
    assert JSON_SCHEMAS["audit"] is AUDIT_JSON_SCHEMA
    assert JSON_SCHEMAS["verify"] is VERIFY_JSON_SCHEMA
    assert JSON_SCHEMAS["race"] is RACE_JSON_SCHEMA
    for schema in JSON_SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    assert len({schema["$id"] for schema in JSON_SCHEMAS.values()}) == len(JSON_SCHEMAS)


@pytest.mark.parametrize("which", [LOST, RIGHT], ids=["lost", "right"])
def test_documents_fit_the_schema_and_have_no_key_that_it_lacks(which: VerifyDocument) -> None:
    Draft202012Validator(closed(VERIFY_JSON_SCHEMA)).validate(json.loads(rendered("json", which)))


def test_a_document_of_two_runs_fits_too() -> None:
    two = replace(LOST, runs=(*LOST.runs, *RIGHT.runs))
    loaded = json.loads(rendered("json", two))
    Draft202012Validator(closed(VERIFY_JSON_SCHEMA)).validate(loaded)
    assert [len(run["failures"]) > 0 for run in loaded["runs"]] == [True, False]
    assert loaded["insns"] == LOST.runs[0].insns + RIGHT.runs[0].insns


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "genpatch/audit/1"), (("states", 0, "sites"), "3"), (("stores", 0, "aligned"), 1),
        (("failures", 0, "address"), 5), (("failures", 0, "got"), "12"), (("insns",), -1),
        (("sequences",), []), (("listings", 0, "lines"), "x"),
    ],
)  # fmt: skip
def test_what_does_not_fit(path: tuple[Any, ...], value: Any) -> None:
    loaded = json.loads(rendered("json", LOST))
    at = loaded
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert not Draft202012Validator(VERIFY_JSON_SCHEMA).is_valid(loaded)


def test_counts() -> None:
    (run,) = LOST.runs
    assert run.sites == 3
    for state in run.states:
        assert state.sites == state.passed + state.failed
        assert bool(state.skipped) == (state.sites == 0)
    failed = {state.state for state in run.states if state.failed}
    assert failed == {failure.state for failure in run.failures}
    assert {failure.symbol for failure in run.failures} == {"one", "two", "three"}


def test_stores_of_all_states_together() -> None:
    """Once in each state but direct, kprobed and the kernel's own target, which disable the site first: twice."""
    (run,) = RIGHT.runs
    assert {(each.what, each.width, each.aligned): each.count for each in run.stores} == {
        ("literal", 8, True): 3 * 13, ("func", 8, True): 3, ("func+0x4", 4, True): 3 * 12,
    }  # fmt: skip


def test_too_many_failures_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_MOST_FAILURES", 4)
    verification = live(edit=LOST_A3).verification
    assert verification is not None
    assert len(run_record(verification).failures) == 4


def test_a_pattern() -> None:
    (run,) = document(patterns=("t*",)).runs
    assert run.sites == 2
    assert {failure.symbol for failure in run.failures} == {"two", "three"}


@pytest.mark.parametrize("pattern", ["*" * 50, "t**o", "[!x]*"])
def test_odd_patterns(pattern: str) -> None:
    assert document(patterns=(pattern,)).runs


@pytest.mark.parametrize("pattern", ["[", "\\", "", "nothing"])
def test_patterns_that_nothing_matches(pattern: str) -> None:
    with pytest.raises(UsageError, match="no traced function is called so"):
        document(patterns=("t*", pattern))


@pytest.mark.parametrize("name", format_names())
def test_each_format(name: str) -> None:
    assert "GP306" in rendered(name, replace(document(keep_sites=True), seconds=0.0))
    assert rendered(name, LOST) == rendered(name, LOST)


@pytest.mark.parametrize("name", ["text", "concise", "markdown", "github", "junit", "ktap"])
def test_hostile_text(name: str) -> None:
    (run,) = LOST.runs
    for text in HOSTILE:
        records = {
            "states": tuple(replace(each, state=text, skipped=text) for each in run.states),
            "listings": tuple(replace(each, symbol=text, what=text, lines=(text,)) for each in run.listings),
            "notes": (text,),
        }
        out = rendered(name, replace(LOST, runs=(replace(run, **records),)))  # type: ignore[arg-type]
        assert "\x1b" not in out
        assert "\x07" not in out
        assert not [line for line in out.splitlines() if line.startswith("::error file=x")]


def test_the_text_report() -> None:
    out = rendered("text", LOST)
    rows = [line.split() for line in out.splitlines()]
    assert ["enabled", "3", "0", "3"] in rows
    assert ["disabled", "3", "3", "0"] in rows
    assert "one, state enabled: registers a3" in out
    assert "not tried changed-regs (one trampoline only)" in " ".join(out.split())
