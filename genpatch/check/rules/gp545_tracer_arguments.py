# SPDX-License-Identifier: GPL-2.0-or-later
"""GP545: what a trampoline hands to the tracers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..change import Change
from ..frames import Found, Run, compared, concerns, is_trampoline, joined
from ..model import Problem
from ..registry import source_rule

if TYPE_CHECKING:
    from ..trampoline import Call, Value

_NOT_OPS = frozenset(("entry", "stack", "number"))


@source_rule("GP545", "tracer-arguments")
def tracer_arguments(change: Change) -> Iterable[Problem]:
    """A trampoline hands something else to the tracers than the function, its caller and the ops.

    ## What it checks
    The trampolines of mcount-dyn.S that are entered by t0, followed along every path in every configuration: at
    each call that gets the frame in a3, a0 must be counted from t0 (the traced function), a1 must be ra as it
    was at the entry (its caller), and a2 must have been loaded (the ops). At a call of the function graph's, which
    gets the address of a slot in a0, ra as it was at the entry must be in that slot, and a1 must be counted from
    t0. Only what the patch brings is reported.

    ## Why it matters
    Every tracer takes the caller for the function or the other way round: filters by address match nothing, and
    the function graph returns into the wrong place.

    ## Remedy
    a0 from t0, a1 from ra before that is written over, a2 from the ops.

    ## References
    ftrace_func_t in include/linux/ftrace.h; ftrace_caller in arch/riscv/kernel/mcount-dyn.S.
    """
    if not concerns(change):
        return []
    both = compared(change)
    return joined(both.problems(_problems), both.every)


def _problems(run: Run) -> Iterator[Found]:
    if run.flow.odd or not is_trampoline(run):
        return
    for call, _, _ in run.frames():
        for register, what in _wrong(call.registers):
            made = call.made.get(register, call.insn)
            places = tuple(run.place(line) for line in (made.line, made.used, call.insn.line))
            text = f"{run.routine.name} calls a tracer with {register} {what}"
            yield f"{run.routine.name} {register}", places, text, run.options
    yield from _graph(run)


def _graph(run: Run) -> Iterator[Found]:
    """Yield what is wrong with calls that get the address of the slot of ra."""
    others = [call for call, _, _ in run.frames()]
    for call in run.flow.calls:
        slot = call.registers["a0"]
        if slot.kind != "stack" or any(call is each for each in others):
            continue
        for register, what in _wrong_graph(call):
            made = call.made.get(register, call.insn)
            places = tuple(run.place(line) for line in (made.line, made.used, call.insn.line))
            text = f"{run.routine.name} calls the function graph with {register} {what}"
            yield f"{run.routine.name} graph {register}", places, text, run.options


def _wrong_graph(call: Call) -> Iterator[tuple[str, str]]:
    held = call.slots.get(call.registers["a0"].number)
    if held is None or not held.value.is_entry("ra"):
        yield "a0", "that is not the address of the slot of ra, which it is to change"
    ip = call.registers["a1"]
    if (ip.kind, ip.name) != ("entry", "t0"):
        yield "a1", "that is not counted from t0, where the traced function goes on"


def _wrong(registers: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    """Yield register and what is wrong with it."""
    ip, parent, ops = registers["a0"], registers["a1"], registers["a2"]
    if (ip.kind, ip.name) != ("entry", "t0"):
        yield "a0", "that is not counted from t0, where the traced function goes on"
    if not parent.is_entry("ra"):
        yield "a1", "that is not ra, where the traced function returns to"
    if ops.kind in _NOT_OPS:
        yield "a2", "that was not loaded, and should point to the ops"
