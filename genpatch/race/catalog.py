# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios of the catalog: a scheme's stores, made by a patcher that is as careful as the environment says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..errors import GenpatchError
from ..isa.assemble import assemble
from ..isa.encoding import REG_NUMBERS
from ..machine.memory import PAGE, Memory
from ..schemes import CallScheme, get_scheme
from ..schemes.bench import TRANSITIONS, Bench, Step, StepKind, bench_of
from ..units import Span
from .environment import Environment, RemoteFence
from .model import Act, Event, Scenario, Site

__all__ = ["NoScenarioError", "scenario_of"]

_STACK = Span(0xFFFF_AF80_0000_0000, 0xFFFF_AF80_0000_1000)
_PARENT = 0xFFFF_FFFF_A000_0300
_NEIGHBOUR = 0xFFFF_FFFF_7000_0000
"""A page of text that belongs to nobody here: what a second patcher patches."""
_SLOT = "fixmap slot"
_RESIDUES = {8: 0, 4: 4, 2: 2}


class NoScenarioError(GenpatchError):
    """A scheme has no such transition."""


def scenario_of(scheme: CallScheme, transition: str, environment: Environment, *, frame: str = "args") -> Scenario:
    """Return the scenario of one transition of a scheme.

    Args:
        scheme: of the catalog.
        transition: ``enable`` (no tracer to A), ``change`` (A to B), ``disable`` (A to none), ``retire`` (disable,
            then A's memory is freed).
        environment: what the patcher does about other harts and tasks.
        frame: ``args`` or ``regs``.
    Raises:
        NoScenarioError: the scheme has no such transition.
    """
    bench = _bench(scheme.name, _RESIDUES[environment.alignment], frame, "off" if transition == "enable" else "A")
    if transition not in TRANSITIONS or not (steps := bench.steps(transition)):
        raise NoScenarioError(f"{scheme.name} has no {transition}")
    events = _events(steps, environment)
    patchers: tuple[tuple[Event, ...], ...] = (tuple(events),)
    if environment.patchers > 1:
        patchers = tuple(_sharing(each, environment) for each in (events, _neighbour()))
    ops = bench.ops
    traced = {"off": (), "A": (ops["A"],), "B": (ops["B"],)}
    old, new = {"enable": ("off", "A"), "change": ("A", "B")}.get(transition, ("A", "off"))
    return Scenario(
        name=f"{scheme.name} {transition}",
        memory=_memory(bench),
        site=_site(bench),
        patchers=patchers,
        old=traced[old],
        new=traced[new],
        quiet=frozenset({ops["nop"]} if "nop" in ops else ()),
        ops=frozenset(ops.values()),
        pointers=bench.pointers,
        lines=_lines(bench),
    )


def _lines(bench: Bench) -> dict[int, str]:
    """Return names of addresses: ops, and the bytes of what points to them, as distances from func if they are near."""
    lines = {address: f"ops {name}" for name, address in bench.ops.items()}
    for span in bench.pointers:
        for address in range(span.start, span.end):
            distance = address - bench.func
            place = f"func{distance:+d}" if abs(distance) < PAGE else f"slot+{address - span.start}"
            lines[address] = place.removesuffix("+0")
    return lines | {bench.body: "body", _NEIGHBOUR: "another function", bench.func & -PAGE: "func's page"}


@lru_cache(64)
def _bench(name: str, residue: int, frame: str, state: str) -> Bench:
    return bench_of(get_scheme(name), residue=residue, frame=frame, state=state)


def _memory(bench: Bench) -> Memory:
    memory = Memory()
    for start, data in bench.memory.items():
        memory.map(start, data, size=len(data), permissions="rwx", name=f"{start:#x}")
    memory.map(_STACK.start, size=_STACK.size, name="stack")
    memory.map(_NEIGHBOUR, assemble("nop", 0), size=4, permissions="rx", name="neighbour")
    return memory


def _site(bench: Bench) -> Site:
    scheme = bench.scheme
    values = [0x5EED_0000_0000_0000 + 0x1_0000_0001 * number for number in range(32)]
    values[0], values[1], values[2] = 0, _PARENT, _STACK.end - 0x200
    for number, value in bench.fixed.items():
        values[number] = value
    return Site(
        func=bench.func,
        body=bench.body,
        code={"func" if name == "sled" else name: span for name, span in bench.code.items()},
        callbacks=frozenset(bench.callbacks),
        directs={address: bench.ops[name] for address, name in bench.directs.items()},
        link=REG_NUMBERS[scheme.link],
        clobbers=frozenset(REG_NUMBERS[name] for name in scheme.clobbers),
        registers=tuple(values),
        stack=_STACK,
    )


def _events(steps: Iterable[Step], environment: Environment) -> list[Event]:
    """Return what a patcher does: stores in groups, each made known to the other harts in the environment's way."""
    events: list[Event] = []
    group: list[Step] = []
    for step in steps:
        match step.kind:
            case StepKind.STORE:
                group.append(step)
            case StepKind.PUBLISH:
                events += _published(group, environment)
                group = []
            case StepKind.WAIT_TASKS:
                events += [Event(act=Act.WAIT_TASKS)] if environment.tasks_wait else []
            case StepKind.FREE:
                events.append(Event(act=Act.FREE, at=step.at, size=step.size, what=step.what))
    return [*events, *map(_store, group)]


def _published(group: list[Step], environment: Environment) -> Iterator[Event]:
    if environment.stop_machine:
        yield Event(act=Act.STOP)
        yield from map(_store, group)
        yield Event(act=Act.FENCE_I)
        yield Event(act=Act.RESUME)
        return
    last = max((number for number, step in enumerate(group) if step.is_code), default=len(group))
    early = environment.remote_fence is RemoteFence.EARLY
    for number, step in enumerate(group):
        if early and number == last:
            yield from _told(RemoteFence.PRESENT)
        yield _store(step)
    yield from _told(RemoteFence.MISSING if early else environment.remote_fence)


def _told(remote: RemoteFence) -> Iterator[Event]:
    """The patcher's own fence.i, and what it tells the others."""
    yield Event(act=Act.FENCE_I)
    if remote is RemoteFence.PRESENT:
        yield Event(act=Act.FENCE)
    if remote is not RemoteFence.MISSING:
        yield Event(act=Act.REMOTE_FENCE_I)


def _store(step: Step) -> Event:
    return Event(act=Act.STORE, at=step.at, data=step.data, what=step.what)


def _neighbour() -> list[Event]:
    """What a second patcher does meanwhile: it writes one instruction of another function."""
    return [Event(act=Act.STORE, at=_NEIGHBOUR, data=assemble("ebreak", 0), what="another function")]


def _sharing(events: list[Event], environment: Environment) -> tuple[Event, ...]:
    """Let a patcher write through the fixmap slot that all patchers share, with the lock if there is one."""
    shared: list[Event] = []
    for event in events:
        if event.act is not Act.STORE:
            shared.append(event)
            continue
        page = event.at & -PAGE
        shared += [
            Event(act=Act.MAP, at=page, slot=_SLOT),
            Event(act=Act.STORE, at=event.at, data=event.data, slot=_SLOT, what=event.what),
            Event(act=Act.UNMAP, slot=_SLOT),
        ]
    if environment.lock:
        shared = [Event(act=Act.LOCK), *shared, Event(act=Act.UNLOCK)]
    return tuple(shared)
