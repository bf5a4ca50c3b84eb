# SPDX-License-Identifier: GPL-2.0-or-later
"""The victim: a call through a patched site, one instruction after the other, on the scalar hart.

A local state is everything that belongs to the victim alone: pc, registers, what it has put on its stack, which
callbacks it has been through. Local states have numbers, and what one instruction does to one of them is executed
once and remembered, however many interleavings it is part of. What the victim fetches or loads of bytes that
somebody patches is not known here; the explorer chooses among what may be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..isa.encoding import REG_NAMES
from ..isa.insn import decode
from ..machine.hart import Event as Seen
from ..machine.hart import Hart, recorded
from ..machine.outcome import Cause, Outcome, Status, Trap
from ..units import MASK64, Span, as_hex
from .model import Behaviour, Broken, Kind, Scenario

__all__ = ["DONE", "ENDLESS", "LONGEST", "Load", "Local", "Move", "Passage", "Victim", "undisturbed"]

DONE = -2
"""The number of every local state in which the call is over."""
_SP, _RA = 2, 1
_ABOVE, _BELOW = 512, 1536
"""Bytes of stack that are kept, above and below the first sp; a trampoline's frame is 112 or 288."""
_EBREAKS = (0x0010_0073, 0x9002)
_CALLER_SAVED = (1, 5, 6, 7, *range(10, 18), *range(28, 32))
_JUNK = 0x7A11_0000_0000
"""What a callback leaves in registers that it may change; with the register's number added."""
_READS = 0b0010
_NO_ADDRESS = (Cause.BREAKPOINT, Cause.ECALL)
LONGEST = 4096
"""Instructions in a row that nobody can influence; whoever executes more does not come back."""

_MOST_FETCHED = 512
"""Instructions of a call that stand where somebody patches: a sled, at most a trampoline."""
ENDLESS = Broken(
    Kind.WILD, f"the call does not come back within {LONGEST} instructions, or {_MOST_FETCHED} where somebody patches"
)


class Local(NamedTuple):
    """A victim's own state.

    Args:
        pc: the next instruction.
        x: x0 to x31.
        stack: the bytes of its window.
        behaviour: the ops that callbacks were given so far.
        origins: for each register a bit mask of the loads of patched bytes that its value was made from.
        fetched: how many instructions it has executed where somebody patches.
    """

    pc: int
    x: tuple[int, ...]
    stack: bytes
    behaviour: Behaviour
    origins: tuple[int, ...]
    fetched: int = 0


class Load(NamedTuple):
    """A load of bytes that somebody patches.

    Args:
        address, width: what is loaded [bytes].
        origins: bit mask of the earlier loads that the address was made from.
    """

    address: int
    width: int
    origins: int


class Move(NamedTuple):
    """What an instruction, or a callback in its place, comes to.

    Args:
        target: number of the next local state, DONE behind the last.
        broken: what it breaks, or None.
        load: what it loads of patched bytes; the explorer chooses a value and asks again.
        touched: (address, size) of what it fetched, loaded or was given and somebody may free.
        fences: ``fence``, ``fence.i`` that it executed.
        behaviour: what the call has come to, when it is over.
    """

    target: int
    broken: Broken | None = None
    load: Load | None = None
    touched: tuple[tuple[int, int], ...] = ()
    fences: tuple[str, ...] = ()
    behaviour: Behaviour = ()

    @property
    def is_plain(self) -> bool:
        """Nobody else can notice it, and it depends on nobody else."""
        return self.target >= 0 and not self.touched and not self.fences and self.load is None


class Victim:
    """One call, as far as it has been asked about.

    Args:
        scenario: with the site and the memory, which is not changed.
        patched: spans whose bytes somebody stores to.
        freed: spans that somebody frees.

    Attributes:
        start: number of the state in which the call begins.
        locals: states by number.
    """

    def __init__(self, scenario: Scenario, patched: tuple[Span, ...], freed: tuple[Span, ...]):
        site = self.site = scenario.site
        self.scenario, self.patched, self.freed = scenario, patched, freed
        self.memory = scenario.memory.fork()
        self.hart = Hart(self.memory)
        sp = site.registers[_SP]
        self.window = Span(max(site.stack.start, sp - _BELOW), min(site.stack.end, sp + _ABOVE))
        self.locals: list[Local] = []
        self._numbers: dict[Local, int] = {}
        self._moves: dict[tuple[int, int], Move] = {}
        self._loaded: dict[tuple[int, int, int, int], Move] = {}
        self._constant: dict[int, int | Broken] = {}
        stack = self.memory.read(self.window.start, self.window.size)
        self.start = self._number(Local(site.func, site.registers, stack, (), (0,) * 32))

    def _number(self, local: Local) -> int:
        number = self._numbers.get(local)
        if number is None:
            number = self._numbers[local] = len(self.locals)
            self.locals.append(local)
        return number

    # -- what it fetches

    def is_patched(self, address: int, size: int) -> bool:
        """Tell whether somebody stores to some of these bytes."""
        return _overlaps(self.patched, address, size)

    def outside(self, pc: int) -> Broken | None:
        """Return what is wrong with being at an address, None at one where the victim may be."""
        site = self.site
        if any(pc in span for span in site.code.values()) or pc in site.callbacks or pc in site.directs:
            return None
        where = [
            *(self.name(span.start) for span in site.code.values()),
            *dict.fromkeys(self.name(address) for address in site.directs),
        ]
        return Broken(Kind.WILD, f"the pc is {self.name(pc)}, outside of {', '.join(where)}")

    def constant(self, pc: int) -> int | Broken:
        """Return the instruction at a pc that nobody patches, or why there is none."""
        found = self._constant.get(pc)
        if found is None:
            try:
                found = self.memory.fetch(pc)
            except Trap as trap:
                found = Broken(Kind.WILD, f"{trap.cause.text} at {self.name(pc)}")
            self._constant[pc] = found
        return found

    # -- what it does

    def host_move(self, number: int) -> Move | None:
        """Return what happens at an address where no instruction is executed; None where one is."""
        local, site = self.locals[number], self.site
        pc = local.pc
        if pc == site.body:
            return self._arrived(local)
        if pc in site.callbacks:
            return self._callback(number, local)
        if pc in site.directs:
            target = self._number(
                local._replace(pc=local.x[site.link] & ~1 & MASK64, behaviour=(*local.behaviour, site.directs[pc]))
            )
            return Move(target, touched=self._freeable(site.directs[pc], 8))
        broken = self.outside(pc)
        return Move(DONE, broken) if broken is not None else None

    def _callback(self, number: int, local: Local) -> Move:
        key = (number, -1)
        if key not in self._moves:
            ops = local.x[self.site.ops_register]
            x, origins = list(local.x), list(local.origins)
            for register in _CALLER_SAVED:
                x[register], origins[register] = _JUNK + register, 0
            target = Local(local.x[_RA] & ~1 & MASK64, tuple(x), local.stack, (*local.behaviour, ops), tuple(origins))
            broken = None
            if self.scenario.ops and ops not in self.scenario.ops:
                broken = Broken(Kind.OPS, f"the callback is given {as_hex(ops)}, which is no ops")
            self._moves[key] = Move(DONE if broken else self._number(target), broken, touched=self._freeable(ops, 8))
        return self._moves[key]

    def _arrived(self, local: Local) -> Move:
        """Judge the registers that the body is entered with."""
        first = self.site.registers
        for register in range(1, 32):
            if local.x[register] != first[register] and register not in self.site.clobbers:
                text = (
                    f"the body is entered with {REG_NAMES[register]} = {as_hex(local.x[register])}, "
                    f"the call came with {as_hex(first[register])}"
                )
                return Move(DONE, Broken(Kind.REGISTERS, text), behaviour=local.behaviour)
        return Move(DONE, behaviour=local.behaviour)

    def move(self, number: int, word: int) -> Move:
        """Return what an instruction does in a local state; one that loads patched bytes says so and does nothing."""
        key = (number, word)
        move = self._moves.get(key)
        if move is None:
            move = self._moves[key] = self._execute(number, word)
        return move

    def loaded(self, number: int, word: int, value: int, load: Load, origin: int) -> Move:
        """Return what a load of patched bytes does with a value that it may see.

        Args:
            number: of the local state.
            word: the instruction.
            value: what is loaded.
            load: as `move` said.
            origin: bit mask of what it is among the loads of the call.
        """
        key = (number, word, value, origin)
        move = self._loaded.get(key)
        if move is None:
            before = self.memory.read(load.address, load.width)
            self.memory.write(load.address, value.to_bytes(load.width, "little"))
            move = self._loaded[key] = self._execute(number, word, origin)
            self.memory.write(load.address, before)
        return move

    def _execute(self, number: int, word: int, origin: int = 0) -> Move:
        local, hart = self.locals[number], self.hart
        if word in _EBREAKS and local.pc in self.site.breakpoints:
            ops, original = self.site.breakpoints[local.pc]
            local = local._replace(behaviour=(*local.behaviour, ops))
            word = int.from_bytes(original, "little")  # executed out of line, as if it stood here
        hart.x[:32], hart.pc, hart.log = list(local.x), local.pc, []
        hart.reservation = None
        self.memory.write(self.window.start, local.stack)
        with recorded(hart) as accesses:
            outcome = hart.issue(word)
        for kind, address, width, _ in accesses:
            if kind == "load" and not origin and self.is_patched(address, width):
                return Move(number, load=Load(address, width, self._origins(local, word)))
        fetched = local.fetched + self.is_patched(local.pc & -4, 8)
        endless = ENDLESS if fetched > _MOST_FETCHED else None
        broken = self._fault(outcome, word) or self._stray(accesses) or endless
        touched = self._freeable(local.pc, 2 if word & 3 != 3 else 4)
        for kind, address, width, _ in accesses:
            touched += self._freeable(address, width) if kind == "load" else ()
        if broken is not None:
            return Move(DONE, broken, touched=touched)
        stack = self.memory.read(self.window.start, self.window.size)
        origins = self._origins_after(local, word, origin)
        target = self._number(Local(hart.pc, tuple(hart.x[:32]), stack, local.behaviour, origins, fetched))
        return Move(target, touched=touched, fences=_fences(hart.log or []))

    def _fault(self, outcome: Outcome | None, word: int) -> Broken | None:
        if outcome is None:
            return None
        where = f"at {self.name(outcome.pc)}"
        if outcome.status is Status.FAULT and outcome.cause is not None:
            about = f", address {as_hex(outcome.tval)}" if outcome.cause not in _NO_ADDRESS else ""
            about = f" {as_hex(word)}" if outcome.cause is Cause.ILLEGAL else about
            return Broken(Kind.WILD, f"{outcome.reason}{about} {where}")
        return Broken(Kind.WILD, f"{outcome.reason} {where}")

    def _stray(self, accesses: list[tuple[str, int, int, int]]) -> Broken | None:
        for kind, address, width, _ in accesses:
            if kind == "store" and not (self.window.start <= address and address + width <= self.window.end):
                return Broken(Kind.WILD, f"a store of {width} bytes to {self.name(address)}, which is not its stack")
        return None

    def _freeable(self, address: int, size: int) -> tuple[tuple[int, int], ...]:
        return ((address, size),) if _overlaps(self.freed, address, size) else ()

    def _origins(self, local: Local, word: int) -> int:
        """Return which loads the source registers of an instruction come from."""
        insn = decode(word)
        sources = (insn.base.rs1, insn.base.rs2) if insn is not None else ()
        mask = 0
        for register in sources:
            mask |= local.origins[register] if register > 0 else 0
        return mask

    def _origins_after(self, local: Local, word: int, origin: int) -> tuple[int, ...]:
        """Return where registers come from behind an instruction; what went through the stack counts as its own."""
        insn = decode(word)
        rd = insn.base.rd if insn is not None else 0
        value = origin or (self._origins(local, word) if any(local.origins) else 0)
        if rd <= 0 or local.origins[rd] == value:
            return local.origins
        return (*local.origins[:rd], value, *local.origins[rd + 1 :])

    # -- words

    def name(self, address: int) -> str:
        """Return an address as a witness shows it."""
        name = name_of(address, self.scenario.lines, self.site.code)
        nearest = self.scenario.nearest
        return nearest(address) if nearest is not None and name == as_hex(address) else name


@dataclass(frozen=True, slots=True)
class Passage:
    """A call that nobody disturbs: what it did, and the addresses of the instructions that it executed."""

    behaviour: Behaviour
    pcs: frozenset[int]


def undisturbed(scenario: Scenario) -> Passage | None:
    """Return what a call does while nobody patches anything, None if it does not arrive in the body as it must."""
    victim = Victim(scenario, (), ())
    at, pcs = victim.start, set()
    for _ in range(LONGEST):
        move = victim.host_move(at)
        if move is None:
            pcs.add(victim.locals[at].pc)
            word = victim.constant(victim.locals[at].pc)
            if isinstance(word, Broken):
                return None
            move = victim.move(at, word)
        if move.broken is not None:
            return None
        if move.target == DONE:
            return Passage(move.behaviour, frozenset(pcs))
        at = move.target
    return None


def name_of(address: int, lines: Mapping[int, str], code: Mapping[str, Span]) -> str:
    """Return the name of an address: its own, or that of the code it is in with a distance."""
    if address in lines:
        return lines[address]
    for name, span in code.items():
        if address in span:
            distance = address - span.start
            start = lines.get(span.start, name)
            return f"{start}+{distance:#x}" if distance else start
    return as_hex(address)


def _overlaps(spans: tuple[Span, ...], address: int, size: int) -> bool:
    return any(span.start < address + size and address < span.end for span in spans)


def _fences(log: list[Seen]) -> tuple[str, ...]:
    kinds = (event.kind for event in log if event.kind != "fence" or _orders_loads(event))
    return tuple(kind for kind in kinds if kind in ("fence", "fence.i"))


def _orders_loads(fence: Seen) -> bool:
    """Tell whether a FENCE has R in both of its sets, which pause and ``fence w, w`` have not."""
    return bool(fence.address & _READS and fence.address >> 4 & _READS)
