# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions as Python functions: one at a time, and whole paths that a program runs often.

A path is a sequence of instructions as they were once executed, across jumps, calls and branches, from a head
to an end or back to the head. Its function keeps registers in local names. Where the program takes another
way the function leaves through a side exit. A fault leaves it with an exception; the line of the source that
raised it tells the instruction, so that nothing need be counted on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ..isa.insn import SPECS, Insn, Spec
from .memory import Memory
from .scalar import HELPERS, Printer, Value, constant, unsigned

if TYPE_CHECKING:
    from .hart import Hart

__all__ = ["PathFunction", "Step", "StepFunction", "path_function", "step_function", "views_of"]

StepFunction = Callable[..., int]
"""(hart, x, rd, rs1, rs2, imm, pc, next, csr) -> the next pc; x0's writes go to a register behind the others."""

PathFunction = Callable[["Hart", list[int], int], tuple[int, int]]
"""(hart, x, budget) -> (pc, budget left); nothing is done if the budget is shorter than the path."""

SINK = 32
"""Register that takes what is written to x0."""

_STEP_OPERANDS = {
    "rs1": unsigned("x[rs1]"),
    "rs2": unsigned("x[rs2]"),
    "rd": unsigned("x[rd]"),
    "rd_odd": unsigned("x[rd + 1]"),
    "rs2_odd": unsigned("x[rs2 + 1 if rs2 else 0]"),
    "imm": Value("imm", -(1 << 31), (1 << 31) - 1),
    "csr": unsigned("csr", 12),
    "rs1_is_x0": unsigned("(1 if rs1 == 0 else 0)", 1),
    "pc": unsigned("pc"),
    "next": unsigned("next"),
}
_STEP_TARGETS = {"rd": "x[rd]", "rd_odd": "x[rd + 1]"}
_PARAMETERS = "m, x, rd, rs1, rs2, imm, pc, next, csr"
_VIEWS = (*(f"L{code}" for code in "BHIQbhi"), *(f"S{code}" for code in "BHIQ"))
# names for Memory.loads and Memory.stores of a format


def _views_in(body: str) -> list[str]:
    return [name for name in _VIEWS if f"{name}[" in body]


def _semantics(spec: Spec) -> str:
    return (SPECS[spec.base] if spec.base else spec).run


@cache
def step_function(spec: Spec, checks_target: bool) -> StepFunction:
    """Return what executes one instruction of a kind.

    Args:
        spec: the instruction.
        checks_target: a jump to an address that is no multiple of 4 is a fault.
    """
    printer = Printer(_STEP_OPERANDS, lambda name, value: f"{_STEP_TARGETS[name]} = {value.text}")
    printer.checks_target = checks_target
    printer.print(_semantics(spec))
    target = printer.target.text if printer.target else "next"
    if printer.condition:
        target = f"{target} if {printer.condition.text} else next"
    body = "".join(f"    {line}\n" for line in (*printer.lines, f"return {target}"))
    views = "".join(f"    {name} = m.views['{name}']\n" for name in _views_in(body))
    step: StepFunction = _define(f"def step({_PARAMETERS}):\n{views}{body}", "step", spec.name, {})
    return step


def _define(source: str, name: str, label: str, names: Mapping[str, object]) -> Any:
    namespace: dict[str, Any] = {**HELPERS, **names}
    exec(compile(source, f"<{label}>", "exec"), namespace)  # source of our own making: see Printer
    return namespace[name]


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction of a path, and where it went.

    Args:
        insn: the instruction under its uncompressed name.
        pc: its address.
        target: address of the instruction that was executed after it.
    """

    insn: Insn
    pc: int
    target: int

    @property
    def next(self) -> int:
        """The address behind it."""
        return self.pc + self.insn.size & 0xFFFFFFFFFFFFFFFF


class _Path:
    """The function of one path while its source is written."""

    def __init__(self, steps: list[Step], *, is_loop: bool, checks_target: bool):
        self.steps, self.is_loop, self.checks_target = steps, is_loop, checks_target
        self.lines: list[str] = []
        self.places: list[int] = []  # for each line, which step it is of
        self.registers: dict[int, None] = {}  # that it reads or writes, in order
        self.written: dict[int, None] = {}
        self.known: dict[int, Value] = {}

    def source(self) -> str:
        """Return the source of the function; `places` then tells for each body line its step."""
        for number, step in enumerate(self.steps):
            self._step(number, step)
        self._end()
        loads = [f"    x{n} = x[{n}]" for n in self.registers]
        stores = "; ".join(f"x[{n}] = x{n}" for n in self.written) or "pass"
        body = "\n".join(f"            {line}" for line in self.lines)
        views = "".join(f", {name}={name}" for name in _views_in(body))
        head = f"def path(m, x, left{views}):\n    if left < {len(self.steps)}: return {self.steps[0].pc}, left\n"
        head += "".join(line + "\n" for line in loads) + "    try:\n        while True:\n"
        self.first_line = head.count("\n") + 1
        return (
            f"{head}{body}\n"
            f"    except BaseException as error:\n"
            f"        {stores}\n"
            f"        m.interrupted(error, places, steps, left)\n"
            f"        raise\n"
            f"    {stores}\n"
            f"    return pc, left\n"
        )

    def _register(self, number: int) -> Value:
        if number <= 0:
            return constant(0)
        self.registers[number] = None
        return self.known.get(number) or unsigned(f"x{number}")

    def _operands(self, step: Step) -> dict[str, Value]:
        insn = step.insn
        return {
            "rs1": self._register(insn.rs1),
            "rs2": self._register(insn.rs2),
            "imm": constant(insn.imm),
            "csr": constant(insn.csr),
            "rs1_is_x0": constant(int(insn.rs1 == 0)),
            "pc": constant(step.pc),
            "next": constant(step.next),
        } | self._odd_operands(insn)

    def _odd_operands(self, insn: Insn) -> dict[str, Value]:
        """Return what only amocas reads; asking for a register makes the path load it."""
        if "amocas" not in insn.name:
            return {}
        odd = constant(0) if insn.rs2 <= 0 else self._register(insn.rs2 + 1)
        return {"rd": self._register(insn.rd), "rs2_odd": odd, "rd_odd": self._register(insn.rd + 1 if insn.rd else 0)}

    def _step(self, number: int, step: Step) -> None:
        written: dict[str, Value] = {}

        def assign(name: str, value: Value) -> str:
            register = step.insn.rd if name == "rd" else step.insn.rd + 1
            if step.insn.rd <= 0:
                return ""
            self.registers[register] = self.written[register] = None
            written[str(register)] = value
            return f"x{register} = {value.text}" if value.text != f"x{register}" else ""

        printer = Printer(self._operands(step), assign, f"t{number}_", checks_target=self.checks_target)
        printer.print(_semantics(step.insn.spec))
        for text, value in written.items():
            register = int(text)
            self.known[register] = (
                Value(f"x{register}", value.low, value.high) if value.const is None else constant(value.const)
            )
        self._emit(number, printer.lines)
        if number < len(self.steps) - 1 or self.is_loop:
            self._guard(number, step, printer)
        else:
            self._last = printer

    def _emit(self, number: int, lines: list[str]) -> None:
        self.lines += lines
        self.places += [number] * len(lines)

    def _guard(self, number: int, step: Step, printer: Printer) -> None:
        """Leave the path where the instruction does not go where it went."""
        if printer.target is None:
            return
        condition, target = printer.condition, printer.target
        if condition is None:
            if target.const is None:
                self._exit(number, f"if {target.text} != {step.target}", target.text)
        elif condition.const is None:
            if step.target == step.next:
                self._exit(number, f"if {condition.text}", target.text)
            else:
                self._exit(number, f"if not ({condition.text})", str(step.next))

    def _exit(self, number: int, test: str, target: str) -> None:
        self._emit(number, [f"{test}: pc = {target}; left -= {self._done(number)}; break"])

    def _done(self, number: int) -> str:
        """Return how many instructions are executed where the path is left for pc.

        One that jumps to itself is left to the hart, which knows what it means.
        """
        step = self.steps[number]
        insn = step.insn
        stays = insn.imm == 0 if insn.spec.is_relative else insn.name == "jalr" and not insn.rd == insn.rs1 != 0
        return f"{number + 1} - (pc == {step.pc})" if stays else str(number + 1)

    def _end(self) -> None:
        length, last = len(self.steps), self.steps[-1]
        if self.is_loop:
            self._emit(length, [f"left -= {length}", f"if left < {length}: pc = {self.steps[0].pc}; break"])
            return
        target = self._last.target.text if self._last.target else str(last.next)
        if self._last.condition:
            target = f"{target} if {self._last.condition.text} else {last.next}"
        self._emit(length, [f"pc = {target}; left -= {self._done(length - 1)}; break"])


def views_of(memory: Memory) -> dict[str, Any]:
    """Return the pages of a memory under the names that printed source has for them."""
    return {name: (memory.loads if name[0] == "L" else memory.stores)[name[1]] for name in _VIEWS}


def path_function(steps: list[Step], views: Mapping[str, Any], *, is_loop: bool, checks_target: bool) -> PathFunction:
    """Return what executes a path.

    Args:
        steps: its instructions as they were executed, at least one.
        views: from views_of() the memory that it is for.
        is_loop: the last one went back to the first.
        checks_target: a jump to an address that is no multiple of 4 is a fault.
    """
    path = _Path(steps, is_loop=is_loop, checks_target=checks_target)
    source = path.source()
    function: Any = _define(source, "path", f"path at {steps[0].pc:#x}", views)
    places = {path.first_line - 1: 0, **dict(enumerate(path.places, path.first_line))}  # the loop's own line too
    function.__globals__.update(places=places, steps=steps)
    return function  # type: ignore[no-any-return]
