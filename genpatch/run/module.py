# SPDX-License-Identifier: GPL-2.0-or-later
"""A module in memory beside its kernel: its sections at addresses where the kernel puts modules, relocated.

As the kernel does it, sections are gathered by what may be done with them, those that only initialise behind the
others, and each gathering starts a page. What symbols stand for is looked up in the kernel; what only another
module could provide gets an address at which nothing is mapped.

Source: linux kernel/module/main.c (layout_sections), arch/riscv/kernel/module-sections.c,
arch/riscv/include/asm/pgtable.h (MODULES_VADDR, MODULES_END).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import ImageError, RelocationError
from ..image.elf import ET_REL, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS, SHF_WRITE, SHT_SYMTAB, ElfFile
from ..image.model import KernelImage
from ..image.relocations import Records, Relocator
from ..image.symbols import LOCAL, SHN_UNDEF, WEAK
from ..isa.asm import encode
from ..isa.encoding import split_pcrel
from ..machine.memory import PAGE
from ..units import I64Array, Span, U8Array, U64Array
from .kernel import Place

__all__ = ["PARTS", "KernelSymbols", "LoadedModule", "ModuleLayout", "lay_out", "load", "module_window"]

PARTS = ("rx", "r", "rw")
"""Permissions of the parts that a module has: text, constants, data."""
_TEXT, _CONSTANTS, _DATA = range(3)
_UNUSED = (".modinfo", "__versions")
"""Allocated sections that the kernel reads and does not keep."""
_REACH = 1 << 31
_LINE = 64  # alignment of the tables that the loader makes [bytes]
_SHN_COMMON = 0xFFF2
_ENTRY = 8
_PLT_ENTRY = 12
_T0, _T1 = 5, 6
_STRIDE = 16  # between the addresses of symbols that nobody provides [bytes]
_U64 = np.uint64


def module_window(kernel: KernelImage) -> Span:
    """Return the addresses that a kernel gives to modules: the 2 GiB that end where it ends, up to its start."""
    regions = kernel.memory.regions
    first, last = kernel.address_of("_start"), kernel.address_of("_end")
    start = regions[0].span.start if first is None else first
    end = max(region.span.end for region in regions) if last is None else last
    return Span(max(_up(end) - _REACH, PAGE), _up(start))


def _up(address: int, unit: int = PAGE) -> int:
    return -(-address // unit) * unit


@dataclass
class KernelSymbols:
    """What a module's undefined symbols stand for.

    Args:
        kernel: its kernel.
        nowhere: addresses at which nothing is mapped, for symbols that the kernel does not have.
    """

    kernel: KernelImage
    nowhere: Span
    _known: dict[str, int] = field(default_factory=dict, repr=False)
    _absent: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        symbols = self.kernel.symbols
        chosen = np.flatnonzero((symbols.binding != LOCAL) & (symbols.section != SHN_UNDEF))
        addresses = symbols.address[chosen].tolist()
        self._known = dict(zip(symbols.named(chosen.tolist()), addresses, strict=True))

    def find(self, name: str) -> int | None:
        """Return the address of a kernel's symbol, or None."""
        return self._known.get(name)

    def nobody(self, name: str) -> int:
        """Return the address that stands for a symbol which the kernel does not have.

        Raises:
            ImageError: there are more of them than addresses.
        """
        address = self._absent.setdefault(name, self.nowhere.start + _STRIDE * len(self._absent))
        if address not in self.nowhere:
            raise ImageError(self.kernel.path, expected=f"symbols in {self.nowhere}", got="more")
        return address


@dataclass(frozen=True)
class ModuleLayout:
    """Where in its parts a module's sections will be, wherever those will be.

    Args:
        image: the module.
        elf: its file.
        records: its relocations.
        sizes: of each of PARTS, whole pages [bytes].
        part: int64[sections], position in PARTS, -1 where a section is not kept.
        offset: uint64[sections], from the start of the part.
        tables: header index and bytes of .got, .plt and .got.plt, where the module has them.
    """

    image: KernelImage
    elf: ElfFile
    records: Records
    sizes: tuple[int, int, int]
    part: I64Array
    offset: U64Array
    tables: dict[str, tuple[int, int]]


def lay_out(image: KernelImage) -> ModuleLayout:
    """Lay out the sections of a module that was read from a file.

    Raises:
        ImageError: it is no relocatable object, or was not kept whole.
        RelocationError: a relocation is of an unknown type, or applies to nothing.
    """
    if image.memory.buffer is None:
        raise ImageError(image.path, expected="the whole file", got="none")
    elf = ElfFile.parse(image.memory.buffer, image.path)
    if elf.type != ET_REL:
        raise ImageError(image.path, expected="a relocatable object", got=str(image.kind))
    records = Records.of(elf)
    tables = _tables(elf, records)
    sizes = np.minimum(elf.sections["size"], _U64(_REACH)).astype(np.int64)  # more is too much in any case
    aligns = np.maximum(elf.sections["align"].astype(np.int64), 1)
    part = _parts(elf)
    for name, (index, size) in tables.items():
        sizes[index], aligns[index] = size, _LINE
        part[index] = _TEXT if name == ".plt" else _CONSTANTS
    offset = np.zeros(len(elf), _U64)
    totals = [_arrange(elf, np.flatnonzero(part == number), sizes, aligns, offset) for number in range(len(PARTS))]
    return ModuleLayout(image, elf, records, (totals[0], totals[1], totals[2]), part, offset, tables)


def _parts(elf: ElfFile) -> I64Array:
    flags = elf.sections["flags"].astype(np.int64)
    part = np.full(len(elf), -1, np.int64)
    kept = (flags & (SHF_ALLOC | SHF_TLS)) == SHF_ALLOC
    part[kept] = np.where(flags & SHF_EXECINSTR, _TEXT, np.where(flags & SHF_WRITE, _DATA, _CONSTANTS))[kept]
    for name in _UNUSED:
        part[elf.find_all(name)] = -1
    return part


def _arrange(elf: ElfFile, chosen: I64Array, sizes: I64Array, aligns: I64Array, offset: U64Array) -> int:
    """Put sections one behind the other, and those of initialisation on pages of their own; return the end."""
    end = 0
    for is_init in (False, True):
        for index in chosen.tolist():
            if elf.names[index].startswith(".init") is is_init:
                at = _up(end, int(aligns[index]))
                offset[index] = at
                end = at + int(sizes[index])
        end = _up(end)
    return end


def _tables(elf: ElfFile, records: Records) -> dict[str, tuple[int, int]]:
    """Return the tables that the loader fills, with room for an entry for each distinct target, and one more."""
    wanted = {".got": (20,), ".plt": (19, 59), ".got.plt": (19, 59)}
    found = {}
    for name, kinds in wanted.items():
        index = elf.find(name)
        if index is not None:
            chosen = np.isin(records.kind, kinds)
            pairs = np.stack((records.symbol[chosen], records.addend[chosen]), axis=1)
            count = len(np.unique(pairs, axis=0)) + 1
            found[name] = index, count * (_PLT_ENTRY if name == ".plt" else _ENTRY)
    return found


@dataclass(frozen=True)
class LoadedModule:
    """A module at its addresses.

    Args:
        layout: its layout.
        places: its bytes, relocated, in the order of PARTS; an empty part is left out.
        base: uint64[sections], the address of each section, 0 where it is not kept.
        absent: names of the symbols that the kernel does not have, sorted.
    """

    layout: ModuleLayout
    places: tuple[Place, ...]
    base: U64Array
    absent: tuple[str, ...]

    def moved(self, addresses: U64Array, like: U64Array | None = None) -> U64Array:
        """Return where addresses of the image, which are made up, are now: uint64[n].

        Args:
            addresses: uint64[n].
            like: uint64[n], addresses that are moved by the same distance and lie inside a section; the
                addresses themselves by default.
        """
        memory = self.layout.image.memory
        indices = np.array([region.index for region in memory.regions] + [0], np.int64)
        section = indices[memory.region_numbers(addresses if like is None else like)]
        moved: U64Array = addresses - self.layout.elf.placement[section] + self.base[section]
        return moved

    def unmoved(self, values: U64Array) -> U64Array:
        """Return the addresses of the image for those that are in the module; other values stay: uint64[n]."""
        kept = np.flatnonzero(self.layout.part >= 0)
        kept = kept[np.argsort(self.base[kept], kind="stable")]
        if not len(kept):
            return values
        base, size = self.base[kept], self.layout.elf.sections["size"].astype(_U64)[kept]
        found = np.maximum(np.searchsorted(base, values, "right") - 1, 0)
        inside = (values >= base[found]) & (values - base[found] < size[found])
        return np.where(inside, values - base[found] + self.layout.elf.placement[kept][found], values)


def load(layout: ModuleLayout, starts: tuple[int, int, int], kernel: KernelSymbols) -> LoadedModule:
    """Give a module addresses and relocate it.

    Args:
        layout: the module.
        starts: of each of PARTS, whole pages.
        kernel: what it is linked against.
    Raises:
        RelocationError: a relocation cannot be applied.
        ImageError: a symbol is of a kind that no module may have.
    """
    firsts = np.cumsum((0, *layout.sizes))
    kept = np.flatnonzero(layout.part >= 0)
    base, at = np.zeros(len(layout.elf), _U64), np.zeros(len(layout.elf), np.int64)
    base[kept] = np.array(starts, _U64)[layout.part[kept]] + layout.offset[kept]
    at[kept] = firsts[layout.part[kept]] + layout.offset[kept].astype(np.int64)
    data = _contents(layout, kept, at, int(firsts[-1]))
    symbols, absent = _symbols(layout, base, kernel)
    _relocate(layout, data, at, base, symbols)
    places = tuple(
        Place(Span(start, start + size), data[first : first + size], permissions, f"{layout.image.path} {permissions}")
        for start, size, first, permissions in zip(starts, layout.sizes, firsts.tolist(), PARTS, strict=False)
        if size
    )
    return LoadedModule(layout, places, base, absent)


def _contents(layout: ModuleLayout, kept: I64Array, at: I64Array, size: int) -> U8Array:
    data = np.zeros(size, np.uint8)
    made = {index for index, _ in layout.tables.values()}
    for index in kept.tolist():
        if index not in made:
            content = layout.elf.contents(index)
            data[at[index] : at[index] + len(content)] = content
    return data


def _symbols(layout: ModuleLayout, base: U64Array, kernel: KernelSymbols) -> tuple[U64Array, tuple[str, ...]]:
    """Return the address of every symbol, and the names of those that only another module may have."""
    table, elf = layout.image.symbols, layout.elf
    addresses = table.address.copy()
    section = elf.symbol_sections(elf.of_type(SHT_SYMTAB)[0], table.section) if len(table) else np.empty(0, np.int64)
    inside = np.flatnonzero((section > 0) & (section < len(elf)))
    addresses[inside] += base[section[inside]] - elf.placement[section[inside]]
    if (table.section == _SHN_COMMON).any():
        raise ImageError(layout.image.path, expected="symbols that have a place", got="common symbols")
    absent = []
    for index in np.flatnonzero(table.section == SHN_UNDEF)[1:].tolist():
        name = table.name(index)
        found = kernel.find(name)
        if found is None and table.binding[index] != WEAK:
            found = kernel.nobody(name)
            absent.append(name)
        addresses[index] = found or 0
    return addresses, tuple(sorted(absent))


def _relocate(layout: ModuleLayout, data: U8Array, at: I64Array, base: U64Array, symbols: U64Array) -> None:
    records = layout.records
    where = at[records.section] + records.offset.astype(np.int64)
    place = base[records.section] + records.offset
    used = np.flatnonzero(layout.part[records.section] >= 0)
    if len(used) < len(records):
        records = Records(
            records.path, records.kind[used], records.section[used], records.offset[used],
            records.symbol[used], records.addend[used],
        )  # fmt: skip
        where, place = where[used], place[used]
    relocator = Relocator(records, data, where, place, symbols)
    if ".got" in layout.tables:
        index, size = layout.tables[".got"]
        relocator.got = _Got(records.path, data, int(at[index]), int(base[index]), size)
    if layout.tables.keys() >= {".plt", ".got.plt"}:
        index, size = layout.tables[".got.plt"]
        got = _Got(records.path, data, int(at[index]), int(base[index]), size)
        index, size = layout.tables[".plt"]
        relocator.plt = _Plt(got, data, int(at[index]), int(base[index]))
    relocator.apply()


@dataclass
class _Got:
    """A table of addresses, filled as they are asked for."""

    path: str
    data: U8Array
    at: int
    start: int
    size: int
    numbers: dict[int, int] = field(default_factory=dict)

    def number(self, target: int) -> int:
        """Return the number of the entry that holds an address."""
        number = self.numbers.setdefault(target, len(self.numbers))
        if (number + 1) * _ENTRY > self.size:
            raise RelocationError(self.path, expected=f"{self.size // _ENTRY} entries", got="more")
        first = self.at + number * _ENTRY
        self.data[first : first + _ENTRY] = np.frombuffer(target.to_bytes(_ENTRY, "little"), np.uint8)
        return number

    def __call__(self, targets: U64Array) -> U64Array:
        """Return the addresses of the entries that hold addresses."""
        numbers = np.array([self.number(target) for target in targets.tolist()], _U64)
        return _U64(self.start) + numbers * _U64(_ENTRY)


@dataclass
class _Plt:
    """A table of jumps through a table of addresses."""

    got: _Got
    data: U8Array
    at: int
    start: int

    def __call__(self, targets: U64Array) -> U64Array:
        """Return the addresses of the entries that jump to addresses."""
        return np.array([self._entry(target) for target in targets.tolist()], _U64)

    def _entry(self, target: int) -> int:
        number = self.got.number(target)
        start = self.start + number * _PLT_ENTRY
        upper, lower = split_pcrel(self.got.start + number * _ENTRY - start)
        words = (
            encode("auipc", rd=_T0, imm=upper),
            encode("ld", rd=_T1, rs1=_T0, imm=lower),
            encode("jalr", rd=0, rs1=_T1, imm=0),
        )
        first = self.at + number * _PLT_ENTRY
        self.data[first : first + _PLT_ENTRY] = np.array(words, "<u4").view(np.uint8)
        return start
