# SPDX-License-Identifier: GPL-2.0-or-later
"""One program in many lanes: the copies run in lockstep, and are compared with the first."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from ..image.program import Program
from ..machine.csrs import MACHINE
from ..machine.lane_memory import LaneMemory
from ..machine.lanes import Lanes
from ..machine.outcome import Outcome, Status, Trap
from ..units import MASK64, BoolArray, I64Array, U64Array
from .program import (
    A0,
    A1,
    A2,
    A7,
    EBADF,
    EFAULT,
    ENOSYS,
    SP,
    SYS_EXIT,
    SYS_EXIT_GROUP,
    SYS_WRITE,
    WRITE_LIMIT,
    Setting,
    layout_of,
)

__all__ = ["LaneProcess"]

_U64 = np.uint64
_WORDS_LIMIT = 1 << 26
_PRIME = _U64(0x100_0000_01B3)


class LaneProcess:
    """A program in n lanes.

    Args:
        program: the executable.
        n: how many copies of it run.
        setting: its arguments and limits.

    Attributes:
        lanes: the lanes.
        output: (file descriptor, bytes) of each write of the first lane, in order.
    """

    def __init__(self, program: Program, n: int, setting: Setting | None = None):
        setting = setting or Setting()
        layout = layout_of(program, setting)
        words = sum(len(each.content) // 8 + 2 for each in layout.segments if "w" in each.permissions)
        limit = min((words + 256) * n, _WORDS_LIMIT)
        self.memory = LaneMemory(n, misaligned=setting.misaligned, overlay_limit=limit)
        for number, segment in enumerate(layout.segments):
            start, end = segment.span.start, segment.span.end
            stored = len(segment.content) if "w" in segment.permissions else segment.span.size
            name, content = f"segment {number}", np.ascontiguousarray(segment.content).data
            if stored:
                self.memory.map(start, content, size=stored, permissions=segment.permissions, name=name)
            if start + stored < end:
                self.memory.map_private(
                    start + stored, end - start - stored, permissions=segment.permissions, name=name
                )
        self.memory.map_private(layout.stack.start, layout.stack.size, name="stack")
        self.memory.write(None, layout.sp, np.frombuffer(layout.stack_content, np.uint8))
        self.lanes = Lanes(self.memory, csrs=MACHINE, compressed=program.compressed)
        self.lanes.on_ecall = self._call
        self.lanes.x[SP] = _U64(layout.sp)
        self.lanes.start(program.entry)
        self.output: list[tuple[int, bytes]] = []
        self._digest: U64Array = np.zeros(n, _U64)

    def run(self, budget: int | None = None) -> Outcome:
        """Run until all lanes have ended, and return how the first one did."""
        self.lanes.run(budget)
        return self.lanes.outcome(0)

    def differing(self) -> I64Array:
        """Return the lanes that did not end as the first one, or wrote something else: int64[k]."""
        lanes = self.lanes
        same: BoolArray = self._digest == self._digest[0]
        for column in (lanes.status, lanes.cause, lanes.tval, lanes.pc, lanes.retired):
            same &= column == column[0]
        same &= (lanes.x == lanes.x[:, :1]).all(axis=0)
        return np.flatnonzero(~same).astype(np.int64)

    # -- system calls

    def _call(self, lanes: Lanes, group: I64Array) -> None:
        number = lanes.x[A7, group]
        leaves = (number == SYS_EXIT) | (number == SYS_EXIT_GROUP)
        writes = number == SYS_WRITE
        if leaves.any():
            lanes.stop(group[leaves], Status.EXITED, lanes.x[A0, group[leaves]] & _U64(0xFF))
        if writes.any():
            self._write(group[writes])
        other = group[~leaves & ~writes]
        lanes.x[A0, other] = _U64(-ENOSYS & MASK64)

    def _write(self, group: I64Array) -> None:
        """Do write(fd, address, size) for some lanes, those alike at once."""
        x = self.lanes.x
        calls = np.stack([x[A0, group], x[A1, group], np.minimum(x[A2, group], _U64(WRITE_LIMIT))])
        kinds, which = np.unique(calls, axis=1, return_inverse=True)
        for at, (descriptor, address, size) in enumerate(kinds.T.tolist()):
            whose = group[which.reshape(-1) == at]
            if descriptor not in (1, 2):
                x[A0, whose] = _U64(-EBADF & MASK64)
            else:
                self._write_alike(whose, descriptor, address, size)

    def _write_alike(self, whose: I64Array, descriptor: int, address: int, size: int) -> None:
        if not self._is_mapped(whose[:1], address, size):
            self.lanes.x[A0, whose] = _U64(-EFAULT & MASK64)
            return
        self.lanes.x[A0, whose] = _U64(size)
        rows = self.memory.read(whose, address, size)
        unlike = (rows != rows[:1]).any(axis=1)
        self._note(whose[~unlike], descriptor, rows[0].tobytes())
        for lane in np.flatnonzero(unlike).tolist():
            self._note(whose[lane : lane + 1], descriptor, rows[lane].tobytes())

    def _is_mapped(self, lane: I64Array, address: int, size: int) -> bool:
        """Tell whether bytes can be read; regions are the same in all lanes."""
        at, end = address, address + size
        while at < end:
            region = next((each for each in self.memory.regions if each.start <= at <= each.last), None)
            if region is None:
                return False
            at = region.last + 1
        try:
            self.memory.read(lane, address, min(size, 1))
        except Trap:
            return False
        return True

    def _note(self, whose: I64Array, descriptor: int, data: bytes) -> None:
        digest = int.from_bytes(blake2b(bytes([descriptor]) + data, digest_size=8).digest(), "little")
        self._digest[whose] = (self._digest[whose] ^ _U64(digest)) * _PRIME
        if len(whose) and whose[0] == 0:
            self.output.append((descriptor, data))
