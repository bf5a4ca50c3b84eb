# SPDX-License-Identifier: GPL-2.0-or-later
"""Toy kernels whose updates are framed as real ones are: a lock, stop_machine or a remote fence.i, two harts."""

from __future__ import annotations

from collections.abc import Mapping

from genpatch.audit.cases import DATA, FREGS, OPS, SITES_AT, Code, Fn, kernel, layout_of
from genpatch.audit.live import LIST_FUNC, LIST_OPS, LIVE, NOP_OPS, RECORD
from genpatch.image.btf import StructLayout
from genpatch.image.model import KernelImage
from tests.verify.toys import GLOBAL_OPS, PAIR

COUNT, MUTEX, MASK = DATA + 0x600, DATA + 0x700, DATA + 0x800
KPROBE = layout_of("kprobe", 120, addr=40, opcode=80)
_RET = "jalr zero, 0(ra)"
_AT = SITES_AT + 0x4000
_SYMBOLS = {"__num_online_cpus": COUNT, "text_mutex": MUTEX, "__cpu_online_mask": MASK}

COMMON: dict[str, str] = {
    "ftrace_modify_all_code": _RET,
    "mutex_lock": _RET,
    "mutex_unlock": _RET,
    "ftrace_arch_code_modify_prepare": f"la a0, {MUTEX:#x}\n jal zero, mutex_lock",
    "ftrace_arch_code_modify_post_process": f"la a0, {MUTEX:#x}\n jal zero, mutex_unlock",
    "ipi_remote_fence_i": f"fence.i\n {_RET}",
    "ipi_sync": f"fence r, r\n {_RET}",
    "on_each_cpu_cond_mask": _RET,
    "stop_machine": _RET,
    "flush_icache_all": f"""
    fence.i
    la a4, {COUNT:#x}
    lw a4, 0(a4)
    addi a5, zero, 1
    bgeu a5, a4, alone
    fence w, o
    addi a0, zero, 0
    la a1, ipi_remote_fence_i
    addi a2, zero, 0
    addi a3, zero, 1
    jal zero, on_each_cpu_cond_mask
alone:
    jalr zero, 0(ra)
""",
    "arch_arm_kprobe": """
    addi sp, sp, -32
    sd ra, 24(sp)
    ld a0, 40(a0)
    lui a4, 0x100
    addi a4, a4, 0x73
    sw a4, 0(sp)
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
""",
    "arch_disarm_kprobe": """
    addi a1, a0, 80
    ld a0, 40(a0)
    addi a2, zero, 4
    jal zero, patch_insn_write
""",
}
LIVE_UPDATE = """
    addi sp, sp, -16
    sd ra, 8(sp)
    jal ra, ftrace_modify_all_code
    jal ra, flush_icache_all
    ld ra, 8(sp)
    addi sp, sp, 16
    jalr zero, 0(ra)
"""
STOPPED_UPDATE = f"""
    addi sp, sp, -32
    sd ra, 24(sp)
    sd zero, 0(sp)
    la a0, patch_all
    addi a1, sp, 0
    la a2, {MASK:#x}
    jal ra, stop_machine
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
PATCH_ALL = f"""
    addi sp, sp, -16
    sd ra, 8(sp)
    sd s1, 0(sp)
    addi s1, a0, 0
    addi a4, zero, 1
    amoadd.w.aqrl a5, a4, (s1)
    addi a5, a5, 1
    la a3, {COUNT:#x}
    lw a3, 0(a3)
    bne a5, a3, wait
    jal ra, ftrace_modify_all_code
    fence rw, w
    addi a4, zero, 1
    amoadd.w a5, a4, (s1)
    jal zero, out
wait:
    pause
    la a3, {COUNT:#x}
    lw a3, 0(a3)
    lw a5, 0(s1)
    bgeu a3, a5, wait
    fence.i
out:
    addi a0, zero, 0
    ld ra, 8(sp)
    ld s1, 0(sp)
    addi sp, sp, 16
    jalr zero, 0(ra)
"""
"""The last hart that comes patches; the others wait for it and forget what they have fetched."""
# auipc t1 is 0x317, jalr t0, t1 is 0x302e7
POKE = """
    addi sp, sp, -32
    sd ra, 24(sp)
    addi a4, zero, 0x13
    slli a5, a4, 32
    or a4, a4, a5
    beq a3, zero, write
    sub a4, a3, a0
    lui a5, 0x1
    srli a5, a5, 1
    addw a5, a4, a5
    srliw a5, a5, 12
    slli a5, a5, 12
    addi a5, a5, 0x317
    slli a5, a5, 32
    srli a5, a5, 32
    slliw a4, a4, 20
    lui a3, 0x30
    addi a3, a3, 0x2e7
    addw a4, a4, a3
    slli a4, a4, 32
    or a4, a4, a5
write:
    sd a4, 0(sp)
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_insn_write
    addi a0, zero, 0
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
"""bpf_arch_text_poke(ip, type, old, new), nothing stopped."""

JIT = """
    addi sp, sp, -80
    sd ra, 72(sp)
    sd a0, 64(sp)
    addi a0, zero, 48
    addi a1, zero, 0
    jal ra, bpf_prog_pack_alloc
    sd a0, 56(sp)
    sd zero, 0(sp)
    addi a1, sp, 8
    addi a2, a0, 32
    sd a2, 8(a1)
{words}
    ld a0, 56(sp)
    addi a1, sp, 0
    addi a2, zero, 36
    jal ra, bpf_arch_text_copy
    addi a1, a0, 24
    ld a0, 64(sp)
    sd a1, 8(a0)
    addi a1, zero, 1
    sd a1, 32(a0)
    addi a1, zero, 12
    sd a1, 40(a0)
    ld ra, 72(sp)
    addi sp, sp, 80
    jalr zero, 0(ra)
"""
"""bpf_int_jit_compile(prog): 8 bytes of filler, a stub, an address that is the body's at first, what is entered."""
_PROGRAM = {
    0: 0xFF02B303,  # ld t1, -16(t0)
    4: 0x00030067,  # jr t1
    16: 0x00000297,  # auipc t0, 0
    20: 0xFF028013,  # addi zero, t0, -16
    24: 0x00008067,  # ret
}
BPF_PROG = layout_of("bpf_prog", 64, jit_requested=0, bpf_func=8, len=16, aux=24, jited=32, jited_len=40, insnsi=48)
BPF_AUX = layout_of("bpf_prog_aux", 64, stack_depth=0)


def jit() -> dict[str, str]:
    """Return the routines of a JIT whose programs are traced by one instruction and one address."""
    words = ""
    for at, word in _PROGRAM.items():
        low = (word & 0xFFF ^ 0x800) - 0x800
        words += f"    lui a2, {(word - low >> 12) & 0xFFFFF:#x}\n    addiw a2, a2, {low}\n    sw a2, {at}(a1)\n"
    called = ("bpf_prog_pack_alloc", "bpf_arch_text_copy", "__bpf_call_base")
    return {"bpf_int_jit_compile": JIT.format(words=words), **dict.fromkeys(called, _RET)}


_STORES = {
    "address": """
    sd a3, 0(sp)
    addi a0, a0, -8
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_insn_write
    jal ra, flush_icache_all
""",
    "insn": """
    lui a4, 0xff028
    addi a4, a4, {insn}
    sw a4, 0(sp)
    addi a0, a0, 4
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
    jal ra, flush_icache_all
""",
}


def word_poke(*, first: str = "address") -> str:
    """Return bpf_arch_text_poke(ip, type, old, new) of one instruction and one address.

    Args:
        first: what is stored first when a trampoline is attached: ``address`` or ``insn``.
    """
    again = "    ld a0, 16(sp)\n    ld a3, 8(sp)\n"
    call, nop = (_STORES["insn"].format(insn=insn) for insn in (0x2E7, 0x13))
    parts = [_STORES["address"], call] if first == "address" else [call, _STORES["address"]]
    return f"""
    addi sp, sp, -32
    sd ra, 24(sp)
    sd a0, 16(sp)
    sd a3, 8(sp)
    beq a3, zero, detach
    bne a2, zero, change
{parts[0]}{again}{parts[1]}
    jal zero, out
change:
{_STORES["address"]}
    jal zero, out
detach:
{nop}
out:
    addi a0, zero, 0
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""


def _made(
    sources: Mapping[str, str],
    functions: tuple[Fn, ...],
    symbols: Mapping[str, int],
    data: Mapping[int, bytes],
    structs: tuple[StructLayout, ...],
    config: Mapping[str, str] | None,
) -> KernelImage:
    for name, value in (("NOP_OPS", NOP_OPS), ("LIST_OPS", LIST_OPS)):
        sources = {each: text.replace(f", {name}\n", f", {value:#x}\n") for each, text in sources.items()}
    at = {name: _AT + 0x200 * number for number, name in enumerate(sources)}
    modify = sources.get("ftrace_modify_call", "")
    if "jal zero" in modify:  # it goes to ftrace_make_call, which stands elsewhere here
        sources = {**sources, "ftrace_modify_call": "addi a1, a2, 0\n jal zero, ftrace_make_call"}
    code = tuple(Code(name=name, source=source, at=at[name]) for name, source in sources.items())
    symbols = {**_SYMBOLS, "start_kernel": SITES_AT + 0x1000, **symbols}
    return kernel(*functions, code=code, symbols=symbols, data=data, structs=structs, config=config).image


def call_ops(
    changes: Mapping[str, str | None] | None = None,
    *,
    functions: tuple[Fn, ...] = (Fn(name="one"), Fn(name="two")),
    config: Mapping[str, str] | None = None,
) -> KernelImage:
    """Return a kernel that patches literal and jalr, nothing stopped.

    Args:
        changes: routines that are written otherwise, or None for those that are not there.
        functions: the traced ones.
        config: its configuration.
    """
    sources: dict[str, str | None] = {**LIVE, **COMMON, "arch_ftrace_update_code": LIVE_UPDATE, **(changes or {})}
    return _made(
        {name: source for name, source in sources.items() if source is not None},
        functions,
        {"ftrace_nop_ops": NOP_OPS, "ftrace_list_ops": LIST_OPS, "ftrace_ops_list_func": LIST_FUNC,
         "register_ftrace_direct": SITES_AT + 0x1100},
        {LIST_OPS: LIST_FUNC.to_bytes(8, "little"), NOP_OPS: (LIST_FUNC + 2).to_bytes(8, "little")},
        (FREGS, OPS, RECORD, KPROBE, BPF_PROG, BPF_AUX),
        config,
    )  # fmt: skip


def pair(
    changes: Mapping[str, str | None] | None = None,
    *,
    functions: tuple[Fn, ...] = (Fn(name="one", before=0), Fn(name="two", before=0)),
    config: Mapping[str, str] | None = None,
) -> KernelImage:
    """Return a kernel that patches a pair under stop_machine; arguments as of `call_ops`."""
    sources: dict[str, str | None] = {
        **PAIR, **COMMON, "arch_ftrace_update_code": STOPPED_UPDATE, "patch_all": PATCH_ALL, **(changes or {})
    }  # fmt: skip
    return _made(
        {name: source for name, source in sources.items() if source is not None},
        functions,
        {"function_trace_op": GLOBAL_OPS},
        {},
        (FREGS, OPS, RECORD),
        config,
    )
