# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules register themselves; this finds their files and checks their declarations."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module

from .cases import Case
from .model import Check, Rule, RuleError, Severity

HEADINGS = ("## What it checks", "## Why it matters", "## Remedy", "## References")
_CODE = re.compile(r"GP[1-9]\d\d")
_RULES: dict[str, Rule] = {}


def rule(
    code: str,
    name: str,
    *,
    severity: Severity,
    source: str,
    cases: tuple[Case, ...],
    since: str = "0.1.0",
    applies: str = "any",
) -> Callable[[Check], Check]:
    """Declare a rule; a mistake in the declaration is an error when its file is imported."""

    def register(check: Check) -> Check:
        _reject_bad_declaration(code, name, check, cases)
        _RULES[code] = Rule(
            code=code,
            name=name,
            severity=severity,
            since=since,
            source=source,
            check=check,
            cases=cases,
            applies=applies,
        )
        return check

    return register


def _reject_bad_declaration(code: str, name: str, check: Check, cases: tuple[Case, ...]) -> None:
    if not _CODE.fullmatch(code):
        raise RuleError(f"{code}: expected GP and three digits")
    if code in _RULES or any(name == other.name for other in _RULES.values()):
        raise RuleError(f"{code} {name}: code or name is taken")
    missing = [heading for heading in HEADINGS if heading not in (check.__doc__ or "")]
    if missing:
        raise RuleError(f"{code}: documentation lacks {', '.join(missing)}")
    if not any(case.fires for case in cases) or all(case.fires for case in cases):
        raise RuleError(f"{code}: needs a case that fires and one that does not")


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule by code, in order of code; imports each file of the `rules` package once."""
    from . import rules

    for module in pkgutil.iter_modules(rules.__path__):
        import_module(f"{rules.__name__}.{module.name}")
    return dict(sorted(_RULES.items()))


def select(select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> dict[str, Rule]:
    """Return the chosen rules: all of them, or those that a `select` prefix names, less those of `ignore`.

    Raises:
        RuleError: a prefix that matches no rule.
    """
    rules = all_rules()
    chosen = {code for prefix in select or ("ALL",) for code in _matching(prefix, rules)}
    dropped = {code for prefix in ignore for code in _matching(prefix, rules)}
    return {code: each for code, each in rules.items() if code in chosen - dropped}


def _matching(prefix: str, rules: dict[str, Rule]) -> set[str]:
    if prefix.upper() == "ALL":
        return set(rules)
    found = {code for code, each in rules.items() if code.startswith(prefix.upper()) or each.name == prefix}
    if not found or not prefix:
        raise RuleError(f"no rule matches {prefix!r}; 'genpatch rules' lists them")
    return found
