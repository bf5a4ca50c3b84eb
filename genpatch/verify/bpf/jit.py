# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own arch_prepare_bpf_trampoline(), executed for many cases at once, a lane each.

What the JIT reads lies where the host put it; memory comes from the host; the text copy is the host's, as a
JITed image lies in no page of the kernel's text. Every instruction of the JIT is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import ImageError
from ...image.model import KernelImage
from ...machine.lane_memory import LaneMemory
from ...machine.lanes import Hook, Lanes
from ...machine.memory import PAGE
from ...machine.outcome import Cause, Status, Trap
from ...run.kernel import A0, GP, RA, RETURN, SP, TP
from ...units import BoolArray, I64Array, Span, U8Array, U64Array
from ..patcher import Patcher
from .allocators import allocators
from .cases import Case, Flag
from .interface import COPY, PREPARE, SIZE, Interface
from .programs import Programs

__all__ = ["BUDGET", "Built", "Heap", "Places", "Trampolines", "call_function"]

BUDGET = 400_000
ROOM = 4 * PAGE
"""Bytes for one trampoline: four times what the kernel takes at most."""
GUARD = 32
_CANARY = 0xC5
_FRAME = 1024
_U64 = np.uint64
_MOST_WARNINGS = 8
_MOST_SKIPS = 16
_BEHIND_OTHERS = 20
"""Trampolines for struct_ops stand in one page, each right behind the one before [bytes]."""
_NEXT = 256


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are that no image has.

    Args:
        near, far: addresses of trampolines, close to the kernel's text and as far away as BPF's region goes.
        code: of host functions that stand for BPF programs.
        data: of their structures.
        heap: what is allocated.
        arguments: structures that the JIT is called with.
    """

    near: int
    far: int
    code: int
    data: int
    heap: Span
    arguments: Span


@dataclass
class Heap:
    """Memory that kernel functions allocate: each lane takes from its own end, nothing is used twice.

    Args:
        memory: of the lanes.
        span: addresses.
        n: lanes.

    Attributes:
        next: uint64[n], first free address.
        made: (lanes, addresses, sizes) of each allocation.
    """

    memory: LaneMemory
    span: Span
    n: int
    made: list[tuple[I64Array, U64Array, U64Array]] = field(default_factory=list)
    next: U64Array = field(init=False)

    def __post_init__(self) -> None:
        self.next = np.full(self.n, self.span.start, _U64)

    def take(self, group: I64Array, sizes: U64Array) -> U64Array:
        """Return addresses of `sizes` bytes each, 0 where there is no room; canaries stand behind them."""
        at = self.next[group]
        rounded = (sizes + _U64(15)) & _U64(~15 & 0xFFFF_FFFF_FFFF_FFFF)
        room = (sizes < _U64(self.span.size)) & (at + rounded + _U64(GUARD) <= _U64(self.span.end))
        lanes = group[room]
        self.next[lanes] += rounded[room] + _U64(GUARD)
        self.made.append((lanes, at[room], sizes[room]))
        end = at[room] + sizes[room]
        if len(lanes):
            self.memory.write(lanes, end, np.full(GUARD - 16, _CANARY, np.uint8))
        return np.where(room, at, _U64(0))

    def overrun(self) -> BoolArray:
        """Tell which lanes wrote behind something that they allocated: bool[n]."""
        broken = np.zeros(self.n, np.bool_)
        for lanes, at, sizes in self.made:
            if len(lanes):
                behind = self.memory.read(lanes, at + sizes, GUARD - 16)
                broken[lanes] |= (behind != _CANARY).any(axis=1)
        return broken


@dataclass
class Built:
    """What the JIT came to.

    Args:
        size: int64[n], what the dry run returned: bytes, or a negative error.
        value: int64[n], what the real run returned.
        returned: bool[n], whether both came back.
        warned: bool[n], whether one of them met a WARN.
        overrun: bool[n], whether memory behind an allocation, or beside the trampoline, was written.
        start: uint64[n], address of the trampoline.
        entry: uint64[n], where it is entered: behind the hash that it starts with in a kernel with CFI.
        why: for lanes that did not come back, the first one's reason.
        insns: instructions of the JIT that were executed.
        im: address of struct bpf_tramp_image, 0 if the JIT is not told.
    """

    size: I64Array
    value: I64Array
    returned: BoolArray
    warned: BoolArray
    overrun: BoolArray
    start: U64Array
    entry: U64Array
    why: dict[int, str]
    insns: int
    im: int = 0

    @property
    def accepted(self) -> BoolArray:
        """bool[n]: there is a trampoline."""
        made: BoolArray = self.returned & (self.size > 0) & (self.value >= 0)
        return made

    @property
    def refused(self) -> BoolArray:
        """bool[n]: the kernel says that it does not make such a one."""
        said: BoolArray = self.returned & ~self.accepted
        return said


class Trampolines:
    """Cases, each in a lane, and the kernel that makes their trampolines.

    Args:
        image: the kernel.
        patcher: its lanes, as many as cases.
        interface: of its JIT.
        programs: what trampolines may call.
        places: addresses.
        cases: one a lane.
        func: address of the traced function.
    """

    def __init__(
        self, image: KernelImage, patcher: Patcher, interface: Interface, programs: Programs, places: Places,
        cases: Sequence[Case], func: int,
    ):  # fmt: skip
        self.image, self.patcher, self.interface, self.func = image, patcher, interface, func
        self.programs, self.places, self.cases = programs, places, cases
        self.lanes, self.memory = patcher.lanes, patcher.memory
        memory = self.memory
        permissions = "rx" if interface.copies else "rwx"
        self._unsized = PAGE  # what a kernel without a dry run gives each trampoline
        try:
            for start in (places.near, places.far):
                memory.map_private(start & -PAGE, ROOM + PAGE, permissions=permissions, name="bpf trampoline")
        except ValueError as error:
            raise ImageError(image.path, expected="room for trampolines below the kernel", got=str(error)) from None
        memory.map(places.data, programs.content, size=-(-len(programs.content) // PAGE) * PAGE, name="bpf programs")
        memory.map_private(places.heap.start, places.heap.size, name="heap")
        memory.map_private(places.arguments.start, places.arguments.size, name="arguments")
        self.heap = Heap(memory, places.heap, len(cases))
        self.start = np.where(np.array([case.far for case in cases], np.bool_), _U64(places.far), _U64(places.near))
        flags = np.array([int(case.flags) for case in cases], np.int64)
        self.indirect: BoolArray = flags & int(Flag.INDIRECT) != 0
        self.is_alone: BoolArray = self.indirect & (flags & int(Flag.CALL_ORIG) == 0)
        self.start[self.indirect] += _U64(_BEHIND_OTHERS)
        self.end = self.start.copy()
        self.beside: BoolArray = np.zeros(len(cases), np.bool_)
        self._at = self._write_arguments()

    # -- what the JIT is called with

    def _write_arguments(self) -> dict[str, int]:
        """Write the structures of all cases; return the address of each role that is one."""
        interface, at, where = self.interface, self.places.arguments.start, {}
        tables = {
            "model": self._models(),
            "nodes": self._nodes(),
            "skips": np.zeros((len(self.cases), 8 * _MOST_SKIPS * 3), np.uint8),
            "im": np.zeros((len(self.cases), interface.im.size), np.uint8),
        }
        for role, table in tables.items():
            where[role] = at
            if role == "im" and interface.im.has("skips"):
                place = interface.im.offset("skips")
                table[:, place : place + 8] = np.frombuffer(where["skips"].to_bytes(8, "little"), np.uint8)
            self.memory.write(None, at, table)
            at += -(-table.shape[1] // 64) * 64 + 64
        return where

    def _models(self) -> U8Array:
        model = self.interface.model
        table = np.zeros((len(self.cases), model.size), np.uint8)
        for row, case in zip(table, self.cases, strict=True):
            row[model.nr_args], row[model.ret_size] = len(case.arguments), case.returns.size
            for number, argument in enumerate(case.arguments):
                row[model.arg_size + number] = argument.size
                if model.arg_flags is not None:
                    row[model.arg_flags + number] = int(argument.struct) | int(argument.signed) << 1
            if model.ret_flags is not None:
                row[model.ret_flags] = int(case.returns.signed) << 1
        return table

    def _nodes(self) -> U8Array:
        chain = self.interface.chain
        table = np.zeros((len(self.cases), chain.size * self.interface.kinds), np.uint8)
        words = {program.number: np.frombuffer(program.node.to_bytes(8, "little"), np.uint8)
                 for program in self.programs.all}  # fmt: skip
        for row, case in zip(table, self.cases, strict=True):
            for kind, programs in enumerate((case.fentry, case.fexit, case.fmod)):
                base = kind * chain.size
                row[base + chain.count] = len(programs)
                for number, program in enumerate(programs):
                    at = base + chain.pointers + 8 * number
                    row[at : at + 8] = words[program.number]
        return table

    def _arguments(self, roles: Sequence[str], size: I64Array | None) -> dict[int, U64Array | int]:
        flags = np.array([int(case.flags) for case in self.cases], _U64)
        values: dict[str, U64Array | int] = {**self._at, "flags": flags, "func": self.func, "image": self.start}
        values["im"] = np.where(self.is_alone, _U64(0), _U64(self._at["im"]))  # struct_ops have none
        values["end"] = self.end = self.start + (_U64(self._unsized) if size is None else size.astype(_U64))
        return {number: values[role] for number, role in enumerate(roles)}

    # -- the calls

    def build(self) -> Built:
        """Ask for the size of every trampoline, then for the trampoline."""
        n, executed = len(self.cases), self.lanes.insns
        everybody = np.arange(n, dtype=np.int64)
        size, returned, warned = np.full(n, ROOM, np.int64), np.ones(n, np.bool_), np.zeros(n, np.bool_)
        why: dict[int, str] = {}
        if self.interface.size:
            size, returned = self._call(SIZE, self.interface.size, None, everybody, warned, why)
        value = np.where(returned, size, -1)
        going = np.flatnonzero(returned & (size > 0) & (size <= ROOM)).astype(np.int64)
        if len(going):
            values, came = self._call(PREPARE, self.interface.prepare, size, going, warned, why)
            value[going], returned[going] = values, came
        if not self.interface.size:
            size = value
        built = Built(
            size, value, returned, warned, self.heap.overrun() | self.beside, self.start, self.start, why, 0
        )  # fmt: skip
        built.entry = self._entries(built)
        self._put_next(built)
        built.im = self._at["im"] if "im" in self.interface.prepare else 0
        built.insns = self.lanes.insns - executed
        return built

    def _call(
        self, name: str, roles: Sequence[str], size: I64Array | None, group: I64Array, warned: BoolArray,
        why: dict[int, str],
    ) -> tuple[I64Array, BoolArray]:  # fmt: skip
        arguments = self._arguments(roles, size)
        picked = {k: value[group] if isinstance(value, np.ndarray) else value for k, value in arguments.items()}
        returned, warns = call_function(self.patcher, name, picked, group, self._hooks())
        warned[group] |= warns
        for lane in group[~returned][:1].tolist():
            outcome = self.lanes.outcome(lane)
            why[lane] = f"{name} does not return: {outcome.reason}"
        value = self.lanes.x[A0, group].astype(np.uint32).view(np.int32).astype(np.int64)
        return value, returned

    def _hooks(self) -> dict[int, Hook]:
        hooks = dict(self.patcher.hooks)
        for address, hook in allocators(self.image, self.heap).items():
            hooks[address] = hook
        copy = self.image.address_of(COPY)
        if copy is not None:
            hooks[copy] = self._copy
        return hooks

    def _copy(self, lanes: Lanes, group: I64Array) -> None:
        """Stand in for bpf_arch_text_copy(dst, src, len)."""
        target, source, length = lanes.x[A0, group], lanes.x[A0 + 1, group], lanes.x[A0 + 2, group]
        inside = (target >= self.start[group]) & (target + length <= self.start[group] + _U64(ROOM))
        inside &= (source >= _U64(self.places.heap.start)) & (length <= _U64(ROOM))
        self.beside[group] |= (target < self.start[group]) | (target + length > self.end[group])
        some, where = group[inside], target[inside]
        if len(some):
            width = int(length[inside].max())
            width = -(-width // 8) * 8
            old = self.memory.read(some, where, width)
            new = self.memory.read(some, source[inside], width)
            mask = np.arange(width)[None, :] < length[inside].astype(np.int64)[:, None]
            self.memory.write(some, where, np.where(mask, new, old))
        lanes.x[A0, group] = np.where(inside, target, _U64(-14 & 0xFFFF_FFFF_FFFF_FFFF))
        lanes.pc[group] = lanes.x[RA, group]

    def _put_next(self, built: Built) -> None:
        """Overwrite what is behind the size that is returned: there struct_ops have their next trampoline."""
        short = built.accepted & self.is_alone & (built.value < built.size)
        lanes = np.flatnonzero(short).astype(np.int64)
        if len(lanes):
            behind = self.start[lanes] + built.value[lanes].astype(_U64)
            self.memory.write(lanes, behind, np.full(_NEXT, _CANARY, np.uint8))

    def _entries(self, built: Built) -> U64Array:
        """Return where each is entered: those that are called indirectly start with a hash if the kernel has CFI."""
        hashed = self.image.address_of("cfi_bpf_hash") is not None
        entries: U64Array = built.start + np.where(self.indirect & hashed, _U64(4), _U64(0))
        return entries

    @property
    def skips_at(self) -> int:
        """Address of what struct bpf_tramp_image.skips points to."""
        return self._at["skips"]

    def read_im(self, lanes: I64Array, offset: int) -> U64Array:
        """Return 8 bytes of struct bpf_tramp_image: uint64[m]."""
        return self.memory.read_u64(lanes, self._at["im"] + offset)

    def words(self, lane: int, size: int) -> bytes:
        """Return the bytes of one trampoline; empty if they cannot be read."""
        whose = np.array([lane], np.int64)
        try:
            found: bytes = self.memory.read(whose, int(self.start[lane]), min(size, ROOM))[0].tobytes()
        except Trap:
            return b""
        return found


def call_function(
    patcher: Patcher, name: str, arguments: dict[int, U64Array | int], group: I64Array, hooks: dict[int, Hook]
) -> tuple[BoolArray, BoolArray]:
    """Call a kernel function in some lanes; a WARN is noted and stepped over, as the kernel's handler does.

    Returns:
        (bool[m], which came back; bool[m], which met a WARN). Values are in a0 of the lanes.
    """
    engine, scene = patcher.lanes, patcher.scene
    entry = scene.image.address_of(name)
    if entry is None:
        raise ValueError(f"no {name}")
    engine.x[:, group] = 0
    fixed = {GP: patcher.gp, TP: scene.image.address_of("init_task") or scene.task.start, RA: RETURN}
    fixed[SP] = scene.stack.end - _FRAME
    for register, value in fixed.items():
        engine.x[register, group] = _U64(value)
    for number, argument in arguments.items():
        engine.x[A0 + number, group] = _U64(argument) if isinstance(argument, int) else argument
    engine.hooks, engine.breakpoints = hooks, {RETURN}
    engine.start(entry, group)
    engine.run(BUDGET)
    warned = np.zeros(len(group), np.bool_)
    for _ in range(_MOST_WARNINGS):
        met = (engine.status[group] == Status.FAULT) & (engine.cause[group] == Cause.BREAKPOINT)
        if not met.any():
            break
        warned |= met
        some = group[met]
        first = patcher.memory.read(some, engine.pc[some], 1)[:, 0]
        engine.start(engine.pc[some] + np.where(first & 3 == 3, _U64(4), _U64(2)), some)
        engine.run(BUDGET)
    returned: BoolArray = (engine.status[group] == Status.STOPPED) & (engine.pc[group] == _U64(RETURN))
    return returned, warned
