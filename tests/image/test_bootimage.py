# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError
from genpatch.image.bootimage import (
    BootImage,
    find_banner,
    find_build_id,
    find_compiler,
    find_ikconfig,
    find_release,
    is_boot_image,
    iter_find,
)
from genpatch.units import U8Array

DEBIAN_7_2 = bytes.fromhex(
    "4d5a6f10e00f01000000200000000000"
    "00003a02000000000000000000000000"
    "02000000000000000000000000000000"
    "52495343560000005253430540000000"
    "50450000645002000000000000000000"
)
"""The first 80 bytes of Debian's boot Image of 7.2.13."""

BANNER = (
    b"Linux version 7.2.13+deb14-riscv64 (debian-kernel@lists.debian.org) (riscv64-linux-gnu-gcc-16 "
    b"(Debian 16.2.0-4) 16.2.0, GNU ld (GNU Binutils for Debian) 2.46) #1 SMP Debian 7.2.13-1 (2026)\n\0"
)


def array(data: bytes) -> U8Array:
    return np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)


def patched(data: bytes, *edits: tuple[int, bytes]) -> bytes:
    out = bytearray(data)
    for at, value in edits:
        out[at : at + len(value)] = value
    return bytes(out)


class TestHeader:
    def test_debian(self) -> None:
        assert BootImage.parse(array(DEBIAN_7_2), "boot") == BootImage(
            code0=0x106F5A4D,
            code1=0x00010FE0,
            text_offset=0x200000,
            image_size=0x23A0000,
            flags=0,
            version=2,
            has_efi=True,
        )
        assert BootImage.parse(array(DEBIAN_7_2), "boot").version_text == "0.2"

    def test_without_efi(self) -> None:
        bare = patched(DEBIAN_7_2, (0, bytes.fromhex("6f00000100000000")), (0x3C, bytes(4)))
        header = BootImage.parse(array(bare[:64]), "boot")
        assert (header.has_efi, header.code0, header.code1) == (False, 0x0100006F, 0)

    @pytest.mark.parametrize("edit", [(0x30, bytes(8)), (0x38, bytes(4))])
    def test_either_magic_will_do(self, edit: tuple[int, bytes]) -> None:
        data = array(patched(DEBIAN_7_2, edit))
        assert is_boot_image(data)
        assert BootImage.parse(data, "boot").has_efi

    @pytest.mark.parametrize(
        ("edits", "message"),
        [
            ([(0x30, bytes(12))], r"image header: expected RISCV\\0\\0\\0 at 0x30 or RSC\\x05 at 0x38, got"),
            ([(0x18, b"\x01")], r"image flags: expected little endian, got big endian \(0x1\)"),
            ([(0x10, bytes(8))], r"image_size: expected 0x50 \(the file's size\) to 0x80000000, got 0x0"),
            ([(0x10, b"\x4f" + bytes(7))], "image_size: .*got 0x4f"),
            ([(0x10, b"\xff" * 8)], "image_size: .*got 0xffffffffffffffff"),
            ([(0x08, b"\xff" * 8)], "text_offset: expected less than 0x80000000, got 0xffffffffffffffff"),
            ([(0x3C, b"\xff" * 4)], "offset 0x3c: expected the offset of a PE header within 80 bytes"),
            ([(0x3C, b"\x4b")], "offset 0x3c: expected the offset of a PE header within 80 bytes, got 0x4b"),
            ([(0x40, b"NE")], r"offset 0x40: expected PE\\0\\0, got 'NE\\x00\\x00'"),
            ([(0x44, b"\x32")], r"offset 0x44: expected PE machine 0x5064 \(64-bit RISC-V\), got 0x5032"),
        ],
    )
    def test_refused(self, edits: list[tuple[int, bytes]], message: str) -> None:
        with pytest.raises(ImageError, match=f"^boot: {message}"):
            BootImage.parse(array(patched(DEBIAN_7_2, *edits)), "boot")

    @pytest.mark.parametrize("size", range(70))
    def test_truncated(self, size: int) -> None:
        with pytest.raises(ImageError, match=r"^boot: (image header: .*got|offset 0x3c)"):
            BootImage.parse(array(DEBIAN_7_2[:size]), "boot")

    @settings(max_examples=300, deadline=None)
    @given(edits=st.lists(st.tuples(st.integers(0, 79), st.binary(max_size=4)), max_size=4), size=st.integers(0, 120))
    def test_mutated(self, edits: list[tuple[int, bytes]], size: int) -> None:
        mutated = array(patched(DEBIAN_7_2, *edits)[:size])
        try:
            BootImage.parse(mutated, "x")
        except ImageError as error:
            assert str(error).startswith("x: ")  # noqa: PT017


def note(name: bytes, kind: int, desc: bytes) -> bytes:
    padded = [part + bytes(-len(part) % 4) for part in (name, desc)]
    return struct.pack("<III", len(name), len(desc), kind) + b"".join(padded)


class TestBuildId:
    ID = bytes(range(0x10, 0x24))

    def test_found_behind_others(self) -> None:
        notes = note(b"Linux\0", 0x100, b"\x06\x07\0\0\x05") + note(b"GNU\0", 1, b"abcd") + note(b"GNU\0", 3, self.ID)
        assert find_build_id(notes) == "101112131415161718191a1b1c1d1e1f20212223"

    @pytest.mark.parametrize(
        "notes",
        [
            b"",
            note(b"GNU\0", 5, b"abcd"),
            note(b"Xen\0", 3, b"abcd"),
            note(b"GNU\0", 3, b""),
            note(b"GNU\0", 3, bytes(65)),
            b"\xff" * 40,
        ],
    )
    def test_none(self, notes: bytes) -> None:
        assert find_build_id(notes) is None

    def test_truncated(self) -> None:
        notes = note(b"GNU\0", 3, self.ID)
        assert [find_build_id(notes[:size]) for size in range(len(notes))] == [None] * len(notes)

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, notes: bytes) -> None:
        found = find_build_id(notes)
        assert found is None or len(found) % 2 == 0

    def test_endless_notes(self) -> None:
        assert find_build_id(bytes(1_200_000)) is None


class TestBanner:
    def test_found(self) -> None:
        proc_banner = b"Linux version %s (%s@%s) (gcc)\n\0"
        data = array(b"\xff" * 999 + proc_banner + b"Linux version \0" + BANNER + b"\xff" * 99)
        assert find_release(data) == "7.2.13+deb14-riscv64"
        assert find_compiler(data) == "riscv64-linux-gnu-gcc-16 (Debian 16.2.0-4) 16.2.0"
        assert find_banner(data) == BANNER[:-2].decode()

    @pytest.mark.parametrize(
        ("compiler", "expected"),
        [
            (
                b"Debian clang version 19.1.7 (3~deb12u1), Debian LLD 19.1.7",
                "Debian clang version 19.1.7 (3~deb12u1)",
            ),
            (b"clang version 19 (https://a/b.git, abc), LLD 19", "clang version 19 (https://a/b.git, abc)"),
            (b"gcc 13", "gcc 13"),
        ],
    )
    def test_compilers(self, compiler: bytes, expected: str) -> None:
        assert find_compiler(array(b"Linux version 6.1.0 (a@b) (" + compiler + b") #1 SMP\n")) == expected

    @pytest.mark.parametrize(
        "data",
        [b"", b"Linux version ", b"Linux version 6.1 x", b"Linux version " + b"9" * 500 + b" (a@b) (c)\n"],
    )
    def test_none(self, data: bytes) -> None:
        assert find_release(array(data)) is None
        assert find_banner(array(data)) is None
        assert find_compiler(array(data)) is None

    def test_no_compiler(self) -> None:
        data = array(b"Linux version 6.1 (a@b (c\n")
        assert (find_release(data), find_compiler(data)) == ("6.1", None)

    def test_truncated(self) -> None:
        for size in range(len(BANNER)):
            find_compiler(array(BANNER[:size]))

    def test_a_banner_across_chunks(self) -> None:
        for before in range((1 << 22) - 16, (1 << 22) + 1, 5):
            assert find_release(array(bytes(before) + BANNER)) == "7.2.13+deb14-riscv64"

    def test_repetition_takes_no_time(self) -> None:
        start = time.perf_counter()
        assert find_release(array(b"Linux version " * 500_000)) is None
        assert time.perf_counter() - start < 1


def test_iter_find_yields_every_place_once() -> None:
    chunk = 1 << 22
    data = bytearray(2 * chunk + 10)
    places = [0, 1, 77, chunk - 2, chunk - 1, chunk, chunk + 1, 2 * chunk + 7]
    for at in places:
        data[at : at + 3] = b"\1\1\1"
    assert set(places) <= set(iter_find(array(bytes(data)), b"\1\1\1"))
    found = list(iter_find(array(bytes(data)), b"\1\1\1"))
    assert found == sorted(set(found))


class TestConfig:
    TEXT = b"CONFIG_RISCV=y\n# CONFIG_FTRACE is not set\n" * 50

    def embedded(self, text: bytes = TEXT, tail: bytes = b"IKCFG_ED") -> bytes:
        return b"\x13\0\0\0IKCFG_ST\0IKCFG_ST" + gzip.compress(text) + tail + bytes(16)

    def test_found(self) -> None:
        assert find_ikconfig(array(self.embedded())) == self.TEXT

    @pytest.mark.parametrize("data", [b"", b"IKCFG_ST", b"IKCFG_STIKCFG_ED"])
    def test_none(self, data: bytes) -> None:
        assert find_ikconfig(array(data)) is None

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (
                b"IKCFG_ST\x1f\x8bno gzip",
                r"embedded configuration at offset 0x8: expected a gzip stream, got Error",
            ),
            (b"IKCFG_ST" + gzip.compress(b"x" * 99)[:-8], "at most 16777216 bytes, got its end missing"),
            (b"IKCFG_ST" + gzip.compress(b"x" * 99) + b"IKCFG_EX", "expected IKCFG_ED .*, got 'IKCFG_EX'"),
            (b"IKCFG_ST" + gzip.compress(bytes(20 << 20)) + b"IKCFG_ED", "at most 16777216 bytes, got more"),
        ],
    )
    def test_damaged(self, data: bytes, message: str) -> None:
        with pytest.raises(ImageError, match=message):
            find_ikconfig(array(data))

    @settings(max_examples=200, deadline=None)
    @given(
        edits=st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=3)), max_size=5),
        size=st.integers(0, 150),
    )
    def test_mutated(self, edits: list[tuple[int, bytes]], size: int) -> None:
        try:
            find_ikconfig(array(patched(self.embedded(), *edits)[:size]))
        except ImageError as error:
            assert "embedded configuration" in str(error)  # noqa: PT017


def real_images() -> list[Path]:
    root = os.environ.get("GENPATCH_KERNELS")
    return sorted([*Path(root).glob("*/boot"), *Path(root).glob("*/arch/riscv/boot/Image")]) if root else []


@pytest.mark.kernels
@pytest.mark.skipif(not real_images(), reason="GENPATCH_KERNELS names no directory with */boot")
@pytest.mark.parametrize("path", real_images(), ids=str)
def test_real_images(path: Path) -> None:
    data = np.fromfile(path, np.uint8)
    header = BootImage.parse(data, str(path))
    assert (header.text_offset, header.version, header.flags, header.has_efi) == (0x200000, 2, 0, True)
    release, compiler = find_release(data), find_compiler(data)
    assert release is not None
    assert compiler is not None
    if release == "7.2.13+deb14-riscv64":
        assert compiler == "riscv64-linux-gnu-gcc-16 (Debian 16.2.0-4) 16.2.0"
        assert find_ikconfig(data) is None
