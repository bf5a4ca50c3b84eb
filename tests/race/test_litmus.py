# SPDX-License-Identifier: GPL-2.0-or-later
"""Litmus tests: what can break in small scenarios, worked out by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest

from genpatch.isa.assemble import assemble
from genpatch.race.environment import get_environment
from genpatch.race.explore import explore
from genpatch.race.model import Event, Scenario
from genpatch.units import Span

from .litmus import (
    CALLBACK,
    CLOBBERS,
    EXTRA,
    FAR_A,
    FAR_B,
    FENCE,
    FENCE_I,
    FUNC,
    LOCK,
    NEAR_A,
    NEAR_B,
    NEIGHBOUR,
    OPS_A,
    OPS_B,
    OTHER,
    PUBLISH,
    REMOTE,
    RESUME,
    STOP,
    TRAMPOLINE,
    UNLOCK,
    WAIT,
    call_words,
    free,
    mapped,
    quad,
    scenario,
    store,
)  # fmt: skip
from .reference import kinds_of

SAFE = ""
LITERAL = FUNC - 8


@dataclass(frozen=True)
class Litmus:
    """One test: name, environment, scenario, the kinds that break, why."""

    name: str
    environment: str
    scenario: Scenario
    kinds: str
    why: str


def text(source: str, at: int = FUNC) -> bytes:
    return assemble(source, at)


def pair(target: int, at: int = FUNC) -> bytes:
    return call_words(target, at)


def jal(target: int, at: int = FUNC) -> bytes:
    return assemble(f"jal t0, {target}", at)


NOPS = text("nop\n nop")
JAL_A, JAL_B, NOP = jal(NEAR_A), jal(NEAR_B), text("nop")
PAIR_A, PAIR_B = pair(FAR_A), pair(FAR_B)
ENABLE_PAIR = (store(FUNC, PAIR_A, "auipc and jalr"),)
ENABLE_JAL = (store(FUNC, JAL_A, "jal"),)
DISABLE_JAL = (store(FUNC, NOP, "nop"),)
A, B, OFF = (OPS_A,), (OPS_B,), ()
A_TO_B = {"old": A, "new": B}
A_TO_OFF = {"old": A, "new": OFF}
B_TO_A = {"old": B, "new": A}
WHOLE_OPS = (OPS_A, 64, "ops A")


def stopped(*events: Event) -> tuple[Event, ...]:
    return (STOP, *events, FENCE_I, RESUME)


def enable_pair(*after: Event, **more: object) -> Scenario:
    return scenario(*ENABLE_PAIR, *after, **more)


def enable_jal(*after: Event, **more: object) -> Scenario:
    return scenario(*ENABLE_JAL, *after, sled="nop", **more)


def disable_jal(*after: Event) -> Scenario:
    return scenario(*DISABLE_JAL, *after, sled=JAL_A, **A_TO_OFF)


def through_other(*events: Event, at: int = FUNC, **more: object) -> Scenario:
    """The sled always calls OTHER, which hands on what the literal below the function points to."""
    more = {"literal": OPS_B, **B_TO_A, **more}
    return scenario(*events, sled=pair(OTHER, at), at=at, **more)


def new_ops(*between: Event, **more: object) -> Scenario:
    """Ops A are made ready, then the literal points to them."""
    ready = store(OPS_A, quad(CALLBACK), "ops A's func")
    return through_other(ready, *between, store(LITERAL, quad(OPS_A), "the ops pointer"), func_of_a=0, **more)


def flag(*between: Event, fence: str = "nop") -> Scenario:
    """A message by flag: the victim looks at the literal and, where it is set, at a word that does not depend on it.

    The word is what the sled's jump goes to: 0 at first.
    """
    source = f"""
        ld t1, -16(t0)
        beq t1, zero, 1f
        {fence}
        auipc t2, 0
        ld t1, 20(t2)
        jalr zero, 0(t1)
    1:  jalr zero, 0(t0)
        nop
        .dword 0
    """
    data = EXTRA + 32
    ready = store(data, quad(NEAR_A), "the word")
    told = store(LITERAL, quad(1), "the flag")
    return scenario(ready, *between, told, sled=pair(EXTRA), extra={"reader": source})


TWICE = """
    ld t1, -16(t0)
    ld t2, -16(t0)
    bgeu t2, t1, 1f
    ebreak
1:  jalr zero, 0(t0)
"""
WIDER = """
    lwu t1, -12(t0)
    ld t2, -16(t0)
    srli t2, t2, 32
    bgeu t2, t1, 1f
    ebreak
1:  jalr zero, 0(t0)
"""
FOLLOWING = f"""
    ld t1, -16(t0)
    {{through}}
    ld t1, 0(t1)
    jalr zero, 0(t1)
    .balign 32
    .dword {NEAR_B}, 0
"""
"""Goes to where a word says that the literal points to: to the first at +32, or to the second."""
THROUGH_STACK = "sd t1, -16(sp)\n ld t1, -16(sp)"


def following(at: int, through: str = "nop") -> Scenario:
    words = (EXTRA + 32, EXTRA + 40)
    events = (store(words[1], quad(NEAR_A), "the word"), FENCE, store(at - 8, quad(words[1]), "the pointer"))
    extra = {"reader": FOLLOWING.format(through=through)}
    return scenario(*events, sled=pair(EXTRA, at), at=at, extra=extra, literal=words[0], **B_TO_A)


def looks_before(old: str, new: str) -> Scenario:
    """A word that is patched may load the literal before it is loaded for good."""
    reader = """
        addi s2, ra, 0
        addi s3, t0, 0
        ld a2, 0(s4)
        ld t1, 0(a2)
        jalr ra, 0(t1)
        addi ra, s2, 0
        jalr zero, 0(s3)
    """
    rest = text("addi t1, zero, 0") + pair(EXTRA, FUNC + 8)
    return scenario(
        store(FUNC, text(new)), *PUBLISH, store(OPS_A, quad(CALLBACK)), FENCE, store(LITERAL, quad(OPS_A)),
        sled=text(old) + rest, literal=OPS_B, func_of_a=0, extra={"reader": reader}, **B_TO_A,
    )  # fmt: skip


LOOKS = "ld t1, 0(s4)"
LOAD_AND_CALL = text("ld t1, 0(s4)\n jalr t0, 0(t1)")
AUIPC_T1 = text(f"auipc t1, {(FAR_A - FUNC + 0x800) >> 12}\n jalr t0, {((FAR_A - FUNC & 0xFFF) ^ 0x800) - 0x800}(t1)")
LOOPS = {"loops": "nop\n jal zero, . - 4"}
AUIPC_NOP = pair(OTHER)[:4] + NOP
JALR_OTHER = store(FUNC + 4, pair(OTHER)[4:], "jalr")
SET_LITERAL = store(LITERAL, quad(OPS_A), "the ops pointer")


def call_ops(*events: Event, literal: int = 0) -> Scenario:
    return scenario(*events, sled=AUIPC_NOP, literal=literal, quiet=frozenset({OPS_B}))


def flagged_by_jalr(*between: Event) -> Scenario:
    """Nobody loads anything before everything is visible."""
    ready = store(OPS_A, quad(CALLBACK), "ops A's func")
    events = (ready, *between, SET_LITERAL, FENCE, JALR_OTHER)
    return scenario(*events, sled=AUIPC_NOP, literal=OPS_B, quiet=frozenset({OPS_B}), func_of_a=0)


def retire_trampoline(*between: Event) -> Scenario:
    sled = pair(TRAMPOLINE)
    nop = store(FUNC + 4, NOP, "nop")
    return scenario(nop, *PUBLISH, *between, free(TRAMPOLINE, 48, "trampoline"), sled=sled, **A_TO_OFF)


OWN_FENCE_I = scenario(store(FUNC + 4, jal(NEAR_A, FUNC + 4)), FENCE, sled="fence.i\n nop")
GUARDED = text("c.j . + 6") + jal(NEAR_A, FUNC + 2)
EBREAK = {FUNC: (OPS_A, NOP)}
C_EBREAK = {FUNC: (OPS_A, text("c.nop"))}


def two(first: tuple[Event, ...], second: tuple[Event, ...], *, lock: bool, sled: bytes = NOP) -> Scenario:
    around = ((LOCK,), (UNLOCK,)) if lock else ((), ())
    patchers = tuple((*around[0], *each, *PUBLISH, *around[1]) for each in (first, second))
    return scenario(patchers=patchers, sled=sled, other=B if second[0].at != NEIGHBOUR else None)


def neighbours(*, lock: bool) -> Scenario:
    patchers = (mapped(FUNC, JAL_A), mapped(NEIGHBOUR, NOP))
    around = ((LOCK,), (UNLOCK,)) if lock else ((), ())
    return scenario(patchers=tuple((*around[0], *each, *PUBLISH, *around[1]) for each in patchers), sled="nop")


HALVES_A = (store(FUNC, PAIR_A[:4]), store(FUNC + 4, PAIR_A[4:]))
HALVES_B = (store(FUNC, PAIR_B[:4]), store(FUNC + 4, PAIR_B[4:]))

TESTS = (
    # two words
    Litmus("pair", "smp", enable_pair(*PUBLISH), "wild", "fetches nop, then jalr: t0 is whatever it was"),
    Litmus("pair", "smp-preempt", enable_pair(*PUBLISH), "wild", "the same, and more time for it"),
    Litmus("pair", "strong", enable_pair(*PUBLISH), "wild", "the newest bytes are fetched twice, a store between"),
    Litmus("pair, stopped", "stop", scenario(*stopped(*ENABLE_PAIR)), SAFE, "no call is in the sled meanwhile"),
    Litmus("pair, stopped", "stop-voluntary", scenario(*stopped(*ENABLE_PAIR)), SAFE, "a sled is no place to sleep"),
    Litmus("pair, stopped", "stop-preempt", scenario(*stopped(*ENABLE_PAIR)), "wild", "stopped between nop and jalr"),
    Litmus("pair, stopped", "strong", scenario(*stopped(*ENABLE_PAIR)), "wild", "the same; fetching is not to blame"),
    Litmus("pair", "up", enable_pair(FENCE_I), SAFE, "nobody runs while the patcher does not sleep"),
    Litmus("pair", "up-preempt", enable_pair(FENCE_I), "wild", "preempted between nop and jalr"),
    Litmus("pair", "up,harts=2", enable_pair(FENCE_I), "stale wild", "the other hart, told of nothing"),
    Litmus(
        "pair to nops, stopped", "stop-preempt", scenario(*stopped(store(FUNC, NOPS)), sled=PAIR_A, **A_TO_OFF), SAFE,
        "stopped behind auipc it goes on with a nop, and t0 is free",
    ),
    Litmus(
        "pair to nops, stopped, t0 counts", "stop-preempt",
        scenario(*stopped(store(FUNC, NOPS)), sled=PAIR_A, clobbers=CLOBBERS - {5}, **A_TO_OFF), "registers",
        "the same, and a call counts too: it leaves its return address in t0",
    ),
    Litmus(
        "pair to pair, stopped", "stop-preempt", scenario(*stopped(store(FUNC, PAIR_B)), sled=PAIR_A, **A_TO_B), "wild",
        "the upper half of one target, the lower half of the other",
    ),
    # one word
    Litmus("jal", "smp", enable_jal(*PUBLISH), SAFE, "an aligned word is stored and fetched at once"),
    Litmus("jal", "smp-preempt", enable_jal(*PUBLISH), SAFE, "there is no place between"),
    Litmus("jal", "parcel", enable_jal(*PUBLISH), "wild", "half a jal and half a nop: a jump to itself"),
    Litmus("jal, stopped", "stop,fetch=parcel", scenario(*stopped(*ENABLE_JAL), sled="nop"), SAFE,
           "fence.i at the end"),
    Litmus("jal, stopped, no own fence.i", "stop", scenario(STOP, *ENABLE_JAL, RESUME, sled="nop"), "stale",
           "the others have fetched anew, the patcher's own hart has not"),
    Litmus("jal, stopped, others without fence.i", "stop",
           scenario(STOP, *ENABLE_JAL, FENCE_I, replace(RESUME, fences=False), sled="nop"), "stale",
           "the patcher's own hart has fetched anew, the others have not"),
    Litmus("jal, stopped, others without fence.i, told", "stop",
           scenario(STOP, *ENABLE_JAL, FENCE_I, replace(RESUME, fences=False), REMOTE, sled="nop"), SAFE,
           "they are told behind"),
    Litmus(
        "jal on 2 mod 4", "smp",
        scenario(store(FUNC + 2, jal(NEAR_A, FUNC + 2)), *PUBLISH, sled="nop", at=FUNC + 2), "wild",
        "two stores of 2 bytes, two units fetched",
    ),
    Litmus(
        "jal on 2 mod 4", "strong",
        scenario(store(FUNC + 2, jal(NEAR_A, FUNC + 2)), *PUBLISH, sled="nop", at=FUNC + 2), "wild",
        "the newest bytes are half of the store",
    ),
    Litmus(
        "jal on 2 mod 4", "up", scenario(store(FUNC + 2, jal(NEAR_A, FUNC + 2)), FENCE_I, sled="nop", at=FUNC + 2),
        SAFE,
        "nobody looks",
    ),
    Litmus(
        "a parcel before the jal", "parcel", scenario(store(FUNC, text("c.nop")), *PUBLISH, sled=GUARDED), SAFE,
        "c.j becomes c.nop: one parcel",
    ),
    Litmus(
        "a parcel before the jal", "align2", scenario(store(FUNC, text("c.nop")), *PUBLISH, sled=GUARDED), SAFE,
        "the same whatever the harts fetch",
    ),
    Litmus("jal to jal, upper half", "parcel", scenario(store(FUNC + 2, JAL_B[2:]), *PUBLISH, sled=JAL_A, **A_TO_B),
           SAFE, "two targets whose lower parcels are alike"),
    # who is told, and when
    Litmus("no remote fence", "smp", enable_jal(FENCE_I, FENCE), "stale", "the other hart fetches the nop for ever"),
    Litmus("early remote fence", "smp", scenario(*PUBLISH, *ENABLE_JAL, FENCE_I, FENCE, sled="nop"), "stale",
           "too early"),
    Litmus("unordered remote fence", "smp", enable_jal(FENCE_I, REMOTE), "stale", "the store may still be on its way"),
    Litmus("fence behind the remote fence", "smp", enable_jal(FENCE_I, REMOTE, FENCE), "stale", "the same"),
    Litmus("no remote fence", "strong", enable_jal(), SAFE, "harts that need none"),
    Litmus("early remote fence", "strong", scenario(*PUBLISH, *ENABLE_JAL, sled="nop"), SAFE, "harts that need none"),
    Litmus("no remote fence", "interrupted", enable_jal(FENCE_I), SAFE, "the only caller is on the patcher's hart"),
    Litmus("no local fence.i", "smp", enable_jal(FENCE, REMOTE), "stale", "the patcher's own hart fetches the nop"),
    Litmus("no local fence.i", "up", enable_jal(FENCE), "stale", "there is no other hart to blame"),
    Litmus("no local fence.i", "itself", enable_jal(FENCE, REMOTE), "stale", "the patcher calls and is not traced"),
    Litmus("fence.i before the store", "up", scenario(FENCE_I, *ENABLE_JAL, sled="nop"), "stale", "too early"),
    # data
    Litmus("pointer", "smp", through_other(SET_LITERAL), SAFE, "8 aligned bytes are loaded at once"),
    Litmus(
        "pointer on 4 mod 8", "smp", through_other(
            store(FUNC - 4, quad(OPS_A)), at=FUNC + 4, pointers=(Span(FUNC - 4, FUNC + 4),)
        ), "ops", "half of A and half of B is no ops",
    ),
    Litmus(
        "pointer on 4 mod 8, not known to be one", "smp", through_other(store(FUNC - 4, quad(OPS_A)), at=FUNC + 4),
        "wild", "half of A and half of B is nowhere",
    ),
    Litmus(
        "pointer on 4 mod 8", "up", through_other(store(FUNC - 4, quad(OPS_A)), at=FUNC + 4), SAFE, "nobody looks"
    ),
    Litmus("message by pointer", "smp", new_ops(FENCE), SAFE, "the address of the second load depends on the first"),
    Litmus("message by pointer, no fence", "smp", new_ops(), "wild", "the pointer overtakes what it points to"),
    Litmus("message by pointer, fence.i", "smp", new_ops(FENCE_I), "wild", "fence.i publishes nothing"),
    Litmus("message by pointer, no fence", "up-preempt", new_ops(), SAFE, "a hart sees its own stores in order"),
    Litmus("message by flag", "smp", flag(FENCE), "wild", "the second load depends on the first by a branch only"),
    Litmus("message by flag, fence r,r", "smp", flag(FENCE, fence="fence r, r"), SAFE, "both sides have a fence"),
    Litmus("message by flag, fence w,w", "smp", flag(FENCE, fence="fence w, w"), "wild", "it orders no loads"),
    Litmus("message by flag, pause", "smp", flag(FENCE, fence="pause"), "wild", "a hint that looks like a fence"),
    Litmus("message by flag, fence.i", "smp", flag(FENCE, fence="fence.i"), SAFE,
           "fetched behind it, so loaded behind it"),
    Litmus("message by flag, remote fence", "smp", flag(*PUBLISH), SAFE, "the reader was fetched behind the word"),
    Litmus("message by flag, tasks waited for", "smp", flag(FENCE, WAIT), SAFE, "the reader has slept behind the word"),
    Litmus(
        "one literal twice", "smp",
        scenario(store(LITERAL, quad(1)), sled=pair(EXTRA), extra={"reader": TWICE}, new=OFF), SAFE,
        "the same address is never loaded older than before",
    ),
    Litmus(
        "one literal twice", "smp-preempt",
        scenario(store(LITERAL, quad(1)), sled=pair(EXTRA), extra={"reader": TWICE}, new=OFF), SAFE,
        "the same address is never loaded older than before, on another hart neither",
    ),
    Litmus(
        "half a literal, then all of it", "smp",
        scenario(store(LITERAL, quad(1 << 32)), sled=pair(EXTRA), extra={"reader": WIDER}, new=OFF), SAFE,
        "nor are the bytes of a load within another's",
    ),
    Litmus("pointer followed", "smp", following(FUNC), SAFE, "the second load's address is the first's value"),
    Litmus("pointer on 4 mod 8 followed", "smp", following(FUNC + 4), SAFE, "it is so for both halves of it"),
    Litmus("pointer followed through the stack", "smp", following(FUNC, THROUGH_STACK), SAFE,
           "a load that returns what was stored depends on what that was made from"),
    Litmus("a look before", "smp", looks_before(LOOKS, "nop"), SAFE,
           "the load that counts is what the next depends on"),
    Litmus("a look before that", "smp", looks_before("nop", LOOKS), SAFE, "the same"),
    Litmus("literal, jalr", "smp", call_ops(SET_LITERAL, FENCE, JALR_OTHER, *PUBLISH), "wild",
           "a load is not ordered behind the fetch of the jalr before it"),
    Litmus("literal, told, jalr", "smp", call_ops(SET_LITERAL, *PUBLISH, JALR_OTHER, *PUBLISH), SAFE,
           "who fetches the jalr has executed fence.i behind the literal"),
    Litmus("literal, jalr, no fence", "smp", call_ops(SET_LITERAL, JALR_OTHER, *PUBLISH, literal=OPS_B), SAFE,
           "whichever is first: the ops that were there are quiet"),
    Litmus("jalr, literal", "smp", call_ops(JALR_OTHER, *PUBLISH, SET_LITERAL), "wild", "no order of mind"),
    Litmus("pointer, jalr", "strong", flagged_by_jalr(), "wild", "loads look back, to when the pointer had overtaken"),
    Litmus("pointer, jalr, a fence between", "strong", flagged_by_jalr(FENCE), SAFE, "it never had"),
    # what goes
    Litmus("ops freed", "smp-preempt", disable_jal(*PUBLISH, WAIT, free(*WHOLE_OPS)), SAFE,
           "nobody is on the way to A"),
    Litmus("ops freed at once", "smp", disable_jal(*PUBLISH, free(*WHOLE_OPS)), "freed", "somebody is on the way to A"),
    Litmus("ops freed at once", "up", disable_jal(FENCE_I, free(*WHOLE_OPS)), SAFE, "nobody runs until it is done"),
    Litmus("ops freed at once", "up-preempt", disable_jal(FENCE_I, free(*WHOLE_OPS)), "freed",
           "preempted behind the jal"),
    Litmus("ops freed, nobody told", "smp", disable_jal(FENCE_I, WAIT, free(*WHOLE_OPS)), "freed",
           "waiting for tasks empties no instruction cache; called late it is freed before it is stale"),
    Litmus("ops freed in stop_machine", "stop",
           scenario(STOP, *DISABLE_JAL, FENCE_I, free(*WHOLE_OPS), RESUME, sled=JAL_A, **A_TO_OFF), SAFE,
           "nobody is inside"),
    Litmus("ops freed in stop_machine", "stop-preempt",
           scenario(STOP, *DISABLE_JAL, FENCE_I, free(*WHOLE_OPS), RESUME, sled=JAL_A, **A_TO_OFF), "freed",
           "stopped behind the jal"),
    Litmus("trampoline freed", "smp-preempt", retire_trampoline(WAIT), SAFE, "everybody has left it"),
    Litmus("trampoline freed at once", "smp", retire_trampoline(), "freed", "somebody is in it"),
    # fused pairs
    Litmus("pair", "fused", enable_pair(*PUBLISH), SAFE, "two nops are one, auipc and jalr are one"),
    Litmus("pair on 4 mod 8", "fused", scenario(store(FUNC + 4, pair(FAR_A, FUNC + 4)), *PUBLISH, at=FUNC + 4),
           "wild", "what is not aligned is not one"),
    Litmus("pair", "fused-call", enable_pair(*PUBLISH), "wild", "two nops are two"),
    Litmus("pair to pair", "fused-call", scenario(store(FUNC, PAIR_B), *PUBLISH, sled=PAIR_A, **A_TO_B), SAFE,
           "both are auipc and jalr"),
    Litmus("pair to nops", "fused-call", scenario(store(FUNC, NOPS), *PUBLISH, sled=PAIR_A, **A_TO_OFF), "wild",
           "the nop, then the old jalr by itself"),
    Litmus("pair by halves", "fused", scenario(*HALVES_A, *PUBLISH), "wild", "nop and jalr are stored one by one"),
    Litmus("jal before the body", "fused", enable_jal(*PUBLISH), SAFE, "nop and the body's first instruction are one"),
    Litmus("load and call to pair", "fused", scenario(
           store(FUNC, AUIPC_T1), *PUBLISH, store(LITERAL, quad(FAR_B)), sled=LOAD_AND_CALL,
           literal=FAR_B, **B_TO_A), SAFE, "whatever the two are"),
    # whose call
    Litmus("jal by halves, upper first", "interrupted",
           scenario(store(FUNC + 2, JAL_A[2:]), store(FUNC, JAL_A[:2]), FENCE_I, sled="nop"), SAFE,
           "a nop with an immediate; the hart sees its own stores in order"),
    Litmus("jal by halves, lower first", "interrupted",
           scenario(store(FUNC, JAL_A[:2]), store(FUNC + 2, JAL_A[2:]), FENCE_I, sled="nop"), "wild",
           "a jump to itself"),
    Litmus("jal by halves, upper first", "smp",
           scenario(store(FUNC + 2, JAL_A[2:]), store(FUNC, JAL_A[:2]), *PUBLISH, sled="nop"), "wild",
           "other harts see them in any order"),
    Litmus("jal by halves, a fence between", "smp",
           scenario(store(FUNC + 2, JAL_A[2:]), FENCE, store(FUNC, JAL_A[:2]), *PUBLISH, sled="nop"), SAFE,
           "in this one"),
    Litmus("pair", "interrupted", enable_pair(*PUBLISH), "wild", "the interrupt comes before fence.i"),
    Litmus("pair, stopped", "interrupted,stop_machine=yes", scenario(*stopped(*ENABLE_PAIR)), SAFE,
           "interrupts are off"),
    Litmus("pair, stopped", "itself,stop_machine=yes", scenario(*stopped(*ENABLE_PAIR)), "wild",
           "the patcher calls what it patches before fence.i"),
    Litmus("jal", "itself", enable_jal(*PUBLISH), SAFE, "stale or new, both whole"),
    # harts of different age
    Litmus("own fence.i, then migration", "smp-preempt", OWN_FENCE_I, "stale",
           "fence.i on one hart, the nop on another"),
    Litmus("own fence.i", "smp,preemption=full,migration=no", OWN_FENCE_I, SAFE, "fence.i where it goes on"),
    Litmus("own fence.i", "smp", OWN_FENCE_I, SAFE, "fence.i where it goes on"),
    # two patchers
    Litmus("neighbours, locked", "two-locked", neighbours(lock=True), SAFE, "they take turns with the slot"),
    Litmus("neighbours", "two-patchers", neighbours(lock=False), "lost", "one store goes through the other's slot"),
    Litmus("two jals, locked", "two-locked", two(ENABLE_JAL, (store(FUNC, JAL_B),), lock=True), SAFE,
           "either is right"),
    Litmus("two jals", "two-patchers", two(ENABLE_JAL, (store(FUNC, JAL_B),), lock=False), SAFE, "so is any order"),
    Litmus("two pairs by halves, locked", "two-locked", two(HALVES_A, HALVES_B, lock=True, sled=NOPS), "wild",
           "a lock keeps patchers apart, not callers"),
    Litmus("two pairs by halves", "two-patchers,preemption=none",
           two(HALVES_A, HALVES_B, lock=False, sled=NOPS), "lost wild",
           "half of each is left"),
    # on the way
    Litmus("through off", "smp",
           scenario(store(FUNC, NOP), *PUBLISH, store(FUNC, JAL_B), *PUBLISH, sled=JAL_A, **A_TO_B),
           "missed", "for a while nobody traces"),
    Litmus("through B", "smp",
           scenario(store(FUNC, JAL_B), *PUBLISH, store(FUNC, NOP), *PUBLISH, sled=JAL_A, **A_TO_OFF),
           "ops", "nobody has asked for B"),
    Litmus("the same word twice", "smp", scenario(store(FUNC, JAL_B), store(FUNC, JAL_A), *PUBLISH, sled="nop"), "ops",
           "B is seen on the way, never in the end: one address keeps its order"),
    Litmus("a register", "smp", scenario(store(FUNC, text("addi s1, s1, 1")), *PUBLISH, sled="nop", new=OFF),
           "registers",
           "s1 is not the sled's"),
    # that do not end
    Litmus("callee jumps to itself", "smp",
           scenario(*ENABLE_JAL, *PUBLISH, sled=pair(EXTRA), extra={"stuck": "jal zero, ."}),
           "wild", "no way out"),
    Litmus("callee goes round", "smp", scenario(SET_LITERAL, sled=pair(EXTRA), extra=LOOPS), "wild", "no way out"),
    Litmus("sled goes round", "smp", scenario(store(FUNC + 4, text("jal zero, . - 4")), *PUBLISH), "wild",
           "no way out once nobody fetches the nop"),
    # breakpoints
    Litmus("ebreak", "smp-preempt", scenario(store(FUNC, text("ebreak")), *PUBLISH, sled="nop", breakpoints=EBREAK),
           SAFE,
           "one word, the nop is executed elsewhere"),
    Litmus("c.ebreak", "parcel",
           scenario(store(FUNC, text("c.ebreak")), *PUBLISH, sled="c.nop\n nop", breakpoints=C_EBREAK),
           SAFE, "one parcel"),
    Litmus("ebreak", "parcel", scenario(store(FUNC, text("ebreak")), *PUBLISH, sled="nop", breakpoints=EBREAK), "wild",
           "ebreak is 1 in the upper half: half of it is ecall"),
    Litmus("ebreak of nobody", "smp", scenario(store(FUNC, text("ebreak")), *PUBLISH, sled="nop"), "wild",
           "no handler"),
)  # fmt: skip


SLOW = ("two pairs by halves",)
KNOWN = {
    "pointer followed through the stack": "the explorer sees no dependency through the stack: more breaks",
    "load and call to pair": "the explorer lets a pair be interrupted behind a load of patched bytes: more breaks",
}
"""Where the explorer is known to say something else than what is right."""


@pytest.mark.parametrize("test", TESTS, ids=[f"{test.name} | {test.environment}" for test in TESTS])
def test_litmus(test: Litmus) -> None:
    result = explore(test.scenario, get_environment(test.environment))
    assert result.complete
    assert (" ".join(sorted(result.witnesses)) == test.kinds) is (test.name not in KNOWN), test.why


@pytest.mark.parametrize("test", TESTS, ids=[f"{test.name} | {test.environment}" for test in TESTS])
def test_reference_agrees(test: Litmus) -> None:
    if test.name in SLOW and not os.environ.get("GENPATCH_LONG"):
        pytest.skip("the reference takes half a minute: GENPATCH_LONG=1 has the time")
    assert " ".join(sorted(kinds_of(test.scenario, get_environment(test.environment)))) == test.kinds, test.why


def test_names_are_unique() -> None:
    assert len({(test.name, test.environment) for test in TESTS}) == len(TESTS)
