# SPDX-License-Identifier: GPL-2.0-or-later
"""GP102: sleds hold nops and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from ...sites.model import Nops
from ..cases import SITES_AT, Fn, clean, fires, kernel, words
from ..facts import Facts
from ..model import Finding, Severity, agree, plural, where
from ..registry import rule

_KINDS = (
    (Nops.FOREIGN, Severity.ERROR, "holds", "hold", "instructions where the sled should be: they would be overwritten"),
    (Nops.UNREADABLE, Severity.ERROR, "has", "have", "no bytes in the image where the sled should be"),
    (
        Nops.PATCHED,
        Severity.WARNING,
        "already holds",
        "already hold",
        "a call: this image was taken from a running kernel or patched",
    ),
    (Nops.MIXED, Severity.WARNING, "is", "are", "spelt with nops of two sizes: the 4-byte boundary may fall into one"),
)


@rule(
    "GP102",
    "foreign-sled",
    severity=Severity.ERROR,
    source="RISC-V unprivileged ISA: NOP is addi x0,x0,0 (0x00000013), C.NOP is 0x0001",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="bad", head=words(0xFF010113))), "holds? instructions"),
        fires(
            lambda: kernel(Fn(name="one"), Fn(name="on", head=words(0x00000297, 0x000282E7))),
            "already holds? a call",
        ),
        fires(
            lambda: kernel(
                Fn(name="a"),
                Fn(name="b"),
                Fn(name="pre", at=SITES_AT + 0x108),
                data={SITES_AT + 0x104: words(0xFF010113)},
            ),
            "below the symbol",
        ),
        fires(
            lambda: kernel(Fn(name="a"), Fn(name="b"), Fn(name="mix", head=b"\x01\x00\x01\x00\x13\x00\x00\x00")),
            "nops of two sizes",
        ),
    ),
)
def foreign_sled(facts: Facts) -> Iterator[Finding]:
    """Some sites hold other bytes than nops.

    ## What it checks
    The bytes from each function symbol on: c.nop, nop, already a call, something else, or not stored at all.

    ## Why it matters
    ftrace_init_nop writes over the sled without looking at it: whatever stands there is lost. A table entry
    that points to the wrong place is the usual reason.

    ## Remedy
    Look at the listed functions with objdump: is the entry the compiler's, is the symbol the function's first
    instruction, was the object rewritten after compilation?

    ## References
    arch/riscv/kernel/ftrace.c (ftrace_init_nop); scripts/sorttable.c.
    """
    sites = facts.need_sites()
    hit = where((sites.before_spelling == Nops.FOREIGN) & facts.executable[sites.region])
    if len(hit):
        yield facts.about_sites(
            hit,
            f"{plural(len(hit), 'site')} {agree(len(hit), 'has', 'have')} instructions below the symbol where the "
            "prefix should be",
            "prefix",
        )
    for kind, level, one, many, text in _KINDS:
        hit = where((sites.spelling == kind) & facts.executable[sites.region])
        if len(hit):
            yield facts.about_sites(
                hit, f"{plural(len(hit), 'site')} {agree(len(hit), one, many)} {text}", kind.text, level=level
            )
