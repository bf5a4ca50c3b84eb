# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64C, the 16-bit instructions without floating point (RISC-V unprivileged ISA, "C" extension).

``_n0``, ``_n2`` and ``nz`` in an operand's name exclude values that the manual reserves or gives to another
record. Where riscv-opcodes says so of a value that is a HINT, the operand here is the plain one, for HINTs
are legal.
"""

from __future__ import annotations

from .insn import extension

insn = extension("RV64C")

RA, SP = 1, 2

_RD_IMM = "{rd}, {imm}"
_RD_RS2 = "{rd}, {rs2}"
_LOAD = "{rd}, {imm}({rs1})"
_STORE = "{rs2}, {imm}({rs1})"

# quadrant 0
insn("c.addi4spn", "rd_p c_nzuimm10", 0x0000, 0xE003, "{rd}, sp, {imm}", base="addi", rs1=SP)
insn("c.lw", "rd_p rs1_p c_uimm7lo c_uimm7hi", 0x4000, 0xE003, _LOAD, base="lw")
insn("c.ld", "rd_p rs1_p c_uimm8lo c_uimm8hi", 0x6000, 0xE003, _LOAD, base="ld")
insn("c.sw", "rs1_p rs2_p c_uimm7lo c_uimm7hi", 0xC000, 0xE003, _STORE, base="sw")
insn("c.sd", "rs1_p rs2_p c_uimm8lo c_uimm8hi", 0xE000, 0xE003, _STORE, base="sd")

# quadrant 1
insn("c.nop", "c_imm6hi c_imm6lo", 0x0001, 0xEF83, base="addi", rd=0, rs1=0)
insn("c.addi", "rd_rs1_n0 c_imm6lo c_imm6hi", 0x0001, 0xE003, _RD_IMM, base="addi")
insn("c.addiw", "rd_rs1_n0 c_imm6lo c_imm6hi", 0x2001, 0xE003, _RD_IMM, base="addiw")
insn("c.li", "rd c_imm6lo c_imm6hi", 0x4001, 0xE003, _RD_IMM, base="addi", rs1=0)
insn("c.addi16sp", "c_nzimm10hi c_nzimm10lo", 0x6101, 0xEF83, "sp, {imm}", base="addi", rd=SP, rs1=SP)
insn("c.lui", "rd_n2 c_nzimm18hi c_nzimm18lo", 0x6001, 0xE003, "{rd}, {hi20}", base="lui")
insn("c.srli", "rd_rs1_p c_uimm6lo c_uimm6hi", 0x8001, 0xEC03, _RD_IMM, base="srli")
insn("c.srai", "rd_rs1_p c_uimm6lo c_uimm6hi", 0x8401, 0xEC03, _RD_IMM, base="srai")
insn("c.andi", "rd_rs1_p c_imm6hi c_imm6lo", 0x8801, 0xEC03, _RD_IMM, base="andi")
insn("c.sub", "rd_rs1_p rs2_p", 0x8C01, 0xFC63, _RD_RS2, base="sub")
insn("c.xor", "rd_rs1_p rs2_p", 0x8C21, 0xFC63, _RD_RS2, base="xor")
insn("c.or", "rd_rs1_p rs2_p", 0x8C41, 0xFC63, _RD_RS2, base="or")
insn("c.and", "rd_rs1_p rs2_p", 0x8C61, 0xFC63, _RD_RS2, base="and")
insn("c.subw", "rd_rs1_p rs2_p", 0x9C01, 0xFC63, _RD_RS2, base="subw")
insn("c.addw", "rd_rs1_p rs2_p", 0x9C21, 0xFC63, _RD_RS2, base="addw")
insn("c.j", "c_imm12", 0xA001, 0xE003, "{target}", base="jal", rd=0)
insn("c.beqz", "rs1_p c_bimm9lo c_bimm9hi", 0xC001, 0xE003, "{rs1}, {target}", base="beq", rs2=0)
insn("c.bnez", "rs1_p c_bimm9lo c_bimm9hi", 0xE001, 0xE003, "{rs1}, {target}", base="bne", rs2=0)

# quadrant 2
insn("c.slli", "rd_rs1 c_uimm6hi c_uimm6lo", 0x0002, 0xE003, _RD_IMM, base="slli")
insn("c.lwsp", "rd_n0 c_uimm8sphi c_uimm8splo", 0x4002, 0xE003, "{rd}, {imm}(sp)", base="lw", rs1=SP)
insn("c.ldsp", "rd_n0 c_uimm9sphi c_uimm9splo", 0x6002, 0xE003, "{rd}, {imm}(sp)", base="ld", rs1=SP)
insn("c.jr", "rs1_n0", 0x8002, 0xF07F, "{rs1}", base="jalr", rd=0, imm=0)
insn("c.mv", "rd c_rs2_n0", 0x8002, 0xF003, _RD_RS2, base="add", rs1=0)
insn("c.ebreak", "", 0x9002, 0xFFFF, base="ebreak")
insn("c.jalr", "rs1_n0", 0x9002, 0xF07F, "{rs1}", base="jalr", rd=RA, imm=0)
insn("c.add", "rd_rs1 c_rs2_n0", 0x9002, 0xF003, _RD_RS2, base="add")
insn("c.swsp", "c_rs2 c_uimm8sp_s", 0xC002, 0xE003, "{rs2}, {imm}(sp)", base="sw", rs1=SP)
insn("c.sdsp", "c_rs2 c_uimm9sp_s", 0xE002, 0xE003, "{rs2}, {imm}(sp)", base="sd", rs1=SP)
