# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings as people, b4 and programs read them; nothing here needs more than the standard library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .. import __version__
from .model import MESSAGE, Finding, Level
from .run import Checked, Judged

__all__ = ["FORMATS", "SCHEMA", "as_b4", "as_b4_review", "as_json", "as_record", "as_text", "b4_findings"]

FORMATS = ("text", "b4", "b4-review", "json")
"""Formats that are made here; `genpatch.report.checking` makes more."""
SCHEMA = "genpatch/check/1"
_COLORS = {Level.ERROR: "31", Level.WARNING: "33", Level.NOTE: "36"}
_STATUS = {Level.ERROR: "fail", Level.WARNING: "warn"}


def b4_findings(checked: Checked, *, strict: bool) -> list[Finding]:
    """Return what b4 is told: no notes unless strict, and what could not be judged, which is no pass.

    That a patch does not apply is a finding already, so that the rest was not judged goes without saying.
    """
    told: list[Finding] = []
    for part in checked.parts:
        told += [each for each in part.findings if strict or each.level is not Level.NOTE]
        if any(each.level is Level.ERROR for each in part.findings):
            continue
        line = part.patch.at if part.patch is not None else 1
        told += [Finding("", Level.WARNING, MESSAGE, line, reason, part.name) for reason in part.skipped]
    return told


def as_b4(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield one line for each finding, as b4 wants them; nothing if there is none."""
    for each in findings:
        text = _plain(each.message)
        if each.level is not Level.ERROR:
            text = text.replace("ERROR:", "ERROR :")
        level = "CHECK" if each.level is Level.NOTE else each.level.upper()
        rule = f"{each.rule}: " if each.rule else "not judged: "
        yield f"{_plain(each.file)}:{each.line}: {level}: {rule}{text}\n"


def as_b4_review(checked: Checked, *, strict: bool) -> str:
    """Return the JSON that ``b4 review`` reads: one result, none if there was no patch."""
    if not checked.parts:
        return "[]\n"
    findings = b4_findings(checked, strict=strict)
    levels = [each.level for each in findings]
    status = next((_STATUS[level] for level in (Level.ERROR, Level.WARNING) if level in levels), "pass")
    told = "".join(as_b4(findings)) + "".join(f"not judged: {_plain(each)}\n" for each in checked.remarks)
    result = {"tool": "genpatch", "status": status, "summary": summary_of(findings), "url": "", "details": told}
    import json

    return json.dumps([result], indent=2) + "\n"


def summary_of(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each level, on one line without its end."""
    levels = [each.level for each in findings]
    counts = [(levels.count(level), level) for level in Level]
    return ", ".join(f"{n} {level}{'s' * (n != 1)}" for n, level in counts if n) or "no findings"


def as_text(checked: Checked, *, color: bool = False, most: int = 50, summary: bool = True) -> Iterator[str]:
    """Yield one line for each finding, and one with their number.

    Args:
        checked: what came of the patches.
        color: levels are coloured.
        most: findings that are listed.
        summary: end with their number.
    """
    findings = checked.findings
    for each in findings[:most]:
        where = _place(each.patch if each.file == MESSAGE else each.file, each.line)
        level = f"\033[{_COLORS[each.level]}m{each.level}\033[0m" if color else str(each.level)
        yield f"{where}: {level}: {each.rule}: {_plain(each.message)}\n"
    if len(findings) > most:
        yield f"... {len(findings) - most:,} more\n"
    if summary:
        count = len(findings)
        yield f"{count} finding{'s' * (count != 1)}\n" if count else "no findings\n"


def _place(where: str, line: int) -> str:
    return f"{_plain(where)}:{line}" if line else _plain(where)


def as_json(checked: Checked) -> str:
    """Return one document; its schema is what ``genpatch schema check`` prints."""
    import json

    return json.dumps(as_record(checked), indent=2) + "\n"


def as_record(checked: Checked) -> dict[str, Any]:
    """Return the document as plain data."""
    levels = [each.level for each in checked.findings]
    return {
        "schema": SCHEMA,
        "tool": {"name": "genpatch", "version": __version__},
        "summary": {
            "patches": sum(part.patch is not None for part in checked.parts),
            "errors": levels.count(Level.ERROR),
            "warnings": levels.count(Level.WARNING),
            "notes": levels.count(Level.NOTE),
            "worst": next((str(level) for level in Level if level in levels), "none"),
        },
        "patches": [_part(part) for part in checked.parts if part.patch is not None],
        "images": [_part(part) for part in checked.parts if part.patch is None],
        "findings": [_finding(each) for each in checked.findings],
        "skipped": list(checked.skipped),
    }


def _part(part: Judged) -> dict[str, Any]:
    body: dict[str, Any] = {"name": part.name}
    if part.patch is not None:
        subject = part.patch.subject
        body |= {
            "subject": None if subject is None else subject.text,
            "files": sorted({path for each in part.patch.files for path in (each.old, each.new) if path}),
        }
    rules = [
        {
            "rule": each.rule,
            "name": each.name,
            "level": str(each.level),
            "status": each.status,
            "findings": each.findings,
            "reason": each.reason,
        }
        for each in part.outcomes
    ]
    return {**body, "rules": rules}


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "rule": each.rule,
        "name": each.name,
        "level": str(each.level),
        "file": each.file,
        "line": each.line,
        "message": each.message,
        "patch": each.patch,
    }


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)[:4000]
