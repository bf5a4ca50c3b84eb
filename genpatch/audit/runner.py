# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs rules over facts. A rule that breaks becomes a result, never silence."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import GenpatchError
from .facts import Facts
from .model import Finding, Rule, RuleResult, Severity, Skip, Status, Undecided


def run_rule(rule: Rule, facts: Facts) -> RuleResult:
    """Return what one rule says of an image."""
    try:
        findings = tuple(finding.at_level(finding.level or rule.severity) for finding in rule.check(facts))
    except Undecided as reason:
        return RuleResult(rule=rule, status=Status.ERROR, reason=str(reason))
    except (
        Skip,
        GenpatchError,
    ) as reason:  # a fact is missing, or the part of the image that holds it is broken
        return RuleResult(rule=rule, status=Status.SKIPPED, reason=str(reason))
    except Exception as error:
        return RuleResult(
            rule=rule,
            status=Status.ERROR,
            reason=f"{type(error).__name__}: {error}",
            findings=(
                Finding(
                    message=f"{rule.code} {rule.name} could not be run: {type(error).__name__}: {error}",
                    kind="rule-crashed",
                    level=Severity.ERROR,
                ),
            ),
        )
    return RuleResult(rule=rule, status=Status.FAIL if findings else Status.PASS, findings=findings)


def run_rules(rules: Iterable[Rule], facts: Facts) -> tuple[RuleResult, ...]:
    """Return what each rule that judges this kind of image says, in the order given.

    Of an image that was run only the rules about that; the same of one whose interleavings were explored.
    """
    kinds = {"any", "module" if facts.is_module else "kernel"}
    if facts.verification is not None:
        kinds = {"verify"}
    if facts.races is not None:
        kinds = {"race"}
    return tuple(run_rule(rule, facts) for rule in rules if rule.applies in kinds)
