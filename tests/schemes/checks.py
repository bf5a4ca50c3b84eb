# SPDX-License-Identifier: GPL-2.0-or-later
"""Instruction words from the manual, so that a slip in the catalog or the assembler cannot be its own proof."""

NOP = 0x0000_0013
C_NOP = 0x0001
AUIPC_T0, JALR_T0 = 0x0000_0297, 0x0002_82E7
AUIPC_RA, JALR_RA = 0x0000_0097, 0x0000_80E7
SD_RA, LD_RA = 0xFE11_3C23, 0xFF81_3083
JALR_T0_GP, JALR_T0_T1 = 0x0001_82E7, 0x0003_02E7
JAL_T0 = 0x0000_02EF
JUMP_12, JUMP_24 = 0x00C0_006F, 0x0180_006F
LD_T1 = 0x0102_B303
LPAD = 0x0000_0017
