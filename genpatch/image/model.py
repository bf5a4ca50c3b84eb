# SPDX-License-Identifier: GPL-2.0-or-later
"""KernelImage: what every reader produces and everything above reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ..units import Span, U64Array
from .memory import AddressSpace
from .symbols import SymbolTable

if TYPE_CHECKING:
    from .btf import Btf


class ImageKind(StrEnum):
    """What an image is, by its content."""

    EXEC = "vmlinux ET_EXEC"
    DYN = "vmlinux ET_DYN"
    BOOT = "boot Image"
    MODULE = "module"
    OBJECT = "object"

    @property
    def is_kernel(self) -> bool:
        """Linked to its final addresses, or relocated as one piece."""
        return self in (ImageKind.EXEC, ImageKind.DYN, ImageKind.BOOT)


@dataclass(frozen=True, kw_only=True)
class EntryTable:
    """The table of patch sites as it was found.

    Args:
        source: where the entries were read (``"__start_mcount_loc"``, ``".rela.dyn"``, ...).
        entries: uint64[n], as the kernel will see them; zeros are kept.
        span: addresses of the table itself, None in a relocatable object.
        in_place_zero: words that are zero in the file but are given a value by a relocation.
        missing: slots that no relocation fills although the image needs one.
        outside: relocations that point behind their table section.
        sections: how many table sections were read.
        link_mismatch: entries whose section is not the one that SHF_LINK_ORDER ties their table to.
    """

    source: str
    entries: U64Array
    span: Span | None = None
    in_place_zero: int = 0
    missing: int = 0
    outside: int = 0
    sections: int = 1
    link_mismatch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """Kernel configuration: options that are y, m or a value; what is not listed is off.

    Args:
        source: ``"IKCONFIG"``, a file's name, or ``"none"``.
        options: name with CONFIG_ to its value.
        version: kernel version that the file says it is for (``"7.2.13"``), or None.
    """

    source: str = "none"
    options: dict[str, str] = field(default_factory=dict)
    version: str | None = None

    def suits(self, release: str | None) -> bool:
        """Tell whether the configuration may be that of a kernel release; unknown versions suit all."""
        return self.version is None or release is None or release.startswith(self.version)

    @property
    def known(self) -> bool:
        """Tell whether there is a configuration at all."""
        return self.source != "none"

    def enabled(self, name: str) -> bool | None:
        """Return whether CONFIG_<name> is y or m; None where no configuration is known."""
        if not self.known:
            return None
        return self.options.get(f"CONFIG_{name}", "n") in ("y", "m")


@dataclass(frozen=True, kw_only=True)
class KernelImage:
    """One kernel, module or object.

    Args:
        path: as reports print it.
        kind: what it is.
        wrappers: what was around it, outermost first (``("xz",)``).
        memory: bytes at addresses.
        symbols: what is known by name.
        table: the patch-site table, None where the image has none.
        other_patches: uint64[m], ascending: code that jump labels and alternatives patch.
        types: BTF, or None.
        types_note: why there are no types, or ``"BTF"``.
        config: configuration.
        release: kernel release (``"7.2.13+deb14-riscv64"``) or None.
        banner: the version banner or vermagic, or None.
        compiler: text that names the compiler, or None.
        build_id: GNU build id in hex, or None.
        notes: how the reader came to what it has, one sentence each.
        trouble: what it could not read although it is there, one sentence each.
    """

    path: str
    kind: ImageKind
    wrappers: tuple[str, ...] = ()
    memory: AddressSpace
    symbols: SymbolTable
    table: EntryTable | None
    other_patches: U64Array = field(default_factory=lambda: np.empty(0, np.uint64))
    types: Btf | None = None
    types_note: str = "none"
    config: ConfigFacts = ConfigFacts()
    release: str | None = None
    banner: str | None = None
    compiler: str | None = None
    build_id: str | None = None
    has_rvc: bool | None = None
    file_size: int = 0
    notes: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()

    @property
    def kind_text(self) -> str:
        """The kind with its wrappers: ``"boot Image (PE/EFI), zboot, gzip"``."""
        return ", ".join((self.kind.value, *reversed(self.wrappers)))

    @property
    def is_clang(self) -> bool | None:
        """Tell whether clang built it; None where nothing tells."""
        return None if self.compiler is None else "clang" in self.compiler.lower()

    def address_of(self, name: str) -> int | None:
        """Return the address of a symbol, or None."""
        return self.symbols.find(name)

    def span_of(self, start: str, end: str) -> Span | None:
        """Return the span between two symbols, or None where one is missing or they are reversed."""
        low, high = self.symbols.find(start), self.symbols.find(end)
        return Span(low, high) if low is not None and high is not None and low <= high else None

    def words(self, span: Span) -> U64Array:
        """Return a table of 64-bit words: uint64[span.size // 8]."""
        raw = self.memory.view(span.start, span.size // 8 * 8)
        return np.frombuffer(raw.tobytes(), "<u8")
