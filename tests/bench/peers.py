# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of something that the machine is measured beside; each is a process of its own.

python -m tests.bench.peers unicorn PROG           the program under unicorn
python -m tests.bench.peers unicorn-hooked PROG    the same, and Python is called at each instruction
python -m tests.bench.peers untranslated PROG      genpatch's hart, each instruction by itself
python -m tests.bench.peers unicorn-lanes COUNT    what tests.bench.lanes executes, one lane after the other
"""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

PAGE = 4096
STACK_TOP, STACK_SIZE = 0x3F_FFFF_F000, 1 << 20
WRITE, EXITS, ENOSYS = 64, (93, 94), 38
PT_LOAD, ECALLS = 1, (8, 9, 11)
NOWHERE = (1 << 64) - 2


def _machine() -> Any:
    import unicorn

    return unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)


def _registers() -> list[int]:
    from unicorn import riscv_const

    return [riscv_const.UC_RISCV_REG_X0 + number for number in range(32)]


def _map(uc: Any, start: int, size: int) -> None:
    """Map the pages of a span that are not mapped yet."""
    mapped = {page for first, last, _ in uc.mem_regions() for page in range(first, last, PAGE)}
    for page in range(start & -PAGE, start + size, PAGE):
        if page not in mapped:
            uc.mem_map(page, PAGE)


def _load(uc: Any, path: Path) -> int:
    """Put a static ELF64 executable and a stack with no arguments into memory; return the entry."""
    data = path.read_bytes()
    entry, table = struct.unpack_from("<QQ", data, 24)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, address, _, stored, size = struct.unpack_from("<IIQQQQQ", data, table + number * entry_size)
        if kind == PT_LOAD:
            _map(uc, address, size)
            uc.mem_write(address, data[offset : offset + stored])
    uc.mem_map(STACK_TOP - STACK_SIZE, STACK_SIZE)
    return int(entry)


def under_unicorn(path: Path, *, hooked: bool) -> int:
    """Run a program and return its exit status; exit and write are what it may ask for."""
    import unicorn

    uc, x = _machine(), _registers()
    entry = _load(uc, path)
    uc.reg_write(x[2], STACK_TOP - 64)
    status: list[int] = []

    def called(engine: Any, cause: int, _: object) -> None:
        number, *arguments = (engine.reg_read(x[at]) for at in (17, 10, 11, 12))
        if cause not in ECALLS or number in EXITS:
            status.append(arguments[0] & 0xFF if cause in ECALLS else 2)
            engine.emu_stop()
        elif number == WRITE:
            engine.reg_write(x[10], os.write(arguments[0], engine.mem_read(*arguments[1:])))
        else:
            engine.reg_write(x[10], -ENOSYS)

    uc.hook_add(unicorn.UC_HOOK_INTR, called)
    if hooked:
        uc.hook_add(unicorn.UC_HOOK_CODE, lambda *_: None)
    uc.emu_start(entry, NOWHERE)
    return status[0]


def untranslated(path: Path) -> int:
    """Run a program as ``genpatch run`` does, with translation off."""
    from genpatch.image.containers import open_content
    from genpatch.image.program import read_program
    from genpatch.run.program import Process

    process = Process(read_program(open_content(str(path))), lambda descriptor, data: _put(descriptor, data))
    process.hart.translate = False
    return process.run().value


def _put(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def lanes_under_unicorn(count: int, rounds: int = 3) -> float:
    """Run the call sites of `lanes` one after the other, all of them `rounds` times; return the last round's seconds.

    The lanes share one stack here, and their callback is a ret in memory instead of a call of Python.
    """
    from genpatch.isa.assemble import assemble

    from . import lanes

    uc, x = _machine(), _registers()
    parts = (
        (lanes.TEXT, lanes.sites(count)),
        (lanes.TRAMPOLINE, lanes.trampoline()),
        (lanes.OPS, lanes.CALLBACK.to_bytes(8, "little")),
        (lanes.CALLBACK, assemble("ret", lanes.CALLBACK)),
        (lanes.STACK, bytes(lanes.STACK_SIZE)),
    )
    for start, content in parts:
        uc.mem_map(start, -(-len(content) // PAGE) * PAGE)
        uc.mem_write(start, content)
    seconds = 0.0
    for _ in range(rounds):
        started = time.process_time()
        for lane in range(count):
            at = lanes.TEXT + lane * lanes.SITE_SIZE + 8
            uc.reg_write(x[2], lanes.STACK + lanes.STACK_SIZE - 16)
            uc.emu_start(at, at + 8)
        seconds = time.process_time() - started
    return seconds


def main() -> int:
    """Run one of them."""
    match sys.argv[1:]:
        case ["unicorn" | "unicorn-hooked" as what, path]:
            return under_unicorn(Path(path), hooked=what == "unicorn-hooked")
        case ["untranslated", path]:
            return untranslated(Path(path))
        case ["unicorn-lanes", count]:
            print(lanes_under_unicorn(int(count)))
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
