# SPDX-License-Identifier: GPL-2.0-or-later
"""Zba, Zbb and Zbs, bit manipulation (RISC-V unprivileged ISA, "B" extension)."""

from __future__ import annotations

from .insn import alias, extension

_R = "{rd}, {rs1}, {rs2}"
_I = "{rd}, {rs1}, {imm}"
_UNARY = "{rd}, {rs1}"

insn = extension("Zba")
insn("sh1add", "rd rs1 rs2", 0x20002033, 0xFE00707F, _R)
insn("sh2add", "rd rs1 rs2", 0x20004033, 0xFE00707F, _R)
insn("sh3add", "rd rs1 rs2", 0x20006033, 0xFE00707F, _R)
insn("add.uw", "rd rs1 rs2", 0x0800003B, 0xFE00707F, _R)
alias("zext.w", _UNARY, of="add.uw", rs2=0)
insn("sh1add.uw", "rd rs1 rs2", 0x2000203B, 0xFE00707F, _R)
insn("sh2add.uw", "rd rs1 rs2", 0x2000403B, 0xFE00707F, _R)
insn("sh3add.uw", "rd rs1 rs2", 0x2000603B, 0xFE00707F, _R)
insn("slli.uw", "rd rs1 shamtd", 0x0800101B, 0xFC00707F, _I)

insn = extension("Zbb")
insn("andn", "rd rs1 rs2", 0x40007033, 0xFE00707F, _R)
insn("orn", "rd rs1 rs2", 0x40006033, 0xFE00707F, _R)
insn("xnor", "rd rs1 rs2", 0x40004033, 0xFE00707F, _R)
insn("clz", "rd rs1", 0x60001013, 0xFFF0707F, _UNARY)
insn("ctz", "rd rs1", 0x60101013, 0xFFF0707F, _UNARY)
insn("cpop", "rd rs1", 0x60201013, 0xFFF0707F, _UNARY)
insn("clzw", "rd rs1", 0x6000101B, 0xFFF0707F, _UNARY)
insn("ctzw", "rd rs1", 0x6010101B, 0xFFF0707F, _UNARY)
insn("cpopw", "rd rs1", 0x6020101B, 0xFFF0707F, _UNARY)
insn("sext.b", "rd rs1", 0x60401013, 0xFFF0707F, _UNARY)
insn("sext.h", "rd rs1", 0x60501013, 0xFFF0707F, _UNARY)
insn("zext.h", "rd rs1", 0x0800403B, 0xFFF0707F, _UNARY)
insn("min", "rd rs1 rs2", 0x0A004033, 0xFE00707F, _R)
insn("minu", "rd rs1 rs2", 0x0A005033, 0xFE00707F, _R)
insn("max", "rd rs1 rs2", 0x0A006033, 0xFE00707F, _R)
insn("maxu", "rd rs1 rs2", 0x0A007033, 0xFE00707F, _R)
insn("rol", "rd rs1 rs2", 0x60001033, 0xFE00707F, _R)
insn("ror", "rd rs1 rs2", 0x60005033, 0xFE00707F, _R)
insn("rori", "rd rs1 shamtd", 0x60005013, 0xFC00707F, _I)
insn("rolw", "rd rs1 rs2", 0x6000103B, 0xFE00707F, _R)
insn("rorw", "rd rs1 rs2", 0x6000503B, 0xFE00707F, _R)
insn("roriw", "rd rs1 shamtw", 0x6000501B, 0xFE00707F, _I)
insn("orc.b", "rd rs1", 0x28705013, 0xFFF0707F, _UNARY)
insn("rev8", "rd rs1", 0x6B805013, 0xFFF0707F, _UNARY)

insn = extension("Zbs")
insn("bclr", "rd rs1 rs2", 0x48001033, 0xFE00707F, _R)
insn("bext", "rd rs1 rs2", 0x48005033, 0xFE00707F, _R)
insn("binv", "rd rs1 rs2", 0x68001033, 0xFE00707F, _R)
insn("bset", "rd rs1 rs2", 0x28001033, 0xFE00707F, _R)
insn("bclri", "rd rs1 shamtd", 0x48001013, 0xFC00707F, _I)
insn("bexti", "rd rs1 shamtd", 0x48005013, 0xFC00707F, _I)
insn("binvi", "rd rs1 shamtd", 0x68001013, 0xFC00707F, _I)
insn("bseti", "rd rs1 shamtd", 0x28001013, 0xFC00707F, _I)
