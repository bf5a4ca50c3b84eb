# SPDX-License-Identifier: GPL-2.0-or-later
"""GP535: more than one instruction of running code is rewritten while tasks may be preempted in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..change import Change, Texts
from ..ctree import trees_of
from ..layout import HEADER
from ..lengths import Use, all_uses, constants
from ..locks import text_sources
from ..model import Place, Problem
from ..registry import source_rule
from ..source import functions_of

_KCONFIG = "arch/riscv/Kconfig"
_WORD = 4
_GUARD = re.compile(r"\bif \(IS_ENABLED\(CONFIG_PREEMPT(?:ION)?\)\)\s*(?:\{\s*)?return\b")


@source_rule("GP535", "live-pair")
def live_pair(change: Change) -> Iterable[Problem]:
    """patch_text() rewrites more instructions of running code than before, and PREEMPTION can be chosen.

    ## What it checks
    In the C files of arch/riscv that the patch changes, the lengths of patch_text() calls where they are plain
    numbers: one of more than 4 bytes that is new, or longer. Not where arch/riscv/Kconfig selects
    ARCH_NO_PREEMPT, nor in a function that first returns if IS_ENABLED(CONFIG_PREEMPTION). What was there before
    is not reported.

    ## Why it matters
    patch_text() stops processors, not tasks: a task that was preempted between two of the instructions goes on with
    the first of the old ones and the second of the new ones.

    ## Remedy
    Rewrite one aligned instruction, and leave the others as they are for good; or wait for all tasks
    (synchronize_rcu_tasks()) between two patches of one instruction each.

    ## References
    bpf_arch_text_poke() in arch/riscv/net/bpf_jit_comp64.c; arch_optimize_kprobes() of other architectures.
    """
    if "select ARCH_NO_PREEMPT\n" in (change.after.read(_KCONFIG) or ""):
        return
    for path, _, _ in text_sources(change):
        uses = _long(change.after, path)
        for use in _more(_long(change.before, path), uses) if uses else ():
            text = f"{use.function}() rewrites {use.takes} bytes of running code as one: "
            text += "a task preempted between the instructions runs some of each"
            yield Problem(f"{use.function} {use.takes}", _places(change, path, use), text)


def _more(old: list[Use], new: list[Use]) -> list[Use]:
    """Return the calls that have no counterpart before, as long or longer: in the same function, or in another."""
    left = list(old)
    rest = [use for use in new if not _taken(left, use, use.function)]
    return [use for use in rest if not _taken(left, use, "")]


def _taken(left: list[Use], use: Use, function: str) -> bool:
    """Take a call as long as `use` out of `left`, one of a function if that is named; tells whether there was one."""
    for other in left:
        if (other.takes or 0) >= (use.takes or 0) and function in ("", other.function):
            left.remove(other)
            return True
    return False


def _places(change: Change, path: str, use: Use) -> tuple[Place, ...]:
    """Return the call, then the macro that its length may come from."""
    text = change.after.read(path) or ""
    added = sorted(change.added.get(path, ()))
    lines = text.split("\n")
    macros = [line for line in added if line <= len(lines) and lines[line - 1].startswith("#define")]
    return (Place(path, use.line), *(Place(path, line) for line in macros))


def _long(texts: Texts, path: str) -> list[Use]:
    text = texts.read(path)
    if text is None or "patch_text(" not in text:
        return []
    macros = constants(texts.read(HEADER), text)
    uses = all_uses(trees_of(text), macros)
    long = [use for use in uses if use.callee == "patch_text" and (use.takes or 0) > _WORD]
    return [use for use in long if not _returns_first(text, use.function)]


def _returns_first(text: str, function: str) -> bool:
    """Tell whether a function goes back before it patches, in a kernel whose tasks are preempted."""
    found = functions_of(text).get(function)
    if found is None:
        return False
    guard = _GUARD.search(found.body)
    return guard is not None and guard.start() < found.body.find("patch_text(")
