# SPDX-License-Identifier: GPL-2.0-or-later
"""Files, directories, archives and packages become streams of candidates."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from genpatch.errors import ImageError, InputError
from genpatch.image import containers
from genpatch.image.containers import (
    Format,
    InputRef,
    Role,
    iter_members,
    list_inputs,
    open_content,
    open_ref,
)

KERNELS = os.environ.get("GENPATCH_KERNELS", "")
needs_kernels = pytest.mark.skipif(not KERNELS, reason="GENPATCH_KERNELS is not set")

REL, EXEC, DYN = 1, 2, 3


def elf(kind: int = REL, entry: int = 0, machine: int = 243, body: bytes = b"") -> bytes:
    return struct.pack("<16sHHIQ", b"\x7fELF\x02\x01\x01", kind, machine, 1, entry).ljust(64, b"\0") + body


VMLINUX = elf(EXEC, 0xFFFF_FFFF_8000_0000, body=b"kernel" * 100)
MODULE = elf(REL, body=b"module" * 100)
PROGRAM = elf(DYN, 0x5_0000)
IMAGE = (b"MZ".ljust(0x38, b"\0") + b"RSC\x05").ljust(600, b"\x13")
ZBOOT = struct.pack("<2s2x4sII", b"MZ", b"zimg", 0x200, 99).ljust(24, b"\0") + b"gzip".ljust(0x200, b"\0")
CONFIG = b"#\n# Automatically generated file; DO NOT EDIT.\nCONFIG_RISCV=y\n"
SYSTEM_MAP = b"ffffffff80000000 T _start\nffffffff80000000 T _text\n"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstd,
}


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def listed(root: Path) -> dict[str, str]:
    return {ref.member or "": ref.role.value for ref in list_inputs(root)}


def info(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def tar(files: dict[str, bytes], *others: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for other in others:
            made.addfile(other)
        for name, data in files.items():
            made.addfile(info(name, len(data)), io.BytesIO(data))
    return out.getvalue()


def deb(data: bytes, name: bytes = b"data.tar.xz") -> bytes:
    parts = ((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (name, data))
    out = b"!<arch>\n"
    for title, body in parts:
        out += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (title, 0, 0, 0, b"100644", len(body))
        out += body + b"\n" * (len(body) % 2)
    return out


def archive(path: Path, data: bytes) -> InputRef:
    path.write_bytes(data)
    (ref,) = list_inputs(path)
    assert ref.role is Role.TAR
    return ref


def members(path: Path, data: bytes, **limits: int) -> list[InputRef]:
    return list(iter_members(archive(path, data), **limits))


# --- plain files


def test_a_plain_file_is_mapped_as_it_is(tmp_path: Path) -> None:
    path = tree(tmp_path, {"anything": VMLINUX}) / "anything"
    content = open_content(path)
    assert (content.path, content.member, content.format, content.wrappers) == (
        str(path),
        None,
        Format.ELF,
        (),
    )
    assert content.data.tobytes() == VMLINUX
    assert not content.data.flags.writeable


def test_names_do_not_matter(tmp_path: Path) -> None:
    path = tree(tmp_path, {"vmlinux.gz": lzma.compress(gzip.compress(IMAGE))}) / "vmlinux.gz"
    content = open_content(str(path))
    assert (content.format, content.wrappers) == (Format.BOOT_IMAGE, ("xz", "gzip"))


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as out:
        out.write(VMLINUX)
        out.truncate(100 << 30)
    start = time.perf_counter()
    assert open_content(path).data.size == 100 << 30
    assert list_inputs(path)[0].role is Role.KERNEL
    assert time.perf_counter() - start < 5


def test_a_sparse_tar_is_skipped_over(tmp_path: Path) -> None:
    header = info("boot/vmlinux", 50 << 30).tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "sparse.tar"
    with path.open("wb") as out:
        out.write(header + VMLINUX)
        out.truncate(512 + (50 << 30))
        out.seek(0, os.SEEK_END)
        out.write(tar({"a.ko": MODULE}))
    (ref,) = list_inputs(path)
    large, module = iter_members(ref)
    assert large.problem == f"expected at most {4 << 30} bytes, got {50 << 30}"
    assert module.role is Role.MODULE


@pytest.mark.parametrize("function", [open_content, list_inputs])
def test_files_that_cannot_be_opened_are_one_line(
    function: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"none: No such file or directory$"):
        function(tmp_path / "none")
    with pytest.raises(InputError, match="Not a directory"):
        function(tree(tmp_path, {"a": VMLINUX}) / "a" / "b")
    with pytest.raises(InputError):
        function(Path("a\0b"))
    (tmp_path / "empty").touch()
    with pytest.raises(ImageError, match=r"empty: expected a kernel image, got an empty file$"):
        function(tmp_path / "empty")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"a: Permission denied$"):
        function(tmp_path / "a")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a regular file, got a directory"):
        open_content(tmp_path)


@pytest.mark.parametrize("function", [open_content, list_inputs])
def test_a_fifo_or_device_does_not_block(function: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="expected a regular file, got a FIFO"):
        function(tmp_path / "fifo")
    with pytest.raises(InputError, match="got a character device"):
        function(Path("/dev/zero"))


def test_a_device_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> int:
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(InputError, match="got a character device"):
        open_content("/dev/null")


def test_an_rpm_is_refused_in_words(tmp_path: Path) -> None:
    path = tree(tmp_path, {"k.rpm": bytes.fromhex("edabeedb") + bytes(200)}) / "k.rpm"
    for function in (open_content, list_inputs):
        with pytest.raises(InputError, match="got an rpm package, which is not supported"):
            function(path)


@pytest.mark.parametrize(
    ("name", "data", "role"),
    [
        ("x", VMLINUX, Role.KERNEL),
        ("x", elf(DYN, 0xFFFF_FFFF_8000_0000), Role.KERNEL),
        ("x", PROGRAM, Role.OTHER),
        ("vmlinux-x86", elf(EXEC, 0x100_0000, machine=62), Role.KERNEL),
        ("x.ko", MODULE, Role.MODULE),
        ("x.ko.zst", zstd(MODULE), Role.MODULE),
        ("x.o", MODULE, Role.OBJECT),
        ("x", lzma.compress(IMAGE), Role.BOOT),
        ("x", ZBOOT, Role.BOOT),
        ("x", CONFIG, Role.CONFIG),
        ("x", gzip.compress(SYSTEM_MAP), Role.SYSTEM_MAP),
        ("x", lzma.compress(tar({"a": b"b"})), Role.TAR),
        ("x", b"words\n", Role.OTHER),
    ],
)
def test_roles_of_a_file(name: str, data: bytes, role: Role, tmp_path: Path) -> None:
    path = tree(tmp_path, {name: data}) / name
    assert list_inputs(path) == [InputRef(path=str(path), role=role, size=len(data), file=str(path))]


# --- directories


def test_a_build_directory(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            ".config": CONFIG,
            "System.map": SYSTEM_MAP,
            "vmlinux": VMLINUX,
            "vmlinux.unstripped": VMLINUX,
            "vmlinux.o": MODULE,
            ".tmp_vmlinux1": VMLINUX,
            "arch/riscv/boot/Image": IMAGE,
            "arch/riscv/boot/Image.gz": gzip.compress(IMAGE),
            "arch/riscv/kernel/vdso/vdso.so.dbg": PROGRAM,
            "fs/ext4/ext4.ko": MODULE,
            "fs/ext4/ext4.o": MODULE,
            "fs/built-in.a": b"!<thin>\n",
            "fs/ext4/inode.c": b"int x;",
            "kernel/config.c": b"CONFIG_X=y\n",
            "scripts/mod/modpost": elf(DYN, 0x1000, machine=62),
            "vmlinux.symvers": b"0x0\tx\tvmlinux\tEXPORT_SYMBOL\n",
            "Makefile": b"all:\n",
        },
    )
    refs = {ref.member: ref for ref in list_inputs(tmp_path)}
    assert {name: ref.role.value for name, ref in refs.items()} == {
        ".config": "config",
        "System.map": "system-map",
        "vmlinux": "kernel",
        "vmlinux.unstripped": "kernel",
        "vmlinux.o": "object",
        "arch/riscv/boot/Image": "boot",
        "arch/riscv/boot/Image.gz": "boot",
        "fs/ext4/ext4.ko": "module",
    }
    copies = {"vmlinux.unstripped", "vmlinux.o", "arch/riscv/boot/Image", "arch/riscv/boot/Image.gz"}
    assert {name for name, ref in refs.items() if ref.duplicate_of} == copies
    assert {ref.duplicate_of for ref in refs.values()} == {None, f"{tmp_path}/vmlinux"}
    assert refs["fs/ext4/ext4.ko"].path == f"{tmp_path}/fs/ext4/ext4.ko"


def test_different_kernels_are_not_copies(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {"vmlinux-7.2": VMLINUX, "vmlinuz-7.2": IMAGE, "vmlinux-6.12": IMAGE, "old/vmlinux": VMLINUX},
    )
    refs = {ref.member: ref for ref in list_inputs(tmp_path)}
    assert {name for name, ref in refs.items() if ref.duplicate_of} == {"vmlinuz-7.2"}
    tree(tmp_path / "builds", {"gcc/vmlinux": VMLINUX, "clang/vmlinux": VMLINUX, "clang/Image": IMAGE})
    refs = {ref.member: ref for ref in list_inputs(tmp_path / "builds")}
    assert {name for name, ref in refs.items() if ref.duplicate_of} == {"clang/Image"}


def test_compressed_copies_are_found_without_a_vmlinux(tmp_path: Path) -> None:
    tree(tmp_path, {"Image": IMAGE, "Image.gz": gzip.compress(IMAGE), "x/vmlinux.xz": lzma.compress(VMLINUX)})
    refs = {ref.member: ref for ref in list_inputs(tmp_path)}
    assert refs["Image.gz"].duplicate_of == f"{tmp_path}/Image"
    assert refs["Image"].duplicate_of is refs["x/vmlinux.xz"].duplicate_of is None


def test_an_output_directory_of_tuxmake(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "vmlinux.xz": lzma.compress(VMLINUX),
            "Image.gz": gzip.compress(IMAGE),
            "modules.tar.xz": lzma.compress(tar({"lib/modules/1/a.ko": MODULE})),
            "config": CONFIG,
            "metadata.json": b"{}",
        },
    )
    assert listed(tmp_path) == {
        "Image.gz": "boot",
        "config": "config",
        "modules.tar.xz": "modules-tar",
        "vmlinux.xz": "kernel",
    }


def test_packed_modules_are_modules(tmp_path: Path) -> None:
    tree(tmp_path, {f"m/{i}.ko{end}": PACK[end](MODULE) for i, end in enumerate(PACK)})
    refs = list_inputs(tmp_path)
    assert {ref.role for ref in refs} == {Role.MODULE}
    assert {open_ref(ref).data.tobytes() for ref in refs} == {MODULE}


def test_a_directory_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}: no kernel image or module in this directory$"):
        list_inputs(tmp_path)
    tree(tmp_path, {"config": CONFIG, "a.o": MODULE, "vmlinux": b""})
    with pytest.raises(InputError, match=r"in this directory; vmlinux: expected a kernel image, got an empty"):
        list_inputs(tmp_path)


def test_what_is_meant_to_be_read_and_cannot_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(
        tmp_path,
        {
            "a.ko": MODULE,
            "b.ko.xz": lzma.compress(MODULE)[:10],
            "c.ko": b"\0\1\2",
            "Image.lzo": b"\x89LZO",
            "locked": MODULE,
            "log.gz": b"\x1f\x8b\x08",
            "vmlinux.map": b"text",
            "x.rpm": bytes.fromhex("edabeedb"),
        },
    )
    os.mkfifo(tmp_path / "vmlinux")
    os.mkfifo(tmp_path / "fifo")
    really = os.open

    def refuse(path: str, *rest: Any) -> int:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return really(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    refs = {ref.member: ref for ref in list_inputs(tmp_path)}
    assert {name: ref.problem.split(",")[0] for name, ref in refs.items()} == {
        "Image.lzo": "expected a kernel or module",
        "a.ko": "",
        "b.ko.xz": "",  # told when it is opened: thousands of modules are not started twice
        "c.ko": "expected a kernel or module",
        "locked": "Permission denied",
        "vmlinux": "not a regular file",
        "x.rpm": "expected a kernel",
    }
    with pytest.raises(InputError, match=r"locked: Permission denied$"):
        open_ref(refs["locked"])


def test_links_are_not_followed(tmp_path: Path) -> None:
    inside = tree(tmp_path / "in", {"a.ko": MODULE, "deep/vmlinux": VMLINUX})
    tree(tmp_path / "out", {"b.ko": MODULE})
    (inside / "loop").symlink_to(inside)
    (inside / "deep" / "up").symlink_to("..")
    (inside / "away").symlink_to(tmp_path / "out")
    (inside / "vmlinux").symlink_to("deep/vmlinux")
    (inside / "b.ko").symlink_to(tmp_path / "out" / "b.ko")
    (inside / "c.ko").symlink_to("nowhere")
    (inside / "d.ko").symlink_to("d.ko")
    problems = {ref.member: ref.problem for ref in list_inputs(inside)}
    assert problems == {
        "a.ko": "",
        "b.ko": "a symbolic link out of the directory, which is not followed",
        "c.ko": "a symbolic link to nothing",
        "d.ko": "a symbolic link to nothing",
        "deep/vmlinux": "",
    }
    (tmp_path / "link").symlink_to(inside)
    assert list_inputs(tmp_path / "link")[0].path == f"{tmp_path}/link/a.ko"


def test_depth_and_number_of_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"a.ko": MODULE, "1/2/3/b.ko": MODULE})
    monkeypatch.setattr(containers, "MAX_DIRECTORIES_DEEP", 2)
    assert {ref.member: ref.problem for ref in list_inputs(tmp_path)} == {
        "a.ko": "",
        "1/2/3": "too many directories deep",
    }
    monkeypatch.setattr(containers, "MAX_FILES", 2)
    with pytest.raises(InputError, match="expected at most 2 files, got more"):
        list_inputs(tmp_path)


def test_an_unreadable_directory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"a.ko": MODULE, "closed/b.ko": MODULE})
    really = os.scandir

    def refuse(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [(ref.member, ref.problem) for ref in list_inputs(tmp_path)] == [
        ("a.ko", ""),
        ("closed", "Permission denied"),
    ]


# --- archives


@pytest.mark.parametrize("end", PACK)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_modules(end: str, form: int, tmp_path: Path) -> None:
    long = "./lib/modules/" + "x" * 90 + "/" + "y" * 60 + "/long.ko.xz"
    files = {
        long: lzma.compress(MODULE),
        "lib/modules/README": b"words",
        "lib/modules/modules.dep": b"a: b",
        "lib/b.ko": MODULE,
        "boot/vmlinux-7.2": IMAGE,
        "boot/config-7.2": CONFIG,
        "boot/System.map-7.2": SYSTEM_MAP,
        "usr/bin/program": PROGRAM,
        "usr/share/doc/changelog.gz": gzip.compress(b"words"),
    }
    found = members(tmp_path / "m", PACK[end](tar(files, form=form)))
    assert [(ref.member, ref.role.value) for ref in found] == [
        (long[2:], "module"),
        ("lib/b.ko", "module"),
        ("boot/vmlinux-7.2", "boot"),
        ("boot/config-7.2", "config"),
        ("boot/System.map-7.2", "system-map"),
    ]
    assert found[0].path == f"{tmp_path}/m:{long[2:]}"
    assert found[0].raw is not None
    assert found[0].raw.tobytes() == lzma.compress(MODULE)
    content = open_ref(found[0])
    assert (content.path, content.member, content.wrappers) == (found[0].path, long[2:], ("xz",))
    assert content.data.tobytes() == MODULE


def test_refs_travel_to_other_processes(tmp_path: Path) -> None:
    ref = members(tmp_path / "m.tar", tar({"a.ko.xz": lzma.compress(MODULE)}))[0]
    again = pickle.loads(pickle.dumps(ref))
    assert again == ref
    data = open_ref(again).data
    assert data.tobytes() == MODULE
    plain = pickle.loads(pickle.dumps(members(tmp_path / "n.tar", tar({"a.ko": MODULE}))[0]))
    assert not open_ref(plain).data.flags.writeable


@pytest.mark.parametrize("end", PACK)
def test_a_debian_package_is_its_data(end: str, tmp_path: Path) -> None:
    data = deb(PACK[end](tar({"./lib/a.ko": MODULE})), b"data.tar" + end.encode())
    assert [ref.member for ref in members(tmp_path / "k.deb", data)] == ["lib/a.ko"]


def test_damaged_debian_packages(tmp_path: Path) -> None:
    whole = deb(lzma.compress(tar({"a.ko": MODULE})))
    for size in range(8 + 13, len(whole) - 1):
        with pytest.raises(ImageError):
            members(tmp_path / "k.deb", whole[:size])
    with pytest.raises(ImageError, match=r"ar header at offset 0x.*: expected a member data.tar, got none"):
        members(tmp_path / "k.deb", deb(b"", b"other"))


def test_archives_inside_archives(tmp_path: Path) -> None:
    inner = lzma.compress(tar({"lib/a.ko": MODULE}))
    found = members(tmp_path / "o", zstd(tar({"out/modules.tar.xz": inner, "out/vmlinux": VMLINUX})))
    assert [(ref.member, ref.role.value) for ref in found] == [
        ("out/modules.tar.xz:lib/a.ko", "module"),
        ("out/vmlinux", "kernel"),
    ]
    assert found[0].path == f"{tmp_path}/o:out/modules.tar.xz:lib/a.ko"
    deep = tar({"a.ko": MODULE})
    for _ in range(4):
        deep = tar({"b.ko": MODULE, "x.tar": deep})
    problems = [ref.problem for ref in members(tmp_path / "o", deep) if ref.problem]
    assert problems == ["too many archives inside one another"]


def test_hostile_names_are_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path / "cwd", {}).parent)
    before = sorted(tmp_path.rglob("*"))
    others = (
        info("link.ko", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info("hard.ko", type=tarfile.LNKTYPE, linkname="../../x.ko"),
        info("vmlinux", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        info("fifo.ko", type=tarfile.FIFOTYPE),
        info("dir.ko", type=tarfile.DIRTYPE),
    )
    names = ["../../x.ko", "/etc/y.ko", "a\n\x1b[31m.ko", "\udcff.ko", "é.ko"]
    data = tar(dict.fromkeys(names, MODULE), *others, form=tarfile.GNU_FORMAT)
    found = members(tmp_path / "t.tar", data)
    expected = ["../../x.ko", "/etc/y.ko", r"a\n\x1b[31m.ko", r"\xff.ko", "é.ko"]
    assert [ref.member for ref in found] == expected
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "t.tar"])


def test_an_archive_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no kernel image or module in this archive$"):
        members(tmp_path / "t", tar({"config": CONFIG}))
    with pytest.raises(InputError, match=r"in this archive; a\.ko: expected a kernel image, got an empty file$"):
        members(tmp_path / "t", tar({"a.ko": b""}))


def test_members_and_archives_are_bounded(tmp_path: Path) -> None:
    data = tar({"a.ko": MODULE, "b.ko": elf(body=bytes(1 << 20))})
    small, large = members(tmp_path / "t", data, limit=1000)
    assert (small.problem, large.problem) == ("", f"expected at most 1000 bytes, got {(1 << 20) + 64}")
    with pytest.raises(ImageError, match="expected at most 100000 bytes, got more"):
        members(tmp_path / "t", zstd(data), total=100_000)


def test_an_archive_cut_anywhere_is_an_image_error(tmp_path: Path) -> None:
    data = tar({"a.ko": MODULE, "n" * 120 + ".ko": MODULE})
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    path = tmp_path / "t.tar"
    for size in [*range(263, 1024), *range(1024, end + 512, 7)]:
        path.write_bytes(data[:size])
        (ref,) = list_inputs(path)
        with pytest.raises(ImageError, match="truncated after"):
            list(iter_members(ref))


@pytest.mark.parametrize("end", [".gz", ".xz", ".zst", ".bz2"])
def test_a_packed_archive_cut_anywhere_is_an_error(end: str, tmp_path: Path) -> None:
    packed = PACK[end](tar({"a.ko": MODULE}))
    ref = archive(tmp_path / "t", packed)
    for size in range(20, len(packed)):
        cut = InputRef(path="t", role=Role.TAR, raw=np.frombuffer(packed[:size], np.uint8), size=size)
        with pytest.raises(ImageError):
            list(iter_members(cut))
    assert [found.member for found in iter_members(ref)] == ["a.ko"]


def header(kind: bytes, size: int, name: bytes = b"x") -> bytes:
    block = bytearray(info("x", 0, type=kind).tobuf(tarfile.GNU_FORMAT)[:512])
    block[0:100] = name.ljust(100, b"\0")
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (header(b"L", 1 << 40), "expected at most 1048576 bytes of header, got 1099511627776"),
        (header(b"x", 1 << 30), "bytes of header"),
        (header(b"S", 0), "expected a plain member, got a sparse one"),
        (header(b"x", 9) + b"9 nothing".ljust(512, b"\0"), "expected a pax record"),
        (header(b"x", 9) + b"0 a=b\nxyz".ljust(512, b"\0"), "expected a pax record"),
        (header(b"x", 11) + b"11 size=-1\n".ljust(512, b"\0") + header(b"0", 0), "expected a size"),
        (header(b"x", 22) + b"22 GNU.sparse.major=1\n".ljust(512, b"\0") + header(b"0", 0), "a sparse one"),
        (header(b"0", 1 << 62, b"x.ko"), "truncated after"),
        (header(b"0", 1 << 62, b"x.c"), "truncated after"),
        (header(b"0", 0) + b"\1" * 512, "expected a tar header, got bytes 01 01"),
    ],
)
def test_hostile_headers(blocks: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=message):
        members(tmp_path / "t", blocks + bytes(1024))


def test_damage_between_members_does_not_end_the_archive(tmp_path: Path) -> None:
    data = bytearray(tar({"a.ko": MODULE, "b.ko": MODULE}, form=tarfile.USTAR_FORMAT))
    second = 512 + -(-len(MODULE) // 512) * 512
    data[second + 148] ^= 1
    with pytest.raises(ImageError, match=f"tar offset {second + 512:#x}: expected a tar header"):
        members(tmp_path / "t", bytes(data))


def test_a_wrong_checksum_after_the_archive_is_seen(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(tar({"a.ko": MODULE})))
    packed[-8] ^= 1
    with pytest.raises(ImageError, match="gzip stream"):
        members(tmp_path / "t", bytes(packed))


BASE = tar({"lib/a.ko.xz": lzma.compress(MODULE), "boot/" + "v" * 120: b"x", "vmlinux": VMLINUX})


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), min_size=1, max_size=20),
    st.sampled_from(["", ".gz", ".zst", "deb"]),
    st.booleans(),
)
def test_damaged_archives(edits: list[tuple[int, int]], end: str, is_outside: bool) -> None:
    def pack(data: bytes) -> bytes:
        return deb(data, b"data.tar") if end == "deb" else PACK[end](data)

    data = bytearray(pack(BASE) if is_outside else BASE)
    for at, value in edits:
        data[at % len(data)] = value
    raw = np.frombuffer(bytes(data) if is_outside else pack(bytes(data)), np.uint8)
    with suppress(InputError):
        for found in iter_members(InputRef(path="t", role=Role.TAR, raw=raw), limit=1 << 20, total=1 << 22):
            assert found.problem or open_ref(found, limit=1 << 20).data.size


# --- real kernels


@needs_kernels
@pytest.mark.kernels
def test_real_directory() -> None:
    refs = list_inputs(Path(KERNELS, "7.2"))
    roles = [ref.role for ref in refs]
    assert roles.count(Role.KERNEL) == roles.count(Role.BOOT) == roles.count(Role.CONFIG) == 1
    assert roles.count(Role.MODULE) == len(refs) - 3 > 3000
    assert not [ref for ref in refs if ref.problem or ref.duplicate_of]


@needs_kernels
@pytest.mark.kernels
def test_real_boot_images_and_kernels() -> None:
    for version in ("6.12", "7.2"):
        assert open_content(Path(KERNELS, version, "boot")).format is Format.BOOT_IMAGE
        assert open_content(Path(KERNELS, version, "vmlinux")).format is Format.ELF


@needs_kernels
@pytest.mark.kernels
def test_real_modules_in_an_archive(tmp_path: Path) -> None:
    files = sorted(Path(KERNELS, "7.2", "modules").iterdir())[:200]
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz", compresslevel=1) as made:
        for file in files:
            made.add(file, f"lib/modules/{file.name}")
    (ref,) = list_inputs(tmp_path / "m.tar.gz")
    with ProcessPoolExecutor(2) as pool:
        sizes = list(pool.map(_size, iter_members(ref), chunksize=16))
    assert sizes == [len(lzma.decompress(file.read_bytes())) for file in files]


def _size(ref: InputRef) -> int:
    return open_ref(ref).data.size
