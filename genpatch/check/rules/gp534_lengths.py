# SPDX-License-Identifier: GPL-2.0-or-later
"""GP534: as many bytes are compared and written as there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..ctree import trees_of
from ..emitted import new_faults
from ..layout import HEADER
from ..lengths import Use, all_uses, constants
from ..locks import text_sources
from ..model import Place, Problem
from ..registry import source_rule


@source_rule("GP534", "patch-length")
def patch_length(change: Change) -> Iterable[Problem]:
    """A patch is written or compared in another length than it has.

    ## What it checks
    In the C files of arch/riscv that the patch changes, calls of what writes text, of memcmp() and of
    copy_from_kernel_nofault() whose length is made of numbers, macros and sizes: against the bytes of the variable
    that is named; a number of elements where bytes are asked for; the size of a pointer for what it points to. And
    what gen_jump_or_nops() of the BPF JIT makes, by running it: as many bytes as programs begin with for nothing,
    for near and for far targets. Only what the patch brings is reported.

    ## Why it matters
    Too few bytes leave half a call behind, too many write what stands on the stack into text.

    ## Remedy
    sizeof() of the variable itself, or the macro that is in bytes (RV_FENTRY_NBYTES).

    ## References
    patch_text() and patch_text_nosync() in arch/riscv/kernel/patch.c; arch/riscv/net/bpf_jit_comp64.c.
    """
    yield from new_faults(change, "poke")
    for path, _, new in text_sources(change):
        found = list(_faults(change.after, path))
        known = {(function, what) for function, what, _ in _faults(change.before, path)} if found else set()
        for function, what, use in found:
            if (function, what) not in known and function in new:
                yield Problem(f"{function} {what}", (Place(path, use.line),), f"{function}(): {what}")


def _faults(texts: Texts, path: str) -> Iterator[tuple[str, str, Use]]:
    text = texts.read(path)
    if text is None:
        return
    macros = constants(texts.read(HEADER), text)
    for use in all_uses(trees_of(text), macros):
        if (what := _fault(use)) is not None:
            yield use.function, what, use


def _fault(use: Use) -> str | None:
    if use.of_pointer:
        return f"{use.callee}() is given the size of the pointer {use.source}, not of what it points to"
    if use.takes is None or use.has is None:
        return None
    if use.takes > use.has:
        return f"{use.callee}() takes {use.takes} bytes of {use.source}, which has {use.has}"
    if use.elements > 1 and use.takes == use.elements:
        return f"{use.callee}() takes {use.takes} bytes of {use.source}, which has {use.elements} instructions"
    return None
