# SPDX-License-Identifier: GPL-2.0-or-later
"""SARIF: the schema of OASIS when it is at hand, the models of sarif-pydantic, and what neither knows.

No package on PyPI carries the schema, so GENPATCH_SARIF_SCHEMA names a copy of sarif-schema-2.1.0.json
(github.com/oasis-tcs/sarif-spec, sarif-2.1/schema).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format, sarif

from .builders import (
    DOCUMENTS,
    HOSTILE,
    baselined,
    clean,
    faulty,
    finding,
    hostile,
    image,
    modules,
    rule,
    single,
)

SCHEMA = os.environ.get("GENPATCH_SARIF_SCHEMA", "")


def load(document: AuditDocument) -> Any:
    return json.loads("".join(get_format("sarif").render(document, RenderOptions())))


def run(document: AuditDocument) -> Any:
    (only,) = load(document)["runs"]
    return only


@pytest.fixture(scope="module")
def official() -> Draft4Validator:
    if not SCHEMA:
        pytest.skip("GENPATCH_SARIF_SCHEMA does not name OASIS's sarif-schema-2.1.0.json")
    schema = json.loads(Path(SCHEMA).read_text())
    assert schema["id"].endswith("/sarif-schema-2.1.0.json")
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_official_schema(name: str, official: Draft4Validator) -> None:
    official.validate(load(DOCUMENTS[name]()))


def test_the_official_schema_rejects(official: Draft4Validator) -> None:
    log = load(faulty())
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not official.is_valid(log)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_models_of_sarif_pydantic(name: str) -> None:
    models = pytest.importorskip("sarif_pydantic")
    log = models.Sarif.model_validate(load(DOCUMENTS[name]()))
    assert log.version == "2.1.0"
    assert len(log.runs[0].results) == len(run(DOCUMENTS[name]())["results"])


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_no_schema_checks(name: str) -> None:
    only = run(DOCUMENTS[name]())
    rules = only["tool"]["driver"]["rules"]
    for result in only["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note", "none")
        assert (result["level"] == "none") == (result["kind"] == "notApplicable")
        assert len(result["locations"]) == 1
        region = result["locations"][0]["physicalLocation"]["region"]
        assert region == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}
        assert result["partialFingerprints"]["primaryLocationLineHash"]
    for each in objects(only):
        assert ("parentIndex" in each) == ("offsetFromParent" in each)
        assert all(abs(number) < 2**53 for number in each.values() if isinstance(number, int))
        if "uri" in each and "index" in each:
            assert only["artifacts"][each["index"]]["location"]["uri"] == each["uri"]
    for each in only["artifacts"]:
        assert each["location"]["uri"].isascii()
        assert not each["location"]["uri"].startswith(("/", "."))
        assert " " not in each["location"]["uri"]


def test_rules_have_what_github_shows() -> None:
    for each in run(faulty())["tool"]["driver"]["rules"]:
        assert each["shortDescription"]["text"]
        assert each["fullDescription"]["text"]
        assert 0 < len(each["help"]["text"]) <= 1024
        assert each["help"]["markdown"]
        assert each["properties"]["problem.severity"] in ("error", "warning", "recommendation")
        assert "helpUri" not in each


def test_a_registered_rule_brings_its_documentation() -> None:
    documented = run(single(image(rules=(rule("GP101", "sled-size"),))))["tool"]["driver"]["rules"][0]
    assert documented["help"]["text"].startswith("What it checks: ")
    assert "## Remedy" in documented["help"]["markdown"]
    assert "\n" not in documented["shortDescription"]["text"]


def test_an_unknown_rule_has_its_name() -> None:
    unknown = run(single(image(rules=(rule("GP999", "no-such-rule"),))))["tool"]["driver"]["rules"][0]
    assert unknown["shortDescription"]["text"] == unknown["help"]["markdown"] == "No such rule."


def test_a_result() -> None:
    result = run(faulty())["results"][1]
    assert result["ruleId"] == "GP205"
    assert (result["level"], result["kind"]) == ("error", "fail")
    assert result["message"]["text"].startswith("ftrace_stub_direct_tramp needs")
    assert result["locations"][0]["physicalLocation"]["address"] == {
        "kind": "instruction",
        "name": "0xffffffff8004bc60",
        "fullyQualifiedName": "vmlinux!.text!vfs_read",
        "parentIndex": 0,
        "relativeAddress": 0x4BC60,
        "offsetFromParent": 0x4BC60,
    }
    assert result["locations"][0]["logicalLocations"] == [
        {"name": "vfs_read", "fullyQualifiedName": "vmlinux::vfs_read", "kind": "function"}
    ]
    assert result["partialFingerprints"]["primaryLocationLineHash"] == "2050000000000000:1"
    assert result["properties"] == {"sites": 1020, "va": "0xffffffff8004bc60"}
    assert [each["id"] for each in result["relatedLocations"]] == [1, 2, 3, 4]
    assert result["relatedLocations"][1]["properties"] == {"va": "0xffffffff8004bd00"}
    assert "baselineState" not in result


def test_the_worst_come_first() -> None:
    levels = [result["level"] for result in run(faulty())["results"]]
    assert levels == ["error", "error", "error", "warning", "note", "none", "none", "none"]


def test_the_base_of_the_addresses_is_named() -> None:
    assert run(faulty())["addresses"] == [
        {
            "index": 0,
            "kind": "module",
            "name": "vmlinux",
            "fullyQualifiedName": "vmlinux@0xffffffff80000000",
        }
    ]


@pytest.mark.parametrize("address", ["0x0", "0x7fffffffffffffff", "0xffffffffffffffff", "0xffffffff80001000"])
def test_an_address_far_from_the_others_is_text_only(address: str) -> None:
    near = [finding(address="0xffffffff80002000")] * 2
    results = run(single(image(findings=(*near, finding(address=address)))))["results"]
    assert results[2]["properties"]["va"] == address
    near_enough = address in ("0xffffffff80001000", "0xffffffffffffffff")
    assert ("address" in results[2]["locations"][0]["physicalLocation"]) is near_enough


def test_a_rule_that_was_not_run() -> None:
    result = run(faulty())["results"][-1]
    assert (result["ruleId"], result["kind"], result["level"]) == ("GP310", "notApplicable", "none")
    assert result["message"]["text"] == "landing-pads was not run: the configuration is not known"


def test_a_rule_that_failed_is_trouble_of_the_tool() -> None:
    invocation = run(faulty())["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"] == [
        {
            "level": "error",
            "message": {"text": "GP901 relocations failed to run: relocation type 77 is not known"},
            "associatedRule": {"id": "GP901", "index": 9},
        }
    ]
    assert run(clean())["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_baseline_states_and_suppressions() -> None:
    results = run(baselined())["results"]
    assert [result.get("baselineState") for result in results[:5]] == ["new", *["unchanged"] * 4]
    assert "suppressions" not in results[0]
    assert results[1]["suppressions"] == [{"kind": "external", "justification": "baseline"}]


def test_several_images() -> None:
    only = run(modules())
    assert [each["location"]["uri"] for each in only["artifacts"]] == [
        "drivers/net/dummy.ko",
        "fs/xfs/xfs.ko",
        "fs/ext4/ext4.ko",
        "lib/crc8.ko",
    ]
    assert only["results"][0]["analysisTarget"] == {"uri": "fs/ext4/ext4.ko", "index": 2}
    assert only["automationDetails"] == {"id": "genpatch-audit/images/"}


def test_hostile_names_are_text() -> None:
    only = run(hostile())
    assert len(only["results"]) == 2 * len(HOSTILE)
    assert only["artifacts"][0]["location"]["uri"] == (
        "dir/%3C/script%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"
        "%5Cx1b%5B31mred%5Cx1b%5D0%3Btitle%5Cx07%5Cx9b2J%5Cx00%5Cx7f"
    )


def test_results_have_a_limit_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_RESULTS", 2)
    only = run(faulty())
    assert [result["ruleId"] for result in only["results"][:3]] == ["GP104", "GP205", "GP301"]
    notices = only["invocations"][0]["toolExecutionNotifications"]
    assert notices[-1] == {"level": "warning", "message": {"text": "3 findings are left out"}}


def test_remarks_are_notifications() -> None:
    document = single(image(notes=("baseline: 2 known findings gone",)))
    notices = run(document)["invocations"][0]["toolExecutionNotifications"]
    assert notices == [{"level": "note", "message": {"text": "baseline: 2 known findings gone"}}]


def test_equal_fingerprints_get_ordinals() -> None:
    same = tuple(replace(finding(), fingerprint="00112233445566aa") for _ in range(2))
    hashes = [r["partialFingerprints"]["primaryLocationLineHash"] for r in run(single(image(findings=same)))["results"]]
    assert hashes == ["00112233445566aa:1", "00112233445566aa:2"]
