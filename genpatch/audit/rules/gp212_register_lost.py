# SPDX-License-Identifier: GPL-2.0-or-later
"""GP212: a trampoline gives back the registers that the function needs."""

from __future__ import annotations

from collections.abc import Iterator

from ...isa.encoding import REG_NAMES
from ...schemes import Link
from ...sites.patching import Trampoline
from ..cases import CALL_OPS_CALLER, CALL_OPS_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_ALWAYS = frozenset({1, 3, 4, 8, 9, *range(10, 18), *range(18, 28)})
_LOCAL_CALLS = frozenset({7, 28, 29, 30, 31})
_ON_RETURN = frozenset({3, 4, 8, 9, 10, 11, *range(18, 28)})
_DROPS_T0 = CALL_OPS_CALLER.replace("    ld t0, 0(sp)\n", "")
_DROPS_A3 = CALL_OPS_CALLER.replace("    ld a3, 72(sp)\n", "")


@rule(
    "GP212",
    "register-lost",
    severity=Severity.ERROR,
    applies="kernel",
    source="RISC-V psABI, integer register convention; LLVM's fastcc passes arguments of local functions in t2-t6",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(
            lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _DROPS_A3)),
            "loses a3",
        ),
        fires(lambda: kernel(Fn(name="one"), code=replaced(CALL_OPS_CODE, "ftrace_caller", _DROPS_T0)), "loses t0"),
        fires(lambda: kernel(Fn(name="one"), compiler="clang version 19.1.7"), "t2, t3, t4, t5, t6"),
    ),
)
def register_lost(facts: Facts) -> Iterator[Finding]:
    """A register that the traced function may read does not survive the trampoline.

    ## What it checks
    ftrace_caller and ftrace_regs_caller, read along the path through the callback (which may change every
    caller-saved register): at the jump back, each of ra, gp, tp, a0-a7 and s0-s11 holds what it held on
    entry, and t0 leads back behind the call. In a kernel built by clang t2-t6 must survive too, in which
    clang passes arguments of local functions. return_to_handler must give back a0, a1 and s0-s11.

    ## Why it matters
    The traced function goes on with a wrong argument. It shows only while the function is traced, and only
    in the functions that use the register.

    ## Remedy
    Save the register in struct ftrace_regs before the callback and load it again behind it.

    ## References
    arch/riscv/kernel/mcount-dyn.S; linux f8693f6dffcd ("riscv: ftrace: support fastcc in Clang for WITH_ARGS").
    """
    at_entry = _ALWAYS | (_LOCAL_CALLS if facts.image.is_clang else frozenset())
    judged = 0
    for name in ("ftrace_caller", "ftrace_regs_caller", "return_to_handler"):
        trampoline = facts.code.trampoline(name)
        if trampoline is None or trampoline.frame is None or not trampoline.complete:
            continue
        judged += 1
        wanted = _ON_RETURN if name == "return_to_handler" else at_entry | _link(trampoline)
        lost = sorted(trampoline.lost & wanted)
        if lost:
            names = ", ".join(REG_NAMES[number] for number in lost)
            why = ", which clang's local calls use" if set(lost) <= _LOCAL_CALLS else ""
            yield Finding(
                message=f"{name} loses {names}{why}",
                kind="lost", address=trampoline.span.start, symbol=name, subject=f"{name}:{names}",
            )  # fmt: skip
    if not judged:
        raise Skip("ftrace_caller is not there or could not be followed")


def _link(trampoline: Trampoline) -> frozenset[int]:
    """The register that leads back into the function: it must be what the call left in it."""
    return frozenset({5}) if trampoline.link is Link.T0 else frozenset()
