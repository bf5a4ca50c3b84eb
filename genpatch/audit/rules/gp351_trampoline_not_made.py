# SPDX-License-Identifier: GPL-2.0-or-later
"""GP351: The BPF JIT does not make a trampoline, or writes beyond what was set aside for it."""

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

    failure = BpfFailure(BpfPromise.SIZE, "the dry run's size", 2, "RESTORE_REGS, 1 argument", 0, 0, "the kernel warns")
    return with_bpf(patching(), failure)


@rule(
    "GP351",
    "trampoline-not-made",
    severity=Severity.ERROR,
    applies="verify",
    source="observed: the kernel's own BPF JIT, executed",
    cases=(
        clean(lambda: with_bpf(patching())),
        fires(_broken, "the dry run's size is wrong in 2 of 10 trampolines"),
    ),
)
def trampoline_not_made(facts: Facts) -> Iterator[Finding]:
    """The BPF JIT does not make a trampoline, or writes beyond what was set aside for it.

    ## What it checks
    arch_bpf_trampoline_size() and arch_prepare_bpf_trampoline() are executed for every combination of flags that the
    kernel accepts, for 0 to 12 arguments and for 0 to 3 programs of each kind. They must return, without a WARN; the
    size of the dry run must hold what is then written, and nothing may be written behind what was allocated, nor behind
    the size that is returned. bpf_arch_text_poke() must then accept the jump over detached programs at ip_after_call.

    ## Why it matters
    A trampoline that outgrows its dry run is refused or overwrites its neighbour; programs cannot be attached.

    ## Remedy
    Emit in the dry run what the real run emits: constants whose length depends on addresses need their longest form.

    ## References
    arch/riscv/net/bpf_jit_comp64.c; linux 96d1b7c081c0 ("bpf: Add arch_bpf_trampoline_size()").
    """
    yield from broken_bpf(facts, BpfPromise.MADE, BpfPromise.SIZE)
