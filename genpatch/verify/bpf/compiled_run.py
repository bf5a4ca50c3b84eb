# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that a kernel's JIT has compiled, run from their entry, and all that they do compared.

Each runs in a memory of its own that holds nothing but its code, its context, its arrays and a stack that ends
where its caller's frame begins: what is read or written elsewhere is a fault, what is read of the stack before it
is written is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

from ...errors import GenpatchError, ImageError
from ...image.model import KernelImage
from ...isa.encoding import REG_NAMES
from ...machine.hart import Event, Hart, Retired
from ...machine.memory import PAGE, Memory
from ...machine.outcome import Cause, Outcome, Status, Trap
from ...run.kernel import A0, GP, RA, RETURN, SP, TP
from ...units import MASK64, Span, as_hex
from ..extensions import extend
from ..run import Progress
from ..scene import Scene
from .compile import Compiled, JitBench, Kfunc, Source, Stretch
from .compiled_programs import (
    ARENA,
    ARENA_KERNEL,
    ARENA_USER,
    CONTEXT,
    PER_CPU_OFFSET,
    SELF,
    Call,
    Cell,
    CompiledProgram,
    catalogue,
)  # fmt: skip
from .fixups import Fixups
from .needs import PER_CPU, Needs, inlined_name
from .promises import BpfPromise
from .run import BpfFailure

__all__ = [
    "Breach", "ProgramsResult", "Runner", "Subject", "Trials", "add_failure", "listing_of", "verify_programs",
    "wants_listing",
]  # fmt: skip

_CONTEXT_AT, _TASK_AT = 0xFFFF_AF90_0000_0040, 0xFFFF_AF90_0010_0000
_STACK = Span(0xFFFF_AF90_0020_0000, 0xFFFF_AF90_0020_4000)
_GP, _S0, _A5 = 0xFFFF_FFFF_8800_0800, 8, 15
_SAVED = (8, 9, *range(18, 28))
_CALLER_SAVED = (5, 6, 7, *range(10, 18), 28, 29, 30, 31)
_JUNK, _KEPT = 0xBAD0_BEEF_DEAD_0000, 0x5AFE_0000_C0DE_0000
_BELOW = 8
_BUDGET = 20_000
_MOST_BREACHES, _MOST_LISTINGS, _MOST_LINES = 16, 6, 120
_MOST_DEPTH = 8
_ARENA_AT = ARENA_KERNEL + (ARENA_USER & 0xFFFF_FFFF)
_MOST_FAULTS = 64
_LOADS_AND_STORES = (Cause.LOAD_FAULT, Cause.STORE_FAULT)
_PROCESSOR = 3
_HELPER, _KFUNC, _NEAR = 0x400, 0x500, 0x1000
_LANDS = "a tail call lands at "
_HASHES = ("cfi_bpf_hash", "cfi_bpf_subprog_hash")


@dataclass(frozen=True, slots=True)
class Breach:
    """Something that a program did and must not do: what it is about, and what was to be."""

    promise: BpfPromise
    what: str
    expected: int
    got: int
    note: str = ""


@dataclass
class ProgramsResult:
    """What came of the programs that a kernel's JIT compiles.

    Args:
        trouble: why nothing was run; empty if it was.
        programs: in the catalogue.
        compiled, refused: those that the JIT accepts, and those that it does not know.
        passed: those without a failure.
        jit_insns, insns: instructions of the JIT, and of programs, that were executed.
        pokes: calls of bpf_arch_text_poke().
        failures: what was broken.
        notes: what else there is to say.
        seconds: time taken.
    """

    trouble: str = ""
    programs: int = 0
    compiled: int = 0
    refused: int = 0
    passed: int = 0
    jit_insns: int = 0
    insns: int = 0
    pokes: int = 0
    failures: list[BpfFailure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Subject:
    """A compiled program, ready to be run.

    Args:
        program: what it must do.
        parts: (span, bytes) of all code, the program's own function first.
        stretches: its functions, and those of programs that it tail-calls.
        data: (address, bytes) of what it reads: arrays, struct bpf_prog.
        hosts: addresses of host functions by name.
        task: offset of the processor's number in what tp points to; None if that is not known.
        fixups: handles faults of accesses that may fault; None if the program has none.
    """

    program: CompiledProgram
    parts: tuple[tuple[Span, bytes], ...]
    stretches: tuple[Stretch, ...]
    data: tuple[tuple[int, bytes], ...]
    hosts: dict[str, int]
    task: int | None = None
    fixups: Fixups | None = None

    @property
    def entry(self) -> int:
        """Where it is called."""
        return self.stretches[0].entry


class _Log(list[Event]):
    """Takes what a hart says of its stack as it happens."""

    def __init__(self, runner: Runner):
        super().__init__()
        self._runner = runner

    def append(self, event: Event) -> None:
        self._runner.noticed(event)


class Runner:
    """One run of one program.

    Args:
        subject: the program.
        enter: address to call instead of the program's entry; 0 for that.

    Attributes:
        breaches: what it did wrong, the first of each kind.
        insns: instructions executed.
    """

    def __init__(self, subject: Subject, enter: int = 0):
        self.subject, self.program = subject, subject.program
        self.breaches: list[Breach] = []
        self.memory = memory = Memory()
        for span, code in subject.parts:
            memory.map(span.start, code, permissions="rx", name="code")
        for address, content in subject.data:
            memory.map(address, content, permissions="r", name="data")
        context = self.program.context
        if context:
            memory.map(_CONTEXT_AT, context, permissions="rw", name="context")
        if self.program.arena:
            memory.map(_ARENA_AT, self.program.arena, size=PAGE, permissions="rw", name="arena")
        task = bytearray(PAGE)
        if subject.task is not None:
            task[subject.task : subject.task + 4] = _PROCESSOR.to_bytes(4, "little")
        memory.map(_TASK_AT, bytes(task), permissions="r", name="task")
        memory.map(_STACK.start, size=_STACK.size, name="stack", poison=True)
        memory.watch(_STACK)
        self.hart = hart = Hart(memory, translate=False)
        hart.log = _Log(self)
        hart.x[1:32] = [_JUNK + number for number in range(1, 32)]
        for number in _SAVED:
            hart.x[number] = _KEPT + number
        hart.x[GP], hart.x[TP], hart.x[RA], hart.x[SP] = _GP, _TASK_AT, RETURN, _STACK.end
        hart.x[A0] = _CONTEXT_AT
        self._first = list(hart.x[:32])
        hart.pc = enter or subject.entry
        hart.breakpoints.add(RETURN)
        self._calls = self._faults = 0
        for name, address in subject.hosts.items():
            hart.hooks[address] = self._host(name)

    @property
    def insns(self) -> int:
        """Instructions executed."""
        return self.hart.retired

    def breach(self, promise: BpfPromise, what: str, expected: int, got: int, note: str = "") -> None:
        """Note what is wrong, each thing once."""
        known = any(each.what == what and each.note == note for each in self.breaches)
        if not known and len(self.breaches) < _MOST_BREACHES:
            self.breaches.append(Breach(promise, what, expected & MASK64, got & MASK64, note))

    def noticed(self, event: Event) -> None:
        """Judge an access to the stack: a store below sp, a read of what nobody wrote."""
        sp = self.hart.x[SP]
        if event.kind == "store" and event.address < sp:
            self.breach(BpfPromise.STACK, "a store below sp", sp, event.address, "an interrupt would overwrite it")
        elif event.kind == "poison":
            self.breach(BpfPromise.STACK, "a read of the stack", 0, event.address, "nothing was written there before")

    # -- what is called

    def _host(self, name: str) -> Callable[[Hart], Outcome | None]:
        return lambda hart: self._called(hart, name)

    def _called(self, hart: Hart, name: str) -> Outcome | None:
        """A function of the host: sees its arguments, spoils what a C function may, and returns."""
        number, self._calls = self._calls, self._calls + 1
        if number >= len(self.program.calls):
            what = "how often functions are called"
            self.breach(BpfPromise.PROGRAM, what, number, number + 1, f"{name} is called once more")
            return Outcome(Status.STOPPED, hart.pc, text="one call too many")
        call = self.program.calls[number]
        if call.name != name:
            self.breach(BpfPromise.PROGRAM, f"call {number + 1}", 0, 0, f"{name} is called, not {call.name}")
        self._look_at_arguments(call)
        self._look_at_frames(name)
        for register in _CALLER_SAVED:
            hart.x[register] = _JUNK + 0x100 + register
        sp = hart.x[SP]
        if _STACK.start + 8 * _BELOW <= sp <= _STACK.end:
            self.memory.write(sp - 8 * _BELOW, b"\x5c" * 8 * _BELOW)
        hart.x[A0], hart.pc = call.result, hart.x[RA] & ~1
        return None

    def _look_at_arguments(self, call: Call) -> None:
        for number, wanted in enumerate(call.arguments):
            value = self._value(wanted)
            got = self.hart.x[A0 + number]
            if value is not None and got != value:
                self.breach(BpfPromise.PROGRAM, f"argument {number + 1} of {call.name}", value, got)

    def _value(self, wanted: int | str | None) -> int | None:
        if isinstance(wanted, str):
            return _CONTEXT_AT if wanted == CONTEXT else self.subject.stretches[int(wanted.removeprefix("sub"))].entry
        return wanted

    def _look_at_frames(self, name: str) -> None:
        """Check sp, and the chain of frames as an unwinder goes through it."""
        x, sp = self.hart.x, self.hart.x[SP]
        if sp & 15:
            self.breach(BpfPromise.STACK, f"sp at {name}", sp & ~15, sp, "it is no multiple of 16")
        fp, ra = x[_S0], 0
        for _ in range(_MOST_DEPTH):
            if fp == self._first[_S0]:
                break
            if not sp + 16 <= fp <= _STACK.end or fp & 7:
                self.breach(BpfPromise.STACK, f"the frame pointer at {name}", sp, fp, "it points to no frame")
                return
            up, ra = (int.from_bytes(self.memory.read(fp - at, 8), "little") for at in (16, 8))
            fp = up
        if ra != RETURN:
            note = "an unwinder goes astray"
            self.breach(BpfPromise.STACK, f"the outermost return address in the frames at {name}", RETURN, ra, note)

    # -- the run

    def run(self) -> None:
        """Run to the end, and compare what there is then."""
        outcome = self.hart.run(_BUDGET)
        while self._goes_on(outcome):
            outcome = self.hart.run(_BUDGET)
        self.judge(outcome)

    def trace(self) -> Iterator[Retired | Outcome]:
        """Run, and yield each instruction; an outcome that is not the last is a fault that was handled."""
        goes_on = True
        while goes_on:
            goes_on = False
            for each in self.hart.trace(_BUDGET):
                yield each
                goes_on = isinstance(each, Outcome) and self._goes_on(each)

    def _goes_on(self, outcome: Outcome) -> bool:
        """Let the kernel handle a fault that a program may have; tell whether it goes on behind it."""
        fixups = self.subject.fixups
        if fixups is None or outcome.cause not in _LOADS_AND_STORES or self._faults == _MOST_FAULTS:
            return False
        self._faults += 1
        if not fixups.fix(self.hart, outcome.pc):
            note = fixups.trouble or "no entry of its table of exceptions is for this instruction"
            self.breach(BpfPromise.PROGRAM, "a fault that is to be handled", outcome.tval, outcome.pc, note)
            return False
        return True

    def judge(self, outcome: Outcome) -> None:
        """Compare what a program leaves behind."""
        if outcome.status is not Status.STOPPED or outcome.pc != RETURN:
            if outcome.text != "one call too many":
                note = f"{outcome.reason} ({as_hex(outcome.tval)})" if outcome.cause is not None else outcome.reason
                self.breach(BpfPromise.PROGRAM, "the end of the program", RETURN, outcome.pc, note)
            return
        x, program = self.hart.x, self.program
        if program.result is not None:
            low = program.result & 0xFFFF_FFFF
            self._compare("R0 (a5)", program.result & MASK64, x[_A5])
            self._compare("the value returned (a0)", (low ^ 0x8000_0000) - 0x8000_0000 & MASK64, x[A0])
        for number in (SP, GP, TP, *_SAVED):
            if x[number] != self._first[number]:
                what = f"{REG_NAMES[number]} at the end"
                self.breach(BpfPromise.STACK, what, self._first[number], x[number], "it is not what it was")
        self._compare("how often functions are called", len(program.calls), self._calls)
        self._look_at_context()

    def _compare(self, what: str, wanted: int, got: int) -> None:
        if wanted != got:
            self.breach(BpfPromise.PROGRAM, what, wanted, got)

    def _look_at_context(self) -> None:
        program = self.program
        for name, start, before in (("", _CONTEXT_AT, program.context), (ARENA, _ARENA_AT, program.arena)):
            content = bytearray(before.ljust(PAGE, b"\0") if name else before)
            now = self.memory.read(start, len(content)) if before else b""
            self._look_at_cells([cell for cell in program.cells if cell.place == name], content, now)
            if before and content != now:
                at = next(k for k, (old, new) in enumerate(zip(content, now, strict=True)) if old != new)
                what = "its arena" if name else "its context"
                self.breach(BpfPromise.PROGRAM, what, content[at], now[at], f"byte {at} is changed")

    def _look_at_cells(self, cells: Iterable[Cell], content: bytearray, now: bytes) -> None:
        """Compare what a program leaves in some cells, and take them over into what is expected of all."""
        for cell in cells:
            place = slice(cell.offset, cell.offset + cell.size)
            self._compare(cell.what, cell.value, int.from_bytes(now[place], "little"))
            content[place] = now[place]


# -- all of them


def verify_programs(image: KernelImage, scene: Scene, progress: Progress | None = None) -> ProgramsResult:
    """Let a kernel's JIT compile each program of the catalogue and run it; then let it poke one.

    Args:
        image: the kernel.
        scene: prepared for it.
        progress: called with what is done next.
    """
    from .poke import verify_poke

    started, result = perf_counter(), ProgramsResult()
    tell = progress or _silent
    try:
        bench = JitBench(image, scene)
        trials = Trials(bench, scene, result, tell)
        trials.all()
        _with_extensions(trials, scene)
        if trials.refused:
            result.refused = len(trials.refused)
            result.notes.append(f"bpf: the JIT does not know: {'; '.join(trials.refused)}")
        if result.compiled:
            tell("bpf: text poke")
            verify_poke(bench, scene, result)
    except GenpatchError as error:
        result.trouble = str(error)
    result.seconds = perf_counter() - started
    return result


def _with_extensions(trials: Trials, scene: Scene) -> None:
    """Try once more what the JIT makes of programs for a hart with more extensions, as far as that is different."""
    image, result = trials.bench.image, trials.result
    before = result.compiled
    try:
        extended = extend(image, scene)
        more = Trials(JitBench(image, scene, bench=extended.bench), scene, result, trials.progress, trials)
        more.all()
    except GenpatchError as error:
        result.notes.append(f"bpf: programs were not compiled for a hart with more extensions: {error}")
        return
    trials.refused = [name for name in trials.refused if name in more.refused]
    if result.compiled > before:
        names = ", ".join(extended.names)
        result.notes.append(f"bpf: {result.compiled - before} of the programs are for a hart with {names}")


def _silent(text: str) -> None:
    """Tell nobody."""


class Trials:
    """Compiles and runs programs, and gathers what they broke.

    Args:
        bench: the kernel and its JIT.
        scene: prepared for the kernel.
        result: where what comes out is counted.
        progress: called with what is done next.
        plain: the same for a hart without the extensions that this one has; what comes out alike is not run again.

    Attributes:
        refused: names of programs that the JIT does not know.
        codes: what came of each program.
    """

    def __init__(
        self, bench: JitBench, scene: Scene, result: ProgramsResult, progress: Progress, plain: Trials | None = None
    ):
        self.bench, self.result, self.progress, self.plain = bench, result, progress, plain
        self.refused: list[str] = []
        self.codes: dict[str, tuple[bytes, ...]] = {}
        low = min(region.span.start for region in bench.image.memory.regions) & -PAGE
        near = bench.near - _NEAR
        self.hosts = {"helper": scene.host.start + _HELPER, "kfunc": scene.host.start + _KFUNC, "near_helper": near}
        self.needs = Needs(bench)
        self.low = low

    def all(self) -> None:
        """Try every program."""
        result, programs = self.result, catalogue()
        how = ", more extensions" if self.plain is not None else ""
        for number, program in enumerate(programs):
            self.progress(f"bpf: program {number:,} of {len(programs):,}{how}")
            if not self.needs.has(program.needs) or not self._try(program):
                self.refused.append(program.name)
        result.programs = len(programs)
        if not result.compiled:
            raise ImageError(self.bench.image.path, expected="a JIT that compiles programs", got="none accepted")

    def _source(self, program: CompiledProgram, names: dict[str, int]) -> Source:
        kfunc = program.kfunc
        kfuncs = (Kfunc("kfunc", self.hosts["kfunc"], kfunc.sizes, kfunc.signed),) if kfunc is not None else ()
        inlined = inlined_name(program.needs)
        names = names | {inlined: self.needs.inlined(program.needs) or 0} if inlined else names
        helpers = {name: address for name, address in self.hosts.items() if name != "kfunc"}
        return Source(
            program.text, program.stack, program.functions, kfuncs, helpers, names, program.zext, program.far,
            (ARENA_KERNEL, ARENA_USER) if program.arena else None,
        )  # fmt: skip

    def _try(self, program: CompiledProgram) -> bool:
        """Compile and run a program; tell whether the JIT knows it."""
        noted = len(self.result.failures)
        subject = self.ready(program)
        if subject is None:
            return len(self.result.failures) > noted
        self.codes[program.name] = codes = tuple(code for _, code in subject.parts)
        if self.plain is None or self.plain.codes.get(program.name) != codes:
            self._run(subject)
        return True

    def ready(self, program: CompiledProgram) -> Subject | None:
        """Compile a program and what it tail-calls; None if the JIT does not accept it. What goes wrong is noted."""
        array = self._array(program)
        source = self._source(program, {"map": array} if array else {})
        made = self._compile(program, source)
        if made is None or not made.accepted:
            return None
        targets: list[Compiled | None] = []
        for target in program.tail:
            if target is None or target == SELF:
                targets.append(made if target == SELF else None)
                continue
            text, stack = target
            other = self._compile(program, replace(source, text=text, stack=stack, functions=()))
            if other is None or not other.accepted:
                return None
            targets.append(other)
        return self._subject(program, made, array, targets)

    def _compile(self, program: CompiledProgram, source: Source) -> Compiled | None:
        """Compile; None if the JIT does not accept it. What it does wrong is noted."""
        made = self.bench.compile(source)
        self.result.jit_insns += made.insns
        wrong = [*([made.trouble] if made.trouble else []), *made.warnings, *self.bench.overruns]
        self.bench.overruns.clear()
        for note in wrong:
            self._fail(program, Breach(BpfPromise.MADE, "the JIT", 0, 0, note))
        return made if made.accepted or wrong else None

    def _array(self, program: CompiledProgram) -> int:
        """Put a struct bpf_array into memory, its pointers still empty; return its address, 0 without one."""
        if not program.tail:
            return 0
        bench = self.bench
        layout, bpf_map = bench.layout("bpf_array"), bench.layout("bpf_map")
        start = layout.offset("ptrs")
        at = bench.allocate(bytes(max(layout.size, start + 8 * len(program.tail))))
        bench.write(at + layout.offset("map"), bpf_map, "max_entries", len(program.tail))
        return at

    def _subject(
        self, program: CompiledProgram, made: Compiled, array: int, targets: Sequence[Compiled | None]
    ) -> Subject:
        memory, bench = self.bench.bench.memory, self.bench
        everything = list(dict.fromkeys(id(each) for each in (made, *targets) if each is not None))
        by_id = {id(each): each for each in (made, *targets) if each is not None}
        stretches = tuple(stretch for key in everything for stretch in by_id[key].functions)
        data: list[tuple[int, bytes]] = []
        if array:
            layout = bench.layout("bpf_array")
            for number, target in enumerate(targets):
                pointer = target.prog if target is not None else 0
                memory.write(array + layout.offset("ptrs") + 8 * number, pointer.to_bytes(8, "little"))
            size = max(layout.size, layout.offset("ptrs") + 8 * len(targets))
            data.append((array, memory.read(array, size)))
            progs = [by_id[key].prog for key in everything]
            data += [(prog, memory.read(prog, bench.prog.size)) for prog in progs]
        if "percpu" in program.needs:
            table = 8 * _PROCESSOR * b"\xa7" + PER_CPU_OFFSET.to_bytes(8, "little")
            data.append((bench.image.address_of(PER_CPU) or 0, table))
        parts = tuple((each.span, memory.read(each.span.start, each.span.size)) for each in stretches)
        self._look_at_hashes(program, made)
        guarded = bool(program.arena) or "probe" in program.needs
        fixups = self._fixups(program, made) if guarded else None
        return Subject(program, parts, stretches, tuple(data), self.hosts, self._processor, fixups)

    def _fixups(self, program: CompiledProgram, made: Compiled) -> Fixups:
        """Return who handles a program's faults; an entry that is for none of its instructions is noted."""
        found = Fixups(self.bench, made.progs)
        for pc in found.outside(Span(each.entry, each.entry + each.length) for each in made.functions):
            note = "an entry of the table of exceptions is for no instruction of the program"
            self._fail(program, Breach(BpfPromise.PROGRAM, "the table of exceptions", made.entry, pc, note))
        return found

    @cached_property
    def _processor(self) -> int | None:
        """Offset of the processor's number from tp; None if it is not known."""
        types = self.bench.types
        task, info = types.struct("task_struct"), types.struct("thread_info")
        inside = task.find("thread_info") if task is not None else None
        cpu = info.find("cpu") if info is not None else None
        return inside.offset + cpu.offset if inside is not None and cpu is not None else None

    def _look_at_hashes(self, program: CompiledProgram, made: Compiled) -> None:
        """In a kernel with CFI a hash stands in front of each entry."""
        image, memory = self.bench.image, self.bench.bench.memory
        for number, stretch in enumerate(made.functions):
            address = image.address_of(_HASHES[min(number, 1)])
            if address is None:
                continue
            try:
                wanted, got = (int.from_bytes(memory.read(at, 4), "little") for at in (address, stretch.entry - 4))
            except Trap:
                continue
            if wanted != got:
                what = f"the CFI hash in front of function {number}"
                self._fail(program, Breach(BpfPromise.PROGRAM, what, wanted, got))

    def _run(self, subject: Subject) -> None:
        runner = Runner(subject)
        runner.run()
        self.result.compiled += 1
        self.result.insns += runner.insns
        self.result.passed += not runner.breaches
        for promise in dict.fromkeys(each.promise for each in runner.breaches):
            alike = [each for each in runner.breaches if each.promise is promise]
            failure = self._fail(subject.program, alike[0], len(alike) - 1)
            if failure is not None and wants_listing(self.result):
                failure.listing, landing = listing_of(subject, {})
                failure.note = "; ".join(part for part in (failure.note, landing) if part)

    def _fail(self, program: CompiledProgram, breach: Breach, alike: int = 0) -> BpfFailure | None:
        name = program.name if self.plain is None else f"{program.name}, for a hart with more extensions"
        return add_failure(self.result, breach, name, alike, program.unused)


def add_failure(
    result: ProgramsResult, breach: Breach, example: str, alike: int = 0, unused: str = ""
) -> BpfFailure | None:
    """Add a failure, one that is known already by counting one more case of it; return it if it is new.

    Args:
        result: where it is added.
        breach: what was broken.
        example: the program.
        alike: how many more are alike.
        unused: why hardly anybody comes to this.
    """
    for known in result.failures:
        if (known.promise, known.what, _cause(known.note)) == (breach.promise, breach.what, breach.note):
            known.cases += known.example != example
            known.unused = known.unused and unused
            return None
    failure = BpfFailure(
        breach.promise, breach.what, 1, example, breach.expected, breach.got, breach.note, unused=unused, alike=alike,
        kind="program",
    )  # fmt: skip
    result.failures.append(failure)
    return failure


def _cause(note: str) -> str:
    """Return a note without where a tail call landed, which differs from program to program."""
    return note.partition(_LANDS)[0].removesuffix("; ")


def wants_listing(result: ProgramsResult) -> bool:
    """Tell whether there are still few enough listings for one more."""
    return sum(bool(each.listing) for each in result.failures) < _MOST_LISTINGS


def listing_of(subject: Subject, hosts: Mapping[int, Callable[[Hart], Outcome | None]]) -> tuple[list[str], str]:
    """Return what a program executes, a line an instruction, and where its first tail call lands.

    Args:
        subject: the program.
        hosts: what else is the host's, by address.
    """
    from ...run.listing import line_of

    lines: list[str] = []
    landing, before = "", None
    runner = Runner(subject)
    runner.hart.hooks.update(hosts)
    for each in runner.trace():
        if isinstance(each, Outcome):
            lines.append(f"-- {each.reason}")
            break
        if before is not None and not landing and before.insn.base.name == "jalr" and before.insn.base.rd == 0:
            landing = _landing(subject, each.pc)
        before = each
        lines.append(line_of(each, lambda pc: _place(subject, pc)))
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        lines[half:-half] = [f"... {len(lines) - _MOST_LINES:,} lines are left out"]
    return lines, landing


def _landing(subject: Subject, pc: int) -> str:
    """Return in words where a tail call landed; empty for what was no tail call."""
    has_tail = bool(subject.program.tail)
    starts = [each for each in subject.stretches if each.span.start <= pc < each.entry + each.length]
    if not has_tail or not starts:
        return ""
    size = starts[0].body - starts[0].entry
    return f"{_LANDS}{_place(subject, pc)}, the sled has {size} bytes"


def _place(subject: Subject, pc: int) -> str:
    for number, each in enumerate(subject.stretches):
        if pc in each.span:
            return f"program{f'.{number}' if number else ''}+{pc - each.entry:#x}"
    return as_hex(pc)
