# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import pytest

from genpatch.audit.cases import EXIT, INIT, SITES_AT, Fn, kernel
from genpatch.compare.own import OwnPatching, OwnRun
from genpatch.compare.run import Comparison, compare
from genpatch.report.charts import CHARTS, charts_of
from genpatch.report.comparing import RENDERERS, render_json, render_markdown, render_text, tables_of
from genpatch.schemes import CATALOG

HOSTILE = 'x"><script>alert(1)</script>]]>&\x1b[31m|`*::error::\u202e'
SVG = "{http://www.w3.org/2000/svg}"


@cache
def comparison(name: str = "plain") -> Comparison:
    functions = (Fn(name=name, at=SITES_AT + 8), Fn(name="b", at=INIT + 8), Fn(name=name + "c", at=EXIT + 8))
    facts = kernel(*functions, config={"CONFIG_PREEMPTION": "n"})
    return compare(replace(facts.image, path=name, release=name))


def text(of: Comparison) -> str:
    return "".join(render_text(of))


def test_rows_are_as_wide_as_heads() -> None:
    tables = tables_of(comparison())
    assert len(tables) >= 7
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_its_own_scheme_is_marked() -> None:
    marked = {line.split()[0] for line in text(comparison()).splitlines() if " * " in line}
    assert marked == {"call-ops", "call-ops-direct"}


def test_its_own_environment_is_marked() -> None:
    lines = text(comparison()).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("races:"))
    pair = next(line for line in lines[start:] if line.split()[:1] == ["pair-t0"])
    assert pair.endswith("safe <  wild")
    assert "no full preemption (CONFIG_PREEMPTION in toy)" in text(comparison())


def test_sizes_that_are_guessed_are_said_to_be() -> None:
    of = comparison()
    guessed = replace(of, layout=replace(of.layout, sized=False), own_trampoline=100)
    said = " ".join(text(guessed).split())
    assert "its size is an upper estimate, and what is added may be off either way" in said
    assert "ftrace_caller: at most 100 bytes" in said
    assert "upper estimate" not in text(replace(of, layout=replace(of.layout, sized=True)))


def test_what_sites_get_where_they_differ() -> None:
    kinds = {((2, 4),): 9, ((4, 2),): 5, ((8, 1),): 3, ((2, 2), (4, 1)): 1}
    stores = {(2, True): 38, (4, True): 11, (8, False): 3}
    done = OwnPatching(function="ftrace_make_call", sites=18, stores=stores, per_site=kinds, events={}, insns=1)
    own = OwnRun(sites=18, patching=[done], framing=("stop_machine", "modify all code", "end of stop_machine"))
    of = replace(comparison(), own=own)
    (table,) = [each for each in tables_of(of) if each.title.startswith("enabling")]
    assert table.rows[-1] == (
        "this kernel's own code", "4 x 2 or 2 x 4 or 1 x 8 or 1 more", "-",
        "38 x 2 + 11 x 4 + 3 x 8 misaligned", "stopped", "-",
    )  # fmt: skip
    for width in (80, 100, 120):
        lines = "".join(render_text(of, width=width)).splitlines()
        assert max(map(len, lines)) <= max(width, 100)
        assert sum(line.startswith("  this kernel's own code  4 x 2 or") for line in lines) == 1


def test_dispatchers_are_listed_with_their_neighbours() -> None:
    assert f"  {INIT + 0x12:#x}  3 sites  (behind the last function)" in text(comparison())


@pytest.mark.parametrize("name", RENDERERS)
def test_nothing_in_a_kernel_does_anything_to_a_terminal(name: str) -> None:
    rendered = "".join(RENDERERS[name](comparison(HOSTILE)))
    assert "\x1b" not in rendered
    assert "\u202e" not in rendered
    if name == "markdown":
        assert "<script>" not in rendered
    if name != "json":
        assert "::error::" not in rendered


def test_json_keeps_names_as_they_are() -> None:
    document = json.loads("".join(render_json(comparison(HOSTILE))))
    assert document["input"]["path"] == HOSTILE


def test_markdown_tables_are_tables() -> None:
    lines = "".join(render_markdown(comparison(HOSTILE))).splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("| ---")]
    assert len(heads) == len(tables_of(comparison(HOSTILE)))
    for at in heads:
        assert lines[at].count("|") == lines[at - 1].count("|") == lines[at + 1].count("|")


def test_a_chart_for_each_quantity() -> None:
    charts = charts_of(comparison())
    assert list(charts) == [f"{chart.name}.svg" for chart in CHARTS]
    ftrace = [scheme.name for scheme in CATALOG.values() if scheme.owner == "ftrace"]
    for name, content in charts.items():
        root = ElementTree.fromstring(content)
        labels = [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "l"]
        missing = {"nop-jalr", "dynamic-trampoline"} if name == "reach.svg" else set()  # no gp, no _end here
        assert labels == [scheme for scheme in ftrace if scheme not in missing]
        assert len(content.encode()) < 6_000


def test_bars_are_as_long_as_their_numbers() -> None:
    root = ElementTree.fromstring(charts_of(comparison())["disabled.svg"])
    widths = [int(each.get("width", "")) for each in root.iter(f"{SVG}rect")]
    values = [int(each.text or "") for each in root.iter(f"{SVG}text") if each.get("class") == "v"]
    assert values == [row.disabled.instructions for row in comparison().rows]
    assert widths == [380 * value // max(values) for value in values]


def test_charts_can_be_read_by_all() -> None:
    for content in charts_of(comparison()).values():
        root = ElementTree.fromstring(content)
        assert root.get("role") == "img"
        ids = (root.get("aria-labelledby") or "").split()
        named = [each for kind in ("title", "desc") for each in root.iter(SVG + kind) if each.text]
        assert [each.get("id") for each in named] == ids
        assert "prefers-color-scheme:dark" in content


def test_charts_hold_no_code() -> None:
    allowed = {SVG + name for name in ("svg", "title", "desc", "style", "text", "rect")}
    for content in charts_of(comparison(HOSTILE)).values():
        root = ElementTree.fromstring(content)
        assert {each.tag for each in root.iter()} == allowed
        assert not [name for each in root.iter() for name in each.attrib if name.startswith("on") or "href" in name]
        assert "alert(1)" in (root.findtext(f"{SVG}title") or "")  # as text
        assert content.isprintable() or set(content) - {"\n"} == {c for c in content if c.isprintable()}
