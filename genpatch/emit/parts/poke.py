# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf_arch_text_poke() of two instructions that a preempted task may be between, and of one."""

from __future__ import annotations

import re

from ..anchors import Function, Include, Statement, locate
from ..edits import Action, Edit
from ..recipe import PatchPlan, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree

__all__ = ["look_at_poke", "poke_plans"]

_FILE, _POKE = "arch/riscv/net/bpf_jit_comp64.c", "bpf_arch_text_poke"
_HEADER, _CORE = "arch/riscv/net/bpf_jit.h", "arch/riscv/net/bpf_jit_core.c"
_PROLOGUE, _COMPILE, _FREE = "bpf_jit_build_prologue", "bpf_int_jit_compile", "bpf_jit_free"
_TRAMPOLINE = "__arch_prepare_bpf_trampoline"
_MAKER = "gen_jump_or_nops"
_WAIT = "synchronize_rcu_tasks("
_STUB_BYTES = 16
_FIXES = (("596f2e6f9cf4", "riscv, bpf: Add bpf_arch_text_poke support for RV64"),)
_WRITES = (
    r"\tcpus_read_lock\(\);\n\tmutex_lock\(&text_mutex\);\n"
    r"\tif \(memcmp\(ip, new_insns, RV_FENTRY_NBYTES\)\)\n"
    r"\t\tret = patch_text\(ip, new_insns, RV_FENTRY_NBYTES\);\n"
    r"\tmutex_unlock\(&text_mutex\);\n\tcpus_read_unlock\(\);\n"
)
_HEAD = r"(?s)\A([^{]*\{\n).*?(\n\tif \(!is_kernel_text\([^;]*return -\w+;\n\n).*\Z"
_SLED = r"(?:\t/\*[^/]*\*/\n)?\tfor \(i = 0; i < RV_FENTRY_NINSNS; i\+\+\)\n\t\temit\(rv_nop\(\), ctx\);\n"
_HASH = r"(?:\t/\*[^/]*\*/\n)?\temit_kcfi\("
_COUNTER = r"(?<=\tint )i, "
_ALIGN = r"(?<=&jit_data->ro_image, )sizeof\(u32\)(?=,)"
_ENTRY = r"(?<=prog->bpf_func = \(void \*\)ctx->ro_insns)( \+ cfi_get_offset\(\))?(?=;)"
_LENGTH = r"(?<=prog->jited_len = prog_size)( - cfi_get_offset\(\))?(?=;)"
_LINES = r"(?<=ctx->offset\[i\] = ninsns_rvoff\(ctx->offset\[i\]\))(?=;)"
_AFTER_CALL = r"\t\t/\*[^/]*\*/\n\t\temit\(rv_nop\(\), ctx\);\n\t\temit\(rv_nop\(\), ctx\);\n"
_ANCHORS = (
    (_FILE, _POKE, _HEAD),
    (_FILE, _PROLOGUE, _SLED),
    (_FILE, _PROLOGUE, _HASH),
    (_FILE, _PROLOGUE, _COUNTER),
    (_CORE, _COMPILE, _ALIGN),
    (_CORE, _COMPILE, _ENTRY),
    (_CORE, _COMPILE, _LENGTH),
    (_CORE, _COMPILE, _LINES),
)
_NEEDED = ((_HEADER, "ninsns_rvoff"), (_HEADER, "is_21b_int"), (_FILE, _MAKER), (_CORE, _FREE))


def look_at_poke(tree: Tree) -> State:
    """Tell how a tree pokes into BPF programs."""
    if not tree.has(_FILE) or not Function(_POKE).places(tree.read(_FILE)):
        return State(Verdict.NOT, "the BPF JIT has no bpf_arch_text_poke(): nothing is poked into a sled")
    text = tree.read(_FILE)
    if re.search(r"\brv_auipc\(RV_REG_T0, 0\)", text) and not re.search(r"\bnew_insns\b", text):
        return State(Verdict.THERE, "bpf_arch_text_poke() writes an address or one instruction")
    if _WAIT in text:
        return State(
            Verdict.NOT,
            "the BPF JIT waits for tasks between two instructions: nothing goes wild, but calls reach no trampoline"
            " while one replaces another; that must be taken back before",
        )
    if not re.search(_WRITES, locate(text, Function(_POKE), _FILE).of(text)):
        return State(Verdict.NOT, "bpf_arch_text_poke() does not write its whole sled by one patch_text()")
    return _obstacle(tree) or State(
        Verdict.CAN, "bpf_arch_text_poke() writes two instructions that a preempted task may be between"
    )


def _obstacle(tree: Tree) -> State | None:
    """Return what else keeps one instruction from being enough; None if nothing does."""
    for path, name in _NEEDED:
        if not tree.has(path) or not Function(name).places(tree.read(path)):
            return State(Verdict.NOT, f"there is no {name}() in {path}")
    if integer_macro(tree, _FILE, "RV_FENTRY_NINSNS") != 2:
        return State(Verdict.NOT, f"the sled of BPF programs is not two instructions (RV_FENTRY_NINSNS in {_FILE})")
    for path, name, pattern in _ANCHORS:
        text = tree.read(path)
        found = [match for span in Function(name).places(text) for match in re.finditer(pattern, span.of(text))]
        if len(found) != 1:
            return State(Verdict.NOT, f"{name}() in {path} does not do what it is known to do, at: {pattern}")
    return None


def poke_plans(tree: Tree) -> list[PatchPlan]:
    """Return the patch for a tree that it can be made for; none for any other."""
    if look_at_poke(tree).verdict is not Verdict.CAN:
        return []
    jumps = "ip_after_call" in tree.read(_FILE)
    edits = (*_header(tree), *_core(), *_jit(jumps=jumps))
    values: dict[str, object] = {
        "jumps": jumps,
        "bytes": _STUB_BYTES,
        "cfi": "cfi_get_offset" in tree.read(_CORE),
    }
    return [PatchPlan("bpf-poke/message.j2", edits, values, _FIXES)]


def _header(tree: Tree) -> list[Edit]:
    """Say what stands in front of a program's entry, where both parts of the JIT see it."""
    edits = [Edit(_HEADER, Function("ninsns_rvoff"), Action.AFTER, code("bpf-poke/stub.h.j2"))]
    if not Include("linux/cfi.h").places(tree.read(_HEADER)):
        edits.append(Edit(_HEADER, Include("linux/bpf.h"), Action.AFTER, "#include <linux/cfi.h>\n"))
    return edits


def _core() -> list[Edit]:
    """Align images, and tell the entry of a program from the start of its image."""
    compiles = Function(_COMPILE)
    offset = "bpf_jit_entry_offset()"
    header = Statement(_FREE, "expression", ("bpf_jit_binary_pack_hdr",))
    back = f"\t\tprog->bpf_func = (void *)prog->bpf_func - {offset};\n"
    return [
        Edit(_CORE, compiles, Action.SUBSTITUTE, "sizeof(u64)", _ALIGN),
        Edit(_CORE, compiles, Action.SUBSTITUTE, f" + {offset}", _ENTRY),
        Edit(_CORE, compiles, Action.SUBSTITUTE, f" - {offset}", _LENGTH),
        Edit(_CORE, compiles, Action.SUBSTITUTE, f" - {offset}", _LINES),
        Edit(_CORE, header, Action.BEFORE, back),
    ]


def _jit(*, jumps: bool) -> list[Edit]:
    """Emit the stub, and patch the address in it and the instruction that calls it.

    Args:
        jumps: jumps are poked into trampolines, too.
    """
    prologue, poke = Function(_PROLOGUE), Function(_POKE)
    body = code("bpf-poke/body.c.j2", jumps=jumps).rstrip("\n")
    after_call = Statement(_TRAMPOLINE, "if", ("ip_after_call",))
    one = "\t\t/* nop reserved for a jump to the epilogue */\n\t\temit(rv_nop(), ctx);\n"
    return [
        Edit(_FILE, prologue, Action.SUBSTITUTE, code("bpf-poke/sled.c.j2"), _SLED),
        Edit(_FILE, prologue, Action.REWRITE, r"\temit_fentry_stub(ctx);\n\n\g<0>", _HASH),
        Edit(_FILE, prologue, Action.SUBSTITUTE, "", _COUNTER),
        *([Edit(_FILE, after_call, Action.SUBSTITUTE, one, _AFTER_CALL)] if jumps else []),
        Edit(_FILE, poke, Action.BEFORE, code("bpf-poke/poke.c.j2", jumps=jumps)),
        Edit(_FILE, poke, Action.REWRITE, rf"\1\tint ret;\n\2{body}", _HEAD),
        Edit(_FILE, Function(_MAKER), Action.REPLACE, code("bpf-poke/emit.c.j2").rstrip("\n")),
    ]
