# SPDX-License-Identifier: GPL-2.0-or-later
"""Assembly functions followed along each of their paths: where every register and stack slot comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .assembly import REGISTERS, Insn, Routine, number, operand

__all__ = ["CALLER_SAVED", "Call", "Exit", "Fault", "Flow", "Value", "flow_of"]

CALLER_SAVED = ("ra", *(f"t{n}" for n in range(7)), *(f"a{n}" for n in range(8)))
_LOADS = frozenset(("REG_L", "ld", "lw", "lwu", "lh", "lhu", "lb", "lbu"))
_STORES = frozenset(("REG_S", "sd", "sw", "sh", "sb"))
_BRANCHES = frozenset(
    re.findall(
        r"\S+",
        "beq bne blt bge bltu bgeu ble bgt bleu bgtu beqz bnez bltz bgez blez bgtz",
    )
)
_SETS = frozenset(
    re.findall(
        r"\S+",
        "add sub and or xor sll srl sra slt sltu addw subw mul mulw andi ori xori slli srli srai slti sltiu "
        "addiw not neg negw seqz snez sext.w zext.w lui auipc li la lla csrr csrrw csrrs csrrc csrrsi csrrci "
        "csrrwi rdtime lr.w lr.d sc.w sc.d",
    )
)
_NOTHING = frozenset(
    re.findall(
        r"\S+",
        "nop fence fence.i ebreak csrw csrs csrc csrwi csrsi csrci c.nop wfi lpad pause",
    )
)
_MOST_STEPS = 6000
_MOST_PATHS = 64


class Value(NamedTuple):
    """Where something comes from.

    Args:
        kind: ``entry`` (a register as the function got it), ``stack`` (an address, bytes from sp at the entry),
            ``number``, ``symbol``, ``load`` (from an address outside of the stack), ``unknown``.
        name: the register, the symbol, or for ``load`` the register that held the address.
        number: what is added, or the offset.
        slot: the stack slot it was loaded from, if it was [bytes from sp at the entry].
    """

    kind: str
    name: str = ""
    number: int = 0
    slot: int | None = None

    def is_entry(self, register: str) -> bool:
        """Tell whether it is what a register was at the entry."""
        return self.kind == "entry" and self.name == register and self.number == 0


class Slot(NamedTuple):
    """What a stack slot holds, where it was stored, and how its offset was written."""

    value: Value
    insn: Insn
    written: str


class Call(NamedTuple):
    """A call: what it is of, and what everything is then."""

    insn: Insn
    callee: str
    target: Value | None
    registers: Mapping[str, Value]
    slots: Mapping[int, Slot]
    made: Mapping[str, Insn]


class Exit(NamedTuple):
    """A way out.

    Args:
        insn: that leaves.
        target: where to; None for a symbol.
        label: ``jr t0`` or ``tail name``.
    """

    insn: Insn
    target: Value | None
    label: str
    registers: Mapping[str, Value]
    slots: Mapping[int, Slot]
    made: Mapping[str, Insn]
    has_called: bool


class Fault(NamedTuple):
    """Something that is wrong wherever it stands: kind, instruction, message."""

    kind: str
    insn: Insn
    message: str


@dataclass
class Flow:
    """What was seen of a function.

    Args:
        odd: what was not understood; then the rest is not complete.
    """

    calls: list[Call] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    loads: list[tuple[Insn, str, int]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


@dataclass
class _State:
    at: int
    registers: dict[str, Value]
    slots: dict[int, Slot]
    made: dict[str, Insn]
    has_called: bool = False
    zero: dict[str, Insn] = field(default_factory=dict)
    """Registers that a branch on the way here, this one, has found to be 0."""

    def copy(self, at: int) -> _State:
        return _State(at, dict(self.registers), dict(self.slots), dict(self.made), self.has_called, dict(self.zero))


def flow_of(routine: Routine, names: Mapping[str, str]) -> Flow:
    """Follow a function.

    Args:
        names: values of the constants that it uses.
    """
    return _Follower(routine, names).flow


class _Follower:
    def __init__(self, routine: Routine, names: Mapping[str, str]) -> None:
        self.routine, self.names, self.flow = routine, names, Flow(odd=list(routine.odd))
        start = {name: Value("entry", name) for name in REGISTERS.values()}
        start |= {"zero": Value("number"), "sp": Value("stack")}
        self.waiting = [_State(0, start, {}, {})]
        self.seen_branches: set[tuple[int, int]] = set()
        self.unknowns = 0
        self._follow()

    def _follow(self) -> None:
        steps = paths = 0
        while self.waiting and not self.flow.odd:
            state = self.waiting.pop()
            paths += 1
            while state.at < len(self.routine.insns):
                steps += 1
                if steps > _MOST_STEPS or paths > _MOST_PATHS:
                    self.flow.odd.append("too many paths")
                    return
                insn = self.routine.insns[state.at]
                state.at += 1
                if not self._step(state, insn) or self.flow.odd:
                    break

    def _unknown(self) -> Value:
        self.unknowns += 1
        return Value("unknown", number=self.unknowns)

    def _register(self, text: str) -> str:
        if text not in REGISTERS:
            self.flow.odd.append(f"register {text}")
            return "zero"
        return REGISTERS[text]

    def _number(self, text: str, insn: Insn) -> int:
        value = number(text, self.names)
        if value is None:
            self.flow.odd.append(f"{text} at line {insn.line}")
        return value or 0

    def _set(self, state: _State, register: str, value: Value, insn: Insn) -> None:
        if register != "zero":
            state.registers[register] = value
            state.made[register] = insn
            state.zero.pop(register, None)

    def _step(self, state: _State, insn: Insn) -> bool:
        """Do one instruction; tell whether the next one follows."""
        op, args = insn.op, insn.args
        if op in _LOADS or op in _STORES:
            self._memory(state, insn)
        elif op in _BRANCHES and args:
            self._branch(state, insn)
        elif op in ("mv", "move") and len(args) == 2:
            self._set(state, self._register(args[0]), state.registers[self._register(args[1])], insn)
        elif op in ("addi", "add") and len(args) == 3:
            self._add(state, insn)
        elif op == "li" and len(args) == 2 and (value := number(args[1], self.names)) is not None:
            self._set(state, self._register(args[0]), Value("number", number=value), insn)
        elif op in ("la", "lla") and len(args) == 2:
            self._set(state, self._register(args[0]), Value("symbol", args[1]), insn)
        elif op in _SETS and args:
            self._set(state, self._register(args[0]), self._unknown(), insn)
        elif op in ("call", "jal", "jalr", "jr", "j", "ret", "tail"):
            return self._jump(state, insn)
        elif op not in _NOTHING:
            self.flow.odd.append(f"{op} at line {insn.line}")
        return True

    def _add(self, state: _State, insn: Insn) -> None:
        target, source = self._register(insn.args[0]), state.registers[self._register(insn.args[1])]
        if insn.args[2] in REGISTERS:
            other = state.registers[REGISTERS[insn.args[2]]]
            if other.kind != "number":
                self._set(state, target, self._unknown(), insn)
                return
            count = other.number
        else:
            count = self._number(insn.args[2], insn)
        if source.kind == "unknown":
            self._set(state, target, self._unknown(), insn)
        else:
            self._set(state, target, Value(source.kind, source.name, source.number + count), insn)

    def _memory(self, state: _State, insn: Insn) -> None:
        place = operand(insn.args[1]) if len(insn.args) == 2 else None
        if place is None:
            if insn.op in _LOADS and len(insn.args) == 2:  # of a symbol
                self._set(state, self._register(insn.args[0]), Value("load", f"&{insn.args[1]}"), insn)
            else:
                self.flow.odd.append(f"{insn.op} at line {insn.line}")
            return
        base, register = state.registers[place[1]], self._register(insn.args[0])
        if base.kind != "stack":
            if insn.op in _LOADS:
                self._elsewhere(state, insn, register, base, number(place[0], self.names))
            return
        at = base.number + self._number(place[0], insn)
        if insn.op in _STORES:
            self._store(state, insn, at, state.registers[register], insn.args[1])
        elif at in state.slots:
            held = state.slots[at].value
            self._set(state, register, Value(held.kind, held.name, held.number, at), insn)
        else:
            if at < 0:
                text = f"loads {register} from {insn.args[1]}, where nothing was stored"
                self.flow.faults.append(Fault("unset", insn, text))
            self._set(state, register, self._unknown(), insn)

    def _elsewhere(self, state: _State, insn: Insn, register: str, base: Value, offset: int | None) -> None:
        """Load from an address that is not on the stack; the offset may be one of a struct that was not read."""
        if offset is None:
            self._set(state, register, self._unknown(), insn)
            return
        if base.kind == "entry":
            self.flow.loads.append((insn, base.name, base.number + offset))
        self._set(state, register, Value("load", base.name, base.number + offset), insn)

    def _store(self, state: _State, insn: Insn, at: int, value: Value, written: str) -> None:
        depth = state.registers["sp"].number if state.registers["sp"].kind == "stack" else None
        if at >= 0:
            text = f"stores {insn.args[0]} at {written}, {at} bytes above its own frame"
            self.flow.faults.append(Fault("above", insn, text))
        elif depth is not None and at < depth:
            text = f"stores {insn.args[0]} at {written}, below sp"
            self.flow.faults.append(Fault("below", insn, text))
        state.slots[at] = Slot(value, insn, written)

    def _branch(self, state: _State, insn: Insn) -> None:
        unset = False
        for arg in insn.args[:-1]:
            value = state.registers[self._register(arg)]
            if value.kind == "entry" and value.name in ("t1", "t2", "t3", "t4", "t5", "t6") and not value.number:
                text = f"tests {REGISTERS[arg]}, which nothing has set"
                self.flow.faults.append(Fault(f"undefined {value.name}", insn, text))
                unset = True
        target = self.routine.target(insn.args[-1], state.at - 1)
        if target is None:
            self.flow.odd.append(f"{insn.args[-1]} at line {insn.line}")
            return
        edge = (state.at, state.registers["sp"].number)
        if target < state.at and edge in self.seen_branches:
            return  # a loop was gone round once
        self.seen_branches.add(edge)
        taken = state.copy(target)
        self.waiting.append(taken)
        if not unset and (tested := self._tested(insn)) is not None:
            (taken if insn.op in ("beq", "beqz") else state).zero[tested] = insn

    def _tested(self, insn: Insn) -> str | None:
        """Return the register that a branch compares with 0 for being the same or another; None for any other."""
        names = [self._register(arg) for arg in insn.args[:-1]]
        others = [name for name in names if name != "zero"]
        is_with_0 = insn.op in ("beqz", "bnez") or (insn.op in ("beq", "bne") and len(names) == 2)
        return others[0] if is_with_0 and len(others) == 1 else None

    def _jump(self, state: _State, insn: Insn) -> bool:
        """Do a jump; tell whether the next instruction follows."""
        op, args = insn.op, insn.args
        if op == "ret":
            return self._exit(state, insn, state.registers["ra"], "ret")
        if op in ("j", "tail") and args:
            target = self.routine.target(args[0], state.at - 1) if op == "j" else None
            if target is None:
                return self._exit(state, insn, None, f"tail {args[0]}")
            if target < state.at:
                return False
            state.at = target
            return True
        if op in ("call", "jal") and args:
            return self._call(state, insn, args[-1], None)
        link, source = self._indirect(insn)
        value = state.registers[source]
        if source in state.zero:
            self.flow.faults.append(Fault("null", state.zero[source], f"jumps to {source} where it is 0"))
        if link == "zero":
            return self._exit(state, insn, value, f"jr {source}")
        if state.at == len(self.routine.insns):  # what is behind belongs to another function
            state.has_called |= link == "ra"
            self._set(state, link, self._unknown(), insn)
            return self._exit(state, insn, value, f"jalr {source}")
        return self._call(state, insn, "", value)

    def _indirect(self, insn: Insn) -> tuple[str, str]:
        """Return the link and the target register of jr and jalr in their various forms."""
        args = insn.args
        if insn.op == "jr" or (len(args) == 1 and insn.op == "jalr"):
            place = operand(args[0]) if args else None
            source = place[1] if place is not None else self._register(args[0] if args else "")
            return ("zero" if insn.op == "jr" else "ra"), source
        link = self._register(args[0]) if args else "ra"
        place = operand(args[1]) if len(args) == 2 else None
        return link, place[1] if place is not None else self._register(args[1] if len(args) > 1 else "")

    def _call(self, state: _State, insn: Insn, callee: str, target: Value | None) -> bool:
        self.flow.calls.append(Call(insn, callee, target, dict(state.registers), dict(state.slots), dict(state.made)))
        for register in CALLER_SAVED:
            state.registers[register] = self._unknown()
            state.made[register] = insn
        state.has_called = True
        return True

    def _exit(self, state: _State, insn: Insn, target: Value | None, label: str) -> bool:
        self.flow.exits.append(
            Exit(insn, target, label, dict(state.registers), dict(state.slots), dict(state.made), state.has_called)
        )
        return False
