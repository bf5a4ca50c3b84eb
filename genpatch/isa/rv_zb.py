# SPDX-License-Identifier: GPL-2.0-or-later
"""Zba, Zbb and Zbs, bit manipulation (RISC-V unprivileged ISA, "B" extension)."""

from __future__ import annotations

from .insn import alias, extension

_R = "{rd}, {rs1}, {rs2}"
_I = "{rd}, {rs1}, {imm}"
_UNARY = "{rd}, {rs1}"

insn = extension("Zba")
insn("sh1add", "rd rs1 rs2", 0x20002033, 0xFE00707F, _R, "rd = (rs1 << 1) + rs2")
insn("sh2add", "rd rs1 rs2", 0x20004033, 0xFE00707F, _R, "rd = (rs1 << 2) + rs2")
insn("sh3add", "rd rs1 rs2", 0x20006033, 0xFE00707F, _R, "rd = (rs1 << 3) + rs2")
insn("add.uw", "rd rs1 rs2", 0x0800003B, 0xFE00707F, _R, "rd = zext(rs1, 32) + rs2")
alias("zext.w", _UNARY, of="add.uw", rs2=0)
insn("sh1add.uw", "rd rs1 rs2", 0x2000203B, 0xFE00707F, _R, "rd = (zext(rs1, 32) << 1) + rs2")
insn("sh2add.uw", "rd rs1 rs2", 0x2000403B, 0xFE00707F, _R, "rd = (zext(rs1, 32) << 2) + rs2")
insn("sh3add.uw", "rd rs1 rs2", 0x2000603B, 0xFE00707F, _R, "rd = (zext(rs1, 32) << 3) + rs2")
insn("slli.uw", "rd rs1 shamtd", 0x0800101B, 0xFC00707F, _I, "rd = zext(rs1, 32) << imm")

insn = extension("Zbb")
insn("andn", "rd rs1 rs2", 0x40007033, 0xFE00707F, _R, "rd = rs1 & ~rs2")
insn("orn", "rd rs1 rs2", 0x40006033, 0xFE00707F, _R, "rd = rs1 | ~rs2")
insn("xnor", "rd rs1 rs2", 0x40004033, 0xFE00707F, _R, "rd = ~(rs1 ^ rs2)")
insn("clz", "rd rs1", 0x60001013, 0xFFF0707F, _UNARY, "rd = clz(rs1)")
insn("ctz", "rd rs1", 0x60101013, 0xFFF0707F, _UNARY, "rd = ctz(rs1)")
insn("cpop", "rd rs1", 0x60201013, 0xFFF0707F, _UNARY, "rd = cpop(rs1)")
insn("clzw", "rd rs1", 0x6000101B, 0xFFF0707F, _UNARY, "rd = clz(zext(rs1, 32)) - 32")
insn("ctzw", "rd rs1", 0x6010101B, 0xFFF0707F, _UNARY, "rd = ctz(rs1 | 1 << 32)")
insn("cpopw", "rd rs1", 0x6020101B, 0xFFF0707F, _UNARY, "rd = cpop(zext(rs1, 32))")
insn("sext.b", "rd rs1", 0x60401013, 0xFFF0707F, _UNARY, "rd = sext(rs1, 8)")
insn("sext.h", "rd rs1", 0x60501013, 0xFFF0707F, _UNARY, "rd = sext(rs1, 16)")
insn("zext.h", "rd rs1", 0x0800403B, 0xFFF0707F, _UNARY, "rd = zext(rs1, 16)")
insn("min", "rd rs1 rs2", 0x0A004033, 0xFE00707F, _R, "rd = rs1 if signed(rs1) < signed(rs2) else rs2")
insn("minu", "rd rs1 rs2", 0x0A005033, 0xFE00707F, _R, "rd = rs1 if rs1 < rs2 else rs2")
insn("max", "rd rs1 rs2", 0x0A006033, 0xFE00707F, _R, "rd = rs2 if signed(rs1) < signed(rs2) else rs1")
insn("maxu", "rd rs1 rs2", 0x0A007033, 0xFE00707F, _R, "rd = rs2 if rs1 < rs2 else rs1")
insn("rol", "rd rs1 rs2", 0x60001033, 0xFE00707F, _R, "rd = rs1 << (rs2 & 63) | rs1 >> (-rs2 & 63)")
insn("ror", "rd rs1 rs2", 0x60005033, 0xFE00707F, _R, "rd = rs1 >> (rs2 & 63) | rs1 << (-rs2 & 63)")
insn("rori", "rd rs1 shamtd", 0x60005013, 0xFC00707F, _I, "rd = rs1 >> imm | rs1 << (-imm & 63)")
insn(
    "rolw",
    "rd rs1 rs2",
    0x6000103B,
    0xFE00707F,
    _R,
    "word = zext(rs1, 32); rd = sext(word << (rs2 & 31) | word >> (-rs2 & 31), 32)",
)
insn(
    "rorw",
    "rd rs1 rs2",
    0x6000503B,
    0xFE00707F,
    _R,
    "word = zext(rs1, 32); rd = sext(word >> (rs2 & 31) | word << (-rs2 & 31), 32)",
)
insn(
    "roriw",
    "rd rs1 shamtw",
    0x6000501B,
    0xFE00707F,
    _I,
    "word = zext(rs1, 32); rd = sext(word >> imm | word << (-imm & 31), 32)",
)
insn("orc.b", "rd rs1", 0x28705013, 0xFFF0707F, _UNARY, "rd = orcb(rs1)")
insn("rev8", "rd rs1", 0x6B805013, 0xFFF0707F, _UNARY, "rd = rev8(rs1)")

insn = extension("Zbs")
insn("bclr", "rd rs1 rs2", 0x48001033, 0xFE00707F, _R, "rd = rs1 & ~(1 << (rs2 & 63))")
insn("bext", "rd rs1 rs2", 0x48005033, 0xFE00707F, _R, "rd = rs1 >> (rs2 & 63) & 1")
insn("binv", "rd rs1 rs2", 0x68001033, 0xFE00707F, _R, "rd = rs1 ^ 1 << (rs2 & 63)")
insn("bset", "rd rs1 rs2", 0x28001033, 0xFE00707F, _R, "rd = rs1 | 1 << (rs2 & 63)")
insn("bclri", "rd rs1 shamtd", 0x48001013, 0xFC00707F, _I, "rd = rs1 & ~(1 << imm)")
insn("bexti", "rd rs1 shamtd", 0x48005013, 0xFC00707F, _I, "rd = rs1 >> imm & 1")
insn("binvi", "rd rs1 shamtd", 0x68001013, 0xFC00707F, _I, "rd = rs1 ^ 1 << imm")
insn("bseti", "rd rs1 shamtd", 0x28001013, 0xFC00707F, _I, "rd = rs1 | 1 << imm")
