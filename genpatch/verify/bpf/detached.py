# SPDX-License-Identifier: GPL-2.0-or-later
"""Trampolines run again while their programs are detached: with the jumps that the kernel writes over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ...units import BoolArray, I64Array
from ..run import Journey
from .bench import Stage
from .cases import Case
from .detours import Detour, find_skips, way_out, whole
from .hosts import find_around, run
from .jit import Built, Trampolines
from .jumps import JumpWriter, Written
from .life import Breach, Life

__all__ = ["Detachment"]

_PREEMPTS = "preempt_schedule"
"""A kernel that preempts its own tasks anywhere has this function."""
_DETACHED = "with a program detached"


@dataclass
class Detachment:
    """What comes of detaching programs.

    Args:
        stage: the kernel.

    Attributes:
        ran: trampolines that were run with a jump in them.
        insns: instructions that they executed.
        notes: what else there is to say.
    """

    stage: Stage
    ran: int = 0
    insns: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = JumpWriter(self.stage.scene, self.stage.places.near)
        self.preempts = self.stage.image.address_of(_PREEMPTS) is not None

    def breaches(
        self, journey: Journey, made: Trampolines, built: Built, by_site: BoolArray, chosen: BoolArray
    ) -> Iterator[Breach]:
        """Let the kernel write its jumps into trampolines, run them, and yield what breaks.

        Args:
            journey, made, built: the lanes and their trampolines.
            by_site: bool[n], which are called through the site.
            chosen: bool[n], which are run again.
        """
        interface = self.stage.interface
        for detour, found in (
            way_out(made, built, interface.im), find_skips(made, built, interface.im, interface.skip),
        ):  # fmt: skip
            yield from found
            some = None if detour is None else detour.some_of(chosen[detour.lanes])
            if some is None or not len(some.lanes):
                continue
            written, refused = self.writer.write(journey.patcher, some)
            note = self.writer.note(some.is_skip)
            self.notes += [f"bpf: {note}"] if note and f"bpf: {note}" not in self.notes else []
            yield from refused
            if len(written.detour.lanes):
                yield from _Runs(self, journey, made, built, by_site, written).all()


@dataclass
class _Runs:
    """The trampolines of one detour."""

    of: Detachment
    journey: Journey
    made: Trampolines
    built: Built
    by_site: BoolArray
    written: Written

    def all(self) -> Iterable[Breach]:
        detour = self.written.detour
        yield from _named(self._run(detour, self.written.put), _DETACHED)
        if self.of.preempts and not detour.is_skip:
            for kept in self.written.steps:
                late = detour.some_of(detour.amid)
                what = f"{_DETACHED} while a task is preempted {kept} bytes behind where the jump begins"
                yield from _named(self._run(late, partial(self.written.put, kept=kept)), what)

    def _run(self, detour: Detour, put: Callable[[I64Array], None]) -> list[Breach]:
        """Run some trampolines; those that may also do otherwise are wrong if they do neither."""
        found = self._once(detour, detour.cases, put)
        failed = np.zeros(len(self.made.cases), np.bool_)
        for breach in found:
            failed[breach.lanes] = True
        again = detour.some_of(failed[detour.lanes] & ~detour.amid)
        if detour.is_skip or not len(again.lanes):
            return found
        others = [replace(case, fexit=()) for case in again.cases]
        still = np.zeros_like(failed)
        for breach in self._once(again, others, put):
            still[breach.lanes] = True
        excused = failed & ~still
        excused[detour.lanes[detour.amid]] = False
        return [each for breach in found if (each := _without(breach, excused)) is not None]

    def _once(self, detour: Detour, cases: Sequence[Case], put: Callable[[I64Array], None]) -> list[Breach]:
        stage = self.of.stage
        changed = whole(self.made.cases, replace(detour, cases=cases))
        life = Life(
            self.journey.patcher, stage.interface, stage.programs, stage.traced, changed, self.built,
            bool(stage.image.is_clang),
        )  # fmt: skip
        life.amid = put if detour.amid.any() else None
        put(detour.lanes[~detour.amid])
        run(life, find_around(self.journey.patcher), detour.lanes, self.by_site)
        self.written.take_back()
        self.of.insns += life.insns
        self.of.ran += len(detour.lanes)
        return life.breaches


def _named(breaches: Iterable[Breach], when: str) -> Iterator[Breach]:
    for each in breaches:
        yield replace(each, what=f"{each.what}, {when}")


def _without(breach: Breach, lanes: BoolArray) -> Breach | None:
    """Return a breach without some lanes, bool[n]; None if there are no others."""
    kept = ~lanes[breach.lanes]
    if not kept.any():
        return None
    return replace(breach, lanes=breach.lanes[kept], expected=breach.expected[kept], got=breach.got[kept])
