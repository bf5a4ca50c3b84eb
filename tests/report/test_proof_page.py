# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a proof: verdict, stages with and without the series, what changes, what was not judged."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from genpatch.report.gallery import pictures_of
from genpatch.report.html import page_of
from genpatch.report.html.dossiers import dossiers_of
from genpatch.report.html.proof import proof_chapter, verdict_of_proof
from genpatch.report.schema import JSON_SCHEMAS
from tests.report.builders import SCRIPT
from tests.report.series import proof, spoilt
from tests.report.test_html import Outline, identifiers, links


def chapter(document: dict[str, Any]) -> dict[str, Any]:
    found = proof_chapter(dossiers_of([document])[0])
    assert found is not None
    return found


def test_the_verdict() -> None:
    Draft202012Validator(JSON_SCHEMAS["prove"]).validate(proof())
    assert verdict_of_proof(proof()) == "every stage passed"
    assert verdict_of_proof(proof(failed="boot")) == "not proved: boot failed"
    page = "".join(page_of([proof(failed="boot")]))
    assert '<header class="verdict error">' in page
    assert "riscv: ftrace: a thing, not proved on Linux 6.12.107" in Outline(page).shown
    assert '<header class="verdict clean">' in "".join(page_of([proof()]))


def test_stages_side_by_side() -> None:
    rows = {row["name"]: row for row in chapter(proof())["rows"]}
    assert list(rows) == ["apply", "check", "build", "audit", "verify", "race", "boot", "debug"]
    assert (rows["build"]["with"]["time"], rows["build"]["without"]) == ("3,723.4", None)
    assert rows["audit"]["without"]["counts"] == {"error": 1, "note": 1}
    assert rows["debug"]["with"]["kind"] == "none"
    assert not chapter(proof(with_baseline=False))["has_baseline"]
    facts = {each["label"]: each["value"] for each in chapter(proof(failed="race"))["facts"]}
    assert (facts["Stages"], facts["Time"]) == ("6 of 7", "1 h 02 min")


def test_what_the_series_changes() -> None:
    changes = {each["kind"]: each["findings"] for each in chapter(proof())["changes"]}
    assert [each["rule"] for each in changes["mended"]] == ["GP202"]
    assert changes["new"] == []
    assert [(each["rule"], each["before"], each["sites"]) for each in changes["same"]] == [
        ("GP356", 0, 0), ("GP115", 130, 126),
    ]  # fmt: skip
    assert chapter(proof(with_baseline=False))["changes"] is None


def test_the_boots_tests_are_a_list() -> None:
    boot = next(row["with"] for row in chapter(proof())["rows"] if row["name"] == "boot")
    assert [(each["status"], each["name"]) for each in boot["tests"]] == [
        ("failed", "kprobe tracing"), ("ok", "tracer function"), ("ok", "all events"),
    ]  # fmt: skip
    assert boot["lines"] == [
        {"text": "Linux version 6.12", "is_bad": False}, {"text": "complaint: BUG: bad", "is_bad": True},
    ]  # fmt: skip


def test_what_was_not_judged_is_said() -> None:
    told = {(line.name, line.text) for line in dossiers_of([proof()])[0].unlooked}
    assert ("check", "0001: GP547 was not judged: not understood") in told
    assert ("debug", "not asked for") in told
    assert ("prove: note", "a note of the proof") in told


def test_all_links_lead_somewhere() -> None:
    outline = Outline("".join(page_of([proof()])))
    assert all(each[1:] in identifiers(outline) for each in links(outline))


def test_hostile_proofs_are_shown_as_text() -> None:
    text = "".join(page_of([spoilt(proof())]))
    assert "<img" not in text
    assert SCRIPT in Outline(text).shown


def test_stages_are_a_picture() -> None:
    (picture,) = pictures_of(proof(failed="race"))
    assert picture.name == "stages"
    assert "build 3723.4 s" in picture.about
    assert 'class="error"' in picture.standalone()
