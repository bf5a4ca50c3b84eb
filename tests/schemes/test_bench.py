# SPDX-License-Identifier: GPL-2.0-or-later
"""Each scheme, made concrete and executed: a call ends up where it should, with what it came with."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, pairwise

import pytest

from genpatch.isa.encoding import REG_NAMES, REG_NUMBERS, split_pcrel
from genpatch.machine.hart import Hart
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Status
from genpatch.schemes import CATALOG, CallScheme, Link
from genpatch.schemes.bench import STATES, TRANSITIONS, Bench, Step, StepKind, bench_of
from genpatch.schemes.model import OpsIn
from genpatch.schemes.trampoline import FRAMES
from genpatch.units import Span

SCHEMES = pytest.mark.parametrize("scheme", CATALOG.values(), ids=CATALOG.keys())
IN_EACH_FRAME = pytest.mark.parametrize("frame", FRAMES)
AT_EACH_RESIDUE = pytest.mark.parametrize("residue", [0, 4, 2])

STACK = Span(0xFFFF_FFC8_0001_0000, 0xFFFF_FFC8_0001_2000)
SP = STACK.end - 0x200
CALLER_SAVED = [REG_NUMBERS[name] for name in REG_NAMES if name[0] in "at" or name == "ra"]
CALLER_SAVED.remove(REG_NUMBERS["tp"])
RA, T0, A0 = 1, 5, 10
FIRST = [0, *(0x1111_0000_0000_0000 + 0x0101 * number for number in range(1, 32))]


@dataclass
class Call:
    """What a call of the function did before it was in the body."""

    registers: list[int]
    callbacks: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    directs: list[str] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)


def memory_of(pieces: dict[int, bytes]) -> Memory:
    memory = Memory()
    for at, data in pieces.items():
        memory.map(at, data, permissions="rwx")
    memory.map(STACK.start, size=STACK.size, name="stack")
    return memory


def called(bench: Bench, pieces: dict[int, bytes] | None = None) -> Call:
    """Call the function and stop in its body."""
    hart = Hart(memory_of(pieces or dict(bench.memory)))
    hart.x[:32] = [*FIRST]
    hart.x[2] = SP
    for number, value in bench.fixed.items():
        hart.x[number] = value
    before = hart.x[:32]
    call = Call([])

    def callback(at: Hart) -> None:
        call.callbacks.append((bench.callbacks[at.pc], *at.x[A0 : A0 + 4]))
        call.frames.append(at.memory.read(at.x[A0 + 3], 288) if bench.scheme.owner == "ftrace" else b"")
        assert at.x[2] % 16 == 0
        at.pc = at.x[RA]
        for number in CALLER_SAVED:
            at.x[number] = 0xDEAD_0000 + number

    def direct(at: Hart) -> None:
        call.directs.append(bench.directs[at.pc])
        at.pc = at.x[T0]

    hart.hooks = {**dict.fromkeys(bench.callbacks, callback), **dict.fromkeys(bench.directs, direct)}
    hart.breakpoints = {bench.body}
    hart.pc = bench.func
    outcome = hart.run(1000)
    assert (outcome.status, outcome.pc) == (Status.STOPPED, bench.body), outcome
    call.registers = hart.x[:32]
    changed = {REG_NAMES[number] for number in range(32) if before[number] != call.registers[number]}
    assert changed <= bench.scheme.clobbers
    assert call.registers[2] == SP
    return call


def carried_out(pieces: dict[int, bytes], steps: tuple[Step, ...]) -> dict[int, bytes]:
    """Return memory after the stores of a transition."""
    memory = memory_of(pieces)
    for step in steps:
        if step.kind is StepKind.STORE:
            memory.write(step.at, step.data)
    return {at: memory.read(at, len(data)) for at, data in pieces.items()}


def reached(bench: Bench, name: str, call: Call) -> None:
    """A call was traced by that tracer and by no other."""
    if bench.directs:
        assert (call.callbacks, call.directs) == ([], [name])
        return
    assert call.directs == []
    assert [(who, ops) for who, _, _, ops, _ in call.callbacks] == [(name, bench.ops[name])]
    if bench.scheme.owner == "ftrace":
        _, ip, parent, _, frame = call.callbacks[0]
        assert (ip, parent) == (bench.func + bench.scheme.ip_offset, FIRST[RA])
        assert frame in STACK


@SCHEMES
@IN_EACH_FRAME
@AT_EACH_RESIDUE
class TestCalls:
    def test_a_function_that_is_not_traced(self, scheme: CallScheme, frame: str, residue: int) -> None:
        call = called(bench_of(scheme, residue=residue, frame=frame))
        assert (call.callbacks, call.directs) == ([], [])

    @pytest.mark.parametrize("name", ["A", "B"])
    def test_a_function_that_is_traced(self, scheme: CallScheme, frame: str, residue: int, name: str) -> None:
        bench = bench_of(scheme, residue=residue, frame=frame, state=name)
        reached(bench, name, called(bench))

    def test_one_transition_after_the_other(self, scheme: CallScheme, frame: str, residue: int) -> None:
        bench = bench_of(scheme, residue=residue, frame=frame)
        off = dict(bench.memory)
        traced = carried_out(off, bench.steps("enable"))
        reached(bench, "A", called(bench, traced))
        changed = carried_out(traced, bench.steps("change"))
        reached(bench, "B", called(bench, changed))
        for pieces in (traced, changed):
            after = called(bench, carried_out(pieces, bench.steps("disable")))
            assert (after.callbacks, after.directs) == ([], [])

    def test_the_states_are_what_transitions_lead_to(self, scheme: CallScheme, frame: str, residue: int) -> None:
        bench, *others = (bench_of(scheme, residue=residue, frame=frame, state=each) for each in STATES)
        off, traced, other = (dict(each.memory) for each in (bench, *others))
        assert carried_out(off, bench.steps("enable")) == traced
        kept = carried_out(traced, bench.steps("change"))
        disabled = carried_out(traced, bench.steps("disable"))
        if scheme.name == "dynamic-trampoline":  # the old trampoline is there until it is freed
            at = bench.code["trampoline A"].start
            kept[at], disabled[at] = other[at], off[at]
        if scheme.name == "detour-24":  # its target is left alone
            disabled[bench.func] = disabled[bench.func][:16] + off[bench.func][16:24] + disabled[bench.func][24:]
        assert kept == other
        assert disabled == off


@SCHEMES
@IN_EACH_FRAME
@AT_EACH_RESIDUE
def test_memory_is_in_disjoint_pieces(scheme: CallScheme, frame: str, residue: int) -> None:
    bench = bench_of(scheme, residue=residue, frame=frame)
    spans = sorted(Span(at, at + len(data)) for at, data in bench.memory.items())
    assert all(one.end <= other.start for one, other in pairwise(spans))
    inside = [*bench.code.values(), *bench.mutable, *bench.pointers]
    assert all(any(one.start <= each.start and each.end <= one.end for one in spans) for each in inside)
    assert not any(at in span for at in (*bench.callbacks, *bench.directs) for span in spans)
    assert bench.func % 8 == residue
    assert not any(bench.body in span for span in bench.code.values())
    pages = {page for span in bench.code.values() for page in range(span.start >> 12, (span.end - 1 >> 12) + 1)}
    data = [*bench.ops.values(), *(span.start for span in bench.pointers if scheme.ops_in is OpsIn.SLOT)]
    assert not pages & {at >> 12 for at in data}


@SCHEMES
class TestSteps:
    def test_a_transition_ends_with_all_that_was_stored_seen(self, scheme: CallScheme) -> None:
        bench = bench_of(scheme)
        for transition in TRANSITIONS:
            kinds = [step.kind for step in bench.steps(transition)]
            last = max(at for at, kind in enumerate(kinds) if kind is StepKind.STORE)
            assert kinds[last + 1] is StepKind.PUBLISH
            assert (kinds[last + 2 :] == []) == (transition != "retire")

    def test_retire(self, scheme: CallScheme) -> None:
        bench = bench_of(scheme, state="A")
        steps = bench.steps("retire")
        disable = bench.steps("disable")
        assert steps[: len(disable)] == disable
        assert steps[len(disable)].kind is StepKind.WAIT_TASKS
        freed = {step.at: step.size for step in steps[len(disable) + 1 :]}
        assert freed.pop(bench.ops["A"]) == 32
        trampoline = bench.code.get("trampoline A")
        if scheme.name in ("dynamic-trampoline", "bpf-fentry", "bpf-fentry-ra16"):
            assert trampoline is not None
            assert freed == {trampoline.start: trampoline.size}
        else:
            assert freed == {}

    def test_what_is_stored(self, scheme: CallScheme) -> None:
        bench = bench_of(scheme)
        stores = [step for each in TRANSITIONS for step in bench.steps(each) if step.kind is StepKind.STORE]
        for step in stores:
            assert step.what
            assert step.data
            into = [name for name, span in bench.code.items() if span.start <= step.at < span.end]
            assert step.is_code == bool(into)
        touched = {at for step in stores for at in range(step.at, step.at + len(step.data))}
        assert touched == {at for span in bench.mutable for at in range(span.start, span.end)}
        assert all(one.end < other.start for one, other in pairwise(bench.mutable))

    def test_a_step_is_one_store_of_the_scheme(self, scheme: CallScheme) -> None:
        bench = bench_of(scheme, residue=2)
        for transition in ("enable", "change", "disable"):
            stores = [step for step in bench.steps(transition) if step.kind is StepKind.STORE]
            wanted = [(store.width, store.what) for store in getattr(scheme, transition)]
            got = [(len(step.data), step.what) for step in stores]
            assert [
                (size if width else 0, what) for (size, what), (width, _) in zip(got, wanted, strict=True)
            ] == wanted

    def test_pointers(self, scheme: CallScheme) -> None:
        for name, ops in (("off", "nop"), ("A", "A"), ("B", "B")):
            bench = bench_of(scheme, residue=4, state=name)
            memory = memory_of(dict(bench.memory))
            values = [memory.load(8, span.start) for span in bench.pointers]
            assert values == ([] if scheme.ops_in is OpsIn.OWN else [bench.ops[ops]])
        assert ("nop" in bench.ops) == (scheme.ops_in is not OpsIn.OWN)


def test_torn_pointers_are_no_pointers() -> None:
    for one, other in combinations(bench_of(CATALOG["call-ops"]).ops.values(), 2):
        assert one & 0xFFFF_FFFF != other & 0xFFFF_FFFF
        assert one >> 32 != other >> 32


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", ["mcount-ra16", "pair-t0", "pair-aligned8", "dynamic-trampoline", "bpf-fentry"])
def test_a_torn_pair_goes_astray(name: str, frame: str) -> None:
    bench = bench_of(CATALOG[name], frame=frame)
    pc = bench.func + (4 if CATALOG[name].link is Link.RA else 0)
    pairs = [split_pcrel(bench.code[f"trampoline {each}"].start - pc) for each in "AB"]
    for upper, lower in ((pairs[0][0], pairs[1][1]), (pairs[1][0], pairs[0][1])):
        target = pc + (upper << 12) + lower
        assert not any(target in Span(at, at + len(data)) for at, data in bench.memory.items())


@IN_EACH_FRAME
@SCHEMES
def test_the_frame(scheme: CallScheme, frame: str) -> None:
    """What a callback finds in its frame, at the offsets that were agreed on."""
    if scheme.owner == "bpf" or scheme.direct_call:
        pytest.skip("has no such frame" if scheme.owner == "bpf" else "A and B are taken directly")
    bench = bench_of(scheme, frame=frame, state="A")
    call = called(bench)
    words = [int.from_bytes(call.frames[0][at : at + 8], "little") for at in range(0, 288, 8)]
    registers = [*FIRST]
    for number, value in bench.fixed.items():
        registers[number] = value
    assert words[0] == bench.func + scheme.return_offset
    assert words[1:3] == [FIRST[RA], SP]
    if frame == "args":
        assert words[3] == registers[8]
        assert words[5:13] == registers[10:18]
        return
    for name in scheme.clobbers:
        registers[REG_NUMBERS[name]] = words[REG_NUMBERS[name]]
    assert words[3:32] == registers[3:]


def test_a_callback_may_choose_a_direct_target() -> None:
    """call-ops-direct: nop_ops has no target, and what a callback leaves in the frame's t1 is gone to."""
    scheme = CATALOG["call-ops-direct"]
    bench = bench_of(scheme, state="A")
    pieces = dict(bench.memory)
    ops = pieces[bench.ops["A"]]
    pieces[bench.ops["A"]] = ops[:8] + bytes(8) + ops[16:]
    hart = Hart(memory_of(pieces))
    hart.x[:32], hart.pc = [*FIRST], bench.func
    hart.x[2] = SP
    target = next(iter(bench.directs))

    def callback(at: Hart) -> None:
        assert at.memory.load(8, at.x[A0 + 3] + 32) == 0
        at.memory.store(8, at.x[A0 + 3] + 32, target)
        at.pc = at.x[RA]

    hart.hooks = dict.fromkeys(bench.callbacks, callback)
    hart.breakpoints = {target}
    assert hart.run(1000).pc == target
    assert hart.x[T0] == bench.body
    assert hart.x[2] == SP


@pytest.mark.parametrize("name", ["call-ops", "call-ops-direct", "auipc-fixed", "jal-dispatch", "jal-per-func"])
def test_calls_of_nop_ops_work(name: str) -> None:
    """The call is there and the pointer is that of nop: what a racing call may see."""
    bench = bench_of(CATALOG[name], state="A")
    pieces, span = dict(bench.memory), bench.pointers[0]
    nop = Step(kind=StepKind.STORE, at=span.start, data=bench.ops["nop"].to_bytes(8, "little"))
    reached_nop = called(bench, carried_out(pieces, (nop,)))
    assert [(who, ops) for who, _, _, ops, _ in reached_nop.callbacks] == [("nop", bench.ops["nop"])]
    assert reached_nop.directs == []


@pytest.mark.parametrize(("more", "value"), [("residue", 1), ("residue", 8), ("frame", "x"), ("state", "C")])
def test_what_there_is_no_bench_for(more: str, value: object) -> None:
    with pytest.raises(AssertionError):
        bench_of(CATALOG["pair-t0"], **{more: value})  # type: ignore[arg-type]
