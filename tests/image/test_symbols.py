# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking symbols up by name and address."""

from __future__ import annotations

import io

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.image.elf import ElfFile
from genpatch.image.symbols import SymbolTable
from tests.elfwriter import (
    ABS,
    FUNC,
    GLOBAL,
    LOCAL,
    NOTYPE,
    OBJECT,
    UNDEF,
    WEAK,
    Section,
    Symbol,
    elf,
    symbol_record,
    text,
)

AT = 0x8000_0000


def table(*symbols: Symbol, share_tails: bool = True) -> SymbolTable:
    raw = elf(text(bytes(4), AT), symbols=symbols, share_tails=share_tails)
    return ElfFile.parse(np.frombuffer(raw, np.uint8), "t").symbols()


def functions(*names: str) -> SymbolTable:
    """One global function a name, 16 bytes apart; the first at AT."""
    return table(*(Symbol(name=name, value=AT + 16 * number) for number, name in enumerate(names)))


def raw_table(strings: bytes, *starts: int) -> SymbolTable:
    """Functions whose names start at some places of a string table."""
    body = bytes(24)
    for number, start in enumerate(starts):
        body += symbol_record(start, Symbol(name="", value=AT + 16 * number), 1)
    sections = (
        text(bytes(4), AT),
        Section(name=".symtab", data=body, type=2, flags=0, link=".strtab", align=8),
        Section(name=".strtab", data=strings, type=3, flags=0),
    )
    return ElfFile.parse(np.frombuffer(elf(*sections), np.uint8), "t").symbols()


def test_names_that_share_tails() -> None:
    symbols = raw_table(b"\0foobar\0", 1, 4, 6)
    assert symbols.named([1, 2, 3]) == ["foobar", "bar", "r"]
    assert symbols.find("foobar") == AT
    assert symbols.find("bar") == AT + 16
    assert symbols.find("r") == AT + 32
    for name in ("foo", "ba", "oobar", "ar", "foobar2", "foobarbar", "obar"):
        assert symbols.find(name) is None
        assert symbols.indices(name).tolist() == []


def test_long_names_that_share_tails() -> None:
    symbols = functions("__riscv_ftrace_make_call", "ftrace_make_call", "make_call", "call")
    assert [symbols.find(name) for name in ("__riscv_ftrace_make_call", "ftrace_make_call", "make_call", "call")] == [
        AT, AT + 16, AT + 32, AT + 48,
    ]  # fmt: skip
    assert symbols.find("_make_call") is None
    assert symbols.find("riscv_ftrace_make_call") is None


def test_names_about_as_long_as_a_key() -> None:
    names = ("abcdefg", "abcdefgh", "abcdefghi", "abcdefghj", "abcdefghij")
    symbols = functions(*names)
    assert [symbols.find(name) for name in names] == [AT, AT + 16, AT + 32, AT + 48, AT + 64]
    assert symbols.find("abcdef") is None
    assert symbols.find("abcdefghk") is None
    assert symbols.find("abcdefghijk") is None


@pytest.mark.parametrize("last", ["z", "zz", "sevens7", "eight888", "nine99999"])
def test_the_last_name_of_the_table(last: str) -> None:
    symbols = raw_table(b"\0f\0" + last.encode() + b"\0", 1, 3)
    assert symbols.find(last) == AT + 16
    assert symbols.find("f") == AT
    assert symbols.name(2) == last
    assert symbols.with_prefix(last[0]).tolist() == [2]


def test_a_string_table_of_a_few_bytes() -> None:
    symbols = raw_table(b"\0ab\0", 1, 2)
    assert (symbols.find("ab"), symbols.find("b"), symbols.find("a")) == (AT, AT + 16, None)


@pytest.mark.parametrize("start", [5, 6, 100, 0xFFFF_FFFF])
def test_a_name_outside_the_table(start: int) -> None:
    symbols = raw_table(b"\0ab\0\0", 1, start)
    assert symbols.find("ab") == AT
    assert symbols.name(2) == ""
    assert symbols.with_prefix("a").tolist() == [1]


def test_a_table_that_does_not_end() -> None:
    symbols = raw_table(b"\0abc\0xyz", 1, 5)
    assert symbols.find("abc") == AT
    assert symbols.name(2) == "xyz"


def test_without_any_name() -> None:
    symbols = raw_table(b"", 0, 0)
    assert symbols.find("f") is None
    assert symbols.named([0, 1, -1]) == ["", "", ""]


def test_global_wins_over_local() -> None:
    symbols = table(
        Symbol(name="init", value=AT, binding=LOCAL),
        Symbol(name="init", value=AT + 16, binding=LOCAL),
        Symbol(name="init", value=AT + 32),
        Symbol(name="probe", value=AT + 48, binding=LOCAL),
        Symbol(name="weak", value=AT + 64, binding=WEAK),
    )
    assert symbols.find("init") == AT + 32
    assert symbols.find_index("init") == 3
    assert symbols.indices("init").tolist() == [3, 1, 2]
    assert symbols.find("probe") == AT + 48
    assert symbols.find("weak") == AT + 64


def test_undefined_symbols_are_not_found() -> None:
    symbols = table(
        Symbol(name="printk", section=UNDEF),
        Symbol(name="mine", value=AT, section=UNDEF, binding=LOCAL),
        Symbol(name="sized", value=7, section=ABS, kind=OBJECT),
    )
    assert symbols.find("printk") is None
    assert symbols.find("mine") is None
    assert symbols.find("sized") == 7
    assert symbols.functions.tolist() == []
    assert symbols.with_prefix("p").tolist() == []


def test_local_labels_are_not_looked_up() -> None:
    symbols = table(
        Symbol(name=".L0", value=AT, kind=NOTYPE, binding=LOCAL),
        Symbol(name="ftrace_call", value=AT + 4, kind=NOTYPE),
        Symbol(name="table", value=AT + 8, kind=OBJECT, binding=LOCAL),
    )
    assert symbols.find(".L0") is None
    assert symbols.find("ftrace_call") == AT + 4
    assert symbols.find("table") == AT + 8


def test_with_prefix() -> None:
    symbols = functions("patch_text", "patch_text_nosync", "patch", "dispatch_text", "patch_text.isra.0")
    symbols_of = {name: sorted(symbols.named(symbols.with_prefix(name))) for name in ("patch_text", "patch_", "patch")}
    assert symbols_of == {
        "patch_text": ["patch_text", "patch_text.isra.0", "patch_text_nosync"],
        "patch_": ["patch_text", "patch_text.isra.0", "patch_text_nosync"],
        "patch": ["patch", "patch_text", "patch_text.isra.0", "patch_text_nosync"],
    }
    assert symbols.with_prefix("patch_text.").tolist() == [5]
    assert symbols.with_prefix("patch_te").tolist() == [1, 2, 5]
    assert symbols.with_prefix("patch_tf").tolist() == []


def test_names_that_are_no_ascii() -> None:
    symbols = functions("nαme", "函数_with_a_long_name", "x\udcff")
    assert symbols.find("nαme") == AT
    assert symbols.find("函数_with_a_long_name") == AT + 16
    assert symbols.name(3) == "x�"


def nearby() -> SymbolTable:
    return table(
        Symbol(name="b", value=AT + 0x20, size=8),
        Symbol(name="a", value=AT),
        Symbol(name="data", value=AT + 0x28, kind=OBJECT),
        Symbol(name="label", value=AT + 0x30, kind=NOTYPE),
        Symbol(name=".L1", value=AT + 0x34, kind=NOTYPE, binding=LOCAL),
        Symbol(name="gone", value=AT + 0x38, section=UNDEF),
        Symbol(name="c", value=AT + 0x40),
        Symbol(name="c_alias", value=AT + 0x40, binding=LOCAL),
    )


def test_functions_by_address() -> None:
    symbols = nearby()
    assert symbols.named(symbols.functions) == ["a", "b", "c", "c_alias"]
    assert symbols.function_starts.tolist() == [AT, AT + 0x20, AT + 0x40, AT + 0x40]


def test_at_or_after_and_before() -> None:
    symbols = nearby()
    addresses = np.array([0, AT, AT + 1, AT + 0x20, AT + 0x21, AT + 0x40, AT + 0x41, (1 << 64) - 1], np.uint64)
    assert symbols.named(symbols.at_or_after(addresses)) == ["a", "a", "b", "b", "c", "c", "", ""]
    assert symbols.named(symbols.at_or_before(addresses)) == ["", "a", "a", "b", "b", "c_alias", "c_alias", "c_alias"]
    assert SymbolTable.empty().at_or_after(addresses).tolist() == [-1] * 8
    assert SymbolTable.empty().at_or_before(addresses).tolist() == [-1] * 8


def test_nearest() -> None:
    symbols = nearby()
    assert symbols.nearest(AT + 0x20) == "b"
    assert symbols.nearest(AT + 0x3F) == "b+0x1f"
    assert symbols.nearest(AT - 1) == "0x7fffffff"
    assert SymbolTable.empty().nearest(0x10) == "0x10"


def test_code_between() -> None:
    symbols = nearby()
    assert symbols.named(symbols.code_between(AT + 1, AT + 0x40)) == ["b", "label", "c", "c_alias"]
    assert symbols.named(symbols.code_between(AT + 0x40, AT + 0x40)) == ["c", "c_alias"]
    assert symbols.code_between(AT + 0x41, (1 << 64) + 5).tolist() == []


def test_marks_of_the_linker_script_are_no_functions_in_kallsyms() -> None:
    base = functions("_stext", "real", "_sinittext")
    assert base.named(base.functions) == ["_stext", "real", "_sinittext"]
    symbols = SymbolTable(
        source="kallsyms", address=base.address, size=base.size, kind=base.kind, binding=base.binding,
        section=base.section, name_at=base.name_at, names=base.names,
    )  # fmt: skip
    assert symbols.named(symbols.functions) == ["real"]


def test_the_empty_table() -> None:
    empty = SymbolTable.empty()
    assert len(empty) == 0
    assert empty.find("x") is None
    assert empty.indices("x").tolist() == []
    assert empty.with_prefix("x").tolist() == []
    assert empty.code_between(0, 1 << 64).tolist() == []


def test_against_pyelftools() -> None:
    names = [f"{stem}{number}" for stem in ("f", "ftrace_", "a_rather_long_name_") for number in range(40)]
    listed = [
        Symbol(
            name=name,
            value=AT + 8 * number,
            size=number,
            kind=(FUNC, OBJECT, NOTYPE)[number % 3],
            binding=(GLOBAL, WEAK, LOCAL)[number % 5 % 3],
        )
        for number, name in enumerate([*names, "bar", "foobar", "ar"])
    ]
    raw = elf(text(bytes(4), AT), symbols=listed, share_tails=True)
    mine = ElfFile.parse(np.frombuffer(raw, np.uint8), "t").symbols()
    theirs = list(ELFFile(io.BytesIO(raw)).get_section_by_name(".symtab").iter_symbols())
    assert len(mine) == len(theirs) == 124
    kinds = {"STT_NOTYPE": 0, "STT_OBJECT": 1, "STT_FUNC": 2}
    bindings = {"STB_LOCAL": 0, "STB_GLOBAL": 1, "STB_WEAK": 2}
    for index, symbol in enumerate(theirs):
        assert mine.name(index) == symbol.name
        assert int(mine.address[index]) == symbol["st_value"]
        assert int(mine.size[index]) == symbol["st_size"]
        assert int(mine.kind[index]) == kinds[symbol["st_info"]["type"]]
        assert int(mine.binding[index]) == bindings[symbol["st_info"]["bind"]]
        is_label = symbol["st_info"]["type"] == "STT_NOTYPE" and symbol["st_info"]["bind"] == "STB_LOCAL"
        if index and not is_label:
            assert mine.find(symbol.name) == symbol["st_value"]


NAMES = st.text("ab_", min_size=1, max_size=12)


@given(listed=st.lists(NAMES, min_size=1, max_size=30, unique=True), asked=st.lists(NAMES, max_size=30))
@settings(deadline=None)
def test_look_ups_are_those_of_a_dictionary(listed: list[str], asked: list[str]) -> None:
    symbols = functions(*listed)
    places = {name: AT + 16 * number for number, name in enumerate(listed)}
    for name in [*listed, *asked]:
        assert symbols.find(name) == places.get(name)
        assert symbols.indices(name).tolist() == ([listed.index(name) + 1] if name in places else [])
        expected = {other for other in listed if other.startswith(name)}
        assert set(symbols.named(symbols.with_prefix(name))) == expected
