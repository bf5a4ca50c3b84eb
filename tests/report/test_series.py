# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of patches that were checked: findings where they are in the diffs, and nothing that gets out of there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch.report.documents import read_document
from genpatch.report.gallery import findings_of, pictures_of
from genpatch.report.html import page_of
from genpatch.report.html.dossiers import dossiers_of
from genpatch.report.html.series import series_chapter
from genpatch.report.schema import JSON_SCHEMAS
from tests.check.trees import BPF, FTRACE, edited, mail
from tests.report.builders import SCRIPT
from tests.report.series import NEW_FILE, bad, checked, hostile, spoilt
from tests.report.test_html import Outline, identifiers, links


def chapter(document: dict[str, Any]) -> dict[str, Any]:
    found = series_chapter(dossiers_of([document])[0])
    assert found is not None
    return found


def rows(file: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(row.old, row.new, row.mark, row.text, [each["rule"] for each in row.findings])
            for hunk in file["hunks"] for row in hunk["parts"]]  # fmt: skip


def test_the_document_has_the_patches_in_it(tmp_path: Path) -> None:
    document = checked(tmp_path, *bad())
    Draft202012Validator(JSON_SCHEMAS["check"]).validate(document)
    first, second, third = document["patches"]
    assert [line["text"] for line in first["message"][:2]] == ["a thing", "It was wrong."]
    assert first["author"] == "A. Hacker <a@example.org>"
    (diff,) = first["diff"]
    assert (diff["old"], diff["new"], diff["copy"]) == (BPF, BPF, False)
    (hunk,) = diff["hunks"]
    assert (hunk["old"], hunk["new"]) == (1, 1)
    assert [line for line in hunk["lines"] if line[0] in "+-"] == [
        "-#define RV_FENTRY_NINSNS 2\n", "+#define RV_FENTRY_NINSNS 4\n",
    ]  # fmt: skip
    named = [[document["findings"][number]["rule"] for number in each["found"]] for each in (first, second, third)]
    assert (set(named[0]) >= {"GP501", "GP511"}, named[1], named[2]) == (True, [], ["GP510"])


def test_patches_of_one_mailbox_have_findings_of_their_own(tmp_path: Path) -> None:
    document = checked(tmp_path, "".join(bad()[:2]))
    first, second = document["patches"]
    assert first["name"] != second["name"]
    assert {each["patch"] for each in document["findings"]} == {"0001.patch"}
    assert len(findings_of(document, first)) == len(document["findings"]) > 0
    assert findings_of(document, second) == []


def test_a_finding_stands_at_the_added_line(tmp_path: Path) -> None:
    patch = chapter(checked(tmp_path, *bad()))["patches"][0]
    (file,) = patch["files"]
    shown = rows(file)
    assert (1, None, "-", "#define RV_FENTRY_NINSNS 2", []) in shown
    (hit,) = [row for row in shown if row[4]]
    assert hit[:4] == (None, 1, "+", "#define RV_FENTRY_NINSNS 4")
    assert "GP511" in hit[4]
    assert file["is_open"]
    assert [each["rule"] for row in patch["message"] for each in row.findings] == ["GP501"]
    assert patch["message"][0].findings[0]["rule"] == "GP501"


def test_lines_are_those_of_the_tree_where_hunks_have_moved(tmp_path: Path) -> None:
    text = edited(BPF, ("NINSNS 2", "NINSNS 4"))
    moved = re.sub(
        r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@",
        lambda m: f"@@ -{int(m[1]) + 40}{m[2] or ''} +{int(m[3]) + 40}{m[4] or ''} @@",
        text,
    )
    for each in (text, moved):
        patch = chapter(checked(tmp_path, mail(each)))["patches"][0]
        (hit,) = [row for row in rows(patch["files"][0]) if row[4]]
        assert hit[:4] == (None, 1, "+", "#define RV_FENTRY_NINSNS 4")


def test_what_does_not_apply_and_what_was_not_judged_is_said(tmp_path: Path) -> None:
    document = checked(tmp_path, *bad())
    patch = chapter(document)["patches"][2]
    assert [each["rule"] for each in patch["files"][0]["unfit"]] == ["GP510"]
    text = "".join(page_of([document]))
    shown = Outline(text).shown
    assert "it does not apply, so what it makes of the source was not checked" in shown
    assert "What was not judged" in shown
    assert "(of 1 patch)the patch does not apply" in shown.replace("\n", "")
    alone = chapter(checked(tmp_path, *bad()[:1], with_tree=False))["patches"][0]
    assert alone["counts"] == [0, 1, 0]
    assert alone["files"]
    told = {line.text for line in dossiers_of([checked(tmp_path, *bad()[:1], with_tree=False)])[0].unlooked}
    assert "no kernel source tree" in told


def test_findings_lead_into_the_diff_and_all_links_lead_somewhere(tmp_path: Path) -> None:
    outline = Outline("".join(page_of([checked(tmp_path, *bad())])))
    found = identifiers(outline)
    assert {"k0-p1", "k0-p2", "k0-p3", "k0-f0", "k0-series"} <= set(found)
    assert all(each[1:] in found for each in links(outline))


def test_a_document_of_before_diffs_is_shown(tmp_path: Path) -> None:
    document = checked(tmp_path, *bad())
    for part in document["patches"]:
        for name in ("found", "author", "message", "diff"):
            part.pop(name)
    Draft202012Validator(JSON_SCHEMAS["check"]).validate(document)
    outline = Outline("".join(page_of([document])))
    assert f"{BPF}:1" in outline.shown
    assert FTRACE in outline.shown
    assert all(each[1:] in identifiers(outline) for each in links(outline))


def test_findings_of_one_rule_at_one_place_stand_together(tmp_path: Path) -> None:
    document = checked(tmp_path, *bad()[:1])
    one = next(each for each in document["findings"] if each["rule"] == "GP511")
    document["patches"][0]["found"].append(len(document["findings"]))
    document["findings"].append({**one, "message": "another thing"})
    text = "".join(page_of([document]))
    assert Outline(text).shown.count("GP511") == 2  # where it is, and in the list of rules
    assert text.count("What this rule checks, and why") == len({each["rule"] for each in document["findings"]})


def test_a_huge_patch_is_cut_but_not_where_something_is_found(tmp_path: Path) -> None:
    document = checked(tmp_path, *bad()[:1])
    hunk = document["patches"][0]["diff"][0]["hunks"][0]
    hunk["lines"] += ["+x\n"] * 60_000
    document["findings"].append({**document["findings"][-1], "line": 50_000, "message": "far below"})
    document["patches"][0]["found"].append(len(document["findings"]) - 1)
    text = "".join(page_of([document]))
    assert len(text) < 8_000_000
    assert "far below" in text
    gaps = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) lines not shown", text)]
    assert len(gaps) == 2
    assert 39_000 < sum(gaps) < 41_000


def test_hostile_patches_are_shown_as_text(tmp_path: Path) -> None:
    document = checked(tmp_path, *hostile())
    assert document["patches"][0]["diff"][0]["new"] == NEW_FILE
    for each in (document, spoilt(document), spoilt(checked(tmp_path, *bad()))):
        text = "".join(page_of([each]))
        outline = Outline(text)
        assert "<img" not in text
        assert SCRIPT in outline.shown
        assert [tag for tag, _ in outline.elements].count("script") == 2
        assert not set("\u202e\x1b") & set(text)
    shown = Outline("".join(page_of([document]))).shown
    assert "<!-- ]]> --> {{ 7 * 7 }}" in shown
    assert f"+{SCRIPT}" in shown


def test_pictures_of_patches(tmp_path: Path) -> None:
    (picture,) = pictures_of(checked(tmp_path, *bad()))
    assert picture.name == "findings"
    assert "0002.patch 0" in picture.about
    assert pictures_of(checked(tmp_path, bad()[1])) == []


@pytest.mark.parametrize("name", ["found", "diff", "message"])
def test_a_document_that_lies_about_itself_is_refused_or_shown(tmp_path: Path, name: str) -> None:
    import json

    from genpatch.errors import InputError

    document = checked(tmp_path, *bad()[:1])
    document["patches"][0][name] = [9999] if name == "found" else ["x"]
    (tmp_path / "x.json").write_text(json.dumps(document))
    if name == "found":
        assert "".join(page_of([read_document(tmp_path / "x.json")]))
    else:
        with pytest.raises(InputError, match=f"patches\\[0\\].{name}"):
            read_document(tmp_path / "x.json")
