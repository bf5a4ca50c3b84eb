# SPDX-License-Identifier: GPL-2.0-or-later
"""Zawrs, waiting on a reservation set (RISC-V unprivileged ISA, "Zawrs" extension)."""

from __future__ import annotations

from .insn import extension

insn = extension("Zawrs")

# A stall may end "for any reason" and keeps the reservation, so it may end at once, before the time limit by
# which mstatus.TW makes wrs.nto illegal. Unlike wfi it is no privileged instruction and waits for no interrupt.
# fence(0), which orders nothing against nothing, is the effect that has no effect.
insn("wrs.nto", "", 0x00D00073, 0xFFFFFFFF, "", "fence(0)")
insn("wrs.sto", "", 0x01D00073, 0xFFFFFFFF, "", "fence(0)")
