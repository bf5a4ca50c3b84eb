# SPDX-License-Identifier: GPL-2.0-or-later
"""Alternatives, applied by the kernel's own code: a toy kernel of some instructions, and real ones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from genpatch.errors import GenpatchError, ImageError, TypesError
from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.run.kernel import KernelBench, has_returned
from genpatch.verify.extensions import extend, known_extensions
from genpatch.verify.scene import prepare_scene
from tests.elfwriter import ALLOC, OBJECT, WRITE, Section, Symbol, elf, text
from tests.run.toy import DATA, TEXT, image_of

from ..image.test_btf import INT, PTR, STRUCT, Blob
from .toys import without

VERSIONS = ("7.2", "6.12")
ZBB, ZBA, NOT_HERE = 30, 37, 21
BITMAP, COUNT, TABLE, FIRST, NAMES = 0, 8, 16, 128, 256
"""Where things are in the toy's data."""

PATCH = """
    # for each of (old, new, size, bit) that begin .. end: patch_text_nosync() where the bit is set
    addi sp, sp, -48
    sd ra, 40(sp)
    sd s0, 32(sp)
    sd s1, 24(sp)
    mv s0, a0
    mv s1, a1
again:
    bgeu s0, s1, out
    ld a0, 24(s0)
    call __riscv_isa_extension_available
    beqz a0, next
    ld a0, 0(s0)
    ld a1, 8(s0)
    ld a2, 16(s0)
    call patch_text_nosync
next:
    addi s0, s0, 32
    j again
out:
    ld ra, 40(sp)
    ld s0, 32(sp)
    ld s1, 24(sp)
    addi sp, sp, 48
    ret
"""
FUNCTIONS = {
    "start_kernel": "ret",
    "has_zba": "j no\nli a0, 1\nret\nno: li a0, 0\nret",
    "has_zbb": "j no\nli a0, 1\nret\nno: li a0, 0\nret",
    "has_v": "j no\nli a0, 1\nret\nno: li a0, 0\nret",
    "nothing": "nop\nret",
    "__riscv_isa_extension_available": f"li a1, {DATA + BITMAP}\nld a1, 0(a1)\nsrl a0, a1, a0\nandi a0, a0, 1\nret",
    "patch_text_nosync": "ebreak\nret",
    "riscv_cpufeature_patch_func": PATCH,
}
SIZE = 128


def toy(functions: Mapping[str, str] = FUNCTIONS, *, count: int = 3, name_at: int = DATA + NAMES) -> KernelImage:
    """Return a kernel with alternatives for zba, zbb and v: a jump that a nop takes the place of."""
    places = {name: TEXT + SIZE * number for number, name in enumerate(FUNCTIONS)}
    code = b"".join(assemble(functions[name], places[name], symbols=places).ljust(SIZE, b"\0") for name in FUNCTIONS)
    bits = {"zba": ZBA, "zbb": ZBB, "v": NOT_HERE}
    data = bytearray(512)
    data[COUNT : COUNT + 8] = count.to_bytes(8, "little")
    for number, (name, bit) in enumerate(bits.items()):
        row = bit.to_bytes(4, "little") + bytes(4) + (name_at + 8 * number).to_bytes(8, "little")
        data[TABLE + 16 * number : TABLE + 16 * number + 16] = row
        data[NAMES + 8 * number : NAMES + 8 * number + len(name)] = name.encode()
        entry = (places[f"has_{name}"], places["nothing"], 4, bit)
        at = FIRST + 32 * number
        data[at : at + 32] = b"".join(value.to_bytes(8, "little") for value in entry)
    types = Blob()
    types.add("u32", INT, 4, 32)  # 1
    types.add("char", INT, 1, 8)  # 2
    types.add(0, PTR, 2)  # 3
    members = (types.name("id"), 1, 0, types.name("name"), 3, 64)
    types.add("riscv_isa_ext_data", STRUCT, 16, *members, vlen=2)
    found = {
        "riscv_isa": BITMAP, "riscv_isa_ext_count": COUNT, "riscv_isa_ext": TABLE, "__alt_start": FIRST,
        "__alt_end": FIRST + 96,
    }  # fmt: skip
    symbols = [Symbol(name=name, value=at, size=SIZE) for name, at in places.items()]
    symbols += [Symbol(name=n, value=DATA + k, section=".data", kind=OBJECT, size=8) for n, k in found.items()]
    made = elf(
        text(code, TEXT), Section(name=".data", data=bytes(data), addr=DATA, flags=ALLOC | WRITE),
        Section(name=".BTF", data=types.pack(), flags=0), symbols=symbols,
    )  # fmt: skip
    return image_of(made)


def test_what_a_hart_has_is_applied() -> None:
    """Zba and Zbb are executed here, V is not: its jump stays."""
    image = toy()
    extended = extend(image, prepare_scene(image))
    assert extended.names == ("zbb", "zba")
    assert extended.insns > 20
    for name, expected in (("has_zba", 1), ("has_zbb", 1), ("has_v", 0)):
        for bench, value in ((extended.bench, expected), (KernelBench(image), 0)):
            assert has_returned(bench.call(name))
            assert bench.hart.x[10] == value, name


def test_the_bits_are_those_of_the_kernels_table() -> None:
    image = toy()
    bench = extend(image, prepare_scene(image)).bench
    assert known_extensions(image, bench) == {"zba": 37, "zbb": 30, "v": 21}
    assert int.from_bytes(bench.memory.read(DATA + BITMAP, 8), "little") == 1 << 37 | 1 << 30


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (lambda: toy(FUNCTIONS | {"riscv_cpufeature_patch_func": "ebreak"}), "that it returns, got"),
        (lambda: toy(FUNCTIONS | {"riscv_cpufeature_patch_func": "j again\nagain: j again"}), "that it returns, got"),
        (lambda: toy(name_at=0x10), "a table that can be read"),
        (lambda: toy(count=0), "extensions that are executed here, got none"),
        (lambda: without(toy(), "__alt_end"), "the symbol __alt_end, got none"),
        (lambda: without(toy(), "riscv_isa"), "the symbol riscv_isa, got none"),
        (lambda: replace(toy(), types=None), "id and name \\(BTF\\), got no such type"),
    ],
)
def test_what_cannot_be_applied(image: object, told: str) -> None:
    made = image()  # type: ignore[operator]
    with pytest.raises(GenpatchError, match=told) as caught:
        extend(made, prepare_scene(made))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ImageError | TypesError)


def test_a_count_that_is_too_large_is_bounded() -> None:
    """Rows behind the table are read as they come; where they lead nowhere, that is said."""
    image = toy(count=1 << 60)
    with pytest.raises(ImageError, match="a table that can be read"):
        extend(image, prepare_scene(image))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_kernels_own_questions(version: str) -> None:
    """What the JIT asks is answered by a jump or a nop; with Zbb there is a sext.b where there were two shifts."""
    folder = os.environ.get("GENPATCH_KERNELS")
    path = Path(folder or "", version, "vmlinux")
    if not folder or not path.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/vmlinux")
    from genpatch.verify.bpf.compile import JitBench, Source

    image = read_image(open_content(str(path)))
    scene = prepare_scene(image)
    extended = extend(image, scene)
    assert {"zba", "zbb", "zacas"} <= set(extended.names)
    source = Source("r0 = 0; r0 = (s8)r1; r0 = bswap64 r0; exit")
    codes = [JitBench(image, scene, bench=each).compile(source) for each in (None, extended.bench)]
    plain, better = (made.code.hex() for made in codes)
    sext_b, rev8 = (assemble(line, 0).hex() for line in ("sext.b a5, a0", "rev8 a5, a5"))
    assert not re.search(f"{sext_b}|{rev8}", plain)
    assert sext_b in better
    assert rev8 in better
