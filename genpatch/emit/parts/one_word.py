# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of which one word is patched: what auipc-fixed, call-ops and direct-calls have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..anchors import (
    AsmFunction,
    AsmMacro,
    Comment,
    Commented,
    Conditional,
    Function,
    Include,
    KconfigLine,
    Lines,
    Macro,
    MakeAssignment,
    MakeBlock,
    Member,
    Statement,
    locate,
)
from ..edits import Action, Edit
from ..errors import EmitError
from ..kbuild import assignments
from ..recipe import PatchPlan, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree
from .poke import poke_plans

__all__ = [
    "ASM",
    "FTRACE",
    "HEADER",
    "KCONFIG",
    "MAKEFILE",
    "OFFSETS",
    "Shape",
    "call_ops_edits",
    "direct_edits",
    "missing",
    "no_ops",
    "obstacle",
    "one_word_plans",
    "shape_of",
]

KCONFIG = "arch/riscv/Kconfig"
MAKEFILE = "arch/riscv/Makefile"
HEADER = "arch/riscv/include/asm/ftrace.h"
FTRACE = "arch/riscv/kernel/ftrace.c"
ASM = "arch/riscv/kernel/mcount-dyn.S"
OFFSETS = "arch/riscv/kernel/asm-offsets.c"
_PATCH = "arch/riscv/kernel/patch.c"
_KERNEL_MAKEFILE = "arch/riscv/kernel/Makefile"
_SBI = "arch/riscv/kernel/sbi_ecall.c"
_ARCH_KCONFIG = "arch/Kconfig"
_TRACE_KCONFIG = "kernel/trace/Kconfig"
_GENERIC = "include/linux/ftrace.h"
_NEEDED = (KCONFIG, MAKEFILE, HEADER, FTRACE, ASM, OFFSETS, _PATCH, _ARCH_KCONFIG, _TRACE_KCONFIG, _GENERIC)
_DIR = "ftrace"
_WORD = 4

_DIRECT = KconfigLine("select", "HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS")
_CALL_OPS = KconfigLine("select", "HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS")
_TRACER = KconfigLine("select", "HAVE_FUNCTION_TRACER")
_GUARD = r" && !PREEMPT(?:ION)?\b|!PREEMPT(?:ION)? && | if !PREEMPT(?:ION)?$"
_PARAMETER = Lines(r"struct ftrace_modify_param \{\n(?:[ \t][^\n]*\n)*\};\n", "struct ftrace_modify_param")
_ANY_OPS = Lines(r"static struct ftrace_ops ftrace_any_ops\b[^\n]*", "ftrace_any_ops")
_STORE = Statement("ftrace_update_ftrace_func", "expression", ("smp_store_release", "ftrace_common_ops"))
_MODIFY = Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "int ftrace_modify_call(")
_NOPS = re.compile(r"-fpatchable-function-entry=(\d{1,3})")
_FIXES = (("7caa9765465f", "ftrace: riscv: move from REGS to ARGS"),)
_REGS_STRUCT = "__arch_ftrace_regs"
_STUB = Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "ftrace_stub_direct_tramp")


@dataclass(frozen=True)
class Shape:
    """What a tree's ftrace is like.

    Args:
        word: it patches one word of a call.
        dispatcher: that goes through one pointer to an ops, ``ftrace_common_ops``.
        ops: an ops pointer stands before each function.
        direct: direct calls are offered.
    """

    word: bool
    dispatcher: bool
    ops: bool
    direct: bool


def missing(tree: Tree) -> State | None:
    """Return why nothing of this can be made of a tree; None if it can be looked at further."""
    for path in _NEEDED:
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    if Member("ftrace_regs", "t1").places(tree.read(HEADER)):
        return State(Verdict.NOT, f"{HEADER} has its arguments in struct ftrace_regs, not {_REGS_STRUCT}: not handled")
    if not Member(_REGS_STRUCT, "t1").places(tree.read(HEADER)):
        return State(Verdict.NOT, f"{HEADER} has no struct {_REGS_STRUCT}: that takes regs-to-args")
    if integer_macro(tree, HEADER, "MCOUNT_INSN_SIZE") is None:
        return State(Verdict.NOT, f"{HEADER} has no MCOUNT_INSN_SIZE")
    if not re.search(r"\bpatch_insn_write\(", tree.read(_PATCH)):
        return State(Verdict.NOT, f"{_PATCH} has no patch_insn_write()")
    if not re.search(r"^config CC_HAS_MIN_FUNCTION_ALIGNMENT$", tree.read(_ARCH_KCONFIG), re.MULTILINE):
        return State(Verdict.NOT, f"{_ARCH_KCONFIG} has no CC_HAS_MIN_FUNCTION_ALIGNMENT")
    return None


def obstacle(tree: Tree) -> State | None:
    """Return what else in a tree counts on where calls are and would have to be changed; None if nothing does."""
    if "ftrace_get_symaddr" in tree.read(_GENERIC) and "ftrace_get_symaddr" not in tree.read(HEADER):
        return State(Verdict.NOT, f"{_GENERIC} asks for the function of a call, ftrace_get_symaddr(): not handled")
    return None


def no_ops(tree: Tree) -> State | None:
    """Return why a tree cannot have an ops pointer before each function; None if it can."""
    known = re.search(r"^config DYNAMIC_FTRACE_WITH_CALL_OPS$", tree.read(_TRACE_KCONFIG), re.MULTILINE)
    if known is None or "ftrace_nop_ops" not in tree.read(_GENERIC):
        return State(Verdict.NOT, "the generic part of ftrace has no DYNAMIC_FTRACE_WITH_CALL_OPS")
    if KconfigLine("select", "HAVE_BUILDTIME_MCOUNT_SORT").places(tree.read(KCONFIG)):
        return State(Verdict.NOT, "scripts/sorttable.c drops entries that stand before their function: not handled")
    return None


def shape_of(tree: Tree) -> Shape:
    """Return what a tree's ftrace is like; `missing` has said that it can be seen."""
    kconfig = tree.read(KCONFIG)
    return Shape(
        word=(integer_macro(tree, HEADER, "MCOUNT_INSN_SIZE") or 0) <= _WORD,
        dispatcher="ftrace_common_ops" in tree.read(ASM),
        ops=bool(_CALL_OPS.places(kconfig)),
        direct=bool(_DIRECT.places(kconfig)),
    )


def _code(name: str, **flags: bool) -> str:
    return code(f"{_DIR}/{name}.j2", **flags)


def _message(name: str) -> str:
    return f"{_DIR}/{name}.message.j2"


def one_word_plans(tree: Tree) -> list[PatchPlan]:
    """Return the patches from a call of two words to one of which the second word is patched."""
    plans = [
        (_message("s0"), _s0(tree)),
        (_message("fastcc"), _fastcc(tree)),
        (_message("args-only"), _args_only(tree)),
        (_message("no-direct"), _no_direct(tree)),
        (_message("align"), _align(tree)),
        (_message("one-word"), _one_word()),
        (_message("live"), _live(tree)),
        (_message("preempt"), _preempt(tree)),
    ]
    made = [
        PatchPlan(message, tuple(edits), fixes=_FIXES if message in (_message("s0"), _message("fastcc")) else ())
        for message, edits in plans
        if edits
    ]
    return [*made[:-1], *poke_plans(tree), made[-1]]  # PREEMPTION comes last


def _s0(tree: Tree) -> list[Edit]:
    """Let s0 be stored whatever the configuration."""
    text = tree.read(ASM)
    pattern = r"#ifdef HAVE_FUNCTION_GRAPH_FP_TEST\n((?:[ \t]*REG_[SL][ \t]+(?:x8|s0),[^\n]*\n)+)#endif\n"
    return [
        Edit(ASM, AsmMacro(name), Action.REWRITE, r"\1", pattern)
        for name in ("SAVE_ABI_REGS", "RESTORE_ABI_REGS")
        if any(re.search(pattern, span.of(text)) for span in AsmMacro(name).places(text))
    ]


def _fastcc(tree: Tree) -> list[Edit]:
    """Keep t2 to t6, in which clang passes arguments to functions of one file."""
    if Member(_REGS_STRUCT, "t2").places(tree.read(HEADER)):
        return []
    save, restore = AsmMacro("SAVE_ABI_REGS"), AsmMacro("RESTORE_ABI_REGS")
    slot = r"([ \t]*REG_[SL][ \t]+x6,[ \t]*FREGS_T1\(sp\)[^\n]*\n)"
    return [
        Edit(HEADER, Member(_REGS_STRUCT, "t1"), Action.AFTER, _code("t_members.h")),
        Edit(OFFSETS, Statement("asm_offsets", "expression", ("FREGS_T1",)), Action.AFTER, _code("t_offsets.c")),
        Edit(ASM, save, Action.SUBSTITUTE, "", r"[ \t]*mv[ \t]+t4, sp\b[^\n]*\n"),
        Edit(ASM, save, Action.SUBSTITUTE, "", r"[ \t]*REG_S[ \t]+t4,[ \t]*FREGS_SP\(sp\)[^\n]*\n"),
        Edit(ASM, save, Action.REWRITE, rf"\1{_code('t_store.S')}", slot),
        Edit(ASM, save, Action.SUBSTITUTE, _code("sp_store.S").rstrip("\n"), r"[ \t]*\.endm\Z"),
        Edit(ASM, restore, Action.REWRITE, rf"\1{_code('t_load.S')}", slot),
    ]


def _args_only(tree: Tree) -> list[Edit]:
    """Remove the trampoline that saves no struct ftrace_regs: DYNAMIC_FTRACE always comes with arguments."""
    text = tree.read(ASM)
    without = Conditional("ifndef CONFIG_DYNAMIC_FTRACE_WITH_ARGS", "SYM_FUNC_START(ftrace_caller)")
    if not without.places(text):
        return []
    only = Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS", ".macro SAVE_ABI_REGS")
    numbers = Lines(r"#define[ \t]+ABI_\w+[^\n]*(?:\n#define[ \t]+ABI_\w+[^\n]*)*", "#define ABI_...")
    graph = Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_ARGS", "void ftrace_graph_func(")
    return [
        Edit(ASM, numbers, Action.DELETE),
        Edit(ASM, Commented(AsmMacro("SAVE_ABI"), blank=True), Action.DELETE),
        Edit(ASM, Commented(AsmMacro("RESTORE_ABI"), blank=True), Action.DELETE),
        Edit(ASM, only, Action.REWRITE, r"\1", r"(?s)\A#ifdef[^\n]*\n\n?(.*?)\n?\n?#endif[^\n]*\Z"),
        Edit(ASM, without, Action.REWRITE, r"\1", r"(?s)\A#ifndef.*?\n#else[^\n]*\n(.*?)\n?\n?#endif[^\n]*\Z"),
        Edit(FTRACE, graph, Action.REWRITE, r"\1", r"(?s)\A#ifdef[^\n]*\n(.*?)\n#else.*#endif[^\n]*\Z"),
    ]


def _no_direct(tree: Tree) -> list[Edit]:
    """Take direct calls away; each of them wants another target at the site."""
    if not _DIRECT.places(tree.read(KCONFIG)):
        return []
    caller = AsmFunction("ftrace_caller")
    return [
        Edit(KCONFIG, _DIRECT, Action.DELETE),
        Edit(HEADER, Commented(Function("arch_ftrace_set_direct_caller"), blank=True), Action.DELETE),
        Edit(FTRACE, Commented(Function("ftrace_check_current_call"), blank=True), Action.DELETE),
        Edit(FTRACE, Commented(_MODIFY, blank=True), Action.DELETE),
        Edit(ASM, caller, Action.SUBSTITUTE, "", r"[ \t]*mv[ \t]+t1, zero\n"),
        Edit(ASM, caller, Action.SUBSTITUTE, "", r"[ \t]*bnez[ \t]+t1, \.Ldirect\n"),
        Edit(ASM, caller, Action.SUBSTITUTE, "", r"\.Ldirect:\n[ \t]*jr[ \t]+t1\n"),
        Edit(ASM, Commented(_STUB, blank=True), Action.DELETE),
    ]


def _align(tree: Tree) -> list[Edit]:
    """Let functions start on a multiple of 4, and offer dynamic ftrace only where the compiler sees to that."""
    text = tree.read(KCONFIG)
    edits = []
    if not KconfigLine("select", "FUNCTION_ALIGNMENT_4B").places(text):
        place = KconfigLine("select", "FTRACE_MCOUNT_USE_PATCHABLE_FUNCTION_ENTRY")
        edits.append(Edit(KCONFIG, place, Action.AFTER, _code("align.kconfig")))
    if not KconfigLine("depends on", "CC_HAS_MIN_FUNCTION_ALIGNMENT", "GCC_SUPPORTS_DYNAMIC_FTRACE").places(text):
        flag = Lines(r"[ \t]+depends on \$\(cc-option,-fpatchable-function-entry=\d+\)", "the test of gcc's option")
        edits.append(Edit(KCONFIG, flag, Action.AFTER, _code("min_align.kconfig")))
    return edits


def _one_word() -> list[Edit]:
    """Write the auipc once, and patch the jalr alone."""
    pair = ("auipc", "jalr", "ftrace disable")
    gone = ("JALR_RA", "AUIPC_RA", "to_jalr_ra", "to_auipc_ra", "make_call_ra", "make_call_t0")
    return [
        Edit(
            HEADER,
            Function("ftrace_call_adjust"),
            Action.REPLACE,
            "unsigned long ftrace_call_adjust(unsigned long addr);",
        ),
        Edit(HEADER, Comment(pair), Action.REPLACE, _code("sled.h").rstrip("\n")),
        *(Edit(HEADER, Commented(Macro(name), blank=name.islower()), Action.DELETE) for name in gone),
        Edit(HEADER, Commented(Macro("MCOUNT_INSN_SIZE")), Action.REPLACE, _code("sizes.h").rstrip("\n")),
        Edit(OFFSETS, Statement("asm_offsets", "expression", ("FREGS_A7",)), Action.AFTER, _code("func_offset.c")),
        Edit(FTRACE, Function("__ftrace_modify_call"), Action.REPLACE, _patching()),
        *_functions(ops=False, direct=False),
        Edit(FTRACE, Function("ftrace_update_ftrace_func"), Action.REPLACE, _code("common_ops.c").rstrip("\n")),
        Edit(FTRACE, Function("ftrace_arch_code_modify_prepare"), Action.BEFORE, f"{_code('adjust.c', ops=False)}\n"),
        Edit(ASM, Lines(r"#define[ \t]+FENTRY_RA_OFFSET\b[^\n]*\n", "#define FENTRY_RA_OFFSET"), Action.DELETE),
        Edit(
            ASM, Commented(AsmMacro("SAVE_ABI_REGS")), Action.SUBSTITUTE, ".", r"\.\s+Note that[^.]*FENTRY_RA_OFFSET\."
        ),
        Edit(ASM, Commented(AsmMacro("PREPARE_ARGS"), blank=True), Action.DELETE),
    ]


def _patching() -> str:
    return f"{_code('write_call.c')}\n{_code('offset.c')}".rstrip("\n")


def _functions(*, ops: bool, direct: bool) -> list[Edit]:
    """Replace what makes and unmakes calls.

    Args:
        ops: with an ops pointer before each function.
        direct: with direct calls.
    """
    names = {"ftrace_make_call": "make_call.c", "ftrace_make_nop": "make_nop.c", "ftrace_init_nop": "init_nop.c"}
    edits = [
        Edit(FTRACE, Function(name), Action.REPLACE, _code(file, ops=ops).rstrip("\n")) for name, file in names.items()
    ]
    return [*edits, _caller(ops=ops, direct=direct)]


def _caller(*, ops: bool, direct: bool) -> Edit:
    new = _code("caller.S", ops=ops, direct=direct).rstrip("\n")
    return Edit(ASM, Commented(AsmFunction("ftrace_caller")), Action.REPLACE, new)


def _live(tree: Tree) -> list[Edit]:
    """Patch while other harts run, and flush their caches."""
    edits = [
        Edit(FTRACE, Function("ftrace_arch_code_modify_prepare"), Action.REPLACE, _code("prepare.c").rstrip("\n")),
        Edit(
            FTRACE,
            Function("ftrace_arch_code_modify_post_process"),
            Action.REPLACE,
            _code("post_process.c").rstrip("\n"),
        ),
        Edit(FTRACE, _PARAMETER, Action.DELETE),
        Edit(FTRACE, Commented(Function("__ftrace_modify_code"), blank=True), Action.DELETE),
        Edit(FTRACE, Function("arch_ftrace_update_code"), Action.REPLACE, _code("update_code.c").rstrip("\n")),
        Edit(FTRACE, _STORE, Action.AFTER, "\tkick_all_cpus_sync();\n"),
        Edit(FTRACE, Include("linux/stop_machine.h"), Action.DELETE),
    ]
    edits += _untraced(tree)
    remark = Comment(("stop_machine() for ftrace & kprobes",))
    if remark.places(tree.read(_PATCH)):
        edits.append(Edit(_PATCH, remark, Action.SUBSTITUTE, "for kprobes", "for ftrace & kprobes"))
    return edits


def _untraced(tree: Tree) -> list[Edit]:
    """Keep calls for ftrace out of what asks the firmware to flush other harts' caches."""
    objects = MakeAssignment("CFLAGS_REMOVE_sbi.o", ("ifdef CONFIG_FTRACE",))
    if not tree.has(_KERNEL_MAKEFILE) or not tree.has(_SBI):
        return []
    text = tree.read(_KERNEL_MAKEFILE)
    there = MakeAssignment("CFLAGS_REMOVE_sbi_ecall.o", ("ifdef CONFIG_FTRACE",)).places(text)
    return [] if there else [Edit(_KERNEL_MAKEFILE, objects, Action.AFTER, _code("sbi_ecall.mk"))]


def _preempt(tree: Tree) -> list[Edit]:
    """Offer the tracer with PREEMPTION."""
    line = locate(tree.read(KCONFIG), _TRACER, KCONFIG).of(tree.read(KCONFIG))
    return [Edit(KCONFIG, _TRACER, Action.SUBSTITUTE, "", _GUARD)] if re.search(_GUARD, line) else []


def call_ops_edits(tree: Tree, *, direct: bool) -> list[Edit]:
    """Let each function have a pointer to the ops that is called.

    Args:
        direct: the tree, as it is then, has direct calls.
    """
    new = _code("modify_call.c", ops=True)
    modify = Edit(FTRACE, Function("arch_ftrace_update_code"), Action.AFTER, new)
    if direct:
        modify = Edit(FTRACE, _MODIFY, Action.REPLACE, new.strip("\n"))
    return [
        Edit(KCONFIG, KconfigLine("select", "FUNCTION_ALIGNMENT_4B"), Action.AFTER, _code("ops_align.kconfig")),
        Edit(KCONFIG, KconfigLine("select", "HAVE_DYNAMIC_FTRACE"), Action.AFTER, _code("ops.kconfig")),
        *_flags(tree),
        Edit(HEADER, Macro("MCOUNT_INSN_SIZE"), Action.AFTER, _code("ops.h")),
        Edit(FTRACE, Function("ftrace_call_adjust"), Action.REPLACE, _code("adjust.c", ops=True).rstrip("\n")),
        Edit(FTRACE, Commented(Function("ftrace_write_call")), Action.BEFORE, _code("ops.c")),
        *_functions(ops=True, direct=direct),
        Edit(FTRACE, Function("ftrace_update_ftrace_func"), Action.AFTER, "#endif\n"),
        Edit(FTRACE, _ANY_OPS, Action.BEFORE, _code("no_common.c")),
        modify,
    ]


def _flags(tree: Tree) -> list[Edit]:
    """Ask the compiler for room before functions, in builds with call ops only.

    Raises:
        EmitError: the flags do not stand in the two branches of one conditional.
    """
    found = [each for each in assignments(tree.read(MAKEFILE), "CC_FLAGS_FTRACE") if _NOPS.search(each.value)]
    counts = [int(match[1]) for each in found if (match := _NOPS.fullmatch(each.value))]
    blocks = {each.blocks[-1] for each in found if each.blocks}
    if counts != [4, 2] or len(blocks) != 1 or not found[1].conditions[-1].startswith("else of "):
        raise EmitError(f"{MAKEFILE}: assignments to CC_FLAGS_FTRACE: expected 4 short nops, else 2 long ones")
    condition = found[0].conditions[-1]
    block = MakeBlock(condition, found[0].conditions[:-1], "CC_FLAGS_FTRACE")
    first, other = (f"{2 * count},{count}" for count in counts)
    lines = code(f"{_DIR}/prefix.mk.j2", condition=condition, first=first, other=other)
    return [Edit(MAKEFILE, block, Action.AFTER, "endif\n"), Edit(MAKEFILE, block, Action.BEFORE, lines)]


def direct_edits(*, ops: bool) -> list[Edit]:
    """Let ftrace_caller take direct calls.

    Args:
        ops: the tree, as it is then, has an ops pointer before each function.
    """
    update = Function("arch_ftrace_update_code")
    modify = [] if ops else [Edit(FTRACE, update, Action.AFTER, _code("modify_call.c", ops=False))]
    func = Statement("asm_offsets", "expression", ("FTRACE_OPS_FUNC",))
    offset = [Edit(OFFSETS, func, Action.AFTER, _code("direct_offset.c"))] if ops else []
    place = KconfigLine("select", "HAVE_DYNAMIC_FTRACE_WITH_CALL_OPS" if ops else "HAVE_DYNAMIC_FTRACE")
    start = Statement("ftrace_update_ftrace_func", "if", ("ftrace_stub",))
    setter = Function("ftrace_partial_regs")
    return [
        Edit(KCONFIG, place, Action.AFTER, _code("direct.kconfig")),
        Edit(HEADER, setter, Action.AFTER, _code("direct_set.h")),
        *offset,
        Edit(FTRACE, start, Action.AFTER, _code("direct_list.c")),
        *modify,
        _caller(ops=ops, direct=True),
        Edit(ASM, AsmFunction("ftrace_caller"), Action.AFTER, _code("direct_stub.S")),
    ]
