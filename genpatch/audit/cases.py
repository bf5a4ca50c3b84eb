# SPDX-License-Identifier: GPL-2.0-or-later
"""Small kernels made in memory, so that each rule can carry images on which it must and must not fire."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..image.btf import FunctionType, Member, Parameter, StructLayout
from ..image.memory import AddressSpace, Region
from ..image.model import ConfigFacts, EntryTable, ImageKind, KernelImage
from ..image.symbols import FUNC, GLOBAL, OBJECT, SymbolTable
from ..units import Span

if TYPE_CHECKING:
    from .facts import Facts

TEXT, INIT, EXIT, DATA = (
    0xFFFF_FFFF_8000_2000,
    0xFFFF_FFFF_8010_0000,
    0xFFFF_FFFF_8018_0000,
    0xFFFF_FFFF_8020_0000,
)
SITES_AT = TEXT + 0x1000
_SECTIONS = (
    (".text", TEXT, True),
    (".init.text", INIT, True),
    (".exit.text", EXIT, True),
    (".data", DATA, False),
)
C_NOP, NOP = b"\x01\x00", b"\x13\x00\x00\x00"
RET = b"\x82\x80"


@dataclass(frozen=True, slots=True)
class Case:
    """An image for a rule: `build` makes its facts, `message` is a pattern that its finding must match."""

    build: Callable[[], Facts]
    message: str | None = None

    @property
    def fires(self) -> bool:
        """The rule must find something here."""
        return self.message is not None


def clean(build: Callable[[], Facts]) -> Case:
    """Return a case on which the rule must stay silent."""
    return Case(build)


def fires(build: Callable[[], Facts], message: str) -> Case:
    """Return a case on which the rule must find something whose message matches the pattern."""
    return Case(build, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fn:
    """A function to lay out.

    Args:
        name: its symbol; empty for none (an overridden weak function).
        at: address of its symbol; by default behind the function before it, 16-byte aligned.
        before, after: sled bytes below and from the symbol on.
        nop: the nop to spell the sled with.
        head: bytes in place of the sled's first ones from the symbol on.
        body: bytes behind the sled.
        entry: the table's entry; by default where the sled starts; None for none.
        size: st_size of the symbol; by default its sled and body.
    """

    name: str
    at: int | None = None
    before: int = 8
    after: int = 8
    nop: bytes = C_NOP
    head: bytes = b""
    body: bytes = RET
    entry: int | str | None = "sled"
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A routine of the kernel in assembly, put at a fixed place in .text."""

    name: str
    source: str
    at: int


@dataclass(slots=True)
class _Layout:
    bytes_at: dict[int, bytes] = field(default_factory=dict)
    symbols: list[tuple[str, int, int, int]] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)


CALL_OPS_CALLER = """
    ld t1, -16(t0)
    ld t1, 192(t1)
    bne t1, zero, direct
    addi sp, sp, -112
    sd t0, 0(sp)
    sd ra, 8(sp)
    sd s0, 24(sp)
    sd t1, 32(sp)
    sd a0, 48(sp)
    sd a1, 56(sp)
    sd a2, 64(sp)
    sd a3, 72(sp)
    sd a4, 80(sp)
    sd a5, 88(sp)
    sd a6, 96(sp)
    sd a7, 104(sp)
    addi a0, sp, 112
    sd a0, 16(sp)
    addi a0, t0, -4
    addi a1, ra, 0
    ld a2, -16(t0)
    ld ra, 0(a2)
    addi a3, sp, 0
    jalr ra, 0(ra)
    ld t0, 0(sp)
    ld ra, 8(sp)
    ld s0, 24(sp)
    ld t1, 32(sp)
    ld a0, 48(sp)
    ld a1, 56(sp)
    ld a2, 64(sp)
    ld a3, 72(sp)
    ld a4, 80(sp)
    ld a5, 88(sp)
    ld a6, 96(sp)
    ld a7, 104(sp)
    addi sp, sp, 112
    bne t1, zero, direct
    jalr zero, 0(t0)
direct:
    jalr zero, 0(t1)
"""
"""Our own trampoline after the interface that call-ops kernels share; a 112-byte frame, direct calls first."""

PAIR_CALLER = """
    addi sp, sp, -112
    sd t0, 0(sp)
    sd ra, 8(sp)
    sd s0, 24(sp)
    sd zero, 32(sp)
    sd a0, 48(sp)
    sd a1, 56(sp)
    sd a2, 64(sp)
    sd a3, 72(sp)
    sd a4, 80(sp)
    sd a5, 88(sp)
    sd a6, 96(sp)
    sd a7, 104(sp)
    addi a0, sp, 112
    sd a0, 16(sp)
    addi a0, t0, -8
    addi a1, ra, 0
    addi a3, sp, 0
    jal ra, callback
    ld t0, 0(sp)
    ld ra, 8(sp)
    ld s0, 24(sp)
    ld a0, 48(sp)
    ld a1, 56(sp)
    ld a2, 64(sp)
    ld a3, 72(sp)
    ld a4, 80(sp)
    ld a5, 88(sp)
    ld a6, 96(sp)
    ld a7, 104(sp)
    addi sp, sp, 112
    jalr zero, 0(t0)
callback:
    jalr zero, 0(ra)
"""

CALL_OPS_MAKE_CALL = """
    addi sp, sp, -32
    sd ra, 24(sp)
    sd s1, 16(sp)
    ld s1, 0(a0)
    addi a0, s1, -12
    andi a0, a0, -8
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_text_nosync
    addi a2, zero, 4
    addi a1, sp, 8
    addi a0, s1, 0
    jal ra, patch_insn_write
    ld ra, 24(sp)
    ld s1, 16(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
PAIR_MAKE_CALL = """
    addi sp, sp, -32
    sd ra, 24(sp)
    ld a0, 0(a0)
    addi a1, sp, 0
    addi a2, zero, 8
    jal ra, patch_text_nosync
    ld ra, 24(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
"""
_CALLER_AT, _MAKE_CALL_AT, _ADJUST_AT, _SYMADDR_AT, _UPDATE_AT = (TEXT + at for at in (0, 0x200, 0x300, 0x340, 0x380))
_WRITE_AT, _NOSYNC_AT, _MODIFY_AT, _STOP_AT, _FLUSH_AT = (TEXT + at for at in (0x400, 0x440, 0x480, 0x4C0, 0x500))

_COMMON = (
    Code(name="patch_insn_write", source="jalr zero, 0(ra)", at=_WRITE_AT),
    Code(
        name="patch_text_nosync",
        source="addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, patch_insn_write\n jal ra, flush_icache_all\n"
        "ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)",
        at=_NOSYNC_AT,
    ),
    Code(name="ftrace_modify_all_code", source="jalr zero, 0(ra)", at=_MODIFY_AT),
    Code(name="stop_machine", source="jalr zero, 0(ra)", at=_STOP_AT),
    Code(name="flush_icache_all", source="jalr zero, 0(ra)", at=_FLUSH_AT),
)
CALL_OPS_CODE = (
    Code(name="ftrace_caller", source=CALL_OPS_CALLER, at=_CALLER_AT),
    Code(name="ftrace_make_call", source=CALL_OPS_MAKE_CALL, at=_MAKE_CALL_AT),
    Code(name="ftrace_call_adjust", source="addi a0, a0, 12\n jalr zero, 0(ra)", at=_ADJUST_AT),
    Code(name="arch_ftrace_get_symaddr", source="addi a0, a0, -4\n jalr zero, 0(ra)", at=_SYMADDR_AT),
    Code(
        name="arch_ftrace_update_code",
        source="addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, ftrace_modify_all_code\n jal ra, flush_icache_all\n"
        "ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)",
        at=_UPDATE_AT,
    ),
    *_COMMON,
)
PAIR_CODE = (
    Code(name="ftrace_caller", source=PAIR_CALLER, at=_CALLER_AT),
    Code(name="ftrace_make_call", source=PAIR_MAKE_CALL, at=_MAKE_CALL_AT),
    Code(
        name="arch_ftrace_update_code",
        source="addi sp, sp, -16\n sd ra, 0(sp)\n jal ra, stop_machine\n ld ra, 0(sp)\n addi sp, sp, 16\n"
        "jalr zero, 0(ra)",
        at=_UPDATE_AT,
    ),
    *_COMMON,
)


def replaced(code: tuple[Code, ...], name: str, source: str) -> tuple[Code, ...]:
    """Return the routines with one rewritten, or added at a free place."""
    if all(each.name != name for each in code):
        free = max(TEXT + 0x700, *(each.at for each in code)) + 0x100
        return (*code, Code(name=name, source=source, at=free))
    return tuple(Code(name=name, source=source, at=each.at) if each.name == name else each for each in code)


def layout_of(name: str, size: int, **offsets: int) -> StructLayout:
    """Return a struct of 8-byte members."""
    members = tuple(
        Member(name=member, offset=at, bit_offset=0, bit_size=0, size=8, type_name="unsigned long")
        for member, at in offsets.items()
    )
    return StructLayout(where="toy", kind="struct", name=name, size=size, members=members)


FREGS = layout_of(
    "__arch_ftrace_regs", 112, epc=0, ra=8, sp=16, s0=24, t1=32, direct_tramp=40,
    a0=48, a1=56, a2=64, a3=72, a4=80, a5=88, a6=96, a7=104,
)  # fmt: skip
OPS = layout_of("ftrace_ops", 200, func=0, flags=16, trampoline=128, ops_func=176, direct_call=192)


class ToyTypes:
    """Stands in for BTF: structs by name."""

    def __init__(self, *structs: StructLayout) -> None:
        self._structs = {each.name: each for each in structs}

    def struct(self, name: str) -> StructLayout | None:
        """Return a struct's layout, None if unknown."""
        return self._structs.get(name)

    def structs(self, name: str) -> list[StructLayout]:
        """Return every struct so named."""
        return [self._structs[name]] if name in self._structs else []

    def enumerator(self, name: str) -> int | None:
        """Return the value of the one constant that a toy kernel knows."""
        return 1 << 20 if name == "FTRACE_FL_CALL_OPS_EN" else None

    def func_proto(self, name: str) -> FunctionType | None:
        """Return the type of the one function whose parameter is asked for."""
        if name != "ftrace_return_to_handler":
            return None
        frame = Parameter(name="fregs", type_name="struct ftrace_regs *", size=8)
        return FunctionType(name=name, returns="unsigned long", parameters=(frame,), variadic=False)


def kernel(
    *functions: Fn,
    code: tuple[Code, ...] = CALL_OPS_CODE,
    symbols: Mapping[str, int] | None = None,
    data: Mapping[int, bytes] | None = None,
    config: Mapping[str, str] | None = None,
    table: tuple[int, ...] | None = None,
    structs: tuple[StructLayout, ...] | None = None,
    kind: ImageKind = ImageKind.EXEC,
    compiler: str = "gcc 14.2.0",
    alignment: int = 4096,
    in_place_zero: int = 0,
    missing: int = 0,
    link_mismatch: int = 0,
    outside: int = 0,
    other_patches: tuple[int, ...] = (),
    of: Facts | None = None,
) -> Facts:
    """Return the facts of a toy kernel (or, with `kind`, a toy module of the kernel `of`)."""
    from .facts import Facts

    layout = _Layout()
    _place_code(layout, code)
    _place_functions(layout, functions)
    for name, address in (symbols or {}).items():
        layout.symbols.append((name, address, 0, OBJECT if address >= DATA else FUNC))
    layout.bytes_at.update(data or {})
    entries = list(table) if table is not None else sorted(layout.entries)
    placed = kind in (ImageKind.MODULE, ImageKind.OBJECT)
    image = KernelImage(
        path="toy",
        kind=kind,
        memory=AddressSpace(regions=tuple(_regions(layout, alignment)), placed=placed),
        symbols=_symbol_table(layout),
        table=EntryTable(
            source="__start_mcount_loc", entries=np.array(entries, np.uint64), in_place_zero=in_place_zero,
            missing=missing, outside=outside, link_mismatch=link_mismatch,
            span=None if placed else Span(DATA + 0x8000, DATA + 0x8000 + 8 * len(entries)),
        ),
        other_patches=np.array(sorted(other_patches), np.uint64),
        types=ToyTypes(*structs) if structs is not None else None,  # type: ignore[arg-type]
        config=ConfigFacts() if config is None else ConfigFacts(source="toy", options=dict(config)),
        compiler=compiler,
        release="7.2.0-toy",
    )  # fmt: skip
    return Facts(image=image, kernel=of)


def _place_code(layout: _Layout, code: tuple[Code, ...]) -> None:
    from ..isa.assemble import assemble

    known = {each.name: each.at for each in code}
    for each in code:
        raw = assemble(each.source, each.at, symbols=known)
        layout.bytes_at[each.at] = raw
        layout.symbols.append((each.name, each.at, len(raw), FUNC))


def _place_functions(layout: _Layout, functions: tuple[Fn, ...]) -> None:
    free = SITES_AT
    for fn in functions:
        at = fn.at if fn.at is not None else -(-(free + fn.before) // 16) * 16
        sled = (fn.nop * 64)[: fn.after]
        raw = (fn.nop * 64)[: fn.before] + (fn.head + sled[len(fn.head) :]) + fn.body
        layout.bytes_at[at - fn.before] = raw
        free = at + len(raw) - fn.before
        if fn.name:
            size = fn.size if fn.size is not None else len(raw) - fn.before
            layout.symbols.append((fn.name, at, size, FUNC))
        if isinstance(fn.entry, int):
            layout.entries.append(fn.entry)
        elif fn.entry is not None:
            layout.entries.append(at - fn.before)


def _regions(layout: _Layout, alignment: int) -> list[Region]:
    regions = []
    for number, (name, start, executable) in enumerate(_SECTIONS):
        end = start + (INIT - TEXT if start == TEXT else 0x1_0000)
        content = np.zeros(0x1_0000, np.uint8)
        for at, raw in layout.bytes_at.items():
            if start <= at < start + len(content):
                content[at - start : at - start + len(raw)] = np.frombuffer(raw, np.uint8)
        regions.append(
            Region(
                name=name, span=Span(start, end), data=content, executable=executable,
                writable=not executable, alignment=alignment, index=number + 1,
            )
        )  # fmt: skip
    return regions


def _symbol_table(layout: _Layout) -> SymbolTable:
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in layout.symbols)
    lengths = [len(name.encode()) + 1 for name, *_ in layout.symbols]
    starts = np.cumsum([1, *lengths])[:-1]
    return SymbolTable(
        source="symtab",
        address=np.array([address for _, address, _, _ in layout.symbols], np.uint64),
        size=np.array([size for _, _, size, _ in layout.symbols], np.uint64),
        kind=np.array([kind for *_, kind in layout.symbols], np.uint8),
        binding=np.full(len(layout.symbols), GLOBAL, np.uint8),
        section=np.ones(len(layout.symbols), np.uint16),
        name_at=starts.astype(np.uint32),
        names=np.frombuffer(names, np.uint8),
    )


def words(*values: int) -> bytes:
    """Return 32-bit words as bytes."""
    return struct.pack(f"<{len(values)}I", *values)
