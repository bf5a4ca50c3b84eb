# SPDX-License-Identifier: GPL-2.0-or-later
"""GP517: a trampoline's frame is the struct that C takes it for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..change import Change, Texts
from ..frames import Found, Options, Run, asked_of, compared, concerns, configurations, joined, taken
from ..layout import HEADER
from ..model import Place, Problem
from ..registry import source_rule
from ..structs import OFFSETS, PTRACE, Struct, Symbolic, offsets_of

if TYPE_CHECKING:
    from ..trampoline import Call, Slot


@source_rule("GP517", "frame-struct")
def frame_struct(change: Change) -> Iterable[Problem]:
    """A trampoline's frame and the struct that C reads it as are not the same.

    ## What it checks
    In every configuration: where mcount-dyn.S and mcount.S hand a part of the stack to the tracers, whether it
    has the size of struct __arch_ftrace_regs (or fgraph_ret_regs, pt_regs) as the headers define it, whether
    each register is stored where the struct has its member, whether args[] of a struct stands where its a0 to a7
    stand, and whether the constants of asm-offsets.c are of the members that they are named after. Only what the
    patch brings is reported.

    ## Why it matters
    Handlers read and write behind the frame, or take one register for another: a traced function returns the
    wrong value, and KASAN reports the stack.

    ## Remedy
    Make room with the size that asm-offsets.c has for the struct, and use its constants for the slots.

    ## References
    arch/riscv/include/asm/ftrace.h; arch/riscv/kernel/asm-offsets.c; arch/riscv/kernel/mcount-dyn.S.
    """
    if not concerns(change):
        return
    both = compared(change)
    yield from joined(_gist(both.problems(_problems)), both.every)
    if OFFSETS in change.paths:
        yield from _misnamed(change)


def _problems(run: Run) -> Iterator[Found]:
    yield from _arguments(run)
    for call, start, struct in run.frames():
        name = run.routine.name
        room = -start
        if room < struct.size:
            made = call.made.get("sp", call.insn)
            places = (run.place(made.line), run.place(made.used), run.place(call.insn.line))
            text = f"{name} has a frame of {room} bytes, and struct {struct.name} has {struct.size}"
            yield f"{name} {struct.name} size", (*places, Place(_home(struct), struct.line)), text, run.options
            continue  # what is in it is no matter then
        for at, slot in call.slots.items():
            yield from _slot(run, call, at - start, slot, struct)


def _arguments(run: Run) -> Iterator[Found]:
    """Yield structs whose args[] is not another name of the registers of arguments."""
    for struct in (each for each in run.structs.values() if "args" in each.members):
        for number in range(8):
            at = struct.members.get(f"a{number}")
            if at is not None and at != struct.members["args"] + 8 * number:
                text = f"args[{number}] of struct {struct.name} is not its a{number}"
                yield f"{struct.name} args", (Place(_home(struct), struct.line),), text, run.options
                break


def _gist(found: list[Found]) -> Iterator[Found]:
    """Yield the same with one message for the sizes that a struct has in several configurations."""
    sizes: dict[str, set[int]] = {}
    for key, _, message, _ in found:
        if key.endswith(" size"):
            sizes.setdefault(key, set()).add(int(message.rsplit(" ", 1)[1]))
    for key, places, message, options in found:
        some = sorted(sizes.get(key, ()))
        if some:
            span = f"{some[0]} to {some[-1]}" if len(some) > 1 else f"{some[0]}"
            message = f"{message.rsplit(' ', 1)[0]} {span}"
        yield key, places, message, options


def _home(struct: Struct) -> str:
    return PTRACE if struct.name == "pt_regs" else HEADER


def _slot(run: Run, call: Call, at: int, slot: Slot, struct: Struct) -> Iterator[Found]:
    if not 0 <= at < struct.size:
        return
    value = slot.value
    if value.kind == "entry" and not value.number:
        names = {value.name, "epc"} if value.name == "t0" else {value.name}
        what = value.name
    elif value.kind == "stack" and call.registers["sp"].kind == "stack" and value.slot is None:
        names, what = ({"sp"}, "sp") if value.number == 0 else (set(), f"sp {value.number:+}")
        if "sp" not in struct.at(at):
            return
    else:
        return
    members = struct.at(at)
    if names & set(members):
        return
    text = f"{run.routine.name} stores {what} where struct {struct.name} has {members[-1] if members else 'no member'}"
    places = (run.place(slot.insn.line), run.place(slot.insn.used))
    yield f"{struct.name} {what} {at}", places, text, run.options


def _misnamed(change: Change) -> Iterator[Problem]:
    """Yield constants that are named after another member than the one they are of."""
    found: list[Found] = []
    every = configurations(change.after, asked_of(change))
    for options in every:
        before, after = (_made(texts, options) for texts in (change.before, change.after))
        members: dict[str, set[str]] = {}
        for each in (*before.values(), *after.values()):
            members.setdefault(each.struct, set()).add(_last(each))
        known = {(each.name, each.member) for each in before.values()}
        for each in after.values():
            if (each.name, each.member) not in known and _is_of_another(each, members[each.struct]):
                text = f"{each.name} is the offset of {each.member}, not of the member that it is named after"
                found.append((each.name, (Place(OFFSETS, each.line),), text, options))
    yield from joined(found, every)


def _made(texts: Texts, options: Options) -> dict[str, Symbolic]:
    made = offsets_of(taken(texts.read(OFFSETS) or "", options), {})
    return {name: each for name, each in made.items() if each.member}


def _last(each: Symbolic) -> str:
    return each.member.rsplit(".", 1)[-1].lower()


def _is_of_another(each: Symbolic, members: set[str]) -> bool:
    name = each.name.lower()
    return not name.endswith(f"_{_last(each)}") and any(name.endswith(f"_{other}") for other in members)
