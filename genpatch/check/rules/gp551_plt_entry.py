# SPDX-License-Identifier: GPL-2.0-or-later
"""GP551: an entry of a module's PLT loads the address that it is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..model import Problem
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_HEADER = "arch/riscv/include/asm/module.h"


@source_rule("GP551", "plt-entry")
def plt_entry(change: Change) -> Iterable[Problem]:
    """An entry of a module's PLT loads from another address than its entry of the GOT.

    ## What it checks
    emit_plt_entry() of asm/module.h is run for distances whose lower half is positive and negative: its three
    instructions must load from the entry of the GOT, by registers that fit together, and jump to what was loaded.
    Only what the patch brings is reported.

    ## Why it matters
    Half of all modules call a function 4 KiB beside the one they mean, depending on where they are loaded. A
    module calls ftrace's trampolines and patched functions in the same way.

    ## Remedy
    Round the upper part: ``(offset + 0x800) & 0xfffff000``.

    ## References
    arch/riscv/include/asm/module.h; the RISC-V ELF psABI, "Procedure Linkage Table".
    """
    if _HEADER not in change.paths:
        return []

    return brought(change, (_HEADER,), ("emit_plt_entry",), _judged)


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..jumps import plt_faults

    return plt_faults(texts.read(_HEADER) or "")
