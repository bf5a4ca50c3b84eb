# SPDX-License-Identifier: GPL-2.0-or-later
"""A path to a failure in words: what the patcher does on the left, what the victim does on the right."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..isa.insn import decode
from ..units import as_hex
from .explore import Explorer, Result, Step
from .model import Act, Kind
from .rows import WitnessLine
from .victim import Local
from .worlds import HART_NAMES

__all__ = ["lines_of", "two_columns"]

_LEFT, _RIGHT = 34, 38


def lines_of(result: Result, kind: Kind) -> list[WitnessLine]:
    """Return the shortest path to a failure, and as its last line what it breaks.

    Args:
        result: of an exploration, which still knows its explorer.
        kind: one of its witnesses.
    """
    explorer, witness = result.explorer, result.witnesses[kind]
    lines = [line for step in witness.steps for line in _of_step(explorer, step)]
    return [*lines, WitnessLine("", f"{kind}: {witness.broken.text}")]


def two_columns(lines: list[WitnessLine]) -> list[str]:
    """Return a witness as text in two columns of 75 together, as a mail can quote it."""
    shown = [f"{'patcher':<{_LEFT}} | victim", f"{'-' * (_LEFT + 1)}+{'-' * (_RIGHT + 1)}"]
    for line in lines[:-1]:
        text = f"2: {line.text}" if line.who == "patcher 2" else line.text
        if _is_left(line):
            shown += [f"{part:<{_LEFT}} |" for part in _wrapped(text, _LEFT)]
        else:
            shown += [f"{'':<{_LEFT}} | {part}" for part in _wrapped(text, _RIGHT)]
    return [*shown, *_wrapped(f"=> {lines[-1].text}", _LEFT + _RIGHT + 3)]


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text behind words; what follows its first line is indented, and what has no spaces stays whole."""
    return textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or [""]


def _is_left(line: WitnessLine) -> bool:
    return line.who != "victim"


def _of_step(explorer: Explorer, step: Step) -> Iterator[WitnessLine]:
    action, before = step.action, step.before
    name = explorer.victim.name
    match action.what:
        case "event" | "store":
            event = explorer.worlds.ops[action.who][action.number].event
            who = "patcher" if action.who == 0 else "patcher 2"
            yield WitnessLine(who, _event_text(explorer, step))
            if event.act is Act.STOP and before.local >= 0:
                yield WitnessLine("victim", f"(preempted at {name(explorer.victim.locals[before.local].pc)})")
        case "visible":
            piece = explorer.worlds.pieces[action.number]
            yield WitnessLine("harts", f"(the store at {name(piece.at)} becomes visible)")
        case "fence.i":
            yield WitnessLine("harts", f"({HART_NAMES[action.number]} executes fence.i)")
        case "begin":
            late = ", the patcher has returned" if step.after is not None and step.after.after else ""
            yield WitnessLine(
                "victim", f"calls {name(explorer.scenario.site.func)} on {HART_NAMES[action.number]}{late}"
            )
        case "migrate":
            yield WitnessLine("victim", f"(preempted, goes on on {HART_NAMES[action.number]})")
        case "run":
            yield from _of_run(explorer, before.local, action.number)
        case "host":
            yield from _of_host(explorer, explorer.victim.locals[before.local])
        case _:
            yield from _of_fetch(explorer, step)


def _event_text(explorer: Explorer, step: Step) -> str:
    op = explorer.worlds.ops[step.action.who][step.action.number]
    if op.act is None:
        return "returns"
    if op.act is Act.MAP:
        return f"map {op.event.slot} to {explorer.victim.name(op.event.at)}"
    if op.act is not Act.STORE:
        return op.event.text
    piece = explorer.worlds.pieces[op.piece]
    value = f" = {int.from_bytes(piece.data, 'little'):#x}" if len(piece.data) <= 8 else ""
    what = f" ({op.event.what})" if op.event.what else ""
    late = ", not visible yet" if step.action.what == "store" else ""
    return f"store {len(piece.data)} at {explorer.victim.name(piece.at)}{value}{what}{late}"


def _of_run(explorer: Explorer, local: int, count: int) -> Iterator[WitnessLine]:
    """Say where instructions lead that nobody patches; callbacks on the way have a line of their own."""
    victim, run, first = explorer.victim, 0, local
    for _ in range(count):
        host = victim.host_move(local)
        if host is not None:
            yield from _ran(explorer, first, local, run)
            yield from _of_host(explorer, victim.locals[local])
            local = first = host.target
            run = 0
            continue
        word = victim.constant(victim.locals[local].pc)
        assert isinstance(word, int)
        local, run = victim.move(local, word).target, run + 1
    yield from _ran(explorer, first, local, run)


def _ran(explorer: Explorer, first: int, last: int, count: int) -> Iterator[WitnessLine]:
    victim = explorer.victim
    if count == 0:
        return
    start, end = victim.name(victim.locals[first].pc), victim.name(victim.locals[last].pc)
    if count == 1:
        pc = victim.locals[first].pc
        word = victim.constant(pc)
        yield WitnessLine("victim", f"{start}: {_text(word, pc) if isinstance(word, int) else ''}")
    else:
        yield WitnessLine("victim", f"{start}: {count} instructions, to {end}")


def _of_host(explorer: Explorer, local: Local) -> Iterator[WitnessLine]:
    victim, site = explorer.victim, explorer.scenario.site
    if local.pc == site.body:
        yield WitnessLine("victim", "enters the body")
    elif local.pc in site.callbacks:
        yield WitnessLine("victim", f"the callback is given {victim.name(local.x[site.ops_register])}")
    elif local.pc in site.directs:
        yield WitnessLine("victim", f"direct call: {victim.name(site.directs[local.pc])}")
    else:
        yield WitnessLine("victim", f"pc = {victim.name(local.pc)}")


def _of_fetch(explorer: Explorer, step: Step) -> Iterator[WitnessLine]:
    """Say what was fetched, and whether that was the newest there was."""
    victim, before, action = explorer.victim, step.before, step.action
    local = victim.locals[before.local]
    pc = local.pc
    words = action.words
    if not words:
        yield WitnessLine("victim", f"{victim.name(pc)}: cannot be fetched")
        return
    timeline, _ = explorer.worlds.view(before.world, before.hart)
    for word in words:
        size = 2 if word & 3 != 3 else 4
        note = ""
        if victim.is_patched(pc, size):
            note = _age(explorer.worlds.timelines.bytes_at(timeline, pc, size), word.to_bytes(size, "little"))
        seen = f"  -> {_value(explorer, action.value)}" if action.value >= 0 and word == words[-1] else ""
        load = victim.move(before.local, word).load if seen else None
        if load is not None:
            moments = explorer.worlds.timelines.bytes_at(timeline, load.address, load.width)
            note = _age(moments, action.value.to_bytes(load.width, "little")) or note
        yield WitnessLine("victim", f"{victim.name(pc)}: {_text(word, pc)}{seen}{note}")
        pc += size


def _age(moments: tuple[bytes, ...], seen: bytes) -> str:
    """Return how what was seen relates to what was there at each moment, empty if it is the newest."""
    if seen == moments[-1]:
        return ""
    return "  [stale]" if seen in moments else "  [part old, part new]"


def _value(explorer: Explorer, value: int) -> str:
    named = explorer.victim.name(value)
    return named if named == as_hex(value) else f"{named} ({as_hex(value)})"


def _text(word: int, pc: int) -> str:
    insn = decode(word)
    return insn.text(pc) if insn is not None else f"{word:#x}, no instruction"
