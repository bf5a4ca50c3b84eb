# SPDX-License-Identifier: GPL-2.0-or-later
"""The chapter about patches that were checked: each with its message and its diff, findings where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ...check.model import MESSAGE
from ...check.run import DOES_NOT_APPLY
from ..documents import Document
from ..gallery import findings_of
from ..rule_docs import rule_docs
from ..views import LEVELS, rank
from .dossiers import Dossier

__all__ = ["series_chapter"]

_MOST_ROWS = 20_000
_NEAR = 4
_MOST_PATCHES, _MOST_EXPLAINED = 1000, 100
_TAB, _LONGEST = 8, 1 << 14


@dataclass
class _Pages:
    """What patches share: positions of findings by identity, rules that were explained, room for lines of diffs."""

    numbers: dict[int, int]
    explained: set[str] = field(default_factory=set)
    rows: int = _MOST_ROWS

    def why(self, rule: str, name: str) -> str:
        """Return a rule's documentation, empty if it was given before."""
        if rule in self.explained or len(self.explained) >= _MOST_EXPLAINED:
            return ""
        self.explained.add(rule)
        return rule_docs(rule, name).help_text


@dataclass
class _Row:
    """A line of a message or of a diff: its numbers, its mark, its text, and what is found there."""

    old: int | None
    new: int | None
    mark: str
    text: str
    findings: list[Document] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """What it is, for the style sheet."""
        return {"+": "added", "-": "removed", "\\": "hint"}.get(self.mark, "kept")


def series_chapter(dossier: Dossier) -> dict[str, Any] | None:
    """Return what the template needs of patches that were checked; None without."""
    document = dossier.documents.get("check")
    if document is None:
        return None
    numbers = {id(each): number for number, each in enumerate(document["findings"])}
    parts = document["patches"][:_MOST_PATCHES]
    pages = _Pages(numbers)
    return {
        "patches": [_patch(dossier, document, part, number, pages) for number, part in enumerate(parts, 1)],
        "more": len(document["patches"]) - len(parts),
        "images": [
            {"name": part["name"], "findings": _told(dossier, findings_of(document, part), pages)}
            for part in document["images"]
        ],
        "anchors": {
            numbers[id(each)]: f"{dossier.anchor}-f{numbers[id(each)]}"
            for part in (*parts, *document["images"])
            for each in findings_of(document, part)
        },
        "rules": _rules([*document["patches"], *document["images"]]),
        "has_diffs": all("diff" in part for part in parts),
    }


def _told(dossier: Dossier, findings: Iterable[Document], pages: _Pages) -> list[Document]:
    """Return findings, the worst first, those of a rule at one place together; the first of a rule explains it."""
    groups: dict[tuple[Any, ...], Document] = {}
    for each in sorted(findings, key=lambda each: rank(each["level"])):
        key = each["level"], each["rule"], each["file"], each["line"]
        if key not in groups:
            groups[key] = {**each, "says": [], "why": pages.why(each["rule"], each["name"])}
        says = {"anchor": f"{dossier.anchor}-f{pages.numbers[id(each)]}", "text": each["message"]}
        groups[key]["says"].append(says)
    return list(groups.values())


def _patch(dossier: Dossier, document: Document, part: Document, number: int, pages: _Pages) -> dict[str, Any]:
    left = _told(dossier, findings_of(document, part), pages)
    message, left = _message(part, left)
    files = []
    for diff in part.get("diff", ()):
        shown, left = _file(diff, left, pages)
        files.append(shown)
    levels = [each["level"] for each in findings_of(document, part)]
    return {
        "anchor": f"{dossier.anchor}-p{number}",
        "name": PurePath(part["name"]).name,
        "subject": part["subject"] or PurePath(part["name"]).name,
        "author": part.get("author", ""),
        "message": message,
        "files": files,
        "names": part["files"],
        "elsewhere": left,
        "added": sum(each["added"] for each in files),
        "removed": sum(each["removed"] for each in files),
        "counts": [levels.count(level) for level in LEVELS],
        "worst": next((level for level in LEVELS if level in levels), "clean"),
        "is_judged": any(rule["status"] in ("pass", "fail") for rule in part["rules"]),
    }


def _message(part: Document, findings: list[Document]) -> tuple[list[_Row], list[Document]]:
    """Return the lines of a message with what is found there, and the findings that are elsewhere."""
    rows = [_Row(None, each["line"], "", _shown(each["text"])) for each in part.get("message", ())]
    return rows, _placed(rows, findings, lambda each: each["file"] == MESSAGE)


def _placed(rows: Sequence[_Row], findings: list[Document], fits: Any) -> list[Document]:
    """Put findings to the lines that they are about; return those that are about none of them."""
    by_line = {row.new: row for row in rows if row.new is not None}
    left = []
    for each in findings:
        row = by_line.get(each["line"]) if fits(each) else None
        if row is None:
            left.append(each)
        else:
            row.findings.append(each)
    return left


def _file(diff: Document, findings: list[Document], pages: _Pages) -> tuple[dict[str, Any], list[Document]]:
    """Return a file's part of a patch with what is found there, and the findings that are in other files."""
    path = diff["new"] or diff["old"] or ""
    names = {diff["new"], diff["old"]} - {None}
    hunks = [list(_rows(hunk)) for hunk in diff["hunks"]]
    heads = [_head(hunk) for hunk in diff["hunks"]]
    unfit = [each for each in findings if each["rule"] == DOES_NOT_APPLY and each["file"] in names]
    others = [each for each in findings if not (each["rule"] == DOES_NOT_APPLY and each["file"] in names)]
    every = [row for rows in hunks for row in rows]
    left = _placed(every, others, lambda each: each["file"] in names)
    beside = [each for each in left if each["file"] in names]
    counts = {mark: sum(row.mark == mark for row in every) for mark in "+-"}
    shown = {
        "path": path,
        "change": _change(diff),
        "added": counts["+"],
        "removed": counts["-"],
        "unfit": unfit,
        "beside": beside,
        "hunks": [{"head": head, "parts": _folded(rows, pages)} for head, rows in zip(heads, hunks, strict=True)],
        "is_open": bool(unfit or beside or any(row.findings for row in every)),
    }
    return shown, [each for each in left if each["file"] not in names]


def _change(diff: Document) -> str:
    """Return what becomes of a file as a whole, empty where it only changes."""
    if diff["old"] is None:
        return "new file"
    if diff["new"] is None:
        return "removed"
    if diff["old"] != diff["new"]:
        return f"{'copy of' if diff['copy'] else 'was'} {diff['old']}"
    return ""


def _head(hunk: Document) -> str:
    marks = [line[:1] for line in hunk["lines"]]
    old, new = (sum(mark in kinds for mark in marks) for kinds in (" -", " +"))
    return f"@@ -{hunk['old']},{old} +{hunk['new']},{new} @@"


def _rows(hunk: Document) -> Iterator[_Row]:
    old, new = hunk["old"], hunk["new"]
    for line in hunk["lines"]:
        mark, text = line[:1], line[1:]
        yield _Row(old if mark in " -" else None, new if mark in " +" else None, mark.strip(), _shown(text))
        if not text.endswith("\n"):
            yield _Row(None, None, "\\", " no line feed at the end of the file")
        old += mark in " -"
        new += mark in " +"


def _shown(text: str) -> str:
    return text.removesuffix("\n").expandtabs(_TAB)[:_LONGEST]


def _folded(rows: Sequence[_Row], pages: _Pages) -> list[Any]:
    """Return the lines of a hunk, those that there is no room for as their number; what is found has room."""
    near = {at for place, row in enumerate(rows) if row.findings for at in range(place - _NEAR, place + _NEAR + 1)}
    parts: list[Any] = []
    for at, row in enumerate(rows):
        if at in near or pages.rows > 0:
            pages.rows -= 1
            parts.append(row)
        elif parts and isinstance(parts[-1], int):
            parts[-1] += 1
        else:
            parts.append(1)
    return parts


def _rules(parts: Sequence[Document]) -> list[dict[str, Any]]:
    """Return what became of each rule over all patches."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for rule in part["rules"]:
            row = found.setdefault(rule["rule"], {"rule": rule["rule"], "name": rule["name"], "pass": 0, "fail": 0,
                                                  "skipped": 0, "error": 0})  # fmt: skip
            row[rule["status"]] += 1
    return [found[code] for code in sorted(found)]
