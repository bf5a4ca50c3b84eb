# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules register themselves; this finds their files."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from inspect import cleandoc

from ..errors import UsageError
from .model import Level, MessageCheck, Rule, SourceCheck

HEADINGS = ("## What it checks", "## Why it matters", "## Remedy", "## References")
_RULES: dict[str, Rule] = {}


def message_rule(code: str, name: str, *, level: Level = Level.WARNING) -> Callable[[MessageCheck], MessageCheck]:
    """Declare a rule about commit messages."""

    def register(check: MessageCheck) -> MessageCheck:
        add(Rule(code, name, level, cleandoc(check.__doc__ or ""), of_message=check))
        return check

    return register


def source_rule(code: str, name: str, *, level: Level = Level.ERROR) -> Callable[[SourceCheck], SourceCheck]:
    """Declare a rule about what a patch makes of the source."""

    def register(check: SourceCheck) -> SourceCheck:
        add(Rule(code, name, level, cleandoc(check.__doc__ or ""), of_source=check))
        return check

    return register


def add(rule: Rule) -> None:
    """Take in a rule."""
    assert all(rule.code != other.code and rule.name != other.name for other in _RULES.values()), rule.code
    assert all(heading in rule.doc for heading in HEADINGS), f"{rule.code}: documentation"
    _RULES[rule.code] = rule


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule by code, in order of code."""
    from . import rules

    for module in pkgutil.iter_modules(rules.__path__):
        import_module(f"{rules.__name__}.{module.name}")
    return dict(sorted(_RULES.items()))


def matching(prefix: str) -> set[str]:
    """Return the codes that a prefix, a name or ``ALL`` stands for; none if it is unknown."""
    if prefix.upper() == "ALL":
        return set(all_rules())
    return {
        code
        for code, each in all_rules().items()
        if prefix and (code.startswith(prefix.upper()) or each.name == prefix)
    }


def select(chosen: Sequence[str] = (), ignored: Sequence[str] = ()) -> dict[str, Rule]:
    """Return the rules that `chosen` prefixes name, all by default, less those of `ignored`.

    Raises:
        UsageError: a prefix that stands for no rule.
    """
    for prefix in (*chosen, *ignored):
        if not matching(prefix):
            raise UsageError(f"no rule for patches matches {prefix!r}; 'genpatch check --list' lists them")
    wanted = {code for prefix in chosen or ("ALL",) for code in matching(prefix)}
    unwanted = {code for prefix in ignored for code in matching(prefix)}
    return {code: each for code, each in all_rules().items() if code in wanted - unwanted}
