# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schemas of the documents; keys are only ever added, so readers allow for more."""

from __future__ import annotations

from typing import Any

from ..check.render import SCHEMA as CHECK_SCHEMA
from ..race.environment import Fetch, Patching, Preemption
from ..race.model import Kind
from .document import AUDIT_SCHEMA, COMPARE_SCHEMA, DIFF_SCHEMA, PROVE_SCHEMA, RACE_SCHEMA, VERIFY_SCHEMA

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
    "spread": {
        "description": "sites in each `bin` bytes from `base` on, and those of them that a level names",
        **_record(
            base=ADDRESS,
            bin={"type": "integer", "minimum": 1},
            sites=_list(COUNT),
            levels={"type": "object", "additionalProperties": _list(COUNT)},
        ),
    },
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


_SITE_ROWS: Schema = {
    "description": "the sites as columns of `count` entries; only with --sites",
    **_record(
        count=COUNT,
        base=ADDRESS,
        func={"description": "address of each function, from `base`", **_list(COUNT)},
        symbols=_list(TEXT),
        sections=_list(TEXT),
        section={"description": "position in `sections`", **_list(COUNT)},
        shapes=_list(_record(before=COUNT, after=COUNT, nop=TEXT, entry=NUMBER, ip=NUMBER)),
        shape={"description": "position in `shapes`", **_list(COUNT)},
        alignment=_list(COUNT),
        hits=_list(_record(rule=RULE, level=LEVEL, sites=_list(COUNT))),
        states={
            "description": "what a sled holds, word by word; index: position in values, -1 where nothing can be read",
            **_list(
                _record(
                    state=TEXT,
                    what=TEXT,
                    words=_list(
                        _record(at=NUMBER, values=_list(ADDRESS), index=_list({"type": "integer", "minimum": -1}))
                    ),
                )
            ),
        },
        literal={"description": "where a pointer stands, from func", **_optional(NUMBER)},
        names={"description": "of addresses in sleds", "type": "object", "additionalProperties": TEXT},
    ),
}


def _with_sites(record: Schema) -> Schema:
    """Return the schema of something that may have its sites with it."""
    return {**record, "properties": {**record["properties"], "site_rows": _SITE_ROWS}}


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
        "spread": _optional(_ref("spread")),
        "rules": _list(_ref("rule")),
        "findings": findings,
        "notes": _list(TEXT),
    }


def _document(verb: str, schema: str, description: str, more: Schema, definitions: Schema) -> Schema:
    """Return the schema of a verb's document: what all have, and what only this one has."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:genpatch:schema:{schema.replace('/', ':')}",
        "title": f"genpatch {verb}",
        "description": f"{description} Addresses are hex strings.",
        **_with_sites(
            _record(
                schema={"const": schema},
                tool=_record(name=TEXT, version=TEXT),
                summary=_ref("summary"),
                images=_list(_ref("image")),
                trouble=_list(TEXT),
                seconds={"type": "number", "minimum": 0},
                **_image(_list(_ref("finding"))),
                **more,
            )
        ),
        "$defs": {**DEFINITIONS, "image": _with_sites(_record(**_image(COUNT))), **definitions},
    }


AUDIT_JSON_SCHEMA = _document(
    "audit", AUDIT_SCHEMA, "What genpatch audit found in one kernel image or several.", {}, {}
)

_SEQUENCES: Schema = {
    "type": "object",
    "description": "what each patching function did in order, by function and alignment of func",
    "additionalProperties": _list(TEXT),
}
_RUN = {
    "sites": COUNT,
    "states": _list(_ref("state")),
    "stores": _list(_ref("store")),
    "sequences": _SEQUENCES,
    "failures": _list(_ref("failure")),
    "listings": _list(_ref("listing")),
    "missing": _list(TEXT),
    "insns": COUNT,
    "bpf": _optional(_ref("bpf")),
}
"""What running one image came to; beside it `notes` and `seconds`, which a document has anyway."""

VERIFY_JSON_SCHEMA = _document(
    "verify",
    VERIFY_SCHEMA,
    "What came of running a kernel's patching code; of several images the keys of a run are in `runs`.",
    {"runs": _list(_ref("run")), "insns": COUNT},
    {
        "state": _record(state=TEXT, what=TEXT, sites=COUNT, passed=COUNT, failed=COUNT, skipped=TEXT),
        "store": _record(what=TEXT, width=COUNT, aligned={"type": "boolean"}, count=COUNT),
        "failure": _record(
            symbol=TEXT, address=ADDRESS, state=TEXT, promise=TEXT, what=TEXT, expected=ADDRESS, got=ADDRESS
        ),
        "bpf": _record(
            trouble={"type": "string", "description": "why nothing was run; empty if it was"},
            function=TEXT,
            accepted=COUNT,
            refused=COUNT,
            flags=_list(TEXT),
            trampolines=COUNT,
            made=COUNT,
            passed=COUNT,
            programs=COUNT,
            programs_refused=COUNT,
            programs_passed=COUNT,
            pokes=COUNT,
            detached=COUNT,
            jit_insns=COUNT,
            insns=COUNT,
            failures=_list(_ref("bpf_failure")),
            notes=_list(TEXT),
            seconds={"type": "number", "minimum": 0},
        ),
        "bpf_failure": _record(
            promise=TEXT,
            what=TEXT,
            alike=COUNT,
            cases=COUNT,
            example=TEXT,
            expected=ADDRESS,
            got=ADDRESS,
            note=TEXT,
            requested={"type": "boolean", "description": "whether something in the kernel asks for such a trampoline"},
            listing=_list(TEXT),
        ),
        "listing": _record(state=TEXT, promise=TEXT, what=TEXT, symbol=TEXT, lines=_list(TEXT)),
        "run": _record(path=TEXT, notes=_list(TEXT), seconds={"type": "number", "minimum": 0}, **_RUN),
    },
)

VERIFY_JSON_SCHEMA["$defs"]["bpf_failure"]["properties"]["unused"] = {  # not required: older documents have none
    "type": "string",
    "description": "why nothing in the kernel as it is comes to this; empty if something may",
}
VERIFY_JSON_SCHEMA["properties"] |= _RUN  # of a document with several runs these are in each of them

_RACE: dict[str, Schema] = {
    "about": {"enum": ["schemes", "kernel"]},
    "subjects": _list(TEXT),
    "environments": _list(_ref("environment")),
    "counts": _record(safe=COUNT, unsafe=COUNT, unfinished=COUNT, skipped=COUNT),
    "states": COUNT,
    "cases": _list(_ref("case")),
    "evidence": _list(TEXT),
    "function_choice": TEXT,
}
_BOOL: Schema = {"type": "boolean"}
_KIND: Schema = {"enum": [kind.value for kind in Kind]}
_WORLD: dict[str, Schema] = {
    "harts": {"enum": ["single", "smp"]},
    "preempt": {"enum": [each.value for each in Preemption]},
    "stop_machine": _BOOL,
    "fetch": {"enum": [each.value for each in Fetch]},
    "alignment": {"enum": [2, 4, 8]},
    "remote_fence": {"enum": ["ok", "missing", "early", "unordered"]},
    "wait": _BOOL,
    "fused_pair": {"enum": ["none", "auipc-jalr", "any"]},
    "patcher": {"enum": [each.value for each in Patching]},
    "patchers": {"enum": [1, 2]},
    "lock": _BOOL,
    "migration": _BOOL,
}
"""An environment's settings, in the list of environments and in each case."""

RACE_JSON_SCHEMA = _document(
    "race",
    RACE_SCHEMA,
    "What came of exploring how patching interleaves with execution; only of a kernel there are an audit's keys.",
    _RACE,
    {
        "environment": {"description": "one that there are cases of", **_record(name=TEXT, what=TEXT, **_WORLD)},
        "line": _record(who=TEXT, text=TEXT),
        "case": _record(
            scheme=TEXT,
            subject=TEXT,
            transition=TEXT,
            environment=_ref("world"),
            verdict={"enum": ["safe", "unsafe", "unfinished", "skipped"]},
            kinds=_list(_KIND),
            states=COUNT,
            steps=COUNT,
            complete={"type": "boolean"},
            seconds={"type": "number", "minimum": 0},
            witnesses={"type": "object", "propertyNames": _KIND, "additionalProperties": _list(_ref("line"))},
            reason={"type": "string", "description": "why it is not safe, was skipped or is not decided; else empty"},
            witness={"description": "the shortest path to the first of `kinds`", **_list(_ref("line"))},
        ),
        "world": {"type": "object", "required": ["name"], "properties": {"name": TEXT, **_WORLD}},
    },
)  # fmt: skip
RACE_JSON_SCHEMA["required"] = sorted(["schema", "tool", "notes", "trouble", "seconds", *_RACE])
_OF_A_KERNEL = sorted(_image(COUNT))
RACE_JSON_SCHEMA["dependentRequired"] = {name: _OF_A_KERNEL for name in _OF_A_KERNEL if name != "notes"}
_STORES = _list(_record(width=COUNT, count=COUNT))
_KINDS_OF_RACE = _list(_KIND)
_VERDICT: Schema = {"enum": ["safe", "unsafe", "unfinished", "skipped"]}
_COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}

COMPARE_JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:genpatch:schema:{COMPARE_SCHEMA.replace('/', ':')}",
    "title": "genpatch compare",
    "description": "The schemes on one kernel. Addresses are hex strings, sizes and distances are bytes.",
    **_record(
        schema={"const": COMPARE_SCHEMA},
        tool=_record(name=TEXT, version=TEXT),
        input=_ref("input"),
        sites=COUNT,
        scheme=TEXT,
        scheme_variant=_optional(TEXT),
        frame={"enum": ["args", "regs"]},
        preemption=_record(full=_optional(_BOOL), evidence=TEXT),
        text=_record(
            sections=_list(TEXT), size=COUNT, bare=COUNT, relaid=COUNT, unexplained=COUNT, functions=COUNT,
            explained=COUNT, traced=COUNT, alignment=COUNT, natural_alignment=COUNT, unplaced=COUNT,
        ),
        schemes=_list(_ref("scheme")),
        others=_list(_ref("scheme")),
        own=_record(
            sites=COUNT,
            trampoline=_optional(COUNT),
            paths=_list(_record(state=TEXT, sites=COUNT, least=COUNT, most=COUNT, usual=COUNT)),
            patching=_list(
                _record(
                    function=TEXT, sites=COUNT, insns=COUNT, events=_COUNTS,
                    stores=_list(_record(width=COUNT, aligned=_BOOL, count=COUNT)),
                )
            ),
            framing=_list(TEXT),
        ),
        walk=_record(function=TEXT, tracers=_list(_record(tracers=COUNT, one=COUNT, every=COUNT))),
        notes=_list(TEXT),
        seconds={"type": "number", "minimum": 0},
    ),
    "$defs": {
        "input": DEFINITIONS["input"],
        "scheme": _record(
            scheme=TEXT,
            summary=TEXT,
            source=TEXT,
            before=COUNT,
            after=COUNT,
            alignment=COUNT,
            own=_BOOL,
            why_not=TEXT,
            text=_optional(
                _record(
                    size=COUNT, added=NUMBER, percent={"type": "number"}, sled=COUNT, padding=NUMBER,
                    added_traced_only=NUMBER,
                )
            ),
            instructions=_record(
                disabled=COUNT, traced=COUNT, direct=_optional(COUNT), traced_in_function=COUNT, traced_loads=COUNT,
                traced_stores=COUNT,
            ),
            trampoline=COUNT,
            toggles=_list(
                _record(
                    transition=TEXT, per_site=_STORES, shared=_STORES, all=_STORES, fences=COUNT, fences_apart=COUNT,
                    stop_machine=COUNT,
                )
            ),
            reach=_optional(
                _record(
                    what=TEXT, sites=COUNT, reached=_optional(COUNT), nearest=_optional(NUMBER),
                    farthest=_optional(NUMBER),
                )
            ),
            dispatchers=_optional(
                _record(at=_list(_record(address=ADDRESS, before=TEXT, sites=COUNT)), left=COUNT)
            ),
            finds={"enum": ["literal", "trampoline", "list"]},
            tracers=_list(_record(tracers=COUNT, packed=COUNT, paged=COUNT, call=COUNT)),
            here=_optional(TEXT),
            races=_list(
                _record(
                    environment=TEXT, verdict=_VERDICT, kinds=_KINDS_OF_RACE,
                    transitions=_list(_record(transition=TEXT, verdict=_VERDICT, kinds=_KINDS_OF_RACE, states=COUNT)),
                )
            ),
        ),
    },
}  # fmt: skip
_STAGE = _record(
    name=TEXT,
    status={"enum": ["ok", "failed", "skipped"]},
    seconds={"type": "number", "minimum": 0},
    evidence=TEXT,
    lines=_list(TEXT),
    findings=_list(_record(rule=TEXT, level=LEVEL, message=TEXT, key=TEXT, sites=COUNT)),
    log=TEXT,
    trouble=TEXT,
    kept={"type": "boolean"},
)
PROVE_JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:genpatch:schema:{PROVE_SCHEMA.replace('/', ':')}",
    "title": "genpatch prove",
    "description": "What became of each stage of proving a patch series, with the series and without it.",
    **_record(
        schema={"const": PROVE_SCHEMA},
        tool=_record(name=TEXT, version=TEXT),
        proved={"type": "boolean"},
        fail_on={"enum": ["error", "warning", "note", "never"]},
        tree=_record(version=TEXT, what=TEXT),
        series=_record(
            digest={"type": "string", "pattern": "^[0-9a-f]{12}$"},
            patches=_list(_record(subject=TEXT, files=_list(TEXT))),
        ),
        programs={"type": "object", "additionalProperties": TEXT},
        config=TEXT,
        stages=_list(_ref("stage")),
        baseline=_list(_ref("stage")),
        changes=_optional(_record(new=_list(TEXT), mended=_list(TEXT), same=_list(TEXT))),
        notes=_list(TEXT),
        seconds={"type": "number", "minimum": 0},
    ),
    "$defs": {"stage": _STAGE},
}
_PATCH_RULE: Schema = {
    "type": "string",
    "description": "GP5nn of a patch, another GPnnn of a built kernel, CP-TYPE of what checkpatch.pl calls TYPE",
    "pattern": "^(GP[0-9]{3}|CP(-[A-Z0-9_]+)?)$",
}
_PATCH_RULES = _list(
    _record(
        rule=_PATCH_RULE,
        name=TEXT,
        level=LEVEL,
        status={"enum": ["pass", "fail", "skipped", "error"]},
        findings=COUNT,
        reason=TEXT,
    )
)
CHECK_JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:genpatch:schema:{CHECK_SCHEMA.replace('/', ':')}",
    "title": "genpatch check",
    "description": "What genpatch check says of patches. Lines are counted from 1; 0 is none.",
    **_record(
        schema={"const": CHECK_SCHEMA},
        tool=_record(name=TEXT, version=TEXT),
        summary=_record(
            patches=COUNT,
            errors=COUNT,
            warnings=COUNT,
            notes=COUNT,
            worst={"enum": ["error", "warning", "note", "none"]},
        ),
        patches=_list(_record(name=TEXT, subject=_optional(TEXT), files=_list(TEXT), rules=_PATCH_RULES)),
        images=_list(_record(name=TEXT, rules=_PATCH_RULES)),
        findings=_list(
            _record(
                rule=_PATCH_RULE,
                name=TEXT,
                level=LEVEL,
                file={"description": "of the tree; - of a message; of what an image shows, the image", **TEXT},
                line=COUNT,
                message=TEXT,
                patch={"description": "the input that it is of", **TEXT},
            )
        ),
        skipped={"description": "what was not judged, and why", **_list(TEXT)},
    ),
}
_FOUND = {"description": "positions of its findings in `findings`", **_list(COUNT)}
_HUNK = _record(
    old={"description": "first line of the old side, as it stands in the tree where the patch applies", **COUNT},
    new={"description": "first line of the new side", **COUNT},
    lines={"description": "each with its mark: a space, + or -", **_list(TEXT)},
)
CHECK_JSON_SCHEMA["properties"]["patches"]["items"]["properties"] |= {  # not required: older documents have none
    "found": _FOUND,
    "author": TEXT,
    "message": {"description": "the subject first; lines of the input", **_list(_record(line=COUNT, text=TEXT))},
    "diff": _list(_record(old=_optional(TEXT), new=_optional(TEXT), copy=_BOOL, hunks=_list(_HUNK))),
}
CHECK_JSON_SCHEMA["properties"]["images"]["items"]["properties"]["found"] = _FOUND
_SIDE = _record(input=_optional(DEFINITIONS["input"]), scheme=TEXT, verbs=_list(TEXT))
_NAMED_BY_RULE = _list(_record(rule=RULE, level=LEVEL, kept=_list(TEXT), others=_list(TEXT), remark=TEXT))
_BPF_COUNTS = _optional(
    _record(
        accepted=COUNT, refused=COUNT, trampolines=COUNT, made=COUNT, passed=COUNT, programs=COUNT,
        programs_refused=COUNT, programs_passed=COUNT, pokes=COUNT, detached=COUNT,
    )
)  # fmt: skip
_BPF_CHANGES = _record(
    old=_BPF_COUNTS, new=_BPF_COUNTS, why_old=TEXT, why_new=TEXT,
    failures=_list(
        _record(
            change={"enum": ["new", "grown", "shrunk", "gone", "same"]}, promise=TEXT, what=TEXT, alike=COUNT,
            requested=_BOOL,
            rule={"description": "of the finding that tells of it, as its level; empty without one", **TEXT},
            level={"enum": ["error", "warning", "note", ""]}, cases_old=COUNT, cases_new=COUNT, example=TEXT,
            expected=ADDRESS, got=ADDRESS, note=TEXT,
        )
    ),
)  # fmt: skip
DIFF_JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": f"urn:genpatch:schema:{DIFF_SCHEMA.replace('/', ':')}",
    "title": "genpatch diff",
    "description": "What has changed between two kernels; sites are named by their functions.",
    **_record(
        schema={"const": DIFF_SCHEMA},
        tool=_record(name=TEXT, version=TEXT),
        old=_SIDE,
        new=_SIDE,
        compared=_list(TEXT),
        facts=_list(_record(what=TEXT, old=TEXT, new=TEXT, changed=_BOOL)),
        findings=_list(
            _record(
                change={"enum": ["new", "grown", "shrunk", "gone", "same"]}, rule=RULE, name=TEXT, level=LEVEL,
                symbol=TEXT, message=TEXT, sites_old=COUNT, sites_new=COUNT, verb=TEXT, remark=TEXT,
            )
        ),
        sites=_optional(
            _record(
                old=COUNT, new=COUNT, kept=COUNT, elsewhere=COUNT, gone=_list(TEXT), added=_list(TEXT),
                reshaped=_list(
                    _record(what={"enum": ["section", "sled"]}, old=TEXT, new=TEXT, count=COUNT, symbols=_list(TEXT))
                ),
                broken=_NAMED_BY_RULE, mended=_NAMED_BY_RULE,
            )
        ),
        states=_list(
            _record(
                state=TEXT, change={"enum": ["broken", "mended", "new", "gone", "same"]}, failed_old=_optional(COUNT),
                failed_new=_optional(COUNT), why_old=TEXT, why_new=TEXT, broken=_list(TEXT), mended=_list(TEXT),
            )
        ),
        races=_list(
            _record(
                transition=TEXT, environment=TEXT, old=TEXT, new=TEXT,
                change={"enum": ["broken", "mended", "changed", "new", "gone", "same"]},
            )
        ),
        notes=_list(TEXT),
    ),
}  # fmt: skip
DIFF_JSON_SCHEMA["properties"]["bpf"] = _optional(_BPF_CHANGES)  # not required: documents of before it have none
JSON_SCHEMAS = {
    "audit": AUDIT_JSON_SCHEMA,
    "verify": VERIFY_JSON_SCHEMA,
    "race": RACE_JSON_SCHEMA,
    "compare": COMPARE_JSON_SCHEMA,
    "check": CHECK_JSON_SCHEMA,
    "prove": PROVE_JSON_SCHEMA,
    "diff": DIFF_JSON_SCHEMA,
}
