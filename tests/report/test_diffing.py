# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from genpatch.report.diff_text import diff_text, verdict_of
from genpatch.report.diffing import compare_sides
from genpatch.report.document import FindingRecord, SiteRows
from genpatch.report.schema import AUDIT_JSON_SCHEMA, DIFF_JSON_SCHEMA
from genpatch.report.site_columns import with_sites
from tests.report.builders import SCRIPT, clean, finding, image, single, site_rows


def document(*findings: FindingRecord, rows: SiteRows | None = None, **more: Any) -> dict[str, Any]:
    return with_sites(single(replace(image(findings=findings, **more), site_rows=rows)))


def named(symbols: tuple[str, ...], **more: Any) -> SiteRows:
    rows = site_rows(len(symbols))
    values: dict[str, Any] = {"symbols": symbols, "hits": ()} | more
    return replace(rows, **values)


def test_columns_hold_what_the_rows_hold() -> None:
    body = document(rows=site_rows())
    jsonschema.validate(body, AUDIT_JSON_SCHEMA)
    rows = body["site_rows"]
    assert (rows["base"], rows["func"], rows["symbols"]) == ("0xffffffff80002000", [0, 32, 64], ["f0", "f1", "f2"])
    assert [rows["shapes"][each] for each in rows["shape"]] == [
        {"before": 8, "after": 8, "nop": nop, "entry": -8, "ip": 4} for nop in ("c.nop", "nop", "c.nop")
    ]
    assert [(hit["rule"], hit["sites"]) for hit in rows["hits"]] == [("GP205", [1]), ("GP104", [0, 1])]


def test_a_kernel_does_not_differ_from_itself() -> None:
    body = document(finding(), rows=site_rows())
    found = compare_sides({"audit": body}, {"audit": body})
    assert [pair.change for pair in found.findings] == ["same"]
    assert not any(fact.changed for fact in found.facts)
    assert found.sites is not None
    assert (found.sites.kept, found.sites.gone, found.sites.added, found.sites.elsewhere) == (3, (), (), 0)
    assert found.levels == ()
    jsonschema.validate(found.as_json(), DIFF_JSON_SCHEMA)


def test_findings_are_the_same_by_fingerprint_then_by_wording_then_as_the_only_ones_of_a_rule() -> None:
    old = document(
        finding(fingerprint="0000000000000001:1", message="one thing"),
        finding("GP104", "a", fingerprint="0000000000000002:1", message="at 5 of 9 sites", sites=5),
        finding("GP107", "b", fingerprint="0000000000000003:1", message="as it was told", sites=7),
    )
    new = document(
        finding(fingerprint="0000000000000001:1", message="told otherwise", sites=4),
        finding("GP104", "a", fingerprint="000000000000000a:1", message="at 3 of 8 sites", sites=3),
        finding("GP107", "b", fingerprint="000000000000000b:1", message="another wording", sites=7),
    )
    found = compare_sides({"audit": old}, {"audit": new}).findings
    changes = [(pair.rule, pair.change, pair.sites_old, pair.sites_new) for pair in found]
    assert sorted(changes) == [("GP104", "shrunk", 5, 3), ("GP107", "same", 7, 7), ("GP205", "grown", 1, 4)]


def test_new_and_gone_findings_and_what_nobody_asked() -> None:
    skipped = image().rules[1]
    old = document(
        finding("GP104", "a", fingerprint="1" * 16), rules=(replace(skipped, status="skipped", reason="no types"),)
    )
    new = document(finding("GP203", "b"))
    pairs = {pair.rule: pair for pair in compare_sides({"audit": old}, {"audit": new}).findings}
    assert (pairs["GP104"].change, pairs["GP203"].change) == ("gone", "new")
    assert pairs["GP203"].remark == "the old kernel could not be asked: no types"


def test_sites_go_come_move_and_break_by_name() -> None:
    old = named(("a", "b.isra.0", "twin", "twin", ""), hits=(("GP101", np.array([0, 2], np.int64)),))
    new = named(
        ("b", "a", "twin", "fresh", ""),
        sections=(".text", ".init.text", ".text", ".text", ".text"),
        hits=(("GP101", np.array([0, 3], np.int64)),),
    )
    sites = compare_sides({"audit": document(rows=old)}, {"audit": document(rows=new)}).sites
    assert sites is not None
    assert (sites.old, sites.new, sites.kept) == (5, 5, 3)
    assert (sites.gone, sites.added) == (("twin (2)",), ("fresh",))
    assert [(each.what, each.old, each.new, each.symbols) for each in sites.reshaped if each.what == "section"] == [
        ("section", ".text", ".init.text", ("a",))
    ]
    assert [(each.rule, each.kept, each.others) for each in sites.broken] == [("GP101", ("b",), ("fresh",))]
    assert [(each.kept, each.others) for each in sites.mended] == [(("a", "twin"), ())]


def verify_body(failed: int, *, skipped: str = "") -> dict[str, Any]:
    state = {"state": "direct", "what": "x", "sites": 9, "passed": 9 - failed, "failed": failed, "skipped": skipped}
    failure = {"address": "0x0", "state": "direct", "promise": "p", "what": "w", "expected": "0x0", "got": "0x1"}
    failures = [{**failure, "symbol": f"f{n}"} for n in range(failed)]
    return {**clean().as_json(), "schema": "genpatch/verify/1", "states": [state], "failures": failures, "runs": []}


@pytest.mark.parametrize(
    ("old", "new", "change", "names"),
    [
        (verify_body(0), verify_body(2), "broken", ("f0", "f1")),
        (verify_body(2), verify_body(1), "mended", ()),
        (verify_body(1), verify_body(1), "same", ()),
        (verify_body(0, skipped="no"), verify_body(1), "broken", ("f0",)),
        (verify_body(0), verify_body(0, skipped="no"), "gone", ()),
    ],
)
def test_states(old: dict[str, Any], new: dict[str, Any], change: str, names: tuple[str, ...]) -> None:
    found = compare_sides({"verify": old}, {"verify": new})
    assert (found.states[0].change, found.states[0].broken) == (change, names)
    assert ("error" in found.levels) == (change == "broken")


def race_body(verdict: str, *kinds: str) -> dict[str, Any]:
    case = {
        "subject": "f",
        "transition": "enable",
        "environment": {"name": "own"},
        "verdict": verdict,
        "kinds": list(kinds),
    }
    return {"schema": "genpatch/race/1", "about": "kernel", "cases": [case]}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (("safe",), ("unsafe", "wild"), "broken"),
        (("unsafe", "wild"), ("unsafe", "ops", "wild"), "broken"),
        (("unsafe", "wild", "ops"), ("unsafe", "wild"), "mended"),
        (("unsafe", "wild"), ("safe",), "mended"),
        (("unsafe", "wild"), ("unsafe", "missed"), "changed"),
        (("unsafe", "missed"), ("unsafe", "wild"), "broken"),
        (("safe",), ("unfinished",), "broken"),
        (("skipped",), ("safe",), "changed"),
        (("safe",), ("safe",), "same"),
    ],
)
def test_races(old: tuple[str, ...], new: tuple[str, ...], change: str) -> None:
    found = compare_sides({"race": race_body(*old)}, {"race": race_body(*new)})
    assert found.races[0].change == change


def test_what_cannot_be_compared_is_said() -> None:
    found = compare_sides({"audit": document()}, {"audit": document(rows=site_rows()), "race": race_body("safe")})
    assert found.sites is None
    assert found.notes == (
        "race: only the new kernel has a document of it",
        "sites: the document of the old kernel has none (--sites)",
    )


def test_the_text_is_printable_and_ends_with_a_verdict() -> None:
    old = document(finding("GP104", "a", fingerprint="1" * 16), rows=named(("a", SCRIPT + "\x1b[31m")))
    new = document(finding("GP203", "b", message="\x1b]0;x\x07 is wrong", sites=3), rows=named(("a",)))
    found = compare_sides({"audit": old}, {"audit": new})
    lines = "".join(diff_text(found, ascii_only=True)).split("\n")
    assert all(line.isprintable() for line in lines)
    assert "  error GP203 b: 3 sites" in lines
    assert any("\\x1b[31m" in line for line in lines)
    assert lines[-2] == verdict_of(found) == "1 finding new; 1 finding gone"
