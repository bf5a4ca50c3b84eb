# SPDX-License-Identifier: GPL-2.0-or-later
"""GP514: text_mutex around every write to text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..change import Change
from ..model import Place, Problem
from ..patching import STORES, sources
from ..registry import source_rule
from ..source import Function, calls

_LOCK = re.compile(r"\bmutex_(lock|unlock)\(&text_mutex\)|\b((?:scoped_)?guard)\(mutex\)?,? ?\(?&text_mutex\)")
# whoever says so is alone on the machine
_STOPPED = "riscv_patch_in_stop_machine"
_FLAG = re.compile(rf"\b{_STOPPED} = (true|false|1|0);")
_FLAG_MEANS = {"true": "lock", "1": "lock", "false": "unlock", "0": "unlock"}
_LEAVES = re.compile(r"[^{}]*\b(?:return|goto)\b[^{}]*\}")
_ASSERT = "lockdep_assert_held(&text_mutex)"
_HOOKS = ("ftrace_arch_code_modify_prepare", "ftrace_arch_code_modify_post_process")


@source_rule("GP514", "text-lock")
def text_lock(change: Change) -> Iterable[Problem]:
    """text_mutex is no longer held around patching.

    ## What it checks
    In the C files of arch/riscv that the patch changes: functions that patched text, themselves or through others
    of the file, only with text_mutex held, and now do it without; ftrace's hooks that take the mutex; functions
    that map text for writing and no longer assert that the mutex is held.

    ## Why it matters
    Everything that patches shares the same two fixmap pages: two patchers at a time write through each other's
    mapping, and kernel text is corrupted.

    ## Remedy
    Take the mutex before the first write, with ``guard(mutex)(&text_mutex)`` at the top of the function.

    ## References
    arch/riscv/kernel/patch.c; arch/riscv/kernel/ftrace.c; include/linux/memory.h.
    """
    for path, old, new in sources(change):
        yield from _lost(path, old, new)


def _lost(path: str, old: dict[str, Function], new: dict[str, Function]) -> Iterator[Problem]:
    before, after = _open(old), _open(new)
    reached = _reaching(old)
    called = {name for each in new.values() for name, _ in calls(each.body) if name != each.name}
    for name, through in after.items():
        if name in before or name not in reached or name not in old:
            continue
        if new[name].is_static and name in called:
            continue  # its callers say it
        yield Problem(name, (Place(path, new[name].line),), f"{name}() calls {through}() without text_mutex held")
    for name, word in zip(_HOOKS, ("lock", "unlock"), strict=True):
        taken = f"mutex_{word}(&text_mutex)"
        if name in old and taken in old[name].body and (name not in new or taken not in new[name].body):
            line = new[name].line if name in new else 1
            yield Problem(name, (Place(path, line),), f"{name}() no longer does {taken}: ftrace patches unlocked")
    for name, each in new.items():
        if name not in old or "patch_map(" not in each.body or name == "patch_map":
            continue
        if _ASSERT in old[name].body and _ASSERT not in each.body and "(&text_mutex)" not in each.body:
            yield Problem(name, (Place(path, each.line),), f"{name}() no longer asserts that text_mutex is held")


def _unlocked_calls(each: Function) -> list[str]:
    """Return what a function calls while it does not hold the mutex, by the order of the text."""
    held, outer = False, 0
    body = each.body
    locks = _LOCK.finditer(body) if "&text_mutex" in body else ()
    flags = _FLAG.finditer(body) if _STOPPED in body else ()
    if not locks and not flags:
        return [name for name, _ in calls(body) if name != each.name]
    marks = sorted(
        [(match.start(), "lock " + (match[1] or "guard")) for match in locks]
        + [(match.start(), "lock " + _FLAG_MEANS[match[1]]) for match in flags]
        + [(at, name) for name, at in calls(body)]
    )
    found = []
    for at, what in marks:
        if what == "lock unlock":
            # one on the way out of an inner block says nothing about what follows that block
            held = held and _depth(each.body, at) > outer and _LEAVES.match(each.body, at) is not None
        elif what.startswith("lock "):
            held, outer = True, _depth(each.body, at)
        elif not held and what != each.name:
            found.append(what)
    return found


def _depth(body: str, at: int) -> int:
    return body.count("{", 0, at) - body.count("}", 0, at)


def _open(functions: dict[str, Function]) -> dict[str, str]:
    """Return the functions that may write to text unlocked, and what they call for it."""
    direct = {name: _unlocked_calls(each) for name, each in functions.items()}
    found = {
        name: hit
        for name, names in direct.items()
        if (hit := next((n for n in names if n in STORES), None)) is not None
    }
    return _closed(found, direct)


def _reaching(functions: dict[str, Function]) -> set[str]:
    direct = {name: [callee for callee, _ in calls(each.body)] for name, each in functions.items()}
    return set(_closed({name: "" for name, names in direct.items() if STORES & set(names)}, direct))


def _closed(found: dict[str, str], direct: dict[str, list[str]]) -> dict[str, str]:
    """Add what calls those found, until nothing is new."""
    while True:
        more = {
            name: hit
            for name, names in direct.items()
            if name not in found and (hit := next((n for n in names if n in found), None)) is not None
        }
        if not more:
            return found
        found = found | more
