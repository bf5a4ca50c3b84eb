# SPDX-License-Identifier: GPL-2.0-or-later
"""Baselines: the findings of one audit written down, so that the next reports only what is new."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..audit.model import Status, plural
from ..errors import InputError
from .document import AuditDocument, FindingRecord, ImageRecord, Summary
from .fingerprint import unique
from .views import KNOWN, tally

BASELINE_SCHEMA = "genpatch/baseline/1"
MAX_SIZE = 64 << 20
MAX_NAMED = 5
_FINGERPRINT = re.compile(r"[0-9a-f]{16}:[1-9][0-9]{0,8}")
_RULE = re.compile(r"GP[0-9]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted finding; `count` sites of it are accepted, `reason` is for people to fill in."""

    rule: str
    symbol: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a baseline file holds, by fingerprint."""

    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineReport:
    """How a document compares with a baseline.

    Args:
        known: findings that the baseline has, with as many sites or fewer.
        new: findings that it lacks.
        grown: findings that it has with fewer sites; reported as new.
        gone: fingerprints of entries whose rule ran and found nothing such.
        unjudged: entries whose rule did not run, so that nobody knows.
    """

    known: int
    new: int
    grown: int
    gone: tuple[str, ...]
    unjudged: int


def write_baseline(document: AuditDocument, previous: Baseline | None = None) -> str:
    """Return a baseline of every finding; reasons given in an earlier baseline are kept."""
    findings = document.total.findings
    names = unique(finding.fingerprint for finding in findings)
    old = previous.entries if previous is not None else {}
    entries = {
        name: {
            "rule": finding.rule,
            "symbol": finding.symbol,
            "count": finding.sites,
            "reason": old[name].reason if name in old else "",
        }
        for name, finding in zip(names, findings, strict=True)
    }
    return json.dumps({"schema": BASELINE_SCHEMA, "entries": entries}, indent=2, sort_keys=True) + "\n"


def read_baseline(data: bytes, where: str) -> Baseline:
    """Return the baseline that a file holds.

    Args:
        where: the file's name, for messages.

    Raises:
        InputError: it is not a baseline, or one of a version that is not known.
    """
    body = _object(where, "", _parse(data, where), ("schema", "entries"))
    if body["schema"] != BASELINE_SCHEMA:
        raise InputError(where, "schema", expected=f'"{BASELINE_SCHEMA}"', got=_brief(body["schema"]))
    if not isinstance(body["entries"], dict):
        raise InputError(where, "entries", expected="an object", got=_brief(body["entries"]))
    return Baseline(entries={name: _entry(where, name, value) for name, value in body["entries"].items()})


def _parse(data: bytes, where: str) -> Any:
    if len(data) > MAX_SIZE:
        raise InputError(where, expected=f"at most {MAX_SIZE:,} bytes", got=f"{len(data):,}")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except RecursionError:
        raise InputError(where, expected="a baseline", got="JSON nested too deeply") from None
    except ValueError as error:
        # JSONDecodeError, UnicodeDecodeError, integers beyond Python's limit, and our own two hooks.
        raise InputError(where, expected="a baseline in JSON", got=str(error).split("\n")[0]) from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        twin = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {_brief(twin)} twice")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(f"the constant {name}")


def _object(where: str, place: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(where, place, expected="an object", got=_brief(value))
    if set(value) != set(keys):
        odd = sorted(set(value) ^ set(keys))[0]
        problem = f"no {_brief(odd)}" if odd in keys else f"the key {_brief(odd)}"
        raise InputError(where, place, expected=f"the keys {', '.join(keys)}", got=problem)
    return value


def _entry(where: str, name: str, value: Any) -> Entry:
    place = f"entry {_brief(name)}"
    if not _FINGERPRINT.fullmatch(name):
        raise InputError(where, place, expected="a fingerprint and an ordinal as key", got=_brief(name))
    body = _object(where, place, value, ("rule", "symbol", "count", "reason"))
    for key in ("rule", "symbol", "reason"):
        if not isinstance(body[key], str):
            raise InputError(where, f"{place}: {key}", expected="a string", got=_brief(body[key]))
    if not _RULE.fullmatch(body["rule"]):
        raise InputError(where, f"{place}: rule", expected="GP and three digits", got=_brief(body["rule"]))
    count = body["count"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InputError(where, f"{place}: count", expected="a number of sites", got=_brief(count))
    return Entry(rule=body["rule"], symbol=body["symbol"], count=count, reason=body["reason"])


def _brief(value: Any) -> str:
    """Return what was found instead, in one short line."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value) if not isinstance(value, int) or abs(value) < 1 << 64 else "a huge number"
    return text if len(text) <= 40 else text[:37] + "..."


def apply_baseline(document: AuditDocument, baseline: Baseline) -> tuple[AuditDocument, BaselineReport]:
    """Mark each finding as known or new; the summary then counts only what is not known.

    Returns:
        The document, with a note for entries that are gone, and the counts.
    """
    total = _mark(document.total, baseline)
    states = [finding.baseline for finding in total.findings]
    names = list(unique(finding.fingerprint for finding in total.findings))
    in_baseline = sum(name in baseline.entries for name in names)
    missing = sorted(set(baseline.entries) - set(names))
    ran = {r.rule for r in total.rules if r.status in (Status.PASS, Status.FAIL)}
    gone = tuple(name for name in missing if baseline.entries[name].rule in ran)
    report = BaselineReport(
        known=states.count(KNOWN),
        new=len(names) - in_baseline,
        grown=in_baseline - states.count(KNOWN),
        gone=gone,
        unjudged=len(missing) - len(gone),
    )
    total = replace(total, notes=(*total.notes, *_remarks(report, baseline)))
    images = tuple(_mark(image, baseline) for image in document.images) if len(document.images) > 1 else ()
    marked = replace(document, total=total, images=images or (total,) * len(document.images))
    return replace(marked, summary=_summary(marked)), report


def _mark(image: ImageRecord, baseline: Baseline) -> ImageRecord:
    names = unique(finding.fingerprint for finding in image.findings)
    findings = (
        _judge(finding, baseline.entries.get(name)) for finding, name in zip(image.findings, names, strict=True)
    )
    return replace(image, findings=tuple(findings))


def _judge(finding: FindingRecord, entry: Entry | None) -> FindingRecord:
    if entry is None:
        return replace(finding, baseline="new")
    if finding.sites <= entry.count:
        return replace(finding, baseline=KNOWN)
    return replace(finding, baseline="new", message=f"{finding.message} ({entry.count:,} known)")


def _remarks(report: BaselineReport, baseline: Baseline) -> list[str]:
    remarks = []
    if report.gone:
        named = [baseline.entries[name] for name in report.gone[:MAX_NAMED]]
        texts = [f"{entry.rule} {entry.symbol}".rstrip() for entry in named]
        texts += [f"{len(report.gone) - MAX_NAMED:,} more"] if len(report.gone) > MAX_NAMED else []
        remarks.append(f"baseline: {plural(len(report.gone), 'known finding')} gone: {', '.join(texts)}")
    if report.unjudged:
        remarks.append(f"baseline: {plural(report.unjudged, 'known finding')} of rules that did not run")
    return remarks


def _summary(document: AuditDocument) -> Summary:
    counts = tally(document.total.findings)
    return replace(
        document.summary,
        errors=counts["error"],
        warnings=counts["warning"],
        notes=counts["note"],
        worst=next((level for level, count in counts.items() if count), "none"),
    )
