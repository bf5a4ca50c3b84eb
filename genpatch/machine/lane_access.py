# SPDX-License-Identifier: GPL-2.0-or-later
"""What an access of many lanes needs, and how it fails for some of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..units import BoolArray, I64Array, U64Array
from .memory import Permissions
from .outcome import Cause

__all__ = ["AMO", "CONDITIONAL", "FETCH", "HOST", "LOAD", "RESERVE", "STORE", "Access", "LaneSet", "LaneTrap"]
__all__ += ["permission_bits", "picked", "same_in_all", "spread"]

LaneSet = I64Array | None
"""Lanes by number, int64[m] ascending; None for all of them."""

_READ, _WRITE, _EXECUTE = 1, 2, 4


class Access(NamedTuple):
    """A kind of access.

    Args:
        needs: permission bits that all of its bytes must have.
        fault: cause if they do not.
        misaligned: cause if it may not stand where it does.
        always_aligned: whether that holds even where plain loads and stores may stand anywhere.
    """

    needs: int
    fault: Cause
    misaligned: Cause
    always_aligned: bool = False


LOAD = Access(_READ, Cause.LOAD_FAULT, Cause.LOAD_MISALIGNED)
STORE = Access(_WRITE, Cause.STORE_FAULT, Cause.STORE_MISALIGNED)
FETCH = Access(_EXECUTE, Cause.FETCH_FAULT, Cause.FETCH_MISALIGNED)
RESERVE = Access(_READ, Cause.LOAD_FAULT, Cause.LOAD_MISALIGNED, True)
CONDITIONAL = Access(_WRITE, Cause.STORE_FAULT, Cause.STORE_MISALIGNED, True)
AMO = Access(_WRITE, Cause.STORE_FAULT, Cause.STORE_MISALIGNED, True)
HOST = Access(0, Cause.LOAD_FAULT, Cause.LOAD_MISALIGNED)


def permission_bits(text: str) -> int:
    """Return the bits of ``"rwx"`` that `Access.needs` is compared with."""
    allowed = Permissions.of(text)
    return _READ * allowed.read | _WRITE * allowed.write | _EXECUTE * allowed.execute


class LaneTrap(Exception):  # noqa: N818 - the architecture's word; it never leaves the machine
    """An instruction that cannot complete in some of the lanes that execute it. None of them has changed anything.

    Args:
        cause: exception code.
        failed: bool[m], which of the lanes; None for all.
        tval: what the cause is about in each lane, uint64[m], or one value.
        text: what there is to say beyond the cause.
        supported: False if the guest is right and this machine falls short.
    """

    def __init__(
        self, cause: Cause, failed: BoolArray | None, tval: U64Array | int, text: str = "", *, supported: bool = True
    ):
        super().__init__(cause, text)
        self.cause, self.failed, self.tval, self.text, self.supported = cause, failed, tval, text, supported

    def widened(self, positions: I64Array, count: int) -> LaneTrap:
        """Return the same about a group of `count` lanes, those that this one knows being at some positions."""
        failed = np.zeros(count, np.bool_)
        tval = np.zeros(count, np.uint64)
        failed[positions] = True if self.failed is None else self.failed
        tval[positions] = self.tval
        return LaneTrap(self.cause, failed, tval, self.text, supported=self.supported)


def picked(lanes: LaneSet, positions: I64Array) -> I64Array:
    """Return the lanes at some positions of a group."""
    return positions if lanes is None else lanes[positions]


def same_in_all(values: Any) -> int | None:
    """Return the value that all elements of uint64[m], or one np.uint64, have; None if they differ."""
    if getattr(values, "ndim", 0) == 0:
        return int(values)
    first = values[0]
    if values[-1] != first or not (values == first).all():
        return None
    return int(first)


def spread(values: Any, count: int) -> U64Array:
    """Return a value for each of `count` lanes, uint64[count], perhaps not to be written to."""
    return values if getattr(values, "ndim", 0) else np.broadcast_to(np.uint64(values), (count,))
