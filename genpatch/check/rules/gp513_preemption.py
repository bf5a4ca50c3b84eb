# SPDX-License-Identifier: GPL-2.0-or-later
"""GP513: a call of several instructions, patched under a task that was preempted in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ...emit.kbuild import kconfig_symbols
from ..change import Change, Texts
from ..layout import HEADER
from ..model import Place, Problem
from ..registry import source_rule
from ..source import constant, line_at, macros_of

_KCONFIG = "arch/riscv/Kconfig"
_GUARD = re.compile(r"!PREEMPT(?:ION)?\b")
_WORD = 4


@source_rule("GP513", "preempted-pair")
def preempted_pair(change: Change) -> Iterable[Problem]:
    """Several instructions are patched as one, and the tracer is offered with PREEMPTION.

    ## What it checks
    MCOUNT_INSN_SIZE of asm/ftrace.h, and whether HAVE_FUNCTION_TRACER or HAVE_DYNAMIC_FTRACE in
    arch/riscv/Kconfig are selected only without PREEMPTION where it is more than one instruction.
    Only what the patch brings is reported.

    ## Why it matters
    stop_machine() stops processors, not tasks: a task that was preempted between auipc and jalr goes on with one
    of the old pair and one of the new, and jumps to a place that is neither.

    ## Remedy
    Patch one instruction, or keep ``if !PREEMPTION``; ``genpatch emit no-preempt`` puts it there.

    ## References
    HAVE_FUNCTION_TRACER in arch/riscv/Kconfig; arch/riscv/include/asm/ftrace.h.
    """
    return change.new(_problems)


def _problems(texts: Texts) -> Iterator[Problem]:
    header, text = texts.read(HEADER), texts.read(_KCONFIG)
    if header is None or text is None:
        return
    macros = macros_of(header)
    size = constant(macros.get("MCOUNT_INSN_SIZE", ("", 0))[0], {n: v for n, (v, _) in macros.items()}, {})
    if size is None or size <= _WORD:
        return
    tracer, dynamic = (list(_selects(text, name)) for name in ("HAVE_FUNCTION_TRACER", "HAVE_DYNAMIC_FTRACE"))
    if not tracer or all(_GUARD.search(each[0]) for each in tracer):
        return
    if dynamic and all(_GUARD.search(each[0]) for each in dynamic):
        return
    places = (Place(HEADER, macros["MCOUNT_INSN_SIZE"][1]), Place(_KCONFIG, line_at(text, tracer[0].start())))
    yield Problem(
        "preempted",
        places,
        f"{size} bytes are patched as one, and HAVE_FUNCTION_TRACER is offered with PREEMPTION: "
        "a task preempted between the instructions runs one of each",
    )


def _selects(text: str, name: str) -> Iterator[re.Match[str]]:
    """Yield the lines that select a symbol, without their indent, inside of symbols of a Kconfig file."""
    found = list(re.finditer(rf"(?<=[ \t])select[ \t]+{name}(?!\w)[^\n]*", text)) if name in text else []
    spans = [symbol.span for symbol in kconfig_symbols(text)] if found else []
    for match in found:
        starts = text.rfind("\n", 0, match.start()) + 1
        is_alone = not text[starts : match.start()].strip(" \t")
        if is_alone and any(span.start <= starts and match.start() < span.end for span in spans):
            yield match
