# SPDX-License-Identifier: GPL-2.0-or-later
"""What a BPF trampoline that was emitted does with what it was entered with, on each way through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .cexec import NotRun
from .jit import COOKIE_SHIFT, IMAGE_ARGUMENT, ORIGINAL, PROGRAM, Setting, Trace
from .jitrun import Call, Machine, Value

__all__ = ["Found", "found_in"]

_RA, _SP, _T0, _FP, _A0, _A1, _A2, _A5 = 1, 2, 5, 8, 10, 11, 12, 15
_IN_REGISTERS = 8
_MOST_FRAMES = 4
_REACH = 1 << 20


class Found(NamedTuple):
    """Something that a trampoline does wrong: ``original`` or ``frame``, a key, a line or 0, and words."""

    kind: str
    key: str
    line: int
    message: str


class _Checked(NamedTuple):
    """A trampoline and what is expected of it."""

    setting: Setting
    sled: int | None
    link: int
    names: Mapping[int, str]

    def named(self, register: int) -> str:
        return self.names.get(register, f"x{register}")


def found_in(trace: Trace, setting: Setting, sled: int | None, link: int, names: Mapping[int, str]) -> Iterator[Found]:
    """Yield what is wrong with a trampoline.

    Args:
        trace: what was emitted.
        setting: under which it was.
        sled: bytes that the original begins with for ftrace; None if unknown.
        link: register with the address to go back to.
        names: of registers.
    Raises:
        NotRun: it does something that is not understood.
    """
    about = _Checked(setting, sled, link, names)
    for line in trace.spoilt:
        yield Found("frame", "spoilt", line, "a branch is written over an instruction that is no placeholder")
    machine = Machine()
    machine.run(trace.events)
    if machine.end is None:
        yield Found("frame", "no end", 0, "a trampoline does not end in a jump")
        return
    yield from _left(about, machine)
    yield from _original(about, machine)
    yield from _programs(about, machine)
    for branch in (each for each in trace.events if each.op in ("beq", "bne")):
        yield from _branched(about, trace, machine, branch.at, branch.line)


def _left(about: _Checked, machine: Machine) -> Iterator[Found]:
    """Yield how a trampoline does not leave things as it must."""
    assert machine.end is not None
    line, registers = machine.end_line, machine.registers
    if registers[_SP] != ("sp", 0):
        by = f"{-registers[_SP][1]} bytes too low" if registers[_SP][0] == "sp" else "somewhere"
        yield Found("frame", "sp", line, f"a trampoline leaves the stack pointer {by}")
    for register in machine.lost():
        yield Found("frame", f"lost {register}", line, f"a trampoline does not restore {about.named(register)}")
    value, offset = registers[machine.end[0]], machine.end[1]
    wanted = _RA if "SKIP_FRAME" in about.setting.flags else about.link
    if value != ("in", wanted) or offset:
        got = about.named(value[1]) if value[0] == "in" else "what it did not keep"
        text = f"a trampoline goes to {got}, expected {about.named(wanted)} as it was entered with"
        yield Found("frame", "end", line, text)
    if "RESTORE_REGS" in about.setting.flags:
        kept = [*range(_A0, _A0 + min(about.setting.arguments, _IN_REGISTERS)), _RA]
        for register in (each for each in kept if registers[each] != ("in", each)):
            text = f"the traced function is entered with another {about.named(register)}"
            yield Found("frame", f"other {register}", line, text)
    for place, at in machine.outside:
        where = "above its frame" if place >= 0 else "below the stack pointer"
        yield Found("frame", f"outside {place}", at, f"a trampoline stores {where}")


def _is_original(call: Call) -> bool:
    return 0 <= call.target - ORIGINAL < _REACH


def _original(about: _Checked, machine: Machine) -> Iterator[Found]:
    """Yield how the original function is not called as it must."""
    if "CALL_ORIG" not in about.setting.flags:
        return
    made = [call for call in machine.calls if _is_original(call)]
    if len(made) != 1:
        text = f"a trampoline calls the original {len(made)} times, expected once"
        yield Found("original", "number", machine.end_line, text)
        return
    call = made[0]
    behind = call.target - ORIGINAL
    if about.sled is not None and behind != about.sled:
        text = f"a trampoline calls the original {behind} bytes behind its entry, expected {about.sled}"
        text += ": its sled would run again" if behind < about.sled else ""
        yield Found("original", "behind", call.line, text)
    for i in range(about.setting.arguments):
        if _argument(call, i) != _given(i):
            text = f"the original gets another argument {i + 1} than was passed"
            yield Found("frame", f"argument {i}", call.line, text)
    yield from _aligned(call, "the original")
    for register, value in ((_A0, "ret"), (_A5, "r0")):
        if machine.registers[register] != (value, call.number):
            text = f"a trampoline does not give back {about.named(register)} as the original returned it"
            yield Found("frame", f"returned {register}", machine.end_line, text)
    entered = [each.number < call.number for each in machine.calls if each.registers[_A0] == ("num", IMAGE_ARGUMENT)]
    if entered and entered.count(True) != entered.count(False):
        text = "the image is not entered before the original as often as it is left behind it"
        yield Found("frame", "image", call.line, text)


def _given(i: int) -> Value:
    """Return an argument as the traced function's caller gave it."""
    return ("in", _A0 + i) if i < _IN_REGISTERS else ("stack", (i - _IN_REGISTERS) * 8)


def _argument(call: Call, i: int) -> Value | None:
    if i < _IN_REGISTERS:
        return call.registers[_A0 + i]
    bottom = call.registers[_SP]
    return call.memory.get(bottom[1] + (i - _IN_REGISTERS) * 8) if bottom[0] == "sp" else None


def _aligned(call: Call, what: str) -> Iterator[Found]:
    bottom = call.registers[_SP]
    if bottom[0] != "sp" or bottom[1] % 16:
        text = f"{what} is called with a stack pointer that is no multiple of 16"
        yield Found("frame", f"aligned {what}", call.line, text)


def _programs(about: _Checked, machine: Machine) -> Iterator[Found]:
    """Yield how programs are not called as BPF promises."""
    calls = [call for call in machine.calls if call.target == PROGRAM]
    if not calls:
        yield Found("frame", "none", machine.end_line, "a trampoline runs no program")
    for call in calls:
        yield from _aligned(call, "a program")
        yield from _context(about, call)
        yield from _paired(machine, call)
        yield from _frames(about, call)
    if calls and "RET_FENTRY_RET" in about.setting.flags:
        value = machine.registers[_A0]
        if value[0] not in ("ret", "r0") or value[1] != calls[-1].number:
            text = "a trampoline does not return what its program returned"
            yield Found("frame", "result", machine.end_line, text)


def _context(about: _Checked, call: Call) -> Iterator[Found]:
    """Yield what a program does not find: arguments, their number before them, and the function's address."""
    context = call.registers[_A0]
    if context[0] != "sp":
        yield Found("frame", "context", call.line, "a program is not given a context on the stack")
        return
    for i in range(about.setting.arguments):
        if call.memory.get(context[1] + 8 * i) != _given(i):
            text = f"a program does not find argument {i + 1} where it should be"
            yield Found("frame", f"slot {i}", call.line, text)
    count = call.memory.get(context[1] - 8, ("junk", 0))
    if count[0] != "num" or count[1] & 0xFF != about.setting.arguments:
        text = "a program does not find the number of arguments before them"
        yield Found("frame", "count", call.line, text)
    index = count[1] >> COOKIE_SHIFT & 0xFF if count[0] == "num" else 0
    if index and call.memory.get(context[1] - 8 * index) != ("num", 0):
        text = "a program of a session finds something else than 0 in its cookie"
        yield Found("frame", f"cookie {index}", call.line, text)
    if "IP_ARG" in about.setting.flags and call.memory.get(context[1] - 16) != ("num", ORIGINAL):
        text = "a program does not find the address of the traced function"
        yield Found("frame", "address", call.line, text)


def _paired(machine: Machine, call: Call) -> Iterator[Found]:
    """Yield how what is called before a program and what is called behind it do not belong together."""
    if call.number == 0 or call.number + 1 >= len(machine.calls):
        yield Found("frame", "pair", call.line, "a program is run without being entered and left")
        return
    enter, leave = machine.calls[call.number - 1], machine.calls[call.number + 1]
    if enter.registers[_A0][0] != "num" or enter.registers[_A0] != leave.registers[_A0]:
        text = "what enters a program and what leaves it are not given the same program"
        yield Found("frame", "pair program", leave.line, text)
    if enter.registers[_A1][0] != "sp" or enter.registers[_A1] != leave.registers[_A2]:
        text = "what enters a program and what leaves it are not given the same run context"
        yield Found("frame", "pair context", leave.line, text)
    if leave.registers[_A1] != ("ret", enter.number):
        text = "what leaves a program is not given the time at which it was entered"
        yield Found("frame", "pair time", leave.line, text)


def _frames(about: _Checked, call: Call) -> Iterator[Found]:
    """Yield how the frame pointer does not lead to the caller, by the return addresses and frame pointers below it."""
    wanted: list[Value] = [("in", _RA)] if about.link == _RA else [("in", about.link), ("in", _RA)]
    addresses: list[Value] = []
    value = call.registers[_FP]
    while value[0] == "sp" and len(addresses) < _MOST_FRAMES:
        addresses.append(call.memory.get(value[1] - 8, ("junk", 0)))
        value = call.memory.get(value[1] - 16, ("junk", 0))
    if value != ("in", _FP) or addresses != wanted:
        text = "while a program runs, the frame pointer does not lead to the traced function and its caller"
        yield Found("frame", "frames", call.line, text)


def _branched(about: _Checked, trace: Trace, straight: Machine, at: int, line: int) -> Iterator[Found]:
    """Yield what is wrong on the way that takes one branch."""
    machine = Machine(taken=frozenset((at,)))
    try:
        machine.run(trace.events)
    except NotRun:
        yield Found("frame", "into", line, "a branch goes to no instruction")
        return
    tested = machine.tests.get(at, ("junk", 0))
    if tested[0] in ("junk", "in", "num"):
        yield Found("frame", "tested", line, "a branch tests a register that nothing has set for it")
    if machine.end is None:
        yield Found("frame", "branch end", line, "behind a branch that is taken a trampoline does not end in a jump")
        return
    yield from _left(about, machine)
    runs = [call for call in straight.calls if call.target == PROGRAM and 0 < call.number < len(straight.calls) - 1]
    before = {straight.calls[call.number - 1].target for call in runs}
    behind = {straight.calls[call.number + 1].target for call in runs}
    entered, left = (sum(call.target in names for call in machine.calls) for names in (before, behind))
    if entered != left and not before & behind:
        text = "behind a branch that is taken a program is entered and not left"
        yield Found("frame", "branch pair", line, text)
    images = sum(call.registers[_A0] == ("num", IMAGE_ARGUMENT) for call in machine.calls)
    if images % 2:
        yield Found("frame", "branch image", line, "behind a branch that is taken the image is entered and not left")
    is_skipped = "CALL_ORIG" in about.setting.flags and not any(map(_is_original, machine.calls))
    if is_skipped and machine.registers[_A0] != tested:
        text = "a program's value for the original's is tested, and another one is returned"
        yield Found("frame", "branch value", line, text)
