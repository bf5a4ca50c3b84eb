# SPDX-License-Identifier: GPL-2.0-or-later
"""Which arguments of an allocator say how much, and memory of which nothing is given twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genpatch.image.btf import Btf
from genpatch.image.model import KernelImage
from genpatch.machine.lane_memory import LaneMemory
from genpatch.machine.lanes import Lanes
from genpatch.run.kernel import A0, RA
from genpatch.units import Span
from genpatch.verify.bpf.allocators import ALLOCATES, FREES, allocator_arguments, allocators
from genpatch.verify.bpf.jit import GUARD, Heap

from ...image.test_btf import FUNC, FUNC_PROTO, INT, PTR, Blob
from .toys import sound_image

HEAP = Span(0x10_0000, 0x10_0000 + 0x1000)


def typed(name: str, *parameters: str) -> KernelImage:
    """Return an image whose types know one function; each parameter is an unsigned long."""
    blob = Blob()
    blob.add("long unsigned int", INT, 8, 0x40)  # 1
    blob.add(0, PTR, 0)  # 2
    each = [word for parameter in parameters for word in (blob.name(parameter), 1)]
    blob.add(0, FUNC_PROTO, 2, *each, vlen=len(parameters))  # 3
    blob.add(name, FUNC, 3, vlen=1)
    return replace(sound_image(), types=Btf.parse(blob.pack()))


@pytest.mark.parametrize(
    ("name", "parameters", "arguments"),
    [
        ("kvmalloc_node", ("size", "flags", "node"), (0,)),
        ("__kmalloc_cache_noprof", ("s", "gfpflags", "size"), (2,)),
        ("__kvmalloc_node_noprof", ("size", "b", "align", "flags", "node"), (0,)),
        ("__kmalloc_node_noprof", ("token", "size", "b", "flags", "node"), (1,)),  # another order than the list has
        ("kcalloc", ("n", "size", "flags"), (0, 1)),
        ("kmalloc_array", ("flags", "nmemb", "size"), (1, 2)),
        ("kmalloc", ("how_much", "flags"), (0,)),  # nothing of a known name: as listed
        ("kcalloc", ("a", "b"), (0, 1)),
    ],
)
def test_types_say_which_argument_is_the_size(
    name: str, parameters: tuple[str, ...], arguments: tuple[int, ...]
) -> None:
    assert allocator_arguments(typed(name, *parameters), name) == arguments


@pytest.mark.parametrize("name", ALLOCATES)
def test_without_types_the_list_says_so(name: str) -> None:
    assert allocator_arguments(replace(sound_image(), types=None), name) == ALLOCATES[name]
    assert allocator_arguments(typed("something_else", "size"), name) == ALLOCATES[name]


def test_the_sample_has_two_of_them() -> None:
    image = sound_image()
    hooks = allocators(image, Heap(LaneMemory(1), HEAP, 1))
    assert set(hooks) == {image.address_of("kvmalloc_node"), image.address_of("kvfree")}
    assert allocator_arguments(image, "kvmalloc_node") == (0,)


def test_names_of_one_kind_are_not_of_the_other() -> None:
    assert not set(ALLOCATES) & set(FREES)


# -- called


def stage(n: int) -> tuple[Lanes, Heap]:
    """Return n lanes that stand in an allocator of the sample, and its memory."""
    memory = LaneMemory(n)
    memory.map_private(HEAP.start, HEAP.size, name="heap")
    lanes = Lanes(memory)
    lanes.x[RA] = 0x1234
    return lanes, Heap(memory, HEAP, n)


def call(lanes: Lanes, heap: Heap, sizes: list[int]) -> list[int]:
    """Let each lane ask for some bytes; return the addresses that they get."""
    image, group = sound_image(), np.arange(len(sizes))
    entry = image.address_of("kvmalloc_node")
    assert entry is not None
    lanes.x[A0, group] = np.array(sizes, np.uint64)
    allocators(image, heap)[entry](lanes, group)
    assert [int(each) for each in lanes.pc[group]] == [0x1234] * len(sizes)
    return [int(each) for each in lanes.x[A0, group]]


def test_each_lane_takes_from_its_own() -> None:
    lanes, heap = stage(3)
    assert call(lanes, heap, [1, 16, 17]) == [HEAP.start] * 3
    # rounded up to 16 bytes, with 32 behind them
    assert call(lanes, heap, [8, 8, 8]) == [HEAP.start + 48, HEAP.start + 48, HEAP.start + 64]


def test_there_is_no_more_than_there_is() -> None:
    lanes, heap = stage(3)
    assert call(lanes, heap, [HEAP.size - GUARD, HEAP.size - GUARD + 1, -1 & (1 << 64) - 1]) == [HEAP.start, 0, 0]
    assert call(lanes, heap, [1, 1, 1]) == [0, HEAP.start, HEAP.start]


def test_what_is_written_behind_is_seen() -> None:
    lanes, heap = stage(3)
    at = call(lanes, heap, [8, 8, 8])[0]
    heap.memory.write(np.array([0]), at + 7, np.array([1], np.uint8))
    heap.memory.write(np.array([1]), at + 8, np.array([1], np.uint8))
    heap.memory.write(np.array([2]), at + 23, np.array([1], np.uint8))
    assert heap.overrun().tolist() == [False, True, True]


def test_freeing_takes_nothing() -> None:
    image, (lanes, heap) = sound_image(), stage(1)
    entry = image.address_of("kvfree")
    assert entry is not None
    before = heap.next.tolist()
    allocators(image, heap)[entry](lanes, np.arange(1))
    assert (int(lanes.pc[0]), heap.next.tolist()) == (0x1234, before)
