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
from jsonschema import Draft202012Validator

from genpatch.report.document import AuditDocument, SledBytes
from genpatch.report.html import page_of
from genpatch.report.html.columns import Columns
from genpatch.report.html.dossiers import dossiers_of
from genpatch.report.html.pack import packed_failures, packed_rows
from genpatch.report.html.witness import witness_rows
from genpatch.report.schema import VERIFY_JSON_SCHEMA
from genpatch.report.site_columns import with_sites
from tests.report.bpf_documents import body, failure, of_sample, record, told
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
from tests.report.columns import unpacked

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
    """Return the payload of a page; what is in columns stands where it belongs, read by `unpacked`."""
    outline = Outline(text)
    packed = json.loads(outline.texts["script"][0])
    assert packed["encoding"] == "deflate"
    whole = zlib.decompress(b64decode(packed["data"], validate=True))
    size = int.from_bytes(whole[:4], "little")
    payload = json.loads(whole[4 : 4 + size])
    rows = [image["rows"] for kernel in payload["kernels"] for image in kernel["images"]]
    read = unpacked(payload["columns"], whole[4 + size :], [(each["count"], each["far"]) for each in rows])
    for row, (symbols, func) in zip(rows, read, strict=True):
        row |= {"symbols": symbols, "func": func}
    return payload


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
    symbols = kernel["images"][0]["rows"]["symbols"]
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
    packed = packed_rows(body, Columns())
    for name in ("section", "shape", "alignment"):
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
    found = {(m, match): kind for m, match, kind in packed_rows(rows, Columns())["insns"]}
    assert found[mask, bits & mask].startswith(text)


def test_failures_find_their_sites_by_address() -> None:
    rows = with_sites(single(image(site_rows=site_rows(4))))["site_rows"]
    one = {"symbol": "f", "state": "direct", "promise": "arrives", "what": "body", "expected": "0x1", "got": "0x2"}
    listed = [{**one, "address": f"{0xFFFFFFFF80002000 + 32 * n:#x}"} for n in (3, 1)]
    (packed,) = packed_failures([*listed, {**one, "address": "0xffffffff80002001"}], rows)
    assert list(accumulate(packed["sites"])) == [3, 1]
    assert packed["got"] == ["0x2", "0x2"]
    assert packed_failures(listed, {**rows, "func": []})[0]["sites"] == []
    far = [{**one, "address": address} for address in ("0x0", f"0x{1 << 80:x}")]  # of no site, whatever a document says
    assert packed_failures([*listed, *far], rows) == packed_failures(listed, rows)


def test_documents_of_one_build_are_one_chapter() -> None:
    first, other = clean().as_json(), single(image(input=source("b", build_id="aa" * 20))).as_json()
    verify = {**first, "schema": "genpatch/verify/1", "states": [], "runs": [], "insns": 0}
    found = dossiers_of([first, other, verify])
    assert [sorted(each.documents) for each in found] == [["audit", "verify"], ["audit"]]
    assert [sorted(each.documents) for each in dossiers_of([first, first])] == [["audit"], ["audit"]]


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ((("a/vmlinux", None), ("b/vmlinux", None)), ["a/vmlinux", "b/vmlinux"]),
        ((("x/old", None), ("x/new", None)), ["old", "new"]),
        ((("vmlinux", "aa" * 20), ("vmlinux", "bb" * 20)), ["aa" * 6, "bb" * 6]),
        ((("vmlinux", None), ("vmlinux", None)), ["number 1", "number 2"]),
    ],
)
def test_kernels_of_one_release_are_told_apart(inputs: tuple[tuple[str, str | None], ...], names: list[str]) -> None:
    bodies = [single(image(input=source(path, build_id=build))).as_json() for path, build in inputs]
    found = dossiers_of(bodies)
    assert [each.title for each in found] == [f"Linux 7.2.13+deb14-riscv64 ({name})" for name in names]
    assert [each.short for each in found] == [f"7.2.13+deb14-riscv64 ({name})" for name in names]
    assert dossiers_of(bodies[:1])[0].title == "Linux 7.2.13+deb14-riscv64"


def test_a_rule_is_explained_once() -> None:
    document = single(
        image(findings=tuple(finding("GP202", "frozen-auipc-overreach", message=str(n)) for n in range(3)))
    )
    assert page(document).count("What this rule checks, and why") == 1


def test_what_was_not_looked_at_is_said() -> None:
    names = {line.name: line.text for line in dossiers_of([faulty().as_json()])[0].unlooked}
    assert names["GP310 landing-pads"] == "the configuration is not known"
    assert names["GP901 relocations"] == "failed: relocation type 77 is not known"
    assert set(names) >= {"genpatch verify", "genpatch race", "genpatch compare"}


def test_rules_with_the_same_reason_stand_together() -> None:
    names = {line.name: line.text for line in dossiers_of([faulty().as_json()])[0].unlooked}
    assert names["GP301 frame-offsets, GP302 frame-readers"] == "no type information (.BTF) in the image"


# -- BPF


def page_about(*documents: dict[str, Any]) -> tuple[str, Outline]:
    text = "".join(page_of(documents))
    return text, Outline(text)


def identifiers(outline: Outline) -> list[str]:
    found = [each["id"] for _, each in outline.elements if each.get("id")]
    assert len(found) == len(set(found))
    return [str(each) for each in found]


def links(outline: Outline) -> list[str]:
    return [str(each["href"]) for tag, each in outline.elements if tag == "a"]


def test_bpf_is_a_chapter_with_what_failed_and_how() -> None:
    text, outline = page_about(of_sample("SKIP_BY_T0"))
    assert text.index('id="k0-bpf"') < text.index('id="k0-bpf-0"')
    assert "k0-verify" not in identifiers(outline)  # sites were not run
    assert "#k0-bpf" in links(outline)
    row = re.search(r"trampolines</th>(.*?)</tr>", text)
    assert row is not None
    assert re.findall(r">([\d,]+)</td>", row[1]) == ["9,880", "9,880", "3,348", "6,532"]
    assert "Of 512 combinations of flags the JIT accepts 64 and refuses 448." in outline.shown
    assert "bpf_fentry_test1" in outline.shown
    (mark,) = re.findall(r"<mark>(.*?)</mark>", text)
    left = re.fullmatch(r"!! the trampoline: (0xffffffff8000\w{4}), not 0xffffffff80104300; it is left to there", mark)
    assert left is not None
    assert f"As with CALL_ORIG|SKIP_FRAME, no argument: {left[1]} instead of 0xffffffff80104300" in outline.shown
    folds = [each for tag, each in outline.elements if tag == "details" and "listing" in str(each.get("class"))]
    assert folds
    assert not any("open" in each for each in folds)
    fold = text[text.index('<details class="unasked">') :]
    assert fold.startswith(
        '<details class="unasked"><summary>With flags that nothing in the kernel asks for: 406 times something else '
        "happens than they say, in 1 way</summary>"
    )


def test_a_finding_about_bpf_leads_to_its_failure_and_to_no_site() -> None:
    made = of_sample("NOT_EXTENDED")
    text, outline = page_about(made)
    wrong = text[text.index('id="k0-wrong"') : text.index('id="k0-unlooked"')]
    assert [made["findings"][0]["rule"], made["findings"][1]["rule"]] == ["GP354", "GP354"]
    assert re.findall(r'href="#([^"]*)"', wrong) == ["k0-bpf-0", "k0-bpf-1"]
    assert {"k0-bpf-0", "k0-bpf-1"} <= set(identifiers(outline))
    assert not re.search(r"\d sites?<|in the table", wrong)
    anchors = re.findall(r'<article class="finding (\w+)" id="k0-bpf-(\d)">', text)
    assert anchors == [("error", "0"), ("warning", "1")]
    assert data_of(text)["kernels"][0]["images"] == []  # no table of sites, and so no filter by such a rule


def test_failures_stand_with_the_worst_first_and_what_no_rule_judged_is_said() -> None:
    some = [failure("mild"), failure("bad"), failure("alone", alike=1234)]
    made = body(record(*some), told(some[0], "warning"), told(some[1]))
    text, outline = page_about(made)
    assert re.findall(r"</span> (mild|bad|alone)", text[text.index('id="k0-bpf"') :]) == ["bad", "mild", "alone"]
    assert "no rule asked" in outline.shown
    assert "and 1,234 more like it" in outline.shown


def test_a_promise_that_is_about_no_number_shows_none() -> None:
    one = failure("the dry run's size", promise="size", expected="0x0", got="0x86", note="the kernel warns")
    _, outline = page_about(body(record(one)))
    assert "As with CALL_ORIG, 2 arguments; the kernel warns." in outline.shown
    assert "0x86" not in outline.shown


def test_bpf_that_was_not_run_is_said_twice() -> None:
    text, outline = page_about(of_sample("REFUSES"))
    why = "the JIT makes no trampoline at all: it returns -22"
    assert f"Not run: {why}" in outline.shown
    names = {line.name: line.text for line in dossiers_of([of_sample("REFUSES")])[0].unlooked}
    assert names["BPF trampolines and programs"] == f"were not run: {why}"
    assert "nothing could be judged" in outline.shown
    assert "nothing wrong was found" not in outline.shown
    assert '<header class="verdict note">' in text


def test_bpf_that_nobody_wanted_is_said_and_has_no_chapter() -> None:
    _, outline = page_about(body(None))
    assert "k0-bpf" not in identifiers(outline)
    assert "#k0-bpf" not in links(outline)
    assert "trampolines and programs of the kernel's BPF JIT were not run (--no-bpf)" in outline.shown


def test_programs_that_were_not_run_are_said_and_notes_are_shown() -> None:
    notes = ("bpf: programs were not run: no allocator", "bpf: IP_ARG makes no difference to the JIT")
    made = body(record(notes=notes))
    _, outline = page_about(made)
    assert "IP_ARG makes no difference to the JIT" in outline.shown
    told_of = [line.text for line in dossiers_of([made])[0].unlooked if line.name == "BPF"]
    assert told_of == ["programs were not run: no allocator"]


def test_states_that_were_not_tried_are_said_of_several_runs_too() -> None:
    state = {"state": "direct", "what": "x", "sites": 0, "passed": 0, "failed": 0, "skipped": "no direct calls"}
    run = {**body(None), "states": [state], "listings": [], "sequences": {}, "stores": []}
    made = {**body(None), "runs": [run, {**run, "states": []}]}
    names = {line.name: line.text for line in dossiers_of([made])[0].unlooked}
    assert names["state direct"] == "no direct calls"


def test_many_failures_are_counted() -> None:
    some = [failure(f"thing {number}") for number in range(103)]
    others = [failure(f"other {number}", requested=False, cases=2) for number in range(101)]
    text, outline = page_about(body(record(*some, *others)))
    assert len(re.findall(r'id="k0-bpf-\d+"', text)) == 100
    assert "... and 3 more failures" in outline.shown
    assert "202 times something else happens than they say, in 101 ways" in outline.shown
    assert "... and 1 more failure" in outline.shown


def test_hostile_names_of_bpf_are_shown_as_text() -> None:
    bad = "".join(HOSTILE)
    one = failure(bad, example=bad, note=bad, listing=(*HOSTILE, f"!! {SCRIPT}"), promise=bad)
    made = body(
        record(one, failure(bad, requested=False, example=bad), function=bad, flags=HOSTILE, notes=HOSTILE), told(one)
    )
    refused = {**body(record(trouble=bad)), "input": {**made["input"], "build_id": "aa" * 20}}
    text, outline = page_about(made, refused)
    assert "<img" not in text.split("<style>")[0] + text.split("</style>")[1]
    assert not set("\u202e\u200b\x1b\x07\u2028") & set(text)
    assert f"!! {SCRIPT}" in outline.shown
    assert not any(EVENT.match(name) for _, attributes in outline.elements for name in attributes)
    assert [tag for tag, _ in outline.elements].count("script") == 2
    identifiers(outline)


def test_two_kernels_say_what_became_of_bpf() -> None:
    text, _ = page_about(of_sample(), of_sample("SKIP_BY_T0"))
    diff = text[text.index('id="diff"') : text.index('id="k0"')]
    shown = Outline(diff).shown
    assert "1 BPF failure new" in shown
    assert re.search(r"trampolines passed</th><td>9,880</td><td>3,348</td>", diff)
    assert re.search(
        r'<span class="badge error">new</span> <span class="rule">GP354</span> leaves: the trampoline', diff
    )
    assert "0 \u2192 6,532 trampolines" in shown
    assert "With flags that nothing in the kernel asks for: 1 failure" in shown
    back = Outline(page_about(of_sample("SKIP_BY_T0"), of_sample())[0]).shown
    assert "1 BPF failure gone" in back
    half = Outline(page_about(of_sample("REFUSES"), of_sample())[0]).shown
    assert "bpf: the old kernel's was not run: the JIT makes no trampoline at all" in half


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


def test_one_breach_of_several_programs_is_told_once() -> None:
    lands = "a tail call lands at program+{}, the sled has 8 bytes"
    how = {"promise": "program", "what": "R0 (a5)", "cases": 1}
    first = failure(**how, example="a tail call", note=lands.format("0x8"), listing=("one",))
    second = failure(**how, example="a far tail call", note=lands.format("0xc"), listing=("two",))
    third = failure(**how, example="a loop", note="the branch is not taken", listing=("three",))
    some = (first, second, third)
    text, outline = page_about(body(record(*some), *(told(each, rule="GP356") for each in some)))
    assert {each for each in identifiers(outline) if each.startswith("k0-bpf-")} == {"k0-bpf-h", "k0-bpf-0", "k0-bpf-1"}
    (one, other) = re.findall(r'<article class="finding error" id="k0-bpf-\d">(.*?)</article>', text, re.S)
    assert "2 programs" in one
    assert all(each in one for each in ("a tail call", "a far tail call", "program+0x8", "program+0xc", "one", "two"))
    assert "1 program<" in other
    assert links(outline).count("#k0-bpf-0") == 2  # from the findings of both


def test_what_nothing_comes_to_is_said_where_it_failed() -> None:
    one = failure(unused="no struct_ops of this kernel's own takes more than 5 arguments")
    assert one.unused in page_about(body(record(one), told(one)))[1].shown
    document = body(record(one), told(one))
    Draft202012Validator(VERIFY_JSON_SCHEMA).validate(document)
    document["bpf"]["failures"][0].pop("unused")  # as documents of before have it
    Draft202012Validator(VERIFY_JSON_SCHEMA).validate(document)
    assert page_about(document)
