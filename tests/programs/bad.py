# SPDX-License-Identifier: GPL-2.0-or-later
"""What `genpatch run` is given and must survive: files that are no program, and programs that do what is not allowed.

No compiler is needed. The programs have their text at TEXT and their data at DATA; where a fault has a place, the
case says it, and a message must name it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from genpatch.isa.assemble import assemble
from tests.elfwriter import ET_DYN, ET_REL, Section, Segment, elf

TEXT, DATA = 0x1_00B0, 0x2_0000
ONE_TEXT = 0x1_0078
"""Where the text of a file with one program header is: at its own offset, modulo the size of a page."""
PT_DYNAMIC, PT_INTERP = 2, 3
RISCV_ATTRIBUTES = 0x7000_0003
READ, WRITE, EXEC = 4, 2, 1
BUDGET = 200_000
"""Instructions that a program gets if the case does not say otherwise."""

LEAVE = "addi a0, zero, 77; addi a7, zero, 93; ecall"
"""Where a program must not come to: exit status 77."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A bad input.

    Args:
        name: of the case.
        data: the file.
        statuses: the exit statuses that are right: 2, or 124 where a run may also end by its budget.
        pc: address of the instruction that a message must name, None if that is not said.
        address: of memory, likewise.
        budget: for --max-insns.
    """

    name: str
    data: bytes
    statuses: frozenset[int] = frozenset({2})
    pc: int | None = None
    address: int | None = None
    budget: int = BUDGET


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A program that looks bad and is right: how it ends, as under Linux, without a word on stderr.

    Args:
        name: of the case.
        data: the file.
        status: its exit status.
        out: what it prints.
    """

    name: str
    data: bytes
    status: int
    out: str = ""


def _words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _code(*parts: str | bytes, at: int = TEXT) -> bytes:
    """Return instructions: assembler text, or bytes as they are."""
    code = b""
    for part in parts:
        code += part if isinstance(part, bytes) else assemble(part, at + len(code))
    return code


def _program(*parts: str | bytes, flags: int = READ | EXEC, data: bytes = bytes(16), e_flags: int = 1) -> bytes:
    """Return a program of two segments, text and writable data, which Linux would run too."""
    code = _code(*parts)
    code += bytes(-len(code) % 8)
    segments = (
        Segment(vaddr=TEXT, data=code, flags=flags),
        Segment(vaddr=DATA + (TEXT % 4096 + len(code)) % 4096, data=data, memsz=4096, flags=READ | WRITE),
    )
    return elf(segments=segments, entry=TEXT, flags=e_flags)


def _upper(value: int) -> int:
    """Return the immediate of lui for a small address."""
    return value >> 12


def _one(*segments: Segment, entry: int = ONE_TEXT, **header: int) -> bytes:
    return elf(segments=segments, entry=entry, **header)


def _good_text() -> Segment:
    return Segment(vaddr=ONE_TEXT, data=_code(LEAVE), flags=READ | EXEC)


def _as_type(file: bytes, index: int, kind: int) -> bytes:
    """Change p_type of a program header."""
    at = 64 + 56 * index
    return file[:at] + struct.pack("<I", kind) + file[at + 4 :]


def _elf32() -> bytes:
    """Return a sound riscv32 executable."""
    code = _code(LEAVE)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, 0x1_0054, 52, 0, 1, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 84, 0x1_0054, 0x1_0054, len(code), len(code), READ | EXEC, 4096)
    return ident + header + segment + code


def _big_endian() -> bytes:
    """Return the same for 64 bits, all fields in the other order."""
    code = _code(LEAVE)
    ident = b"\x7fELF\x02\x02\x01" + bytes(9)
    header = struct.pack(">HHIQQQIHHHHHH", 2, 243, 1, 0x1_0078, 64, 0, 1, 64, 56, 1, 0, 0, 0)
    segment = struct.pack(">IIQQQQQQ", 1, READ | EXEC, 120, 0x1_0078, 0x1_0078, len(code), len(code), 4096)
    return ident + header + segment + code


def files() -> Iterator[Bad]:
    """Yield files that are not programs for this machine."""
    text = _good_text()
    good = _one(text)
    yield Bad(name="empty", data=b"")
    yield Bad(name="text", data=b"#!/bin/sh\nexit 0\n")
    yield Bad(name="magic-only", data=b"\x7fELF")
    yield Bad(name="another-machine", data=_one(text, machine=62))
    yield Bad(name="another-machine-arm", data=_one(text, machine=183))
    yield Bad(name="claims-32-bit", data=_one(text, **{"class": 1}))
    yield Bad(name="riscv32", data=_elf32())
    yield Bad(name="claims-big-endian", data=_one(text, data=2))
    yield Bad(name="big-endian", data=_big_endian())
    yield Bad(name="truncated-header", data=good[:40])
    yield Bad(name="truncated-program-headers", data=good[:80])
    yield Bad(name="truncated-segment", data=good[: 64 + 56 + 4])
    yield Bad(name="segment-beyond-file", data=_one(replace(text, claim={"offset": 1 << 40})))
    yield Bad(name="program-headers-beyond-file", data=_one(text, phoff=1 << 40))
    yield Bad(name="program-headers-wrap", data=_one(text, phoff=(1 << 64) - 56))
    yield Bad(name="program-header-size", data=_one(text, phentsize=32))
    yield Bad(name="no-load-none-at-all", data=elf(entry=TEXT))
    yield Bad(name="no-load", data=_as_type(good, 0, PT_DYNAMIC))
    yield Bad(name="no-load-phnum-0", data=_one(text, phnum=0))
    yield Bad(name="an-object-file", data=_one(text, type=ET_REL))
    interp = Segment(vaddr=DATA, data=b"/lib/ld-linux-riscv64-lp64.so.1\0", flags=READ)
    yield Bad(name="interpreter", data=_as_type(_one(interp, text), 0, PT_INTERP))
    yield Bad(name="interpreter-pie", data=_as_type(_one(interp, text, type=ET_DYN), 0, PT_INTERP))
    yield Bad(name="entry-unmapped", data=_one(text, entry=0x50_0000))
    yield Bad(name="entry-zero", data=_one(text, entry=0))
    yield Bad(name="entry-not-executable", data=_one(replace(text, flags=READ | WRITE)))
    yield Bad(name="filesz-above-memsz", data=_one(replace(text, memsz=4)))
    over = Segment(vaddr=ONE_TEXT + 4, data=_code("addi a0, zero, 1; " + LEAVE), flags=READ | EXEC)
    yield Bad(name="overlap", data=_one(text, over))
    yield Bad(name="overlap-the-same-twice", data=_one(text, text))
    yield Bad(name="overlap-by-memsz", data=_one(Segment(vaddr=0xF000, data=b"", memsz=0x2000, flags=6), text))
    top = Segment(vaddr=(1 << 64) - 4096, data=bytes(64), memsz=8192, flags=READ | WRITE)
    yield Bad(name="wraps", data=_one(text, top))
    yield Bad(name="wraps-filesz", data=_one(text, replace(top, claim={"filesz": (1 << 64) - 8})))
    yield Bad(name="wraps-offset", data=_one(text, replace(top, claim={"offset": (1 << 64) - 8})))
    huge = Segment(vaddr=0x100_0000, data=b"", memsz=1 << 60, flags=READ | WRITE)
    yield Bad(name="gigantic-memsz", data=_one(text, huge))
    yield Bad(name="gigantic-memsz-2-pow-63", data=_one(text, replace(huge, memsz=1 << 63)))


RESERVED = {
    "zero": b"\0\0\0\0",
    "ones": b"\xff\xff\xff\xff",
    "c.addi4spn-0": b"\x04\x00",
    "c.lwsp-x0": b"\x02\x40",
    "c.ldsp-x0": b"\x02\x60",
    "c.jr-x0": b"\x02\x80",
    "c.addiw-x0": b"\x01\x20",
    "c.addi16sp-0": b"\x01\x61",
    "c.lui-0": b"\x01\x62",
    "load-funct3-7": _words(0x0000_7003),
    "store-funct3-4": _words(0x0000_4023),
    "branch-funct3-2": _words(0x0000_2063),
    "jalr-funct3-1": _words(0x0000_1067),
    "op-funct7-7f": _words(0xFE00_0033),
    "op-32-funct7-7f": _words(0xFE00_103B),
    "op-imm-32-funct3-2": _words(0x0000_201B),
    "slliw-by-32": _words(0x0200_101B),
    "lr.w-rs2": _words(0x1010_202F),
    "amo-funct5-1f": _words(0xF800_202F),
    "amo-width-5": _words(0x0000_502F),
    "system-funct3-4": _words(0x0000_4073),
    "misc-mem-funct3-7": _words(0x0000_700F),
    "custom-0": _words(0x0000_000B),
    "custom-3": _words(0x0000_007B),
    "48-bits": _words(0x0000_001F, 0),
    "64-bits": _words(0x0000_003F, 0),
}
"""Encodings that stand for no instruction in any ratified extension that this machine could have."""

FLOATING = {
    "flw": _words(0x0000_2007),
    "fld": _words(0x0000_3007),
    "fsw": _words(0x0000_2027),
    "fadd.s": _words(0x0000_7053),
    "fadd.d": _words(0x0200_7053),
    "fmv.x.d": _words(0xE200_0553),
    "fmadd.s": _words(0x0000_0043),
    "c.fld": b"\x00\x20",
    "c.fsd": b"\x00\xa0",
    "c.fldsp": b"\x02\x20",
    "vsetvli": _words(0x0C05_7557),
}
"""Instructions of F, D and V."""

CSRS = {
    "read-0x8ff": _words(0x8FF0_2573),
    "write-0x8ff": _words(0x8FF5_1073),
    "read-cycleh": _words(0xC800_2573),
    "swap-cycle": _words(0xC000_1073),
    "set-cycle": _words(0xC005_A573),
    "set-cycle-immediate": _words(0xC000_E073),
}
"""CSRs that are not there, and writes to some that can only be read."""

_BEFORE = "addi t0, zero, 1; addi t1, zero, 2"


def instructions() -> Iterator[Bad]:
    """Yield programs whose third instruction must be refused, without a look at what would follow."""
    for kind, words in (("reserved", RESERVED), ("floating", FLOATING), ("csr", CSRS)):
        for name, word in words.items():
            data = _program(_BEFORE, word, b"\x01\x00" * (len(word) % 4 // 2), LEAVE)
            yield Bad(name=f"{kind}-{name}", data=data, pc=TEXT + 8)


_NO_C = b"\x05rv64i2p1_m2p0_a2p1_zicsr2p0_zifencei2p0\0"


def _attributes(arch: bytes) -> Section:
    """Return .riscv.attributes with Tag_RISCV_arch alone."""
    inner = b"\x01" + struct.pack("<I", 5 + len(arch)) + arch
    vendor = b"riscv\0"
    body = struct.pack("<I", 4 + len(vendor) + len(inner)) + vendor + inner
    return Section(name=".riscv.attributes", data=b"A" + body, type=RISCV_ATTRIBUTES, flags=0)


def _without_c(*parts: str | bytes) -> bytes:
    code = _code(*parts, at=ONE_TEXT)
    segment = Segment(vaddr=ONE_TEXT, data=code + bytes(-len(code) % 8), flags=READ | EXEC)
    return elf(_attributes(_NO_C), segments=(segment,), entry=ONE_TEXT, flags=0)


def misaligned() -> Iterator[Bad]:
    """Yield programs without C that go to an address which is 2 modulo 4; there would be `exit(77)`."""
    between, target = b"\0\0", ONE_TEXT + 14
    leave = assemble(LEAVE, target)
    data = _without_c("auipc t0, 0; addi t0, t0, 14; jalr zero, 0(t0)", between, leave)
    yield Bad(name="misaligned-jalr", data=data)
    jumps = {"jal": _words(0x0060_006F), "branch": _words(0x0000_0363)}  # jal zero, . + 6 and beq zero, zero, . + 6
    for name, jump in jumps.items():
        yield Bad(name=f"misaligned-{name}", data=_without_c("addi t0, t0, 0; addi t0, t0, 0", jump, between, leave))


def loops() -> Iterator[Bad]:
    """Yield programs that do not end by themselves."""
    late = frozenset({124})
    any_end = frozenset({2, 124})
    yield Bad(name="jump-to-itself", data=_program("here: jal zero, here"), statuses=late)
    yield Bad(name="two-jumps", data=_program("a: jal zero, b; b: jal zero, a"), statuses=late)
    yield Bad(name="counts-for-ever", data=_program("a: addi t0, t0, 1; bne t0, zero, a; " + LEAVE), statuses=late)
    patching = "auipc t1, 0; a: addi t2, t2, 0; lw t0, 4(t1); add t0, t0, t3; sw t0, 4(t1); fence.i; jal zero, a"
    changing = _program("lui t3, 256", patching, flags=READ | WRITE | EXEC)
    yield Bad(name="changes-itself-for-ever", data=changing, statuses=late)
    recursion = "lui t0, 4; a: sub sp, sp, t0; sd ra, 0(sp); jal ra, a"
    yield Bad(name="recursion", data=_program(recursion), pc=TEXT + 8)
    calls = "a: jal ra, a"
    yield Bad(name="calls-itself", data=_program(calls), statuses=late)
    for mode, vector, back in (("m", 0x3052_9073, 0x3020_0073), ("s", 0x1052_9073, 0x1020_0073)):
        setup = ("auipc t0, 0; addi t0, t0, 16", _words(vector))
        faults = _program(*setup, "ld a0, 0(zero)", _words(0), LEAVE)
        yield Bad(name=f"{mode}-handler-faults", data=faults, statuses=any_end)
        returns = _program(*setup, "ld a0, 0(zero)", _words(back), LEAVE)
        yield Bad(name=f"{mode}-handler-returns-to-the-fault", data=returns, statuses=any_end)


def faults() -> Iterator[Bad]:
    """Yield programs that touch what they must not."""
    in_data = f"lui t0, {_upper(DATA)}"
    yield Bad(name="ebreak", data=_program(_BEFORE, "ebreak", LEAVE), pc=TEXT + 8)
    yield Bad(name="c.ebreak", data=_program(_BEFORE, b"\x02\x90\x01\x00", LEAVE), pc=TEXT + 8)
    yield Bad(name="load-0", data=_program("ld a0, 0(zero)", LEAVE), pc=TEXT, address=0)
    yield Bad(name="load-top", data=_program("lbu a0, -1(zero)", LEAVE), pc=TEXT, address=(1 << 64) - 1)
    yield Bad(name="load-wraps", data=_program("ld a0, -4(zero)", LEAVE), pc=TEXT)
    yield Bad(name="load-below-a-segment", data=_program(in_data, "lw a0, -4(t0)", LEAVE), pc=TEXT + 4)
    yield Bad(name="store-0", data=_program("sb a0, 8(zero)", LEAVE), pc=TEXT, address=8)
    yield Bad(name="store-text", data=_program("auipc t0, 0; sw zero, 8(t0)", LEAVE), pc=TEXT + 4, address=TEXT + 8)
    yield Bad(name="store-wraps", data=_program("sd a0, -4(zero)", LEAVE), pc=TEXT)
    amo = "auipc t0, 0; amoadd.w a0, a1, (t0)"
    yield Bad(name="amo-text", data=_program(amo, LEAVE), pc=TEXT + 4, address=TEXT)
    yield Bad(name="amo-0", data=_program("amoadd.d a0, a1, (zero)", LEAVE), pc=TEXT)
    yield Bad(name="lr-0", data=_program("lr.w a0, (zero)", LEAVE), pc=TEXT)
    odd = "addi t0, sp, -60; andi t0, t0, -8; addi t0, t0, 4"
    yield Bad(name="amo-misaligned", data=_program(odd, "amoadd.d a0, a1, (t0)", LEAVE), pc=TEXT + 12)
    yield Bad(name="lr-misaligned", data=_program(odd, "lr.d a0, (t0)", LEAVE), pc=TEXT + 12)
    yield Bad(name="jump-0", data=_program("jalr zero, 0(zero)", LEAVE))
    yield Bad(name="jump-top", data=_program("jalr zero, -2(zero)", LEAVE))
    yield Bad(name="jump-data", data=_program(in_data, "addi t0, t0, 256; jalr zero, 0(t0)", LEAVE))
    yield Bad(name="jump-stack", data=_program("jalr zero, 0(sp)", LEAVE))
    yield Bad(name="runs-off-the-end", data=_end_of_page())


def _end_of_page() -> bytes:
    """Return a program whose text ends with its page, in the middle of an instruction of 4 bytes."""
    code = _code("addi zero, zero, 0") * ((4096 - ONE_TEXT % 4096) // 4 - 1) + b"\x01\x00\x13\x05"
    return _one(Segment(vaddr=ONE_TEXT, data=code, flags=READ | EXEC))


def odd() -> Iterator[Odd]:
    """Yield programs that Linux runs to their end."""
    yield Odd(name="as-the-bad-files-were", data=_one(_good_text()), status=77)
    yield Odd(name="as-the-bad-programs-were", data=_program(LEAVE), status=77)
    yield Odd(name="as-those-without-c-were", data=_without_c(LEAVE), status=77)
    two = (_good_text(), Segment(vaddr=0x100_0000, data=b"", memsz=4096, flags=READ | WRITE))
    yield Odd(name="memory-without-content", data=_one(*two), status=77)
    exits = "addi a7, zero, {}; addi a0, zero, {}; ecall"
    yield Odd(name="exit-255", data=_program(exits.format(93, 255)), status=255)
    yield Odd(name="exit-256", data=_program(exits.format(93, 256)), status=0)
    yield Odd(name="exit-511", data=_program(exits.format(94, 511)), status=255)
    yield Odd(name="exit-minus-1", data=_program(exits.format(93, -1)), status=255)
    yield Odd(name="exit-minus-256", data=_program(exits.format(93, -256)), status=0)
    yield Odd(name="exit-2", data=_program(exits.format(93, 2)), status=2)
    yield Odd(name="exit-124", data=_program(exits.format(94, 124)), status=124)
    added = "addi a0, a0, 3; addi a7, zero, 93; ecall"
    yield Odd(name="exit-upper-bits", data=_program(f"lui a0, 524288; {added}"), status=3)
    write = "addi a7, zero, 64; addi a0, zero, 1; {}; ecall; sub a0, zero, a0; addi a7, zero, 93; ecall"
    unmapped = "addi a1, zero, 16; addi a2, zero, 5"
    yield Odd(name="write-unmapped", data=_program(write.format(unmapped)), status=14)
    half = "lui a1, 524287; addi a2, zero, 5"
    yield Odd(name="write-unmapped-high", data=_program(write.format(half)), status=14)
    huge = "auipc a1, 0; addi a2, zero, -1; srli a2, a2, 1"
    yield Odd(name="write-2-pow-63", data=_program(write.format(huge)), status=14)
    minus = "auipc a1, 0; addi a2, zero, -1"
    yield Odd(name="write-minus-1", data=_program(write.format(minus)), status=14)
    nothing = "addi a1, zero, 16; addi a2, zero, 0"
    yield Odd(name="write-nothing", data=_program(write.format(nothing)), status=0)
    message = "auipc a1, 0; addi a1, a1, 28; addi a2, zero, 6"
    yield Odd(name="write-text", data=_program(write.format(message), b"hello\n\0\0"), status=250, out="hello\n")
    elsewhere = "addi a0, zero, 99; auipc a1, 0; addi a2, zero, 1"
    yield Odd(name="write-elsewhere", data=_program(write.format(elsewhere)), status=9)
    unknown = "addi a7, zero, {}; ecall; sub a0, zero, a0; addi a7, zero, 93; ecall"
    yield Odd(name="call-1999", data=_program(unknown.format(1999)), status=38)
    yield Odd(name="call-minus-1", data=_program(unknown.format(-1)), status=38)
    zero = "add zero, sp, sp; addi a0, zero, 0; addi a7, zero, 93; ecall"
    yield Odd(name="x0-stays-zero", data=_program(zero), status=0)
    within = "sd sp, -16(sp); ld t0, -16(sp); sub a0, t0, sp; addi a7, zero, 93; ecall"
    yield Odd(name="stack-works", data=_program(within), status=0)


def _every() -> dict[str, Bad]:
    found = [*files(), *instructions(), *misaligned(), *loops(), *faults()]
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


BAD = _every()
ODD = {each.name: each for each in odd()}
