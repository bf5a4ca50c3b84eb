# SPDX-License-Identifier: GPL-2.0-or-later
"""Zabha, atomics of bytes and halfwords (RISC-V unprivileged ISA, "Zabha" extension); amocas needs Zacas too."""

from __future__ import annotations

from .insn import extension

insn = extension("Zabha")

_AMO = "{rd}, {rs2}, ({rs1})"
_B = "old = sext(atomic(1, rs1), 8); new = sext(rs2, 8); store(1, rs1, {}); rd = old"
_H = "old = sext(atomic(2, rs1), 16); new = sext(rs2, 16); store(2, rs1, {}); rd = old"

insn("amoadd.b", "rd rs1 rs2 aq rl", 0x0000002F, 0xF800707F, _AMO, _B.format("old + new"))
insn("amoswap.b", "rd rs1 rs2 aq rl", 0x0800002F, 0xF800707F, _AMO, _B.format("new"))
insn("amoxor.b", "rd rs1 rs2 aq rl", 0x2000002F, 0xF800707F, _AMO, _B.format("old ^ new"))
insn("amoor.b", "rd rs1 rs2 aq rl", 0x4000002F, 0xF800707F, _AMO, _B.format("old | new"))
insn("amoand.b", "rd rs1 rs2 aq rl", 0x6000002F, 0xF800707F, _AMO, _B.format("old & new"))
insn(
    "amomin.b", "rd rs1 rs2 aq rl", 0x8000002F, 0xF800707F, _AMO, _B.format("old if signed(old) < signed(new) else new")
)
insn(
    "amomax.b", "rd rs1 rs2 aq rl", 0xA000002F, 0xF800707F, _AMO, _B.format("new if signed(old) < signed(new) else old")
)
# both sides are sign-extended, which leaves unsigned order as it is
insn("amominu.b", "rd rs1 rs2 aq rl", 0xC000002F, 0xF800707F, _AMO, _B.format("old if old < new else new"))
insn("amomaxu.b", "rd rs1 rs2 aq rl", 0xE000002F, 0xF800707F, _AMO, _B.format("new if old < new else old"))

insn("amoadd.h", "rd rs1 rs2 aq rl", 0x0000102F, 0xF800707F, _AMO, _H.format("old + new"))
insn("amoswap.h", "rd rs1 rs2 aq rl", 0x0800102F, 0xF800707F, _AMO, _H.format("new"))
insn("amoxor.h", "rd rs1 rs2 aq rl", 0x2000102F, 0xF800707F, _AMO, _H.format("old ^ new"))
insn("amoor.h", "rd rs1 rs2 aq rl", 0x4000102F, 0xF800707F, _AMO, _H.format("old | new"))
insn("amoand.h", "rd rs1 rs2 aq rl", 0x6000102F, 0xF800707F, _AMO, _H.format("old & new"))
insn(
    "amomin.h", "rd rs1 rs2 aq rl", 0x8000102F, 0xF800707F, _AMO, _H.format("old if signed(old) < signed(new) else new")
)
insn(
    "amomax.h", "rd rs1 rs2 aq rl", 0xA000102F, 0xF800707F, _AMO, _H.format("new if signed(old) < signed(new) else old")
)
insn("amominu.h", "rd rs1 rs2 aq rl", 0xC000102F, 0xF800707F, _AMO, _H.format("old if old < new else new"))
insn("amomaxu.h", "rd rs1 rs2 aq rl", 0xE000102F, 0xF800707F, _AMO, _H.format("new if old < new else old"))

insn(
    "amocas.b",
    "rd rs1 rs2 aq rl",
    0x2800002F,
    0xF800707F,
    _AMO,
    "old = sext(atomic(1, rs1), 8)\nif old == sext(rd, 8): store(1, rs1, rs2)\nrd = old",
)
insn(
    "amocas.h",
    "rd rs1 rs2 aq rl",
    0x2800102F,
    0xF800707F,
    _AMO,
    "old = sext(atomic(2, rs1), 16)\nif old == sext(rd, 16): store(2, rs1, rs2)\nrd = old",
)
