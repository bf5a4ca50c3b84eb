# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64I, the base integer instructions (RISC-V unprivileged ISA, RV32I and RV64I)."""

from __future__ import annotations

from .insn import alias, extension

insn = extension("RV64I")

_R = "{rd}, {rs1}, {rs2}"
_I = "{rd}, {rs1}, {imm}"
_U = "{rd}, {hi20}"
_LOAD = "{rd}, {imm}({rs1})"
_STORE = "{rs2}, {imm}({rs1})"
_BRANCH = "{rs1}, {rs2}, {target}"
_RS1, _RS2 = "{rs1}, {target}", "{rs2}, {target}"

insn("lui", "rd imm20", 0x00000037, 0x0000007F, _U, "rd = imm << 12")
insn("auipc", "rd imm20", 0x00000017, 0x0000007F, _U, "rd = pc + (imm << 12)")

insn("jal", "rd jimm20", 0x0000006F, 0x0000007F, "{rd}, {target}", "goto(pc + imm); rd = next")
alias("j", "{target}", of="jal", rd=0)
alias("jal", "{target}", of="jal", rd=1)
insn("jalr", "rd rs1 imm12", 0x00000067, 0x0000707F, _I, "target = (rs1 + imm) & ~1; goto(target); rd = next")
alias("ret", of="jalr", rd=0, rs1=1, imm=0)
alias("jr", "{rs1}", of="jalr", rd=0, imm=0)
alias("jalr", "{rs1}", of="jalr", rd=1, imm=0)

insn("beq", "bimm12hi rs1 rs2 bimm12lo", 0x00000063, 0x0000707F, _BRANCH, "if rs1 == rs2: goto(pc + imm)")
alias("beqz", _RS1, of="beq", rs2=0)
insn("bne", "bimm12hi rs1 rs2 bimm12lo", 0x00001063, 0x0000707F, _BRANCH, "if rs1 != rs2: goto(pc + imm)")
alias("bnez", _RS1, of="bne", rs2=0)
insn(
    "blt", "bimm12hi rs1 rs2 bimm12lo", 0x00004063, 0x0000707F, _BRANCH, "if signed(rs1) < signed(rs2): goto(pc + imm)"
)
alias("bltz", _RS1, of="blt", rs2=0)
alias("bgtz", _RS2, of="blt", rs1=0)
insn(
    "bge", "bimm12hi rs1 rs2 bimm12lo", 0x00005063, 0x0000707F, _BRANCH, "if signed(rs1) >= signed(rs2): goto(pc + imm)"
)
alias("blez", _RS2, of="bge", rs1=0)
alias("bgez", _RS1, of="bge", rs2=0)
insn("bltu", "bimm12hi rs1 rs2 bimm12lo", 0x00006063, 0x0000707F, _BRANCH, "if rs1 < rs2: goto(pc + imm)")
insn("bgeu", "bimm12hi rs1 rs2 bimm12lo", 0x00007063, 0x0000707F, _BRANCH, "if rs1 >= rs2: goto(pc + imm)")

insn("lb", "rd rs1 imm12", 0x00000003, 0x0000707F, _LOAD, "rd = sext(load(1, rs1 + imm), 8)")
insn("lh", "rd rs1 imm12", 0x00001003, 0x0000707F, _LOAD, "rd = sext(load(2, rs1 + imm), 16)")
insn("lw", "rd rs1 imm12", 0x00002003, 0x0000707F, _LOAD, "rd = sext(load(4, rs1 + imm), 32)")
insn("ld", "rd rs1 imm12", 0x00003003, 0x0000707F, _LOAD, "rd = load(8, rs1 + imm)")
insn("lbu", "rd rs1 imm12", 0x00004003, 0x0000707F, _LOAD, "rd = load(1, rs1 + imm)")
insn("lhu", "rd rs1 imm12", 0x00005003, 0x0000707F, _LOAD, "rd = load(2, rs1 + imm)")
insn("lwu", "rd rs1 imm12", 0x00006003, 0x0000707F, _LOAD, "rd = load(4, rs1 + imm)")
insn("sb", "imm12hi rs1 rs2 imm12lo", 0x00000023, 0x0000707F, _STORE, "store(1, rs1 + imm, rs2)")
insn("sh", "imm12hi rs1 rs2 imm12lo", 0x00001023, 0x0000707F, _STORE, "store(2, rs1 + imm, rs2)")
insn("sw", "imm12hi rs1 rs2 imm12lo", 0x00002023, 0x0000707F, _STORE, "store(4, rs1 + imm, rs2)")
insn("sd", "imm12hi rs1 rs2 imm12lo", 0x00003023, 0x0000707F, _STORE, "store(8, rs1 + imm, rs2)")

insn("addi", "rd rs1 imm12", 0x00000013, 0x0000707F, _I, "rd = rs1 + imm")
alias("nop", of="addi", rd=0, rs1=0, imm=0)
alias("li", "{rd}, {imm}", of="addi", rs1=0)
alias("mv", "{rd}, {rs1}", of="addi", imm=0)
insn("slti", "rd rs1 imm12", 0x00002013, 0x0000707F, _I, "rd = signed(rs1) < signed(imm)")
insn("sltiu", "rd rs1 imm12", 0x00003013, 0x0000707F, _I, "rd = rs1 < imm")
alias("seqz", "{rd}, {rs1}", of="sltiu", imm=1)
insn("xori", "rd rs1 imm12", 0x00004013, 0x0000707F, _I, "rd = rs1 ^ imm")
alias("not", "{rd}, {rs1}", of="xori", imm=-1)
insn("ori", "rd rs1 imm12", 0x00006013, 0x0000707F, _I, "rd = rs1 | imm")
insn("andi", "rd rs1 imm12", 0x00007013, 0x0000707F, _I, "rd = rs1 & imm")
insn("slli", "rd rs1 shamtd", 0x00001013, 0xFC00707F, _I, "rd = rs1 << imm")
insn("srli", "rd rs1 shamtd", 0x00005013, 0xFC00707F, _I, "rd = rs1 >> imm")
insn("srai", "rd rs1 shamtd", 0x40005013, 0xFC00707F, _I, "rd = signed(rs1) >> imm")

insn("add", "rd rs1 rs2", 0x00000033, 0xFE00707F, _R, "rd = rs1 + rs2")
insn("sub", "rd rs1 rs2", 0x40000033, 0xFE00707F, _R, "rd = rs1 - rs2")
alias("neg", "{rd}, {rs2}", of="sub", rs1=0)
insn("sll", "rd rs1 rs2", 0x00001033, 0xFE00707F, _R, "rd = rs1 << (rs2 & 63)")
insn("slt", "rd rs1 rs2", 0x00002033, 0xFE00707F, _R, "rd = signed(rs1) < signed(rs2)")
alias("sltz", "{rd}, {rs1}", of="slt", rs2=0)
alias("sgtz", "{rd}, {rs2}", of="slt", rs1=0)
insn("sltu", "rd rs1 rs2", 0x00003033, 0xFE00707F, _R, "rd = rs1 < rs2")
alias("snez", "{rd}, {rs2}", of="sltu", rs1=0)
insn("xor", "rd rs1 rs2", 0x00004033, 0xFE00707F, _R, "rd = rs1 ^ rs2")
insn("srl", "rd rs1 rs2", 0x00005033, 0xFE00707F, _R, "rd = rs1 >> (rs2 & 63)")
insn("sra", "rd rs1 rs2", 0x40005033, 0xFE00707F, _R, "rd = signed(rs1) >> (rs2 & 63)")
insn("or", "rd rs1 rs2", 0x00006033, 0xFE00707F, _R, "rd = rs1 | rs2")
insn("and", "rd rs1 rs2", 0x00007033, 0xFE00707F, _R, "rd = rs1 & rs2")

insn("addiw", "rd rs1 imm12", 0x0000001B, 0x0000707F, _I, "rd = sext(rs1 + imm, 32)")
alias("sext.w", "{rd}, {rs1}", of="addiw", imm=0)
insn("slliw", "rd rs1 shamtw", 0x0000101B, 0xFE00707F, _I, "rd = sext(rs1 << imm, 32)")
insn("srliw", "rd rs1 shamtw", 0x0000501B, 0xFE00707F, _I, "rd = sext(zext(rs1, 32) >> imm, 32)")
insn("sraiw", "rd rs1 shamtw", 0x4000501B, 0xFE00707F, _I, "rd = signed(sext(rs1, 32)) >> imm")
insn("addw", "rd rs1 rs2", 0x0000003B, 0xFE00707F, _R, "rd = sext(rs1 + rs2, 32)")
insn("subw", "rd rs1 rs2", 0x4000003B, 0xFE00707F, _R, "rd = sext(rs1 - rs2, 32)")
alias("negw", "{rd}, {rs2}", of="subw", rs1=0)
insn("sllw", "rd rs1 rs2", 0x0000103B, 0xFE00707F, _R, "rd = sext(rs1 << (rs2 & 31), 32)")
insn("srlw", "rd rs1 rs2", 0x0000503B, 0xFE00707F, _R, "rd = sext(zext(rs1, 32) >> (rs2 & 31), 32)")
insn("sraw", "rd rs1 rs2", 0x4000503B, 0xFE00707F, _R, "rd = signed(sext(rs1, 32)) >> (rs2 & 31)")

# rd and rs1 of a fence are reserved for finer fences; base implementations shall ignore them
insn("fence", "fm pred succ", 0x0000000F, 0x0000707F, "{pred}, {succ}", "fence(imm)")
alias("fence", of="fence", imm=0x0FF)
insn("fence.tso", "", 0x8330000F, 0xFFF0707F, "", "fence(0x833)")
insn("ecall", "", 0x00000073, 0xFFFFFFFF, "", "ecall()")
insn("ebreak", "", 0x00100073, 0xFFFFFFFF, "", "ebreak()")
