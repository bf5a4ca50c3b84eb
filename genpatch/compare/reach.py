# SPDX-License-Identifier: GPL-2.0-or-later
"""How far calls go: which sites reach what a scheme calls, and where dispatchers would have to stand.

Distances are those of the kernel as it is, not of the text that another scheme would make of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.model import KernelImage
from ..isa.encoding import REACH_JAL, REACH_PCREL
from ..schemes import CallScheme
from ..schemes.model import Place
from ..sites.model import Sites
from ..units import WORD_SIZE, BoolArray, I64Array, U64Array
from .layout import TextLayout

__all__ = ["Dispatchers", "Reach", "boundaries", "dispatchers_for", "reach_of"]

_U64 = np.uint64
_AREA = 1 << 31
"""Linux keeps modules, hence trampolines that are made at run time, in the 2 GiB below the kernel's end."""
TARGET = "ftrace_caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What sites reach under a scheme.

    Args:
        what: what they must reach, in words.
        sites: how many of them there are.
        reached: how many reach it; None where that is not known, for lack of a symbol.
        nearest, farthest: distances from the call to it that are smallest and largest in size [bytes].
    """

    what: str
    sites: int
    reached: int | None
    nearest: int | None = None
    farthest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatchers:
    """The fewest dispatchers by which every site has one in reach.

    Args:
        at: where each has to stand, between two functions.
        served: how many sites each serves: those that no earlier one does.
        left: sites near which there is no place for one.
    """

    at: tuple[int, ...]
    served: tuple[int, ...]
    left: int


def call_offset(scheme: CallScheme) -> int:
    """Return where the instruction stands whose reach counts, minus func [bytes]."""
    return next((WORD_SIZE * at for at, line in enumerate(scheme.enabled) if "{hi20}" in line or "jal t0" in line), 0)


def reach_of(scheme: CallScheme, image: KernelImage, sites: Sites) -> Reach:
    """Count the sites that reach what a scheme calls, where this kernel has it."""
    func = sites.func[sites.in_text]
    call = func + _U64(call_offset(scheme))
    target = image.address_of(TARGET)
    if scheme.base is not None:
        return _from_register(scheme, image, len(func), target)
    if scheme.dispatcher is not None:
        call = func + _U64(scheme.dispatcher % (1 << 64))
        return _to(f"{TARGET}, from its own dispatcher", call, target, REACH_PCREL)
    if any(store.place is Place.TRAMPOLINE for store in scheme.enable):
        return _to_area(image, call, scheme.reach)
    if scheme.reach.stop >= 1 << 62:  # it jumps to an address that it has loaded
        return _to("any address", call, target if target is not None else 0, scheme.reach)
    return _to(TARGET, call, target, scheme.reach)


def _to(what: str, call: U64Array, target: int | None, reach: range) -> Reach:
    if target is None:
        return Reach(what=f"{what}: no such symbol", sites=len(call), reached=None)
    distance = (_U64(target) - call).astype(np.int64)
    size = np.abs(distance)
    return Reach(
        what=what,
        sites=len(call),
        reached=int(_within(distance, reach).sum()),
        nearest=int(distance[size.argmin()]) if len(call) else None,
        farthest=int(distance[size.argmax()]) if len(call) else None,
    )


def _within(distance: I64Array, reach: range) -> BoolArray:
    """Tell which distances a call covers: bool[n]."""
    low, high = max(reach.start, -(1 << 63)), min(reach[-1], (1 << 63) - 1)
    inside: BoolArray = (distance >= low) & (distance <= high)
    return inside & ((distance - low) % reach.step == 0) if reach.step > 1 else inside


def _from_register(scheme: CallScheme, image: KernelImage, count: int, target: int | None) -> Reach:
    """A register is the same at every site: all of them reach it, or none."""
    base = image.address_of("__global_pointer$")
    what = f"{TARGET}, from {scheme.base}"
    if base is None or target is None:
        return Reach(what=f"{what}: no such symbols", sites=count, reached=None)
    distance = target - base
    return Reach(
        what=what,
        sites=count,
        reached=count if distance in scheme.reach else 0,
        nearest=distance,
        farthest=distance,
    )


def _to_area(image: KernelImage, call: U64Array, reach: range) -> Reach:
    """A trampoline may be anywhere where modules are: sites that reach both ends of that."""
    what = "all of the modules' area"
    start, end = image.address_of("_start"), image.address_of("_end")
    if start is None or end is None:
        return Reach(what=f"{what}: no _start or no _end", sites=len(call), reached=None)
    low = (_U64(end - _AREA) - call).astype(np.int64)
    high = (_U64(start) - call).astype(np.int64)
    both = _within(low, reach) & _within(high, reach)
    farthest = low if np.abs(low).max(initial=0) >= np.abs(high).max(initial=0) else high
    return Reach(
        what=what,
        sites=len(call),
        reached=int(both.sum()),
        nearest=int(high[np.abs(high).argmin()]) if len(call) else None,
        farthest=int(farthest[np.abs(farthest).argmax()]) if len(call) else None,
    )


def boundaries(layout: TextLayout) -> U64Array:
    """Return where something may be put between two functions: below each, its sled and padding, and behind the last.

    Returns:
        uint64[m], ascending.
    """
    low = layout.start - (layout.below + layout.padding).astype(np.uint64)
    last = np.append(layout.first[1:], True)[: len(layout)]
    behind = layout.start[last] + (layout.after + layout.own + layout.kept)[last].astype(np.uint64)
    return np.unique(np.concatenate((low, behind)))


def dispatchers_for(call: U64Array, places: U64Array, reach: range = REACH_JAL) -> Dispatchers:
    """Return the fewest places by which every call has one in reach.

    Of the calls that none serves yet let c be the lowest. Some place from c + reach.start to c + reach[-1] must be
    taken; let p be the highest of them, and q any other. Whatever call d >= c the place q serves, p serves too: p
    is above q, so no farther below d, and p <= c + reach[-1] <= d + reach[-1]. So of any solution in which q serves
    c another of the same size is made by taking p in its place. By induction none is smaller than what comes of
    always taking p.

    Args:
        call: uint64[n], addresses of the instructions that jump.
        places: uint64[m], where a dispatcher may stand.
        reach: of the instruction.
    """
    order = np.sort(call)
    at: list[int] = []
    served: list[int] = []
    left = 0
    number, highest, lowest = 0, reach[-1], reach.start
    while number < len(order):  # once for each dispatcher
        first = int(order[number])
        place = int(np.searchsorted(places, _U64(min(first + highest, (1 << 64) - 1)), "right")) - 1
        chosen = int(places[place]) if place >= 0 else 0
        if place < 0 or chosen < first + lowest:
            above = int(places[place + 1]) if place + 1 < len(places) else None
            bound = len(order) if above is None else int(np.searchsorted(order, _U64(above - highest), "left"))
            bound = max(bound, number + 1)
            left += bound - number
            number = bound
            continue
        bound = int(np.searchsorted(order, _U64(min(chosen - lowest, (1 << 64) - 1)), "right"))
        at.append(chosen)
        served.append(bound - number)
        number = bound
    return Dispatchers(at=tuple(at), served=tuple(served), left=left)
