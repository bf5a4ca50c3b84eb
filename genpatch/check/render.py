# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings as people and programs read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .model import MESSAGE, Level
from .run import Checked

__all__ = ["FORMATS", "SCHEMA", "as_b4", "as_json", "as_text"]

FORMATS = ("text", "b4", "json")
SCHEMA = "genpatch/check/1"


def as_b4(checked: Checked) -> Iterator[str]:
    """Yield one line for each finding, as b4 wants them; nothing if there is none."""
    for each in checked.findings:
        text = _plain(each.message)
        if each.level is not Level.ERROR:
            text = text.replace("ERROR:", "ERROR :")
        yield f"{_plain(each.file)}:{each.line}: {each.level.upper()}: {each.rule}: {text}\n"


def as_text(checked: Checked) -> Iterator[str]:
    """Yield one line for each finding, and one with their number."""
    for each in checked.findings:
        where = each.patch if each.file == MESSAGE else each.file
        yield f"{_plain(where)}:{each.line}: {each.level}: {each.rule}: {_plain(each.message)}\n"
    count = len(checked.findings)
    yield f"{count} finding{'s' * (count != 1)}\n" if count else "no findings\n"


def as_json(checked: Checked) -> str:
    """Return one document."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "findings": [
            {
                "rule": each.rule,
                "level": str(each.level),
                "file": each.file,
                "line": each.line,
                "message": each.message,
                "patch": each.patch,
            }
            for each in checked.findings
        ],
        "skipped": list(checked.skipped),
    }
    return json.dumps(document, indent=2) + "\n"


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)[:4000]
