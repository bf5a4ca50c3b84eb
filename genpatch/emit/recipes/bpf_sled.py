# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-sled: the BPF JIT counts on the sled, and on the link register, that the kernel's own ftrace has."""

from __future__ import annotations

import re

from ..anchors import Anchor, Function, Include, Macro, Statement, locate
from ..csource import parse
from ..edits import Action, Edit
from ..errors import EmitError
from ..parts.sled import FTRACE, MAKEFILE, Sled, kernel_sled
from ..recipe import PatchPlan, Recipe, State, Verdict, integer_macro
from ..render import code
from ..tree import Tree

_FILE = "arch/riscv/net/bpf_jit_comp64.c"
_COUNT = "RV_FENTRY_NINSNS"
_MAKER = re.compile(r"\b(gen_\w+_or_nops)\(")
_NOPS = r"(?:[ \t]*emit\(rv_nop\(\), &?ctx\);\n?)+"
_TRAMPOLINE = "__arch_prepare_bpf_trampoline"


def _look(tree: Tree) -> State:
    for path in (_FILE, FTRACE, MAKEFILE):
        if not tree.has(path):
            return State(Verdict.NOT, f"there is no {path}")
    text = tree.read(_FILE)
    if not parse(text).functions("bpf_arch_text_poke"):
        return State(Verdict.NOT, "the BPF JIT has no bpf_arch_text_poke(): nothing is poked into a sled")
    if not _MAKER.search(locate(text, Function("bpf_arch_text_poke"), _FILE).of(text)):
        return State(Verdict.NOT, "bpf_arch_text_poke() makes no sled: programs have a way of their own to trampolines")
    if "rv_sd" in _generator(text)[1]:
        return State(Verdict.NOT, "the BPF JIT saves ra in the sled itself: that takes bpf-trampoline")
    sled = kernel_sled(tree)
    edits = _edits(tree, sled)
    what = f"{sled.words} instructions that link through {sled.link}"
    if not edits:
        return State(Verdict.THERE, f"the BPF JIT counts on the kernel's sled: {what}")
    return State(Verdict.CAN, f"the BPF JIT does not count on the kernel's sled ({what}) in {len(edits)} places")


def _generator(text: str) -> tuple[str, str]:
    """Return name and text of the function that makes a sled's instructions."""
    poke = locate(text, Function("bpf_arch_text_poke"), _FILE).of(text)
    names = sorted(set(_MAKER.findall(poke)))
    if len(names) != 1:
        raise EmitError(f"{_FILE}: bpf_arch_text_poke(): expected one maker of sleds, got {', '.join(names) or 'none'}")
    return names[0], locate(text, Function(names[0]), _FILE).of(text)


def _edits(tree: Tree, sled: Sled) -> list[Edit]:
    text = tree.read(_FILE)
    return [
        *_macro(tree, text, sled),
        *_literals(text),
        *_counted_nops(text, sled),
        *_links(text, sled),
    ]


def _macro(tree: Tree, text: str, sled: Sled) -> list[Edit]:
    count = integer_macro(tree, _FILE, _COUNT)
    if count == sled.words:
        return []
    if count is None:
        return [Edit(_FILE, Include("bpf_jit.h"), Action.AFTER, code("bpf-sled/macro.c.j2", words=sled.words))]
    old = locate(text, Macro(_COUNT), _FILE).of(text)
    value = re.search(r"\(?\b\w+\)?$", old)
    assert value is not None, old
    return [Edit(_FILE, Macro(_COUNT), Action.REPLACE, f"{old[: value.start()]}{sled.words}")]


def _literals(text: str) -> list[Edit]:
    """Replace numbers that mean the sled."""
    bytes_of = "RV_FENTRY_NBYTES" if Macro("RV_FENTRY_NBYTES").places(text) else f"{_COUNT} * 4"
    poke = "bpf_arch_text_poke"
    kcfi = "RV_KCFI_NINSNS + " if Macro("RV_KCFI_NINSNS").places(text) else ""
    wanted: list[tuple[Anchor, str, str]] = [
        (Function(poke), r"(?<=old_insns\[)\d+(?=\])", _COUNT),
        (Function(poke), r"(?<=new_insns\[)\d+(?=\])", _COUNT),
        (Statement(poke, "if", condition=("memcmp", "old_insns"), only_condition=True), r"(?<=, )\d+(?=\))", bytes_of),
        (Statement(poke, "if", condition=("memcmp", "new_insns"), only_condition=True), r"(?<=, )\d+(?=\))", bytes_of),
        (Statement(poke, "expression", ("patch_text", "new_insns")), r"(?<=, )\d+(?=\))", bytes_of),
        (Statement("bpf_jit_build_prologue", "for", ("rv_nop",)), r"(?<=< )\d+(?=;)", _COUNT),
        (Function(_TRAMPOLINE), r"(?<=orig_call \+= )\d+(?=;)", f"{_COUNT} * 4"),
        (Function("__build_epilogue"), r"(?<=is_tail_call \? )\d+(?= : 0)", f"({kcfi}{_COUNT} + 1) * 4"),
    ]
    return [
        Edit(_FILE, anchor, Action.SUBSTITUTE, new, pattern)
        for anchor, pattern, new in wanted
        if any(re.search(pattern, span.of(text)) for span in anchor.places(text))
    ]


def _counted_nops(text: str, sled: Sled) -> list[Edit]:
    """Replace rows of nops that stand for the sled by rows of its length."""
    name, _ = _generator(text)
    found = []
    for anchor in (
        Statement(name, "if", ("rv_nop",), condition=("target",)),
        Statement(_TRAMPOLINE, "if", ("rv_nop", "ip_after_call")),
    ):
        for span in anchor.places(text):
            row = re.search(_NOPS, span.of(text))
            if row is None or row[0].count("rv_nop") in (sled.words, 0) or "for (" in span.of(text):
                continue
            line = row[0].split("\n")[0] + "\n"
            found.append(Edit(_FILE, anchor, Action.SUBSTITUTE, line * sled.words, _NOPS))
    return found


def _links(text: str, sled: Sled) -> list[Edit]:
    """Replace the register that a call from the sled links through, where it is written, kept and returned to."""
    name, _ = _generator(text)
    own, other = sled.link.upper(), "RA" if sled.link == "t0" else "T0"
    frame = ("is_struct_ops",)
    save = Statement(_TRAMPOLINE, "if", ("emit_sd",), frame)
    back = Statement(_TRAMPOLINE, "if", ("emit_jalr",), frame)
    leave = Statement(_TRAMPOLINE, "if", ("emit_jalr",), ("BPF_TRAMP_F_SKIP_FRAME",))
    end = r"(?s:.)*?\} else \{)"  # of the part for a trampoline that is called from a function's entry
    wanted: list[tuple[Anchor, str]] = [
        (Function(name), rf"(?<=is_call \? RV_REG_){other}(?= :)"),
        (save, rf"(?<=emit_sd\(RV_REG_SP, stack_size - 8, RV_REG_){other}(?=, ctx\);{end}"),
        (back, rf"(?<=emit_ld\(RV_REG_){other}(?=, stack_size - 8, RV_REG_SP, ctx\);{end}"),
        (leave, rf"(?<=emit_jalr\(RV_REG_ZERO, RV_REG_){other}(?=, 0, ctx\);\s*\Z)"),
    ]
    return [
        Edit(_FILE, anchor, Action.SUBSTITUTE, own, pattern)
        for anchor, pattern in wanted
        if any(re.search(pattern, span.of(text)) for span in anchor.places(text))
    ]


def _plan(tree: Tree) -> list[PatchPlan]:
    sled = kernel_sled(tree)
    values: dict[str, object] = {"words": sled.words, "link": sled.link}
    return [PatchPlan("bpf-sled/message.j2", tuple(_edits(tree, sled)), values)]


RECIPE = Recipe(
    name="bpf-sled",
    summary="the BPF JIT's sled, the bytes it skips and its link register are those of the kernel's ftrace",
    trees="with BPF trampolines that were made for another sled (6.12 set back to 16 bytes)",
    look=_look,
    plan=_plan,
    scheme="bpf-fentry",
)
