# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from genpatch.report.schema import DIFF_JSON_SCHEMA
from tests.cli.conftest import Run


def test_two_samples_as_text_and_json(run: Run, tmp_path: Path) -> None:
    ran = run(
        "diff", "sample:call-ops", "sample:call-ops-broken", "--format", "text", "--format", f"json={tmp_path / 'd'}"
    )
    assert ran.status == 1
    assert "new: " in ran.out
    assert "error GP" in ran.out
    body = json.loads((tmp_path / "d").read_text())
    jsonschema.validate(body, DIFF_JSON_SCHEMA)
    assert {pair["change"] for pair in body["findings"]} >= {"new"}
    assert body["compared"] == ["audit"]


def test_the_other_way_round_nothing_is_worse(run: Run) -> None:
    ran = run("diff", "sample:call-ops-broken", "sample:call-ops")
    assert (ran.status, "gone: " in ran.out) == (0, True)
    assert run("diff", "sample:call-ops", "sample:call-ops-broken", "--fail-on", "never").status == 0


def test_a_document_is_compared_like_the_kernel_that_it_is_of(run: Run, tmp_path: Path) -> None:
    for name, sample in (("old", "call-ops"), ("new", "call-ops-broken")):
        run("audit", f"sample:{sample}", "--sites", "--format", f"json={tmp_path / f'{name}.json'}", "--exit-zero")
    of_documents = run("diff", tmp_path / "old.json", tmp_path / "new.json")
    assert of_documents.out == run("diff", "sample:call-ops", "sample:call-ops-broken").out
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, name in zip(folders, ("old", "new"), strict=True):
        folder.mkdir()
        (tmp_path / f"{name}.json").rename(folder / "x.json")
    assert run("diff", *folders).out == of_documents.out


def test_documents_without_sites_say_so(run: Run, tmp_path: Path) -> None:
    for name in ("old", "new"):
        run("audit", "sample:call-ops", "--format", "json", "-o", tmp_path / name)
    ran = run("diff", tmp_path / "old", tmp_path / "new")
    assert (ran.status, "not compared  sites: the document of the old and of the new kernel" in ran.out) == (0, True)


def test_states_and_races_of_kernels(run: Run) -> None:
    ran = run("diff", "sample:call-ops", "sample:register-lost", "--verify", "--race")
    assert ran.status == 1
    assert "states: " in ran.out
    assert "races: " in ran.out
    assert "newly failing: " in ran.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nothing", "sample:call-ops"), "nothing"),
        (("", "sample:call-ops"), "empty"),
        (("sample:call-ops", "sample:call-ops", "--format", "sarif"), "expected one of text, json, html"),
        (("sample:call-ops", "sample:call-ops", "--fail-on", "x"), "--fail-on"),
    ],
)
def test_refusals(run: Run, args: tuple[str, ...], message: str) -> None:
    ran = run("diff", *args)
    assert ran.status == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_documents_that_have_nothing_in_common(run: Run, tmp_path: Path) -> None:
    run("audit", "sample:call-ops", "--format", "json", "-o", tmp_path / "audit")
    run("race", "sample:call-ops", "--format", "json", "-o", tmp_path / "race")
    ran = run("diff", tmp_path / "audit", tmp_path / "race")
    assert (ran.status, "nothing to compare" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', "got something else"), ("[1]", "got something else"),
        ('{"schema": "genpatch/verify/99"}', "got schema 'genpatch/verify/99'"), ('{"schema": ', "expected JSON"),
    ],
)  # fmt: skip
def test_json_that_is_no_document(run: Run, text: str, said: str) -> None:
    Path("x.json").write_text(text)
    ran = run("diff", "x.json", "x.json")
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
