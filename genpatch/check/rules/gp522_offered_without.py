# SPDX-License-Identifier: GPL-2.0-or-later
"""GP522: tracers are offered where compiler, linker and other options allow them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ...emit.kbuild import assignments, kconfig_symbols
from ..assembly import names_used, routines_of
from ..change import Change, Texts
from ..frames import ARCH, ASSEMBLY, kconfig_of, taken
from ..kconfig import FILES
from ..layout import MAKEFILE, layouts
from ..model import Place, Problem
from ..registry import source_rule
from ..source import line_at
from ..structs import OFFSETS, offsets_of

_FLAG = "-fpatchable-function-entry"
_BASE = {"RISCV": True, "MMU": True, "64BIT": True, "XIP_KERNEL": False, "FUNCTION_TRACER": True}
_ARGS = "DYNAMIC_FTRACE_WITH_ARGS"


@source_rule("GP522", "offered-without")
def offered_without(change: Change) -> Iterable[Problem]:
    """arch/riscv/Kconfig offers a tracer where something that it needs is not there.

    ## What it checks
    By evaluating Kconfig: HAVE_DYNAMIC_FTRACE must be off for a compiler without -fpatchable-function-entry, if
    the Makefile asks for that flag, and for a GNU linker too old for clang's ordered sections, if it was;
    HAVE_FUNCTION_GRAPH_TRACER must be off without HAVE_DYNAMIC_FTRACE_WITH_ARGS, if return_to_handler uses what
    asm-offsets.c has only with it; CALL_OPS must be off with kCFI, if nops are put before functions; and
    FTRACE_MCOUNT_USE_PATCHABLE_FUNCTION_ENTRY must be on with DYNAMIC_FTRACE, if the Makefile asks for that flag.
    Only what the patch brings is reported.

    ## Why it matters
    The kernel does not build, does not link, panics at the first indirect call, or finds no function to trace.

    ## Remedy
    Keep the condition of the select, or of the symbol that it names.

    ## References
    arch/riscv/Kconfig; arch/riscv/Makefile; Documentation/kbuild/kconfig-language.rst.
    """
    if {*FILES, MAKEFILE, *ASSEMBLY, OFFSETS}.isdisjoint(change.paths):
        return []
    return change.new(_problems)


def _problems(texts: Texts) -> Iterator[Problem]:
    text, make = texts.read(ARCH), texts.read(MAKEFILE)
    if text is None or make is None:
        return
    kconfig = kconfig_of(texts)
    flags = [each for each in assignments(make, "CC_FLAGS_FTRACE") if _FLAG in each.value]
    flag = tuple(Place(MAKEFILE, line_at(make, each.span.start)) for each in flags)
    none = dict.fromkeys(re.findall(r"\$\(cc-option,-fpatchable-function-entry[^()]*\)", text), False)
    gcc = {**_BASE, **none, "CC_IS_GCC": True, "CC_IS_CLANG": False}
    dynamic = _places(text, "HAVE_DYNAMIC_FTRACE")
    if flags and dynamic and kconfig.value("HAVE_DYNAMIC_FTRACE", gcc) is not False:
        why = f"a compiler that does not know {_FLAG}, which the Makefile uses"
        yield Problem("flag", (*dynamic, *flag), f"HAVE_DYNAMIC_FTRACE is offered with {why}")
    old = dict.fromkeys(re.findall(r"\bLD_VERSION >= \d+", text), False)
    bfd = {**_BASE, **old, "CC_IS_CLANG": True, "CC_IS_GCC": False, "AS_IS_LLVM": True, "AS_IS_GNU": False}
    if flags and dynamic and kconfig.value("HAVE_DYNAMIC_FTRACE", {**bfd, "LD_IS_LLD": False}) is not False:
        why = "clang's assembler and a GNU linker that cannot merge its ordered sections"
        yield Problem("linker", (*dynamic, *flag), f"HAVE_DYNAMIC_FTRACE is offered with {why}")
    yield from _graph(texts, text)
    dynamic_on = {**_BASE, "DYNAMIC_FTRACE": True}
    if flags and _TABLE in kconfig.symbols and kconfig.value(_TABLE, dynamic_on) is False:
        why = f"{_FLAG} makes the table of sites, and {_TABLE} is off with DYNAMIC_FTRACE"
        yield Problem("table", (*_places(text, _TABLE), *flag, Place(ARCH, 1)), why)
    before = [each for each in layouts(texts) if each.before and dict(each.options).get(f"CONFIG_{_OPS}")]
    if before and _OPS in kconfig.symbols and kconfig.closed({**_BASE, "CFI": True, _OPS: True}) is not None:
        places = (*_places(text, f"HAVE_{_OPS}"), *before[0].named("makefile"))
        why = f"where {before[0].before} bytes of nops move the hash before a function"
        if places and kconfig.symbols.get("CFI") is not None and kconfig.symbols["CFI"].is_defined:
            yield Problem("kcfi", places, f"HAVE_{_OPS} is offered with CFI, {why}")


_OPS = "DYNAMIC_FTRACE_WITH_CALL_OPS"
_TABLE = "FTRACE_MCOUNT_USE_PATCHABLE_FUNCTION_ENTRY"


def _graph(texts: Texts, text: str) -> Iterator[Problem]:
    kconfig = kconfig_of(texts)
    name = "HAVE_FUNCTION_GRAPH_TRACER"
    without = {**_BASE, f"HAVE_{_ARGS}": False, _ARGS: False}
    places = _places(text, name)
    if not places or kconfig.value(name, without) is False:
        return
    offsets = texts.read(OFFSETS) or ""
    have, lack = (
        offsets_of(taken(offsets, {f"CONFIG_{_ARGS}": state, "CONFIG_DYNAMIC_FTRACE": True}), {}).keys()
        for state in (True, False)
    )
    graph = {"CONFIG_FUNCTION_GRAPH_TRACER": True, "CONFIG_DYNAMIC_FTRACE": False}
    path = ASSEMBLY[1]  # the other is for dynamic ftrace alone
    for routine in routines_of(taken(texts.read(path) or "", graph)).values():
        used = next(((word, insn) for word, insn in names_used(routine) if word in have - lack), None)
        if used is not None:
            why = f"HAVE_{_ARGS}, and {routine.name} uses {used[0]}, which asm-offsets.c has only with it"
            yield Problem("graph", (*places, Place(path, used[1].line)), f"{name} is offered without {why}")
            return


def _places(text: str, name: str) -> tuple[Place, ...]:
    """Return the selects of a symbol, and what they name as far as it is defined here."""
    from ...emit.anchors import KconfigLine  # loaded only where it is needed

    spans = KconfigLine("select", name).places(text)
    words = {word for span in spans for word in re.findall(r"\w+", span.of(text))}
    starts = [span.start for span in spans]
    for symbol in kconfig_symbols(text):
        if symbol.name in words - {name} and symbol.name.endswith(("_DYNAMIC_FTRACE", "_FTRACE")):
            starts += [match.start() + symbol.span.start for match in re.finditer(r"[^\n]+", symbol.span.of(text))]
    return tuple(Place(ARCH, line_at(text, start)) for start in starts)
