# SPDX-License-Identifier: GPL-2.0-or-later
"""GP404: several words are only rewritten while nobody runs."""

from __future__ import annotations

from collections.abc import Iterator

from ...schemes.model import Need
from ...sites.harts import harts_of
from ..cases import CALL_OPS_CODE, PAIR_CODE, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural
from ..registry import rule

_LIVE = next(each.source for each in CALL_OPS_CODE if each.name == "arch_ftrace_update_code")
_PAIR = Fn(name="one", before=0)


@rule(
    "GP404",
    "live-multi-word",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux 5aa4ef955884 ("riscv: ftrace: do not use stop_machine to update code"), v6.16',
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: kernel(_PAIR, code=PAIR_CODE)),
        fires(
            lambda: kernel(_PAIR, code=replaced(PAIR_CODE, "arch_ftrace_update_code", _LIVE)),
            "without stopping",
        ),
        clean(  # there are no other harts
            lambda: kernel(
                _PAIR, code=replaced(PAIR_CODE, "arch_ftrace_update_code", _LIVE), config={"CONFIG_SMP": "n"}
            )
        ),
    ),
)
def live_multi_word(facts: Facts) -> Iterator[Finding]:
    """The scheme rewrites several instructions while other harts run through them.

    ## What it checks
    Whether arch_ftrace_update_code reaches ftrace_modify_all_code without stop_machine (decoded), with a
    scheme that rewrites more than one word.

    ## Why it matters
    Another hart executes one old and one new instruction: an auipc without its jalr, or the reverse.

    ## Remedy
    Stop the machine, or use a scheme that changes one aligned word.

    ## References
    arch/riscv/kernel/ftrace.c (arch_ftrace_update_code).
    """
    scheme = facts.need_scheme()
    if Need.STOP_MACHINE not in scheme.needs:
        return
    harts, evidence = harts_of(facts.image)
    if harts == 1:
        raise Skip(evidence)
    stops = facts.code.stops_machine
    if stops is None:
        raise Skip("how ftrace updates code could not be read")
    if not stops:
        yield Finding(
            message=f"{scheme.name} rewrites {scheme.words_patched} instructions without stopping the machine: "
            f"{plural(len(facts.sites), 'site')} can be run half written",
            kind="live",
            count=len(facts.sites),
        )
