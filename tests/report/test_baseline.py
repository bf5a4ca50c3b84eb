# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genpatch.errors import InputError
from genpatch.report import baseline as module
from genpatch.report.baseline import (
    Baseline,
    BaselineReport,
    Entry,
    apply_baseline,
    read_baseline,
    write_baseline,
)

from .builders import FINDINGS, RULES, clean, faulty, hostile, image, modules, rule, single


def read(body: Any) -> Baseline:
    return read_baseline(json.dumps(body).encode(), "known.json")


def entry(**more: Any) -> dict[str, Any]:
    return {"rule": "GP205", "symbol": "vfs_read", "count": 1020, "reason": ""} | more


def body(entries: Any) -> dict[str, Any]:
    return {"schema": "genpatch/baseline/1", "entries": entries}


def test_what_is_written() -> None:
    written = json.loads(write_baseline(faulty()))
    assert written["schema"] == "genpatch/baseline/1"
    assert list(written["entries"]) == [
        "1040000000000000:1",
        "1070000000000000:1",
        "2050000000000000:1",
        "2050000000000000:2",
        "2080000000000000:1",
    ]
    assert written["entries"]["2050000000000000:1"] == entry()


def test_the_order_of_findings_does_not_show() -> None:
    record = replace(faulty().total, findings=tuple(reversed(FINDINGS)))
    assert write_baseline(single(record)) == write_baseline(faulty())


@pytest.mark.parametrize("document", [clean, faulty, modules, hostile])
def test_what_is_written_can_be_read_and_knows_everything(document: Any) -> None:
    baseline = read_baseline(write_baseline(document()).encode(), "known.json")
    marked, report = apply_baseline(document(), baseline)
    found = len(document().total.findings)
    assert report == BaselineReport(known=found, new=0, grown=0, gone=(), unjudged=0)
    assert {finding.baseline for finding in marked.total.findings} <= {"unchanged"}
    assert (marked.summary.errors, marked.summary.warnings, marked.summary.notes) == (0, 0, 0)
    assert marked.summary.worst == "none"
    assert marked.summary.skipped_rules == document().summary.skipped_rules


def test_reasons_survive_a_rewrite() -> None:
    earlier = read(body({"2050000000000000:1": entry(reason="being fixed, see the list")}))
    written = json.loads(write_baseline(faulty(), earlier))
    assert written["entries"]["2050000000000000:1"]["reason"] == "being fixed, see the list"
    assert written["entries"]["2050000000000000:2"]["reason"] == ""


def test_new_known_and_grown() -> None:
    known = read(body({"2050000000000000:1": entry(count=1000), "2050000000000000:2": entry(count=3)}))
    marked, report = apply_baseline(faulty(), known)
    assert report == BaselineReport(known=1, new=3, grown=1, gone=(), unjudged=0)
    by_name = {finding.fingerprint: finding for finding in marked.total.findings}
    assert by_name["2050000000000000:1"].baseline == "new"
    assert by_name["2050000000000000:1"].message.endswith("when a call is changed (1,000 known)")
    assert by_name["2050000000000000:2"].baseline == "unchanged"
    assert by_name["1040000000000000:1"].baseline == "new"
    assert (marked.summary.errors, marked.summary.warnings, marked.summary.notes) == (2, 1, 1)
    assert marked.images == (marked.total,)


def test_fewer_sites_are_known() -> None:
    marked, report = apply_baseline(faulty(), read(body({"2050000000000000:1": entry(count=5000)})))
    assert report.known == 1
    assert marked.summary.errors == 2


def test_gone_entries_are_remarks_when_their_rule_ran() -> None:
    entries = {
        "aaaaaaaaaaaaaaaa:1": entry(rule="GP101", symbol="old_function"),
        "bbbbbbbbbbbbbbbb:1": entry(rule="GP301"),
        "cccccccccccccccc:1": entry(rule="GP901"),
        "dddddddddddddddd:1": entry(rule="GP777"),
    }
    marked, report = apply_baseline(faulty(), read(body(entries)))
    assert report.gone == ("aaaaaaaaaaaaaaaa:1",)
    assert report.unjudged == 3
    assert marked.total.notes == (
        "baseline: 1 known finding gone: GP101 old_function",
        "baseline: 3 known findings of rules that did not run",
    )


def test_many_gone_entries_are_counted() -> None:
    entries = {f"{number:016x}:1": entry(rule="GP101", symbol=f"f{number}") for number in range(7)}
    marked, _ = apply_baseline(faulty(), read(body(entries)))
    assert marked.total.notes == (
        "baseline: 7 known findings gone: GP101 f0, GP101 f1, GP101 f2, GP101 f3, GP101 f4, 2 more",
    )


def test_several_images_are_marked_like_their_sum() -> None:
    known = read(body({"1070000000000001:1": entry(rule="GP107", count=1)}))
    marked, _ = apply_baseline(modules(), known)
    assert [finding.baseline for finding in marked.total.findings] == ["unchanged", "new", "new"]
    assert [[finding.baseline for finding in each.findings] for each in marked.images] == [
        [],
        ["unchanged"],
        ["new", "new"],
        [],
    ]
    assert marked.summary.notes == 1


def test_worst_follows() -> None:
    known = {name: entry(count=99999) for name in ("1040000000000000:1", "2050000000000000:1", "2050000000000000:2")}
    marked, _ = apply_baseline(faulty(), read(body(known)))
    assert marked.summary.worst == "warning"


def test_nothing_is_changed_in_place() -> None:
    document = faulty()
    apply_baseline(
        document, Baseline(entries={"2050000000000000:1": Entry(rule="GP205", symbol="", count=1, reason="")})
    )
    assert document == faulty()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "known.json: expected a baseline in JSON, got Expecting value: line 1 column 1 (char 0)"),
        (b"{", "expected a baseline in JSON, got Expecting property name"),
        (b"\xff{}", "expected a baseline in JSON, got 'utf-8' codec"),
        (b"\xef\xbb\xbf{}", "expected a baseline in JSON, got "),
        (b"[]", "known.json: expected an object, got an array"),
        (b"null", "expected an object, got null"),
        (b"{}", 'expected the keys schema, entries, got no "entries"'),
        (
            b'{"schema": 1, "entries": {}, "extra": 1}',
            'expected the keys schema, entries, got the key "extra"',
        ),
        (
            b'{"schema": "genpatch/baseline/2", "entries": {}}',
            'known.json: schema: expected "genpatch/baseline/1", got "',
        ),
        (b'{"schema": [], "entries": {}}', "schema: expected .*, got an array"),
        (b'{"schema": "genpatch/baseline/1", "entries": []}', "entries: expected an object, got an array"),
        (b'{"schema": "a", "schema": "b", "entries": {}}', 'got the key "schema" twice'),
        (b'{"schema": NaN, "entries": {}}', "got the constant NaN"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "expected a baseline in JSON, got Exceeds the limit"),
        (b"[" * 200_000, "expected a baseline, got JSON nested too deeply"),
        (b'{"schema": ' + b"9" * 40 + b', "entries": {}}', "got a huge number"),
    ],
)
def test_what_is_no_baseline(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        read_baseline(data, "known.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


NAME = "0123456789abcdef:1"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"short:1": entry()}, 'expected a fingerprint and an ordinal as key, got "short:1"'),
        ({"0123456789abcdef": entry()}, "expected a fingerprint and an ordinal as key"),
        ({"0123456789ABCDEF:1": entry()}, "expected a fingerprint"),
        ({NAME + "\n": entry()}, "expected a fingerprint"),
        ({NAME: []}, f'entry "{NAME}": expected an object, got an array'),
        (
            {NAME: {"rule": "GP101"}},
            f'entry "{NAME}": expected the keys rule, symbol, count, reason, got no "count"',
        ),
        ({NAME: entry(more=1)}, 'got the key "more"'),
        ({NAME: entry(rule="GP1")}, f'entry "{NAME}": rule: expected GP and three digits, got "GP1"'),
        ({NAME: entry(rule=None)}, "rule: expected a string, got null"),
        ({NAME: entry(symbol=3)}, "symbol: expected a string, got 3"),
        ({NAME: entry(reason={})}, "reason: expected a string, got an object"),
        ({NAME: entry(count=-1)}, "count: expected a number of sites, got -1"),
        ({NAME: entry(count=True)}, "count: expected a number of sites, got true"),
        ({NAME: entry(count=1.5)}, "count: expected a number of sites, got 1.5"),
        ({NAME: entry(count="x" * 100)}, r'got "x{36}\.\.\.$'),
    ],
)
def test_what_is_no_entry(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(body(entries))


def test_a_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 10)
    with pytest.raises(InputError, match=r"known\.json: expected at most 10 bytes, got 11"):
        read_baseline(b" " * 11, "known.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_baseline_or_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        read_baseline(data, "known.json")


@given(JSON, st.sampled_from(["rule", "symbol", "count", "reason"]))
def test_any_entry_is_one_or_an_input_error(value: Any, key: str) -> None:
    with suppress(InputError):
        assert set(read(body({NAME: entry(**{key: value})})).entries) == {NAME}


def test_rules_that_ran_are_those_with_a_verdict() -> None:
    assert {each.status for each in RULES} == {"pass", "fail", "skipped", "error"}
    document = single(image(rules=(rule("GP205", "frozen-hi20"),)))
    _, report = apply_baseline(document, read(body({NAME: entry()})))
    assert report.gone == (NAME,)
