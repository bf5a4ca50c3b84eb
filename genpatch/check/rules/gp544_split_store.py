# SPDX-License-Identifier: GPL-2.0-or-later
"""GP544: one instruction is written by one store."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change, Texts
from ..ctree import trees_of
from ..layout import HEADER
from ..lengths import WRITES, Use, all_uses, constants
from ..locks import text_sources
from ..model import Place, Problem
from ..registry import source_rule

_WORD = 4


@source_rule("GP544", "split-store")
def split_store(change: Change) -> Iterable[Problem]:
    """An instruction that was written at once is now written in parts.

    ## What it checks
    In the C files of arch/riscv that the patch changes, functions with a call that wrote 4 bytes of a variable at
    once, and that now write it by two calls or more of less than 4 bytes each.

    ## Why it matters
    Another hart may fetch the instruction between the stores: it runs one half of the old one and one of the new.

    ## Remedy
    Write the word by one call, at an address that is a multiple of 4.

    ## References
    patch_insn_write() in arch/riscv/kernel/patch.c.
    """
    for path, old, _ in text_sources(change):
        after = _uses(change.after, path)
        if not any(0 < (use.takes or 0) < _WORD for use in after):
            continue
        before = _uses(change.before, path)
        for name in old:
            whole = sum(use.takes == _WORD for use in before if use.function == name)
            still = sum(use.takes == _WORD for use in after if use.function == name)
            parts = [use for use in after if use.function == name and 0 < (use.takes or 0) < _WORD]
            known = sum(0 < (use.takes or 0) < _WORD for use in before if use.function == name)
            if still < whole and len(parts) >= known + 2:
                text = f"{name}() writes an instruction in {len(parts)} parts that it wrote at once"
                yield Problem(name, tuple(Place(path, use.line) for use in parts), text)


def _uses(texts: Texts, path: str) -> list[Use]:
    text = texts.read(path)
    if text is None:
        return []
    macros = constants(texts.read(HEADER), text)
    return [use for use in all_uses(trees_of(text), macros) if use.callee in WRITES]
