# SPDX-License-Identifier: GPL-2.0-or-later
"""Every site executed once: its function is called with known registers and runs until it is in its body.

What the traced kernel would call is a host function here: the callback of a tracer, a direct trampoline. It
notes what it is given, makes junk of every register that a C function may change, and of the stack below its
own, and returns as it is told to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from ..machine.lanes import Lanes
from ..machine.outcome import Status
from ..run.kernel import A0, GP, RA, SP, TP
from ..units import BoolArray, I64Array, U8Array, U64Array
from .patcher import Patcher

__all__ = ["CALLER_SAVED", "Behaviour", "Observation", "Trial", "first_values"]

T0, A3, S0 = 5, 13, 8
CALLER_SAVED = (5, 6, 7, *range(10, 18), 28, 29, 30, 31)
"""t0-t6 and a0-a7: what a C function may change (RISC-V psABI, integer register convention)."""
OVERRIDE_VALUE = 0x0E0E_1234_5678_9ABC
"""What an overriding callback makes the function return."""
JUNK = 0xDEAD_0000_0000_0000
"""What a callback leaves in registers, plus their number."""
ROOM = 2048
"""Bytes of stack above the sp that functions are called with."""
_BUDGET = 2_000
_U64 = np.uint64
_BELOW = 8  # words below its own sp that a callback overwrites


class Behaviour(StrEnum):
    """What the callback does with the frame that it gets."""

    PLAIN = "plain"
    REDIRECT = "redirect"
    """It sends the function elsewhere by setting the instruction pointer, as live patching does."""
    OVERRIDE = "override"
    """It returns from the function at once with a value, as error injection does."""
    GRAPH = "graph"
    """It replaces the return address, as the function graph tracer does."""
    DIRECT = "direct"
    """It asks the trampoline for a direct call behind it."""


def first_values(n: int) -> U64Array:
    """Return what the registers hold when a function is called: uint64[32, n], no two alike; x0, sp, gp, tp are 0."""
    numbers = np.arange(32, dtype=_U64)[:, None]
    values: U64Array = (_U64(0x5EED) << _U64(48)) | (numbers << _U64(40)) | np.arange(n, dtype=_U64)[None, :] << _U64(4)
    values[[0, SP, GP, TP]] = 0
    return values


@dataclass
class Observation:
    """What happened to m lanes.

    Args:
        lanes: int64[m].
        first, last: uint64[32, m], registers when the function was called and where it came to a stop.
        pc: uint64[m], where that was.
        status: int8[m], why.
        calls: int64[m], how often the callback was called.
        direct: int64[m], how often the direct trampoline was.
        arguments: uint64[4, m], a0 to a3 of the last callback.
        callback_sp: uint64[m], its sp.
        frame: uint8[m, size], the frame that it got; None where the layout is not known.
        has_frame: bool[m], whether a3 pointed into the stack.
        direct_registers: uint64[32, m], at the direct trampoline.
        poison: bool[m], memory was read that had not been written.
        poison_pc: uint64[m], by which instruction first.
        insns: int64[m], instructions executed.
    """

    lanes: I64Array
    first: U64Array
    last: U64Array
    pc: U64Array
    status: U8Array
    calls: I64Array
    direct: I64Array
    arguments: U64Array
    callback_sp: U64Array
    frame: U8Array | None
    has_frame: BoolArray
    direct_registers: U64Array
    poison: BoolArray
    poison_pc: U64Array
    insns: I64Array


@dataclass
class Trial:
    """Executes sites.

    Args:
        patcher: the lanes, with their sites in some state.
        func: uint64[n], where the functions start.
        body: uint64[n], the first instruction behind each sled.
        callbacks: addresses at which the host's callback stands, its own and those of functions that walk
            the list of all tracers.
        return_hook: address of return_to_handler, 0 without one.
        link: the register that a call from a site leaves its return address in.
    """

    patcher: Patcher
    func: U64Array
    body: U64Array
    callbacks: frozenset[int]
    return_hook: int = 0
    link: int = T0
    _now: _Recorder | None = field(default=None, repr=False)

    def run(self, lanes: I64Array | None = None, behaviour: Behaviour = Behaviour.PLAIN) -> Observation:
        """Call the functions of some sites, all by default, and let each run into its body."""
        patcher, scene, engine = self.patcher, self.patcher.scene, self.patcher.lanes
        group = patcher.all if lanes is None else lanes
        memory = patcher.memory
        memory.clear(scene.stack.start)
        first = first_values(len(patcher.all))
        first[SP], first[RA] = scene.stack.end - ROOM, scene.parent
        first[GP], first[TP] = patcher.gp, scene.task.start
        engine.x[:, group] = first[:, group]
        recorder = self._now = _Recorder(self, behaviour)
        engine.hooks = {scene.direct: recorder.direct_call}
        engine.hooks |= dict.fromkeys(self.callbacks, recorder.callback)
        engine.breakpoints = {scene.parent, scene.elsewhere} | set(self.body[group].tolist())
        retired = engine.retired[group].copy()
        engine.start(self.func[group], group)
        engine.run(_BUDGET)
        return Observation(
            lanes=group,
            first=first[:, group],
            last=engine.x[:, group].copy(),
            pc=engine.pc[group].copy(),
            status=engine.status[group].astype(np.uint8),
            calls=recorder.calls[group],
            direct=recorder.direct[group],
            arguments=recorder.arguments[:, group],
            callback_sp=recorder.sp[group],
            frame=recorder.frame[group] if recorder.frame is not None else None,
            has_frame=recorder.has_frame[group],
            direct_registers=recorder.direct_registers[:, group],
            poison=memory.poison_reads[group].copy(),
            poison_pc=memory.poison_pcs[group].copy(),
            insns=engine.retired[group] - retired,
        )


class _Recorder:
    """The host functions of one run, and what they saw."""

    def __init__(self, trial: Trial, behaviour: Behaviour):
        self.trial, self.behaviour = trial, behaviour
        n = len(trial.patcher.all)
        regs = trial.patcher.layouts.regs
        self.size = (max(regs.values()) + 8) if regs else 0
        self.calls, self.direct = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.arguments, self.sp = np.zeros((4, n), _U64), np.zeros(n, _U64)
        self.direct_registers = np.zeros((32, n), _U64)
        self.frame = np.zeros((n, self.size), np.uint8) if self.size else None
        self.has_frame = np.zeros(n, np.bool_)

    def callback(self, lanes: Lanes, group: I64Array) -> None:
        """Stand in for an ftrace_func_t(ip, parent_ip, op, fregs)."""
        x, stack = lanes.x, self.trial.patcher.scene.stack
        self.calls[group] += 1
        self.arguments[:, group] = x[A0 : A0 + 4, group]
        self.sp[group] = x[SP, group]
        frame = x[A3, group]
        inside = (frame >= _U64(stack.start)) & (frame <= _U64(stack.end - max(self.size, 8)))
        self.has_frame[group] = inside
        whose = group[inside]
        if self.frame is not None and len(whose):
            self.frame[whose] = lanes.memory.read(whose, frame[inside], self.size)
            self._act(lanes, whose, frame[inside])
        self._spoil(lanes, group)
        lanes.pc[group] = x[RA, group] & _U64(0xFFFF_FFFF_FFFF_FFFE)

    def _act(self, lanes: Lanes, whose: I64Array, frame: U64Array) -> None:
        regs, scene, memory = self.trial.patcher.layouts.regs, self.trial.patcher.scene, lanes.memory
        if self.behaviour is Behaviour.REDIRECT:
            memory.write_u64(whose, frame + _U64(regs["epc"]), scene.elsewhere)
        elif self.behaviour is Behaviour.OVERRIDE:
            memory.write_u64(whose, frame + _U64(regs["a0"]), OVERRIDE_VALUE)
            memory.write_u64(whose, frame + _U64(regs["epc"]), memory.read_u64(whose, frame + _U64(regs["ra"])))
        elif self.behaviour is Behaviour.DIRECT:
            memory.write_u64(whose, frame + _U64(regs["t1"]), scene.direct)
        elif self.behaviour is Behaviour.GRAPH:
            memory.write_u64(whose, frame + _U64(regs["ra"]), self.trial.return_hook)

    def _spoil(self, lanes: Lanes, group: I64Array) -> None:
        """Change what a C function may change: caller-saved registers, and the stack below its frame."""
        stack = self.trial.patcher.scene.stack
        for number in CALLER_SAVED:
            lanes.x[number, group] = _U64(JUNK + number)
        sp = lanes.x[SP, group]
        sound = (sp > _U64(stack.start + 8 * _BELOW)) & (sp <= _U64(stack.end))
        for word in range(1, _BELOW + 1):
            lanes.memory.write_u64(group[sound], sp[sound] - _U64(8 * word), JUNK + word)

    def direct_call(self, lanes: Lanes, group: I64Array) -> None:
        """Stand in for a direct trampoline: goes on in the function, through the call's link register."""
        self.direct[group] += 1
        self.direct_registers[:, group] = lanes.x[:, group]
        lanes.pc[group] = lanes.x[self.trial.link, group] & _U64(0xFFFF_FFFF_FFFF_FFFE)


def arrived(observation: Observation, where: U64Array | int) -> BoolArray:
    """Tell which lanes came to a stop at an address, uint64[m] or one: bool[m]."""
    target = where if isinstance(where, np.ndarray) else _U64(where)
    stopped: BoolArray = (observation.status == Status.STOPPED) & (observation.pc == target)
    return stopped
