# SPDX-License-Identifier: GPL-2.0-or-later
"""RV64A, atomics (RISC-V unprivileged ISA, "A" extension)."""

from __future__ import annotations

from .insn import extension

insn = extension("RV64A")

_LR = "{rd}, ({rs1})"
_AMO = "{rd}, {rs2}, ({rs1})"

insn("lr.w", "rd rs1 aq rl", 0x1000202F, 0xF9F0707F, _LR, "rd = sext(reserve(4, rs1), 32)")
insn("lr.d", "rd rs1 aq rl", 0x1000302F, 0xF9F0707F, _LR, "rd = reserve(8, rs1)")
insn("sc.w", "rd rs1 rs2 aq rl", 0x1800202F, 0xF800707F, _AMO, "rd = conditional(4, rs1, rs2)")
insn("sc.d", "rd rs1 rs2 aq rl", 0x1800302F, 0xF800707F, _AMO, "rd = conditional(8, rs1, rs2)")

_W = "old = sext(atomic(4, rs1), 32); new = sext(rs2, 32); store(4, rs1, {}); rd = old"
_D = "old = atomic(8, rs1); new = rs2; store(8, rs1, {}); rd = old"

insn("amoadd.w", "rd rs1 rs2 aq rl", 0x0000202F, 0xF800707F, _AMO, _W.format("old + new"))
insn("amoswap.w", "rd rs1 rs2 aq rl", 0x0800202F, 0xF800707F, _AMO, _W.format("new"))
insn("amoxor.w", "rd rs1 rs2 aq rl", 0x2000202F, 0xF800707F, _AMO, _W.format("old ^ new"))
insn("amoor.w", "rd rs1 rs2 aq rl", 0x4000202F, 0xF800707F, _AMO, _W.format("old | new"))
insn("amoand.w", "rd rs1 rs2 aq rl", 0x6000202F, 0xF800707F, _AMO, _W.format("old & new"))
insn(
    "amomin.w", "rd rs1 rs2 aq rl", 0x8000202F, 0xF800707F, _AMO, _W.format("old if signed(old) < signed(new) else new")
)
insn(
    "amomax.w", "rd rs1 rs2 aq rl", 0xA000202F, 0xF800707F, _AMO, _W.format("new if signed(old) < signed(new) else old")
)
insn("amominu.w", "rd rs1 rs2 aq rl", 0xC000202F, 0xF800707F, _AMO, _W.format("old if old < new else new"))
insn("amomaxu.w", "rd rs1 rs2 aq rl", 0xE000202F, 0xF800707F, _AMO, _W.format("new if old < new else old"))

insn("amoadd.d", "rd rs1 rs2 aq rl", 0x0000302F, 0xF800707F, _AMO, _D.format("old + new"))
insn("amoswap.d", "rd rs1 rs2 aq rl", 0x0800302F, 0xF800707F, _AMO, _D.format("new"))
insn("amoxor.d", "rd rs1 rs2 aq rl", 0x2000302F, 0xF800707F, _AMO, _D.format("old ^ new"))
insn("amoor.d", "rd rs1 rs2 aq rl", 0x4000302F, 0xF800707F, _AMO, _D.format("old | new"))
insn("amoand.d", "rd rs1 rs2 aq rl", 0x6000302F, 0xF800707F, _AMO, _D.format("old & new"))
insn(
    "amomin.d", "rd rs1 rs2 aq rl", 0x8000302F, 0xF800707F, _AMO, _D.format("old if signed(old) < signed(new) else new")
)
insn(
    "amomax.d", "rd rs1 rs2 aq rl", 0xA000302F, 0xF800707F, _AMO, _D.format("new if signed(old) < signed(new) else old")
)
insn("amominu.d", "rd rs1 rs2 aq rl", 0xC000302F, 0xF800707F, _AMO, _D.format("old if old < new else new"))
insn("amomaxu.d", "rd rs1 rs2 aq rl", 0xE000302F, 0xF800707F, _AMO, _D.format("new if old < new else old"))
