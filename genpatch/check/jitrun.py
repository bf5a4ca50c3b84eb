# SPDX-License-Identifier: GPL-2.0-or-later
"""What the code that the BPF JIT emits does with registers and the stack, followed instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .cexec import NotRun
from .jit import STRUCT, Event

__all__ = ["SAVED", "Call", "Machine", "Value"]

Value = tuple[Any, ...]
"""("in", register) as it was at the start, ("sp", bytes from the first stack pointer), ("stack", the same) what the
caller had there, ("num", n), ("ret", number of the call), ("r0", the same) for what BPF
calls register 0, or ("junk", n)."""
SAVED = (8, 9, *range(18, 28))
_LOST = (1, *range(5, 8), *range(10, 18), *range(28, 32))
_TO_FIRST = frozenset(
    ("auipc", "jal", "lui", "slli", "andi", "srli", "srai", "addiw", "add", "sub", "or", "and", "xor")
)
_NOTHING = frozenset(("nop", "data", "fence"))
_BRANCHES = frozenset(("beq", "bne", "blt", "bge", "bltu", "bgeu"))


class Call(NamedTuple):
    """A call that was made.

    Args:
        target: address of what was called.
        registers: before it.
        memory: before it, by bytes from the first stack pointer.
        number: of the call, the first is 0.
        line: of the text that emits it.
    """

    target: int
    registers: Mapping[int, Value]
    memory: Mapping[int, Value]
    number: int
    line: int


@dataclass
class Machine:
    """Registers and stack.

    Args:
        registers: by number; register 0 is 0.
        memory: by bytes from the first stack pointer.
        calls: in order.
        end: (register, offset) of the jump that ends it; None if there was none.
        end_line: of the text that emits that jump.
        outside: (bytes, line) of stores that are not between the stack pointer and the first one.
        taken: places, in halfwords, of branches that are taken; others are not.
        tests: what branches looked at, by their places.
    """

    registers: dict[int, Value] = field(default_factory=lambda: {n: ("in", n) for n in range(32)})
    memory: dict[int, Value] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    end: tuple[int, int] | None = None
    end_line: int = 0
    outside: list[tuple[int, int]] = field(default_factory=list)
    taken: frozenset[int] = frozenset()
    tests: dict[int, Value] = field(default_factory=dict)
    junk: int = 0

    def __post_init__(self) -> None:
        self.registers[0] = ("num", 0)
        self.registers[2] = ("sp", 0)

    def run(self, events: Sequence[Event]) -> None:
        """Follow instructions until they jump away.

        Raises:
            NotRun: one of them is not known, or a branch goes to no later one.
        """
        behind = 0
        for event in events:
            if event.at < behind:
                continue
            if behind and event.at != behind:
                break
            behind = 0
            if event.op in _BRANCHES:
                behind = self._branch(event)
            else:
                self._step(event)
            if self.end is not None:
                return
        if behind:
            raise NotRun("a branch to no instruction")

    def _branch(self, event: Event) -> int:
        """Return where a branch goes, 0 if it is not taken."""
        if len(event.args) != 3 or any(not isinstance(each, int) for each in event.args):
            raise NotRun("a branch that is no plain one")
        self.tests[event.at] = self.registers[event.args[0] or event.args[1]]
        if event.at not in self.taken:
            return 0
        if event.args[2] <= 0:
            raise NotRun("a branch back")
        return event.at + int(event.args[2])

    def _step(self, event: Event) -> None:
        if event.op in _NOTHING:
            return
        for each in event.args or ("",):
            if not isinstance(each, int):
                raise NotRun(f"an instruction {event.op} of what are no numbers")
        if event.op in _KNOWN:
            if event.op != "call" and not 0 <= event.args[0] < 32:
                raise NotRun(f"register {event.args[0]}")
            _KNOWN[event.op](self, event)
        elif event.op in _TO_FIRST or event.op.startswith(("sext", "zext")):
            self._set(event.args[0], self._new())
        else:
            raise NotRun(f"the instruction {event.op} is not known")

    def _new(self) -> Value:
        self.junk += 1
        return ("junk", self.junk)

    def _set(self, register: int, value: Value) -> None:
        if register:
            self.registers[register] = value

    def _place(self, register: int, offset: int) -> int | None:
        base = self.registers[register]
        return base[1] + offset if base[0] == "sp" else None

    def _store(self, event: Event) -> None:
        base, offset, source = event.args[:3]
        place = self._place(base, offset)
        if place is None:
            return
        bottom = self.registers[2]
        if place >= 0 or (bottom[0] == "sp" and place < bottom[1]):
            self.outside.append((place, event.line))
        self.memory[place] = self.registers[source]

    def _load(self, event: Event) -> None:
        register, offset, base = event.args[:3]
        place = self._place(base, offset)
        if place is None:
            self._set(register, self._new())
        else:
            self._set(register, self.memory.get(place, ("stack", place) if place >= 0 else self._new()))

    def _move(self, event: Event) -> None:
        self._set(event.args[0], self.registers[event.args[1]])

    def _number(self, event: Event) -> None:
        self._set(event.args[0], ("num", event.args[1]))

    def _add(self, event: Event) -> None:
        register, source, number = event.args[:3]
        value = self.registers[source]
        self._set(register, (value[0], value[1] + number) if value[0] in ("sp", "num") else self._new())

    def _call(self, event: Event) -> None:
        number = len(self.calls)
        self.calls.append(Call(event.args[0], dict(self.registers), dict(self.memory), number, event.line))
        for register in (11, 12):  # what second and third arguments point to is the called function's to write
            value = self.registers[register]
            for place in [p for p in self.memory if value[0] == "sp" and value[1] <= p < value[1] + STRUCT]:
                self.memory[place] = self._new()
        for register in _LOST:
            self.registers[register] = self._new()
        self.registers[10] = ("ret", number)
        self.registers[15] = ("r0", number)

    def _jump(self, event: Event) -> None:
        link, register, offset = event.args[:3]
        if link:
            raise NotRun("a call through a register")
        self.end, self.end_line = (register, offset), event.line

    def lost(self) -> Iterator[int]:
        """Yield the registers that callers count on and that do not have their first value."""
        for register in SAVED:
            if self.registers[register] != ("in", register):
                yield register


_KNOWN: dict[str, Callable[[Machine, Event], None]] = {
    "sd": Machine._store,
    "ld": Machine._load,
    "addi": Machine._add,
    "mv": Machine._move,
    "imm": Machine._number,
    "call": Machine._call,
    "jalr": Machine._jump,
}
