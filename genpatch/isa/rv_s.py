# SPDX-License-Identifier: GPL-2.0-or-later
"""The privileged instructions that kernel text holds (RISC-V privileged ISA, RV64 opcode listing)."""

from __future__ import annotations

from .insn import alias, extension

insn = extension("Priv")

insn("sret", "", 0x10200073, 0xFFFFFFFF, "", "goto(sret())")
insn("mret", "", 0x30200073, 0xFFFFFFFF, "", "goto(mret())")
insn("wfi", "", 0x10500073, 0xFFFFFFFF, "", "wfi()")
insn("sfence.vma", "rs1 rs2", 0x12000073, 0xFE007FFF, "{rs1}, {rs2}", "sfence(rs1, rs2)")
alias("sfence.vma", of="sfence.vma", rs1=0, rs2=0)
alias("sfence.vma", "{rs1}", of="sfence.vma", rs2=0)
