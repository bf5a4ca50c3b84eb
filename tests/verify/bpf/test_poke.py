# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of a function that pokes programs, of one written here: right, and with one mistake each."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from genpatch.isa.assemble import assemble
from genpatch.machine.memory import Memory
from genpatch.units import Span
from genpatch.verify.bpf.compile import Stretch
from genpatch.verify.bpf.compiled_run import ProgramsResult
from genpatch.verify.bpf.poke import Steps, Target
from genpatch.verify.bpf.promises import BpfPromise

ENTRY, NEAR, FAR = 0xFFFF_FFFF_7F00_0014, 0xFFFF_FFFF_7F00_4000, 0xFFFF_FFFF_7800_0010
BODY = """
    addi a6, zero, 33; addi sp, sp, -16; sd s0, 8(sp); addi s0, sp, 16; ld a5, 0(a0); addi a5, a5, 1
    ld s0, 8(sp); addi sp, sp, 16; sext.w a0, a5; ret"""


@dataclass
class Pen:
    """Pokes as told, save for one mistake."""

    mistake: str = ""
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        code = assemble(f"nop; nop; {BODY}", ENTRY)
        self.memory.map(ENTRY, code, permissions="rx", name="program")
        self.stretch = Stretch(Span(ENTRY, ENTRY + len(code)), ENTRY, len(code), 2, ENTRY + 8)

    def words(self, target: Target) -> bytes:
        if target.kind == "nop":
            return assemble("nop; nop", ENTRY)
        link = {"call": "ra" if self.mistake == "ra" else "t0", "jump": "zero"}[target.kind]
        scratch = "a1" if self.mistake == "argument" else "t1"
        text = f"1: auipc {scratch}, %pcrel_hi(target); jalr {link}, %pcrel_lo(1b)({scratch})"
        to = target.address + (4 if self.mistake == "elsewhere" else 0)
        return assemble(text, ENTRY, symbols={"target": to})

    def poke(self, at: int, old: Target, new: Target) -> tuple[int, str]:
        assert at == ENTRY
        there, checked = self.memory.read(at, 8), self.words(old)
        if self.mistake == "not offered":
            return -95, ""
        if self.mistake == "stuck":
            return 0, "it does not return: breakpoint"
        if there[: 4 if self.mistake == "half checked" else 8] != checked[: 4 if self.mistake == "half checked" else 8]:
            if self.mistake == "stale":
                self.memory.write(at, self.words(new))
            return (0 if self.mistake in ("stale", "says yes") else -14), ""
        written = self.words(new)
        if self.mistake == "longer":
            written += assemble("nop", ENTRY)
        if self.mistake == "not back" and new.kind == "nop":
            written = assemble("nop; addi zero, zero, 1", ENTRY)
        self.memory.write(at, written[:4] if self.mistake == "half written" else written)
        return (-22 if self.mistake == "value" else 0), ""


def result_of(mistake: str) -> ProgramsResult:
    result, pen = ProgramsResult(), Pen(mistake)
    Steps(pen, pen.stretch, result).go_through(NEAR, FAR)
    return result


def test_a_right_one() -> None:
    result = result_of("")
    assert result.failures == []
    assert (result.pokes, result.notes) == (14, [])
    assert result.insns == 2 * 12 + 2 * 12 + 2 * 2  # twice a call, a sled of nops, a jump that does not come back


@pytest.mark.parametrize(
    ("mistake", "what"),
    [
        ("ra", "ra at the trampoline"),
        ("argument", "a1 at the trampoline"),
        ("elsewhere", "how often the trampoline is reached"),
        ("stale", "the sled where something else is than it is told"),
        ("says yes", "its value where something else is than it is told"),
        ("half checked", "its value where something else is than it is told"),
        ("half written", "how often the trampoline is reached"),
        ("longer", "what is behind the sled"),
        ("not back", "the program's bytes once it is poked back"),
        ("value", "its value"),
        ("stuck", "its return"),
    ],
)
def test_mistakes(mistake: str, what: str) -> None:
    result = result_of(mistake)
    assert what in [each.what for each in result.failures]
    assert all(each.promise is BpfPromise.POKE for each in result.failures)


def test_a_kernel_that_does_not_poke() -> None:
    result = result_of("not offered")
    assert result.failures == []
    assert result.notes == ["bpf: bpf_arch_text_poke returns -95: the kernel does not poke programs"]


def test_a_sled_that_is_longer_than_what_is_written() -> None:
    pen, result = Pen(), ProgramsResult()
    code = assemble(f"nop; nop; nop; nop; {BODY}", ENTRY)
    pen.memory = Memory()
    pen.memory.map(ENTRY, code, permissions="rx", name="program")
    stretch = Stretch(Span(ENTRY, ENTRY + len(code)), ENTRY, len(code), 4, ENTRY + 16)
    Steps(pen, stretch, result).go_through(NEAR, FAR)
    failure = next(each for each in result.failures if each.what == "the link register at the trampoline")
    assert (failure.expected, failure.got) == (ENTRY + 16, ENTRY + 8)
    assert any("jalr t0" in line for line in failure.listing)
