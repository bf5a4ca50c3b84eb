# SPDX-License-Identifier: GPL-2.0-or-later
"""The flag of a record that gives its site an ops of its own: FTRACE_FL_CALL_OPS_EN, a number of the build.

Types (BTF) tell it. Without them ftrace_make_call is run for records of which each has another bit set: the one with
which it asks ftrace_find_unique_ops is the flag.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..image.model import KernelImage
from ..machine.lanes import Lanes
from ..units import I64Array
from .layouts import Layouts
from .patcher import NO_GUESTS, Guests, Patcher
from .scene import Scene

__all__ = ["FLAG", "own_ops_flag"]

FLAG = "FTRACE_FL_CALL_OPS_EN"
_ASKED, _CALLED = "ftrace_find_unique_ops", "ftrace_make_call"
_BITS = 32
_U64 = np.uint64


def own_ops_flag(
    scene: Scene, layouts: Layouts, ip: int, guests: Guests = NO_GUESTS, tell: Callable[[str], None] | None = None
) -> int:
    """Return the flag, 0 where the kernel has none or it cannot be told.

    Args:
        scene: the kernel, whose sites have a literal.
        layouts: of its structures.
        ip: of any site.
        guests: modules, if the site is one of theirs.
        tell: called with how it was found where types do not tell it.
    """
    image = scene.image
    if image.types is not None:
        return image.types.enumerator(FLAG) or 0
    if any(image.address_of(name) is None for name in (_ASKED, _CALLED, "ftrace_caller")):
        return 0
    bits = _bits_that_ask(image, scene, layouts, ip, guests)
    if len(bits) != 1:
        return 0
    if tell is not None:
        tell(f"{FLAG}: no type; taken for bit {bits[0]}, with which {_CALLED} calls {_ASKED}")
    return 1 << bits[0]


def _bits_that_ask(image: KernelImage, scene: Scene, layouts: Layouts, ip: int, guests: Guests) -> list[int]:
    """Return the numbers of the bits with which a site's own ops is asked for; all if it always is."""
    lanes = _BITS + 1  # the last has no bit set
    patcher = Patcher(scene, np.full(lanes, ip, _U64), layouts, guests)
    asked = np.zeros(lanes, np.bool_)
    address = image.address_of(_ASKED) or 0
    answer = patcher.hooks[address]

    def hook(engine: Lanes, group: I64Array) -> None:
        asked[group] = True
        answer(engine, group)

    patcher.hooks[address] = hook
    flags = np.append(_U64(1) << np.arange(_BITS, dtype=_U64), _U64(0))
    patcher.memory.write_u64(None, patcher.record + layouts.record_flags, flags)
    patcher.call(_CALLED, {0: patcher.record, 1: image.address_of("ftrace_caller") or 0})
    return np.flatnonzero(asked).tolist()
