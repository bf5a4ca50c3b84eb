# SPDX-License-Identifier: GPL-2.0-or-later
"""The document of what was explored, written out: tables, paths, notes, in each format and at each width."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch.audit.facts import Facts
from genpatch.audit.raced import Races, raced
from genpatch.audit.registry import all_rules
from genpatch.audit.runner import run_rule, run_rules
from genpatch.errors import UsageError
from genpatch.race.environment import ENVIRONMENTS, Environment
from genpatch.race.rows import RaceRow, WitnessLine, nothing_explored, undecided
from genpatch.report.build import build_document, image_record, summarise
from genpatch.report.formats import RenderOptions, format_names
from genpatch.report.races import CATALOG_FORMATS, render_of
from genpatch.report.races.cells import cell, paths, skipped, tables, verdict, worst
from genpatch.report.racing import (
    RaceDocument,
    _no_image,
    catalog_document,
    kernel_document,
    kernel_environments,
    left_out,
    ranked_kinds,
    trouble_of,
)
from genpatch.report.schema import RACE_JSON_SCHEMA
from genpatch.schemes import CATALOG

from .builders import HOSTILE
from .test_json import closed
from .test_ktap import Checker

RULES = tuple(rule for rule in all_rules().values() if rule.applies == "race")
SMP, UP = ENVIRONMENTS["smp"], ENVIRONMENTS["up"]


def path(kind: str, *more: WitnessLine) -> tuple[WitnessLine, ...]:
    lines = (WitnessLine("victim", "calls func on hart 1"), *more, WitnessLine("patcher", "store 4 at func"))
    return (*lines, WitnessLine("", f"{kind}: something breaks"))


def row(subject: str = "one", transition: str = "enable", environment: str = "smp", **more: Any) -> RaceRow:
    values: dict[str, Any] = {"verdict": "safe", "states": 1234, "steps": 4000, "seconds": 0.25} | more
    if kinds := values.get("kinds"):
        values = {"verdict": "unsafe", "witnesses": {kind: path(kind) for kind in kinds}} | values | {
            "verdict": "unsafe"
        }  # fmt: skip
    return RaceRow(subject=subject, transition=transition, environment=environment, **values)


def of_schemes(*rows: RaceRow, **more: Any) -> RaceDocument:
    values: dict[str, Any] = {"seconds": 2.0, "environments": (UP, SMP), "trouble": trouble_of(rows)} | more
    title = "fakes"
    return RaceDocument(
        title=title, images=(), total=_no_image(title), summary=summarise(()), rows=tuple(rows), **values
    )


UNKNOWN = row(verdict="unfinished", complete=False, states=50, why="50 states were visited and there are more")
SKIPPED = row(transition="retire", verdict="skipped", states=0, why="one has no retire")
MIXED = of_schemes(
    row(environment="up"), row(transition="change", environment="up", kinds=("stale", "wild")),
    replace(SKIPPED, environment="up"), UNKNOWN, row(transition="change", kinds=("wild",)), SKIPPED,
)  # fmt: skip


def of_kernel(facts: Facts) -> RaceDocument:
    assert facts.races is not None
    record = image_record(facts, run_rules(RULES, facts))
    document = build_document([record], title="toy", seconds=1.0)
    own = Environment(name="own")
    return RaceDocument(
        title="toy", images=document.images, total=document.total, summary=document.summary, seconds=1.0,
        rows=facts.races.rows, environments=(own,), evidence=("seen so",), notes=("not seen",),
        function_choice="one, for a reason", trouble=trouble_of(facts.races.rows),
    )  # fmt: skip


TORN = (
    "patch_insn_write",
    "ld a4, 0(a1)\n    sd a4, 0(a3)",
    "lw a4, 0(a1)\n    sw a4, 0(a3)\n    lw a4, 4(a1)\n    sw a4, 4(a3)",
)
KERNEL = of_kernel(raced(edit=TORN))
DOCUMENTS = {"mixed": MIXED, "empty": of_schemes(), "kernel": KERNEL}


def rendered(document: RaceDocument, name: str = "text", **options: Any) -> str:
    return "".join(render_of(name)(document, RenderOptions(**options)))


# --- cells


@pytest.mark.parametrize(
    ("each", "texts"),
    [
        (row(), ("safe 1,234",) * 4),
        (None, ("-",) * 4),
        (SKIPPED, ("-",) * 4),
        (UNKNOWN, ("unfinished >50",) * 4),
        (row(kinds=("wild",)), ("UNSAFE", "UNSAFE wild", "UNSAFE wild", "UNSAFE wild 1,234")),
        (
            row(kinds=("stale", "wild"), complete=False),
            ("UNSAFE", "UNSAFE wild+", "UNSAFE wild,stale", "UNSAFE wild,stale >1,234"),
        ),
    ],
)
def test_a_cell(each: RaceRow | None, texts: tuple[str, ...]) -> None:
    assert tuple(cell(each, detail) for detail in range(4)) == texts


def test_the_worst_of_some_rows() -> None:
    assert worst([]) == worst([SKIPPED]) == ("skipped", "-")
    assert worst([row(), SKIPPED]) == ("safe", "safe")
    assert worst([row(), UNKNOWN]) == ("unfinished", "unfinished")
    assert worst([row(), UNKNOWN, row(kinds=("lost",))]) == ("unsafe", "UNSAFE lost")
    assert worst([row(kinds=("stale",)), row(kinds=("ops",))]) == ("unsafe", "UNSAFE ops+")


def test_kinds_are_ranked() -> None:
    assert ranked_kinds(["stale", "wild", "ops", "wild"]) == ["wild", "ops", "stale"]
    assert ranked_kinds(["of tomorrow", "lost"]) == ["lost", "of tomorrow"]


def test_tables() -> None:
    (table,) = tables(MIXED)
    assert (table.corner, table.down, table.across) == ("environment", ("up", "smp"), ("enable", "change", "retire"))
    assert [[each.verdict if each else "" for each in line] for line in table.cells] == [
        ["safe", "unsafe", "skipped"],
        ["unfinished", "unsafe", "skipped"],
    ]
    (turned,) = tables(replace(MIXED, images=KERNEL.images))
    assert (turned.corner, turned.down, turned.across) == ("transition", table.across, table.down)


def test_why_cells_are_empty() -> None:
    assert skipped(MIXED.rows) == [
        "one has no retire",
        "enable in smp: 50 states were visited and there are more",
    ]
    many = [replace(UNKNOWN, environment=f"env{number}") for number in range(9)]
    assert skipped(many)[0].startswith("enable in env0, enable in env1, enable in env2, enable in env3 and 5 more: 50")


def test_paths_are_shown_once() -> None:
    both = of_schemes(row(environment="up", kinds=("wild",)), row(kinds=("wild", "ops")))
    assert [each.title for each in paths(both)] == ["one enable: wild in up, smp", "one enable: ops in smp"]
    other = replace(both.rows[1], witnesses={"wild": path("wild", WitnessLine("harts", "(later)"))}, kinds=("wild",))
    assert len(paths(of_schemes(both.rows[0], other))) == 2


def test_counts() -> None:
    assert MIXED.counts == {"safe": 1, "unsafe": 2, "unfinished": 1, "skipped": 2}
    assert verdict(MIXED) == "1 safe, 2 unsafe, 1 unfinished, 2 skipped; 3,752 states"
    assert MIXED.subjects == ("one",)


def test_undecided() -> None:
    assert undecided([row(), UNKNOWN]) == "1 row of 2 not decided: more than 50 states (first: one enable in smp)"
    several = [row(kinds=("lost",)), *(replace(UNKNOWN, states=4000, environment=name) for name in ("up", "smp"))]
    assert undecided(several) == "2 rows of 3 not decided: more than 4,000 states (first: one enable in up)"
    assert undecided([row(), SKIPPED]) == ""


def test_nothing_explored() -> None:
    line = "nothing was explored: all rows were skipped: one has no retire"
    assert nothing_explored([SKIPPED, SKIPPED]) == line
    assert trouble_of([SKIPPED]) == (line,)
    assert nothing_explored([SKIPPED, replace(SKIPPED, why="x")]) == f"{line}; x"
    assert nothing_explored([SKIPPED, row()]) == nothing_explored([]) == ""


# --- text


def test_a_table_of_one_scheme() -> None:
    assert rendered(MIXED).splitlines() == [
        "one",
        "  environment  enable          change                   retire",
        "  up           safe 1,234      UNSAFE wild,stale 1,234  -",
        "  smp          unfinished >50  UNSAFE wild 1,234        -",
        "  - one has no retire",
        "  - enable in smp: 50 states were visited and there are more",
        "",
        "1 safe, 2 unsafe, 1 unfinished, 2 skipped; 3,752 states in 2.0 s, 1,876 a second",
    ]


@pytest.mark.parametrize("width", [40, 80, 100, 120, 300])
def test_no_table_is_wider_than_the_terminal(width: int) -> None:
    schemes, names = (
        [f"scheme-{number}-of-long-name" for number in range(12)],
        ("enable", "change", "disable", "retire"),
    )
    places = [(scheme, name, env) for scheme in schemes for env in ("up", "smp") for name in names]
    wide = of_schemes(*(row(*place, kinds=("ops", "registers", "stale")) for place in places))
    for verbose in (False, True):
        lines = rendered(wide, width=width, verbose=verbose).splitlines()
        assert max(map(len, lines)) <= max(min(width, 120), 80)
        assert any("UNSAFE" in line for line in lines)
    narrow = rendered(wide, width=80, verbose=True)
    assert "  a wider terminal or another format shows each kind of failure\n" in narrow
    wider = rendered(wide, width=120, verbose=True)
    assert "UNSAFE registers+" in wider
    assert "+ more than one kind of failure" in wider


def test_a_table_that_is_too_wide_is_a_list() -> None:
    names = [f"a transition of the kernel's with a long name, number {number}" for number in range(3)]
    lines = rendered(of_schemes(*(row(transition=name) for name in names))).splitlines()
    assert lines[1] == "  smp"
    assert lines[2] == f"    {names[0]}  safe 1,234"


def test_many_schemes() -> None:
    assert "UNSAFE ops" in rendered(of_schemes(*(row(f"scheme-{number}", kinds=("ops",)) for number in range(9))))
    many = of_schemes(*(row(f"scheme-{number}", kinds=("ops",) if number == 3 else ()) for number in range(9)))
    text = rendered(many)
    assert "Cells: enable; + more than one kind of failure; --verbose shows each." in " ".join(text.split("\n"))
    cells = [line.replace("UNSAFE ops", "ops").split()[1:] for line in text.splitlines() if line.startswith("  smp")]
    assert len(cells) == 2
    assert [*cells[0], *cells[1]] == ["ops" if number == 3 else "safe" for number in range(9)]
    assert len([line for line in rendered(many, width=120).splitlines() if line.startswith("  smp")]) == 1
    skipping = of_schemes(*(replace(SKIPPED, subject=f"scheme-{number}") for number in range(5)))
    assert "scheme-4: one has no retire" in rendered(skipping)


def test_witnesses() -> None:
    assert "=> " not in rendered(MIXED)
    text = rendered(MIXED, witness=True)
    assert "one change: wild in up, smp\n  patcher                            | victim\n" in text
    assert "  => stale: something breaks\n" in text


def test_colour() -> None:
    coloured = rendered(MIXED, color=True)
    for code, what in (("1;31", "UNSAFE wild,stale 1,234"), ("1;33", "unfinished >50"), ("32", "safe 1,234")):
        assert f"\x1b[{code}m{what}" in coloured
    assert "\x1b" not in rendered(MIXED)


def test_a_kernel() -> None:
    text = rendered(KERNEL, witness=True)
    assert text.index("enable ") < text.index("error GP413 foreign-ops") < text.index("=> ops: ")
    says = "what the kernel's configuration, symbols and ftrace events say"
    assert f" own {says}: seen so " in " ".join(text.split())
    assert "  note      not seen\n" in text
    assert "  function  one, for a reason\n" in text
    assert text.count("3 errors, ") == 1
    assert text.splitlines()[-1].startswith("3 errors, ")
    elsewhere = replace(KERNEL, rows=tuple(replace(each, environment="smp") for each in KERNEL.rows))
    assert "seen so" not in rendered(elsewhere)
    assert "seen so" not in rendered(elsewhere, "markdown")
    assert f"### Environment own: {says}\n\n- seen so\n" in rendered(KERNEL, "markdown")
    quiet = rendered(KERNEL, summary=False)
    assert quiet.lstrip().startswith("error GP413")


# --- other formats


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json(document: RaceDocument) -> None:
    loaded = json.loads(rendered(document, "json"))
    Draft202012Validator(closed(RACE_JSON_SCHEMA)).validate(loaded)
    assert len(loaded["cases"]) == len(document.rows)
    assert ("findings" in loaded) == bool(document.images)


def test_a_row_in_json() -> None:
    loaded = json.loads(rendered(MIXED, "json"))["cases"][1]
    assert loaded | {"witnesses": 0, "witness": 0, "environment": 0} == {
        "scheme": "one", "subject": "one", "transition": "change", "environment": 0, "verdict": "unsafe",
        "kinds": ["stale", "wild"], "states": 1234, "steps": 4000, "complete": True, "seconds": 0.25, "witnesses": 0,
        "witness": 0, "reason": loaded["witnesses"]["stale"][-1]["text"],
    }  # fmt: skip
    assert loaded["witness"] == loaded["witnesses"]["stale"]
    assert loaded["environment"] == {
        "name": "up", "harts": "single", "preempt": "none", "stop_machine": False, "fetch": "ziccif", "alignment": 8,
        "remote_fence": "ok", "wait": True, "fused_pair": "none", "patcher": "elsewhere", "patchers": 1, "lock": True,
        "migration": True,
    }  # fmt: skip
    assert json.loads(rendered(MIXED, "json"))["environments"][0] == {**loaded["environment"], "what": UP.what}
    assert json.loads(rendered(MIXED, "json"))["cases"][2]["reason"] == "one has no retire"
    assert loaded["witnesses"]["wild"] == [
        {"who": "victim", "text": "calls func on hart 1"},
        {"who": "patcher", "text": "store 4 at func"},
        {"who": "", "text": "wild: something breaks"},
    ]


def test_markdown() -> None:
    two = of_schemes(*MIXED.rows, *(replace(each, subject="two") for each in MIXED.rows[:1]))
    text = rendered(two, "markdown", witness=True)
    assert text == rendered(replace(two, seconds=77.0), "markdown", witness=True)
    assert (
        "|  | up | smp |\n| --- | --- | --- |\n| `one` | **UNSAFE wild+** | **UNSAFE wild** |\n| `two` | safe | - |\n"
        in text
    )
    assert "| up | safe 1,234 | **UNSAFE wild,stale 1,234** | - |\n" in text
    assert "- one has no retire\n" in text
    assert "```text\npatcher                            | victim\n" in text
    assert "preemption=none" in text
    assert "```" not in rendered(two, "markdown")


def test_markdown_of_a_kernel() -> None:
    text = rendered(KERNEL, "markdown")
    assert text.startswith("## genpatch race: toy\n")
    assert "- function one, for a reason\n" in text
    assert "| transition | own |\n" in text
    assert "`GP413` foreign-ops" in text


def checked(document: RaceDocument) -> list[tuple[str, str, str]]:
    checker = Checker(rendered(document, "ktap"))
    tests = checker.read(0)
    assert checker.at == len(checker.lines)
    return tests


def test_ktap() -> None:
    assert checked(MIXED) == [
        ("ok", "enable in up", " # 1,234 states"),
        ("not ok", "change in up", " # wild stale, 1,234 states"),
        ("ok", "retire in up", " # SKIP one has no retire"),
        ("not ok", "enable in smp", " # TIMEOUT 50 states were visited and there are more"),
        ("not ok", "change in smp", " # wild, 1,234 states"),
        ("ok", "retire in smp", " # SKIP one has no retire"),
        ("not ok", "one", ""),
    ]
    assert "  # => wild: something breaks\n  not ok 5 change in smp" in rendered(MIXED, "ktap")


LINUX = os.environ.get("GENPATCH_LINUX", "")


@pytest.mark.skipif(not LINUX, reason="GENPATCH_LINUX does not name a kernel tree with tools/testing/kunit")
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (MIXED, "Ran 6 tests: passed: 1, failed: 3, skipped: 2"),
        (of_schemes(row(), row("two")), "Ran 2 tests: passed: 2"),
        (of_schemes(*(row(name, name or "x", name) for name in HOSTILE if name.isprintable())), "Ran "),
    ],
    ids=["mixed", "safe", "hostile"],
)
def test_the_parser_of_the_kernel(document: RaceDocument, expected: str, tmp_path: Path) -> None:
    report = tmp_path / "report.ktap"
    report.write_text(rendered(document, "ktap"), encoding="utf-8")
    parser = Path(LINUX) / "tools/testing/kunit/kunit.py"
    command = [sys.executable, str(parser), "parse", str(report)]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False).stdout
    assert output.rstrip().splitlines()[-1].partition("Testing complete. ")[2].startswith(expected)
    assert "[ERROR]" not in output


@pytest.mark.parametrize("name", CATALOG_FORMATS)
def test_an_empty_document(name: str) -> None:
    assert rendered(of_schemes(), name)


@pytest.mark.parametrize("name", format_names())
def test_a_kernel_in_every_format(name: str) -> None:
    text = rendered(KERNEL, name)
    assert name == "jsonl" or "ops" in text


@pytest.mark.parametrize("bad", HOSTILE)
@pytest.mark.parametrize("name", CATALOG_FORMATS)
def test_hostile_names(name: str, bad: str) -> None:
    lines = (WitnessLine("victim", bad), WitnessLine("patcher", bad), WitnessLine("", f"wild: {bad}"))
    rows = [
        row(bad, bad, bad, kinds=("wild",)),
        row(bad, bad, "up", verdict="skipped", why=bad),
        row(bad, "x", bad, verdict="unfinished", complete=False, why=bad),
    ]
    rows[0] = replace(rows[0], witnesses={"wild": lines})
    document = of_schemes(*rows, environments=(replace(SMP, name=bad, what=bad),), evidence=(bad,), notes=(bad,))
    for verbose in (False, True):
        text = rendered(document, name, witness=True, verbose=verbose)
        assert not any(char in text for char in "\x1b\r\x00\x07\x9b\x7f\u2028\u202e")
        assert not any(line.lstrip().startswith("::") for line in text.splitlines())
        if name == "markdown":
            assert "<script" not in text.split("```text")[0].replace("&lt;script", "")
            assert text.count("```") % 2 == 0
    if name == "ktap" and bad.strip():
        checked(document)


# --- made


def test_a_document_of_schemes() -> None:
    told: list[tuple[int, int, str]] = []
    made = catalog_document(
        [CATALOG["pair-t0"]], [UP, SMP], ["enable"], progress=lambda done, total, name: told.append((done, total, name))
    )
    assert [(each.environment, each.verdict) for each in made.rows] == [("up", "safe"), ("smp", "unsafe")]
    assert (made.title, made.trouble, made.images) == ("pair-t0", (), ())
    assert told == [(1, 2, "pair-t0"), (2, 2, "pair-t0")]


def test_a_document_of_a_kernel() -> None:
    told: list[str] = []
    image = raced(edit=TORN).image
    made = kernel_document(image, RULES, environments=("own", "up"), transitions=("enable",), progress=told.append)
    assert [(each.transition, each.environment) for each in made.rows] == [("enable", "own"), ("enable", "up")]
    assert {each.rule for each in made.total.findings} == {"GP413"}
    assert "enable in up" in told
    assert {each.rule: each.status for each in made.total.rules}["GP417"] == "skipped"
    with pytest.raises(UsageError, match=r"^--transition 'x': of this kernel there are enable, "):
        kernel_document(image, RULES, transitions=("x",))


def test_environments_of_a_kernel() -> None:
    own = Environment(name="kernel", harts=1, alignment=2, stop_machine=True)
    assert kernel_environments((), own) == (replace(own, name="own"),)
    named, changed = kernel_environments(("smp-preempt", "own,preemption=full,harts=2"), own)
    assert named == replace(
        own, name="smp-preempt", what=named.what, harts=2, preemption=ENVIRONMENTS["strong"].preemption
    )
    assert changed == replace(named, name="own,preemption=full,harts=2", what="")
    every = kernel_environments(("all",), own)
    assert every[0] == replace(own, name="own")
    assert all(each.stop_machine and each.alignment == 2 for each in every)
    for text in ("stop", "own,alignment=4", "two-patchers", "smp,tasks_wait=no"):
        with pytest.raises(UsageError, match="what a kernel does is in its own events"):
            kernel_environments((text,), own)


def test_environments_that_all_leaves_out() -> None:
    (note,) = left_out(("smp", "all"))
    assert note.startswith("--env all leaves out stop, stop-voluntary, stop-preempt, align4, align2, no-fence, ")
    assert left_out(("own", "smp")) == left_out(()) == ()
    own = Environment(name="own")
    assert not {each.name for each in kernel_environments(("all",), own)} & set(note.replace(":", ",").split(", "))


# --- findings


def test_what_was_not_seen_whole_is_no_pass() -> None:
    facts = raced(max_states=50)
    assert facts.races is not None
    assert {each.verdict for each in facts.races.rows} == {"unfinished"}
    for result in run_rules(RULES, facts):
        assert result.status == ("skipped" if result.rule.code == "GP417" else "error")
        assert result.reason
        assert not result.findings


def test_what_was_not_seen_whole_is_in_every_format() -> None:
    document = of_kernel(raced(max_states=50))
    (line,) = document.trouble
    assert "not decided: more than 50 states (first: one enable in own)" in line
    text = rendered(document)
    assert "not decided\n  GP411 wild-execution, GP412 " in text
    assert "1 rule not run, 6 not decided\n" in text
    assert "failed" not in text
    assert "### Rules not decided\n" in rendered(document, "markdown")
    (run,) = json.loads(rendered(document, "sarif"))["runs"]
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    told = [each["message"]["text"] for each in invocation["toolExecutionNotifications"] if each["level"] == "error"]
    assert told == [*(f"{each.rule} {each.name} was not decided: {line}" for each in document.total.rules[:6]), line]
    assert run["automationDetails"]["id"] == "genpatch-race/toy/"
    junit = rendered(document, "junit")
    assert 'errors="6"' in junit
    assert junit.count('classname="genpatch.race"') == 7
    assert rendered(document, "concise") == f"toy: error: {line}\n"
    assert rendered(document, "github").startswith(f"::error title=genpatch::{line}\n")


def test_no_rule_passes_what_was_not_explored() -> None:
    races = Races(function="one", func=0x1000, rows=(SKIPPED,))
    for result in run_rules(RULES, Facts(image=raced().image, races=races)):
        assert result.status == "skipped"


def test_environments_that_fail_alike_are_one_finding() -> None:
    image = raced().image
    rows = tuple(row(environment=name, kinds=("wild",)) for name in ("own", "up", "smp", "strong"))
    facts = Facts(image=image, races=Races(function="one", func=0x1000, rows=rows))
    (finding,) = run_rule(all_rules()["GP411"], facts).findings
    assert finding.message == (
        "one: enable in environment own, up, smp and 1 more: something breaks; "
        "the shortest way there has 2 steps, found among 1,234 states"
    )  # fmt: skip
    assert (finding.address, finding.symbol) == (0x1000, "one")


def test_a_finding_about_code_that_is_not_in_the_image() -> None:
    rows = (row("program", "bpf text poke: attach", "own", kinds=("wild",), complete=False),)
    facts = Facts(image=raced().image, races=Races(function="one", func=0x1000, rows=rows))
    (finding,) = run_rule(all_rules()["GP411"], facts).findings
    assert (finding.address, finding.symbol, finding.kind) == (None, "", "bpf-text-poke--attach")
    assert finding.message.endswith("1,234 states, and there are more")
