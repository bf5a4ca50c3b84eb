# SPDX-License-Identifier: GPL-2.0-or-later
"""What lanes did that others may see, in the order in which they did it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..units import I64Array, U64Array
from .lane_access import spread

__all__ = ["LaneEvent", "LaneEvents", "LaneLog"]


@dataclass(frozen=True, slots=True)
class LaneEvents:
    """One instruction's doing, in all lanes that executed it together.

    Args:
        kind: ``store``, ``fence``, ``fence.i``, ``sfence``, ``cbo``, ``cbo.zero``, ``wfi``.
        lanes: int64[m].
        pcs: uint64[m], of the instruction.
        addresses: uint64[m], as the guest gave them; the operand of a fence.
        targets: uint64[m], the same with aliases resolved: where the bytes are.
        width: bytes stored, else 0.
        values: uint64[m], what was stored, zero-extended.
    """

    kind: str
    lanes: I64Array
    pcs: U64Array
    addresses: U64Array
    targets: U64Array
    width: int
    values: U64Array


class LaneEvent(NamedTuple):
    """One lane's part of a LaneEvents; sequence is that one's place in the log."""

    sequence: int
    kind: str
    pc: int
    address: int
    target: int
    width: int
    value: int


@dataclass
class LaneLog:
    """LaneEvents in the order of execution; of any two that share a lane, the earlier happened first."""

    events: list[LaneEvents] = field(default_factory=list)

    def add(
        self, kind: str, lanes: I64Array, pcs: Any, addresses: Any, targets: Any = None, width: int = 0, values: Any = 0
    ) -> None:
        """Append what some lanes did; one value stands for the same in all of them."""
        targets = addresses if targets is None else targets
        pcs, addresses, targets, values = (
            np.array(spread(column, len(lanes))) for column in (pcs, addresses, targets, values)
        )
        values &= np.uint64((1 << 8 * width) - 1)
        self.events.append(LaneEvents(kind, np.array(lanes), pcs, addresses, targets, width, values))

    def of_lane(self, lane: int) -> list[LaneEvent]:
        """Return what one lane did, in order."""
        found = []
        for sequence, event in enumerate(self.events):
            at = int(np.searchsorted(event.lanes, lane))
            if at < len(event.lanes) and event.lanes[at] == lane:
                numbers = (int(event.pcs[at]), int(event.addresses[at]), int(event.targets[at]))
                found.append(LaneEvent(sequence, event.kind, *numbers, event.width, int(event.values[at])))
        return found
