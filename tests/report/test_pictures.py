# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from genpatch.report.blocks import bar, distributions, row
from genpatch.report.document import SpreadRecord
from genpatch.report.documents import Document
from genpatch.report.gallery import pictures_of
from genpatch.report.pictures import Bar, Mark, bars, columns, grid
from tests.report.bpf_documents import body, failure, record, told
from tests.report.builders import DOCUMENTS, HOSTILE, SCRIPT, clean, image, single
from tests.report.make_pictures import OF_TEXT, of_text

SVG = "{http://www.w3.org/2000/svg}"
SPREAD = SpreadRecord(
    base="0xffffffff80002000", bin=1 << 20, sites=(4, 0, 8), levels={"error": (0, 0, 2), "warning": (0, 0, 0)}
)


def rectangles(text: str, kind: str) -> list[tuple[float, float]]:
    """Return (width, height) of the rectangles of a kind."""
    found = ElementTree.fromstring(text).iter(f"{SVG}rect")
    return [
        (float(each.attrib["width"]), float(each.attrib["height"])) for each in found if each.attrib["class"] == kind
    ]


def test_bars_are_as_long_as_their_values() -> None:
    some = [
        Bar(label=name, value=str(n), parts=(("error", n / 4), ("clean", n * 3 / 4)))
        for name, n in (("a", 100), ("b", 50))
    ]
    text = bars("x", "X", "units", some).standalone()
    (whole, _), (half, _) = rectangles(text, "clean")
    assert whole == pytest.approx(2 * half, abs=0.2)
    assert rectangles(text, "error")[0][0] == pytest.approx(whole / 3, abs=0.2)


def test_the_strip_shows_sites_where_they_are() -> None:
    body: Document = single(image(spread=SPREAD)).as_json()
    strip = next(each for each in pictures_of(body) if each.name == "strip")
    heights = [height for width, height in rectangles(strip.standalone(), "clean") if width > 20]
    assert heights == [pytest.approx(75, abs=1), pytest.approx(112.5, abs=1)]  # 4 and 6 of 8 in 150
    assert [height for _, height in rectangles(strip.standalone(), "error")] == [pytest.approx(37.5, abs=1), 11]
    assert strip.about == "12 sites over 3.0 MiB: 2 error"


def test_distances_are_the_strip_seen_from_the_trampoline() -> None:
    body = single(image(spread=SPREAD)).as_json()
    reach = next(each for each in pictures_of(body) if each.name == "reach")
    heights = [height for width, height in rectangles(reach.standalone(), "clean")]
    assert heights == [pytest.approx(150), pytest.approx(75)]
    assert "within reach of jal: 3,896 sites" in reach.standalone()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pictures_are_well_formed_and_do_nothing(name: str) -> None:
    for picture in pictures_of(DOCUMENTS[name]().as_json()):
        root = ElementTree.fromstring(picture.standalone())
        tags = {each.tag.removeprefix(SVG) for each in root.iter()}
        assert tags <= {"svg", "title", "desc", "style", "text", "rect", "path"}
        assert root.find(f"{SVG}title") is not None
        assert not any(name.startswith("on") or "href" in name for each in root.iter() for name in each.attrib)


def test_bpf_is_drawn_where_it_was_run() -> None:
    one = failure(SCRIPT, cases=3)
    pictures = {each.name: each for each in pictures_of(body(record(one), told(one, "warning")))}
    assert list(pictures) == ["bpf", "bpf-failures"]
    assert pictures["bpf"].about == "trampolines 3 of 18 failed; programs 1 of 7 failed"
    (failed, _), (other, _) = rectangles(pictures["bpf"].standalone(), "error")
    (passed, _), _ = rectangles(pictures["bpf"].standalone(), "clean")
    assert failed / (failed + passed) == pytest.approx(3 / 18, abs=0.01)
    assert other < failed
    assert len(rectangles(pictures["bpf-failures"].standalone(), "warning")) == 1
    assert SCRIPT in "".join(ElementTree.fromstring(pictures["bpf-failures"].standalone()).itertext())
    assert pictures_of(body(record(trouble="no BPF JIT"))) == []
    assert pictures_of(body(None)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_labels_are_text(text: str) -> None:
    drawn = [
        bars("x", text, text, [Bar(label=text, value=text, parts=(("clean", 1),))]),
        columns(
            "x",
            text,
            text,
            [(0, 0, 0, 1)],
            first=0,
            last=1,
            ticks=[(0, text)],
            about=text,
            marks=[Mark(label=text, at=0)],
        ),
        grid("x", text, text, [text], [(text, [("clean", text)])]),
    ]
    for picture in drawn:
        shown = ElementTree.fromstring(picture.standalone())
        assert {each.tag.removeprefix(SVG) for each in shown.iter()} <= {
            "svg",
            "title",
            "desc",
            "style",
            "text",
            "rect",
            "path",
        }
    assert SCRIPT in "".join(ElementTree.fromstring(bars("x", SCRIPT, "", []).standalone()).itertext())


def test_nothing_to_draw() -> None:
    assert bars("x", "X", "u", []).standalone()
    assert columns("x", "X", "u", [], first=0, last=0, ticks=(), about="").standalone()
    assert [each.name for each in pictures_of(clean().as_json())] == ["alignment", "sleds"]


@pytest.mark.parametrize(
    ("values", "expected", "plain"),
    [
        ([0, 1, 4, 8], " ▁▄█", " .~@"),
        ([0, 0], "  ", "  "),
        ([1, 1_000_000], "▁█", ".@"),
        ([], "", ""),
        ([1, 1, 2, 2, 4, 4], "▂▄█", ",~@"),
    ],
)
def test_rows_of_blocks(values: list[float], expected: str, plain: str) -> None:
    width = 3 if len(values) == 6 else 10
    assert row(values, width) == expected
    assert row(values, width, ascii_only=True) == plain


@pytest.mark.parametrize(
    ("share", "expected", "plain"),
    [(1, "████", "####"), (0.5, "██", "##"), (0.53, "██▏", "##"), (0.0001, "▏", "#"), (0, "", ""), (7, "████", "####")],
)
def test_bars_of_blocks(share: float, expected: str, plain: str) -> None:
    assert (bar(share, 4), bar(share, 4, ascii_only=True)) == (expected, plain)


def test_distributions_fit_and_are_ascii_where_they_must_be() -> None:
    record = replace(image(), spread=SPREAD)
    for ascii_only in (False, True):
        lines = [line for _, some in distributions(record, 60, ascii_only=ascii_only) for line in some]
        assert lines[0].endswith("sites in 3.0 MiB of text")
        assert lines[1].endswith("error: 2")
        assert all(len(line) <= 60 for line in lines)
        assert not ascii_only or all(line.isascii() and "::" not in line for line in lines)
    assert list(distributions(replace(image(), sleds=(), alignment={}), 60)) == []


@pytest.mark.kernels
def test_readmes_pictures_are_what_the_kernels_give() -> None:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder or not all(Path(folder, version, "vmlinux").exists() for version in OF_TEXT):
        pytest.skip(f"GENPATCH_KERNELS does not hold vmlinux of {', '.join(OF_TEXT)}")
    made = of_text(Path(folder))
    assert {path.name: path.read_text(encoding="utf-8") for path in made} == {
        path.name: text for path, text in made.items()
    }
