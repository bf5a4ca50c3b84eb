# SPDX-License-Identifier: GPL-2.0-or-later
"""How a kernel frames the patching of many sites: locks, stop_machine, fences around ftrace_modify_all_code()."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from ..machine.hart import Event, Hart
from ..machine.outcome import Trap
from ..run.kernel import A0, RA, KernelBench, has_returned
from ..units import MASK64
from .stubs import Stub

__all__ = ["UPDATE", "framing_of"]

UPDATE = "arch_ftrace_update_code"
_INNER = "ftrace_modify_all_code"
_UPDATE_CALLS = 1  # the command FTRACE_UPDATE_CALLS
_ONLINE = ("__num_online_cpus",)
"""Counts that boot fills in and without which stop_machine's callback waits for nobody."""
_BUDGET = 20_000


def framing_of(bench: KernelBench, stubs: Mapping[int, Stub]) -> tuple[tuple[str, ...], str]:
    """Run arch_ftrace_update_code() with the patching itself left out.

    Args:
        bench: the kernel; its hooks are put back.
        stubs: functions that are not executed.
    Returns:
        (what happened in order, why that is not known); one of them is empty.
    """
    image, hart = bench.image, bench.hart
    inner = image.address_of(_INNER)
    if image.address_of(UPDATE) is None or inner is None:
        return (), f"no {UPDATE if inner is not None else _INNER}: how updates are framed was not seen"
    for name in _ONLINE:
        address = image.address_of(name)
        with suppress(Trap):  # a symbol that stands nowhere
            if address is not None and bench.memory.read(address, 4) == bytes(4):
                bench.memory.write(address, (1).to_bytes(4, "little"))
    events: list[str] = []
    kept, kept_log = dict(hart.hooks), hart.log
    hart.log = _Log(events)
    hart.hooks |= {address: _noting(stub, events) for address, stub in stubs.items()}
    hart.hooks[inner] = _returning("modify all code", events)
    outcome = bench.call(UPDATE, _UPDATE_CALLS, budget=_BUDGET)
    hart.hooks, hart.log = kept, kept_log
    if not has_returned(outcome):
        return (), f"{UPDATE} did not return: {outcome.reason}"
    return tuple(events), ""


class _Log(list[Event]):
    """Puts the kinds of fences that a hart logs among the other events."""

    def __init__(self, events: list[str]):
        super().__init__()
        self._events = events

    def append(self, event: Event) -> None:
        if event.kind in ("fence.i", "sfence"):
            self._events.append(event.kind)


def _returning(name: str, events: list[str]) -> Callable[[Hart], None]:
    def hook(hart: Hart) -> None:
        events.append(name)
        hart.pc = hart.x[RA]

    return hook


def _noting(stub: Stub, events: list[str]) -> Callable[[Hart], None]:
    def hook(hart: Hart) -> None:
        if stub.event:
            events.append(stub.event)
        if stub.calls < 0:
            hart.pc, hart.x[A0] = hart.x[RA], stub.value & MASK64
            return
        hart.hooks[hart.x[RA]] = _ending(stub.event, events)
        hart.pc, hart.x[A0] = hart.x[A0 + stub.calls], hart.x[A0 + stub.calls + 1]

    return hook


def _ending(name: str, events: list[str]) -> Callable[[Hart], None]:
    """Note once that a function which was called in another's place has come back."""
    done: list[bool] = []

    def hook(hart: Hart) -> None:
        if not done:
            events.append(f"end of {name}")
            done.append(True)

    return hook
