# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch rules`` and ``genpatch explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import write_out

if TYPE_CHECKING:
    from ..audit.model import Rule


def rules(
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List the rules: code, name, level, one line each."""
    from ..audit.registry import all_rules

    listed = list(all_rules().values())
    if _is_json(output_format):
        _print_json([_as_json(rule) for rule in listed])
        return
    width = max(len(rule.name) for rule in listed)
    write_out(
        f"{rule.code}  {rule.severity.text:<7}  {rule.name:<{width}}  {_first_line(rule.doc)}\n" for rule in listed
    )


def explain(
    rule: Annotated[str, typer.Argument(help="A rule's code (GP108) or name (function-misaligned).")],
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Explain a rule: what it checks, why it matters, how to mend it, where to read on."""
    from ..audit.registry import all_rules

    found = next((each for each in all_rules().values() if rule.upper() == each.code or rule == each.name), None)
    if found is None:
        raise UsageError(f"no rule {rule!r}; 'genpatch rules' lists them")
    if _is_json(output_format):
        _print_json(_as_json(found))
        return
    head = f"{found.code} {found.name} ({found.severity.text}, since {found.since})"
    write_out([f"{head}\n\n{_dedented(found.doc)}\n\n    {found.source}\n"])


def _is_json(output_format: str) -> bool:
    if output_format not in ("text", "json"):
        raise UsageError(f"--format {output_format!r}: expected text or json")
    return output_format == "json"


def _print_json(value: Any) -> None:
    import json

    write_out([json.dumps(value, indent=2), "\n"])


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.code,
        "name": rule.name,
        "level": rule.severity.text,
        "since": rule.since,
        "applies": rule.applies,
        "source": rule.source,
        "documentation": _dedented(rule.doc),
    }


def _first_line(doc: str) -> str:
    return doc.strip().splitlines()[0]


def _dedented(doc: str) -> str:
    from inspect import cleandoc

    return cleandoc(doc)
