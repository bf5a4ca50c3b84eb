# SPDX-License-Identifier: GPL-2.0-or-later
"""SARIF 2.1.0 (OASIS), with what GitHub code scanning asks for beyond the schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ...audit.model import Status
from ..document import AuditDocument, FindingRecord, ImageRecord, RuleRecord, SourceFinding
from ..escape import printable
from ..fingerprint import fingerprint, unique
from ..rule_docs import rule_docs
from ..views import artefact_names, is_known, places, rule_rows, undecided_rules, worst_first
from . import RenderOptions

NAME = "sarif"
DESCRIPTION = "SARIF 2.1.0 for code scanning"

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS = 25_000
MAX_RELATED = 100
_PROBLEM = {"error": "error", "warning": "warning", "note": "recommendation"}
# A kernel address does not fit the signed integers and doubles that readers of JSON have, so addresses are
# offsets from the 2 GiB that most of an image's findings lie in; the address itself stands beside as text.
_WINDOW = 1 << 31

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Artefact:
    """One image; `index` is its place in run.artifacts and in run.addresses."""

    index: int
    name: str
    uri: str
    base: int
    image: ImageRecord

    def location(self) -> Json:
        """Return the artifactLocation that refers to it."""
        return {"uri": self.uri, "index": self.index}


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield one log with one run; results are sorted worst first, so that a limit keeps the worst."""
    log = {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [_run(document)]}
    yield json.dumps(log, indent=2)
    yield "\n"


def _run(document: AuditDocument) -> Json:
    artefacts = _artefacts(document)
    records = [row.record for row in rule_rows(document.total)]
    findings = worst_first(document.total.findings)
    index = {record.rule: place for place, record in enumerate(records)}
    fingerprints = unique(finding.fingerprint for finding in findings)
    results = [
        _result(finding, index[finding.rule], name, artefacts)
        for finding, name in zip(findings[:MAX_RESULTS], fingerprints, strict=False)
    ]
    first = next(iter(artefacts.values()))
    skipped = [
        _not_applicable(record, index[record.rule], first) for record in records if record.status == Status.SKIPPED
    ]
    category = first.name if len(artefacts) == 1 else "images"
    return {
        "tool": {"driver": _driver(document, records)},
        "automationDetails": {"id": f"genpatch-{document.verb}/{quote(printable(category), safe='')}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(document, records, index, len(findings) - len(results))],
        "artifacts": [_artifact(artefact) for artefact in artefacts.values()],
        **_addresses(document, artefacts),
        "results": results + skipped,
    }


def _addresses(document: AuditDocument, artefacts: dict[str, _Artefact]) -> Json:
    """Return the addresses that others are relative to; source has none."""
    if document.is_about_source:
        return {}
    return {"addresses": [_base_address(artefact) for artefact in artefacts.values()]}


def _artefacts(document: AuditDocument) -> dict[str, _Artefact]:
    names = artefact_names(document)
    windows: dict[str, Counter[int]] = {}
    for finding in document.total.findings:
        for place in places(finding):
            windows.setdefault(finding.image, Counter())[int(place.address, 16) // _WINDOW] += 1
    images = {image.input.path: image for image in document.images or (document.total,)}
    for finding in document.total.findings:
        images.setdefault(finding.image, document.total)
    return {
        path: _Artefact(
            index=index,
            name=printable(names[path]),
            uri=quote(printable(names[path])),
            base=_most_common(windows.get(path)) * _WINDOW,
            image=image,
        )
        for index, (path, image) in enumerate(images.items())
    }


def _most_common(windows: Counter[int] | None) -> int:
    return min(windows, key=lambda window: (-windows[window], window)) if windows else 0


def _driver(document: AuditDocument, records: list[RuleRecord]) -> Json:
    return {
        "name": document.tool["name"],
        "semanticVersion": document.tool["version"],
        "rules": [_rule(record) for record in records],
    }


def _rule(record: RuleRecord) -> Json:
    docs = rule_docs(record.rule, record.name)
    return {
        "id": record.rule,
        "name": record.name,
        "shortDescription": {"text": docs.short},
        "fullDescription": {"text": docs.full},
        "help": {"text": docs.help_text, "markdown": docs.help_markdown},
        "defaultConfiguration": {"level": record.level},
        "properties": {
            "precision": "very-high",
            "problem.severity": _PROBLEM.get(record.level, "recommendation"),
            "tags": ["ftrace", "linux", "riscv"],
        },
    }


def _invocation(document: AuditDocument, records: list[RuleRecord], index: dict[str, int], cut: int) -> Json:
    failed = [record for record in records if record.status == Status.ERROR]
    undecided = undecided_rules(document)
    notices = [
        {
            "level": "error",
            "message": {
                "text": printable(
                    f"{record.rule} {record.name} {'was not decided' if record in undecided else 'failed to run'}: "
                    f"{record.reason}"
                )
            },
            "associatedRule": {"id": record.rule, "index": index[record.rule]},
        }
        for record in failed
    ]
    notices += [{"level": "error", "message": {"text": printable(line)}} for line in document.trouble]
    notices += [{"level": "note", "message": {"text": printable(note)}} for note in document.total.notes]
    if cut:
        notices.append({"level": "warning", "message": {"text": f"{cut:,} findings are left out"}})
    return {"executionSuccessful": not failed and not document.trouble, "toolExecutionNotifications": notices}


def _artifact(artefact: _Artefact) -> Json:
    source = artefact.image.input
    properties = {
        "kind": source.kind,
        "kernelRelease": source.kernel_release,
        "gnuBuildId": source.build_id,
        "scheme": artefact.image.scheme,
    }
    return {
        "location": {"uri": artefact.uri},
        "roles": ["analysisTarget"],
        "properties": {key: printable(value) for key, value in properties.items() if value},
    }


def _base_address(artefact: _Artefact) -> Json:
    return {
        "index": artefact.index,
        "kind": "module",
        "name": artefact.name,
        "fullyQualifiedName": f"{artefact.name}@{artefact.base:#x}",
    }


def _result(finding: FindingRecord, rule: int, name: str, artefacts: dict[str, _Artefact]) -> Json:
    artefact = artefacts[finding.image]
    result: Json = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": finding.level,
        "kind": "fail",
        "message": {"text": printable(finding.message)},
        "analysisTarget": artefact.location(),
        "locations": [_primary(finding, artefact)],
        "partialFingerprints": _fingerprints(name),
        "properties": {"sites": finding.sites},
    }
    if isinstance(finding, SourceFinding):
        result.pop("properties")
    if finding.address is not None:
        result["properties"]["va"] = finding.address
    related = _related(finding, artefact)
    if related:
        result["relatedLocations"] = related
    if finding.baseline is not None:
        result["baselineState"] = finding.baseline
    if is_known(finding):
        result["suppressions"] = [{"kind": "external", "justification": "baseline"}]
    return result


def _primary(finding: FindingRecord, artefact: _Artefact) -> Json:
    """Return the location that is shown: a line of source, or where in an image."""
    if not isinstance(finding, SourceFinding):
        return _with_region(_location(artefact, finding.address, finding.symbol, finding.section))
    line = max(finding.line, 1)
    here = finding.file == artefact.image.input.path
    where = artefact.location() if here else {"uri": quote(printable(finding.file))}
    region = {"startLine": line, "startColumn": 1, "endLine": line, "endColumn": 2}
    return {"physicalLocation": {"artifactLocation": where, "region": region}}


def _fingerprints(name: str) -> Json:
    return {"primaryLocationLineHash": name, "genpatchFinding/v1": name}


def _related(finding: FindingRecord, artefact: _Artefact) -> list[Json]:
    return [
        {
            "id": number,
            "message": {"text": printable(f"{example.address} {example.symbol}".rstrip())},
            **_location(artefact, example.address, example.symbol, finding.section),
            "properties": {"va": example.address},
        }
        for number, example in enumerate(finding.examples[:MAX_RELATED], 1)
    ]


def _location(artefact: _Artefact, va: str | None, symbol: str, section: str) -> Json:
    physical: Json = {"artifactLocation": artefact.location()}
    if va is not None:
        address = _address(artefact, va, symbol, section)
        if address is not None:
            physical["address"] = address
    location: Json = {"physicalLocation": physical}
    if symbol:
        name = printable(symbol)
        qualified = f"{artefact.name}::{name}"
        location["logicalLocations"] = [{"name": name, "fullyQualifiedName": qualified, "kind": "function"}]
    return location


def _with_region(location: Json) -> Json:
    """Add the line that GitHub wants to attach a result to; an image has none."""
    location["physicalLocation"]["region"] = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}
    return location


def _address(artefact: _Artefact, va: str, symbol: str, section: str) -> Json | None:
    """Return an address relative to the image's base, or None for one that is nowhere near."""
    offset = int(va, 16) - artefact.base
    if not -_WINDOW <= offset < 2 * _WINDOW:
        return None
    place = printable("!".join(part for part in (artefact.name, section, symbol) if part))
    return {
        "kind": "instruction",
        "name": va,
        "fullyQualifiedName": place,
        "parentIndex": artefact.index,
        "relativeAddress": offset,
        "offsetFromParent": offset,
    }


def _not_applicable(record: RuleRecord, rule: int, artefact: _Artefact) -> Json:
    name = fingerprint(record.rule, artefact.name, "", "skipped")
    return {
        "ruleId": record.rule,
        "ruleIndex": rule,
        "level": "none",
        "kind": "notApplicable",
        "message": {"text": printable(f"{record.name} was not run: {record.reason}")},
        "locations": [_with_region(_location(artefact, None, "", ""))],
        "partialFingerprints": _fingerprints(f"{name}:1"),
    }
