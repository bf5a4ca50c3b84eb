# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from genpatch.cli.kernels import documents_of
from genpatch.errors import InputError
from genpatch.report.document import AuditDocument
from genpatch.report.documents import documents_in, is_document, read_document, verb_of
from genpatch.report.schema import AUDIT_JSON_SCHEMA, RACE_JSON_SCHEMA
from genpatch.report.site_columns import with_sites
from genpatch.report.validate import first_problem
from tests.report.builders import DOCUMENTS, faulty, image, single, site_rows


def body() -> dict[str, Any]:
    return with_sites(single(image(site_rows=site_rows())))


def written(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "x.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("make", DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_is_written_is_read(tmp_path: Path, make: Callable[[], AuditDocument]) -> None:
    path = written(tmp_path, make().as_json())
    assert is_document(path)
    found = read_document(path)
    assert (found, verb_of(found)) == (json.loads(json.dumps(make().as_json())), "audit")


def breakages() -> dict[str, Any]:
    """Documents that are broken in one place, by how."""

    def broken(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        made = body()
        change(made)
        return made

    rows = "site_rows"
    return {
        "text for a number": broken(lambda made: made["table"].update(sites="many")),
        "a truth for a number": broken(lambda made: made["table"].update(sites=True)),
        "a negative count": broken(lambda made: made["table"].update(zero=-1)),
        "a key less": broken(lambda made: made.pop("findings")),
        "a list for an object": broken(lambda made: made.update(input=[])),
        "a level that is none": broken(lambda made: made[rows]["hits"][0].update(level="fatal")),
        "a rule that is none": broken(lambda made: made[rows]["hits"][0].update(rule="<b>")),
        "an address that is none": broken(lambda made: made[rows].update(base="javascript:1")),
        "a number among names": broken(lambda made: made[rows]["symbols"].__setitem__(0, 7)),
        "bins of no size": broken(
            lambda made: made.update(spread={"base": "0x0", "bin": 0, "sites": [1], "levels": {"error": [0]}})
        ),
        "a negative position": broken(lambda made: made[rows]["func"].__setitem__(0, -1)),
    }


@pytest.mark.parametrize("how", breakages())
def test_a_broken_document_is_refused_as_jsonschema_refuses_it(how: str, tmp_path: Path) -> None:
    value = breakages()[how]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, AUDIT_JSON_SCHEMA)
    assert first_problem(value, AUDIT_JSON_SCHEMA)
    with pytest.raises(InputError, match="no document of genpatch audit"):
        read_document(written(tmp_path, value))


def test_a_race_of_a_kernel_says_all_of_it_or_nothing(tmp_path: Path) -> None:
    """A race of schemes alone has no kernel; one that has a part of it is refused."""
    (whole,) = documents_of("sample:call-ops", ["race"], lambda _: None)
    whole = json.loads(json.dumps(whole))
    assert read_document(written(tmp_path, whole)) == whole
    for name in ("sleds", "reach", "input"):
        part = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(part, RACE_JSON_SCHEMA)
        with pytest.raises(InputError, match=f"no document of genpatch race: the document: no '{name}'"):
            read_document(written(tmp_path, part))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows["func"].append(1), "func has 4 entries of 3"),
        (lambda rows: rows["section"].__setitem__(0, 9), "section points behind the end"),
        (lambda rows: rows["hits"][0]["sites"].append(3), "hits points behind the end"),
        (lambda rows: rows.update(count=1 << 30), "at most"),
        (lambda rows: rows["alignment"].__setitem__(0, 1 << 70), "alignment points behind the end"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    value = body()
    change(value["site_rows"])
    with pytest.raises(InputError, match=message):
        read_document(written(tmp_path, value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin": 1 << 40}, "3 bins of 1,099,511,627,776 bytes, at most"),
        ({"levels": {"error": [1]}}, "levels.error has 1 entries of 3"),
    ],
)
def test_bins_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    value = body() | {"spread": {"base": "0x1000", "bin": 4096, "sites": [1, 0, 2], "levels": {"error": [0, 0, 1]}}}
    assert read_document(written(tmp_path, value))["spread"]["bin"] == 4096
    value["spread"] |= change
    with pytest.raises(InputError, match=f"spread: {message}"):
        read_document(written(tmp_path, value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ("[1]", "expected a document of genpatch"),
        ('{"schema": "genpatch/audit/2"}', "schema 'genpatch/audit/2'"),
        ('{"schema": ["genpatch/audit/1"]}', "something else"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_document(written(tmp_path, text))


def test_documents_of_a_directory(tmp_path: Path) -> None:
    written(tmp_path, faulty().as_json())
    (tmp_path / "other.json").write_text('{"schema": "x"}')
    (tmp_path / "empty.json").write_text("")
    assert documents_in(tmp_path) == [tmp_path / "x.json"]
    with pytest.raises(InputError, match="genpatch race"):
        read_document(tmp_path / "x.json", ("race",))
