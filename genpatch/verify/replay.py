# SPDX-License-Identifier: GPL-2.0-or-later
"""One site run once more on a scalar hart, so that a person can read how it went."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..isa.encoding import REG_NAMES
from ..machine.hart import Hart, Retired
from ..machine.memory import Memory
from ..machine.outcome import Outcome
from ..run.kernel import A0, RA, SP
from ..run.listing import line_of, reason_of
from ..units import MASK64
from .trial import A3, CALLER_SAVED, JUNK, OVERRIDE_VALUE, ROOM, Behaviour, Trial, first_values

__all__ = ["replay"]

_BUDGET = 400
_MOST_LINES = 400


def replay(trial: Trial, lane: int, behaviour: Behaviour, name_at: Callable[[int], str]) -> list[str]:
    """Return the listing of one lane's run in the state that its site is in now.

    Args:
        trial: the lanes.
        lane: which.
        behaviour: what the callback does.
        name_at: returns ``symbol+0x12`` for an address.
    """
    hart = _hart(trial, lane)
    lines: list[str] = []
    for address in trial.callbacks:
        hart.hooks[address] = _callback(trial, behaviour, lines)
    hart.hooks[trial.patcher.scene.direct] = _direct(trial.link, lines)
    scene = trial.patcher.scene
    hart.breakpoints |= {scene.parent, scene.elsewhere, int(trial.body[lane])}
    host = {scene.parent: "<the caller>", scene.elsewhere: "<where the callback sent it>"}

    def named(address: int) -> str:
        return host.get(address) or (name_at(address) if address not in scene.host else f"<host {address:#x}>")

    for each in hart.trace(_BUDGET):
        if isinstance(each, Retired):
            lines.append(line_of(each, named))
        elif isinstance(each, Outcome):
            is_end = each.text == "breakpoint"
            lines.append(f"arrives at {each.pc:#x} ({named(each.pc)})" if is_end else reason_of(each, named))
    return lines[:_MOST_LINES]


def _hart(trial: Trial, lane: int) -> Hart:
    """Return a hart that stands where the lane would, with its memory as it is now."""
    patcher, scene = trial.patcher, trial.patcher.scene
    memory = Memory()
    for place in (*scene.places, *patcher.guests.places):
        content = np.ascontiguousarray(place.content).data
        memory.map(place.span.start, content, size=place.span.size, permissions=place.permissions, name=place.name)
    for span, name in ((scene.stack, "stack"), (scene.task, "task"), (scene.scratch, "records")):
        memory.map(span.start, size=span.size, name=name)
    whose = np.array([lane], np.int64)
    func, body = int(trial.func[lane]), int(trial.body[lane])
    text = memory.mapping_at(func)
    low, high = (max(func - 16, text.span.start), min(body, text.span.end)) if text is not None else (func, func)
    for start, size in ((low, high - low), (patcher.record, 64), (patcher.ops, 512)):
        memory.write(start, patcher.memory.read(whose, start, size)[0].tobytes())
    hart = Hart(memory)
    hart.x[:32] = first_values(lane + 1)[:, lane].tolist()
    hart.x[RA], hart.x[SP] = scene.parent, scene.stack.end - ROOM
    hart.x[3], hart.x[4] = patcher.gp, scene.task.start
    hart.pc = func
    return hart


def _callback(trial: Trial, behaviour: Behaviour, lines: list[str]) -> Callable[[Hart], None]:
    regs, scene = trial.patcher.layouts.regs, trial.patcher.scene

    def hook(hart: Hart) -> None:
        ip, parent, ops, frame = hart.x[A0 : A0 + 4]
        lines.append(f"-- callback(ip={ip:#x}, parent_ip={parent:#x}, op={ops:#x}, fregs={frame:#x})")
        room = max(regs.values(), default=0) + 8
        if regs and scene.stack.start <= frame <= scene.stack.end - room:
            _act(hart, behaviour, regs, trial, lines)
        for number in CALLER_SAVED:
            hart.x[number] = JUNK + number
        hart.pc = hart.x[RA] & ~1 & MASK64

    return hook


def _act(hart: Hart, behaviour: Behaviour, regs: dict[str, int], trial: Trial, lines: list[str]) -> None:
    frame, scene = hart.x[A3], trial.patcher.scene
    writes = {
        Behaviour.PLAIN: {},
        Behaviour.REDIRECT: {"epc": scene.elsewhere},
        Behaviour.OVERRIDE: {"a0": OVERRIDE_VALUE, "epc": scene.parent},
        Behaviour.GRAPH: {"ra": trial.return_hook},
        Behaviour.DIRECT: {"t1": scene.direct},
    }[behaviour]
    for name, value in writes.items():
        lines.append(f"-- it writes {value:#x} to fregs->{name}")
        hart.memory.write(frame + regs[name] & MASK64, value.to_bytes(8, "little"))


def _direct(link: int, lines: list[str]) -> Callable[[Hart], None]:
    def hook(hart: Hart) -> None:
        lines.append(f"-- direct trampoline, goes back through {REG_NAMES[link]}={hart.x[link]:#x}")
        hart.pc = hart.x[link] & ~1 & MASK64

    return hook
