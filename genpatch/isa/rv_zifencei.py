# SPDX-License-Identifier: GPL-2.0-or-later
"""Zifencei, the instruction-fetch fence (RISC-V unprivileged ISA, "Zifencei")."""

from __future__ import annotations

from .insn import extension

insn = extension("Zifencei")

# imm, rs1 and rd are reserved for finer fences; base implementations shall ignore them
insn("fence.i", "", 0x0000100F, 0x0000707F, "", "fence_i()")
