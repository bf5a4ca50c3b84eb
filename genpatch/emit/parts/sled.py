# SPDX-License-Identifier: GPL-2.0-or-later
"""The sled of a tree's own ftrace, as its Makefile and its ftrace.c have it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..anchors import Function, locate
from ..csource import parse
from ..errors import EmitError
from ..kbuild import assignments
from ..tree import Tree

__all__ = ["FTRACE", "MAKEFILE", "Sled", "kernel_sled"]

FTRACE = "arch/riscv/kernel/ftrace.c"
MAKEFILE = "arch/riscv/Makefile"


@dataclass(frozen=True)
class Sled:
    """What ftrace writes into a function.

    Args:
        words: instructions of 4 bytes behind the function's entry.
        link: register that a call from there links through: ``ra`` or ``t0``.
    """

    words: int
    link: str


def kernel_sled(tree: Tree) -> Sled:
    """Return the sled that the compiler is asked for and the link register that ftrace writes.

    Raises:
        EmitError: the branches of the Makefile, or of ftrace.c, do not agree.
    """
    sizes = set()
    for each in assignments(tree.read(MAKEFILE), "CC_FLAGS_FTRACE"):
        if found := re.search(r"-fpatchable-function-entry=(\d{1,4})(?:,(\d{1,4}))?", each.value):
            # the innermost conditional says how long a nop is
            is_short = each.conditions[-1:] in [("ifeq ($(CONFIG_RISCV_ISA_C),y)",), ("ifdef CONFIG_RISCV_ISA_C",)]
            sizes.add((int(found[1]) - int(found[2] or 0)) * (2 if is_short else 4))
    if len(sizes) != 1 or (size := sizes.pop()) % 4:
        raise EmitError(f"{MAKEFILE}: CC_FLAGS_FTRACE: expected one length of the sled, got {sorted(sizes) or 'none'}")
    text = tree.read(FTRACE)
    body = locate(text, Function("ftrace_make_call"), FTRACE).of(text)
    helper = parse(text).functions("__ftrace_modify_call")
    links = set(re.findall(r"\b(?:make_call|to_jalr)_(t0|ra)\b", body))
    links = links or {link for span in helper for link in re.findall(r"\bto_jalr_(t0|ra)\b", span.of(text))}
    if len(links) != 1:
        raise EmitError(f"{FTRACE}: ftrace_make_call(): expected one link register, got {sorted(links) or 'none'}")
    return Sled(size // 4, links.pop())
