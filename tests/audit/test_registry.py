# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from genpatch.audit import registry
from genpatch.audit.cases import Case, Fn, clean, fires, kernel
from genpatch.audit.facts import Facts
from genpatch.audit.model import Check, Finding, Rule, RuleError, Severity
from genpatch.audit.registry import HEADINGS, all_rules, rule, select

FILES = sorted(Path(registry.__file__).parent.joinpath("rules").glob("gp*.py"))
RULES = pytest.mark.parametrize("each", all_rules().values(), ids=all_rules())
CASES = (clean(lambda: kernel(Fn(name="a"))), fires(lambda: kernel(Fn(name="a")), "x"))


def check(facts: Facts) -> Iterator[Finding]:
    """One line.

    ## What it checks
    ## Why it matters
    ## Remedy
    ## References
    """
    yield from ()


def declare(
    code: str = "GP799", name: str = "a-new-rule", *, function: Check = check, cases: tuple[Case, ...] = CASES
) -> None:
    rule(code, name, severity=Severity.NOTE, source="a test", cases=cases)(function)


def test_one_rule_a_file_and_its_name_starts_with_the_code() -> None:
    assert len(FILES) == len(all_rules())
    assert [path.name.split("_")[0].upper() for path in FILES] == list(all_rules())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_declares_the_rule_of_its_name(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    code = path.stem.split("_")[0].upper()
    assert re.findall(r'^    "(GP\d+)",$', source, re.MULTILINE) == [code]
    assert source.split("\n")[1].startswith(f'"""{code}: ')


def test_codes_are_in_order() -> None:
    codes = list(all_rules())
    assert codes == sorted(codes)
    assert len({each.name for each in all_rules().values()}) == len(codes)
    assert all(code == each.code for code, each in all_rules().items())


@RULES
def test_a_declaration(each: Rule) -> None:
    assert re.fullmatch(r"GP[1-59]\d\d", each.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", each.name)
    assert not each.name.startswith("no-")
    assert each.applies in ("kernel", "module", "any", "verify", "race")
    assert re.fullmatch(r"\d+\.\d+\.\d+", each.since)
    assert each.source
    assert any(case.fires for case in each.cases)
    assert not all(case.fires for case in each.cases)


@RULES
def test_documentation(each: Rule) -> None:
    first, *_ = each.doc.strip().splitlines()
    assert first.endswith(".")
    assert len(first) < 100
    places = [each.doc.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    parts = re.split(r"^ +## .+$", each.doc, flags=re.MULTILINE)
    assert all(part.strip() for part in parts)
    assert re.findall(r"^ *(##.*)$", each.doc, re.MULTILINE) == list(HEADINGS)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("GP1", "a-new-rule", "GP1: expected GP and three digits"),
        ("GP0100", "a-new-rule", "expected GP and three digits"),
        ("GP099", "a-new-rule", "expected GP and three digits"),
        ("gp799", "a-new-rule", "expected GP and three digits"),
        ("GP108", "a-new-rule", "GP108 a-new-rule: code or name is taken"),
        ("GP799", "function-misaligned", "GP799 function-misaligned: code or name is taken"),
    ],
)
def test_a_wrong_code_or_name(code: str, name: str, message: str) -> None:
    all_rules()
    with pytest.raises(RuleError, match=message):
        declare(code, name)
    assert "GP799" not in registry._RULES


def test_documentation_that_lacks_a_heading() -> None:
    def undocumented(facts: Facts) -> Iterator[Finding]:
        """One line.

        ## What it checks
        ## Remedy
        """
        yield from ()

    def silent(facts: Facts) -> Iterator[Finding]:
        yield from ()

    with pytest.raises(RuleError, match="documentation lacks ## Why it matters, ## References"):
        declare(function=undocumented)
    with pytest.raises(RuleError, match="documentation lacks ## What it checks, "):
        declare(function=silent)


@pytest.mark.parametrize("cases", [(), CASES[:1], CASES[1:]], ids=["none", "clean", "fires"])
def test_both_kinds_of_case_are_needed(cases: tuple[Case, ...]) -> None:
    with pytest.raises(RuleError, match="GP799: needs a case that fires and one that does not"):
        declare(cases=cases)


def test_a_good_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RULES", {})
    declare()
    assert registry._RULES["GP799"].name == "a-new-rule"
    assert registry._RULES["GP799"].applies == "any"


# --- choosing


def test_all_by_default() -> None:
    assert select() == all_rules() == select(("ALL",)) == select(("all",))


@pytest.mark.parametrize(
    ("chosen", "ignored", "codes"),
    [
        (("GP108",), (), ["GP108"]),
        (("gp108",), (), ["GP108"]),
        (("function-misaligned",), (), ["GP108"]),
        (("GP90",), (), ["GP901", "GP902", "GP903"]),
        (("GP9",), ("GP902",), ["GP901", "GP903"]),
        (("GP9",), ("code-not-understood", "GP903"), ["GP901"]),
        (("GP902", "GP108"), (), ["GP108", "GP902"]),
        (("GP9",), ("GP1",), ["GP901", "GP902", "GP903"]),
    ],
)
def test_select(chosen: tuple[str, ...], ignored: tuple[str, ...], codes: list[str]) -> None:
    assert list(select(chosen, ignored)) == codes


def test_ignore_alone() -> None:
    assert set(all_rules()) - set(select((), ("GP1",))) == {code for code in all_rules() if code.startswith("GP1")}


@pytest.mark.parametrize("prefix", ["GP6", "GP1000", "misaligned", "function", "", "P1", "*"])
def test_a_prefix_that_matches_nothing(prefix: str) -> None:
    with pytest.raises(RuleError, match=f"^no rule matches {re.escape(repr(prefix))}; 'genpatch rules' lists them$"):
        select((prefix,))
    with pytest.raises(RuleError, match="no rule matches"):
        select((), (prefix,))
