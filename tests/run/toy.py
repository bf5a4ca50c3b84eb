# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels of a few instructions, for what a bench does around a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from genpatch.image.containers import Content, Format
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from tests.elfwriter import ALLOC, OBJECT, WRITE, Section, Symbol, elf, text

TEXT, DATA = 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_8020_0000

FUNCTIONS = {
    "start_kernel": "ret",
    "add": "add a0, a0, a1\nret",
    "minus_one": "li a0, -1\nret",
    "length": "mv a1, a0\n1: lbu a2, 0(a0)\naddi a0, a0, 1\nbnez a2, 1b\nsub a0, a0, a1\naddi a0, a0, -1\nret",
    "fill": "sb a1, 0(a0)\naddi a0, a0, 1\naddi a2, a2, -1\nbnez a2, fill\nli a0, 0\nret",
    "outer": "addi sp, sp, -16\nsd ra, 8(sp)\njal ra, add\nslli a0, a0, 1\nld ra, 8(sp)\naddi sp, sp, 16\nret",
    "ninth": "ld a0, 0(sp)\nret",
    "pointers": "mv a0, gp\nmv a1, tp\nmv a2, sp\nret",
    "counter": f"li a1, {DATA + 64}\nld a0, 0(a1)\naddi a0, a0, 1\nsd a0, 0(a1)\nret",
    "spin": "j spin",
    "busy": "addi a0, a0, 1\nj busy",
    "bug": "ebreak\nret",
    "wild": "li a0, 0x10\nld a0, 0(a0)\nret",
    "odd": ".word 0xffffffff",
}


def toy_bytes(*extra: Section, symbols: tuple[Symbol, ...] = (), **more: Any) -> bytes:
    """Return an ELF with FUNCTIONS, 64 bytes apart at TEXT, and 256 bytes of data."""
    places = {name: TEXT + 64 * number for number, name in enumerate(FUNCTIONS)}
    code = b"".join(
        assemble(source, places[name], symbols=places).ljust(64, b"\0") for name, source in FUNCTIONS.items()
    )
    named = [Symbol(name=name, value=at, size=64) for name, at in places.items()]
    data = Symbol(name="number", value=DATA + 64, section=".data", kind=OBJECT, size=8)
    return elf(
        text(code, TEXT),
        Section(name=".data", data=bytes(64) + (41).to_bytes(8, "little") + bytes(184), addr=DATA, flags=ALLOC | WRITE),
        *extra,
        symbols=[*named, data, *symbols],
        **more,
    )


def image_of(data: bytes) -> KernelImage:
    return read_image(Content(path="toy", format=Format.ELF, data=np.frombuffer(data, np.uint8)))


def at(name: str) -> int:
    """Return where a function of the toy is."""
    return TEXT + 64 * list(FUNCTIONS).index(name)
