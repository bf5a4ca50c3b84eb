# SPDX-License-Identifier: GPL-2.0-or-later
"""Zimop, may-be-operations (RISC-V unprivileged ISA, "Zimop" extension).

They write 0 to rd until another extension gives them a meaning. Zicfiss does so (sspush, sspopchk, ssrdp), but
where it is not enabled its instructions are these.
"""

from __future__ import annotations

from .insn import extension

insn = extension("Zimop")

for _n in range(32):  # n[4] is bit 30 of the word, n[3:2] are 27:26, n[1:0] are 21:20
    _bits = (_n >> 4) << 30 | (_n >> 2 & 3) << 26 | (_n & 3) << 20
    insn(f"mop.r.{_n}", "rd rs1", 0x81C04073 | _bits, 0xFFF0707F, "{rd}, {rs1}", "rd = 0")

for _n in range(8):  # n[2] is bit 30 of the word, n[1:0] are 27:26
    _bits = (_n >> 2) << 30 | (_n & 3) << 26
    insn(f"mop.rr.{_n}", "rd rs1 rs2", 0x82004073 | _bits, 0xFE00707F, "{rd}, {rs1}, {rs2}", "rd = 0")
