# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import os
import re
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError
from genpatch.image.symbols import FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, SHN_ABS, SHN_UNKNOWN, WEAK
from genpatch.image.system_map import read_system_map

MAP = b"""\
000000000081b000 A __pecoff_data_virt_size
ffffffff80000000 T _start
ffffffff80002000 t do_one_initcall
FFFFFFFF80002ABC W arch_weak
ffffffff80003000 d init_task
ffffffff80003008 V weak_object
ffffffff80003010 ? odd
ffffffff82000000 B _end
"""

STUB = b"ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n"

LINE = "expected 16 hex digits, a space, a type letter, a space and a name, got "


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_system_map(data, "System.map-7.2")
    return str(caught.value).removeprefix("System.map-7.2: ")


def test_literal() -> None:
    table = read_system_map(MAP, "x")
    assert table.source == "System.map"
    assert table.address.tolist() == [
        *(0x81B000, 0xFFFFFFFF80000000, 0xFFFFFFFF80002000, 0xFFFFFFFF80002ABC),
        *(0xFFFFFFFF80003000, 0xFFFFFFFF80003008, 0xFFFFFFFF80003010, 0xFFFFFFFF82000000),
    ]
    assert table.named(range(8)) == [
        *("__pecoff_data_virt_size", "_start", "do_one_initcall", "arch_weak"),
        *("init_task", "weak_object", "odd", "_end"),
    ]
    assert table.kind.tolist() == [NOTYPE, FUNC, FUNC, FUNC, OBJECT, OBJECT, NOTYPE, OBJECT]
    assert table.binding.tolist() == [GLOBAL, GLOBAL, LOCAL, WEAK, LOCAL, WEAK, LOCAL, GLOBAL]
    assert table.section.tolist() == [SHN_ABS] + [SHN_UNKNOWN] * 7
    assert table.find("arch_weak") == 0xFFFFFFFF80002ABC
    assert table.find("_star") is None


def test_gzip_and_a_missing_last_newline() -> None:
    want = read_system_map(MAP, "x").address.tolist()
    assert read_system_map(gzip.compress(MAP), "x").address.tolist() == want
    table = read_system_map(MAP[:-1], "x")
    assert table.address.tolist() == want
    assert table.name(7) == "_end"


def test_a_name_may_end_with_a_space() -> None:
    table = read_system_map(b"ffffffff80407790 t __efistub_.L0 \nffffffff80407792 t x\n", "x")
    assert table.named(range(2)) == ["__efistub_.L0 ", "x"]


def test_modules_are_left_out() -> None:
    text = b"ffffffff01000000 t helper\t[virtio_net]\n" + MAP + b"ffffffff01000010 t bpf_prog_6dee\t[bpf]\n"
    table = read_system_map(text, "x")
    assert len(table) == 8
    assert table.name(0) == "__pecoff_data_virt_size"
    assert table.name(7) == "_end"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            STUB,
            "line 1: expected a symbol's address, got a stub that says 'The real System.map is in the linux-",
        ),
        (b"", "expected 1 to 67108864 bytes of symbols, got 0 bytes"),
        (b"\n", f"line 1: {LINE}''"),
        (b"hello\n", f"line 1: {LINE}'hello'"),
        (MAP + b"\n", f"line 9: {LINE}''"),
        (MAP + b"ffffffff82000000 B \n", f"line 9: {LINE}'ffffffff82000000 B '"),
        (MAP + b"ffffffff8200000g B x\n", f"line 9: {LINE}'ffffffff8200000g B x'"),
        (MAP + b"ffffffff82000000 Z x\n", f"line 9: {LINE}'ffffffff82000000 Z x'"),
        (MAP + b"ffffffff82000000B x y\n", f"line 9: {LINE}'ffffffff82000000B x y'"),
        (MAP + b"ffffffff82000000 T x y\n", f"line 9: {LINE}'ffffffff82000000 T x y'"),
        (MAP + b"ffffffff82000000 T x\r\n", f"line 9: {LINE}'ffffffff82000000 T x\\r'"),
        (MAP + b"ffffffff82000000 T x\ty\n", f"line 9: {LINE}'ffffffff82000000 T x\\ty'"),
        (MAP + b"ffffffff82000000 T \t[m]\n", f"line 9: {LINE}'ffffffff82000000 T \\t[m]'"),
        (MAP + b"ffffffff82000000 T x\0\n", f"line 9: {LINE}'ffffffff82000000 T x\\x00'"),
        (b"c0008000 T _text32\nc0008000 T _stext\n", f"line 1: {LINE}'c0008000 T _text32'"),
        (b"\x7fELF" + bytes(400), f"line 1: {LINE}"),
        (
            b"0000000000000000 T _start\n0000000000000000 t x\n",
            "expected addresses, got zeros in every line (kptr_restrict hides them; read /proc/kallsyms",
        ),
        (gzip.compress(MAP)[:-9], "expected a gzip stream of at most 67108864 bytes, got its end missing"),
        (b"\x1f\x8b" + MAP, "expected a gzip stream, got Error -3"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    assert refusal(data).startswith(message)


def test_refused_before_it_costs_memory() -> None:
    assert refusal(MAP + b"\n" * 5_000_000).startswith("line 9: ")
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(80)) + bomb.flush()
    assert refusal(packed).endswith("at most 67108864 bytes, got more")


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(MAP) - 1), st.binary(max_size=3)), max_size=6),
    size=st.integers(0, len(MAP)),
    pack=st.booleans(),
)
def test_mutated(edits: list[tuple[int, bytes]], size: int, pack: bool) -> None:
    data = bytearray(gzip.compress(MAP) if pack else MAP)
    for at, value in edits:
        data[at : at + len(value)] = value
    try:
        table = read_system_map(bytes(data[:size]), "x")
    except ImageError as error:
        assert str(error).startswith("x: ")  # noqa: PT017
        return
    assert all(table.named(range(len(table))))


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(
        st.tuples(
            st.integers(1, 2**64 - 2),
            st.sampled_from("tTwWdDbBrRvVaAnN?"),
            st.from_regex(re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]{0,20}", re.ASCII), fullmatch=True),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_read_back(lines: list[tuple[int, str, str]]) -> None:
    text = "".join(f"{address:016x} {letter} {name}\n" for address, letter, name in lines)
    table = read_system_map(text.encode(), "x")
    assert [(int(table.address[i]), table.name(i)) for i in range(len(table))] == [
        (address, name) for address, _, name in lines
    ]


def test_large_maps_are_read_quickly() -> None:
    text = b"".join(b"%016x t function_number_%d\n" % (0xFFFFFFFF80000000 + 8 * i, i) for i in range(200_000))
    start = time.perf_counter()
    table = read_system_map(text, "x")
    assert time.perf_counter() - start < 1
    assert table.name(199_999) == "function_number_199999"


def real_maps() -> list[Path]:
    root = os.environ.get("GENPATCH_KERNELS")
    return sorted(Path(root).glob("*/System.map")) if root else []


@pytest.mark.kernels
@pytest.mark.skipif(not real_maps(), reason="GENPATCH_KERNELS names no directory with */System.map")
@pytest.mark.parametrize("path", real_maps(), ids=lambda path: path.parent.name)
def test_real_maps(path: Path) -> None:
    data = path.read_bytes()
    table = read_system_map(data, str(path))
    lines = [line.split(" ", 2) for line in data.decode().splitlines()]
    assert table.address.tolist() == [int(line[0], 16) for line in lines]
    assert table.named(range(len(table))) == [line[2] for line in lines]
