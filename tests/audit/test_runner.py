# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genpatch.audit.cases import Fn, kernel
from genpatch.audit.facts import Facts
from genpatch.audit.model import Finding, Rule, Severity, Skip, Status, Undecided, plural, where
from genpatch.audit.runner import run_rule, run_rules
from genpatch.errors import ImageError, OutOfReach
from genpatch.image.model import ImageKind

KERNEL = kernel(Fn(name="one"))
MODULE = kernel(Fn(name="one"), kind=ImageKind.MODULE)


def made(check: Any, code: str = "GP777", applies: str = "any") -> Rule:
    return Rule(
        code=code, name="made-here", severity=Severity.WARNING, since="0.1.0", source="", check=check, cases=(),
        applies=applies,
    )  # fmt: skip


def finds(*findings: Finding) -> Any:
    def check(facts: Facts) -> Iterator[Finding]:
        yield from findings

    return check


def raises(error: Exception, *before: Finding) -> Any:
    def check(facts: Facts) -> Iterator[Finding]:
        yield from before
        raise error

    return check


def test_nothing_found() -> None:
    result = run_rule(made(finds()), KERNEL)
    assert (result.status, result.findings, result.reason) == (Status.PASS, (), "")


def test_findings_have_the_level_of_the_rule_or_their_own() -> None:
    result = run_rule(
        made(finds(Finding(message="a", kind="a"), Finding(message="b", kind="b", level=Severity.ERROR))), KERNEL
    )
    assert result.status is Status.FAIL
    assert [finding.level for finding in result.findings] == [Severity.WARNING, Severity.ERROR]


def test_a_skip_has_a_reason() -> None:
    result = run_rule(made(raises(Undecided("1 row of 2"))), KERNEL)
    assert (result.status, result.reason, result.findings) == (Status.ERROR, "1 row of 2", ())
    result = run_rule(made(raises(Skip("no types"))), KERNEL)
    assert (result.status, result.findings, result.reason) == (Status.SKIPPED, (), "no types")


@pytest.mark.parametrize("error", [KeyError("x"), IndexError("y"), ZeroDivisionError(), AssertionError("z")])
def test_a_rule_that_breaks_is_a_finding(error: Exception) -> None:
    result = run_rule(made(raises(error)), KERNEL)
    assert result.status is Status.ERROR
    (finding,) = result.findings
    assert finding.level is Severity.ERROR
    assert finding.kind == "rule-crashed"
    assert finding.message == f"GP777 made-here could not be run: {type(error).__name__}: {error}"
    assert result.reason == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("error", [ImageError("", "address 0x0", got="none"), OutOfReach("too far")])
def test_a_broken_part_of_the_image_is_not_a_pass(error: Exception) -> None:
    result = run_rule(made(raises(error)), KERNEL)
    assert result.status in (Status.SKIPPED, Status.ERROR)
    assert str(error) in result.reason


def test_what_was_found_before_a_rule_broke_is_not_taken_for_all() -> None:
    result = run_rule(made(raises(RuntimeError("half"), Finding(message="a", kind="a"))), KERNEL)
    assert result.status is Status.ERROR
    assert [finding.kind for finding in result.findings] == ["rule-crashed"]


def test_an_interrupt_is_no_finding() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_rule(made(raises(KeyboardInterrupt())), KERNEL)  # type: ignore[arg-type]


def test_rules_for_other_kinds_are_left_out() -> None:
    rules = [
        made(finds(), "GP701", "any"), made(finds(), "GP702", "kernel"), made(finds(), "GP703", "module"),
    ]  # fmt: skip
    assert [result.rule.code for result in run_rules(rules, KERNEL)] == ["GP701", "GP702"]
    assert [result.rule.code for result in run_rules(rules, MODULE)] == ["GP701", "GP703"]
    assert [result.rule.code for result in run_rules(reversed(rules), KERNEL)] == ["GP702", "GP701"]


def test_one_broken_rule_does_not_stop_the_others() -> None:
    rules = [made(raises(RuntimeError()), "GP701"), made(finds(Finding(message="m", kind="k")), "GP702")]
    assert [result.status for result in run_rules(rules, KERNEL)] == [Status.ERROR, Status.FAIL]


@pytest.mark.parametrize(("count", "text"), [(0, "0 sites"), (1, "1 site"), (2, "2 sites"), (1020, "1,020 sites")])
def test_plural(count: int, text: str) -> None:
    assert plural(count, "site") == text


def test_where() -> None:
    import numpy as np

    assert where(np.array([False, True, True])).tolist() == [1, 2]


def test_severities() -> None:
    assert Severity.NOTE < Severity.WARNING < Severity.ERROR
    assert [level.text for level in Severity] == ["note", "warning", "error"]
