# SPDX-License-Identifier: GPL-2.0-or-later
"""Small scenarios written by hand: a function, a trampoline, a few stores."""

from __future__ import annotations

from genpatch.isa.assemble import assemble
from genpatch.machine.memory import Memory
from genpatch.race.model import Act, Event, Scenario, Site
from genpatch.units import Span

FUNC = 0xFFFF_FFFF_8000_0100
TRAMPOLINE = 0xFFFF_FFFF_8020_0840
OTHER = 0xFFFF_FFFF_8040_0040
CALLBACK = 0xFFFF_FFFF_8100_0000
DATA = 0xFFFF_FFFF_8300_0000
OPS_A, OPS_B = DATA + 0x100, DATA + 0x200
STACK = Span(0xFFFF_FFFF_9000_0000, 0xFFFF_FFFF_9000_1000)
PARENT = 0xFFFF_FFFF_A000_0000
CALLER = """
    addi sp, sp, -16
    sd ra, 8(sp)
    sd t0, 0(sp)
    auipc a2, 0
    ld a2, {distance}(a2)
    ld t1, 0(a2)
    jalr ra, 0(t1)
    ld t0, 0(sp)
    ld ra, 8(sp)
    addi sp, sp, 16
    jalr zero, 0(t0)
"""
"""Loads ops from a word behind itself and calls the function that they begin with."""


def call_words(target: int, pc: int) -> bytes:
    """auipc t0 + jalr t0."""
    distance = target - pc
    high = (distance + 0x800) >> 12 & 0xFFFFF
    return assemble(f"auipc t0, {high:#x}\n jalr t0, {((distance & 0xFFF) ^ 0x800) - 0x800}(t0)", pc)


def registers() -> tuple[int, ...]:
    values = [0x1000_0000_0000 * number + number for number in range(32)]
    values[1], values[2] = PARENT, STACK.end - 0x200
    return tuple(values)


def trampoline(at: int, ops: int) -> bytes:
    """A trampoline of 44 bytes and, at +48, the ops that it hands on."""
    code = assemble(CALLER.format(distance=48 - 12), at).ljust(48, b"\0")
    return code + ops.to_bytes(8, "little")


def scenario(
    *stores: Event,
    sled: str | bytes = "nop\n nop",
    size: int = 8,
    at: int = FUNC,
    old: tuple[int, ...] = (),
    new: tuple[int, ...] = (OPS_A,),
    patchers: tuple[tuple[Event, ...], ...] = (),
    clobbers: frozenset[int] = frozenset({5, 6, 7, *range(10, 18), *range(28, 32)}),
    **more: object,
) -> Scenario:
    """A function with a sled, two trampolines of the same kind and a patcher.

    The callback's caller-saved registers are not restored by the small trampolines; `clobbers` allows for it.
    """
    memory = Memory()
    body = assemble("addi a0, a0, 1\n ret", at + size)
    sled = assemble(sled, at) if isinstance(sled, str) else sled
    page = at & -4096
    text = bytearray(4096)
    text[at - page : at - page + size + len(body)] = sled + body
    memory.map(page, bytes(text), permissions="rx", name="text")
    for start, ops in ((TRAMPOLINE, OPS_A), (OTHER, OPS_B)):
        memory.map(start, trampoline(start, ops), permissions="rx", name="trampoline")
    memory.map(DATA, size=4096, name="data")
    for ops in (OPS_A, OPS_B):
        memory.write(ops, CALLBACK.to_bytes(8, "little"))
    memory.map(STACK.start, size=STACK.size, name="stack")
    code = {
        "func": Span(at, at + size),
        "trampoline": Span(TRAMPOLINE, TRAMPOLINE + 48),
        "other": Span(OTHER, OTHER + 48),
    }
    site = Site(
        func=at,
        body=at + size,
        code=code,
        callbacks=frozenset({CALLBACK}),
        clobbers=clobbers,
        registers=registers(),
        stack=STACK,
    )
    return Scenario(
        name="litmus",
        memory=memory,
        site=site,
        patchers=patchers or (stores,),
        old=old,
        new=new,
        ops=frozenset({OPS_A, OPS_B}),
        lines={OPS_A: "ops A", OPS_B: "ops B"},
        **more,  # type: ignore[arg-type]
    )


def store(at: int, data: bytes, what: str = "") -> Event:
    return Event(act=Act.STORE, at=at, data=data, what=what)


FENCE, FENCE_I, REMOTE = Event(act=Act.FENCE), Event(act=Act.FENCE_I), Event(act=Act.REMOTE_FENCE_I)
STOP, RESUME, WAIT = Event(act=Act.STOP), Event(act=Act.RESUME), Event(act=Act.WAIT_TASKS)
PUBLISH = (FENCE_I, FENCE, REMOTE)
