# SPDX-License-Identifier: GPL-2.0-or-later
"""GP406: text is written under text_mutex."""

from __future__ import annotations

from collections.abc import Iterator

from ...sites.flow import Call
from ..cases import CALL_OPS_CODE, DATA, SITES_AT, Code, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_MUTEX = {"text_mutex": DATA + 0x40}
_RETURN = "ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
_ENTER = "addi sp, sp, -16\n sd ra, 0(sp)\n"
_TAKE = f"lui a0, {(DATA >> 12) & 0xFFFFF:#x}\n addi a0, a0, 0x40\n jal ra, mutex_lock\n"
_WRITE = "ld a0, 0(a1)\n addi a2, zero, 8\n jal ra, patch_insn_write\n"
_INIT, _PREPARE = SITES_AT - 0x600, SITES_AT - 0x500
_LOCK = Code(name="mutex_lock", source="jalr zero, 0(ra)", at=SITES_AT - 0x700)
_HOOK = Code(name="ftrace_arch_code_modify_prepare", source=f"{_ENTER}{_TAKE}{_RETURN}", at=_PREPARE)
_EMPTY_HOOK = Code(name="ftrace_arch_code_modify_prepare", source="jalr zero, 0(ra)", at=_PREPARE)
_LOCKED = Code(
    name="ftrace_init_nop", source=f"{_ENTER}addi s1, a1, 0\n{_TAKE}addi a1, s1, 0\n{_WRITE}{_RETURN}", at=_INIT
)
_EARLY = Code(name="ftrace_init_nop", source=f"{_ENTER}addi s1, a1, 0\n{_WRITE}{_TAKE}{_RETURN}", at=_INIT)


def _with(*code: Code) -> Facts:
    return kernel(Fn(name="one"), code=(*CALL_OPS_CODE, _LOCK, *code), symbols=_MUTEX)


@rule(
    "GP406",
    "unlocked-patching",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux e3f16d63d54e ("riscv: ftrace: Properly acquire text_mutex to fix a race condition"), v6.16',
    cases=(
        clean(lambda: _with(_HOOK, _LOCKED)),
        fires(lambda: _with(_HOOK, _EARLY), "ftrace_init_nop writes text before"),
        fires(lambda: _with(_EMPTY_HOOK, _LOCKED), "ftrace_arch_code_modify_prepare does not take"),
    ),
)
def unlocked_patching(facts: Facts) -> Iterator[Finding]:
    """A path that writes text does not hold text_mutex.

    ## What it checks
    ftrace_init_nop, decoded: each write of text comes behind a mutex_lock of text_mutex.
    ftrace_arch_code_modify_prepare, which ftrace calls before it patches: that it takes text_mutex.

    ## Why it matters
    All writers of text share two fixmap slots. Two of them at once redirect each other's writes: the bytes
    land on another page, and the kernel's text is corrupted. Loading modules in parallel is enough.

    ## Remedy
    Take the mutex before the first write, the one of the ops pointer included, and keep the prepare and
    post-process hooks.

    ## References
    arch/riscv/kernel/patch.c (patch_map, FIX_TEXT_POKE0); arch/riscv/kernel/ftrace.c; kernel/trace/ftrace.c.
    """
    mutex = facts.image.address_of("text_mutex")
    locks = {facts.image.address_of(name) for name in ("mutex_lock", "mutex_lock_nested")} - {None}
    if mutex is None or not locks:
        raise Skip("text_mutex or mutex_lock is not known by name")
    judged = 0
    for name in ("ftrace_init_nop", "ftrace_arch_code_modify_prepare"):
        routine = facts.code.routine(name)
        if routine is None or not routine.complete:
            continue
        judged += 1
        calls = [call for call in routine.calls() if call.target is not None]
        taken = next((n for n, call in enumerate(calls) if _takes(call, mutex, locks)), None)
        if name == "ftrace_init_nop":
            writes = [n for n, call in enumerate(calls) if call.target in facts.code.primitives]
            if writes and (taken is None or writes[0] < taken):
                yield _finding(name, routine.start, "writes text before it takes text_mutex")
        elif taken is None:
            yield _finding(name, routine.start, "does not take text_mutex, so ftrace patches without it")
    if not judged:
        raise Skip("ftrace_init_nop and ftrace_arch_code_modify_prepare are not there or could not be followed")


def _takes(call: Call, mutex: int, locks: set[int | None]) -> bool:
    """Tell whether a call locks text_mutex; an address out of a GOT is given the benefit of the doubt."""
    return call.target in locks and call.arguments[0].constant in (mutex, None)


def _finding(name: str, address: int, what: str) -> Finding:
    return Finding(message=f"{name} {what}", kind="unlocked", address=address, symbol=name)
