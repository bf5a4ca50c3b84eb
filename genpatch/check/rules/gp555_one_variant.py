# SPDX-License-Identifier: GPL-2.0-or-later
"""GP555: what is defined for one configuration and for another is called in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change
from ..model import Place, Problem
from ..patching import sources
from ..registry import source_rule
from ..source import code_of, line_at

_MOST_HEAD = 2000


@source_rule("GP555", "one-variant")
def one_variant(change: Change) -> Iterable[Problem]:
    """A function takes other arguments in one configuration than in another.

    ## What it checks
    Functions that the C files of arch/riscv that the patch changes define more than once, under #ifdef and #else:
    whether all of their definitions take the same number of arguments. Only what the patch brings is reported.

    ## Why it matters
    The configuration that was built works. The other one, without an MMU, without CALL_OPS or without dynamic
    ftrace, does not build.

    ## Remedy
    Change the stubs with the function.

    ## References
    arch/riscv/kernel/patch.c; arch/riscv/kernel/ftrace.c.
    """
    for path, _, new in sources(change):
        if all(len(each.bodies) < 2 for each in new.values()):
            continue
        text, was = code_of(change.after.read(path) or ""), code_of(change.before.read(path) or "")
        for name, each in new.items():
            if len(each.bodies) < 2:
                continue
            counts = dict(_definitions(text, name))
            if len(set(counts.values())) < 2 or len({count for _, count in _definitions(was, name)}) > 1:
                continue
            several = " and ".join(str(count) for count in sorted(set(counts.values())))
            message = f"{name}() takes {several} arguments, by configuration"
            yield Problem(name, tuple(Place(path, line_at(text, at)) for at in counts), message)


def _definitions(code: str, name: str) -> Iterator[tuple[int, int]]:
    """Yield place and number of arguments of each definition."""
    for match in re.finditer(
        rf"^[A-Za-z_][^\n;=(){{}}#]*\b({re.escape(name)})\(([^;{{}}()]*)\)([^;={{}}()]*)\{{", code, re.M
    ):
        if match.end() - match.start() < _MOST_HEAD:
            inside = match[2].strip()
            yield match.start(1), 0 if inside in ("", "void") else inside.count(",") + 1
