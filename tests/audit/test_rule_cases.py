# SPDX-License-Identifier: GPL-2.0-or-later
"""Each rule fires on the images that it names, and on no other."""

from __future__ import annotations

import re

import pytest

from genpatch.audit.cases import Case, Fn, kernel
from genpatch.audit.model import Rule, Status
from genpatch.audit.registry import all_rules
from genpatch.audit.runner import run_rule

CASES = [
    pytest.param(rule, case, id=f"{rule.code}-{number}-{'fires' if case.fires else 'clean'}")
    for rule in all_rules().values()
    for number, case in enumerate(rule.cases)
]


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule, case: Case) -> None:
    result = run_rule(rule, case.build())
    if case.message is None:
        assert result.status in (Status.PASS, Status.SKIPPED), [each.message for each in result.findings]
        assert result.findings == ()
    else:
        assert result.status is Status.FAIL, result.reason
        messages = [finding.message for finding in result.findings]
        assert any(re.search(case.message, message) for message in messages), messages


@pytest.mark.parametrize("rule", all_rules().values(), ids=all_rules())
def test_some_clean_case_is_judged(rule: Rule) -> None:
    """A rule that is skipped on all its clean cases proves nothing by them."""
    clean = [run_rule(rule, case.build()) for case in rule.cases if not case.fires]
    assert any(result.status is Status.PASS for result in clean), {result.reason for result in clean}


@pytest.mark.parametrize(("rule", "case"), [param for param in CASES if param.values[1].fires])
def test_findings_are_fit_for_a_report(rule: Rule, case: Case) -> None:
    facts = case.build()
    for finding in run_rule(rule, facts).findings:
        assert finding.message == finding.message.strip() != ""
        assert "\n" not in finding.message
        assert not finding.message.endswith(".")
        assert re.fullmatch(r"[a-z0-9_-]+", finding.kind)
        assert finding.level is not None
        if finding.sites is not None:
            assert 0 <= int(finding.sites.min()) <= int(finding.sites.max()) < len(facts.sites)
        if finding.address is not None:
            assert 0 <= finding.address < 1 << 64


@pytest.mark.parametrize("rule", all_rules().values(), ids=all_rules())
def test_no_rule_finds_fault_with_a_plain_kernel(rule: Rule) -> None:
    assert run_rule(rule, kernel(Fn(name="one"), Fn(name="two"))).status in (Status.PASS, Status.SKIPPED)


@pytest.mark.parametrize("rule", all_rules().values(), ids=all_rules())
def test_a_rule_survives_an_image_with_nothing(rule: Rule) -> None:
    assert run_rule(rule, kernel(code=())).status is not Status.ERROR
