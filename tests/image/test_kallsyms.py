# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError
from genpatch.image.kallsyms import Kallsyms, Layout, find_base, has_kallsyms, recover
from genpatch.image.symbols import FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, SHN_ABS, SHN_UNKNOWN, WEAK
from genpatch.units import U8Array

BASE = 0xFFFF_FFFF_8000_0000

Symbol = tuple[int, str, str]
"""Distance from the image's first byte, nm's letter, name."""

FEW: list[Symbol] = [
    (0x0, "T", "_start"),
    (0x40, "t", "pe_head_start"),
    (0x1000, "T", "_text"),
    (0x1000, "T", "_stext"),
    (0x1010, "W", "arch_weak"),
    (0x1020, "w", "local_weak"),
    (0x2000, "D", "init_task"),
    (0x2008, "r", "a_constant"),
    (0x2010, "V", "weak_object"),
    (0x2018, "A", "absolute_one"),
    (0x2020, "n", "noted"),
    (0x7FF_FFF0, "B", "_end"),
]


def many(count: int) -> list[Symbol]:
    """FEW with enough functions for several markers; neighbours share addresses, as aliases do."""
    more: list[Symbol] = [(0x1100 + i // 2 * 4, "t", f"function_{i:05d}") for i in range(count)]
    return FEW[:6] + more + [(0x10_0000 + at, letter, name) for at, letter, name in FEW[6:]]


@dataclass(frozen=True)
class Recipe:
    """How the encoder below lays the tables out; the fields are named for what differs between kernels."""

    alignment: int = 8
    addresses: str = "base, behind"
    seqs_before_tokens: bool = False
    big_lengths: bool = True
    relative_base: int = BASE
    lead: int = 0x80
    tail: bytes = b""


V6_1 = Recipe(addresses="base, before", seqs_before_tokens=True)
V5_10 = Recipe(addresses="base, before", big_lengths=False)
PERCPU = Recipe(addresses="percpu, before")
V4_15 = Recipe(addresses="absolute, before", big_lengths=False)
V6_5_ABSOLUTE = Recipe(addresses="absolute, behind")
V6_12 = Recipe()
V7_2 = Recipe(alignment=4, addresses="pc-relative")

RECIPES = {
    "6.1": (V6_1, Layout.BASE_BEFORE),
    "5.10": (V5_10, Layout.BASE_BEFORE),
    "percpu": (PERCPU, Layout.BASE_BEFORE),
    "4.15": (V4_15, Layout.ABSOLUTE),
    "6.5 absolute": (V6_5_ABSOLUTE, Layout.ABSOLUTE),
    "6.12": (V6_12, Layout.BASE_AFTER),
    "7.2": (V7_2, Layout.PC_RELATIVE),
}


class Encoder:
    """kallsyms tables as scripts/kallsyms.c lays them out, for tests."""

    TOKENS = ("function_", "_start", "tas", "_weak", "_")

    def __init__(self, symbols: list[Symbol], recipe: Recipe) -> None:
        self.symbols = symbols
        self.recipe = recipe
        self.blob = bytearray(b"\x13\0\0\0" * (recipe.lead // 4))
        used = {ord(char) for _, letter, name in symbols for char in letter + name}
        used |= {ord(digit) for digit in "0123456789"}
        free = iter(code for code in range(256) if code not in used)
        self.tokens = {code: (chr(code) if code in used else "") for code in range(256)}
        self.tokens.update({next(free): text for text in self.TOKENS if text != "_"})

    def align(self) -> int:
        self.blob += bytes(-len(self.blob) % self.recipe.alignment)
        return len(self.blob)

    def compress(self, text: str) -> bytes:
        by_size = sorted((text for text in self.tokens.values() if text), key=len, reverse=True)
        code = {text: code for code, text in self.tokens.items()}
        out = bytearray()
        while text:
            token = next(token for token in by_size if text.startswith(token))
            out.append(code[token])
            text = text[len(token) :]
        return bytes(out)

    def put_addresses(self) -> None:
        base, kind = self.recipe.relative_base, self.recipe.addresses.split(",")[0]
        at = self.align()
        for i, (distance, _, _) in enumerate(self.symbols):
            if kind == "absolute":
                self.blob += struct.pack("<Q", BASE + distance)
            elif kind == "base":
                self.blob += struct.pack("<I", distance)
            elif kind == "percpu":
                self.blob += struct.pack("<i", -distance - 1)
            else:
                self.blob += struct.pack("<i", distance - (at + 4 * i))
        if kind in ("base", "percpu"):
            self.align()
            self.blob += struct.pack("<Q", base)

    def put_names(self) -> list[int]:
        self.align()
        markers, start = [], len(self.blob)
        for i, (_, letter, name) in enumerate(self.symbols):
            if i % 256 == 0:
                markers.append(len(self.blob) - start)
            packed = self.compress(letter + name)
            if len(packed) < 128 or not self.recipe.big_lengths:
                self.blob.append(len(packed))
            else:
                self.blob += bytes([len(packed) & 0x7F | 0x80, len(packed) >> 7])
            self.blob += packed
        return markers

    def put_seqs(self) -> None:
        self.align()
        for i in range(len(self.symbols)):
            self.blob += (i * 7919 % len(self.symbols)).to_bytes(3, "big")

    def put_tokens(self) -> None:
        self.align()
        index, start = [], len(self.blob)
        for code in range(256):
            index.append(len(self.blob) - start)
            self.blob += self.tokens[code].encode() + b"\0"
        self.align()
        self.blob += struct.pack("<256H", *index)

    def image(self) -> U8Array:
        before = "before" in self.recipe.addresses
        if before:
            self.put_addresses()
        self.align()
        self.blob += struct.pack("<I", len(self.symbols))
        markers = self.put_names()
        self.align()
        self.blob += struct.pack(f"<{len(markers)}I", *markers)
        if self.recipe.seqs_before_tokens:
            self.put_seqs()
        self.put_tokens()
        if not before:
            self.put_addresses()
            self.put_seqs()
        return np.frombuffer(bytes(self.blob) + self.recipe.tail, np.uint8)


def encode(symbols: list[Symbol], recipe: Recipe) -> U8Array:
    return Encoder(symbols, recipe).image()


def array_of(data: bytes) -> U8Array:
    return np.frombuffer(data, np.uint8)


def listed(kallsyms: Kallsyms) -> list[tuple[int, str]]:
    symbols = kallsyms.symbols
    return [(int(symbols.address[i]), symbols.name(i)) for i in range(len(symbols))]


class TestLayouts:
    @pytest.mark.parametrize("count", [0, 1, 243, 244, 245, 500, 3000])
    @pytest.mark.parametrize("name", RECIPES)
    def test_every_layout_gives_every_symbol(self, name: str, count: int) -> None:
        recipe, layout = RECIPES[name]
        symbols = many(count)
        got = recover(encode(symbols, recipe))
        assert got.layout == layout
        assert got.base == BASE
        assert listed(got) == [(BASE + at, name) for at, _, name in symbols]

    def test_literal(self) -> None:
        got = recover(encode(FEW, V6_12))
        assert listed(got) == [
            (0xFFFFFFFF80000000, "_start"),
            (0xFFFFFFFF80000040, "pe_head_start"),
            (0xFFFFFFFF80001000, "_text"),
            (0xFFFFFFFF80001000, "_stext"),
            (0xFFFFFFFF80001010, "arch_weak"),
            (0xFFFFFFFF80001020, "local_weak"),
            (0xFFFFFFFF80002000, "init_task"),
            (0xFFFFFFFF80002008, "a_constant"),
            (0xFFFFFFFF80002010, "weak_object"),
            (0xFFFFFFFF80002018, "absolute_one"),
            (0xFFFFFFFF80002020, "noted"),
            (0xFFFFFFFF87FFFFF0, "_end"),
        ]
        symbols = got.symbols
        assert symbols.source == "kallsyms"
        assert symbols.kind.tolist() == [FUNC] * 6 + [OBJECT] * 3 + [NOTYPE] * 2 + [OBJECT]
        assert symbols.binding.tolist() == [
            *(GLOBAL, LOCAL, GLOBAL, GLOBAL, WEAK, WEAK),
            *(GLOBAL, LOCAL, WEAK, GLOBAL, LOCAL, GLOBAL),
        ]
        assert symbols.section.tolist() == [SHN_UNKNOWN] * 9 + [SHN_ABS] + [SHN_UNKNOWN] * 2
        assert not symbols.size.any()
        assert symbols.find("init_task") == 0xFFFFFFFF80002000
        assert symbols.find("init_tas") is None

    def test_a_blob_written_by_hand(self) -> None:
        # num_syms 2; "Ta0" as T a 0, "tab" as t ab (0x80); one marker; tokens; offsets from their own places.
        digits = {ord("0") + i: b"%d" % i for i in range(10)}
        tokens = {**digits, ord("T"): b"T", ord("t"): b"t", ord("a"): b"a", 0x80: b"ab"}
        table = b"".join(tokens.get(code, b"") + b"\0" for code in range(256))
        index, at = b"", 0
        for code in range(256):
            index += at.to_bytes(2, "little")
            at += len(tokens.get(code, b"")) + 1
        head = bytes(8) + b"\x02\0\0\0" + b"\x03Ta0\x02t\x80\0" + b"\0\0\0\0"
        head += table + bytes(-len(table) % 4) + index
        where = len(head)
        blob = head + struct.pack("<ii", -where, 8 - where - 4)
        got = recover(np.frombuffer(blob, np.uint8), 0x80000000)
        assert listed(got) == [(0x80000000, "a0"), (0x80000008, "ab")]

    @pytest.mark.parametrize("name", ["6.1", "6.12", "7.2"])
    def test_two_byte_lengths(self, name: str) -> None:
        symbols = many(600)
        symbols[300] = (symbols[300][0], "t", "r" * 127)
        symbols[301] = (symbols[301][0], "t", "u" * 128)
        symbols[511] = (symbols[511][0], "t", "st" * 255)
        got = recover(encode(symbols, RECIPES[name][0]))
        assert listed(got) == [(BASE + at, name) for at, _, name in symbols]

    @pytest.mark.parametrize("name", ["5.10", "4.15"])
    def test_one_byte_lengths_above_127(self, name: str) -> None:
        symbols = many(600)
        symbols[300] = (symbols[300][0], "t", "r" * 140)
        got = recover(encode(symbols, RECIPES[name][0]))
        assert listed(got) == [(BASE + at, name) for at, _, name in symbols]

    def test_absolute_percpu_symbols_come_first(self) -> None:
        encoder = Encoder([(0, "A", "percpu_a"), (8, "A", "percpu_b"), *FEW], PERCPU)
        image = bytearray(encoder.image().tobytes())
        image[0x80:0x88] = struct.pack("<ii", 0, 8)
        got = recover(np.frombuffer(bytes(image), np.uint8))
        assert listed(got)[:3] == [(0, "percpu_a"), (8, "percpu_b"), (BASE, "_start")]
        assert got.base == BASE

    def test_another_link_address(self) -> None:
        got = recover(encode(FEW, Recipe(relative_base=0x80000000)))
        assert (got.base, got.base_source) == (0x80000000, "_start")
        assert got.symbols.find("_text") == 0x80001000


class TestBase:
    TEXT_ONLY = tuple(symbol for symbol in many(300) if 0x1000 <= symbol[0] < 0x10_0000)

    def list_heads(self, at: int, base: int, count: int) -> bytes:
        return b"".join(struct.pack("<QQ", base + at + 16 * i, base + at + 16 * i) for i in range(count))

    def with_list_heads(self, base: int, count: int) -> U8Array:
        bare = encode(list(self.TEXT_ONLY), Recipe(alignment=4, addresses="pc-relative", lead=0x4000))
        pad = bytes(-len(bare) % 8)
        tail = pad + self.list_heads(len(bare) + len(pad), base, count)
        recipe = Recipe(alignment=4, addresses="pc-relative", lead=0x4000, tail=tail)
        return encode(list(self.TEXT_ONLY), recipe)

    def test_list_heads_vote(self) -> None:
        image = self.with_list_heads(0xFFFFFFE000000000, 3)
        assert find_base(image) == 0xFFFFFFE000000000
        got = recover(image)
        assert (got.base, got.base_source) == (0xFFFFFFE000000000, "pointers")
        assert got.symbols.find("_stext") == 0xFFFFFFE000001000

    def test_two_list_heads_are_not_enough(self) -> None:
        image = self.with_list_heads(0xFFFFFFE000000000, 2)
        assert find_base(image) is None
        assert (recover(image).base, recover(image).base_source) == (BASE, "assumed")

    @pytest.mark.parametrize("base", [BASE, 0])
    def test_relocations_of_list_heads_vote(self, base: int) -> None:
        heads = [(base + 0x5000 + 16 * i + half, 3, base + 0x5000 + 16 * i) for i in range(3) for half in (0, 8)]
        packed = b"".join(struct.pack("<QQQ", *record) for record in [(base + 8, 3, base + 16), *heads])
        bare = encode(list(self.TEXT_ONLY), Recipe(alignment=4, addresses="pc-relative", lead=0x4000))
        image = array_of(bare.tobytes() + bytes(-len(bare) % 8) + packed)
        assert find_base(image) == base
        got = recover(image)
        assert (got.base, got.base_source) == (base, "pointers")
        assert got.symbols.find("_stext") == base + 0x1000

    def test_given_base_wins(self) -> None:
        got = recover(self.with_list_heads(BASE, 9), 0x80000000)
        assert (got.base, got.base_source) == (0x80000000, "given")
        assert got.symbols.find("_stext") == 0x80001000

    def test_given_base_that_contradicts_the_symbols(self) -> None:
        with pytest.raises(ImageError, match=r"expected 0xffffffff80000000 \(_start\), got 0x80000000 \(given\)"):
            recover(encode(FEW, V6_12), 0x80000000)
        text_only = Recipe(relative_base=BASE)
        with pytest.raises(ImageError, match=r"at most 2 GiB below 0xffffffff880ffff0 \(the last symbol\)"):
            recover(encode([(at, t, f"_{name}") for at, t, name in many(9)], text_only), 0x80000000)

    @pytest.mark.parametrize("base", [-4096, 1, 1 << 64])
    def test_impossible_base(self, base: int) -> None:
        with pytest.raises(ImageError, match="expected a page-aligned 64-bit address"):
            recover(encode(FEW, V7_2), base)

    def relocated(self, records: list[tuple[int, int, int]]) -> U8Array:
        bare = encode(FEW, Recipe(relative_base=0))
        pad = bytes(-len(bare) % 8)
        packed = b"".join(struct.pack("<QQQ", *record) for record in records)
        return encode(FEW, Recipe(relative_base=0, tail=pad + packed))

    def slot(self) -> int:
        return encode(FEW, Recipe(relative_base=0x1122334455667000)).tobytes().index(b"\x00\x70\x66\x55\x44")

    def test_relocation_fills_the_base(self) -> None:
        slot = self.slot()
        records = [(BASE + 8, 3, BASE + 0x2000), (BASE + slot, 3, BASE), (BASE + slot + 8, 3, BASE + 0x1234)]
        got = recover(self.relocated(records))
        assert (got.base, got.base_source, got.layout) == (BASE, ".rela.dyn", Layout.BASE_AFTER)
        assert got.symbols.find("_text") == 0xFFFFFFFF80001000

    def test_unfilled_base_without_relocation(self) -> None:
        with pytest.raises(ImageError, match="ascending addresses of 12 symbols in a known layout, got none"):
            recover(self.relocated([(BASE + self.slot(), 2, BASE)]))


class TestHostile:
    @pytest.mark.parametrize("data", [b"", b"\0", b"0\x001\0", bytes(5000), b"\xff" * 5000])
    def test_no_kallsyms(self, data: bytes) -> None:
        array = np.frombuffer(data, np.uint8)
        assert not has_kallsyms(array)
        assert find_base(array) is None
        with pytest.raises(ImageError, match=r"kallsyms: expected a token table.*CONFIG_KALLSYMS=n"):
            recover(array)

    def test_damage_is_told_from_absence(self) -> None:
        image = encode(many(600), V7_2).copy()
        tokens_at = image.tobytes().index(b"function_\0")
        image[tokens_at - 12 : tokens_at] = 0
        assert has_kallsyms(image)
        with pytest.raises(ImageError, match=r"kallsyms, token table at offset 0x\w+: expected .*, got none"):
            recover(image)

    def test_descending_addresses(self) -> None:
        symbols = [*FEW[:5], (0x10, "t", "late"), *FEW[5:]]
        with pytest.raises(ImageError, match="expected ascending addresses of 13 symbols"):
            recover(encode(symbols, V6_12))

    def test_unknown_letter(self) -> None:
        with pytest.raises(ImageError, match=r"a type letter before each name, got 0x7a \(name 2\)"):
            recover(encode([*FEW[:2], (0x44, "z", "odd"), *FEW[2:]], V7_2))

    def test_empty_and_endless_names(self) -> None:
        with pytest.raises(ImageError, match=r"names of 1 to 511 bytes, got 0 \(name 2\)"):
            recover(encode([*FEW[:2], (0x44, "t", ""), *FEW[2:]], V7_2))
        with pytest.raises(ImageError, match=r"names of 1 to 511 bytes, got 512 \(name 2\)"):
            recover(encode([*FEW[:2], (0x44, "t", "st" * 256), *FEW[2:]], V7_2))

    def test_tokens_that_would_fill_the_memory(self) -> None:
        encoder = Encoder(many(2000), V7_2)
        function = next(code for code, text in encoder.tokens.items() if text == "function_")
        packed = encoder.compress
        encoder.compress = lambda text: packed(text)[:1] + bytes([function]) * 100  # type: ignore[method-assign]
        encoder.tokens[function] = "f" * 60_000
        with pytest.raises(ImageError, match="names of at most 134217728 bytes"):
            recover(encoder.image())

    def test_truncated_anywhere(self) -> None:
        for recipe, _ in RECIPES.values():
            image = encode(FEW, recipe)
            whole = listed(recover(image))
            for size in range(0, len(image), 5):
                try:
                    assert listed(recover(image[:size])) == whole
                except ImageError as error:
                    assert str(error).startswith("kallsyms")  # noqa: PT017

    @settings(max_examples=300, deadline=None)
    @given(
        name=st.sampled_from(sorted(RECIPES)),
        cuts=st.tuples(st.integers(0, 64), st.integers(0, 64)),
        edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    )
    def test_mutated(self, name: str, cuts: tuple[int, int], edits: list[tuple[float, int]]) -> None:
        image = encode(many(270), RECIPES[name][0]).copy()
        for place, value in edits:
            image[int(place * len(image))] = value
        image = image[cuts[0] : len(image) - cuts[1]]
        try:
            got = recover(image)
        except ImageError:
            return
        assert all(got.symbols.name(i) for i in range(len(got.symbols)))

    @pytest.mark.parametrize(
        "unit",
        [
            b"".join(b"%d\0" % i for i in range(10)),
            b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0" + bytes(300),
            struct.pack("<QQ", BASE, BASE),
            struct.pack("<Q", 3),
        ],
    )
    def test_repetition_is_refused_soon(self, unit: bytes) -> None:
        data = np.frombuffer(unit * (8_000_000 // len(unit)), np.uint8)
        start = time.perf_counter()
        with pytest.raises(ImageError):
            recover(data)
        assert time.perf_counter() - start < 5

    def test_decoy_markers_are_refused_soon(self) -> None:
        encoder = Encoder(FEW, V7_2)
        for count in range(1, 200):
            encoder.blob += struct.pack(f"<{count}I", *(600 * i for i in range(count)))
            encoder.blob += b"\x05\0\0\0" * 600
        encoder.blob += struct.pack("<300I", *(1000 * i for i in range(300)))
        encoder.put_tokens()
        start = time.perf_counter()
        with pytest.raises(ImageError, match="names whose lengths agree with markers"):
            recover(np.frombuffer(bytes(encoder.blob), np.uint8))
        assert time.perf_counter() - start < 5


def real_kernels() -> list[tuple[Path, Path]]:
    """Pairs of boot Image and vmlinux below GENPATCH_KERNELS: packaged (boot) or built (arch/riscv/boot)."""
    root = os.environ.get("GENPATCH_KERNELS")
    if not root:
        return []
    found = []
    for vmlinux in sorted(Path(root).glob("*/vmlinux")):
        for name in ("boot", "arch/riscv/boot/Image"):
            image = vmlinux.parent / name
            if image.is_file():
                found.append((image, vmlinux))
    return found


def elf_symbols(path: Path) -> set[tuple[int, str]]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        assert table is not None, f"{path} has no .symtab"
        raw, names = table.data(), elf.get_section(table["sh_link"]).data()
    records = np.frombuffer(raw, [("name", "<u4"), ("rest", "V4"), ("value", "<u8"), ("size", "<u8")])
    starts, values = records["name"].tolist(), records["value"].tolist()
    return {(value, names[at : names.index(b"\0", at)].decode()) for at, value in zip(starts, values, strict=True)}


@pytest.mark.kernels
@pytest.mark.skipif(not real_kernels(), reason="GENPATCH_KERNELS names no directory with */boot and */vmlinux")
class TestRealKernels:
    COUNTS = {  # noqa: RUF012
        b"Linux version 6.12.107+deb13-riscv64": (94_816, Layout.BASE_AFTER),
        b"Linux version 7.2.13+deb14-riscv64": (118_383, Layout.PC_RELATIVE),
    }

    @pytest.mark.parametrize(("image", "vmlinux"), real_kernels(), ids=lambda path: path.parent.name)
    def test_every_symbol_is_in_the_elf_file(self, image: Path, vmlinux: Path) -> None:
        data = np.fromfile(image, np.uint8)
        start = time.perf_counter()
        got = recover(data)
        assert time.perf_counter() - start < 1
        mine, truth = set(listed(got)), elf_symbols(vmlinux)
        assert len(got.symbols) > 10_000
        assert sorted(mine - truth)[:10] == []
        wanted = {
            (at, name)
            for at, name in truth
            if name in ("_start", "_text", "_etext", "_end", "init_task", "ftrace_caller", "linux_banner")
        }
        assert wanted <= mine
        text = data.tobytes()
        for banner, expected in self.COUNTS.items():
            if banner in text:
                assert (len(got.symbols), got.layout) == expected
