# SPDX-License-Identifier: GPL-2.0-or-later
"""GP550: a jump in an alternative goes where it went before the alternative was moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..ctree import FunctionTree, trees_of
from ..model import Place, Problem
from ..patching import sources
from ..registry import source_rule
from ..shown import brought

if TYPE_CHECKING:
    from ..shown import Shown

_MOVED = "riscv_alternative_fix_offsets"
_PATHS = (
    "arch/riscv/kernel/alternative.c",
    "arch/riscv/include/asm/insn.h",
    "arch/riscv/include/asm/insn-def.h",
)


@source_rule("GP550", "moved-jump")
def moved_jump(change: Change) -> Iterable[Problem]:
    """A call or a jump in an alternative goes elsewhere once the alternative is copied to its place.

    ## What it checks
    riscv_alternative_fix_offsets() is run, with what asm/insn.h has for it, on code that was moved up and down:
    a pair of auipc and jalr by ra and a jal must reach what they reached where the code was made, with the lower
    half of the distance positive and negative; a jal inside of the code and all else must stay as it is. Who
    calls it in arch/riscv must tell it how far the code was moved as its new place less its old one. Only what
    the patch brings is reported.

    ## Why it matters
    The wrong instruction runs only on hardware that needs the alternative, and jumps some pages beside the
    function.

    ## Remedy
    Take how far the code was moved off the distance, and add 1 << 12 to the upper part where bit 11 is set.

    ## References
    arch/riscv/kernel/alternative.c; arch/riscv/include/asm/insn.h.
    """
    if not set(_PATHS).isdisjoint(change.paths):
        yield from brought(change, _PATHS, (_MOVED,), _judged)
    for path, old, new in sources(change):
        changed = [name for name in new if name in old and old[name].bodies != new[name].bodies]
        if not any(f"{_MOVED}(" in new[name].body for name in changed):
            continue
        trees, before = trees_of(change.after.read(path) or ""), trees_of(change.before.read(path) or "")
        for name in (each for each in changed if each in trees):
            lines = _turned(trees[name])
            if len(lines) > (len(_turned(before[name])) if name in before else 0):
                text = f"{name}() tells {_MOVED}() the old place less the new one"
                yield Problem(name, (Place(path, lines[0]),), text)


def _turned(tree: FunctionTree) -> list[int]:
    """Return the lines of calls whose distance is counted to where the code is moved, not from there."""
    calls = (call for call in tree.calls if call[1] == _MOVED and len(call[2]) == 3)
    return [line for _, _, (place, _, by), line in calls if by[:2] == ("bin", "-") and by[3] == place != by[2]]


def _judged(texts: Texts) -> Sequence[Shown]:
    from ..jumps import moved_faults

    return moved_faults(*(texts.read(path) or "" for path in _PATHS))
