# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments as they are typed."""

from __future__ import annotations

import random

import pytest

from genpatch.errors import GenpatchError, UsageError
from genpatch.run.arguments import changed, read_argument, read_number
from genpatch.run.kernel import SCRATCH, KernelBench
from tests.elfwriter import ABS, OBJECT, Symbol

from .toy import DATA, TEXT, at, image_of, toy_bytes

TOP = Symbol(name="top", value=0xFFFF_FFFF_FFFF_FFF0, section=ABS, kind=OBJECT)


@pytest.fixture
def bench() -> KernelBench:
    return KernelBench(image_of(toy_bytes(symbols=(TOP,))))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("12", 12),
        ("0x10", 16),
        ("0b101", 5),
        ("0o17", 15),
        ("+7", 7),
        ("1_000", 1000),
        ("-1", 0xFFFF_FFFF_FFFF_FFFF),
        ("-0x8000000000000000", 0x8000_0000_0000_0000),
        ("18446744073709551615", 0xFFFF_FFFF_FFFF_FFFF),
        ("start_kernel", TEXT),
        ("add", TEXT + 64),
        ("add+0x10", TEXT + 80),
        ("add+3", TEXT + 67),
        ("number", DATA + 64),
        ("top+0x20", 0x10),
        ("top+-16", 0xFFFF_FFFF_FFFF_FFE0),
    ],
)
def test_numbers_and_symbols(bench: KernelBench, text: str, value: int) -> None:
    argument = read_argument(bench, text)
    assert (argument.text, argument.value, argument.size, argument.content) == (text, value, 0, b"")
    assert changed(bench, argument) is None


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("str:", b"\0"),
        ("str:hello", b"hello\0"),
        ("str:a:b+c", b"a:b+c\0"),
        ("str:\u00e9", b"\xc3\xa9\0"),
        ("str:\udcff\udc80", b"\xff\x80\0"),
        ("hex:", b""),
        ("hex:00ff", b"\x00\xff"),
        ("hex:DE ad be EF", b"\xde\xad\xbe\xef"),
        ("buf:0", b""),
        ("buf:3", bytes(3)),
        ("buf:0x10", bytes(16)),
    ],
)
def test_bytes(bench: KernelBench, text: str, content: bytes) -> None:
    argument = read_argument(bench, text)
    assert (argument.value, argument.size, argument.content) == (SCRATCH.start, len(content), content)
    assert bench.memory.read(argument.value, len(content)) == content
    assert changed(bench, argument) is None


def test_bytes_stand_apart(bench: KernelBench) -> None:
    one, two = read_argument(bench, "buf:17"), read_argument(bench, "str:x")
    assert two.value - one.value == 32


def test_what_a_function_changed(bench: KernelBench) -> None:
    argument, other = read_argument(bench, "buf:4"), read_argument(bench, "hex:0102")
    bench.call("fill", argument.value, 0x5A, 3)
    assert changed(bench, argument) == b"\x5a\x5a\x5a\0"
    assert changed(bench, other) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "argument 'nothing': no such symbol; expected a number, a symbol or symbol+0x10, str:TEXT"),
        ("", "argument '': no such symbol"),
        ("+", "argument '+': no such symbol"),
        ("1e5", "no such symbol"),
        ("add+", "argument 'add+': '' is no number"),
        ("add+x", "argument 'add+x': 'x' is no number"),
        ("add+1+1", "'1+1' is no number"),
        ("add-4", "no such symbol"),
        ("\udcff", "no such symbol"),
        ("int:5", "no such symbol"),
        ("hex:1", "argument 'hex:1': expected pairs of hex digits"),
        ("hex:zz", "expected pairs"),
        ("hex:0x12", "expected pairs"),
        ("buf:", "argument 'buf:': expected a size up to 16777216"),
        ("buf:-1", "expected a size"),
        ("buf:x", "expected a size"),
        ("buf:99999999999999999999999", "expected a size"),
        ("buf:16777217", "expected a size"),
        ("buf:16777216", "there is room for 16777200"),
        ("18446744073709551616", "does not fit into 64 bits"),
        ("-9223372036854775809", "does not fit into 64 bits"),
        ("add+0x10000000000000000", "does not fit into 64 bits"),
        ("9" * 5000, "no such symbol"),
    ],
)
def test_mistakes(bench: KernelBench, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_argument(bench, text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"), [("0x7f", 127), ("-2", 0xFFFF_FFFF_FFFF_FFFE), ("x", None), ("", None), ("0x", None), (" 5 ", 5)]
)
def test_read_number(text: str, value: int | None) -> None:
    assert read_number(text) == value


def test_anything_typed_is_read_or_refused(bench: KernelBench) -> None:
    rng = random.Random(7)
    pieces = (
        "str:",
        "hex:",
        "buf:",
        "add",
        "top",
        "+",
        "-",
        "0x",
        "1",
        "ff",
        " ",
        "_",
        ":",
        "\0",
        "\udc80",
        "\u202e",
        "\U0001f600",
        "9" * 30,
    )
    read = 0
    for _ in range(2000):
        text = "".join(rng.choices(pieces, k=rng.randrange(6)))
        try:
            argument = read_argument(bench, text)
        except GenpatchError:
            continue
        assert 0 <= argument.value < 1 << 64
        assert bench.memory.read(argument.value, argument.size) == argument.content
        read += 1
    assert read > 100
    assert at("add") == TEXT + 64
