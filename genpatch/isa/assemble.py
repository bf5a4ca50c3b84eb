# SPDX-License-Identifier: GPL-2.0-or-later
"""Assembler text to bytes, for short sequences such as a call site or a toy trampoline.

The operand syntax of an instruction is its record's `text`, the one that disassembly prints. No aliases,
no directives: what is longer than a page belongs to a real assembler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from ..errors import GenpatchError
from .asm import encode
from .encoding import REG_NUMBERS
from .insn import SPECS

_HOLE = re.compile(r"\\{(\w+)\\}")
_LABEL = re.compile(r"\s*([A-Za-z_.][\w.]*):\s*")
_INDIRECT = re.compile(r"(\w+), *(-?\w+)\((\w+)\)")


class AssemblyError(GenpatchError):
    """A line of assembler text cannot be understood."""


def assemble(source: str, pc: int, *, symbols: Mapping[str, int] | None = None) -> bytes:
    """Assemble instructions and labels, one to a line.

    Args:
        source: lines such as ``ld t1, -16(t0)``, ``jalr zero, 0(t0)``, ``bne t1, zero, out``, ``out:``.
        pc: address of the first instruction.
        symbols: addresses of names that are not labels of the source.
    Returns:
        Little-endian bytes.
    Raises:
        AssemblyError: an unknown instruction, operand or label.
        OutOfReach: a target is too far.
    """
    lines, labels = _lines(source, pc)
    known = {**(symbols or {}), **labels}
    return b"".join(_encode_line(line, at, known) for at, line in lines)


def _lines(source: str, pc: int) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """Return (address, text) of each instruction, and the labels."""
    lines: list[tuple[int, str]] = []
    labels: dict[str, int] = {}
    for raw in re.split(r"[\n;]", source):
        line = raw.strip()
        while match := _LABEL.match(line):
            labels[match[1]] = pc
            line = line[match.end() :]
        if line:
            lines.append((pc, line))
            pc += _spec_size(line)
    return lines, labels


def _spec_size(line: str) -> int:
    spec = SPECS.get(line.split()[0])
    if spec is None:
        raise AssemblyError(f"no instruction in {line!r}")
    return spec.size


def _encode_line(line: str, pc: int, known: Mapping[str, int]) -> bytes:
    name, operands = (*line.split(None, 1), "")[:2]
    if name == "jalr":
        operands = _INDIRECT.sub(r"\1, \3, \2", operands)
    match = _pattern(name).fullmatch(operands)
    if match is None:
        raise AssemblyError(f"{line!r}: expected {name} {SPECS[name].text}")
    values = dict(_operand(role, text, pc, known) for role, text in match.groupdict().items())
    if not values:  # an operand that is not printed, as the immediate of c.nop, is zero
        values = {role: 0 for field in SPECS[name].fields for role in field.roles}
    try:
        word = encode(name, **values)
    except ValueError as error:
        raise AssemblyError(f"{line!r}: {error}") from error
    return word.to_bytes(SPECS[name].size, "little")


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """Return a pattern for the operands of an instruction, one group a hole of its text."""
    text = re.escape(SPECS[name].text).replace(r",\ ", r",\s*")
    return re.compile(_HOLE.sub(r"(?P<\1>[-+.\\w]+)", text))


def _operand(role: str, text: str, pc: int, known: Mapping[str, int]) -> tuple[str, int]:
    if role in ("rd", "rs1", "rs2"):
        if text not in REG_NUMBERS:
            raise AssemblyError(f"no register {text!r}")
        return role, REG_NUMBERS[text]
    if text in known:
        value = known[text] - pc if role == "target" else known[text]
    else:
        try:
            value = int(text, 0)
        except ValueError as error:
            raise AssemblyError(f"no label or number {text!r}") from error
    if role == "hi20":
        value = ((value & 0xFFFFF) ^ 0x80000) - 0x80000
    return {"target": "imm", "hi20": "imm"}.get(role, role), value
