# SPDX-License-Identifier: GPL-2.0-or-later
"""From table entries to functions and sleds, on bytes written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genpatch.audit.cases import C_NOP, NOP, RET, SITES_AT, Fn, kernel
from genpatch.image.containers import Content, Format
from genpatch.image.model import EntryTable, ImageKind, KernelImage
from genpatch.image.read import read_image
from genpatch.image.symbols import SymbolTable
from genpatch.sites.discover import find_sites
from genpatch.sites.model import Nops, Sites
from tests.elfwriter import ET_REL, LOCAL, R_RISCV_64, SECTION, TABLE, Section, Symbol, elf, rela, text

AT = SITES_AT + 0x100
LPAD = b"\x17\x10\x00\x00"  # lpad 1: auipc x0, 1
CALL = b"\x97\x02\x00\x00\xe7\x82\x02\x00"  # auipc t0, 0; jalr t0, 0(t0)
ARMED = b"\x97\x02\x00\x00\x13\x00\x00\x00"  # auipc t0, 0; nop


def sites_of(*functions: Fn, **more: Any) -> Sites:
    return kernel(*functions, code=(), **more).sites


def shapes(sites: Sites) -> list[tuple[int, int, str]]:
    return [
        (int(before), int(after), Nops(int(nop)).text)
        for before, after, nop in zip(sites.before, sites.after, sites.spelling, strict=True)
    ]


@pytest.mark.parametrize(
    ("before", "after", "nop", "shape"),
    [
        (8, 8, C_NOP, (8, 8, "c.nop")),
        (8, 8, NOP, (8, 8, "nop")),
        (0, 8, C_NOP, (0, 8, "c.nop")),
        (0, 8, NOP, (0, 8, "nop")),
        (0, 16, NOP, (0, 16, "nop")),
        (0, 16, C_NOP, (0, 16, "c.nop")),
        (0, 24, C_NOP, (0, 24, "c.nop")),
        (0, 24, NOP, (0, 24, "nop")),
        (0, 32, C_NOP, (0, 32, "c.nop")),
        (16, 0, C_NOP, (16, 0, "foreign")),
        (4, 4, C_NOP, (4, 4, "c.nop")),
        (0, 2, C_NOP, (0, 2, "c.nop")),
        (64, 64, NOP, (64, 64, "nop")),
    ],
)
def test_sleds(before: int, after: int, nop: bytes, shape: tuple[int, int, str]) -> None:
    sites = sites_of(
        Fn(name="f", before=before, after=after, nop=nop), Fn(name="g", before=before, after=after, nop=nop)
    )
    assert shapes(sites) == [shape, shape]
    assert sites.named.tolist() == [True, True]
    assert sites.usual == shape[:2]
    assert sites.sled_kinds == [(*shape[:2], int(sites.spelling[0]), 2)]
    assert (sites.func - sites.entry).tolist() == [before, before]


def test_a_sled_longer_than_any() -> None:
    assert shapes(sites_of(Fn(name="f", before=0, after=80, nop=C_NOP))) == [(0, 64, "c.nop")]


USUAL = (Fn(name="a", before=0), Fn(name="b", before=0), Fn(name="c", before=0))


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (C_NOP * 2 + NOP, (0, 8, "mixed")),
        (NOP + C_NOP * 2, (0, 8, "mixed")),
        (C_NOP + NOP + C_NOP, (0, 8, "mixed")),
        (C_NOP * 2 + RET * 2, (0, 4, "c.nop")),
        (NOP + RET * 2, (0, 4, "nop")),
        (CALL, (0, 0, "patched")),
        (ARMED, (0, 0, "patched")),
        (b"\x97\x02\x00\x00" + RET * 2, (0, 0, "foreign")),
        (RET * 4, (0, 0, "foreign")),
        (bytes(8), (0, 0, "foreign")),
    ],
)
def test_one_site_unlike_the_others(head: bytes, shape: tuple[int, int, str]) -> None:
    sites = sites_of(*USUAL, Fn(name="odd", before=0, head=head, after=len(head), body=RET * 4))
    assert shapes(sites) == [(0, 8, "c.nop")] * 3 + [shape]


def test_a_body_that_starts_with_a_nop_of_the_other_kind() -> None:
    sites = sites_of(*USUAL, Fn(name="d", before=0, body=NOP + RET), Fn(name="e", before=0, nop=NOP, body=C_NOP + RET))
    assert shapes(sites) == [(0, 8, "c.nop")] * 4 + [(0, 8, "nop")]


def test_a_body_that_starts_with_a_nop_of_the_same_kind_is_sled() -> None:
    sites = sites_of(*USUAL, Fn(name="d", before=0, body=C_NOP * 2 + RET))
    assert shapes(sites)[3] == (0, 12, "c.nop")


@pytest.mark.parametrize("at", [8, 10])
def test_a_jump_label_behind_the_sled(at: int) -> None:
    """The c.nop right before a jump label only aligns it: the sled ends before."""
    body = (C_NOP if at == 10 else b"") + C_NOP * 2 + RET
    fn = Fn(name="f", at=AT, before=0, body=body)
    assert shapes(sites_of(fn)) == [(0, 8 + len(body) - 2, "c.nop")]
    assert shapes(sites_of(fn, other_patches=(AT + at,))) == [(0, 8, "c.nop")]


def test_a_jump_label_far_behind_or_before() -> None:
    fn = Fn(name="f", at=AT, before=0)
    assert shapes(sites_of(fn, other_patches=(AT - 4, AT + 0x4000))) == [(0, 8, "c.nop")]
    assert shapes(sites_of(fn, other_patches=(AT - 4,))) == [(0, 8, "c.nop")]


def test_an_unreadable_site() -> None:
    functions = (Fn(name="f", at=AT, before=0),)
    outside = 0xFFFF_FFFF_9000_0000
    sites = sites_of(*functions, table=(AT, outside))
    assert shapes(sites) == [(0, 8, "c.nop"), (0, 0, "unreadable")]
    assert sites.in_text.tolist() == [True, False]
    assert sites.region.tolist() == [0, -1]
    assert sites.offset.tolist() == [0x1100, 0]


def test_zeros_are_no_sites() -> None:
    sites = sites_of(Fn(name="f", at=AT), table=(0, AT - 8, 0))
    assert sites.entry.tolist() == [AT - 8]
    assert len(sites) == 1


def test_the_order_of_the_table_is_kept() -> None:
    sites = sites_of(Fn(name="f", at=AT), Fn(name="g", at=AT + 64), table=(AT + 56, AT - 8))
    assert sites.func.tolist() == [AT + 64, AT]


def test_a_function_without_a_symbol_is_given_the_usual_distance() -> None:
    sites = sites_of(Fn(name="a"), Fn(name="b"), Fn(name="", at=AT), Fn(name="d", at=AT + 0x80))
    assert sites.named.tolist() == [True, True, False, True]
    assert int(sites.func[2]) == AT
    assert shapes(sites)[2] == (8, 8, "c.nop")
    assert sites.symbol[2] == -1


def test_a_weak_function_does_not_take_the_next_ones_symbol() -> None:
    """Of 14 bytes from entry to the next symbol some are no nops."""
    sites = sites_of(
        Fn(name="a", before=0),
        Fn(name="b", before=0),
        Fn(name="", at=AT, before=0, body=RET),
        Fn(name="next", at=AT + 10, before=0),
    )
    assert sites.named.tolist() == [True, True, False, True]
    assert sites.func.tolist()[2:] == [AT, AT + 10]


def test_a_mark_where_the_sled_starts() -> None:
    """kallsyms lists _sinittext like a function; it stands at the entry, the function 8 bytes on."""
    functions = (Fn(name="a"), Fn(name="b"), Fn(name="f", at=AT))
    sites = sites_of(*functions, symbols={"_other_mark": AT - 8})
    assert shapes(sites) == [(8, 8, "c.nop")] * 3
    assert int(sites.func[2]) == AT


def test_marks_of_the_linker_script_in_kallsyms() -> None:
    image = kernel(Fn(name="f", at=AT), code=(), symbols={"_sinittext": AT - 8}).image
    symbols = image.symbols
    kallsyms = SymbolTable(
        source="kallsyms", address=symbols.address, size=symbols.size, kind=symbols.kind, binding=symbols.binding,
        section=symbols.section, name_at=symbols.name_at, names=symbols.names,
    )  # fmt: skip
    sites = find_sites(KernelImage(path="x", kind=image.kind, memory=image.memory, symbols=kallsyms, table=image.table))
    assert sites.func.tolist() == [AT]
    assert kallsyms.name(int(sites.symbol[0])) == "f"


def test_an_entry_behind_a_landing_pad() -> None:
    sites = sites_of(
        *(Fn(name=f"f{n}", at=AT + 64 * n, before=0, head=LPAD, after=12, entry=AT + 64 * n + 4) for n in range(3))
    )
    assert sites.func.tolist() == [AT, AT + 64, AT + 128]
    assert sites.lead.tolist() == [4, 4, 4]
    assert shapes(sites) == [(0, 8, "c.nop")] * 3
    assert sites.named.all()


def test_what_stands_before_the_entry_is_no_landing_pad() -> None:
    auipc = b"\x97\x10\x00\x00"  # rd is ra
    sites = sites_of(Fn(name="a", before=0), Fn(name="f", at=AT, before=0, head=auipc, after=12, entry=AT + 4))
    assert sites.lead.tolist() == [0, 0]
    assert sites.named.tolist() == [True, False]
    assert int(sites.func[1]) == AT + 4


def test_how_the_prefix_is_spelt() -> None:
    sites = sites_of(Fn(name="a"), Fn(name="b", nop=NOP), Fn(name="c", before=0))
    assert [Nops(int(spelling)).text for spelling in sites.before_spelling] == ["c.nop", "nop", "none"]


def test_the_most_frequent_shape_comes_first() -> None:
    sites = sites_of(*USUAL, Fn(name="x", before=0, after=16), Fn(name="y", before=0, nop=NOP))
    assert sites.sled_kinds == [(0, 8, Nops.C_NOP, 3), (0, 8, Nops.NOP, 1), (0, 16, Nops.C_NOP, 1)]
    assert sites.usual == (0, 8)


def test_without_a_table_or_symbols() -> None:
    image = kernel(Fn(name="f", at=AT), code=()).image
    bare = KernelImage(path="x", kind=image.kind, memory=image.memory, symbols=image.symbols, table=None)
    assert len(find_sites(bare)) == 0
    assert find_sites(bare).sled_kinds == []
    assert find_sites(bare).usual == (0, 0)
    nameless = KernelImage(
        path="x", kind=image.kind, memory=image.memory, symbols=SymbolTable.empty(), table=image.table
    )
    sites = find_sites(nameless)
    assert sites.func.tolist() == sites.entry.tolist() == [AT - 8]
    assert sites.symbol.tolist() == [-1]
    assert shapes(sites) == [(0, 16, "c.nop")]


@pytest.mark.parametrize(
    ("at", "alignment"), [(AT, 256), (AT + 2, 2), (AT + 4, 4), (AT + 8, 8), (AT + 16, 16), (AT + 48, 16)]
)
def test_alignment_in_a_kernel(at: int, alignment: int) -> None:
    assert sites_of(Fn(name="f", at=at)).alignment.tolist() == [alignment]


def test_alignment_has_a_limit() -> None:
    at = 0xFFFF_FFFF_8010_0000
    assert sites_of(Fn(name="f", at=at, before=0)).alignment.tolist() == [1 << 16]


def ko(align: int, *offsets: int) -> Sites:
    """Sites at some offsets of .text of a module."""
    body = bytearray(128)
    for at in offsets:
        body[at : at + 8] = C_NOP * 4
    named = [Symbol(name=f"f{at}", value=at) for at in offsets]
    raw = elf(
        Section(name=".first", data=bytes(6), align=2),
        text(bytes(body), align=align),
        Section(name=TABLE, data=bytes(8 * len(offsets)), align=8),
        rela(*((8 * n, 1, R_RISCV_64, at) for n, at in enumerate(offsets)), name="r", info=TABLE),
        symbols=[Symbol(name="", kind=SECTION, binding=LOCAL), *named],
        type=ET_REL,
    )
    return find_sites(read_image(Content(path="m", format=Format.ELF, data=np.frombuffer(raw, np.uint8))))


@pytest.mark.parametrize(
    ("align", "offsets", "alignments"),
    [
        (2, (0, 8, 16), [2, 2, 2]),
        (4, (0, 8, 18), [4, 4, 2]),
        (16, (0, 8, 32, 50), [16, 8, 16, 2]),
        (4096, (0, 64), [4096, 64]),
        (1, (0, 8), [1, 1]),
        (0, (0, 8), [1, 1]),
        (12, (0, 8), [4, 4]),
    ],
)
def test_alignment_in_a_module_is_what_its_section_guarantees(
    align: int, offsets: tuple[int, ...], alignments: list[int]
) -> None:
    sites = ko(align, *offsets)
    assert sites.alignment.tolist() == alignments
    assert sites.offset.tolist() == list(offsets)
    assert sites.named.all()


def test_a_large_table_of_wild_entries_is_no_trouble() -> None:
    image = kernel(Fn(name="f", at=AT), code=()).image
    rng = np.random.default_rng(1)
    wild = rng.integers(1, 1 << 63, 20_000, dtype=np.uint64)
    table = EntryTable(source="t", entries=wild)
    sites = find_sites(
        KernelImage(path="x", kind=ImageKind.EXEC, memory=image.memory, symbols=image.symbols, table=table)
    )
    assert len(sites) == 20_000
    assert (sites.spelling == Nops.UNREADABLE).all()
