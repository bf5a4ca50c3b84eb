# SPDX-License-Identifier: GPL-2.0-or-later
"""One KernelImage from every kind of file."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import numpy as np
import pytest

from genpatch.audit.facts import Facts
from genpatch.audit.model import Status
from genpatch.audit.registry import all_rules
from genpatch.audit.runner import run_rules
from genpatch.errors import ImageError
from genpatch.image.config import parse_config
from genpatch.image.containers import Content, Format
from genpatch.image.model import ImageKind, KernelImage
from genpatch.image.read import ReadOptions, read_image
from genpatch.image.system_map import read_system_map
from tests.elfwriter import (
    ALLOC,
    ET_DYN,
    EXEC,
    NOBITS,
    NOTE,
    OBJECT,
    R_RISCV_RELATIVE,
    Section,
    Symbol,
    elf,
    rela,
    text,
    words64,
)
from tests.toykernel import BANNER, BANNER_AT, DATA, FUNCTIONS, NAMES, TABLE_AT, TEXT, module, vmlinux

SITES = [FUNCTIONS + 0x18, FUNCTIONS + 0x38, FUNCTIONS + 0x58]


def read(raw: bytes, **options: Any) -> KernelImage:
    data = np.frombuffer(raw, np.uint8)
    return read_image(Content(path="vmlinux", format=Format.ELF, data=data), ReadOptions(**options))


def entries_of(image: KernelImage) -> np.ndarray:
    return image.table.entries if image.table is not None else np.empty(0, np.uint64)


def build_id(raw: bytes) -> Section:
    note = struct.pack("<III", 4, len(raw), 3) + b"GNU\0" + raw
    return Section(name=".notes", data=note, type=NOTE, flags=0, align=4)


# --- kernels


def test_a_kernel() -> None:
    image = read(vmlinux(extra=(build_id(bytes(range(20))),)))
    assert image.kind is ImageKind.EXEC
    assert image.kind_text == "vmlinux ET_EXEC"
    assert entries_of(image).tolist() == SITES
    assert image.release == "7.2.13-toy"
    assert image.compiler == "riscv64-linux-gnu-gcc-14 (Debian 14.2.0-1) 14.2.0"
    assert image.is_clang is False
    assert image.banner == BANNER.rstrip(b"\n\0").decode()
    assert image.build_id == "000102030405060708090a0b0c0d0e0f10111213"
    assert image.address_of("vfs_read") == FUNCTIONS + 0x40
    assert image.has_rvc is True
    assert (image.types, image.types_note) == (None, "none")
    assert not image.config.known
    assert image.trouble == image.notes == ()
    assert image.file_size == len(vmlinux(extra=(build_id(bytes(range(20))),)))


@pytest.mark.parametrize("mark", ["linux_banner", "start_kernel", "__start_mcount_loc", "init_task"])
def test_one_mark_makes_a_kernel(mark: str) -> None:
    image = read(elf(text(bytes(16), TEXT), symbols=[Symbol(name=mark, value=TEXT, kind=OBJECT)]))
    assert image.table is None
    assert entries_of(image).tolist() == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            elf(text(bytes(16), TEXT), symbols=[Symbol(name="main", value=TEXT)]),
            r"^vmlinux: symbols: expected a Linux kernel \(linux_banner, start_kernel, ...\), got none of them$",
        ),
        (elf(text(bytes(16), TEXT)), "got no symbols, no kallsyms; try --system-map$"),
        (vmlinux(with_symbols=False), "got no symbols, no kallsyms; try --system-map$"),
        (b"#!/bin/sh\necho hello\n", "^vmlinux: expected a RISC-V kernel image or module, got "),
        (b"\x7fELF", "^vmlinux: ELF header: expected 64 bytes, got 4$"),
        (b"", "^vmlinux: expected a RISC-V kernel image or module, got "),
    ],
    ids=["program", "nothing", "stripped", "script", "magic", "empty"],
)
def test_what_is_no_kernel(raw: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read(raw)


SYSTEM_MAP = (
    f"{TEXT - 0x2000:016x} T _start\n{TEXT:016x} T _stext\n{FUNCTIONS + 0x20:016x} T start_kernel\n"
    f"{FUNCTIONS + 0x40:016x} T vfs_read\n{FUNCTIONS + 0x60:016x} t vfs_write\n{FUNCTIONS + 0x80:016x} T _etext\n"
    f"{BANNER_AT:016x} D linux_banner\n{TABLE_AT:016x} d __start_mcount_loc\n{TABLE_AT + 24:016x} d __stop_mcount_loc\n"
)


def test_a_stripped_kernel_with_a_system_map() -> None:
    image = read(vmlinux(with_symbols=False), system_map=read_system_map(SYSTEM_MAP.encode(), "System.map"))
    assert image.symbols.source == "System.map"
    assert entries_of(image).tolist() == SITES
    assert image.release == "7.2.13-toy"


def test_a_symbol_table_is_better_than_a_system_map() -> None:
    image = read(vmlinux(), system_map=read_system_map(SYSTEM_MAP.encode(), "System.map"))
    assert image.symbols.source == "symtab"


def test_a_relocatable_kernel() -> None:
    records = [(TABLE_AT + 8 * n, 0, R_RISCV_RELATIVE, at - (1 << 64)) for n, at in enumerate(SITES)]
    image = read(vmlinux(table=bytes(24), relocations=(rela(*records, name=".rela.dyn", link=0),), type=ET_DYN))
    assert image.kind is ImageKind.DYN
    assert entries_of(image).tolist() == SITES
    assert image.table is not None
    assert (image.table.source, image.table.in_place_zero) == (".rela.dyn", 3)


def test_an_et_exec_kernel_is_not_relocated() -> None:
    records = rela((TABLE_AT, 0, R_RISCV_RELATIVE, 0x1234), name=".rela.dyn", link=0)
    image = read(vmlinux(relocations=(records,)))
    assert entries_of(image).tolist() == SITES


def test_without_a_banner() -> None:
    raw = vmlinux()
    image = read(raw.replace(b"Linux version", b"LINUX VERSION"))
    assert (image.release, image.banner, image.compiler, image.is_clang) == (None, None, None, None)


# --- boot images


def boot_image(header: bytes = b"RISCV\0\0\0RSC\x05") -> bytes:
    """The toy kernel as a flat Image from TEXT - 0x2000 on."""
    memory = read(vmlinux()).memory
    flat = bytearray(DATA - TEXT + 0x2000 + len(memory.regions[1].data))
    flat[0x2000 : 0x2000 + len(memory.regions[0].data)] = memory.regions[0].data.tobytes()
    flat[DATA - TEXT + 0x2000 :] = memory.regions[1].data.tobytes()
    struct.pack_into("<IIQQQII", flat, 0, 0x6F, 0, 0x200000, len(flat), 0, 2, 0)
    flat[0x30 : 0x30 + len(header)] = header
    return bytes(flat)


def test_a_boot_image_with_a_system_map() -> None:
    image = read(boot_image(), system_map=read_system_map(SYSTEM_MAP.encode(), "System.map"))
    assert image.kind is ImageKind.BOOT
    assert image.kind_text == "boot Image"
    assert entries_of(image).tolist() == SITES
    assert image.release == "7.2.13-toy"
    region = image.memory.region_at(SITES[0])
    assert region is not None
    assert (region.name, region.executable, region.span.start) == (".text", True, TEXT)
    assert [each.name for each in image.memory.regions] == [".head.text", ".text", "Image"]
    assert image.has_rvc is None


def test_a_boot_image_without_any_symbols() -> None:
    with pytest.raises(ImageError, match=r"^vmlinux: "):
        read(boot_image())


def test_a_system_map_without_a_start() -> None:
    names = SYSTEM_MAP.replace("_start\n", "_begin\n", 1)
    with pytest.raises(ImageError, match=r"^vmlinux: System\.map: expected _start or _text, got neither$"):
        read(boot_image(), system_map=read_system_map(names.encode(), "System.map"))


def test_a_system_map_of_another_kernel() -> None:
    far = f"{0xFFFF_FFFF_FFFF_0000:016x} T _start\n{0xFFFF_FFFF_FFFF_1000:016x} T start_kernel\n"
    with pytest.raises(ImageError, match=r"^vmlinux: base address: expected an end below 2\*\*64, got 0x"):
        read(boot_image(), system_map=read_system_map(far.encode(), "System.map"))


def test_a_boot_image_whose_table_is_not_named() -> None:
    names = "".join(line for line in SYSTEM_MAP.splitlines(True) if "mcount" not in line)
    image = read(boot_image(), system_map=read_system_map(names.encode(), "System.map"))
    assert image.table is None
    assert image.notes == ("kallsyms holds no __start_mcount_loc (KALLSYMS_ALL is off?): give --system-map",)


# --- configuration


def with_ikconfig(payload: bytes) -> bytes:
    """The kernel_config_data symbol stands behind IKCFG_ST."""
    at = DATA + 0x10_0000
    return vmlinux(
        extra=(Section(name=".rodata", data=bytes(16) + payload, addr=at),),
        symbols=(Symbol(name="kernel_config_data", value=at + 24, section=".rodata", kind=OBJECT),),
    )


PACKED = b"IKCFG_ST" + gzip.compress(b"CONFIG_RISCV=y\nCONFIG_PREEMPTION=y\n") + b"IKCFG_ED"


def test_ikconfig() -> None:
    image = read(with_ikconfig(PACKED))
    assert image.config.source == "IKCONFIG"
    assert image.config.enabled("PREEMPTION") is True
    assert image.config.enabled("CFI") is False
    assert image.trouble == ()


def test_the_users_configuration_wins() -> None:
    image = read(with_ikconfig(PACKED), config=parse_config(b"CONFIG_CFI=y\n", "mine"))
    assert (image.config.source, image.config.enabled("CFI")) == ("mine", True)


@pytest.mark.parametrize(
    "payload",
    [PACKED[:-4], PACKED[:30], b"IKCFG_ST" + gzip.compress(b"nothing") + b"IKCFG_ED", PACKED[:20] + b"\xff" * 40],
    ids=["end", "cut", "empty", "damaged"],
)
def test_a_broken_ikconfig_is_trouble(payload: bytes) -> None:
    image = read(with_ikconfig(payload))
    assert not image.config.known
    (line,) = image.trouble
    assert line.startswith("IKCONFIG: ")


def test_a_symbol_without_ikconfig_behind_it() -> None:
    image = read(with_ikconfig(bytes(64)))
    assert (image.config.known, image.trouble) == (False, ())


# --- types


def btf(types: bytes, chars: bytes = b"\0", magic: int = 0xEB9F) -> Section:
    raw = struct.pack("<HBBIIIII", magic, 1, 0, 24, 0, len(types), len(types), len(chars)) + types + chars
    return Section(name=".BTF", data=raw, flags=0)


def test_types() -> None:
    size_8 = struct.pack("<IIII", 1, 1 << 24, 8, 64)
    image = read(vmlinux(extra=(btf(size_8, b"\0long\0"),)))
    assert image.types is not None
    assert image.types_note == "BTF"
    assert image.types.n_types == 1


BROKEN = {
    "magic": btf(b"", magic=0x1234),
    "record": btf(struct.pack("<III", 0, 4 << 24 | 50, 0)),
    "kind": btf(struct.pack("<III", 0, 99 << 24, 0)),
    "ragged": btf(bytes(10)),
    "strings": btf(b"", b"no end"),
    "short": Section(name=".BTF", data=b"\x9f\xeb\x01", flags=0),
}


@pytest.mark.parametrize("section", BROKEN.values(), ids=BROKEN.keys())
def test_broken_types_are_trouble_and_no_crash(section: Section) -> None:
    image = read(vmlinux(extra=(section,)))
    (line,) = image.trouble
    assert line.startswith("BTF: ")
    assert image.types_note.startswith("unreadable BTF: ")
    results = {result.rule.code: result for result in run_rules(all_rules().values(), Facts(image=image))}
    assert not [code for code, result in results.items() if result.status is Status.ERROR]
    (finding,) = results["GP903"].findings
    assert finding.message == line
    assert results["GP211"].status is Status.SKIPPED


def test_types_that_break_only_where_they_are_used() -> None:
    """A struct whose member has a type that does not exist: each rule that looks says so."""
    names = b"\0__arch_ftrace_regs\0ftrace_ops\0func\0"
    fregs = struct.pack("<IIIIII", 1, 4 << 24 | 1, 112, names.index(b"func"), 77, 0)
    ops = struct.pack("<IIIIII", names.index(b"ftrace_ops"), 4 << 24 | 1, 200, names.index(b"func"), 77, 0)
    image = read(vmlinux(extra=(btf(fregs + ops, names),)))
    assert image.trouble == ()
    results = {result.rule.code: result for result in run_rules(all_rules().values(), Facts(image=image))}
    for code in ("GP211", "GP214", "GP216"):
        assert results[code].status is not Status.PASS
        assert "type 77" in results[code].reason


# --- objects


def test_a_module() -> None:
    image = read(module())
    assert image.kind is ImageKind.MODULE
    assert image.kind_text == "module"
    assert entries_of(image).tolist() == [0x1000_0000, 0x1000_0020]
    assert image.release == "7.2.13-toy"
    assert image.banner == "7.2.13-toy SMP preempt mod_unload riscv"
    assert image.memory.placed
    assert image.trouble == ()


def test_a_signed_module() -> None:
    signature = bytes(300) + struct.pack(">BBBBB3xI", 0, 0, 2, 0, 0, 300) + b"~Module signature appended~\n"
    image = read(module() + signature)
    assert entries_of(image).tolist() == [0x1000_0000, 0x1000_0020]
    assert image.file_size == len(module()) + 340


def test_an_object() -> None:
    image = read(module(is_module=False))
    assert image.kind is ImageKind.OBJECT
    assert image.release is None


def test_a_module_without_a_table() -> None:
    info = (
        Section(name=".modinfo", data=b"license=GPL\0"),
        Section(name=".gnu.linkonce.this_module", data=bytes(64)),
    )
    image = read(elf(text(bytes(16)), *info, symbols=[Symbol(name="f")], type=1))
    assert image.kind is ImageKind.MODULE
    assert image.table is None
    assert image.release is None


def test_a_debug_only_module() -> None:
    raw = elf(
        Section(name=".text", type=NOBITS, size=64, flags=ALLOC | EXEC, align=16),
        Section(name=".debug_info", data=bytes(16), flags=0),
        symbols=[Symbol(name="f")],
        type=1,
    )
    image = read(raw)
    assert image.trouble == ("its instructions are not stored (a debug-only file): give the real module",)
    assert image.table is None


def test_the_compiler_of_an_object() -> None:
    comment = Section(name=".comment", data=b"\0GCC: (Debian 14.2.0) 14.2.0\0clang\0", flags=0)
    image = read(elf(text(bytes(16)), comment, symbols=[Symbol(name="f")], type=1))
    assert image.compiler == "GCC: (Debian 14.2.0) 14.2.0"


def test_types_of_a_module_are_not_read() -> None:
    raw = elf(text(bytes(16)), BROKEN["magic"], symbols=[Symbol(name="f")], type=1)
    image = read(raw)
    assert image.types is None
    assert image.types_note.startswith("split BTF")


def test_modinfo_that_is_no_text() -> None:
    info = Section(name=".modinfo", data=b"\xff\xfe=\xff\0vermagic\0=x\0vermagic=6.1 \xff")
    assert read(elf(text(bytes(16)), info, symbols=[Symbol(name="f")], type=1)).release == "6.1"


def test_one_unreadable_path_for_all_errors() -> None:
    """Errors from below carry no path; the one that the user named is put in."""
    with pytest.raises(ImageError) as caught:
        read(vmlinux(table=b"123"))
    assert str(caught.value).startswith("vmlinux: __stop_mcount_loc: ")


def test_words() -> None:
    image = read(vmlinux())
    span = image.span_of("__start_mcount_loc", "__stop_mcount_loc")
    assert span is not None
    assert image.words(span).tolist() == SITES
    assert image.span_of("__stop_mcount_loc", "__start_mcount_loc") is None
    assert image.span_of("nothing", "__start_mcount_loc") is None
    assert words64(1) == bytes([1, 0, 0, 0, 0, 0, 0, 0])
    assert len(NAMES) == 3
