# SPDX-License-Identifier: GPL-2.0-or-later
"""GP201: each call reaches its trampoline."""

from __future__ import annotations

from collections.abc import Iterator

from ...isa.encoding import REACH_PCREL, in_pcrel_reach
from ...units import MASK64
from ..cases import CALL_OPS_CODE, SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule


def _moved(distance: int) -> Facts:
    """A kernel whose trampoline is `distance` bytes from its only site."""
    far = tuple(each for each in CALL_OPS_CODE if each.name != "ftrace_caller")
    return kernel(
        Fn(name="one", at=SITES_AT + 16),
        code=far,
        symbols={"ftrace_caller": (SITES_AT + 16 + distance) & MASK64},
    )


@rule(
    "GP201",
    "trampoline-out-of-reach",
    severity=Severity.ERROR,
    source="RISC-V unprivileged ISA, AUIPC and JALR: -2**31 - 2**11 <= distance < 2**31 - 2**11",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        clean(lambda: _moved(0x7FFF_F7FF)),
        clean(lambda: _moved(-0x8000_0800)),
        fires(lambda: _moved(0x7FFF_F800), "0x7ffff800"),
        fires(lambda: _moved(-0x8000_0801), "-0x80000801"),
    ),
)
def trampoline_out_of_reach(facts: Facts) -> Iterator[Finding]:
    """A site is too far from ftrace_caller for auipc and jalr.

    ## What it checks
    The distance from the first instruction of each call to ftrace_caller (and to ftrace_regs_caller where
    there is one) against what the pair covers.

    ## Why it matters
    The upper immediate wraps: the call goes 4 GiB away from where it should. The range is not that of a
    32-bit integer, since jalr's immediate is signed: it ends 2 KiB earlier at the top.

    ## Remedy
    Keep text within 2 GiB of the trampoline; give each far region its own.

    ## References
    arch/riscv/include/asm/ftrace.h (make_call_t0).
    """
    sites = facts.need_sites()
    if facts.is_module:
        raise Skip("a module's addresses are not final; the module region is judged with the kernel")
    targets = {name: facts.image.address_of(name) for name in ("ftrace_caller", "ftrace_regs_caller")}
    known = {name: address for name, address in targets.items() if address is not None}
    if not known:
        raise Skip("there is no ftrace_caller")
    for name, address in known.items():
        distance = facts.distances_to(address)
        hit = where(~in_pcrel_reach(distance) & sites.in_text)
        if len(hit):
            yield facts.about_sites(
                hit,
                f"{plural(len(hit), 'site')} cannot reach {name}: distance {int(distance[hit[0]]):#x}, the pair covers "
                f"{REACH_PCREL.start:#x} .. {REACH_PCREL[-1]:#x}",
                "reach",
                subject=name,
            )
