# SPDX-License-Identifier: GPL-2.0-or-later
"""GP518: what an accessor of ftrace_regs reads, a trampoline has stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from ..change import Change, Texts
from ..frames import FTRACE, Options, Run, compared, concerns, fresh, joined, taken
from ..layout import HEADER
from ..model import Place, Problem
from ..registry import source_rule
from ..source import functions_of

_READ = re.compile(r"\barch_ftrace_regs\(\w+\)->(\w+)\b(?!\s*=[^=])")
_LOCAL = re.compile(r"struct\s+__arch_ftrace_regs\s*\*\s*(?:const\s+)?(\w+)\s*[=;]")
_CONDITIONS = re.compile(r"^[ \t]*#[ \t]*(?:if|elif|else|endif)[^\n]*", re.M)
_ARRAYS = {"args": tuple(f"a{n}" for n in range(8))}


@source_rule("GP518", "unset-member")
def unset_member(change: Change) -> Iterable[Problem]:
    """An accessor reads a member of ftrace_regs that no trampoline stores in some configuration.

    ## What it checks
    In every configuration: the members of struct __arch_ftrace_regs that asm/ftrace.h and ftrace.c read,
    against those that mcount-dyn.S has stored where it calls a tracer; and those that return_to_handler in
    mcount.S used to store. Only what the patch brings is reported.

    ## Why it matters
    What was not stored is what the stack held before: a tracer reports a frame pointer, an argument or a return
    address that never was.

    ## Remedy
    Store the register under no other condition than the one under which it is read.

    ## References
    arch/riscv/include/asm/ftrace.h; SAVE_ABI_REGS in arch/riscv/kernel/mcount-dyn.S.
    """
    if not concerns(change, FTRACE) or (not concerns(change) and not _reads_more(change)):
        return []
    both = compared(change)
    had = {
        (run.routine.name, member)
        for run in both.before
        for call, start, struct in run.frames()
        for member in _stored(call.slots.keys(), start, struct.members)
    }
    old = [(key, places, text, options) for key, places, text, options, _ in _unset(change.before, both.before)]
    new = [
        (key, places, text, options)
        for key, places, text, options, (name, member, is_entry) in _unset(change.after, both.after)
        if is_entry or (name, member) in had
    ]
    return joined(fresh(old, new, both.possible), both.every)


def _reads_more(change: Change) -> bool:
    """Tell whether ftrace.c alone may read more than before: another member, or under other conditions."""
    old, new = (texts.read(FTRACE) or "" for texts in (change.before, change.after))
    members = ({member for member, _, _ in _read_in(text)} for text in (old, new))
    before, after = members
    return not after <= before or _CONDITIONS.findall(old) != _CONDITIONS.findall(new)


def _unset(
    texts: Texts, runs: Iterable[Run]
) -> Iterator[tuple[str, tuple[Place, ...], str, Options, tuple[str, str, bool]]]:
    """Yield what is read and not stored; and of which function, which member, whether it is for entries."""
    for run in runs:
        if run.flow.odd:
            continue
        for call, start, struct in run.frames():
            if struct.name != "__arch_ftrace_regs" or -start < struct.size:  # GP517
                continue
            stored = _stored(call.slots.keys(), start, struct.members)
            for member, (reader, place) in _read(texts, run.options).items():
                if member not in struct.members or member in stored:
                    continue
                name = run.routine.name
                text = f"{reader}() reads {member} of struct {struct.name}, {name} does not store it"
                is_entry = call.callee != "ftrace_return_to_handler"
                yield (
                    f"{name} {member}",
                    (place, run.place(run.routine.line)),
                    text,
                    run.options,
                    (name, member, is_entry),
                )


def _stored(slots: Iterable[int], start: int, members: Mapping[str, int]) -> set[str]:
    at = {slot - start for slot in slots}
    return {member for member, offset in members.items() if offset in at}


def _read(texts: Texts, options: Options) -> dict[str, tuple[str, Place]]:
    """Return the members that are read, by which function and where."""
    found: dict[str, tuple[str, Place]] = {}
    for path in (HEADER, FTRACE):
        text = texts.read(path)
        if text is not None:
            for member, reader, line in _read_in(taken(text, options).text):
                for each in _ARRAYS.get(member, (member,)):
                    found.setdefault(each, (reader, Place(path, line)))
    return found


@lru_cache(maxsize=128)
def _read_in(text: str) -> tuple[tuple[str, str, int], ...]:
    found = []
    for function in functions_of(text).values():
        for body in function.bodies:
            pattern = "|".join([_READ.pattern, *(rf"\b{n}->(\w+)\b(?!\s*=[^=])" for n in _LOCAL.findall(body))])
            for match in re.finditer(pattern, body):
                member = next(group for group in match.groups() if group)
                at = text.find(body)
                line = text.count("\n", 0, at + match.start()) + 1 if at >= 0 else function.line
                found.append((member, function.name, line))
    return tuple(found)
