# SPDX-License-Identifier: GPL-2.0-or-later
"""GP118: zero entries are skipped before they are adjusted."""

from __future__ import annotations

from collections.abc import Iterator

from ...sites.flow import Value
from ..cases import CALL_OPS_CODE, SITES_AT, Code, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_HEAD = "addi sp, sp, -16\n sd ra, 0(sp)\n ld a0, 0(a1)\n"
_TAIL = "jal ra, ftrace_call_adjust\n out: ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
_AT = SITES_AT - 0x400
_TESTS = (
    *CALL_OPS_CODE,
    Code(name="ftrace_process_locs", source=f"{_HEAD}beq a0, zero, out\n{_TAIL}", at=_AT),
)
_FORGETS = (*CALL_OPS_CODE, Code(name="ftrace_process_locs", source=f"{_HEAD}{_TAIL}", at=_AT))


@rule(
    "GP118",
    "zero-entry-patched",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux 6eeca746fa5f ("ftrace: Test mcount_loc addr before calling ftrace_call_addr()"), v6.15',
    cases=(
        clean(lambda: kernel(Fn(name="one"), code=_TESTS, table=(0, SITES_AT + 8))),
        clean(lambda: kernel(Fn(name="one"), code=_FORGETS)),
        fires(lambda: kernel(Fn(name="one"), code=_FORGETS, table=(0, SITES_AT + 8)), "adjusted to 0xc"),
    ),
)
def zero_entry_patched(facts: Facts) -> Iterator[Finding]:
    """The table has zero entries, and the kernel adjusts an entry before it tests it for zero.

    ## What it checks
    Where there are zero entries (pruned weak functions): whether ftrace_process_locs compares the word it
    loaded with zero, or only what ftrace_call_adjust made of it.

    ## Why it matters
    ftrace_call_adjust(0) is 4 or 12 on RISC-V: a test for zero behind it never holds, and ftrace patches
    address 4 or 12.

    ## Remedy
    Test the entry before adjusting it.

    ## References
    kernel/trace/ftrace.c (ftrace_process_locs); scripts/sorttable.c.
    """
    table = facts.image.table
    zero = 0 if table is None else len(table.entries) - len(facts.sites)
    if not zero:
        return
    routine, adjust = facts.code.routine("ftrace_process_locs"), facts.image.address_of("ftrace_call_adjust")
    if facts.adjust == 0:
        return
    if routine is None or adjust is None or facts.adjust is None:
        raise Skip("ftrace_process_locs or ftrace_call_adjust is not there")
    passed = {call.arguments[0] for call in routine.calls() if call.target == adjust}
    loaded = {value for value in passed if value.base is not None and value.base[0] == "load"}
    if not loaded:
        raise Skip("what ftrace_process_locs adjusts could not be followed")
    none = Value(None, 0)
    tested = {value for branch in routine.branches() for value in (branch.left, branch.right)
              if none in (branch.left, branch.right)}  # fmt: skip
    if not loaded & tested:
        yield Finding(
            message=f"{zero:,} entries are zero, and ftrace_process_locs does not test an entry before it is "
            f"adjusted to {facts.adjust:#x}",
            kind="untested",
            address=routine.start,
            symbol="ftrace_process_locs",
            count=zero,
        )
