# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-trampoline: direct calls, text poke and BPF trampolines for a tree that has the 8-byte sled and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..anchors import (
    AsmFunction,
    Function,
    Include,
    KconfigLine,
    Macro,
    Member,
    Statement,
    locate,
)
from ..csource import Span, parse
from ..edits import Action, Edit
from ..parts.sled import FTRACE, MAKEFILE, kernel_sled
from ..recipe import PatchPlan, Recipe, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree

_KCONFIG = "arch/riscv/Kconfig"
_HEADER = "arch/riscv/include/asm/ftrace.h"
_ENTRY = "arch/riscv/kernel/mcount-dyn.S"
_PATCH = "arch/riscv/kernel/patch.c"
_PATCH_H = "arch/riscv/include/asm/patch.h"
_KPROBES = "arch/riscv/kernel/probes/kprobes.c"
_JIT_H = "arch/riscv/net/bpf_jit.h"
_JIT = "arch/riscv/net/bpf_jit_comp64.c"
_SELFTEST = "kernel/trace/trace_selftest.c"
_FTRACE_H = "include/linux/ftrace.h"
_BPF_H = "include/linux/bpf.h"
_FILES = (
    _KCONFIG, _HEADER, _ENTRY, _PATCH, _PATCH_H, _KPROBES, _JIT_H, _JIT, _SELFTEST, _FTRACE_H, _BPF_H, FTRACE, MAKEFILE
)  # fmt: skip
_MAKER = "arch_prepare_bpf_trampoline"
_POKE = "bpf_arch_text_poke"
_DIRECT = "HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
_WORDS = 2
_ASKED = (
    "BPF_TRAMP_F_RESTORE_REGS",
    "BPF_TRAMP_F_CALL_ORIG",
    "BPF_TRAMP_F_SKIP_FRAME",
    "BPF_TRAMP_F_IP_ARG",
    "BPF_TRAMP_F_RET_FENTRY_RET",
    "BPF_TRAMP_F_ORIG_STACK",
)
_HARMLESS = ("BPF_TRAMP_F_SHARE_IPMODIFY", "BPF_TRAMP_F_TAIL_CALL_CTX")
_PROTOTYPES = (
    (
        _BPF_H,
        _MAKER,
        "struct bpf_tramp_image *tr, void *image, void *image_end, const struct btf_func_model *m, u32 flags, "
        "struct bpf_tramp_links *tlinks, void *orig_call",
    ),
    (_BPF_H, "bpf_trampoline_enter", "const struct bpf_prog *prog"),
    (_BPF_H, "bpf_trampoline_exit", "const struct bpf_prog *prog"),
    (_BPF_H, "__bpf_tramp_enter", "struct bpf_tramp_image *tr"),
    (_BPF_H, "__bpf_tramp_exit", "struct bpf_tramp_image *tr"),
    (_FTRACE_H, "arch_ftrace_set_direct_caller", "struct pt_regs *regs, unsigned long addr"),
)


@dataclass(frozen=True)
class Prototype:
    """The line, or lines, on which a header declares or a file defines a C function, up to its parameters' end."""

    name: str

    def __str__(self) -> str:
        return f"prototype of {self.name}()"

    def places(self, text: str) -> list[Span]:
        """Return such places."""
        pattern = rf"^[a-z_][\w \t*]*[ \t*\n]{re.escape(self.name)}\((?P<of>[^(){{}};]*)\)"
        return [Span(*match.span()) for match in re.finditer(pattern, text, re.MULTILINE)]

    def parameters(self, text: str) -> set[str]:
        """Return its parameters as each of the places has them, with one space between words."""
        return {" ".join(re.split(r"[()]", place.of(text))[1].split()) for place in self.places(text)}


@dataclass(frozen=True)
class _Part:
    """One patch: what it brings, in words; whether a tree has that; how it is made."""

    brings: str
    is_there: Callable[[Tree], bool]
    plan: Callable[[Tree], PatchPlan]


def _defines(tree: Tree, path: str, name: str) -> bool:
    return bool(parse(tree.read(path)).functions(name))


def _look(tree: Tree) -> State:
    if tree.has(_JIT) and tree.has(_BPF_H) and _defines(tree, _JIT, _MAKER):
        return State(Verdict.THERE, _what_is_there(tree))
    for path in _FILES:
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    if why := _obstacle(tree):
        return State(Verdict.NOT, why)
    missing = [part.brings for part in _PARTS if not part.is_there(tree)]
    return State(Verdict.CAN, f"a sled of {_WORDS} words that links through t0 is there; missing: {'; '.join(missing)}")


def _obstacle(tree: Tree) -> str:
    """Return why the series does not fit a tree without trampolines; empty if it does."""
    sled = kernel_sled(tree)
    if (sled.words, sled.link) != (_WORDS, "t0") or integer_macro(tree, _HEADER, "MCOUNT_INSN_SIZE") != _WORDS * 4:
        return (
            f"ftrace's sled is {sled.words} words and links through {sled.link}; trampolines take one of {_WORDS} words"
            " that links through t0"
        )
    tracer = KconfigLine("select", "HAVE_FUNCTION_TRACER")
    kconfig = tree.read(_KCONFIG)
    if "!PREEMPTION" not in locate(kconfig, tracer, _KCONFIG).of(kconfig):
        return "the function tracer is offered with PREEMPTION though two words are written: no-preempt comes first"
    for path, name, wanted in _PROTOTYPES:
        if (found := Prototype(name).parameters(tree.read(path))) != {wanted}:
            return f"{path} declares {name}({' | '.join(sorted(found)) or 'not at all'}), not ({wanted})"
    flags = set(_flags(tree.read(_BPF_H)))
    if unknown := sorted(flags - {*_ASKED, *_HARMLESS}) or sorted(set(_ASKED) - flags):
        return f"generic code and this series differ in {', '.join(unknown)}"
    if _defines(tree, _JIT, _POKE) and not _defines(tree, _JIT, "emit_sled"):
        return f"there is a {_POKE}(), but not the one that this series builds on"
    return ""


def _flags(text: str) -> list[str]:
    return re.findall(r"^#define[ \t]+(BPF_TRAMP_F_\w+)", text, re.MULTILINE)


def _what_is_there(tree: Tree) -> str:
    """Return what the trampolines of a tree know and count on, one clause."""
    text = tree.read(_JIT)
    words = integer_macro(tree, _JIT, "RV_FENTRY_NINSNS")
    links = sorted(set(re.findall(r"\bis_call \? RV_REG_(\w+)", text)))
    skips = _bytes(re.findall(r"\b(?:orig_call|func) \+= ([^;]*);", text), words)
    tails = _bytes(re.findall(r"\bis_tail_call \? (?!RV_REG)([^:]*) :", text), words)
    named = [name for name in _flags(tree.read(_BPF_H)) if re.search(rf"\b{name}\b", text)]
    tests = re.findall(r"\bif \(flags & \(?([A-Z_|\s]+)\)?\)\s*return -E", text)
    refused = set(re.findall(r"\w+", " ".join(tests)))
    return (
        f"the BPF JIT makes trampolines: flags {_short(named, set(named) - refused)}"
        + (f", but not {_short(named, refused)}" if refused & set(named) else "")
        + f"; a sled of {words or 'unknown'} words that links through {' or '.join(links).lower() or 'what is unknown'}"
        f"; {skips} skipped in the traced function and {tails} by a tail call"
    )


def _short(names: list[str], chosen: set[str]) -> str:
    return ", ".join(name.removeprefix("BPF_TRAMP_F_") for name in names if name in chosen) or "unknown"


def _bytes(expressions: list[str], words: int | None) -> str:
    """Return what distances come to, with and without the words of CFI; "unknown" if they are more than sums."""
    found: set[int] = set()
    for expression in expressions:
        for cfi in (0, 1):
            names = {"RV_FENTRY_NBYTES": (words or 0) * 4, "RV_FENTRY_NINSNS": words or 0, "RV_KCFI_NINSNS": cfi}
            plain = expression
            for name, number in names.items():
                plain = re.sub(rf"\b{name}\b", str(number), plain)
            value = _value(plain)
            if value is None:
                return "unknown"
            found.add(value)
    return f"{' or '.join(map(str, sorted(found)))} bytes" if found else "unknown"


def _value(text: str) -> int | None:
    """Return the value of a sum or product of numbers; None if it is not one."""
    if len(text) > 80 or not re.fullmatch(r"[\d+*() ]+", text) or "**" in text:
        return None
    try:
        return _fold(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        return None


def _fold(node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _fold(node.left), _fold(node.right)
    if left is None or right is None:
        return None
    return left * right if isinstance(node.op, ast.Mult) else left + right if isinstance(node.op, ast.Add) else None


def _template(name: str, **values: object) -> str:
    return code(f"bpf-trampoline/{name}.j2", **values)


def _inline(name: str) -> str:
    return _template(name).rstrip("\n")


def _selftest(_: Tree) -> PatchPlan:
    stub = Function("trace_direct_tramp")
    edits = (
        Edit(_SELFTEST, stub, Action.AFTER, _template("selftest-after.c")),
        Edit(_SELFTEST, stub, Action.BEFORE, _template("selftest-before.c")),
    )
    return PatchPlan("bpf-trampoline/selftest.message.j2", edits)


def _direct(tree: Tree) -> PatchPlan:
    caller = AsmFunction("ftrace_regs_caller")
    lines = locate(tree.read(_ENTRY), caller, _ENTRY).of(tree.read(_ENTRY)).split("\n")
    names = {"first": lines[0], "last": lines[-1]}
    stub = {key: line.replace(caller.name, "ftrace_stub_direct_tramp") for key, line in names.items()}
    edits = (
        Edit(
            _KCONFIG, KconfigLine("select", "HAVE_DYNAMIC_FTRACE_WITH_REGS"), Action.BEFORE, _template("direct.kconfig")
        ),
        Edit(_HEADER, Macro("_ASM_RISCV_FTRACE_H"), Action.AFTER, "\n#include <asm/ptrace.h>\n"),
        Edit(_HEADER, Macro("ftrace_init_nop"), Action.AFTER, _template("direct.h")),
        Edit(_ENTRY, caller, Action.SUBSTITUTE, _inline("direct-leave.S"), r"\tRESTORE_ALL\n\tjr[ \t]+t0(?=\n)"),
        Edit(_ENTRY, caller, Action.SUBSTITUTE, "\tSAVE_ALL\n" + _inline("direct-none.S"), r"\tSAVE_ALL(?=\n)"),
        Edit(_ENTRY, caller, Action.AFTER, _template("direct-stub.S", **stub)),
    )
    return PatchPlan("bpf-trampoline/direct.message.j2", edits)


def _text(_: Tree) -> PatchPlan:
    in_cb = "patch_text_cb"
    slot, stop = Function("arch_prepare_ss_slot"), r"\+ offset\),\s*__BUG_INSN_32\)"
    edits = (
        Edit(_PATCH, Member("patch_insn", "insn"), Action.REPLACE, _inline("text.struct")),
        Edit(_PATCH, Statement(in_cb, "expression", ("patch_text_nosync",)), Action.REPLACE, _inline("text-master.c")),
        Edit(_PATCH, Statement(in_cb, "expression", ("atomic_inc",)), Action.BEFORE, _template("text-release.c")),
        Edit(_PATCH, Statement(in_cb, "expression", ("smp_mb",)), Action.REPLACE, _inline("text-wait.c")),
        Edit(_PATCH, Function("patch_text"), Action.SUBSTITUTE, "const void *insns, size_t len)", r"u32 insn\)"),
        Edit(_PATCH, Function("patch_text"), Action.SUBSTITUTE, ".insns = insns,\n\t\t.len = len,", r"\.insn = insn,"),
        Edit(_PATCH_H, Prototype("patch_text"), Action.SUBSTITUTE, "const void *insns, size_t len)", r"u32 insn\)"),
        Edit(_KPROBES, slot, Action.SUBSTITUTE, "+ offset),\n\t\t   &stop, sizeof(stop))", stop),
        Edit(_KPROBES, slot, Action.SUBSTITUTE, "insn, &p->opcode, offset)", r"insn, p->opcode\)"),
        Edit(
            _KPROBES,
            Statement(slot.name, "declaration", ("offset",)),
            Action.AFTER,
            _template("text-slot.c"),
        ),
        Edit(_KPROBES, Statement("arch_arm_kprobe", "if", ("patch_text",)), Action.REPLACE, _inline("text-arm.c")),
        Edit(
            _KPROBES,
            Function("arch_disarm_kprobe"),
            Action.SUBSTITUTE,
            "&p->opcode, GET_INSN_LENGTH(p->opcode))",
            r"p->opcode\)",
        ),
    )
    return PatchPlan("bpf-trampoline/text.message.j2", edits)


def _poke(tree: Tree) -> PatchPlan:
    prologue = "bpf_jit_build_prologue"
    stored = Statement(prologue, "expression", ("store_offset", "stack_adjust"))
    skip = "(RV_FENTRY_NINSNS + 1) * 4 : 0,"
    mapped = Statement("patch_map", "if", condition=("CONFIG_STRICT_MODULE_RWX",), only_condition=True)
    old = " ".join(locate(tree.read(_PATCH), mapped, _PATCH).of(tree.read(_PATCH)).split())
    edits = (
        Edit(_JIT_H, Function("rv_addi"), Action.AFTER, _template("poke-nop.h")),
        Edit(_JIT, Include("linux/bpf.h"), Action.AFTER, "#include <linux/cpu.h>\n"),
        Edit(_JIT, Include("linux/filter.h"), Action.AFTER, "#include <linux/memory.h>\n#include <asm/patch.h>\n"),
        Edit(_JIT, Macro("RV_REG_TCC_SAVED"), Action.AFTER, _template("poke-macros.c", words=_WORDS)),
        Edit(_JIT, Function("__build_epilogue"), Action.SUBSTITUTE, skip, r"(?<=is_tail_call \? )4 : 0,[^\n]*"),
        Edit(
            _JIT,
            Function("emit_bpf_tail_call"),
            Action.SUBSTITUTE,
            "bpf_func + RV_FENTRY_NBYTES + 4)",
            r"bpf_func \+ 4\)",
        ),
        Edit(_JIT, Function("bpf_jit_emit_insn"), Action.BEFORE, _template("poke.c")),
        Edit(_JIT, stored, Action.AFTER, _template("poke-prologue.c")),
        Edit(
            _JIT,
            Function(prologue),
            Action.SUBSTITUTE,
            "The first instruction behind the sled sets",
            "First instruction is always setting",
        ),
        Edit(_PATCH, mapped, Action.REPLACE, f"{old} || is_bpf_jit_region(uintaddr)"),
        Edit(_PATCH, Function("is_kernel_exittext"), Action.BEFORE, _template("poke-region.c")),
    )
    return PatchPlan("bpf-trampoline/poke.message.j2", edits, {"words": _WORDS, "size": _WORDS * 4})


def _tramp(tree: Tree) -> PatchPlan:
    known = set(_flags(tree.read(_BPF_H)))
    flags = [flag for flag in (*_ASKED, *_HARMLESS) if flag in known]
    edits = (
        Edit(_JIT, Include("linux/filter.h"), Action.AFTER, "#include <linux/ftrace.h>\n"),
        Edit(_JIT, Function("bpf_jit_emit_insn"), Action.BEFORE, _template("tramp.c", flags=flags)),
    )
    return PatchPlan("bpf-trampoline/tramp.message.j2", edits, {"size": _WORDS * 4})


_PARTS = (
    _Part(
        "a start-up test that takes an architecture's trampoline",
        lambda tree: "ftrace_stub_direct_tramp" in tree.read(_SELFTEST),
        _selftest,
    ),
    _Part("direct calls", lambda tree: _DIRECT in tree.read(_KCONFIG), _direct),
    _Part(
        "patch_text() of several instructions",
        lambda tree: not any("u32 insn" in each for each in Prototype("patch_text").parameters(tree.read(_PATCH_H))),
        _text,
    ),
    _Part(f"{_POKE}()", lambda tree: _defines(tree, _JIT, _POKE), _poke),
    _Part("trampolines", lambda tree: _defines(tree, _JIT, _MAKER), _tramp),
)


def _plan(tree: Tree) -> list[PatchPlan]:
    return [part.plan(tree) for part in _PARTS if not part.is_there(tree)]


RECIPE = Recipe(
    name="bpf-trampoline",
    summary="BPF trampolines and text poke: fentry, fexit, fmod_ret, freplace, struct_ops on an 8-byte t0 sled",
    trees="whose ftrace has the 8-byte sled but neither direct calls nor trampolines (6.1)",
    look=_look,
    plan=_plan,
    scheme="bpf-fentry",
    cover="bpf-trampoline/cover.j2",
)
