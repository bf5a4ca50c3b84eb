# SPDX-License-Identifier: GPL-2.0-or-later
"""Zcb, more 16-bit instructions (RISC-V unprivileged ISA, "Zcb" extension); some need M, Zba or Zbb too."""

from __future__ import annotations

from .insn import extension

insn = extension("Zcb")

_LOAD = "{rd}, {imm}({rs1})"
_STORE = "{rs2}, {imm}({rs1})"
_RD = "{rd}"

insn("c.lbu", "rd_p rs1_p c_uimm2", 0x8000, 0xFC03, _LOAD, base="lbu")
insn("c.lhu", "rd_p rs1_p c_uimm1", 0x8400, 0xFC43, _LOAD, base="lhu")
insn("c.lh", "rd_p rs1_p c_uimm1", 0x8440, 0xFC43, _LOAD, base="lh")
insn("c.sb", "rs1_p rs2_p c_uimm2", 0x8800, 0xFC03, _STORE, base="sb")
insn("c.sh", "rs1_p rs2_p c_uimm1", 0x8C00, 0xFC43, _STORE, base="sh")

insn("c.mul", "rd_rs1_p rs2_p", 0x9C41, 0xFC63, "{rd}, {rs2}", base="mul")
insn("c.zext.b", "rd_rs1_p", 0x9C61, 0xFC7F, _RD, base="andi", imm=0xFF)
insn("c.sext.b", "rd_rs1_p", 0x9C65, 0xFC7F, _RD, base="sext.b")
insn("c.zext.h", "rd_rs1_p", 0x9C69, 0xFC7F, _RD, base="zext.h")
insn("c.sext.h", "rd_rs1_p", 0x9C6D, 0xFC7F, _RD, base="sext.h")
insn("c.zext.w", "rd_rs1_p", 0x9C71, 0xFC7F, _RD, base="add.uw", rs2=0)
insn("c.not", "rd_rs1_p", 0x9C75, 0xFC7F, _RD, base="xori", imm=-1)
