# SPDX-License-Identifier: GPL-2.0-or-later
"""A small writer of ELF64 files from named sections, symbols, relocations and segments.

What a test wants to be wrong is an argument: every field of a header can be overridden, and a section may
claim any size, offset or link.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PROGBITS, SYMTAB, STRTAB, RELA, NOTE, NOBITS, DYNSYM, SYMTAB_SHNDX = 1, 2, 3, 4, 7, 8, 11, 18
WRITE, ALLOC, EXEC, LINK_ORDER, TLS, COMPRESSED = 1, 2, 4, 0x80, 0x400, 0x800
UNDEF, ABS, COMMON, XINDEX = 0, 0xFFF1, 0xFFF2, 0xFFFF
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
R_RISCV_NONE, R_RISCV_32, R_RISCV_64, R_RISCV_RELATIVE, R_RISCV_ADD32, R_RISCV_SUB32 = 0, 1, 2, 3, 35, 39
TABLE = "__patchable_function_entries"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section; `link` and `info` may be the name of another one, `claim` overrides header fields."""

    name: str
    data: bytes = b""
    type: int = PROGBITS
    flags: int = ALLOC
    addr: int = 0
    align: int = 1
    size: int | None = None
    link: str | int = 0
    info: str | int = 0
    entsize: int = 0
    claim: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A symbol; `section` is a name, or an index such as ABS."""

    name: str
    value: int = 0
    section: str | int = ".text"
    kind: int = FUNC
    binding: int = GLOBAL
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A PT_LOAD program header over bytes of its own."""

    vaddr: int
    data: bytes
    memsz: int | None = None
    flags: int = 5
    claim: dict[str, int] = field(default_factory=dict)


def text(data: bytes, addr: int = 0, *, name: str = ".text", **more: Any) -> Section:
    """Return an executable section."""
    return Section(name=name, data=data, addr=addr, flags=ALLOC | EXEC, **({"align": 4} | more))


def rela(*records: tuple[int, int, int, int], name: str, info: str | int = 0, **more: Any) -> Section:
    """Return a RELA section of (offset, symbol index, kind, addend) records."""
    raw = b"".join(struct.pack("<QQq", at, symbol << 32 | kind, addend) for at, symbol, kind, addend in records)
    values: dict[str, Any] = {"link": ".symtab", "entsize": 24, "align": 8, "flags": 0} | more
    return Section(name=name, data=raw, type=RELA, info=info, **values)


def words64(*values: int) -> bytes:
    """Return little-endian 64-bit words."""
    return struct.pack(f"<{len(values)}Q", *(value & (1 << 64) - 1 for value in values))


def strings(names: Iterable[str], *, share_tails: bool = False) -> tuple[bytes, dict[str, int]]:
    """Return a string table and where each name starts; as linkers do, a name may be the tail of another."""
    table, places = b"\0", {"": 0}
    for name in sorted(set(names) - {""}, key=lambda each: (-len(each), each)):
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
        at = table.find(raw) if share_tails else -1
        if at < 0:
            at, table = len(table), table + raw
        places[name] = at
    return table, places


def symbol_record(at: int, symbol: Symbol, section: int) -> bytes:
    """Return one Elf64_Sym."""
    info = symbol.binding << 4 | symbol.kind
    return struct.pack("<IBBHQQ", at, info, 0, section, symbol.value, symbol.size)


def _symtab(sections: Sequence[Section], symbols: Sequence[Symbol], share_tails: bool) -> tuple[Section, Section]:
    numbers = {each.name: index for index, each in reversed(list(enumerate(sections, 1)))}
    table, places = strings((each.name for each in symbols), share_tails=share_tails)
    raw = bytes(24)
    for each in symbols:
        section = numbers[each.section] if isinstance(each.section, str) else each.section
        raw += symbol_record(places[each.name], each, section)
    n_local = 1 + sum(each.binding == LOCAL for each in symbols)
    symtab = Section(name=".symtab", data=raw, type=SYMTAB, flags=0, link=".strtab", info=n_local, entsize=24, align=8)
    return symtab, Section(name=".strtab", data=table, type=STRTAB, flags=0)


def elf(
    *sections: Section,
    symbols: Sequence[Symbol] | None = None,
    segments: Sequence[Segment] = (),
    type: int = ET_EXEC,
    machine: int = 243,
    flags: int = 1,
    share_tails: bool = False,
    **header: int,
) -> bytes:
    """Return an ELF file.

    Args:
        sections: in order, from index 1 on; .symtab, .strtab (given symbols) and .shstrtab follow them.
        symbols: from index 1 on.
        segments: program headers.
        type, machine, flags: of the file header.
        share_tails: names that end alike share bytes.
        header: other fields of the file header, to be wrong about: shoff, shnum, shstrndx, shentsize, ...
    """
    every = list(sections)
    if symbols is not None:
        every += _symtab(sections, symbols, share_tails)
    if every or not segments:
        names, places = strings([*(each.name for each in every), ".shstrtab"])
        every.append(Section(name=".shstrtab", data=names, type=STRTAB, flags=0))
    body = bytes(64 + 56 * len(segments))
    program = b""
    for each in segments:
        size = len(each.data) if each.memsz is None else each.memsz
        fields = {"offset": len(body), "filesz": len(each.data), "memsz": size} | each.claim
        program += struct.pack(
            "<IIQQQQQQ", 1, each.flags, fields["offset"], each.vaddr, 0, fields["filesz"], fields["memsz"], 1
        )
        body += each.data
    numbers = {each.name: index for index, each in reversed(list(enumerate(every, 1)))}
    headers = bytes(64)
    for each in every:
        body += bytes(-len(body) % max(each.align, 1))
        fields = {
            "type": each.type, "flags": each.flags, "addr": each.addr, "offset": len(body),
            "size": len(each.data) if each.size is None else each.size, "align": each.align, "entsize": each.entsize,
            "link": numbers[each.link] if isinstance(each.link, str) else each.link,
            "info": numbers[each.info] if isinstance(each.info, str) else each.info,
        } | each.claim  # fmt: skip
        order = ("type", "flags", "addr", "offset", "size", "link", "info", "align", "entsize")
        headers += struct.pack("<IIQQQQIIQQ", places[each.name], *(fields[key] for key in order))
        body += each.data
    body += bytes(-len(body) % 8)
    values = {
        "class": 2, "data": 1, "entry": 0, "phoff": 64 if segments else 0, "shoff": len(body) if every else 0,
        "ehsize": 64, "phentsize": 56, "phnum": len(segments), "shentsize": 64,
        "shnum": len(every) + 1 if every else 0, "shstrndx": len(every),
    } | header  # fmt: skip
    ident = b"\x7fELF" + bytes((values["class"], values["data"], 1)) + bytes(9)
    order = ("entry", "phoff", "shoff")
    start = ident + struct.pack("<HHI", type, machine, 1) + struct.pack("<QQQ", *(values[key] for key in order))
    order = ("ehsize", "phentsize", "phnum", "shentsize", "shnum", "shstrndx")
    start += struct.pack("<I6H", flags, *(values[key] for key in order))
    body = start + program + body[64 + len(program) :]
    return body + headers if every else body
