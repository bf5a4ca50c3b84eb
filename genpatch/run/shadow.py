# SPDX-License-Identifier: GPL-2.0-or-later
"""KASAN's shadow: for each 8 bytes of memory one that says whether they may be accessed.

Code that was compiled with KASAN reads it before each load and store of its own. At boot it is all zeros, which
allows everything; so it is here. Where it lies is a number of the build: one of KASAN's own checks is run, and the
address that it wants to load from tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..image.model import KernelImage
from ..machine.hart import Hart
from ..machine.memory import Memory
from ..machine.outcome import Cause
from ..units import MASK64, Span

__all__ = ["Shadow", "find_shadow"]

MARK = "kasan_early_shadow_page"
"""What only a kernel with a shadow has."""
_CHECKS = ("__asan_load1", "__asan_load1_noabort", "__kasan_check_byte", "kasan_byte_accessible")
"""Functions of an address that read its shadow first."""
_SCALE = 3
_BUDGET = 200
_WINDOW = 1 << 32
"""Bytes of memory whose shadow is mapped at once."""
_A0, _RA, _SP = 10, 1, 2
_RETURN = 0xFFFF_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where the shadow of an address lies: an eighth of it, plus a number of the build."""

    offset: int

    def of(self, address: int) -> Span:
        """Return the shadow of the 4 GiB that an address lies in."""
        start = address & -_WINDOW
        low = (start >> _SCALE) + self.offset & MASK64
        return Span(low, low + (_WINDOW >> _SCALE))

    def shadowed(self, address: int) -> int:
        """Return the address whose shadow is read at an address."""
        return (address - self.offset << _SCALE) & MASK64


def find_shadow(image: KernelImage, memory: Memory, stack: Span) -> Shadow | None:
    """Return where a kernel's shadow lies, None if it has none or it is not found.

    Args:
        image: the kernel.
        memory: with the kernel in it; nothing is written.
        stack: mapped, for one of its functions.
    """
    if image.address_of(MARK) is None:
        return None
    probe = next((address for name in ("start_kernel", "_stext") if (address := image.address_of(name))), None)
    for name in _CHECKS if probe is not None else ():
        entry = image.address_of(name)
        if entry is None or probe is None:
            continue
        hart = Hart(memory.fork(), compressed=image.has_rvc is not False)
        hart.pc, hart.x[_A0], hart.x[_RA], hart.x[_SP] = entry, probe, _RETURN, stack.end
        outcome = hart.run(_BUDGET)
        if outcome.cause == Cause.LOAD_FAULT and memory.mapping_at(outcome.tval) is None:
            return Shadow(outcome.tval - (probe >> _SCALE) & MASK64)
    return None
