# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64M, multiplication and division (RISC-V unprivileged ISA, "M" extension)."""

from __future__ import annotations

from .insn import extension

insn = extension("RV64M")

_R = "{rd}, {rs1}, {rs2}"

insn("mul", "rd rs1 rs2", 0x02000033, 0xFE00707F, _R)
insn("mulh", "rd rs1 rs2", 0x02001033, 0xFE00707F, _R)
insn("mulhsu", "rd rs1 rs2", 0x02002033, 0xFE00707F, _R)
insn("mulhu", "rd rs1 rs2", 0x02003033, 0xFE00707F, _R)
insn("div", "rd rs1 rs2", 0x02004033, 0xFE00707F, _R)
insn("divu", "rd rs1 rs2", 0x02005033, 0xFE00707F, _R)
insn("rem", "rd rs1 rs2", 0x02006033, 0xFE00707F, _R)
insn("remu", "rd rs1 rs2", 0x02007033, 0xFE00707F, _R)
insn("mulw", "rd rs1 rs2", 0x0200003B, 0xFE00707F, _R)
insn("divw", "rd rs1 rs2", 0x0200403B, 0xFE00707F, _R)
insn("divuw", "rd rs1 rs2", 0x0200503B, 0xFE00707F, _R)
insn("remw", "rd rs1 rs2", 0x0200603B, 0xFE00707F, _R)
insn("remuw", "rd rs1 rs2", 0x0200703B, 0xFE00707F, _R)
