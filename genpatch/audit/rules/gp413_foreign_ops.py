# SPDX-License-Identifier: GPL-2.0-or-later
"""GP413: a callback amid patching is given an ops that was never registered, or half of one."""

from __future__ import annotations

from collections.abc import Iterator

from ...race.model import Kind
from ..cases import clean, fires
from ..facts import Facts
from ..model import Finding, Severity
from ..raced import raced, unsafe
from ..registry import rule

_MISTAKE = (
    "patch_insn_write",
    "ld a4, 0(a1)\n    sd a4, 0(a3)",
    "lw a4, 0(a1)\n    sw a4, 0(a3)\n    lw a4, 4(a1)\n    sw a4, 4(a3)",
)


@rule(
    "GP413",
    "foreign-ops",
    severity=Severity.ERROR,
    applies="race",
    source="explored: the kernel's own patching code and site, all interleavings",
    cases=(
        clean(raced),
        fires(lambda: raced(edit=_MISTAKE), "enable in environment own: the ops pointer .* torn"),
    ),
)
def foreign_ops(facts: Facts) -> Iterator[Finding]:
    """A callback amid patching is given an ops that was never registered, or half of one.

    ## What it checks
    Each load of an ops pointer and each call of a callback: the ops is one that was registered at some moment of the
    call, and all its bytes were stored at once.

    ## Why it matters
    The callback takes its private data from there: another tracer's, or an address made of two.

    ## Remedy
    Keep the pointer on a multiple of 8 and store it with one instruction; publish it to all harts before the call that
    makes them load it.

    ## References
    RISC-V unprivileged ISA, RVWMO (misaligned accesses are no single ones); arch/riscv/kernel/ftrace.c
    (ftrace_rec_set_ops).
    """
    yield from unsafe(facts, Kind.OPS)
