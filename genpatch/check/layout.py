# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of a patch site as each file of the source has it, in each configuration."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..emit.kbuild import Assignment, assignments
from .change import Texts
from .model import Place
from .source import constant, functions_of, line_at, macros_of

__all__ = ["BPF", "CALL_OPS", "COUNTED", "FTRACE", "HEADER", "MAKEFILE", "Layout", "layouts"]

MAKEFILE = "arch/riscv/Makefile"
HEADER = "arch/riscv/include/asm/ftrace.h"
FTRACE = "arch/riscv/kernel/ftrace.c"
BPF = "arch/riscv/net/bpf_jit_comp64.c"
CALL_OPS = "CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS"
COUNTED = ("ftrace_call_adjust", "arch_ftrace_get_symaddr")
"""Functions that count bytes of a sled."""
_COMPRESSED = "CONFIG_RISCV_ISA_C"
_FIXED = {"CONFIG_DYNAMIC_FTRACE": True, "CONFIG_FUNCTION_TRACER": True, "CONFIG_64BIT": True}
_NOPS = re.compile(r"-fpatchable-function-entry=(\d{1,4})(?:,(\d{1,4}))?")
_TEST = re.compile(
    r"(?P<word>ifdef|ifndef) (?P<name>CONFIG_\w+)$|(?P<eq>ifeq|ifneq) \(\$\((?P<var>CONFIG_\w+)\),(?P<value>y?)\)$"
)
_RETURN = re.compile(r"(?:\bif \(IS_ENABLED\((\w+)\)\)\s*(?:\{\s*)?)?\breturn ([^;]+);")


class Layout(NamedTuple):
    """One configuration.

    Args:
        options: the options that matter, and whether they are on.
        before: bytes of nops before a function's entry.
        after: bytes of nops behind it.
        adjust: what ftrace_call_adjust() adds; None if it cannot be told.
        back: what arch_ftrace_get_symaddr() takes off; None if there is no such function, or it cannot be told.
        auipc: MCOUNT_AUIPC_SIZE; None if there is none.
        sled: bytes that ftrace writes behind the entry; None if it cannot be told.
        bpf: bytes that the BPF JIT takes for a sled; None if it has no such constant.
        places: of what was read: ``makefile``, ``adjust``, ``back``, ``bpf``, ``auipc``, ``jalr``, ``insn``.
    """

    options: tuple[tuple[str, bool], ...]
    before: int
    after: int
    adjust: int | None
    back: int | None
    auipc: int | None
    sled: int | None
    bpf: int | None
    places: Mapping[str, Place]

    @property
    def name(self) -> str:
        """The configuration in words."""
        return ", ".join(f"{name.removeprefix('CONFIG_')}={'y' if on else 'n'}" for name, on in self.options)

    def named(self, *keys: str) -> tuple[Place, ...]:
        """Return the places of some numbers, those that are there."""
        return tuple(self.places[key] for key in keys if key in self.places)


def _test(condition: str) -> tuple[str, bool] | None:
    """Return (option, state) that one branch of a conditional asks for; None if it is not so plain."""
    is_else = condition.startswith("else of ")
    match = _TEST.match(condition.removeprefix("else of "))
    if match is None:
        return None
    if match["name"]:
        return match["name"], (match["word"] == "ifdef") != is_else
    return match["var"], ((match["eq"] == "ifeq") == (match["value"] == "y")) != is_else


def layouts(texts: Texts) -> Sequence[Layout]:
    """Return the layout of each configuration; none where the Makefile is more than this understands."""
    return _layouts(*(texts.read(path) for path in (MAKEFILE, HEADER, FTRACE, BPF)))


@lru_cache(maxsize=8)
def _layouts(make: str | None, header: str | None, source: str | None, jit: str | None) -> Sequence[Layout]:
    return tuple(_each(make, header, source, jit))


def _each(make: str | None, header: str | None, source: str | None, jit: str | None) -> Iterator[Layout]:
    if make is None or header is None or source is None:
        return
    flags = [each for each in assignments(make, "CC_FLAGS_FTRACE") if _NOPS.search(each.value)]
    tests = [[_test(condition) for condition in each.conditions] for each in flags]
    if not flags or any(test is None for row in tests for test in row):
        return
    rows = [[test for test in row if test is not None] for row in tests]
    asked = {name for row in rows for name, _ in row}
    bodies = "".join(
        functions_of(text)[name].body for text in (source, header) for name in COUNTED if name in functions_of(text)
    )
    asked |= set(re.findall(r"\bIS_ENABLED\((CONFIG_\w+)\)", bodies)) | {_COMPRESSED}
    names = sorted(asked - set(_FIXED))
    if len(names) > 6:
        return
    for states in itertools.product((True, False), repeat=len(names)):
        options = dict(zip(names, states, strict=True))
        known = options | _FIXED
        chosen = [flag for flag, row in zip(flags, rows, strict=True) if all(known[n] == on for n, on in row)]
        if chosen:
            yield _layout(options, chosen[-1], make, header, source, jit)


def _layout(
    options: Mapping[str, bool], flag: Assignment, make: str, header: str, source: str, jit: str | None
) -> Layout:
    match = _NOPS.search(flag.value)
    assert match is not None
    size = 2 if options[_COMPRESSED] else 4
    before = int(match[2] or 0) * size
    macros = macros_of(header)
    values = {name: value for name, (value, _) in macros.items()}
    places = {"makefile": Place(MAKEFILE, line_at(make, flag.span.start))}

    def number(name: str) -> int | None:
        return constant(values[name], values, options) if name in values else None

    auipc, jalr, whole = (number(f"MCOUNT_{name}_SIZE") for name in ("AUIPC", "JALR", "INSN"))
    sled = auipc + jalr if auipc is not None and jalr is not None else whole
    for name in ("AUIPC", "JALR", "INSN"):
        if f"MCOUNT_{name}_SIZE" in macros:
            places[name.lower()] = Place(HEADER, macros[f"MCOUNT_{name}_SIZE"][1])
    found: dict[str, int | None] = {"adjust": None, "back": None}
    for key, name, argument in (
        ("adjust", "ftrace_call_adjust", "addr"),
        ("back", "arch_ftrace_get_symaddr", "fentry_ip"),
    ):
        for path, text in ((FTRACE, source), (HEADER, header)):
            function = functions_of(text).get(name)
            if function is not None:
                places[key] = Place(path, function.line)
                found[key] = _returned(function.bodies[0], argument, values, options)
                break
    bpf = None
    if jit is not None and "RV_FENTRY_NINSNS" in (known := macros_of(jit)):
        count = constant(known["RV_FENTRY_NINSNS"][0], {}, options)
        bpf = None if count is None else count * 4
        places["bpf"] = Place(BPF, known["RV_FENTRY_NINSNS"][1])
    after = (int(match[1]) * size) - before
    back = None if found["back"] is None else -found["back"]
    return Layout(tuple(options.items()), before, after, found["adjust"], back, auipc, sled, bpf, places)


def _returned(body: str, argument: str, values: Mapping[str, str], options: Mapping[str, bool]) -> int | None:
    """Return what a function of few returns gives for 0; None if it is not so plain."""
    if "#" in body or len(re.findall(r"\breturn\b", body)) != len(_RETURN.findall(body)) or "else" in body:
        return None
    if len(re.findall(r"\bif\b", body)) != sum(bool(option) for option, _ in _RETURN.findall(body)):
        return None
    for option, value in _RETURN.findall(body):
        if not option or options.get(option, False):
            return constant(value, {**values, argument: "0"}, options)
    return None
