# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP: read by a checker of our own, with the grammar of ktap.rst, and by the parser of a kernel tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genpatch.report.document import AuditDocument
from genpatch.report.formats import RenderOptions, get_format

from .builders import DOCUMENTS, baselined, clean, faulty, finding, hostile, image, modules, rule, single

RESULT = re.compile(r"^\s*(ok|not ok) ([0-9]+) ?(:?- )?([^#]*)( # .*)?$")
PLAN = re.compile(r"^\s*1\.\.([0-9]+)$")
VERSION = re.compile(r"^\s*KTAP version ([0-9]+)$")
SKIP = re.compile(r"^\s*(ok|not ok) ([0-9]+) ?(:?- )?(.*) # SKIP ?(.*)$")
DIAGNOSTIC = re.compile(r"^\s*# [^\n]*$")


def text(document: AuditDocument, **options: object) -> str:
    return "".join(get_format("ktap").render(document, RenderOptions(**options)))  # type: ignore[arg-type]


class Checker:
    """Reads nested KTAP strictly: every line is a version, a plan, a result or a diagnostic in its place."""

    def __init__(self, ktap: str) -> None:
        assert ktap.endswith("\n")
        self.lines = ktap[:-1].split("\n")
        self.at = 0

    def read(self, depth: int) -> list[tuple[str, str, str]]:
        """Read one level; return (result, description, rest) of its tests, those within before them."""
        indent = "  " * depth
        assert VERSION.fullmatch(self.take(indent))
        plan = PLAN.fullmatch(self.take(indent))
        assert plan is not None
        tests: list[tuple[str, str, str]] = []
        for number in range(1, int(plan[1]) + 1):
            inner: list[tuple[str, str, str]] = []
            if self.peek().startswith(indent + "  "):
                inner = self.read(depth + 1)
            while DIAGNOSTIC.fullmatch(self.peek()):
                self.take(indent)
            line = self.take(indent)
            match = RESULT.fullmatch(line)
            assert match is not None, line
            assert int(match[2]) == number
            if inner:
                assert (match[1] == "ok") == all(result == "ok" for result, _, _ in inner)
            tests += inner
            tests.append((match[1], match[4], match[5] or ""))
        return tests

    def peek(self) -> str:
        return self.lines[self.at]

    def take(self, indent: str) -> str:
        line = self.lines[self.at]
        assert line.startswith(indent)
        assert not line[len(indent) :].startswith(" ")
        self.at += 1
        return line


def checked(document: AuditDocument, **options: object) -> list[tuple[str, str, str]]:
    checker = Checker(text(document, **options))
    tests = checker.read(0)
    assert checker.at == len(checker.lines)
    return tests


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_grammar(name: str) -> None:
    assert checked(DOCUMENTS[name]())


def test_results() -> None:
    assert checked(faulty()) == [
        ("ok", "GP101 sled-size", ""),
        ("not ok", "GP104 function-alignment", " # 1 finding"),
        ("ok", "GP107 call-pair-layout", " # 1 finding"),
        ("ok", "GP203 call-out-of-reach", ""),
        ("not ok", "GP205 frozen-hi20", " # 2 findings"),
        ("not ok", "GP208 table-order", " # 1 finding"),
        ("ok", "GP301 frame-offsets", " # SKIP no type information (.BTF) in the image"),
        ("ok", "GP302 frame-readers", " # SKIP no type information (.BTF) in the image"),
        ("ok", "GP310 landing-pads", " # SKIP the configuration is not known"),
        ("not ok", "GP901 relocations", " # ERROR relocation type 77 is not known"),
        ("not ok", "vmlinux", ""),
    ]


def test_findings_are_diagnostics_before_their_result() -> None:
    lines = text(faulty()).split("\n")
    place = lines.index("  not ok 6 GP208 table-order # 1 finding")
    assert lines[place - 1] == (
        "  # GP208 table-order: warning: 0xffffffff81a00000 __start_mcount_loc: "
        "the table is not sorted, and this kernel does not sort it while it boots"
    )


def test_known_findings_are_expected() -> None:
    tests = checked(baselined())
    assert ("ok", "GP205 frozen-hi20", " # XFAIL baseline: 2 known findings") in tests
    assert ("not ok", "GP104 function-alignment", " # 1 finding") in tests


def test_notes_fail_when_strict() -> None:
    assert ("not ok", "GP107 call-pair-layout", " # 1 finding") in checked(faulty(), strict=True)


def test_images_are_tests() -> None:
    images = [test for test in checked(modules()) if test[1].endswith(".ko")]
    assert [result for result, _, _ in images] == ["ok", "not ok", "not ok", "ok"]
    assert text(modules()).startswith("KTAP version 1\n1..4\n  KTAP version 1\n  1..4\n  ok 1 GP101 sled-size\n")


def test_no_rule_selected() -> None:
    assert checked(single(image(rules=()))) == [
        ("ok", "rules", " # SKIP no rule was selected"),
        ("ok", "vmlinux", ""),
    ]


@pytest.mark.parametrize(
    ("path", "description"),
    [
        ("- dash", "dash"),
        ("a # SKIP b", "a SKIP b"),
        ("ok 1 x", "ok 1 x"),
        ("#", "unnamed"),
        ("a\nok 2 b", "a ok 2 b"),
    ],
)
def test_a_name_is_no_syntax(path: str, description: str) -> None:
    assert checked(single(image(path)))[-1] == ("ok", description, "")


def test_long_lists_are_cut() -> None:
    many = tuple(finding(message=f"message {n}") for n in range(173))
    ktap = text(single(image(rules=(), findings=many)))
    assert ktap.count("# GP205 frozen-hi20: ") == 50
    assert "  # ... 123 more\n  not ok 1 GP205 frozen-hi20 # 173 findings\n" in ktap


def test_a_reason_may_be_empty() -> None:
    document = single(image(rules=(rule("GP101", "sled-size", "skipped"),)))
    assert "  ok 1 GP101 sled-size # SKIP\n" in text(document)
    assert SKIP.fullmatch("  ok 1 GP101 sled-size # SKIP")


LINUX = os.environ.get("GENPATCH_LINUX", "")


@pytest.mark.skipif(not LINUX, reason="GENPATCH_LINUX does not name a kernel tree with tools/testing/kunit")
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (clean, "Ran 2 tests: passed: 2"),
        (faulty, "Ran 10 tests: passed: 3, failed: 4, skipped: 3"),
        (modules, "Ran 28 tests: passed: 19, failed: 3, skipped: 6"),
        (baselined, "Ran 10 tests: passed: 5, failed: 2, skipped: 3"),
        (hostile, "Ran 14 tests: failed: 2, skipped: 12"),
    ],
)
def test_the_parser_of_the_kernel(document: object, expected: str, tmp_path: Path) -> None:
    assert callable(document)
    report = tmp_path / "report.ktap"
    report.write_text(text(document()), encoding="utf-8")
    parser = Path(LINUX) / "tools/testing/kunit/kunit.py"
    command = [sys.executable, str(parser), "parse", str(report)]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False).stdout
    assert output.rstrip().endswith(f"Testing complete. {expected}")
    assert "[ERROR]" not in output
