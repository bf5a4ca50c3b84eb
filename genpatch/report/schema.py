# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schema of the audit document; keys are only ever added, so readers allow for more."""

from __future__ import annotations

from typing import Any

from .document import AUDIT_SCHEMA

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "integer"}
ADDRESS: Schema = {"type": "string", "pattern": "^0x[0-9a-f]+$"}
RULE: Schema = {"type": "string", "pattern": "^GP[0-9]{3}$"}
LEVEL: Schema = {"enum": ["error", "warning", "note"]}


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _record(**properties: Schema) -> Schema:
    """Return the schema of an object that has at least these keys."""
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


DEFINITIONS: Schema = {
    "input": _record(
        path=TEXT,
        kind=TEXT,
        kernel_release=_optional(TEXT),
        build_id=_optional(TEXT),
        symbols=TEXT,
        types=TEXT,
        config=TEXT,
    ),
    "table": _record(entries=COUNT, zero=COUNT, sites=COUNT, source=TEXT, sorted=_optional({"type": "boolean"})),
    "sled": _record(before=COUNT, after=COUNT, nop=TEXT, sites=COUNT),
    "alignment": {
        "type": "object",
        "description": "how many functions stand on a multiple of 2, 4, 8, ... bytes",
        "propertyNames": {"pattern": "^[1-9][0-9]*$"},
        "additionalProperties": COUNT,
    },
    "reach": _record(target=TEXT, min=NUMBER, max=NUMBER, within_jal=COUNT),
    "pair": _record(across_page=COUNT, across_line=COUNT),
    "rule": _record(
        rule=RULE,
        name=TEXT,
        level=LEVEL,
        status={"enum": ["pass", "fail", "skipped", "error"]},
        findings=COUNT,
        reason=TEXT,
    ),
    "finding": _record(
        rule=RULE,
        name=TEXT,
        level=LEVEL,
        image=TEXT,
        address=_optional(ADDRESS),
        symbol=TEXT,
        section=TEXT,
        message=TEXT,
        sites=COUNT,
        examples=_list(_record(address=ADDRESS, symbol=TEXT)),
        fingerprint={"type": "string", "pattern": "^[0-9a-f]{16}(:[1-9][0-9]*)?$"},
        baseline={"enum": ["new", "unchanged", None]},
    ),
    "summary": _record(
        images=COUNT,
        errors=COUNT,
        warnings=COUNT,
        notes=COUNT,
        skipped_rules=COUNT,
        failed_rules=COUNT,
        worst={"enum": ["error", "warning", "note", "none"]},
    ),
}


def _image(findings: Schema) -> dict[str, Schema]:
    return {
        "input": _ref("input"),
        "table": _ref("table"),
        "scheme": TEXT,
        "scheme_variant": _optional(TEXT),
        "scheme_evidence": _list(TEXT),
        "sleds": _list(_ref("sled")),
        "alignment": _ref("alignment"),
        "reach": _optional(_ref("reach")),
        "pair": _optional(_ref("pair")),
        "rules": _list(_ref("rule")),
        "findings": findings,
        "notes": _list(TEXT),
    }


AUDIT_JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:genpatch:schema:{AUDIT_SCHEMA.replace('/', ':')}",
    "title": "genpatch audit",
    "description": "What genpatch audit found in one kernel image or several. Addresses are hex strings.",
    **_record(
        schema={"const": AUDIT_SCHEMA},
        tool=_record(name=TEXT, version=TEXT),
        summary=_ref("summary"),
        images=_list(_ref("image")),
        trouble=_list(TEXT),
        seconds={"type": "number", "minimum": 0},
        **_image(_list(_ref("finding"))),
    ),
    "$defs": {**DEFINITIONS, "image": _record(**_image(COUNT))},
}
