# SPDX-License-Identifier: GPL-2.0-or-later
"""A scheme made concrete: one function, its trampolines and two tracers A and B, at addresses as a kernel has them.

What a state's bytes are is said once, in `_pieces`; the stores of a transition take theirs from the state that it
leads to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from types import MappingProxyType

from ..isa.assemble import assemble
from ..isa.encoding import REG_NUMBERS, split_pcrel
from ..units import Span
from .model import CallScheme, OpsIn, Place, Store
from .trampoline import FRAMES, OpsLayout, dispatcher_source, trampoline_source

__all__ = ["STATES", "TRANSITIONS", "Bench", "Step", "StepKind", "bench_of"]

STATES = ("off", "A", "B")
"""Not traced, traced by A, traced by B."""

TRANSITIONS = ("enable", "change", "disable", "retire")
"""From off to A, from A to B, from A to off, and that with everything of A's freed."""

_LEADS_TO = {"enable": "A", "change": "B", "disable": "off", "retire": "off"}

_FUNC = 0xFFFF_FFFF_8020_1040
_BODY = "addi a0, a0, 1\nadd a0, a0, a1\njalr zero, 0(ra)"
_GP = 0xFFFF_FFFF_8121_8800
_TRAMPOLINES = {"A": 0xFFFF_FFFF_8021_0180, "B": 0xFFFF_FFFF_8031_8A80}
_NEAR_GP = {"A": _GP - 0x700, "B": _GP + 0x300}
_COMMON = 0xFFFF_FFFF_8021_0180
_SLOT = 0xFFFF_FFFF_8140_3008
# any two of these differ in their upper and in their lower half, so that a mixture of them is none of them
_OPS = {"A": 0xFFFF_AF80_0140_2080, "B": 0xFFFF_AF81_0250_3140, "nop": 0xFFFF_FFFF_8121_8860}
_CALLBACKS = {"A": 0xFFFF_FFFF_8060_0000, "B": 0xFFFF_FFFF_8061_1100, "nop": 0xFFFF_FFFF_8062_2200}
_DIRECTS = {"A": 0xFFFF_FFFF_8070_0000, "B": 0xFFFF_FFFF_8071_1100}
_LAYOUT = OpsLayout()


class StepKind(StrEnum):
    """What a patcher does in one step."""

    STORE = "store"
    PUBLISH = "publish"
    """Every hart shall load and fetch what was stored before."""
    WAIT_TASKS = "wait for tasks"
    """Every task has been outside of sleds and trampolines."""
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a transition.

    Args:
        kind: what is done.
        at: first address of a STORE or FREE.
        data: bytes of a STORE, however its address is aligned.
        size: of what is freed [bytes].
        what: in words: ``jalr``.
        is_code: what is stored is executed.
    """

    kind: StepKind
    at: int = 0
    data: bytes = b""
    size: int = 0
    what: str = ""
    is_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A scheme at addresses.

    Args:
        scheme: which.
        frame: what its trampoline makes: ``args`` or ``regs``.
        state: what `memory` holds, one of STATES.
        func: where a call begins.
        body: the first instruction behind the sled.
        code: name to span of what a call may execute before it is in the body.
        memory: address to bytes, disjoint; ops, slot and the body included.
        ops: name to address of each ops: ``A``, ``B``, and ``nop`` where a pointer has to point somewhere.
        callbacks: what ops->func is, to the name of the ops; nothing is in memory there.
        directs: what ops->direct_call is, likewise; empty where no trampoline looks at it.
        fixed: number to value of registers that the scheme relies on.
        pointers: 8-byte spans that hold an ops pointer and are stored to.
        mutable: everything that some transition stores to.
        layout: of struct ftrace_ops.
    """

    scheme: CallScheme
    frame: str
    state: str
    func: int
    body: int
    code: Mapping[str, Span]
    memory: Mapping[int, bytes]
    ops: Mapping[str, int]
    callbacks: Mapping[int, str]
    directs: Mapping[int, str]
    fixed: Mapping[int, int]
    pointers: tuple[Span, ...]
    layout: OpsLayout

    def steps(self, transition: str) -> tuple[Step, ...]:
        """Return what a patcher does in a transition, one of TRANSITIONS, from the state that it starts in."""
        steps = self._stores(transition)
        if transition != "retire":
            return tuple(steps)
        freed = [Step(kind=StepKind.FREE, at=self.ops["A"], size=self.layout.size, what="the ops of A")]
        if self.scheme.owner == "bpf" or _allocates(self.scheme):
            span = self.code["trampoline A"]
            freed.append(Step(kind=StepKind.FREE, at=span.start, size=span.size, what="the trampoline of A"))
        return (*steps, Step(kind=StepKind.WAIT_TASKS), *freed)

    @cached_property
    def mutable(self) -> tuple[Span, ...]:
        """Everything that some transition stores to, in order and without overlap."""
        stores = [step for each in TRANSITIONS for step in self._stores(each) if step.kind is StepKind.STORE]
        return _merged(Span(step.at, step.at + len(step.data)) for step in stores)

    def _stores(self, transition: str) -> list[Step]:
        target = _LEADS_TO[transition]
        after = bench_of(self.scheme, residue=self.func % 8, frame=self.frame, state=target)
        steps = []
        for store in getattr(self.scheme, "disable" if transition == "retire" else transition):
            span = self._span_of(store, target)
            steps.append(
                Step(
                    kind=StepKind.STORE,
                    at=span.start,
                    data=_read(after.memory, span),
                    what=store.what,
                    is_code=not store.is_data,
                )
            )
            if store.is_published:
                steps.append(Step(kind=StepKind.PUBLISH))
        return steps if steps[-1].kind is StepKind.PUBLISH else [*steps, Step(kind=StepKind.PUBLISH)]

    def _span_of(self, store: Store, target: str) -> Span:
        if store.place is Place.TRAMPOLINE:
            return self.code[f"trampoline {target}"]
        start = (_SLOT if store.place is Place.SLOT else self.func) + store.at
        return Span(start, start + store.width)


def bench_of(scheme: CallScheme, *, residue: int = 0, frame: str = "args", state: str = "off") -> Bench:
    """Make a scheme concrete.

    Args:
        scheme: which.
        residue: func % 8; whether that suits the scheme is for others to find out.
        frame: what the trampoline makes, one of FRAMES.
        state: what memory holds, one of STATES.
    """
    assert residue in range(0, 8, 2), residue
    assert frame in FRAMES, frame
    assert state in STATES, state
    func = _FUNC + residue
    names = ("A", "B") if scheme.ops_in is OpsIn.OWN else ("A", "B", "nop")
    trampolines = _trampolines(scheme, frame)
    code = {name: Span(at, at + len(data)) for name, (at, data) in trampolines.items()}
    code["sled"] = Span(func, func + 4 * _instructions(scheme))
    if scheme.dispatcher is not None:
        code["dispatcher"] = Span(func + scheme.dispatcher, func)
    pointers: tuple[Span, ...] = ()
    if scheme.ops_in is OpsIn.SLOT:
        pointers = (Span(_SLOT, _SLOT + 8),)
    elif scheme.literal is not None:
        pointers = (Span(func + scheme.literal, func + scheme.literal + 8),)
    return Bench(
        scheme=scheme,
        frame=frame,
        state=state,
        func=func,
        body=func + scheme.after,
        code=code,
        memory=dict(_pieces(scheme, func, state, trampolines, names)),
        ops={name: _OPS[name] for name in names},
        callbacks={_CALLBACKS[name]: name for name in names},
        directs={at: name for name, at in _DIRECTS.items()} if scheme.direct_call else {},
        fixed={REG_NUMBERS[scheme.base]: _GP} if scheme.base else {},
        pointers=pointers,
        layout=_LAYOUT,
    )


def _allocates(scheme: CallScheme) -> bool:
    return any(store.place is Place.TRAMPOLINE for store in scheme.enable)


def _instructions(scheme: CallScheme) -> int:
    """Return how many words of a sled are instructions."""
    return sum(not line.startswith(".") for line in scheme.enabled)


@cache
def _trampolines(scheme: CallScheme, frame: str) -> MappingProxyType[str, tuple[int, bytes]]:
    """Return what a scheme's calls go to: name to address and bytes."""
    if scheme.ops_in is OpsIn.OWN:
        places = _NEAR_GP if scheme.base else _TRAMPOLINES
        found = {f"trampoline {name}": (at, _OPS[name]) for name, at in places.items()}
    else:
        found = {"ftrace_caller": (_COMMON, 0)}
    made = {}
    for name, (at, ops) in found.items():
        source = trampoline_source(scheme, frame=frame, ops=ops, layout=_LAYOUT)
        made[name] = (at, assemble(source, at, symbols={"slot": _SLOT}))
    return MappingProxyType(made)


def _pieces(
    scheme: CallScheme, func: int, state: str, trampolines: Mapping[str, tuple[int, bytes]], names: tuple[str, ...]
) -> Iterator[tuple[int, bytes]]:
    """Yield what memory holds in a state."""
    pointer = _quad(_OPS["nop" if state == "off" else state])
    targets = [at for name, (at, _) in trampolines.items() if name in (f"trampoline {state}", "ftrace_caller")]
    target = targets[0] if targets else trampolines["trampoline A"][0]
    yield func - scheme.before, _below(scheme, func, pointer, target) + _sled(scheme, func, state, target)
    for name, (at, data) in trampolines.items():
        is_there = not _allocates(scheme) or name == f"trampoline {state}"
        yield at, data if is_there else bytes(len(data))
    if scheme.ops_in is OpsIn.SLOT:
        yield _SLOT, pointer
    for name in names:
        members = {_LAYOUT.func: _CALLBACKS[name]}
        if scheme.direct_call:
            members[_LAYOUT.direct_call] = _DIRECTS.get(name, 0)
        yield _OPS[name], b"".join(_quad(members.get(at, 0)) for at in range(0, _LAYOUT.size, 8))


def _below(scheme: CallScheme, func: int, pointer: bytes, target: int) -> bytes:
    """Return what stands below func: ops pointer, dispatcher, other words."""
    pieces = {at: assemble(text, func + at) for at, text in scheme.below}
    if scheme.literal is not None:
        pieces[scheme.literal] = pointer
    if scheme.dispatcher is not None:
        at = func + scheme.dispatcher
        pieces[scheme.dispatcher] = assemble(dispatcher_source(scheme), at, symbols={"body": target})
    content = b"".join(pieces[at] for at in sorted(pieces))
    assert len(content) == scheme.before, scheme.name
    return content


def _sled(scheme: CallScheme, func: int, state: str, target: int) -> bytes:
    """Return what stands from func on: the sled and the body."""
    lines = scheme.disabled if state == "off" else scheme.enabled
    if scheme.dispatcher is not None:
        target = func + scheme.dispatcher
    if scheme.base:
        hi20, lo12 = 0, target - _GP
    else:
        pc = func + 4 * next((at for at, line in enumerate(scheme.enabled) if "{hi20}" in line), 0)
        hi20, lo12 = split_pcrel(target - pc)
    text = "\n".join((*lines, _BODY)).format(hi20=hi20, lo12=lo12, target=f"{target:#x}")
    return assemble(text, func)


def _quad(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _read(memory: Mapping[int, bytes], span: Span) -> bytes:
    """Return the bytes of a span that lies in one piece."""
    at, data = next((at, data) for at, data in memory.items() if at <= span.start and span.end <= at + len(data))
    return data[span.start - at : span.end - at]


def _merged(spans: Iterator[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)
