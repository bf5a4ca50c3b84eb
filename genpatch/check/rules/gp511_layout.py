# SPDX-License-Identifier: GPL-2.0-or-later
"""GP511: one layout of the patch site, in every file that knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..layout import Layout, layouts
from ..model import Place, Problem
from ..registry import source_rule


@source_rule("GP511", "layout-equation")
def layout_equation(change: Change) -> Iterable[Problem]:
    """The files that know the layout of a patch site no longer agree.

    ## What it checks
    For each configuration, the bytes of nops that ``-fpatchable-function-entry`` in arch/riscv/Makefile asks for
    (a nop has 2 bytes with RISCV_ISA_C, else 4) against the MCOUNT sizes in asm/ftrace.h, against what
    ftrace_call_adjust() adds and arch_ftrace_get_symaddr() takes off, and against RV_FENTRY_NINSNS of the BPF JIT.
    Only what the patch brings is reported. What is not written as plain numbers is not judged.

    ## Why it matters
    Where they differ, ftrace writes over a function's own instructions or misses the nops that run, and a BPF
    trampoline calls into the middle of a function's prologue.

    ## Remedy
    Change all of them in the same patch.

    ## References
    arch/riscv/Makefile; arch/riscv/include/asm/ftrace.h; arch/riscv/kernel/ftrace.c;
    arch/riscv/net/bpf_jit_comp64.c.
    """
    return _joined(change.new(_problems), sum(1 for _ in layouts(change.after)))


def _problems(texts: Texts) -> Iterator[Problem]:
    for each in layouts(texts):
        for kind, places, message in _unequal(each):
            yield Problem(f"{kind} {each.name}", places, f"{message}\0{each.name}")


def _unequal(layout: Layout) -> Iterator[tuple[str, tuple[Place, ...], str]]:
    if layout.sled is not None and layout.sled != layout.after:
        yield (
            "sled",
            layout.named("makefile", "insn", "auipc", "jalr"),
            f"the Makefile asks for {layout.after} bytes of nops in a function, ftrace.h writes {layout.sled}",
        )
    if layout.bpf is not None and layout.bpf != layout.after:
        yield (
            "bpf",
            layout.named("bpf", "makefile"),
            f"RV_FENTRY_NINSNS is {layout.bpf} bytes, the Makefile asks for {layout.after} bytes of nops in a function",
        )
    if layout.adjust is None:
        return
    site = layout.adjust - layout.before
    wanted = layout.back if layout.back is not None else layout.auipc
    where = layout.named("adjust", "makefile", "back", "auipc")
    if site < 0:
        return  # GP512
    if wanted is not None and site != wanted:
        other = "arch_ftrace_get_symaddr() takes off" if layout.back is not None else "MCOUNT_AUIPC_SIZE is"
        yield "site", where, f"ftrace_call_adjust() puts the site {site} bytes behind the entry, {other} {wanted}"
    elif wanted is None and layout.before + site and site >= layout.after:
        yield "site", where, f"ftrace_call_adjust() puts the site {site} bytes behind the entry, where no nop is"


def _joined(problems: Iterable[Problem], count: int) -> Iterator[Problem]:
    """Say what is the same in several configurations once."""
    same: dict[tuple[str, str], list[Problem]] = {}
    for each in problems:
        same.setdefault((each.key.split(" ")[0], each.message.split("\0")[0]), []).append(each)
    for (_, message), group in same.items():
        names = "; ".join(each.message.split("\0")[1] for each in group)
        names = "every configuration" if len(group) == count else names
        places = tuple(dict.fromkeys(place for each in group for place in each.places))
        yield Problem(group[0].key, places, f"{message} ({names})")
