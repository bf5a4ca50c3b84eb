# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of JSON Schema as genpatch's own schemas use, to check a document before it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

__all__ = ["first_problem"]

Schema = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def first_problem(value: Any, schema: Schema) -> str:
    """Return where and how a value breaks a schema, empty if it does not."""
    return next(_problems(value, schema, schema, ""), "")


def _problems(value: Any, schema: Schema, root: Schema, place: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{place or 'the document'}: expected {schema['type']}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{place}: expected {schema['const']!r}"
    if "enum" in schema and not any(value == each and type(value) is type(each) for each in schema["enum"]):
        yield f"{place}: expected one of {', '.join(map(repr, schema['enum']))}"
    if "pattern" in schema and isinstance(value, str) and not _pattern(schema["pattern"]).search(value):
        yield f"{place}: expected text that matches {schema['pattern']}"
    if "minimum" in schema and _is(value, "number") and not value >= schema["minimum"]:
        yield f"{place}: expected at least {schema['minimum']}"
    if "anyOf" in schema and all(first_of(value, each, root, place) for each in schema["anyOf"]):
        yield first_of(value, schema["anyOf"][0], root, place)
    if isinstance(value, list) and "items" in schema and not _all_plain(value, schema["items"]):
        for number, each in enumerate(value):
            yield from _problems(each, schema["items"], root, f"{place}[{number}]")
    if isinstance(value, dict):
        yield from _members(value, schema, root, place)


def first_of(value: Any, schema: Schema, root: Schema, place: str) -> str:
    """Return the first problem with a part of a document."""
    return next(_problems(value, schema, root, place), "")


def _all_plain(values: list[Any], schema: Schema) -> bool:
    """Tell at once of a long list of numbers or texts that all fit."""
    if not set(schema) <= {"type", "minimum"} or schema.get("type") not in ("integer", "string"):
        return False
    if not set(map(type, values)) <= {_TYPES[schema["type"]][0]}:
        return False
    return "minimum" not in schema or not values or min(values) >= schema["minimum"]


def _members(value: dict[str, Any], schema: Schema, root: Schema, place: str) -> Iterator[str]:
    dependent = (names for name, names in schema.get("dependentRequired", {}).items() if name in value)
    for name in (*schema.get("required", ()), *chain.from_iterable(dependent)):
        if name not in value:
            yield f"{place or 'the document'}: no {name!r}"
            return
    named = schema.get("properties", {})
    for name, each in value.items():
        inner = f"{place}.{name[:40]}".lstrip(".")
        if "propertyNames" in schema:
            yield from _problems(name, schema["propertyNames"], root, f"{inner} (name)")
        if name in named:
            yield from _problems(each, named[name], root, inner)
        elif isinstance(schema.get("additionalProperties"), dict):
            yield from _problems(each, schema["additionalProperties"], root, inner)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)
