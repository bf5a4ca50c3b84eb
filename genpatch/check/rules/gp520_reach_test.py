# SPDX-License-Identifier: GPL-2.0-or-later
"""GP520: a distance does not say which auipc a target takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..frames import FTRACE, taken
from ..layout import HEADER
from ..model import Place, Problem
from ..offsets import touches
from ..registry import source_rule
from ..source import constant, functions_of

_TEST = re.compile(r"\bif \(\s*(?:abs\()?(\w+)\)?\s*(?:>=?|<=?)\s*(\w+)\s*\)")
_SPAN = re.compile(r"\b{}\s*=\s*(?:\w+ >=? \w+\s*\?|abs\w*\()")
_REACHES = range(0x7F0, 0x1001)
_ALL = {"CONFIG_DYNAMIC_FTRACE": True, "CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS": True}


@source_rule("GP520", "reach-test")
def reach_test(change: Change) -> Iterable[Problem]:
    """Whether a jalr alone can be redirected is decided by the distance of two targets.

    ## What it checks
    The functions of arch/riscv/kernel/ftrace.c that compare a distance between two targets with about 2 KiB and
    with nothing else, where ftrace_make_call() writes the jalr and leaves the auipc. Only what the patch brings
    is reported.

    ## Why it matters
    jalr sign-extends its 12 bits: two targets a few bytes apart take different auipcs where bit 11 of the
    distance from the site changes between them. The call then lands 4 KiB away from its target.

    ## Remedy
    Compare what auipc would be for both targets, as seen from the site; ``genpatch emit hi20-check`` does it.

    ## References
    ftrace_make_call() in arch/riscv/kernel/ftrace.c; the RISC-V unprivileged ISA, "Integer Computational
    Instructions".
    """
    if not {FTRACE, HEADER}.isdisjoint(change.paths):
        return change.new(_problems)
    return []


def _problems(texts: Texts) -> Iterator[Problem]:
    source, header = texts.read(FTRACE), texts.read(HEADER)
    if source is None or header is None:
        return
    options = {**_ALL, **dict.fromkeys(re.findall(r"\bCONFIG_DYNAMIC_FTRACE_\w+", source), True)}
    here, macros = taken(source, options), taken(header, options).macros
    writes = {
        each.size for each in touches(here, macros, 0) if each.root == "ftrace_make_call" and each.kind == "write"
    }
    if writes != {4}:
        return
    for function in functions_of(here.text).values():
        for body in function.bodies:
            for test in _TEST.finditer(body):
                reach = constant(test[2], macros, {})
                is_distance = re.search(_SPAN.pattern.format(re.escape(test[1])), body) or "abs(" in test[0]
                if reach in _REACHES and is_distance:
                    at = here.text.find(body)
                    line = here.text.count("\n", 0, at + test.start()) + 1 if at >= 0 else function.line
                    text = f"{function.name}() takes a distance of up to {reach} bytes for the same auipc"
                    yield Problem(function.name, (Place(FTRACE, line), Place(FTRACE, function.line)), text)
