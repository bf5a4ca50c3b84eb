# SPDX-License-Identifier: GPL-2.0-or-later
"""GP543: a probe replaces one instruction, and what was copied of it goes on behind it."""

from __future__ import annotations

from collections.abc import Iterable

from ..change import Change
from ..model import Place, Problem, Skip
from ..patching import KPROBES
from ..registry import source_rule


@source_rule("GP543", "probe-length")
def probe_length(change: Change) -> Iterable[Problem]:
    """A kprobe writes over more or less than the instruction that it stands on.

    ## What it checks
    arch_arm_kprobe(), arch_disarm_kprobe() and arch_prepare_ss_slot() of arch/riscv/kernel/probes/kprobes.c, run
    in an interpreter for an instruction of 2 and for one of 4 bytes: the breakpoint is one whole instruction and
    not longer than what it replaces; disarming puts back what was there; the slot holds the instruction and a whole
    breakpoint behind it, and execution goes on behind the original. Only what the patch brings is reported.

    ## Why it matters
    A breakpoint of 4 bytes on an instruction of 2 destroys the next one, which another task may jump to.

    ## Remedy
    Take every length from the instruction that is replaced: GET_INSN_LENGTH(p->opcode).

    ## References
    arch/riscv/kernel/probes/kprobes.c; arch/riscv/include/asm/bug.h.
    """
    if KPROBES not in change.paths:
        return
    from ..kprobes import probe_faults  # loaded only where it is needed

    new, unknown = probe_faults(change.after.read(KPROBES) or "")
    old, old_unknown = probe_faults(change.before.read(KPROBES) or "")
    found = [fault for fault in new if fault.key not in {each.key for each in old}]
    for fault in {fault.key.rpartition(" ")[0]: fault for fault in reversed(found)}.values():
        added = change.added.get(KPROBES, frozenset())
        lines = sorted(line for line in added if fault.first <= line <= fault.last)
        places = tuple(Place(KPROBES, line) for line in (*lines, fault.first))
        yield Problem(fault.key, places, fault.message)
    if not found and unknown - old_unknown:
        raise Skip(f"{KPROBES}: what {', '.join(sorted(unknown - old_unknown))} does was not understood")
