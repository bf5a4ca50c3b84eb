# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole ELF kernels and modules, small enough to be made for each test.

The layout is written out here: code at TEXT, functions at FUNCTIONS and every 32 bytes behind it, data at
DATA. A function is 8 bytes of c.nop below its symbol, 8 from it on (unless told otherwise), and c.jr ra.
"""

from __future__ import annotations

from typing import Any

from genpatch.audit.cases import CALL_OPS_CODE, PAIR_CODE, Code
from genpatch.isa.assemble import assemble

from . import elfwriter
from .elfwriter import (
    ALLOC,
    EXEC,
    LOCAL,
    OBJECT,
    R_RISCV_64,
    TABLE,
    WRITE,
    Section,
    Symbol,
    rela,
    text,
    words64,
)

TEXT, FUNCTIONS, DATA = 0xFFFF_FFFF_8000_2000, 0xFFFF_FFFF_8000_3000, 0xFFFF_FFFF_8020_0000
BANNER_AT, TABLE_AT = DATA, DATA + 0x100
BANNER = b"Linux version 7.2.13-toy (me@here) (riscv64-linux-gnu-gcc-14 (Debian 14.2.0-1) 14.2.0) #1 SMP\n\0"
C_NOPS, RET = b"\x01\x00" * 4, b"\x82\x80"
NAMES = ("start_kernel", "vfs_read", "vfs_write")

__all__ = ["CALL_OPS_CODE", "NAMES", "PAIR_CODE", "TABLE_AT", "TEXT", "module", "vmlinux"]


def vmlinux(
    *names: str,
    code: tuple[Code, ...] = CALL_OPS_CODE,
    before: bytes = C_NOPS,
    after: bytes = C_NOPS,
    first: int = 0x20,
    table: bytes | None = None,
    relocations: tuple[Section, ...] = (),
    extra: tuple[Section, ...] = (),
    symbols: tuple[Symbol, ...] = (),
    with_symbols: bool = True,
    **more: Any,
) -> bytes:
    """Return an ET_EXEC kernel whose functions stand at FUNCTIONS + first + 32 * n."""
    names = names or NAMES
    code_bytes = bytearray(0x1000 + first + 32 * len(names) + 32)
    listed: list[Symbol] = []
    known = {each.name: each.at for each in code}
    for each in code:
        raw = assemble(each.source, each.at, symbols=known)
        code_bytes[each.at - TEXT : each.at - TEXT + len(raw)] = raw
        listed.append(Symbol(name=each.name, value=each.at, size=len(raw)))
    entries = []
    for number, name in enumerate(names):
        at = 0x1000 + first + 32 * number
        raw = before + after + RET
        code_bytes[at - len(before) : at - len(before) + len(raw)] = raw
        listed.append(Symbol(name=name, value=TEXT + at, size=len(after) + 2))
        entries.append(TEXT + at - len(before))
    stored = words64(*entries) if table is None else table
    data = BANNER.ljust(TABLE_AT - DATA, b"\0") + stored
    listed += [
        Symbol(name="linux_banner", value=BANNER_AT, section=".data", kind=OBJECT, size=len(BANNER)),
        Symbol(name="__start_mcount_loc", value=TABLE_AT, section=".data", kind=OBJECT),
        Symbol(name="__stop_mcount_loc", value=TABLE_AT + len(stored), section=".data", kind=OBJECT),
    ]
    return elfwriter.elf(
        text(bytes(code_bytes), TEXT),
        Section(name=".data", data=data, addr=DATA, flags=ALLOC | WRITE, align=8),
        *relocations,
        *extra,
        symbols=[*listed, *symbols] if with_symbols else None,
        **more,
    )


def module(
    *names: str,
    before: bytes = C_NOPS,
    after: bytes = C_NOPS,
    release: str = "7.2.13-toy",
    is_module: bool = True,
    **more: Any,
) -> bytes:
    """Return a .ko whose functions stand at .text + 8, + 40, ..., listed by one table section."""
    names = names or ("ext_open", "ext_read")
    stride = 32
    body = b"".join((before + after + RET).ljust(stride, b"\0") for _ in names)
    listed = [Symbol(name="", section=".text", kind=elfwriter.SECTION, binding=LOCAL)]
    listed += [
        Symbol(name=name, value=stride * number + len(before), size=len(after) + 2) for number, name in enumerate(names)
    ]
    records = [(8 * number, 1, R_RISCV_64, stride * number) for number in range(len(names))]
    info = (
        Section(name=".modinfo", data=f"license=GPL\0vermagic={release} SMP preempt mod_unload riscv\0".encode()),
        Section(name=".gnu.linkonce.this_module", data=bytes(64), flags=ALLOC | WRITE),
    )
    return elfwriter.elf(
        Section(name=".text", data=body, flags=ALLOC | EXEC, align=16),
        Section(name=TABLE, data=bytes(8 * len(names)), flags=ALLOC | WRITE, align=8),
        rela(*records, name=f".rela{TABLE}", info=TABLE),
        *(info if is_module else ()),
        symbols=listed,
        type=elfwriter.ET_REL,
        **more,
    )
