# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the JIT's functions that emit numbers, addresses, jumps and branches emit what they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from .cexec import NotRun, signed
from .ctree import trees_of
from .jit import Event, Setting, run_jit
from .layout import BPF
from .shown import Shown

__all__ = ["EMITTERS", "emitter_faults"]

EMITTERS = ("emit_imm", "emit_addr", "emit_jump_and_link", "emit_bcc")
_RD, _RS = 10, 11
_IMAGE = 1 << 40
_NUMBERS = (
    0,
    1,
    -1,
    0x7FF,
    0x800,
    -0x800,
    -0x801,
    0x12345,
    0x7FFF_F7FF,
    0x7FFF_FFFF,
    -0x8000_0000,
    0x8000_0000,
    0x1234_5678_9ABC_DEF0,
    -0x1234_5678_9ABC_DEF1,
    1 << 62,
)
_NEAR = (0x7FE, 0x800, -0x800, -0x802, 0xFFE, 0x1234, (1 << 20) - 2, -(1 << 20), 1 << 20)
_FAR = (0x1234_5678, -0x1234_5678, (1 << 31) - (1 << 11) - 2, (1 << 31) - (1 << 11), -(1 << 31) - (1 << 11))
_LIMIT = 1 << 19
_U = (1 << 64) - 1
_HOLDS: dict[str, Callable[[int, int], bool]] = {
    "JEQ": lambda a, b: a == b,
    "JNE": lambda a, b: a != b,
    "JGT": lambda a, b: a & _U > b & _U,
    "JLT": lambda a, b: a & _U < b & _U,
    "JGE": lambda a, b: a & _U >= b & _U,
    "JLE": lambda a, b: a & _U <= b & _U,
    "JSGT": lambda a, b: a > b,
    "JSLT": lambda a, b: a < b,
    "JSGE": lambda a, b: a >= b,
    "JSLE": lambda a, b: a <= b,
}
_BRANCHES: dict[str, Callable[[int, int], bool]] = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: a < b,
    "bge": lambda a, b: a >= b,
    "bltu": lambda a, b: a & _U < b & _U,
    "bgeu": lambda a, b: a & _U >= b & _U,
}
_PAIRS = ((1, 2), (2, 1), (3, 3), (-1, 1), (1, -1))


@lru_cache(maxsize=4)
def emitter_faults(source: str, header: str) -> tuple[Shown, ...]:
    """Return what the functions of EMITTERS that are there emit wrongly.

    Args:
        source: bpf_jit_comp64.c.
        header: bpf_jit.h.
    Raises:
        NotRun: they do something that is not understood.
    """
    trees = trees_of(source)
    checks = dict(zip(EMITTERS, (_numbers, _addresses, _jumps, _branches), strict=True))
    return tuple(
        Shown(key, BPF, name, f"{name}() {message}", name)
        for name, check in checks.items()
        if name in trees
        for key, message in check(source, header)
    )


def _emitted(source: str, header: str, name: str, **args: int) -> list[Event]:
    parameters = trees_of(source)[name].parameters
    if not set(args) <= set(parameters) or len(parameters) > len(args) + 1:
        raise NotRun(f"how {name}() is called")
    return run_jit(source, header, name, args, Setting()).events


def _value(events: list[Event], register: int, at: int = 0) -> int:
    """Return what a register has behind instructions; an address counts from the first of them."""
    value = 0
    for event in events:
        op, args = event.op, [each for each in event.args if isinstance(each, int)]
        if not args or args[0] != register or len(args) != len(event.args):
            raise NotRun(f"an instruction {op}")
        if op in ("lui", "auipc"):
            if not -_LIMIT <= args[1] < _LIMIT and not (op == "lui" and args[1] == _LIMIT):
                raise OverflowError
            value = signed(args[1] << 12, 32) + (at + 2 * event.at if op == "auipc" else 0)
        elif op in ("imm", "li"):
            value = args[1]
        elif op in ("addi", "addiw") and args[1] in (register, 0):
            value = (value if args[1] else 0) + signed(args[2], 12)
            value = signed(value, 32) if op == "addiw" else signed(value)
        elif op == "slli" and args[1] == register and 0 <= args[2] < 64:
            value = signed(value << args[2])
        else:
            raise NotRun(f"an instruction {op}")
    return value


def _numbers(source: str, header: str) -> Iterator[tuple[str, str]]:
    for number in _NUMBERS:
        try:
            got = _value(_emitted(source, header, "emit_imm", rd=_RD, val=number), _RD)
        except OverflowError:
            got = None
        if got != number:
            yield f"number {number}", f"makes another number than {number:#x}"


def _addresses(source: str, header: str) -> Iterator[tuple[str, str]]:
    for offset in (*_NEAR, *_FAR):
        events = _emitted(source, header, "emit_addr", rd=_RD, addr=_IMAGE + offset, extra_pass=1)
        try:
            wrong = bool(events) and _value(events, _RD, _IMAGE) != _IMAGE + offset
        except OverflowError:
            wrong = True
        if wrong:
            yield f"address {offset}", f"makes another address than one {offset:#x} bytes away"


def _jumps(source: str, header: str) -> Iterator[tuple[str, str]]:
    for offset in (*_NEAR, *_FAR):
        for fixed in (0, 1):
            events = _emitted(source, header, "emit_jump_and_link", rd=1, rvoff=offset, fixed_addr=fixed)
            if events and _reached(events) != offset:
                yield f"jump {offset} {fixed}", f"makes a jump that does not go {offset:#x} bytes"


def _reached(events: list[Event]) -> int | None:
    """Return how far a jump, or a pair of instructions, goes; None if the instructions cannot hold that."""
    args = [each for each in events[-1].args if isinstance(each, int)]
    if len(events) == 1 and events[0].op == "jal" and len(args) == 2:
        return args[1] << 1 if -_LIMIT <= args[1] < _LIMIT else None
    if len(events) == 2 and events[1].op == "jalr" and len(args) == 3:
        try:
            return _value(events[:1], args[1]) + signed(args[2], 12)
        except OverflowError:
            return None
    raise NotRun("a jump of other instructions")


def _branches(source: str, header: str) -> Iterator[tuple[str, str]]:
    from .jit import value_of

    for name, holds in _HOLDS.items():
        cond = value_of(source, header, f"BPF_{name}")
        events = _emitted(source, header, "emit_bcc", cond=cond, rd=_RD, rs=_RS, rvoff=16)
        if not events:
            continue
        op, args = events[-1].op, events[-1].args
        if len(events) != 1 or op not in _BRANCHES or set(args[:2]) != {_RD, _RS} or args[2] != 8:
            raise NotRun(f"how {name} is made")
        for one, other in _PAIRS:
            values = {_RD: one, _RS: other}
            if _BRANCHES[op](values[args[0]], values[args[1]]) != holds(one, other):
                yield f"branch {name}", f"branches for BPF_{name} where that does not hold"
                break
