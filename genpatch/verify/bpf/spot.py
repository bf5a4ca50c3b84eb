# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at of a few trampolines only: interrupts between instructions, and how the kernel copies code.

An interrupt may come before each instruction, and what it keeps lies below sp on the same stack. So nothing of a
trampoline's own may be there: not what is stored before sp is lowered, nor what is loaded behind where it is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...machine.lane_log import LaneEvents
from ...run.kernel import A0
from ...units import BoolArray, I64Array, Span
from ..run import Journey
from .bench import Stage
from .cases import REQUESTED, Case
from .hosts import find_around, run
from .interface import COPY
from .jit import Built, Trampolines
from .jumps import JumpWriter
from .life import Breach, Life
from .promises import BpfPromise

__all__ = ["copied", "interrupted"]

_U64 = np.uint64
_FLUSH, _OWN_FLUSH = "remote fence.i", "fence.i"


def interrupted(
    stage: Stage, journey: Journey, cases: Sequence[Case], built: Built, by_site: BoolArray, chosen: BoolArray
) -> Iterator[Breach]:
    """Run some trampolines with an interrupt before each instruction, and yield what breaks.

    Args:
        stage, journey, cases, built, by_site: the lanes and their trampolines.
        chosen: bool[n], those that may be taken: of each combination of flags one is.
    """
    lanes = _one_of_each(cases, np.flatnonzero(chosen).astype(np.int64))
    life = Life(
        journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, bool(stage.image.is_clang)
    )
    life.interrupts = True
    run(life, find_around(journey.patcher), lanes, by_site)
    for breach in life.breaches:
        yield replace(breach, what=f"{breach.what}, with an interrupt before each instruction")


def _one_of_each(cases: Sequence[Case], lanes: I64Array) -> I64Array:
    """Return of each combination of flags that is asked for the lane with most arguments, one program of a kind."""
    best: dict[int, tuple[tuple[int, int], int]] = {}
    for lane in lanes.tolist():
        case = cases[lane]
        kinds = [len(each) for each in (case.fentry, case.fmod, case.fexit)]
        if case.flags in REQUESTED and max(kinds) <= 1:
            best[case.flags] = max(best.get(case.flags, ((-1, -1), -1)), ((sum(kinds), case.slots), lane))
    return np.array([lane for _, lane in best.values()], np.int64)


def copied(stage: Stage, journey: Journey, made: Trampolines, built: Built, writer: JumpWriter) -> Iterator[Breach]:
    """Let the kernel copy one trampoline to its place, and yield what is not as it must be.

    The maker calls bpf_arch_text_copy(), for which the host stands in; here it is executed.
    """
    lanes = np.flatnonzero(built.accepted).astype(np.int64)[:1]
    if not len(lanes) or stage.image.address_of(COPY) is None or not stage.interface.copies or writer.note(False):
        return
    patcher, memory, lane = journey.patcher, journey.patcher.memory, int(lanes[0])
    start, size, source = int(built.start[lane]), int(built.size[lane]), stage.places.heap.start
    wanted = memory.read(lanes, start, size)
    memory.write(lanes, source, wanted)
    memory.write(lanes, start, np.zeros(size, np.uint8))
    memory.watch(Span(start, start + size))
    writer.prepare(patcher)
    call = patcher.call(COPY, {0: start, 1: source, 2: size}, lanes)
    got = memory.read(lanes, start, size)
    memory.write(lanes, start, wanted)
    if not bool(call.returned[0]):
        why = f"{COPY} does not return: {patcher.lanes.outcome(lane).reason}"
        yield _breach("the copy of a trampoline", lanes, start, int(patcher.lanes.pc[lane]), why)
    elif int(patcher.lanes.x[A0, lane]) != start or (got != wanted).any():
        yield _breach("the copy of a trampoline", lanes, start, int(patcher.lanes.x[A0, lane]), "it is another")
    elif not _is_flushed(stage, call.events):
        yield _breach("the copy of a trampoline", lanes, 0, 0, "other harts may execute what was there before")


def _is_flushed(stage: Stage, events: Sequence[LaneEvents]) -> bool:
    """Tell whether all harts that there are were made to look at new code behind the last store to it."""
    last = max((number for number, each in enumerate(events) if each.kind == "store"), default=-1)
    has_others = any(stub.event == _FLUSH for stub in stage.scene.stubs.values())
    return any(each.kind == (_FLUSH if has_others else _OWN_FLUSH) for each in events[last + 1 :])


def _breach(what: str, lanes: I64Array, expected: int, got: int, note: str) -> Breach:
    return Breach(BpfPromise.MADE, what, lanes, np.array([expected], _U64), np.array([got], _U64), note)
