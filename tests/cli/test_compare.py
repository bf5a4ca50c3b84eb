# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch compare`` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from genpatch.report.charts import CHARTS
from genpatch.schemes import CATALOG
from tests.cli.conftest import Run
from tests.toykernel import TEXT, vmlinux

SAMPLE = "sample:verify-call-ops"
FEW = ("--scheme", "call-ops", "--scheme", "jal-dispatch")


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


def test_a_table_of_every_quantity(run: Run) -> None:
    ran = run("compare", SAMPLE)
    assert (ran.status, ran.err) == (0, "")
    for text in (
        "text bytes added",
        "instructions from func",
        "stores x bytes",
        "reach of 18 sites",
        "races: ",
        "note: ",
    ):
        assert text in ran.out
    assert all(name in ran.out for name in CATALOG)
    assert max(map(len, ran.out.splitlines())) <= 100
    assert "'genpatch race --list'" in ran.out


@pytest.mark.parametrize(("columns", "least", "most"), [(40, 81, 100), (80, 81, 100), (110, 101, 110), (300, 101, 120)])
def test_text_fits_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: int, least: int, most: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    lines = run("compare", SAMPLE, "-q").out.splitlines()
    assert least <= max(map(len, lines)) <= most


def test_json_fits_its_schema(run: Run) -> None:
    document = json.loads(run("compare", SAMPLE, "--format", "json").out)
    schema = json.loads(run("schema", "compare").out)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(closed(schema)).validate(document)
    assert document["schema"] == "genpatch/compare/1"
    assert document["scheme"] == "call-ops"
    assert [each["scheme"] for each in document["schemes"] if each["own"]] == ["call-ops", "call-ops-direct"]
    own = next(each for each in document["schemes"] if each["scheme"] == "call-ops")
    assert own["reach"]["reached"] == document["sites"] == 18


def test_only_some_schemes(run: Run) -> None:
    document = json.loads(run("compare", SAMPLE, "--format", "json", *FEW).out)
    assert [each["scheme"] for each in document["schemes"]] == ["jal-dispatch", "call-ops"]
    assert document["others"] == []


def test_its_own_code_is_shown_whatever_is_chosen(run: Run) -> None:
    line = next(
        line
        for line in run("compare", SAMPLE, "--scheme", "pair-t0").out.splitlines()
        if "own code" in line and "literal" in line
    )
    *_, disabled, traced, direct, ten, thousand, finds = line.split()
    assert (disabled, direct, finds) == ("2", "-", "literal")
    assert traced == ten == thousand


def test_what_its_own_patching_does_stands_below_the_schemes(run: Run) -> None:
    lines = run("compare", SAMPLE, "--scheme", "call-ops").out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("enabling and disabling 18 sites"))
    assert "as the scheme's record has it, on its own alignment, batched" in " ".join(
        line.strip() for line in lines[start : start + 2]
    )
    at = next(number for number in range(start, len(lines)) if lines[number].startswith("  call-ops *"))
    assert lines[at].split("  ")[-1].strip() == "36"
    cells = [cell.strip() for cell in lines[at + 1].split("  ") if cell.strip()]
    assert cells == ["this kernel's own code", "1 x 4 + 1 x 8", "1 x 4 + 1 x 8", "18 x 4 + 18 x 8", "18 + 1", "-"]


def test_its_own_code_that_cannot_be_run_is_a_warning(run: Run, tmp_path: Path) -> None:
    data = (Path(__file__).parents[2] / "vmlinux-samples" / "verify-call-ops.elf").read_bytes()
    path = tmp_path / "renamed"
    path.write_bytes(data.replace(b"ftrace_make_", b"ftrace_take_"))
    ran = run("compare", path, *FEW)
    warning = "warning: this kernel's own code was not run, or not in full: no ftrace_make_call, no ftrace_make_nop"
    assert (ran.status, ran.err) == (0, f"genpatch: {warning}\n")
    assert warning in ran.out.splitlines()[1:4]
    assert ran.out.count("no ftrace_make_call") == 1
    assert warning in run("compare", path, *FEW, "-q", "--format", "markdown").out
    assert any(
        "no ftrace_make_call" in note
        for note in json.loads(run("compare", path, *FEW, "--format", "json").out)["notes"]
    )


def test_the_frame(run: Run) -> None:
    small, large = (
        json.loads(run("compare", SAMPLE, *FEW, "--frame", frame, "--format", "json").out) for frame in ("args", "regs")
    )
    assert large["frame"] == "regs"
    assert large["schemes"][0]["instructions"]["traced"] > small["schemes"][0]["instructions"]["traced"]


def test_markdown_and_files(run: Run, tmp_path: Path) -> None:
    targets = [f"{name}={tmp_path / name}" for name in ("text", "json", "markdown")]
    ran = run("compare", SAMPLE, *FEW, *(part for target in targets for part in ("--format", target)))
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert (tmp_path / "markdown").read_text().startswith("## genpatch compare: ")
    assert "| call-ops \\* |" in (tmp_path / "markdown").read_text()
    assert json.loads((tmp_path / "json").read_text())["sites"] == 18
    assert sorted(path.name for path in tmp_path.iterdir()) == ["json", "markdown", "text"]


def test_quiet_leaves_out_the_notes(run: Run) -> None:
    out = run("compare", SAMPLE, *FEW, "-q").out
    assert "note: " not in out
    assert "call-ops" in out


def test_the_same_input_gives_the_same_output(run: Run) -> None:
    assert run("compare", SAMPLE, *FEW, "-q").out == run("compare", SAMPLE, *FEW, "-q").out


def test_charts(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    for _ in range(2):
        assert run("compare", SAMPLE, "--svg", folder, "-q").status == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{chart.name}.svg" for chart in CHARTS)
    assert [path.name for path in tmp_path.iterdir()] == ["charts"]
    for path in folder.iterdir():
        ElementTree.parse(path)


def test_a_folder_for_charts_is_made_and_goes_if_nothing_comes_of_it(run: Run, here: Path) -> None:
    assert run("compare", "nowhere", "--svg", "a/b/c").status == 2
    assert not (here / "a").exists()
    assert run("compare", SAMPLE, *FEW, "--svg", "a/b/c", "-q").status == 0
    assert len(list((here / "a/b/c").iterdir())) == len(CHARTS)


def test_a_chart_never_follows_a_link(run: Run, tmp_path: Path) -> None:
    folder, outside = tmp_path / "charts", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("mine\n")
    (folder / "reach.svg").symlink_to(outside)
    assert run("compare", SAMPLE, *FEW, "--svg", folder, "-q").status == 0
    assert outside.read_text() == "mine\n"
    assert not (folder / "reach.svg").is_symlink()


def test_charts_that_cannot_all_be_written_leave_nothing(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "charts"
    (folder / "traced.svg" / "in-the-way").mkdir(parents=True)
    ran = run("compare", SAMPLE, *FEW, "--svg", folder, "-q")
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ext.ko",), "nothing to compare: ext.ko: module"),
        (("untraced",), "nothing to compare"),
        (("x86",), "RISC-V"),
        (("short",), "short"),
        (("empty",), "empty"),
        (("text",), "text"),
        (("nowhere",), "nowhere"),
        (("good", "--scheme", "call-op"), "is it 'call-ops'?"),
        (("good", "--scheme", "zzz"), "genpatch schemes"),
        (("good", "--frame", "big"), "expected one of args, regs"),
        (("good", "--format", "yaml"), "expected one of text, json, markdown"),
        (("good", "--format", "json", "--format", "text"), "two formats cannot be written to one place"),
        (("good", "--svg", "text"), "--svg text: text is not a directory"),
        (("good", "--svg", "text/a/b"), "--svg text/a/b: text is not a directory"),
        (("nowhere", "--svg", "text/a"), "text is not a directory"),
        (("good", "--svg", "/proc/none/a"), "--svg /proc/none/a: /proc/none: "),
        (("good", "-o", "hollow"), "hollow"),
        ((), "KERNEL"),
    ],
)
def test_mistakes_are_one_line(run: Run, here: Path, args: tuple[str, ...], message: str) -> None:
    ran = run("compare", *args)
    assert ran.status == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert here.is_dir()


def test_a_kernel_that_is_not_quite_one(run: Run, here: Path) -> None:
    for name in ("good", "misaligned", "preempt"):
        ran = run("compare", name, *FEW)
        assert ran.status == 0
        assert ran.err.startswith("genpatch: warning: this kernel's own code was not run, or not in full: ")
        assert len(ran.err.splitlines()) == 1
    (here / "other").write_bytes(vmlinux(entry=TEXT, with_symbols=False))
    assert run("compare", "other").status == 2
