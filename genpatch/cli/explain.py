# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch rules`` and ``genpatch explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import write_out

if TYPE_CHECKING:
    from ..audit.model import Rule
    from ..check.model import Rule as PatchRule

_OF_PATCHES = "GP5"


def rules(
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List the rules: code, name, level, one line each."""
    from ..audit.registry import all_rules
    from ..check.registry import all_rules as patch_rules

    listed = [*map(_as_json, all_rules().values()), *map(_of_patch_as_json, patch_rules().values())]
    listed.sort(key=lambda rule: str(rule["rule"]))
    if _is_json(output_format):
        _print_json(listed)
        return
    width = max(len(rule["name"]) for rule in listed)
    write_out(
        f"{rule['rule']}  {rule['level']:<7}  {rule['name']:<{width}}  {_first_line(rule['documentation'])}\n"
        for rule in listed
    )


def explain(
    rule: Annotated[str, typer.Argument(help="A rule's code (GP108) or name (function-misaligned).")],
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Explain a rule: what it checks, why it matters, how to mend it, where to read on."""
    found = _found(rule)
    if found is None:
        raise UsageError(f"no rule {rule!r}; 'genpatch rules' lists them")
    if _is_json(output_format):
        _print_json(found)
        return
    head = f"{found['rule']} {found['name']} ({found['level']}, since {found['since']})"
    source = f"\n    {found['source']}\n" if found["source"] else ""
    write_out([f"{head}\n\n{found['documentation']}\n{source}"])


def _found(wanted: str) -> dict[str, Any] | None:
    """Return a rule by code or name; a code needs only the rules of its sort."""
    code = wanted.upper()
    if not code.startswith(_OF_PATCHES):
        from ..audit.registry import all_rules

        for rule in all_rules().values():
            if code == rule.code or wanted == rule.name:
                return _as_json(rule)
    from ..check.registry import all_rules as patch_rules

    for each in patch_rules().values():
        if code == each.code or wanted == each.name:
            return _of_patch_as_json(each)
    return None


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


def _of_patch_as_json(rule: PatchRule) -> dict[str, Any]:
    return {
        "rule": rule.code,
        "name": rule.name,
        "level": str(rule.level),
        "since": rule.since,
        "applies": "message" if rule.of_message is not None else "patch",
        "source": "",
        "documentation": rule.doc,
    }


def _first_line(doc: str) -> str:
    return doc.strip().splitlines()[0]


def _dedented(doc: str) -> str:
    from inspect import cleandoc

    return cleandoc(doc)
