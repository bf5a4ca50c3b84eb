# SPDX-License-Identifier: GPL-2.0-or-later
"""Write kallsyms tables, in the one layout that the boot Image sample has: that of Linux 7.0 and later.

Order and alignment: kallsyms_num_syms, names, markers, token table, token index, offsets. Offsets count from
their own places. No name is compressed: each token is a character, or empty.

Source: linux kernel commit a081b5789255 ("kallsyms: Get rid of kallsyms relative base") (in v7.0).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

_BLOCK = 256
_TOKENS = 256
_LARGEST = 127


class Symbol(NamedTuple):
    """A line of nm."""

    address: int
    letter: str
    name: str


def parse_nm(text: str) -> list[Symbol]:
    """Return the symbols that ``nm -n`` printed, in ascending order; undefined ones are left out."""
    rows = (line.split() for line in text.splitlines())
    return [Symbol(int(row[0], 16), row[1], row[2]) for row in rows if len(row) == 3]


def encode(symbols: list[Symbol], address: int) -> bytes:
    """Return the tables.

    Args:
        symbols: in ascending order of address; names of at most 126 characters.
        address: where the tables will stand, a multiple of 4 above every symbol that matters [bytes].
    """
    names, markers = _names(symbols)
    tokens, index = _tokens(symbol.letter + symbol.name for symbol in symbols)
    parts = (struct.pack("<I", len(symbols)), names, markers, tokens, index)
    head = b"".join(_padded(part) for part in parts)
    at = address + len(head)
    offsets = (symbol.address - (at + 4 * place) for place, symbol in enumerate(symbols))
    return head + b"".join(struct.pack("<i", offset) for offset in offsets)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def _names(symbols: list[Symbol]) -> tuple[bytes, bytes]:
    """Return the names, each behind its length, and where every 256th of them starts."""
    stored, markers = bytearray(), bytearray()
    for place, symbol in enumerate(symbols):
        if place % _BLOCK == 0:
            markers += struct.pack("<I", len(stored))
        text = (symbol.letter + symbol.name).encode("ascii")
        if len(text) > _LARGEST:
            raise ValueError(f"{symbol.name}: expected at most {_LARGEST - 1} characters")
        stored += bytes([len(text)]) + text
    return bytes(stored), bytes(markers)


def _tokens(texts: Iterable[str]) -> tuple[bytes, bytes]:
    """Return the token table, NUL-terminated strings, and where each starts. Digits are always there."""
    used = set("0123456789").union(*texts)
    table, index = bytearray(), bytearray()
    for code in range(_TOKENS):
        index += struct.pack("<H", len(table))
        table += (chr(code).encode("ascii") if chr(code) in used else b"") + b"\0"
    return bytes(table), bytes(index)
