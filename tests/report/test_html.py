# SPDX-License-Identifier: GPL-2.0-or-later
"""The page as text: what it may do, what is in it, and that no name gets out of where it is put."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from genpatch.report.document import AuditDocument, SledBytes
from genpatch.report.html import page_of
from genpatch.report.html.dossiers import dossiers_of
from genpatch.report.html.pack import packed_failures, packed_rows
from genpatch.report.html.witness import witness_rows
from genpatch.report.site_columns import with_sites
from tests.report.builders import (
    DOCUMENTS,
    HOSTILE,
    SCRIPT,
    clean,
    faulty,
    finding,
    image,
    several,
    single,
    site_rows,
    source,
)

EVENT = re.compile(r"^on[a-z]+$")


class Outline(HTMLParser):
    """The elements of a page and their attributes, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.inside = ""
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts:
            self.texts[self.inside][-1] += data
        else:
            self.shown += data


def page(*documents: AuditDocument) -> str:
    return "".join(page_of([with_sites(document) for document in documents]))


def with_rows(symbols: tuple[str, ...]) -> AuditDocument:
    rows = replace(site_rows(len(symbols)), symbols=symbols, sections=symbols)
    return single(image(findings=DOCUMENTS["faulty"]().total.findings, site_rows=rows))


def data_of(text: str) -> Any:
    outline = Outline(text)
    packed = json.loads(outline.texts["script"][0])
    assert packed["encoding"] == "deflate"
    return json.loads(zlib.decompress(b64decode(packed["data"], validate=True)))


def hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_only_its_own_style_and_script_may_do_anything() -> None:
    outline = Outline(page(faulty()))
    policy = next(each["content"] for tag, each in outline.elements if tag == "meta" and "http-equiv" in each)
    (style,), (data, script) = outline.texts["style"], outline.texts["script"]
    assert policy == (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert re.fullmatch(r'\{"encoding": "deflate", "data": "[A-Za-z0-9+/=]+"\}', data)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_is_asked_of_anybody(name: str) -> None:
    outline = Outline(page(DOCUMENTS[name]()))
    for tag, attributes in outline.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "image", "use", "foreignobject"), tag
        assert not any(EVENT.match(each) for each in attributes), attributes
        assert "style" not in attributes
        for link in ("href", "src", "xlink:href", "action"):
            value = attributes.get(link)
            assert value is None or value.startswith("#") or (tag, value) == ("link", "data:,"), (tag, value)
    assert [tag for tag, _ in outline.elements].count("script") == 2
    assert "innerHTML" not in outline.texts["script"][1]
    assert not re.search(r"\beval\b|\bfetch\(|XMLHttpRequest|import\(|WebSocket|https?:(?!//www\.w3\.org/2000/svg)",
                         outline.texts["script"][1])  # fmt: skip


def test_hostile_names_are_shown_as_text() -> None:
    text = page(DOCUMENTS["hostile"](), with_rows(HOSTILE))
    outline = Outline(text)
    assert "<img" not in text.split("<style>")[0] + text.split("</style>")[1]
    assert f"the symbol {SCRIPT} is odd" in outline.shown
    assert not set("\u202e\u200b\x1b\x07\u2028") & set(text)
    (kernel,) = [each for each in data_of(text)["kernels"] if each["images"]]
    symbols = kernel["images"][0]["rows"]["symbols"].split("\n")
    assert len(symbols) == len(HOSTILE)
    assert symbols[0] == SCRIPT
    assert all(name.isprintable() for name in symbols)


def test_columns_are_packed_as_differences() -> None:
    rows = site_rows(5)
    sled = SledBytes(
        state="boot", what="", offset=-4, known=np.ones((5, 8), np.bool_),
        data=np.array([[0x13, 0, 0, 0, 0x97, 0x02, n, 0] for n in range(5)], np.uint8),
    )  # fmt: skip
    body = with_sites(single(image(site_rows=replace(rows, states=(sled,)))))["site_rows"]
    packed = packed_rows(body)
    for name in ("func", "section", "shape", "alignment"):
        assert list(accumulate(packed[name])) == body[name]
    assert [list(accumulate(hit["sites"])) for hit in packed["hits"]] == [[1], [0, 1]]
    words = packed["states"][0]["words"]
    assert [(word["at"], word["values"]) for word in words] == [
        (-4, ["0x00000013"]),
        (0, ["0x00000297", "0x00010297", "0x00020297", "0x00030297", "0x00040297"]),
    ]
    kinds = {(mask, match): text for mask, match, text in packed["insns"]}
    assert kinds[0xFFFFFFFF, 0x13] == "nop"
    assert kinds[0xFFF, 0x297] == "auipc t0, {U}"


@pytest.mark.parametrize(
    ("word", "mask", "text"),
    [
        (0x9E0282E7, 0xFFFFF, "jalr t0, t0, {I}"),  # as objdump prints: jalr t0,-1568(t0)
        (0x000280E7, 0xFFFFFFFF, "jalr t0"),
        (0x00028067, 0xFFFFFFFF, "jr t0"),
        (0x0000006F, 0xFFF, "j {J}"),
        (0x00010001, 0xFFFF, "c.nop"),
    ],
)
def test_kinds_of_instructions(word: int, mask: int, text: str) -> None:
    state = {"state": "x", "what": "", "words": [{"at": 0, "values": [f"{word:#010x}"], "index": [0]}]}
    rows = {**with_sites(single(image(site_rows=site_rows(1))))["site_rows"], "states": [state]}
    bits = word & 0xFFFF if mask == 0xFFFF else word
    found = {(m, match): kind for m, match, kind in packed_rows(rows)["insns"]}
    assert found[mask, bits & mask].startswith(text)


def test_failures_find_their_sites_by_address() -> None:
    rows = with_sites(single(image(site_rows=site_rows(4))))["site_rows"]
    one = {"symbol": "f", "state": "direct", "promise": "arrives", "what": "body", "expected": "0x1", "got": "0x2"}
    listed = [{**one, "address": f"{0xFFFFFFFF80002000 + 32 * n:#x}"} for n in (3, 1)]
    (packed,) = packed_failures([*listed, {**one, "address": "0xffffffff80002001"}], rows)
    assert list(accumulate(packed["sites"])) == [3, 1]
    assert packed["got"] == ["0x2", "0x2"]
    assert packed_failures(listed, {**rows, "func": []})[0]["sites"] == []


def test_documents_of_one_build_are_one_chapter() -> None:
    first, other = clean().as_json(), single(image(input=source("b", build_id="aa" * 20))).as_json()
    verify = {**first, "schema": "genpatch/verify/1", "states": [], "runs": [], "insns": 0}
    found = dossiers_of([first, other, verify])
    assert [sorted(each.documents) for each in found] == [["audit", "verify"], ["audit"]]
    assert [sorted(each.documents) for each in dossiers_of([first, first])] == [["audit"], ["audit"]]


def test_what_was_not_looked_at_is_said() -> None:
    names = {line.name: line.text for line in dossiers_of([faulty().as_json()])[0].unlooked}
    assert names["GP310 landing-pads"] == "the configuration is not known"
    assert names["GP901 relocations"] == "failed: relocation type 77 is not known"
    assert set(names) >= {"genpatch verify", "genpatch race", "genpatch compare"}


def test_two_kernels_say_first_what_changed() -> None:
    worse = single(image(input=source("b", build_id="aa" * 20), findings=(finding(),)))
    text = page(clean(), worse)
    assert text.index('id="diff"') < text.index('id="k0"')
    assert "1 finding new" in Outline(text).shown
    assert 'id="diff"' not in page(clean(), clean(), clean())


def test_modules_are_listed_with_their_verdicts() -> None:
    text = page(DOCUMENTS["modules"](), several(image("a"), image("b")))
    outline = Outline(text)
    assert "ext4.ko.xz" in outline.shown
    assert "Images by sites and verdict" in text


def test_steps_of_a_path_are_tied_to_the_stores_that_they_execute() -> None:
    lines = [
        {"who": "patcher", "text": "store 8 at func = 0x140282e70000f297 (auipc and jalr)"},
        {"who": "victim", "text": "func+0x4: jalr t0, t0, 0x140"},
        {"who": "victim", "text": "func+0x8: nop"},
        {"who": "patcher 2", "text": "store 4 at func-8 = 0x13 (nop)"},
        {"who": "victim", "text": "func: nop  [stale]"},
        {"who": "victim", "text": "(preempted at func+0x4)"},
        {"who": "", "text": "wild: the pc is 0x10"},
    ]
    rows = witness_rows(lines, "w0")
    assert [row["links"] for row in rows] == [
        [{"to": 2, "text": "executed by"}, {"to": 5, "text": "missed by"}],
        [{"to": 1, "text": "executes"}],
        [],
        [],
        [{"to": 1, "text": "misses"}],
        [],
        [],
    ]
    assert [row["id"] for row in rows] == [f"w0-{n}" for n in range(1, 8)]
