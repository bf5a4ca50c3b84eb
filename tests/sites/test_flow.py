# SPDX-License-Identifier: GPL-2.0-or-later
"""The symbolic reader on short routines."""

from __future__ import annotations

import numpy as np
import pytest

from genpatch.image.memory import AddressSpace, Region
from genpatch.isa.assemble import assemble
from genpatch.sites.flow import MAX_INSNS, Routine, Value, entry_value, read_routine
from genpatch.units import Span

PC = 0xFFFF_FFFF_8000_2000
OUT = {"helper": PC + 0x800, "far": PC - 0x400}
A0, A1, RA, SP, T0 = (entry_value(number) for number in (10, 11, 1, 2, 5))


def read_bytes(raw: bytes, size: int | None = None) -> Routine:
    data = np.frombuffer(raw, np.uint8)
    region = Region(name=".text", span=Span(PC, PC + len(raw)), data=data, executable=True, writable=False, alignment=4)
    return read_routine(AddressSpace(regions=(region,)), PC, PC + (len(raw) if size is None else size))


def read(source: str) -> Routine:
    return read_bytes(assemble(source, PC, symbols=OUT))


def result(source: str) -> Value:
    """What a0 holds at the return of a routine."""
    routine = read(f"{source}\n jalr zero, 0(ra)")
    assert routine.complete
    (last,) = [call for call in routine.calls() if call.link == 0]
    return last.arguments[0]


# --- values


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("addi a0, a0, 12", Value(A0.base, 12)),
        ("addi a0, zero, 5", Value(None, 5)),
        ("addi a0, zero, -1", Value(None, (1 << 64) - 1)),
        ("lui a0, 0x80000", Value(None, 0xFFFF_FFFF_8000_0000)),
        ("lui a0, 1\n addi a0, a0, -2048", Value(None, 2048)),
        ("lui a0, 0x80000\n addiw a0, a0, -1", Value(None, 0x7FFF_FFFF)),
        ("auipc a0, 1", Value(None, PC + 0x1000)),
        ("auipc a0, 0xfffff", Value(None, PC - 0x1000)),
        ("addi a1, zero, 7\n add a0, a0, a1", Value(A0.base, 7)),
        ("addi a1, zero, -7\n add a0, a1, a0", Value(A0.base, -7)),
        ("addi a1, zero, 7\n sub a0, a0, a1", Value(A0.base, -7)),
        ("addi a0, a0, -13\n andi a0, a0, -8", Value(("align", Value(A0.base, -13), -8), 0)),
        ("addi a0, zero, 0x7f\n andi a0, a0, -8", Value(None, 0x78)),
        ("ld a0, 8(a0)", Value(("load", Value(A0.base, 8), 8), 0)),
        ("ld a0, 0(a0)\n addi a0, a0, -4", Value(("load", A0, 8), -4)),
        ("lwu a0, 4(a0)", Value(("load", Value(A0.base, 4), 4), 0)),
        ("c.mv a0, a1", A1),
        ("c.li a0, 3", Value(None, 3)),
        ("addi zero, a0, 4\n c.mv a0, a1\n addi a0, zero, 0", Value(None, 0)),
    ],
)
def test_values(source: str, value: Value) -> None:
    assert result(source) == value


@pytest.mark.parametrize(
    "source",
    ["add a0, a0, a1", "sub a0, a0, a1", "xor a0, a0, a0", "slli a0, a0, 3", "andi a0, a0, 7", "addiw a0, a0, 0"],
)
def test_what_is_not_followed_is_unknown(source: str) -> None:
    value = result(source)
    assert value.base is not None
    assert value.base[0] == "opaque"
    assert value.constant is None


def test_arithmetic_of_values() -> None:
    assert Value(None, 8).plus(-16) == Value(None, (1 << 64) - 8)
    assert A0.plus(8).plus(-16) == Value(A0.base, -8)
    assert A0.plus(8).distance_from(A0) == 8
    assert A0.distance_from(A1) is None
    assert Value(None, 5).constant == 5
    assert A0.constant is None


# --- memory


def test_a_spill_is_read_back() -> None:
    assert result("addi sp, sp, -32\n sd a1, 24(sp)\n ld a0, 24(sp)\n addi sp, sp, 32") == A1


def test_a_spill_survives_a_call() -> None:
    source = """
        addi sp, sp, -32
        sd ra, 24(sp)
        sd a0, 16(sp)
        jal ra, helper
        ld a0, 16(sp)
        ld ra, 24(sp)
        addi sp, sp, 32
    """
    routine = read(source + "jalr zero, 0(ra)")
    call, back = routine.calls()
    assert (call.target, call.link, back.link) == (PC + 0x800, 1, 0)
    assert back.through == RA
    assert back.arguments[0] == A0
    assert back.registers[2] == SP


def test_callees_may_change_caller_saved_registers() -> None:
    routine = read("jal ra, helper\n jalr zero, 0(ra)")
    back = list(routine.calls())[1]
    for register in (1, 5, 6, 7, *range(10, 18), *range(28, 32)):
        assert back.registers[register] != entry_value(register)
    for register in (2, 3, 4, 8, 9, *range(18, 28)):
        assert back.registers[register] == entry_value(register)


def test_accesses_are_recorded() -> None:
    routine = read("sw a1, 4(a0)\n lb a2, -1(a0)\n sd ra, 8(sp)\n jalr zero, 0(ra)")
    found = [(each.address, each.width, each.register, each.value, each.is_store) for each in routine.accesses()]
    assert found == [
        (Value(A0.base, 4), 4, 11, A1, True),
        (Value(A0.base, -1), 1, 12, Value(("load", Value(A0.base, -1), 1), 0), False),
        (Value(SP.base, 8), 8, 1, RA, True),
    ]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("sw a1, 0(sp)\n ld a0, 0(sp)"),
        pytest.param("sd a1, 0(sp)\n sb zero, 3(sp)\n ld a0, 0(sp)"),
        pytest.param("sd a1, 8(sp)\n sd zero, 4(sp)\n ld a0, 8(sp)"),
        "sd a1, 0(sp)\n lw a0, 0(sp)",
    ],
)
def test_a_slot_is_only_what_was_stored_whole(source: str) -> None:
    assert result(source) not in (A1, Value(None, 0))


# --- control


def test_branches() -> None:
    routine = read("beq a0, zero, out\n addi a0, a0, 8\n out: jalr zero, 0(ra)")
    (branch,) = routine.branches()
    assert (branch.name, branch.left, branch.right, branch.target) == ("beq", A0, Value(None, 0), PC + 8)
    assert [pc - PC for pc, _ in routine.insns] == [0, 4, 8]
    assert routine.complete


def test_both_ways_of_a_branch_are_read_with_their_own_state() -> None:
    source = """
        bne a0, zero, other
        addi a0, zero, 1
        jalr zero, 0(ra)
        other: addi a0, a0, 2
        jalr zero, 0(ra)
    """
    assert [call.arguments[0] for call in read(source).calls()] == [Value(None, 1), Value(A0.base, 2)]


def test_a_loop_is_read_once() -> None:
    routine = read("again: addi a0, a0, -1\n bne a0, zero, again\n jalr zero, 0(ra)")
    assert [pc - PC for pc, _ in routine.insns] == [0, 4, 8]
    assert routine.complete


def test_an_endless_loop_ends() -> None:
    routine = read("again: jal zero, again")
    assert len(routine.insns) == 1
    assert routine.complete


def test_a_jump_inside() -> None:
    routine = read("jal zero, on\n addi a0, a0, 1\n on: jalr zero, 0(ra)")
    assert [pc - PC for pc, _ in routine.insns] == [0, 8]


def test_a_branch_out_of_the_routine_is_not_followed() -> None:
    routine = read("beq a0, zero, helper\n jalr zero, 0(ra)")
    (branch,) = routine.branches()
    assert branch.target == PC + 0x800
    assert routine.complete


def test_calls_and_tail_calls() -> None:
    routine = read("jal ra, helper\n auipc t1, 0\n jalr ra, 16(t1)\n jalr ra, 0(a5)\n jal zero, far")
    calls = [(call.pc - PC, call.target, call.link, call.via) for call in routine.calls()]
    assert calls == [
        (0, PC + 0x800, 1, -1),
        (8, PC + 4 + 16, 1, 6),
        (12, None, 1, 15),
        (16, PC - 0x400, 0, -1),
    ]
    assert routine.complete


def test_arguments() -> None:
    routine = read("addi a2, zero, 8\n c.mv a1, sp\n jal ra, helper\n jalr zero, 0(ra)")
    call = next(routine.calls())
    assert call.arguments[:3] == (A0, SP, Value(None, 8))
    assert len(call.arguments) == 8


def test_constants() -> None:
    routine = read("addi a0, zero, 2047\n lui a1, 1\n addiw a1, a1, -1\n addi a2, a3, 5\n jalr zero, 0(ra)")
    assert routine.constants == (2047, 4096, 4095)


@pytest.mark.parametrize("trap", ["ebreak", "mret", "sret"])
def test_a_trap_ends_a_path(trap: str) -> None:
    routine = read(f"{trap}\n addi a0, a0, 1\n jalr zero, 0(ra)")
    assert [pc - PC for pc, _ in routine.insns] == [0]


def test_an_unknown_instruction() -> None:
    routine = read_bytes(bytes.fromhex("1305c500 ffffffff 67800000"))  # addi a0, a0, 12; ?; ret
    assert not routine.complete
    assert [pc - PC for pc, _ in routine.insns] == [0]
    assert not list(routine.calls())


def test_zeros_are_no_code() -> None:
    routine = read_bytes(bytes(16))
    assert (routine.complete, routine.insns) == (False, ())


def test_a_routine_that_runs_off_its_end() -> None:
    assert not read("addi a0, a0, 1").complete


def test_a_cut_instruction() -> None:
    assert not read_bytes(bytes.fromhex("1305")).complete


def test_outside_the_image() -> None:
    routine = read_routine(AddressSpace(regions=()), PC, PC + 64)
    assert (routine.complete, routine.insns, routine.start) == (False, (), PC)


def test_a_call_that_does_not_return() -> None:
    raw = assemble("addi sp, sp, -16\n jal ra, helper\n sd a0, 8(sp)\n jalr zero, 0(ra)", PC, symbols=OUT)
    routine = read_bytes(raw, size=8)
    assert [pc - PC for pc, _ in routine.insns] == [0, 4]
    assert routine.complete


@pytest.mark.parametrize(("count", "is_complete"), [(MAX_INSNS - 1, True), (MAX_INSNS, False)])
def test_long_routines_are_cut(count: int, is_complete: bool) -> None:
    assert MAX_INSNS == 600
    routine = read_bytes(b"\x01\x00" * count + b"\x82\x80")
    assert len(routine.insns) == 600
    assert routine.complete is is_complete


def test_registers_start_as_they_are() -> None:
    call = next(read("jalr zero, 0(ra)").calls())
    assert call.registers[0] == Value(None, 0)
    assert [call.registers[number] for number in range(1, 32)] == [entry_value(number) for number in range(1, 32)]
    assert call.through == RA
    assert (call.via, call.target) == (1, None)


def test_compressed_forms_are_the_same() -> None:
    # c.addi sp, -16; c.sdsp ra, 8(sp); c.ldsp ra, 8(sp); c.addi sp, 16; c.jr ra
    routine = read_bytes(bytes.fromhex("4111 06e4 a260 4101 8280".replace(" ", "")))
    assert routine.complete
    store, load = routine.accesses()
    assert (store.address, store.value, load.value) == (Value(SP.base, -8), RA, RA)
    (back,) = routine.calls()
    assert (back.through, back.registers[2]) == (RA, SP)
    assert entry_value(5) == T0
