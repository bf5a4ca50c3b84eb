# SPDX-License-Identifier: GPL-2.0-or-later
"""What asm/ftrace.h's functions read and change of a traced function's registers, by running them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .cexec import NotRun, Obj
from .frames import taken
from .layout import FTRACE, HEADER
from .shown import Shown
from .small import Small, Texted, texted

__all__ = ["GETS", "GRAPH", "accessor_faults"]

GETS = {
    "ftrace_regs_get_instruction_pointer": "epc",
    "ftrace_regs_get_return_address": "ra",
    "ftrace_regs_get_stack_pointer": "sp",
    "ftrace_regs_get_frame_pointer": "s0",
    "ftrace_regs_get_return_value": "a0",
}
"""What each returns."""
_SETS = {
    "ftrace_regs_set_instruction_pointer": "epc",
    "ftrace_regs_set_return_value": "a0",
}
"""What each changes, to its second argument."""
_DIRECT = "arch_ftrace_set_direct_caller"
_CALLERS = frozenset(("epc", "ra", "sp", "s0", *(f"a{n}" for n in range(8))))
"""What the traced function and its caller count on; a direct call is put elsewhere."""
_OVERRIDE = "ftrace_override_function_with_return"
GRAPH = "ftrace_graph_func"
_MEMBERS = (
    "epc",
    "ra",
    "sp",
    "s0",
    "t1",
    "direct_tramp",
    *(f"a{n}" for n in range(8)),
    *(f"t{n}" for n in range(2, 7)),
)
_OPTIONS = dict.fromkeys(
    (
        "CONFIG_DYNAMIC_FTRACE",
        "CONFIG_DYNAMIC_FTRACE_WITH_ARGS",
        "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
        "CONFIG_FUNCTION_GRAPH_TRACER",
        "CONFIG_FRAME_POINTER",
    ),
    True,
)
_VALUE, _BASE, _NEW = 0x1000, 0x5000_0000, 0x7777


@lru_cache(maxsize=8)
def accessor_faults(header: str, source: str) -> tuple[Shown, ...]:
    """Return what the functions do wrong that are there.

    Args:
        header: asm/ftrace.h.
        source: ftrace.c.
    Raises:
        NotRun: one does something that is not understood.
    """
    made = texted(taken(source, _OPTIONS).text, taken(header, _OPTIONS).text, header, source)
    return (*_read(made), *_changed(made), *_direct(made), *_graph(made))


def _regs() -> Obj:
    regs = Obj("regs")
    regs.fields = {name: _VALUE + at for at, name in enumerate(_MEMBERS)}
    return regs


def _read(made: Texted) -> Iterator[Shown]:
    for name, member in GETS.items():
        if name in made.functions and _Regs(made).run(name, _regs()) != _VALUE + _MEMBERS.index(member):
            yield Shown(f"get {name}", HEADER, name, f"{name}() does not give {member}")


def _changed(made: Texted) -> Iterator[Shown]:
    wanted = {name: {member: _NEW} for name, member in _SETS.items()} | {_OVERRIDE: {"epc": _VALUE + 1}}
    for name, changes in wanted.items():
        if name not in made.functions:
            continue
        regs, before = _regs(), _regs().fields
        _Regs(made).run(name, regs, *((_NEW,) if name in _SETS else ()))
        if {key: value for key, value in regs.fields.items() if before.get(key) != value} != changes:
            member = next(iter(changes))
            other = "ra" if name == _OVERRIDE else "what it is told"
            yield Shown(f"set {name}", HEADER, name, f"{name}() does not set {member}, and that alone, to {other}")


def _direct(made: Texted) -> Iterator[Shown]:
    if _DIRECT not in made.functions:
        return
    regs, before = _regs(), _regs().fields
    _Regs(made).run(_DIRECT, regs, _NEW)
    changed = {key: value for key, value in regs.fields.items() if before.get(key) != value}
    if list(changed.values()) != [_NEW] or _CALLERS & changed.keys():
        text = f"{_DIRECT}() does not put what it is told into one register that the traced function does not count on"
        yield Shown("direct", HEADER, _DIRECT, text)


def _graph(made: Texted) -> Iterator[Shown]:
    tree = made.functions.get(GRAPH)
    if tree is None or len(tree.parameters) != 4:
        return
    run = _Regs(made)
    run.run(GRAPH, 0x100, 0x200, 0, _BASE)
    ra = _BASE + 8 * _MEMBERS.index("ra")
    if len(run.entered) != 1:
        yield Shown("graph once", FTRACE, GRAPH, f"{GRAPH}() does not enter the function graph once")
        return
    args = run.entered[0]
    if args[:2] != (_VALUE + 1, 0x100) or args[3] != ra:
        text = f"{GRAPH}() enters the function graph with something else than ra, the function and the slot of ra"
        yield Shown("graph arguments", FTRACE, GRAPH, text)
    if args[2] != _VALUE + _MEMBERS.index("s0"):
        yield Shown("graph frame", FTRACE, GRAPH, f"{GRAPH}() enters the function graph with another s0")
    if run.stored != {ra: run.numbers["return_to_handler"]}:
        text = f"{GRAPH}() does not put return_to_handler where the function returns to, or more than that"
        yield Shown("graph store", FTRACE, GRAPH, text)


class _Regs(Small):
    """Registers of a traced function, by their struct or by its address."""

    def __init__(self, source: Texted) -> None:
        super().__init__(source, {"return_to_handler": 0x9999, "current": 0x6000_0000})
        self.entered: list[tuple[Any, ...]] = []
        self.stored: dict[int, Any] = {}

    def place(self, base: Any, name: str) -> Any:
        """Return the address of a member."""
        if base == _BASE and name in _MEMBERS:
            return _BASE + 8 * _MEMBERS.index(name)
        return 0x6000_0000

    def field(self, base: Any, name: str) -> Any:
        """Return what a member, or an address, holds."""
        if base == _BASE and name in _MEMBERS:
            return _VALUE + _MEMBERS.index(name)
        if name == "*" and isinstance(base, int):
            at = (base - _BASE) // 8
            return self.stored.get(base, _VALUE + at if 0 <= at < len(_MEMBERS) else 0)
        raise NotRun(f"the field {name} is not known")

    def store(self, base: int, value: Any) -> None:
        """Take note of a store."""
        self.stored[base] = value

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what ftrace's core gives."""
        if name == "atomic_read":
            return 0
        if name in ("function_graph_enter_regs", "function_graph_enter") and len(args) >= 4:
            self.entered.append(tuple(args[:4]))
            return 0
        return super().call(name, args, line)
