# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers that a function reads before it writes them, compared with what a call at its start changes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..image.memory import AddressSpace
from ..isa.insn import decode
from ..units import BoolArray, I64Array, U64Array

__all__ = ["live_at_entry"]

_DEPTH = 12
"""Instructions that are looked at, up to the first that jumps."""
_ENDS = frozenset({"jal", "jalr", "beq", "bne", "blt", "bge", "bltu", "bgeu", "ecall", "ebreak", "sret", "mret"})


def live_at_entry(memory: AddressSpace, starts: U64Array) -> I64Array:
    """Return which registers are read before they are written, as far as that is certain.

    Args:
        memory: of the image.
        starts: uint64[n], first instructions behind sleds.
    Returns:
        int64[n], bit r for xr. Only straight-line code is looked at, so a register may be live that is not here.
    """
    live, written = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    at, going = starts.copy(), np.arange(len(starts))
    for _ in range(_DEPTH):
        rows, stored = memory.windows(at[going], 0, 4)
        there = stored[:, :2].all(axis=1)
        going, rows = going[there], rows[there]
        if not len(going):
            break
        reads, writes, sizes, ends = _effects(np.ascontiguousarray(rows).view("<u4").reshape(-1))
        live[going] |= reads & ~written[going]
        written[going] |= writes
        at[going] += sizes
        going = going[~ends]
    return live


def _effects(words: np.ndarray[tuple[int, ...], np.dtype[np.uint32]]) -> tuple[I64Array, I64Array, U64Array, BoolArray]:
    """Return registers read and written (bit r), size, and whether straight-line code ends, of each word."""
    unique, which = np.unique(words, return_inverse=True)
    table = np.array([_effect(word) for word in unique.tolist()], np.int64).reshape(-1, 4)[which.reshape(-1)]
    return table[:, 0], table[:, 1], table[:, 2].astype(np.uint64), table[:, 3].astype(np.bool_)


@lru_cache(maxsize=1 << 16)
def _effect(word: int) -> tuple[int, int, int, int]:
    insn = decode(word)
    if insn is None:
        return 0, 0, 2, 1
    base = insn.base
    reads = sum(1 << number for number in {base.rs1, base.rs2} if number > 0)
    return reads, (1 << base.rd if base.rd > 0 else 0), insn.size, int(base.name in _ENDS)
