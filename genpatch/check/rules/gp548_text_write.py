# SPDX-License-Identifier: GPL-2.0-or-later
"""GP548: what patch.c is told to write is what stands there then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..model import Problem
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_PATCH = "arch/riscv/kernel/patch.c"
_ROOTS = ("patch_insn_write", "patch_text_nosync", "patch_text_set_nosync")


@source_rule("GP548", "text-write")
def text_write(change: Change) -> Iterable[Problem]:
    """What writes text writes something else than it is given, or leaves a page of text writable.

    ## What it checks
    patch_text_nosync(), patch_insn_write() and patch_text_set_nosync() of patch.c are run on memory that is mapped
    through the two pages of the fixmap, for writes in one page, over a page's end, and longer than two pages, in
    the kernel and in a module, and for writes that fail: every byte must be where it belongs, no page may stay
    mapped or be unmapped twice, an error must be told, and a flush of a range must be of what was written. Only
    what the patch brings is reported.

    ## Why it matters
    The second half of an instruction that crosses a page goes to another page; a page that stays mapped is text
    that anything may write.

    ## Remedy
    Map the page that follows the first (``addr + PAGE_SIZE``), unmap what was mapped on every way out, and move
    the target and the source on together.

    ## References
    arch/riscv/kernel/patch.c; FIX_TEXT_POKE0 in arch/riscv/include/asm/fixmap.h.
    """
    if _PATCH not in change.paths:
        return []

    return brought(change, (_PATCH,), _ROOTS, _judged)


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..textwrite import text_faults

    return text_faults(texts.read(_PATCH) or "")
