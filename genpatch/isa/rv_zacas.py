# SPDX-License-Identifier: GPL-2.0-or-later
"""Zacas, atomic compare-and-swap (RISC-V unprivileged ISA, "Zacas" extension).

amocas.b and amocas.h stand with Zabha. amocas.q has no record: its 16 bytes are one access, to one aligned
address, which the notation of `semantics` has no effect for; `foreign` names it.
"""

from __future__ import annotations

from .insn import extension

insn = extension("Zacas")

_AMO = "{rd}, {rs2}, ({rs1})"

insn(
    "amocas.w",
    "rd rs1 rs2 aq rl",
    0x2800202F,
    0xF800707F,
    _AMO,
    "old = sext(atomic(4, rs1), 32)\nif old == sext(rd, 32): store(4, rs1, rs2)\nrd = old",
)
insn(
    "amocas.d",
    "rd rs1 rs2 aq rl",
    0x2800302F,
    0xF800707F,
    _AMO,
    "old = atomic(8, rs1)\nif old == rd: store(8, rs1, rs2)\nrd = old",
)
