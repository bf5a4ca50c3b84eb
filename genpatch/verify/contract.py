# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold: of a patching function that was called, of a site that was run.

A broken promise is a Failure: what was promised, in which lanes it was not kept, what was expected and found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..isa.encoding import REG_NAMES
from ..machine.outcome import Status
from ..units import BoolArray, I64Array, U64Array
from .promises import Promise
from .trial import A3, OVERRIDE_VALUE, S0, Behaviour, Observation, arrived

__all__ = ["Arrival", "Expectation", "Failure", "Promise", "Terms", "judge"]

RA, SP, GP, TP, A0 = 1, 2, 3, 4, 10
SAVED = (RA, SP, GP, TP, 8, 9, *range(18, 28))
"""ra, sp, gp, tp, s0-s11."""
ARGUMENTS = tuple(range(10, 18))
LOCAL_ARGUMENTS = (7, 28, 29, 30, 31)
"""t2-t6, in which clang passes arguments of functions that only their own file calls."""
UNSET = 0xA5A5_A5A5_A5A5_A5A5
_U64 = np.uint64
_FIELDS = {"ra": RA, "sp": SP, "s0": S0, **{f"a{n}": A0 + n for n in range(8)}}
_LOCAL_FIELDS = {"t2": 7, "t3": 28, "t4": 29, "t5": 30, "t6": 31}


@dataclass(frozen=True, slots=True)
class Failure:
    """One promise that was broken in one state.

    Args:
        state: name of the state.
        promise: which.
        what: what it is about: a register, a field, an argument, a function.
        lanes: int64[k], the sites.
        expected, got: uint64[k] each.
        note: one sentence on how, empty if the values say it all.
    """

    state: str
    promise: Promise
    what: str
    lanes: I64Array
    expected: U64Array
    got: U64Array
    note: str = ""


class Arrival(StrEnum):
    """Where a run must end."""

    BODY = "body"
    ELSEWHERE = "elsewhere"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run must come to.

    Args:
        arrival: where.
        calls: how often the callback must be called.
        direct: how often the direct trampoline must be.
        behaviour: what the callback does.
        through: the site calls something of the kernel's own, so that it may change what a call may.
        ops: uint64[n], the ops that the callback must get, or None if that is not known.
    """

    arrival: Arrival = Arrival.BODY
    calls: int = 0
    direct: int = 0
    behaviour: Behaviour = Behaviour.PLAIN
    through: bool = False
    ops: U64Array | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """The contract of one kernel.

    Args:
        func, ip, body: uint64[n] of the sites.
        link: the register that the sled's call changes, and with it the disabled sled.
        parent, elsewhere: addresses of the host.
        return_hook: address of return_to_handler.
        regs: fields of the frame to their offsets [bytes]; empty where the type is not known.
        local_arguments: whether t2-t6 must survive.
        hands_frame: whether the callback is promised a frame of those fields; in a kernel of which another
            trampoline keeps a struct pt_regs, what ftrace_caller hands over may be anything.
    """

    func: U64Array
    ip: U64Array
    body: U64Array
    link: int
    parent: int
    elsewhere: int
    return_hook: int
    regs: dict[str, int]
    local_arguments: bool
    hands_frame: bool = True

    @property
    def preserved(self) -> tuple[int, ...]:
        """Registers that a traced call must not change."""
        return SAVED + ARGUMENTS + (LOCAL_ARGUMENTS if self.local_arguments else ())


def judge(state: str, seen: Observation, expected: Expectation, terms: Terms) -> Iterator[Failure]:
    """Yield what a run broke."""
    target = _target(seen, expected, terms)
    ok = arrived(seen, target)
    for status in np.unique(seen.status[~ok]).tolist():
        here, why = ~ok & (seen.status == status), "" if status == Status.STOPPED else f"it ends there: {ended(status)}"
        yield from _failure(state, Promise.ARRIVES, expected.arrival, seen, here, target, seen.pc, why)
    for what, count, wanted in (
        ("callback", seen.calls, expected.calls),
        ("direct call", seen.direct, expected.direct),
    ):
        counts = count.astype(_U64)
        yield from _failure(state, Promise.CALLS, what, seen, ok & (count != wanted), _same(wanted, counts), counts)
    yield from _registers(state, seen, expected, terms, ok)
    called = seen.calls > 0
    if expected.calls and called.any():
        yield from _arguments(state, seen, expected, terms, called)
        if terms.hands_frame:
            yield from _frame(state, seen, terms, called & seen.has_frame)
        yield from _stack(state, seen, terms, called)
    if expected.direct:
        yield from _at_direct(state, seen, terms, seen.direct > 0)
    yield from _failure(
        state, Promise.INITIALISED, "stack", seen, seen.poison & ok, seen.poison_pc, seen.poison_pc,
        "memory is read that nothing has written",
    )  # fmt: skip


def _target(seen: Observation, expected: Expectation, terms: Terms) -> U64Array:
    if expected.arrival is Arrival.BODY:
        return terms.body[seen.lanes]
    address = terms.elsewhere if expected.arrival is Arrival.ELSEWHERE else terms.parent
    return np.full(len(seen.lanes), address, _U64)


def _failure(
    state: str,
    promise: Promise,
    what: str,
    seen: Observation,
    failed: BoolArray,
    expected: U64Array,
    got: U64Array,
    note: str = "",
) -> Iterator[Failure]:
    if failed.any():
        yield Failure(state, promise, str(what), seen.lanes[failed], expected[failed], got[failed], note)


def _same(value: int, like: U64Array) -> U64Array:
    return np.full(len(like), value, _U64)


def _registers(state: str, seen: Observation, expected: Expectation, terms: Terms, ok: BoolArray) -> Iterator[Failure]:
    """Compare the registers at arrival with those at the call."""
    quiet = not expected.calls and not expected.direct and not expected.through
    numbers = [n for n in range(1, 32) if n != terms.link] if quiet else terms.preserved
    for number in numbers:
        wanted, got = seen.first[number], seen.last[number]
        promise = Promise.REGISTERS
        if number == RA and expected.behaviour is Behaviour.GRAPH:
            wanted, promise = _same(terms.return_hook, got), Promise.OBEYS
        if number == A0 and expected.behaviour is Behaviour.OVERRIDE:
            wanted, promise = _same(OVERRIDE_VALUE, got), Promise.OBEYS
        yield from _failure(state, promise, REG_NAMES[number], seen, ok & (got != wanted), wanted, got)


def _arguments(
    state: str, seen: Observation, expected: Expectation, terms: Terms, called: BoolArray
) -> Iterator[Failure]:
    """Compare what the callback got: ip, parent_ip, op; that a3 is a frame."""
    wanted = {"ip": terms.ip[seen.lanes], "parent_ip": seen.first[RA]}
    if expected.ops is not None:
        wanted["op"] = expected.ops[seen.lanes]
    for number, (name, values) in enumerate(wanted.items()):
        got = seen.arguments[number]
        yield from _failure(state, Promise.ARGUMENTS, name, seen, called & (got != values), values, got)
    note = "fregs points to no frame on the stack"
    lost = called & ~seen.has_frame if terms.hands_frame else np.zeros_like(called)
    yield from _failure(state, Promise.ARGUMENTS, "fregs", seen, lost, seen.callback_sp, seen.arguments[3], note)


def _frame(state: str, seen: Observation, terms: Terms, called: BoolArray) -> Iterator[Failure]:
    """Compare the fields of the frame with the registers that they stand for."""
    if seen.frame is None:
        return
    fields = _FIELDS | (_LOCAL_FIELDS if terms.local_arguments else {})
    for name, number in fields.items():
        if name in terms.regs:
            got, wanted = field_of(seen, terms.regs[name]), seen.first[number]
            wrong = called & (got != wanted)
            unset = wrong & (got == _U64(UNSET))
            yield from _failure(state, Promise.FRAME_SET, name, seen, unset, wanted, got, "nothing was written there")
            yield from _failure(state, Promise.FRAME, name, seen, wrong & ~unset, wanted, got)
    if "epc" in terms.regs:
        got = field_of(seen, terms.regs["epc"])
        low, high = terms.func[seen.lanes], terms.body[seen.lanes]
        yield from _failure(state, Promise.FRAME, "epc", seen, called & ((got < low) | (got > high)), high, got)


def field_of(seen: Observation, offset: int) -> U64Array:
    """Return an 8-byte field of every frame: uint64[m]."""
    if seen.frame is None:
        return np.zeros(len(seen.lanes), _U64)
    column: U64Array = np.ascontiguousarray(seen.frame[:, offset : offset + 8]).view("<u8").reshape(-1)
    return column


def _stack(state: str, seen: Observation, terms: Terms, called: BoolArray) -> Iterator[Failure]:
    """Check that sp is aligned at the call, and that the frame lies between it and the caller's."""
    sp, size = seen.callback_sp, max(terms.regs.values(), default=0) + 8
    aligned = sp & _U64(~15 & 0xFFFF_FFFF_FFFF_FFFF)
    note = "sp is no multiple of 16 at the call"
    yield from _failure(state, Promise.STACK, "sp", seen, called & (sp != aligned), aligned, sp, note)
    frame = seen.arguments[A3 - A0]
    if terms.regs and terms.hands_frame:
        below = called & seen.has_frame & (frame < sp)
        yield from _failure(state, Promise.STACK, "frame", seen, below, sp, frame, "the frame starts below sp")
        end = frame + _U64(size)
        above = called & seen.has_frame & (end > seen.first[SP])
        note = "the frame reaches into the caller's"
        yield from _failure(state, Promise.STACK, "frame end", seen, above, seen.first[SP], end, note)


def _at_direct(state: str, seen: Observation, terms: Terms, called: BoolArray) -> Iterator[Failure]:
    """Check that a direct trampoline gets the function's registers, and the way back in the link register."""
    at = seen.direct_registers
    for number in terms.preserved:
        if number == terms.link:
            continue
        wrong = called & (at[number] != seen.first[number])
        yield from _failure(
            state, Promise.REGISTERS, f"{REG_NAMES[number]} at the direct trampoline", seen, wrong,
            seen.first[number], at[number],
        )  # fmt: skip
    back, body = at[terms.link], terms.body[seen.lanes]
    note = "the way back into the function"
    yield from _failure(
        state,
        Promise.ARGUMENTS,
        f"{REG_NAMES[terms.link]} at the direct trampoline",
        seen,
        called & (back != body),
        body,
        back,
        note,
    )


def ended(status: int) -> str:
    """Return in words why a lane stands still."""
    return _ENDS.get(Status(status), Status(status).name.lower())


_ENDS = {
    Status.BUDGET: "too many instructions",
    Status.STUCK: "it only repeats itself",
    Status.UNSUPPORTED: "an instruction that is not known here",
}
