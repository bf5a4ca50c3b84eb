# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF64 little-endian RISC-V files as numpy arrays: headers, sections, symbols, relocations.

pyelftools supplies the names of foreign machines; the tables themselves are read as arrays because a
kernel has 250,000 symbols and a relocatable one as many relocations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, RelocationError
from ..units import Span, U8Array
from .memory import AddressSpace, Region
from .symbols import SHN_ABS, SHN_UNDEF, SymbolTable

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
EM_RISCV = 243
EF_RISCV_RVC = 1
SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_SYMTAB_SHNDX = 2, 3, 4, 7, 8, 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS, SHF_COMPRESSED, SHF_LINK_ORDER = 1, 2, 4, 0x400, 0x800, 0x80
SHN_XINDEX, SHN_LORESERVE = 0xFFFF, 0xFF00
PT_LOAD = 1
R_RISCV_64, R_RISCV_RELATIVE, R_RISCV_ADD32 = 2, 3, 35
_RELOCATION_NAMES = {
    0: "R_RISCV_NONE", 1: "R_RISCV_32", 2: "R_RISCV_64", 3: "R_RISCV_RELATIVE", 4: "R_RISCV_COPY",
    5: "R_RISCV_JUMP_SLOT", 16: "R_RISCV_BRANCH", 17: "R_RISCV_JAL", 18: "R_RISCV_CALL", 19: "R_RISCV_CALL_PLT",
    35: "R_RISCV_ADD32", 36: "R_RISCV_ADD64", 39: "R_RISCV_SUB32", 40: "R_RISCV_SUB64", 58: "R_RISCV_IRELATIVE",
}  # fmt: skip

_HEADER_SIZE = 64
_HEADER = np.dtype(
    [
        ("ident", "u1", 16), ("type", "<u2"), ("machine", "<u2"), ("version", "<u4"), ("entry", "<u8"),
        ("phoff", "<u8"), ("shoff", "<u8"), ("flags", "<u4"), ("ehsize", "<u2"), ("phentsize", "<u2"),
        ("phnum", "<u2"), ("shentsize", "<u2"), ("shnum", "<u2"), ("shstrndx", "<u2"),
    ]
)  # fmt: skip
_SECTION = np.dtype(
    [
        ("name", "<u4"), ("type", "<u4"), ("flags", "<u8"), ("addr", "<u8"), ("offset", "<u8"), ("size", "<u8"),
        ("link", "<u4"), ("info", "<u4"), ("align", "<u8"), ("entsize", "<u8"),
    ]
)  # fmt: skip
_SEGMENT = np.dtype(
    [
        ("type", "<u4"), ("flags", "<u4"), ("offset", "<u8"), ("vaddr", "<u8"), ("paddr", "<u8"),
        ("filesz", "<u8"), ("memsz", "<u8"), ("align", "<u8"),
    ]
)  # fmt: skip
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("shndx", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
RELA = np.dtype([("offset", "<u8"), ("info", "<u8"), ("addend", "<i8")])

_MAX_SECTIONS = 1 << 20
_MAX_NAME = 1024
_OBJECT_BASE = 0x1000_0000


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """An ELF64 RISC-V file whose tables have been checked against its size.

    Args:
        path: for messages.
        data: uint8[file size].
        header: the file header.
        sections: structured array[n]; ``sections["name"]`` indexes `section_names`.
        section_names: the section string table.
    """

    path: str
    data: U8Array
    header: Any
    sections: NDArray[Any]
    section_names: bytes

    @classmethod
    def parse(cls, data: U8Array, path: str) -> ElfFile:
        """Read the file header and the section table.

        Raises:
            ImageError: not ELF, not 64-bit little-endian RISC-V, truncated, or a table outside the file.
        """
        header = _checked_header(data, path)
        sections = _section_table(data, path, header)
        names = b""
        index = _section_name_index(header, sections)
        if len(sections) and index:
            if index >= len(sections):
                raise ImageError(path, "e_shstrndx", expected=f"a section below {len(sections)}", got=str(index))
            names = _contents(data, path, sections, index).tobytes()
        return cls(path=path, data=data, header=header, sections=sections, section_names=names)

    @property
    def type(self) -> int:
        """e_type."""
        return int(self.header["type"])

    @property
    def has_rvc(self) -> bool:
        """EF_RISCV_RVC of e_flags: compressed instructions are used."""
        return bool(int(self.header["flags"]) & EF_RISCV_RVC)

    def __len__(self) -> int:
        return len(self.sections)

    @cached_property
    def names(self) -> list[str]:
        """The name of each section; an offset outside the string table gives an empty name."""
        return [_string(self.section_names, at) for at in self.sections["name"].tolist()]

    def find(self, name: str) -> int | None:
        """Return the index of the first section so named, or None."""
        return next(iter(self.find_all(name)), None)

    def find_all(self, name: str) -> list[int]:
        """Return the indices of every section so named."""
        return [index for index, each in enumerate(self.names) if each == name]

    def contents(self, index: int) -> U8Array:
        """Return a section's bytes: uint8[sh_size]; empty for SHT_NOBITS.

        Raises:
            ImageError: the section lies outside the file or is compressed.
        """
        return _contents(self.data, self.path, self.sections, index)

    def of_type(self, sh_type: int) -> list[int]:
        """Return the indices of the sections of one type."""
        return [int(i) for i in np.flatnonzero(self.sections["type"] == sh_type)]

    def rela_of(self, target: int) -> NDArray[Any]:
        """Return the RELA records that apply to a section: structured array[n], empty if none."""
        chosen = np.flatnonzero((self.sections["type"] == SHT_RELA) & (self.sections["info"] == target))
        parts = [self.records(int(index), RELA) for index in chosen]
        return np.concatenate(parts) if parts else np.empty(0, RELA)

    def records(self, index: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a section as an array of records; a ragged tail is an error."""
        raw = self.contents(index)
        if len(raw) % dtype.itemsize:
            raise ImageError(
                self.path, self.describe(index),
                expected=f"a multiple of {dtype.itemsize} bytes", got=f"{len(raw)}",
            )  # fmt: skip
        return raw.view(dtype)

    def describe(self, index: int) -> str:
        """Return ``section 7 (.rela.dyn)`` for messages."""
        name = self.names[index] if index < len(self.names) else ""
        return f"section {index} ({name})" if name else f"section {index}"

    @cached_property
    def placement(self) -> NDArray[np.uint64]:
        """The address of each section: uint64[n].

        sh_addr in a linked file. In a relocatable object sh_addr means nothing (some modules carry a
        non-zero one), so allocated sections are placed one behind the other, each at its alignment.
        """
        if self.type != ET_REL:
            addresses: NDArray[np.uint64] = self.sections["addr"].astype(np.uint64)
            return addresses
        placed = np.zeros(len(self), np.uint64)
        address = _OBJECT_BASE
        aligns, sizes = self.sections["align"].tolist(), self.sections["size"].tolist()
        for index in np.flatnonzero(self.sections["flags"] & SHF_ALLOC).tolist():
            align = min(max(aligns[index], 1), 1 << 16)
            address = -(-address // align) * align
            placed[index] = address
            address += min(sizes[index], 1 << 40)
        return placed

    def address_space(self) -> AddressSpace:
        """Return the bytes of the allocated sections (or, without sections, of PT_LOAD segments)."""
        regions = [*self._section_regions()] or [*self._segment_regions()]
        regions.sort(key=lambda region: region.span.start)
        kept: list[Region] = []
        for region in regions:
            if kept and region.span.start < kept[-1].span.end:
                if kept[-1].executable or not region.executable:
                    continue
                kept.pop()
            kept.append(region)
        return AddressSpace(regions=tuple(kept), placed=self.type == ET_REL, buffer=self.data)

    def _section_regions(self) -> Iterator[Region]:
        flags = self.sections["flags"]
        wanted = ((flags & (SHF_ALLOC | SHF_TLS)) == SHF_ALLOC) & (self.sections["size"] > 0)
        placement = self.placement.tolist()
        for index in np.flatnonzero(wanted).tolist():
            _, _, flag, _, offset, size, _, _, align, _ = self.sections[index].item()
            start = placement[index]
            if start + size >= 1 << 64:
                raise ImageError(self.path, self.describe(index), expected="an end below 2**64", got="a wrap-around")
            data = self.contents(index)
            yield Region(
                name=self.names[index],
                span=Span(start, start + size),
                data=data,
                executable=bool(flag & SHF_EXECINSTR),
                writable=bool(flag & SHF_WRITE),
                alignment=_guaranteed_alignment(self.type, start, align),
                index=index,
                at=offset if len(data) else 0,
            )

    def _segment_regions(self) -> Iterator[Region]:
        for number, segment in enumerate(self.segments()):
            start, size = int(segment["vaddr"]), int(segment["memsz"])
            if int(segment["type"]) != PT_LOAD or not size:
                continue
            offset, stored = int(segment["offset"]), min(int(segment["filesz"]), size)
            if offset + stored > len(self.data) or start + size >= 1 << 64:
                raise ImageError(
                    self.path, f"program header {number}",
                    expected=f"bytes within {len(self.data)}", got=f"{stored:#x} at {offset:#x}",
                )  # fmt: skip
            yield Region(
                name=f"segment {number}",
                span=Span(start, start + size),
                data=self.data[offset : offset + stored],
                executable=bool(int(segment["flags"]) & 1),
                writable=bool(int(segment["flags"]) & 2),
                alignment=_guaranteed_alignment(self.type, start, int(segment["align"])),
                at=offset,
            )

    def segments(self) -> NDArray[Any]:
        """Return the program headers: structured array[n].

        Raises:
            ImageError: they lie outside the file.
        """
        count, offset = int(self.header["phnum"]), int(self.header["phoff"])
        size = count * _SEGMENT.itemsize
        if not count:
            return np.empty(0, _SEGMENT)
        if int(self.header["phentsize"]) != _SEGMENT.itemsize or offset + size > len(self.data):
            raise ImageError(
                self.path, "program headers",
                expected=f"{count} of {_SEGMENT.itemsize} bytes within {len(self.data)}", got=f"offset {offset:#x}",
            )  # fmt: skip
        return self.data[offset : offset + size].copy().view(_SEGMENT)

    def symbols(self) -> SymbolTable:
        """Return .symtab with values turned into addresses; an empty table where there is none."""
        tables = self.of_type(SHT_SYMTAB)
        if not tables:
            return SymbolTable.empty()
        index = tables[0]
        raw = self.records(index, _SYMBOL)
        names = self.contents(self._linked_strings(index))
        section = raw["shndx"].astype(np.uint16)
        value = raw["value"].astype(np.uint64)
        if self.type == ET_REL:
            value = value + self._section_base(index, section)
        return SymbolTable(
            source="symtab",
            address=value,
            size=raw["size"].astype(np.uint64),
            kind=(raw["info"] & 15).astype(np.uint8),
            binding=(raw["info"] >> 4).astype(np.uint8),
            section=section,
            name_at=raw["name"].astype(np.uint32),
            names=names if len(names) else np.zeros(1, np.uint8),
        )

    def dynamic_symbol_values(self, rela_index: int) -> NDArray[np.uint64]:
        """Return st_value of the symbols that a dynamic relocation section names: uint64[n]."""
        link = int(self.sections["link"][rela_index])
        if not link or link >= len(self):
            return np.empty(0, np.uint64)
        return self.records(link, _SYMBOL)["value"].astype(np.uint64)

    def require_known(self, index: int, rela: NDArray[Any], known: NDArray[np.bool_]) -> None:
        """Raise RelocationError for the first record that is not `known`."""
        if not known.all():
            record = rela[int(np.argmin(known))]
            raise RelocationError(
                self.path, f"{self.describe(index)}, relocation at {int(record['offset']):#x}",
                expected="R_RISCV_RELATIVE or R_RISCV_64",
                got=relocation_name(int(record["info"]) & 0xFFFFFFFF),
            )  # fmt: skip

    def _linked_strings(self, index: int) -> int:
        link = int(self.sections["link"][index])
        if link >= len(self) or int(self.sections["type"][link]) != SHT_STRTAB:
            raise ImageError(
                self.path, self.describe(index), expected="sh_link to a string table", got=f"section {link}"
            )
        return link

    def _section_base(self, symtab: int, section: NDArray[np.uint16]) -> NDArray[np.uint64]:
        """The placed address of each symbol's section: uint64[n]; 0 for absolute and undefined ones."""
        index = self.symbol_sections(symtab, section)
        base = np.append(self.placement, np.uint64(0))
        return base[np.where((index > 0) & (index < len(self)), index, len(self))]

    def symbol_sections(self, symtab: int, section: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Section indices of symbols, extended indices resolved: int64[n]; reserved ones become -1."""
        index = section.astype(np.int64)
        extended = section == SHN_XINDEX
        index[(section >= SHN_LORESERVE) & ~extended] = -1
        if extended.any():
            index[extended] = -1
            for table in self.of_type(SHT_SYMTAB_SHNDX):
                if int(self.sections["link"][table]) == symtab:
                    full = self.records(table, np.dtype("<u4"))
                    if len(full) == len(section):
                        index[extended] = full[extended]
        return index


def _guaranteed_alignment(e_type: int, start: int, align: int) -> int:
    if e_type == ET_REL:
        return min(max(align & -align, 1), 1 << 16) if align else 1
    return min(start & -start, 1 << 16) if start else 1 << 16


def _checked_header(data: U8Array, path: str) -> Any:
    """Return the ELF header after checking that it is ELF64, little-endian, RISC-V."""
    ident = data[:16].tobytes()
    if ident[:4] != b"\x7fELF":
        raise ImageError(path, "offset 0", expected="an ELF magic", got=ident[:4].hex(" ") or "nothing")
    if len(ident) > 4 and ident[4] != 2:
        raise ImageError(path, "EI_CLASS", expected="2 (64-bit)", got=_named(ident[4], {1: "32-bit"}))
    if len(ident) > 5 and ident[5] != 1:
        raise ImageError(path, "EI_DATA", expected="1 (little-endian)", got=_named(ident[5], {2: "big-endian"}))
    if len(data) < _HEADER_SIZE:
        raise ImageError(path, "ELF header", expected=f"{_HEADER_SIZE} bytes", got=f"{len(data)}")
    header = data[:_HEADER_SIZE].copy().view(_HEADER)[0]
    machine = int(header["machine"])
    if machine != EM_RISCV:
        raise ImageError(path, "e_machine", expected="243 (RISC-V)", got=_named(machine, _machine_names()))
    if int(header["type"]) not in (ET_REL, ET_EXEC, ET_DYN):
        raise ImageError(
            path,
            "e_type",
            expected="ET_EXEC, ET_DYN or ET_REL",
            got=_named(int(header["type"]), {4: "ET_CORE"}),
        )
    return header


def _named(value: int, names: dict[int, str]) -> str:
    return f"{value} ({names[value]})" if value in names else str(value)


def _machine_names() -> dict[int, str]:
    """Machine numbers to names, from pyelftools; used for the message alone."""
    from elftools.elf.enums import ENUM_E_MACHINE

    return {number: name for name, number in ENUM_E_MACHINE.items() if isinstance(number, int)}


def relocation_name(number: int) -> str:
    """Return ``R_RISCV_64`` for 2; a number this project never applies is given as a number."""
    return _RELOCATION_NAMES.get(number, f"relocation type {number}")


def _section_table(data: U8Array, path: str, header: Any) -> NDArray[Any]:
    offset, count = int(header["shoff"]), int(header["shnum"])
    if not offset:
        return np.empty(0, _SECTION)
    if int(header["shentsize"]) != _SECTION.itemsize:
        raise ImageError(path, "e_shentsize", expected=str(_SECTION.itemsize), got=str(int(header["shentsize"])))
    if offset + _SECTION.itemsize > len(data):
        raise ImageError(
            path, "e_shoff", expected=f"a section table within {len(data)} bytes", got=f"offset {offset:#x}"
        )
    if not count:  # 0xff00 sections or more: the number stands in the first header
        count = int(data[offset : offset + _SECTION.itemsize].copy().view(_SECTION)["size"][0])
    size = count * _SECTION.itemsize
    if count > _MAX_SECTIONS or offset + size > len(data):
        raise ImageError(
            path, "section table",
            expected=f"{count} headers within {len(data)} bytes", got=f"offset {offset:#x}",
        )  # fmt: skip
    return data[offset : offset + size].copy().view(_SECTION)


def _section_name_index(header: Any, sections: NDArray[Any]) -> int:
    index = int(header["shstrndx"])
    return int(sections["link"][0]) if index == SHN_XINDEX and len(sections) else index


def _contents(data: U8Array, path: str, sections: NDArray[Any], index: int) -> U8Array:
    _, kind, flags, _, start, size, _, _, _, _ = sections[index].item()
    if kind == SHT_NOBITS:
        return np.empty(0, np.uint8)
    if start + size > len(data):
        raise ImageError(
            path, f"section {index}",
            expected=f"bytes within {len(data):#x}", got=f"{size:#x} bytes at offset {start:#x}",
        )  # fmt: skip
    if flags & SHF_COMPRESSED and flags & SHF_ALLOC:
        raise ImageError(path, f"section {index}", expected="allocated bytes", got="SHF_COMPRESSED")
    return data[start : start + size]


def _string(table: bytes, at: int) -> str:
    end = table.find(b"\0", at, at + _MAX_NAME)
    return table[at : end if end >= 0 else at + _MAX_NAME].decode("utf-8", "replace")


__all__ = ["RELA", "SHN_ABS", "SHN_UNDEF", "ElfFile", "relocation_name"]
