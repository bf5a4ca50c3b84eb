# SPDX-License-Identifier: GPL-2.0-or-later
"""Running compiled programs: hand-written ones that are right, and the same with one mistake each."""

from __future__ import annotations

import pytest

from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.samples import resolve
from genpatch.units import Span
from genpatch.verify.bpf.compile import Stretch, leading_nops, sled_size
from genpatch.verify.bpf.compiled_programs import CONTEXT, Call, Cell, CompiledProgram
from genpatch.verify.bpf.compiled_run import Breach, ProgramsResult, Runner, Subject, add_failure, verify_programs
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.scene import prepare_scene

ENTRY = 0xFFFF_FFFF_7F00_0010
HELPER = ENTRY + 0x4_0000

TAIL = """
entry:
    nop
    nop
    addi a6, zero, 33
    addi sp, sp, -48
    sd ra, 40(sp)
    sd s0, 32(sp)
    sd s1, 24(sp)
    sd s6, 16(sp)
    addi s0, sp, 48
    mv s6, a6
    mv s1, a0
    call helper
    ld a4, 0(s1)
    addi a4, a4, 2
    sd a4, 0(s1)
    mv a0, s1
    addi a6, s6, -1
    blt a6, zero, out
    ld ra, 40(sp)
    ld s0, 32(sp)
    ld s1, 24(sp)
    ld s6, 16(sp)
    addi sp, sp, 48
    la t3, entry
    jr 12(t3)
out:
    lui a5, 0x80000
    ld ra, 40(sp)
    ld s0, 32(sp)
    ld s1, 24(sp)
    ld s6, 16(sp)
    addi sp, sp, 48
    sext.w a0, a5
    ret
"""
PROGRAM = CompiledProgram(
    name="a tail call to itself", text="exit", result=0xFFFF_FFFF_8000_0000, context=bytes(16),
    cells=(Cell("what is counted", 0, 8, 68),), calls=(Call("helper", (CONTEXT,)),) * 34,
)  # fmt: skip


def subject(source: str, program: CompiledProgram = PROGRAM) -> Subject:
    code = assemble(source, ENTRY, symbols={"helper": HELPER})
    span = Span(ENTRY, ENTRY + len(code))
    stretch = Stretch(span, ENTRY, len(code), leading_nops(code), ENTRY + sled_size(code))
    return Subject(program, ((span, code),), (stretch,), (), {"helper": HELPER})


def told(source: str, program: CompiledProgram = PROGRAM) -> list[tuple[BpfPromise, str, str]]:
    runner = Runner(subject(source, program))
    runner.run()
    return [(each.promise, each.what, each.note) for each in runner.breaches]


def test_a_right_program() -> None:
    runner = Runner(subject(TAIL))
    runner.run()
    assert runner.breaches == []
    assert runner.insns == 3 + 34 * 16 + 33 * 8 + 8  # once the beginning, 34 bodies, 33 tail calls, the end


P, S = BpfPromise.PROGRAM, BpfPromise.STACK
MISTAKES = {
    "the tail call lands on the counter's first value": ("jr 12(t3)", "jr 8(t3)", P, "how often functions are called"),
    "the tail call lands on a nop": ("jr 12(t3)", "jr 4(t3)", P, "how often functions are called"),
    "the tail call lands behind the frame": ("jr 12(t3)", "jr 16(t3)", P, "the end of the program"),
    "one tail call too few": ("zero, 33", "zero, 32", P, "how often functions are called"),
    "the counter is lost in the call": ("addi a6, s6, -1", "addi a6, a6, -1", P, "how often functions are called"),
    "a0 is not the low 32 bits": ("sext.w a0, a5", "addi a0, zero, 1", P, "the value returned (a0)"),
    "a5 is another": ("lui a5, 0x80000", "lui a5, 0x7ffff", P, "R0 (a5)"),
    "another argument": ("mv s1, a0", "addi s1, a0, 8", P, "argument 1 of helper"),
    "s1 is not restored": ("out:\n    lui a5, 0x80000\n    ld ra, 40(sp)\n    ld s0, 32(sp)\n    ld s1, 24(sp)",
                           "out:\n    lui a5, 0x80000\n    ld ra, 40(sp)\n    ld s0, 32(sp)\n    nop",
                           S, "s1 at the end"),
    "sp is no multiple of 16": ("addi sp, sp, -48", "addi sp, sp, -56", S, "sp at helper"),
    "the frame pointer points elsewhere": ("addi s0, sp, 48", "addi s0, sp, 40", S,
                                           "the frame pointer at helper"),
    "the frame pointer points to no frame": ("addi s0, sp, 48", "addi s0, sp, 49", S, "the frame pointer at helper"),
    "a slot that nobody wrote": ("ld a4, 0(s1)", "ld a4, 8(sp)", S, "a read of the stack"),
    "a store below sp": ("mv s1, a0", "mv s1, a0\n    sd a1, -8(sp)", S, "a store below sp"),
    "a store to the caller's frame": ("mv s1, a0", "mv s1, a0\n    sd a1, 48(sp)", P, "the end of the program"),
    "a change of its context": ("mv s1, a0", "mv s1, a0\n    sb a1, 12(a0)", P, "its context"),
    "it does not end": ("out:", "out:\n    beq s0, s0, out", P, "the end of the program"),
    "it jumps astray": ("    ret", "    jr 8(ra)", P, "the end of the program"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    old, new, promise, what = MISTAKES[name]
    assert TAIL.count(old) == 1
    found = told(TAIL.replace(old, new))
    assert (promise, what) in [each[:2] for each in found]


def test_a_return_address_that_an_unwinder_does_not_find() -> None:
    source = TAIL.replace("sd ra, 40(sp)", "sd ra, 8(sp)\n    sd zero, 40(sp)").replace("ld ra, 40(sp)", "ld ra, 8(sp)")
    assert [each[:2] for each in told(source)] == [(S, "the outermost return address in the frames at helper")]


def test_a_register_that_a_helper_spoils() -> None:
    program = CompiledProgram(name="n", text="exit", result=5, calls=(Call("helper", (5,), 7),))
    source = """
        addi sp, sp, -16; sd ra, 8(sp); sd s0, 0(sp); addi s0, sp, 16; li a0, 5; li a5, 5
        call helper; {after}; ld ra, 8(sp); ld s0, 0(sp); addi sp, sp, 16; sext.w a0, a5; ret"""
    assert told(source.format(after="li a5, 5"), program) == []
    assert (P, "R0 (a5)", "") in told(source.format(after="nop"), program)


def test_calls_in_another_order() -> None:
    program = CompiledProgram(name="n", text="exit", calls=(Call("kfunc"),))
    code = (
        "addi sp, sp, -16; sd ra, 8(sp); sd s0, 0(sp); addi s0, sp, 16; call helper; ld ra, 8(sp); addi sp, sp, 16; ret"
    )
    assert (P, "call 1", "helper is called, not kfunc") in told(code, program)


def test_failures_that_are_alike_are_one() -> None:
    result = ProgramsResult()
    runner = Runner(subject(TAIL.replace("zero, 33", "zero, 32")))
    runner.run()
    for name in ("one", "another", "a third"):
        add_failure(result, runner.breaches[0], name)
    assert [(each.example, each.cases) for each in result.failures] == [("one", 3)]


def test_alike_but_for_where_a_tail_call_lands() -> None:
    """The first of several is shown with its landing; the others are still the same failure."""
    breach = Breach(BpfPromise.PROGRAM, "the end of the program", 0, 4, "an instruction that is none")
    bare = Breach(BpfPromise.STACK, "sp at the end", 0, 8)
    result = ProgramsResult()
    for each in (breach, bare):
        first = add_failure(result, each, "one")
        assert first is not None
        first.note = "; ".join(part for part in (first.note, "a tail call lands at program+0x8") if part)
        assert add_failure(result, each, "two") is None
    assert [each.cases for each in result.failures] == [2, 2]


def test_unused_only_if_all_programs_are() -> None:
    breach, result = Breach(BpfPromise.PROGRAM, "the end of the program", 0, 4), ProgramsResult()
    first = add_failure(result, breach, "one", unused="nobody has it")
    add_failure(result, breach, "two", unused="nobody has it")
    assert first is not None
    assert first.unused == "nobody has it"
    add_failure(result, breach, "three")
    assert first.unused == ""


@pytest.mark.parametrize(
    ("code", "count"),
    [("130000001300000013082002", 2), ("01001300000001008280", 3), ("8280", 0), ("1300", 0), ("", 0)],
)
def test_leading_nops(code: str, count: int) -> None:
    assert leading_nops(bytes.fromhex(code)) == count


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("nop; nop; addi a6, zero, 33", 8),
        ("nop; nop; nop; nop; addi a6, zero, 33", 16),
        ("auipc t0, 0; addi zero, t0, -16; addi a6, zero, 33", 8),
        ("c.nop; nop; c.addi16sp sp, -16", 6),
        ("addi a6, zero, 33; nop", 0),
    ],
)
def test_size_of_a_sled(source: str, size: int) -> None:
    assert sled_size(assemble(source, ENTRY)) == size


@pytest.mark.parametrize("sample", ["call-ops", "bpf"])
def test_a_kernel_without_a_jit(sample: str) -> None:
    image = read_image(open_content(resolve(f"sample:{sample}")))
    result = verify_programs(image, prepare_scene(image))
    assert result.trouble.endswith("BPF: expected the function bpf_int_jit_compile, got none")
    assert (result.programs, result.pokes, result.failures) == (0, 0, [])
