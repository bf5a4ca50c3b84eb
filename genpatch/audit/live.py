# SPDX-License-Identifier: GPL-2.0-or-later
"""A toy kernel that really patches itself: what the rules about executed code carry their cases on.

Our own routines after the interface that call-ops kernels have, as small as they can be: text is written
through a fixmap slot, the ops literal in one 8-byte store, then one word of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as with_

from .cases import CALL_OPS_CALLER, DATA, FREGS, OPS, RET, SITES_AT, TEXT, Code, Fn, kernel, layout_of
from .facts import Facts

__all__ = ["LIVE", "live", "patching", "verified"]

_AT = {
    name: TEXT + 0x100 * number
    for number, name in enumerate(
        (
            "ftrace_caller", "patch_insn_write", "__set_fixmap", "ftrace_set_ops", "ftrace_init_nop",
            "ftrace_make_call", "ftrace_make_nop", "ftrace_modify_call", "ftrace_find_unique_ops",
            "ftrace_call_adjust", "return_to_handler", "ftrace_return_to_handler", "ftrace_graph_func",
            "ftrace_stub_direct_tramp",
        )
    )
}  # fmt: skip
NOP_OPS, LIST_OPS, LIST_FUNC = DATA + 0x100, DATA + 0x200, TEXT + 0xF00
_MORE_AT = SITES_AT + 0x4000
RECORD = layout_of("dyn_ftrace", 16, ip=0, flags=8)
CALL_OPS_EN = 1 << 20

_ENTER = "addi sp, sp, -32\n sd ra, 24(sp)\n sd s1, 16(sp)\n sd s2, 8(sp)\n"
_LEAVE = "ld ra, 24(sp)\n ld s1, 16(sp)\n ld s2, 8(sp)\n addi sp, sp, 32\n jalr zero, 0(ra)\n"

_WRITE = """
    addi sp, sp, -48
    sd ra, 40(sp)
    sd a0, 0(sp)
    sd a1, 8(sp)
    sd a2, 16(sp)
    addi a1, a0, 0
    addi a0, zero, 5
    addi a2, zero, 1
    jal ra, __set_fixmap
    ld a3, 0(sp)
    slli a3, a3, 52
    srli a3, a3, 52
    lui a4, 0xc0000
    add a3, a3, a4
    ld a1, 8(sp)
    ld a2, 16(sp)
    addi a4, zero, 8
    bne a2, a4, word
    ld a4, 0(a1)
    sd a4, 0(a3)
    jal zero, done
word:
    lw a4, 0(a1)
    sw a4, 0(a3)
done:
    fence.i
    addi a0, zero, 5
    addi a1, zero, 0
    addi a2, zero, 0
    jal ra, __set_fixmap
    addi a0, zero, 0
    ld ra, 40(sp)
    addi sp, sp, 48
    jalr zero, 0(ra)
"""
_SET_OPS = """
    addi sp, sp, -32
    sd ra, 24(sp)
    sd a1, 0(sp)
    addi a0, a0, -12
    andi a0, a0, -8
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_insn_write
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
_INIT_NOP = (
    _ENTER
    + """
    ld s1, 0(a1)
    addi a0, s1, 0
    la a1, NOP_OPS
    jal ra, ftrace_set_ops
    addi s1, s1, -4
    la a4, ftrace_caller
    sub a4, a4, s1
    lui a5, 0x1
    srli a3, a5, 1
    addw a4, a4, a3
    srliw a4, a4, 12
    slli a4, a4, 12
    addi a4, a4, 0x297
    slli a4, a4, 32
    srli a4, a4, 32
    addi a3, zero, 0x13
    slli a3, a3, 32
    or a4, a4, a3
    sd a4, 0(sp)
    addi a0, s1, 0
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_insn_write
"""
    + _LEAVE
)
_MAKE_CALL = (
    _ENTER
    + """
    addi s2, a0, 0
    ld s1, 0(a0)
    ld a2, 8(a0)
    la a1, LIST_OPS
    srli a2, a2, 20
    andi a2, a2, 1
    beq a2, zero, chosen
    jal ra, ftrace_find_unique_ops
    addi a1, a0, 0
chosen:
    addi a0, s1, 0
    jal ra, ftrace_set_ops
    la a4, ftrace_caller
    sub a4, a4, s1
    addi a4, a4, 4
    slliw a4, a4, 20
    lui a3, 0x28
    addi a3, a3, 0x2e7
    add a4, a4, a3
    sw a4, 0(sp)
    addi a0, s1, 0
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
"""
    + _LEAVE
)
_MAKE_NOP = (
    _ENTER
    + """
    ld s1, 0(a1)
    addi a0, s1, 0
    la a1, NOP_OPS
    jal ra, ftrace_set_ops
    addi a3, zero, 0x13
    sw a3, 0(sp)
    addi a0, s1, 0
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
"""
    + _LEAVE
)
_RETURN = """
    addi sp, sp, -112
    sd ra, 8(sp)
    sd s0, 24(sp)
    sd a0, 48(sp)
    sd a1, 56(sp)
    addi s0, sp, 112
    addi a0, sp, 0
    jal ra, ftrace_return_to_handler
    addi a2, a0, 0
    ld ra, 8(sp)
    ld s0, 24(sp)
    ld a0, 48(sp)
    ld a1, 56(sp)
    addi sp, sp, 112
    jalr ra, 0(a2)
"""
_RET = "jalr zero, 0(ra)"
LIVE: dict[str, str] = {
    "ftrace_caller": CALL_OPS_CALLER,
    "patch_insn_write": _WRITE,
    "__set_fixmap": _RET,
    "ftrace_set_ops": _SET_OPS,
    "ftrace_init_nop": _INIT_NOP,
    "ftrace_make_call": _MAKE_CALL,
    "ftrace_make_nop": _MAKE_NOP,
    "ftrace_modify_call": f"addi a1, a2, 0\n jal zero, {_AT['ftrace_make_call']:#x}",
    "ftrace_find_unique_ops": _RET,
    "ftrace_call_adjust": "addi a0, a0, 12\n jalr zero, 0(ra)",
    "return_to_handler": _RETURN,
    "ftrace_return_to_handler": _RET,
    "ftrace_graph_func": _RET,
    "ftrace_stub_direct_tramp": "jalr zero, 0(t0)",
}
"""The routines, by name; edit one to make a kernel that does it wrong."""


def live(
    *functions: Fn, edit: tuple[str, str, str] | None = None, compiler: str = "gcc 14.2.0", **more: object
) -> Facts:
    """Return the facts of a toy kernel that patches itself, run through all states; arguments as `patching`."""
    return verified(patching(*functions, edit=edit, compiler=compiler, **more))  # type: ignore[arg-type]


def patching(
    *functions: Fn,
    edit: tuple[str, str, str] | None = None,
    routines: Mapping[str, str] | None = None,
    symbols: Mapping[str, int] | None = None,
    more_data: Mapping[int, bytes] | None = None,
    compiler: str = "gcc 14.2.0",
    **more: object,
) -> Facts:
    """Return the facts of a toy kernel that patches itself.

    Args:
        functions: traced functions; three by default.
        edit: (routine, old text, new text): a mistake to make.
        routines: others that it has, name to assembly.
        symbols: others that it has, name to address.
        more_data: other bytes of it, by address.
        compiler: what built it.
        more: what `kernel` takes.
    """
    places = {**_AT, **{name: _MORE_AT + 0x100 * number for number, name in enumerate(routines or {})}}
    sources = {**LIVE, **(routines or {})}
    if edit is not None:
        name, old, new = edit
        if old not in sources[name]:
            raise ValueError(f"{name} has no {old!r}")
        sources[name] = sources[name].replace(old, new)
    constants = {"NOP_OPS": NOP_OPS, "LIST_OPS": LIST_OPS}
    for constant, value in constants.items():
        sources = {name: source.replace(f", {constant}\n", f", {value:#x}\n") for name, source in sources.items()}
    code = tuple(Code(name=name, source=source, at=places[name]) for name, source in sources.items())
    return kernel(
        *(functions or (Fn(name="one"), Fn(name="two"), Fn(name="three"))),
        code=code,
        structs=(FREGS, OPS, RECORD),
        symbols={
            "ftrace_nop_ops": NOP_OPS, "ftrace_list_ops": LIST_OPS, "ftrace_ops_list_func": LIST_FUNC,
            "register_ftrace_direct": SITES_AT + 0x8000, "start_kernel": SITES_AT + 0x9000, **(symbols or {}),
        },
        data={
            LIST_OPS: LIST_FUNC.to_bytes(8, "little"),
            NOP_OPS: (LIST_FUNC + 2).to_bytes(8, "little"),
            LIST_FUNC: RET + RET, **(more_data or {}),
        },
        compiler=compiler,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def verified(facts: Facts) -> Facts:
    """Return the same facts with what came of running the kernel."""
    from ..verify.run import verify

    return with_(facts, verification=verify(facts.image))
