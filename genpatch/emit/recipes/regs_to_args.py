# SPDX-License-Identifier: GPL-2.0-or-later
"""regs-to-args: tracers get the registers that are live at a function's entry; kprobes there stay possible."""

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
    locate,
)
from ..csource import Span, parse
from ..edits import Action, Edit
from ..errors import EmitError
from ..kbuild import assignments
from ..recipe import PatchPlan, Recipe, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree

_KCONFIG = "arch/riscv/Kconfig"
_MAKEFILE = "arch/riscv/Makefile"
_HEADER = "arch/riscv/include/asm/ftrace.h"
_PTRACE = "arch/riscv/include/asm/ptrace.h"
_FTRACE = "arch/riscv/kernel/ftrace.c"
_CALLER = "arch/riscv/kernel/mcount-dyn.S"
_RETURN = "arch/riscv/kernel/mcount.S"
_OFFSETS = "arch/riscv/kernel/asm-offsets.c"
_PROBE = "arch/riscv/kernel/probes/ftrace.c"
_PROBES = "arch/riscv/kernel/probes/Makefile"
_GENERIC = "include/linux/ftrace.h"
_TRACERS = "kernel/trace/Kconfig"
_FEATURE = "Documentation/features/debug/kprobes-on-ftrace/arch-support.txt"
_NEEDED = (_KCONFIG, _MAKEFILE, _HEADER, _PTRACE, _FTRACE, _CALLER, _RETURN, _OFFSETS, _GENERIC, _TRACERS)

_ARGS, _REGS = "HAVE_DYNAMIC_FTRACE_WITH_ARGS", "HAVE_DYNAMIC_FTRACE_WITH_REGS"
_ARGUMENTS = tuple(f"a{number}" for number in range(8))
_FIELDS = ("epc", "ra", "sp", "s0", "t1", *_ARGUMENTS)
_CLANG = ("t2", "t3", "t4", "t5", "t6")
_STACK_ALIGN = 16
_RETURN_FRAME = ("addi sp, sp, -32", "sd s0, 16(sp)", "sd ra, 24(sp)", "sd a0, 8(sp)", "addi s0, sp, 32")


@dataclass(frozen=True)
class _WholeFile:
    """A file from its first character to its last."""

    def __str__(self) -> str:
        return "the file"

    def places(self, text: str) -> list[Span]:
        """Return it."""
        return [Span(0, len(text))]


def _look(tree: Tree) -> State:
    for path in _NEEDED:
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    kconfig = tree.read(_KCONFIG)
    if _selects(kconfig, _ARGS):
        return State(Verdict.THERE, f"{_KCONFIG} selects {_ARGS}")
    if not _selects(kconfig, _REGS):
        return State(Verdict.NOT, f"{_KCONFIG} does not select {_REGS}")
    if _selects(kconfig, "HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"):
        return State(Verdict.NOT, "call sites may call other targets directly, not one trampoline")
    return _generic_state(tree) or _sled_state(tree) or State(Verdict.CAN, f"{_KCONFIG} selects {_REGS}")


def _generic_state(tree: Tree) -> State | None:
    """Return why the code of all architectures does not take this struct; None if it does."""
    generic = tree.read(_GENERIC)
    opened = re.search(rf"^#ifndef CONFIG_{_ARGS}\n+struct ftrace_regs \{{", generic, re.MULTILINE)
    if opened is None or "ftrace_instruction_pointer_set" not in generic:
        return State(Verdict.NOT, f"{_GENERIC} does not leave struct ftrace_regs to architectures with {_ARGS}")
    needs = KconfigLine("depends on", "DYNAMIC_FTRACE_WITH_REGS", "FPROBE").places(tree.read(_TRACERS))
    if needs and _selects(tree.read(_KCONFIG), "HAVE_RETHOOK"):
        return State(Verdict.NOT, "FPROBE needs DYNAMIC_FTRACE_WITH_REGS here, and riscv has it: it would be lost")
    return None


def _sled_state(tree: Tree) -> State | None:
    """Return why the call sites are not those that are known; None if they are: auipc and jalr through t0, no more."""
    flags = {each.value for each in assignments(tree.read(_MAKEFILE), "CC_FLAGS_FTRACE")}
    if not flags or not all(re.fullmatch(r"-fpatchable-function-entry=\d+", flag) for flag in flags):
        return State(Verdict.NOT, f"the sled is not nops behind the function's entry ({', '.join(sorted(flags))})")
    text = tree.read(_FTRACE)
    body = locate(text, Function("ftrace_make_call"), _FTRACE).of(text)
    if integer_macro(tree, _HEADER, "MCOUNT_INSN_SIZE") != 8 or not re.search(r"make_call_t0\(rec->ip, addr\b", body):
        return State(Verdict.NOT, "ftrace_make_call() does not write auipc and jalr, through t0, at rec->ip")
    return None


def _selects(kconfig: str, symbol: str) -> bool:
    return bool(KconfigLine("select", symbol).places(kconfig))


def _plan(tree: Tree) -> list[PatchPlan]:
    first = _return_plan(tree)
    return [*([first] if first else []), _jalr_plan(tree), _args_plan(tree)]


def _return_plan(tree: Tree) -> PatchPlan | None:
    """Return the patch that keeps a1 over return_to_handler; None if it is kept.

    Raises:
        EmitError: the frame is another than the one that is known.
    """
    text = tree.read(_RETURN)
    save = locate(text, AsmMacro("SAVE_RET_ABI_STATE"), _RETURN).of(text)
    lines = tuple(" ".join(line.split()) for line in save.split("\n")[1:-1])
    if any(re.match(r"(sd|REG_S) a1,", line) for line in lines):
        return None
    if lines != _RETURN_FRAME:
        raise EmitError(f"{_RETURN}: .macro SAVE_RET_ABI_STATE: not the frame of 32 bytes that is known")
    handler = AsmFunction("return_to_handler")
    edits = (
        Edit(
            _RETURN,
            Commented(AsmMacro("SAVE_RET_ABI_STATE")),
            Action.REPLACE,
            code("regs-to-args/return.S.j2").rstrip("\n"),
        ),
        Edit(
            _RETURN,
            AsmMacro("RESTORE_RET_ABI_STATE"),
            Action.SUBSTITUTE,
            "\tld\ta0, 8(sp)\n\tld\ta1, 0(sp)\n",
            r"\tld\s+a0, 8\(sp\)\n",
        ),
        Edit(_RETURN, handler, Action.SUBSTITUTE, "mv\ta2, a0", r"mv\s+a1, a0"),
        Edit(_RETURN, handler, Action.SUBSTITUTE, "jr\ta2", r"jalr\s+a1"),
    )
    return PatchPlan("regs-to-args/return-message.j2", edits)


def _function(name: str, template: str) -> Edit:
    return Edit(_FTRACE, Function(name), Action.REPLACE, code(f"regs-to-args/{template}.c.j2").rstrip("\n"))


def _jalr_plan(tree: Tree) -> PatchPlan:
    """Return the patch that leaves one trampoline and switches the jalr alone."""
    return PatchPlan("regs-to-args/jalr-message.j2", (*_jalr_header(tree), *_jalr_source(tree), *_jalr_assembly(tree)))


def _jalr_header(tree: Tree) -> list[Edit]:
    edits = [
        Edit(
            _HEADER,
            Function("ftrace_call_adjust"),
            Action.REPLACE,
            "unsigned long ftrace_call_adjust(unsigned long addr);",
        ),
        Edit(
            _HEADER,
            Commented(Macro("MCOUNT_INSN_SIZE")),
            Action.REPLACE,
            code("regs-to-args/sizes.h.j2").rstrip("\n"),
        ),
    ]
    sled = Comment(("<ftrace disable>",))
    if sled.places(tree.read(_HEADER)):
        edits.append(Edit(_HEADER, sled, Action.REPLACE, code("regs-to-args/sled.h.j2").rstrip("\n")))
    return edits


def _jalr_source(tree: Tree) -> list[Edit]:
    text = tree.read(_FTRACE)
    checks = Function("ftrace_check_current_call")
    edits = [
        Edit(_FTRACE, Commented(checks, blank=True), Action.DELETE),
        Edit(
            _FTRACE,
            Commented(Function("__ftrace_modify_call")),
            Action.BEFORE,
            code("regs-to-args/adjust.c.j2") + "\n",
        ),
        Edit(_FTRACE, Function("__ftrace_modify_call"), Action.SUBSTITUTE, "sizeof(call)", "MCOUNT_INSN_SIZE"),
        _function("ftrace_make_call", "make_call"),
        _function("ftrace_make_nop", "make_nop"),
        _function("ftrace_init_nop", "init_nop"),
        _function("ftrace_update_ftrace_func", "update_one"),
        _function("ftrace_modify_call", "modify_call"),
    ]
    if parse(text).functions("ftrace_enable_ftrace_graph_caller"):
        declared = Lines(r"extern void ftrace_graph_regs_call\(void\);", "declaration of ftrace_graph_regs_call()")
        edits += [
            Edit(_FTRACE, declared, Action.DELETE),
            _function("ftrace_enable_ftrace_graph_caller", "graph_enable"),
            _function("ftrace_disable_ftrace_graph_caller", "graph_disable"),
        ]
    return edits


def _jalr_assembly(tree: Tree) -> list[Edit]:
    text = tree.read(_CALLER)
    kept = locate(text, AsmFunction("ftrace_regs_caller"), _CALLER).of(text)
    guards = [
        Edit(_CALLER, anchor, Action.REPLACE, span.of(text).split("\n", 1)[1].rpartition("\n")[0])
        for holds in (".macro SAVE_ALL", "(ftrace_regs_caller)")
        for anchor in (Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS", holds),)
        for span in anchor.places(text)
    ]
    return [
        *guards,
        Edit(_CALLER, Macro("FENTRY_RA_OFFSET"), Action.SUBSTITUTE, "MCOUNT_INSN_SIZE", r"(?<=\s)8(?=\s*\Z)"),
        Edit(_CALLER, Lines(r"(?:#define ABI_\w+[ \t]+\d+\n)*#define ABI_\w+[ \t]+\d+", "ABI_ offsets"), Action.DELETE),
        Edit(_CALLER, Commented(AsmMacro("SAVE_ABI"), blank=True), Action.DELETE),
        Edit(_CALLER, Commented(AsmMacro("RESTORE_ABI"), blank=True), Action.DELETE),
        Edit(_CALLER, Commented(AsmFunction("ftrace_caller"), blank=True), Action.DELETE),
        Edit(
            _CALLER,
            AsmFunction("ftrace_regs_caller"),
            Action.REPLACE,
            re.sub(r"\bftrace_(?:regs_(call\w*)|graph_regs_(call))\b", _one_name, kept),
        ),
    ]


def _one_name(match: re.Match[str]) -> str:
    return f"ftrace_{match[1]}" if match[1] else f"ftrace_graph_{match[2]}"


def _args_plan(tree: Tree) -> PatchPlan:
    """Return the patch that gives callbacks the live registers."""
    edits = (*_args_kconfig(tree), *_args_header(), *_args_source(), *_args_assembly(tree))
    return PatchPlan("regs-to-args/args-message.j2", edits, _sizes(tree))


def _sizes(tree: Tree) -> dict[str, object]:
    """Return the figures of the message [bytes, but words].

    Raises:
        EmitError: struct pt_regs is not found.
    """
    found = re.search(r"^struct pt_regs \{\n(.*?)^\};", tree.read(_PTRACE), re.MULTILINE | re.DOTALL)
    registers = len(re.findall(r"^\tunsigned long \w+;", found[1], re.MULTILINE)) if found else 0
    if not registers:
        raise EmitError(f"{_PTRACE}: struct pt_regs: expected a list of registers")
    return {
        "old_frame": _frame(registers),
        "words": len(_FIELDS),
        "bytes": len(_FIELDS) * 8,
        "frame": _frame(len(_FIELDS)),
        "clang_frame": _frame(len(_FIELDS + _CLANG)),
    }


def _frame(words: int) -> int:
    return -(-words * 8 // _STACK_ALIGN) * _STACK_ALIGN


def _args_kconfig(tree: Tree) -> list[Edit]:
    edits = [Edit(_KCONFIG, KconfigLine("select", _REGS), Action.SUBSTITUTE, _ARGS, _REGS)]
    if not _selects(tree.read(_KCONFIG), "HAVE_KPROBES_ON_FTRACE"):
        return edits
    edits.append(Edit(_KCONFIG, KconfigLine("select", "HAVE_KPROBES_ON_FTRACE"), Action.DELETE))
    if tree.has(_FEATURE):
        row = Lines(r"[ \t]*\|[ \t]*riscv:[ \t]*\|[^|\n]*\|", "row of riscv")
        edits.append(Edit(_FEATURE, row, Action.SUBSTITUTE, " TODO ", r"(?<=: \|)  ok  (?=\|)"))
    return [
        *edits,
        Edit(_PROBES, MakeAssignment("obj-$(CONFIG_KPROBES_ON_FTRACE)"), Action.DELETE),
        Edit(_PROBE, _WholeFile(), Action.REPLACE, ""),
    ]


def _args_header() -> list[Edit]:
    record = Lines(r"struct dyn_arch_ftrace \{\n\};", "struct dyn_arch_ftrace")
    return [
        Edit(_HEADER, record, Action.AFTER, code("regs-to-args/struct.h.j2", fields=_FIELDS, clang=_CLANG)),
        Edit(_HEADER, Commented(Macro("FTRACE_REGS_ADDR"), blank=True), Action.DELETE),
    ]


def _args_source() -> list[Edit]:
    graph = Conditional("ifdef CONFIG_DYNAMIC_FTRACE", "ftrace_enable_ftrace_graph_caller")
    regs = Commented(Conditional("ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS", "ftrace_modify_call"), blank=True)
    return [
        Edit(_FTRACE, Commented(Function("__ftrace_modify_call"), blank=True), Action.DELETE),
        _function("ftrace_update_ftrace_func", "update"),
        Edit(_FTRACE, graph, Action.REPLACE, code("regs-to-args/graph.c.j2").rstrip("\n")),
        Edit(_FTRACE, regs, Action.DELETE),
        Edit(_OFFSETS, Include("linux/kbuild.h"), Action.BEFORE, "#include <linux/ftrace.h>\n"),
        Edit(
            _OFFSETS,
            Lines(r"\tDEFINE\(PT_SIZE_ON_STACK,[^\n]*", "PT_SIZE_ON_STACK"),
            Action.AFTER,
            code("regs-to-args/offsets.c.j2", fields=_FIELDS, clang=_CLANG),
        ),
    ]


def _args_assembly(tree: Tree) -> list[Edit]:
    text = tree.read(_CALLER)
    lines = locate(text, AsmFunction("ftrace_regs_caller"), _CALLER).of(text).split("\n")
    start, end = (line.replace("ftrace_regs_caller", "ftrace_caller") for line in (lines[0], lines[-1]))
    names = {"arguments": _ARGUMENTS, "clang": _CLANG}
    return [
        Edit(
            _CALLER,
            Commented(AsmMacro("SAVE_ALL")),
            Action.REPLACE,
            code("regs-to-args/save.S.j2", **names).rstrip("\n"),
        ),
        Edit(
            _CALLER,
            Commented(AsmMacro("RESTORE_ALL")),
            Action.REPLACE,
            code("regs-to-args/restore.S.j2", **names).rstrip("\n"),
        ),
        Edit(
            _CALLER,
            AsmFunction("ftrace_caller"),
            Action.REPLACE,
            code("regs-to-args/caller.S.j2", start=start, end=end).rstrip("\n"),
        ),
    ]


RECIPE = Recipe(
    name="regs-to-args",
    summary="tracers get the registers that are live at a function's entry, and kprobes there stay possible",
    trees="whose ftrace saves every register and switches auipc and jalr, through t0 (6.1)",
    look=_look,
    plan=_plan,
    scheme="auipc-fixed",
    cover="regs-to-args/cover.j2",
)
