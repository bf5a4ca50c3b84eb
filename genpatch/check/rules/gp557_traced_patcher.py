# SPDX-License-Identifier: GPL-2.0-or-later
"""GP557: what writes text is not traced."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from ..change import Change
from ..model import Place, Problem
from ..patching import MOST_TEXT, STORES
from ..registry import source_rule
from ..source import functions_of, line_at

_REMOVED = re.compile(r"^[ \t]*CFLAGS_REMOVE_([\w-]+)\.o[ \t]*[:+]?=[^\n]*\$\(CC_FLAGS_FTRACE\)", re.M)
_ALL = re.compile(r"^[ \t]*(?:ccflags-remove-\S+|CFLAGS_REMOVE_\S*)[ \t]*[:+]?=[^\n]*\$\(CC_FLAGS_FTRACE\)", re.M)


@source_rule("GP557", "traced-patcher")
def traced_patcher(change: Change) -> Iterable[Problem]:
    """An object that writes text is compiled with what lets ftrace trace it.

    ## What it checks
    CFLAGS_REMOVE_name.o lines with $(CC_FLAGS_FTRACE) that the patch takes out of a Makefile of arch/riscv, while
    the source is there, has functions that write text, and is not marked ``notrace`` throughout.

    ## Why it matters
    ftrace writes the first instructions of the functions that it is just running to write them, and the tracer
    is called from what switches it on.

    ## Remedy
    Keep the line.

    ## References
    arch/riscv/kernel/Makefile; Documentation/kbuild/makefiles.rst, "CFLAGS_REMOVE_$@".
    """
    for path in change.paths:
        if not re.fullmatch(r"arch/riscv/(?:[\w/-]+/)?Makefile", path):
            continue
        old, new = change.before.read(path) or "", change.after.read(path) or ""
        if any("ccflags-remove" in match[0] for match in _ALL.finditer(new)):
            continue
        lost = set(_REMOVED.findall(old)) - set(_REMOVED.findall(new))
        for name in sorted(lost):
            source = change.after.read(posixpath.join(posixpath.dirname(path), f"{name}.c"))
            built = re.search(rf"^[^#\n]*\b{re.escape(name)}\.o\b", new, re.M)
            if source is None or built is None or len(source) > MOST_TEXT or not _writes(source):
                continue
            place = Place(path, line_at(new, built.start()))
            yield Problem(name, (place,), f"{name}.c writes text and is compiled with $(CC_FLAGS_FTRACE) now")


def _writes(text: str) -> bool:
    """Tell whether a text has a function that writes text and may be traced."""
    from ..source import calls

    found = functions_of(text)
    writers = [each for each in found.values() if any(name in STORES for name, _ in calls(each.body))]
    return any(not re.search(rf"\bnotrace\b[^;{{}}()]*\b{each.name}\(", text) for each in writers)
