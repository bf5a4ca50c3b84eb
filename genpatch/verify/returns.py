# SPDX-License-Identifier: GPL-2.0-or-later
"""The way back: the trampolines that a replaced return address leads to, run as a function would return to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..image.model import KernelImage
from ..isa.encoding import REG_NAMES
from ..machine.lanes import Lanes
from ..machine.outcome import Status
from ..run.kernel import A0, GP, RA, SP, TP
from ..units import I64Array, U64Array
from .contract import UNSET, Failure, Promise
from .trial import CALLER_SAVED, JUNK, ROOM, S0, Trial, first_values

__all__ = ["RETURNS", "ReturnHook", "go_back"]

_U64 = np.uint64
_BUDGET = 1_000
_STRUCTS = {"ftrace_regs": "__arch_ftrace_regs", "fgraph_ret_regs": "fgraph_ret_regs", "pt_regs": "pt_regs"}
_KEPT = (SP, GP, TP, 8, 9, *range(18, 28), A0, A0 + 1)
"""What a function's caller relies on when it gets control back: sp, gp, tp, s0-s11, and the value in a0 and a1."""


@dataclass(frozen=True, slots=True)
class ReturnHook:
    """One such trampoline.

    Args:
        state: name in reports.
        what: one sentence.
        entry: symbol of the trampoline.
        handler: the C function that it calls, which returns where to go on.
    """

    state: str
    what: str
    entry: str
    handler: str


RETURNS = (
    ReturnHook("returned", "back through return_to_handler", "return_to_handler", "ftrace_return_to_handler"),
    ReturnHook(
        "rethook", "back through rethook's trampoline", "arch_rethook_trampoline", "arch_rethook_trampoline_callback"
    ),
)


@dataclass
class _Handler:
    """Stands in for the C function: notes its argument, spoils what C may change, says where to go on."""

    parent: int
    frame: U64Array
    calls: I64Array

    def __call__(self, lanes: Lanes, group: I64Array) -> None:
        self.calls[group] += 1
        self.frame[group] = lanes.x[A0, group]
        for number in CALLER_SAVED:
            lanes.x[number, group] = _U64(JUNK + number)
        lanes.x[A0, group] = _U64(self.parent)
        lanes.pc[group] = lanes.x[RA, group] & _U64(0xFFFF_FFFF_FFFF_FFFE)


def frame_fields(image: KernelImage, hook: ReturnHook) -> dict[str, int]:
    """Return the offsets of the structure that a handler gets a pointer to, empty where that is not known."""
    function = image.types.func_proto(hook.handler) if image.types is not None else None
    if image.types is None or function is None or not function.parameters:
        return {}
    text = function.parameters[0].type_name
    for name, struct in (
        ("ftrace_regs", "__arch_ftrace_regs"),
        ("fgraph_ret_regs", "fgraph_ret_regs"),
        ("pt_regs", "pt_regs"),
    ):
        if name in text:
            layout = next((each for each in image.types.structs(struct) if each.members), None)
            return {member.name: member.offset for member in layout.members} if layout else {}
    return {}


def go_back(trial: Trial, hook: ReturnHook, fields: dict[str, int]) -> Iterator[Failure]:
    """Let every lane return to a trampoline, and yield what that broke."""
    patcher, scene, engine = trial.patcher, trial.patcher.scene, trial.patcher.lanes
    entry, handler = scene.image.address_of(hook.entry), scene.image.address_of(hook.handler)
    assert entry is not None
    assert handler is not None
    n = len(patcher.all)
    patcher.memory.clear(scene.stack.start)
    first = first_values(n)
    first[SP], first[GP], first[TP], first[RA] = scene.stack.end - ROOM, patcher.gp, scene.task.start, entry
    engine.x[:] = first
    stand_in = _Handler(scene.parent, np.zeros(n, _U64), np.zeros(n, np.int64))
    engine.hooks, engine.breakpoints = {handler: stand_in}, {scene.parent}
    engine.start(entry)
    engine.run(_BUDGET)
    lanes, pc = patcher.all, engine.pc.copy()
    arrived = (engine.status == Status.STOPPED) & (pc == _U64(scene.parent))
    target = np.full(n, scene.parent, _U64)
    if not arrived.all():
        lost = ~arrived
        yield Failure(hook.state, Promise.ARRIVES, "parent", lanes[lost], target[lost], pc[lost])
    calls = stand_in.calls.astype(_U64)
    counted = arrived & (calls != 1)
    if counted.any():
        once = np.full(n, 1, _U64)
        yield Failure(hook.state, Promise.CALLS, "return handler", lanes[counted], once[counted], calls[counted])
    for number in _KEPT:
        wrong = arrived & (engine.x[number] != first[number])
        if wrong.any():
            yield Failure(
                hook.state, Promise.RETURNS, REG_NAMES[number], lanes[wrong], first[number][wrong],
                engine.x[number][wrong].copy(),
            )  # fmt: skip
    yield from _judge_frame(trial, hook, fields, stand_in, first)


def _judge_frame(
    trial: Trial, hook: ReturnHook, fields: dict[str, int], stand_in: _Handler, first: U64Array
) -> Iterator[Failure]:
    """Check the frame that the handler got: within the stack, large enough, with the function's result in it."""
    stack, lanes, frame = trial.patcher.scene.stack, trial.patcher.all, stand_in.frame
    size = max(fields.values(), default=0) + 8
    inside = (frame >= _U64(stack.start)) & (frame < _U64(stack.end - size)) & (stand_in.calls > 0)
    if not fields or not inside.any():
        return
    end = frame + _U64(size)
    above = inside & (end > first[SP])
    if above.any():
        note = "the frame reaches into the stack of the function's caller"
        yield Failure(hook.state, Promise.STACK, "frame end", lanes[above], first[SP][above], end[above], note)
    whose = lanes[inside]
    for name, number in (("a0", A0), ("a1", A0 + 1), ("s0", S0)):
        if name in fields:
            got = trial.patcher.memory.read_u64(whose, frame[inside] + _U64(fields[name]))
            wrong = got != first[number][inside]
            if wrong.any():
                promise = Promise.FRAME_SET if int(got[wrong][0]) == UNSET else Promise.FRAME
                yield Failure(hook.state, promise, name, whose[wrong], first[number][inside][wrong], got[wrong])
