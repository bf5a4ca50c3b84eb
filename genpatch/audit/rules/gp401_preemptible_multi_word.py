# SPDX-License-Identifier: GPL-2.0-or-later
"""GP401: several words are not rewritten in a kernel that preempts between them."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import PAIR_CODE, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural
from ..registry import rule

_PAIR = Fn(name="one", before=0)


@rule(
    "GP401",
    "preemptible-multi-word",
    severity=Severity.ERROR,
    source='linux 8547649981e6 ("riscv: ftrace: Fixup panic by disabling preemption"), v6.3',
    cases=(
        clean(lambda: kernel(Fn(name="one"), symbols={"preempt_schedule": SITES_AT + 0x9000})),
        clean(lambda: kernel(_PAIR, code=PAIR_CODE)),
        fires(
            lambda: kernel(_PAIR, code=PAIR_CODE, symbols={"preempt_schedule": SITES_AT + 0x9000}),
            "preempt_schedule is in the image",
        ),
        fires(lambda: kernel(_PAIR, code=PAIR_CODE, config={"CONFIG_PREEMPTION": "y"}), "CONFIG_PREEMPTION"),
    ),
)
def preemptible_multi_word(facts: Facts) -> Iterator[Finding]:
    """The scheme rewrites several instructions, and tasks can be preempted between them.

    ## What it checks
    Whether the scheme patches more than one word of a sled that other tasks run through, in a kernel with
    full or lazy preemption: by CONFIG_PREEMPTION, or by preempt_schedule being in the image.

    ## Why it matters
    stop_machine stops harts, not tasks. A task that was preempted behind auipc resumes into a jalr that
    belongs to another target, or to none, and jumps anywhere.

    ## Remedy
    Use a scheme that patches one word, or make FUNCTION_TRACER depend on !PREEMPTION.

    ## References
    arch/riscv/Kconfig; kernel/stop_machine.c.
    """
    scheme = facts.need_scheme()
    if not scheme.is_multi_word:
        return
    if facts.preemption.full is None:
        raise Skip(f"preemption is not known: {facts.preemption.evidence}")
    if facts.preemption.full:
        yield Finding(
            message=f"{scheme.name} rewrites {scheme.words_patched} instructions and tasks are preempted between "
            f"them ({facts.preemption.evidence}): {plural(len(facts.sites), 'site')} can resume into half a call",
            kind="preempt",
            count=len(facts.sites),
        )
