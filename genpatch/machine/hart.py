# SPDX-License-Identifier: GPL-2.0-or-later
"""One hart: a program counter, 32 registers, a CSR file, a memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from struct import calcsize
from typing import Any, NamedTuple

from ..isa.encoding import sext
from ..isa.foreign import foreign
from ..isa.insn import SPECS, Insn, decode
from ..isa.semantics import SYSTEM, calls_of
from ..units import MASK64
from .csrs import MCAUSE, MEPC, MTVAL, MTVEC, SCAUSE, SEPC, STVAL, STVEC, SUPERVISOR, CsrFile
from .memory import PAGE_SHIFT, Memory
from .outcome import Cause, CodeWritten, Outcome, Status, Trap
from .translate import SINK, PathFunction, Step, StepFunction, path_function, step_function, views_of

__all__ = ["Event", "Hart", "Retired"]

HOT = 40
"""How often an address is reached by a jump before the path from it is translated."""
PATH_LIMIT = 256
"""Instructions in one path at most."""
CACHE_BLOCK = 64
"""Bytes that cbo.zero writes."""
TRAPS_ALIKE = 10_000
"""Traps with the same cause, value and pc that a program may take before it counts as stuck."""


class Event(NamedTuple):
    """Something that others may see of a hart: a store, a fence, a read of poison.

    Args:
        kind: ``store``, ``poison``, ``fence``, ``fence.i``, ``sfence``, ``cbo``, ``cbo.zero``, ``wfi``.
        pc: of the instruction.
        address: that it is about, or the operand of a fence.
        width: bytes stored, else 0.
        value: stored.
    """

    kind: str
    pc: int
    address: int = 0
    width: int = 0
    value: int = 0


Access = tuple[str, int, int, int]
"""(``load`` or ``store``, address, width, value)."""


class Retired(NamedTuple):
    """An instruction that was executed, as `Hart.trace` yields it.

    Args:
        pc: its address.
        insn: what it is.
        writes: registers that it wrote, and their values.
        accesses: its loads and stores.
    """

    pc: int
    insn: Insn
    writes: tuple[tuple[int, int], ...]
    accesses: tuple[Access, ...]


class _Halt(Exception):  # noqa: N818 - the environment's word to the run loop
    def __init__(self, outcome: Outcome):
        self.outcome = outcome


class _Code(NamedTuple):
    """A decoded instruction, ready to be executed."""

    run: StepFunction
    operands: tuple[int, ...]  # rd rs1 rs2 imm pc next csr
    insn: Insn
    is_system: bool


_NOTHING = _Code(lambda *_: 0, (0,) * 7, Insn(SPECS["addi"], 0x13, 4), False)


class _RecordedPage:
    """Pages of one format that note each access; what a hart's `views` are while it is traced."""

    __slots__ = ("accesses", "kind", "pages", "start", "width")

    def __init__(self, name: str, pages: Any, accesses: list[Access]):
        self.kind, self.pages, self.accesses = "load" if name[0] == "L" else "store", pages, accesses
        self.width, self.start = calcsize(name[1]), -1

    def __getitem__(self, index: int) -> Any:
        if self.start < 0:
            page = _RecordedPage.__new__(_RecordedPage)
            page.kind, page.accesses, page.width = self.kind, self.accesses, self.width
            page.pages, page.start = self.pages[index], index << PAGE_SHIFT & MASK64
            return page
        value = self.pages[index]
        unsigned = value & (1 << 8 * self.width) - 1
        self.accesses.append((self.kind, self.start + index * self.width, self.width, unsigned))
        return value

    def __setitem__(self, index: int, value: int) -> None:
        self.pages[index] = value
        self.accesses.append((self.kind, self.start + index * self.width, self.width, value))


@contextmanager
def recorded(hart: Hart) -> Iterator[list[Access]]:
    """Let a hart's loads and stores be noted in a list."""
    accesses: list[Access] = []
    plain = hart.views, hart.load, hart.load_signed, hart.store
    hart.memory.guarded = False  # what was executed is what the next step refreshes; nothing is done twice

    def load(width: int, address: int) -> int:
        value = plain[1](width, address)
        accesses.append(("load", address & MASK64, width, value))
        return value

    def store(width: int, address: int, value: int) -> None:
        plain[3](width, address, value)
        accesses.append(("store", address & MASK64, width, value & (1 << 8 * width) - 1))

    hart.views = {name: _RecordedPage(name, pages, accesses) for name, pages in plain[0].items()}
    hart.load, hart.store = load, store
    hart.load_signed = lambda width, address: sext(load(width, address), 8 * width)
    try:
        yield accesses
    finally:
        hart.views, hart.load, hart.load_signed, hart.store = plain
        hart.memory.guarded = True


class Hart:
    """A scalar hart.

    Args:
        memory: what it loads, stores and fetches; harts may share one.
        compressed: whether 16-bit instructions exist and jumps may go to any even address.
        csrs: the CSR file's numbers and first values.
        translate: turn paths that are run often into Python functions; without it each instruction is
            executed by itself, which only changes the speed.

    Attributes:
        x: x0 to x31; x[0] is 0. What follows is no register.
        pc: address of the next instruction.
        retired: instructions executed since the hart was made.
        hooks: addresses at which the run loop calls a function before it executes what is there. It may
            change the hart, also its pc, and may return an Outcome to end the run.
        breakpoints: addresses at which a run stops; not at the one where it starts.
        on_ecall: called for ECALL, after which the hart goes on behind it unless an Outcome is returned;
            a fault without it.
        log: a list that receives Events, or None. Stores are only those to spans that the memory watches.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        compressed: bool = True,
        csrs: Mapping[int, int] = SUPERVISOR,
        translate: bool = True,
    ):
        self.memory = memory
        self.compressed = compressed
        self.translate = translate
        self.x = [0] * 34
        self.pc = 0
        self.retired = 0
        self.csrs = CsrFile(csrs, lambda: self.retired + self._started - self._left)
        self.hooks: dict[int, Callable[[Hart], Outcome | None]] = {}
        self.breakpoints: set[int] = set()
        self.on_ecall: Callable[[Hart], Outcome | None] | None = None
        self.log: list[Event] | None = None
        self.reservation: tuple[int, int, int] | None = None
        self.views = views_of(memory)
        self.load, self.load_signed, self.store = memory.load, memory.load_signed, memory.store
        self._code: dict[int, _Code] = {}
        self._paths: dict[int, PathFunction] = {}
        self._counts: dict[int, int] = {}
        self._stops: frozenset[int] = frozenset()
        self._epoch = memory.epoch
        self._started = self._left = 0
        self._last: _Code = _NOTHING
        self._last_trap: tuple[int, ...] = ()
        self._traps_alike = 0

    # -- running

    def run(self, budget: int | None = None) -> Outcome:
        """Execute until something ends it.

        Args:
            budget: instructions at most; unlimited by default.
        """
        self._started = self._left = MASK64 if budget is None else budget
        self._refresh()
        self.memory.observer = self._observe
        skip: int | None = self.pc
        outcome = None
        while outcome is None:
            try:
                outcome = self._advance(skip)
            except _Halt as halt:
                outcome = halt.outcome
            except Trap as trap:
                outcome = self._take(trap)
            finally:
                self._count_retired()
            skip = None
        return outcome

    def step(self) -> Outcome | None:
        """Execute one instruction, hooks and breakpoints aside; None if there is more to execute."""
        self._refresh()
        return self._one(None)

    def issue(self, word: int) -> Outcome | None:
        """Execute an instruction as if it had been fetched at pc, whatever is in memory there; otherwise as `step`."""
        return self._one(word)

    def _one(self, word: int | None) -> Outcome | None:
        """Execute the instruction at pc, or a given word in its place."""
        self._started = self._left = 1
        self.memory.observer = self._observe
        try:
            return self._execute(None if word is None else self._made_of(self.pc, word))
        except _Halt as halt:
            return halt.outcome
        except Trap as trap:
            return self._take(trap)
        finally:
            self._count_retired()

    def trace(self, budget: int | None = None) -> Iterator[Retired | Outcome]:
        """Execute as `run` does and yield each instruction that retired, at last the Outcome."""
        left = MASK64 if budget is None else budget
        skip: int | None = self.pc
        outcome = None
        while outcome is None:
            outcome = self._arrive(skip) if left > 0 else Outcome(Status.BUDGET, self.pc)
            skip = None
            if outcome is None:
                before, retired = (self.pc, self.x[:32]), self.retired
                with recorded(self) as accesses:
                    outcome = self.step()
                if self.retired != retired:
                    yield self._retired(*before, tuple(accesses))
                    left -= 1
        yield outcome

    def _retired(self, pc: int, before: list[int], accesses: tuple[Access, ...]) -> Retired:
        insn = self._last.insn
        writes = tuple((n, new) for n, new in enumerate(self.x[:32]) if new != before[n] or n == insn.base.rd > 0)
        return Retired(pc, insn, writes, accesses)

    def _refresh(self) -> None:
        """Forget what was made of code that has changed, or of addresses that have become stops."""
        stops = frozenset((*self.hooks, *self.breakpoints))
        if self._epoch != self.memory.epoch:
            self._epoch = self.memory.epoch
            self._code.clear()
            self._forget_paths()
        elif stops != self._stops:
            self._forget_paths()
        self._stops = stops

    def _forget_paths(self) -> None:
        self._paths.clear()
        self._counts.clear()

    def _arrive(self, skip: int | None) -> Outcome | None:
        """Do what is to be done at an address before its instruction; an Outcome ends the run."""
        pc = self.pc
        if pc in self.breakpoints and pc != skip:
            return Outcome(Status.STOPPED, pc, text="breakpoint")
        hook = self.hooks.get(pc)
        if hook is None:
            return None
        self._count_retired()
        outcome = hook(self)
        self._refresh()
        return outcome if outcome is not None or self.pc == pc else self._arrive(None)

    def _count_retired(self) -> None:
        """Bring `retired` up to date amid a run."""
        self.retired += self._started - self._left
        self._started = self._left

    def _advance(self, skip: int | None) -> Outcome | None:
        """Execute until the budget is used up, or something ends the run."""
        paths, x = self._paths, self.x
        translate = self.translate and self.log is None
        outcome = None
        while self._left > 0 and outcome is None:
            if self.pc in self._stops:
                outcome = self._arrive(skip)
                if outcome is not None:
                    return outcome
            skip = None
            if not translate:
                outcome = self._block()
                continue
            path = paths.get(self.pc)
            if path is None:
                outcome = self._translate() if self._is_hot(self.pc) else self._block()
                continue
            before = self._left
            try:
                self.pc, self._left = path(self, x, before)
            except CodeWritten:
                outcome = self._execute()
            if self._left == before:
                outcome = self._block()
        return outcome or Outcome(Status.BUDGET, self.pc)

    def _block(self) -> Outcome | None:
        """Execute one instruction after the other up to the first that jumps, or to a stop."""
        while self._left > 0:
            pc = self.pc
            outcome = self._execute()
            if outcome is not None or self.pc != self._last.operands[5] or self.pc in self._stops:
                return outcome
            if pc == self.pc:
                return None
        return None

    def _execute(self, given: _Code | None = None) -> Outcome | None:
        """Execute the instruction at pc by itself, or a given one in its place."""
        pc = self.pc
        entry = self._last = given or self._code.get(pc) or self._decode(pc)
        try:
            target = entry.run(self, self.x, *entry.operands)
        except CodeWritten:
            target = self._execute_unguarded(entry)
        self.x[SINK] = 0
        self.pc = target
        self._left -= 1
        return self._stuck(pc, entry.insn) if target == pc else None

    def _execute_unguarded(self, entry: _Code) -> int:
        """Execute an instruction that writes to code; whatever was made of that is forgotten."""
        self.memory.guarded = False
        try:
            return entry.run(self, self.x, *entry.operands)
        finally:
            self.memory.guarded = True
            self._refresh()

    def _stuck(self, pc: int, insn: Insn) -> Outcome | None:
        """Tell whether a jump to itself is all that will ever happen."""
        if insn.base.name == "jalr" and insn.rd == insn.rs1 != 0:
            return None
        return Outcome(Status.STUCK, pc, text="an instruction that jumps to itself")

    # -- decoding and translation

    def _decode(self, pc: int) -> _Code:
        if pc & 1 or (pc & 2 and not self.compressed):
            raise Trap(Cause.FETCH_MISALIGNED, pc)
        entry = self._code[pc] = self._made_of(pc, self.memory.fetch(pc))
        return entry

    def _made_of(self, pc: int, word: int) -> _Code:
        """Return an instruction word, ready to be executed at pc."""
        insn = decode(word)
        if insn is None or (insn.size == 2 and not self.compressed):
            name = foreign(word) if insn is None else ""
            raise Trap(Cause.ILLEGAL, word, name, supported=not name)
        base = insn.base
        function = step_function(SPECS[base.name], not self.compressed)
        operands = (base.rd or SINK, base.rs1, base.rs2, base.imm, pc, pc + insn.size & MASK64, base.csr)
        is_system = bool(calls_of(base.spec.run) & SYSTEM)
        return _Code(function, operands, insn, is_system)

    def _is_hot(self, pc: int) -> bool:
        count = self._counts.get(pc, 0) + 1
        self._counts[pc] = count
        return count == HOT

    def _translate(self) -> Outcome | None:
        """Execute from pc and make a function of the path that is taken."""
        head, epoch, outcome = self.pc, self._epoch, None
        steps: list[Step] = []
        seen: set[int] = set()
        while len(steps) < PATH_LIMIT and self._left > 0 and outcome is None:
            pc = self.pc
            if pc in seen or (steps and (pc in self._stops or pc in self._paths)):
                break
            if (self._code.get(pc) or self._decode(pc)).is_system:
                break
            outcome = self._execute()
            seen.add(pc)
            steps.append(Step(self._last.insn.base, pc, self.pc))
        if len(steps) > 1 and epoch == self._epoch:
            is_loop = self.pc == head and head not in self._stops
            checks_target = not self.compressed
            self._paths[head] = path_function(steps, self.views, is_loop=is_loop, checks_target=checks_target)
        return outcome if steps else self._block()

    def interrupted(self, error: BaseException, places: Mapping[int, int], steps: list[Step], left: int) -> None:
        """Take note of where a path was left by an exception; called by the path's function."""
        line = error.__traceback__.tb_lineno if error.__traceback__ else 0
        number = places[line]
        self.pc = steps[number % len(steps)].pc
        self._left = left - number

    # -- traps

    def _take(self, trap: Trap) -> Outcome | None:
        """Go to the program's trap handler if it has set one up, else end the run."""
        pc, values = self.pc, self.csrs.values
        tval = trap.tval
        if trap.cause == Cause.ILLEGAL and not tval and pc in self._code:
            tval = self._code[pc].insn.word
        trap = Trap(trap.cause, tval, trap.text, supported=trap.supported)
        vector, cause, epc, value = STVEC, SCAUSE, SEPC, STVAL
        if values.get(MTVEC):
            vector, cause, epc, value = MTVEC, MCAUSE, MEPC, MTVAL
        if not trap.supported or not values.get(vector):
            return trap.outcome(pc)
        self._traps_alike = self._traps_alike + 1 if self._last_trap == (pc, trap.cause, tval) else 0
        self._last_trap = (pc, trap.cause, tval)
        handler = values[vector] & ~3
        if pc == handler or self._traps_alike >= TRAPS_ALIKE:
            return Outcome(Status.FAULT, pc, trap.cause, tval, text="taken again and again by the program's handler")
        values[cause], values[epc], values[value] = int(trap.cause), pc, tval
        self.reservation = None
        self.pc = handler
        return None

    # -- effects, called by what instructions are printed as

    def reserve(self, width: int, address: int) -> int:
        """LR: load and register a reservation."""
        if address & width - 1:
            raise Trap(Cause.LOAD_MISALIGNED, address)
        value = self.load(width, address)
        self.reservation = (address, width, value)
        return value

    def conditional(self, width: int, address: int, value: int) -> int:
        """SC: store if the reservation is for the same bytes and they are what LR found; 0 if it did."""
        if address & width - 1:
            raise Trap(Cause.STORE_MISALIGNED, address)
        held = self.reservation is not None and self.reservation[:2] == (address, width)
        held = held and self.reservation == (address, width, self.memory.load(width, address))
        if held:
            self.store(width, address, value)
        self.reservation = None
        return 0 if held else 1

    def atomic(self, width: int, address: int) -> int:
        """AMO: the load, of bytes that must be writable too."""
        if address & width - 1:
            raise Trap(Cause.STORE_MISALIGNED, address)
        mapping = self.memory.mapping_at(address)
        if mapping is None or not (mapping.permissions.read and mapping.permissions.write):
            raise Trap(Cause.STORE_FAULT, address)
        return self.load(width, address)

    def fence(self, sets: int) -> None:
        """FENCE."""
        self._note("fence", sets)

    def fence_i(self) -> None:
        """FENCE.I; this hart never fetches anything stale."""
        self._note("fence.i")

    def sfence(self, address: int, asid: int) -> None:
        """SFENCE.VMA."""
        self._note("sfence", address)

    def cache_block(self, operation: int, address: int) -> None:
        """CBO.INVAL, CBO.CLEAN, CBO.FLUSH."""
        self._note("cbo", address)

    def zero_block(self, address: int) -> None:
        """CBO.ZERO."""
        start = address & -CACHE_BLOCK
        for at in range(start, start + CACHE_BLOCK, 8):
            self.store(8, at, 0)
        self._note("cbo.zero", start)

    def wfi(self) -> None:
        """WFI; there are no interrupts to wait for."""
        self._note("wfi")

    def csr_swap(self, number: int, value: int) -> int:
        """CSRRW."""
        old = self.csrs.read(number)
        self.csrs.write(number, value)
        return old

    def csr_set(self, number: int, bits: int, write: int) -> int:
        """CSRRS; it only writes if its operand is not x0 or 0."""
        old = self.csrs.read(number)
        if write:
            self.csrs.write(number, old | bits)
        return old

    def csr_clear(self, number: int, bits: int, write: int) -> int:
        """CSRRC."""
        old = self.csrs.read(number)
        if write:
            self.csrs.write(number, old & ~bits)
        return old

    def ecall(self) -> None:
        """ECALL: the environment is asked."""
        if self.on_ecall is None:
            raise Trap(Cause.ECALL, 0)
        self._count_retired()
        outcome = self.on_ecall(self)
        self._refresh()
        if outcome is not None:
            self.pc = self.pc + 4 & MASK64
            self._left -= 1
            raise _Halt(outcome)

    def ebreak(self) -> None:
        """EBREAK."""
        raise Trap(Cause.BREAKPOINT, self.pc)

    def sret(self) -> int:
        """SRET: where to go on."""
        return self._return(SEPC)

    def mret(self) -> int:
        """MRET: where to go on."""
        return self._return(MEPC)

    def _return(self, number: int) -> int:
        self.reservation = None
        return self.csrs.read(number)

    def _note(self, kind: str, address: int = 0) -> None:
        if self.log is not None:
            self.log.append(Event(kind, self.pc, address))

    def _observe(self, what: str, address: int, width: int, value: int) -> None:
        if self.log is not None:
            self.log.append(Event(what, self.pc, address, width, value))
