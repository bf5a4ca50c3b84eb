# SPDX-License-Identifier: GPL-2.0-or-later
"""Svinval, invalidation of address translations in smaller steps (RISC-V privileged ISA, "Svinval" extension).

hinval.vvma and hinval.gvma belong to the hypervisor and have no records.
"""

from __future__ import annotations

from .insn import extension

insn = extension("Svinval")

insn("sinval.vma", "rs1 rs2", 0x16000073, 0xFE007FFF, "{rs1}, {rs2}", "sfence(rs1, rs2)")

# Here sinval.vma takes effect at once, and the two that order it have nothing left to do. To invalidate too
# much is always allowed, and sfence() is the effect that U-mode may not have and that is not translated across.
# What sfence() does beyond: it heeds mstatus.TVM, which does not concern these two.
insn("sfence.w.inval", "", 0x18000073, 0xFFFFFFFF, "", "sfence(0, 0)")
insn("sfence.inval.ir", "", 0x18100073, 0xFFFFFFFF, "", "sfence(0, 0)")
