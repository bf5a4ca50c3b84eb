# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of programs: each expected value is what the reference interpreter of the tests comes to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from genpatch.verify.bpf.bytecode import Callee, assemble
from genpatch.verify.bpf.compiled_programs import (
    ARENA,
    ARENA_USER,
    CONTEXT,
    PER_CPU_OFFSET,
    SELF,
    CompiledProgram,
    catalogue,
)  # fmt: skip

from .reference import Machine

CONTEXT_AT = 0x4000_0000_0000
PROGRAMS = [each for each in catalogue() if not each.needs.startswith("inline")]
_HELPERS = {1: "helper", 2: "near_helper", 3: "kfunc"}


def names_of(program: CompiledProgram) -> Mapping[str, int | Callee]:
    names: dict[str, int | Callee] = {"map": 0x7000, "helper": Callee(0, 0, 1), "near_helper": Callee(0, 0, 2)}
    names["kfunc"] = Callee(2, 0, 3)
    names |= {f"sub{n}": Callee(1, n, 1, 0x1234) for n in range(1, len(program.functions) + 1)}
    return names


def extended(value: int, size: int, is_signed: bool) -> int:
    """An argument as the psABI passes it: by its own sign up to 32 bits, then by bit 31."""
    if size == 8:
        return value
    value &= (1 << 8 * size) - 1
    if (is_signed or size == 4) and value >> 8 * size - 1:
        value -= 1 << 8 * size
    return value & (1 << 64) - 1


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.name)
def test_expected_values(program: CompiledProgram) -> None:
    names = names_of(program)
    calls = iter(program.calls)

    def call(kind: int, number: int, arguments: list[int]) -> int:
        expected = next(calls)
        assert expected.name == _HELPERS[number]
        for position, wanted in enumerate(expected.arguments):
            got: object = arguments[position]
            if program.kfunc is not None and position < len(program.kfunc.sizes):
                got = extended(arguments[position], program.kfunc.sizes[position], program.kfunc.signed[position])
            if wanted is not None:
                known = {CONTEXT: CONTEXT_AT, "sub1": ("function", 1)}
                assert got == (known[wanted] if isinstance(wanted, str) else wanted)
        return expected.result

    code = assemble(program.text, names)
    functions = [code, *(assemble(text, names) for text, _ in program.functions)]
    tail = [code if each == SELF else None if each is None else assemble(each[0], names) for each in program.tail]
    memory = dict(enumerate(program.context, CONTEXT_AT))
    arena_at = ARENA_USER & 0xFFFF_FFFF
    memory |= dict(enumerate(program.arena, arena_at))
    result = Machine(memory, call, functions, tail, ARENA_USER, PER_CPU_OFFSET).run(code, [CONTEXT_AT])
    assert next(calls, None) is None
    if program.result is not None:
        assert result == program.result & (1 << 64) - 1
    for place, start, before in (("", CONTEXT_AT, program.context), (ARENA, arena_at, program.arena)):
        after = bytearray(before)
        for cell in program.cells:
            if cell.place == place:
                after[cell.offset : cell.offset + cell.size] = cell.value.to_bytes(cell.size, "little")
        assert bytes(memory[start + k] for k in range(len(after))) == after


def test_names_are_unique() -> None:
    names = [each.name for each in catalogue()]
    assert len(names) == len(set(names))


def test_all_that_a_jit_must_know_is_tried() -> None:
    """Every operation of RFC 9669 that is no legacy packet access occurs, and what the verifier makes of accesses."""
    seen = set()
    for program in PROGRAMS:
        for text in (program.text, *(text for text, _ in program.functions)):
            code = assemble(text, names_of(program))
            at = 0
            while at < len(code):
                seen.add(code[at])
                at += 16 if code[at] == 0x18 else 8
    alu = {kind | op | source for kind in (4, 7) for op in range(0, 0xD0, 16) for source in (0, 8)}
    alu -= {kind | op for kind in (4, 7) for op in (0x88,)}  # a negation has no register
    jumps = {kind | op | source for kind in (5, 6) for op in (*range(0x10, 0x80, 16), *range(0xA0, 0xE0, 16))
             for source in (0, 8)}  # fmt: skip
    memory = {kind | size | 0x60 for kind in (1, 2, 3) for size in (0, 8, 16, 24)}
    memory |= {0x81 | size for size in (0, 8, 16)} | {0xC3, 0xCB, 0xD3, 0xDB}
    memory |= {0x21 | size for size in (0, 8, 16, 24)} | {0x41 | size for size in (0, 8, 16)}
    memory |= {kind | size | 0xA0 for kind in (1, 2, 3) for size in (0, 8, 16, 24)} | {0xE3, 0xEB, 0xF3, 0xFB, 0xC2}
    others = {0x05, 0x06, 0x85, 0x95, 0xF5, 0x18, 0xD4, 0xDC, 0xD7}
    assert sorted(hex(each) for each in (alu | jumps | memory | others) - seen) == []
