# SPDX-License-Identifier: GPL-2.0-or-later
"""The small verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from genpatch import __version__, samples
from genpatch.audit.registry import HEADINGS, all_rules
from genpatch.check.registry import all_rules as patch_rules
from genpatch.cli.app import app
from genpatch.cli.exits import STYLES
from genpatch.report.schema import JSON_SCHEMAS

from .conftest import Run

EVERY_RULE = sorted([*all_rules(), *patch_rules()])


def test_rules(run: Run) -> None:
    ran = run("rules")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == EVERY_RULE
    assert lines[7].split()[:3] == ["GP108", "error", "function-misaligned"]


def test_rules_as_json(run: Run) -> None:
    listed = json.loads(run("rules", "--format", "json").out)
    assert [each["rule"] for each in listed] == EVERY_RULE
    assert {each["applies"] for each in listed if each["rule"] in patch_rules()} == {"message", "patch"}
    assert set(listed[0]) == {"rule", "name", "level", "since", "applies", "source", "documentation"}


@pytest.mark.parametrize("name", ["GP108", "gp108", "function-misaligned"])
def test_explain(run: Run, name: str) -> None:
    ran = run("explain", name)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("GP108 function-misaligned (error, since 0.1.0)\n\nFunctions start where ")
    assert all(f"\n{heading}\n" in ran.out for heading in HEADINGS)
    assert "linux c41bf4326c7b" in ran.out


def test_no_code_or_name_is_taken_twice() -> None:
    names = [each.name for each in all_rules().values()] + [each.name for each in patch_rules().values()]
    assert len(set(names)) == len(names)
    assert set(patch_rules()).isdisjoint(all_rules())
    assert all(code.startswith("GP5") for code in patch_rules())


def test_explain_a_rule_of_patches_by_name(run: Run) -> None:
    assert run("explain", "layout-equation").out.startswith("GP511 layout-equation (error, since 0.1.0)\n\nThe files ")


@pytest.mark.parametrize("code", EVERY_RULE)
def test_explain_every_rule(run: Run, code: str) -> None:
    assert run("explain", code).out.startswith(f"{code} ")


def test_explain_as_json(run: Run) -> None:
    found = json.loads(run("explain", "GP108", "--format", "json").out)
    assert found["name"] == "function-misaligned"
    assert found["documentation"].startswith("Functions start where ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("explain", "GP10"), "no rule 'GP10'; 'genpatch rules' lists them"),
        (("explain", ""), "no rule ''; 'genpatch rules' lists them"),
        (("explain", "GP108", "--format", "xml"), "--format 'xml': expected text or json"),
        (("rules", "--format", "xml"), "--format 'xml': expected text or json"),
        (("schema", "nonsense"), f"no schema for 'nonsense'; there is one for {' and for '.join(JSON_SCHEMAS)}"),
    ],
)
def test_mistakes(run: Run, args: tuple[str, ...], message: str) -> None:
    ran = run(*args)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {message}\n")


def test_schemes(run: Run) -> None:
    out = run("schemes").out
    assert out.startswith("mcount-ra16: ")
    assert "    sled 8+8 bytes, site at func+4; needs " in out
    assert out.count("    sled ") == 14


def test_samples(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "sample_root", lambda: tmp_path)
    assert run("samples").out == ""
    (tmp_path / "clean.elf").write_bytes(b"")
    (tmp_path / "far.ko").write_bytes(b"")
    (tmp_path / "far.toml").write_text('description = "out of reach"\n', encoding="utf-8")
    assert [line.rstrip() for line in run("samples").out.splitlines()] == ["clean", "far    out of reach"]


def test_schema(run: Run) -> None:
    Draft202012Validator.check_schema(json.loads(run("schema", "audit").out))


def test_the_schema_fits_the_json(run: Run, here: Path) -> None:
    schema = json.loads(run("schema", "audit").out)
    for paths in (("good",), ("preempt",), ("good", "ext.ko", "x86")):
        document = json.loads(run("audit", *paths, "--format", "json").out)
        Draft202012Validator(schema).validate(document)
    assert here.is_dir()


def test_version(run: Run) -> None:
    ran = run("--version")
    assert (ran.status, ran.out, ran.err) == (0, f"genpatch {__version__}\n", "")


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["audit", "--help"], ["explain", "-h"], ["schema", "--help"]])
def test_help(args: list[str]) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_help_names_every_verb() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert all(f"  {verb} " in output for verb in ("audit", "rules", "explain", "schemes", "samples", "schema"))


def test_help_of_audit_names_every_choice() -> None:
    output = " ".join(CliRunner().invoke(app, ["audit", "--help"]).output.split())
    assert all(style in output for style in STYLES)
    assert "error, warning, note or never" in output
