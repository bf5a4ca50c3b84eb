# SPDX-License-Identifier: GPL-2.0-or-later
"""Toy kernels that patch themselves by older schemes, and toy kernels of which something is missing.

The call-ops one is `genpatch.audit.live`. These two are after the interfaces of 6.12 (both words of a pair
written, back through t0) and of 6.1 (four words, ra kept below sp, back through ra), in our own assembly.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from genpatch.audit.cases import DATA, FREGS, OPS, SITES_AT, TEXT, Code, Fn, kernel
from genpatch.audit.live import LIVE, RECORD, live
from genpatch.image.btf import StructLayout
from genpatch.image.model import KernelImage
from genpatch.image.symbols import SymbolTable
from genpatch.verify.run import Verification, verify

HANDLER, GLOBAL_OPS = DATA + 0x300, DATA + 0x400

_RET = "jalr zero, 0(ra)"
_COMMON = {
    "patch_insn_write": LIVE["patch_insn_write"],
    "__set_fixmap": _RET,
    # the toy's trampoline calls what a word in .data points to
    "ftrace_update_ftrace_func": f"la a5, {HANDLER:#x}\n sd a0, 0(a5)\n addi a0, zero, 0\n {_RET}",
}
_HEAD = "addi sp, sp, -48\n sd ra, 40(sp)\n"
_WRITE_SLED = """
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_insn_write
"""
_TAIL = "ld ra, 40(sp)\n addi sp, sp, 48\n jalr zero, 0(ra)\n"
_TWO_NOPS = """
    addi a4, zero, 0x13
    slli a5, a4, 32
    or a4, a4, a5
"""

_PAIR_CALL = (
    _HEAD
    + """
    ld a0, 0(a0)
    sub a4, a1, a0
    lui a5, 0x1
    srli a5, a5, 1
    addw a5, a4, a5
    srliw a5, a5, 12
    slli a5, a5, 12
    addi a5, a5, 0x297
    slli a5, a5, 32
    srli a5, a5, 32
    slliw a4, a4, 20
    lui a3, 0x28
    addi a3, a3, 0x2e7
    addw a4, a4, a3
    slli a4, a4, 32
    or a4, a4, a5
    sd a4, 0(sp)
"""
    + _WRITE_SLED
    + _TAIL
)
_PAIR_NOP = _HEAD + "ld a0, 0(a1)\n" + _TWO_NOPS + "sd a4, 0(sp)\n" + _WRITE_SLED + _TAIL
_PAIR_AT = {
    name: TEXT + 0x200 * number
    for number, name in enumerate(
        (*_COMMON, "ftrace_caller", "ftrace_make_call", "ftrace_make_nop", "ftrace_init_nop", "ftrace_modify_call")
    )
}
PAIR: dict[str, str] = {
    **_COMMON,
    "ftrace_caller": f"""
    addi sp, sp, -112
    sd t0, 0(sp)
    sd ra, 8(sp)
    sd s0, 24(sp)
    sd zero, 32(sp)
    sd a0, 48(sp)
    sd a1, 56(sp)
    sd a2, 64(sp)
    sd a3, 72(sp)
    sd a4, 80(sp)
    sd a5, 88(sp)
    sd a6, 96(sp)
    sd a7, 104(sp)
    addi a0, sp, 112
    sd a0, 16(sp)
    addi a0, t0, -8
    addi a1, ra, 0
    la a2, {GLOBAL_OPS:#x}
    ld a2, 0(a2)
    addi a3, sp, 0
    la t1, {HANDLER:#x}
    ld t1, 0(t1)
    jalr ra, 0(t1)
    ld t0, 0(sp)
    ld ra, 8(sp)
    ld s0, 24(sp)
    ld t1, 32(sp)
    ld a0, 48(sp)
    ld a1, 56(sp)
    ld a2, 64(sp)
    ld a3, 72(sp)
    ld a4, 80(sp)
    ld a5, 88(sp)
    ld a6, 96(sp)
    ld a7, 104(sp)
    addi sp, sp, 112
    bne t1, zero, direct
    jalr zero, 0(t0)
direct:
    jalr zero, 0(t1)
""",
    "ftrace_make_call": _PAIR_CALL,
    "ftrace_make_nop": _PAIR_NOP,
    "ftrace_init_nop": _PAIR_NOP,
    "ftrace_modify_call": f"addi a1, a2, 0\n jal zero, {_PAIR_AT['ftrace_make_call']:#x}",
}

_RA16_NOP = (
    _HEAD
    + "ld a0, 0(a1)\n sd a0, 32(sp)\n"
    + _TWO_NOPS
    + """
    sd a4, 0(sp)
    sd a4, 8(sp)
    addi a1, sp, 0
    addi a2, zero, 16
    jal ra, patch_text
"""
    + _TAIL
)
# sd ra, -8(sp) is 0xfe113c23; auipc ra 0x097; jalr ra, ra 0x080e7; ld ra, -8(sp) 0xff813083
_RA16_CALL = (
    _HEAD
    + """
    ld a0, 0(a0)
    sub a4, a1, a0
    addi a4, a4, -4
    lui a5, 0x1
    srli a5, a5, 1
    addw a5, a4, a5
    srliw a5, a5, 12
    slli a5, a5, 12
    addi a5, a5, 0x97
    sw a5, 4(sp)
    slliw a4, a4, 20
    lui a3, 0x8
    addi a3, a3, 0xe7
    addw a4, a4, a3
    sw a4, 8(sp)
    lui a4, 0xfe114
    addi a4, a4, -0x3dd
    sw a4, 0(sp)
    lui a4, 0xff813
    addi a4, a4, 0x83
    sw a4, 12(sp)
    addi a1, sp, 0
    addi a2, zero, 16
    jal ra, patch_text
"""
    + _TAIL
)
_RA16_AT = {
    name: TEXT + 0x200 * number
    for number, name in enumerate(
        (*_COMMON, "patch_text", "ftrace_caller", "ftrace_make_call", "ftrace_make_nop", "ftrace_init_nop")
    )
}
RA16: dict[str, str] = {
    **_COMMON,
    # two words at a time
    "patch_text": """
    addi sp, sp, -32
    sd ra, 24(sp)
    sd a0, 0(sp)
    sd a1, 8(sp)
    addi a2, zero, 8
    jal ra, patch_insn_write
    ld a0, 0(sp)
    ld a1, 8(sp)
    addi a0, a0, 8
    addi a1, a1, 8
    addi a2, zero, 8
    jal ra, patch_insn_write
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
""",
    "ftrace_caller": f"""
    addi sp, sp, -96
    sd ra, 0(sp)
    sd a0, 8(sp)
    sd a1, 16(sp)
    sd a2, 24(sp)
    sd a3, 32(sp)
    sd a4, 40(sp)
    sd a5, 48(sp)
    sd a6, 56(sp)
    sd a7, 64(sp)
    addi a0, ra, -12
    ld a1, 88(sp)
    la a2, {GLOBAL_OPS:#x}
    ld a2, 0(a2)
    addi a3, sp, 0
    la t1, {HANDLER:#x}
    ld t1, 0(t1)
    jalr ra, 0(t1)
    ld ra, 0(sp)
    ld a0, 8(sp)
    ld a1, 16(sp)
    ld a2, 24(sp)
    ld a3, 32(sp)
    ld a4, 40(sp)
    ld a5, 48(sp)
    ld a6, 56(sp)
    ld a7, 64(sp)
    addi sp, sp, 96
    jalr zero, 0(ra)
""",
    "ftrace_make_call": _RA16_CALL,
    "ftrace_make_nop": _RA16_NOP,
    "ftrace_init_nop": _RA16_NOP,
}

_ABI = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "ra")
_NOW = DATA + 0x600
TWO: dict[str, str] = {
    **PAIR,
    "ftrace_regs_caller": PAIR["ftrace_caller"],
    "ftrace_caller": "addi sp, sp, -80\n"
    + "".join(f"sd {name}, {8 * number}(sp)\n" for number, name in enumerate(_ABI))
    + f"""
    addi a0, t0, -8
    addi a1, ra, 0
    la a2, {GLOBAL_OPS:#x}
    ld a2, 0(a2)
    addi a3, zero, 0
    la t1, {HANDLER:#x}
    ld t1, 0(t1)
    jalr ra, 0(t1)
"""
    + "".join(f"ld {name}, {8 * number}(sp)\n" for number, name in enumerate(_ABI))
    + "addi sp, sp, 80\n jalr zero, 0(t0)\n",
    "ftrace_make_call": f"la a5, {_NOW:#x}\n sd a1, 0(a5)\n" + _PAIR_CALL,
    "ftrace_modify_call": f"""
    la a5, {_NOW:#x}
    ld a5, 0(a5)
    bne a1, a5, wrong
    addi a1, a2, 0
    jal zero, {_PAIR_AT["ftrace_make_call"]:#x}
wrong:
    addi a0, zero, -22
    jalr zero, 0(ra)
""",
}
"""The pair with two trampolines, as kernels of 6.1 to 6.7 have: a callback of ftrace_caller gets no frame."""
_TWO_AT = {**_PAIR_AT, "ftrace_regs_caller": SITES_AT + 0x4000}

Edit = tuple[str, str]


def edited(source: str, *edits: Edit) -> str:
    """Return a routine with mistakes in it; each old text must be there once."""
    for old, new in edits:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    return source


@cache
def call_ops(routine: str = "", *edits: Edit, compiler: str = "gcc 14.2.0") -> Verification:
    """Return what verification says of the call-ops toy, with mistakes in one routine."""
    edit = (routine, LIVE[routine], edited(LIVE[routine], *edits)) if routine else None
    found = live(edit=edit, compiler=compiler).verification
    assert found is not None
    return found


def _older(
    sources: dict[str, str], at: dict[str, int], after: int, frame: StructLayout | None, symbols: dict[str, int]
) -> KernelImage:
    names = ("one", "two", "three")
    return kernel(
        *(Fn(name=name, before=0, after=after) for name in names),
        code=tuple(Code(name=name, source=source, at=at[name]) for name, source in sources.items()),
        structs=(frame, OPS, RECORD) if frame is not None else (OPS, RECORD),
        symbols={"function_trace_op": GLOBAL_OPS, "start_kernel": SITES_AT + 0x9000, **symbols},
        data={GLOBAL_OPS: (DATA + 0x500).to_bytes(8, "little")},
    ).image


@cache
def pair(routine: str = "", *edits: Edit) -> Verification:
    """Return what verification says of the toy that patches a pair, with mistakes in one routine."""
    sources = {**PAIR, routine: edited(PAIR[routine], *edits)} if routine else PAIR
    return verify(_older(sources, _PAIR_AT, 8, FREGS, {"register_ftrace_direct": SITES_AT + 0x8000}))


@cache
def two(routine: str = "", *edits: Edit, frame: str = "pt_regs") -> Verification:
    """Return what verification says of the toy with two trampolines, with mistakes in one routine."""
    sources = {**TWO, routine: edited(TWO[routine], *edits)} if routine else TWO
    symbols = {"register_ftrace_direct": SITES_AT + 0x8000}
    return verify(_older(sources, _TWO_AT, 8, replace(FREGS, name=frame), symbols))


@cache
def ra16(routine: str = "", *edits: Edit) -> Verification:
    """Return what verification says of the toy that patches four words, with mistakes in one routine."""
    sources = {**RA16, routine: edited(RA16[routine], *edits)} if routine else RA16
    return verify(_older(sources, _RA16_AT, 16, None, {}))


def without(image: KernelImage, *names: str) -> KernelImage:
    """Return an image that lacks some symbols."""
    table = image.symbols
    kept = np.array([table.name(index) not in names for index in range(len(table))], np.bool_)
    assert kept.sum() + len(names) == len(table)
    symbols = SymbolTable(
        source=table.source, address=table.address[kept], size=table.size[kept], kind=table.kind[kept],
        binding=table.binding[kept], section=table.section[kept], name_at=table.name_at[kept], names=table.names,
    )  # fmt: skip
    return replace(image, symbols=symbols)


def broken(verification: Verification, *states: str) -> set[tuple[str, str]]:
    """Return (promise, what) of everything that was broken, in some states or in all."""
    return {(each.promise.value, each.what) for each in verification.failures if not states or each.state in states}


def states_of(verification: Verification, promise: str, what: str) -> list[str]:
    """Return the states in which something was broken."""
    found = (each.state for each in verification.failures if (each.promise.value, each.what) == (promise, what))
    return list(dict.fromkeys(found))


def passed(verification: Verification) -> dict[str, int]:
    """Return how many sites passed in each state that was tried."""
    return {each.name: each.sites - len(each.failed) for each in verification.states if not each.skipped}
