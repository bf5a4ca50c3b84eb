# SPDX-License-Identifier: GPL-2.0-or-later
"""GP523: functions stand where their sites can be written at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ..change import Change, Texts
from ..ctree import same_code
from ..frames import ARCH, FTRACE, kconfig_of, taken
from ..kconfig import FILES, Kconfig
from ..layout import CALL_OPS, COUNTED, HEADER, MAKEFILE, Layout, layouts
from ..model import Place, Problem
from ..offsets import ROOTS, Touch, touches
from ..registry import source_rule
from ..source import calls, code_of, line_at

_BASE = {"RISCV": True, "MMU": True, "64BIT": True, "XIP_KERNEL": False, "FUNCTION_TRACER": True}
_SIZES = (64, 32, 16, 8, 4)
_FLAGS = re.compile(r"-f(?:min-function-alignment|align-functions)=(\d{1,3})")
_STOPS = frozenset(("stop_machine", "stop_machine_cpuslocked", "patch_text"))


@source_rule("GP523", "function-alignment")
def function_alignment(change: Change) -> Iterator[Problem]:
    """Functions need not stand on the boundary that their sites need to be written at once.

    ## What it checks
    In every configuration, what ftrace.c writes while other harts run: 4 bytes need a multiple of 4, a pointer
    before a function needs a multiple of 8. Functions are on a multiple of 2 with RISCV_ISA_C and of 4 without,
    unless Kconfig selects FUNCTION_ALIGNMENT_4B, _8B or more, or the Makefile has a flag for it; and gcc keeps
    that everywhere only with -fmin-function-alignment (CC_HAS_MIN_FUNCTION_ALIGNMENT). Only what the patch
    brings is reported.

    ## Why it matters
    A store across a boundary is two stores: another hart runs half of an instruction, or calls through half of
    a pointer.

    ## Remedy
    Select the alignment under the condition under which the site needs it, and offer dynamic ftrace to gcc only
    with CC_HAS_MIN_FUNCTION_ALIGNMENT.

    ## References
    arch/riscv/Kconfig; FUNCTION_ALIGNMENT in arch/Kconfig; the RISC-V extension Ziccif.
    """
    others = {HEADER, MAKEFILE, *FILES}
    if {FTRACE, *others}.isdisjoint(change.paths):
        return
    if others.isdisjoint(change.paths) and _asks_the_same(change):
        return
    same: dict[str, list[Problem]] = {}
    for each in change.new(_problems):
        same.setdefault(each.message.split("\0")[0], []).append(each)
    for message, group in same.items():
        names = "; ".join(each.message.split("\0")[1] for each in group)
        places = tuple(dict.fromkeys(place for each in group for place in each.places))
        yield Problem(group[0].key, places, f"{message} ({names})")


def _asks_the_same(change: Change) -> bool:
    """Tell whether ftrace.c asks for the same: on what functions must stand in each configuration, what it stops."""
    both = [change.before.read(FTRACE) or "", change.after.read(FTRACE) or ""]
    stops = [_STOPS & {name for name, _ in calls(code_of(source))} for source in both]
    if stops[0] != stops[1]:
        return False
    return same_code(both[0], both[1], (*ROOTS, *COUNTED)) or _wants(change.before) == _wants(change.after)


def _wants(texts: Texts) -> list[object]:
    source = texts.read(FTRACE) or ""
    needs = ((layout.options, _needed(texts, source, layout)) for layout in layouts(texts))
    return [(options, need[0] if need is not None else 0) for options, need in needs]


def _problems(texts: Texts) -> Iterator[Problem]:
    source, text, make = texts.read(FTRACE), texts.read(ARCH), texts.read(MAKEFILE)
    if source is None or text is None or make is None or _STOPS & {name for name, _ in calls(code_of(source))}:
        return
    kconfig = kconfig_of(texts)
    by_flag = max((int(size) for size in _FLAGS.findall(make)), default=0)
    for layout in layouts(texts):
        options = dict(layout.options)
        need = _needed(texts, source, layout)
        natural = 2 if options.get("CONFIG_RISCV_ISA_C", True) else 4
        if need is None or max(natural, by_flag) >= need[0]:
            continue
        assumed = {**_BASE, "DYNAMIC_FTRACE": True, **{n.removeprefix("CONFIG_"): on for n, on in options.items()}}
        known = kconfig.closed(assumed)
        if known is None:
            continue
        yield from _judged(text, kconfig, known, (need[0], natural), need[1], layout)


def _judged(
    text: str, kconfig: Kconfig, known: dict[str, bool], sizes: tuple[int, int], lines: tuple[int, ...], layout: Layout
) -> Iterator[Problem]:
    need, natural = sizes
    given = next((size for size in _SIZES if kconfig.value(f"FUNCTION_ALIGNMENT_{size}B", known) is True), natural)
    what = "the pointer before a function" if need > 4 else "an instruction of a site"
    places = _places(text, lines, layout)
    if given < need:
        how = f"{what} needs functions on a multiple of {need}, Kconfig asks for {given}"
        yield Problem(f"align {need} {layout.name}", places, f"{how}\0{layout.name}")
        return
    gcc = {**_BASE, "CC_IS_GCC": True, "CC_IS_CLANG": False}
    gcc |= {name.removeprefix("CONFIG_"): on for name, on in layout.options if "FTRACE" not in name}
    for name in ("CC_HAS_MIN_FUNCTION_ALIGNMENT", "CC_HAS_SANE_FUNCTION_ALIGNMENT"):
        gcc[name] = False
    if kconfig.value("HAVE_DYNAMIC_FTRACE", gcc) is not False:
        how = (
            f"{what} needs functions on a multiple of {need}, which gcc does not keep without -fmin-function-alignment"
        )
        yield Problem(f"gcc {need} {layout.name}", places, f"{how}\0{layout.name}")


def _needed(texts: Texts, source: str, layout: Layout) -> tuple[int, tuple[int, ...]] | None:
    """Return on what functions must stand in a configuration, and the lines of ftrace.c that say so."""
    if layout.adjust is None:
        return None
    options = {**dict(layout.options), "CONFIG_DYNAMIC_FTRACE": True}
    header = taken(texts.read(HEADER) or "", options)
    seen = touches(taken(source, options), header.macros, layout.adjust - layout.before)
    literal = next((each for each in seen if each.kind == "literal" and each.size == 8), None)
    if literal is not None and dict(layout.options).get(CALL_OPS, True):
        return 8, literal.lines
    word = next((each for each in seen if _is_live_word(each)), None)
    return (4, word.lines) if word is not None else None


def _is_live_word(each: Touch) -> bool:
    return each.kind == "write" and each.root == "ftrace_make_call" and each.size == 4


def _places(text: str, lines: tuple[int, ...], layout: Layout) -> tuple[Place, ...]:
    return (*_in_kconfig(text), *layout.named("makefile"), *(Place(FTRACE, line) for line in lines))


@lru_cache(maxsize=4)
def _in_kconfig(text: str) -> tuple[Place, ...]:
    names = (*(f"FUNCTION_ALIGNMENT_{size}B" for size in _SIZES), "HAVE_DYNAMIC_FTRACE")
    patterns = [*(rf"^[ \t]+select[ \t]+{name}\b" for name in names), r"\bCC_HAS_MIN_FUNCTION_ALIGNMENT\b"]
    matches = (match for pattern in patterns for match in re.finditer(pattern, text, re.M))
    return tuple(Place(ARCH, line_at(text, match.start())) for match in matches)
