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
from ..document import AuditDocument, Example, FindingRecord, ImageRecord, RuleRecord
from ..escape import printable
from ..fingerprint import fingerprint, unique
from ..rule_docs import RuleDocs, rule_docs
from ..views import artefact_names, is_known, plural_rest, rule_rows, worst_first
from . import RenderOptions

NAME = "sarif"
DESCRIPTION = "SARIF 2.1.0 for code scanning"

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS = 25_000
MAX_LOCATIONS = 1_000
_PROBLEM = {"error": "error", "warning": "warning", "note": "recommendation"}
_TAGS = ["linux", "riscv", "ftrace"]
# Addresses are given relative to the 2 GiB that most of an image's findings lie in: a kernel address does not
# fit the 64-bit signed integers and doubles that readers of JSON have.
_WINDOW = 1 << 31

Json = dict[str, Any]


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield one log with one run; results are sorted worst first, so that a limit keeps the worst."""
    log = {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [_Run(document, options).as_json()]}
    yield json.dumps(log, indent=2)
    yield "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Artefact:
    """One image: its place in run.artifacts and run.addresses, and its base address."""

    index: int
    name: str
    uri: str
    base: int
    image: ImageRecord


class _Run:
    """One run under construction."""

    def __init__(self, document: AuditDocument, options: RenderOptions) -> None:
        self._document = document
        self._options = options
        records = {row.record.rule: row.record for row in rule_rows(document.total)}
        self._rules = list(records.values())
        self._rule_index = {record.rule: index for index, record in enumerate(self._rules)}
        names = artefact_names(document)
        bases = _bases(document)
        self._artefacts = {
            image.input.path: _Artefact(
                index=index,
                name=names[image.input.path],
                uri=_uri(names[image.input.path]),
                base=bases.get(image.input.path, 0),
                image=image,
            )
            for index, image in enumerate(document.images)
        }
