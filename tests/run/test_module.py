# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules laid out and relocated beside a kernel, and their code executed where it was put."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from genpatch.errors import ImageError, RelocationError
from genpatch.image.containers import Content, Format
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.machine.hart import Hart
from genpatch.machine.memory import Memory
from genpatch.machine.outcome import Cause, Status
from genpatch.run.module import KernelSymbols, LoadedModule, lay_out, load, module_window
from genpatch.units import Span
from tests.elfwriter import (
    ABS,
    ALLOC,
    COMMON,
    ET_REL,
    EXEC,
    LOCAL,
    NOBITS,
    OBJECT,
    UNDEF,
    WEAK,
    WRITE,
    Section,
    Symbol,
    elf,
    rela,
    text,
)

from .toy import DATA, TEXT, at, image_of, toy_bytes

CALL, CALL_PLT, GOT_HI20, PCREL_HI20, PCREL_LO12_I, R64, PLT32 = 18, 19, 20, 23, 24, 2, 59
NOWHERE = Span(TEXT - 0x20_0000, TEXT - 0x10_0000)
NEAR = (TEXT - 0x10_0000, TEXT - 0x8_0000, TEXT - 0x4_0000)
FAR = (0x1_0000_0000, 0x1_0010_0000, 0x1_0020_0000)
PAGE = 4096


def kernel(**marks: int) -> KernelImage:
    return image_of(toy_bytes(symbols=tuple(Symbol(name=name, value=value) for name, value in marks.items())))


def module(*sections: Section, symbols: tuple[Symbol, ...], **more: Any) -> KernelImage:
    """Return a module image."""
    marks = (
        Section(name=".modinfo", data=b"name=m\0vermagic=7.2 SMP\0"),
        Section(name=".gnu.linkonce.this_module", data=bytes(64), flags=ALLOC | WRITE, align=64),
    )
    raw = elf(*sections, *marks, symbols=symbols, type=ET_REL, **more)
    return read_image(Content(path="m.ko", format=Format.ELF, data=np.frombuffer(raw, np.uint8)))


def calling(kind: int = CALL_PLT, name: str = "add", *, tables: bool = False) -> KernelImage:
    """Return a module with a function `run` that calls add() of the kernel and adds a word of its own."""
    code = assemble(
        "addi sp, sp, -16\nsd ra, 8(sp)\nauipc ra, 0\njalr ra, 0(ra)\nauipc a1, 0\nld a1, 0(a1)\n"
        "add a0, a0, a1\nld ra, 8(sp)\naddi sp, sp, 16\nret",
        0,
    )
    first = code.index(assemble("auipc ra, 0", 0))
    second = code.index(assemble("auipc a1, 0", 0))
    extra = [Section(name=each, data=b"\0", flags=ALLOC) for each in (".plt", ".got", ".got.plt")] if tables else []
    return module(
        text(code),
        Section(name=".data", data=bytes(8) + struct.pack("<Q", 1000), flags=ALLOC | WRITE, align=8),
        rela(
            (first, 2, kind, 0), (second, 3, PCREL_HI20, 0), (second + 4, 4, PCREL_LO12_I, 0),
            name=".rela.text", info=".text",
        ),
        *extra,
        symbols=(
            Symbol(name="run", value=0, size=len(code)),
            Symbol(name=name, section=UNDEF, kind=0),
            Symbol(name="word", value=8, section=".data", kind=OBJECT, binding=LOCAL),
            Symbol(name=".L1", value=second, kind=0, binding=LOCAL),
        ),
    )  # fmt: skip


def loaded(image: KernelImage, starts: tuple[int, int, int] = NEAR) -> LoadedModule:
    return load(lay_out(image), starts, KernelSymbols(kernel(), NOWHERE))


def hart_of(found: LoadedModule) -> Hart:
    memory = Memory()
    for place in found.places:
        memory.map(place.span.start, place.content.tobytes(), permissions=place.permissions, name=place.name)
    for region in kernel().memory.regions:
        memory.map(region.span.start, region.data.tobytes(), permissions="rx" if region.executable else "rw")
    memory.map(0x10_0000, size=PAGE, name="stack")
    hart = Hart(memory)
    hart.x[2], hart.x[1], hart.x[10], hart.x[11] = 0x10_0000 + PAGE, 0x50, 30, 12
    hart.breakpoints.add(0x50)
    return hart


@pytest.mark.parametrize(
    ("kind", "tables", "starts"),
    [(CALL, False, NEAR), (CALL_PLT, False, NEAR), (CALL_PLT, True, NEAR), (CALL_PLT, True, FAR)],
)
def test_a_module_calls_its_kernel(kind: int, tables: bool, starts: tuple[int, int, int]) -> None:
    found = loaded(calling(kind, tables=tables), starts)
    hart = hart_of(found)
    hart.pc = int(found.moved(np.array([found.layout.image.address_of("run")], np.uint64))[0])
    assert hart.pc == starts[0]
    outcome = hart.run(100)
    assert (outcome.status, outcome.pc, hart.x[10]) == (Status.STOPPED, 0x50, 1042)


@pytest.mark.parametrize("kind", [CALL, CALL_PLT])
def test_a_call_out_of_reach_without_a_table(kind: int) -> None:
    with pytest.raises(RelocationError, match="expected a value of"):
        loaded(calling(kind), FAR)


def test_a_symbol_of_another_module_faults_when_it_is_called() -> None:
    found = loaded(calling(name="other_module"))
    assert found.absent == ("other_module",)
    hart = hart_of(found)
    hart.pc = NEAR[0]
    outcome = hart.run(100)
    assert (outcome.status, outcome.cause, outcome.pc in NOWHERE) == (Status.FAULT, Cause.FETCH_FAULT, True)


def test_symbols_that_nobody_has() -> None:
    symbols = KernelSymbols(kernel(), Span(0x1000, 0x1020))
    assert symbols.find("add") == at("add")
    assert symbols.find("number") == DATA + 64
    assert symbols.find("a") is None
    assert [symbols.nobody(name) for name in ("a", "b", "a")] == [0x1000, 0x1010, 0x1000]
    with pytest.raises(ImageError, match="expected symbols in"):
        symbols.nobody("c")


def test_local_symbols_of_the_kernel_are_not_for_modules() -> None:
    raw = toy_bytes(symbols=(Symbol(name="hidden", value=TEXT, binding=LOCAL), Symbol(name="open", value=TEXT + 4)))
    symbols = KernelSymbols(image_of(raw), NOWHERE)
    assert (symbols.find("hidden"), symbols.find("open")) == (None, TEXT + 4)


def words(found: LoadedModule) -> list[int]:
    data = next(place.content for place in found.places if place.permissions == "rw")
    return np.frombuffer(data[:32].tobytes(), "<u8").tolist()


def test_symbols_of_each_kind() -> None:
    image = module(
        text(bytes(8)),
        Section(name=".data", data=bytes(32), flags=ALLOC | WRITE, align=8),
        rela((0, 1, R64, 1), (8, 2, R64, 2), (16, 3, R64, 3), (24, 4, R64, 4), name=".rela.data", info=".data"),
        symbols=(
            Symbol(name="number", section=UNDEF, kind=0),
            Symbol(name="absolute", value=0x1234, section=ABS),
            Symbol(name="weak", section=UNDEF, kind=0, binding=WEAK),
            Symbol(name="own", value=4),
        ),
    )
    found = loaded(image)
    assert words(found) == [DATA + 65, 0x1236, 3, NEAR[0] + 8]
    assert found.absent == ()


def test_common_symbols_are_refused() -> None:
    image = module(text(bytes(8)), symbols=(Symbol(name="c", value=8, section=COMMON, size=8),))
    with pytest.raises(ImageError, match="common symbols"):
        loaded(image)


def test_the_layout() -> None:
    image = module(
        Section(name=".init.text", data=b"\x02" * 6, flags=ALLOC | EXEC, align=2),
        text(b"\x01" * 10, align=8),
        text(b"\x03" * 4, name=".exit.text", align=16),
        Section(name=".rodata", data=b"\x04" * 5000, align=32),
        Section(name=".data", data=b"\x05" * 3, flags=ALLOC | WRITE),
        Section(name=".init.data", data=b"\x06", flags=ALLOC | WRITE, align=8),
        Section(name=".bss", type=NOBITS, size=5000, flags=ALLOC | WRITE, align=64),
        Section(name=".comment", data=b"no", flags=0),
        symbols=(Symbol(name="f"), Symbol(name="exit", section=".exit.text"), Symbol(name="i", section=".init.text")),
    )
    layout = lay_out(image)
    assert layout.sizes == (2 * PAGE, 2 * PAGE, 3 * PAGE)
    found = load(layout, NEAR, KernelSymbols(kernel(), NOWHERE))
    assert [(place.span.start, place.span.size, place.permissions) for place in found.places] == [
        (NEAR[0], 2 * PAGE, "rx"), (NEAR[1], 2 * PAGE, "r"), (NEAR[2], 3 * PAGE, "rw"),
    ]  # fmt: skip
    code, constants, data = (place.content.tobytes() for place in found.places)
    assert code[:20] == b"\x01" * 10 + bytes(6) + b"\x03" * 4
    assert code[PAGE : PAGE + 7] == b"\x02" * 6 + b"\0"
    assert constants[:5001] == b"\x04" * 5000 + b"\0"
    assert (data[:4], data[2 * PAGE]) == (b"\x05" * 3 + b"\0", 6)
    names = {name: int(base) for name, base in zip(layout.elf.names, found.base, strict=True)}
    assert names[".bss"] == NEAR[2] + 64
    assert (names[".modinfo"], names[".comment"]) == (0, 0)
    assert b"vermagic" not in code + constants + data
    there = found.moved(np.array([image.address_of(name) for name in ("f", "exit", "i")], np.uint64))
    assert there.tolist() == [NEAR[0], NEAR[0] + 16, NEAR[0] + PAGE]
    assert found.unmoved(there).tolist() == [image.address_of(name) for name in ("f", "exit", "i")]
    elsewhere = np.array([0, TEXT, NEAR[0] + 10, NEAR[0] - 1, (1 << 64) - 1], np.uint64)
    assert found.unmoved(elsewhere).tolist() == elsewhere.tolist()
    behind = np.array([image.address_of("f") + 10], np.uint64)  # type: ignore[operator]
    assert found.moved(behind, behind - np.uint64(10)).tolist() == [NEAR[0] + 10]


def test_the_tables_have_an_entry_for_each_target() -> None:
    code = assemble("auipc a0, 0\nauipc a1, 0\nauipc a2, 0", 0)
    image = module(
        text(code + bytes(40)),
        rela(
            (0, 1, GOT_HI20, 0), (4, 2, GOT_HI20, 0), (8, 1, GOT_HI20, 0), (16, 1, PLT32, 0), (20, 2, PLT32, 0),
            (24, 1, PLT32, 0), name=".rela.text", info=".text",
        ),
        *(Section(name=each, data=b"\0", flags=ALLOC) for each in (".plt", ".got", ".got.plt")),
        symbols=tuple(Symbol(name=name, section=UNDEF, kind=0) for name in ("add", "outer")),
    )  # fmt: skip
    layout = lay_out(image)
    assert {name: size for name, (_, size) in layout.tables.items()} == {".got": 24, ".plt": 36, ".got.plt": 24}
    found = load(layout, FAR, KernelSymbols(kernel(), NOWHERE))
    base = dict(zip(layout.elf.names, found.base.tolist(), strict=True))
    code_there, constants = (place.content.tobytes() for place in found.places[:2])
    got = base[".got"] - FAR[1]
    assert struct.unpack_from("<3Q", constants, got) == (at("add"), at("outer"), 0)
    wanted = [base[".got"], base[".got"] + 8, base[".got"]]
    for number, target in enumerate(wanted):
        (word,) = struct.unpack_from("<I", code_there, 4 * number)
        assert word >> 12 == (target - FAR[0] - 4 * number + 0x800) >> 12
    distances = struct.unpack_from("<3i", code_there, 16)
    plt = base[".plt"] - FAR[0]
    assert [16 + 4 * n + distance for n, distance in enumerate(distances)] == [plt, plt + 12, plt]


def test_a_got_entry_without_a_table() -> None:
    image = module(
        text(bytes(8)),
        rela((0, 1, GOT_HI20, 0), name=".rela.text", info=".text"),
        symbols=(Symbol(name="add", section=UNDEF, kind=0),),
    )
    with pytest.raises(RelocationError, match=r"expected a .got section, got none"):
        loaded(image)


def test_an_unknown_relocation_is_no_module() -> None:
    image = module(
        text(bytes(8)), rela((0, 1, 43, 6), name=".rela.text", info=".text"), symbols=(Symbol(name="f", value=0),)
    )
    with pytest.raises(RelocationError, match=r"m\.ko: relocation type 43 at 0x0 of section 1"):
        lay_out(image)


def test_a_kernel_is_no_module() -> None:
    with pytest.raises(ImageError, match="expected a relocatable object"):
        lay_out(kernel())


def test_the_window() -> None:
    assert module_window(kernel(_start=0xFFFF_FFFF_8000_0000, _end=0xFFFF_FFFF_8234_5678)) == Span(
        0xFFFF_FFFF_0234_6000, 0xFFFF_FFFF_8000_0000
    )
    window = module_window(kernel())
    assert window.end == TEXT
    assert 0 <= DATA + 256 - window.start - (1 << 31) + PAGE <= 2 * PAGE
