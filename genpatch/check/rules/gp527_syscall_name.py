# SPDX-License-Identifier: GPL-2.0-or-later
"""GP527: syscall tracing finds the functions by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..layout import HEADER
from ..model import Place, Problem
from ..registry import source_rule
from ..source import constant, functions_of, line_at, macros_of

_WRAPPERS = "arch/riscv/include/asm/syscall_wrapper.h"
_NAME = "arch_syscall_match_sym_name"
_PREFIX = re.compile(r"\b(\w+?_)sys(?:_ni_syscall\b|##\w+\()")
_SKIPS = re.compile(r"\bstrcmp\(\s*sym\s*\+\s*([^,]+?)\s*,")
_PLAIN = re.compile(r"\bstrcmp\(\s*sym\s*,")


@source_rule("GP527", "syscall-name")
def syscall_name(change: Change) -> Iterable[Problem]:
    """Syscall tracing skips more or fewer letters of a name than are before ``sys_``.

    ## What it checks
    What arch_syscall_match_sym_name() in asm/ftrace.h skips, against the prefix that asm/syscall_wrapper.h
    gives to the functions; where there is a wrapper header and no such function, against nothing skipped. Only
    what the patch brings is reported.

    ## Why it matters
    No name matches, and the events of the group ``syscalls`` are missing.

    ## Remedy
    Skip ``sizeof("__prefix_") - 1`` letters, in the patch that changes the prefix.

    ## References
    arch/riscv/include/asm/ftrace.h; arch/riscv/include/asm/syscall_wrapper.h; kernel/trace/trace_syscalls.c.
    """
    if {HEADER, _WRAPPERS}.isdisjoint(change.paths):
        return []
    return change.new(_problems)


def _problems(texts: Texts) -> Iterator[Problem]:
    header, wrappers = texts.read(HEADER), texts.read(_WRAPPERS)
    if header is None or wrappers is None or (prefix := _prefix(wrappers)) is None:
        return
    name, at = prefix
    there = Place(_WRAPPERS, line_at(wrappers, at))
    function = functions_of(header).get(_NAME)
    if function is None:
        text = f"functions of syscalls are named {name}sys_..., and asm/ftrace.h has no {_NAME}()"
        yield Problem("none", (there, Place(HEADER, 1)), text)
        return
    skipped = _skipped(header, function.body)
    if skipped is None or skipped[0] == len(name):
        return
    body = re.search(rf"\b{_NAME}\b", header)
    line = next((n for n, each in enumerate(header.split("\n"), 1) if "strcmp(" in each and n > function.line), None)
    places = (Place(HEADER, line or function.line), there, Place(HEADER, function.line))
    assert body is not None
    yield Problem(f"{skipped[0]} {name}", places, f"{_NAME}() skips {skipped[0]} letters, {name} has {len(name)}")


def _prefix(text: str) -> tuple[str, int] | None:
    """Return what the names of all functions start with, and where that is said; None if it cannot be told."""
    found = [(match[1], match.start()) for match in _PREFIX.finditer(text) if "compat" not in match[1]]
    named = [each for each in found if each[0].startswith("__") and not each[0].startswith(("__se_", "__do_"))]
    return named[0] if named and len({name for name, _ in named}) == 1 else None


def _skipped(header: str, body: str) -> tuple[int] | None:
    if _PLAIN.search(body):
        return (0,)
    skips = _SKIPS.findall(body)
    if len(skips) != 1:
        return None
    text = re.sub(r"strlen\(\s*\"([^\"]*)\"\s*\)", lambda match: str(len(match[1])), skips[0])
    names = {name: value for name, (value, _) in macros_of(header).items()}
    value = constant(text, names, {})
    return (value,) if value is not None else None
