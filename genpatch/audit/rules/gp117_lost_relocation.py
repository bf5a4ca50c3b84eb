# SPDX-License-Identifier: GPL-2.0-or-later
"""GP117: each slot of a relocatable table has its relocation."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, agree, plural
from ..registry import rule


@rule(
    "GP117",
    "lost-relocation",
    severity=Severity.ERROR,
    source="RISC-V ELF psABI, R_RISCV_64 and R_RISCV_RELATIVE; ELF gABI, SHF_LINK_ORDER",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: kernel(Fn(name="one"), missing=2), "2 slots"),
        fires(lambda: kernel(Fn(name="one"), outside=1), "behind the end"),
        fires(lambda: kernel(Fn(name="one"), link_mismatch=3), "SHF_LINK_ORDER"),
    ),
)
def lost_relocation(facts: Facts) -> Iterator[Finding]:
    """Slots of the table that nothing will fill, and table sections tied to the wrong code.

    ## What it checks
    In modules and objects: an R_RISCV_64 for each 8 bytes of __patchable_function_entries, none behind its
    end, and entries that lie in the section that SHF_LINK_ORDER ties the table section to. In relocatable
    kernels: slots that are zero and stay so.

    ## Why it matters
    A slot without relocation is a zero or a stale address at run time. A table tied to another section is
    dropped or reordered with that one.

    ## Remedy
    Look at what rewrote the object after the assembler: strip, objcopy, a partial link with an old linker.

    ## References
    arch/riscv/kernel/module.c; linux arch/riscv/Kconfig (CLANG_SUPPORTS_DYNAMIC_FTRACE).
    """
    table = facts.image.table
    if table is None:
        raise Skip("the image has no table")
    if table.missing:
        yield Finding(
            message=f"{plural(table.missing, 'slot')} of the table {agree(table.missing, 'has', 'have')} no relocation",
            kind="missing", count=table.missing,
        )  # fmt: skip
    if table.outside:
        yield Finding(
            message=f"{plural(table.outside, 'relocation')} {agree(table.outside, 'points', 'point')} "
            "behind the end of the table",
            kind="outside", count=table.outside,
        )  # fmt: skip
    if table.link_mismatch:
        yield Finding(
            message=f"{plural(table.link_mismatch, 'entry', 'entries')} {agree(table.link_mismatch, 'is', 'are')} "
            "not in the section that SHF_LINK_ORDER ties their table to",
            kind="link-order", count=table.link_mismatch, level=Severity.WARNING,
        )  # fmt: skip
