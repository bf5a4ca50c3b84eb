# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs to find a function's tracer by walking the list of all, as a common callback does.

The kernel's own list function is executed with a list that is made here: its structures are laid out by BTF. Where
an image does not have what that takes, a loop of ours does the least that such a function must: follow the list, look
the address up in each tracer's hash of one bucket, call those that have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import GenpatchError, UsageError
from ..image.btf import StructLayout
from ..image.model import KernelImage
from ..isa.assemble import assemble
from ..machine.hart import Hart
from ..machine.memory import Memory
from ..machine.outcome import Trap
from ..run.kernel import KernelBench, has_returned
from ..units import MASK64, Span
from ..verify.scene import hook_stubs
from ..verify.stubs import STUBS
from .paths import CALLER_SAVED

__all__ = ["OURS", "Walk", "walk_of"]

OURS = "a loop of genpatch's own"
_NAMES = ("arch_ftrace_ops_list_func", "ftrace_ops_list_func")
_CALLBACK = 0xFFFF_FFFF_F000_0000
_BUDGET = 5_000_000
_RA, _A2 = 1, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The cost of a list.

    Args:
        function: what was executed.
        one: number of tracers to instructions, where only the last of the list traces the function.
        every: the same where all of them do.
        notes: why it was not the kernel's own function.
    """

    function: str
    one: dict[int, int]
    every: dict[int, int]
    notes: tuple[str, ...] = ()


def walk_of(image: KernelImage, ip: int, counts: tuple[int, ...]) -> Walk:
    """Execute the walk over lists of several lengths.

    Args:
        image: the kernel.
        ip: a site.
        counts: how many tracers.
    """
    try:
        return _executed(_own(image), ip, counts)
    except _NotFeasibleError as error:
        return _executed(_ours(), ip, counts, (str(error),))


class _NotFeasibleError(GenpatchError):
    """An image does not have what it takes to run its own list function."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """Something to execute: `start` puts a list of tracers there, given which trace the function, and calls it."""

    function: str
    start: Callable[[int, tuple[bool, ...]], tuple[int, int]]


def _executed(scene: _Scene, ip: int, counts: tuple[int, ...], notes: tuple[str, ...] = ()) -> Walk:
    costs: dict[bool, dict[int, int]] = {False: {}, True: {}}
    for every, cost in costs.items():
        for count in counts:
            matching = (*(every,) * (count - 1), True)
            cost[count], called = scene.start(ip, matching)
            if called != sum(matching):
                raise _NotFeasibleError(f"{scene.function} called {called} of {sum(matching)} tracers")
    return Walk(function=scene.function, one=costs[False], every=costs[True], notes=notes)


# -- the kernel's own function


@dataclass(frozen=True, slots=True)
class _Types:
    ops: StructLayout
    hashes: StructLayout
    hash: StructLayout
    entry: StructLayout


def _own(image: KernelImage) -> _Scene:
    name = next((each for each in _NAMES if image.address_of(each) is not None), None)
    head, end = image.address_of("ftrace_ops_list"), image.address_of("ftrace_list_end")
    if name is None or head is None or end is None:
        raise _NotFeasibleError("the image does not name its list function, ftrace_ops_list and ftrace_list_end")
    types = _types(image)

    def start(ip: int, matching: tuple[bool, ...]) -> tuple[int, int]:
        bench = KernelBench(image)
        hart = bench.hart
        hook_stubs(hart, {at: stub for stub in STUBS if (at := image.address_of(stub.name)) is not None})
        called = _count_callbacks(hart)
        try:
            first = end
            for matches in reversed(matching):
                first = _tracer(bench, types, ip if matches else ip ^ 0x1_0000, first)
            bench.memory.write(head, _quad(first))
            before = hart.retired
            outcome = bench.call(name, ip, ip ^ 0x2_0000, end, bench.place(bytes(512)), budget=_BUDGET)
        except (Trap, UsageError) as error:
            raise _NotFeasibleError(f"{name}: {error}") from error
        if not has_returned(outcome):
            raise _NotFeasibleError(f"{name} did not return: {outcome.reason}")
        return hart.retired - before, len(called)

    return _Scene(name, start)


def _types(image: KernelImage) -> _Types:
    found = []
    wanted = (
        ("ftrace_ops", ("func", "next", "flags", "local_hash", "func_hash")),
        ("ftrace_ops_hash", ("notrace_hash", "filter_hash")),
        ("ftrace_hash", ("size_bits", "buckets", "count")),
        ("ftrace_func_entry", ("hlist", "ip")),
    )
    for name, members in wanted:
        struct = image.types.struct(name) if image.types is not None else None
        if struct is None or not all(struct.has(member) for member in members):
            raise _NotFeasibleError(f"no type of struct {name}, or another one than is known")
        found.append(struct)
    return _Types(*found)


def _tracer(bench: KernelBench, types: _Types, ip: int, following: int) -> int:
    """Put a struct ftrace_ops that traces one function into memory and return its address."""
    entry = bench.place(_struct(types.entry, ip=ip))
    buckets = bench.place(_quad(entry))
    one = bench.place(_struct(types.hash, size_bits=0, buckets=buckets, count=1))
    none = bench.place(_struct(types.hash))
    ops = bench.place(_struct(types.ops, func=_CALLBACK, next=following))
    hashes = ops + types.ops.offset("local_hash")
    bench.memory.write(hashes, _struct(types.hashes, notrace_hash=none, filter_hash=one))
    bench.memory.write(ops + types.ops.offset("func_hash"), _quad(hashes))
    return ops


def _struct(layout: StructLayout, **values: int) -> bytes:
    """Return a structure whose members are zero, but for some of 8 bytes."""
    data = bytearray(layout.size)
    for name, value in values.items():
        at = layout.offset(name)
        data[at : at + 8] = _quad(value)
    return bytes(data)


def _quad(value: int) -> bytes:
    return (value & MASK64).to_bytes(8, "little")


def _count_callbacks(hart: Hart) -> list[int]:
    called: list[int] = []

    def hook(hart: Hart) -> None:
        called.append(hart.x[_A2])
        for number in CALLER_SAVED:
            hart.x[number] = 0xDEAD_0000_0000_0000 + number
        hart.pc = hart.x[_RA]

    hart.hooks[_CALLBACK] = hook
    return called


# -- ours

_LOOP_AT, _DATA = 0xFFFF_FFFF_8000_0000, Span(0xFFFF_AF80_0000_0000, 0xFFFF_AF80_0010_0000)
_RETURN = 0xFFFF_FFFF_F100_0000
_LOOP = """
    addi sp, sp, -64
    sd ra, 56(sp)
    sd s0, 48(sp)
    sd s1, 40(sp)
    sd s2, 32(sp)
    sd s3, 24(sp)
    addi s1, a0, 0
    addi s2, a1, 0
    addi s3, a3, 0
    ld s0, 0(a2)
1:  beq s0, zero, 4f
    ld t1, 16(s0)
2:  beq t1, zero, 3f
    ld t2, 8(t1)
    ld t1, 0(t1)
    bne t2, s1, 2b
    addi a0, s1, 0
    addi a1, s2, 0
    addi a2, s0, 0
    addi a3, s3, 0
    ld t1, 0(s0)
    jalr ra, 0(t1)
3:  ld s0, 8(s0)
    jal zero, 1b
4:  ld ra, 56(sp)
    ld s0, 48(sp)
    ld s1, 40(sp)
    ld s2, 32(sp)
    ld s3, 24(sp)
    addi sp, sp, 64
    jalr zero, 0(ra)
"""
"""a0: ip, a1: parent ip, a2: head, a3: frame. A tracer: callback, next, bucket; an entry of it: next, ip."""


def _ours() -> _Scene:
    code = assemble(_LOOP, _LOOP_AT)

    def start(ip: int, matching: tuple[bool, ...]) -> tuple[int, int]:
        memory = Memory()
        memory.map(_LOOP_AT, code, size=len(code), permissions="rx", name="loop")
        memory.map(_DATA.start, size=_DATA.size, name="data")
        first, at = 0, _DATA.start + 8
        for matches in reversed(matching):
            memory.write(at, b"".join(map(_quad, (_CALLBACK, first, at + 24, 0, ip if matches else ip ^ 0x1_0000))))
            first, at = at, at + 40
        memory.write(_DATA.start, _quad(first))
        hart = Hart(memory)
        called = _count_callbacks(hart)
        hart.x[_RA], hart.x[2], hart.pc = _RETURN, _DATA.end - 64, _LOOP_AT
        hart.x[10], hart.x[11], hart.x[12], hart.x[13] = ip, ip ^ 0x2_0000, _DATA.start, _DATA.end - 64
        hart.breakpoints = {_RETURN}
        hart.run(_BUDGET)
        return hart.retired, len(called)

    return _Scene(OURS, start)
