# SPDX-License-Identifier: GPL-2.0-or-later
"""What was found, in each format: text, b4's, JSON, and the audit's writers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

from genpatch.check.model import MESSAGE, Finding, Level, MessageLine, Outcome, Patch
from genpatch.check.patches import read_patches
from genpatch.check.registry import all_rules
from genpatch.check.render import as_b4, as_b4_review, as_json, as_text, b4_findings
from genpatch.check.run import Checked, Judged, check_patches
from genpatch.emit.tree import open_tree
from genpatch.report.checking import FORMATS, check_document, render_of
from genpatch.report.formats import RenderOptions
from genpatch.report.schema import CHECK_JSON_SCHEMA

from .trees import BPF, FTRACE, edited, mail, toy

SARIF_SCHEMA = os.environ.get("GENPATCH_SARIF_SCHEMA", "")
LINUX = os.environ.get("GENPATCH_LINUX", "")
HOSTILE = "a\x1b[31m ERROR: ::error::x\n##[group] \u202e"


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """A patch with an error and a warning, and one with nothing."""
    tree = open_tree(toy(tmp_path_factory.mktemp("linux")))
    bad = mail(edited(BPF, ("NINSNS 2", "NINSNS 4")), subject="[PATCH] a thing")
    good = mail(edited(FTRACE, ("// toy", "// a toy")))
    patches = [*read_patches(bad.encode(), "0001-bad.patch"), *read_patches(good.encode(), "0002-good.patch")]
    return check_patches(patches, tree)


def patch(name: str) -> Patch:
    return Patch(name, MessageLine("riscv: x", 3), "", (), (), 3)


def of(*findings: Finding, name: str = "p", skipped: tuple[str, ...] = ()) -> Checked:
    outcomes = tuple(Outcome(each.rule, each.name, each.level, "fail", 1) for each in findings)
    return Checked((Judged(name, findings, outcomes, skipped, None, patch(name)),))


NOTE = Finding("GP599", Level.NOTE, "a.c", 3, "note", "p", "noted")
HOSTILE_FINDING = Finding("GP598", Level.WARNING, "a.c", 4, HOSTILE, "p", "hostile")
SERIES = Checked(
    (
        *of(NOTE, HOSTILE_FINDING).parts,
        *of(name="q", skipped=("q: GP597 was not judged: no reason",)).parts,
        Judged(
            "vmlinux",
            (Finding("GP108", Level.ERROR, "vmlinux", 0, "image", "vmlinux", "function-misaligned"),),
            (
                Outcome("GP108", "function-misaligned", Level.ERROR, "fail", 1),
                Outcome("GP109", "other", Level.ERROR, "skipped", 0, "it lacks # facts"),
            ),
        ),
    ),
    ("no kernel source tree",),
)


def rendered(name: str, what: Checked, *, strict: bool = False) -> str:
    return "".join(render_of(name)(check_document(what), RenderOptions(strict=strict)))


def test_text() -> None:
    text = "".join(as_text(SERIES))
    assert "\x1b" not in text
    assert text.splitlines()[0] == "a.c:3: note: GP599: note"
    assert text.splitlines()[-2:] == ["vmlinux: error: GP108: image", "3 findings"]
    assert "".join(as_text(SERIES, most=1, summary=False)) == "a.c:3: note: GP599: note\n... 2 more\n"
    assert "\033[33mwarning\033[0m" in "".join(as_text(SERIES, color=True))


def test_b4_has_a_line_each_and_no_false_alarm() -> None:
    lines = "".join(as_b4(b4_findings(SERIES, strict=False))).splitlines()
    levels = [re.match(r"\S+:\d+: (ERROR|WARNING): ", line) for line in lines]
    assert [match[1] if match else None for match in levels] == ["WARNING", "WARNING", "ERROR"]
    assert ["ERROR:" in line for line in lines] == [False, False, True]  # all that b4 looks for
    assert lines[1] == "-:3: WARNING: not judged: q: GP597 was not judged: no reason"
    strict = "".join(as_b4(b4_findings(SERIES, strict=True))).splitlines()
    assert strict[0] == "a.c:3: CHECK: GP599: note"


def test_b4_hears_nothing_of_what_is_clean(checked: Checked) -> None:
    clean = Checked(checked.parts[1:])
    assert "".join(as_b4(b4_findings(clean, strict=True))) == ""


def test_b4_is_not_told_twice_that_a_patch_does_not_apply() -> None:
    unfit = Finding("GP510", Level.ERROR, "a.c", 1, "no", "p", "applies")
    assert b4_findings(of(unfit, skipped=("p: it does not apply",)), strict=False) == [unfit]


@pytest.mark.parametrize(
    ("levels", "status", "summary"),
    [
        ((), "pass", "no findings"),
        ((Level.NOTE,), "pass", "no findings"),
        ((Level.WARNING, Level.NOTE), "warn", "1 warning"),
        ((Level.WARNING, Level.ERROR, Level.ERROR), "fail", "2 errors, 1 warning"),
    ],
)
def test_b4_review(levels: tuple[Level, ...], status: str, summary: str) -> None:
    found = [Finding("GP599", level, "a.c", n, "text", "p", "n") for n, level in enumerate(levels, 1)]
    (result,) = json.loads(as_b4_review(of(*found), strict=False))
    assert sorted(result) == ["details", "status", "summary", "tool", "url"]
    assert (result["tool"], result["status"], result["summary"]) == ("genpatch", status, summary)
    assert len(result["details"].splitlines()) == len([level for level in levels if level is not Level.NOTE])


def test_b4_review_of_a_cover_letter() -> None:
    assert json.loads(as_b4_review(Checked(()), strict=False)) == []


def test_json(checked: Checked) -> None:
    Draft202012Validator.check_schema(CHECK_JSON_SCHEMA)
    for each in (checked, SERIES, Checked(())):
        Draft202012Validator(CHECK_JSON_SCHEMA).validate(json.loads(as_json(each)))
    document = json.loads(as_json(checked))
    assert document["summary"] == {"patches": 2, "errors": 1, "warnings": 1, "notes": 0, "worst": "error"}
    assert [each["subject"] for each in document["patches"]] == ["a thing", "riscv: ftrace: change a thing"]
    assert [each["files"] for each in document["patches"]] == [[BPF], [FTRACE]]
    failed = [rule for rule in document["patches"][0]["rules"] if rule["status"] == "fail"]
    assert [(rule["rule"], rule["findings"]) for rule in failed] == [("GP501", 1), ("GP511", 1)]
    assert {rule["rule"] for rule in document["patches"][1]["rules"]} == set(all_rules())


@pytest.fixture(scope="module")
def official() -> Draft4Validator:
    if not SARIF_SCHEMA:
        pytest.skip("GENPATCH_SARIF_SCHEMA does not name OASIS's sarif-schema-2.1.0.json")
    return Draft4Validator(json.loads(Path(SARIF_SCHEMA).read_text()), format_checker=Draft4Validator.FORMAT_CHECKER)


def test_the_official_sarif_schema(checked: Checked, official: Draft4Validator) -> None:
    for each in (checked, SERIES, Checked(checked.parts[1:])):
        official.validate(json.loads(rendered("sarif", each)))


def test_sarif(checked: Checked) -> None:
    (run,) = json.loads(rendered("sarif", checked))["runs"]
    assert run["automationDetails"]["id"] == "genpatch-check/images/"
    assert "addresses" not in run
    places = [each["locations"][0]["physicalLocation"] for each in run["results"]]
    assert [(place["artifactLocation"]["uri"], place["region"]["startLine"]) for place in places] == [
        (BPF, 1),
        ("0001-bad.patch", 4),
    ]
    assert [each["level"] for each in run["results"]] == ["error", "warning"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["GP511"]["help"]["markdown"].startswith("The files that know the layout")
    prints = [each["partialFingerprints"]["primaryLocationLineHash"] for each in run["results"]]
    assert len(set(prints)) == 2


def test_sarif_says_what_was_skipped() -> None:
    (run,) = json.loads(rendered("sarif", SERIES))["runs"]
    skipped = [each for each in run["results"] if each["kind"] == "notApplicable"]
    assert [each["ruleId"] for each in skipped] == ["GP109"]
    notes = [each["message"]["text"] for each in run["invocations"][0]["toolExecutionNotifications"]]
    assert notes == ["q: GP597 was not judged: no reason", "no kernel source tree"]


def test_ktap(checked: Checked) -> None:
    lines = rendered("ktap", checked).splitlines()
    assert lines[:2] == ["KTAP version 1", "1..2"]
    assert [line for line in lines if re.match(r"(not )?ok", line)] == [
        "not ok 1 0001-bad.patch",
        "ok 2 0002-good.patch",
    ]
    at = next(number for number, line in enumerate(lines) if "not ok" in line and "GP511" in line)
    assert lines[at - 1].startswith(f"  # GP511 layout-equation: error: {BPF}:1: RV_FENTRY_NINSNS is 16 bytes")
    assert lines[at].endswith("GP511 layout-equation # 1 finding")


def test_ktap_counts_notes_when_strict() -> None:
    for strict, result in ((False, "ok 1 p"), (True, "not ok 1 p")):
        assert result in rendered("ktap", of(NOTE), strict=strict).splitlines()


@pytest.mark.skipif(not LINUX, reason="GENPATCH_LINUX does not name a kernel tree with tools/testing/kunit")
def test_the_parser_of_the_kernel(checked: Checked, tmp_path: Path) -> None:
    rules = len(all_rules())
    for what, expected in (
        (checked, f"Ran {2 * rules} tests: passed: {2 * rules - 2}, failed: 2"),
        (SERIES, "Ran 5 tests: passed: 1, failed: 2, skipped: 2"),
    ):
        (tmp_path / "report").write_text(rendered("ktap", what))
        command = (sys.executable, str(Path(LINUX) / "tools/testing/kunit/kunit.py"), "parse", str(tmp_path / "report"))
        output = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False).stdout
        assert any(line.endswith(f"Testing complete. {expected}") for line in output.splitlines())
        assert "[ERROR]" not in output


def test_github() -> None:
    lines = rendered("github", SERIES).splitlines()
    assert [line.partition(",title")[0] for line in lines[:2]] == [
        "::error file=vmlinux,line=1",
        "::warning file=a.c,line=4",
    ]
    assert lines[2] == "::notice title=genpatch::1 note not annotated; the report has them all"
    assert all(line.startswith("::") for line in lines)


def test_gitlab_and_junit(checked: Checked) -> None:
    entries = json.loads(rendered("gitlab", checked))
    assert [(each["location"]["path"], each["location"]["lines"]["begin"]) for each in entries] == [
        (BPF, 1),
        ("0001-bad.patch", 4),
    ]
    root = ElementTree.fromstring(rendered("junit", checked))
    assert [suite.get("failures") for suite in root] == ["2", "0"]
    assert root.find(".//failure[@type='GP511']").text.startswith(f"error: {BPF}:1: ")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_of_an_input_reaches_a_terminal(name: str) -> None:
    text = rendered(name, SERIES, strict=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not any(line.startswith(("::error::", "##[")) for line in text.splitlines())


def test_the_document_has_the_same_json(checked: Checked) -> None:
    document: Any = check_document(checked)
    assert document.as_json() == json.loads(as_json(checked))
    assert MESSAGE == "-"
