# SPDX-License-Identifier: GPL-2.0-or-later
"""The instruction record, its declaration, and the decode table that declarations fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from ..units import MASK64
from .encoding import CSR_NAMES, FIELDS, REG_NAMES, Field, insn_size

__all__ = ["SPECS", "Insn", "Spec", "alias", "decode", "extension", "insn_size", "spellings"]


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """One instruction of the ISA.

    Args:
        name: mnemonic, without ``.aq`` and ``.rl``.
        fields: the operands; bits in neither a field nor the mask are ignored by hardware.
        match: the word with every operand 0.
        mask: the bits that tell this instruction from others.
        size: 2 or 4 [bytes].
        extension: where the manual defines it: ``RV64I``, ``Zba``, ...
        text: how operands print, a format string over rd, rs1, rs2, imm, hi20, target, csr, pred, succ.
        base: for a compressed instruction, the name of what it expands to, else empty.
        implied: (operand, value) pairs that a compressed instruction does not encode.
        run: what it does, in the notation of `semantics`; empty for a compressed instruction, which does
            what its base does.
    """

    name: str
    fields: tuple[Field, ...]
    match: int
    mask: int
    size: int
    extension: str
    text: str
    base: str = ""
    implied: tuple[tuple[str, int], ...] = ()
    run: str = ""

    @property
    def operands(self) -> tuple[str, ...]:
        """The operand kinds, named as riscv-opcodes does."""
        return tuple(field.name for field in self.fields)

    @property
    def is_relative(self) -> bool:
        """Whether the immediate is a distance from the instruction."""
        return any(field.is_relative for field in self.fields)

    def operand_values(self, word: int) -> dict[str, int]:
        """Return each operand's value by its role."""
        values = dict(self.implied)
        for field in self.fields:
            value = field.extract(word)
            for role in field.roles:
                values[role] = values.get(role, 0) + value
        return values

    def forbidden(self, values: dict[str, int]) -> list[str]:
        """Return the roles whose values would make the word another instruction, or a reserved one."""
        return [field.roles[0] for field in self.fields if values[field.roles[0]] in field.forbidden]


@dataclass(frozen=True, slots=True)
class Insn:
    """A decoded instruction.

    Args:
        spec: what it is.
        word: its bits, 16 or 32 of them.
        size: bytes that it takes in memory, also in an expansion.
        rd: destination register, -1 if the instruction has none.
        rs1: first source register, or -1.
        rs2: second source register, or -1.
        imm: immediate. Distances and displacements in bytes, signed; lui, auipc and c.lui in units of
            4096 bytes, signed; shift amounts in bits; for fence, fm << 8 | pred << 4 | succ.
        csr: number of the CSR, or -1.
        aq: acquire bit of an atomic.
        rl: release bit of an atomic.

    A compressed instruction has the operands of what it expands to: c.sdsp has rs1 == 2, c.jalr has rd == 1.
    """

    spec: Spec
    word: int
    size: int
    rd: int = -1
    rs1: int = -1
    rs2: int = -1
    imm: int = 0
    csr: int = -1
    aq: int = 0
    rl: int = 0

    @property
    def name(self) -> str:
        """Mnemonic: ``sd``, ``c.sdsp``, ``amoadd.d``."""
        return self.spec.name

    @property
    def base(self) -> Insn:
        """The instruction under its uncompressed name; word and size stay those in memory."""
        return _expand(self) if self.spec.base else self

    def target(self, pc: int) -> int | None:
        """Return where a jump or branch with a distance goes from pc, None for any other instruction."""
        return (pc + self.imm) & MASK64 if self.spec.is_relative else None

    def text(self, pc: int | None = None) -> str:
        """Return the instruction in assembler, with ABI names and the usual aliases.

        Args:
            pc: its address, to print where jumps go; None to print their distances.
        """
        spellings = (other for other in _ALIASES.get(self.name, ()) if other.fits(self))
        spelling = next(spellings, None) or _Alias(self.name, self.spec.text)
        order = ("", ".rl", ".aq", ".aqrl")[2 * self.aq + self.rl]
        return f"{spelling.name}{order} {spelling.text.format_map(_printed(self, pc))}".rstrip()


@dataclass(frozen=True, slots=True, eq=False)
class _Alias:
    name: str
    text: str
    when: tuple[tuple[str, int], ...] = ()

    def fits(self, insn: Insn) -> bool:
        return all(getattr(insn, role) == value for role, value in self.when)


_ALIASES: dict[str, list[_Alias]] = {}


def alias(name: str, text: str = "", /, *, of: str, **when: int) -> None:
    """Declare another spelling: ``alias("mv", "{rd}, {rs1}", of="addi", imm=0)``.

    Args:
        name: mnemonic to print.
        text: operands to print, as Spec.text.
        of: the instruction; of its aliases the first that fits is printed.
        when: operands and the values that they must have.
    """
    _ALIASES.setdefault(of, []).append(_Alias(name, text, tuple(when.items())))


def spellings(mnemonic: str) -> list[tuple[str, str, dict[str, int]]]:
    """Return what may be written behind a mnemonic.

    Args:
        mnemonic: of an instruction, an alias or both: ``sd``, ``mv``, ``jal``.
    Returns:
        (name of the instruction, its operands as Spec.text, operands that are not written and their values)
        of each spelling, the instruction's own first; none for an unknown mnemonic.
    """
    found: list[tuple[str, str, dict[str, int]]] = []
    if mnemonic in SPECS:
        found.append((mnemonic, SPECS[mnemonic].text, {}))
    for name, aliases in _ALIASES.items():
        found += [(name, each.text, dict(each.when)) for each in aliases if each.name == mnemonic]
    return found


def _printed(insn: Insn, pc: int | None) -> dict[str, str]:
    return {
        "rd": REG_NAMES[insn.rd],
        "rs1": REG_NAMES[insn.rs1],
        "rs2": REG_NAMES[insn.rs2],
        "imm": _number(insn.imm),
        "hi20": _number(insn.imm & 0xFFFFF),
        "target": _number(insn.imm if pc is None else (pc + insn.imm) & MASK64),
        "csr": CSR_NAMES.get(insn.csr) or _number(insn.csr),
        "pred": _fence_set(insn.imm >> 4),
        "succ": _fence_set(insn.imm),
    }


def _number(value: int) -> str:
    # capstone's habit: one digit is decimal, more are hex
    return str(value) if -10 < value < 10 else f"{value:#x}"


def _fence_set(bits: int) -> str:
    return "".join(letter for letter, bit in zip("iorw", (8, 4, 2, 1), strict=True) if bits & bit) or "0"


SPECS: dict[str, Spec] = {}
"""Every declared instruction by name."""

_BUCKETS: dict[int, list[Spec]] = {}
# what a word may be, by the bits that _bucket_of() takes; more specific records come first


def _bucket_of(word: int) -> int:
    # size, major opcode or quadrant, and funct3
    return word & 0x707F if word & 0b11 == 0b11 else word & 0xE003


def extension(name: str) -> Callable[..., Spec]:
    """Return the function by which an extension's file declares its instructions.

    ``insn("ld", "rd rs1 imm12", match, mask, text, run)``, with ``base=`` and the implied operands for a
    compressed one. It returns the Spec, and raises ValueError for a name that exists.
    """

    def insn(
        mnemonic: str,
        operands: str,
        match: int,
        mask: int,
        text: str = "",
        run: str = "",
        *,
        base: str = "",
        **implied: int,
    ) -> Spec:
        fields = tuple(FIELDS[operand] for operand in operands.split())
        size = insn_size(match)
        pairs = tuple(implied.items())
        return _register(Spec(mnemonic, fields, match, mask, size, name, text, base, pairs, run))

    return insn


def _register(spec: Spec) -> Spec:
    if spec.name in SPECS:
        raise ValueError(f"{spec.name} is declared twice")
    SPECS[spec.name] = spec
    funct3s = range(8) if spec.size == 4 and not spec.mask & 0x7000 else (0,)
    for funct3 in funct3s:
        bucket = _BUCKETS.setdefault(_bucket_of(spec.match | funct3 << 12), [])
        bucket.append(spec)
        bucket.sort(key=lambda other: -other.mask.bit_count())
    return spec


def decode(word: int) -> Insn | None:
    """Return the instruction that starts with these bits.

    Args:
        word: 32 bits, the first parcel in the low half; the high half is ignored if that parcel is a
            whole instruction.
    Returns:
        None for an encoding that is reserved, or of an extension that is not declared here; insn_size()
        still tells its length. HINTs are instructions.
    """
    word = int(word)  # a numpy scalar would overflow or lose the signs of immediates
    return _decode(word & 0xFFFFFFFF if word & 0b11 == 0b11 else word & 0xFFFF)


@lru_cache(maxsize=1 << 16)
def _decode(word: int) -> Insn | None:
    for spec in _BUCKETS.get(_bucket_of(word), ()):
        if word & spec.mask == spec.match:
            values = spec.operand_values(word)
            if not spec.forbidden(values):
                return Insn(spec, word, spec.size, **values)
    return None


@lru_cache(maxsize=1 << 16)
def _expand(insn: Insn) -> Insn:
    return replace(insn, spec=SPECS[insn.spec.base])
