# SPDX-License-Identifier: GPL-2.0-or-later
"""GP559: the JIT emits the numbers, addresses, jumps and branches that it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..layout import BPF
from ..model import Problem
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_HEADER = "arch/riscv/net/bpf_jit.h"
_ROOTS = ("emit_imm", "emit_addr", "emit_jump_and_link", "emit_bcc")


@source_rule("GP559", "jit-emitters")
def jit_emitters(change: Change) -> Iterable[Problem]:
    """The BPF JIT emits another number, address, jump or branch than it is asked for.

    ## What it checks
    emit_imm(), emit_addr(), emit_jump_and_link() and emit_bcc() of bpf_jit_comp64.c are run, and what they emit is
    followed: numbers and distances with bit 11 set and clear, at both ends of what 12, 20 and 32 bits hold, and
    every condition of BPF on numbers with and without a sign. A jump that is refused is right. Only what the patch
    brings is reported.

    ## Why it matters
    Programs and trampolines are called by these: one of many lands 4 KiB, or 4 GiB, beside its target, and the
    verifier has proved another program than the one that runs.

    ## Remedy
    Add 1 << 11 before the lower 12 bits are cut off, and refuse what is not below (1 << 31) - (1 << 11).

    ## References
    arch/riscv/net/bpf_jit_comp64.c; the RISC-V unprivileged manual, "Integer Register-Immediate Instructions".
    """
    if {BPF, _HEADER}.isdisjoint(change.paths):
        return []
    return brought(change, (BPF, _HEADER), _ROOTS, _judged)


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..emitters import emitter_faults

    return emitter_faults(texts.read(BPF) or "", texts.read(_HEADER) or "")
