# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats that people and tools read line by line: concise, jsonl, github."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from time import perf_counter

import numpy as np

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format
from genpatch.report.formats.github import render_markdown

from .builders import baselined, clean, faulty, finding, hostile, image, modules, several, single, site_rows


def lines(name: str, document: AuditDocument, **options: object) -> list[str]:
    output = "".join(get_format(name).render(document, RenderOptions(**options)))  # type: ignore[arg-type]
    assert output == "" or output.endswith("\n")
    return output.split("\n")[:-1]


def test_concise() -> None:
    found = lines("concise", faulty())
    assert len(found) == 5
    assert found[0] == (
        "vmlinux:0xffffffff80002002: error: GP104 function-alignment: "
        "18,861 functions stand on 2 bytes, 4 are needed for one store a word (set_reset_devices)"
    )
    assert found[4] == (
        "vmlinux: note: GP107 call-pair-layout: 52 call pairs straddle a 4 KiB page and 3,707 a 64-byte cache line"
    )


def test_concise_leaves_out_what_is_known() -> None:
    assert [line.split(": ")[2] for line in lines("concise", baselined())] == ["GP104 function-alignment"]


def test_concise_has_one_line_a_finding_whatever_its_name() -> None:
    assert len(lines("concise", hostile())) == 12


def test_jsonl_of_one_image() -> None:
    found = lines("jsonl", single(image(site_rows=site_rows(3))))
    assert found[1] == (
        '{"image": "vmlinux", "entry": "0xffffffff80002018", "func": "0xffffffff80002020", '
        '"ip": "0xffffffff80002024", "symbol": "f1", "section": ".text", "before": 8, "after": 8, '
        '"nop": "nop", "alignment": 32, "rules": ["GP104", "GP205"]}'
    )
    assert [json.loads(line)["rules"] for line in found] == [["GP104"], ["GP104", "GP205"], []]
    assert [json.loads(line)["nop"] for line in found] == ["c.nop", "nop", "c.nop"]


def test_jsonl_of_several_images_skips_those_without_rows() -> None:
    document = several(image("a", site_rows=site_rows(2)), image("b"), image("c", site_rows=site_rows(2)))
    assert [json.loads(line)["image"] for line in lines("jsonl", document)] == ["a", "a", "c", "c"]


def test_jsonl_names_a_rule_once_a_site() -> None:
    rows = replace(site_rows(1), hits=(("GP104", np.array([0, 0], np.int64)), ("GP104", np.array([0], np.int64))))
    assert json.loads(lines("jsonl", single(image(site_rows=rows)))[0])["rules"] == ["GP104"]


def test_jsonl_takes_any_name() -> None:
    rows = replace(site_rows(2), symbols=('quo"te\n\x1b', "lone\udce9"), sections=("\u2028", "函"))
    found = [json.loads(line) for line in lines("jsonl", single(image("p\nq", site_rows=rows)))]
    assert [(each["image"], each["symbol"], each["section"]) for each in found] == [
        ("p\nq", 'quo"te\n\x1b', "\u2028"),
        ("p\nq", "lone\udce9", "函"),
    ]


def test_jsonl_of_a_whole_kernel_is_fast_and_comes_in_chunks() -> None:
    document = single(image(site_rows=site_rows(43709)))
    start = perf_counter()
    chunks = list(get_format("jsonl").render(document, RenderOptions()))
    # It takes 0.07 s; the limit is what the command promises, with room for a busy machine.
    assert perf_counter() - start < 2.5
    assert sum(chunk.count("\n") for chunk in chunks) == 43709
    assert 5 < len(chunks) < 50


ANNOTATION = re.compile(r"::(error|warning|notice) (?:file=([^:,]*),line=1,)?title=([^:,]*)::([^\r\n]*)")


def parsed(document: AuditDocument, **options: object) -> list[tuple[str, ...]]:
    matches = [ANNOTATION.fullmatch(line) for line in lines("github", document, **options)]
    return [match.groups("") for match in matches if match is not None]


def test_github() -> None:
    found = lines("github", faulty())
    assert found[0] == (
        "::error file=vmlinux,line=1,title=genpatch (GP104 function-alignment)::"
        "18,861 functions stand on 2 bytes, 4 are needed for one store a word%0A"
        "  0xffffffff80002002 set_reset_devices"
    )
    assert [line.split(" ")[0] for line in found] == ["::error", "::error", "::warning", "::notice"]
    assert found[3] == "::notice title=genpatch::1 note not annotated; the report has them all"


def test_github_annotates_notes_when_strict() -> None:
    assert [each[0] for each in parsed(faulty(), strict=True)] == ["error", "error", "warning", "notice"]
    assert "GP107" in parsed(faulty(), strict=True)[3][2]


def test_github_escapes_data_and_properties() -> None:
    odd = finding(image="a,b:c%d\n", message="100% of\r\n::error::x")
    assert lines("github", single(image("a,b:c%d\n", findings=(odd,))))[0] == (
        "::error file=a%2Cb%3Ac%25d\\x0a,line=1,title=genpatch (GP205 frozen-hi20)::"
        "100%25 of\\x0d\\x0a:\\x3aerror:\\x3ax%0A  0xffffffff8004bc60 vfs_read"
    )


def test_github_keeps_to_ten_a_level_and_counts_the_rest() -> None:
    findings = [
        finding(f"GP{100 * (1 + (level == 'warning')) + n}", "name", level)
        for level in ("warning", "error")
        for n in range(13)
        for _ in range(2)
    ]
    found = parsed(single(image(findings=tuple(findings))))
    assert [each[0] for each in found] == ["error"] * 10 + ["warning"] * 10 + ["notice"]
    assert found[-1][3] == "6 errors, 6 warnings not annotated; the report has them all"


def test_github_says_nothing_of_what_is_known() -> None:
    assert [each[2] for each in parsed(baselined())] == ["genpatch (GP104 function-alignment)"]


def test_github_summary_is_the_markdown() -> None:
    markdown = "".join(get_format("markdown").render(modules(), RenderOptions()))
    assert render_markdown(modules(), RenderOptions()) == markdown


def test_github_summary_has_a_size() -> None:
    findings = tuple(finding(message=f"{n} " + "函" * 400) for n in range(2000))
    summary = render_markdown(single(image(findings=findings)), RenderOptions(max_findings=2000))
    assert len(summary.encode()) < 1 << 20
    assert summary.endswith("|\n\n... cut off: GitHub takes no more than 1 MiB\n")


def test_github_of_a_clean_image_is_silent() -> None:
    assert lines("github", clean()) == []
