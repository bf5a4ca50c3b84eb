# SPDX-License-Identifier: GPL-2.0-or-later
"""A static riscv64 executable: what it wants to have in memory, and where it starts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import ImageError
from ..units import MASK64, Span, U8Array
from .containers import Content
from .elf import ET_DYN, ET_EXEC, PT_LOAD, ElfFile
from .symbols import SHN_ABS, SymbolTable

__all__ = ["Program", "Segment", "read_program"]

PT_INTERP = 3
PF_X, PF_W, PF_R = 1, 2, 4
_PIE_BASE = 0x40_0000
_MEMORY_LIMIT = 1 << 32
_COMPRESSED = re.compile(rb"rv64[a-z0-9_]*?(?:[_\d]c\d|_zca\d)")


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD.

    Args:
        span: addresses in memory.
        content: its bytes from the file, uint8[k], k <= span.size; the rest is zero.
        permissions: of ``r``, ``w`` and ``x``.
    """

    span: Span
    content: U8Array
    permissions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An executable.

    Args:
        path: as messages print it.
        entry: address of the first instruction.
        segments: in ascending order; they do not overlap.
        compressed: whether 16-bit instructions may be used; False only for an ELF that says so.
        symbols: what is known by name.
    """

    path: str
    entry: int
    segments: tuple[Segment, ...]
    compressed: bool
    symbols: SymbolTable


def read_program(content: Content) -> Program:
    """Read a static executable.

    Raises:
        ImageError: it is no ELF for riscv64, no static executable, or its segments make no sense.
    """
    elf = ElfFile.parse(content.data, content.path)
    if elf.type not in (ET_EXEC, ET_DYN):
        raise ImageError(content.path, "e_type", expected="an executable", got=f"type {elf.type}")
    symbols = elf.symbols()
    if symbols.find("start_kernel") is not None and symbols.find("linux_banner") is not None:
        raise ImageError(content.path, expected="a program", got="a kernel; 'genpatch trace' runs its functions")
    bias = _PIE_BASE if elf.type == ET_DYN else 0
    table = elf.segments()
    if (table["type"] == PT_INTERP).any():
        raise ImageError(content.path, expected="a static executable", got="one that asks for a dynamic loader")
    segments = [
        _segment(elf, number, each, bias)
        for number, each in enumerate(table)
        if each["type"] == PT_LOAD and each["memsz"]
    ]
    if not segments:
        raise ImageError(content.path, "program headers", expected="something to load", got="no PT_LOAD")
    segments.sort(key=lambda segment: segment.span)
    _check_layout(content.path, segments)
    return Program(
        path=content.path,
        entry=int(elf.header["entry"]) + bias & MASK64,
        segments=tuple(segments),
        compressed=_has_compressed(elf),
        symbols=_moved(elf.symbols(), bias),
    )


def _moved(symbols: SymbolTable, bias: int) -> SymbolTable:
    """Return symbols with the addresses that they have once the program stands `bias` bytes further up."""
    if not bias:
        return symbols
    is_fixed = symbols.section == SHN_ABS
    return replace(symbols, address=np.where(is_fixed, symbols.address, symbols.address + np.uint64(bias)))


def _segment(elf: ElfFile, number: int, header: Any, bias: int) -> Segment:
    _, flags, offset, vaddr, _, filesz, memsz, _ = header.item()
    where = f"program header {number}"
    if filesz > memsz:
        raise ImageError(elf.path, where, expected="p_filesz up to p_memsz", got=f"{filesz:#x} > {memsz:#x}")
    if offset + filesz > len(elf.data):
        raise ImageError(elf.path, where, expected=f"bytes within {len(elf.data)}", got=f"{filesz:#x} at {offset:#x}")
    if vaddr + bias + memsz > 1 << 64:
        raise ImageError(elf.path, where, expected="an end below 2**64", got=f"{memsz:#x} bytes at {vaddr:#x}")
    letters = "".join(letter for letter, bit in (("r", PF_R), ("w", PF_W), ("x", PF_X)) if flags & bit)
    return Segment(Span(vaddr + bias, vaddr + bias + memsz), elf.data[offset : offset + filesz], letters)


def _check_layout(path: str, segments: list[Segment]) -> None:
    total = sum(segment.span.size for segment in segments)
    if total > _MEMORY_LIMIT:
        raise ImageError(path, "program headers", expected=f"at most {_MEMORY_LIMIT:#x} bytes", got=f"{total:#x}")
    for first, second in pairwise(segments):
        if second.span.start < first.span.end:
            raise ImageError(path, "program headers", expected="segments apart", got=f"{first.span} and {second.span}")


def _has_compressed(elf: ElfFile) -> bool:
    """Tell whether C may be used: the flag says so, or nothing in the file says that it may not."""
    index = elf.find(".riscv.attributes")
    if elf.has_rvc or index is None:
        return True
    text = elf.contents(index).tobytes()
    return b"rv64" not in text or _COMPRESSED.search(text) is not None
