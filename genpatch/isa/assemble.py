# SPDX-License-Identifier: GPL-2.0-or-later
"""Assembler text to bytes, for short sequences such as a call site or a toy trampoline.

The operand syntax of an instruction is its record's `text` or that of one of its aliases, the one that
disassembly prints; what is added here is the little that GNU as adds: labels, ``1b`` and ``1f``, sums,
``%pcrel_hi`` and its kin, a few macros, data directives. Nothing is compressed unless it is written ``c.``,
nothing is relaxed. What is longer than a page belongs to a real assembler, see `toolchain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from ..errors import GenpatchError, OutOfReach
from .asm import encode
from .encoding import CSR_NAMES, REG_NUMBERS, sext, split_pcrel
from .insn import SPECS, spellings

_COMMENT = re.compile(r"#.*|//.*")
_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*|[0-9]+)\s*:\s*")
_TERM = re.compile(r"\s*([-+]?)\s*([\w.$]+)\s*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+")
_NEARBY = re.compile(r"([0-9]+)([bf])")
_CALLED = re.compile(r"(%\w+)\((.*)\)")
_ORDERED = re.compile(r"(\w.*?)\.(aq|rl|aqrl)")
_HOLE = re.compile(r"\{(\w+)\}")

_CSR_NUMBERS = {name: number for number, name in CSR_NAMES.items()}
_WIDTHS = {
    ".byte": 1, ".half": 2, ".short": 2, ".2byte": 2, ".word": 4, ".long": 4, ".4byte": 4,
    ".dword": 8, ".quad": 8, ".8byte": 8,
}  # fmt: skip
_MOST_ALIGNMENT = 1 << 16
_LONGEST_QUOTE = 200

_NOP, _C_NOP = encode("addi", rd=0, rs1=0, imm=0).to_bytes(4, "little"), encode("c.nop", imm=0).to_bytes(2, "little")

_Form = tuple[str, str, Mapping[str, int]]
# an instruction, how its operands are written, operands that are not

_ALSO: dict[str, tuple[_Form, ...]] = {
    "jalr": (
        ("jalr", "{rd}, {imm}({rs1})", {}),
        ("jalr", "{imm}({rs1})", {"rd": 1}),
        ("jalr", "{rd}, {rs1}", {"imm": 0}),
    ),
    "jr": (("jalr", "{imm}({rs1})", {"rd": 0}),),
    "bgt": (("blt", "{rs2}, {rs1}, {target}", {}),),
    "ble": (("bge", "{rs2}, {rs1}, {target}", {}),),
    "bgtu": (("bltu", "{rs2}, {rs1}, {target}", {}),),
    "bleu": (("bgeu", "{rs2}, {rs1}, {target}", {}),),
    "sgt": (("slt", "{rd}, {rs2}, {rs1}", {}),),
    "sgtu": (("sltu", "{rd}, {rs2}, {rs1}", {}),),
    "zext.b": (("andi", "{rd}, {rs1}", {"imm": 255}),),
    "pause": (("fence", "", {"imm": 0x010}),),
}
"""Spellings that are understood and never printed, by mnemonic."""

_HI, _LO = "auipc {rd}, %pcrel_hi({target})", "%pcrel_lo(. - 4)"

_MACROS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "call": (
        ("{target}", (_HI.replace("{rd}", "ra"), f"jalr ra, {_LO}(ra)")),
        ("{rd}, {target}", (_HI, f"jalr {{rd}}, {_LO}({{rd}})")),  # as the manual has it; GNU as goes through t1
    ),
    "tail": (("{target}", (_HI.replace("{rd}", "t1"), f"jalr zero, {_LO}(t1)")),),
    "la": (("{rd}, {target}", (_HI, f"addi {{rd}}, {{rd}}, {_LO}")),),
    "lla": (("{rd}, {target}", (_HI, f"addi {{rd}}, {{rd}}, {_LO}")),),
}
"""What stands for several instructions: operands, and the lines that they are put into."""


class AssemblyError(GenpatchError):
    """A line of assembler text cannot be understood."""


def assemble(source: str, pc: int, *, symbols: Mapping[str, int] | None = None) -> bytes:
    """Assemble instructions, labels and data, a statement to a line or between semicolons.

    Args:
        source: lines such as ``ld t1, -16(t0)``, ``bne t1, zero, 1f``, ``1: ret``, ``.dword out``, with
            comments from ``#`` or ``//`` on. Where a jump goes is an address, as in what Insn.text(pc) prints.
            ``li`` and ``.balign`` take numbers and symbols, no labels. ``.balign`` fills with nops.
        pc: address of the first instruction.
        symbols: addresses of names that are not labels of the source.
    Returns:
        Little-endian bytes.
    Raises:
        AssemblyError: an unknown instruction, operand or label.
        OutOfReach: a target is too far, or a number too large.
    """
    names = _Names(symbols or {})
    statements = _statements(source, pc, names)
    names.pairs.update(_pcrel_pairs(statements, names))
    return b"".join(_encoded(each, names) for each in statements)


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a statement stands in the source: line number, and the statement as written."""

    number: int
    text: str

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Name the line in whatever is raised inside."""
        try:
            yield
        except (AssemblyError, OutOfReach, ValueError) as error:
            kind = OutOfReach if isinstance(error, OutOfReach) else AssemblyError
            raise kind(f"line {self.number}: {_cut(self.text)!r}: {_cut(str(error))}") from error


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 3]}..."


@dataclass(frozen=True, slots=True)
class _Statement:
    """An instruction or directive, its address, and its place among the statements."""

    line: _Line
    name: str
    operands: str
    pc: int
    order: int


@dataclass(frozen=True, slots=True)
class _Names:
    """What names stand for.

    Args:
        symbols: addresses from outside.
        labels: addresses of the source's labels.
        nearby: of each number that is a label, (order of the statement behind it, address) of all its places.
        pairs: of each auipc with ``%pcrel_hi``, by its address, the distance.
    """

    symbols: Mapping[str, int]
    labels: dict[str, int] = field(default_factory=dict)
    nearby: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    pairs: dict[int, int] = field(default_factory=dict)

    def define(self, name: str, pc: int, order: int) -> None:
        """Enter a label."""
        if name.isdigit():
            self.nearby.setdefault(name, []).append((order, pc))
        elif self.labels.setdefault(name, pc) != pc:
            raise AssemblyError(f"label {name!r} stands twice")

    def value(self, name: str, at: _Statement) -> int:
        """Return what a number, a name, ``.`` or ``1b`` stands for in a statement."""
        if _NUMBER.fullmatch(name):
            return int(name, 8 if re.fullmatch("0[0-9]+", name) else 0)
        if name == ".":
            return at.pc
        found = self.labels.get(name, self.symbols.get(name))
        if found is None and (match := _NEARBY.fullmatch(name)):
            found = self._nearest(match[1], match[2], at.order)
        if found is None:
            raise AssemblyError(f"no label or number {name!r}")
        return found

    def _nearest(self, number: str, way: str, order: int) -> int | None:
        places = self.nearby.get(number, [])
        if way == "b":
            return next((pc for place, pc in reversed(places) if place <= order), None)
        return next((pc for place, pc in places if place > order), None)


# First pass: addresses


def _statements(source: str, pc: int, names: _Names) -> list[_Statement]:
    """Return the statements at their addresses, macros expanded, and enter the labels."""
    statements: list[_Statement] = []
    for line in _lines(source):
        with line.blamed():
            end = 0
            while match := _LABEL.match(line.text, end):
                names.define(match[1], pc, len(statements))
                end = match.end()
            for name, operands in _expanded(line.text[end:], _Statement(line, "", "", pc, len(statements)), names):
                statement = _Statement(line, name, operands, pc, len(statements))
                statements.append(statement)
                pc += _size(statement, names)
    return statements


def _lines(source: str) -> Iterator[_Line]:
    for number, line in enumerate(source.split("\n"), 1):
        for text in _COMMENT.sub("", line).split(";"):
            if text.strip():
                yield _Line(number, text.strip())


def _expanded(text: str, at: _Statement, names: _Names) -> Iterator[tuple[str, str]]:
    """Yield (mnemonic, operands) of what a statement stands for: itself, the lines of a macro, or nothing."""
    if not text:
        return
    name, operands = _parted(text)
    if name in _MACROS:
        yield from map(_parted, _macro(name, operands))
    elif name == "li":
        yield from map(_parted, _li(operands, at, names))
    else:
        yield name, operands


def _parted(text: str) -> tuple[str, str]:
    name, operands = (*text.split(None, 1), "")[:2]
    return name, _tidy(operands)


def _tidy(operands: str) -> str:
    """Return operands without the spaces that mean nothing."""
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(operands.split()))


def _macro(name: str, operands: str) -> tuple[str, ...]:
    for text, lines in _MACROS[name]:
        if match := _pattern(text).fullmatch(operands):
            return tuple(line.format_map(match.groupdict()) for line in lines)
    raise AssemblyError("expected " + " or ".join(f"{name} {text}" for text, _ in _MACROS[name]))


def _li(operands: str, at: _Statement, names: _Names) -> tuple[str, ...]:
    match = _pattern("{rd}, {imm}").fullmatch(operands)
    if match is None:
        raise AssemblyError("expected li {rd}, {imm}")
    return _constant(match["rd"], sext(_fitting(_sum(match["imm"], at, names), 8), 64))


def _constant(rd: str, value: int) -> tuple[str, ...]:
    """Return the instructions that load a constant: addi; lui, addiw; or those of its upper part, slli, addi."""
    low = sext(value, 12)
    if value == low:
        return (f"addi {rd}, zero, {low}",)
    rest = sext(value - low, 64)
    if value == sext(value, 32):
        upper, add = [f"lui {rd}, {rest >> 12 & 0xFFFFF:#x}"], "addiw"
    else:
        shift = (rest & -rest).bit_length() - 1
        upper, add = [*_constant(rd, rest >> shift), f"slli {rd}, {rd}, {shift}"], "addi"
    return (*upper, f"{add} {rd}, {rd}, {low}") if low else tuple(upper)


def _size(statement: _Statement, names: _Names) -> int:
    name = statement.name
    if name in _WIDTHS:
        return _WIDTHS[name] * (statement.operands.count(",") + 1)
    if name == ".balign":
        return -statement.pc % _alignment(statement, names)
    return SPECS[_forms(name)[0][0]].size


def _alignment(statement: _Statement, names: _Names) -> int:
    alignment = _sum(statement.operands, statement, names)
    if not 1 <= alignment <= _MOST_ALIGNMENT or alignment.bit_count() != 1:
        raise AssemblyError(f"alignment {alignment} is no power of two up to {_MOST_ALIGNMENT}")
    return alignment


def _pcrel_pairs(statements: list[_Statement], names: _Names) -> Iterator[tuple[int, int]]:
    """Yield the address and the distance of each auipc with ``%pcrel_hi``."""
    for each in statements:
        match = _CALLED.fullmatch(each.operands.partition(",")[2])
        if match and each.name == "auipc" and match[1] == "%pcrel_hi":
            with each.line.blamed():
                yield each.pc, sext(_sum(match[2], each, names) - each.pc, 64)


# Second pass: bytes


def _encoded(statement: _Statement, names: _Names) -> bytes:
    with statement.line.blamed():
        if statement.name in _WIDTHS:
            return _data(statement, names)
        if statement.name == ".balign":
            return _fill(-statement.pc % _alignment(statement, names))
        return _instruction(statement, names)


def _data(statement: _Statement, names: _Names) -> bytes:
    width = _WIDTHS[statement.name]
    values = (_sum(each, statement, names) for each in statement.operands.split(","))
    return b"".join((_fitting(each, width) & (1 << 8 * width) - 1).to_bytes(width, "little") for each in values)


def _fitting(value: int, width: int) -> int:
    """Return a number that fits so many bytes, signed or not."""
    if not -(1 << 8 * width - 1) <= value < 1 << 8 * width:
        raise OutOfReach(f"{value:#x} is wider than {8 * width} bits")
    return value


def _fill(size: int) -> bytes:
    return bytes(size % 2) + _C_NOP * (size // 2 % 2) + _NOP * (size // 4)


def _instruction(statement: _Statement, names: _Names) -> bytes:
    forms = _forms(statement.name)
    matches = ((form, _pattern(form[1]).fullmatch(statement.operands)) for form in forms)
    (name, _, implied), match = next((pair for pair in matches if pair[1]), (forms[0], None))
    if match is None:
        raise AssemblyError("expected " + " or ".join(f"{statement.name} {text}".rstrip() for _, text, _ in forms))
    values = dict(implied)
    for role, operand in match.groupdict().items():
        into, value = _operand(role, operand, statement, names)
        values[into] = values.get(into, 0) + value
    if not values:  # an operand that is not printed, as the immediate of c.nop, is zero
        values = {role: 0 for field in SPECS[name].fields for role in field.roles}
    return encode(name, **values).to_bytes(SPECS[name].size, "little")


@cache
def _forms(mnemonic: str) -> tuple[_Form, ...]:
    """Return the ways of writing what may stand behind a mnemonic."""
    forms = (*spellings(mnemonic), *_ALSO.get(mnemonic, ()))
    if not forms and (match := _ORDERED.fullmatch(mnemonic)):
        bits = {"aq": int("aq" in match[2]), "rl": int("rl" in match[2])}
        forms = tuple((name, text, bits) for name, text, _ in spellings(match[1]) if "aq" in SPECS[name].operands)
    if not forms:
        raise AssemblyError(f"no instruction {mnemonic!r}")
    return forms


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern for operands, one group a hole of their text."""
    parts = _HOLE.split(_tidy(text))
    written = [_literal(part) if number % 2 == 0 else _hole(part) for number, part in enumerate(parts)]
    return re.compile("".join(written))


def _literal(text: str) -> str:
    # x2 is sp, and the address of an atomic may have a displacement of 0
    return re.escape(text).replace("sp", "(?:sp|x2)").replace(r",\(", r",0?\(")


def _hole(role: str) -> str:
    if role in ("imm", "hi20", "target"):
        least = "*" if role == "imm" else "+"  # the displacement in (rs1) is empty
        return rf"(?P<{role}>%\w+\([^()]*\)|[^(),%]{least})"
    return rf"(?P<{role}>\w+)"


# Operands


def _operand(role: str, text: str, at: _Statement, names: _Names) -> tuple[str, int]:
    """Return the operand of the record that a hole stands for, and its value."""
    if role in ("rd", "rs1", "rs2"):
        return role, _register(text)
    if role in ("pred", "succ"):
        return "imm", _fence_set(text) << (4 if role == "pred" else 0)
    if role == "csr":
        return role, _CSR_NUMBERS[text] if text in _CSR_NUMBERS else _sum(text, at, names)
    if match := _CALLED.fullmatch(text):
        return "imm", _part(role, match[1], _sum(match[2], at, names), at, names)
    if role == "imm" and not text and "(" in at.operands:  # (rs1) is 0(rs1)
        return role, 0
    value = _sum(text, at, names)
    if role == "target":
        return "imm", sext(value - at.pc, 64)
    return "imm", _signed20(value) if role == "hi20" else value


def _register(text: str) -> int:
    if text not in REG_NUMBERS:
        raise AssemblyError(f"no register {text!r}")
    return REG_NUMBERS[text]


def _fence_set(text: str) -> int:
    letters = "" if text == "0" else text
    if letters != "".join(letter for letter in "iorw" if letter in letters):
        raise AssemblyError(f"no fence set {text!r}")
    return sum(8 >> "iorw".index(letter) for letter in letters)


def _signed20(value: int) -> int:
    if not -(1 << 19) <= value < 1 << 20:
        raise OutOfReach(f"{value:#x} is wider than 20 bits")
    return sext(value, 20)


_PARTS: dict[tuple[str, str], Callable[[int], int]] = {
    ("hi20", "%hi"): lambda value: split_pcrel(sext(value, 64))[0],
    ("imm", "%lo"): lambda value: sext(value, 12),
    ("hi20", "%pcrel_hi"): lambda delta: split_pcrel(delta)[0],
    ("imm", "%pcrel_lo"): lambda delta: split_pcrel(delta)[1],
}


def _part(role: str, function: str, value: int, at: _Statement, names: _Names) -> int:
    """Return ``%hi(value)`` or another part of an address."""
    if (role, function) not in _PARTS or (function == "%pcrel_hi" and at.name != "auipc"):
        raise AssemblyError(f"{function} cannot stand here")
    if function.startswith("%pcrel"):
        auipc = at.pc if function == "%pcrel_hi" else value
        if auipc not in names.pairs:
            raise AssemblyError(f"no auipc with %pcrel_hi at {auipc:#x}")
        value = names.pairs[auipc]
    return _PARTS[role, function](value)


def _sum(text: str, at: _Statement, names: _Names) -> int:
    """Return the value of numbers and names with + and - between them."""
    total, end = 0, 0
    while end < len(text) or not end:
        match = _TERM.match(text, end)
        if match is None or (end and not match[1]):
            raise AssemblyError(f"no label or number {text.strip()!r}")
        value = names.value(match[2], at)
        total += -value if match[1] == "-" else value
        end = match.end()
    return total
