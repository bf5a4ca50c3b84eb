# SPDX-License-Identifier: GPL-2.0-or-later
"""Zicsr, access to control and status registers (RISC-V unprivileged ISA, "Zicsr")."""

from __future__ import annotations

from .insn import alias, extension

insn = extension("Zicsr")

_REG, _IMM = "{rd}, {csr}, {rs1}", "{rd}, {csr}, {imm}"

insn("csrrw", "rd rs1 csr", 0x00001073, 0x0000707F, _REG, "rd = csr_swap(csr, rs1)")
alias("csrw", "{csr}, {rs1}", of="csrrw", rd=0)
insn("csrrs", "rd rs1 csr", 0x00002073, 0x0000707F, _REG, "rd = csr_set(csr, rs1, rs1_is_x0 == 0)")
alias("rdcycle", "{rd}", of="csrrs", csr=0xC00, rs1=0)
alias("rdtime", "{rd}", of="csrrs", csr=0xC01, rs1=0)
alias("rdinstret", "{rd}", of="csrrs", csr=0xC02, rs1=0)
alias("csrr", "{rd}, {csr}", of="csrrs", rs1=0)
alias("csrs", "{csr}, {rs1}", of="csrrs", rd=0)
insn("csrrc", "rd rs1 csr", 0x00003073, 0x0000707F, _REG, "rd = csr_clear(csr, rs1, rs1_is_x0 == 0)")
alias("csrc", "{csr}, {rs1}", of="csrrc", rd=0)
insn("csrrwi", "rd csr zimm5", 0x00005073, 0x0000707F, _IMM, "rd = csr_swap(csr, imm)")
alias("csrwi", "{csr}, {imm}", of="csrrwi", rd=0)
insn("csrrsi", "rd csr zimm5", 0x00006073, 0x0000707F, _IMM, "rd = csr_set(csr, imm, imm != 0)")
alias("csrsi", "{csr}, {imm}", of="csrrsi", rd=0)
insn("csrrci", "rd csr zimm5", 0x00007073, 0x0000707F, _IMM, "rd = csr_clear(csr, imm, imm != 0)")
alias("csrci", "{csr}, {imm}", of="csrrci", rd=0)
