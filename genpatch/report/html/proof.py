# SPDX-License-Identifier: GPL-2.0-or-later
"""The chapter about a proof: what became of each stage, with the series and without it, and what that says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...audit.model import plural
from ..documents import Document
from ..views import LEVELS, rank
from .dossiers import Dossier

__all__ = ["proof_chapter", "verdict_of_proof"]

_KINDS = {"ok": "clean", "failed": "error"}
_MOST_LINES = 200
_PASSED, _FAILED, _COMPLAINT = "passed: ", "failed: ", "complaint: "
_CHANGES = (("mended", "Mended: only without the series"), ("new", "New: only with the series"), ("same", "As before"))


def verdict_of_proof(document: Document) -> str:
    """Return what came of a proof, in one line."""
    failed = [stage["name"] for stage in document["stages"] if stage["status"] == "failed"]
    if failed:
        return f"not proved: {', '.join(failed)} failed"
    return "every stage passed" if document["proved"] else "not proved"


def proof_chapter(dossier: Dossier) -> dict[str, Any] | None:
    """Return what the template needs of a proof; None without one."""
    document = dossier.documents.get("prove")
    if document is None:
        return None
    stages, baseline = document["stages"], {stage["name"]: stage for stage in document["baseline"]}
    names = dict.fromkeys([*(stage["name"] for stage in stages), *baseline])
    by_name = {stage["name"]: stage for stage in stages}
    return {
        "facts": _facts(document),
        "rows": [
            {
                "name": name,
                "anchor": f"{dossier.anchor}-stage-{number}",
                "with": _stage(by_name.get(name)),
                "without": _stage(baseline.get(name)),
            }
            for number, name in enumerate(names)
        ],
        "has_baseline": bool(baseline),
        "changes": _changes(document),
        "patches": document["series"]["patches"],
        "programs": document["programs"],
        "config": document["config"],
        "tree": document["tree"],
        "notes": document["notes"],
    }


def _facts(document: Document) -> list[dict[str, str]]:
    """Return the figures that stand above the stages."""
    stages = document["stages"]
    done = [stage for stage in stages if stage["status"] != "skipped"]
    passed = sum(stage["status"] == "ok" for stage in done)
    spent = sum(stage["seconds"] for stage in (*done, *document["baseline"]))
    facts = [
        ("Stages", f"{passed} of {len(done)}", "passed"),
        ("Patches", f"{len(document['series']['patches']):,}", f"series {document['series']['digest']}"),
        ("Tree", f"Linux {document['tree']['version']}", document["tree"]["what"]),
        ("Time", _duration(spent), "of all stages"),
        ("Fails at", document["fail_on"], "and above"),
    ]
    return [{"label": label, "value": value, "more": more} for label, value, more in facts]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _stage(stage: Document | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    levels = [each["level"] for each in stage["findings"]]
    return {
        **stage,
        "kind": _KINDS.get(stage["status"], "none"),
        "time": "" if stage["status"] == "skipped" else f"{stage['seconds']:,.1f}",
        "counts": {level: levels.count(level) for level in LEVELS if level in levels},
        "findings": sorted(stage["findings"], key=lambda each: rank(each["level"])),
        **_told(stage["name"], stage["lines"]),
    }


def _told(name: str, lines: Sequence[str]) -> dict[str, Any]:
    """Return what a stage says: of a boot its tests apart from the rest."""
    tests: list[tuple[str, str]] = []
    rest: list[str] = []
    for line in lines[:_MOST_LINES]:
        if name == "boot" and line.startswith(_PASSED):
            tests += [("ok", each) for each in line.removeprefix(_PASSED).split(", ")]
        elif name == "boot" and line.startswith(_FAILED):
            tests.insert(0, ("failed", line.removeprefix(_FAILED)))
        else:
            rest.append(line)
    return {
        "tests": [{"status": status, "kind": _KINDS[status], "name": each} for status, each in tests],
        "lines": [{"text": line, "is_bad": line.startswith(_COMPLAINT)} for line in rest],
        "more": max(len(lines) - _MOST_LINES, 0),
    }


def _changes(document: Document) -> list[dict[str, Any]] | None:
    """Return what the series mends and brings; None if that is not known."""
    if document["changes"] is None:
        return None
    before = _by_key(document["baseline"])
    found = before | _by_key(document["stages"])
    return [
        {
            "title": title,
            "kind": name,
            "count": plural(len(document["changes"][name]), "finding"),
            "findings": sorted(
                ({**found[key], "before": before.get(key, found[key])["sites"]}
                 for key in document["changes"][name] if key in found),
                key=lambda each: rank(each["level"]),
            ),
        }
        for name, title in _CHANGES
    ]  # fmt: skip


def _by_key(stages: Iterable[Document]) -> dict[str, Document]:
    return {found["key"]: found for stage in stages for found in stage["findings"]}
