# SPDX-License-Identifier: GPL-2.0-or-later
"""One trampoline's life, instruction by instruction, for a person to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...isa.encoding import REG_NAMES
from ...isa.insn import decode
from ...machine.lanes import Lanes
from ...machine.memory import PAGE
from ...machine.outcome import Outcome, Status, Trap
from ...units import as_hex
from .bench import Stage, call_trampolines
from .cases import Case
from .hosts import find_around, run
from .jit import ROOM
from .life import BUDGET, Life
from .promises import BpfPromise

__all__ = ["listing_of", "tell_life"]

_MOST_LINES = 20_000
_CUT = 400


def listing_of(stage: Stage, case: Case, most: int = _CUT, lane: int = 0) -> list[str]:
    """Return how a trampoline is reached, what it executes and what is called: a line for each.

    Args:
        stage: the kernel.
        case: which trampoline.
        most: lines at most; what is left out is said.
        lane: whose numbers go through it.
    """
    lines, _, _ = tell_life(stage, case, lane=lane)
    if len(lines) > most:
        lines[most // 2 : -(most // 2)] = [f"... {len(lines) - most:,} lines are left out"]
    return lines


def tell_life(
    stage: Stage,
    case: Case,
    values: Sequence[int] | None = None,
    memory: Sequence[tuple[int, bytes]] = (),
    budget: int = BUDGET,
    lane: int = 0,
) -> tuple[list[str], int, Outcome | None]:
    """Tell one trampoline's life.

    Args:
        stage: the kernel.
        case: which trampoline.
        values: what its argument slots hold; the function itself is run then, and not only the host's in its place.
        memory: (address, bytes) of what they point to, in ascending order.
        budget: instructions at most.
        lane: whose numbers go through it.
    Returns:
        (a line for each thing, how many promises were broken, how the function itself ended if it did not return).
    """
    journey, trampolines = stage.trampolines([case])
    for start, data in memory:
        journey.patcher.memory.map(start & -PAGE, size=-(-(len(data) + start % PAGE) // PAGE) * PAGE, name="arguments")
        journey.patcher.memory.write(None, start, np.frombuffer(data, np.uint8))
    built = trampolines.build()
    life = Life(
        journey.patcher, stage.interface, stage.programs, stage.traced, [case], built, bool(stage.image.is_clang),
        values is not None, first_lane=lane, budget=budget,
    )  # fmt: skip
    if values is not None:
        life.values.slots[0, : len(values)] = np.array(values, np.uint64)
    start = int(built.start[0])
    lines = [f"trampoline: {case}", f"the dry run says {int(built.size[0])} bytes; it stands at {as_hex(start)}"]
    if not bool(built.accepted[0]):
        return [*lines, f"it is not made: {built.why.get(0) or int(built.value[0])}"], 1, None
    reached, why = call_trampolines(journey, stage.places.near, stage.places.far)
    lines += [why] if why else []
    life.tell = lines.append
    steps = _Steps(stage, start, lines)
    life.step, life.stepped = steps.before, steps.after
    by_site = np.array([bool(reached) and not case.far], np.bool_)
    run(life, find_around(journey.patcher), np.zeros(1, np.int64), by_site)
    lines.append(
        f"arrives at {as_hex(int(journey.patcher.lanes.pc[0]))} ({steps.place(int(journey.patcher.lanes.pc[0]))})"
    )
    if any(each.promise is BpfPromise.ORIGINAL for each in life.breaches):
        lines += _left_out(stage, int(journey.patcher.lanes.pc[0]))
    return lines, len(life.breaches), journey.patcher.lanes.outcome(0) if life.is_stranded else None


def _left_out(stage: Stage, pc: int) -> Iterator[str]:
    """Yield the instructions of the traced function that are skipped where it is entered behind its first one."""
    traced, at = stage.traced, stage.traced.body
    if not traced.body < pc < traced.end:
        return
    yield "not executed:"
    while at < pc:
        word = stage.image.memory.unsigned(at, 4)
        insn = decode(word if word & 3 == 3 else word & 0xFFFF)
        yield f"{as_hex(at)} {stage.image.symbols.nearest(at):<30} {insn.text(at) if insn is not None else '?'}"
        at += insn.size if insn is not None else 2


class _Steps:
    """Writes down each instruction with what it changed."""

    def __init__(self, stage: Stage, start: int, lines: list[str]):
        self.stage, self.start, self.lines = stage, start, lines
        self._text = ""
        self._x: list[int] = []
        self.named: Callable[[int], str] = stage.image.symbols.nearest

    def place(self, pc: int) -> str:
        if self.start <= pc < self.start + ROOM:
            return f"trampoline+{pc - self.start:#x}"
        return "the caller" if pc == self.stage.scene.parent else self.named(pc)

    def before(self, lanes: Lanes) -> None:
        """Note the instruction that is executed next."""
        pc = int(lanes.pc[0])
        try:
            word = int.from_bytes(lanes.memory.read(np.zeros(1, np.int64), pc, 4)[0].tobytes(), "little")
            insn = decode(word if word & 3 == 3 else word & 0xFFFF)
        except Trap:
            insn = None
        text = "?" if insn is None else insn.text(pc)
        target = None if insn is None else insn.target(pc)
        if target is not None:
            text = text.replace(as_hex(target), self.place(target))
        self._text = f"{as_hex(pc)} {self.place(pc):<30} {text:<34}"
        self._x = lanes.x[:, 0].tolist()

    def after(self, lanes: Lanes) -> None:
        """Write it down with the registers that it changed."""
        if len(self.lines) > _MOST_LINES:
            return
        now = lanes.x[:, 0].tolist()
        pairs = zip(REG_NAMES, self._x, now, strict=True)
        changed = "  ".join(f"{name}={as_hex(value)}" for name, old, value in pairs if value != old)
        failed = int(lanes.status[0]) in (Status.FAULT, Status.UNSUPPORTED)
        self.lines.append(f"{self._text} {changed}{lanes.outcome(0).reason if failed else ''}".rstrip())
