# SPDX-License-Identifier: GPL-2.0-or-later
"""json against its schema, and gitlab."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format
from genpatch.report.schema import AUDIT_JSON_SCHEMA

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
    several,
    single,
)


def load(name: str, document: AuditDocument) -> Any:
    return json.loads("".join(get_format(name).render(document, RenderOptions())))


def closed(schema: Any) -> Any:
    """The schema with no room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if "properties" in result and result.get("type") == "object":
        result["additionalProperties"] = False
    return result


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(AUDIT_JSON_SCHEMA)
    assert json.loads(json.dumps(AUDIT_JSON_SCHEMA)) == AUDIT_JSON_SCHEMA
    assert AUDIT_JSON_SCHEMA["properties"]["schema"] == {"const": "genpatch/audit/1"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_fit_the_schema_and_have_no_key_that_it_lacks(name: str) -> None:
    Draft202012Validator(closed(AUDIT_JSON_SCHEMA)).validate(load("json", DOCUMENTS[name]()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "genpatch/audit/2"),
        (("findings", 0, "address"), 18446744071562067968),
        (("findings", 1, "address"), "ffffffff81a00000"),
        (("findings", 0, "level"), "fatal"),
        (("findings", 0, "baseline"), "gone"),
        (("table", "sites"), -1),
        (("table", "sorted"), "yes"),
        (("rules", 0, "status"), "ok"),
        (("rules", 0, "rule"), "X1"),
        (("alignment",), {"two": 1}),
        (("reach",), {}),
        (("summary", "worst"), None),
        (("images",), None),
    ],
)
def test_the_schema_rejects(path: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(load("json", faulty()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not Draft202012Validator(AUDIT_JSON_SCHEMA).is_valid(document)


def test_every_key_is_required() -> None:
    document = load("json", modules())
    for key in document:
        less = {name: value for name, value in document.items() if name != key}
        assert not Draft202012Validator(AUDIT_JSON_SCHEMA).is_valid(less)


def test_json_says_what_the_document_holds() -> None:
    document = load("json", faulty())
    assert document["schema"] == "genpatch/audit/1"
    assert document["table"]["sites"] == 43709
    assert document["summary"]["errors"] == 3
    assert document["seconds"] == 0.346
    assert document["images"] == []
    assert [each["rule"] for each in document["findings"]] == ["GP107", "GP208", "GP205", "GP205", "GP104"]


def test_json_keeps_hostile_names_as_they_are() -> None:
    document = load("json", hostile())
    assert tuple(each["symbol"] for each in document["findings"]) == HOSTILE


def test_gitlab() -> None:
    report = load("gitlab", faulty())
    assert report[0] == {
        "description": "GP104 function-alignment: 18,861 functions stand on 2 bytes, 4 are needed for one store a word",
        "check_name": "GP104",
        "fingerprint": "1040000000000000:1",
        "severity": "critical",
        "location": {"path": "vmlinux", "lines": {"begin": 1}},
    }
    assert [each["severity"] for each in report] == ["critical", "critical", "critical", "major", "info"]


def test_gitlab_paths_are_relative_and_fingerprints_unique() -> None:
    path = "/lib/modules/7.2/kernel/fs/ext4/ext4.ko.xz"
    report = load("gitlab", single(image(path, findings=tuple(finding(image=path) for _ in range(3)))))
    assert {each["location"]["path"] for each in report} == {"fs/ext4/ext4.ko"}
    assert [each["fingerprint"][-2:] for each in report] == [":1", ":2", ":3"]


def test_gitlab_leaves_out_what_is_known() -> None:
    assert [each["check_name"] for each in load("gitlab", baselined())] == ["GP104"]
    assert load("gitlab", clean()) == []


def test_images_of_one_name_are_told_apart() -> None:
    paths = ("/a/vmlinux", "/b/vmlinux")
    report = load("gitlab", several(*(image(path, findings=(finding(image=path),)) for path in paths)))
    assert [each["location"]["path"] for each in report] == ["a/vmlinux", "b/vmlinux"]
