# SPDX-License-Identifier: GPL-2.0-or-later
"""What patch.c writes to text, by running it on memory that is mapped a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .cexec import NotRun
from .frames import taken
from .shown import Shown
from .small import Small, Texted, texted

__all__ = ["PATCH", "ROOTS", "text_faults"]

PATCH = "arch/riscv/kernel/patch.c"
ROOTS = ("patch_insn_write", "patch_text_nosync", "patch_text_set_nosync")
_FLUSHING = frozenset(("patch_text_nosync", "patch_text_set_nosync"))
_PAGE = 4096
_TEXT = 0x4000_0000
_SOURCE, _FIXED = 0x7000_0000, 0x6000_0000
_OFFSET = 0x10_0000_0000  # from an address to where it is in memory
_SLOTS = {"FIX_TEXT_POKE0": _FIXED, "FIX_TEXT_POKE1": _FIXED + _PAGE}
_NUMBERS = {
    "PAGE_SIZE": _PAGE,
    "PAGE_SHIFT": 12,
    "PAGE_MASK": -_PAGE,
    "system_state": 3,
    "SYSTEM_RUNNING": 3,
    "SYSTEM_BOOTING": 0,
    "riscv_patch_in_stop_machine": 0,
    "text_mutex": 1,
    "__exittext_begin": 0,
    "__exittext_end": 0,
    **_SLOTS,
}
_OPTIONS = {"CONFIG_MMU": True, "CONFIG_64BIT": True}
_FILLER = 0xA5


class _Case(NamedTuple):
    """A write: bytes from the start of a page, how many, whether it is refused, whether it is of a module."""

    at: int
    length: int
    fails: bool = False
    module: bool = False

    def told(self) -> str:
        """Return it in words."""
        first, last = self.at // _PAGE, (self.at + self.length - 1) // _PAGE
        pages = f"{last - first + 1} pages" if last > first else "one page"
        return f"{self.length} bytes in {pages}"


_CASES = (
    _Case(0x100, 8),
    _Case(0x100, 4, module=True),
    _Case(_PAGE - 2, 4),
    _Case(_PAGE - 2, 4, module=True),
    _Case(_PAGE - 1, _PAGE + 1),
    _Case(0x10, 2 * _PAGE),
    _Case(_PAGE - 6, 3 * _PAGE),
    _Case(0x100, 4, fails=True),
    _Case(_PAGE - 2, 4, fails=True),
)


@lru_cache(maxsize=8)
def text_faults(text: str) -> tuple[Shown, ...]:
    """Return what the functions of patch.c that write text do wrong.

    Raises:
        NotRun: they do something that is not understood.
    """
    source = texted(taken(text, _OPTIONS).text)
    found: dict[str, Shown] = {}
    ran, why = False, ""
    for root in ROOTS:
        tree = source.functions.get(root)
        if tree is None or len(tree.parameters) != 3:
            continue
        try:
            for case in _CASES:
                for fault in _Kernel(source, root, case).faults():
                    found.setdefault(fault.key, fault)
            ran = True
        except NotRun as reason:
            why = why or f"{root}(): {reason}"
    if why or not ran:
        raise NotRun(why or "what writes text is not there")
    return tuple(found.values())


class _Kernel(Small):
    """Memory by byte, and what maps it."""

    def __init__(self, source: Texted, root: str, case: _Case) -> None:
        super().__init__(source, _NUMBERS)
        self.root, self.case = root, case
        self.bytes: dict[int, int] = {}
        self.mapped: dict[int, int] = {}
        self.wild = ""
        self.flushed: list[tuple[int, int]] = []
        self.refused = False

    def faults(self) -> Iterator[Shown]:
        """Yield what is wrong with one write."""
        address, (_, length, fails, _) = _TEXT + self.case.at, self.case
        is_set = "set" in self.root
        given = self.run(self.root, address, _FILLER if is_set else _SOURCE, length)
        if fails and not self.refused:
            return
        told = self.case.told()
        if self.wild:
            yield self._shown("wild", f"{self.wild}, for {told}")
        if self.mapped:
            name = next(name for name, at in _SLOTS.items() if at in self.mapped)
            when = "when a write has failed" if fails else f"when {told} are written"
            yield self._shown("left mapped", f"leaves {name} mapped {when}")
        if fails:
            if given == 0:
                yield self._shown("no error", "does not tell that a write has failed")
            return
        if given != 0:
            yield self._shown(f"fails {told}", f"fails for {told}")
            return
        wanted = {address + _OFFSET + n: _FILLER if is_set else n for n in range(length)}
        if self.bytes != wanted and not self.wild:
            yield self._shown(f"bytes {told}", f"does not write what it is given, for {told}")
        if self.root in _FLUSHING and self.flushed and not _covers(self.flushed, address, address + length):
            yield self._shown("flush", "flushes other addresses than it has written")

    def _shown(self, key: str, message: str) -> Shown:
        return Shown(f"{self.root} {key}", PATCH, self.root, f"{self.root}() {message}", key.partition(" ")[0])

    def _where(self, address: int) -> int | None:
        """Return where a byte is written to; None if nothing is mapped there."""
        page = address - address % _PAGE
        if page in self.mapped:
            return self.mapped[page] + address % _PAGE
        return address + _OFFSET if not _FIXED <= address < _FIXED + 0x1000_0000 else None

    def _written(self, target: Any, length: Any, source: int | None, value: int = 0) -> int:
        if not isinstance(target, int) or not isinstance(length, int) or not 0 <= length <= 8 * _PAGE:
            raise NotRun("a write of what is no number")
        if self.case.fails and source is not None:
            self.refused = True
            return -14
        for n in range(length):
            place = self._where(target + n)
            if place is None:
                self.wild = "writes where no page is mapped"
                return 0
            self.bytes[place] = source - _SOURCE + n if source is not None else value
        return 0

    def ident(self, name: str) -> Any:
        """Return a constant; all options are on."""
        return 1 if name.startswith("CONFIG_") else super().ident(name)

    def call(self, name: str, args: Sequence[Any], line: int) -> Any:
        """Return what maps, copies and flushes gives."""
        known = _CALLS.get(name)
        if known is not None and all(isinstance(each, int) for each in args) and len(args) == known[0]:
            return known[1](self, *args)
        if name in ("min", "max", "min_t", "max_t") and len(args) >= 2:
            numbers = [each for each in args if isinstance(each, int)]
            return (min if name.startswith("min") else max)(numbers[-2:])
        if name in ("copy_to_kernel_nofault", "memcpy") and len(args) == 3:
            if not isinstance(args[1], int):
                raise NotRun("a copy of what is no address")
            return self._written(args[0], args[2], args[1])
        if name == "memset" and len(args) == 3:
            return self._written(args[0], args[2], None, args[1])
        if name in ("flush_icache_all", "flush_icache_range"):
            self.flushed.append((args[0], args[1]) if args else (0, 1 << 62))
            return 0
        return super().call(name, args, line)

    def _map(self, slot: int, phys: int) -> int:
        if slot not in _SLOTS.values():
            raise NotRun("a page that is mapped elsewhere")
        self.mapped[slot] = phys - phys % _PAGE
        return slot + phys % _PAGE

    def _unmap(self, slot: int) -> int:
        if slot not in self.mapped:
            name = next((name for name, at in _SLOTS.items() if at == slot), "a page")
            self.wild = self.wild or f"unmaps {name}, which is not mapped"
        self.mapped.pop(slot, None)
        return 0

    def _is_core(self, address: int) -> int:
        return int(not self.case.module)


_CALLS: dict[str, tuple[int, Any]] = {
    "core_kernel_text": (1, _Kernel._is_core),
    "is_kernel_text": (1, _Kernel._is_core),
    "__pa_symbol": (1, lambda kernel, address: address + _OFFSET),
    "virt_to_phys": (1, lambda kernel, address: address + _OFFSET),
    "phys_to_page": (1, lambda kernel, phys: phys - phys % _PAGE),
    "page_to_phys": (1, lambda kernel, page: page),
    "vmalloc_to_page": (1, lambda kernel, address: address + _OFFSET - address % _PAGE),
    "offset_in_page": (1, lambda kernel, address: address % _PAGE),
    "BUG_ON": (1, lambda kernel, value: 0),
    "set_fixmap_offset": (2, _Kernel._map),
    "clear_fixmap": (1, _Kernel._unmap),
}


def _covers(ranges: Sequence[tuple[Any, Any]], start: int, end: int) -> bool:
    """Tell whether some ranges together have all of another in them."""
    at = start
    for first, last in sorted(each for each in ranges if isinstance(each[0], int) and isinstance(each[1], int)):
        if first <= at < last:
            at = last
    return at >= end
