# SPDX-License-Identifier: GPL-2.0-or-later
"""All trampolines of a kernel: asked for, made by its JIT, run; what `genpatch verify --bpf` does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ...errors import GenpatchError, ImageError
from ...image.model import KernelImage
from ...isa.insn import decode
from ...machine.memory import PAGE
from ...sites.patching import PatchingCode
from ...units import BoolArray, I64Array
from ..run import Journey, Progress, prepare_verification
from ..scene import prepare_scene
from .bench import Stage, call_trampolines, prepare_stage
from .cases import REQUESTED, Case, Flag, flags_text, matrix, probes
from .detached import Detachment
from .hosts import find_around, run
from .interface import find_interface
from .jit import Built, Trampolines
from .life import Breach, Life
from .promises import BpfPromise
from .spot import copied, interrupted
from .struct_ops import most_arguments

if TYPE_CHECKING:
    from .compiled_run import ProgramsResult

__all__ = ["BpfFailure", "BpfResult", "stage_of", "verify_bpf"]

_BATCH = 16_384
_LATER = (Flag.IP_ARG, Flag.RET_FENTRY_RET, Flag.ORIG_STACK, Flag.SHARE_IPMODIFY, Flag.TAIL_CALL_CTX, Flag.INDIRECT)
"""Flags that came after the first trampolines: a JIT may not know them."""
_MOST_LISTINGS = 8
_MANY = 1 << 20
_COMPILE = "bpf_int_jit_compile"
_STRUCT_OPS = "bpf_struct_ops_prepare_trampoline"


@dataclass
class BpfFailure:
    """Something that was broken.

    Args:
        promise: which promise.
        what: what it is about; of several alike, the first.
        alike: how many more are alike.
        cases: how many trampolines (or programs) it is about.
        kind: "trampoline" or "program".
        example: one of them, in words.
        expected, got: there.
        note: one sentence, may be empty.
        requested: whether the kernel itself asks for such a trampoline.
        unused: why nothing in the kernel as it is comes to this; empty if something may.
        listing: how it came about, a line an instruction; for some.
    """

    promise: BpfPromise
    what: str
    cases: int
    example: str
    expected: int
    got: int
    note: str
    requested: bool = True
    unused: str = ""
    kind: str = "trampoline"
    alike: int = 0
    listing: list[str] = field(default_factory=list)


@dataclass
class BpfResult:
    """What came of a kernel's BPF trampolines.

    Args:
        trouble: why nothing was run; empty if it was.
        accepted, refused: combinations of flags that the JIT makes trampolines for, and does not.
        flags: combinations that were run, as text.
        cases: trampolines that were asked for; made, run, without a failure.
        programs, programs_refused, programs_passed: BPF programs that the JIT compiled, did not, and that passed.
        pokes: calls of bpf_arch_text_poke().
        detached: trampolines that were run again after the kernel's jumps over detached programs were written.
        jit_insns, insns: instructions of the JIT, and of trampolines and programs, that were executed.
        failures: what was broken.
        notes: what else there is to say.
        seconds: time taken.
    """

    trouble: str = ""
    accepted: int = 0
    refused: int = 0
    flags: tuple[str, ...] = ()
    function: str = ""
    cases: int = 0
    made: int = 0
    ran: int = 0
    detached: int = 0
    passed: int = 0
    programs: int = 0
    programs_refused: int = 0
    programs_passed: int = 0
    pokes: int = 0
    jit_insns: int = 0
    insns: int = 0
    failures: list[BpfFailure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def verify_bpf(image: KernelImage, *, progress: Progress | None = None) -> BpfResult:
    """Make and run every trampoline of a kernel.

    Args:
        image: the kernel.
        progress: called with what is done next.
    """
    from .compiled_run import verify_programs

    started, result = perf_counter(), BpfResult()
    scene = None
    try:
        find_interface(image)  # the reason that concerns BPF comes first
        stage, notes = stage_of(image)
        scene = stage.scene
        _verify(stage, notes, result, progress or _silent)
    except GenpatchError as error:
        result.trouble = str(error)
    if image.address_of(_COMPILE) is not None:
        _add_programs(result, verify_programs(image, scene or prepare_scene(image), progress))
    result.seconds = perf_counter() - started
    return result


def _add_programs(result: BpfResult, programs: ProgramsResult) -> None:
    """Put what came of programs beside what came of trampolines; what cannot be run of the two is a note."""
    result.programs, result.programs_passed = programs.compiled, programs.passed
    result.programs_refused, result.pokes = programs.refused, programs.pokes
    result.jit_insns += programs.jit_insns
    result.insns += programs.insns
    result.failures += programs.failures
    result.notes += programs.notes
    if programs.trouble:
        result.notes.append(f"bpf: programs were not run: {programs.trouble}")
    elif result.trouble and programs.compiled:
        result.notes.append(f"bpf: trampolines were not run: {result.trouble}")
        result.trouble = ""


def stage_of(image: KernelImage, function: str = "") -> tuple[Stage, list[str]]:
    """Return a kernel ready for its trampolines, and what there is to say about that.

    Args:
        image: the kernel.
        function: which function is traced; one of the kernel's own choice by default.
    Raises:
        GenpatchError: its trampolines cannot be run.
    """
    interface = find_interface(image)
    verification, code = prepare_verification(image)
    if verification.verdict.scheme is None:
        raise ImageError(image.path, expected="a scheme of patching that is known", got=verification.verdict.name)
    scene = prepare_scene(image)
    return prepare_stage(verification, code, scene, interface, function=function), scene.notes


def _silent(text: str) -> None:
    """Tell nobody."""


def _verify(stage: Stage, notes: list[str], result: BpfResult, progress: Progress) -> None:
    result.function = stage.traced.name
    result.notes += [f"bpf: {note}" for note in notes]
    progress("bpf: flags")
    stage, flags = _accepted(stage, result)
    if not flags:
        return
    cases = matrix(stage.programs, flags, stage.interface.model.most)
    result.cases, result.flags = len(cases), tuple(flags_text(each) for each in flags)
    gathered = _Gathered(stage, result)
    for first in range(0, len(cases), _BATCH):
        progress(f"bpf: trampoline {first:,} of {len(cases):,}")
        gathered.batch(cases[first : first + _BATCH])
    gathered.conclude()


# -- which flags


def _accepted(stage: Stage, result: BpfResult) -> tuple[Stage, list[Flag]]:
    """Return the combinations of flags that trampolines are made for, without those that change nothing."""
    cases = probes(stage.programs)
    built, words = _probe(stage, cases)
    if not built.accepted.any() and stage.interface.copies and built.why:
        writable = replace(stage, interface=replace(stage.interface, copies=False))
        again, words_again = _probe(writable, cases)
        if again.accepted.any():
            stage, built, words = writable, again, words_again
            result.notes.append("bpf: the JIT writes to the trampoline itself, not to a copy")
    made = built.accepted | _broken_off(built)  # reported with the others, and no refusal
    result.accepted, result.refused = int(built.accepted.sum()), int((built.refused & ~made).sum())
    for lane, why in sorted(built.why.items()):
        result.failures.append(_not_made(cases[lane], why))
    if not made.any():
        result.trouble = "the JIT makes no trampoline at all" + "".join(f": {why}" for why in built.why.values())
        if built.refused.all():
            result.trouble += f": it returns {int(built.value[0])}"
            result.failures.clear()
        return stage, []
    ignored = [flag for flag in _LATER if _is_ignored(flag, built.accepted, words)]
    if Flag.INDIRECT in ignored and _asks_indirect(stage.code):
        ignored.remove(Flag.INDIRECT)
    told = [flag.name or "" for flag in ignored]
    result.notes += [f"bpf: {', '.join(told)} makes no difference to the JIT"] if told else []
    kept = [case.flags for case, is_made in zip(cases, made.tolist(), strict=True) if is_made]
    return stage, [each for each in kept if not any(each & flag for flag in ignored)]


def _probe(stage: Stage, cases: Sequence[Case]) -> tuple[Built, list[bytes]]:
    _, trampolines = stage.trampolines(cases)
    built = trampolines.build()
    sizes = built.size.tolist()
    made = built.accepted.tolist()
    return built, [trampolines.words(lane, sizes[lane]) if made[lane] else b"" for lane in range(len(cases))]


def _is_ignored(flag: Flag, accepted: BoolArray, words: Sequence[bytes]) -> bool:
    """Tell whether trampolines with and without a flag are the same."""
    pairs = [(without, without | int(flag)) for without in range(len(words)) if not without & int(flag)]
    both = [(a, b) for a, b in pairs if accepted[a] and accepted[b]]
    return bool(both) and all(words[a] == words[b] for a, b in both)


def _asks_indirect(code: PatchingCode) -> bool:
    """Tell whether struct_ops asks for trampolines that are called indirectly: it loads the flag as a constant."""
    span = code.span(_STRUCT_OPS)
    if span is None or not code.image.memory.has(span.start, min(span.size, PAGE)):
        return False
    data = code.image.memory.read(span.start, min(span.size, PAGE))
    wanted = {int(Flag.INDIRECT), int(Flag.INDIRECT | Flag.RET_FENTRY_RET)}
    at = 0
    while at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        insn = decode(word if word & 3 == 3 else word & 0xFFFF)
        if insn is not None and insn.base.name == "addi" and insn.base.rs1 == 0 and insn.base.imm in wanted:
            return True
        at += insn.size if insn is not None else 2
    return False


def _not_made(case: Case, why: str) -> BpfFailure:
    return BpfFailure(BpfPromise.MADE, "the JIT", 1, str(case), 0, 0, why, case.flags in REQUESTED)


# -- all of them


class _Gathered:
    """Failures of all batches, those that are alike together."""

    def __init__(self, stage: Stage, result: BpfResult):
        self.stage, self.result = stage, result
        self.found: dict[tuple[object, ...], BpfFailure] = {}
        self.whats: dict[tuple[object, ...], set[str]] = {}
        self.lanes: dict[tuple[object, ...], list[I64Array]] = {}
        self.fewest: dict[tuple[object, ...], int] = {}
        self.detachment = Detachment(stage)
        self.done = 0

    def batch(self, cases: Sequence[Case]) -> None:
        """Make, run and compare some cases."""
        stage, result = self.stage, self.result
        journey, trampolines = stage.trampolines(cases)
        built = trampolines.build()
        reached, why = call_trampolines(journey, stage.places.near, stage.places.far)
        result.notes += [f"bpf: {why}"] if why and f"bpf: {why}" not in result.notes else []
        life = Life(
            journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, bool(stage.image.is_clang)
        )
        group = np.flatnonzero(built.accepted).astype(np.int64)
        far = np.array([case.far for case in cases], np.bool_)
        by_site = ~far if reached else np.zeros_like(far)
        run(life, find_around(journey.patcher), group, by_site)
        result.jit_insns += built.insns
        result.insns += life.insns
        result.made += int(built.accepted.sum())
        result.ran += len(group)
        failed = np.zeros(len(cases), np.bool_)
        requested = np.array([case.flags in REQUESTED for case in cases], np.bool_)
        for breach in (*_of_building(built), *life.breaches):
            failed[breach.lanes] = True
            self._add(breach, cases)
        for breach in self._later(journey, trampolines, built, by_site, requested & ~failed):
            failed[breach.lanes] = True
            self._add(breach, cases)
        result.passed += int((built.accepted & ~(failed & requested)).sum())
        self.done += len(cases)

    def _later(
        self, journey: Journey, made: Trampolines, built: Built, by_site: BoolArray, sound: BoolArray
    ) -> Iterator[Breach]:
        """Yield what breaks of trampolines that were right so far, and of how the kernel copies them."""
        if not self.done:
            yield from interrupted(self.stage, journey, made.cases, built, by_site, sound)
        yield from self.detachment.breaches(journey, made, built, by_site, sound)
        if not self.done:
            yield from copied(self.stage, journey, made, built, self.detachment.writer)

    def _add(self, breach: Breach, cases: Sequence[Case]) -> None:
        """Count a breach under what it is alike to, requested trampolines apart from the others."""
        lanes = breach.lanes
        requested = np.array([cases[lane].flags in REQUESTED for lane in lanes.tolist()], np.bool_)
        for is_requested in (True, False):
            some = np.flatnonzero(requested == is_requested)
            if not len(some):
                continue
            key = (breach.promise, re.sub(r"\d+", "#", breach.what), breach.note, is_requested)
            self.lanes.setdefault(key, []).append(lanes[some] + self.done)
            self.whats.setdefault(key, set()).add(breach.what)
            self.fewest[key] = min(self.fewest.get(key, _MANY), *(_slots(cases[lane]) for lane in lanes[some].tolist()))
            if key not in self.found:
                shortest = min(some.tolist(), key=lambda k: (len(str(cases[int(lanes[k])])), k))
                case: Case = cases[int(lanes[shortest])]
                self.found[key] = BpfFailure(
                    breach.promise, breach.what, 0, str(case), int(breach.expected[shortest]),
                    int(breach.got[shortest]), breach.note, is_requested,
                )  # fmt: skip
                self._list(self.found[key], case, int(lanes[shortest]))

    def _list(self, failure: BpfFailure, case: Case, lane: int) -> None:
        """Keep how the first of some failures came about."""
        listed = sum(bool(each.listing) for each in self.found.values())
        if failure.requested and listed < _MOST_LISTINGS and failure.promise is not BpfPromise.MADE:
            from .listing import listing_of

            failure.listing = listing_of(self.stage, case, lane=lane)

    def conclude(self) -> None:
        """Put the failures into the result, the worst first."""
        for key, failure in self.found.items():
            failure.cases = len(np.unique(np.concatenate(self.lanes[key])))
            failure.alike = len(self.whats[key]) - 1
            failure.unused = self._unused(self.fewest[key])
        self.result.detached = self.detachment.ran
        self.result.insns += self.detachment.insns
        self.result.notes += self.detachment.notes
        order = list(BpfPromise)
        found = sorted(self.found.values(), key=lambda each: (not each.requested, order.index(each.promise)))
        self.result.failures += found

    def _unused(self, fewest: int) -> str:
        """Return why no struct_ops comes to what is wrong from so many argument slots on; empty if one may."""
        types = self.stage.image.types
        if types is None or self.stage.image.address_of(_STRUCT_OPS) is None:
            return ""
        most = most_arguments(types)
        if most is None:
            return "this kernel has no struct_ops of its own, a module may bring some" if fewest else ""
        if fewest <= most:
            return ""
        return f"no struct_ops of this kernel's own takes more than {most} arguments, a module's may"


def _broken_off(built: Built) -> BoolArray:
    """Tell where the dry run gives a size and the real run an error: bool[n]."""
    broken: BoolArray = built.returned & (built.size > 0) & (built.value < 0)
    return broken


def _slots(case: Case) -> int:
    """Return the argument slots of a trampoline for struct_ops; none for another."""
    return case.slots if case.flags & Flag.INDIRECT else 0


def _of_building(built: Built) -> Iterable[Breach]:
    """Yield what the JIT itself broke."""
    zeros = np.zeros(len(built.size), np.uint64)
    not_back = np.flatnonzero(~built.returned).astype(np.int64)
    if len(not_back):
        why = built.why.get(int(not_back[0])) or next(iter(built.why.values()), "")
        yield Breach(BpfPromise.MADE, "the JIT", not_back, zeros[not_back], zeros[not_back], why)
    for what, broken, note in (
        ("the dry run's size", built.warned, "the kernel warns while it makes it"),
        ("the dry run's size", _broken_off(built) & ~built.warned, "the real run returns an error"),
        ("memory behind what was allocated", built.overrun, "the JIT writes there"),
    ):
        lanes = np.flatnonzero(broken).astype(np.int64)
        if len(lanes):
            yield Breach(BpfPromise.SIZE, what, lanes, zeros[lanes], built.size[lanes].astype(np.uint64), note)
