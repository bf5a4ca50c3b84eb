# SPDX-License-Identifier: GPL-2.0-or-later
"""Each scheme of the catalog on a sample kernel that implements it: the states, the stores, and bugs put into it.

`genpatch verify` runs a sample as the scheme that it takes it for; here it is run as the scheme that it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from typer.testing import CliRunner

from genpatch.cli.app import app
from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.schemes import CATALOG, CallScheme, Link
from genpatch.schemes.model import Need, OpsIn, Place, Store
from genpatch.units import U64Array
from genpatch.verify.contract import Expectation, Promise, Terms, judge
from genpatch.verify.patcher import Call, Patcher
from genpatch.verify.run import Verification, prepare_verification, run_states
from genpatch.verify.scene import prepare_scene
from genpatch.verify.trial import Observation, Trial

from .test_mutated_samples import encoded, place_of

ROOT = Path(__file__).parents[2] / "vmlinux-samples"
RUN = CliRunner()
FTRACE = [name for name, scheme in CATALOG.items() if scheme.owner == "ftrace"]
BPF = [name for name, scheme in CATALOG.items() if scheme.owner == "bpf"]
Key = tuple[str, str, str]

_TWO = ("boot", "enabled", "graph", "changed-regs", "disabled", "enabled-regs", "regs-redirected", "regs-overridden")
_ONE = ("boot", "enabled", "redirected", "overridden", "graph")
_OWN_OPS = (*_ONE, "changed", "disabled", "enabled-one")
_END = ("disabled-again", "returned")

PASSED = {
    # the sled loads ra itself: no callback can change where the function returns to, or where it goes on
    "mcount-ra16": ("boot", "enabled", "changed-regs", "disabled", "enabled-regs", "regs-overridden", "disabled-again"),
    "pair-t0": (*_TWO, *_END),
    "pair-aligned8": (*_TWO, *_END),
    "nop-jalr": (*_TWO, "kprobed", *_END),
    "detour-24": (*_TWO, *_END),
    "auipc-fixed": (*_ONE, "disabled", "kprobed", *_END),
    "jal-dispatch": (*_OWN_OPS, *_END),
    "jal-per-func": (*_OWN_OPS, *_END),
    "call-ops": (*_OWN_OPS, "kprobed", *_END),
    "call-ops-direct": (
        *_ONE, "direct-in-frame", "changed", "changed-direct", "disabled", "enabled-one", "direct", "kprobed", *_END
    ),
    "dynamic-trampoline": (*_TWO, *_END),
    "call-ops-cfi": (*_OWN_OPS, "kprobed", *_END),
}  # fmt: skip
"""The states that a sample can be in; what is not here it has nothing for."""

TAKEN_FOR = {"pair-aligned8": "pair-t0", "dynamic-trampoline": "pair-t0", "nop-jalr": "auipc-fixed"}
"""Schemes that look like another one."""


def path_of(name: str) -> Path:
    return ROOT / f"scheme-{name}.elf"


def verified(name: str, path: Path, states: tuple[str, ...] = ()) -> Verification:
    """Run an image as the scheme that it implements; judge some states, all by default."""
    image = read_image(open_content(str(path)))
    result, code = prepare_verification(image)
    result.verdict = replace(result.verdict, scheme=CATALOG[name], variant=None)
    scene = prepare_scene(image)
    result.notes += scene.notes
    run_states(result, scene, code, np.arange(len(result.sites)), states=states)
    return result


@cache
def sound(name: str) -> Verification:
    return verified(name, path_of(name))


def test_every_scheme_is_here() -> None:
    assert [*FTRACE, *BPF] == list(CATALOG)
    assert set(PASSED) == set(FTRACE)
    assert all(path_of(name).is_file() for name in CATALOG)


@pytest.mark.parametrize("name", CATALOG)
def test_genpatch_verify(name: str) -> None:
    ran = RUN.invoke(app, ["verify", "-q", f"sample:scheme-{name}"])
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("name", FTRACE)
class TestStates:
    def test_what_it_is_taken_for(self, name: str) -> None:
        result, _ = prepare_verification(sound(name).image)
        chosen = result.verdict.variant or result.verdict.scheme
        assert chosen is not None
        assert chosen.name == TAKEN_FOR.get(name, name)
        assert not result.verdict.mismatches

    def test_every_site_passes_in_every_state_that_it_can_have(self, name: str) -> None:
        result = sound(name)
        assert not result.failures
        tried = [state for state in result.states if not state.skipped]
        assert tuple(state.name for state in tried) == PASSED[name]
        assert {state.sites for state in tried} == {len(result.sites)}
        assert not any(len(state.failed) for state in tried)

    def test_nothing_is_noted_but_what_is_not_judged(self, name: str) -> None:
        assert sound(name).notes == []

    def test_stop_machine(self, name: str) -> None:
        framing = sound(name).sequences["arch_ftrace_update_code"]
        if Need.STOP_MACHINE in CATALOG[name].needs:
            assert framing == ("stop_machine", "modify all code", "end of stop_machine")
        else:
            assert framing == ("modify all code", "remote fence.i")

    def test_what_it_cannot_be_in_has_a_reason(self, name: str) -> None:
        skipped = {state.name: state.skipped for state in sound(name).states if state.skipped}
        assert all(skipped.values())
        assert ("regs-redirected" in skipped and "through ra" in skipped["regs-redirected"]) == (name == "mcount-ra16")

    @pytest.mark.parametrize(
        ("routine", "transition"),
        [
            ("ftrace_init_nop", "init"), ("ftrace_make_call", "enable"), ("ftrace_modify_call", "change"),
            ("ftrace_make_nop", "disable"),
        ],
    )  # fmt: skip
    def test_the_stores_are_those_of_the_record(self, name: str, routine: str, transition: str) -> None:
        scheme, result = CATALOG[name], sound(name)
        seen = {key: steps for key, steps in result.sequences.items() if key.startswith(f"{routine}, ")}
        assert bool(seen) == (name != "auipc-fixed" or transition != "change")  # that needs an ops of a site's own
        for key, steps in seen.items():
            stores = getattr(scheme, transition)
            if transition == "init":
                assert (steps[0], steps[-2:]) == ("lock", ("unlock", "remote fence.i"))
            consume(scheme, stores, iter(steps), int(key[-1]))


def consume(scheme: CallScheme, stores: tuple[Store, ...], steps: Iterator[str], residue: int) -> None:
    """Check that steps make these stores, in order, as wide as their alignment allows, and publish in between."""
    written = [step for step in steps if step.startswith("store") or step == "remote fence.i"]
    for store in stores:
        if store.place is Place.TRAMPOLINE:
            continue
        at, end = store.at, store.at + store.width
        while at < end:
            start = residue if store.place is Place.FUNC else 0
            width = 8 if (start + at) % 8 == 0 and end - at >= 8 else 4
            place = re.escape(f"{at:+d}") if store.place is Place.FUNC else r"[-+]\d{3,}"
            assert re.match(rf"store {width} at func{place}: ", written.pop(0)), (store, written)
            at += width
        if (store.is_published and store.width) or Need.STOP_MACHINE in scheme.needs:
            assert written.pop(0) == "remote fence.i", store
    assert written in ([], ["remote fence.i"])


# --- what verify cannot see


def test_each_tracer_has_a_trampoline_of_its_own() -> None:
    """dynamic-trampoline: copies of ftrace_caller but for the ops, and each leads to its tracer."""
    name = "dynamic-trampoline"
    image = read_image(open_content(str(path_of(name))))
    result, _ = prepare_verification(image)
    scene = prepare_scene(image)
    at = {each: image.address_of(each) or 0 for each in ("ftrace_caller", "ftrace_caller_end", "ftrace_trampolines")}
    regs, tracers = image.address_of("ftrace_regs_caller") or 0, image.address_of("tracers") or 0
    size = at["ftrace_caller_end"] - at["ftrace_caller"] - 8
    patcher = Patcher(scene, result.sites.func, result.layouts)
    some = patcher.all[:1]
    copies = [patcher.memory.read(some, at["ftrace_trampolines"] + 384 * number, size + 8)[0] for number in (0, 1)]
    assert {copy[:size].tobytes() for copy in copies} == {image.memory.read(at["ftrace_caller"], size)}
    ops = [int(copy[size:].view("<u8")[0]) for copy in copies]
    assert ops[0] == tracers
    assert ops[1] > tracers
    body = result.sites.func + np.uint64(8)
    trial = Trial(patcher, result.sites.func, body, frozenset({scene.callback}))
    for routine, arguments, expected in (
        ("ftrace_init_nop", {1: patcher.record}, None),
        ("ftrace_make_call", {0: patcher.record, 1: at["ftrace_caller"]}, ops[0]),
        ("ftrace_modify_call", {0: patcher.record, 1: at["ftrace_caller"], 2: regs}, ops[1]),
        ("ftrace_make_nop", {1: patcher.record, 2: regs}, None),
    ):
        call = patcher.call(routine, arguments)
        assert call.returned.all()
        assert not call.value.any()
        seen = trial.run()
        assert (seen.pc == body).all()
        assert set(seen.calls.tolist()) == {int(expected is not None)}
        if expected is not None:
            assert set(seen.arguments[2].tolist()) == {expected}


def test_a_trampoline_too_far_from_gp_is_refused() -> None:
    image = read_image(open_content(str(path_of("nop-jalr"))))
    result, _ = prepare_verification(image)
    patcher = Patcher(prepare_scene(image), result.sites.func + np.uint64(4), result.layouts)
    middle = image.address_of("__global_pointer$") or 0
    for target, value in ((middle - 0x800, 0), (middle + 0x7FE, 0), (middle - 0x802, -22), (middle + 0x800, -22)):
        call = patcher.call("ftrace_make_call", {0: patcher.record, 1: target})
        assert set(call.value.tolist()) == {value}


# --- bugs


@dataclass(frozen=True, slots=True)
class Mutant:
    """One instruction replaced by another of the same size, or bytes by others where no function is named.

    Args:
        function: in which, at one place.
        old, new: instructions, with {r} for the register that the compiler has taken, or words in hex.
        expect: (state, promise, what) of one failure, at all sites.
    """

    function: str
    old: str
    new: str
    expect: Key


LOST, SILENT = ("enabled", "arrives", "body"), ("enabled", "calls", "callback")
CALLER, CALL = "ftrace_caller", "ftrace_make_call"


def _mutants(name: str) -> dict[str, Mutant]:
    """Return bugs that can be put into any scheme, and those of one scheme's own."""
    scheme = CATALOG[name]
    is_own, link = scheme.ops_in is OpsIn.OWN, scheme.link
    a3 = 104 if is_own else 64
    wrong = "t0" if link is Link.RA else "ra"
    # what a dynamic trampoline is copied from is wrong too
    mutants = {
        "loses-a3": Mutant(CALLER, f"ld a3, {a3}(sp)", "nop", ("enabled", "registers", "a3")),
        "keeps-a3-elsewhere": Mutant(CALLER, f"sd a3, {a3}(sp)", f"sd a3, {a3 - 8}(sp)", ("enabled", "frame", "a2")),
        "returns-elsewhere": Mutant(CALLER, f"jalr zero, 0({link})", f"jalr zero, 0({wrong})", LOST),
        "tells-another-ip": Mutant(
            CALLER, f"addi a0, {link}, {scheme.ip_offset - scheme.return_offset}", f"addi a0, {link}, -16",
            ("enabled", "arguments", "ip"),
        ),
    }  # fmt: skip
    return mutants | _OF_ONE.get(name, {})


_T0_TO_RA = {"rd-is-ra": Mutant(CALL, "addi {r}, {r}, 743", "addi {r}, {r}, 231", LOST)}
_T0_TO_RA_A3 = {"rd-is-ra": Mutant(CALL, "addi {r}, {r}, 743", "addi {r}, {r}, 231", LOST)}
_LOSES_T4 = {"loses-t4": Mutant(CALLER, "ld t4, 136(sp)", "nop", ("enabled", "registers", "t4"))}  # built by clang
_OF_ONE: dict[str, dict[str, Mutant]] = {
    "mcount-ra16": {"rd-is-t0": Mutant(CALL, "addi {r}, {r}, 231", "addi {r}, {r}, 743", LOST)},
    "pair-t0": _T0_TO_RA,
    "pair-aligned8": _T0_TO_RA,
    "dynamic-trampoline": _T0_TO_RA_A3,
    "nop-jalr": {
        "rd-is-ra": Mutant(CALL, "addi {r}, {r}, 743", "addi {r}, {r}, 231", LOST),
        "distance-is-8-off": Mutant(CALL, "addi {r}, {r}, -224", "addi {r}, {r}, -216", LOST),
    },
    "detour-24": {
        "rd-is-ra": Mutant("", "000302e7 00c0006f", "000300e7 00c0006f", LOST),
        "target-is-4-off": Mutant("", "0102b303", "00c2b303", LOST),
        "target-is-not-skipped": Mutant("", "00c0006f", "0080006f", LOST),
    },
    "auipc-fixed": {
        "rd-is-ra": Mutant(CALL, "addi {r}, {r}, 743", "addi {r}, {r}, 231", LOST),
        **_LOSES_T4,
        "op-is-the-frame": Mutant(CALLER, "addi a3, sp, 0", "addi a2, sp, 0", SILENT),
    },
    "jal-dispatch": {
        "rd-is-ra": Mutant(CALL, "addi {r}, {r}, 751", "addi {r}, {r}, 239", LOST),
        **_LOSES_T4,
        "literal-is-8-off": Mutant(CALLER, "ld a2, -12(t0)", "ld a2, -4(t0)", LOST),
    },
    "jal-per-func": {
        "rd-is-ra": Mutant(CALL, "addi {r}, {r}, 751", "addi {r}, {r}, 239", LOST),
        **_LOSES_T4,
        "literal-is-8-off": Mutant("", "ff433303", "ffc33303", LOST),
        "pushed-is-8-off": Mutant(CALLER, "ld a2, 160(sp)", "ld a2, 168(sp)", LOST),
        "pushed-stays": Mutant(CALLER, "addi sp, sp, 176", "addi sp, sp, 160", ("enabled", "registers", "sp")),
    },
    "call-ops": {
        **_T0_TO_RA_A3,
        "literal-is-8-off": Mutant(CALLER, "ld a2, -16(t0)", "ld a2, -8(t0)", LOST),
    },
    "call-ops-direct": {
        **_T0_TO_RA_A3,
        "direct-is-ignored": Mutant(CALLER, "ld t1, 32(t1)", "addi t1, zero, 0", ("direct", "calls", "direct call")),
    },
    "call-ops-cfi": {
        **_T0_TO_RA_A3,
        "literal-is-8-off": Mutant(CALLER, "ld a2, -28(t0)", "ld a2, -20(t0)", LOST),
        "literal-over-the-hash": Mutant(CALL, "addi a0, s0, -24", "addi a0, s0, -16", SILENT),
    },
}  # fmt: skip

MUTANTS = [(name, mutant) for name in FTRACE for mutant in _mutants(name)]


def mutated(path: Path, mutant: Mutant) -> bytes:
    """Return an image with a bug in it."""
    content = path.read_bytes()
    if not mutant.function:
        old, new = (
            b"".join(int(each, 16).to_bytes(4, "little") for each in text.split()) for text in (mutant.old, mutant.new)
        )
        assert content.count(old) >= 1
        return content.replace(old, new)
    data, found = replaced(content, mutant.function, mutant.old, mutant.new)
    assert found == 1, f"{mutant.old!r} is at {found} places of {mutant.function}"
    return data


def replaced(content: bytes, function: str, old: str, new: str) -> tuple[bytes, int]:
    """Replace an instruction in a function by another, whatever register {r} is; returns at how many places."""
    start, size, offset = place_of(content, function)
    data, found = bytearray(content), 0
    registers = ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s0", "s1") if "{r}" in old else ("",)
    pairs = {encoded(old.format(r=each), start): encoded(new.format(r=each), start) for each in registers}
    for at in range(0, size - 2, 2):
        if (now := pairs.get(bytes(data[offset + at : offset + at + 4]))) is not None:
            data[offset + at : offset + at + 4] = now
            found += 1
    return bytes(data), found


@pytest.mark.parametrize(("name", "mutant"), MUTANTS)
def test_a_bug_is_found(name: str, mutant: str, tmp_path: Path) -> None:
    bug = _mutants(name)[mutant]
    path = tmp_path / "mutant.elf"
    path.write_bytes(mutated(path_of(name), bug))
    result = verified(name, path, (bug.expect[0],))
    found: dict[Key, int] = {}
    for failure in result.failures:
        key = (str(failure.state), str(failure.promise), failure.what)
        found[key] = found.get(key, 0) + len(failure.lanes)
    assert found.get(bug.expect) == len(result.sites), found


# --- BPF programs


PROGRAMS = ("bpf_prog_even", "bpf_prog_odd", "bpf_prog_last")
CONTEXT = 1  # what bpf_arch_text_poke is told it patches: a call


@dataclass
class Programs:
    """The programs of a sample, one in each lane, and what is done to them."""

    scheme: CallScheme
    path: Path

    def __post_init__(self) -> None:
        image = read_image(open_content(str(self.path)))
        scene = prepare_scene(image)
        result, _ = prepare_verification(image)
        self.at = {
            name: int(image.symbols.address[index])
            for name in self.names
            if (index := image.symbols.find_index(name)) is not None
        }
        self.func: U64Array = np.array([self.at[name] for name in PROGRAMS], np.uint64)
        self.body = self.func + np.uint64(self.scheme.after)
        layouts = replace(result.layouts, regs={})
        self.patcher = Patcher(scene, self.func, layouts)
        self.terms = Terms(
            func=self.func, ip=self.func, body=self.body, link=1 if self.scheme.link is Link.RA else 5,
            parent=scene.parent, elsewhere=scene.elsewhere, return_hook=0, regs={}, local_arguments=True,
        )  # fmt: skip

    names = (
        *PROGRAMS,
        *(f"bpf_{kind}_{which}" for kind in ("trampoline", "program", "run") for which in ("first", "second")),
    )

    def poke(self, old: str, new: str) -> Call:
        arguments = {0: self.func, 1: CONTEXT, 2: self.at.get(old, 0), 3: self.at.get(new, 0)}
        return self.patcher.call("bpf_arch_text_poke", arguments)

    def sleds(self) -> list[bytes]:
        return [each.tobytes() for each in self.patcher.memory.read(None, self.func, self.scheme.after)]

    def run(self, which: str) -> tuple[Observation, list[str]]:
        """Call every program; returns what was seen and what the contract says of it, with one tracer or none."""
        callback = self.at[f"bpf_program_{which or 'first'}"]
        trial = Trial(self.patcher, self.func, self.body, frozenset({callback}), 0, self.terms.link)
        seen = trial.run()
        broken = [
            f"{each.promise} {each.what}"
            for each in judge("bpf", seen, Expectation(calls=int(bool(which))), self.terms)
            if each.promise is not Promise.ARGUMENTS
        ]
        if which and (seen.calls == 1).all():
            broken += self._arguments(seen, which)
        return seen, broken

    def _arguments(self, seen: Observation, which: str) -> Iterator[str]:
        """Check what a BPF program is given: where its arguments are, and its constant."""
        stack, memory = self.patcher.scene.stack, self.patcher.memory
        where = seen.arguments[0]
        if (seen.arguments[2] != np.uint64(self.at[f"bpf_run_{which}"])).any():
            yield "constant"
        if ((where < stack.start) | (where + np.uint64(64) > seen.first[2])).any():
            yield "no arguments on the stack"
            return
        stored = memory.read(None, where, 64).view("<u8")
        for number in range(8):
            if (stored[:, number] != seen.first[10 + number]).any():
                yield f"argument {number}"


def words_of(scheme: CallScheme, func: int, target: int) -> bytes:
    """Return what a sled is."""
    if not target:
        return assemble("\n".join(scheme.disabled), func)
    first = next(at for at, line in enumerate(scheme.enabled) if "{hi20}" in line)
    distance = target - (func + 4 * first)
    hi20 = distance + 0x800 >> 12 & 0xFFFFF
    lo12 = (distance & 0xFFF ^ 0x800) - 0x800
    return assemble("\n".join(scheme.enabled).format(hi20=hi20, lo12=lo12), func)


def wrong_with(name: str, path: Path) -> list[str]:
    """Attach, change, detach, and return all that was wrong."""
    programs, broken = Programs(CATALOG[name], path), []
    for state, old, new in (
        ("off", "", ""),
        ("attached", "", "first"),
        ("changed", "first", "second"),
        ("detached", "second", ""),
        ("attached again", "", "second"),
        ("detached again", "second", ""),
    ):
        trampolines = [f"bpf_trampoline_{each}" if each else "" for each in (old, new)]
        call = programs.poke(*trampolines) if state != "off" else None
        if call is not None and (not call.returned.all() or call.value.any()):
            broken.append(f"{state}: bpf_arch_text_poke")
        target = programs.at.get(trampolines[1], 0)
        for func, sled in zip(programs.func.tolist(), programs.sleds(), strict=True):
            if sled != words_of(programs.scheme, func, target):
                broken.append(f"{state}: sled")
        broken += [f"{state}: {each}" for each in programs.run(new)[1]]
    return broken


@pytest.mark.parametrize("name", BPF)
class TestBpf:
    def test_a_program_in_every_state(self, name: str) -> None:
        assert wrong_with(name, path_of(name)) == []

    def test_another_sled_than_expected_is_left_alone(self, name: str) -> None:
        programs = Programs(CATALOG[name], path_of(name))
        before = programs.sleds()
        assert set(programs.poke("bpf_trampoline_first", "").value.tolist()) == {-14}
        assert programs.sleds() == before
        programs.poke("", "bpf_trampoline_first")
        traced = programs.sleds()
        assert set(programs.poke("", "bpf_trampoline_second").value.tolist()) == {-14}
        assert programs.sleds() == traced != before

    def test_the_stores(self, name: str) -> None:
        """All of the sled, in words as wide as it is aligned, by nobody else than who stopped the machine."""
        scheme = CATALOG[name]
        programs = Programs(scheme, path_of(name))
        for old, new, transition in (("", "first", "enable"), ("first", "second", "change"), ("second", "", "disable")):
            call = programs.poke(*(f"bpf_trampoline_{each}" if each else "" for each in (old, new)))
            kinds = [event.kind for event in call.events if event.kind not in ("fence.i", "store")]
            assert kinds == ["lock", "stop_machine", "remote fence.i", "unlock"]
            (store,) = getattr(scheme, transition)
            for lane, func in enumerate(programs.func.tolist()):
                wanted = 8 if func % 8 == 0 else 4
                got = [
                    (int(event.targets[at]) - func, event.width)
                    for event in call.events
                    if event.kind == "store"
                    for at in np.flatnonzero((event.lanes == lane) & (event.targets - np.uint64(func) < 64))
                ]
                assert got == [(at, wanted) for at in range(store.at, store.at + store.width, wanted)]

    def test_programs_stand_at_both_alignments(self, name: str) -> None:
        assert {each % 8 for each in Programs(CATALOG[name], path_of(name)).func.tolist()} == {0, 4}

    @pytest.mark.parametrize(
        ("bug", "expect"),
        [
            (("bpf_trampoline_first", "ld a3, 24(sp)", "nop"), "attached: registers a3"),
            (("bpf_trampoline_first", "sd a3, 24(sp)", "sd a3, 16(sp)"), "attached: argument 2"),
            (("bpf_trampoline_first", "ld t3, 96(sp)", "nop"), "attached: registers t3"),
            (("bpf_trampoline_second", "addi a0, sp, 0", "addi a0, sp, 8"), "changed: argument 0"),
            (("bpf_trampoline_second", "jalr ra, 0(ra)", "nop"), "changed: calls callback"),
            (("", "", ""), "attached: arrives body"),
        ],
    )
    def test_a_bug_is_found(self, name: str, bug: tuple[str, str, str], expect: str, tmp_path: Path) -> None:
        function, old, new = bug
        link, other = ("ra", "t0") if CATALOG[name].link is Link.RA else ("t0", "ra")
        if not function:
            function, old, new = "bpf_trampoline_first", f"jalr zero, 0({link})", f"jalr zero, 0({other})"
        path = tmp_path / "mutant.elf"
        path.write_bytes(mutated(path_of(name), Mutant(function, old, new, LOST)))
        assert expect in wrong_with(name, path)


def test_a_poke_that_links_another_register(tmp_path: Path) -> None:
    """The words of a call are made at two places of bpf_arch_text_poke: both are changed."""
    for name, old, new in (
        ("bpf-fentry", "addi {r}, {r}, 743", "addi {r}, {r}, 231"),
        ("bpf-fentry-ra16", "addi {r}, {r}, 231", "addi {r}, {r}, 743"),
    ):  # fmt: skip
        content, found = replaced(path_of(name).read_bytes(), "bpf_arch_text_poke", old, new)
        assert found == 2
        path = tmp_path / f"{name}.elf"
        path.write_bytes(content)
        broken = wrong_with(name, path)
        assert {"attached: sled", "attached: arrives body"} <= set(broken)


@pytest.mark.parametrize("name", CATALOG)
def test_a_sample_is_small(name: str) -> None:
    content = path_of(name).read_bytes()
    assert len(content) < 20_000
    assert ELFFile(BytesIO(content)).get_section_by_name(".BTF") is not None
