# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel functions that give memory: not executed, as nothing has booted; which argument is the size, types tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...image.model import KernelImage
from ...machine.lanes import Hook, Lanes
from ...run.kernel import A0, RA
from ...units import I64Array, U64Array

if TYPE_CHECKING:
    from .jit import Heap

__all__ = ["ALLOCATES", "FREES", "allocator_arguments", "allocators"]

ALLOCATES: dict[str, tuple[int, ...]] = {
    "__kmalloc": (0,),
    "__kmalloc_noprof": (0,),
    "__kmalloc_node": (0,),
    "__kmalloc_node_noprof": (0,),
    "__kmalloc_node_track_caller_noprof": (0,),
    "__kmalloc_large_noprof": (0,),
    "__kmalloc_large_node_noprof": (0,),
    "__kmalloc_cache_noprof": (2,),
    "__kmalloc_cache_node_noprof": (3,),
    "kmalloc_large": (0,),
    "kmalloc_trace": (2,),
    "kmalloc_order": (0,),
    "kmalloc_order_trace": (0,),
    "__kvmalloc_node_noprof": (0,),
    "kvmalloc_node": (0,),
    "kvmalloc_node_noprof": (0,),
    "kvmalloc": (0,),
    "kzalloc": (0,),
    "kzalloc_noprof": (0,),
    "kmalloc": (0,),
    "kcalloc": (0, 1),
    "kmalloc_array": (0, 1),
    "__vmalloc": (0,),
    "__vmalloc_noprof": (0,),
    "vmalloc": (0,),
    "vmalloc_noprof": (0,),
    "vzalloc_noprof": (0,),
}
"""Which arguments give the size [bytes], or its factors, where the image's types do not say."""
FREES = ("kfree", "kvfree", "vfree", "kfree_sensitive", "kvfree_sensitive")
_FACTORS = (("n", "size"), ("nmemb", "size"))


def allocator_arguments(image: KernelImage, name: str) -> tuple[int, ...]:
    """Return which arguments of an allocator multiply to the size [bytes]."""
    proto = image.types.func_proto(name) if image.types is not None else None
    if proto is None:
        return ALLOCATES[name]
    names = [parameter.name for parameter in proto.parameters]
    for factors in _FACTORS:
        if all(each in names for each in factors):
            return tuple(names.index(each) for each in factors)
    return (names.index("size"),) if "size" in names else ALLOCATES[name]


def allocators(image: KernelImage, heap: Heap) -> dict[int, Hook]:
    """Return what stands in for each function that gives or takes memory, by address."""
    hooks: dict[int, Hook] = {}
    for name in ALLOCATES:
        for clone in (name, f"{name}.constprop.0", f"{name}.isra.0"):
            address = image.address_of(clone)
            if address is not None:
                hooks[address] = _allocate(heap, allocator_arguments(image, name))
    for name in FREES:
        address = image.address_of(name)
        if address is not None:
            hooks[address] = _return
    return hooks


def _allocate(heap: Heap, factors: tuple[int, ...]) -> Hook:
    def hook(lanes: Lanes, group: I64Array) -> None:
        size: U64Array = np.ones(len(group), np.uint64)
        for number in factors:
            size = size * lanes.x[A0 + number, group]
        lanes.x[A0, group] = heap.take(group, size)
        lanes.pc[group] = lanes.x[RA, group]

    return hook


def _return(lanes: Lanes, group: I64Array) -> None:
    lanes.pc[group] = lanes.x[RA, group]
