# SPDX-License-Identifier: GPL-2.0-or-later
"""Sniffing and taking off compression: every codec, cut short, damaged, too large, too deep."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress

import lz4.block
import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError, InputError
from genpatch.image import compression
from genpatch.image.compression import (
    DEFAULT_LIMIT,
    Format,
    Sink,
    describe,
    inflate,
    peek,
    sniff,
    unwrap,
    zboot_payload,
)
from genpatch.units import U8Array

LEGACY_MAGIC = bytes.fromhex("02214c18")
LEGACY_BLOCK = 8 << 20


def array(data: bytes) -> U8Array:
    return np.frombuffer(data, np.uint8)


def lz4_legacy(data: bytes) -> bytes:
    blocks = [data[at : at + LEGACY_BLOCK] for at in range(0, len(data), LEGACY_BLOCK)]
    packed = [lz4.block.compress(block, store_size=False) for block in blocks]
    return LEGACY_MAGIC + b"".join(struct.pack("<I", len(block)) + block for block in packed)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    "lz4-legacy": lz4_legacy,
}
JOINED = [kind for kind in PACK if kind != "lzma"]


def zboot(payload: bytes, codec: bytes = b"gzip", *, offset: int = 0x200, size: int | None = None) -> bytes:
    size = len(payload) if size is None else size
    head = struct.pack("<2s2x4sIIII", b"MZ", b"zimg", offset, size, 0, 0) + codec.ljust(32, b"\0")
    return (head + bytes.fromhex("cd238281")).ljust(0x200, b"\0") + payload + b"after the payload"


def elf(body: bytes = b"") -> bytes:
    return struct.pack("<16sHHIQ", b"\x7fELF\x02\x01\x01", 1, 243, 1, 0).ljust(64, b"\0") + body


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


SMALL = elf(noise(300) + b"the same text again and again " * 20)


@pytest.mark.parametrize("kind", PACK)
def test_every_codec_is_taken_off(kind: str) -> None:
    data, wrappers, form = unwrap(array(PACK[kind](SMALL)), "x")
    assert (data.tobytes(), wrappers, form) == (SMALL, (kind,), Format.ELF)
    assert not data.flags.writeable


@pytest.mark.parametrize("kind", PACK)
def test_what_follows_the_stream_is_ignored(kind: str) -> None:
    for tail in (struct.pack("<I", len(SMALL)), b"\0\0\0\0", b"\xff" * 100):
        data, _, _ = unwrap(array(PACK[kind](SMALL) + tail), "x")
        assert data.tobytes() == SMALL


@pytest.mark.parametrize("kind", JOINED)
@pytest.mark.parametrize("between", [b"", b"\0\0\0\0"])
def test_streams_one_after_another_are_one(kind: str, between: bytes) -> None:
    if kind == "lz4-legacy" and between:
        pytest.skip("zeros end a legacy lz4 stream")
    packed = PACK[kind](SMALL) + between + PACK[kind](b"second")
    assert unwrap(array(packed), "x")[0].tobytes() == SMALL + b"second"


@pytest.mark.parametrize("kind", PACK)
def test_cut_anywhere_is_an_image_error(kind: str) -> None:
    packed = PACK[kind](SMALL)
    for size in range(len(packed)):
        with pytest.raises(ImageError, match=f"truncated after {size} bytes"):
            inflate(kind, array(packed[:size]), "x")


def test_truncation_says_which_stream_and_where() -> None:
    with pytest.raises(ImageError) as caught:
        unwrap(array(lzma.compress(SMALL)[:200]), "a.ko.xz")
    assert str(caught.value) == "a.ko.xz: xz stream: expected a complete stream, got truncated after 200 bytes"


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "lz4"])
def test_damage_is_an_image_error(kind: str) -> None:
    packed = bytearray(PACK[kind](SMALL))
    packed[len(packed) // 2] ^= 0x55
    with pytest.raises(ImageError, match=f"^x: {kind} stream: expected"):
        unwrap(array(bytes(packed)), "x")


@pytest.mark.parametrize("kind", PACK)
def test_output_beyond_the_limit_is_refused(kind: str) -> None:
    packed = array(PACK[kind](bytes(20 << 20)))
    assert packed.size < 1 << 18
    with pytest.raises(ImageError, match=f"{kind} stream: expected at most 1048576 bytes, got more"):
        unwrap(packed, "x", limit=1 << 20)


def test_limit_is_for_all_layers_together() -> None:
    inner = gzip.compress(noise(1 << 16))
    packed = array(lzma.compress(inner))
    assert unwrap(packed, "x", limit=len(inner) + (1 << 16))[0].size == 1 << 16
    with pytest.raises(ImageError, match="at most"):
        unwrap(packed, "x", limit=len(inner) + (1 << 16) - 1)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz"])
def test_a_bomb_is_decompressed_in_pieces(kind: str) -> None:
    packed = array(PACK[kind](bytes(200 << 20)))
    sizes = [len(chunk) for chunk in compression.inflate_chunks(kind, packed, "x")]
    assert sum(sizes) == 200 << 20
    assert max(sizes) <= 80 << 20


@pytest.mark.parametrize("kind", PACK)
def test_large_output_is_mapped_from_a_file(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_SPILL_SIZE", 1000)
    data = SMALL * 9
    out = inflate(kind, array(PACK[kind](data)), "x")
    assert out.tobytes() == data
    assert not out.flags.writeable
    assert not isinstance(out.base, bytes)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(compression, "_SPILL_SIZE", 10)
    with pytest.raises(InputError, match="x: xz stream: temporary file: No space left on device"):
        inflate("xz", array(lzma.compress(SMALL)), "x")


def test_sink_keeps_the_order_of_pieces() -> None:
    sink = Sink("x", "", 1 << 20)
    for piece in (b"ab", b"", b"c"):
        sink.add(piece)
    assert sink.take().tobytes() == b"abc"
    assert Sink("x", "", 0).take().size == 0


# --- legacy lz4: no end mark


def test_legacy_lz4_of_several_blocks_with_the_kernels_size() -> None:
    data = noise(LEGACY_BLOCK) + bytes(1000)
    assert inflate("lz4-legacy", array(lz4_legacy(data) + struct.pack("<I", len(data))), "x").tobytes() == data


def test_legacy_lz4_of_whole_blocks_only() -> None:
    data = bytes(LEGACY_BLOCK)
    for tail in (b"", struct.pack("<I", len(data)), struct.pack("<I", 0xFFFF_FFFF)):
        assert inflate("lz4-legacy", array(lz4_legacy(data) + tail), "x").size == len(data)


def test_a_short_block_ends_legacy_lz4() -> None:
    packed = lz4_legacy(SMALL) + struct.pack("<I", 5) + b"\xff" * 3
    assert inflate("lz4-legacy", array(packed), "x").tobytes() == SMALL


def test_legacy_lz4_cut_in_its_second_block() -> None:
    packed = lz4_legacy(bytes(LEGACY_BLOCK) + noise(1000))
    with pytest.raises(ImageError, match="truncated"):
        inflate("lz4-legacy", array(packed[:-1]), "x")


def test_legacy_lz4_with_a_damaged_block() -> None:
    with pytest.raises(ImageError, match=r"lz4-legacy stream: .*corrupt data"):
        inflate("lz4-legacy", array(LEGACY_MAGIC + struct.pack("<I", 4) + b"\xff" * 4), "x")


def test_legacy_lz4_with_a_block_that_is_too_large() -> None:
    with pytest.raises(ImageError, match="a block of 16777216 bytes"):
        inflate("lz4-legacy", array(LEGACY_MAGIC + struct.pack("<I", 1 << 24) + bytes(1 << 24)), "x")


# --- xz filters, lzma memory, streams that hold nothing


def xz_with_filter(number: int) -> bytes:
    """Return the start of an xz file whose one block names an unknown filter before LZMA2."""
    flags = b"\0\1"
    header = b"\xfd7zXZ\0" + flags + struct.pack("<I", zlib.crc32(flags))
    block = bytes([2, 1, number, 0, 0x21, 1, 0x16, 0])
    return header + block + struct.pack("<I", zlib.crc32(block)) + bytes(64)


def test_a_filter_that_liblzma_lacks_is_named() -> None:
    with pytest.raises(ImageError, match=r"xz stream: .*unsupported options .*liblzma >= 5\.6"):
        unwrap(array(xz_with_filter(0x30)), "Image.xz")


def test_an_lzma_header_cannot_claim_all_memory() -> None:
    packed = bytearray(PACK["lzma"](SMALL))
    packed[1:5] = b"\0\0\xff\xff"
    with pytest.raises(ImageError, match="lzma stream"):
        inflate("lzma", array(bytes(packed)), "x")


def test_zstd_blocks_without_content_end_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_MAX_STALL", 1 << 16)
    frame = bytes.fromhex("28b52ffd") + b"\0\x58" + bytes(1 << 25)
    with pytest.raises(ImageError, match="that hold nothing"):
        inflate("zstd", array(frame), "x")


# --- nesting, zboot


def test_layers_are_named_from_the_outside() -> None:
    packed = gzip.compress(zboot(PACK["zstd"](SMALL), b"zstd"))
    data, wrappers, form = unwrap(array(packed), "x")
    assert (data.tobytes(), wrappers, form) == (SMALL, ("gzip", "zboot", "zstd"), Format.ELF)


def test_four_layers_are_taken_off_and_a_fifth_is_refused() -> None:
    data = SMALL
    for kind in ("gzip", "xz", "bzip2", "lz4"):
        data = PACK[kind](data)
    assert unwrap(array(data), "x")[1] == ("lz4", "bzip2", "xz", "gzip")
    assert peek(array(data), "x") == SMALL
    with pytest.raises(ImageError, match="at most 4 layers"):
        unwrap(array(gzip.compress(data)), "x")
    with pytest.raises(ImageError, match="at most 4 layers"):
        peek(array(gzip.compress(data)), "x")


def test_zboot_payload_is_found_by_its_header() -> None:
    assert zboot_payload(array(zboot(gzip.compress(SMALL))), "x").tobytes() == gzip.compress(SMALL)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            zboot(gzip.compress(SMALL), size=1 << 31),
            "zboot header: expected a payload within .* size 0x80000000",
        ),
        (zboot(gzip.compress(SMALL), offset=0xFFFF_FFFF), "offset 0xffffffff"),
        (zboot(gzip.compress(SMALL), size=0), "size 0x0"),
        (zboot(gzip.compress(SMALL), offset=4), "offset 0x4,"),
        (zboot(gzip.compress(SMALL))[:0x37], "zboot header"),
        (zboot(b"\x89LZO" + bytes(50), b"lzo"), r"zboot payload: .*lzop data, .*\(named 'lzo'\)"),
        (zboot(b"\1\2\3\4", b"\xff\n"), r"got bytes 01 02 03 04 \(named '.*xff\\n'\)"),
    ],
)
def test_zboot_headers_are_not_trusted(image: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        unwrap(array(image), "vmlinuz.efi")


# --- sniffing


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (elf(), "elf", "an ELF file"),
        (b"MZ".ljust(0x38, b"\0") + b"RSC\x05", "boot-image", "a RISC-V boot Image"),
        (bytes(0x30) + b"RISCV\0\0\0", "boot-image", "a RISC-V boot Image"),
        (b"MZ" + bytes(100), "pe", "a PE/EFI program without the header of a RISC-V Image"),
        (b"ffffffff80000000 T _start\nffffffff80000000 T _text\n", "system-map", "a System.map"),
        (b"0000000000000000 t x\t[ext4]\n", "system-map", "a System.map"),
        (b"ffffffffffffffff B The real System.map is in the linux-image-dbg package\n", "text", "text"),
        (b"#\n# Automatically generated file; DO NOT EDIT.\n", "config", "a kernel configuration"),
        (b"# mine\nCONFIG_FTRACE=y\n", "config", "a kernel configuration"),
        (b"# CONFIG_FTRACE is not set\n", "config", "a kernel configuration"),
        (b"#!/bin/sh\nCONFIG_X=y\n", "script", "a script"),
        (b"Dear reader, CONFIG_X=y\n", "text", "text"),
        (b"!<arch>\ndebian-binary   ", "deb", "a Debian package"),
        (b"!<arch>\nfoo.o/   ", "ar", "an ar archive"),
        (b"\x9f\xeb\x01\0", "btf", "bare BTF type information"),
        (bytes(range(12)), "unknown", "bytes 00 01 02 03 04 05 06 07 ..."),
        (b"\0", "unknown", "bytes 00"),
        (b"", "unknown", "an empty file"),
    ],
)
def test_contents_are_recognised(data: bytes, kind: str, text: str) -> None:
    assert (sniff(data), describe(array(data))) == (kind, text)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"CONFIG_X=y\n", Format.CONFIG),
        (b"ffffffff80000000 T _start\n", Format.SYSTEM_MAP),
        (b"\x9f\xeb\x01\0", Format.UNKNOWN),
        (b"words", Format.UNKNOWN),
    ],
)
def test_formats_after_unwrapping(data: bytes, form: Format) -> None:
    assert unwrap(array(gzip.compress(data)), "x")[1:] == (("gzip",), form)


def test_nothing_and_rpm_and_lzop_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^x: expected a kernel image, got an empty file$"):
        unwrap(array(b""), "x")
    with pytest.raises(ImageError, match="got an empty file"):
        unwrap(array(gzip.compress(b"")), "x")
    with pytest.raises(InputError, match="an rpm package, which is not supported"):
        unwrap(array(bytes.fromhex("edabeedb") + bytes(100)), "x")
    with pytest.raises(InputError, match="lzop data, which is not supported"):
        unwrap(array(b"\x89LZO\0\r\n\x1a\n"), "x")


@pytest.mark.parametrize("kind", PACK)
def test_peek_takes_little(kind: str) -> None:
    data = elf(noise(3 << 20))
    packed = PACK[kind](data)
    assert peek(array(packed), "x") == data[:4096]
    if kind != "lz4-legacy":
        assert peek(array(packed[: len(packed) // 2]), "x")[:64] == data[:64]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(PACK)),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1),
    st.data(),
)
def test_damaged_input_gives_data_or_an_input_error(
    kind: str, edits: list[tuple[int, int]], more: st.DataObject
) -> None:
    packed = bytearray(PACK[kind](SMALL))
    if more.draw(st.booleans()):
        packed = bytearray(zboot(bytes(packed), kind.encode()))
    for at, value in edits:
        packed[at % len(packed)] = value
    with suppress(InputError):
        data, _, _ = unwrap(array(bytes(packed)), "x", limit=1 << 24)
        assert 0 < data.size <= 1 << 24


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([m.parts for m in compression.MAGICS]), st.binary(max_size=400))
def test_any_bytes_after_any_magic(parts: tuple[tuple[int, bytes], ...], body: bytes) -> None:
    data = bytearray(body.ljust(300, b"\0"))
    for at, value in parts:
        data[at : at + len(value)] = value
    with suppress(InputError):
        unwrap(array(bytes(data)), "x", limit=1 << 22)
    assert describe(array(bytes(data)))


def test_default_limit_is_four_gib() -> None:
    assert DEFAULT_LIMIT == 1 << 32
