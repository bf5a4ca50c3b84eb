# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64A, atomics (RISC-V unprivileged ISA, "A" extension)."""

from __future__ import annotations

from .insn import extension

insn = extension("RV64A")

_LR = "{rd}, ({rs1})"
_AMO = "{rd}, {rs2}, ({rs1})"

insn("lr.w", "rd rs1 aq rl", 0x1000202F, 0xF9F0707F, _LR)
insn("lr.d", "rd rs1 aq rl", 0x1000302F, 0xF9F0707F, _LR)
insn("sc.w", "rd rs1 rs2 aq rl", 0x1800202F, 0xF800707F, _AMO)
insn("sc.d", "rd rs1 rs2 aq rl", 0x1800302F, 0xF800707F, _AMO)

insn("amoadd.w", "rd rs1 rs2 aq rl", 0x0000202F, 0xF800707F, _AMO)
insn("amoswap.w", "rd rs1 rs2 aq rl", 0x0800202F, 0xF800707F, _AMO)
insn("amoxor.w", "rd rs1 rs2 aq rl", 0x2000202F, 0xF800707F, _AMO)
insn("amoor.w", "rd rs1 rs2 aq rl", 0x4000202F, 0xF800707F, _AMO)
insn("amoand.w", "rd rs1 rs2 aq rl", 0x6000202F, 0xF800707F, _AMO)
insn("amomin.w", "rd rs1 rs2 aq rl", 0x8000202F, 0xF800707F, _AMO)
insn("amomax.w", "rd rs1 rs2 aq rl", 0xA000202F, 0xF800707F, _AMO)
insn("amominu.w", "rd rs1 rs2 aq rl", 0xC000202F, 0xF800707F, _AMO)
insn("amomaxu.w", "rd rs1 rs2 aq rl", 0xE000202F, 0xF800707F, _AMO)

insn("amoadd.d", "rd rs1 rs2 aq rl", 0x0000302F, 0xF800707F, _AMO)
insn("amoswap.d", "rd rs1 rs2 aq rl", 0x0800302F, 0xF800707F, _AMO)
insn("amoxor.d", "rd rs1 rs2 aq rl", 0x2000302F, 0xF800707F, _AMO)
insn("amoor.d", "rd rs1 rs2 aq rl", 0x4000302F, 0xF800707F, _AMO)
insn("amoand.d", "rd rs1 rs2 aq rl", 0x6000302F, 0xF800707F, _AMO)
insn("amomin.d", "rd rs1 rs2 aq rl", 0x8000302F, 0xF800707F, _AMO)
insn("amomax.d", "rd rs1 rs2 aq rl", 0xA000302F, 0xF800707F, _AMO)
insn("amominu.d", "rd rs1 rs2 aq rl", 0xC000302F, 0xF800707F, _AMO)
insn("amomaxu.d", "rd rs1 rs2 aq rl", 0xE000302F, 0xF800707F, _AMO)
