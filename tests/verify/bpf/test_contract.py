# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trampoline must do, against sequences and values that were written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.units import I64Array
from genpatch.verify.bpf.cases import Argument, Case, Flag
from genpatch.verify.bpf.contract import (
    ENTER,
    EXIT,
    ORIGINAL,
    PROGRAM,
    TRAMP_ENTER,
    TRAMP_EXIT,
    Contract,
    Values,
    as_register,
    low_word,
)
from genpatch.verify.bpf.programs import Programs

from .toys import make_pool

POOL = make_pool(sessions=True)
ENTRY, AROUND = Flag.RESTORE_REGS, Flag.CALL_ORIG | Flag.SKIP_FRAME
OPS_VALUE = Flag.INDIRECT | Flag.RET_FENTRY_RET
LONG, INT, PAIR = Argument(8), Argument(4, True), Argument(16, struct=True)
FENTRY, FEXIT, FMOD = (tuple(POOL.find(kind, position) for position in range(3)) for kind in range(3))


def numbers(*values: int) -> I64Array:
    return np.array(values, np.int64)


def events_of(case: Case, pool: Programs = POOL) -> list[int]:
    """Return all events of a case, and check that nothing is behind them."""
    contract = Contract([case], pool)
    found = contract.events[0].tolist()
    length = found.index(0)
    assert not any(found[length:])
    beyond = contract.event(numbers(0, 0), numbers(length, 10_000))
    assert beyond.tolist() == [0, 0]
    return list(found[:length])


# -- values in registers


@pytest.mark.parametrize(
    ("value", "size", "signed", "register"),
    [
        # the psABI: extended by their own type to 32 bits, then by bit 31 to 64
        (0x00A6_0100_8000_00F1, 1, False, 0x0000_0000_0000_00F1),
        (0x00A6_0100_8000_00F1, 1, True, 0xFFFF_FFFF_FFFF_FFF1),
        (0x00A6_0100_8000_0071, 1, True, 0x0000_0000_0000_0071),
        (0x00A6_0100_8000_80F1, 2, False, 0x0000_0000_0000_80F1),
        (0x00A6_0100_8000_80F1, 2, True, 0xFFFF_FFFF_FFFF_80F1),
        (0x00A6_0100_8000_00F1, 4, True, 0xFFFF_FFFF_8000_00F1),
        (0x00A6_0100_8000_00F1, 4, False, 0xFFFF_FFFF_8000_00F1),  # an unsigned int, too
        (0xFFFF_FFFF_7000_00F1, 4, True, 0x0000_0000_7000_00F1),
        (0xFFFF_FFFF_7000_00F1, 4, False, 0x0000_0000_7000_00F1),
        (0x80A6_0100_8000_00F1, 8, False, 0x80A6_0100_8000_00F1),
        (0x80A6_0100_8000_00F1, 8, True, 0x80A6_0100_8000_00F1),
        (0x80A6_0100_8000_00F1, 0, False, 0x80A6_0100_8000_00F1),  # a struct, or nothing that is known
    ],
)
def test_values_stand_in_registers_as_the_psabi_says(value: int, size: int, signed: bool, register: int) -> None:
    found = as_register(np.array([value], np.uint64), numbers(size), np.array([signed]))
    assert hex(int(found[0])) == hex(register)


def test_low_words_are_extended_by_bit_31() -> None:
    found = low_word(np.array([0x7177_0000_F00D_8000, 0xFFFF_FFFF_7000_0001], np.uint64))
    assert [hex(int(each)) for each in found] == ["0xfffffffff00d8000", "0x70000001"]


# -- what happens in which order


def test_one_program_at_entry() -> None:
    assert events_of(Case(flags=ENTRY, fentry=FENTRY[:1])) == [1000, 2000, 3000]


def test_all_kinds_of_programs() -> None:
    """In the pool fentry 0, fexit 0 and fmod_ret 0 have the numbers 0, 12 and 24."""
    case = Case(flags=AROUND, fentry=FENTRY[:1], fmod=FMOD[:1], fexit=FEXIT[:1])
    assert events_of(case) == [1, 1000, 2000, 3000, 1024, 2024, 3024, 3, 1012, 2012, 3012, 2]


def test_without_programs_the_function_is_called_all_the_same() -> None:
    assert events_of(Case(flags=AROUND)) == [TRAMP_ENTER, ORIGINAL, TRAMP_EXIT]


def test_programs_of_a_kind_run_in_their_order() -> None:
    assert events_of(Case(flags=ENTRY, fentry=(FENTRY[1], FENTRY[0]))) == [1004, 2004, 3004, 1000, 2000, 3000]


def test_a_program_that_is_not_entered_is_exited_all_the_same() -> None:
    case = Case(flags=AROUND, fentry=FENTRY[:1], fexit=FEXIT[:1], skipped=frozenset({0}))
    assert events_of(case) == [1, 1000, 3000, 3, 1012, 2012, 3012, 2]


def test_an_error_skips_later_programs_and_the_function() -> None:
    case = Case(flags=AROUND, fmod=FMOD[:3], fexit=FEXIT[:1], stops=1)
    assert events_of(case) == [1, 1024, 2024, 3024, 1028, 2028, 3028, 1012, 2012, 3012, 2]


def test_a_program_that_is_not_entered_returns_no_error() -> None:
    case = Case(flags=AROUND, fmod=FMOD[:2], stops=0, skipped=frozenset({24}))
    assert events_of(case) == [1, 1024, 3024, 1028, 2028, 3028, 3, 2]


def test_an_earlier_program_that_is_not_entered_changes_nothing() -> None:
    case = Case(flags=AROUND, fmod=FMOD[:2], stops=1, skipped=frozenset({24}))
    assert events_of(case) == [1, 1024, 3024, 1028, 2028, 3028, 2]


def test_without_call_orig_nothing_is_around_programs() -> None:
    assert events_of(Case(flags=Flag.SKIP_FRAME | Flag.INDIRECT, fentry=FENTRY[:1])) == [1000, 2000, 3000]


def test_a_session_runs_twice() -> None:
    """Sessions stand behind the 36 others in the pool."""
    session = POOL.session(0, cookie=False)
    case = Case(flags=AROUND, fentry=(session,), fexit=(session,))
    assert events_of(case) == [1, 1036, 2036, 3036, 3, 1036, 2036, 3036, 2]


def test_what_is_late() -> None:
    """Late is what is behind the function, or behind the place where it would be."""
    called = Case(flags=AROUND, fentry=FENTRY[:1], fexit=FEXIT[:1])  # 1 1000 2000 3000 | 3 | 1012 2012 3012 2
    stopped = Case(flags=AROUND, fmod=FMOD[:1], fexit=FEXIT[:1], stops=0)  # 1 1024 2024 3024 | 1012 2012 3012 2
    contract = Contract([called, stopped], POOL)
    assert contract.is_late(numbers(0, 0, 0), numbers(3, 4, 5)).tolist() == [False, False, True]
    assert contract.is_late(numbers(1, 1, 1), numbers(2, 3, 4)).tolist() == [False, False, True]


def test_cases_of_one_batch_keep_apart() -> None:
    cases = [Case(flags=ENTRY, fentry=FENTRY[:1]), Case(flags=AROUND, arguments=(PAIR, LONG)), Case(flags=OPS_VALUE)]
    contract = Contract(cases, POOL)
    assert contract.event(numbers(0, 1, 2), numbers(0, 0, 0)).tolist() == [1000, TRAMP_ENTER, 0]
    assert contract.slots.tolist() == [2, 3, 2]
    assert contract.to_parent.tolist() == [False, True, True]
    assert contract.restores.tolist() == [True, False, False]
    assert contract.saves.tolist() == [False, True, True]
    assert contract.flag(Flag.INDIRECT).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (0, "nothing"),
        (TRAMP_ENTER, "__bpf_tramp_enter"),
        (TRAMP_EXIT, "__bpf_tramp_exit"),
        (ORIGINAL, "the traced function"),
        (ENTER + 4, "enter of fentry 1"),
        (PROGRAM + 24, "fmod_ret 0"),
        (EXIT + 36, "exit of fsession 0"),
        (ENTER + 999, "enter of an unknown program"),
    ],
)
def test_events_in_words(event: int, text: str) -> None:
    assert Contract([Case(flags=ENTRY)], POOL).spell(event, POOL) == text


# -- who leaves a value, who sees one


@pytest.mark.parametrize(
    ("flags", "kind", "keeps", "sees"),
    [
        (ENTRY, 0, False, False),
        (AROUND, 0, False, False),
        (AROUND, 1, False, True),
        (AROUND, 2, True, True),
        (Flag.INDIRECT, 0, False, False),
        (OPS_VALUE, 0, True, False),
    ],
)
def test_who_keeps_and_sees_the_value(flags: Flag, kind: int, keeps: bool, sees: bool) -> None:
    contract = Contract([Case(flags=flags)], POOL)
    number = numbers(POOL.find(kind, 0).number)
    assert (contract.keeps_value(numbers(0), number).tolist(), contract.sees_value(numbers(0), number).tolist()) == (
        [keeps], [sees],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "has"),
    [
        (Case(flags=ENTRY, fentry=FENTRY[:1]), False),
        (Case(flags=AROUND), True),
        (Case(flags=Flag.INDIRECT, fentry=FENTRY[:1]), False),
        (Case(flags=OPS_VALUE, fentry=FENTRY[:1]), True),
        (Case(flags=OPS_VALUE, fentry=FENTRY[:1], skipped=frozenset({0})), False),
    ],
)
def test_where_there_is_a_value(case: Case, has: bool) -> None:
    assert Contract([case], POOL).has_value.tolist() == [has]


# -- the numbers that go through


def test_arguments_stand_in_their_slots() -> None:
    """A number of its own for each slot and lane; scalars as in registers, structs as they are."""
    arguments = (LONG, INT, Argument(1), Argument(2, True), PAIR, Argument(8, struct=True))
    cases = [Case(flags=ENTRY, arguments=()), Case(flags=ENTRY, arguments=arguments)]
    values = Values(Contract(cases, POOL))
    assert [hex(int(each)) for each in values.slots[1]] == [
        "0xa60100800001f1",
        "0xffffffff800001f1",
        "0xf1",
        "0x1f1",
        "0xa60500800001f1",
        "0xa60600800001f1",
        "0xa60700800001f1",
    ]


def test_every_slot_of_every_lane_has_its_own_number() -> None:
    cases = [Case(flags=ENTRY, arguments=(LONG,) * 12)] * 300
    slots = Values(Contract(cases, POOL)).slots
    assert len(np.unique(slots)) == 300 * 12


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("lane", [0, 1, 4095, 9999])
def test_what_a_program_returns_shows_whether_it_is_extended(size: int, lane: int) -> None:
    """The sign bits of 8, 16 and 32 bits are set, and what is above them is neither all zeros nor all ones."""
    cases = [Case(flags=OPS_VALUE, fentry=FENTRY[:1])] * (lane + 1)
    contract = Contract(cases, POOL)
    value = int(Values(contract).of_program(contract, numbers(lane), numbers(0))[0])
    if size < 8:
        assert value >> (8 * size - 1) & 1
        assert value >> 8 * size not in (0, (1 << 64 - 8 * size) - 1)
    assert value >> 32 not in (0, 0xFFFF_FFFF)


def test_programs_return_different_values() -> None:
    contract = Contract([Case(flags=OPS_VALUE)] * 50, POOL)
    lanes = np.repeat(np.arange(50), 12)
    values = Values(contract).of_program(contract, lanes, np.tile(np.arange(12), 50))
    assert len(np.unique(values)) == 600


def test_fmod_ret_programs_return_0_or_an_error() -> None:
    contract = Contract([Case(flags=AROUND, fmod=FMOD[:2], stops=1)], POOL)
    found = Values(contract).of_program(contract, numbers(0, 0), numbers(FMOD[0].number, FMOD[1].number))
    assert [hex(int(each)) for each in found] == ["0x0", "0xfffffff3"]  # -13 in 32 bits


def final_of(case: Case, *, slot: int, full: int) -> tuple[str, bool]:
    """Return what a caller must get, and whether that is known."""
    contract = Contract([case], POOL)
    values = Values(contract)
    values.slot[0], values.full[0] = slot, full
    value, known = values.final(contract, numbers(0))
    return hex(int(value[0])), bool(known[0])


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        (Argument(1, True), "0xffffffffffffff82"),
        (Argument(1), "0x82"),
        (Argument(2, True), "0xffffffffffff8182"),
        (Argument(2), "0x8182"),
        (INT, "0xffffffff80008182"),
        (Argument(4), "0xffffffff80008182"),
        (LONG, "0x7177000080008182"),
    ],
)
def test_the_caller_of_a_struct_ops_function_gets_its_type(returns: Argument, expected: str) -> None:
    case = Case(flags=OPS_VALUE, fentry=FENTRY[:1], returns=returns)
    assert final_of(case, slot=1, full=0x7177_0000_8000_8182) == (expected, True)


def test_nobody_asks_for_the_value_of_a_function_without_one() -> None:
    case = Case(flags=OPS_VALUE, fentry=FENTRY[:1], returns=Argument(0))
    assert final_of(case, slot=1, full=2)[1] is False


def test_the_caller_of_a_traced_function_gets_what_was_kept() -> None:
    assert final_of(Case(flags=AROUND), slot=0xFFFF_FFFF_FFFF_FFF3, full=5) == ("0xfffffffffffffff3", True)
    assert final_of(Case(flags=ENTRY, fentry=FENTRY[:1]), slot=1, full=2)[1] is False


@pytest.mark.parametrize(
    ("case", "known"),
    [
        (Case(flags=AROUND, fmod=FMOD[:1]), True),  # cleared before the first of them
        (Case(flags=AROUND, fexit=FEXIT[:1]), False),  # the function has not returned yet
        (Case(flags=ENTRY, fentry=FENTRY[:1]), False),
    ],
)
def test_what_stands_there_at_first(case: Case, known: bool) -> None:
    values = Values(Contract([case], POOL))
    assert (values.known.tolist(), values.slot.tolist()) == ([known], [0])


def test_too_many_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="48 argument slots"):
        Values(Contract([Case(flags=ENTRY, arguments=(PAIR,) * 24)], POOL))
