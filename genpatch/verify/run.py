# SPDX-License-Identifier: GPL-2.0-or-later
"""All sites of a kernel through all states: what `genpatch verify` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ..image.model import KernelImage
from ..isa.encoding import REG_NAMES
from ..machine.lane_log import LaneEvents
from ..machine.outcome import Trap
from ..schemes import Link
from ..schemes.model import Need, Place
from ..sites.discover import find_sites
from ..sites.infer import SchemeVerdict, infer_scheme
from ..sites.model import Sites
from ..sites.patching import PatchingCode
from ..units import MASK64, BoolArray, I64Array, Span, U8Array, U64Array
from .contract import Expectation, Failure, Promise, Terms, judge
from .layouts import Layouts, layouts_of, slots_of
from .life import STATES, THROUGH_RA, Abilities, Patch, State
from .live_in import live_at_entry
from .own_ops import own_ops_flag
from .patcher import NO_GUESTS, Call, Guests, Patcher
from .replay import replay
from .returns import RETURNS, ReturnHook, frame_fields, go_back
from .scene import FUNCTIONS, Scene, prepare_scene
from .trial import Observation, Trial, arrived
from .update import UPDATE

if TYPE_CHECKING:
    from .bpf.run import BpfResult

__all__ = ["StateResult", "StoreCount", "Verification", "verify"]

_U64 = np.uint64
_EBREAK = np.frombuffer(b"\x73\x00\x10\x00", np.uint8)
_C_EBREAK = np.frombuffer(b"\x02\x90", np.uint8)
_KPROBE_BLACKLIST = ("__start_kprobe_blacklist", "__stop_kprobe_blacklist")
_LONGEST_BLACKLIST = 1 << 20
_LIST_FUNCTIONS = ("arch_ftrace_ops_list_func", "ftrace_ops_list_func")
_REGISTER_NUMBERS = {Link.RA: 1, Link.T0: 5}
MOST_SITES = 300_000
"""Sites that are run at most: some 2 GB of lanes, and several times what any kernel has."""
_NEAR = 4096
_MOST_TARGETS = 8
_MOST_LISTINGS = 12

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StoreCount:
    """Stores of one kind: what they wrote to, how wide, whether aligned, how many."""

    state: str
    what: str
    width: int
    aligned: bool
    count: int


@dataclass(frozen=True, slots=True)
class StateResult:
    """What came of one state.

    Args:
        name, what: of the state.
        sites: how many went through it.
        failed: int64[k], those that broke a promise, ascending.
        skipped: why it was not tried, empty if it was.
        insns: instructions executed.
    """

    name: str
    what: str
    sites: int
    failed: I64Array
    skipped: str = ""
    insns: int = 0


@dataclass
class Verification:
    """Everything that verification found out about one image.

    Args:
        image: the kernel.
        sites: its patch sites.
        verdict: the scheme that they are patched by.
        layouts: of the structures.
        terms: the contract, None if nothing could be run.
        states: in the order in which they were tried.
        failures: what was broken.
        stores: what was written.
        sequences: for each function and alignment, what it did in order, in one lane.
        listings: for (state, promise, what) of some failures, how the first site came to it.
        notes: what else there is to say.
        missing: functions that the image does not have.
        insns: instructions executed.
        seconds: time taken.
        tell: called with a line for each thing that happens to the first site, if anybody wants to know.
        bpf: what came of its BPF JIT, None if that was not run.
    """

    image: KernelImage
    sites: Sites
    verdict: SchemeVerdict
    layouts: Layouts
    terms: Terms | None = None
    states: list[StateResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stores: list[StoreCount] = field(default_factory=list)
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listings: dict[tuple[str, Promise, str], list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    insns: int = 0
    seconds: float = 0.0
    tell: Progress | None = None
    bpf: BpfResult | None = None


def verify(
    image: KernelImage,
    *,
    chosen: BoolArray | None = None,
    states: tuple[str, ...] = (),
    progress: Progress | None = None,
    tell: Progress | None = None,
) -> Verification:
    """Run a kernel's patching code on its sites, and its sites in every state.

    Args:
        image: the kernel.
        chosen: bool[n], which sites; all by default.
        states: names of those to judge; the others are gone through without being judged. All by default.
        progress: called with the name of each state before it is tried.
        tell: called with a line for each thing that happens to the first site.
    """
    started = perf_counter()
    result, code = prepare_verification(image)
    result.tell = tell
    _run(result, code, chosen, states, progress or _silent)
    result.seconds = perf_counter() - started
    return result


def prepare_verification(image: KernelImage) -> tuple[Verification, PatchingCode]:
    """Return a kernel's verification before anything was run, and its patching code."""
    sites, code = find_sites(image), PatchingCode(image=image)
    verdict = infer_scheme(image, sites, code)
    trampoline = code.caller
    layouts = layouts_of(
        image,
        direct_at=trampoline.direct_at if trampoline else None,
        func_at=trampoline.ops_func_at if trampoline else None,
        slots=slots_of(trampoline) if image.address_of("ftrace_regs_caller") is None else {},
    )
    return Verification(image, sites, verdict, layouts, notes=list(layouts.notes)), code


def is_wanted(name: str, states: tuple[str, ...]) -> bool:
    """Tell whether a state was asked for: ``direct`` also stands for ``direct:some_routine``."""
    return name in states or name.partition(":")[0] in states


def _silent(name: str) -> None:
    """Tell nobody."""


def _run(
    result: Verification,
    code: PatchingCode,
    chosen: BoolArray | None,
    states: tuple[str, ...],
    progress: Progress,
) -> None:
    scheme, sites = result.verdict.scheme, result.sites
    if scheme is None:
        result.notes.append("the scheme is not known: nothing was run")
        return
    wanted = sites.in_text if chosen is None else sites.in_text & chosen
    if not wanted.any():
        result.notes.append("there are no sites to run")
        return
    scene = prepare_scene(result.image)
    result.notes += scene.notes
    result.missing = scene.missing
    numbers = np.flatnonzero(wanted).astype(np.int64)
    if len(numbers) > MOST_SITES:
        result.notes.append(f"only the first {MOST_SITES:,} of {len(numbers):,} sites were run")
    run_states(result, scene, code, numbers[:MOST_SITES], states=states, progress=progress)


def run_states(
    result: Verification,
    scene: Scene,
    code: PatchingCode,
    chosen: I64Array,
    *,
    guests: Guests = NO_GUESTS,
    states: tuple[str, ...] = (),
    progress: Progress = _silent,
) -> None:
    """Bring sites through the states, and put what came of it into the result.

    Args:
        result: with the sites, which may be those of modules, and without terms.
        scene: the kernel's.
        code: its patching code.
        chosen: int64[k], numbers of the sites.
        guests: the modules that the sites are of.
        states, progress: as of `verify`.
    """
    result.terms = terms_of(result, scene, code)
    if scene.framing:
        result.sequences[UPDATE] = scene.framing
    run = Journey(result, scene, code, chosen, guests)
    if run.scheme.frozen_auipc and "ftrace_init_nop" not in run.can.functions:
        result.notes.append("no ftrace_init_nop: the first word of each call is what the compiler left")
    for state in (*STATES, *run.target_states()):
        if states and not is_wanted(state.name, states):
            run.pass_through(state)
            continue
        progress(state.name)
        run.go_through(state)
    for hook in RETURNS:
        if not states or is_wanted(hook.state, states):
            progress(hook.state)
            run.go_back(hook)
    tried = {state.name for state in result.states}
    result.notes += [f"there is no state {name} here" for name in states if name not in tried]
    run.compare_live_registers()
    result.insns = run.patcher.lanes.insns


def terms_of(result: Verification, scene: Scene, code: PatchingCode) -> Terms:
    """Return the contract of a kernel's sites."""
    scheme, sites = result.verdict.scheme, result.sites
    assert scheme is not None
    adjust = code.call_adjust
    ip = sites.entry + _U64(adjust & MASK64) if adjust is not None else sites.func + _U64(scheme.ip_offset)
    pad = np.zeros_like(sites.lead) if Need.LANDING_PAD in scheme.needs else sites.lead  # part of the scheme's sled
    return Terms(
        func=sites.func,
        ip=ip,
        body=sites.func + pad.astype(_U64) + _U64(scheme.after),
        link=_REGISTER_NUMBERS[scheme.link],
        parent=scene.parent,
        elsewhere=scene.elsewhere,
        return_hook=result.image.address_of("return_to_handler") or 0,
        regs=result.layouts.regs,
        local_arguments=bool(result.image.is_clang),
    )


class Journey:
    """One kernel's sites on their way through the states."""

    def __init__(
        self, result: Verification, scene: Scene, code: PatchingCode, chosen: I64Array, guests: Guests = NO_GUESTS
    ):
        self.result, self.scene, self.code, self.guests = result, scene, code, guests
        image, terms = result.image, result.terms
        assert terms is not None
        assert result.verdict.scheme is not None
        self.scheme = result.verdict.scheme
        self.chosen = chosen
        self.terms = replace(terms, func=terms.func[chosen], ip=terms.ip[chosen], body=terms.body[chosen])
        self.patcher = Patcher(scene, self.terms.ip, result.layouts, guests)
        walkers = (image.address_of(name) for name in _LIST_FUNCTIONS)
        callbacks = frozenset({scene.callback, *(address for address in walkers if address is not None)})
        self.trial = Trial(
            self.patcher, self.terms.func, self.terms.body, callbacks, self.terms.return_hook, self.terms.link
        )
        self.patcher.let_pass(callbacks, self.terms.link)
        self.can = self._abilities()
        self.low = self.terms.func - _U64(self.scheme.before if self.scheme.literal is not None else 0)
        self.low = np.minimum(self.low, result.sites.entry[chosen])
        is_there = (guests.memory or image.memory).windows(self.low, 0, 1)[1][:, 0]
        self.low = np.where(is_there, self.low, self.terms.func)  # no room for a literal: storing it will fail
        self.width = int((self.terms.body - self.low).max())
        self.first_bytes: U8Array | None = None
        self.ops_now: U64Array | None = None
        self.targets: dict[str, int] = {}
        self.changed: set[int] = set()
        self.called = ""
        """The role of what the sites call now."""
        self.unprobed: I64Array = np.zeros(0, np.int64)
        self.takes_kprobe = ~np.isin(self.terms.func, self._kprobe_blacklist())
        self._listed: set[tuple[str, Promise]] = set()
        self._executable = [region.span for region in image.memory.regions if region.executable]
        self._executable += [place.span for place in guests.places if "x" in place.permissions]

    def _abilities(self) -> Abilities:
        image, regs = self.result.image, self.result.layouts.regs
        functions = frozenset(name for name in FUNCTIONS if image.address_of(name) is not None)
        literal = self.scheme.literal is not None
        self.call_ops_flag = self._own_ops_flag() if literal else 0
        direct = image.address_of("register_ftrace_direct") is not None
        unique_ops = self.call_ops_flag != 0 and image.address_of("ftrace_find_unique_ops") is not None
        return Abilities(
            functions=functions,
            literal=literal,
            unique_ops=unique_ops,
            direct=direct and (unique_ops or not (literal or self.scheme.frozen_auipc)),
            direct_slot=direct and "t1" in regs,
            regs_caller=image.address_of("ftrace_regs_caller") is not None,
            graph=bool(self.terms.return_hook) and image.address_of("ftrace_graph_func") is not None and "ra" in regs,
            frame={"epc", "ra", "a0"} <= regs.keys(),
            kprobe=bool((self.terms.ip != self.terms.func).all()),
            redirect=self.scheme.link is not Link.RA,
        )

    def _kprobe_blacklist(self) -> U64Array:
        """Return the functions of the kernel that register_kprobe refuses (NOKPROBE_SYMBOL)."""
        start, end = (self.result.image.address_of(name) for name in _KPROBE_BLACKLIST)
        size = end - start if start is not None and end is not None else 0
        if start is None or not 0 < size <= _LONGEST_BLACKLIST:
            return np.zeros(0, _U64)
        with suppress(Trap):  # symbols that stand nowhere
            content = self.patcher.memory.read(self.patcher.all[:1], start, size // 8 * 8)[0]
            found: U64Array = np.ascontiguousarray(content).view("<u8").astype(_U64)
            return found
        return np.zeros(0, _U64)

    def _own_ops_flag(self) -> int:
        def tell(note: str) -> None:
            if note not in self.result.notes:
                self.result.notes.append(note)

        return own_ops_flag(self.scene, self.result.layouts, int(self.terms.ip[0]), self.guests, tell)

    # -- one state

    def pass_through(self, state: State) -> None:
        """Bring all sites into a state without judging it, for the sake of those that follow."""
        if state.needs(self.can):
            for patch in state.patches:
                self._call(patch)
            if state.name == "boot":
                self._compare_bytes(state)

    def go_through(self, state: State) -> None:
        """Bring all sites into a state, run them, and note what was broken."""
        result = self.result
        if not state.needs(self.can):
            why = THROUGH_RA if state.needs(replace(self.can, redirect=True)) else state.why_not
            result.states.append(StateResult(state.name, state.what, 0, np.zeros(0, np.int64), why))
            return
        executed, before = self.patcher.lanes.insns, len(result.failures)
        self._tell(f"{state.name}: {state.what}")
        for patch in state.patches:
            self._patch(state, patch)
        if state.restores or state.name == "boot":
            self._compare_bytes(state)
        for expectation in state.runs:
            expected = replace(expectation, ops=self.ops_now) if expectation.calls else expectation
            self._try(state.name, expected)
        self._conclude(state.name, state.what, executed, before)

    def go_back(self, hook: ReturnHook) -> None:
        """Let every function return to a trampoline that a tracer has put in its caller's place."""
        result, image = self.result, self.result.image
        missing = [name for name in (hook.entry, hook.handler) if image.address_of(name) is None]
        if missing:
            why = f"no {' and no '.join(missing)}"
            result.states.append(StateResult(hook.state, hook.what, 0, np.zeros(0, np.int64), why))
            return
        executed, before = self.patcher.lanes.insns, len(result.failures)
        for failure in go_back(self.trial, hook, frame_fields(image, hook)):
            self._fail(failure)
        self._conclude(hook.state, hook.what, executed, before)

    def _conclude(self, name: str, what: str, executed: int, before: int) -> None:
        """Add the result of a state: what failed since there were `before` failures."""
        failed = [failure.lanes for failure in self.result.failures[before:]]
        sites = np.unique(np.concatenate(failed)) if failed else np.zeros(0, np.int64)
        insns = self.patcher.lanes.insns - executed
        self.result.states.append(StateResult(name, what, len(self.chosen), sites, insns=insns))

    def compare_live_registers(self) -> None:
        """Find functions whose first instructions read a register that the call to a tracer changes."""
        if not self.changed:
            return
        live = live_at_entry(self.guests.memory or self.result.image.memory, self.terms.body)
        for number in sorted(self.changed.difference(self.terms.preserved)):
            lanes = np.flatnonzero(live >> number & 1)
            if len(lanes):
                note = "the function reads it before it writes it"
                values = np.zeros(len(lanes), _U64)
                self._fail(Failure("enabled", Promise.LIVE, REG_NAMES[number], lanes, values, values, note))
                self._count_as_failed("enabled", self.chosen[lanes])

    def _count_as_failed(self, name: str, sites: I64Array) -> None:
        """Add sites to those that failed in a state that was concluded before."""
        states = self.result.states
        for number, state in enumerate(states):
            if state.name == name:
                states[number] = replace(state, failed=np.union1d(state.failed, sites))

    def _tell(self, *lines: str) -> None:
        for line in lines if self.result.tell is not None else ():
            self.result.tell(line)  # type: ignore[misc]

    def _try(self, state: str, expected: Expectation) -> Observation:
        name_at = self.result.image.symbols.nearest
        if self.result.tell is not None:
            self._tell("  the function is called:")
            self._tell(*(f"    {line}" for line in replay(self.trial, 0, expected.behaviour, name_at)))
        seen = self.trial.run(behaviour=expected.behaviour)
        if state == "enabled":
            ok = (seen.calls == 1) & arrived(seen, self.terms.body)
            self.changed = {n for n in range(1, 32) if (ok & (seen.last[n] != seen.first[n])).any()}
        terms = self.terms if self._is_frame_promised() else replace(self.terms, hands_frame=False)
        for broken in judge(state, seen, expected, terms):
            failure = self._explained(broken)
            key = (state, failure.promise, failure.what)
            if len(self.result.listings) < _MOST_LISTINGS and (state, failure.promise) not in self._listed:
                self._listed.add((state, failure.promise))
                self.result.listings[key] = replay(self.trial, int(failure.lanes[0]), expected.behaviour, name_at)
            self._fail(failure)
        return seen

    def _is_frame_promised(self) -> bool:
        """Tell whether a callback may read the frame that it gets now: only full registers are a struct pt_regs."""
        is_full = not self.can.regs_caller or self.called == "regs"
        return is_full or self.result.layouts.regs_name != "pt_regs"

    def _explained(self, failure: Failure) -> Failure:
        """Say why a callback is not called if nothing was patched where the function is executed."""
        wrote = [each.what for each in self.result.stores if each.state == failure.state]
        if failure.promise is Promise.CALLS and wrote and all(what.startswith("func-") for what in wrote):
            note = f"what was patched ({', '.join(sorted(set(wrote)))}) lies below the function and is never executed"
            return replace(failure, note=note)
        return failure

    def _fail(self, failure: Failure) -> None:
        """Keep a failure, with the numbers of sites instead of lanes."""
        self.result.failures.append(replace(failure, lanes=self.chosen[failure.lanes]))

    # -- patching

    def _patch(self, state: State, patch: Patch) -> None:
        call = self._call(patch)
        if self.result.tell is not None:
            outcome = f"returns {call.value[0]}" if call.returned[0] else "does not return"
            self._tell(f"  {patch.function} {outcome}", *(f"    {step}" for step in self._steps(call, 0)))
        self._judge_call(state.name, call)
        if patch.probed and len(self.unprobed):
            lost, note = self.unprobed, "the breakpoint at func is overwritten"
            func = self.terms.func[lost]
            self._fail(Failure(state.name, Promise.PATCH_STAYS, call.name, lost, func, func, note))
        self._count_stores(state.name, call)

    def _call(self, patch: Patch) -> Call:
        self._set_ops(patch.ops)
        covered = self._plant() if patch.probed else None
        call = self.patcher.call(patch.function, self._arguments(patch))
        self.called = patch.new
        self.ops_now = self._ops_passed(patch.ops)
        if covered is not None:
            self.unprobed = self._uproot(covered)
        return call

    def _address(self, role: str) -> int:
        image = self.result.image
        if role == "direct":
            return self.scene.direct
        if role in self.targets:
            return self.targets[role]
        return image.address_of({"caller": "ftrace_caller", "regs": "ftrace_regs_caller"}[role]) or 0

    def _arguments(self, patch: Patch) -> dict[int, U64Array | int]:
        record, old = self.patcher.record, self.called or patch.old
        match patch.function:
            case "ftrace_init_nop":
                return {0: 0, 1: record}
            case "ftrace_make_nop":
                return {0: 0, 1: record, 2: self._address(old)}
            case "ftrace_make_call":
                return {0: record, 1: self._address(patch.new)}
            case _:
                return {0: record, 1: self._address(old), 2: self._address(patch.new)}

    def _set_ops(self, role: str) -> None:
        """Write the record's flags and the site's own ops."""
        patcher, layouts = self.patcher, self.result.layouts
        memory, ops = patcher.memory, layouts.ops
        flags = self.call_ops_flag if role != "list" and self.can.unique_ops else 0
        memory.write_u64(None, patcher.record + layouts.record_flags, flags)
        memory.write_u64(None, patcher.ops + ops.func, self.scene.callback)
        if ops.direct_call is not None:
            memory.write_u64(None, patcher.ops + ops.direct_call, 0 if role in ("list", "one") else self._address(role))

    def _ops_passed(self, role: str) -> U64Array | None:
        """Return what the callback will get as its ops; the patching function may have chosen them just now."""
        patcher, image = self.patcher, self.result.image
        own = role != "list" and self.can.unique_ops
        shared = image.address_of("ftrace_list_ops") if self.can.literal else self._global_op()
        value = patcher.ops if own else shared
        return None if value is None else np.full(len(self.chosen), value, _U64)

    def _global_op(self) -> int | None:
        """Return the ops that a scheme without literals passes on.

        It is what function_trace_op holds, unless ftrace_update_ftrace_func has put the callback into an ops that
        ftrace_caller calls.
        """
        handed, func = self.scene.handed, self.result.layouts.ops.func
        with suppress(Trap):  # no address of an ops
            if handed and self._word(handed + func) == self.scene.callback:
                return handed
        address = self.result.image.address_of("function_trace_op")
        with suppress(Trap):  # a symbol that stands nowhere
            if address is not None:
                return self._word(address)
        return None

    def _word(self, address: int) -> int:
        return int(self.patcher.memory.read_u64(self.patcher.all[:1], address)[0])

    def _plant(self) -> U8Array:
        """Put a breakpoint at each func that takes one, as a kprobe does, and return what was there at all of them."""
        covered = self.patcher.memory.read(None, self.terms.func, 4)
        self._overwrite(covered, np.broadcast_to(_EBREAK, covered.shape), _C_EBREAK)
        return covered

    def _uproot(self, covered: U8Array) -> I64Array:
        """Put back what was there, and return the lanes whose breakpoint has been overwritten."""
        now = self.patcher.memory.read(None, self.terms.func, 4)
        gone = np.where(covered[:, 0] & 3 == 3, (now != _EBREAK).any(axis=1), (now[:, :2] != _C_EBREAK).any(axis=1))
        gone &= self.takes_kprobe
        self._overwrite(covered, covered, covered[:, :2])
        return np.flatnonzero(gone)

    def _overwrite(self, covered: U8Array, words: U8Array, parcels: U8Array) -> None:
        """Write to each func that takes a kprobe: a word where one of 4 bytes was covered, else a parcel."""
        memory, func = self.patcher.memory, self.terms.func
        is_word, takes = covered[:, 0] & 3 == 3, self.takes_kprobe
        parcels = np.broadcast_to(parcels, (len(func), 2))
        for lanes, data in ((np.flatnonzero(is_word & takes), words), (np.flatnonzero(~is_word & takes), parcels)):
            if len(lanes):
                memory.write(lanes, func[lanes], data[lanes])

    def _judge_call(self, state: str, call: Call) -> None:
        lanes = call.lanes
        lost = ~call.returned
        if lost.any():
            stopped = self.patcher.lanes.pc[lanes]
            note = self.patcher.lanes.outcome(int(lanes[lost][0])).reason
            self._fail(
                Failure(state, Promise.PATCH_RETURNS, call.name, lanes[lost], stopped[lost], stopped[lost], note)
            )
        refused = call.returned & (call.value != 0)
        if refused.any():
            value = call.value.astype(_U64)
            note = f"returned {int(call.value[refused][0])}"
            self._fail(
                Failure(
                    state,
                    Promise.PATCH_RETURNS,
                    call.name,
                    lanes[refused],
                    value[refused] * _U64(0),
                    value[refused],
                    note,
                )
            )
        for event in call.events:
            if event.kind == "store":
                self._judge_store(state, call.name, event)

    def _judge_store(self, state: str, name: str, event: LaneEvents) -> None:
        """A store to instructions must be within the lane's own site."""
        target, width = event.targets, _U64(event.width)
        inside = (target >= self.low[event.lanes]) & (target + width <= self.terms.body[event.lanes])
        stray = ~inside & self._is_text(target)
        if stray.any():
            lanes = event.lanes[stray]
            self._fail(
                Failure(
                    state, Promise.PATCH_STAYS, name, lanes, self.low[lanes], target[stray], "a store outside the site"
                )
            )

    def _is_text(self, addresses: U64Array) -> BoolArray:
        inside = np.zeros(len(addresses), np.bool_)
        for span in self._executable:
            inside |= span.holds(addresses)
        return inside

    def _count_stores(self, state: str, call: Call) -> None:
        counts: dict[tuple[str, int, bool], int] = {}
        for event in call.events:
            if event.kind != "store":
                continue
            offset = (event.targets - self.terms.func[event.lanes]).view(np.int64)
            aligned = event.targets % _U64(event.width) == 0
            for at in np.unique(offset[(offset >= -64) & (offset < 64)]).tolist():
                here = offset == at
                for is_aligned in (True, False):
                    count = int((here & (aligned == is_aligned)).sum())
                    if count:
                        key = (self._part(at), event.width, is_aligned)
                        counts[key] = counts.get(key, 0) + count
        self.result.stores += [StoreCount(state, *key, count) for key, count in sorted(counts.items())]
        self._note_sequences(call)

    def _part(self, offset: int) -> str:
        if self.scheme.literal is not None and offset < 0:
            return "literal"
        return f"func{offset:+#x}" if offset else "func"

    def _note_sequences(self, call: Call) -> None:
        """Keep what the first site of each alignment did in order; the input of a race."""
        residue = self.terms.func[call.lanes] % _U64(8)
        for value in np.unique(residue).tolist():
            key = f"{call.name}, func % 8 == {value}"
            if key not in self.result.sequences:
                lane = int(call.lanes[residue == value][0])
                self.result.sequences[key] = tuple(self._steps(call, lane))

    def _steps(self, call: Call, lane: int) -> Iterator[str]:
        for event in call.events:
            at = int(np.searchsorted(event.lanes, lane))
            if at < len(event.lanes) and event.lanes[at] == lane:
                if event.kind == "store":
                    offset = int(event.targets[at]) - int(self.terms.func[lane])
                    yield f"store {event.width} at func{offset:+d}: {int(event.values[at]):#x}"
                else:
                    yield event.kind

    def _compare_bytes(self, state: State) -> None:
        now = np.zeros((len(self.low), self.width), np.uint8)
        size = (self.terms.body - self.low).astype(np.int64)
        for width in np.unique(size).tolist():
            lanes = np.flatnonzero(size == width)
            with suppress(Trap):  # a sled that leaves its section: patching it has failed
                now[lanes, :width] = self.patcher.memory.read(lanes, self.low[lanes], width)
        if self.first_bytes is None:
            self.first_bytes = now
            return
        differs = now != self.first_bytes
        differs[self._left_behind()] = False
        lanes = np.flatnonzero(differs.any(axis=1))
        if len(lanes):
            at = differs[lanes].argmax(axis=1)
            expected, got = self.first_bytes[lanes, at].astype(_U64), now[lanes, at].astype(_U64)
            self._fail(
                Failure(state.name, Promise.RESTORES, "bytes", lanes, expected, got, "a byte is not what it was")
            )

    def _left_behind(self) -> BoolArray:
        """bool[n, width]: data of a call that its scheme leaves where it is when the call is gone."""
        scheme, func = self.scheme, (self.terms.func - self.low).astype(np.int64)
        column, mask = np.arange(self.width), np.zeros((len(func), self.width), np.bool_)
        for store in scheme.enable:
            if store.is_data and store.place is Place.FUNC and store.at not in {each.at for each in scheme.disable}:
                start = (func + store.at)[:, None]
                mask |= (column >= start) & (column < start + store.width)
        return mask

    # -- direct calls of what the kernel has itself

    def target_states(self) -> Iterator[State]:
        """Yield a state for each routine of the kernel that a site may call directly."""
        needed = {"ftrace_make_call", "ftrace_make_nop"}
        if not self.can.direct or not needed <= self.can.functions:
            return
        for name, address in self._targets():
            self.targets[name] = address
            patches = (Patch("ftrace_make_nop", old="caller"), Patch("ftrace_make_call", new=name, ops=name))
            yield State(f"direct:{name}", f"calls {name} directly", patches, (DIRECT_THROUGH,))

    def _targets(self) -> Iterator[tuple[str, int]]:
        """Return routines near ftrace_caller that go back through the call's link register."""
        image, caller = self.result.image, self.result.image.address_of("ftrace_caller")
        if caller is None:
            return
        own = self.code.span("ftrace_caller") or Span(caller, caller)
        near = image.symbols.code_between(max(caller - _NEAR, 0), caller + _NEAR)
        seen = set(self.result.sites.func.tolist()) | self.guests.traced
        regs = self.code.span("ftrace_regs_caller") or own
        found = 0
        for index in near.tolist():
            address = int(image.symbols.address[index])
            if address in seen or address in own or address in regs or found >= _MOST_TARGETS:
                continue
            seen.add(address)
            trampoline = self.code.trampoline_at(image.symbols.name(index), index)
            if trampoline is not None and trampoline.link is self.scheme.link and trampoline.complete:
                found += 1
                yield image.symbols.name(index), address


DIRECT_THROUGH = Expectation(through=True)
"""A routine of the kernel's own takes the call and goes back: the host sees nothing of it."""
