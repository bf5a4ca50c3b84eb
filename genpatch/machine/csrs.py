# SPDX-License-Identifier: GPL-2.0-or-later
"""The control and status registers of a hart: a file of plain values, and a few that count."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..units import MASK64
from .outcome import Cause, Trap

__all__ = ["COUNTERS", "MACHINE", "MCAUSE", "MEPC", "MTVAL", "MTVEC", "SCAUSE", "SEPC", "STVAL", "STVEC", "SUPERVISOR"]
__all__ += ["CsrFile"]

STVEC, SEPC, SCAUSE, STVAL = 0x105, 0x141, 0x142, 0x143
MTVEC, MEPC, MCAUSE, MTVAL = 0x305, 0x341, 0x342, 0x343

COUNTERS = frozenset({0xC00, 0xC01, 0xC02})
"""cycle, time and instret; each counts instructions here."""

SUPERVISOR: Mapping[int, int] = MappingProxyType(
    {
        0x100: 0x2_0000_0000,  # sstatus: UXL says 64
        **dict.fromkeys((0x104, STVEC, 0x106, 0x10A, 0x140, SEPC, SCAUSE, STVAL, 0x144, 0x14D, 0x180), 0),
    }
)
"""sstatus sie stvec scounteren senvcfg sscratch sepc scause stval sip stimecmp satp, and their first values."""

MACHINE: Mapping[int, int] = MappingProxyType(
    {
        **SUPERVISOR,
        0x300: 0xA_0000_1800,  # mstatus: UXL and SXL say 64, MPP machine
        0x301: 0x8000_0000_0014_1105,  # misa: RV64, I M A C S U
        **dict.fromkeys((0x302, 0x303, 0x304, MTVEC, 0x306, 0x30A, 0x340, MEPC, MCAUSE, MTVAL, 0x344), 0),
        **dict.fromkeys((*range(0x3A0, 0x3B0, 2), *range(0x3B0, 0x3F0)), 0),  # pmpcfg, pmpaddr
        **dict.fromkeys((0xF11, 0xF12, 0xF13, 0xF14, 0xF15), 0),  # mvendorid marchid mimpid mhartid mconfigptr
    }
)
"""The same and those of M-mode, for a program that has the hart to itself."""

_FLOAT = range(0x001, 0x004)  # fflags frm fcsr
_VECTOR = (0x008, 0x009, 0x00A, 0x00F, 0xC20, 0xC21, 0xC22)  # vstart vxsat vxrm vcsr vl vtype vlenb
_ALIGNED = frozenset({SEPC, MEPC})  # bit 0 reads as zero
_READ_ONLY = 0b11


class CsrFile:
    """The CSRs that a hart has; any other is illegal.

    Args:
        values: number to first value.
        counter: returns what cycle, time and instret read.
    """

    def __init__(self, values: Mapping[int, int], counter: Callable[[], int]):
        self.values = dict(values)
        self._counter = counter

    def read(self, number: int) -> int:
        """Return a CSR's value.

        Raises:
            Trap: there is no such CSR; its tval is 0, since a CSR file does not know the instruction.
        """
        if number in COUNTERS:
            return self._counter()
        value = self.values.get(number)
        if value is None:
            raise missing(number)
        return value

    def write(self, number: int, value: int) -> None:
        """Set a CSR; errors as `read`, and for one that is read-only."""
        if number not in self.values or number >> 10 == _READ_ONLY:
            raise missing(number)
        self.values[number] = value & MASK64 & ~(number in _ALIGNED)


def missing(number: int) -> Trap:
    """Return the trap of an access to a CSR that is not there, or not supported."""
    if number in _FLOAT or number in _VECTOR:
        return Trap(Cause.ILLEGAL, 0, f"CSR {number:#x} of {'F/D' if number in _FLOAT else 'V'}", supported=False)
    return Trap(Cause.ILLEGAL, 0, f"no CSR {number:#x} to access so")
