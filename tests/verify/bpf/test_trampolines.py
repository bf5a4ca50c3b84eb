# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's trampolines, made by its own code: all of them are right, and each mistake is found where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from genpatch.errors import ImageError
from genpatch.isa.assemble import assemble
from genpatch.isa.insn import decode
from genpatch.verify.bpf.bench import call_trampolines
from genpatch.verify.bpf.cases import Argument, Case, Flag, case_of, matrix
from genpatch.verify.bpf.detours import way_out
from genpatch.verify.bpf.hosts import find_around, run
from genpatch.verify.bpf.life import Life
from genpatch.verify.bpf.listing import listing_of
from genpatch.verify.bpf.programs import Programs
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import BpfResult, stage_of, verify_bpf
from genpatch.verify.run import Journey

from ..toys import without
from .toys import image_with, sound_image

MADE, SIZE, SEQUENCE, ORIGINAL, LEAVES, ARGUMENTS, PASSED, VALUE, NARROW, STACK, LOCAL = (
    BpfPromise.MADE, BpfPromise.SIZE, BpfPromise.SEQUENCE, BpfPromise.ORIGINAL, BpfPromise.LEAVES,
    BpfPromise.ARGUMENTS, BpfPromise.PASSED, BpfPromise.VALUE, BpfPromise.NARROW, BpfPromise.STACK, BpfPromise.LOCAL,
)  # fmt: skip
ENTRY, EXIT = Flag.RESTORE_REGS, Flag.CALL_ORIG | Flag.SKIP_FRAME
OPS, OPS_VALUE = Flag.INDIRECT, Flag.INDIRECT | Flag.RET_FENTRY_RET
LONG, INT, PAIR = Argument(8), Argument(4, True), Argument(16, struct=True)
TWO, NINE, STACKED = (LONG, LONG), (LONG,) * 9, (*(LONG,) * 9, PAIR)
PLAIN, SLEEPABLE, COOKIE, BOTH = range(4)
Maker = Callable[[Programs], Case]


def _case(flags: Flag, counts: tuple[int, int, int], variant: int = PLAIN, **more: object) -> Maker:
    return lambda programs: case_of(flags, programs, counts, variant, **more)


def _not_entered(programs: Programs) -> Case:
    """One fmod_ret program, which is not entered."""
    number = programs.find(2, 0).number
    return case_of(EXIT, programs, (0, 1, 1), arguments=(LONG,), skipped=frozenset({number}))


def _mixed(programs: Programs) -> Case:
    """A program that may sleep, with a cookie of 32 bits and a sign; one that may not, without one, and not JITed."""
    fentry = (programs.find(0, 0, BOTH), programs.find(0, 1, PLAIN))
    assert (fentry[0].cookie, bool(fentry[0].insns), bool(fentry[1].insns)) == (0x8000_0000, False, True)
    return Case(flags=ENTRY, arguments=TWO, fentry=fentry)


CASES: dict[str, Maker] = {
    # fentry, fmod_ret, fexit
    "entry": _case(ENTRY, (1, 0, 0), arguments=()),
    "entries": _case(ENTRY | Flag.IP_ARG, (2, 0, 0), BOTH, arguments=(LONG, INT)),
    "entry-stacked": _case(ENTRY, (1, 0, 0), arguments=NINE),
    "mixed": _mixed,
    "nobody": _case(EXIT, (0, 0, 0), arguments=TWO),
    "stacked": _case(EXIT | Flag.IP_ARG, (1, 0, 1), COOKIE, arguments=STACKED),
    "stopped": _case(EXIT, (0, 2, 1), arguments=TWO, stops=0),
    "not-entered": _not_entered,
    "all": _case(EXIT, (1, 1, 3), SLEEPABLE, arguments=TWO),
    "far": _case(EXIT, (1, 0, 1), arguments=TWO, far=True),
    "ops": _case(OPS, (1, 0, 0), arguments=(LONG,)),
    "ops-byte": _case(OPS_VALUE, (1, 0, 0), arguments=NINE, returns=Argument(1, True)),
    "ops-half": _case(OPS_VALUE, (1, 0, 0), arguments=TWO, returns=Argument(2)),
    "ops-word": _case(OPS_VALUE, (1, 0, 0), arguments=TWO, returns=Argument(4)),
    "ops-long": _case(OPS_VALUE, (1, 0, 0), arguments=TWO, returns=LONG),
}
EVERY = set(CASES)
BY_SITE = {name for name in CASES if not name.startswith("ops")}
BY_POINTER = EVERY - BY_SITE
ENTERED = EVERY - {"nobody"}
GOES_ON = {"entry", "entries", "entry-stacked", "mixed"}
TO_PARENT = BY_SITE - GOES_ON
CALLED = TO_PARENT - {"stopped"}

MISTAKES: dict[str, Mapping[BpfPromise, set[str]]] = {
    "SLED_16": {ORIGINAL: CALLED},
    "RA_FOR_T0": {LEAVES: GOES_ON, STACK: BY_SITE},
    # run_ctx lies over the number of arguments and the first slot; "entry" has neither
    "SLOT_OVERLAP": {ARGUMENTS: ENTERED - {"entry"}, PASSED: (GOES_ON | CALLED) - {"entry", "nobody"}},
    "LOST_ARGUMENT": {PASSED: (GOES_ON | CALLED) - {"entry"}},
    "LOST_S1": {LEAVES: ENTERED},
    "WRONG_FP": {STACK: BY_SITE},
    # a program sees junk, or junk is taken for its error
    "VALUE_NOT_CLEARED": {VALUE: {"stopped", "all"}, SEQUENCE: {"not-entered"}},
    "NO_BRANCH": {SEQUENCE: {"stopped"}},
    "UNALIGNED": {STACK: EVERY},
    "OTHER_EXIT": {SEQUENCE: {"entries", "mixed", "stacked", "all", "far"}},
    "OTHER_PAIR": {ARGUMENTS: {"entries", "mixed", "all"}},
    "ONE_PAIR": {ARGUMENTS: ENTERED - {"entries", "all"}},
    "LOST_COOKIE": {ARGUMENTS: ENTERED},
    "SMALL_DRY_RUN": {SIZE: {"stacked"}},
    "STACK_IN": {ARGUMENTS: {"entry-stacked", "stacked", "ops-byte"}, PASSED: {"stacked"}},
    "STACK_OUT": {PASSED: {"stacked"}},
    "SKIP_BY_T0": {LEAVES: TO_PARENT},
    "INDIRECT_BY_T0": {LEAVES: BY_POINTER},
    "NOT_EXTENDED": {VALUE: {"ops-byte", "ops-word"}, NARROW: {"ops-half"}},
    "ZERO_BYTE": {VALUE: {"ops-byte"}},
    "ZERO_WORD": {VALUE: {"ops-word"}},
    "LOW_VALUE": {VALUE: {"ops-byte", "ops-long"}, NARROW: {"ops-half"}},
    "BEHIND_IMAGE": {SIZE: EVERY},
    "COPIES_MORE": {SIZE: EVERY},
    "WARNS": {SIZE: {"all"}},
    "LOST_LOCAL": {LOCAL: {"entry-stacked"}},
    "WRONG_IP": {ARGUMENTS: {"entries", "stacked"}},
    "NO_TRAMP_EXIT": {SEQUENCE: TO_PARENT, MADE: TO_PARENT},  # so that no place behind it is noted
    "NO_WAY_OUT": {MADE: TO_PARENT},
    "OTHER_START": {ARGUMENTS: ENTERED},
    "LOST_RUN_CTX": {ARGUMENTS: ENTERED},
    "RUNS_ANYWAY": {SEQUENCE: {"not-entered"}},
    "AT_SLED": {ORIGINAL: CALLED},
    "ARGUMENTS_AFTER": {ARGUMENTS: {"stacked"}},
    "LOST_SAVED_CTX": {ARGUMENTS: ENTERED},
    # what has happened before a program is entered is even or odd, and its start time a low or a high half
    "START_LOW": {SEQUENCE: ENTERED - {"stacked", "far"}},
    "START_HIGH": {SEQUENCE: {"entries", "mixed", "stacked", "stopped", "all", "far"}},
    "FIRST_PAIR": {ARGUMENTS: {"mixed"}},
    "STALE_COOKIE": {ARGUMENTS: {"mixed"}},
    "SIGNED_COOKIE": {ARGUMENTS: {"entries", "mixed"}},
    "SHORT_SIZE": {SEQUENCE: BY_POINTER},  # where the next one then stands are the numbers that it loads
    "WRITES_IMAGE": {MADE: BY_POINTER},
    "WAY_OUT_ALWAYS": {MADE: GOES_ON},
    "PAGE_BASE": {LEAVES: EVERY},
    "LOST_INSNS": {ARGUMENTS: {"mixed"}},
}
"""Which promises each mistake breaks, and for which of the cases: worked out from what jit.c does then."""


@cache
def broken(*mistakes: str, by_clang: bool = True) -> dict[str, dict[BpfPromise, set[str]]]:
    """Return which promises each mistake breaks for which of `CASES`; all of them run beside each other.

    Args:
        mistakes: of the sample's.
        by_clang: whether the kernel is one that clang has built.
    """
    stage, _ = stage_of(sound_image())
    names = [(mistake, name) for mistake in mistakes for name in CASES]
    cases = [CASES[name](stage.programs) for _, name in names]
    journey, trampolines = stage.trampolines(cases)
    switch(journey, [mistake for mistake, _ in names])
    built = trampolines.build()
    found: dict[str, dict[BpfPromise, set[str]]] = {mistake: {} for mistake in mistakes}

    def note(promise: BpfPromise, lanes: np.ndarray) -> None:
        for mistake, name in (names[lane] for lane in lanes.tolist()):
            found[mistake].setdefault(promise, set()).add(name)

    note(SIZE, np.flatnonzero(built.warned | built.overrun))
    note(MADE, np.flatnonzero(~built.accepted & ~built.warned))
    reached, why = call_trampolines(journey, stage.places.near, stage.places.far)
    assert reached, why
    life = Life(journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, local=by_clang)
    far = np.array([case.far for case in cases])
    run(life, find_around(journey.patcher), np.flatnonzero(built.accepted), ~far)
    _, wrong_ways = way_out(trampolines, built, stage.interface.im)
    for breach in (*life.breaches, *wrong_ways):
        note(breach.promise, breach.lanes)
    return found


def switch(journey: Journey, mistakes: Sequence[str]) -> None:
    """Switch a mistake on in each lane."""
    types, address = sound_image().types, sound_image().address_of("mistake")
    assert types is not None
    assert address is not None
    numbers = np.array([types.enumerator(f"MISTAKE_{mistake}") for mistake in mistakes], "<u4")
    journey.patcher.memory.write(None, address, numbers.view(np.uint8).reshape(len(mistakes), 4))


# -- nothing is wrong


@cache
def sound() -> BpfResult:
    """What there is to say of the sample, run in full."""
    return verify_bpf(sound_image())


def test_every_trampoline_of_the_sample_is_right() -> None:
    result = sound()
    assert (result.trouble, result.failures, result.notes) == ("", [], [])
    stage, _ = stage_of(sound_image())
    known = [flags for flags in map(Flag, range(512)) if not flags & (1 << 5 | 1 << 6 | 1 << 7)]
    assert result.cases == len(matrix(stage.programs, known, 12))
    assert result.made == result.ran == result.passed == result.cases


def test_the_sample_knows_six_flags_and_refuses_the_others() -> None:
    result = sound()
    assert (result.accepted, result.refused) == (64, 512 - 64)
    assert {flag for text in result.flags for flag in text.split("|")} == {
        "no flags", "RESTORE_REGS", "CALL_ORIG", "SKIP_FRAME", "IP_ARG", "RET_FENTRY_RET", "INDIRECT",
    }  # fmt: skip


def test_the_function_of_its_name_is_traced() -> None:
    assert sound().function == "bpf_fentry_test1"
    stage, _ = stage_of(sound_image(), "eight_arguments")
    assert (stage.traced.name, stage.traced.body) == ("eight_arguments", stage.traced.func + 8)


@pytest.mark.parametrize(
    ("name", "by_site", "size", "insns"),
    [
        # frame 7, two arguments 2, s1 1, their number 2, the value's two slots 2; enter 4; arguments 2, the function 2,
        # its value 1, nops 2; exit 4; value 1, s1 1, frame 5: 36 instructions and two numbers
        ("nobody", False, 36 * 4 + 2 * 8, 36),
        # the site 2, ftrace_caller 4
        ("nobody", True, 36 * 4 + 2 * 8, 36 + 6),
        # frame 7, s1 1, t2-t6 5, number 2; cookie 3, enter 5, its answer 2, program 3, exit 6; s1 1, t2-t6 5, frame 5:
        # 45, made a multiple of 8, and three numbers
        ("entry", False, 46 * 4 + 3 * 8, 45),
    ],
)
def test_instructions_are_counted(name: str, by_site: bool, size: int, insns: int) -> None:
    stage, _ = stage_of(sound_image())
    cases = [CASES[name](stage.programs)]
    journey, trampolines = stage.trampolines(cases)
    built = trampolines.build()
    assert (int(built.size[0]), int(built.value[0])) == (size, size)
    call_trampolines(journey, stage.places.near, stage.places.far)
    life = Life(journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, local=False)
    run(life, find_around(journey.patcher), np.zeros(1, np.int64), np.array([by_site]))
    assert (life.insns, life.breaches) == (insns, [])


@pytest.mark.parametrize("by_clang", [False, True])
def test_nothing_is_wrong_with_the_cases_of_the_mistakes(by_clang: bool) -> None:
    assert broken("NONE", by_clang=by_clang) == {"NONE": {}}


# -- one thing is wrong


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_where_it_is(mistake: str) -> None:
    assert broken(*MISTAKES)[mistake] == MISTAKES[mistake]


def test_local_arguments_are_nothing_to_gcc() -> None:
    assert broken("LOST_LOCAL", by_clang=False) == {"LOST_LOCAL": {}}


def test_each_mistake_of_the_sample_is_tried() -> None:
    types = sound_image().types
    assert types is not None
    kinds = types.enum("mistake")
    assert kinds is not None
    others = {"EARLY_SP", "LATE_SP", "NOT_FLUSHED", "WAY_OUT_LATE", "ERROR_EARLY"}  # test_spot.py, test_detached.py
    assert {name.removeprefix("MISTAKE_") for name in kinds} == {*MISTAKES, *others, "NONE", "REFUSES"}


# -- each instruction matters

UNNEEDED = {
    "ops": ["beqz a0"],  # the program is entered
    "ops-byte": ["sd zero", "sd zero", "beqz a0", "sd a0"],  # its value replaces all; the low 32 bits are not asked for
    "entries": ["beqz a0", "beqz a0", "ld t2", "ld t3", "ld t4", "ld t5", "ld t6"],  # no arguments are there
    "entry-stacked": ["beqz a0", "ld t3", "ld t4", "ld t5", "ld t6"],  # the ninth is in t2
    # the function returns before anybody looks; both are entered; room for a jump; it is left to the caller
    "stacked": ["sd zero", "sd zero", "beqz a0", "nop", "nop", "beqz a0", "ld t0"],
}
"""Instructions that some of `CASES` can do without, in their order."""


def _texts(words: Sequence[int]) -> list[str]:
    """Return instructions as ``ld t0``, up to the last jump: numbers are behind it."""
    texts = []
    for word in words:
        insn = decode(word)
        texts.append(insn.text(0).partition(",")[0] if insn is not None else "")
    return texts[: 1 + max(number for number, text in enumerate(texts) if text in ("ret", "jr t0"))]


@pytest.mark.parametrize("name", UNNEEDED)
def test_no_instruction_can_be_left_out(name: str) -> None:
    """A lane for each instruction of a trampoline, which is a nop there; clang has built the kernel."""
    stage, _ = stage_of(sound_image())
    case = CASES[name](stage.programs)
    _, one = stage.trampolines([case])
    size = int(one.build().size[0])
    texts = _texts(np.frombuffer(one.words(0, size), "<u4").tolist())
    cases = [case] * len(texts)
    journey, trampolines = stage.trampolines(cases)
    built = trampolines.build()
    nop = np.frombuffer(assemble("nop", 0), np.uint8)
    for lane in range(len(texts)):
        journey.patcher.memory.write(np.array([lane]), int(built.start[lane]) + 4 * lane, nop)
    call_trampolines(journey, stage.places.near, stage.places.far)
    life = Life(journey.patcher, stage.interface, stage.programs, stage.traced, cases, built, local=True)
    run(life, find_around(journey.patcher), np.arange(len(cases)), np.ones(len(cases), np.bool_))
    missed = {lane for breach in life.breaches for lane in breach.lanes.tolist()}
    assert [text for lane, text in enumerate(texts) if lane not in missed] == UNNEEDED[name]


# -- what is told of it


def listing_with(mistake: str, name: str, folder: Path) -> list[str]:
    """Return the life of one of `CASES` with a mistake."""
    stage, _ = stage_of(image_with(mistake, folder))
    return listing_of(stage, CASES[name](stage.programs))


def at(lines: list[str], part: str) -> int:
    """Return the number of the only line that has a text."""
    found = [number for number, line in enumerate(lines) if part in line]
    assert len(found) == 1, "\n".join(lines)
    return found[0]


def test_the_listing_shows_the_call_that_skips_too_much(tmp_path: Path) -> None:
    lines = listing_with("SLED_16", "nobody", tmp_path)
    told = at(lines, "!! the traced function")
    func = sound_image().address_of("bpf_fentry_test1")
    assert func is not None
    assert f"{func + 16:#x}, not {func + 8:#x}" in lines[told]
    assert "jalr ra, ra," in lines[told - 1]
    assert "trampoline+0x54" in lines[told - 1]  # its 22nd instruction


def test_the_listing_shows_the_lost_address(tmp_path: Path) -> None:
    lines = listing_with("RA_FOR_T0", "entry", tmp_path)
    told = at(lines, "!! the trampoline: ")
    assert "trampoline+0xb0" in lines[told - 1]  # its 45th and last instruction
    assert lines[told - 1].split()[2:4] == ["jr", "t0"]
    assert "ld t0, 0x68(sp)" in lines[at(lines, "trampoline+0xa0")]
    assert "sd ra, 0x68(sp)" in lines[at(lines, "trampoline+0x10 ")]


def test_the_listing_shows_the_register_that_is_lost(tmp_path: Path) -> None:
    lines = listing_with("LOST_S1", "entry", tmp_path)
    assert at(lines, "!! s1: ") > at(lines, "jr t0")
    assert "sd s1, 0x30(sp)" in "\n".join(lines)
    assert "ld s1, 0x30(sp)" not in "\n".join(lines)


def test_the_listing_says_that_there_is_no_trampoline(tmp_path: Path) -> None:
    lines = listing_with("SMALL_DRY_RUN", "stacked", tmp_path)
    assert lines[-1] == "it is not made: -7"


def test_a_maker_that_refuses_everything(tmp_path: Path) -> None:
    result = verify_bpf(image_with("REFUSES", tmp_path))
    assert result.trouble == "the JIT makes no trampoline at all: it returns -22"
    assert (result.accepted, result.refused, result.cases, result.ran) == (0, 512, 0, 0)
    assert result.failures == []


def test_a_kernel_that_lost_its_patching_function() -> None:
    """A trampoline is entered as from the site then, and that is said."""
    stage, _ = stage_of(without(sound_image(), "ftrace_make_call"))
    journey, _ = stage.trampolines([CASES["entry"](stage.programs)])
    reached, why = call_trampolines(journey, stage.places.near, stage.places.far)
    assert not reached
    assert why.endswith("the trampoline is entered as from the site")


@pytest.mark.parametrize("start", [-(1 << 24), 0xFFFF_FFFF_8000_0000])
def test_a_kernel_without_room_for_trampolines(start: int) -> None:
    """It is linked at the beginning of the address space, or so that it is in the way itself."""
    stage, _ = stage_of(sound_image())
    crowded = replace(stage, places=replace(stage.places, near=start))
    with pytest.raises(ImageError, match="expected room for trampolines below the kernel, got"):
        crowded.trampolines([CASES["entry"](stage.programs)])
