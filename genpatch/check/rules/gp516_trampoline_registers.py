# SPDX-License-Identifier: GPL-2.0-or-later
"""GP516: what a trampoline saves, it restores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..change import Change
from ..frames import (
    Compared,
    Found,
    Options,
    Run,
    compared,
    concerns,
    exits_of,
    fresh,
    is_trampoline,
    joined,
    option_key,
)
from ..model import Place, Problem, Skip
from ..registry import source_rule

if TYPE_CHECKING:
    from ..trampoline import Exit, Value

_KEPT = ("sp", "gp", "tp", *(f"s{n}" for n in range(12)))
_ARGUMENTS = tuple(f"a{n}" for n in range(8))
_FAST = tuple(f"t{n}" for n in range(2, 7))
_STACK = 16


@source_rule("GP516", "trampoline-registers")
def trampoline_registers(change: Change) -> Iterable[Problem]:
    """A trampoline no longer gives back the registers that it got.

    ## What it checks
    The functions of mcount-dyn.S and mcount.S, macros expanded, followed along every path in every
    configuration that Kconfig allows: sp is back where it was at each way out, and on 16 bytes at each call;
    s0-s11, gp and tp are what they were; a function that returns through t0 gives back ra and a0-a7; with clang
    no register of t2-t6 that was kept is lost; the way back is loaded from the slot that a handler may change
    (``*_EPC``); a function that is returned to does not jump to what one of its arguments was; nothing is loaded
    from a slot that nothing stored, nothing is stored outside of the frame, and no branch tests a register that
    nothing has set. Only what the patch brings is reported.

    ## Why it matters
    The traced function goes on with a wrong argument, frame pointer or return address: it crashes far from
    here. clang passes arguments of local functions in t2-t6.

    ## Remedy
    Store a register before it is used, load it from its own slot, and change both macros of a pair together.

    ## References
    arch/riscv/kernel/mcount-dyn.S; arch/riscv/kernel/mcount.S; the RISC-V ELF psABI, "Register Convention".
    """
    if not concerns(change):
        return []
    both = compared(change)
    known = {
        (run.path, run.routine.name, label, option_key(run.options)) for run in both.before for label in exits_of(run)
    }
    lost = [
        (key, places, message, options)
        for run in both.after
        for label, key, places, message, options in _lost(run)
        if (run.path, run.routine.name, label, option_key(options)) in known
    ]
    were = [(key, places, text, options) for run in both.before for _, key, places, text, options in _lost(run)]
    found = both.problems(_problems)
    said = {(each[0].split()[0], register, option_key(each[3])) for each in found for register in _about(each)}
    gone = [
        each
        for each in fresh(were, lost, both.possible)
        if (each[0].split()[0], each[0].split()[-1], option_key(each[3])) not in said
    ]
    found += _together(gone)
    if not found and (odd := _odd(change, both)):
        raise Skip(odd)
    return joined(found, both.every)


def _about(found: Found) -> tuple[str, ...]:
    """Return the registers that a problem is about."""
    loads = re.search(r" loads (\w+) from ", found[2])
    return (found[0].split()[-1], *(loads.groups() if loads is not None else ()))


def _together(lost: Sequence[Found]) -> Iterator[Found]:
    """Yield the registers that a function has lost in a configuration as one problem."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for each in lost:
        groups.setdefault((each[0].split()[0], option_key(each[3])), []).append(each)
    for (name, _), some in groups.items():
        registers = sorted({each[0].split()[-1] for each in some})
        places = tuple(dict.fromkeys(place for each in some for place in each[1]))
        yield some[0][0], places, f"{name} no longer keeps {', '.join(registers)}", some[0][3]


def _odd(change: Change, both: Compared) -> str:
    """Say what of the assembly that a change is about was understood in no configuration; empty if there is none."""
    were, good = (
        {(run.path, run.routine.name) for run in some if not run.flow.odd} for some in (both.before, both.after)
    )
    for run in both.after:
        name = (run.path, run.routine.name)
        if run.flow.odd and name not in good and (run.path in change.paths or name in were):
            return f"{run.routine.name} in {run.path} was not understood: {run.flow.odd[0]}"
    return ""


def _problems(run: Run) -> Iterator[Found]:
    """Yield what is wrong with a function whatever it was before."""
    name = run.routine.name
    for fault in run.flow.faults:
        places = (run.place(fault.insn.line), run.place(fault.insn.used))
        yield f"{name} {fault.kind} {fault.message}", places, f"{name} {fault.message}", run.options
    if run.flow.odd:
        return
    for call in run.flow.calls:
        depth = call.registers["sp"]
        if depth.kind == "stack" and depth.number % _STACK:
            text = f"{name} calls {call.callee or 'a function'} with sp {-depth.number} bytes below a multiple of 16"
            made = call.made.get("sp", call.insn)
            places = (run.place(made.line), run.place(call.insn.line))
            yield f"{name} align {call.callee}", places, text, run.options
    for out in run.flow.exits:
        yield from _at_exit(run, out)


def _at_exit(run: Run, out: Exit) -> Iterator[Found]:
    name = run.routine.name
    depth = out.registers["sp"]
    is_moved = (depth.kind, depth.name, depth.number) != ("stack", "", 0)
    for register in ("sp",) if is_moved else _KEPT:  # from a wrong sp everything is loaded wrongly
        value = out.registers[register]
        if is_moved if register == "sp" else not value.is_entry(register):
            text = f"{name} leaves with {_told(register, value)}"
            yield f"{name} {out.label} {register}", _places(run, out, register), text, run.options
    if is_moved:
        return
    if not is_trampoline(run):
        yield from _stale(run, out)
        return
    if out.has_called:
        for register in ("ra", *_ARGUMENTS):
            if not out.registers[register].is_entry(register):
                text = f"{name} leaves with {_told(register, out.registers[register])}"
                yield f"{name} {out.label} {register}", _places(run, out, register), text, run.options
    yield from _way_back(run, out)


def _stale(run: Run, out: Exit) -> Iterator[Found]:
    """Yield that a function jumps, behind a call, to what one of its arguments was."""
    if out.target is None or not out.has_called or out.label.split()[0] not in ("jr", "jalr"):
        return
    if out.target.kind == "entry" and out.target.name in _ARGUMENTS:
        register = out.label.split()[1]
        text = f"{run.routine.name} goes to {_origin(out.target)}, by {register}, and not to what was returned to it"
        yield f"{run.routine.name} stale", _places(run, out, register), text, run.options


def _way_back(run: Run, out: Exit) -> Iterator[Found]:
    if out.label != "jr t0" or out.target is None:
        return
    name = run.routine.name
    places = _places(run, out, "t0")
    if not out.target.is_entry("t0"):
        text = f"{name} returns through t0, which is {_origin(out.target)} and not what it got"
        yield f"{name} back", places, text, run.options
        return
    stored = {at: slot for at, slot in out.slots.items() if re.match(r"\w*_EPC\(", slot.written)}
    if stored and out.target.slot is not None and out.target.slot not in stored:
        held = out.slots[out.target.slot].written
        epc = next(iter(stored.values())).written
        text = f"{name} returns to what it loads from {held}, not from {epc}: a handler that changes it is not obeyed"
        yield f"{name} epc", places, text, run.options


def _lost(run: Run) -> Iterator[tuple[str, str, tuple[Place, ...], str, Options]]:
    """Yield registers of a caller that are not what they were: exit, key, places, message, configuration."""
    if run.flow.odd:
        return
    wanted = _ARGUMENTS if not is_trampoline(run) else _FAST
    if wanted is _FAST and not run.options.get("CONFIG_CC_IS_CLANG", True):
        return
    for label, outs in exits_of(run).items():
        for register in wanted:
            level = [out for out in outs if out.registers["sp"].kind == "stack" and not out.registers["sp"].number]
            bad = next((out for out in level if not out.registers[register].is_entry(register)), None)
            if bad is not None:
                text = f"{run.routine.name} no longer keeps {register}"
                key = f"{run.routine.name} lost {label} {register}"
                yield label, key, _places(run, bad, register), text, run.options


def _places(run: Run, out: Exit, register: str) -> tuple[Place, ...]:
    """Return where a register got what it has: in a macro, where that is used, at the way out, in the function."""
    made = out.made.get(register)
    lines = [made.line, made.used] if made is not None else []
    for slot in out.slots.values():
        if slot.value.kind == "entry" and slot.value.name == register:
            lines.append(slot.insn.line)
    if register == "sp":  # any of its steps may be the wrong one
        lines += [line for insn in run.routine.insns if insn.args[:1] == ("sp",) for line in (insn.line, insn.used)]
    value = out.registers[register]
    if value.slot is not None and value.slot in out.slots:
        lines.append(out.slots[value.slot].insn.line)
    return tuple(run.place(line) for line in [*lines, out.insn.line, run.routine.line])


def _told(register: str, value: Value) -> str:
    if register == "sp" and value.kind == "stack":
        return f"sp {abs(value.number)} bytes {'below' if value.number < 0 else 'above'} where it was"
    return f"{register} not what it got, but {_origin(value)}"


def _origin(value: Value) -> str:
    if value.kind == "entry":
        return f"what {value.name} was" + (f" and {value.number:+}" if value.number else "")
    words = {"stack": "an address of the stack", "number": f"{value.number}", "symbol": value.name}
    return words.get(value.kind, "something else")
