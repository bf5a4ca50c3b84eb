# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genpatch.report.escape import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vfs_read", "vfs_read"),
        ("", ""),
        ("a b", "a b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b2J", r"\x9b2J"),
        ("nul\x00del\x7f", r"nul\x00del\x7f"),
        ("a\nb\r\tc", r"a\x0ab\x0d\x09c"),
        ("a\u2028b\u0085c\xa0d", r"a\u2028b\x85c\xa0d"),
        ("evil\u202egnp\u200b", r"evil\u202egnp\u200b"),
        ("\udce9\ue000\U0010ffff\ufffe", r"\udce9\ue000\U0010ffff\ufffe"),
        ("naïve_函数_\U0001f600", "naïve_函数_\U0001f600"),
        ("::error::x", r":\x3aerror:\x3ax"),
        (":::", r":\x3a:"),
        ("::::", r":\x3a:\x3a"),
        ("##[error]x", r"#\x23[error]x"),
        ("###[x", r"##\x23[x"),
        ("fs/ext4/ext4.ko:0x10", "fs/ext4/ext4.ko:0x10"),
        ("a\\b", "a\\b"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_ascii_only() -> None:
    assert printable("naïve_函_\U0001f600", ascii_only=True) == r"na\xefve_\u51fd_\U0001f600"


def test_what_is_too_long_is_cut() -> None:
    assert printable("abcdef", limit=6) == "abcdef"
    assert printable("abcdefg", limit=6) == "abcdef..."
    assert len(printable("x" * 10_000_000)) == 4003


@given(st.text(st.characters()), st.booleans())
def test_printable_is_harmless_and_final(text: str, ascii_only: bool) -> None:
    safe = printable(text, ascii_only=ascii_only)
    assert safe.isprintable()
    assert "::" not in safe
    assert "##[" not in safe
    assert safe.isascii() or not ascii_only
    assert printable(safe, ascii_only=ascii_only) == safe
