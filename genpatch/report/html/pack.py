# SPDX-License-Identifier: GPL-2.0-or-later
"""The sites of a page, packed: columns as differences, compressed, as text that means nothing to HTML."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Sequence

import numpy as np

from ...isa.insn import decode
from ..documents import Document
from ..escape import printable
from .columns import Columns

__all__ = ["as_script_data", "packed_failures", "packed_rows"]

_MOST_KINDS = 4096
_MOST_VALUES = 20_000
_AUIPC, _LUI, _JALR, _JAL = 0x17, 0x37, 0x67, 0x6F
_LEVEL = 9


def as_script_data(payload: Document, columns: Columns) -> str:
    """Return a value for a script element of type application/json: the payload, and the columns behind it.

    It is compressed, and what it is compressed to is letters, digits, ``+``, ``/`` and ``=``: no character that
    could end the element or start another.
    """
    about, body = columns.packed()
    told = {**payload, "columns": about}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    whole = len(text).to_bytes(4, "little") + text + body
    return json.dumps({"encoding": "deflate", "data": b64encode(zlib.compress(whole, _LEVEL)).decode("ascii")})


def packed_rows(rows: Document, columns: Columns) -> Document:
    """Return the sites of an image as a page takes them, names and addresses in columns; see data.js."""
    columns.names(_printable(rows["symbols"]))
    return {
        "count": rows["count"],
        "base": rows["base"],
        "far": columns.steps(rows["func"]),
        "sections": [printable(name) for name in rows["sections"]],
        "section": _steps(rows["section"]),
        "shapes": rows["shapes"],
        "shape": _steps(rows["shape"]),
        "alignment": _steps(rows["alignment"]),
        "hits": [{**hit, "sites": _steps(hit["sites"])} for hit in rows["hits"]],
        "states": [
            {
                "state": printable(state["state"]),
                "what": printable(state["what"]),
                "words": [{**word, "index": _steps(word["index"])} for word in state["words"]],
            }
            for state in rows["states"]
        ],
        "literal": rows.get("literal"),
        "names": {address: printable(name) for address, name in rows.get("names", {}).items()},
        "insns": _instructions(rows["states"]),
    }


def _steps(values: Sequence[int]) -> list[int]:
    """Return the first value and the differences from each to the next: small numbers, which pack well."""
    steps: list[int] = np.diff(np.array(values, np.int64), prepend=0).tolist()
    return steps


def _printable(names: Sequence[str]) -> Sequence[str]:
    """Return names; those that cannot be printed as they are stand escaped."""
    if "".join(names).isprintable():
        return names
    return [name if name.isprintable() else printable(name) for name in names]


def packed_failures(failures: Sequence[Document], rows: Document) -> list[Document]:
    """Return which sites broke which promise in which state; expected and got only of so many."""
    base = int(rows["base"], 16)
    func = np.array(rows["func"], np.int64)
    order = np.argsort(func, kind="stable")
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for failure in failures:
        groups.setdefault((failure["state"], failure["promise"], failure["what"]), []).append(failure)
    packed, room = [], _MOST_VALUES
    for (state, promise, what), members in groups.items():
        members = [each for each in members if 0 <= int(each["address"], 16) - base < 1 << 63]
        wanted = np.array([int(each["address"], 16) - base for each in members], np.int64)
        place = np.clip(np.searchsorted(func, wanted, sorter=order), 0, max(len(func) - 1, 0))
        found = order[place] if len(func) else place
        fits = func[found] == wanted if len(func) else np.zeros(len(wanted), np.bool_)
        kept = [each for each, fit in zip(members, fits.tolist(), strict=True) if fit]
        values = kept[:room]
        room -= len(values)
        packed.append({
            "state": printable(state), "promise": printable(promise), "what": printable(what),
            "sites": _steps(found[fits].tolist()),
            "expected": [each["expected"] for each in values], "got": [each["got"] for each in values],
        })  # fmt: skip
    return packed


# -- instructions


def _instructions(states: Iterable[Document]) -> list[tuple[int, int, str]]:
    """Return the kinds of instructions in sleds: (mask, match, text with ``{U}``, ``{I}``, ``{J}`` for immediates)."""
    words = {int(value, 16) for state in states for word in state["words"] for value in word["values"]}
    kinds: dict[tuple[int, int], str] = {}
    for word in sorted(words):
        for bits in (word, word & 0xFFFF, word >> 16):
            mask = _mask(bits)
            key = (mask, bits & mask)
            if key not in kinds and len(kinds) < _MOST_KINDS:
                kinds[key] = _kind(bits)
    return [(mask, match, text) for (mask, match), text in kinds.items() if text]


def _mask(bits: int) -> int:
    """Return the bits that tell an instruction apart from others: not the immediates of calls, which differ by site."""
    if bits & 3 != 3:
        return 0xFFFF
    opcode = bits & 0x7F
    if opcode in (_AUIPC, _LUI, _JAL):
        return 0xFFF
    return 0xFFFFF if opcode == _JALR and bits >> 20 else 0xFFFFFFFF  # with 0 it has names of its own


def _kind(bits: int) -> str:
    compressed = bits & 3 != 3
    insn = decode(bits & 0xFFFF if compressed else bits)
    if insn is None:
        return ""
    text, opcode = insn.text(), bits & 0x7F
    head = text.rpartition(" ")[0]
    if compressed:
        return text
    if opcode in (_AUIPC, _LUI):
        return f"{head} {{U}}"
    if opcode == _JALR and bits >> 20:
        return f"{head} {{I}}"
    return f"{head} {{J}}" if opcode == _JAL else text
