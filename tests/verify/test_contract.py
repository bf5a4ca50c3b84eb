# SPDX-License-Identifier: GPL-2.0-or-later
"""`judge` on observations written out by hand: one number wrong at a time, and the promise that it breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genpatch.machine.outcome import Status
from genpatch.verify.contract import Arrival, Expectation, Failure, Promise, Terms, judge
from genpatch.verify.trial import Behaviour, Observation

FUNC, BODY, HOOK = 0x8000_1000, 0x8000_1008, 0x8000_9000
PARENT, ELSEWHERE, OPS = 0x9000_0300, 0x9000_0200, 0x7000_0000
SP, FRAME = 0x6000_F800, 0x6000_F790  # a frame of 112 bytes right below sp
REGS = {"epc": 0, "ra": 8, "sp": 16, "s0": 24, "t1": 32, "a0": 48, "a1": 56, "a2": 64, "a3": 72, "a7": 104}
NUMBERS = {"ra": 1, "sp": 2, "s0": 8, "a0": 10, "a1": 11, "a2": 12, "a3": 13, "a7": 17}
LANES = 2
UNSET = 0xA5A5_A5A5_A5A5_A5A5

TERMS = Terms(
    func=np.array([0x8000_0000, FUNC], np.uint64),
    ip=np.array([0x8000_0004, FUNC + 4], np.uint64),
    body=np.array([0x8000_0008, BODY], np.uint64),
    link=5,
    parent=PARENT,
    elsewhere=ELSEWHERE,
    return_hook=HOOK,
    regs=REGS,
    local_arguments=False,
)


def first() -> Any:
    values = np.arange(1, 32 * LANES + 1, dtype=np.uint64).reshape(32, LANES) * np.uint64(0x1111)
    values[0], values[1], values[2] = 0, PARENT, SP
    return values


def observed(**more: Any) -> Observation:
    """What a traced call of two functions looks like when all is right."""
    at_call = first()
    frame = np.zeros((LANES, 112), np.uint8)
    for name, number in NUMBERS.items():
        frame[:, REGS[name] : REGS[name] + 8] = at_call[number].astype("<u8").view(np.uint8).reshape(LANES, 8)
    frame[:, :8] = TERMS.body.astype("<u8").view(np.uint8).reshape(LANES, 8)
    values: dict[str, Any] = {
        "lanes": np.arange(LANES),
        "first": at_call,
        "last": at_call.copy(),
        "pc": TERMS.body.copy(),
        "status": np.full(LANES, Status.STOPPED, np.uint8),
        "calls": np.ones(LANES, np.int64),
        "direct": np.zeros(LANES, np.int64),
        "arguments": np.array([TERMS.ip, [PARENT] * LANES, [OPS] * LANES, [FRAME] * LANES], np.uint64),
        "callback_sp": np.full(LANES, FRAME, np.uint64),
        "frame": frame,
        "has_frame": np.ones(LANES, np.bool_),
        "direct_registers": np.zeros((32, LANES), np.uint64),
        "poison": np.zeros(LANES, np.bool_),
        "poison_pc": np.zeros(LANES, np.uint64),
        "insns": np.ones(LANES, np.int64),
    }
    return Observation(**(values | more))


TRACED = Expectation(calls=1, ops=np.full(LANES, OPS, np.uint64))
QUIET = Expectation()
DIRECT = Expectation(direct=1)


def judged(seen: Observation, expected: Expectation = TRACED, terms: Terms = TERMS) -> list[Failure]:
    return list(judge("state", seen, expected, terms))


def only(seen: Observation, expected: Expectation = TRACED, terms: Terms = TERMS) -> Failure:
    (failure,) = judged(seen, expected, terms)
    assert failure.state == "state"
    return failure


def changed(array: Any, lane: int, value: int, *row: int) -> Any:
    array = array.copy()
    array[(*row, lane)] = value
    return array


def in_frame(seen: Observation, lane: int, offset: int, value: int) -> Any:
    assert seen.frame is not None
    frame = seen.frame.copy()
    frame[lane, offset : offset + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
    return frame


def test_all_is_right() -> None:
    assert judged(observed()) == []


def test_a_quiet_site_is_right() -> None:
    assert judged(observed(calls=np.zeros(LANES, np.int64)), QUIET) == []


# --- arriving


def test_another_address() -> None:
    failure = only(observed(pc=np.array([0x8000_0008, BODY + 4], np.uint64)))
    assert (failure.promise, failure.what) == (Promise.ARRIVES, "body")
    assert (failure.lanes.tolist(), failure.expected.tolist(), failure.got.tolist()) == ([1], [BODY], [BODY + 4])
    assert failure.note == ""


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (Status.BUDGET, "it ends there: too many instructions"),
        (Status.STUCK, "it ends there: it only repeats itself"),
        (Status.FAULT, "it ends there: fault"),
        (Status.UNSUPPORTED, "it ends there: an instruction that is not known here"),
    ],
)
def test_another_end_at_the_right_address(status: Status, note: str) -> None:
    failure = only(observed(status=np.array([Status.STOPPED, status], np.uint8)))
    assert (failure.promise, failure.lanes.tolist(), failure.note) == (Promise.ARRIVES, [1], note)


def test_two_ends_are_two_failures() -> None:
    failures = judged(observed(status=np.array([Status.FAULT, Status.BUDGET], np.uint8)))
    assert [failure.lanes.tolist() for failure in failures] == [[1], [0]]


def test_who_has_not_arrived_is_not_judged_by_registers() -> None:
    seen = observed(pc=np.zeros(LANES, np.uint64), last=np.zeros((32, LANES), np.uint64))
    assert only(seen).promise is Promise.ARRIVES


@pytest.mark.parametrize(("arrival", "address"), [(Arrival.ELSEWHERE, ELSEWHERE), (Arrival.PARENT, PARENT)])
def test_other_places_to_arrive_at(arrival: Arrival, address: int) -> None:
    expected = replace(TRACED, arrival=arrival)
    assert judged(observed(pc=np.full(LANES, address, np.uint64)), expected) == []
    failure = only(observed(), expected)
    assert failure.what == arrival.value
    assert failure.expected.tolist() == [address] * LANES


# --- calls


@pytest.mark.parametrize("count", [0, 2])
def test_not_called_once(count: int) -> None:
    failure = next(each for each in judged(observed(calls=np.array([1, count]))) if each.promise is Promise.CALLS)
    assert (failure.what, failure.lanes.tolist()) == ("callback", [1])
    assert (failure.expected.tolist(), failure.got.tolist()) == ([1], [count])


def test_called_while_disabled() -> None:
    failure = only(observed(), QUIET)
    assert (failure.promise, failure.what, failure.got.tolist()) == (Promise.CALLS, "callback", [1, 1])


def test_a_direct_call_that_is_not_made() -> None:
    found = {(each.promise, each.what) for each in judged(observed(), DIRECT)}
    assert found == {(Promise.CALLS, "callback"), (Promise.CALLS, "direct call")}


# --- registers


@pytest.mark.parametrize("number", [1, 2, 3, 4, 8, 9, *range(10, 28)])
def test_a_register_that_must_survive(number: int) -> None:
    seen = observed()
    failure = only(replace(seen, last=changed(seen.last, 1, 0xBAD, number)))
    assert failure.promise is Promise.REGISTERS
    assert (failure.lanes.tolist(), failure.got.tolist()) == ([1], [0xBAD])
    assert failure.expected.tolist() == [int(first()[number, 1])]


@pytest.mark.parametrize("number", [5, 6, 7, 28, 29, 30, 31])
def test_temporaries_may_change(number: int) -> None:
    seen = observed()
    assert judged(replace(seen, last=changed(seen.last, 1, 0xBAD, number))) == []


@pytest.mark.parametrize("number", [7, 28, 29, 30, 31])
def test_with_clang_some_of_them_may_not(number: int) -> None:
    seen, terms = observed(), replace(TERMS, local_arguments=True)
    failure = only(replace(seen, last=changed(seen.last, 1, 0xBAD, number)), TRACED, terms)
    assert failure.promise is Promise.REGISTERS


@pytest.mark.parametrize("number", [5, 6])
def test_t0_and_t1_may_change_with_clang_too(number: int) -> None:
    seen, terms = observed(), replace(TERMS, local_arguments=True)
    assert judged(replace(seen, last=changed(seen.last, 1, 0xBAD, number)), TRACED, terms) == []


@pytest.mark.parametrize("number", range(1, 32))
def test_a_disabled_sled_changes_its_link_register_alone(number: int) -> None:
    seen = observed(calls=np.zeros(LANES, np.int64))
    failures = judged(replace(seen, last=changed(seen.last, 0, 0xBAD, number)), QUIET)
    assert [failure.promise for failure in failures] == ([] if number == 5 else [Promise.REGISTERS])


def test_a_call_of_the_kernels_own_may_change_what_a_call_may() -> None:
    seen = observed(calls=np.zeros(LANES, np.int64))
    assert judged(replace(seen, last=changed(seen.last, 0, 0xBAD, 6)), Expectation(through=True)) == []


def test_graph_replaces_ra() -> None:
    expected, seen = replace(TRACED, behaviour=Behaviour.GRAPH), observed()
    assert judged(replace(seen, last=changed(changed(seen.last, 0, HOOK, 1), 1, HOOK, 1)), expected) == []
    failure = only(seen, expected)
    assert (failure.promise, failure.what) == (Promise.OBEYS, "ra")
    assert (failure.expected.tolist(), failure.got.tolist()) == ([HOOK] * LANES, [PARENT] * LANES)


def test_an_override_replaces_a0() -> None:
    expected = replace(TRACED, arrival=Arrival.PARENT, behaviour=Behaviour.OVERRIDE)
    seen = observed(pc=np.full(LANES, PARENT, np.uint64))
    last = changed(changed(seen.last, 0, 0x0E0E_1234_5678_9ABC, 10), 1, 0x0E0E_1234_5678_9ABC, 10)
    assert judged(replace(seen, last=last), expected) == []
    assert only(seen, expected).promise is Promise.OBEYS


# --- what the callback gets


@pytest.mark.parametrize(("number", "name"), [(0, "ip"), (1, "parent_ip"), (2, "op")])
def test_an_argument(number: int, name: str) -> None:
    seen = observed()
    failure = only(replace(seen, arguments=changed(seen.arguments, 1, 0xBAD, number)))
    assert (failure.promise, failure.what) == (Promise.ARGUMENTS, name)
    assert (failure.lanes.tolist(), failure.got.tolist()) == ([1], [0xBAD])


def test_unknown_ops_are_not_judged() -> None:
    seen = observed()
    seen = replace(seen, arguments=changed(seen.arguments, 1, 0xBAD, 2))
    assert judged(seen, replace(TRACED, ops=None)) == []


def test_no_frame() -> None:
    failure = only(observed(has_frame=np.array([True, False])))
    assert (failure.promise, failure.what, failure.lanes.tolist()) == (Promise.ARGUMENTS, "fregs", [1])


@pytest.mark.parametrize("name", NUMBERS)
def test_a_field(name: str) -> None:
    seen = observed()
    failure = only(replace(seen, frame=in_frame(seen, 1, REGS[name], 0xBAD)))
    assert (failure.promise, failure.what, failure.lanes.tolist()) == (Promise.FRAME, name, [1])
    assert failure.expected.tolist() == [int(first()[NUMBERS[name], 1])]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_field_that_nothing_wrote(name: str) -> None:
    seen = observed()
    failure = only(replace(seen, frame=in_frame(seen, 0, REGS[name], UNSET)))
    assert (failure.promise, failure.what, failure.lanes.tolist()) == (Promise.FRAME_SET, name, [0])


@pytest.mark.parametrize(("epc", "is_right"), [(-1, False), (0, True), (4, True), (8, True), (9, False)])
def test_epc_lies_in_the_sled(epc: int, is_right: bool) -> None:
    seen = observed()
    found = judged(replace(seen, frame=in_frame(seen, 1, 0, FUNC + epc)))
    assert [(each.promise, each.what) for each in found] == ([] if is_right else [(Promise.FRAME, "epc")])


def test_fields_that_are_not_known_are_not_judged() -> None:
    seen = observed(frame=None)
    assert judged(seen, TRACED, replace(TERMS, regs={})) == []


# --- the stack


@pytest.mark.parametrize("off", [1, 2, 4, 8])
def test_sp_is_aligned_at_the_call(off: int) -> None:
    failure = only(observed(callback_sp=np.array([FRAME, FRAME - 16 + off], np.uint64)))
    assert (failure.promise, failure.what) == (Promise.STACK, "sp")
    assert (failure.expected.tolist(), failure.got.tolist()) == ([FRAME - 16], [FRAME - 16 + off])


def test_a_frame_below_sp() -> None:
    failure = only(observed(callback_sp=np.array([FRAME, FRAME + 16], np.uint64)))
    assert (failure.promise, failure.what, failure.lanes.tolist()) == (Promise.STACK, "frame", [1])


def test_a_frame_in_the_callers() -> None:
    seen = observed(callback_sp=np.full(LANES, FRAME - 16, np.uint64))
    failure = only(replace(seen, arguments=changed(seen.arguments, 1, FRAME + 8, 3)))
    assert (failure.promise, failure.what) == (Promise.STACK, "frame end")
    assert (failure.expected.tolist(), failure.got.tolist()) == ([SP], [SP + 8])


def test_poison() -> None:
    failure = only(observed(poison=np.array([False, True]), poison_pc=np.array([0, 0x8000_2000], np.uint64)))
    assert (failure.promise, failure.what, failure.lanes.tolist()) == (Promise.INITIALISED, "stack", [1])
    assert failure.got.tolist() == [0x8000_2000]


def test_a_frame_that_is_not_promised_is_not_judged() -> None:
    terms = replace(TERMS, hands_frame=False)
    seen = observed(has_frame=np.zeros(LANES, np.bool_))
    assert judged(seen, terms=terms) == []
    assert judged(observed(callback_sp=np.array([FRAME, FRAME + 16], np.uint64)), terms=terms) == []
    seen = observed()
    assert judged(replace(seen, frame=in_frame(seen, 0, REGS["a1"], 0xBAD)), terms=terms) == []
    failure = only(replace(seen, last=changed(seen.last, 0, 0xBAD, 11)), terms=terms)
    assert (failure.promise, failure.what) == (Promise.REGISTERS, "a1")


# --- a direct trampoline


def at_direct(**more: Any) -> Observation:
    registers = first()
    registers[5] = TERMS.body
    return observed(
        calls=np.zeros(LANES, np.int64), direct=np.ones(LANES, np.int64), direct_registers=registers, **more
    )


def test_a_direct_call_is_right() -> None:
    assert judged(at_direct(), DIRECT) == []


def test_a_direct_call_with_a_wrong_register() -> None:
    seen = at_direct()
    failure = only(replace(seen, direct_registers=changed(seen.direct_registers, 1, 0xBAD, 14)), DIRECT)
    assert (failure.promise, failure.what) == (Promise.REGISTERS, "a4 at the direct trampoline")


def test_a_direct_call_with_a_wrong_way_back() -> None:
    seen = at_direct()
    failure = only(replace(seen, direct_registers=changed(seen.direct_registers, 1, BODY + 4, 5)), DIRECT)
    assert (failure.promise, failure.expected.tolist()) == (Promise.ARGUMENTS, [BODY])


def test_lanes_are_those_of_the_observation() -> None:
    """One that was made of lane 1 alone is compared with what is true of lane 1."""
    whole = observed()
    part = {
        name: value[..., 1:] if name not in ("frame", "lanes") and value.ndim == 2 else value[1:]
        for name in whole.__dataclass_fields__
        for value in (getattr(whole, name),)
    }
    assert judged(Observation(**part)) == []
    failure = only(Observation(**{**part, "pc": np.array([0x8000_0008], np.uint64)}))
    assert (failure.lanes.tolist(), failure.expected.tolist()) == ([1], [BODY])
