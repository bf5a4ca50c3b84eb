# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs put into a sample's machine code one by one: verification finds each, and says what it breaks.

`tests/kernels/mutants.py` does the same to the sources of real kernels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from genpatch.image.containers import open_content
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.verify.run import Verification, verify

SAMPLE = Path(__file__).parents[2] / "vmlinux-samples" / "verify-call-ops.elf"
SITES = 18
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One instruction replaced by another of the same size.

    Args:
        function: in which.
        old, new: instructions; several places are changed if several are there.
        places: how many there are.
        expect: (state, promise, what) of some that must be reported, for all sites if nothing else is said.
        sites: for how many.
    """

    function: str
    old: str
    new: str
    expect: tuple[Key, ...]
    places: int = 1
    sites: int = SITES


CALLER, ADJUST, WRITE, BACK = "ftrace_caller", "ftrace_call_adjust", "patch_insn_write", "return_to_handler"
INIT, CALL, CHANGE, STOP = "ftrace_init_nop", "ftrace_make_call", "ftrace_modify_call", "ftrace_make_nop"
LOST = (("enabled", "arrives", "body"),)
SILENT = (("enabled", "calls", "callback"),)

MUTANTS = {
    # the trampoline
    "a3-not-saved": Mutant(
        CALLER, "sd a3, 72(sp)", "nop",
        (("enabled", "frame-set", "a3"), ("enabled", "registers", "a3"), ("enabled", "initialised", "stack")),
    ),
    "a3-not-restored": Mutant(CALLER, "ld a3, 72(sp)", "nop", (("enabled", "registers", "a3"),)),
    "a3-from-a2": Mutant(CALLER, "ld a3, 72(sp)", "ld a3, 64(sp)", (("overridden", "registers", "a3"),)),
    "a3-over-a2": Mutant(CALLER, "sd a3, 72(sp)", "sd a3, 64(sp)", (("enabled", "frame", "a2"),)),
    "s0-not-saved": Mutant(CALLER, "sd s0, 24(sp)", "nop", (("enabled", "frame-set", "s0"),)),
    "ra-not-restored": Mutant(
        CALLER, "ld ra, 8(sp)", "nop", (("enabled", "registers", "ra"), ("graph", "obeys", "ra"))
    ),
    "t0-not-restored": Mutant(CALLER, "ld t0, 0(sp)", "nop", (*LOST, ("redirected", "arrives", "elsewhere"))),
    "t0-from-ra": Mutant(CALLER, "ld t0, 0(sp)", "ld t0, 8(sp)", LOST),
    "t1-not-saved": Mutant(CALLER, "sd zero, 32(sp)", "nop", LOST),
    "t1-not-restored": Mutant(CALLER, "ld t1, 32(sp)", "nop", LOST),
    "sp-8-off": Mutant(CALLER, "addi sp, sp, 112", "addi sp, sp, 120", (("enabled", "registers", "sp"),)),
    "frame-misaligned": Mutant(CALLER, "addi sp, sp, -112", "addi sp, sp, -104", (("enabled", "stack", "sp"),)),
    "frame-too-short": Mutant(CALLER, "addi sp, sp, -112", "addi sp, sp, -96", (("enabled", "stack", "frame end"),)),
    "sp-of-the-frame": Mutant(CALLER, "sd a0, 16(sp)", "sd sp, 16(sp)", (("enabled", "frame", "sp"),)),
    "fregs-8-off": Mutant(CALLER, "addi a3, sp, 0", "addi a3, sp, 8", (("enabled", "frame", "ra"),)),
    "fregs-nowhere": Mutant(CALLER, "addi a3, sp, 0", "addi a3, zero, 0", (("enabled", "arguments", "fregs"),)),
    "ip-4-off": Mutant(CALLER, "addi a0, t0, -4", "addi a0, t0, 0", (("enabled", "arguments", "ip"),)),
    "parent-is-ip": Mutant(CALLER, "addi a1, ra, 0", "addi a1, t0, 0", (("enabled", "arguments", "parent_ip"),)),
    "op-is-the-frame": Mutant(CALLER, "addi a3, sp, 0", "addi a2, sp, 0", SILENT),
    "literal-at-8": Mutant(CALLER, "ld a2, -16(t0)", "ld a2, -8(t0)", LOST),
    "literal-at-12": Mutant(CALLER, "ld a2, -16(t0)", "ld a2, -12(t0)", LOST),
    "wrong-callback": Mutant(CALLER, "ld ra, 0(a2)", "ld ra, 8(a2)", LOST),
    # direct calls
    "direct-ignored": Mutant(CALLER, "ld t1, 32(t1)", "li t1, 0", (("direct", "calls", "direct call"),)),
    "direct-8-off": Mutant(CALLER, "ld t1, 32(t1)", "ld t1, 24(t1)", (("direct", "calls", "direct call"),)),
    "direct-inverted": Mutant(CALLER, "bne t1, zero, .+148", "beq t1, zero, .+148", LOST),
    "direct-in-frame-ignored": Mutant(
        CALLER, "bne t1, zero, .+8", "nop", (("direct-in-frame", "calls", "direct call"),)
    ),
    # what is written
    "auipc-without-carry": Mutant(INIT, "addiw a5, a5, -2044", "addiw a5, zero, 4", LOST, sites=6),
    "auipc-of-t1": Mutant(INIT, "ori a5, a5, 663", "ori a5, a5, 791", LOST),
    "init-nop-nop": Mutant(INIT, "ori a5, a5, 663", "addi a5, zero, 19", LOST),
    "init-nop-clobbers": Mutant(INIT, "addi a5, zero, 19", "addi a5, zero, 0x513", (("boot", "registers", "a0"),)),
    "jalr-shifted": Mutant(CALL, "slliw a5, a5, 20", "slliw a5, a5, 21", LOST),
    "jalr-links-ra": Mutant(CALL, "addi a4, a4, 743", "addi a4, a4, 231", LOST),
    "jalr-4-off": Mutant(CALL, "addiw a5, a5, 4", "addiw a5, a5, 8", LOST),
    "jalr-not-written": Mutant(CALL, "addi a2, zero, 4", "addi a2, zero, 0", SILENT),
    "literal-8-behind": Mutant(CALL, "addi a0, a0, -12", "addi a0, a0, -4", LOST),
    "literal-8-before": Mutant(CALL, "addi a0, a0, -12", "addi a0, a0, -20", SILENT),
    "wrong-word-expected": Mutant(
        CHANGE, "addiw a5, a5, -2044", "addiw a5, a5, 4", (("changed", "patch-returns", CHANGE),), sites=12
    ),
    "own-ops-ignored": Mutant(CALL, "bne a5, zero, .+120", "nop", (("enabled-one", "arguments", "op"),)),
    "change-ignored": Mutant(
        CHANGE, "bne a3, zero, .+104", "nop",
        (("changed", "arguments", "op"), ("changed-direct", "calls", "direct call")),
    ),
    "nop-and-more": Mutant(STOP, "addi a2, zero, 4", "addi a2, zero, 8", (("disabled", "patch-stays", STOP),)),
    "nop-from-elsewhere": Mutant(STOP, "addi a1, sp, 4", "addi a1, sp, 8", (("disabled", "restores", "bytes"),)),
    "nop-clobbers": Mutant(STOP, "addi a5, zero, 19", "addi a5, zero, 0x513", (("disabled", "registers", "a0"),)),
    "nop-keeps-literal": Mutant(STOP, "andi a0, a0, -8", "andi a0, sp, -8", (("disabled", "restores", "bytes"),)),
    "call-adjust-4-off": Mutant(
        ADJUST, "addi a0, a0, 12", "addi a0, a0, 8", (("boot", "patch-stays", INIT),), sites=16
    ),
    "window-4-off": Mutant(WRITE, "sw a3, 0(a4)", "sw a3, 4(a4)", (("boot", "patch-returns", INIT), *SILENT)),
    "always-refused": Mutant(WRITE, "addi a0, zero, 0", "addi a0, zero, -1", (("boot", "patch-returns", INIT),)),
    # the way back
    "return-loses-a0": Mutant(BACK, "ld a0, 48(sp)", "nop", (("returned", "returns", "a0"),)),
    "return-loses-s0": Mutant(BACK, "ld s0, 24(sp)", "addi s0, zero, 0", (("returned", "returns", "s0"),)),
    "return-loses-sp": Mutant(BACK, "addi sp, sp, 112", "addi sp, sp, 96", (("returned", "returns", "sp"),)),
    "return-to-ra": Mutant(BACK, "jalr zero, 0(a2)", "jalr zero, 0(ra)", (("returned", "arrives", "parent"),)),
}  # fmt: skip


def mutated(mutant: Mutant) -> bytes:
    """Return the sample with a bug in it."""
    content = SAMPLE.read_bytes()
    start, size, offset = place_of(content, mutant.function)
    data, found = bytearray(content), 0
    for at in range(0, size, 4):
        if data[offset + at : offset + at + 4] == encoded(mutant.old, start + at):
            data[offset + at : offset + at + 4] = encoded(mutant.new, start + at)
            found += 1
    assert found == mutant.places, f"{mutant.old!r} is at {found} places of {mutant.function}"
    return bytes(data)


def place_of(content: bytes, function: str) -> tuple[int, int, int]:
    """Return a function's address, its size, and where it is in the file."""
    elf = ELFFile(BytesIO(content))
    symbol = elf.get_section_by_name(".symtab").get_symbol_by_name(function)[0]
    start, size = symbol["st_value"], symbol["st_size"]
    return start, size, next(iter(elf.address_offsets(start, size)))


def encoded(text: str, pc: int) -> bytes:
    """Assemble one instruction; ``.`` is its own address."""
    return assemble(re.sub(r"\.\+(\d+)", lambda match: str(pc + int(match[1])), text), pc)


def reported(content: bytes, path: Path) -> tuple[dict[Key, int], Verification]:
    """Return what verification says of an image: what is broken, at how many sites."""
    path.write_bytes(content)
    result = verify(read_image(open_content(str(path))))
    found: dict[Key, int] = {}
    for failure in result.failures:
        key = (str(failure.state), str(failure.promise), failure.what)
        found[key] = found.get(key, 0) + len(failure.lanes)
    return found, result


@cache
def sound() -> tuple[str, ...]:
    """The states that the sample can be in."""
    result = verify(read_image(open_content(str(SAMPLE))))
    assert not result.failures
    return tuple(state.name for state in result.states if not state.skipped)


def test_nothing_is_wrong_with_the_sample_in_any_state() -> None:
    assert {
        "boot", "enabled", "redirected", "overridden", "graph", "direct-in-frame", "changed", "changed-direct",
        "disabled", "enabled-one", "direct", "kprobed", "disabled-again", "returned",
    } <= set(sound())  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_is_found(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    found, _ = reported(mutated(mutant), tmp_path / "mutant.elf")
    assert {key: found.get(key) for key in mutant.expect} == dict.fromkeys(mutant.expect, mutant.sites), found
