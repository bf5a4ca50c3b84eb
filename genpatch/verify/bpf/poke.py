# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own bpf_arch_text_poke(), executed on the sled of a compiled program, which is entered afterwards.

What the kernel writes to text goes where it says: a page of the program that it maps a second time is the same
bytes. stop_machine() calls its function on one hart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...isa.encoding import REG_NAMES
from ...machine.hart import Hart
from ...machine.memory import PAGE, Memory
from ...machine.memory import Mapping as Mapped
from ...machine.outcome import Outcome, Status, Trap
from ...run.kernel import A0, RA, RETURN, go_back, has_returned
from ...units import MASK64, as_hex
from ..pages import PAGE_OF, ModuleText, find_module_text
from ..scene import Scene
from ..stubs import FIXMAP
from .compile import JitBench, Source, Stretch
from .compiled_programs import CompiledProgram
from .compiled_run import Breach, ProgramsResult, Runner, Subject, add_failure, listing_of, wants_listing
from .poke_interface import ANSWERS, CALL, JUMP, NOP, ONLINE, POKE, Target, find_poke_interface
from .promises import BpfPromise
from .run import BpfFailure

__all__ = ["POKE", "Poker", "Pokes", "Steps", "Target", "verify_poke"]

_NOT_OFFERED = (-95, -524)
"""EOPNOTSUPP and ENOTSUPP: the kernel says that it does not poke programs."""
_PROGRAM = CompiledProgram(
    name="a program that is poked", text="r0 = *(u64 *)(r1 + 0); r0 += 1; exit", result=0x1234_0000_0001,
    context=(0x1234_0000_0000).to_bytes(8, "little"),
)  # fmt: skip
_T0, _MAY_CHANGE = 5, (0, 5, 6, 7)
_CLOSE = 0x2000
_FARTHEST = (1 << 27) - 0x10
_TRIAL_BELOW = 4 << 20


def verify_poke(bench: JitBench, scene: Scene, result: ProgramsResult) -> None:
    """Poke programs close to the kernel and far away, with trampolines close to them and far away.

    Args:
        bench: the kernel and its JIT.
        scene: prepared for it.
        result: takes what is found.
    """
    if bench.image.address_of(POKE) is None or bench.types.func_proto(POKE) is None:
        result.notes.append(f"bpf: no {POKE}: the sleds of programs are never used")
        return
    poker = Poker(bench, scene)
    if poker.trouble:
        result.notes.append(f"bpf: {POKE} was not run: {poker.trouble}")
        return
    low = min(region.span.start for region in bench.image.memory.regions) & -PAGE
    for far in (False, True):
        made = bench.compile(Source(_PROGRAM.text, far=far))
        if not made.accepted:
            continue
        close = made.entry + _CLOSE & -16
        nearest, farthest = low - 0x20, low - _FARTHEST
        for first, second in ((close, farthest), (nearest, close + 0x100), (farthest + 0x200, nearest)):
            if not Steps(poker, made.functions[0], result).go_through(first, second):
                return


class Poker:
    """Calls bpf_arch_text_poke().

    Args:
        bench: the kernel, its JIT and its memory.
        scene: prepared for it.

    Attributes:
        trouble: why it cannot be run; empty if it can.
    """

    def __init__(self, bench: JitBench, scene: Scene):
        self.bench, self.scene, self.memory = bench, scene, bench.bench.memory
        self.interface = find_poke_interface(bench.types)
        bench.bench.map_shadow(scene.fixmap_top)
        fixmap = bench.image.address_of(FIXMAP)
        trial = bench.near - _TRIAL_BELOW
        self.text = find_module_text(scene, trial) if fixmap is not None else ModuleText(writable=True)
        self._mapped: dict[int, Mapped] = {}
        self._claim_one_hart()

    @property
    def trouble(self) -> str:
        """Why it cannot be run; empty if it can."""
        if self.interface is None:
            return "its prototype is not understood"
        return self.text.note

    def _claim_one_hart(self) -> None:
        """Say that one hart is online, as the first one does when it boots."""
        for name in ONLINE:
            address = self.bench.image.address_of(name)
            try:
                if address is not None:
                    self.memory.write(address, (1).to_bytes(4, "little"))
            except Trap:
                continue

    def poke(self, at: int, old: Target, new: Target) -> tuple[int, str]:
        """Poke; return what the function returned, and why it did not return where that is so."""
        hart = self.bench.bench.hart
        types = self.interface.types(old, new) if self.interface is not None else ()
        arguments = (at, *types, old.address, new.address)
        outcome = self.bench.call(POKE, *arguments, hooks=self._hooks())
        if not has_returned(outcome):
            where = self.bench.image.symbols.nearest(outcome.pc)
            return 0, f"it does not return: {outcome.reason} at {where}"
        value = hart.x[A0] & 0xFFFF_FFFF
        return value - (value >> 31 << 32), ""

    def _hooks(self) -> dict[int, Callable[[Hart], None]]:
        image, page_of = self.bench.image, self.text.page_of
        hooks: dict[str, Callable[[Hart], None]] = {FIXMAP: self._map}
        if self.text.pages is not None:
            hooks[PAGE_OF] = lambda hart: go_back(hart, page_of(hart.x[A0]))
        hooks |= dict.fromkeys(ANSWERS, lambda hart: go_back(hart, 1))
        named = ((image.address_of(name), hook) for name, hook in hooks.items())
        return {address: hook for address, hook in named if address is not None}

    def _map(self, hart: Hart) -> None:
        """Honour __set_fixmap(index, physical, protection)."""
        index, physical, protection = hart.x[A0 : A0 + 3]
        mapped = self._mapped.pop(index, None)
        if mapped is not None:
            self.memory.unmap(mapped)
        if protection and self.scene.fixmap_top is not None:
            start = self.scene.fixmap_top - index * PAGE
            try:
                self._mapped[index] = self.memory.alias(start, PAGE, physical & -PAGE, name="fixmap")
            except ValueError:  # there is no such slot: what the kernel does there is a fault of its own
                self._mapped.pop(index, None)
        go_back(hart)


class Pokes(Protocol):
    """Who pokes: a memory with the program in it, and what changes its sled."""

    memory: Memory

    def poke(self, at: int, old: Target, new: Target) -> tuple[int, str]:
        """Poke; return what the function returned, and why it did not return where that is so."""


class Steps:
    """What is done to one program, and what must come of it.

    Args:
        poker: who does it.
        stretch: the program.
        result: takes what is found.
    """

    def __init__(self, poker: Pokes, stretch: Stretch, result: ProgramsResult):
        self.poker, self.stretch, self.result = poker, stretch, result
        self.is_at = Target(NOP)
        self.what = ""
        self.new: list[BpfFailure] = []

    def _code(self) -> bytes:
        span = self.stretch.span
        return self.poker.memory.read(span.start, span.size)

    def _fail(self, what: str, expected: int, got: int, note: str = "") -> None:
        breach = Breach(BpfPromise.POKE, what, expected & MASK64, got & MASK64, note)
        failure = add_failure(self.result, breach, self.what)
        if failure is not None:
            self.new.append(failure)

    def go_through(self, first: int, second: int) -> bool:
        """Attach, replace and detach; return False if the kernel does not poke programs at all."""
        before = self._code()
        nop = Target(NOP)
        for kind in (CALL, JUMP):
            one, other = Target(kind, first), Target(kind, second)
            if not self._step(nop, one):
                return False
            self._refused(nop, other)
            self._refused(other, nop)
            self._step(one, other)
            self._refused(one, nop)
            self._refused(Target(kind, self._beside(second)), nop)
            self._step(other, nop)
            at = self.stretch.entry - self.stretch.span.start
            if self._code()[at:] != before[at:]:
                self._fail("the program's bytes once it is poked back", 0, 1, "they are not what they were")
        return True

    def _beside(self, target: int) -> int:
        """Return an address that differs from a target in the second instruction of what leads there alone."""
        distance = target - self.stretch.entry
        aside = next(each for each in (16, -16) if distance + each + 0x800 >> 12 == distance + 0x800 >> 12)
        return target + aside

    def _poke(self, old: Target, new: Target) -> int | None:
        self.what = f"{old} to {new}, the program at {as_hex(self.stretch.entry)}"
        value, trouble = self.poker.poke(self.stretch.entry, old, new)
        self.result.pokes += 1
        if trouble:
            self._fail("its return", 0, 0, trouble)
        return None if trouble else value

    def _step(self, old: Target, new: Target) -> bool:
        """Poke, and enter the program; return False if the kernel does not poke programs at all."""
        before = self._code()
        value = self._poke(old, new)
        if value in _NOT_OFFERED and self.is_at.kind == NOP and old.kind == NOP:
            note = f"bpf: {POKE} returns {value}: the kernel does not poke programs"
            self.result.notes += [note] if note not in self.result.notes else []
            return False
        if value:
            self._fail("its value", 0, value)
        if value is None or value:
            return True
        self.is_at = new
        self._look_at_code(before)
        self._enter(new)
        return True

    def _look_at_code(self, before: bytes) -> None:
        """Only the sled, and what is in front of the entry, may change."""
        behind = self.stretch.body - self.stretch.span.start
        if self._code()[behind:] != before[behind:]:
            self._fail("what is behind the sled", 0, 1, "it is changed")

    def _refused(self, old: Target, new: Target) -> None:
        """Poke with an old target that is not there."""
        before = self._code()
        value = self._poke(old, new)
        self.what += f", where {self.is_at} is"
        if value is not None and value >= 0:
            self._fail("its value where something else is than it is told", -14, value)
        if self._code() != before:
            self._fail("the sled where something else is than it is told", 0, 1, "it is changed")

    def _enter(self, target: Target) -> None:
        """Run the program from its entry, through the trampoline if there is one."""
        stretch = self.stretch
        subject = Subject(_PROGRAM, ((stretch.span, self._code()),), (stretch,), (), {})
        self.new.clear()
        runner, arrival = Runner(subject), _Arrival(self, target)
        if target.kind != NOP:
            runner.hart.hooks[target.address] = arrival.hook
        arrival.first = list(runner.hart.x[:32])
        runner.run()
        self.result.insns += runner.insns
        if target.kind != NOP and arrival.times != 1:
            ends = [f"{each.what}: {each.note}" for each in runner.breaches if each.note]
            self._fail("how often the trampoline is reached", 1, arrival.times, *ends[:1])
        elif target.kind != JUMP:
            for breach in runner.breaches:
                self._fail(breach.what, breach.expected, breach.got, breach.note or "the program, entered afterwards")
        if self.new and wants_listing(self.result):
            again = _Arrival(self, target)
            again.first = arrival.first
            self.new[0].listing, _ = listing_of(subject, {target.address: again.hook} if target.address else {})

    def arrived(self, hart: Hart, first: list[int], target: Target) -> Outcome | None:
        """A trampoline is reached: judge the registers; a call's returns through its link register."""
        behind = self.stretch.body
        changed = [n for n in range(1, 32) if hart.x[n] != first[n] and n not in _MAY_CHANGE]
        if target.kind == JUMP:
            for number in changed:
                self._fail(f"{REG_NAMES[number]} at a trampoline that is jumped to", first[number], hart.x[number])
            return Outcome(Status.STOPPED, RETURN)
        link = RA if hart.x[RA] == behind else _T0
        if hart.x[link] != behind:
            self._fail("the link register at the trampoline", behind, hart.x[link], "it does not lead behind the sled")
        if link == RA and first[RA] not in hart.x[1:32]:
            self._fail("ra at the trampoline", first[RA], hart.x[RA], "the program's own return address is lost")
        for number in changed:
            if number != link:
                self._fail(f"{REG_NAMES[number]} at the trampoline", first[number], hart.x[number])
        for number in _MAY_CHANGE[1:]:
            if number != link:
                hart.x[number] = 0x7A4B_0000_0000_0000 + number
        hart.pc = hart.x[link] & ~1
        return None


@dataclass
class _Arrival:
    """Counts how often a trampoline is reached."""

    steps: Steps
    target: Target
    times: int = 0

    def __post_init__(self) -> None:
        self.first: list[int] = []

    def hook(self, hart: Hart) -> Outcome | None:
        """Stand in for the trampoline."""
        self.times += 1
        if self.times > 1:
            return Outcome(Status.STOPPED, hart.pc, text="reached again")
        return self.steps.arrived(hart, self.first, self.target)
