# SPDX-License-Identifier: GPL-2.0-or-later
"""GP107: the ops pointer is naturally aligned and has room of its own."""

from __future__ import annotations

from collections.abc import Iterator

from ...image.model import ImageKind
from ..cases import SITES_AT, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule


@rule(
    "GP107",
    "literal-misaligned",
    severity=Severity.ERROR,
    source="RISC-V unprivileged ISA, section on misaligned loads and stores: only naturally aligned ones are atomic",
    cases=(
        clean(lambda: kernel(Fn(name="one"), Fn(name="two"))),
        fires(lambda: kernel(Fn(name="one"), Fn(name="odd", at=SITES_AT + 0x44)), "not on a multiple of 8"),
        fires(lambda: kernel(Fn(name="a"), Fn(name="b"), Fn(name="bare", before=0)), "no room"),
    ),
)
def literal_misaligned(facts: Facts) -> Iterator[Finding]:
    """The ops pointer before the function is torn, or lies inside something else.

    ## What it checks
    That func - 8 is a multiple of 8 (for a module: as far as its section's alignment guarantees it), and that
    the 8 bytes there are prefix nops of this function.

    ## Why it matters
    Another hart loads the pointer while it is rewritten. A misaligned load may see half of the old and half
    of the new pointer, and the trampoline jumps through it. Without prefix nops the pointer overwrites the end
    of the function before.

    ## Remedy
    -fpatchable-function-entry=N,M with M nops of 8 bytes in all, and functions on 8 bytes.

    ## References
    arch/riscv/Kconfig (FUNCTION_ALIGNMENT_8B); arch/riscv/kernel/mcount-dyn.S.
    """
    sites, scheme = facts.need_sites(), facts.need_scheme()
    if scheme.literal is None:
        raise Skip("the scheme has no literal")
    if facts.image.kind is ImageKind.OBJECT:
        raise Skip("an object's functions are placed by the final link")
    hit = where(sites.alignment < scheme.literal_alignment)
    if len(hit):
        yield facts.about_sites(
            hit,
            f"the ops literal of {plural(len(hit), 'site')} is not on a multiple of {scheme.literal_alignment} "
            f"({facts.section_counts(hit)}): a load beside the store may see half of it",
            "misaligned",
        )
    told = sites.named & (sites.lead == 0)  # an entry behind a landing pad says nothing of what is below func
    hit = where(told & (sites.before < -scheme.literal))
    if len(hit):
        yield facts.about_sites(
            hit, f"{plural(len(hit), 'site')} leave no room for the ops literal before the symbol", "no-room"
        )
