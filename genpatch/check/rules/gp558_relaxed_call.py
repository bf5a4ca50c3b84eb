# SPDX-License-Identifier: GPL-2.0-or-later
"""GP558: a call that is patched keeps its two instructions through the linker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..frames import ASSEMBLY
from ..layout import FTRACE, MAKEFILE
from ..model import Place, Problem
from ..registry import source_rule
from ..source import code_of, line_at

_FLAGS = re.compile(r"^[ \t]*(?:LDFLAGS_vmlinux|KBUILD_LDFLAGS)[ \t]*[:+]?=[^\n]*--no-relax(?![\w-])", re.M)
_LABEL = re.compile(
    r"(?:\bSYM_INNER_LABEL\((\w+),[^)\n]*\)|^(\w+):)[ \t]*\n(?:[ \t]*\.glob[a]?l[ \t]+\w+[ \t]*\n)*[ \t]*call[ \t]",
    re.M,
)


@source_rule("GP558", "relaxed-call")
def relaxed_call(change: Change) -> Iterable[Problem]:
    """The linker may make one instruction of a call that ftrace patches as two.

    ## What it checks
    Labels in mcount-dyn.S that stand at a ``call`` and whose address ftrace.c takes, without ``.option norelax``
    in the file, while the Makefile no longer gives --no-relax to the linker.

    ## Why it matters
    The call's target is near, so the linker shortens auipc and jalr to one jal. ftrace then writes eight bytes,
    the last four of them over the next instruction of its own trampoline.

    ## Remedy
    Keep ``LDFLAGS_vmlinux += --no-relax`` with dynamic ftrace, or put ``.option norelax`` around the call.

    ## References
    arch/riscv/Makefile; arch/riscv/kernel/mcount-dyn.S; the RISC-V ELF psABI, "Linker Relaxation".
    """
    if {MAKEFILE, FTRACE, ASSEMBLY[0]}.isdisjoint(change.paths):
        return []
    return change.new(_problems)


def _problems(texts: Texts) -> Iterator[Problem]:
    make, source, assembly = (texts.read(path) or "" for path in (MAKEFILE, FTRACE, ASSEMBLY[0]))
    if not make or _FLAGS.search(make) or re.search(r"^\s*\.option\s+norelax\b", assembly, re.M):
        return
    taken = set(re.findall(r"&(\w+)", code_of(source)))
    for match in _LABEL.finditer(assembly):
        name = match[1] or match[2]
        if name in taken:
            at = line_at(make, max(0, make.find("CONFIG_DYNAMIC_FTRACE")))
            text = f"the linker may shorten the call at {name}, which ftrace.c patches: --no-relax is not given"
            yield Problem(name, (Place(MAKEFILE, at), Place(ASSEMBLY[0], line_at(assembly, match.start()))), text)
