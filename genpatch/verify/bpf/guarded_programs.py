# SPDX-License-Identifier: GPL-2.0-or-later
"""eBPF programs whose accesses may fault, by pointers of the kernel, in an arena or of a processor's own.

The verifier marks such accesses; the JIT gives each an entry in the program's table of exceptions. A load that
faults leaves zero in its register, a store nothing, and the program goes on. Source: BPF_PROBE_MEM and its like in
the kernel's include/linux/filter.h, RFC 9669 for the rest. Expected values are worked out by hand.
"""

from __future__ import annotations

from .compiled_programs import (
    ARENA,
    ARENA_USER,
    PER_CPU_OFFSET,
    SELF,
    Call,
    Cell,
    CompiledProgram,
    words,
)

__all__ = ["programs"]

_BAD = 0xFFFF_AF00_DEAD_0000
"""Nothing is mapped there."""
_GOOD = 0xFFEE_DDCC_BBAA_9988
_OLD = 0x0123_4567_89AB_CDEF
_EMPTY = b"\xa7" * 8
_LOW = f"{(ARENA_USER & 0xFFFF_FFFF) - (1 << 32)}"
"""The low half of the arena's address, as the number of a 32-bit move."""
_HIGH = ARENA_USER & ~0xFFFF_FFFF


def programs() -> list[CompiledProgram]:
    """Return all of them."""
    return [*_PROBES, *_PER_CPU, *_ARENAS]


def _words(*rows: tuple[str, int, int]) -> tuple[Cell, ...]:
    return tuple(Cell(what, offset, 8, value) for what, offset, value in rows)


def _clearing(register: int) -> str:
    """Return lines that load from nowhere into a register, from itself and from another, and add up what is left."""
    base = 7 if register == 8 else 8
    own = f"r{register} = *(u64 *)(r9 + 0); probe r{register} = *(u64 *)(r{register} + 16); r{base} = r{register}"
    other = f"r{base} = *(u64 *)(r9 + 0); r{register} = -1; probe r{register} = *(u32 *)(r{base} - 4)"
    at = 8 + 16 * register
    return f"{own}; *(u64 *)(r9 + {at}) = r{base}; {other}; *(u64 *)(r9 + {at + 8}) = r{register}"


_PROBES = (
    CompiledProgram(name="loads from nowhere, into each register",
        text="r9 = r1; " + "; ".join(_clearing(number) for number in range(9)) + "; r0 = 1; exit", result=1,
        context=words(_BAD) + _EMPTY * 18, needs="probe",
        cells=_words(*((f"r{k // 2}, {('its own base', 'another base')[k & 1]}", 8 + 8 * k, 0) for k in range(18)))),
    CompiledProgram(name="loads that may fault, and do not", text="""
        r9 = r1; probe r2 = *(u64 *)(r9 + 0); probe r3 = *(u8 *)(r9 + 7); probe r4 = *(u16 *)(r9 + 2)
        r5 = r9; r5 += 4000; probe r5 = *(u32 *)(r5 - 4000); *(u64 *)(r9 + 8) = r2; *(u64 *)(r9 + 16) = r3
        *(u64 *)(r9 + 24) = r4; *(u64 *)(r9 + 32) = r5; r0 = 0; exit""", result=0, context=words(_GOOD) + _EMPTY * 4,
        cells=_words(("u64", 8, _GOOD), ("u8", 16, 0xFF), ("u16", 24, 0xBBAA), ("u32", 32, 0xBBAA_9988)),
        needs="probe"),
    CompiledProgram(name="loads from nowhere, one behind the other", text="""
        r6 = *(u64 *)(r1 + 0); r9 = r1; r2 = 7; r3 = 7; r4 = 7; r5 = 7; r7 = 7; r0 = 0
        probe r2 = *(u8 *)(r6 + 0); probe r3 = *(u16 *)(r6 + 2047); probe r4 = *(u32 *)(r6 + 2048)
        probe r5 = *(u64 *)(r6 - 32768); probe r7 = *(u32 *)(r6 + 8); zext r7
        r0 |= r2; r0 |= r3; r0 |= r4; r0 |= r5; r0 |= r7; r0 += 3; exit""", result=3, context=words(_BAD),
        needs="probe"),
    CompiledProgram(name="loads from nowhere that extend a sign", text="""
        r6 = *(u64 *)(r1 + 0); r9 = r1; r2 = -1; r3 = -1; r4 = -1; probe r2 = *(s8 *)(r6 + 0)
        probe r3 = *(s16 *)(r6 + 4000); probe r4 = *(s32 *)(r6 + 4); probe r5 = *(s16 *)(r9 + 0)
        *(u64 *)(r9 + 8) = r2; *(u64 *)(r9 + 16) = r3; *(u64 *)(r9 + 24) = r4; *(u64 *)(r9 + 32) = r5; r0 = 0; exit""",
        result=0, context=words(_BAD & ~0xFFFF | 0x8001) + _EMPTY * 4, needs="v4+probe",
        cells=_words(("s8", 8, 0), ("s16", 16, 0), ("s32", 24, 0), ("s16 of the context", 32, 0xFFFF_FFFF_FFFF_8001))),
    CompiledProgram(name="a subprogram that loads from nowhere", text="""
        r6 = r1; probe r7 = *(u64 *)(r6 + 0); r1 = r7; r2 = 5; call sub1; r0 += 2; probe r8 = *(u64 *)(r7 + 8)
        r0 += r8; exit""", functions=(("""
        r6 = r1; r7 = r2; call helper; r0 = -1; probe r0 = *(u32 *)(r6 + 0); r0 += r7; probe r1 = *(u16 *)(r6 + 6)
        r0 += r1; exit""", 0),), calls=(Call("helper", (_BAD, 5)),), result=7, context=words(_BAD), needs="probe"),
    CompiledProgram(name="a barrier against speculation", text="r0 = 1; nospec; r0 += 1; exit", result=2),
)  # fmt: skip

_PER_CPU = (
    CompiledProgram(name="the address of what a processor has of its own", text="""
        r9 = r1; r2 = *(u64 *)(r9 + 0); r3 = &(void __percpu *)(r2); r2 = &(void __percpu *)(r2)
        *(u64 *)(r9 + 8) = r3; r0 = r2; exit""", result=0x1000 + PER_CPU_OFFSET, context=words(0x1000) + _EMPTY,
        cells=_words(("in another register", 8, 0x1000 + PER_CPU_OFFSET),), needs="percpu"),
    CompiledProgram(name="the same in a subprogram", text="r1 = *(u64 *)(r1 + 0); call sub1; r0 += 1; exit",
        functions=(("r7 = r1; call helper; r0 = &(void __percpu *)(r7); exit", 0),), calls=(Call("helper", (0x1000,)),),
        result=0x1001 + PER_CPU_OFFSET, context=words(0x1000), needs="percpu"),
)  # fmt: skip

_IN_ARENA = words(_GOOD, _OLD, _OLD, _OLD, _OLD, _OLD, _OLD, _OLD)
_ARENAS = (
    CompiledProgram(name="loads and stores in an arena", text=f"""
        r9 = r1; w6 = {_LOW}; r2 = 0x1122334455667788 ll; arena r0 = *(u64 *)(r6 + 0); *(u64 *)(r9 + 0) = r0
        arena r0 = *(u8 *)(r6 + 7); *(u64 *)(r9 + 8) = r0; w7 = w6; w7 += 4000; arena r7 = *(u16 *)(r7 - 3998)
        *(u64 *)(r9 + 16) = r7; arena *(u64 *)(r6 + 8) = r2; arena *(u32 *)(r6 + 16) = r2
        arena *(u16 *)(r6 + 24) = -2; w7 = w6; w7 += 3000; arena *(u8 *)(r7 - 2968) = r2
        arena *(u64 *)(r7 - 2960) = -3; arena *(u32 *)(r6 + 48) = -4; arena *(u16 *)(r6 + 56) = r2; r0 = 0
        exit""", result=0, context=_EMPTY * 3, arena=_IN_ARENA, needs="arena",
        cells=(*_words(("u64 load", 0, _GOOD), ("u8 load", 8, 0xFF), ("u16 load, large offset", 16, 0xBBAA)),
            Cell("u64 of a register", 8, 8, 0x1122_3344_5566_7788, ARENA),
            Cell("u32 of a register", 16, 4, 0x5566_7788, ARENA), Cell("u16 of a number", 24, 2, 0xFFFE, ARENA),
            Cell("u8, large offset", 32, 1, 0x88, ARENA),
            Cell("u64 of a number, large offset", 40, 8, 0xFFFF_FFFF_FFFF_FFFD, ARENA),
            Cell("u32 of a number", 48, 4, 0xFFFF_FFFC, ARENA), Cell("u16 of a register", 56, 2, 0x7788, ARENA))),
    CompiledProgram(name="an arena where nothing is mapped", text=f"""
        r9 = r1; w6 = {_LOW}; w6 += 0x100000; r2 = -1; r0 = -1; arena r0 = *(u64 *)(r6 + 0); *(u64 *)(r9 + 0) = r0
        r6 = r6; arena r6 = *(u32 *)(r6 + 8); *(u64 *)(r9 + 8) = r6; w7 = {_LOW}; w7 += 0x100000
        arena *(u64 *)(r7 + 0) = r2; arena *(u8 *)(r7 + 3000) = 5; arena *(u32 *)(r7 - 8) = r7; *(u64 *)(r9 + 16) = r2
        r0 = r7; exit""", result=(ARENA_USER & 0xFFFF_FFFF) + 0x10_0000, context=_EMPTY * 3, arena=_IN_ARENA,
        needs="arena", cells=_words(("u64 load", 0, 0), ("u32 load, its own base", 8, 0), ("r2", 16, 2**64 - 1))),
    CompiledProgram(name="addresses of an arena for its user", text=f"""
        r9 = r1; w2 = {_LOW}; w2 += 16; r3 = addr_space_cast(r2, 1, 0); *(u64 *)(r9 + 0) = r3
        r2 = addr_space_cast(r2, 1, 0); *(u64 *)(r9 + 8) = r2; r4 = 0; r5 = addr_space_cast(r4, 1, 0)
        *(u64 *)(r9 + 16) = r5; r4 = 0x7777777700000000 ll; r4 = addr_space_cast(r4, 1, 0); *(u64 *)(r9 + 24) = r4
        r4 = 0x7777777700000008 ll; r0 = addr_space_cast(r4, 1, 0); *(u64 *)(r9 + 32) = r0
        r2 = addr_space_cast(r2, 1, 0); r0 = r2; exit""", result=ARENA_USER + 16, context=_EMPTY * 5, arena=_IN_ARENA,
        needs="arena", cells=_words(("into another register", 0, ARENA_USER + 16), ("into its own", 8, ARENA_USER + 16),
            ("NULL", 16, 0), ("NULL, with upper bits", 24, 0), ("with upper bits", 32, _HIGH + 8))),
    CompiledProgram(name="atomic operations in an arena", text=f"""
        r9 = r1; w6 = {_LOW}; r2 = 0x10; r3 = 0xf0; w4 = -1; r5 = 0x55; arena lock *(u64 *)(r6 + 8) += r2
        arena r3 = atomic_fetch_and((u64 *)(r6 + 16), r3); arena w4 = atomic_fetch_xor((u32 *)(r6 + 24), w4)
        arena r5 = xchg_64(r6 + 32, r5); *(u64 *)(r9 + 0) = r3; *(u64 *)(r9 + 8) = r4; *(u64 *)(r9 + 16) = r5
        w7 = w6; w7 += 3000; arena lock *(u64 *)(r7 - 2960) |= r2; r0 = 0; exit""", result=0, context=_EMPTY * 3,
        arena=_IN_ARENA, needs="arena atomics",
        cells=(*_words(("what and returns", 0, _OLD), ("what xor returns", 8, 0x89AB_CDEF),
                       ("what xchg returns", 16, _OLD)),
            Cell("u64 +=", 8, 8, _OLD + 0x10, ARENA), Cell("u64 &=", 16, 8, 0xE0, ARENA),
            Cell("u32 ^=", 24, 4, 0x7654_3210, ARENA), Cell("xchg", 32, 8, 0x55, ARENA),
            Cell("u64 |=, large offset", 40, 8, _OLD | 0x10, ARENA))),
    CompiledProgram(name="compare and exchange in an arena", text=f"""
        r9 = r1; w6 = {_LOW}; r2 = 0x55; r0 = 0x0123456789abcdef ll; arena r0 = cmpxchg_64(r6 + 8, r0, r2)
        *(u64 *)(r9 + 0) = r0; r0 = 1; arena w0 = cmpxchg32_32(r6 + 16, w0, w2); zext r0; *(u64 *)(r9 + 8) = r0
        r0 = 0; exit""", result=0, context=_EMPTY * 2, arena=_IN_ARENA, needs="arena cmpxchg",
        cells=(*_words(("R0 of u64, equal", 0, _OLD), ("R0 of u32, not equal", 8, 0x89AB_CDEF)),
            Cell("u64, equal", 8, 8, 0x55, ARENA))),
    CompiledProgram(name="acquire and release in an arena", text=f"""
        r9 = r1; w6 = {_LOW}; arena r0 = load_acquire((u64 *)(r6 + 0)); *(u64 *)(r9 + 0) = r0; r2 = -2
        arena store_release((u16 *)(r6 + 8), w2); arena w3 = load_acquire((u8 *)(r6 + 7)); *(u64 *)(r9 + 8) = r3
        r0 = 0; exit""", result=0, context=_EMPTY * 2, arena=_IN_ARENA, needs="arena atomics+acquire",
        cells=(*_words(("u64 load", 0, _GOOD), ("u8 load", 8, 0xFF)), Cell("u16 store", 8, 2, 0xFFFE, ARENA))),
    CompiledProgram(name="atomic operations where nothing is mapped", text=f"""
        r9 = r1; w6 = {_LOW}; w6 += 0x100000; r2 = 1; r3 = 3; r5 = 5; arena lock *(u64 *)(r6 + 0) += r2
        arena r3 = atomic_fetch_add((u64 *)(r6 + 8), r3); arena w5 = xchg32_32(r6 + 16, w5)
        *(u64 *)(r9 + 0) = r2; *(u64 *)(r9 + 8) = r3; *(u64 *)(r9 + 16) = r5; r0 = 1; exit""", result=1,
        context=_EMPTY * 3, arena=_IN_ARENA, needs="arena atomics",
        cells=_words(("the register of +=", 0, 1), ("what add returns", 8, 0), ("what xchg returns", 16, 0))),
    CompiledProgram(name="compare and exchange where nothing is mapped", text=f"""
        r9 = r1; w6 = {_LOW}; w6 += 0x100000; r0 = 7; r2 = 1; arena r0 = cmpxchg_64(r6 + 0, r0, r2); r0 += 3
        exit""", result=3, arena=_IN_ARENA, needs="arena cmpxchg"),
    CompiledProgram(name="acquire and release where nothing is mapped", text=f"""
        r9 = r1; w6 = {_LOW}; w6 += 0x100000; r2 = 9; r0 = 7; arena r0 = load_acquire((u64 *)(r6 + 0))
        arena store_release((u32 *)(r6 + 8), w2); r0 += r2; exit""", result=9, arena=_IN_ARENA,
        needs="arena atomics+acquire"),
    CompiledProgram(name="an arena in a subprogram", text=f"""
        w6 = {_LOW}; r1 = r6; call sub1; arena r1 = *(u64 *)(r6 + 8); r0 += r1; exit""", functions=((f"""
        r6 = r1; call helper; arena *(u64 *)(r6 + 8) = 4; w7 = {_LOW}; w7 += 0x100000; r0 = 9
        arena r0 = *(u64 *)(r7 + 0); exit""", 0),), calls=(Call("helper", (ARENA_USER & 0xFFFF_FFFF,)),), result=4,
        arena=_IN_ARENA, cells=(Cell("what the subprogram stores", 8, 8, 4, ARENA),), needs="arena"),
    CompiledProgram(name="a tail call to itself, with an arena", text=f"""
        r6 = r1; w7 = {_LOW}; arena r8 = *(u64 *)(r7 + 8); r8 += 1; arena *(u64 *)(r7 + 8) = r8; call helper; r1 = r6
        r2 = map ll; r3 = 0; tail_call; r0 = 77; exit""", tail=(SELF,), calls=(Call("helper"),) * 34, result=77,
        arena=words(0, 0), cells=(Cell("how often it is entered", 8, 8, 34, ARENA),), needs="arena"),
)  # fmt: skip
