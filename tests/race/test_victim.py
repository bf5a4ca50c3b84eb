# SPDX-License-Identifier: GPL-2.0-or-later
"""One call, instruction by instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genpatch.isa.assemble import assemble
from genpatch.race.model import Kind
from genpatch.race.victim import DONE, Load, Victim
from genpatch.units import Span

from .litmus import CALLBACK, FUNC, NEAR_A, OPS_A, OPS_B, STACK, quad, registers, scenario

LITERAL = FUNC - 8
SP = registers()[2]


def victim(
    sled: str = "nop\n nop", *, patched: tuple[Span, ...] = (), freed: tuple[Span, ...] = (), **more: object
) -> Victim:
    return Victim(scenario(sled=sled, **more), patched, freed)


def word(text: str, at: int = FUNC) -> int:
    return int.from_bytes(assemble(text, at), "little")


def test_it_begins_at_func_with_the_call_s_registers() -> None:
    local = victim().locals[0]
    assert (local.pc, local.x, local.behaviour, local.origins) == (FUNC, registers(), (), (0,) * 32)


def test_an_instruction_is_executed_once() -> None:
    one = victim()
    move = one.move(0, word("addi a0, a0, 1"))
    assert one.move(0, word("addi a0, a0, 1")) is move
    assert one.locals[move.target].x[10] == registers()[10] + 1
    assert one.locals[move.target].pc == FUNC + 4
    assert one.locals[0].x == registers()


def test_states_that_are_alike_are_one() -> None:
    one = victim()
    assert one.move(0, word("nop")).target == one.move(0, word("addi x0, a0, 5")).target
    assert one.move(0, word("nop")).target != one.move(0, word("c.nop")).target


def test_the_stack_is_its_own() -> None:
    one = victim()
    stored = one.move(0, word("sd a0, -16(sp)")).target
    back = replace_pc(one, stored)
    assert one.locals[one.move(back, word("ld a1, -16(sp)")).target].x[11] == registers()[10]
    assert one.locals[one.move(0, word("ld a1, -16(sp)")).target].x[11] == 0
    assert one.scenario.memory.read(SP - 16, 8) == bytes(8)


def replace_pc(one: Victim, number: int) -> int:
    return one._number(one.locals[number]._replace(pc=FUNC))


BROKEN = {
    "sd a0, 0(a1)": ("a store of 8 bytes", {11: OPS_A}),
    "sd a0, 0(a0)": ("store to memory that is not writable", {}),
    "ld a0, 0(a0)": ("load from memory that is not readable", {}),
    "ebreak": ("breakpoint (ebreak) at func", {}),
    "ecall": ("environment call at func", {}),
    "jal zero, .": ("an instruction that jumps to itself at func", {}),
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wild(text: str) -> None:
    words, changed = BROKEN[text]
    one = victim()
    x = tuple(changed.get(number, value) for number, value in enumerate(one.locals[0].x))
    move = one.move(one._number(one.locals[0]._replace(x=x)), word(text))
    assert move.target == DONE
    assert move.broken is not None
    assert (move.broken.kind, move.broken.text.startswith(words)) == (Kind.WILD, True), move.broken.text


def test_no_instruction() -> None:
    move = victim().move(0, 0)
    assert move.broken is not None
    assert move.broken.text == "illegal instruction 0x0 at func"


def test_below_the_stack() -> None:
    one = victim()
    x = (*registers()[:2], STACK.start + 8, *registers()[3:])
    assert one.move(one._number(one.locals[0]._replace(x=x)), word("sd a0, -16(sp)")).broken is not None


def test_a_load_of_patched_bytes_waits_to_be_told() -> None:
    one = victim(patched=(Span(LITERAL, FUNC),), literal=OPS_A)
    text = word("ld t1, 0(s4)")
    move = one.move(0, text)
    assert move.load == Load(LITERAL, 8, 0)
    assert (move.target, move.is_plain) == (0, False)
    told = one.loaded(0, text, 77, move.load, 1 << 0)
    after = one.locals[told.target]
    assert (after.x[6], after.origins[6]) == (77, 1)
    assert one.memory.read(LITERAL, 8) == quad(OPS_A)
    assert one.loaded(0, text, 77, move.load, 1 << 3).target != told.target  # another load, although of the same value


def test_where_values_come_from() -> None:
    one = victim(patched=(Span(LITERAL, FUNC),), literal=OPS_A)
    load = one.move(0, word("ld t1, 0(s4)")).load
    assert load is not None
    at = one.loaded(0, word("ld t1, 0(s4)"), LITERAL, load, 0b10).target
    for text, register, origin in (
        ("addi t2, t1, 8", 7, 0b10),
        ("add t2, a0, t1", 7, 0b10),
        ("addi t1, zero, 8", 6, 0),
        ("addi t2, a0, 8", 7, 0),
    ):
        assert one.locals[one.move(at, word(text)).target].origins[register] == origin, text
    second = one.move(at, word("ld t2, 0(t1)")).load
    assert second == Load(LITERAL, 8, 0b10)


@pytest.mark.parametrize(
    ("text", "fences"),
    [
        ("fence", ("fence",)),
        ("fence r, r", ("fence",)),
        ("fence r, rw", ("fence",)),
        ("fence.tso", ("fence",)),
        ("fence rw, w", ()),
        ("fence w, w", ()),
        ("fence w, r", ()),
        ("pause", ()),
        ("fence.i", ("fence.i",)),
        ("nop", ()),
    ],
)
def test_fences_between_loads(text: str, fences: tuple[str, ...]) -> None:
    assert victim().move(0, word(text)).fences == fences


def test_the_callback() -> None:
    one = victim()
    x = list(registers())
    x[1], x[12] = FUNC + 4, OPS_B
    move = one.host_move(one._number(one.locals[0]._replace(pc=CALLBACK, x=tuple(x), origins=(1,) * 32)))
    assert move is not None
    after = one.locals[move.target]
    assert (after.pc, after.behaviour) == (FUNC + 4, (OPS_B,))
    changed = {number for number in range(32) if after.x[number] != x[number]}
    assert changed == {1, 5, 6, 7, *range(10, 18), *range(28, 32)}
    assert {number for number in range(32) if not after.origins[number]} == changed
    assert move.is_plain


def test_the_callback_gets_what_is_no_ops() -> None:
    one = victim()
    move = one.host_move(one._number(one.locals[0]._replace(pc=CALLBACK)))
    assert move is not None
    assert move.broken is not None
    assert move.broken.kind is Kind.OPS


def test_a_direct_callee() -> None:
    one = victim(freed=(Span(OPS_A, OPS_A + 64),))
    x = list(registers())
    x[5] = FUNC + 4
    move = one.host_move(one._number(one.locals[0]._replace(pc=NEAR_A, x=tuple(x))))
    assert move is not None
    assert (one.locals[move.target].pc, one.locals[move.target].behaviour) == (FUNC + 4, (OPS_A,))
    assert (move.touched, move.is_plain) == (((OPS_A, 8),), False)


def test_the_body() -> None:
    one = victim()
    arrived = one.locals[0]._replace(pc=FUNC + 8, behaviour=(OPS_A,))
    move = one.host_move(one._number(arrived))
    assert move is not None
    assert (move.target, move.broken, move.behaviour) == (DONE, None, (OPS_A,))
    for register, is_free in ((5, True), (9, False), (1, False), (2, False)):
        x = list(registers())
        x[register] += 8
        move = one.host_move(one._number(arrived._replace(x=tuple(x))))
        assert move is not None
        assert (move.broken is None) is is_free


def test_outside() -> None:
    one = victim()
    for pc in (FUNC - 4, FUNC + 12, 0, 1 << 63):
        move = one.host_move(one._number(one.locals[0]._replace(pc=pc)))
        assert move is not None
        assert move.broken is not None
        assert move.broken.kind is Kind.WILD
    assert one.host_move(one._number(one.locals[0]._replace(pc=FUNC + 4))) is None


def test_what_is_freed_is_noted() -> None:
    one = victim(freed=(Span(FUNC, FUNC + 4), Span(OPS_A, OPS_A + 64)))
    assert one.move(0, word("nop")).touched == ((FUNC, 4),)
    assert not one.move(0, word("nop")).is_plain
    x = (*registers()[:10], OPS_A, *registers()[11:])
    there = one._number(one.locals[0]._replace(pc=FUNC + 4, x=x))
    assert one.move(there, word("ld a1, 8(a0)")).touched == ((OPS_A + 8, 8),)
    assert one.move(there, word("ld a1, 64(a0)")).broken is not None


def test_a_breakpoint_is_executed_elsewhere() -> None:
    original = assemble("addi a0, a0, 1", FUNC)
    one = victim(breakpoints={FUNC: (OPS_A, original)})
    after = one.locals[one.move(0, word("ebreak")).target]
    assert (after.pc, after.behaviour, after.x[10]) == (FUNC + 4, (OPS_A,), registers()[10] + 1)
    elsewhere = one._number(one.locals[0]._replace(pc=FUNC + 4))
    assert one.move(elsewhere, word("ebreak")).broken is not None


def test_names() -> None:
    one = Victim(replace(scenario(), lines={FUNC: "the function"}), (), ())
    assert [one.name(at) for at in (FUNC, FUNC + 4, 0x10)] == ["the function", "the function+0x4", "0x10"]


def test_what_cannot_be_fetched() -> None:
    found = victim().constant(STACK.start)
    assert not isinstance(found, int)
    assert found.text.startswith("fetch from memory that is not executable")
    assert victim().constant(FUNC) == 0x13
