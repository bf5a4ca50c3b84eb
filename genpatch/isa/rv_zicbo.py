# SPDX-License-Identifier: GPL-2.0-or-later
"""Zicbom and Zicboz, cache blocks (RISC-V unprivileged ISA, "CMO" extensions).

Zicbop needs no records: prefetch.i, prefetch.r and prefetch.w are ori HINTs, with rd=0.
"""

from __future__ import annotations

from .insn import extension

_ADDRESS = "({rs1})"

insn = extension("Zicbom")
insn("cbo.inval", "rs1", 0x0000200F, 0xFFF07FFF, _ADDRESS, "cache_block(0, rs1)")
insn("cbo.clean", "rs1", 0x0010200F, 0xFFF07FFF, _ADDRESS, "cache_block(1, rs1)")
insn("cbo.flush", "rs1", 0x0020200F, 0xFFF07FFF, _ADDRESS, "cache_block(2, rs1)")

insn = extension("Zicboz")
insn("cbo.zero", "rs1", 0x0040200F, 0xFFF07FFF, _ADDRESS, "zero_block(rs1)")
