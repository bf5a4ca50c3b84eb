# SPDX-License-Identifier: GPL-2.0-or-later
"""GP521: entries of functions that were overridden are left out, before and after they are adjusted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change, Texts
from ..frames import ARCH, kconfig_of
from ..layout import FTRACE, HEADER, MAKEFILE, layouts
from ..model import Place, Problem
from ..preprocess import preprocess
from ..registry import source_rule
from ..source import functions_of, line_at

_SORT = "scripts/sorttable.c"
_CORE = "kernel/trace/ftrace.c"
_TEST = re.compile(r"\bif \(([^;{}]{0,500}?)\)\s*(?:\{|\w)")
_ENTRY = re.compile(r"(?:\b(\w+)\s*=\s*)?(?<!\w)ftrace_call_adjust\(\s*\*?(\w+)")
_KINDS = {"zero": "is zero", "text": "is the address of text"}
_ADJUST = re.compile(r"(?<!\w)ftrace_call_adjust\(")


@source_rule("GP521", "weak-entries")
def weak_entries(change: Change) -> Iterable[Problem]:
    """Entries of overridden weak functions are no longer told from the others.

    ## What it checks
    That scripts/sorttable.c looks as far before a function (``before_func`` for EM_RISCV) as the Makefile puts
    nops there, where the table is sorted at build time; and that kernel/trace/ftrace.c tests an entry for zero,
    or for being text, before ftrace_call_adjust() and not behind it. Only what the patch brings is reported.

    ## Why it matters
    sorttable sets the entries of overridden functions to zero. ftrace_call_adjust(0) is not zero on riscv, so a
    test behind it passes, and ftrace patches the address 4 or 12. Where before_func is too small, entries of
    good functions are zeroed.

    ## Remedy
    Test the entry as it stands in the table, then adjust it; change before_func with the nops.

    ## References
    scripts/sorttable.c; ftrace_process_locs() in kernel/trace/ftrace.c.
    """
    if not {_SORT, MAKEFILE, ARCH, FTRACE, HEADER}.isdisjoint(change.paths):
        yield from change.new(_unsorted)
    if _CORE in change.paths:
        yield from _moved(change)


def _unsorted(texts: Texts) -> Iterator[Problem]:
    text = texts.read(_SORT)
    kconfig = kconfig_of(texts)
    if (
        text is None
        or kconfig.value("HAVE_BUILDTIME_MCOUNT_SORT", {"RISCV": True, "64BIT": True, "MMU": True}) is False
    ):
        return
    if not re.search(r"^[ \t]*select HAVE_BUILDTIME_MCOUNT_SORT\b", texts.read(ARCH) or "", re.M):
        return
    looks = _before_func(text)
    counted = [each for each in layouts(texts) if each.adjust is not None and each.adjust >= each.before]
    most = max((each.before for each in counted), default=0)
    if looks is None or looks[0] >= most:
        return
    places = (Place(_SORT, looks[1]), *(place for each in counted for place in each.named("makefile")))
    text = f"sorttable looks {looks[0]} bytes before a function, the Makefile puts {most} bytes of nops there"
    yield Problem(f"{looks[0]} {most}", tuple(dict.fromkeys(places)), text)


def _before_func(text: str) -> tuple[int, int] | None:
    """Return what before_func is for riscv, and the line that says so; None if there is no such thing."""
    source = preprocess(text, {}, {"MCOUNT_SORT_ENABLED": "1"})
    if not re.search(r"\bint before_func\b", source.text):
        return None
    case = re.search(r"\bcase EM_RISCV:(.*?)\bbreak;", source.text, re.S)
    if case is None:
        return None
    sets = re.search(r"\bbefore_func = (\d{1,4});", case[1])
    at = case.start(1) + sets.start() if sets is not None else case.start()
    return int(sets[1]) if sets is not None else 0, line_at(source.text, at)


def _moved(change: Change) -> Iterator[Problem]:
    old, new = (functions_of(texts.read(_CORE) or "") for texts in (change.before, change.after))
    whole = change.after.read(_CORE) or ""
    calls = [line_at(whole, match.start()) for match in _ADJUST.finditer(whole)]
    for name, function in new.items():
        if name not in old or _ADJUST.search(function.body) is None:
            continue
        (first, behind), (now, later) = _tests(old[name].body), _tests(function.body)
        for kind, words in _KINDS.items():
            if kind not in first or kind in now or (kind == "zero" and "text" in now):
                continue
            how = "behind" if later.count(kind) > behind.count(kind) else "no longer before"
            text = f"{name}() tests {how} ftrace_call_adjust() whether an entry of the table {words}"
            lines = [line for line in calls if line > function.line]
            yield Problem(f"{name} {kind}", tuple(Place(_CORE, line) for line in (*lines, function.line)), text)
            break


def _tests(body: str) -> tuple[list[str], list[str]]:
    """Return the kinds of tests before ftrace_call_adjust(), in the loop that calls it, and of those behind it."""
    call = _ADJUST.search(body)
    if call is None:
        return [], []
    start = max(body.rfind("while (", 0, call.start()), body.rfind("for (", 0, call.start()), 0)
    before: list[str] = []
    behind: list[str] = []
    names = "|".join(re.escape(name) for name in (_ENTRY.search(body) or call).groups() if name)
    zero = re.compile(rf"(?:^|[^\w)>.])!\s*\*?\s*(?:{names})\b(?!\s*[-.(])|\b(?:{names})\s*==\s*0\b") if names else None
    for match in _TEST.finditer(body, start):
        kind = "text" if re.search(r"\bis_kernel_\w*text\(", match[1]) else ""
        kind = kind or ("zero" if zero is not None and zero.search(match[1]) else "")
        if not kind:
            continue
        (before if match.start() < call.start() else behind).append(kind)
    return before, behind
