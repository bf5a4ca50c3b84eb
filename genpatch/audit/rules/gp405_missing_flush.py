# SPDX-License-Identifier: GPL-2.0-or-later
"""GP405: every hart learns of new text."""

from __future__ import annotations

from collections.abc import Iterator

from ...schemes.model import Need
from ...sites.flow import Routine
from ...sites.harts import harts_of
from ..cases import CALL_OPS_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_RETURN = "ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
_ENTER = "addi sp, sp, -16\n sd ra, 0(sp)\n"
_LOCAL = f"{_ENTER} jal ra, patch_insn_write\n fence.i\n {_RETURN}"
_UNFLUSHED = f"{_ENTER} jal ra, ftrace_modify_all_code\n {_RETURN}"
_FLUSHES = f"{_ENTER} jal ra, flush_icache_all\n {_RETURN}"
_UPDATE, _FINISH = "arch_ftrace_update_code", "ftrace_arch_code_modify_post_process"
_LATER = replaced(replaced(CALL_OPS_CODE, _UPDATE, _UNFLUSHED), _FINISH, _FLUSHES)

_REMOTE = ("flush_icache_all", "flush_icache_range", "flush_icache_mm", "on_each_cpu", "on_each_cpu_cond_mask",
           "smp_call_function", "smp_call_function_many", "sbi_remote_fence_i", "stop_machine",
           "stop_machine_cpuslocked", "ftrace_run_stop_machine")  # fmt: skip


@rule(
    "GP405",
    "missing-flush",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux ee9a68394b4b ("riscv: Re-introduce global icache flush in patch_text_XXX()"), v6.11',
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: kernel(Fn(name="one"), code=_LATER)),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "patch_text_nosync", _LOCAL)),
            "own hart only",
        ),
        fires(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, _UPDATE, _UNFLUSHED)), "never flushes"),
        clean(  # there are no other harts
            lambda: kernel(
                Fn(name="one"), code=replaced(CALL_OPS_CODE, "patch_text_nosync", _LOCAL), config={"CONFIG_SMP": "n"}
            )
        ),
        fires(lambda: kernel(Fn(name="one"), code=replaced(_LATER, _FINISH, "jalr zero, 0(ra)")), "never flushes"),
    ),
)
def missing_flush(facts: Facts) -> Iterator[Finding]:
    """A routine writes text and leaves other harts with the old one.

    ## What it checks
    patch_text_nosync, and arch_ftrace_update_code where it patches live: whether they call something that
    makes every hart execute fence.i (flush_icache_all, a cross-call, a remote fence by the firmware).
    ftrace_arch_code_modify_post_process, which ends every update, may do it for the latter.

    ## Why it matters
    fence.i only orders the hart that executes it. Others may fetch the old instructions for as long as they
    like, and run a function that was switched off or freed.

    ## Remedy
    Flush on all harts after the write, before anything relies on it.

    ## References
    arch/riscv/kernel/patch.c; arch/riscv/mm/cacheflush.c; RISC-V Zifencei.
    """
    harts, evidence = harts_of(facts.image)
    if harts == 1:
        raise Skip(evidence)
    judged = 0
    scheme = facts.scheme
    live = scheme is not None and Need.REMOTE_FENCE_I in scheme.needs
    for name in ("patch_text_nosync", *((_UPDATE,) if live else ())):
        routine = facts.code.routine(name)
        if routine is None or not routine.complete:
            continue
        judged += 1
        if not _reaches_others(facts, routine) and not (name == _UPDATE and _ends_with_flush(facts)):
            own = any(insn.name == "fence.i" for _, insn in routine.insns)
            yield Finding(
                message=f"{name} {'flushes its own hart only' if own else 'never flushes the instruction cache'}",
                kind="local" if own else "none", address=routine.start, symbol=name,
            )  # fmt: skip
    if not judged:
        raise Skip("patch_text_nosync is not there or could not be followed")


def _ends_with_flush(facts: Facts) -> bool:
    """Tell whether what ftrace calls behind each update makes other harts fence."""
    routine = facts.code.routine(_FINISH)
    return routine is not None and routine.complete and _reaches_others(facts, routine)


def _reaches_others(facts: Facts, routine: Routine) -> bool:
    """Tell whether one of the routine's calls is known to make other harts fence."""
    known = {facts.image.address_of(name) for name in _REMOTE} - {None}
    return any(call.target in known for call in routine.calls())
