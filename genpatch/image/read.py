# SPDX-License-Identifier: GPL-2.0-or-later
"""KernelImage from bytes: ELF of every kind and boot images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import GenpatchError, ImageError, TypesError
from ..units import Span, U8Array, as_hex
from . import tables
from .bootimage import (
    BootImage,
    find_banner,
    find_build_id,
    find_compiler,
    find_ikconfig,
    find_release,
    is_boot_image,
)
from .btf import Btf
from .config import parse_config
from .containers import Content
from .elf import ET_DYN, ET_REL, RELA, SHT_NOTE, ElfFile
from .memory import AddressSpace, Region
from .model import ConfigFacts, EntryTable, ImageKind, KernelImage
from .symbols import SymbolTable

_BANNER_SIZE = 1024
_KERNEL_MARKS = ("linux_banner", "start_kernel", "__start_mcount_loc", "init_task")
_TEXT_SPANS = (
    (".head.text", "_start", "_stext"),
    (".text", "_stext", "_etext"),
    (".init.text", "__init_text_begin", "_einittext"),
    (".exit.text", "__exittext_begin", "__exittext_end"),
)
"""Where a boot image's instructions are: name, first and last symbol (linux arch/riscv/kernel/vmlinux.lds.S)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user adds to an image.

    Args:
        config: configuration that overrides what the image holds.
        system_map: symbols for an image that has none.
    """

    config: ConfigFacts | None = None
    system_map: SymbolTable | None = None


def read_image(content: Content, options: ReadOptions | None = None) -> KernelImage:
    """Read one image.

    Raises:
        ImageError: it is neither an ELF nor a boot image for 64-bit RISC-V, is truncated, malformed, or has
            no patch-site table and nothing else of a kernel.
    """
    options = options or ReadOptions()
    try:
        if content.data[:4].tobytes() == b"\x7fELF":
            image = _read_elf(content, options)
        elif is_boot_image(content.data):
            image = _read_boot(content, options)
        else:
            from .containers import describe

            raise ImageError(content.path, expected="a RISC-V kernel image or module", got=describe(content.data))
    except ImageError as error:
        raise error if error.path else error.at(content.path) from error
    return replace(image, wrappers=content.wrappers + image.wrappers, file_size=len(content.data))


# --- ELF


def _read_elf(content: Content, options: ReadOptions) -> KernelImage:
    elf = ElfFile.parse(content.data, content.path)
    memory = elf.address_space()
    if elf.type == ET_REL:
        return _read_object(elf, memory, options)
    trouble: list[str] = []
    symbols = elf.symbols()
    if not len(symbols):
        symbols = _symbols_without_symtab(memory, options, trouble)
    if not any(symbols.find(mark) is not None for mark in _KERNEL_MARKS):
        raise ImageError(
            content.path, "symbols", expected="a Linux kernel (linux_banner, start_kernel, ...)",
            got="none of them" if len(symbols) else "no symbols, no kallsyms; try --system-map",
        )  # fmt: skip
    span = tables.linked_span(content.path, symbols)
    table = None
    if span is not None:
        relocated = elf.type == ET_DYN
        table = (
            tables.read_relocated(elf, memory, symbols, span)
            if relocated
            else tables.read_linked(content.path, memory, span)
        )
    kind = ImageKind.DYN if elf.type == ET_DYN else ImageKind.EXEC
    image = KernelImage(
        path=content.path,
        kind=kind,
        memory=memory,
        symbols=symbols,
        table=table,
        other_patches=tables.linked_other_patches(memory, symbols),
        build_id=_elf_build_id(elf),
        has_rvc=elf.has_rvc,
        trouble=tuple(trouble),
    )
    return _with_kernel_facts(image, _section_bytes(elf, ".BTF"), options)


def _symbols_without_symtab(memory: AddressSpace, options: ReadOptions, trouble: list[str]) -> SymbolTable:
    """Return symbols for a stripped kernel: the user's System.map, or kallsyms out of its own memory."""
    if options.system_map is not None:
        return options.system_map
    flat, base = _flatten(memory)
    if not len(flat):
        return SymbolTable.empty()
    try:
        from .kallsyms import recover

        return recover(flat, base).symbols
    except ImageError as error:
        trouble.append(f"no symbol table, and kallsyms could not be recovered: {error}")
        return SymbolTable.empty()


_FLAT_LIMIT = 1 << 28


def _flatten(memory: AddressSpace) -> tuple[U8Array, int]:
    """Return a linked image as one run of bytes and its first address; empty where it is too sparse."""
    stored = [region for region in memory.regions if len(region.data)]
    if not stored:
        return np.empty(0, np.uint8), 0
    base, end = stored[0].span.start, stored[-1].span.start + len(stored[-1].data)
    if end - base > _FLAT_LIMIT:
        return np.empty(0, np.uint8), 0
    flat = np.zeros(end - base, np.uint8)
    for region in stored:
        flat[region.span.start - base :][: len(region.data)] = region.data
    return flat, base


def _section_bytes(elf: ElfFile, name: str) -> U8Array | None:
    index = elf.find(name)
    return None if index is None else elf.contents(index)


def _elf_build_id(elf: ElfFile) -> str | None:
    for index in elf.of_type(SHT_NOTE):
        found = find_build_id(elf.contents(index)[: 1 << 16].tobytes())
        if found is not None:
            return found
    return None


def _read_object(elf: ElfFile, memory: AddressSpace, options: ReadOptions) -> KernelImage:
    symbols = elf.symbols()
    modinfo = _modinfo(elf)
    is_module = elf.find(".modinfo") is not None and elf.find(".gnu.linkonce.this_module") is not None
    comment = _section_bytes(elf, ".comment")
    vermagic = modinfo.get("vermagic")
    image = KernelImage(
        path=elf.path,
        kind=ImageKind.MODULE if is_module else ImageKind.OBJECT,
        memory=memory,
        symbols=symbols,
        table=tables.read_object(elf, symbols),
        other_patches=tables.object_other_patches(elf, symbols),
        release=vermagic.split(" ")[0] if vermagic else None,
        banner=vermagic,
        compiler=_first_string(comment),
        build_id=_elf_build_id(elf),
        has_rvc=elf.has_rvc,
        trouble=_object_trouble(elf),
    )
    if elf.find(".BTF") is not None:  # split from the kernel's, which is what rules look into
        image = replace(image, types_note="split BTF, not read")
    return _with_config(image, options, None)


def _object_trouble(elf: ElfFile) -> tuple[str, ...]:
    """Say what is odd about a relocatable object; today: text that was stripped into a debug file."""
    from .elf import SHF_EXECINSTR, SHT_NOBITS

    hollow = (elf.sections["type"] == SHT_NOBITS) & ((elf.sections["flags"] & SHF_EXECINSTR) != 0)
    if (hollow & (elf.sections["size"] > 0)).any():
        return ("its instructions are not stored (a debug-only file): give the real module",)
    return ()


def _modinfo(elf: ElfFile) -> dict[str, str]:
    raw = _section_bytes(elf, ".modinfo")
    if raw is None:
        return {}
    pairs = (part.partition(b"=") for part in raw[: 1 << 16].tobytes().split(b"\0"))
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, _, value in pairs if key}


def _first_string(raw: U8Array | None) -> str | None:
    if raw is None:
        return None
    parts = [part for part in raw[:4096].tobytes().split(b"\0") if part]
    return parts[0].decode("utf-8", "replace") if parts else None


# --- boot images


def _read_boot(content: Content, options: ReadOptions) -> KernelImage:
    from .kallsyms import recover

    header = BootImage.parse(content.data, content.path)
    notes: list[str] = []
    if options.system_map is not None:
        symbols = options.system_map
        base = symbols.find("_start")
        base = symbols.find("_text") if base is None else base
        if base is None:
            raise ImageError(content.path, "System.map", expected="_start or _text", got="neither")
    else:
        recovered = recover(content.data, None)
        symbols, base = recovered.symbols, recovered.base
        where = f"base {as_hex(base)} ({recovered.base_source})"
        notes.append(f"symbols recovered from kallsyms ({recovered.layout}), {where}")
    memory = _boot_memory(content.data, base, symbols)
    trouble = _boot_trouble(content.path, content.data, base, symbols, given=options.system_map is not None)
    image = KernelImage(
        path=content.path,
        kind=ImageKind.BOOT,
        wrappers=("PE/EFI",) if header.has_efi else (),
        memory=memory,
        symbols=symbols,
        table=_boot_table(content.path, memory, symbols, notes),
        other_patches=tables.linked_other_patches(memory, symbols),
        notes=tuple(notes),
        trouble=trouble,
    )
    span = image.span_of("__start_BTF", "__stop_BTF")
    types = memory_slice(content.data, base, span) if span is not None else None
    span = image.span_of("__start_notes", "__stop_notes")
    if span is not None:
        image = replace(image, build_id=find_build_id(memory_slice(content.data, base, span)[: 1 << 16].tobytes()))
    return _with_kernel_facts(image, types, options)


def _boot_trouble(path: str, data: U8Array, base: int, symbols: SymbolTable, *, given: bool) -> tuple[str, ...]:
    """Say that a boot image ends before its data does.

    Raises:
        ImageError: the user's System.map is not that of this image: no banner stands where it says.
    """
    banner = symbols.find("linux_banner")
    if given and banner is not None:
        found = data[max(banner - base, 0) :][:14].tobytes()
        if found != b"Linux version ":
            raise ImageError(
                path, "System.map", expected="the banner at linux_banner", got="other bytes: another kernel's?"
            )
    end = symbols.find("_edata")
    if end is not None and end - base > len(data):
        return (f"the image is truncated: it has {len(data):,} bytes, its data ends at {end - base:,}",)
    return ()


def memory_slice(data: U8Array, base: int, span: Span) -> U8Array:
    """Return the bytes of a span of addresses out of a flat image: uint8[k], shorter where it ends early."""
    return data[max(span.start - base, 0) : max(span.end - base, 0)]


def _boot_memory(data: U8Array, base: int, symbols: SymbolTable) -> AddressSpace:
    """Cut a flat image into its text spans and what lies between them."""
    regions: list[Region] = []
    end = base + len(data)
    if end >= 1 << 64:
        raise ImageError("", "base address", expected="an end below 2**64", got=as_hex(base))
    at = base
    for name, low_name, high_name in _TEXT_SPANS:
        low, high = symbols.find(low_name), symbols.find(high_name)
        if low is None or high is None or not at <= low < high <= end:
            continue
        if low > at:
            regions.append(_boot_region(data, base, "Image", Span(at, low), False))
        regions.append(_boot_region(data, base, name, Span(low, high), True))
        at = high
    if at < end:
        regions.append(_boot_region(data, base, "Image", Span(at, end), not regions))
    return AddressSpace(regions=tuple(regions), buffer=data)


def _boot_region(data: U8Array, base: int, name: str, span: Span, executable: bool) -> Region:
    return Region(
        name=name,
        span=span,
        data=memory_slice(data, base, span),
        executable=executable,
        writable=not executable,
        alignment=min(span.start & -span.start, 1 << 16) if span.start else 1 << 16,
        at=span.start - base,
    )


def _boot_table(path: str, memory: AddressSpace, symbols: SymbolTable, notes: list[str]) -> EntryTable | None:
    span = tables.linked_span(path, symbols)
    if span is None:
        notes.append("kallsyms holds no __start_mcount_loc (KALLSYMS_ALL is off?): give --system-map")
        return None
    table = tables.read_linked(path, memory, span)
    low, high = symbols.find("__rela_dyn_start"), symbols.find("__rela_dyn_end")
    if low is None or high is None or high <= low or not memory.has(low, high - low):
        return table
    size = (high - low) // RELA.itemsize * RELA.itemsize
    return tables.with_relative(table, np.frombuffer(memory.read(low, size), RELA))


# --- what every kernel has


def _with_kernel_facts(image: KernelImage, types: U8Array | None, options: ReadOptions) -> KernelImage:
    banner_at = image.address_of("linux_banner")
    region = image.memory.region_at(banner_at) if banner_at is not None else None
    if region is not None and banner_at is not None:
        text = region.data[banner_at - region.span.start :][:_BANNER_SIZE]
        image = replace(image, banner=find_banner(text), release=find_release(text), compiler=find_compiler(text))
    if image.release is None and image.kind is ImageKind.BOOT:
        flat, _ = _flatten(image.memory)
        image = replace(image, banner=find_banner(flat), release=find_release(flat), compiler=find_compiler(flat))
    if types is not None and len(types):
        image = _with_types(image, types)
    return _with_config(image, options, _ikconfig_bytes(image))


def _with_types(image: KernelImage, raw: U8Array) -> KernelImage:
    try:
        types = Btf.parse(raw)
        _ = types.n_types  # walks all records, so that a broken section shows here and not in some rule
        return replace(image, types=types, types_note="BTF")
    except TypesError as error:
        return replace(image, types_note=f"unreadable BTF: {error}", trouble=(*image.trouble, f"BTF: {error}"))


def _ikconfig_bytes(image: KernelImage) -> U8Array | None:
    """Return bytes that hold the embedded configuration, if there is one; a boot image may not name its place."""
    if image.kind is ImageKind.BOOT:
        return image.memory.buffer
    at = image.address_of("kernel_config_data")
    if at is not None and (region := image.memory.region_at(at)) is not None:
        return region.data[max(at - 64 - region.span.start, 0) :][: 1 << 22]
    return None


def _with_config(image: KernelImage, options: ReadOptions, embedded: U8Array | None) -> KernelImage:
    if options.config is not None:
        if not options.config.suits(image.release):
            text = f"{options.config.source} is for {options.config.version}, the image is {image.release}"
            image = replace(image, trouble=(*image.trouble, f"configuration: {text}"))
        return replace(image, config=options.config)
    if embedded is None:
        return image
    try:
        raw = find_ikconfig(embedded)
        return image if raw is None else replace(image, config=parse_config(raw, "IKCONFIG"))
    except GenpatchError as error:
        return replace(image, trouble=(*image.trouble, f"IKCONFIG: {error}"))
