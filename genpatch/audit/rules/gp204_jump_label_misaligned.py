# SPDX-License-Identifier: GPL-2.0-or-later
"""GP204: jump labels are patched as one aligned word."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.tables import jump_labels
from ..cases import DATA, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule

_TABLE = DATA + 0x400


def _label(code: int) -> Facts:
    record = ((code - _TABLE) & 0xFFFFFFFF).to_bytes(4, "little") + bytes(12)
    marks = {"__start___jump_table": _TABLE, "__stop___jump_table": _TABLE + 16}
    return kernel(Fn(name="one"), symbols=marks, data={_TABLE: record})


@rule(
    "GP204",
    "jump-label-misaligned",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux 9ddfc3cd8060 ("riscv: jump_label: Fixup unaligned arch_static_branch function"), v6.3',
    cases=(
        clean(lambda: _label(SITES_AT + 0x40)),
        fires(lambda: _label(SITES_AT + 0x42), "1 jump label"),
    ),
)
def jump_label_misaligned(facts: Facts) -> Iterator[Finding]:
    """Jump labels stand where their instruction cannot be stored or fetched at once.

    ## What it checks
    The code address of each record of __jump_table: a multiple of 4.

    ## Why it matters
    A static branch is switched by one 4-byte store while other harts run it. At 2 modulo 4 it becomes two
    stores, and a hart that fetches between them executes half of each instruction.

    ## Remedy
    Align the nop of arch_static_branch to 4 bytes in assembly.

    ## References
    arch/riscv/include/asm/jump_label.h; arch/riscv/kernel/jump_label.c.
    """
    labels = jump_labels(facts.image.memory, facts.image.symbols)
    if not len(labels):
        raise Skip("the image has no jump labels that could be read")
    hit = where(labels % 4 != 0)
    if len(hit):
        first = int(labels[hit[0]])
        yield Finding(
            message=f"{plural(len(hit), 'jump label')} of {len(labels):,} not on a multiple of 4",
            kind="misaligned",
            address=first,
            symbol=facts.symbol_at(first),
            count=len(hit),
        )
