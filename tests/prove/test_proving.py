# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of proofs: what is known of changes, and that hostile text does nothing."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from genpatch.prove.model import Found, Proof, StageResult, Status, Subject
from genpatch.report.proving import changes_of, proof_json, proof_markdown, proof_text
from genpatch.report.schema import PROVE_JSON_SCHEMA


def found(key: str, sites: int = 0) -> Found:
    return Found("GP304", "error", f"{key} is wrong", key, sites)


def judged(*findings: Found, **changes: object) -> tuple[StageResult, ...]:
    first = StageResult("audit", Status.OK, evidence="x", findings=findings)
    return (first, StageResult("verify", Status.OK), StageResult("race", Status.OK, **changes))  # type: ignore[arg-type]


def proof(stages: tuple[StageResult, ...], baseline: tuple[StageResult, ...] = (), title: str = "riscv: x") -> Proof:
    return Proof(
        "6.12", "2 files", (Subject(title, ("a.c",)),), "0123456789ab", {"genpatch": "1"}, "small", stages, baseline
    )


def test_changes_are_known_only_if_everything_was_judged_both_ways() -> None:
    before, after = judged(found("old", 532), found("both", 3)), judged(found("both", 5), found("new"))
    changes = changes_of(proof(after, before))
    assert changes is not None
    assert [each.key for each in changes.new] == ["new"]
    assert [each.key for each in changes.mended] == ["old"]
    assert [(one.sites, other.sites) for one, other in changes.same] == [(3, 5)]
    assert changes_of(proof(after)) is None
    assert changes_of(proof(after, before[:2])) is None
    assert changes_of(proof(after, judged(trouble="nothing was explored"))) is None, "silence mends nothing"
    skipped = StageResult("race", Status.SKIPPED, evidence="there is no kernel")
    assert changes_of(proof((*after[:2], skipped), before)) is None


def test_text_of_others_does_nothing() -> None:
    evil = "riscv: \x1b[2J::error::|`<b>\u202e" + "long" * 60
    hostile = proof(
        (StageResult("check", Status.FAILED, evidence=evil, lines=(evil,)), *judged(found(evil))), title=evil
    )
    text = "".join(proof_text(hostile))
    assert max(map(len, text.splitlines())) <= 75
    assert not {"\x1b", "\u202e"} & set(text)
    assert "::error" not in text
    markdown = "".join(proof_markdown(hostile))
    assert "<b>" not in markdown.replace("\\<b", "")
    assert not {"\x1b", "\u202e"} & set(markdown)
    Draft202012Validator(PROVE_JSON_SCHEMA).validate(json.loads("".join(proof_json(hostile))))


def test_no_verdict_is_said_in_the_table() -> None:
    text = "".join(
        proof_text(proof((StageResult("race", Status.FAILED, evidence="3 rows", trouble="too many states"),)))
    )
    assert "race       failed       0.0  3 rows; no verdict: too many states\n" in text
