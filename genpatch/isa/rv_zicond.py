# SPDX-License-Identifier: GPL-2.0-or-later
"""Zicond, conditional zeroing (RISC-V unprivileged ISA, "Zicond")."""

from __future__ import annotations

from .insn import extension

insn = extension("Zicond")

insn("czero.eqz", "rd rs1 rs2", 0x0E005033, 0xFE00707F, "{rd}, {rs1}, {rs2}", "rd = 0 if rs2 == 0 else rs1")
insn("czero.nez", "rd rs1 rs2", 0x0E007033, 0xFE00707F, "{rd}, {rs1}, {rs2}", "rd = 0 if rs2 != 0 else rs1")
