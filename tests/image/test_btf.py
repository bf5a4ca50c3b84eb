# SPDX-License-Identifier: GPL-2.0-or-later
"""BTF blobs written word by word, broken ones, and the BTF of real kernels."""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import TypesError
from genpatch.image.btf import Btf, FunctionType, Member, Parameter, StructLayout

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE = range(1, 10)
CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(10, 20)


class Blob:
    """Collects strings and types; `first_char` is where a split BTF's strings start."""

    def __init__(self, first_char: int = 0) -> None:
        self.chars = b"" if first_char else b"\0"
        self.first_char = first_char
        self.types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = self.first_char + len(self.chars)
        self.chars += text.encode() + b"\0"
        return at

    def add(self, name: str | int, kind: int, ref: int = 0, *more: int, vlen: int = 0, flag: int = 0) -> None:
        at = name if isinstance(name, int) else self.name(name)
        info = vlen | kind << 24 | flag << 31
        self.types += struct.pack(f"<{3 + len(more)}I", at, info, ref, *more)

    def pack(self, *, layout: bytes | None = None, junk: bytes = b"") -> bytes:
        head = 24 if layout is None else 32
        size = len(self.types)
        fields = [size + len(layout or b""), len(self.chars)]
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, head + len(junk), 0, size, *fields)
        if layout is not None:
            header += struct.pack("<II", size, len(layout))
        return header + junk + self.types + (layout or b"") + self.chars

    def parse(self, base: Btf | None = None) -> Btf:
        return Btf.parse(self.pack(), base=base)


def small() -> Blob:
    """The types most tests use; a comment gives each one's id."""
    blob = Blob()
    blob.add("long unsigned int", INT, 8, 0x40)  # 1
    blob.add("unsigned char", INT, 1, 0x08)  # 2
    blob.add("u8", TYPEDEF, 2)  # 3
    blob.add(0, ARRAY, 0, 3, 1, 12)  # 4 u8[12]
    blob.add("ops", STRUCT, 48, *member(blob, "func", 6, 0), *member(blob, "flags", 1, 64),
             *member(blob, "", 8, 128), *member(blob, "arg_size", 4, 256), vlen=4)  # 5  # fmt: skip
    blob.add(0, PTR, 7)  # 6
    blob.add(0, FUNC_PROTO, 0, blob.name("ip"), 1, blob.name("op"), 10, vlen=2)  # 7
    blob.add(0, UNION, 16, *member(blob, "args", 12, 0), *member(blob, "", 9, 0), vlen=2)  # 8
    blob.add(0, STRUCT, 16, *member(blob, "a0", 1, 0), *member(blob, "a1", 1, 64), vlen=2)  # 9
    blob.add(0, PTR, 5)  # 10 struct ops *
    blob.add("ops", FWD)  # 11
    blob.add(0, ARRAY, 0, 1, 1, 2)  # 12 unsigned long[2]
    blob.add("bits", STRUCT, 4, *member(blob, "low", 2, 3 << 24 | 0),
             *member(blob, "", 2, 2 << 24 | 3), *member(blob, "high", 2, 5 << 24 | 11),
             *member(blob, "last", 2, 24), vlen=4, flag=1)  # 13  # fmt: skip
    blob.add("kind", ENUM, 4, blob.name("KIND_A"), 0, blob.name("KIND_B"), 0xFFFFFFFF, vlen=2, flag=1)  # 14
    blob.add(0, ENUM64, 8, blob.name("WIDE"), 1, 0x80000000, vlen=1)  # 15
    blob.add("make_call", FUNC, 17, vlen=1)  # 16, global
    blob.add(0, FUNC_PROTO, 1, blob.name("rec"), 10, blob.name("wide"), 12, 0, 0, vlen=3)  # 17
    blob.add("jiffies", VAR, 1, 1)  # 18
    blob.add(".data", DATASEC, 8, 18, 0, 8, vlen=1)  # 19
    blob.add("double", FLOAT, 8)  # 20
    blob.add("bpf_fastcall", DECL_TAG, 16, 0xFFFFFFFF)  # 21
    blob.add("ops_t", TYPEDEF, 6)  # 22
    return blob


def member(blob: Blob, name: str, type_id: int, place: int) -> tuple[int, int, int]:
    return blob.name(name), type_id, place


def plain(name: str, offset: int, size: int, type_name: str) -> Member:
    return Member(name=name, offset=offset, bit_offset=0, bit_size=0, size=size, type_name=type_name)


def test_struct_with_anonymous_members() -> None:
    layout = small().parse().struct("ops")
    assert layout == StructLayout(
        where=".BTF",
        kind="struct",
        name="ops",
        size=48,
        members=(
            plain("func", 0, 8, "void (*)(unsigned long, struct ops *)"),
            plain("flags", 8, 8, "unsigned long"),
            plain("args", 16, 16, "unsigned long[2]"),
            plain("a0", 16, 8, "unsigned long"),
            plain("a1", 24, 8, "unsigned long"),
            plain("arg_size", 32, 12, "u8[12]"),
        ),
    )


def test_layout_lookups() -> None:
    btf = Btf.parse(small().pack(), where="vmlinux")
    layout = btf.struct("ops")
    assert layout is not None
    assert layout.offset("func") == 0
    assert layout.offset("a1") == 24
    assert layout.has("flags")
    assert not layout.has("direct_call")
    with pytest.raises(TypesError) as caught:
        layout.offset("direct_call")
    assert str(caught.value) == "vmlinux: struct ops: expected member 'direct_call', got none of that name"


def test_bitfields() -> None:
    layout = small().parse().struct("bits")
    assert layout is not None
    assert [(m.name, m.offset, m.bit_offset, m.bit_size) for m in layout.members] == [
        ("low", 0, 0, 3),
        ("high", 1, 3, 5),
        ("last", 3, 0, 0),
    ]


def test_bitfields_that_the_integer_tells() -> None:
    blob = Blob()
    blob.add("unsigned int", INT, 4, 4 | 2 << 16)  # 4 bits from bit 2
    blob.add("s", STRUCT, 16, *member(blob, "b", 1, 100), vlen=1)
    layout = blob.parse().struct("s")
    assert layout is not None
    found = layout.member("b")
    assert (found.offset, found.bit_offset, found.bit_size, found.size) == (12, 6, 4, 4)


def test_functions_and_enums() -> None:
    btf = small().parse()
    assert btf.n_types == 22
    assert btf.func_proto("make_call") == FunctionType(
        name="make_call",
        returns="unsigned long",
        parameters=(
            Parameter(name="rec", type_name="struct ops *", size=8),
            Parameter(name="wide", type_name="unsigned long[2]", size=16),
        ),
        variadic=True,
    )
    assert btf.functions("make_call") == [btf.func_proto("make_call")]
    assert btf.enum("kind") == {"KIND_A": 0, "KIND_B": -1}
    assert btf.enumerator("KIND_B") == -1
    assert btf.enumerator("WIDE") == 0x8000_0000_0000_0001
    assert btf.typedef("ops_t") == "void (*)(unsigned long, struct ops *)"


@pytest.mark.parametrize("name", ["", "op", "ps", "opsx", "o\0ps", "KIND_C", "\udcff", "make_call\0", "é" * 300])
def test_absent_names(name: str) -> None:
    btf = small().parse()
    assert btf.struct(name) is None
    assert btf.structs(name) == []
    assert btf.func_proto(name) is None
    assert btf.functions(name) == []
    assert btf.enum(name) is None
    assert btf.enumerator(name) is None
    assert btf.typedef(name) is None


def test_names_that_share_a_tail() -> None:
    blob = Blob()
    at = blob.name("my_ops")
    blob.add(at, STRUCT, 4)
    blob.add(at + 3, STRUCT, 8)
    btf = blob.parse()
    assert [layout.size for layout in btf.structs("ops")] == [8]
    assert [layout.size for layout in btf.structs("my_ops")] == [4]


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([(PTR, "")], "void *"),
        ([(PTR, ""), (CONST, ""), (INT, "char")], "const char *"),
        ([(CONST, ""), (PTR, ""), (INT, "char")], "char *const"),
        ([(PTR, ""), (CONST, ""), (PTR, ""), (INT, "char")], "char *const *"),
        ([(CONST, ""), (VOLATILE, ""), (INT, "int")], "const volatile int"),
        ([(RESTRICT, ""), (PTR, ""), (CONST, "")], "const void *restrict"),
        ([(PTR, ""), (TYPE_TAG, "rcu"), (STRUCT, "task")], "struct task *"),
        ([(ARRAY, "3"), (ARRAY, "4"), (INT, "long int")], "long[3][4]"),
        ([(PTR, ""), (ARRAY, "4"), (CONST, ""), (UNION, "u")], "const union u (*)[4]"),
        ([(ARRAY, "4"), (CONST, ""), (PTR, ""), (FWD, "f")], "struct f *const[4]"),
        (
            [(PTR, ""), (FUNC_PROTO, ""), (PTR, ""), (FUNC_PROTO, ""), (ENUM, "e")],
            "enum e (*(*)(void))(void)",
        ),
        ([(PTR, ""), (STRUCT, "")], "struct {...} *"),
        ([(FLOAT, "double")], "double"),
    ],
)
def test_spelling(chain: list[tuple[int, str]], expected: str) -> None:
    blob = Blob()
    blob.add("x", TYPEDEF, 2)
    for at, (kind, name) in enumerate(chain, 2):
        below = at + 1 if at <= len(chain) else 0
        if kind == ARRAY:
            blob.add(0, ARRAY, 0, below, 0, int(name))
        elif kind == INT:
            blob.add(name, INT, 4, 0x20)
        else:
            blob.add(name, kind, below)
    assert blob.parse().typedef("x") == expected


def test_prototypes_nested_deep_are_cut() -> None:
    blob = Blob()
    blob.add("f", TYPEDEF, 2)
    for at in range(2, 42, 2):  # each takes the next one twice
        blob.add(0, PTR, at + 1)
        blob.add(0, FUNC_PROTO, 0, 0, at + 2, 0, at + 2, vlen=2)
    blob.add("int", INT, 4, 0x20)
    text = blob.parse().typedef("f")
    assert text is not None
    assert text.startswith("void (*)(void (*)(")
    assert "(...)" in text
    assert len(text) < 1100


def test_several_definitions() -> None:
    blob = Blob()
    name = blob.name("s")
    blob.add("int", INT, 4, 0x20)
    blob.add(name, STRUCT, 8)  # incomplete, as in a distilled base
    blob.add(name, STRUCT, 4, *member(blob, "a", 1, 0), vlen=1)
    blob.add(name, STRUCT, 4, *member(blob, "a", 1, 0), vlen=1)
    blob.add(name, UNION, 4, *member(blob, "a", 1, 0), vlen=1)
    btf = blob.parse()
    assert [(each.kind, each.size, len(each.members)) for each in btf.structs("s")] == [
        ("struct", 8, 0),
        ("struct", 4, 1),
        ("union", 4, 1),
    ]
    first = btf.struct("s")
    assert first is not None
    assert first.size == 4


def test_embedded_by_tag_or_typedef() -> None:
    blob = Blob()
    blob.add("int", INT, 4, 0x20)
    blob.add("head", STRUCT, 4, *member(blob, "name", 1, 0), vlen=1)
    blob.add("head_t", TYPEDEF, 2)
    blob.add("s", STRUCT, 8, *member(blob, "x", 1, 0), *member(blob, "", 3, 32), vlen=2)
    layout = blob.parse().struct("s")
    assert layout is not None
    assert layout.offset("name") == 4


def split_of(base: Btf, base_chars: int, n_base: int) -> Btf:
    blob = Blob(base_chars)
    blob.add("mine", STRUCT, 24, *member(blob, "op", 10, 0), *member(blob, "next", n_base + 2, 64),
             *member(blob, "n", 1, 128), vlen=3)  # fmt: skip
    blob.add(0, PTR, n_base + 1)
    blob.add("ops", STRUCT, 8, *member(blob, "func", 6, 0), vlen=1)
    blob.add(1, TYPEDEF, n_base + 2)  # a name out of the base: "long unsigned int"
    blob.add(0, ENUM, 4, blob.name("OWN"), 7, vlen=1)
    return Btf.parse(blob.pack(), base=base, where="mod.ko")


def test_split_btf() -> None:
    kernel = small()
    base = kernel.parse()
    btf = split_of(base, len(kernel.chars), base.n_types)
    mine = btf.struct("mine")
    assert mine is not None
    assert mine.members == (
        plain("op", 0, 8, "struct ops *"),
        plain("next", 8, 8, "struct mine *"),
        plain("n", 16, 8, "unsigned long"),
    )
    assert btf.n_types == 5
    assert [layout.size for layout in btf.structs("ops")] == [8, 48]
    assert btf.enum("kind") == {"KIND_A": 0, "KIND_B": -1}
    assert (btf.enumerator("OWN"), btf.enumerator("WIDE")) == (7, 0x8000_0000_0000_0001)
    assert btf.typedef("long unsigned int") == "struct mine *"
    assert btf.func_proto("make_call") == base.func_proto("make_call")
    assert base.struct("mine") is None


def test_split_btf_without_its_base() -> None:
    kernel = small()
    blob = Blob(len(kernel.chars))
    blob.add("mine", STRUCT, 8, *member(blob, "op", 10, 0), vlen=1)
    btf = blob.parse()
    assert btf.struct("mine") is None


def test_distilled_base() -> None:
    base = Blob()
    base.add("int", INT, 4, 0x20)
    base.add("foo", STRUCT, 8)
    blob = Blob(len(base.chars))
    blob.add(0, PTR, 2)
    blob.add("bar", STRUCT, 24, *member(blob, "foo", 3, 0), *member(blob, "in", 2, 64), vlen=2)
    bar = blob.parse(base.parse()).struct("bar")
    assert bar is not None
    assert [(m.name, m.offset, m.size, m.type_name) for m in bar.members] == [
        ("foo", 0, 8, "struct foo *"),
        ("in", 8, 8, "struct foo"),
    ]


def layouts(**extra: int) -> bytes:
    known = b"".join(struct.pack("<BBH", 0, 0, 0) for _ in range(20))
    return known + struct.pack("<BBH", extra.get("info", 8), extra.get("item", 4), 0)


def with_kind_20() -> Blob:
    blob = Blob()
    blob.add("int", INT, 4, 0x20)
    blob.add("news", 20, 0, *range(5), vlen=3)  # 8 bytes and 3 * 4
    blob.add("s", STRUCT, 4, *member(blob, "a", 1, 0), vlen=1)
    return blob


def test_unknown_kind_by_layout() -> None:
    btf = Btf.parse(with_kind_20().pack(layout=layouts()))
    layout = btf.struct("s")
    assert layout is not None
    assert (btf.n_types, layout.offset("a")) == (3, 0)


@pytest.mark.parametrize("layout", [None, b"", layouts()[:-4], layouts(info=6), layouts(item=3)])
def test_unknown_kind(layout: bytes | None) -> None:
    btf = Btf.parse(with_kind_20().pack(layout=layout))
    with pytest.raises(TypesError, match="type 2: expected a kind known here or to the layout section, got kind 20"):
        btf.struct("s")


def test_split_takes_its_base_layout() -> None:
    base = Btf.parse(Blob().pack(layout=layouts()))
    blob = Blob(1)
    blob.add("news", 20, 0, *range(5), vlen=3)
    assert Btf.parse(blob.pack(), base=base).n_types == 1


def test_members_of_an_unknown_kind() -> None:
    blob = Blob()
    blob.add("news", 127, 0)
    blob.add("s", STRUCT, 4, *member(blob, "a", 1, 0), vlen=1)
    table = layouts() + bytes(4) * 107
    btf = Btf.parse(blob.pack(layout=table))
    with pytest.raises(TypesError, match="type 1: expected a type, got kind 127"):
        btf.struct("s")


def test_long_header() -> None:
    btf = Btf.parse(small().pack(junk=b"\xff" * 5))
    assert btf.struct("ops") is not None
    btf = Btf.parse(small().pack(layout=layouts(), junk=b"\xff" * 20))
    assert btf.struct("ops") is not None


def test_vlen_of_24_bits() -> None:
    blob = Blob()
    n = 0x10002
    blob.add("many", ENUM, 4, *(0, 1) * (n - 1), blob.name("LAST"), 9, vlen=n)
    blob.add("after", STRUCT, 16)
    btf = blob.parse()
    after = btf.struct("after")
    assert after is not None
    assert (btf.n_types, after.size, btf.enumerator("LAST")) == (2, 16, 9)


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_inputs_of_every_sort(shift: int) -> None:
    raw = small().pack()
    padded = np.frombuffer(b"\0" * shift + raw, np.uint8)[shift:]
    spread = np.repeat(padded, 2)[::2]
    for data in (raw, memoryview(raw), bytearray(raw), padded, spread):
        layout = Btf.parse(data).struct("ops")  # type: ignore[arg-type]
        assert layout is not None
        assert layout.size == 48


def put(blob: bytes, at: int, form: str, value: int) -> bytes:
    return blob[:at] + struct.pack(form, value) + blob[at + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("at", "form", "value", "message"),
    [
        (0, ">H", 0xEB9F, r"header: expected magic 0xeb9f version 1, got magic 0x9feb version 1"),
        (2, "B", 2, r"got magic 0xeb9f version 2"),
        (4, "<I", 23, r"header: expected a header inside the data, got 23 bytes"),
        (4, "<I", 0xFFFFFFFF, r"header: expected a header inside the data"),
        (8, "<I", 0xFFFFFFFC, r"type section: expected an end within \d+ bytes"),
        (8, "<I", 2, r"type section: expected whole words"),
        (12, "<I", 0xFFFFFFFC, r"type section: expected an end"),
        (12, "<I", 15, r"type section: expected whole words"),
        (16, "<I", 0xFFFFFFFF, r"string section: expected an end"),
        (20, "<I", 0xFFFFFFFF, r"string section: expected an end"),
        (20, "<I", 0, r"string section: expected a NUL at its end, got none"),
        (20, "<I", 3, r"string section: expected a NUL at its end, got none"),
    ],
)
def test_broken_header(at: int, form: str, value: int, message: str) -> None:
    with pytest.raises(TypesError, match=message):
        Btf.parse(put(small().pack(), at, form, value))


@pytest.mark.parametrize("size", [0, 1, 4, 23])
def test_short_data(size: int) -> None:
    with pytest.raises(TypesError, match=f"x: header: expected 24 bytes, got {size}"):
        Btf.parse(small().pack()[:size], where="x")


def test_layout_section_outside() -> None:
    raw = small().pack(layout=layouts())
    with pytest.raises(TypesError, match="layout section: expected an end"):
        Btf.parse(put(raw, 28, "<I", 0x10000))
    with pytest.raises(TypesError, match="layout section: expected whole words"):
        Btf.parse(put(raw, 28, "<I", 5))


def test_layout_section_empty() -> None:
    raw = put(small().pack(layout=b""), 24, "<I", 0xFFFFFFFF)
    assert Btf.parse(raw).struct("ops") is not None


@pytest.mark.parametrize("n_words", [1, 2])
def test_record_cut_short(n_words: int) -> None:
    blob = Blob()
    blob.add("int", INT, 4, 0x20)
    blob.types += bytes(4 * n_words)
    with pytest.raises(TypesError, match=f"type 2: expected a whole record, got {4 * n_words} bytes"):
        blob.parse().struct("int")


def test_void_as_a_record() -> None:
    blob = Blob()
    blob.add(0, 0, 0)
    with pytest.raises(TypesError, match="type 1: expected a kind known here or to the layout section, got kind 0"):
        blob.parse().struct("x")


def test_huge_vlen() -> None:
    blob = Blob()
    blob.add("s", STRUCT, 4, 0, 0, 0, vlen=0xFFFFFF)
    with pytest.raises(TypesError, match="type 1: expected a record inside the type section"):
        blob.parse().struct("s")


def test_empty_sections() -> None:
    btf = Blob().parse()
    assert (btf.n_types, btf.struct("s"), btf.enumerator("X")) == (0, None, None)


def struct_of(*members: tuple[str, int, int], size: int = 8, then: Blob | None = None) -> Btf:
    """struct s is type 1, what `then` holds follows."""
    blob = then or Blob()
    rest, blob.types = blob.types, b""
    flat = [word for each in members for word in member(blob, *each)]
    blob.add("s", STRUCT, size, *flat, vlen=len(members))
    blob.types += rest
    return blob.parse()


def cyclic(*kinds: int) -> Blob:
    blob = Blob()
    for kind in kinds:
        blob.add("", kind, 2, *((2, 0, 0xFFFFFFFF) if kind == ARRAY else ()))
    return blob


@pytest.mark.parametrize(
    ("btf", "message"),
    [
        (struct_of(("a", 9, 0)), "type 9: expected an id below 2, got 9"),
        (struct_of(("a", 0xFFFFFFFF, 0)), "type 4294967295: expected an id below 2"),
        (struct_of(("a", 2, 0), then=cyclic(TYPEDEF)), "type 2: expected its end within 32 types"),
        (struct_of(("a", 2, 0), then=cyclic(CONST)), "type 2: expected its end within 32 types"),
        (struct_of(("a", 2, 0), then=cyclic(PTR)), "type 2: expected its end within 32 types"),
        (struct_of(("a", 2, 0), then=cyclic(ARRAY)), "type 2: expected its end within 32 types"),
        (struct_of(("a", 2, 0), then=cyclic(FUNC_PROTO)), "type 2: expected its end within 32 types"),
        (struct_of(("a", 2, 0), then=cyclic(FUNC)), "type 2: expected a type, got kind 12"),
        (struct_of(("", 1, 0)), "struct s: expected at most 8192 members, got more"),
        (struct_of(("", 1, 0), ("", 1, 0)), "struct s: expected at most 8192 members, got more"),
        (struct_of(("a", 1, 8)), "struct s, member 'a': expected whole bytes or bitfields within 64 bits"),
        (struct_of(("a", 1, 0xFFFFFFFF)), "member 'a': expected whole bytes"),
        (struct_of(("a", 0, 3)), "member 'a': expected whole bytes"),
    ],
)
def test_broken_structs(btf: Btf, message: str) -> None:
    with pytest.raises(TypesError, match=message):
        btf.struct("s")


def test_struct_of_empty_structs_many_times_over() -> None:
    blob = Blob()
    for at in range(1, 40):  # 2**39 members, none of them named
        blob.add("s" if at == 1 else "", STRUCT, 8, *(0, at + 1, 0) * 2, vlen=2)
    blob.add("", STRUCT, 0)
    with pytest.raises(TypesError, match="at most 8192 members"):
        blob.parse().struct("s")


def test_too_many_namesakes() -> None:
    blob = Blob()
    name = blob.name("s")
    for size in range(17):
        blob.add(name, STRUCT, size)
    assert blob.parse().struct("s") is not None
    with pytest.raises(TypesError, match="s: expected at most 16 types of one name, got 17"):
        blob.parse().structs("s")


def test_broken_names() -> None:
    blob = Blob()
    blob.chars += b"x" * 600 + b"\0"
    blob.add(1, ENUM, 4, 1, 5, vlen=1)
    blob.add("e", ENUM, 4, 0xFFFFFF, 5, vlen=1)
    btf = blob.parse()
    with pytest.raises(TypesError, match="string 0xffffff: expected a name of less than 512 bytes"):
        btf.enum("e")
    with pytest.raises(TypesError, match="string 0x1: expected a name of less than 512 bytes"):
        btf.enum("x" * 600)


def test_function_without_prototype() -> None:
    blob = Blob()
    blob.add("f", FUNC, 1)
    blob.add("g", FUNC, 3)
    blob.add(0, FUNC_PROTO, 0, *(0, 1) * 300, vlen=300)
    with pytest.raises(TypesError, match="function f: expected a prototype of at most 256 parameters, got kind 12"):
        blob.parse().func_proto("f")
    with pytest.raises(TypesError, match="function g: expected a prototype of at most 256 parameters, got kind 13"):
        blob.parse().functions("g")


def ask_all(btf: Btf) -> None:
    """Ask for everything; each question may end in TypesError, and in nothing else."""
    questions = (
        btf.struct,
        btf.structs,
        btf.func_proto,
        btf.functions,
        btf.enum,
        btf.enumerator,
        btf.typedef,
    )
    for name in ("ops", "bits", "kind", "KIND_A", "WIDE", "make_call", "ops_t", "u8", "mine"):
        for question in questions:
            with suppress(TypesError):
                question(name)


edits = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.one_of(
            st.sampled_from([0, 1, 2, 3, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]),
            st.integers(0, 30),
            st.integers(0, 0xFFFFFFFF),
            st.builds(lambda kind, vlen: kind << 24 | vlen, st.integers(0, 255), st.integers(0, 9)),
        ),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=1000)
@given(edits=edits, cut=st.integers(0, 40), is_split=st.booleans(), has_layout=st.booleans())
def test_mutated_blobs(edits: list[tuple[int, int]], cut: int, is_split: bool, has_layout: bool) -> None:
    raw = bytearray(small().pack(layout=layouts() if has_layout else None))
    for place, value in edits:
        at = 4 * place % (len(raw) - 4)
        raw[at : at + 4] = struct.pack("<I", value)
    if cut > 20:
        raw = raw[: -(cut - 20)]
    try:
        btf = Btf.parse(bytes(raw))
        if is_split:
            btf = split_of(btf, len(small().chars), 22)
    except TypesError:
        return
    ask_all(btf)


@settings(max_examples=200, deadline=1000)
@given(body=st.binary(max_size=400), types=st.integers(0, 100))
def test_random_sections(body: bytes, types: int) -> None:
    size = min(4 * types, len(body) // 4 * 4)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, size, size, len(body) - size + 1)
    ask_all(Btf.parse(header + body + b"\0"))


# Real kernels.

ROOT = Path(os.environ.get("GENPATCH_KERNELS", ""))
kernels = [
    pytest.mark.kernels,
    pytest.mark.skipif("GENPATCH_KERNELS" not in os.environ, reason="GENPATCH_KERNELS names no directory of kernels"),
]
REGS = {"epc": 0, "ra": 8, "sp": 16, "s0": 24, "t1": 32}
EXPECTED = {
    "6.12": {
        "__arch_ftrace_regs": (104, {**REGS, "args": 40, "a0": 40, "a7": 96}),
        "btf_func_model": (27, {"ret_size": 0, "ret_flags": 1, "nr_args": 2, "arg_size": 3, "arg_flags": 15}),
    },
    "7.2": {
        "__arch_ftrace_regs": (112, {**REGS, "direct_tramp": 40, "args": 48, "a0": 48, "a7": 104}),
        "ftrace_ops": (200, {"func": 0, "flags": 16, "trampoline": 128, "ops_func": 176, "direct_call": 192}),
        "btf_func_model": (27, {"ret_size": 0, "ret_flags": 1, "nr_args": 2, "arg_size": 3, "arg_flags": 15}),
    },
}


def btf_section(stream: IO[bytes]) -> bytes | None:
    section = ELFFile(stream).get_section_by_name(".BTF")
    return None if section is None else section.data()


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def kernel(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    path = ROOT / request.param / "vmlinux"
    if not path.exists():
        pytest.skip(f"no {path}")
    with path.open("rb") as stream:
        raw = btf_section(stream)
    assert raw is not None
    return request.param, raw


class TestKernels:
    pytestmark = kernels

    def test_layouts(self, kernel: tuple[str, bytes]) -> None:
        version, raw = kernel
        btf = Btf.parse(raw)
        for name, (size, offsets) in EXPECTED[version].items():
            layout = btf.struct(name)
            assert layout is not None
            assert layout.size == size
            assert {key: layout.offset(key) for key in offsets} == offsets
            assert btf.structs(name) == [layout]
        regs = btf.struct("__arch_ftrace_regs")
        assert regs is not None
        assert regs.has("direct_tramp") == (version == "7.2")

    def test_types(self, kernel: tuple[str, bytes]) -> None:
        version, raw = kernel
        btf = Btf.parse(raw)
        assert btf.n_types == {"6.12": 100503, "7.2": 111942}[version]
        assert btf.enumerator("BPF_TRAMP_MODIFY_RETURN") == 2
        arguments = "(unsigned long, unsigned long, struct ftrace_ops *, struct ftrace_regs *)"
        assert btf.typedef("ftrace_func_t") == f"void (*){arguments}"
        proto = btf.func_proto("ftrace_make_call")
        assert proto is not None
        assert [(each.name, each.type_name) for each in proto.parameters] == [
            ("rec", "struct dyn_ftrace *"),
            ("addr", "unsigned long"),
        ]

    def test_speed(self, kernel: tuple[str, bytes]) -> None:
        names = ["__arch_ftrace_regs", "ftrace_ops", "btf_func_model", "pt_regs", "task_struct", "module"]
        names += ["dyn_ftrace", "thread_info", "bpf_tramp_image", "bpf_prog"]
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            btf = Btf.parse(kernel[1])
            assert all(btf.struct(name) is not None for name in names)
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 0.06

    @pytest.mark.skipif(shutil.which("pahole") is None, reason="no pahole")
    def test_as_pahole_says(self, kernel: tuple[str, bytes], tmp_path: Path) -> None:
        path = tmp_path / "btf"
        path.write_bytes(kernel[1])
        btf = Btf.parse(kernel[1])
        for name in (
            "ftrace_ops",
            "thread_info",
            "dyn_ftrace",
            "btf_func_model",
            "__arch_ftrace_regs",
            "kprobe",
        ):
            command = ["pahole", "-F", "btf", "-C", name, str(path)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            said = re.findall(r"(\w+)(?:\[\d*\])*;\s*/\*\s+(\d+)\s+(\d+) \*/", out)
            layout = btf.struct(name)
            assert layout is not None
            assert f"/* size: {layout.size}," in out
            mine = [(member.name, str(member.offset), str(member.size)) for member in layout.members]
            assert mine == said

    def test_modules(self, kernel: tuple[str, bytes]) -> None:
        version, raw = kernel
        base = Btf.parse(raw)
        seen = 0
        for path in sorted((ROOT / version / "modules").glob("*.ko.xz"))[::300]:
            section = btf_section(io.BytesIO(lzma.decompress(path.read_bytes())))
            if section is None:
                continue
            btf = Btf.parse(section, base=base, where=path.name)
            known = base.struct("btf_func_model")
            assert known is not None
            assert btf.struct("btf_func_model") == replace(known, where=path.name)
            proto = btf.func_proto("init_module") or btf.func_proto("cleanup_module")
            assert proto is None or proto.parameters == ()
            seen += btf.n_types > 0
        assert seen > 3
