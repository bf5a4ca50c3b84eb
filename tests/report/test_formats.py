# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for every format: found by its file, imported alone, safe and the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genpatch.errors import UsageError
from genpatch.report import formats as package
from genpatch.report.document import AuditDocument, Example
from genpatch.report.formats import RenderOptions, format_names, formats, get_format

from .builders import DOCUMENTS, clean, finding, image, rule, several, single, site_rows

ALL = (
    "concise",
    "github",
    "gitlab",
    "html",
    "json",
    "jsonl",
    "junit",
    "ktap",
    "markdown",
    "sarif",
    "text",
)
PLAIN = RenderOptions()


def rendered(name: str, document: AuditDocument, options: RenderOptions = PLAIN) -> str:
    return "".join(get_format(name).render(document, options))


def test_every_file_is_a_format() -> None:
    files = sorted(path.stem for path in Path(package.__file__).parent.glob("*.py"))
    assert files == ["__init__", *ALL]
    assert format_names() == ALL
    assert tuple(formats()) == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_format_has_the_name_of_its_file(name: str) -> None:
    module = sys.modules[type(get_format(name)).__module__ + f".{name}"]
    assert module.NAME == get_format(name).name == name
    assert get_format(name).description


def test_who_needs_the_sites() -> None:
    assert [name for name, each in formats().items() if each.needs_sites] == ["html", "jsonl"]


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"unknown format 'xml': use one of concise, github, gitlab, html, json, "):
        get_format("xml")


@pytest.mark.parametrize("name", ["../document", "json.decoder", "", "__init__"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(UsageError, match="unknown format"):
        get_format(name)


def test_one_format_does_not_import_another() -> None:
    code = (
        "import sys; from genpatch.report.formats import get_format; get_format('concise'); "
        "print([m for m in sys.modules if m.startswith('genpatch.report.formats.') or m == 'rich'])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "['genpatch.report.formats.concise']"


def test_rich_is_imported_when_text_is_rendered_and_not_before() -> None:
    code = (
        "import sys; from genpatch.report.formats import formats, RenderOptions; every = formats(); "
        "print('rich' in sys.modules); "
        "from tests.report.builders import clean; ''.join(every['text'].render(clean(), RenderOptions())); "
        "print('rich' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "True"]


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("name", ALL)
def test_output_is_harmless_and_the_same_each_time(name: str, document: str) -> None:
    first = rendered(name, DOCUMENTS[document]())
    assert first == rendered(name, DOCUMENTS[document]())
    assert_harmless(name, first)


def assert_harmless(name: str, text: str) -> None:
    text.encode("utf-8")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "##[" not in text or name in ("html", "json", "jsonl")
    if name not in ("github", "html", "json", "jsonl"):
        assert "::" not in text.replace("vmlinux::", "").replace("ko::", "") or name == "sarif"
    assert text == "" or text.endswith("\n")


@pytest.mark.parametrize("name", ALL)
def test_ascii_where_the_stream_is_not_utf8(name: str) -> None:
    options = RenderOptions(encoding="iso-8859-1")
    text = rendered(name, DOCUMENTS["hostile"](), options)
    if name in ("text", "concise", "json", "jsonl", "junit", "gitlab", "sarif"):
        assert text.isascii()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", False), ("UTF8", False), ("utf_8", False), ("ascii", True), ("ANSI_X3.4-1968", True)],
)
def test_ascii_only(encoding: str, expected: bool) -> None:
    assert RenderOptions(encoding=encoding).ascii_only is expected


TEXT = st.text(st.characters(), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, TEXT, TEXT, TEXT, TEXT)
def test_no_name_breaks_a_format(path: str, symbol: str, section: str, message: str, reason: str) -> None:
    one = finding(
        image=path,
        symbol=symbol,
        section=section,
        message=message,
        examples=(Example(address="0x10", symbol=symbol),),
    )
    rules = (
        rule("GP205", "frozen-hi20", "fail"),
        rule("GP301", "x", "skipped", reason=reason),
        rule("GP901", "y", "error", reason=reason),
    )
    rows = replace(site_rows(2), symbols=(symbol, section), sections=(section, symbol))
    record = image(path, findings=(one,), rules=rules, site_rows=rows, scheme_evidence=(reason,), notes=(reason,))
    for document in (single(record), several(record, image("other"))):
        for name in ALL:
            text = rendered(name, document)
            assert_harmless(name, text)
            parse(name, text)


def parse(name: str, text: str) -> None:
    if name in ("json", "sarif", "gitlab"):
        json.loads(text)
    elif name == "jsonl":
        assert len([json.loads(line) for line in text.splitlines()]) == 2
    elif name == "junit":
        ElementTree.fromstring(text)
    elif name in ("concise", "github"):
        assert len(text.splitlines()) == 1


def test_nothing_to_say() -> None:
    assert rendered("concise", clean()) == ""
    assert rendered("github", clean()) == ""
    assert json.loads(rendered("gitlab", clean())) == []
    assert rendered("jsonl", clean()) == ""


@pytest.mark.parametrize("name", ["json", "sarif", "gitlab", "junit"])
def test_a_document_without_images_is_still_well_formed(name: str) -> None:
    parse(name, rendered(name, replace(clean(), images=())))
