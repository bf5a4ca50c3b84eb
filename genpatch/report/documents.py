# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents that genpatch has written, read again: by `genpatch report` and `genpatch diff`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .validate import first_problem

__all__ = ["MAX_SIZE", "Document", "documents_in", "is_document", "is_json", "read_document", "verb_of"]

Document = dict[str, Any]

MAX_SIZE = 512 << 20
_SNIFFED = 4096
_MOST_ROWS = 1 << 21
_LARGEST_TEXT = 1 << 40


def verb_of(document: Document) -> str:
    """Return whose document it is: ``audit`` for the schema ``genpatch/audit/1``."""
    return str(document["schema"]).split("/")[1]


def _head(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_SNIFFED).lstrip()
    except OSError:
        return b""


def is_json(path: str | Path) -> bool:
    """Tell whether a file looks like JSON: no kernel does."""
    return _head(path).startswith((b"{", b"["))


def is_document(path: str | Path) -> bool:
    """Tell whether a file looks like one of genpatch's documents."""
    return is_json(path) and b'"genpatch/' in _head(path)


def documents_in(path: str | Path) -> list[Path]:
    """Return the documents that lie in a directory, in order of their names."""
    return [each for each in sorted(Path(path).glob("*.json")) if each.is_file() and is_document(each)]


def read_document(path: str | Path, verbs: Iterable[str] = ()) -> Document:
    """Return a document, checked against the schema that it names.

    Args:
        path: the file.
        verbs: whose documents are welcome; all by default.

    Raises:
        InputError: it cannot be read, or is no such document.
    """
    from .schema import JSON_SCHEMAS

    where, known = str(path), {f"genpatch/{verb}/1": verb for verb in JSON_SCHEMAS}
    body = _parsed(Path(path), where)
    name = body.get("schema") if isinstance(body, dict) else None
    wanted = tuple(verbs) or tuple(JSON_SCHEMAS)
    verb = known.get(name) if isinstance(name, str) else None
    if verb is None or verb not in wanted:
        got = f"schema {name!r}"[:80] if isinstance(name, str) else "something else"
        raise InputError(where, expected=f"a document of genpatch {', '.join(wanted)} (--format json)", got=got)
    problem = first_problem(body, JSON_SCHEMAS[verb]) or _inconsistent(body)
    if problem:
        raise InputError(where, got=f"no document of genpatch {verb}: {problem}"[:400])
    document: Document = body
    return document


def _parsed(path: Path, where: str) -> Any:
    try:
        if path.stat().st_size > MAX_SIZE:
            raise InputError(where, expected=f"at most {MAX_SIZE:,} bytes", got=f"{path.stat().st_size:,}")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(where, got=error.strerror or str(error)) from error
    except RecursionError:
        raise InputError(where, expected="a document of genpatch", got="JSON nested too deeply") from None
    except ValueError as error:
        raise InputError(where, expected="JSON", got=str(error).split("\n")[0]) from error


def _inconsistent(document: Document) -> str:
    """Return how the columns of sites, or the bins of their spread, contradict each other; empty if they do not."""
    for image in (document, *document.get("images", ())):
        spread = image.get("spread") if isinstance(image, dict) else None
        if spread is not None and (problem := _bad_spread(spread)):
            return f"spread: {problem}"
        rows = image.get("site_rows") if isinstance(image, dict) else None
        if rows is not None and (problem := _bad_rows(rows)):
            return f"site_rows: {problem}"
    return ""


def _bad_spread(spread: Document) -> str:
    count = len(spread["sites"])
    if count * spread["bin"] > _LARGEST_TEXT:
        return f"{count:,} bins of {spread['bin']:,} bytes, at most {_LARGEST_TEXT:,} bytes in all"
    for level, column in spread["levels"].items():
        if len(column) != count:
            return f"levels.{level[:20]} has {len(column):,} entries of {count:,}"
    return ""


def _bad_rows(rows: Document) -> str:
    count = rows["count"]
    if count > _MOST_ROWS:
        return f"{count:,} sites, at most {_MOST_ROWS:,} are read"
    columns = {name: rows[name] for name in ("func", "symbols", "section", "shape", "alignment")}
    columns |= {f"states.{n}": word["index"] for n, each in enumerate(rows["states"]) for word in each["words"]}
    for name, column in columns.items():
        if len(column) != count:
            return f"{name} has {len(column):,} entries of {count:,}"
    bounds = [("section", rows["section"], len(rows["sections"])), ("shape", rows["shape"], len(rows["shapes"]))]
    bounds += [("hits", hit["sites"], count) for hit in rows["hits"]]
    bounds += [("states", word["index"], len(word["values"])) for each in rows["states"] for word in each["words"]]
    bounds += [(name, rows[name], 1 << 63) for name in ("func", "alignment")]
    for name, column, end in bounds:
        if column and max(column) >= end:
            return f"{name} points behind the end"
    return ""
