# SPDX-License-Identifier: GPL-2.0-or-later
"""Bit fields, immediates and register names of RV64: the only place that knows how an immediate is laid out.

An operand kind has its riscv-opcodes name (``imm12``, ``bimm12hi``, ``c_uimm9sp_s``) and is one Field: which
bits of the word hold which bits of the value. An immediate in two places is two fields whose values add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import OutOfReach
from ..units import BoolArray, I64Array

REACH_PCREL = range(-(2**31) - 2**11, 2**31 - 2**11)
"""What AUIPC and a 12-bit displacement reach from the AUIPC [bytes]."""
REACH_LO12 = range(-(2**11), 2**11)
"""What a signed 12-bit displacement reaches [bytes]."""
REACH_JAL = range(-(2**20), 2**20, 2)
"""What JAL reaches [bytes]."""
REACH_BRANCH = range(-(2**12), 2**12, 2)
"""What BEQ and its kin reach [bytes]."""
REACH_C_JUMP = range(-(2**11), 2**11, 2)
"""What C.J reaches [bytes]."""
REACH_C_BRANCH = range(-(2**8), 2**8, 2)
"""What C.BEQZ and C.BNEZ reach [bytes]."""

REG_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip
"""ABI names of x0..x31 (RISC-V psABI, integer register convention)."""
REG_NUMBERS = {name: number for number, name in enumerate(REG_NAMES)}
REG_NUMBERS |= {f"x{number}": number for number in range(32)} | {"fp": 8}
"""Number of a register by its ABI name, its x name, or ``fp``."""

CSR_NAMES = {
    0x001: "fflags", 0x002: "frm", 0x003: "fcsr", 0xC00: "cycle", 0xC01: "time", 0xC02: "instret",
    0x100: "sstatus", 0x104: "sie", 0x105: "stvec", 0x106: "scounteren", 0x10A: "senvcfg", 0x140: "sscratch",
    0x141: "sepc", 0x142: "scause", 0x143: "stval", 0x144: "sip", 0x14D: "stimecmp", 0x180: "satp",
    0x300: "mstatus", 0x301: "misa", 0x302: "medeleg", 0x303: "mideleg", 0x304: "mie", 0x305: "mtvec",
    0x306: "mcounteren", 0x340: "mscratch", 0x341: "mepc", 0x342: "mcause", 0x343: "mtval", 0x344: "mip",
    0xF11: "mvendorid", 0xF12: "marchid", 0xF13: "mimpid", 0xF14: "mhartid",
}  # fmt: skip
"""Names of the CSRs that a kernel meets, by number (RISC-V privileged ISA, CSR listing)."""


def sext(value: int, bits: int) -> int:
    """Return the low ``bits`` bits of value as a two's complement number."""
    sign = 1 << (bits - 1)
    return (value & (2 * sign - 1)) - 2 * (value & sign)


def insn_size(parcel: int) -> int:
    """Return the length that an instruction's first 16 bits announce [bytes].

    Returns:
        2 or 4; 0 for the longer encodings, which nothing ratified uses.
    Source:
        RISC-V unprivileged ISA, Expanded Instruction-Length Encoding.
    """
    if parcel & 0b11 != 0b11:
        return 2
    return 4 if parcel & 0b11100 != 0b11100 else 0


def split_pcrel(delta: int) -> tuple[int, int]:
    """Split a PC-relative distance into the immediates of AUIPC and JALR (or a load, or ADDI).

    Args:
        delta: target minus the AUIPC's address [bytes, signed].
    Returns:
        (hi20, lo12), both signed, with hi20 * 4096 + lo12 == delta.
    Raises:
        OutOfReach: delta is not in REACH_PCREL.
    Source:
        RISC-V unprivileged ISA, AUIPC; lo12 is sign-extended, hence the carry of 0x800 into hi20.
    """
    if delta not in REACH_PCREL:
        raise OutOfReach(f"distance {delta:#x}, auipc reaches {REACH_PCREL[0]:#x} to {REACH_PCREL[-1]:#x}")
    return (delta + 0x800) >> 12, sext(delta, 12)


def hi20_of(deltas: I64Array) -> I64Array:
    """Return the AUIPC immediates of many distances.

    Args:
        deltas: int64[n], signed [bytes]; each must be in reach, see in_pcrel_reach().
    Returns:
        int64[n], signed; hi20_of(d)[i] == split_pcrel(d[i])[0].
    """
    return (deltas + np.int64(0x800)) >> np.int64(12)


def in_pcrel_reach(deltas: I64Array) -> BoolArray:
    """Tell for each distance, int64[n] signed [bytes], whether it is in REACH_PCREL."""
    inside: BoolArray = (deltas >= REACH_PCREL.start) & (deltas < REACH_PCREL.stop)
    return inside


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Where an instruction word holds an operand, or a part of one.

    Args:
        name: the operand kind, as riscv-opcodes spells it.
        roles: the operands of Insn that the value goes to; ``rd_rs1`` fields have two.
        pieces: (lowest bit in the word, lowest bit in the value, unshifted mask) of each run of bits.
        sign: weight of the value's sign bit, 0 if the field holds none.
        bias: added to the bits; 8 for the three-bit register numbers.
        forbidden: values of the operand that make the word another instruction, or reserved.
        is_relative: the value is a distance from the instruction [bytes].
    """

    name: str
    roles: tuple[str, ...]
    pieces: tuple[tuple[int, int, int], ...]
    sign: int = 0
    bias: int = 0
    forbidden: tuple[int, ...] = ()
    is_relative: bool = False

    def extract(self, word: int) -> int:
        """Return this field's share of the operand."""
        value = 0
        for word_lsb, value_lsb, mask in self.pieces:
            value |= (word >> word_lsb & mask) << value_lsb
        return value - 2 * (value & self.sign) + self.bias

    def insert(self, value: int) -> int:
        """Return the word's bits for an operand; what does not fit is cut off, see asm.encode()."""
        word = 0
        for word_lsb, value_lsb, mask in self.pieces:
            word |= ((value - self.bias) >> value_lsb & mask) << word_lsb
        return word

    @property
    def mask(self) -> int:
        """The bits of the word that belong to this field."""
        return self.insert(self.bias - 1)


def _pieces(top: int, layout: str) -> tuple[tuple[int, int, int], ...]:
    # layout as the manual draws it: "12|10:5" with its leftmost bit at bit `top` of the word
    pieces = []
    for run in layout.split("|"):
        high, _, low = run.partition(":")
        width = int(high) - int(low or high) + 1
        top -= width
        pieces.append((top + 1, int(low or high), (1 << width) - 1))
    return tuple(pieces)


def _register(name: str, lsb: int, *roles: str, width: int = 5, forbidden: tuple[int, ...] = ()) -> Field:
    bias = 8 if width == 3 else 0
    return Field(name, roles, ((lsb, 0, (1 << width) - 1),), bias=bias, forbidden=forbidden)


def _unsigned(name: str, top: int, layout: str, role: str = "imm", *, nonzero: bool = False) -> Field:
    return Field(name, (role,), _pieces(top, layout), forbidden=(0,) if nonzero else ())


def _signed(name: str, top: int, layout: str, *, nonzero: bool = False, is_relative: bool = False) -> Field:
    # the leftmost bit of the layout is the sign
    pieces = _pieces(top, layout)
    sign = (pieces[0][2] + 1 >> 1) << pieces[0][1]
    return Field(name, ("imm",), pieces, sign, forbidden=(0,) if nonzero else (), is_relative=is_relative)


_ALL = (
    # 32-bit instructions
    _register("rd", 7, "rd"),
    _register("rs1", 15, "rs1"),
    _register("rs2", 20, "rs2"),
    _signed("imm12", 31, "11:0"),
    _signed("imm12hi", 31, "11:5"),
    _unsigned("imm12lo", 11, "4:0"),
    _signed("bimm12hi", 31, "12|10:5", is_relative=True),
    _unsigned("bimm12lo", 11, "4:1|11"),
    _signed("imm20", 31, "19:0"),  # in units of 4096 bytes: the hi20 of split_pcrel()
    _signed("jimm20", 31, "20|10:1|11|19:12", is_relative=True),
    _unsigned("shamtw", 24, "4:0"),
    _unsigned("shamtd", 25, "5:0"),
    _unsigned("fm", 31, "11:8"),
    _unsigned("pred", 27, "7:4"),
    _unsigned("succ", 23, "3:0"),
    _unsigned("csr", 31, "11:0", "csr"),
    _unsigned("zimm5", 19, "4:0"),
    _unsigned("aq", 26, "0", "aq"),
    _unsigned("rl", 25, "0", "rl"),
    # 16-bit instructions: registers
    _register("rd_p", 2, "rd", width=3),
    _register("rs1_p", 7, "rs1", width=3),
    _register("rs2_p", 2, "rs2", width=3),
    _register("rd_rs1_p", 7, "rd", "rs1", width=3),
    _register("rd_rs1", 7, "rd", "rs1"),
    _register("rd_rs1_n0", 7, "rd", "rs1", forbidden=(0,)),
    _register("rd_n0", 7, "rd", forbidden=(0,)),
    _register("rd_n2", 7, "rd", forbidden=(2,)),
    _register("rs1_n0", 7, "rs1", forbidden=(0,)),
    _register("c_rs2", 2, "rs2"),
    _register("c_rs2_n0", 2, "rs2", forbidden=(0,)),
    # 16-bit instructions: immediates
    _unsigned("c_nzuimm10", 12, "5:4|9:6|2|3", nonzero=True),
    _unsigned("c_uimm1", 5, "1"),
    _unsigned("c_uimm2", 6, "0|1"),
    _unsigned("c_uimm7hi", 12, "5:3"),
    _unsigned("c_uimm7lo", 6, "2|6"),
    _unsigned("c_uimm8hi", 12, "5:3"),
    _unsigned("c_uimm8lo", 6, "7:6"),
    _signed("c_imm6hi", 12, "5"),
    _unsigned("c_imm6lo", 6, "4:0"),
    _unsigned("c_uimm6hi", 12, "5"),
    _unsigned("c_uimm6lo", 6, "4:0"),
    _signed("c_nzimm10hi", 12, "9", nonzero=True),
    _unsigned("c_nzimm10lo", 6, "4|6|8:7|5"),
    _signed("c_nzimm18hi", 12, "5", nonzero=True),  # in units of 4096 bytes, as imm20 is
    _unsigned("c_nzimm18lo", 6, "4:0"),
    _signed("c_imm12", 12, "11|4|9:8|10|6|7|3:1|5", is_relative=True),
    _signed("c_bimm9hi", 12, "8|4:3", is_relative=True),
    _unsigned("c_bimm9lo", 6, "7:6|2:1|5"),
    _unsigned("c_uimm8sphi", 12, "5"),
    _unsigned("c_uimm8splo", 6, "4:2|7:6"),
    _unsigned("c_uimm9sphi", 12, "5"),
    _unsigned("c_uimm9splo", 6, "4:3|8:6"),
    _unsigned("c_uimm8sp_s", 12, "5:2|7:6"),
    _unsigned("c_uimm9sp_s", 12, "5:3|8:6"),
)

FIELDS: dict[str, Field] = {field.name: field for field in _ALL}
"""Every operand kind by its riscv-opcodes name."""
