# SPDX-License-Identifier: GPL-2.0-or-later
"""GP203: modules reach the kernel's trampoline from anywhere in their region."""

from __future__ import annotations

from collections.abc import Iterator

from ...isa.encoding import REACH_PCREL
from ..cases import SITES_AT, TEXT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_GIB2, _PAGE = 1 << 31, 4096


@rule(
    "GP203",
    "module-region-out-of-reach",
    severity=Severity.ERROR,
    applies="kernel",
    source="linux arch/riscv/include/asm/pgtable.h: MODULES_VADDR is PFN_ALIGN(_end) - SZ_2G",
    cases=(
        clean(lambda: kernel(Fn(name="one"), symbols={"_end": TEXT + 0x40_0000, "_start": TEXT - 0x2000})),
        fires(
            lambda: kernel(Fn(name="one"), symbols={"_end": TEXT - 0x2000, "_start": SITES_AT}),
            "module region",
        ),
    ),
)
def module_region_out_of_reach(facts: Facts) -> Iterator[Finding]:
    """A module can be loaded where its calls do not reach ftrace_caller.

    ## What it checks
    The distance from the lowest address of the module region, 2 GiB below the kernel's end, to ftrace_caller.

    ## Why it matters
    ftrace_make_call does not test the distance to ftrace_caller: a call that does not reach it goes 4 GiB
    away.

    ## Remedy
    Keep the trampoline at least 2 KiB before _end, which any kernel layout in use does.

    ## References
    arch/riscv/include/asm/pgtable.h (MODULES_VADDR, MODULES_END).
    """
    caller, end = facts.image.address_of("ftrace_caller"), facts.image.address_of("_end")
    if caller is None or end is None:
        raise Skip("ftrace_caller or _end is not known")
    lowest = -(-end // _PAGE) * _PAGE - _GIB2
    distance = caller - lowest
    if distance not in REACH_PCREL:
        yield Finding(
            message=f"from {lowest:#x}, the start of the module region, ftrace_caller is {distance:#x} bytes away; "
            f"auipc and jalr cover up to {REACH_PCREL[-1]:#x}",
            kind="modules",
            address=caller,
            symbol="ftrace_caller",
        )
