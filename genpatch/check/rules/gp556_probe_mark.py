# SPDX-License-Identifier: GPL-2.0-or-later
"""GP556: no kprobe stands in what writes text or handles kprobes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..change import Change
from ..ctree import trees_of
from ..locks import reached_from
from ..model import Place, Problem
from ..patching import STORES, sources
from ..registry import source_rule
from ..source import code_of

_MARK = re.compile(r"\b(?:NOKPROBE_SYMBOL|__kprobes|nokprobe_inline)\b")
_PROBES = "arch/riscv/kernel/probes/"


@source_rule("GP556", "probe-mark")
def probe_mark(change: Change) -> Iterable[Problem]:
    """A function that writes text, or handles kprobes, may hold a kprobe now.

    ## What it checks
    In the C files of arch/riscv that the patch changes: functions that were marked with NOKPROBE_SYMBOL(),
    __kprobes or nokprobe_inline, that are still there and have none of these marks, and that write text or stand
    in arch/riscv/kernel/probes.

    ## Why it matters
    To arm a kprobe is to write text: a breakpoint in what writes it is hit while it is written, and ends in a
    recursion that no stack is deep enough for.

    ## Remedy
    Keep the mark, and give it to helpers that are not inlined.

    ## References
    NOKPROBE_SYMBOL in include/asm-generic/kprobes.h; arch/riscv/kernel/patch.c.
    """
    for path, old, new in sources(change):
        was, now = change.before.read(path) or "", change.after.read(path) or ""
        if len(_MARK.findall(was)) <= len(_MARK.findall(now)):
            continue
        before, after = _marked(was), _marked(now)
        lost = [name for name in sorted(before - after) if name in new and name in old]
        if not lost:
            continue
        trees = trees_of(now)
        for name in lost:
            if path.startswith(_PROBES) or reached_from([name], trees) & STORES:
                yield Problem(name, (Place(path, new[name].line),), f"{name}() is no longer closed to kprobes")


def _marked(text: str) -> set[str]:
    """Return the functions that may hold no kprobe; one that is always inlined is none."""
    code = code_of(text)
    found = set(re.findall(r"\bNOKPROBE_SYMBOL\((\w+)\)", code))
    heads = re.finditer(
        r"^[A-Za-z_][^;{}()]{0,300}\b(?:__kprobes|nokprobe_inline|__always_inline)\b[^;{}()]{0,300}?\b(\w+)\(",
        code,
        re.M,
    )
    return found | {head[1] for head in heads}
