# SPDX-License-Identifier: GPL-2.0-or-later
"""GP542: the instruction of a jump label is one aligned word."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..change import Change
from ..model import Place, Problem
from ..patching import MOST_TEXT
from ..registry import source_rule
from ..source import line_at

_LABEL = re.compile(r'"(?:\\.|[^"\\\n])*\b1:\s*(?:nop|j|jal)\b(?:\\.|[^"\\\n])*"')
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\b[A-Z_][A-Z0-9_]*\b|[\s\\]+|(?P<other>.)')
_PART = re.compile(r'"((?:\\.|[^"\\\n])*)"|\b([A-Z_][A-Z0-9_]*)\b')
_NAME = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+(\w+)|^[A-Za-z_][^\n;{}#(]{0,200}\b(\w+)\([^;{}]{0,500}\)\s{0,9}\{", re.M
)
_STRINGS = re.compile(r'^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+("[^\n]*")[ \t]*$', re.M)
_ALIGN = re.compile(r"\.(?:p2)?align(?:\s|\\t)+([2-9])\b|\.balign(?:\s|\\t)+(4|8|16|32|64)\b")
_MOST_BACK = 4000
_MOST_SITES = 200


class _Site(NamedTuple):
    """A place that is patched: in which macro or function, what is said before it, its line; unknown parts."""

    name: str
    before: str
    line: int
    unknown: bool


@source_rule("GP542", "jump-label-word")
def jump_label_word(change: Change) -> Iterable[Problem]:
    """The instruction that a jump label patches is no longer aligned, or may be compressed.

    ## What it checks
    In the headers of arch/riscv that the patch changes and that make entries of __jump_table: assembler text with
    the label 1 at a nop, j or jal. Before the label it needs ``.align 2`` (or ``.balign 4``) and
    ``.option norvc``. Only what the patch brings is reported; text that is put together from macros of other
    files is not judged.

    ## Why it matters
    Jump labels are patched while other harts run them. A word that is not aligned may be stored and fetched in
    halves, and a compressed nop has two bytes where four are written.

    ## Remedy
    ``.align 2`` directly before ``.option norvc`` and the label.

    ## References
    arch/riscv/include/asm/jump_label.h; commit 9ddfc3cd8060 ("riscv: jump_label: Fixup unaligned
    arch_static_branch function").
    """
    for path in change.paths:
        old, new = change.before.read(path), change.after.read(path)
        if not re.fullmatch(r"arch/riscv/.+\.h", path) or new is None or len(new) > MOST_TEXT:
            continue
        known = {key for key, _, _ in _faults(old or "")}
        for key, line, message in _faults(new):
            if key not in known:
                yield Problem(key, (Place(path, line),), message)


def _faults(text: str) -> Iterator[tuple[str, int, str]]:
    if "__jump_table" not in text and "JUMP_TABLE_ENTRY" not in text:
        return
    seen: dict[str, int] = {}
    for site in _sites(text):
        number = seen[site.name] = seen.get(site.name, 0) + 1
        if site.unknown:
            continue
        if not _ALIGN.search(site.before):
            text_ = f"{site.name}: the instruction that is patched may stand on any multiple of 2, expected .align 2"
            yield f"align {site.name} {number}", site.line, text_
        if "norvc" not in site.before:
            text_ = f"{site.name}: the instruction that is patched may be compressed, expected .option norvc"
            yield f"norvc {site.name} {number}", site.line, text_


def _sites(text: str) -> Iterator[_Site]:
    strings = {match[1]: match[2] for match in _STRINGS.finditer(text.replace("\\\n", "  "))}
    names = [(match.start(), match[1] or match[2]) for match in _NAME.finditer(text)]
    for match in itertools.islice(_LABEL.finditer(text), _MOST_SITES):
        name = next((each for at, each in reversed(names) if at < match.start()), "the label")
        window = text[max(0, match.start() - _MOST_BACK) : match.start()].partition("\n")[2]
        others = [token.end() for token in _TOKEN.finditer(window) if token["other"]]
        before, unknown = _joined(window[others[-1] :] if others else window, strings)
        yield _Site(name, before + match[0][: match[0].index("1:")], line_at(text, match.start()), unknown)


def _joined(text: str, strings: dict[str, str]) -> tuple[str, bool]:
    """Return strings as one, and whether a macro among them is not known."""
    parts, unknown = [], False
    for match in _PART.finditer(text):
        if match[2] is None:
            parts.append(match[1])
        elif match[2] in strings:
            parts.append(strings[match[2]])
        else:
            unknown = True
    return "\n".join(parts), unknown
