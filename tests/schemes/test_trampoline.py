# SPDX-License-Identifier: GPL-2.0-or-later
"""The trampolines' sources: our assembler and real ones make the same bytes of them."""

from __future__ import annotations

import io

import pytest
from elftools.elf.elffile import ELFFile

from genpatch.isa.assemble import assemble
from genpatch.isa.toolchain import Toolchain, find_toolchain
from genpatch.schemes import CATALOG
from genpatch.schemes.trampoline import FRAMES, OpsLayout, dispatcher_source, kind_of, template_root, trampoline_source

AT, SLOT, OPS = 0xFFFF_FFFF_8021_0180, 0xFFFF_FFFF_8140_3008, 0xFFFF_AF80_0140_2080
SYMBOLS = {"slot": SLOT, "body": AT + 0x12_3458}
LAYOUT = OpsLayout(func=16, direct_call=200, size=208)
_PLAIN = ".option norvc\n.option norelax\n.globl _start\n_start:\n"


def sources() -> dict[str, str]:
    """Every text that the templates make, by name."""
    found = {}
    for scheme in CATALOG.values():
        for frame in FRAMES:
            found[f"{scheme.name} {frame}"] = trampoline_source(scheme, frame=frame, ops=OPS)
        found[f"{scheme.name} layout"] = trampoline_source(scheme, ops=OPS, layout=LAYOUT, fastcc=False)
    return found | {"dispatcher": dispatcher_source(CATALOG["jal-per-func"])}


SOURCES = sources()


def toolchain_of(kind: str) -> Toolchain:
    found = find_toolchain(kind)
    if found is None or found.name != kind:
        pytest.skip(f"no {kind} for riscv64: the templates were not shown to a real assembler")
    return found


@pytest.mark.parametrize("kind", ["gcc", "clang"])
def test_real_assemblers_make_the_same_bytes(kind: str) -> None:
    """All at once: a linker run for each would take a minute."""
    toolchain = toolchain_of(kind)
    parts = [f"\t.balign\t8\n.Lpart{at}:\n{text}" for at, text in enumerate(SOURCES.values())]
    values = "".join(f".set {name}, {value:#x}\n" for name, value in SYMBOLS.items())
    source = _PLAIN + values + "".join(parts)
    raw = toolchain.link({"t.S": source}, address=AT, march="rv64ima_zicsr_zifencei", flags=("-Wl,--no-relax",))
    section = ELFFile(io.BytesIO(raw)).get_section_by_name(".text")
    assert section is not None
    got, at = section.data(), 0
    for name, text in SOURCES.items():
        at += -at % 8
        ours = assemble(text, AT + at, symbols=SYMBOLS)
        assert got[at : at + len(ours)].hex(" ", 4) == ours.hex(" ", 4), name
        at += len(ours)
    assert at == len(got)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mcount-ra16", "own"), ("pair-t0", "own"), ("detour-24", "own"), ("auipc-fixed", "slot"),
        ("jal-dispatch", "literal"), ("jal-per-func", "pushed"), ("call-ops-cfi", "literal"), ("bpf-fentry", "bpf"),
        ("bpf-fentry-ra16", "bpf"),
    ],
)  # fmt: skip
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(CATALOG[name]) == kind


def test_each_template_is_used() -> None:
    used = {f"{kind_of(scheme)}.S.j2" for scheme in CATALOG.values()} | {"_frame.S.j2", "dispatcher.S.j2"}
    assert {path.name for path in (template_root() / "trampoline").iterdir()} == used


def test_each_template_has_a_licence() -> None:
    for path in (template_root() / "trampoline").iterdir():
        assert path.read_text(encoding="utf-8").startswith("{#- SPDX-License-Identifier: GPL-2.0-or-later -#}\n")


@pytest.mark.parametrize("name", CATALOG)
def test_nothing_is_left_of_the_template(name: str) -> None:
    text = trampoline_source(CATALOG[name])
    assert not any(mark in text for mark in ("{{", "{%", "{#", "None", "True"))
    assert text.startswith("#")
    assert "\n\n" not in text


@pytest.mark.parametrize(("frame", "fastcc", "size"), [("args", False, 112), ("args", True, 160), ("regs", True, 288)])
def test_the_size_of_a_frame(frame: str, fastcc: bool, size: int) -> None:
    text = trampoline_source(CATALOG["call-ops"], frame=frame, fastcc=fastcc)
    assert f"addi\tsp, sp, -{size}\n" in text
    assert f"addi\tsp, sp, {size}\n" in text


def test_where_the_ops_have_their_members() -> None:
    text = trampoline_source(CATALOG["call-ops-direct"], layout=LAYOUT)
    assert "ld\tt1, 200(t1)" in text
    assert "ld\tra, 16(a2)" in text


@pytest.mark.parametrize("name", ["mcount-ra16", "call-ops"])
def test_there_is_no_other_frame(name: str) -> None:
    with pytest.raises(AssertionError):
        trampoline_source(CATALOG[name], frame="x")
