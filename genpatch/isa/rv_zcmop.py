# SPDX-License-Identifier: GPL-2.0-or-later
"""Zcmop, 16-bit may-be-operations (RISC-V unprivileged ISA, "Zcmop" extension).

They have the code points of c.lui with imm=0 and rd odd and below 16, write no register, and do nothing until
another extension gives them a meaning, as Zicfiss does to c.mop.1 (c.sspush) and c.mop.5 (c.sspopchk).
"""

from __future__ import annotations

from .insn import extension

insn = extension("Zcmop")

for _n in range(1, 16, 2):
    insn(f"c.mop.{_n}", "", 0x6001 | _n << 7, 0xFFFF, base="addi", rd=0, rs1=0, imm=0)
