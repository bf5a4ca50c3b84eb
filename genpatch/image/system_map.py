# SPDX-License-Identifier: GPL-2.0-or-later
"""System.map and saved copies of /proc/kallsyms: one symbol per line, as nm prints it."""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np

from ..errors import ImageError
from ..units import BoolArray, I64Array, U8Array, U64Array
from .kallsyms import are_type_letters, symbols_of
from .symbols import SymbolTable

MAX_SIZE = 64 << 20
"""How large a file may be, decompressed [bytes]."""

_GZIP_MAGIC = b"\x1f\x8b"

_DIGITS = 16
_LETTER_AT = _DIGITS + 1
_NAME_AT = _LETTER_AT + 2
_LINE = "16 hex digits, a space, a type letter, a space and a name"

_NOT_HEX = 0xFF
_HEX = np.full(256, _NOT_HEX, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)

_SHOWN = 60


def _inflate(data: bytes, where: str) -> bytes:
    """Return what a gzip file holds; ImageError if damaged, truncated or above MAX_SIZE."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(data, MAX_SIZE)
    except zlib.error as error:
        raise ImageError(where, "", expected="a gzip stream", got=str(error)) from error
    if not inflater.eof:
        got = "more" if len(text) >= MAX_SIZE else "its end missing"
        raise ImageError(where, "", expected=f"a gzip stream of at most {MAX_SIZE} bytes", got=got)
    return text


def _lines(text: U8Array) -> tuple[I64Array, I64Array]:
    """Return where each line starts and where its newline is: int64[n] twice; text ends with a newline."""
    end = np.flatnonzero(text == ord("\n"))
    start = np.empty_like(end)
    start[0], start[1:] = 0, end[:-1] + 1
    return start, end


def _wrong_line(number: int, line: bytes, where: str) -> ImageError:
    return ImageError(where, f"line {number}", expected=_LINE, got=repr(line[:_SHOWN])[1:])


def _check_lengths(raw: bytes, where: str) -> None:
    """Refuse a file with lines too short to be symbols before there is an array element for each of them."""
    if raw.count(b"\n") * (_NAME_AT + 2) <= len(raw):
        return
    for number, line in enumerate(BytesIO(raw), 1):
        if len(line) < _NAME_AT + 2:
            raise _wrong_line(number, line.rstrip(b"\n"), where)


def _check_first(raw: bytes, where: str) -> None:
    """Refuse what distributions install instead of a System.map: one line whose address is all ones."""
    first = raw[: raw.find(b"\n")]
    if first[:_DIGITS].lower() == b"f" * _DIGITS:
        note = first[_NAME_AT:][:_SHOWN].decode("ascii", "replace")
        raise ImageError(where, "line 1", expected="a symbol's address", got=f"a stub that says {note!r}")


def _addresses(heads: U8Array) -> U64Array:
    """Return the numbers in the first 16 columns, which hold hex digits: uint64[n]; heads: uint8[n, 19]."""
    nibbles = _HEX[heads[:, :_DIGITS]]
    pairs = (nibbles[:, 0::2] << np.uint8(4)) | nibbles[:, 1::2]
    return np.ascontiguousarray(pairs).view(">u8").reshape(-1).astype(np.uint64)


def _bad_names(text: U8Array, start: I64Array, end: I64Array) -> BoolArray:
    """Tell which lines hold a blank or a control character that has no business there.

    A module's line ends with a tab and the module's name in brackets. A name may end with a space: gas calls
    its fake labels ``.L0 ``, and with objcopy's prefix (``__efistub_.L0 ``) v6.1 lists them.
    """
    strange = np.flatnonzero((text <= ord(" ")) & (text != ord("\n")) | (text == 0x7F))
    line = np.searchsorted(end, strange)
    column = strange - start[line]
    is_tab = (text[strange] == ord("\t")) & (column > _NAME_AT) & (text[strange + 1] == ord("["))
    is_tab &= text[end[line] - 1] == ord("]")
    is_last = (text[strange] == ord(" ")) & (column > _NAME_AT) & (text[strange + 1] == ord("\n"))
    expected = (column == _DIGITS) | (column == _LETTER_AT + 1) | is_tab | is_last
    bad = np.zeros(len(start), np.bool_)
    bad[line[~expected]] = True
    return bad


def _module_lines(text: U8Array, end: I64Array) -> BoolArray:
    """Tell which lines have a module column: bool[n]."""
    tabs = np.flatnonzero(text == ord("\t"))
    has = np.zeros(len(end), np.bool_)
    has[np.searchsorted(end, tabs)] = True
    return has


def _check_lines(text: U8Array, start: I64Array, end: I64Array, where: str) -> U8Array:
    """Refuse the first line of another form; return the first 19 columns: uint8[n, 19]."""
    short = end - start <= _NAME_AT
    heads: U8Array = text[np.where(short, 0, start)[:, None] + np.arange(_NAME_AT)]
    wrong = short | (_HEX[heads[:, :_DIGITS]] == _NOT_HEX).any(axis=1)
    wrong |= (heads[:, _DIGITS] != ord(" ")) | (heads[:, _LETTER_AT + 1] != ord(" "))
    wrong |= ~are_type_letters(heads[:, _LETTER_AT]) | _bad_names(text, start, end)
    if wrong.any():
        line = int(np.argmax(wrong))
        raise _wrong_line(line + 1, text[start[line] : end[line]].tobytes(), where)
    return heads


def read_system_map(data: bytes, where: str) -> SymbolTable:
    """Read a System.map, or a copy of /proc/kallsyms, of a 64-bit kernel.

    Lines that name a module are left out: its addresses belong to one boot of one machine.

    Args:
        data: the file, plain or gzip.
        where: the file as errors name it.
    Returns:
        Symbols in the file's order, sizes 0 (unknown); types are read from nm's letters as kallsyms does.
    Raises:
        ImageError: no such file, with the number of the first wrong line; a stub; addresses hidden by
            kptr_restrict; damaged gzip; larger than MAX_SIZE.
    """
    raw = _inflate(data, where) if data.startswith(_GZIP_MAGIC) else data
    if not raw or len(raw) > MAX_SIZE:
        raise ImageError(where, "", expected=f"1 to {MAX_SIZE} bytes of symbols", got=f"{len(raw)} bytes")
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    _check_first(raw, where)
    _check_lengths(raw, where)
    text = np.frombuffer(raw, np.uint8)
    start, end = _lines(text)
    heads = _check_lines(text, start, end, where)
    address = _addresses(heads)
    if not address.any():
        got = "zeros in every line (kptr_restrict hides them; read /proc/kallsyms as root)"
        raise ImageError(where, "", expected="addresses", got=got)
    own = ~_module_lines(text, end)
    names = np.where(text == ord("\n"), np.uint8(0), text)
    name_at = (start[own] + _NAME_AT).astype(np.uint32)
    return symbols_of("System.map", address[own], heads[own, _LETTER_AT], name_at, names)
