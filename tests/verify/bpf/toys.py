# SPDX-License-Identifier: GPL-2.0-or-later
"""The sample kernel that makes BPF trampolines, with one mistake or none, and programs without any kernel."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.samples import resolve
from genpatch.verify.bpf.programs import KIND_NAMES, MOST, Program, Programs

SAMPLE = Path(resolve("sample:bpf"))
_SWITCH = "mistake"


@cache
def sound_image() -> KernelImage:
    """The sample, in which nothing is wrong."""
    return read_image(open_content(str(SAMPLE)))


def content_with(mistake: str) -> bytes:
    """Return the sample's bytes with a mistake switched on: that of ``enum mistake`` in its types."""
    types = sound_image().types
    assert types is not None
    number = types.enumerator(f"MISTAKE_{mistake}")
    assert number, f"{SAMPLE.name} knows no mistake {mistake}"
    data = bytearray(SAMPLE.read_bytes())
    elf = ELFFile(BytesIO(bytes(data)))
    symbol = elf.get_section_by_name(".symtab").get_symbol_by_name(_SWITCH)[0]
    assert symbol["st_size"] == 4
    at = next(iter(elf.address_offsets(symbol["st_value"], 4)))
    assert data[at : at + 4] == bytes(4)
    data[at : at + 4] = number.to_bytes(4, "little")
    return bytes(data)


def image_with(mistake: str, folder: Path) -> KernelImage:
    """Return the sample with a mistake, read from a file of its own."""
    path = folder / f"{mistake}.elf"
    path.write_bytes(content_with(mistake))
    return read_image(open_content(str(path)))


def make_pool(*, sessions: bool = False) -> Programs:
    """Return programs that no kernel has, numbered as those of `make_programs` are."""
    pool: list[Program] = []

    def add(kind: int, position: int, variant: int, *, session: bool = False) -> None:
        number = len(pool)
        pool.append(
            Program(
                number=number, kind=kind, position=position, sleepable=bool(variant & 1), session=session,
                has_cookie=bool(variant & 2) and not session, session_cookie=session and bool(variant),
                at=0x1_0000 + 0x100 * number, node=0x2_0000 + 0x100 * number, code=0x3_0000 + 0x10 * number,
                cookie=0xC0 + number if variant & 2 and not session else 0,
            )
        )  # fmt: skip

    for kind in range(len(KIND_NAMES)):
        for position in range(MOST):
            for variant in range(4):
                add(kind, position, variant)
    for position in range(MOST if sessions else 0):
        for cookie in range(2):
            add(0, position, cookie, session=True)
    return Programs(tuple(pool), 0x1_0000, b"")
