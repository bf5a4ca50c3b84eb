# SPDX-License-Identifier: GPL-2.0-or-later
"""Zbkb, of which only the packing instructions are here (RISC-V unprivileged ISA, "Zbkb")."""

from __future__ import annotations

from .insn import extension

insn = extension("Zbkb")

_R = "{rd}, {rs1}, {rs2}"

insn("pack", "rd rs1 rs2", 0x08004033, 0xFE00707F, _R, "rd = zext(rs1, 32) | rs2 << 32")
