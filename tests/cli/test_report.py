# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from genpatch.report.formats import format_names
from tests.cli.conftest import Run
from tests.report.builders import SCRIPT
from tests.toykernel import vmlinux


def test_every_verb_has_a_page(run: Run, tmp_path: Path) -> None:
    for verb, more in (("audit", ()), ("verify", ("--no-bpf",)), ("race", ()), ("compare", ())):
        path = tmp_path / f"{verb}.html"
        ran = run(verb, "sample:scheme-call-ops", *more, "--format", f"html={path}")
        assert ran.status in (0, 1), ran.err
        text = path.read_text()
        assert text.startswith("<!DOCTYPE html>")
        assert f"by genpatch {verb}</p>" in text
    assert run("race", "pair-t0", "--env", "stop-preempt", "--format", "html", "-o", tmp_path / "x").status == 0
    assert "1 scheme, explored" in (tmp_path / "x").read_text()


def test_documents_of_one_kernel_become_one_chapter(run: Run, tmp_path: Path) -> None:
    sample = "sample:scheme-call-ops"
    for verb, more in (("audit", ("--sites",)), ("verify", ("--sites", "--no-bpf")), ("race", ()), ("compare", ())):
        run(verb, sample, *more, "--format", f"json={tmp_path / f'{verb}.json'}")
    page, pictures = tmp_path / "page.html", tmp_path / "a" / "pictures"
    ran = run("report", *sorted(tmp_path.glob("*.json")), "-o", page, "--svg", pictures)
    assert (ran.status, ran.err) == (0, "")
    text = page.read_text()
    assert "by genpatch audit, verify, race, compare</p>" in text
    assert text.count('class="chapter"') == 1
    assert {"audit-strip.svg", "audit-alignment.svg", "verify-states.svg", "race-races.svg", "compare-traced.svg"} <= {
        each.name for each in pictures.iterdir()
    }
    assert run("report", tmp_path, "-o", "-").out == text  # a directory is the documents in it


def test_kernels_and_documents_mix(run: Run, tmp_path: Path) -> None:
    run("audit", "sample:pair-t0", "--format", f"json={tmp_path / 'old.json'}", "--exit-zero")
    ran = run("report", tmp_path / "old.json", "sample:call-ops", "-o", tmp_path / "page.html")
    assert ran.status == 0
    assert 'id="diff"' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("verb", ["check", "prove"])
def test_what_is_about_no_kernel_has_a_chapter_too(run: Run, tmp_path: Path, verb: str) -> None:
    tool = {"name": "genpatch", "version": "0"}
    bodies = {
        "check": {
            "schema": "genpatch/check/1", "tool": tool, "images": [], "skipped": ["no tree"],
            "summary": {"patches": 1, "errors": 0, "warnings": 1, "notes": 0, "worst": "warning"},
            "patches": [{"name": "p", "subject": "s", "files": ["f"], "rules": []}],
            "findings": [{"rule": "CP-LONG_LINE", "name": "long", "level": "warning", "file": "a.c", "line": 7,
                          "message": SCRIPT, "patch": "p"}],
        },
        "prove": {
            "schema": "genpatch/prove/1", "tool": tool, "proved": False, "fail_on": "error",
            "tree": {"version": "6.12", "what": "x"}, "programs": {}, "config": "c", "baseline": [], "changes": None,
            "series": {"digest": "0" * 12, "patches": [{"subject": SCRIPT, "files": []}]}, "notes": [], "seconds": 1.0,
            "stages": [{"name": "build", "status": "failed", "seconds": 1.0, "evidence": SCRIPT, "lines": [],
                        "findings": [], "log": "", "trouble": "", "kept": False}],
        },
    }  # fmt: skip
    (tmp_path / "doc.json").write_text(json.dumps(bodies[verb]))
    ran = run("report", tmp_path / "doc.json", "-o", tmp_path / "page.html")
    assert (ran.status, ran.err) == (0, "")
    text = (tmp_path / "page.html").read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in text
    assert SCRIPT not in text
    assert ("s, checked" if verb == "check" else "not proved") in text


def test_a_hostile_symbol_of_an_image_in_every_format(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(vmlinux(SCRIPT, "b", before=b""))
    for name in format_names():
        ran = run("audit", tmp_path / "kernel", "--format", name, "-o", tmp_path / name, "--exit-zero")
        assert ran.status == 0, name
        text = (tmp_path / name).read_text()
        if name == "html":
            assert SCRIPT not in text
        if name in ("junit",):
            ElementTree.fromstring(text)
        if name == "markdown":
            assert "<img" not in text
    ran = run("diff", tmp_path / "kernel", "sample:call-ops", "--format", "html", "-o", tmp_path / "diff.html")
    assert SCRIPT not in (tmp_path / "diff.html").read_text()
    assert "gone" in run("diff", tmp_path / "kernel", "sample:call-ops").out


def test_pictures_of_an_audit(run: Run, tmp_path: Path) -> None:
    ran = run("audit", "sample:call-ops", "--svg", tmp_path / "made", "-q")
    assert ran.status == 0
    for path in (tmp_path / "made").iterdir():
        assert ElementTree.fromstring(path.read_text()).tag == "{http://www.w3.org/2000/svg}svg"
        assert path.stat().st_size < 20_000
    assert not (tmp_path / "never").exists()
    assert run("audit", "nothing", "--svg", tmp_path / "never").status == 2
    assert not (tmp_path / "never").exists()


def test_pictures_of_bpf(run: Run, tmp_path: Path) -> None:
    ran = run("verify", "sample:bpf", "--bpf", "--svg", tmp_path / "bpf", "-q")
    assert ran.err == ""
    made = {path.name: path.read_text() for path in (tmp_path / "bpf").iterdir()}
    assert "bpf.svg" in made
    assert "trampolines" in made["bpf.svg"]
    assert all(ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg" for text in made.values())


def test_pictures_of_two_kernels(run: Run, tmp_path: Path) -> None:
    assert run("diff", "sample:pair-t0", "sample:pair-t0", "--svg", tmp_path / "svg").status == 0
    names = sorted(path.name for path in (tmp_path / "svg").iterdir())
    assert {"old-audit-strip.svg", "new-audit-strip.svg"} <= set(names)
    assert run("diff", "sample:pair-t0", "nothing", "--svg", tmp_path / "never").status == 2
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("verb", ["audit", "verify", "race"])
def test_junit_names_its_verb(run: Run, verb: str) -> None:
    more = ("--no-bpf",) if verb == "verify" else ()
    cases = ElementTree.fromstring(run(verb, "sample:scheme-call-ops", *more, "--format", "junit").out).iter("testcase")
    assert {case.attrib["classname"] for case in cases} == {f"genpatch.{verb}"}


def test_the_summary_has_blocks_and_ascii_where_asked(run: Run) -> None:
    ran = run("audit", "sample:call-ops")
    assert "\n  where     " in ran.out
    assert "█" in ran.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("report",), "DOC"),
        (("report", "missing.json"), "missing.json"),
        (("report", "sample:call-ops", "--svg", "{tmp}/file"), "not a directory"),
        (("report", "{tmp}/file"), "file"),
    ],
)
def test_refusals(run: Run, tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    (tmp_path / "file").write_text('{"schema": "genpatch/none/1"}')
    ran = run(*(each.replace("{tmp}", str(tmp_path)) for each in args))
    assert ran.status == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
