# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lanes go on next: those deepest in calls first, then those at the lowest address.

Lanes that branched apart meet again that way: who is still inside a call, or still on the longer way through an
if, goes on until it stands where the others wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from ..units import I64Array
from .lane_access import LaneSet

__all__ = ["FEW", "Group", "Key", "Schedule"]

FEW = 32
"""Lanes that are worth being executed by themselves; fewer are better off among others at other addresses."""
_MANY_GROUPS = 64
_SCATTERED = -1

Key = tuple[int, int]
"""(depth, pc): the smallest goes next. A depth is sp less what sp was in the beginning [bytes, signed]."""


@dataclass(slots=True)
class Group:
    """Lanes that wait to go on.

    Args:
        lanes: which.
        pc: where all of them stand; None if they stand scattered.
        depth: of the deepest, as in Key.
    """

    lanes: LaneSet
    pc: int | None
    depth: int

    @property
    def key(self) -> Key:
        """What it is ordered by; scattered lanes come before others at the same depth."""
        return self.depth, _SCATTERED if self.pc is None else self.pc


class Schedule:
    """The groups that wait; no two stand at one address.

    Args:
        n: lanes in all.
    """

    def __init__(self, n: int):
        self._n = n
        self._groups: dict[int | None, Group] = {}
        self._heap: list[Key] = []

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, lanes: LaneSet, pc: int | None, depth: int) -> None:
        """Let lanes wait; they join those that wait at the same address."""
        if pc is not None and lanes is not None and len(lanes) < FEW and len(self._groups) > _MANY_GROUPS:
            pc = None
        other = self._groups.get(pc)
        if other is not None:
            lanes, depth = self._joined(lanes, other.lanes), min(depth, other.depth)
        group = self._groups[pc] = Group(lanes, pc, depth)
        if other is None or other.key != group.key:
            heappush(self._heap, group.key)

    def _joined(self, lanes: LaneSet, others: LaneSet) -> LaneSet:
        if lanes is None or others is None:
            return None
        joined: I64Array = np.sort(np.concatenate((lanes, others)), kind="stable")
        return None if len(joined) == self._n else joined

    def least(self) -> Key | None:
        """Return the key of the group that goes next, or None if none waits."""
        while self._heap:
            depth, pc = self._heap[0]
            group = self._groups.get(None if pc == _SCATTERED else pc)
            if group is not None and group.depth == depth:
                return self._heap[0]
            heappop(self._heap)
        return None

    def take(self) -> Group | None:
        """Remove and return the group that goes next."""
        key = self.least()
        if key is None:
            return None
        heappop(self._heap)
        return self._groups.pop(None if key[1] == _SCATTERED else key[1])
