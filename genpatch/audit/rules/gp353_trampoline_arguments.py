# SPDX-License-Identifier: GPL-2.0-or-later
"""GP353: A BPF program, or the traced function behind it, gets other arguments than its caller passed."""

from __future__ import annotations

from collections.abc import Iterator

from ...verify.bpf.promises import BpfPromise
from ..broken_bpf import broken_bpf, with_bpf
from ..cases import clean, fires
from ..facts import Facts
from ..live import patching
from ..model import Finding, Severity
from ..registry import rule


def _broken() -> Facts:
    from ...verify.bpf.run import BpfFailure

    failure = BpfFailure(BpfPromise.ARGUMENTS, "argument slot 8 of ctx", 3, "INDIRECT, 9 arguments", 1, 2, "", alike=2)
    return with_bpf(patching(), failure)


@rule(
    "GP353",
    "trampoline-arguments",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, r"argument slot 8 of ctx is wrong \(and 2 more like it\) in 3 of 10 trampolines"),
    ),
)
def trampoline_arguments(facts: Facts) -> Iterator[Finding]:
    """A BPF program, or the traced function behind it, gets other arguments than its caller passed.

    ## What it checks
    Programs must see every argument, also those on the stack and structures by value, their number, the ip, their
    cookies; the functions around them program, start time and run context. The traced function must get its
    arguments as its caller left them; in a kernel built by clang t2-t6 too, where local functions take arguments.

    A warning where no struct_ops of the kernel's own has as many arguments as it takes to go wrong; a note on t2-t6.

    ## Why it matters
    Programs decide on wrong values, and the traced function works on them.

    ## Remedy
    Compare the frame that is laid out with the offsets that arguments are stored at and loaded from. A trampoline for
    struct_ops (INDIRECT) is called directly: what its caller passed on the stack begins at its frame pointer, while a
    traced function's is 16 bytes above, behind the frame that stands for the function.

    ## References
    RISC-V psABI, integer calling convention; linux 6801b0aef79d ("riscv, bpf: Add 12-argument support for RV64 bpf
    trampoline").
    """
    yield from broken_bpf(facts, BpfPromise.ARGUMENTS, BpfPromise.PASSED, BpfPromise.LOCAL)
