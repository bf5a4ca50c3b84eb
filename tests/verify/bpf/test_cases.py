# SPDX-License-Identifier: GPL-2.0-or-later
"""Which trampolines are made: each combination once, none left out, and how each is called in reports."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from genpatch.verify.bpf.cases import REQUESTED, Argument, Case, Flag, case_of, flags_text, matrix, probes

from .toys import make_pool

POOL = make_pool()
ENTRY, AROUND = Flag.RESTORE_REGS, Flag.CALL_ORIG | Flag.SKIP_FRAME
OPS, OPS_VALUE = Flag.INDIRECT, Flag.INDIRECT | Flag.RET_FENTRY_RET
LONG, INT, PAIR = Argument(8), Argument(4, True), Argument(16, struct=True)
KNOWN = [flags for flags in map(Flag, range(512)) if not flags & (32 | 64 | 128)]


def test_flags_have_the_values_of_the_interface() -> None:
    """Macros of the kernel, which no type tells of: include/linux/bpf.h."""
    assert {flag.name: int(flag) for flag in Flag} == {
        "RESTORE_REGS": 1, "CALL_ORIG": 2, "SKIP_FRAME": 4, "IP_ARG": 8, "RET_FENTRY_RET": 16, "ORIG_STACK": 32,
        "SHARE_IPMODIFY": 64, "TAIL_CALL_CTX": 128, "INDIRECT": 256,
    }  # fmt: skip


def test_what_the_kernel_asks_for() -> None:
    assert {int(flags) for flags in REQUESTED} == {1, 1 | 8, 2 | 4, 2 | 4 | 8, 256, 256 | 16}


@pytest.mark.parametrize(("size", "slots"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2)])
def test_slots(size: int, slots: int) -> None:
    assert Argument(size).slots == slots


def test_every_combination_of_flags_is_tried_once() -> None:
    assert [int(case.flags) for case in probes(POOL)] == list(range(512))


# -- the matrix


def test_no_case_is_there_twice() -> None:
    cases = matrix(POOL, KNOWN, 12)
    assert max(Counter(cases).values()) == 1


def test_the_order_of_flags_is_nothing() -> None:
    assert matrix(POOL, [ENTRY, AROUND], 2) == matrix(POOL, [AROUND, ENTRY], 2)


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        # by arguments: ten patterns of 0 to 12 are 130, of which 19 are the same as others: 111, near and far
        # by programs: 3 numbers, 4 variants, 3 lists of arguments; for 2 variants and those lists 1 + 3 + 4 choices of
        # who is not entered; one program without arguments is there already
        (ENTRY, 111 * 2 + 3 * 4 * 3 + 2 * 3 * (1 + 3 + 4) - 1),
        # 64 combinations, of which the one without programs has no variants; for 2 variants and 3 lists:
        # not entered are 1 of 1 (3 combinations), 3 of 2 (6), 4 of more (54); an error of 1, 2, 3 programs comes in
        # 1, 3, 5 ways (16 each); one fentry and one fexit without arguments are there already
        (AROUND, 111 * 2 + (63 * 4 + 1) * 3 + 2 * 3 * (3 * 1 + 6 * 3 + 54 * 4 + 16 * (1 + 3 + 5)) - 1),
        # nobody says no; 5 sizes, signed or not, near and far; an int, near and far, is there already
        (OPS, 111 * 2 + 3 * 4 * 3 - 1 + 5 * 2 * 2 - 2),
        # a value of no size is not asked for
        (OPS_VALUE, 111 * 2 + 3 * 4 * 3 - 1 + 4 * 2 * 2 - 2),
        # not asked for by the kernel: 0, 2, 9 and 12 arguments in 1, 8, 10 and 10 ways
        (Flag(0), 1 + 8 + 10 + 10),
        (Flag.CALL_ORIG | Flag.IP_ARG, 1 + 8 + 10 + 10),
        # and each value but that of an int
        (Flag.INDIRECT | Flag.IP_ARG, 1 + 8 + 10 + 10 + 5 * 2 * 2 - 1),
    ],
)
def test_numbers_of_cases(flags: Flag, count: int) -> None:
    assert len(matrix(POOL, [flags], 12)) == count


def test_all_flags_together() -> None:
    """Six that the kernel asks for; of the others 28 have no INDIRECT, 15 have it, 15 have it with RET_FENTRY_RET."""
    requested = 2 * 305 + 2 * 3266 + 275 + 271
    others = 28 * 29 + 15 * (29 + 15) + 15 * (29 + 19)
    assert len(matrix(POOL, KNOWN, 12)) == requested + others


@pytest.mark.parametrize("flags", sorted(REQUESTED))
def test_every_number_of_arguments_near_and_far(flags: Flag) -> None:
    cases = matrix(POOL, [flags], 12)
    assert {(len(case.arguments), case.far) for case in cases} >= set(product(range(13), (False, True)))
    slots = {*range(21), 22, 24}  # 12 of 8 and 16 bytes in turn are 18, of odd sizes 19
    assert {case.slots for case in cases} == slots
    sizes = {argument.size for case in cases for argument in case.arguments}
    assert sizes == set(range(1, 17))


def test_no_case_has_more_arguments_than_a_model_describes() -> None:
    short = matrix(POOL, [ENTRY], 5)
    assert max(len(case.arguments) for case in short if case.arguments != (LONG,) * 9 + (PAIR,)) == 5


@pytest.mark.parametrize("extra", [Flag(0), Flag.IP_ARG])
def test_every_number_of_programs(extra: Flag) -> None:
    cases = matrix(POOL, [AROUND | extra], 12)
    assert {(len(each.fentry), len(each.fmod), len(each.fexit)) for each in cases} == set(product(range(4), repeat=3))
    entry = matrix(POOL, [ENTRY | extra], 12)
    assert {(len(each.fentry), len(each.fmod), len(each.fexit)) for each in entry} == {(1, 0, 0), (2, 0, 0), (3, 0, 0)}


@pytest.mark.parametrize("flags", sorted(REQUESTED))
def test_programs_sleep_and_have_cookies(flags: Flag) -> None:
    programs = [program for case in matrix(POOL, [flags], 12) for program in case.fentry]
    assert {(each.sleepable, each.has_cookie) for each in programs} == set(product((False, True), repeat=2))


def test_who_may_say_no() -> None:
    assert not any(case.skipped for case in matrix(POOL, [OPS, OPS_VALUE], 12))
    around = matrix(POOL, [AROUND], 12)
    assert {case.stops for case in around} == {-1, 0, 1, 2}
    for case in around:
        assert case.stops < len(case.fmod)
        assert case.skipped <= {each.number for each in (*case.fentry, *case.fmod, *case.fexit)}


def test_every_size_of_a_value() -> None:
    found = {(case.returns.size, case.returns.signed) for case in matrix(POOL, [OPS_VALUE], 12)}
    assert found == set(product((1, 2, 4, 8), (False, True)))
    found = {(case.returns.size, case.returns.signed) for case in matrix(POOL, [OPS], 12)}
    assert found == set(product((0, 1, 2, 4, 8), (False, True)))


def test_sessions_only_where_the_kernel_has_them() -> None:
    def some(sessions: bool) -> bool:
        cases = matrix(make_pool(sessions=sessions), [AROUND], 2)
        return any(program.session for case in cases for program in case.fentry)

    assert (some(False), some(True)) == (False, True)


def test_a_session_stands_at_entry_and_at_exit_in_the_same_order() -> None:
    for case in matrix(make_pool(sessions=True), [AROUND], 2):
        before = [program for program in case.fentry if program.session]
        assert before == [program for program in case.fexit if program.session]


# -- one case


def test_programs_of_a_case() -> None:
    case = case_of(AROUND, POOL, (1, 2, 3), 3)
    assert [program.number for program in case.fentry] == [3]
    assert [program.number for program in case.fmod] == [27, 31]
    assert [program.number for program in case.fexit] == [15, 19, 23]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (Flag(0), "no flags"),
        (ENTRY, "RESTORE_REGS"),
        (OPS_VALUE, "RET_FENTRY_RET|INDIRECT"),
        (AROUND, "CALL_ORIG|SKIP_FRAME"),
    ],
)
def test_flags_in_words(flags: Flag, text: str) -> None:
    assert flags_text(flags) == text


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (case_of(ENTRY, POOL, (1, 0, 0)), "RESTORE_REGS, 2 arguments, 1 fentry"),
        (case_of(ENTRY, POOL, (1, 0, 0), arguments=()), "RESTORE_REGS, no argument, 1 fentry"),
        (case_of(AROUND, POOL, (0, 0, 0), arguments=(INT,)), "CALL_ORIG|SKIP_FRAME, 1 argument"),
        (
            case_of(AROUND, POOL, (0, 2, 1), arguments=(LONG, PAIR, PAIR), stops=1, skipped=frozenset({24})),
            "CALL_ORIG|SKIP_FRAME, 3 arguments (2, 3 of 16 bytes), 2 fmod_ret, 1 fexit, fmod_ret 1 returns an error, "
            "1 not entered",
        ),
    ],
)
def test_cases_in_words(case: Case, text: str) -> None:
    assert str(case) == text
