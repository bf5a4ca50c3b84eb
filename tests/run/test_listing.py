# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of executed instructions, written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genpatch.isa.assemble import assemble
from genpatch.isa.insn import Insn, decode
from genpatch.machine.hart import Hart, Retired
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Cause, Outcome, Status
from genpatch.run.listing import line_of, reason_of


def insn(source: str, pc: int = 0x1000) -> Insn:
    found = decode(int.from_bytes(assemble(source, pc), "little"))
    assert found is not None
    return found


def test_a_line_with_everything() -> None:
    retired = Retired(0x1000, insn("ld a0, 8(a1)"), ((10, 0x1234),), (("load", 0x2008, 8, 0x1234),))
    assert line_of(retired) == "0x1000 0085b503  ld a0, 8(a1)                       a0=0x1234  [0x2008] -> 0x1234"


def test_a_store_and_no_register() -> None:
    retired = Retired(0x1000, insn("sb a0, -1(sp)"), (), (("store", 0x1FFF, 1, 0xFE),))
    assert line_of(retired) == "0x1000 fea10fa3  sb a0, -1(sp)                      [0x1fff]=0xfe"


def test_nothing_changed() -> None:
    assert line_of(Retired(0x1000, insn("nop"), (), ())) == "0x1000 00000013  nop"


def test_a_compressed_instruction_has_four_digits() -> None:
    assert line_of(Retired(0x1002, insn("c.nop"), (), ())) == "0x1002 0001      c.nop"


def test_values_are_cut_to_their_width() -> None:
    retired = Retired(0x1000, insn("lb a0, 0(a1)"), ((10, 0xFFFF_FFFF_FFFF_FFFF),), (("load", 0x10, 1, -1),))
    assert line_of(retired).endswith("a0=0xffffffffffffffff  [0x10] -> 0xff")


def names(known: dict[int, str]) -> Callable[[int], str]:
    return lambda address: known.get(address, hex(address))


def test_names() -> None:
    name_at = names({0x1000: "here", 0x1008: "there+0x4"})
    line = line_of(Retired(0x1000, insn("beq a0, a1, 0x1008"), (), ()), name_at)
    assert line == f"0x1000 here{' ' * 28} 00b50463  beq a0, a1, there+0x4"


def test_long_names_push_the_rest() -> None:
    line = line_of(Retired(0x1000, insn("nop"), (), ()), lambda _: "n" * 40)
    assert line == f"0x1000 {'n' * 40} 00000013  nop"


def test_lines_of_a_run() -> None:
    source = "li t0, 5\nsd t0, 0(sp)\nlw t1, 0(sp)\namoadd.d t2, t0, (sp)\nj 0x1000"
    memory = Memory()
    memory.map(0x1000, assemble(source, 0x1000), permissions="rx")
    memory.map(0x2000, size=64)
    hart = Hart(memory)
    hart.pc, hart.x[2] = 0x1000, 0x2010
    lines = [line_of(each) for each in hart.trace(5) if isinstance(each, Retired)]
    assert lines == [
        "0x1000 00500293  li t0, 5                           t0=0x5",
        "0x1004 00513023  sd t0, 0(sp)                       [0x2010]=0x5",
        "0x1008 00012303  lw t1, 0(sp)                       t1=0x5  [0x2010] -> 0x5",
        "0x100c 005133af  amoadd.d t2, t0, (sp)              t2=0x5  [0x2010] -> 0x5  [0x2010]=0xa",
        "0x1010 ff1ff06f  j 0x1000",
    ]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (
            Outcome(Status.FAULT, 0x10, Cause.LOAD_FAULT, 0x20),
            "load from memory that is not readable, pc 0x10, address 0x20",
        ),
        (Outcome(Status.FAULT, 0x10, Cause.ILLEGAL, 0xFF), "illegal instruction, pc 0x10, instruction 0xff"),
        (
            Outcome(Status.UNSUPPORTED, 0x10, Cause.ILLEGAL, 0xFF, text="F"),
            "not supported (F), pc 0x10, instruction 0xff",
        ),
        (Outcome(Status.BUDGET, 0x10), "instruction budget used up at pc 0x10"),
        (Outcome(Status.EXITED, 0x10, value=3), "exit 3 at pc 0x10"),
        (Outcome(Status.STUCK, 0x10, text="round and round"), "round and round at pc 0x10"),
        (Outcome(Status.STOPPED, 0x10, text="breakpoint"), "breakpoint at pc 0x10"),
        (Outcome(Status.STOPPED, 0x10), "stopped at pc 0x10"),
    ],
)
def test_reasons(outcome: Outcome, text: str) -> None:
    assert reason_of(outcome) == text
    assert reason_of(outcome, hex) == text
    assert reason_of(outcome, names({0x10: "fn+0x8"})) == text.replace("pc 0x10", "pc 0x10 (fn+0x8)")
