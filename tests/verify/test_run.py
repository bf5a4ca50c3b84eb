# SPDX-License-Identifier: GPL-2.0-or-later
"""Deliberate mistakes in kernels that patch themselves: each is found as what it is, in the states where it shows.

What is expected is derived from the mistake, by hand: registers that a callback makes junk of, slots that
nothing wrote, places that a wrong distance leads to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from genpatch.audit.cases import DATA, NOP, RET, SITES_AT, TEXT, Fn
from genpatch.audit.facts import Facts
from genpatch.audit.live import LIVE, live, patching
from genpatch.audit.registry import all_rules
from genpatch.audit.runner import run_rules
from genpatch.errors import ImageError
from genpatch.verify.run import Verification, verify

from .toys import Edit, broken, call_ops, pair, passed, ra16, two, without

CALLED = ("enabled", "changed", "enabled-one", "kprobed")
"""States in which the callback is called, and nothing else is asked of it."""
ASKED = ("redirected", "overridden", "graph", "direct-in-frame")
"""States in which it asks for something."""
DIRECT = ("changed-direct", "direct")
TARGET = "direct:ftrace_stub_direct_tramp"
QUIET = ("boot", "disabled", "disabled-again")


def verified(facts: Facts) -> Verification:
    assert facts.verification is not None
    return facts.verification


# --- kernels that do it right


@pytest.mark.parametrize(
    ("toy", "scheme", "tried"),
    [
        (call_ops, "call-ops", (*QUIET, *CALLED, *ASKED, *DIRECT, TARGET, "returned")),
        (pair, "pair-t0", (*QUIET, "enabled", "redirected", "overridden", "direct-in-frame", *DIRECT)),
        (ra16, "mcount-ra16", (*QUIET, "enabled")),
    ],
)
def test_nothing_is_wrong(toy: object, scheme: str, tried: tuple[str, ...]) -> None:
    verification: Verification = toy()  # type: ignore[operator]
    assert verification.verdict.name == scheme
    assert verification.failures == []
    assert verification.listings == {}
    assert passed(verification) == dict.fromkeys(tried, 3)
    assert all(len(state.failed) == 0 for state in verification.states)


def test_skipped_states_say_why() -> None:
    skipped = {state.name: state.skipped for state in call_ops().states if state.skipped}
    assert skipped == {
        "changed-regs": "one trampoline only",
        "enabled-regs": "one trampoline only",
        "regs-redirected": "one trampoline only",
        "regs-overridden": "one trampoline only",
        "regs-direct-in-frame": "one trampoline only, or its frame has no slot for a direct call",
        "rethook": "no arch_rethook_trampoline and no arch_rethook_trampoline_callback",
    }


def test_what_is_stored() -> None:
    """The literal in one store, then one word; at boot both words at once."""
    stores = {(s.state, s.what): (s.width, s.aligned, s.count) for s in call_ops().stores}
    assert stores["boot", "literal"] == stores["boot", "func"] == (8, True, 3)
    assert stores["enabled", "literal"] == (8, True, 3)
    assert stores["enabled", "func+0x4"] == (4, True, 3)
    assert {key for key in stores if key[0] == "boot"} == {("boot", "literal"), ("boot", "func")}
    assert {key for key in stores if key[0] == "enabled"} == {("enabled", "literal"), ("enabled", "func+0x4")}


def test_the_order_of_stores() -> None:
    steps = call_ops().sequences["ftrace_make_call, func % 8 == 0"]
    assert [step.split(":")[0] for step in steps] == ["store 8 at func-8", "fence.i", "store 4 at func+4", "fence.i"]
    steps = ra16().sequences["ftrace_make_call, func % 8 == 0"]
    assert [step.split(":")[0] for step in steps] == ["store 8 at func+0", "fence.i", "store 8 at func+8", "fence.i"]


# --- mistakes


@dataclass(frozen=True)
class Mistake:
    """What was done to a routine, what must come of it in some states, and the rules that must say so.

    Args:
        routine, edits: the mistake.
        broken: (promise, what) in `states`, all of it.
        states: where; in the others there may be anything unless `only` is set.
        only: nothing is broken in other states.
        rules: codes of the rules that fire, of all states.
    """

    routine: str
    edits: tuple[Edit, ...]
    broken: set[tuple[str, str]]
    rules: str
    states: tuple[str, ...] = ("enabled",)
    only: bool = False
    compiler: str = "gcc 14.2.0"


def not_saved(register: str, slot: int) -> tuple[Edit, ...]:
    return ((f"    sd {register}, {slot}(sp)\n", ""),)


def not_restored(register: str, slot: int) -> tuple[Edit, ...]:
    return ((f"    ld {register}, {slot}(sp)\n", ""),)


UNSET = ("initialised", "stack")
ASTRAY = ("arrives", "body")
AUIPC_AGAIN = """
    addi a0, s1, -4
    la a4, ftrace_caller
    sub a4, a4, a0
    lui a5, 0x1
    srli a3, a5, 1
    addw a4, a4, a3
    srliw a4, a4, 12
    slli a4, a4, 12
    addi a4, a4, 0x297
    sw a4, 0(sp)
    addi a1, sp, 0
    addi a2, zero, 4
    jal ra, patch_insn_write
"""
"""Writes the call's first word once more, over the breakpoint of a kprobe."""
ARGUMENT_SLOTS = {f"a{n}": 48 + 8 * n for n in range(8)}
CALLER = "ftrace_caller"

MISTAKES: dict[str, Mistake] = {
    # every argument register, saved and restored
    **{
        f"{name}-not-saved": Mistake(
            CALLER, not_saved(name, slot), {("frame-set", name), ("registers", name), UNSET}, "GP306 GP308 GP309"
        )
        for name, slot in ARGUMENT_SLOTS.items()
    },
    **{
        f"{name}-not-restored": Mistake(CALLER, not_restored(name, slot), {("registers", name)}, "GP306")
        for name, slot in list(ARGUMENT_SLOTS.items())[1:]
    },
    "a0-not-restored": Mistake(CALLER, not_restored("a0", 48), {("registers", "a0")}, "GP306 GP310"),
    "a0-not-restored-overridden": Mistake(
        CALLER, not_restored("a0", 48), {("obeys", "a0")}, "GP306 GP310", ("overridden",)
    ),
    "ra-not-saved": Mistake(
        CALLER, not_saved("ra", 8), {("frame-set", "ra"), ("registers", "ra"), UNSET}, "GP304 GP306 GP308 GP309"
    ),
    "ra-not-restored": Mistake(CALLER, not_restored("ra", 8), {("registers", "ra")}, "GP306 GP310"),
    "ra-not-restored-graph": Mistake(CALLER, not_restored("ra", 8), {("obeys", "ra")}, "GP306 GP310", ("graph",)),
    "s0-not-saved": Mistake(
        CALLER, not_saved("s0", 24), {("frame-set", "s0"), ("registers", "s0"), UNSET}, "GP306 GP308 GP309"
    ),
    "t0-not-saved": Mistake(CALLER, not_saved("t0", 0), {("frame", "epc"), ASTRAY}, "GP304 GP307 GP308"),
    "t0-not-restored": Mistake(CALLER, not_restored("t0", 0), {ASTRAY}, "GP304 GP307"),
    "t1-not-cleared": Mistake(CALLER, not_saved("t1", 32), {ASTRAY}, "GP304"),
    "t1-not-restored": Mistake(CALLER, not_restored("t1", 32), {ASTRAY}, "GP304"),
    "sp-not-in-frame": Mistake(
        CALLER, (("    sd a0, 16(sp)\n", ""),), {("frame-set", "sp")}, "GP308", CALLED
    ),
    # slots
    "saved-in-each-others-slots": Mistake(
        CALLER,
        (("    sd a2, 64(sp)\n    sd a3, 72(sp)\n", "    sd a3, 64(sp)\n    sd a2, 72(sp)\n"),),
        {("frame", "a2"), ("frame", "a3"), ("registers", "a2"), ("registers", "a3")},
        "GP306 GP308",
    ),
    "slots-swapped-in-both": Mistake(
        CALLER,
        (
            ("    sd a2, 64(sp)\n    sd a3, 72(sp)\n", "    sd a3, 64(sp)\n    sd a2, 72(sp)\n"),
            ("    ld a2, 64(sp)\n    ld a3, 72(sp)\n", "    ld a3, 64(sp)\n    ld a2, 72(sp)\n"),
        ),
        {("frame", "a2"), ("frame", "a3")},
        "GP308",
        CALLED,
    ),
    # the stack
    "frame-too-short": Mistake(
        CALLER,
        (
            ("addi sp, sp, -112", "addi sp, sp, -96"),
            ("addi a0, sp, 112", "addi a0, sp, 96"),
            ("addi sp, sp, 112", "addi sp, sp, 96"),
        ),
        {("stack", "frame end")},
        "GP309",
        CALLED,
    ),
    "sp-off-by-8-on-exit": Mistake(
        CALLER, (("addi sp, sp, 112\n", "addi sp, sp, 120\n"),), {("registers", "sp")}, "GP306", CALLED
    ),
    "sp-misaligned": Mistake(
        CALLER,
        (
            ("addi sp, sp, -112", "addi sp, sp, -120"),
            ("addi a0, sp, 112", "addi a0, sp, 120"),
            ("addi sp, sp, 112", "addi sp, sp, 120"),
        ),
        {("stack", "sp")},
        "GP309",
        CALLED,
    ),
    "frame-below-sp": Mistake(
        CALLER,
        (("addi a3, sp, 0\n", "addi a3, sp, -112\n"),),
        {("stack", "frame"), *(("frame-set", name) for name in ("ra", "sp", "s0", *ARGUMENT_SLOTS)), ("frame", "epc")},
        "GP304 GP305 GP308 GP309 GP310",
    ),
    # registers that belong to somebody
    **{
        f"{name}-changed": Mistake(
            CALLER, (("    addi sp, sp, 112\n", f"    addi sp, sp, 112\n    addi {name}, zero, 1\n"),),
            {("registers", name)}, "GP306", CALLED,
        )
        for name in ("gp", "tp", "s1", "s7", "s11")
    },
    # where it goes
    "jalr-immediate": Mistake(
        "ftrace_make_call", (("addi a4, a4, 4\n", "addi a4, a4, 8\n"),), {ASTRAY}, "GP304", ("enabled", "enabled-one")
    ),
    "no-carry-in-auipc": Mistake(
        "ftrace_init_nop", (("addw a4, a4, a3", "addw a4, a4, zero"),), {ASTRAY}, "GP304", ("enabled", "enabled-one")
    ),
    "no-auipc": Mistake("ftrace_init_nop", (("or a4, a4, a3", "addi a4, a3, 0x13"),), {ASTRAY}, "GP304"),
    "first-direct-test-reversed": Mistake(
        CALLER, (("192(t1)\n    bne t1", "192(t1)\n    beq t1"),), {ASTRAY}, "GP304 GP305"
    ),
    "second-direct-test-reversed": Mistake(
        CALLER, (("addi sp, sp, 112\n    bne t1", "addi sp, sp, 112\n    beq t1"),), {ASTRAY}, "GP304 GP305"
    ),
    "direct-call-offset": Mistake(
        CALLER,
        (("ld t1, 192(t1)", "ld t1, 184(t1)"),),
        {("calls", "direct call"), ("calls", "callback")},
        "GP305",
        DIRECT,
    ),
    "callback-offset": Mistake(CALLER, (("ld ra, 0(a2)", "ld ra, 8(a2)"),), {ASTRAY}, "GP304"),
    "redirect-not-obeyed": Mistake(
        CALLER,
        (("    sd t0, 0(sp)\n", "    sd t0, 0(sp)\n    sd t0, 40(sp)\n"), ("ld t0, 0(sp)", "ld t0, 40(sp)")),
        {("arrives", "elsewhere")},
        "GP304",
        ("redirected",),
    ),
    "override-not-obeyed": Mistake(
        CALLER,
        (("    sd t0, 0(sp)\n", "    sd t0, 0(sp)\n    sd t0, 40(sp)\n"), ("ld t0, 0(sp)", "ld t0, 40(sp)")),
        {("arrives", "parent")},
        "GP304",
        ("overridden",),
    ),
    # what a direct trampoline gets
    "direct-gets-a-wrong-argument": Mistake(
        CALLER,
        (("direct:\n", "direct:\n    addi a5, zero, 0\n"),),
        {("registers", "a5"), ("registers", "a5 at the direct trampoline")},
        "GP306",
        DIRECT,
    ),
    "direct-gets-a-wrong-way-back": Mistake(
        CALLER,
        (("direct:\n", "direct:\n    addi t0, t0, -4\n"),),
        {ASTRAY, ("arguments", "t0 at the direct trampoline")},
        "GP304 GP307",
        DIRECT,
    ),
    # what the callback gets
    "ip": Mistake(CALLER, (("addi a0, t0, -4", "addi a0, t0, -8"),), {("arguments", "ip")}, "GP307", CALLED),
    "parent-ip": Mistake(
        CALLER, (("addi a1, ra, 0", "addi a1, t0, 0"),), {("arguments", "parent_ip")}, "GP307", CALLED
    ),
    "op": Mistake(
        CALLER, (("ld ra, 0(a2)\n", "ld ra, 0(a2)\n    addi a2, a2, 8\n"),), {("arguments", "op")}, "GP307", CALLED
    ),
    "no-frame": Mistake(
        CALLER, (("addi a3, sp, 0", "addi a3, zero, 0"),), {("arguments", "fregs")}, "GP304 GP305 GP307 GP310", CALLED
    ),
    # the literal
    "literal-read-elsewhere": Mistake(
        CALLER, (("ld t1, -16(t0)", "ld t1, -24(t0)"), ("ld a2, -16(t0)", "ld a2, -24(t0)")), {ASTRAY}, "GP304"
    ),
    "literal-written-elsewhere": Mistake(
        "ftrace_set_ops", (("addi a0, a0, -12", "addi a0, a0, -20"),),
        {("patch-stays", "ftrace_make_call"), ASTRAY}, "GP302 GP304",
    ),
    "ops-not-updated": Mistake(
        "ftrace_modify_call", ((LIVE["ftrace_modify_call"], "addi a0, zero, 0\n    jalr zero, 0(ra)"),),
        {("arguments", "op")}, "GP305 GP307", ("changed",),
    ),
    "unique-ops-forgotten": Mistake(
        "ftrace_make_call", (("beq a2, zero, chosen", "jal zero, chosen"),),
        {("arguments", "op")}, "GP305 GP307", ("changed", "enabled-one", "kprobed")[:2],
    ),
    # the other patching functions
    "make-nop-too-low": Mistake(
        "ftrace_make_nop", (("addi a3, zero, 0x13\n    sw a3, 0(sp)\n    addi a0, s1, 0",
                             "addi a3, zero, 0x13\n    sw a3, 0(sp)\n    addi a0, s1, -4"),),
        {("restores", "bytes"), ASTRAY}, "GP303 GP304", ("disabled",),
    ),
    "make-nop-does-nothing": Mistake(
        "ftrace_make_nop", ((LIVE["ftrace_make_nop"], "addi a0, zero, 0\n    jalr zero, 0(ra)"),),
        {("restores", "bytes"), ("calls", "callback"), *(("registers", f"t{n}") for n in range(1, 7))},
        "GP303 GP305 GP306", ("disabled",),
    ),
    "make-nop-writes-another-nop": Mistake(
        "ftrace_make_nop", (("addi a3, zero, 0x13", "addi a3, zero, 0x33"),),
        {("restores", "bytes")}, "GP303", ("disabled", "disabled-again"),
    ),
    "make-call-fails": Mistake(
        "ftrace_make_call", ((LIVE["ftrace_make_call"], "addi a0, zero, -22\n    jalr zero, 0(ra)"),),
        {("patch-returns", "ftrace_make_call"), ("calls", "callback")}, "GP301 GP304 GP305 GP310",
    ),
    "make-call-loops": Mistake(
        "ftrace_make_call", ((LIVE["ftrace_make_call"], "again:\n    addi a0, a0, 1\n    jal zero, again"),),
        {("patch-returns", "ftrace_make_call"), ("calls", "callback")}, "GP301 GP304 GP305 GP310",
    ),
    "adjusted-too-high": Mistake(
        "ftrace_call_adjust", (("addi a0, a0, 12", "addi a0, a0, 16"),),
        {("patch-stays", "ftrace_init_nop")}, "GP302 GP304 GP305 GP310", ("boot",),
    ),
    "adjusted-downward": Mistake(
        "ftrace_call_adjust", (("addi a0, a0, 12", "addi a0, a0, -4"),),
        {("patch-stays", "ftrace_init_nop")}, "GP302 GP304 GP305 GP310", ("boot",),
    ),
    "breakpoint-overwritten": Mistake(
        "ftrace_make_call", (("jal ra, ftrace_set_ops\n", "jal ra, ftrace_set_ops\n" + AUIPC_AGAIN),),
        {("patch-stays", "ftrace_make_call")}, "GP302", ("kprobed",), True,
    ),
    # the way back
    **{
        f"return-loses-{name}": Mistake(
            "return_to_handler", not_restored(name, slot), {("returns", name)}, "GP310", ("returned",), True
        )
        for name, slot in {"a0": 48, "a1": 56, "s0": 24}.items()
    },
    **{
        f"return-does-not-save-{name}": Mistake(
            "return_to_handler", not_saved(name, slot), {("returns", name), ("frame-set", name)}, "GP308 GP310",
            ("returned",), True,
        )
        for name, slot in {"a0": 48, "a1": 56, "s0": 24}.items()
    },
    "return-loses-sp": Mistake(
        "return_to_handler", (("addi sp, sp, 112\n", "addi sp, sp, 96\n"),), {("returns", "sp")}, "GP310",
        ("returned",), True,
    ),
    "return-frame-too-short": Mistake(
        "return_to_handler",
        (("addi sp, sp, -112", "addi sp, sp, -64"), ("addi s0, sp, 112", "addi s0, sp, 64"),
         ("addi sp, sp, 112\n", "addi sp, sp, 64\n")),
        {("stack", "frame end")}, "GP309", ("returned",), True,
    ),
    "return-goes-elsewhere": Mistake(
        "return_to_handler", (("jalr ra, 0(a2)", "jalr ra, 4(a2)"),), {("arrives", "parent")}, "GP304",
        ("returned",), True,
    ),
    "return-handler-not-called": Mistake(
        "return_to_handler", (("jal ra, ftrace_return_to_handler\n    addi a2, a0, 0", "la a2, 0xffffffff80310300"),),
        {("calls", "return handler")}, "GP305", ("returned",), True,
    ),
    # a kernel that clang built passes arguments in t2-t6
    "clang-t2-to-t6": Mistake(
        CALLER, (("addi a3, sp, 0\n", "addi a3, sp, 0 # as it was\n"),),
        {("registers", f"t{n}") for n in range(2, 7)}, "GP306", CALLED, compiler="clang 18",
    ),
    # nothing ends
    "trampoline-stands-still": Mistake(
        CALLER, (("addi a1, ra, 0", "forever:\n    jal zero, forever"),), {ASTRAY}, "GP304"
    ),
    "trampoline-loops": Mistake(
        CALLER, (("addi a1, ra, 0", "forever:\n    addi a1, a1, 1\n    jal zero, forever"),), {ASTRAY}, "GP304"
    ),
    "corrupt-instruction": Mistake(CALLER, (("addi a1, ra, 0", ".word 0xffffffff"),), {ASTRAY}, "GP304"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake(name: str) -> None:
    mistake = MISTAKES[name]
    verification = call_ops(mistake.routine, *mistake.edits, compiler=mistake.compiler)
    for state in mistake.states:
        assert broken(verification, state) == mistake.broken, state
    if mistake.only:
        assert broken(verification) == broken(verification, *mistake.states)
    for failure in verification.failures:
        assert failure.lanes.tolist() == sorted(set(failure.lanes.tolist()))
        assert len(failure.lanes) == len(failure.expected) == len(failure.got)
    failed = {state.name: len(state.failed) for state in verification.states if len(state.failed)}
    assert failed.keys() == {failure.state for failure in verification.failures}
    rules = tuple(rule for code, rule in all_rules().items() if code.startswith("GP3"))
    results = run_rules(rules, Facts(image=verification.image, verification=verification))
    assert " ".join(result.rule.code for result in results if result.findings) == mistake.rules


def test_what_a_mistake_says() -> None:
    """Addresses by hand: site one is at 0x1010 of the text, its call at +8 leads a page too low without the carry."""
    verification = call_ops("ftrace_init_nop", ("addw a4, a4, a3", "addw a4, a4, zero"))
    first = verification.failures[0]
    assert (first.state, first.lanes.tolist()) == ("enabled", [0, 1, 2])
    assert first.expected.tolist() == [SITES_AT + 0x10 + 0x20 * n + 8 for n in range(3)]
    listing = verification.listings["enabled", first.promise, "body"]
    assert "auipc t0, 0xffffe " in listing[0]
    assert f"{TEXT - 0x1000:#x}" in listing[-1]


@pytest.mark.parametrize(
    ("edits", "end"),
    [
        ((("addi a1, ra, 0", "forever:\n    jal zero, forever"),), "it only repeats itself"),
        ((("addi a1, ra, 0", "x:\n    addi a1, a1, 1\n    jal zero, x"),), "too many instructions"),
        ((("addi a1, ra, 0", ".word 0xffffffff"),), "fault"),
        ((("addi a1, ra, 0", "ld a1, 0(zero)"),), "fault"),
    ],
)
def test_how_a_run_ends_is_said(edits: tuple[Edit, ...], end: str) -> None:
    failure = next(each for each in call_ops(CALLER, *edits).failures if each.state == "enabled")
    assert failure.note == f"it ends there: {end}"


def test_a_listing_has_the_first_site_of_each_kind() -> None:
    verification = call_ops(CALLER, *not_restored("a3", 72))
    listing = next(iter(verification.listings.values()))
    assert listing[0].split()[1] == "one"
    assert any(line.startswith("-- callback(ip=0xffffffff80003014, parent_ip=0x") for line in listing)
    assert listing[-1] == f"arrives at {SITES_AT + 0x18:#x} (one+0x8)"


def test_at_most_a_dozen_listings() -> None:
    assert len(call_ops(CALLER, ("addi a3, sp, 0", "addi a3, zero, 0")).listings) <= 12


# --- older schemes


@pytest.mark.parametrize(
    ("routine", "edits", "state", "expected"),
    [
        (CALLER, not_restored("a4", 80), "enabled", {("registers", "a4")}),
        (CALLER, not_saved("a7", 104), "enabled", {("frame-set", "a7"), ("registers", "a7"), UNSET}),
        (CALLER, (("addi a0, t0, -8", "addi a0, t0, -4"),), "enabled", {("arguments", "ip")}),
        (CALLER, (("sd zero, 32(sp)", "sd t0, 32(sp)"),), "direct-in-frame", set()),
        # t1 gets what belongs into t0, which is func - 0x1000: the middle of patch_insn_write
        ("ftrace_make_call", (("addi a3, a3, 0x2e7", "addi a3, a3, 0x367"),), "enabled",
         {ASTRAY, ("arguments", "ip"), ("frame", "epc")}),
        ("ftrace_make_nop", (("ld a0, 0(a1)", "ld a0, 0(a1)\n addi a0, a0, 4"),), "disabled",
         {("restores", "bytes"), ("patch-stays", "ftrace_make_nop")}),
        ("ftrace_modify_call", (("addi a1, a2, 0", "addi a1, a1, 0"),), "changed-direct",
         {("calls", "callback"), ("calls", "direct call")}),
        ("ftrace_update_ftrace_func", (("sd a0, 0(a5)", "sd zero, 0(a5)"),), "enabled", {ASTRAY}),
    ],
)  # fmt: skip
def test_a_mistake_with_a_pair(
    routine: str, edits: tuple[Edit, ...], state: str, expected: set[tuple[str, str]]
) -> None:
    assert broken(pair(routine, *edits), state) == expected


@pytest.mark.parametrize(
    ("routine", "edits", "expected"),
    [
        # the caller's ra, which the sled keeps below sp, is overwritten
        (CALLER, (("sd a7, 64(sp)", "sd a7, 88(sp)"), ("ld a7, 64(sp)", "ld a7, 88(sp)")),
         {("registers", "ra"), ("arguments", "parent_ip")}),
        (CALLER, (("addi a0, ra, -12", "addi a0, ra, -8"),), {("arguments", "ip")}),
        (CALLER, not_restored("a2", 24), {("registers", "a2")}),
        # the last word does not restore ra
        ("ftrace_make_call", (("lui a4, 0xff813\n    addi a4, a4, 0x83", "addi a4, zero, 0x13"),),
         {("registers", "ra")}),
        # only half of the sled is written: auipc changes ra, nothing is called
        ("patch_text", (("addi a1, a1, 8\n    addi a2, zero, 8\n    jal ra, patch_insn_write", "addi a0, zero, 0"),),
         {("registers", "ra"), ("calls", "callback")}),
    ],
)  # fmt: skip
def test_a_mistake_with_four_words(routine: str, edits: tuple[Edit, ...], expected: set[tuple[str, str]]) -> None:
    assert broken(ra16(routine, *edits), "enabled") == expected


# --- sites of every kind


def test_a_function_that_reads_what_a_call_changes() -> None:
    """add a0, t2, t2: t2 is no argument for gcc, and the callback makes junk of it; t0 the sled changes anyway."""
    reads_t2, reads_t0 = bytes.fromhex("33857300"), bytes.fromhex("33855200")
    facts = live(Fn(name="one"), Fn(name="two", body=reads_t2 + RET), Fn(name="three", body=reads_t0 + RET))
    verification = verified(facts)
    found = {each.what: each.lanes.tolist() for each in verification.failures}
    assert {each.promise.value for each in verification.failures} == {"live"}
    assert found == {"t2": [1], "t0": [2]}
    assert passed(verification)["enabled"] == 1
    assert passed(verification)["changed"] == 3


def test_a_site_in_code_that_patches() -> None:
    """patch_insn_write has a sled of its own, and goes through the tracer while its site is patched.

    What a kprobe there would come to is not known: its breakpoint is hit by the code that patches.
    """
    source = LIVE["patch_insn_write"]
    at = TEXT + 0x100
    edit = ("patch_insn_write", source, "c.nop\n" * 4 + source)
    facts = live(Fn(name="one"), Fn(name="", at=at, after=8, body=b"", size=8), edit=edit)
    assert at in facts.sites.func.tolist()
    assert {(each.state, tuple(each.lanes)) for each in verified(facts).failures} == {("kprobed", (0,))}
    assert {name for name, count in passed(verified(facts)).items() if count != 2} == {"kprobed"}


@pytest.mark.parametrize("nop", [NOP, b"\x01\x00"])
def test_either_nop(nop: bytes) -> None:
    """The kernel's disabled sled is written by itself, whatever the compiler put there."""
    assert verified(live(Fn(name="one", nop=nop), Fn(name="two", nop=nop))).failures == []


def test_a_site_at_the_very_start_of_a_section() -> None:
    """Nothing is mapped below it; its failures are listed all the same."""
    from genpatch.audit.cases import EXIT

    edit = (CALLER, "addi a0, t0, -4", "addi a0, t0, -8")
    verification = verified(live(Fn(name="one", at=EXIT + 8), edit=edit))
    assert broken(verification, "enabled") == {("arguments", "ip")}
    assert verification.listings


def test_a_site_at_the_very_end_of_a_section() -> None:
    from genpatch.audit.cases import EXIT

    facts = live(Fn(name="one", at=EXIT + 0x1_0000 - 8, body=b""))
    assert len(facts.sites) == 1
    assert len(verified(facts).states) > 0


def test_a_site_without_room_for_its_literal() -> None:
    """Nothing is mapped where the literal would be."""
    from genpatch.audit.cases import EXIT

    facts = live(Fn(name="one"), Fn(name="low", at=EXIT, before=0))
    assert len(facts.sites) == 2
    failed = {site for failure in verified(facts).failures for site in failure.lanes.tolist()}
    assert failed == {1}


# --- part of it


def test_some_sites_only() -> None:
    image = call_ops().image
    verification = verify(image, chosen=np.array([False, True, False]))
    assert set(passed(verification).values()) == {1}
    failing = call_ops(CALLER, *not_restored("a3", 72))
    verification = verify(failing.image, chosen=np.array([False, True, True]))
    assert {tuple(each.lanes.tolist()) for each in verification.failures} == {(1, 2)}


def test_no_sites() -> None:
    verification = verify(call_ops().image, chosen=np.zeros(3, np.bool_))
    assert verification.terms is None
    assert verification.notes == ["there are no sites to run"]
    assert verification.states == []


@pytest.mark.parametrize("state", ["enabled", "changed", "disabled", TARGET, "returned"])
def test_one_state_only(state: str) -> None:
    """The states before it are gone through, so that what is found there is what is found with all."""
    seen: list[str] = []
    verification = verify(call_ops().image, states=(state,), progress=seen.append)
    assert [each.name for each in verification.states] == seen == [state]
    assert verification.failures == []


@pytest.mark.parametrize(
    ("mistake", "state"),
    [
        ("make-nop-writes-another-nop", "disabled"),
        ("make-nop-writes-another-nop", "disabled-again"),
        ("breakpoint-overwritten", "kprobed"),
        ("ops-not-updated", "changed"),
        ("return-loses-a0", "returned"),
        ("jalr-immediate", TARGET),
    ],
)
def test_one_state_finds_what_all_find(mistake: str, state: str) -> None:
    made = MISTAKES[mistake]
    whole = call_ops(made.routine, *made.edits)
    part = verify(whole.image, states=(state,))
    assert broken(part) == broken(whole, state) != set()


def test_live_registers_with_one_state() -> None:
    image = live(Fn(name="one", body=bytes.fromhex("33857300") + RET)).image
    assert broken(verify(image, states=("enabled",))) == {("live", "t2")}
    assert broken(verify(image, states=("disabled",))) == set()


# --- kernels of which something is missing


@pytest.mark.parametrize(
    ("names", "skipped"),
    [
        (("ftrace_make_nop",), {"disabled", "disabled-again", "direct", "kprobed"}),
        (("ftrace_modify_call",), {"changed", "changed-direct"}),
        (("ftrace_find_unique_ops",), {"changed", "enabled-one", "changed-direct", "direct"}),
        (("register_ftrace_direct",), {"changed-direct", "direct", "direct-in-frame"}),
        (("return_to_handler",), {"graph", "returned"}),
        (("ftrace_graph_func",), {"graph"}),
        (("ftrace_return_to_handler",), {"returned"}),
    ],
)
def test_without_a_function(names: tuple[str, ...], skipped: set[str]) -> None:
    """What is there is run and passes; what is not is said."""
    verification = verify(without(call_ops().image, *names))
    usual = {state.name for state in call_ops().states if state.skipped}
    assert {state.name for state in verification.states if state.skipped} == usual | skipped
    assert verification.failures == []
    assert set(verification.missing) >= {name for name in names if name.startswith("ftrace_m")}
    assert passed(verification)


def test_without_init_nop_the_boot_state_is_what_the_compiler_made() -> None:
    """A frozen auipc was never written, so enabling fails; that it is so for want of a symbol is said."""
    verification = verify(without(call_ops().image, "ftrace_init_nop"))
    assert broken(verification, "enabled") == {ASTRAY}
    assert "no ftrace_init_nop: the first word of each call is what the compiler left" in verification.notes
    assert next(state for state in verification.states if state.name == "boot").skipped == "no ftrace_init_nop"


def test_without_any_function() -> None:
    """No code to read, so no scheme; or no code to call, so no states: never a pass."""
    verification = verify(without(call_ops().image, *LIVE))
    assert not passed(verification)
    assert verification.notes


def test_without_patching_functions() -> None:
    names = [
        name for name in LIVE if name.startswith("ftrace_") and name not in ("ftrace_caller", "ftrace_call_adjust")
    ]
    verification = verify(without(call_ops().image, *names))
    assert not passed(verification)
    assert verification.failures == []


def test_without_types() -> None:
    """Layouts are read from the kernel's own code, and said to be: every state is gone through all the same."""
    image = call_ops().image
    verification = verify(replace(image, types=None))
    notes = " ".join(verification.notes)
    for name in ("struct dyn_ftrace", "struct ftrace_regs", "struct ftrace_ops", "FTRACE_FL_CALL_OPS_EN"):
        assert f"{name}: no type" in notes
    assert "taken for bit 20, with which ftrace_make_call calls ftrace_find_unique_ops" in notes
    assert verification.failures == []
    assert passed(verification) == passed(verify(image))
    assert {"redirected", "overridden", "graph", "changed", "changed-direct", "direct"} <= passed(verification).keys()


def test_without_types_a_lost_register_is_found() -> None:
    image = replace(call_ops(CALLER, *not_restored("a3", 72)).image, types=None)
    assert broken(verify(image), "enabled") == {("registers", "a3")}


def test_without_types_a_trampoline_that_makes_no_frame_has_no_fields() -> None:
    image = call_ops(CALLER, ("addi a3, sp, 0", "addi a3, zero, 0")).image
    verification = verify(replace(image, types=None))
    assert "struct ftrace_regs: no type; fields of the frame are not judged" in verification.notes
    assert {state.name for state in verification.states if state.skipped} >= {"redirected", "overridden", "graph"}


def test_without_a_fixmap() -> None:
    """A kernel that writes to its text where it is can do so: text is writable there."""
    source = LIVE["patch_insn_write"]
    direct = source[: source.index("    ld a3, 0(sp)\n    slli")] + (
        "    ld a3, 0(sp)\n" + source[source.index("    ld a1, 8(sp)\n    ld a2, 16(sp)\n    addi a4") :]
    )
    direct = direct.replace("    jal ra, __set_fixmap\n", "")
    facts = live(edit=("patch_insn_write", source, direct))
    verification = verify(without(facts.image, "__set_fixmap"))
    assert "no __set_fixmap: text is written where it is" in verification.notes
    assert verification.failures == []
    assert set(passed(verification).values()) == {3}


def test_a_module_is_not_run() -> None:
    from genpatch.audit.cases import kernel
    from genpatch.image.model import ImageKind

    facts = kernel(Fn(name="one"), code=(), kind=ImageKind.MODULE)
    with pytest.raises(ImageError, match="expected a linked kernel"):
        verify(facts.image)


# --- two trampolines


def test_a_second_trampoline_has_the_frame() -> None:
    """What ftrace_caller hands over is no frame there, each call is told what the site calls now."""
    verification = two()
    assert verification.failures == []
    assert {"enabled", "changed-regs", "changed-direct", "enabled-regs", "regs-redirected", "regs-overridden",
            "regs-direct-in-frame", "direct"} <= passed(verification).keys()  # fmt: skip
    assert not {"redirected", "overridden", "direct-in-frame"} & passed(verification).keys()
    assert set(passed(verification).values()) == {3}


def test_a_second_trampoline_is_no_direct_target() -> None:
    assert not [state.name for state in two().states if state.name.startswith("direct:")]


def test_the_frame_of_the_second_trampoline_is_judged() -> None:
    verification = two("ftrace_regs_caller", ("sd a3, 72(sp)", "sd a3, 120(sp)"))
    assert {each.state for each in verification.failures if each.what == "a3"} == {
        "changed-regs", "enabled-regs", "regs-redirected", "regs-overridden", "regs-direct-in-frame",
    }  # fmt: skip
    assert broken(verification, "enabled") == set()


def test_a_frame_of_another_struct_is_promised_by_both() -> None:
    assert broken(two(frame="ftrace_regs"), "enabled") == {("arguments", "fregs")}


# --- telling


def test_the_life_of_a_site_is_told() -> None:
    lines: list[str] = []
    verify(call_ops().image, chosen=np.array([True, False, False]), tell=lines.append)
    assert lines[0] == "boot: as ftrace_init_nop leaves it"
    assert "  ftrace_init_nop returns 0" in lines
    at = lines.index("enabled: traced by several tracers")
    assert lines[at + 1 : at + 3] == [
        "  ftrace_make_call returns 0",
        "    store 8 at func-8: 0xffffffff80200200",
    ]
    assert any("-- callback(" in line for line in lines[at:])


def test_direct_stands_for_every_direct_call() -> None:
    verification = verify(call_ops().image, states=("direct",))
    assert [each.name for each in verification.states] == ["direct", TARGET]


# --- functions that take no kprobe


ONE = call_ops().image.address_of("one") or 0
THROUGH_ONE = (
    "ftrace_make_call", "    jal ra, ftrace_set_ops\n", f"    jal ra, ftrace_set_ops\n    jal ra, {ONE:#x}\n"
)  # fmt: skip
"""The patching code itself calls a traced function."""
_LISTED = DATA + 0x800


def test_a_breakpoint_in_what_patches_stops_it() -> None:
    verification = live(edit=THROUGH_ONE).verification
    assert verification is not None
    failure = next(each for each in verification.failures if each.state == "kprobed")
    assert (failure.promise.value, failure.lanes.tolist()) == ("patch-returns", [0])


def test_functions_that_kprobes_refuse_get_no_breakpoint() -> None:
    facts = patching(
        edit=THROUGH_ONE,
        symbols={"__start_kprobe_blacklist": _LISTED, "__stop_kprobe_blacklist": _LISTED + 8},
        more_data={_LISTED: ONE.to_bytes(8, "little")},
    )
    verification = verify(facts.image)
    assert [each.state for each in verification.failures] == []
    assert passed(verification)["kprobed"] == 3


@pytest.mark.parametrize("end", [_LISTED, _LISTED - 8, _LISTED + (1 << 21), 1 << 63])
def test_a_blacklist_that_is_none_is_not_read(end: int) -> None:
    facts = patching(symbols={"__start_kprobe_blacklist": _LISTED, "__stop_kprobe_blacklist": end})
    assert verify(facts.image).failures == []
