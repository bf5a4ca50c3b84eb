# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf_arch_text_poke() in steps that a preempted task may be between."""

from __future__ import annotations

import re

from ..anchors import Function, locate
from ..edits import Action, Edit
from ..recipe import PatchPlan, State, Verdict
from ..render import code
from ..tree import Tree

__all__ = ["look_at_poke", "poke_plans"]

_FILE, _POKE = "arch/riscv/net/bpf_jit_comp64.c", "bpf_arch_text_poke"
_NEEDS = "kernel/bpf/Kconfig"
_WRITES = (
    r"\tcpus_read_lock\(\);\n\tmutex_lock\(&text_mutex\);\n"
    r"\tif \(memcmp\(ip, new_insns, RV_FENTRY_NBYTES\)\)\n"
    r"\t\tret = patch_text\(ip, new_insns, RV_FENTRY_NBYTES\);\n"
    r"\tmutex_unlock\(&text_mutex\);\n\tcpus_read_unlock\(\);\n"
)


def look_at_poke(tree: Tree) -> State:
    """Tell how a tree pokes into BPF programs."""
    if not tree.has(_FILE) or not Function(_POKE).places(tree.read(_FILE)):
        return State(Verdict.NOT, "the BPF JIT has no bpf_arch_text_poke(): nothing is poked into a sled")
    text = tree.read(_FILE)
    if "synchronize_rcu_tasks(" in text:
        return State(Verdict.THERE, "the BPF JIT waits for tasks when it pokes")
    if not re.search(_WRITES, locate(text, Function(_POKE), _FILE).of(text)):
        return State(Verdict.NOT, "bpf_arch_text_poke() does not write its whole sled by one patch_text()")
    if not tree.has(_NEEDS) or not re.search(r"\bselect (?:NEED_)?TASKS_RCU\b", tree.read(_NEEDS)):
        return State(Verdict.NOT, f"{_NEEDS} does not select what waits for tasks (NEED_TASKS_RCU)")
    return State(Verdict.CAN, "bpf_arch_text_poke() writes two instructions that a preempted task may be between")


def poke_plans(tree: Tree) -> list[PatchPlan]:
    """Return the patch for a tree that it can be made for; none for any other."""
    if look_at_poke(tree).verdict is not Verdict.CAN:
        return []
    edits = (
        Edit(_FILE, Function(_POKE), Action.SUBSTITUTE, code("bpf-poke/call.c.j2"), _WRITES),
        Edit(_FILE, Function(_POKE), Action.BEFORE, code("bpf-poke/sled.c.j2")),
    )
    return [PatchPlan("bpf-poke/message.j2", edits)]
