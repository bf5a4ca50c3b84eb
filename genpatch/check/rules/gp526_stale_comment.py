# SPDX-License-Identifier: GPL-2.0-or-later
"""GP526: a comment goes with the number that it explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change
from ..model import Place, Problem
from ..registry import source_rule

_FILES = re.compile(r"arch/riscv/.+\.[chS]$")
_UNITS = {"byte": 1, "bytes": 1, "nop": 4, "nops": 4, "instruction": 4, "instructions": 4, "insn": 4, "insns": 4}
_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8}
_SAYS = re.compile(rf"\b(\d{{1,3}}|{'|'.join(_WORDS)})[ -]?({'|'.join(sorted(_UNITS, reverse=True))})\b", re.I)
_COMMENT = re.compile(r"/\*(.*?)\*/|//([^\n]*)", re.S)
_DEFINE = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+\(?(\d{1,4}|0x[0-9a-fA-F]{1,4})\)?[ \t]*(?:/[*/].*)?$", re.M
)
_ABOUT = re.compile(r"SIZE|BYTES|OFFSET|INSNS|NOPS|LEN")


@source_rule("GP526", "stale-comment")
def stale_comment(change: Change) -> Iterable[Problem]:
    """A constant has changed, and the comment at it still says the old number.

    ## What it checks
    ``#define``s of sizes and offsets in C and assembly of arch/riscv whose number the patch changes: whether a
    comment on the same line, or the one that ends on the line before, counted bytes, nops or instructions as
    the old number has them, and still does.

    ## Why it matters
    The next change is made by what the comment says.

    ## Remedy
    Change the comment with the number.

    ## References
    Documentation/process/coding-style.rst, "Commenting".
    """
    for path in change.paths:
        old, new = change.before.read(path), change.after.read(path)
        if old is not None and new is not None and _FILES.fullmatch(path):
            yield from _stale(path, old, new)


def _stale(path: str, old: str, new: str) -> Iterator[Problem]:
    before = dict(_defines(old))
    for name, (value, said, line) in _defines(new):
        if name not in before or before[name][0] == value or not _ABOUT.search(name):
            continue
        was = before[name][0]
        unit = 4 if re.search(r"INSNS|NOPS", name) else 1
        for count, word in said:
            size = count * _UNITS[word]
            if (count, word) in before[name][1] and size == was * unit != value * unit:
                text = f"{name} is {value} now, the comment at it still says {count} {word}"
                yield Problem(f"{path} {name}", (Place(path, line),), text)
                break


def _defines(text: str) -> list[tuple[str, tuple[int, list[tuple[int, str]], int]]]:
    """Return the numbers that a text defines: name, value, what comments at them count, line."""
    comments = [
        (match.start(), match.end(), re.sub(r"\s*\n[ \t]*\*?[ \t]*", " ", match[1] or match[2] or ""))
        for match in _COMMENT.finditer(text)
    ]
    found = []
    for define in _DEFINE.finditer(text):
        end = text.find("\n", define.start())
        at = [said for start, _, said in comments if define.start() < start < (end if end >= 0 else len(text))]
        at += [said for _, stop, said in comments if text[stop : define.start()].strip(" \t") == "\n"]
        counts = [
            (_WORDS.get(number.lower()) or int(number), unit.lower())
            for said in at
            for number, unit in _SAYS.findall(said)
        ]
        line = text.count("\n", 0, define.start()) + 1
        found.append((define[1], (int(define[2], 0), counts, line)))
    return found
