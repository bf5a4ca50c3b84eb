# SPDX-License-Identifier: GPL-2.0-or-later
"""A real kernel on a bench, with a place to put what its functions are given."""

from __future__ import annotations

import os
import struct
from functools import cache
from pathlib import Path

import pytest

from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.machine.hart import Hart
from genpatch.run.kernel import KernelBench, has_returned

GUARD = 16


def signed(value: int, bits: int = 32) -> int:
    """Two's complement of the low bits."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


class Kernel:
    """Calls of one kernel's functions. What `put` and `room` hand out is good until `fresh`."""

    def __init__(self, path: Path):
        self.bench = KernelBench(read_image(open_content(str(path))))
        self.version = path.parent.name
        self.calls = 0
        self.fresh()

    def fresh(self) -> None:
        self._next = self.bench.scratch.start + 4096

    def room(self, size: int, *, align: int = 0, fill: int = 0) -> int:
        """Return the address of `size` bytes, at `align` modulo 64, with something else on both sides."""
        address = -(-(self._next + GUARD) // 64) * 64 + align
        self._next = address + size + GUARD
        self.bench.memory.write(address - GUARD, b"\xee" * GUARD + bytes([fill]) * size + b"\xee" * GUARD)
        return address

    def put(self, data: bytes, *, align: int = 0) -> int:
        address = self.room(len(data), align=align)
        self.bench.memory.write(address, data)
        return address

    def text(self, data: bytes, *, align: int = 0) -> int:
        return self.put(data + b"\0", align=align)

    def read(self, address: int, size: int) -> bytes:
        """Return bytes, after a look at those on both sides."""
        memory = self.bench.memory
        assert memory.read(address - GUARD, GUARD) == b"\xee" * GUARD, "it wrote below the buffer"
        assert memory.read(address + size, GUARD) == b"\xee" * GUARD, "it wrote behind the buffer"
        return memory.read(address, size)

    def word(self, address: int, size: int = 8) -> int:
        return int.from_bytes(self.bench.memory.read(address, size), "little")

    def has(self, *names: str) -> None:
        """Skip where one of these functions is missing."""
        missing = [name for name in names if self.bench.image.address_of(name) is None]
        if missing:
            pytest.skip(f"{self.version} has no {', '.join(missing)}")

    def __call__(self, name: str | int, *arguments: int, budget: int = 20_000_000) -> int:
        """Call a function and return a0; it must come back, with sp and the saved registers as they were."""
        hart = self.bench.hart
        self.bench.prepare(self.bench.function(name), arguments)
        kept = [2, 3, 4, 8, 9, *range(18, 28)]
        before = [hart.x[number] for number in kept]
        outcome = hart.run(budget)
        assert has_returned(outcome), f"{name}{arguments}: {outcome}"
        assert [hart.x[number] for number in kept] == before
        self.calls += 1
        return hart.x[10]

    def host(self, address: int, function) -> int:  # type: ignore[no-untyped-def]
        """Let calls of an address call `function(a0, a1, a2)` here; its result is a0."""

        def hook(hart: Hart) -> None:
            hart.x[10], hart.pc = function(*hart.x[10:13]) & (1 << 64) - 1, hart.x[1]

        self.bench.hart.hooks[address] = hook
        return address


@cache
def _kernel(path: Path) -> Kernel:
    return Kernel(path)


def given(version: str) -> Kernel:
    """Return a kernel's bench; skip where the kernel is not there."""
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder:
        pytest.skip("GENPATCH_KERNELS names no directory of kernels")
    path = Path(folder, version, "vmlinux")
    if not path.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/vmlinux")
    kernel = _kernel(path)
    kernel.fresh()
    return kernel


def u64s(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)
