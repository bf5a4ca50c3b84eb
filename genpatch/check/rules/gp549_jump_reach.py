# SPDX-License-Identifier: GPL-2.0-or-later
"""GP549: a jump label jumps where it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..model import Problem
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_PATHS = (
    "arch/riscv/kernel/jump_label.c",
    "arch/riscv/include/asm/insn-def.h",
    "arch/riscv/include/asm/jump_label.h",
)
_LABELS = ("arch_jump_label_transform", "arch_jump_label_transform_queue")


@source_rule("GP549", "jump-reach")
def jump_reach(change: Change) -> Iterable[Problem]:
    """A jump label is switched to an instruction that does not jump to its target.

    ## What it checks
    What switches a label in jump_label.c is run for targets near and far, to the last that a jal reaches and the
    first that it does not, before and behind the label: what it writes must be a jal to the target, or nothing
    where that is refused, which no target within 64 KiB may be; a label that is off must hold a nop. Only what
    the patch brings is reported.

    ## Why it matters
    A jal has 20 bits and a sign: one step too far and it goes 2 MiB the other way, on a branch that is switched
    while all harts run.

    ## Remedy
    Refuse what is below -(1 << 20) or not below 1 << 20, and put the bits where a jal has them.

    ## References
    arch/riscv/kernel/jump_label.c; the RISC-V unprivileged manual, "Unconditional Jumps".
    """
    if set(_PATHS).isdisjoint(change.paths):
        return []

    return brought(change, _PATHS, _LABELS, _judged)


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..jumps import label_faults

    return label_faults(*(texts.read(path) or "" for path in _PATHS))
