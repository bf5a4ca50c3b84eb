# SPDX-License-Identifier: GPL-2.0-or-later
"""What bytes are, by their content, and the compression around them, taken off with bounded memory.

Nothing here looks at a name and nothing trusts a size that a header claims: output is produced in
pieces, counted, and kept in an unnamed temporary file once it is large.
"""

from __future__ import annotations

import bz2
import lzma
import mmap
import re
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, Protocol

import numpy as np

from ..errors import ImageError, InputError
from ..units import U8Array

DEFAULT_LIMIT = 4 << 30
"""How much may come out of one input, all layers together [bytes]."""

MAX_DEPTH = 4
"""How many layers are taken off."""

HEAD_SIZE = 4096
"""How much of the start is looked at to tell what something is [bytes]."""

_SPILL_SIZE = 64 << 20
_MAX_STALL = 16 << 20
_MAX_PADDING = 4096
_NESTED_HEAD = 256 << 10
_XZ_MEMORY = 512 << 20
_ZSTD_SLICE = 2048
_LZ4_MAGIC = b"\x02\x21\x4c\x18"
_LZ4_BLOCK = 8 << 20
_LZ4_BOUND = _LZ4_BLOCK + _LZ4_BLOCK // 255 + 16
_TEXT = re.compile(rb"[\t\n\r\x0b\f\x1b -~\x80-\xff]+")
_SYSTEM_MAP = re.compile(rb"[0-9a-f]{16} [A-Za-z] [^\s]+(\t\[[^\]\n]+\])?\r?(\n|\Z)")
_CONFIG = re.compile(rb"^(# Automatically generated file|(# )?CONFIG_\w+( is not set$|=))", re.MULTILINE)


class Format(StrEnum):
    """What remains when every layer is off."""

    ELF = "elf"
    BOOT_IMAGE = "boot-image"
    SYSTEM_MAP = "system-map"
    CONFIG = "config"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Magic:
    """How one kind of file is recognised.

    Args:
        kind: its name here.
        what: its name in a message.
        parts: (offset, bytes) that must all be there.
    """

    kind: str
    what: str
    parts: tuple[tuple[int, bytes], ...]

    def fits(self, head: bytes) -> bool:
        """Tell whether bytes from the start of a file are of this kind."""
        return all(head[at : at + len(value)] == value for at, value in self.parts)


# Sources: linux arch/riscv/include/asm/image.h, drivers/firmware/efi/libstub/zboot-header.S, RFC 1952,
# the xz, zstd, lz4 and lzop format descriptions, deb(5), file(1). The first that fits is taken, so
# the weak one (lzma) stands last.
MAGICS = (
    Magic("elf", "an ELF file", ((0, b"\x7fELF"),)),
    Magic("gzip", "gzip data", ((0, b"\x1f\x8b\x08"),)),
    Magic("xz", "xz data", ((0, b"\xfd7zXZ\0"),)),
    Magic("zstd", "zstd data", ((0, b"\x28\xb5\x2f\xfd"),)),
    Magic("bzip2", "bzip2 data", ((0, b"BZh"), (4, b"1AY&SY"))),
    Magic("bzip2", "bzip2 data", ((0, b"BZh"), (4, b"\x17\x72\x45\x38\x50\x90"))),
    Magic("lz4", "an lz4 frame", ((0, b"\x04\x22\x4d\x18"),)),
    Magic("lz4-legacy", "legacy lz4 data", ((0, b"\x02\x21\x4c\x18"),)),
    Magic("lzo", "lzop data, which is not supported", ((0, b"\x89LZO"),)),
    Magic("zboot", "an EFI zboot image", ((0, b"MZ"), (4, b"zimg"))),
    Magic("boot-image", "a RISC-V boot Image", ((0x38, b"RSC\x05"),)),
    Magic("boot-image", "a RISC-V boot Image", ((0x30, b"RISCV\0\0\0"),)),
    Magic("deb", "a Debian package", ((0, b"!<arch>\ndebian-binary"),)),
    Magic("ar", "an ar archive", ((0, b"!<arch>\n"),)),
    Magic("ar", "a thin ar archive", ((0, b"!<thin>\n"),)),
    Magic("rpm", "an rpm package", ((0, b"\xed\xab\xee\xdb"),)),
    Magic("btf", "bare BTF type information", ((0, b"\x9f\xeb\x01"),)),
    Magic("tar", "a tar archive", ((257, b"ustar"),)),
    Magic("pe", "a PE/EFI program without the header of a RISC-V Image", ((0, b"MZ"),)),
    Magic("script", "a script", ((0, b"#!"),)),
    Magic("lzma", "lzma data", ((0, b"\x5d\0\0"),)),
)


def _first_magic(head: bytes) -> Magic | None:
    return next((magic for magic in MAGICS if magic.fits(head)), None)


def sniff(head: bytes) -> str:
    """Return what bytes from the start of a file are.

    Args:
        head: the first HEAD_SIZE bytes, or all where there are fewer.
    Returns:
        a kind of MAGICS, ``"config"``, ``"system-map"``, ``"text"`` or ``"unknown"``.
    """
    magic = _first_magic(head)
    if magic is not None:
        return magic.kind
    if not _TEXT.fullmatch(head):
        return "unknown"
    if _SYSTEM_MAP.match(head):
        return "system-map"
    return "config" if _CONFIG.search(head) else "text"


def head_of(data: U8Array) -> bytes:
    """Return the first HEAD_SIZE bytes."""
    return data[:HEAD_SIZE].tobytes()


def describe(data: U8Array) -> str:
    """Return in a few words what data looks like, for a message that refuses it."""
    head = head_of(data)
    magic = _first_magic(head)
    if not head:
        return "an empty file"
    if magic is not None:
        return magic.what
    named = {"config": "a kernel configuration", "system-map": "a System.map", "text": "text"}
    return named.get(sniff(head), f"bytes {head[:8].hex(' ')}" + (" ..." if len(head) > 8 else ""))


class Decoder(Protocol):
    """One stream being decompressed, in the manner of `lzma.LZMADecompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more output takes more input."""

    @property
    def unused_data(self) -> bytes | None:
        """What followed the end of the stream."""

    def decompress(self, data: Any, max_length: int) -> bytes:
        """Return about max_length bytes at most."""


class _TruncatedError(Exception):
    """The input ends before its stream does."""


class _CorruptError(Exception):
    """A stream cannot be decoded."""


class _GzipDecoder:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: Any, max_length: int) -> bytes:
        tail = data if len(data) else self._stream.unconsumed_tail
        out = self._stream.decompress(tail, max_length)
        self.needs_input = not self._stream.unconsumed_tail and len(out) < max_length
        return out


class _ZstdDecoder:
    """Feeds 2 KiB at a time, because zstandard returns all that its input gives: 64 MiB at most then."""

    def __init__(self) -> None:
        import zstandard

        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._error = zstandard.ZstdError
        self._pending = memoryview(b"")

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def needs_input(self) -> bool:
        return not len(self._pending)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data) + bytes(self._pending)

    def decompress(self, data: Any, max_length: int) -> bytes:
        if len(data):
            self._pending = memoryview(data)
        out: list[bytes] = []
        size = 0
        while len(self._pending) and size < max_length and not self.eof:
            piece, self._pending = self._pending[:_ZSTD_SLICE], self._pending[_ZSTD_SLICE:]
            try:
                out.append(self._stream.decompress(piece))
            except self._error as exc:
                raise _CorruptError(str(exc)) from exc
            size += len(out[-1])
        return out[0] if len(out) == 1 else b"".join(out)


def _lz4_decoder() -> Decoder:
    import lz4.frame

    decoder: Decoder = lz4.frame.LZ4FrameDecompressor()
    return decoder


@dataclass(frozen=True, slots=True)
class _Pace:
    """How much goes in and comes out at a time [bytes]."""

    step_in: int
    step_out: int


_WHOLE = _Pace(8 << 20, 16 << 20)
_PEEK = _Pace(HEAD_SIZE, HEAD_SIZE)


def _one_stream(decoder: Decoder, view: memoryview, at: int, pace: _Pace) -> Generator[bytes, None, int]:
    """Yield the output of the stream that starts at `at`; return where it ends [bytes]."""
    stalled = 0
    while not decoder.eof:
        feed = view[at : at + pace.step_in] if decoder.needs_input else view[:0]
        if decoder.needs_input and not len(feed):
            raise _TruncatedError
        at += len(feed)
        chunk = decoder.decompress(feed, pace.step_out)
        stalled = 0 if chunk else stalled + max(len(feed), HEAD_SIZE)
        if stalled > _MAX_STALL:
            raise _CorruptError(f"{stalled} bytes that hold nothing")
        if chunk:
            yield chunk
    return at - len(decoder.unused_data or b"")


def _streams(view: memoryview, pace: _Pace, decoder: Callable[[], Decoder], joins: bytes) -> Iterator[bytes]:
    """Yield the output of a stream and of those that follow it, with zeros between or not.

    Args:
        joins: what a following stream starts with, empty where the format has none.
    """
    at, is_more = 0, True
    while is_more:
        at = yield from _one_stream(decoder(), view, at, pace)
        rest = bytes(view[at : at + _MAX_PADDING])
        after = rest.lstrip(b"\0")
        is_more = bool(joins) and after.startswith(joins)
        at += len(rest) - len(after)


def _lz4_legacy(view: memoryview, _pace: _Pace) -> Iterator[bytes]:
    """Yield the blocks of ``lz4 -l`` output.

    The format has no end mark: it ends with the file, with a block that gives less than 8 MiB, or
    with what cannot be a block's size. The kernel appends the size of the whole.

    Source: lz4_Frame_format.md, "Legacy frame"; linux scripts/Makefile.lib, cmd_lz4_with_size.
    """
    import lz4.block

    at, produced, ended = len(_LZ4_MAGIC), 0, False
    while at < len(view) or not produced:
        word = bytes(view[at : at + 4])
        size = int.from_bytes(word, "little")
        at += 4
        if word == _LZ4_MAGIC:
            ended = False
            continue
        is_total = at == len(view) and size == produced & 0xFFFF_FFFF
        if ended or (produced and len(word) == 4 and (is_total or not 0 < size <= _LZ4_BOUND)):
            return
        if at + size > len(view):
            raise _TruncatedError
        if not 0 < size <= _LZ4_BOUND:
            raise _CorruptError(f"a block of {size} bytes")
        try:
            chunk = lz4.block.decompress(view[at : at + size], uncompressed_size=_LZ4_BLOCK)
        except lz4.block.LZ4BlockError as exc:
            raise _CorruptError(str(exc)) from exc
        at += size
        produced += len(chunk)
        ended = len(chunk) < _LZ4_BLOCK
        yield chunk


def _streamed(decoder: Callable[[], Decoder], joins: bytes = b"") -> Callable[[memoryview, _Pace], Iterator[bytes]]:
    return lambda view, pace: _streams(view, pace, decoder, joins)


CODECS: dict[str, Callable[[memoryview, _Pace], Iterator[bytes]]] = {
    "gzip": _streamed(_GzipDecoder, b"\x1f\x8b\x08"),
    "xz": _streamed(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), b"\xfd7zXZ\0"),
    "lzma": _streamed(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY)),
    "bzip2": _streamed(bz2.BZ2Decompressor, b"BZh"),
    "zstd": _streamed(_ZstdDecoder, b"\x28\xb5\x2f\xfd"),
    "lz4": _streamed(_lz4_decoder, b"\x04\x22\x4d\x18"),
    "lz4-legacy": _lz4_legacy,
}


_DECODER_ERRORS = (
    _TruncatedError,
    _CorruptError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    MemoryError,
)


def _stream_error(path: str, kind: str, size: int, exc: Exception) -> ImageError:
    """Return the error to raise for what a decoder said."""
    place = f"{kind} stream"
    if isinstance(exc, _TruncatedError):
        return ImageError(path, place, expected="a complete stream", got=f"truncated after {size} bytes")
    text = str(exc).strip().rstrip(".") or type(exc).__name__
    if isinstance(exc, lzma.LZMAError) and "unsupported options" in text:
        text += " (the RISC-V filter needs liblzma >= 5.6)"
    return ImageError(path, place, expected=f"valid {kind} data", got=f"corrupt data: {text}")


def inflate_chunks(kind: str, data: U8Array, path: str, pace: _Pace = _WHOLE) -> Iterator[bytes]:
    """Yield what comes out of compressed data, in pieces of some 16 MiB (zstd: 80 MiB at most).

    Args:
        kind: a key of CODECS.
        data: uint8[n]; what follows the stream is ignored.
        path: for messages.
    Raises:
        ImageError: the stream is truncated or corrupt.
    """
    try:
        yield from CODECS[kind](data.data, pace)
    except _DECODER_ERRORS as exc:
        raise _stream_error(path, kind, data.size, exc) from exc


class Sink:
    """Collects bytes: in memory up to 64 MiB, from there on in an unnamed temporary file.

    Args:
        path: for messages.
        place: the stream, for messages.
        limit: how much may come [bytes].
    """

    def __init__(self, path: str, place: str, limit: int) -> None:
        self._path, self._place, self._limit = path, place, limit
        self._size = 0
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None

    def add(self, chunk: bytes) -> None:
        """Take one piece; ImageError when that is more than may come, InputError when a disk is full."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise ImageError(self._path, self._place, expected=f"at most {self._limit} bytes", got="more")
        self._chunks.append(chunk)
        if self._file is None and self._size <= _SPILL_SIZE:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="genpatch-")  # noqa: SIM115 (mapped, then dropped)
            self._file.writelines(self._chunks)
        except OSError as exc:
            raise InputError(self._path, self._place, got=f"temporary file: {exc.strerror}") from exc
        self._chunks.clear()

    def take(self) -> U8Array:
        """Return all that came: uint8[n], read-only."""
        if self._file is None:
            chunks = self._chunks
            return np.frombuffer(chunks[0] if len(chunks) == 1 else b"".join(chunks), np.uint8)
        try:
            self._file.flush()
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as exc:
            raise InputError(self._path, self._place, got=f"temporary file: {exc.strerror}") from exc
        self._file.close()
        return np.frombuffer(mapped, np.uint8)


def inflate(kind: str, data: U8Array, path: str, *, limit: int = DEFAULT_LIMIT) -> U8Array:
    """Return what comes out of compressed data: uint8[n], read-only.

    Raises:
        ImageError: truncated, corrupt, or more than `limit` bytes.
        InputError: no room for a temporary file.
    """
    sink = Sink(path, f"{kind} stream", limit)
    for chunk in inflate_chunks(kind, data, path):
        sink.add(chunk)
    return sink.take()


def peek(data: U8Array, path: str, *, depth: int = MAX_DEPTH) -> bytes:
    """Return the first HEAD_SIZE bytes of what is inside compressed data, or fewer.

    Only as much is decompressed as that takes. A fault further on goes unseen.

    Raises:
        ImageError: nothing can be had, or there are more than `depth` layers.
    """
    head = head_of(data)
    kind = sniff(head)
    if kind not in CODECS:
        return head
    if not depth:
        raise ImageError(path, expected=f"at most {MAX_DEPTH} layers of compression", got="more")
    inner = _start(kind, data, path, HEAD_SIZE)
    if sniff(inner) in CODECS:
        inner = _start(kind, data, path, _NESTED_HEAD)
    return peek(np.frombuffer(inner, np.uint8), path, depth=depth - 1)


def _start(kind: str, data: U8Array, path: str, size: int) -> bytes:
    out = bytearray()
    try:
        for chunk in inflate_chunks(kind, data, path, _PEEK):
            out += chunk
            if len(out) >= size:
                break
    except ImageError:
        if not out:
            raise
    return bytes(out[:size])


def zboot_payload(data: U8Array, path: str) -> U8Array:
    """Return the compressed payload of an EFI zboot image: uint8[n], a view.

    Raises:
        ImageError: the header is cut short, points outside, or names a codec that is not supported.
    Source:
        linux drivers/firmware/efi/libstub/zboot-header.S.
    """
    header = data[:0x38].tobytes()
    start, size = (int.from_bytes(header[at : at + 4], "little") for at in (8, 12))
    codec = header[24:].split(b"\0")[0].decode("ascii", "backslashreplace")
    if len(header) < 0x38 or start < 0x38 or not size or start + size > data.size:
        raise ImageError(
            path,
            "zboot header",
            expected=f"a payload within {data.size} bytes",
            got=f"offset {start:#x}, size {size:#x}",
        )
    payload = data[start : start + size]
    if sniff(head_of(payload)) not in CODECS:
        raise ImageError(
            path,
            "zboot payload",
            expected="compressed data",
            got=f"{describe(payload)} (named {codec!r})",
        )
    return payload


def unwrap(data: U8Array, path: str, *, limit: int = DEFAULT_LIMIT) -> tuple[U8Array, tuple[str, ...], Format]:
    """Take off every layer of compression and zboot.

    Args:
        data: uint8[n].
        path: for messages.
        limit: how much may come out, all layers together [bytes].
    Returns:
        (uint8[m], read-only; the layers, outermost first; what it is).
    Raises:
        ImageError: empty, truncated, corrupt, larger than `limit`, or more than MAX_DEPTH layers.
        InputError: an rpm package.
    """
    wrappers: list[str] = []
    left = limit
    while (kind := sniff(head_of(data))) in CODECS or kind == "zboot":
        if len(wrappers) == MAX_DEPTH:
            raise ImageError(path, expected=f"at most {MAX_DEPTH} layers of compression", got="more")
        wrappers.append(kind)
        if kind == "zboot":
            data = zboot_payload(data, path)
            continue
        data = inflate(kind, data, path, limit=left)
        left -= data.size
    refuse(data, path)
    data = data.view()
    data.flags.writeable = False
    return data, tuple(wrappers), Format(kind) if kind in tuple(Format) else Format.UNKNOWN


def refuse(data: U8Array, path: str) -> None:
    """Raise for what can never be an input: nothing at all, rpm packages and lzop data."""
    kind = sniff(head_of(data))
    if not data.size:
        raise ImageError(path, expected="a kernel image", got="an empty file")
    if kind == "rpm":
        raise InputError(
            path,
            expected="a kernel, module, tar archive or deb package",
            got="an rpm package, which is not supported; unpack it first (rpm2cpio)",
        )
    if kind == "lzo":
        raise InputError(path, expected="a kernel or module", got="lzop data, which is not supported")
