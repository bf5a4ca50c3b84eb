# SPDX-License-Identifier: GPL-2.0-or-later
"""What instructions do beyond registers and jumps, in all lanes that execute one together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..units import U64Array
from .csrs import COUNTERS, MEPC, SEPC, missing
from .lane_access import CONDITIONAL, LOAD, RESERVE, STORE, LaneSet, LaneTrap, picked, same_in_all, spread
from .lane_memory import LaneMemory
from .outcome import Cause

__all__ = ["Effects"]

_U64 = np.uint64
_CACHE_BLOCK = 64
_READ_ONLY = 0b11  # the top two bits of a CSR's number


class Effects:
    """The effects of the notation, for compiled functions to call; values are uint64[m] or one np.uint64.

    Args:
        memory: of the lanes.
        csrs: numbers and first values of the CSRs that there are.
        retired: int64[n], instructions that each lane has executed.

    Attributes:
        lanes: those that execute.
        pcs: where they stand, one np.uint64 or uint64[m].
        words: what they execute, one np.uint64 or uint64[m].
        asks_environment: set by ECALL if somebody answers it.
        has_environment: whether somebody does.
    """

    def __init__(self, memory: LaneMemory, csrs: Mapping[int, int], retired: Any):
        self.memory = memory
        self.csrs: dict[int, Any] = {number: _U64(value) for number, value in csrs.items()}
        self.lanes: LaneSet = None
        self.pcs: Any = _U64(0)
        self.words: Any = _U64(0)
        self.asks_environment = self.has_environment = False
        self._retired = retired
        self._reserved: U64Array = np.zeros(memory.n, _U64)
        self._reserved_width = np.zeros(memory.n, np.int8)  # 0: no reservation

    @property
    def _count(self) -> int:
        return self.memory.n if self.lanes is None else len(self.lanes)

    @property
    def _where(self) -> Any:
        return ... if self.lanes is None else self.lanes

    # -- memory

    def load(self, width: int, address: Any, out: U64Array | None = None) -> Any:
        """Load, zero-extended; `out` may take the result."""
        return self.memory.load(self.lanes, address, width, LOAD, out)

    def store(self, width: int, address: Any, value: Any, test: Any = None) -> None:
        """Store in all lanes, or where a test, bool[m] or one, is true."""
        if test is None:
            self.memory.store(self.lanes, address, width, value)
        else:
            self._store_where(spread_truth(test, self._count), width, address, value)

    def _store_where(self, test: Any, width: int, address: Any, value: Any, access: Any = STORE) -> None:
        at = np.flatnonzero(test)
        if not len(at):
            return
        count = self._count
        addresses, values = spread(address, count)[at], spread(value, count)[at]
        try:
            self.memory.store(picked(self.lanes, at), addresses, width, values, access)
        except LaneTrap as trap:
            raise trap.widened(at, count) from None

    def atomic(self, width: int, address: Any) -> Any:
        """Load for an AMO; the bytes must be writable too."""
        return self.memory.atomic(self.lanes, address, width)

    def reserve(self, width: int, address: Any) -> Any:
        """LR."""
        value = self.memory.load(self.lanes, address, width, RESERVE)
        self._reserved[self._where] = address
        self._reserved_width[self._where] = width
        return value

    def conditional(self, width: int, address: Any, value: Any) -> Any:
        """SC: 0 where the reservation was for the same bytes, else 1."""
        misaligned = spread(address, self._count) & _U64(width - 1) != 0
        if misaligned.any():
            raise LaneTrap(CONDITIONAL.misaligned, misaligned, spread(address, self._count))
        held = (self._reserved_width[self._where] == width) & (self._reserved[self._where] == address)
        self._store_where(held, width, address, value, CONDITIONAL)
        self._reserved_width[self._where] = 0
        return (~held).astype(_U64)

    def zero_block(self, address: Any) -> None:
        """CBO.ZERO."""
        self.memory.zero_block(self.lanes, address, _CACHE_BLOCK)

    # -- order

    def fence(self, sets: Any) -> None:
        """FENCE."""
        self.memory.note("fence", self.lanes, sets)

    def fence_i(self) -> None:
        """FENCE.I; lanes never fetch anything stale."""
        self.memory.note("fence.i", self.lanes)

    def sfence(self, address: Any, asid: Any) -> None:
        """SFENCE.VMA."""
        self.memory.note("sfence", self.lanes, address)

    def cache_block(self, operation: Any, address: Any) -> None:
        """CBO.INVAL, CBO.CLEAN, CBO.FLUSH."""
        self.memory.note("cbo", self.lanes, address)

    def wfi(self) -> None:
        """WFI; there are no interrupts to wait for."""
        self.memory.note("wfi", self.lanes)

    # -- CSRs, of one number in all lanes

    def csr_swap(self, number: Any, value: Any) -> Any:
        """CSRRW."""
        return self._csr(number, lambda _: value, True)

    def csr_set(self, number: Any, bits: Any, write: Any) -> Any:
        """CSRRS; it writes where `write` is not 0."""
        return self._csr(number, lambda old: old | bits, write)

    def csr_clear(self, number: Any, bits: Any, write: Any) -> Any:
        """CSRRC; it writes where `write` is not 0."""
        return self._csr(number, lambda old: old & ~bits, write)

    def _csr(self, numbers: Any, change: Callable[[Any], Any], write: Any) -> Any:
        number = same_in_all(numbers)
        assert number is not None
        writes = np.asarray(write, np.bool_)
        failed = writes & self._is_read_only(number) | (number not in self.csrs and number not in COUNTERS)
        if failed.any():
            self._refuse(number, failed)
        old = self._csr_value(number)
        if writes.any():
            self._set_csr(number, np.where(writes, change(old), old))
        return old

    @staticmethod
    def _is_read_only(number: int) -> bool:
        return number in COUNTERS or number >> 10 == _READ_ONLY

    def _refuse(self, number: int, failed: Any) -> None:
        trap = missing(number)
        raise LaneTrap(
            trap.cause, spread_truth(failed, self._count), spread(self.words, self._count), trap.text,
            supported=trap.supported,
        )  # fmt: skip

    def _csr_value(self, number: int) -> Any:
        if number in COUNTERS:
            return self._retired[self._where].astype(_U64)
        value = self.csrs[number]
        return value if np.ndim(value) == 0 else value[self._where].copy()

    def _set_csr(self, number: int, values: Any) -> None:
        column = self.csrs[number]
        if np.ndim(column) == 0:
            column = self.csrs[number] = np.full(self.memory.n, column)
        column[self._where] = values & ~_U64(number in (SEPC, MEPC))

    # -- leaving

    def ecall(self) -> None:
        """ECALL; the engine asks the environment when the instruction is done."""
        if not self.has_environment:
            raise LaneTrap(Cause.ECALL, None, 0)
        self.asks_environment = True

    def ebreak(self) -> None:
        """EBREAK."""
        raise LaneTrap(Cause.BREAKPOINT, None, self.pcs)

    def sret(self) -> Any:
        """SRET; there are no traps to return from."""
        raise LaneTrap(Cause.ILLEGAL, None, self.words, "sret in lanes", supported=False)

    def mret(self) -> Any:
        """MRET; there are no traps to return from."""
        raise LaneTrap(Cause.ILLEGAL, None, self.words, "mret in lanes", supported=False)


def spread_truth(test: Any, count: int) -> Any:
    """Return a truth value for each of `count` lanes, bool[count], not to be written to."""
    return np.broadcast_to(np.asarray(test, np.bool_), (count,))
