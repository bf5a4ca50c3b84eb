# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot Image: its header, and what can be found in its bytes without symbols."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import ImageError
from ..units import FileOffset, U8Array

HEADER_SIZE = 64
"""sizeof(struct riscv_image_header) [bytes]."""

MAX_IMAGE_SIZE = 1 << 31
"""A kernel is linked into the last 2 GiB of the address space [bytes]."""

MAX_CONFIG_SIZE = 16 << 20
"""How much an embedded configuration may decompress to [bytes]."""

_MAGIC = b"RISCV\0\0\0"
_MAGIC_AT = 0x30
_MAGIC2 = b"RSC\x05"
_MAGIC2_AT = 0x38
_PE_OFFSET_AT = 0x3C
_PE_SIGNATURE = b"PE\0\0"
_PE_MACHINE_RISCV64 = 0x5064
_FLAG_BIG_ENDIAN = 1

_NT_GNU_BUILD_ID = 3
_NOTE_ALIGNMENT = 4
_MAX_BUILD_ID = 64

_CHUNK = 1 << 22
_MAX_CANDIDATES = 16
_BANNER_SIZE = 1024
_BANNER = re.compile(rb"Linux version (\d[\x21-\x7e]{0,63}) \(([^\0\n]{1,512})")
_GZIP_MAGIC = b"\x1f\x8b"


def iter_find(data: U8Array, pattern: bytes) -> Iterator[FileOffset]:
    """Yield every offset of a pattern, ascending, holding no more than 4 MiB of `data` twice.

    Args:
        data: uint8[n].
        pattern: at least one byte; overlapping matches are all yielded.
    """
    overlap = len(pattern) - 1
    for chunk_at in range(0, len(data), _CHUNK):
        chunk = data[chunk_at : chunk_at + _CHUNK + overlap].tobytes()
        at = chunk.find(pattern)
        while at >= 0:
            yield FileOffset(chunk_at + at)
            at = chunk.find(pattern, at + 1)


def _bytes_at(data: U8Array, at: int, size: int) -> bytes:
    # Fewer bytes than asked for where the data ends; at may lie behind the end.
    return data[at : at + size].tobytes()


def is_boot_image(data: U8Array) -> bool:
    """Tell whether the bytes carry a riscv Image magic, the deprecated or the present one."""
    return _bytes_at(data, _MAGIC_AT, len(_MAGIC)) == _MAGIC or _bytes_at(data, _MAGIC2_AT, len(_MAGIC2)) == _MAGIC2


def _check_pe(data: U8Array, where: str) -> None:
    """Check that the PE header a 'MZ' promises is there and is for 64-bit RISC-V."""
    field = f"offset {_PE_OFFSET_AT:#x}"
    raw = _bytes_at(data, _PE_OFFSET_AT, 4)
    at = int.from_bytes(raw, "little")
    if len(raw) < 4 or at < HEADER_SIZE or at + 6 > len(data):
        expected = f"the offset of a PE header within {len(data)} bytes"
        raise ImageError(where, field, expected=expected, got=f"{at:#x}")
    signature = _bytes_at(data, at, 4)
    if signature != _PE_SIGNATURE:
        raise ImageError(where, f"offset {at:#x}", expected="PE\\0\\0", got=repr(signature)[1:])
    machine = int.from_bytes(_bytes_at(data, at + 4, 2), "little")
    if machine != _PE_MACHINE_RISCV64:
        expected = f"PE machine {_PE_MACHINE_RISCV64:#x} (64-bit RISC-V)"
        raise ImageError(where, f"offset {at + 4:#x}", expected=expected, got=f"{machine:#x}")


def _header_fields(data: U8Array, where: str) -> tuple[int, ...]:
    """Return code0, code1, text_offset, image_size, flags and version; ImageError without a magic."""
    if len(data) < HEADER_SIZE or not is_boot_image(data):
        got = f"{len(data)} bytes" if len(data) < HEADER_SIZE else repr(_bytes_at(data, _MAGIC_AT, 12))[1:]
        expected = "RISCV\\0\\0\\0 at 0x30 or RSC\\x05 at 0x38"
        raise ImageError(where, "image header", expected=expected, got=got)
    return struct.unpack("<IIQQQI", _bytes_at(data, 0, 36))


@dataclass(frozen=True, slots=True, kw_only=True)
class BootImage:
    """The header of a flat riscv Image.

    Args:
        code0: first instruction word; its low half is ``MZ`` (c.li s4,-13) with an EFI stub.
        code1: second instruction word.
        text_offset: load offset from the start of RAM [bytes].
        image_size: size in memory with bss [bytes], never below the file's.
        flags: bit 0 is big endian, which is refused.
        version: major << 16 | minor.
        has_efi: a PE header for 64-bit RISC-V is there.

    Source:
        linux arch/riscv/include/asm/image.h, struct riscv_image_header.
    """

    code0: int
    code1: int
    text_offset: int
    image_size: int
    flags: int
    version: int
    has_efi: bool

    @property
    def version_text(self) -> str:
        """The header version as ``major.minor``."""
        return f"{self.version >> 16}.{self.version & 0xFFFF}"

    @classmethod
    def parse(cls, data: U8Array, where: str) -> BootImage:
        """Read the header.

        Args:
            data: the whole file, uint8[n].
            where: the file as errors name it.
        Raises:
            ImageError: no riscv Image, truncated, big endian, sizes that lie, or PE for another machine.
        """
        code0, code1, text_offset, image_size, flags, version = _header_fields(data, where)
        if flags & _FLAG_BIG_ENDIAN:
            raise ImageError(where, "image flags", expected="little endian", got=f"big endian ({flags:#x})")
        if not len(data) <= image_size <= MAX_IMAGE_SIZE:
            expected = f"{len(data):#x} (the file's size) to {MAX_IMAGE_SIZE:#x}"
            raise ImageError(where, "image_size", expected=expected, got=f"{image_size:#x}")
        if text_offset >= MAX_IMAGE_SIZE:
            expected = f"less than {MAX_IMAGE_SIZE:#x}"
            raise ImageError(where, "text_offset", expected=expected, got=f"{text_offset:#x}")
        has_efi = _bytes_at(data, 0, 2) == b"MZ"
        if has_efi:
            _check_pe(data, where)
        return cls(
            code0=code0,
            code1=code1,
            text_offset=text_offset,
            image_size=image_size,
            flags=flags,
            version=version,
            has_efi=has_efi,
        )


def find_build_id(notes: bytes) -> str | None:
    """Return the GNU build id in a run of ELF notes, in hex, or None.

    Args:
        notes: the bytes of .notes (``__start_notes .. __stop_notes``): 4-byte aligned, a note first.
    """
    at = 0
    while at + 12 <= len(notes):
        name_size, desc_size, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        desc_at = name_at + -(-name_size // _NOTE_ALIGNMENT) * _NOTE_ALIGNMENT
        desc_end = desc_at + desc_size
        if desc_end > len(notes):
            return None
        is_gnu = notes[name_at : name_at + name_size] == b"GNU\0"
        if is_gnu and kind == _NT_GNU_BUILD_ID and 0 < desc_size <= _MAX_BUILD_ID:
            return notes[desc_at:desc_end].hex()
        at = desc_at + -(-desc_size // _NOTE_ALIGNMENT) * _NOTE_ALIGNMENT
    return None


def _find_banner(data: U8Array) -> re.Match[bytes] | None:
    for at in islice(iter_find(data, b"Linux version "), _MAX_CANDIDATES):
        match = _BANNER.match(_bytes_at(data, at, _BANNER_SIZE))
        if match:
            return match
    return None


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace")


def find_banner(data: U8Array) -> str | None:
    """Return linux_banner without its newline, ``Linux version 7.2 (who@host) (gcc ...) #1 ...``, or None."""
    match = _find_banner(data)
    return _text(match[0]) if match else None


def find_release(data: U8Array) -> str | None:
    """Return the kernel release that linux_banner names (``"7.2.13+deb14-riscv64"``), or None."""
    match = _find_banner(data)
    return _text(match[1]) if match else None


def _groups(text: str) -> list[str]:
    """Return the outermost parenthesised parts of a text, in order, without their parentheses."""
    found, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "(":
            start = i + 1 if depth == 0 else start
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            if depth == 0:
                found.append(text[start:i])
    return found


def find_compiler(data: U8Array) -> str | None:
    """Return what linux_banner says of the compiler, or None.

    The banner's second parenthesised part is ``<first line of cc --version>, <linker's version>``
    (scripts/mkcompile_h); the linker is cut off: ``"gcc-14 (Debian 14.2.0-19) 14.2.0"``.
    """
    banner = find_banner(data)
    groups = _groups(banner) if banner else []
    if len(groups) < 2:
        return None
    compiler, comma, _ = groups[1].rpartition(", ")
    return compiler if comma else groups[1]


def find_ikconfig(data: U8Array) -> bytes | None:
    """Return the configuration that CONFIG_IKCONFIG embeds, decompressed, or None where there is none.

    Raises:
        ImageError: it starts but is truncated, damaged or larger than MAX_CONFIG_SIZE.
    Source:
        linux kernel/configs.c: ``IKCFG_ST``, a gzip stream, ``IKCFG_ED``.
    """
    for at in islice(iter_find(data, b"IKCFG_ST" + _GZIP_MAGIC), 1):
        return _inflate_config(data, at + len(b"IKCFG_ST"))
    return None


def _inflate_config(data: U8Array, at: int) -> bytes:
    place = f"embedded configuration at offset {at:#x}"
    inflater = zlib.decompressobj(wbits=31)
    try:
        config = inflater.decompress(data[at : at + MAX_CONFIG_SIZE].tobytes(), MAX_CONFIG_SIZE)
    except zlib.error as error:
        raise ImageError("", place, expected="a gzip stream", got=str(error)) from error
    if not inflater.eof:
        got = "more" if len(config) >= MAX_CONFIG_SIZE else "its end missing"
        raise ImageError("", place, expected=f"a gzip stream of at most {MAX_CONFIG_SIZE} bytes", got=got)
    if not inflater.unused_data.startswith(b"IKCFG_ED"):
        got = repr(inflater.unused_data[:8])[1:]
        raise ImageError("", place, expected="IKCFG_ED behind the gzip stream", got=got)
    return config
