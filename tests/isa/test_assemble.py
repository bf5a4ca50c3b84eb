# SPDX-License-Identifier: GPL-2.0-or-later
"""The assembler against words from the manual, against what disassembly prints, GNU as and llvm-mc."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from genpatch.errors import GenpatchError, OutOfReach
from genpatch.isa.assemble import AssemblyError, assemble
from genpatch.isa.insn import SPECS, Insn, Spec, decode, spellings

PC = 0xFFFF_FFFF_8000_2000


def words(source: str, pc: int = PC, **symbols: int) -> str:
    """Return the bytes in hex, for comparison."""
    return assemble(source, pc, symbols=symbols).hex()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("addi zero, zero, 0", "13000000"),
        ("addi a0, a0, 12", "1305c500"),
        ("addi sp, sp, -112", "130101f9"),
        ("auipc t0, 0", "97020000"),
        ("auipc t0, 0xfffff", "97f2ffff"),
        ("lui t2, 0x12345", "b7533412"),
        ("jalr t0, 0(t0)", "e7820200"),
        ("jalr t0, t0, 0", "e7820200"),
        ("jalr zero, 0(ra)", "67800000"),
        ("jalr t0, -4(t0)", "e782c2ff"),
        ("sd ra, 8(sp)", "23341100"),
        ("sd ra, -8(sp)", "233c11fe"),
        ("ld ra, 8(sp)", "83308100"),
        ("ld t1, -16(t0)", "03b302ff"),
        ("lw t1, -12(a1)", "03a345ff"),
        ("add a0, a0, a1", "3305b500"),
        ("andi a0, a0, -8", "137585ff"),
        ("fence.i", "0f100000"),
        ("ebreak", "73001000"),
        ("c.mv a0, a1", "2e85"),
        ("c.li a0, 3", "0d45"),
        ("addi a0,a0,12", "1305c500"),
        ("  addi a0,  a0,   12  ", "1305c500"),
        ("addi x10, x10, 12", "1305c500"),
    ],
)
def test_instructions(source: str, expected: str) -> None:
    assert words(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("again: jal zero, again", "6f000000"),
        ("jal ra, on\n addi zero, zero, 0\n on: jalr zero, 0(ra)", "ef008000 13000000 67800000"),
        ("on: addi zero, zero, 0\n bne t1, zero, on", "13000000 e31e03fe"),
        ("beq a0, zero, out; addi a0, a0, 8; out: jalr zero, 0(ra)", "63040500 13058500 67800000"),
        ("first: second:\n jal zero, first\n jal zero, second", "6f000000 6ff0dfff"),
        ("c.li a0, 3\n jal zero, out\n out:", "0d45 6f004000"),
    ],
)
def test_labels(source: str, expected: str) -> None:
    assert words(source) == expected.replace(" ", "")


def test_symbols() -> None:
    assert assemble("jal ra, helper", PC, symbols={"helper": PC + 0x800}).hex() == "ef001000"
    assert assemble("jal ra, helper", PC, symbols={"helper": PC - 0x800}).hex() == "eff01f80"
    assert assemble("addi a0, zero, size", PC, symbols={"size": 12}).hex() == "1305c000"


def test_a_label_hides_a_symbol() -> None:
    assert assemble("out: jal zero, out", PC, symbols={"out": PC + 0x800}).hex() == "6f000000"


def test_nothing() -> None:
    assert assemble("", PC) == b""
    assert assemble("\n  ;; \n label:\n", PC) == b""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("frobnicate a0", "line 1: 'frobnicate a0': no instruction 'frobnicate'"),
        ("nop\n\n # c\n nope", "line 4: 'nope': no instruction 'nope'"),
        ("nop a0", "expected nop"),
        (".org 4", "no instruction '.org'"),
        ("addi.aq a0, a0, 1", "no instruction 'addi.aq'"),
        ("addi a0, a0,", "no label or number ''"),
        ("addi a0, a0, 1 2", "no label or number '1 2'"),
        ("addi a0, a0, 1 +", "no label or number '1 \\+'"),
        ("addi a0, a0, 0x", "no label or number '0x'"),
        ("addi a0, a0, 08", "invalid literal"),
        ("addi a0, a0, 1_0", "no label or number '1_0'"),
        ("j 1b; 1:", "no label or number '1b'"),
        ("1: j 1f", "no label or number '1f'"),
        ("out: nop; out:", "line 1: 'out:': label 'out' stands twice"),
        ("csrr a0, nosuch", "no label or number 'nosuch'"),
        ("csrr a0, 4096", "csr=0x1000"),
        ("fence wr, rw", "no fence set 'wr'"),
        ("fence rw", "expected fence {pred}, {succ} or fence$"),
        ("call", "expected call {target} or call {rd}, {target}"),
        ("call nowhere", "line 1: 'call nowhere': no label or number 'nowhere'"),
        ("la a0", "expected la {rd}, {target}"),
        ("la a9, .", "'la a9, .': no register 'a9'"),
        ("li a0", "expected li {rd}, {imm}"),
        ("li a0, out; out:", "no label or number 'out'"),
        (".balign 3", "alignment 3 is no power of two"),
        (".balign 0", "alignment 0"),
        (".balign 131072", "alignment 131072 is no power of two up to 65536"),
        (".word", "no label or number ''"),
        (".word 1,", "no label or number ''"),
        ("addi a0, a0, %hi(0)", "%hi cannot stand here"),
        ("lui a0, %lo(0)", "%lo cannot stand here"),
        ("lui a0, %pcrel_hi(0)", "%pcrel_hi cannot stand here"),
        ("lui a0, %got_pcrel_hi(0)", "%got_pcrel_hi cannot stand here"),
        ("jal ra, %lo(0)", "%lo cannot stand here"),
        ("1: auipc a0, 0; addi a0, a0, %pcrel_lo(1b)", "no auipc with %pcrel_hi at 0xffffffff80002000"),
        ("li a0, " + "9" * 5000, "line 1: "),
        ("c.addi4spn a0, ra, 4", "expected c.addi4spn {rd}, sp, {imm}"),
        ("c.addi zero, 4", "c.addi cannot have rd=0x0"),
        ("nop\x07", r"'nop\\x07': no instruction"),
        ("addi a0, a0", "'addi a0, a0': expected addi {rd}, {rs1}, {imm}"),
        ("addi a0, a0, 1, 2", "expected addi"),
        ("addi a9, a0, 1", "no register 'a9'"),
        ("addi a0, a0, twelve", "no label or number 'twelve'"),
        ("jal ra, nowhere", "no label or number 'nowhere'"),
        ("sd ra, 8[sp]", "'sd ra, 8.sp.': expected sd"),
        ("c.lwsp zero, 0(sp)", "c.lwsp"),
    ],
)
def test_mistakes(source: str, message: str) -> None:
    with pytest.raises(AssemblyError, match=message) as caught:
        assemble(source, PC)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "source",
    [
        "addi a0, a0, 2048", "addi a0, a0, -2049", "sd ra, 2048(sp)", "jal ra, far", "beq a0, a1, far", "jal ra, odd",
        "lui a0, 0x100000", "auipc a0, -0x80001", "c.lui a0, 0x20", "call low", "lui a0, %hi(top)", "li a0, 1 << 64",
        "li a0, 0x10000000000000000", "li a0, -0x8000000000000001", ".word 0x100000000", ".half -0x8001", ".word far",
        ".byte 256", "csrwi satp, 32", "slli a0, a0, 64", "c.nop; j . + 1",
    ],
)  # fmt: skip
def test_out_of_reach(source: str) -> None:
    with pytest.raises(OutOfReach, match=r"^line 1: '") as caught:
        assemble(source.replace("1 << 64", str(1 << 64)), PC, symbols={
            "far": PC + (1 << 20), "odd": PC + 3, "low": 0x1000_0000, "top": 0x7FFF_F800,
        })  # fmt: skip
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("distance", "fits"), [(0xFFFFE, True), (-0x100000, True), (-0x100002, False)])
def test_the_reach_of_jal(distance: int, fits: bool) -> None:
    symbols = {"there": PC + distance}
    if fits:
        assert len(assemble("jal ra, there", PC, symbols=symbols)) == 4
    else:
        with pytest.raises(OutOfReach):
            assemble("jal ra, there", PC, symbols=symbols)


def test_tabs() -> None:
    assert assemble("addi\ta0, a0, 12", PC).hex() == "1305c500"


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ("nop", "addi zero, zero, 0"),
        ("mv a0, a1", "addi a0, a1, 0"),
        ("ret", "jalr zero, 0(ra)"),
        ("jr t0", "jalr zero, 0(t0)"),
        ("jr 4(t0)", "jalr zero, 4(t0)"),
        ("jalr t0", "jalr ra, t0, 0"),
        ("jalr (t0)", "jalr ra, t0, 0"),
        ("jalr t0, t1", "jalr t0, t1, 0"),
        ("j .", "jal zero, ."),
        ("jal .", "jal ra, ."),
        ("beqz a0, .", "beq a0, zero, ."),
        ("bgt a0, a1, .", "blt a1, a0, ."),
        ("bleu a0, a1, .", "bgeu a1, a0, ."),
        ("not a0, a1", "xori a0, a1, -1"),
        ("neg a0, a1", "sub a0, zero, a1"),
        ("seqz a0, a1", "sltiu a0, a1, 1"),
        ("snez a0, a1", "sltu a0, zero, a1"),
        ("zext.b a0, a1", "andi a0, a1, 255"),
        ("csrw satp, a0", "csrrw zero, 0x180, a0"),
        ("csrr a0, time", "csrrs a0, 0xc01, zero"),
        ("csrwi sstatus, 2", "csrrwi zero, 0x100, 2"),
        ("fence", "fence iorw, iorw"),
        ("sfence.vma", "sfence.vma zero, zero"),
        ("ld a0, (a1)", "ld a0, 0(a1)"),
        ("ld a0 , 8 ( a1 )", "ld a0, 8(a1)"),
        ("lr.d a0, 0(a1)", "lr.d a0, (a1)"),
        ("c.ldsp a0, 8(x2)", "c.ldsp a0, 8(sp)"),
        ("addi a0, a0, 010 - 3 + 0b1", "addi a0, a0, 6"),
        ("addi a0, a0, - 4", "addi a0, a0, -4"),
        ("nop # a; b", "nop"),
        ("nop // a\r\n nop", "nop; nop"),
        ("lui a0, -1", "lui a0, 0xfffff"),
        ("li a0, 2047", "addi a0, zero, 2047"),
        ("li a0, -1", "addi a0, zero, -1"),
        ("li a0, 0xffffffffffffffff", "addi a0, zero, -1"),
        ("li a0, 0x12345000", "lui a0, 0x12345"),
        ("li a0, 0x7fffffff", "lui a0, 0x80000; addiw a0, a0, -1"),
        ("li a0, 0x80000000", "addi a0, zero, 1; slli a0, a0, 31"),
        ("li a0, size", "addi a0, zero, 12"),
        ("1: j 1b; 1: j 1b; j 1f; 1:", "j .; j .; j . + 4"),
        ("call far", "1: auipc ra, %pcrel_hi(far); jalr ra, %pcrel_lo(1b)(ra)"),
        ("call t0, far", "1: auipc t0, %pcrel_hi(far); jalr t0, %pcrel_lo(1b)(t0)"),
        ("tail far", "1: auipc t1, %pcrel_hi(far); jalr zero, %pcrel_lo(1b)(t1)"),
        ("la a0, far", "1: auipc a0, %pcrel_hi(far); addi a0, a0, %pcrel_lo(1b)"),
        ("la a0, 1f + 4; 1:", "la a0, . + 12"),
        ("j on; on: auipc a0, %pcrel_hi(far); sd a1, %pcrel_lo(on)(a0)", "j . + 4; auipc a0, 1; sd a1, -4(a0)"),
        ("sd a1, %pcrel_lo(1f)(a0); 1: auipc a0, %pcrel_hi(far)", "sd a1, -4(a0); auipc a0, 1"),
        ("lui a0, %hi(far); ld a0, %lo(far)(a0)", "lui a0, 0x80003; ld a0, 0(a0)"),
        ("nop; .balign 16; nop", "nop; nop; nop; nop; nop"),
        ("c.nop; .balign 8", "c.nop; c.nop; nop"),
        (".balign 8", ""),
        (".byte 1; .balign 4", ".byte 1, 0, 1, 0"),
        (".dword 1f, -1; 1:", ".word 0x80002010, 0xffffffff; .quad 0xffffffffffffffff"),
        (".half 1, -1; .word 2f - 1f; 1: nop; 2:", ".half 1, 0xffff, 4, 0; nop"),
    ],
)  # fmt: skip
def test_spellings(source: str, same: str) -> None:
    symbols = {"far": PC + 0x1000, "size": 12}
    assert assemble(source, PC, symbols=symbols) == assemble(same, PC, symbols=symbols)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("fence rw, w", "0f001003"),
        ("fence", "0f00f00f"),
        ("fence iorw, iorw", "0f00f00f"),
        ("fence 0, w", "0f001000"),
        ("fence.tso", "0f003083"),
        ("pause", "0f000001"),
        ("amoadd.d.aqrl a0, a1, (a2)", "2f35b606"),
        ("lr.w.aq a0, (a1)", "2fa50514"),
        ("sc.w.rl a0, a1, (a2)", "2f25b61a"),
        ("csrw stvec, a0", "73105510"),
        ("call far", "97100000 e7800000"),
        (".dword far", "00300080ffffffff"),
    ],
)
def test_words_from_the_manual(source: str, expected: str) -> None:
    assert words(source, far=PC + 0x1000) == expected.replace(" ", "")


def value_of(source: str) -> int:
    """Return what the instructions of an li leave in their register."""
    value, raw = 0, assemble(source, PC)
    for at in range(0, len(raw), 4):
        insn = decode(int.from_bytes(raw[at : at + 4], "little"))
        assert insn is not None
        assert insn.rd == 10
        before = 0 if insn.rs1 == 0 else value
        steps = {"addi": before + insn.imm, "lui": insn.imm << 12, "addiw": before + insn.imm}
        value = before << insn.imm if insn.name == "slli" else steps[insn.name]
        bits = 32 if insn.name == "addiw" else 64
        value = (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    return value


def constants() -> Iterator[int]:
    """Yield constants of all widths: edges, and random ones."""
    rng = random.Random(4)
    for bit in range(64):
        yield from (sign * (1 << bit) + off for sign in (1, -1) for off in (-1, 0, 1, 0x7FF, 0x800, -0x801))
        yield from (rng.getrandbits(bit + 1) << rng.randrange(64 - bit) for _ in range(20))


def test_li_loads_any_constant() -> None:
    for constant in constants():
        wrapped = (constant + (1 << 63)) % (1 << 64) - (1 << 63)
        if -(1 << 63) <= constant < 1 << 64:
            assert value_of(f"li a0, {constant:#x}") == wrapped
            assert len(assemble(f"li a0, {constant}", PC)) <= 32


def random_insns(spec: Spec, count: int) -> Iterator[Insn]:
    """Yield instructions of one record; bits that no operand holds are those of the record."""
    rng = random.Random(spec.name)
    for _ in range(count):
        bits = rng.getrandbits(8 * spec.size) if rng.random() < 0.8 else rng.choice((0, 0xFFFFFFFF))
        insn = decode(spec.match | sum(bits & field.mask for field in spec.fields))
        if insn is not None and insn.spec is spec:
            yield insn


def is_printed_whole(insn: Insn) -> bool:
    """Whether the text tells all: a fence's mode and the operand of a c.nop, a HINT, are not printed."""
    return not (insn.name == "fence" and insn.imm >> 8) and not (insn.name == "c.nop" and insn.imm)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_disassembly_prints_assembles(spec: Spec) -> None:
    printed = [insn for insn in random_insns(spec, 200) if is_printed_whole(insn)]
    assert printed
    for insn in printed:
        raw = assemble(insn.text(PC), PC)
        assert raw == insn.word.to_bytes(insn.size, "little"), insn.text(PC)


def test_every_halfword_that_prints_assembles() -> None:
    for word in range(1 << 16):
        insn = decode(word)
        if insn is not None and insn.size == 2 and is_printed_whole(insn):
            assert assemble(insn.text(PC), PC) == word.to_bytes(2, "little"), insn.text(PC)


@pytest.mark.parametrize("pc", [0, 2, 0xFFFF_FFFF_FFFF_FFFE, 1 << 63])
def test_targets_wrap_around(pc: int) -> None:
    for insn in random_insns(SPECS["jal"], 50):
        assert assemble(insn.text(pc), pc) == insn.word.to_bytes(4, "little")


def test_spellings_of_a_mnemonic() -> None:
    assert spellings("jal") == [("jal", "{rd}, {target}", {}), ("jal", "{target}", {"rd": 1})]
    assert spellings("jr") == [("jalr", "{rs1}", {"rd": 0, "imm": 0})]
    assert spellings("nosuch") == []


# Independent assemblers

GNU_MARCH = "rv64imac_zicsr_zifencei_zihintpause_zba_zbb_zbs_zicbom_zicboz_zawrs_svinval_zbkb"
GNU_LACKS = {"Zicond", "Zabha", "Zacas", "Zimop", "Zcb", "Zcmop"}
"""Extensions that binutils 2.40 does not know."""

LLVM_ATTRIBUTES = (
    "+m,+a,+c,+zba,+zbb,+zbs,+zicond,+zicbom,+zicboz,+zawrs,+svinval,+zimop,+zabha,+zacas,+experimental-zacas,+zbkb"
)

FAR = {"callee": PC + 0x12_3456, "below": PC - 0x7654_3210, "data": PC + 0x7FFF_0008, "near": PC + 0x800}

TEXT = """
first:  call callee                # comments
        tail below                 // of both kinds
        la a0, data
        lla a1, first
1:      auipc t0, %pcrel_hi(data)
        ld t1, %pcrel_lo(1b)(t0)
        sd t1, %pcrel_lo(1b)(t0)
        addi t2, t0, %pcrel_lo(1b)
2:      auipc t0, %pcrel_hi(near + 4); jalr t0, %pcrel_lo(2b)(t0)
        lui a0, %hi(callee)
        addi a0, a0, %lo(callee)
        lw a1, %lo(data)(a0)
        sw a1, %lo(data + 4)(a0)
1:      beqz a0, 1b; bnez a0, 1f; j 1b; j 1f; jal 1b; jal t0, 1f
1:      bgt a0, a1, 1b; ble a0, a1, 1b; bgtu a0, a1, 2f; bleu a0, a1, 2f; bltz a0, 2f; bgtz a0, 2f
2:      jr t0; jr 8(t0); jalr t0; jalr -8(t0); jalr t0, 12(t1); jalr t0, t1; jalr ra, t0, 4; ret
        sgt a0, a1, a2; sgtu a0, a1, a2; zext.b a0, a1; sext.w a0, a1; zext.w a0, a1; not a0, a1; neg a0, a1
        fence; fence rw, w; fence r, rw; fence iorw, iorw; fence i, o; fence.i; fence.tso; pause
        csrw satp, a0; csrr a0, sstatus; csrs sie, a0; csrc sip, a0; csrwi stvec, 3; csrsi sstatus, 2
        csrrw a0, sepc, a1; csrr a0, 0x123; rdtime a0; rdcycle a1; rdinstret a2; csrrsi a0, sscratch, 31
        lr.w a0, (a1); lr.d.aq a0, (a1); sc.d.rl a0, a1, (a2); amoswap.w.aqrl a0, a1, (a2); amoadd.d a0, a1, 0(a2)
        sfence.vma; sfence.vma a0; sfence.vma a0, a1; wfi; ecall; ebreak; sret; mret
        j . + 8; j . - 4; j last; j near
        .balign 8
        .dword first, last, callee + 8, -1, 0xffffffffffffffff
        .quad 0x123456789abcdef
        .word 0x12345678, -1, last - first
        .half 0x1234, -2
        .2byte 1; .4byte 2; .8byte 3; .byte 1, 2, 3, 4
        .balign 16
last:   ret
        .balign 16                 // the section is padded to what it was aligned to
"""


def every_instruction(lacking: set[str]) -> Iterator[str]:
    """Yield lines that hold each instruction several times."""
    for spec in SPECS.values():
        if spec.extension not in lacking:
            yield from (insn.text(0) for insn in random_insns(spec, 8) if is_plain(insn))


def is_plain(insn: Insn) -> bool:
    """Whether others write it alike: no target, no HINT, no instruction whose text leaves something out."""
    if insn.spec.is_relative or not is_printed_whole(insn) or (insn.name == "fence" and not insn.imm & 0xF0):
        return False
    return not insn.spec.base or not is_hint(insn)


def is_hint(insn: Insn) -> bool:
    """Whether a compressed instruction does nothing; assemblers take some of them, under -M or not at all."""
    moves_nothing = insn.name in ("c.addi", "c.addi4spn", "c.slli", "c.srli", "c.srai") and insn.imm == 0
    return insn.rd == 0 or moves_nothing


def with_rvc(lines: str) -> str:
    """Return assembler text for a real assembler: what is not written c. stays uncompressed."""
    out = [".option norelax", ".option norvc"]
    for line in re.sub("//.*", "", lines).split("\n"):
        short = line.strip().startswith(("c.", ".balign"))
        out += [".option rvc", line, ".option norvc"] if short else [line]
    return "\n".join(out) + "\n"


def tool(*names: str) -> str:
    """Return a program's path, or skip."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    return found


def run(*command: str | Path, cwd: Path) -> None:
    """Run a tool, and show what it says if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def linked_by_gnu(folder: Path, text: str, symbols: Mapping[str, int]) -> bytes:
    """Return the bytes that GNU as and ld make of a text at PC."""
    (folder / "a.s").write_text(with_rvc(text), encoding="ascii")
    march = f"-march={GNU_MARCH}"
    run(tool("riscv64-linux-gnu-as"), "-mno-relax", march, "-mabi=lp64", "-o", "a.o", "a.s", cwd=folder)
    known = [f"--defsym={name}={value:#x}" for name, value in symbols.items()]
    place = ("--no-relax", f"-Ttext={PC:#x}", "-e", "0")
    run(tool("riscv64-linux-gnu-ld"), *place, *known, "-o", "a.elf", "a.o", cwd=folder)
    run(tool("riscv64-linux-gnu-objcopy"), "-O", "binary", "-j", ".text", "a.elf", "a.bin", cwd=folder)
    return (folder / "a.bin").read_bytes()


def test_beside_gnu_as_with_addresses(tmp_path: Path) -> None:
    assert assemble(TEXT, PC, symbols=FAR).hex(" ", 4) == linked_by_gnu(tmp_path, TEXT, FAR).hex(" ", 4)


def test_beside_gnu_as_li(tmp_path: Path) -> None:
    text = "\n".join(f"li a0, {each:#x}" for each in constants() if -(1 << 63) <= each < 1 << 64)
    theirs = linked_by_gnu(tmp_path, text, {}).hex(" ", 4)
    alike = re.sub(r"\b1b05(?=[0-9a-f]0)", "1305", theirs)  # they begin with addiw a0, zero where we have addi
    assert assemble(text, PC).hex(" ", 4) == alike


def test_beside_gnu_as_instructions(tmp_path: Path) -> None:
    text = "\n".join(every_instruction(GNU_LACKS))
    assert text.count("\n") > 1000
    assert assemble(text, PC).hex(" ", 4) == linked_by_gnu(tmp_path, text, {}).hex(" ", 4)


def test_beside_llvm_mc(tmp_path: Path) -> None:
    text = "\n".join(every_instruction({"Zcb", "Zcmop"}))
    (tmp_path / "a.s").write_text(with_rvc(text), encoding="ascii")
    mc, objcopy = tool("llvm-mc-19", "llvm-mc"), tool("llvm-objcopy-19", "llvm-objcopy", "riscv64-linux-gnu-objcopy")
    run(mc, "--triple=riscv64", f"--mattr={LLVM_ATTRIBUTES}", "--filetype=obj", "-o", "a.o", "a.s", cwd=tmp_path)
    run(objcopy, "-O", "binary", "-j", ".text", "a.o", "a.bin", cwd=tmp_path)
    assert assemble(text, 0).hex(" ", 4) == (tmp_path / "a.bin").read_bytes().hex(" ", 4)


TOKENS = (
    "addi", "jal", "jalr", "li", "la", "call", ".balign", ".word", "fence", "csrr", "c.lui", "lr.w.aq", "c.nop", "a0",
    "sp", "zero", ",", ",", "(", ")", ":", ";", "\n", "#", "%lo", "%pcrel_lo", "%pcrel_hi", "1", "1b", "1f", "-", "+",
    ".", "x", "0x7ff", "99999999999999999999", "\x00", "é", "٣", "'", "{", "}", " ", "\t",
)  # fmt: skip


def test_nonsense_is_refused_in_one_line() -> None:
    rng = random.Random(11)
    outcomes, said = set(), []
    for _ in range(20_000):
        source = "".join(rng.choice(TOKENS) + rng.choice(("", " ")) for _ in range(rng.randrange(1, 9)))
        try:
            assemble(source, PC, symbols={"x": 12})
            outcomes.add("assembled")
        except GenpatchError as error:
            said.append(str(error))
            outcomes.add(type(error).__name__)
    assert [each for each in said if not each.isprintable()] == []
    assert outcomes == {"assembled", "AssemblyError", "OutOfReach"}


@pytest.mark.parametrize(
    "source", ["addi a0, a0,{}1(", "ld a0,{}(a1", "a{}:", "call{}", "li a0, 1{}", "{}", ".word 1{}+"]
)
@pytest.mark.parametrize("filler", [" ", "1", "+1", "%lo(", "\t(", ",", "1,", "x:"])
def test_long_lines_take_no_longer(source: str, filler: str) -> None:
    before = time.process_time()
    with contextlib.suppress(GenpatchError):
        assemble(source.format(filler * 100_000), PC)
    assert time.process_time() - before < 5
