# SPDX-License-Identifier: GPL-2.0-or-later
"""GP547: bpf_arch_text_poke() makes what it is told of what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..ctree import same_code, trees_of
from ..layout import BPF
from ..model import Place, Problem, Skip
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..poke import PokeFault
    from ..shown import Shown

_POKE = "bpf_arch_text_poke"
_SKIP = "arch_bpf_trampoline_skip"
_HEADER = "arch/riscv/net/bpf_jit.h"
_CORE = "arch/riscv/net/bpf_jit_core.c"


@source_rule("GP547", "text-poke")
def text_poke(change: Change) -> Iterable[Problem]:
    """What BPF patches holds other instructions than told, or is written over although it is not known.

    ## What it checks
    bpf_arch_text_poke() of bpf_jit_comp64.c is run on a sled in memory, for calls, jumps and nothing as the old
    and as the new instructions: afterwards the sled must hold the new ones, made for the new type; where
    something else stood than the old ones, the sled must be left alone and an error returned. Where no
    gen_jump_or_nops() makes the new instructions, it is run on the entry of a program as the JIT emits it: what
    it leaves for a target must differ from what it leaves for another in the address only, what it leaves for
    none must be the entry as it was emitted, and what it is wrongly told must be left alone.
    arch_bpf_trampoline_skip(), where there is one, must write a jump over what it is told. Only what the patch
    brings is reported.

    ## Why it matters
    A call made as a jump leaves no address to return to. Who pokes at what has changed in between destroys it,
    a breakpoint of a kprobe for one, or a sled of ftrace's.

    ## Remedy
    Make the old instructions with the old type and compare; make the new ones with the new type and write.

    ## References
    bpf_arch_text_poke() in arch/riscv/net/bpf_jit_comp64.c; enum bpf_text_poke_type in include/linux/bpf.h.
    """
    if not {BPF, _HEADER}.isdisjoint(change.paths):
        yield from brought(change, (BPF, _HEADER), (_SKIP,), _skips)
    if BPF not in change.paths:
        return
    before, after = (texts.read(BPF) or "" for texts in (change.before, change.after))
    if _POKE not in after or same_code(before, after, [_POKE]):
        return
    from ..cexec import NotRun  # loaded only where it is needed

    try:
        found = _faults(change.after)
    except NotRun as why:
        raise Skip(f"{BPF}: what {_POKE}() does was not understood: {why}") from None
    try:
        known = {fault.key for fault in _faults(change.before)} if found else set()
    except NotRun:
        return
    tree = trees_of(after)[_POKE]
    lines = [line for line in sorted(change.added.get(BPF, ())) if tree.line <= line <= tree.end]
    places = tuple(Place(BPF, line) for line in (*lines, tree.line))
    for fault in found:
        if fault.key not in known:
            yield Problem(fault.key, places, fault.message)


def _skips(texts: Texts) -> Sequence[Shown]:
    from ..jumps import skip_faults

    return skip_faults(BPF, texts.read(BPF) or "", texts.read(_HEADER) or "")


def _faults(texts: Texts) -> tuple[PokeFault, ...]:
    from ..poke import poke_faults

    source, header, core = (texts.read(path) or "" for path in (BPF, _HEADER, _CORE))
    return poke_faults(source, header, core)
