# SPDX-License-Identifier: GPL-2.0-or-later
"""GP524: what is used in a configuration is there in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..change import Change, Texts
from ..frames import (
    ASSEMBLY,
    RELATED,
    Found,
    asked_of,
    asked_options,
    concerns,
    configurations,
    fresh,
    joined,
    runs,
    taken,
)
from ..layout import FTRACE, HEADER
from ..model import Place, Problem
from ..preprocess import Taken
from ..registry import source_rule
from ..source import functions_of, line_at
from ..structs import OFFSETS

_VARIABLE = re.compile(r"^static\s[^;{}()=]*?\b(\w+)(?:\[[^\]]*\])?\s*(?:=|;)", re.M)
_DECLARED = re.compile(r"^(?:extern\s+)?[A-Za-z_][\w \t*]*?\b(\w+)\([^;{}]*\)\s*;", re.M)
_MACRO = re.compile(r"^[ \t]*\.macro[ \t]+(\w+)", re.M)
_LABEL = re.compile(r"^[ \t]*(?:SYM_INNER_LABEL\w*\(\s*(\w+)|(\.?[A-Za-z_]\w*):)", re.M)
_NAME = re.compile(r"[.\w$]+")
_WORD = re.compile(r"(?<!->)(?<!\.)\b[A-Za-z_]\w*")


@source_rule("GP524", "one-sided-guard")
def one_sided_guard(change: Change) -> Iterable[Problem]:
    """Something is used in a configuration in which the preprocessor leaves it out.

    ## What it checks
    In every configuration that Kconfig allows: the static functions, variables and macros of asm/ftrace.h and
    kernel/ftrace.c that these two files use; the macros and labels of mcount-dyn.S and mcount.S that these use;
    the constants of asm-offsets.c that they use. What is defined in one configuration must be so wherever it is
    used. Only what the patch brings is reported.

    ## Why it matters
    The kernel does not build in a configuration that nobody has tried.

    ## Remedy
    Give the other branch of the conditional a stub, or put the use under the same condition.

    ## References
    arch/riscv/include/asm/ftrace.h; arch/riscv/kernel/ftrace.c; arch/riscv/kernel/mcount-dyn.S.
    """
    if {FTRACE, *RELATED}.isdisjoint(change.paths):
        return []
    found: list[Problem] = []
    of_c = asked_options(change.before, (FTRACE, HEADER)) | asked_options(change.after, (FTRACE, HEADER))
    for problems, asked in ((_in_c, of_c), (_in_assembly, asked_of(change))):
        if problems is _in_assembly and not concerns(change):
            continue
        after = problems(change.after, asked)
        if after:
            new = fresh(problems(change.before, asked), after, configurations(change.before, asked))
            found += joined(new, configurations(change.after, asked))
    return found


def _in_c(texts: Texts, asked: frozenset[str]) -> list[Found]:
    source, header = texts.read(FTRACE), texts.read(HEADER)
    if source is None or header is None:
        return []
    views = [(each, taken(header, each), taken(source, each)) for each in configurations(texts, asked)]
    every = {name for _, *both in views for one in both for name in _defined(one)}
    found: list[Found] = []
    for options, *both in views:
        there = {name for one in both for name in (*_defined(one), *_declared(one))}
        for path, one in zip((HEADER, FTRACE), both, strict=True):
            for name, line in _used(one).items():
                if name in every and name not in there:
                    text = f"{name} is used where it is not defined"
                    found.append((f"{path} {name}", (Place(path, line), *_at(path, texts, name)), text, options))
    return found


def _at(path: str, texts: Texts, name: str) -> Iterator[Place]:
    """Yield where a name is defined at all."""
    for file in (HEADER, FTRACE):
        text = texts.read(file) or ""
        for match in re.finditer(rf"^(?:[ \t]*#[ \t]*define[ \t]+{name}\b|static[^;\n]*\b{name}\b)", text, re.M):
            yield Place(file, line_at(text, match.start()))


@lru_cache(maxsize=256)
def _defined(one: Taken) -> frozenset[str]:
    """Return what a text alone knows: static functions and variables, macros."""
    functions = {name for name, each in functions_of(one.text).items() if each.is_static}
    return frozenset(functions | set(_VARIABLE.findall(one.text)) | one.defined_at.keys())


@lru_cache(maxsize=256)
def _declared(one: Taken) -> frozenset[str]:
    return frozenset((*_DECLARED.findall(one.text), *functions_of(one.text)))


@lru_cache(maxsize=256)
def _used(one: Taken) -> dict[str, int]:
    """Return the words in the functions of a text, with the line of the first use."""
    found: dict[str, int] = {}
    for function in functions_of(one.text).values():
        for body in function.bodies:
            start = one.text.find(body)
            local = set(re.findall(r"\b\w+[ \t*]+(\w+)\s*(?:[=;,]|\[)", body))
            for match in _WORD.finditer(body):
                if match[0] not in found and match[0] not in local:
                    line = one.text.count("\n", 0, start + match.start()) + 1 if start >= 0 else function.line
                    found[match[0]] = line
    return found


def _in_assembly(texts: Texts, asked: frozenset[str]) -> list[Found]:
    found: list[Found] = []
    known = runs(texts, asked)
    constants = {name for run in known for name in run.offsets}
    names = {path: _names(texts.read(path) or "") for path in ASSEMBLY}
    for run in known:
        for odd in run.flow.odd:
            words, _, place = odd.partition(" at line ")
            lines = (run.place(int(place)),) if place.isdecimal() else ()
            for word in _NAME.findall(words):
                if word in constants - run.offsets.keys():
                    why = f"{run.routine.name} uses {word}, which {OFFSETS} does not make there"
                elif word in names[run.path]:
                    why = f"{run.routine.name} uses {word}, which is not defined there"
                else:
                    continue
                found.append((f"{run.routine.name} {word}", (*lines, run.place(run.routine.line)), why, run.options))
    return found


@lru_cache(maxsize=16)
def _names(text: str) -> frozenset[str]:
    return frozenset((*_MACRO.findall(text), *(one or other for one, other in _LABEL.findall(text))))
