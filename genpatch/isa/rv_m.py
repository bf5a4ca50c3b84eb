# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64M, multiplication and division (RISC-V unprivileged ISA, "M" extension)."""

from __future__ import annotations

from .insn import extension

insn = extension("RV64M")

_R = "{rd}, {rs1}, {rs2}"

insn("mul", "rd rs1 rs2", 0x02000033, 0xFE00707F, _R, "rd = rs1 * rs2")
insn("mulh", "rd rs1 rs2", 0x02001033, 0xFE00707F, _R, "rd = mulh(rs1, rs2)")
insn("mulhsu", "rd rs1 rs2", 0x02002033, 0xFE00707F, _R, "rd = mulhsu(rs1, rs2)")
insn("mulhu", "rd rs1 rs2", 0x02003033, 0xFE00707F, _R, "rd = mulhu(rs1, rs2)")
insn("div", "rd rs1 rs2", 0x02004033, 0xFE00707F, _R, "rd = div(rs1, rs2)")
insn("divu", "rd rs1 rs2", 0x02005033, 0xFE00707F, _R, "rd = divu(rs1, rs2)")
insn("rem", "rd rs1 rs2", 0x02006033, 0xFE00707F, _R, "rd = rem(rs1, rs2)")
insn("remu", "rd rs1 rs2", 0x02007033, 0xFE00707F, _R, "rd = remu(rs1, rs2)")
insn("mulw", "rd rs1 rs2", 0x0200003B, 0xFE00707F, _R, "rd = sext(rs1 * rs2, 32)")
insn("divw", "rd rs1 rs2", 0x0200403B, 0xFE00707F, _R, "rd = sext(div(sext(rs1, 32), sext(rs2, 32)), 32)")
insn("divuw", "rd rs1 rs2", 0x0200503B, 0xFE00707F, _R, "rd = sext(divu(zext(rs1, 32), zext(rs2, 32)), 32)")
insn("remw", "rd rs1 rs2", 0x0200603B, 0xFE00707F, _R, "rd = sext(rem(sext(rs1, 32), sext(rs2, 32)), 32)")
insn("remuw", "rd rs1 rs2", 0x0200703B, 0xFE00707F, _R, "rd = sext(remu(zext(rs1, 32), zext(rs2, 32)), 32)")
