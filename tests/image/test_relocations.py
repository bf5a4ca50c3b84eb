# SPDX-License-Identifier: GPL-2.0-or-later
"""Relocations of objects: against what linkers make of the same object, and each type by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pytest

from genpatch.errors import ImageError, RelocationError
from genpatch.image.elf import SHF_ALLOC, SHN_ABS, SHN_UNDEF, SHT_SYMTAB, ElfFile
from genpatch.image.relocations import RECIPES, Computes, Records, Relocator
from genpatch.isa.assemble import assemble
from genpatch.isa.toolchain import Toolchain, find_toolchain
from genpatch.units import U8Array, U64Array
from tests.elfwriter import ABS, ALLOC, ET_REL, NOTYPE, UNDEF, WRITE, Section, Symbol, elf, rela, text

KINDS = {recipe.name.removeprefix("R_RISCV_"): number for number, recipe in RECIPES.items()}
BASE = 0xFFFF_FFFF_0200_0000


@dataclass
class Linked:
    """An object whose sections have been given addresses and relocated."""

    elf: ElfFile
    data: dict[int, U8Array]

    def section(self, name: str) -> bytes:
        index = self.elf.find(name)
        assert index is not None
        return self.data[index].tobytes()


def link(raw: bytes, bases: dict[str, int], extern: dict[str, int], **tables: object) -> Linked:
    """Relocate an object with sections at some addresses, others where they are said to be in the file."""
    file = ElfFile.parse(np.frombuffer(raw, np.uint8), "object")
    kept = [n for n in range(len(file)) if int(file.sections["flags"][n]) & SHF_ALLOC]
    base, at = np.zeros(len(file), np.uint64), np.zeros(len(file), np.int64)
    parts: list[bytes] = []
    for index in kept:
        base[index] = bases.get(file.names[index], 0)
        at[index] = sum(map(len, parts))
        parts.append(file.contents(index).tobytes())
    data = np.frombuffer(b"".join(parts), np.uint8).copy()
    records = Records.of(file)
    where = at[records.section] + records.offset.astype(np.int64)
    place = base[records.section] + records.offset
    Relocator(records, data, where, place, symbols_of(file, base, extern), **tables).apply()  # type: ignore[arg-type]
    return Linked(file, {n: data[at[n] : at[n] + len(file.contents(n))] for n in kept})


def symbols_of(file: ElfFile, base: U64Array, extern: dict[str, int]) -> U64Array:
    table = file.symbols()
    raw = file.records(file.of_type(SHT_SYMTAB)[0], np.dtype([("head", "V8"), ("value", "<u8"), ("size", "<u8")]))
    values = raw["value"].astype(np.uint64)
    for number, section in enumerate(table.section.tolist()):
        if section == SHN_UNDEF:
            values[number] = extern.get(table.name(number), 0)
        elif section != SHN_ABS:
            values[number] += base[section]
    return values


# -- against linkers

SOURCE = """
    .text
    .globl _start
_start:
    call outside
    tail outside
    call inside
1:  auipc a0, %pcrel_hi(outside + 0x7fc)
    addi a0, a0, %pcrel_lo(1b)
2:  auipc a1, %pcrel_hi(words + 4)
    lw a2, %pcrel_lo(2b)(a1)
    sd a2, %pcrel_lo(2b)(a1)
    sb a2, %pcrel_lo(1b)(a1)
    lui a3, %hi(low)
    addi a3, a3, %lo(low)
    sw a3, %lo(low)(a3)
    beq a0, a1, close
    bgeu a0, a1, close + 6
    jal ra, close
    j close
    c.beqz a0, inside
    c.bnez a0, _start
    c.j inside
inside:
    ret
    .rodata_marker = .
    .section .rodata, "a"
words:
    .dword outside
    .dword _start + 3
    .word inside - words
    .half inside - _start
    .byte inside - _start
    .byte 0
    .dword end - _start
    .data
    .dword words, end
    .reloc ., R_RISCV_SET6, inside
    .reloc ., R_RISCV_SUB6, _start
    .byte 0xc0
    .reloc ., R_RISCV_SET8, inside
    .reloc ., R_RISCV_SUB8, _start
    .byte 0x5a
    .reloc ., R_RISCV_SET16, inside
    .half 0x1234
    .reloc ., R_RISCV_SET32, outside
    .word 0x12345678
    .reloc ., R_RISCV_32_PCREL, inside
    .word 0
    .reloc ., R_RISCV_32, low
    .word 0
end:
    .byte 1
""".replace("    .rodata_marker = .\n", "")

C_SOURCE = """
extern long outside(long, const char *), far_data[4];
static long counter[9] = { 1, 2, 3 };
static const char one[] = { 'o', 'n', 'e', 0 }, two[] = { 't', 'w', 'o', 0 }, three[] = { 3, 3, 3, 3, 3, 0 };
static const char *const names[] = { one, two, three };
static long zeroed[5];
long (*const table[])(long, const char *) = { outside, outside };
static __attribute__((noinline)) long pick(unsigned n) {
    switch (n) {
    case 0: return counter[1]; case 1: return far_data[3]; case 2: return zeroed[2]; case 3: return 17;
    case 4: return outside(3, names[2]); case 5: return -4; case 6: return far_data[0]++;
    default: return table[n & 1](n, names[n % 3]); }
}
long _start(long n) {
    for (long i = 0; i < n; i++) { counter[i % 9] += pick(i); zeroed[i % 5] = far_data[i & 3]; }
    return outside(n, three) + counter[4];
}
"""
FLAGS = (
    ("-O2", "-mcmodel=medany"),
    ("-Os", "-mcmodel=medany"),
    ("-O1", "-mcmodel=medany", "-fno-jump-tables"),
    ("-O2", "-mcmodel=medany", "-fPIC", "-fvisibility=hidden", '-Dextern=extern __attribute__((visibility("hidden")))'),
    ("-O2", "-mcmodel=medlow"),
)


@pytest.fixture(scope="module", params=["gcc", "clang", "zig"])
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    found = find_toolchain(request.param)
    if found is None or found.name != request.param:
        pytest.skip(f"there is no {request.param} for RISC-V")
    return found


def output_of(name: str) -> str:
    """Return the section of the linked file that a section of the object goes to."""
    stem = "." + name.split(".")[1]
    return {".srodata": ".rodata", ".sdata": ".data", ".sbss": ".bss"}.get(stem, stem)


def placed(file: ElfFile, linked: ElfFile) -> dict[str, int]:
    """Return where a linker puts the sections of its only object: in order, each at its alignment."""
    bases, ends = {}, {}
    for index, name in enumerate(file.names):
        other = linked.find(output_of(name)) if int(file.sections["flags"][index]) & SHF_ALLOC else None
        if other is not None:
            align = max(int(file.sections["align"][index]), 1)
            start = -(-ends.get(other, int(linked.sections["addr"][other])) // align) * align
            bases[name], ends[other] = start, start + int(file.sections["size"][index])
    return bases


def compare(toolchain: Toolchain, sources: dict[str, str], flags: tuple[str, ...], address: int) -> Linked:
    """Let a linker and the relocator give the same object the same addresses; all bytes must be alike."""
    extern = {
        "outside": address + 0x7F00_1234,
        "far_data": address + 0x1_0000,
        "low": 0x1234_5FFC,
        "close": address + 0x400,
    }
    if "-mcmodel=medlow" in flags:
        extern["outside"] = address + 0x1234
    flags = (*flags, "-mno-relax", "-fno-merge-constants", "-fno-pie")
    given = "".join(f".globl {name}\n.set {name}, {value:#x}\n" for name, value in extern.items())
    no_relax = () if toolchain.name == "zig" else ("-Wl,--no-relax",)  # zig does not know it, nor relax such objects
    linked = toolchain.link({**sources, "extern.S": given}, address=address, flags=(*flags, *no_relax))
    theirs = ElfFile.parse(np.frombuffer(linked, np.uint8), "linked")
    ours_raw = toolchain.link(sources, flags=(*flags, "-c"))
    bases = placed(ElfFile.parse(np.frombuffer(ours_raw, np.uint8), "object"), theirs)
    ours = link(ours_raw, bases, extern)
    compared = 0
    for index, data in ours.data.items():
        name = ours.elf.names[index]
        other = theirs.find(output_of(name))
        if len(data):
            assert other is not None, name
            first = bases[name] - int(theirs.sections["addr"][other])
            assert data.tobytes() == theirs.contents(other)[first : first + len(data)].tobytes(), name
            compared += 1
    assert compared >= 2
    return ours


def test_assembler_source_as_linkers_do_it(toolchain: Toolchain) -> None:
    ours = compare(toolchain, {"source.S": SOURCE}, ("-march=rv64imac",) if toolchain.name == "gcc" else (), BASE)
    kinds = set(Records.of(ours.elf).kind.tolist())
    assert {KINDS[name] for name in ("PCREL_HI20", "PCREL_LO12_I", "PCREL_LO12_S", "64", "SET6", "32_PCREL")} <= kinds


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: " ".join(flags[:3]))
def test_c_source_as_linkers_do_it(toolchain: Toolchain, flags: tuple[str, ...]) -> None:
    low = "-mcmodel=medlow" in flags
    compare(toolchain, {"source.c": C_SOURCE}, flags, 0x1_0000 if low else BASE)


# -- each type by hand


def one(kind: str, content: bytes, symbol: int, addend: int = 0, at: int = 0, **tables: object) -> bytes:
    """Return what one relocation makes of a section at BASE."""
    raw = elf(
        text(content),
        rela((at, 1, KINDS[kind], addend), name=".rela.text", info=".text"),
        symbols=[Symbol(name="s", value=symbol, section=ABS, kind=NOTYPE)],
        type=ET_REL,
    )
    return link(raw, {".text": BASE}, {}, **tables).section(".text")


def assembled(source: str) -> bytes:
    return assemble(source, BASE)


@pytest.mark.parametrize(
    ("kind", "source", "reached"),
    [
        ("BRANCH", "beq a0, a1, {}", (0, 2, -2, 4094, -4096, 0x7FE, 0x800, -0x802)),
        ("JAL", "jal ra, {}", (0, 2, -2, 0xFFFFE, -0x100000, 0x7FE, 0x800, 0xFF000, -0x12346)),
        ("RVC_BRANCH", "c.beqz a0, {}", (2, -2, 254, -256, 0x20, 0x40, -0x8A)),
        ("RVC_JUMP", "c.j {}", (2, -2, 2046, -2048, 0x20, 0x40, 0x3C6, -0x4AA)),
    ],
)
def test_jumps(kind: str, source: str, reached: tuple[int, ...]) -> None:
    zero = assembled(source.format(BASE))
    for distance in reached:
        wanted = assembled(source.format(BASE + distance))
        assert one(kind, zero, BASE + distance) == wanted, hex(distance)
        assert one(kind, zero, BASE + distance + 64, -64) == wanted, "with an addend"
        assert one(kind, wanted, BASE) == zero, "bits that were there do not matter"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("BRANCH", (4096, -4098, 3)),
        ("JAL", (0x100000, -0x100002, 1)),
        ("RVC_BRANCH", (256, -258)),
        ("RVC_JUMP", (2048, -2050, 5)),
        ("CALL", (0x7FFF_F800, -0x8000_0801)),
        ("CALL_PLT", (0x7FFF_F800, -0x8000_0801)),
        ("PCREL_HI20", (0x7FFF_F800, -0x8000_0801)),
        ("32_PCREL", (1 << 31, -(1 << 31) - 1)),
        ("PLT32", (1 << 31, -(1 << 31) - 1)),
    ],
)
def test_out_of_reach(kind: str, wrong: tuple[int, ...]) -> None:
    for distance in wrong:
        with pytest.raises(RelocationError, match=f"R_RISCV_{kind} at 0x0 of section 1.*expected a value of"):
            one(kind, bytes(8), (BASE + distance) % (1 << 64))


@pytest.mark.parametrize("distance", [0, 4, 0x7FF, 0x800, -0x800, -0x801, 0x1234_5678, 0x7FFF_F7FF, -0x8000_0800])
def test_pairs(distance: int) -> None:
    """AUIPC and what follows it reach exactly the symbol, however the two halves are cut."""
    target = (BASE + distance) % (1 << 64)
    upper, jump = struct.unpack("<II", one("CALL", assembled("auipc ra, 0\njalr ra, 0(ra)"), target))
    assert (upper & 0xFFF, jump & 0xFFFFF) == (0x097, 0x080E7)
    high = (upper >> 12) - (upper >> 31 << 20)
    low = (jump >> 20) - (jump >> 31 << 12)
    assert high * 4096 + low == distance
    raw = elf(
        text(bytes(12)),
        rela((0, 1, 23, 0), (4, 2, 24, 0), (8, 2, 25, 0), name=".rela.text", info=".text"),
        symbols=[Symbol(name="s", value=target, section=ABS, kind=NOTYPE), Symbol(name="here", value=0, kind=NOTYPE)],
        type=ET_REL,
    )
    first, load, store = struct.unpack("<III", link(raw, {".text": BASE}, {}).section(".text"))
    assert (first, load) == (upper & ~0xFFF, low % 4096 << 20)
    assert store == low % 4096 >> 5 << 25 | (low & 31) << 7


@pytest.mark.parametrize(
    ("kind", "before", "value", "after"),
    [
        ("64", 5, 0x1122_3344_5566_7788, 0x1122_3344_5566_7788),
        ("32", 5, 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("32", 5, -1, 0xFFFF_FFFF),
        ("ADD64", 5, -7, -2),
        ("SUB64", 5, 7, -2),
        ("ADD32", 0x1_0000_0005, -7, 0x1_FFFF_FFFE),
        ("SUB32", 0x1_0000_0005, 7, 0x1_FFFF_FFFE),
        ("ADD16", 0x1_0005, 0xFFFB, 0x1_0000),
        ("SUB16", 0x1_0005, 6, 0x1_FFFF),
        ("ADD8", 0x105, 0xFB, 0x100),
        ("SUB8", 0x105, 6, 0x1FF),
        ("SUB6", 0xC5, 6, 0xFF),
        ("SET6", 0xC5, 0x7F, 0xFF),
        ("SET8", 0x1C5, 0x27F, 0x17F),
        ("SET16", 0x1_00C5, 0x2_027F, 0x1_027F),
        ("SET32", 0x1_0000_00C5, 0x2_0000_027F, 0x1_0000_027F),
        ("32_PCREL", 0x1_0000_0000, BASE + 7, 0x1_FFFF_FFFF),
        ("PLT32", 0x1_0000_0000, BASE + 0x18, 0x1_0000_0010),
        ("NONE", 5, 7, 5),
        ("RELAX", 5, 7, 5),
    ],
)
def test_data(kind: str, before: int, value: int, after: int) -> None:
    mask = (1 << 64) - 1
    content = struct.pack("<QQ", mask, before & mask)
    got = one(kind, content, value & mask, at=8)
    assert got == struct.pack("<QQ", mask, after & mask), "and what stands before is left alone"
    assert one(kind, content, value - 3 & mask, 3, at=8) == got


@pytest.mark.parametrize("value", [-(1 << 31) - 1, 1 << 32])
def test_a_word_that_does_not_fit(value: int) -> None:
    with pytest.raises(RelocationError, match="R_RISCV_32 at 0x0"):
        one("32", bytes(4), value & (1 << 64) - 1)


def test_what_adds_comes_after_what_sets_and_adds_up() -> None:
    records = [(0, 1, KINDS["SUB8"], 0), (0, 2, KINDS["SET8"], 0), (0, 1, KINDS["SUB8"], 1), (0, 2, KINDS["ADD8"], 0)]
    raw = elf(
        Section(name=".data", data=b"\x99\x99", flags=ALLOC | WRITE),
        rela(*records, name=".rela.data", info=".data"),
        symbols=[Symbol(name="a", value=3, section=ABS), Symbol(name="b", value=50, section=ABS)],
        type=ET_REL,
    )
    assert link(raw, {}, {}).section(".data") == bytes([50 + 50 - 3 - 4, 0x99])


def test_got_and_plt_are_asked_for_what_needs_them() -> None:
    asked: dict[str, list[int]] = {"got": [], "plt": []}

    def table(name: str, start: int) -> object:
        def entries(targets: U64Array) -> U64Array:
            asked[name] += targets.tolist()
            return np.uint64(start) + targets * np.uint64(0)

        return entries

    tables = {"got": table("got", BASE + 0x1000), "plt": table("plt", BASE + 0x2000)}
    near = assembled("auipc ra, 1\njalr ra, 16(ra)")
    assert one("CALL_PLT", assembled("auipc ra, 0\njalr ra, 0(ra)"), BASE + 0x1010, **tables) == near
    assert asked["plt"] == [], "within reach there is no need"
    far = assembled("auipc ra, 2\njalr ra, 0(ra)")
    assert one("CALL_PLT", assembled("auipc ra, 0\njalr ra, 0(ra)"), 0x1000, **tables) == far
    assert one("PLT32", bytes(4), 0x1000, 4, **tables) == struct.pack("<I", 0x2000)
    assert asked["plt"] == [0x1000, 0x1004]
    assert one("GOT_HI20", assembled("auipc a0, 0"), BASE, **tables) == assembled("auipc a0, 1")
    assert set(asked["got"]) == {BASE}
    with pytest.raises(RelocationError, match=r"R_RISCV_GOT_HI20 at 0x0 of section 1: expected a .got section"):
        one("GOT_HI20", bytes(4), BASE)


# -- what is wrong with objects


@pytest.mark.parametrize("kind", [3, 4, 5, 10, 29, 43, 58, 60, 61, 62, 191, 255, 1 << 20])
def test_a_type_without_a_recipe_is_an_error(kind: int) -> None:
    raw = elf(
        text(bytes(8)), rela((0, 1, kind, 0), name=".rela.text", info=".text"), symbols=[Symbol(name="s")], type=ET_REL
    )
    with pytest.raises(RelocationError, match="expected a type that a module may have"):
        link(raw, {}, {})


@pytest.mark.parametrize(("kind", "offset"), [(2, 1), (2, 8), (1, 5), (18, 4), (33, 8), (0, 9), (2, (1 << 64) - 4)])
def test_a_place_outside_its_section(kind: int, offset: int) -> None:
    raw = elf(
        text(bytes(8)),
        rela((offset, 1, kind, 0), name=".rela.text", info=".text"),
        symbols=[Symbol(name="s")],
        type=ET_REL,
    )
    with pytest.raises(RelocationError, match="expected a place within 0x8 bytes"):
        link(raw, {}, {})


def test_a_symbol_that_does_not_exist() -> None:
    raw = elf(
        text(bytes(8)), rela((0, 9, 2, 0), name=".rela.text", info=".text"), symbols=[Symbol(name="s")], type=ET_REL
    )
    with pytest.raises(RelocationError, match="expected a symbol below 2, got symbol 9"):
        link(raw, {}, {})


@pytest.mark.parametrize("records", [((4, 1, 24, 0),), ((0, 1, 23, 0), (4, 2, 24, 0)), ((0, 1, 26, 0), (4, 1, 25, 0))])
def test_a_low_part_without_an_upper_part(records: tuple[tuple[int, int, int, int], ...]) -> None:
    raw = elf(
        text(bytes(8)),
        rela(*records, name=".rela.text", info=".text"),
        symbols=[Symbol(name="s"), Symbol(name="other", value=4)],
        type=ET_REL,
    )
    with pytest.raises(RelocationError, match="expected an upper part at its symbol"):
        link(raw, {".text": BASE}, {})


def test_relocations_of_sections_that_are_not_loaded_do_not_count() -> None:
    raw = elf(
        text(bytes(8)),
        Section(name=".debug", data=bytes(8), flags=0),
        rela((0, 1, 255, 0), name=".rela.debug", info=".debug"),
        rela(name=".rela.text", info=".text"),
        symbols=[Symbol(name="s", section=UNDEF)],
        type=ET_REL,
    )
    assert link(raw, {}, {}).section(".text") == bytes(8)


def test_ragged_relocations() -> None:
    raw = elf(text(bytes(8)), Section(name=".rela.text", data=bytes(25), type=4, flags=0, info=1), type=ET_REL)
    with pytest.raises(ImageError, match="multiple of 24"):
        Records.of(ElfFile.parse(np.frombuffer(raw, np.uint8), "object"))


def test_recipes_are_consistent() -> None:
    for recipe in RECIPES.values():
        assert recipe.name.startswith("R_RISCV_")
        assert (recipe.size == 0) == (recipe.computes is Computes.NOTHING)
        assert recipe.adds == (("ADD" in recipe.name) - ("SUB" in recipe.name))
