# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog against words that were written down independently of it."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import pytest

from genpatch.errors import SchemeError
from genpatch.isa.assemble import assemble
from genpatch.schemes import CATALOG, CallScheme, get_scheme
from genpatch.schemes.model import Need, OpsIn, Place, named

from .checks import (
    AUIPC_RA,
    AUIPC_T0,
    JAL_T0,
    JALR_RA,
    JALR_T0,
    JALR_T0_GP,
    JALR_T0_T1,
    JUMP_12,
    JUMP_24,
    LD_RA,
    LD_T1,
    LPAD,
    NOP,
    SD_RA,
)  # fmt: skip

SCHEMES = pytest.mark.parametrize("scheme", CATALOG.values(), ids=CATALOG.keys())


PC = 0x1000


def words(lines: tuple[str, ...]) -> tuple[int, ...]:
    """Assemble a scheme's words for a target at distance 0."""
    raw = assemble("\n".join(lines).format(hi20=0, lo12=0, target=PC), PC)
    return tuple(int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4))


_RA_CALL = (SD_RA, AUIPC_RA, JALR_RA, LD_RA)
_DETOUR = (LD_T1, JALR_T0_T1, JUMP_12)

CHECKS = {
    "mcount-ra16": ((NOP, NOP, NOP, NOP), _RA_CALL),
    "pair-t0": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
    "pair-aligned8": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
    "nop-jalr": ((NOP, NOP), (NOP, JALR_T0_GP)),
    "detour-24": ((JUMP_24, *_DETOUR, 0, 0), (AUIPC_T0, *_DETOUR, PC, 0)),
    "auipc-fixed": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "jal-dispatch": ((NOP,), (JAL_T0,)),
    "jal-per-func": ((NOP,), (JAL_T0,)),
    "call-ops": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "call-ops-direct": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "dynamic-trampoline": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
    "call-ops-cfi": ((LPAD, AUIPC_T0, NOP), (LPAD, AUIPC_T0, JALR_T0)),
    "bpf-fentry": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
    "bpf-fentry-ra16": ((NOP, NOP, NOP, NOP), _RA_CALL),
}


def test_every_scheme_has_a_check() -> None:
    assert list(CATALOG) == list(CHECKS)


@SCHEMES
def test_the_words_of_a_site(scheme: CallScheme) -> None:
    assert (words(scheme.disabled), words(scheme.enabled)) == CHECKS[scheme.name]


PCREL = (-0x8000_0800, 0x7FFF_F7FF)
JAL = (-0x10_0000, 0xF_FFFE)


@pytest.mark.parametrize(
    ("name", "before", "after", "alignment", "ip", "link", "back", "ops", "literal", "patched", "frozen", "reach"),
    [
        ("mcount-ra16", 0, 16, 4, 0, "ra", 12, "own", None, 4, False, PCREL),
        ("pair-t0", 0, 8, 4, 0, "t0", 8, "own", None, 2, False, PCREL),
        ("pair-aligned8", 0, 8, 8, 0, "t0", 8, "own", None, 2, False, PCREL),
        ("nop-jalr", 0, 8, 4, 4, "t0", 8, "own", None, 1, False, (-0x800, 0x7FF)),
        ("detour-24", 0, 24, 8, 0, "t0", 12, "own", None, 1, False, (-(1 << 63), (1 << 63) - 2)),
        ("auipc-fixed", 0, 8, 4, 4, "t0", 8, "slot", None, 1, True, PCREL),
        ("jal-dispatch", 8, 4, 8, 0, "t0", 4, "literal", -8, 1, False, JAL),
        ("jal-per-func", 32, 4, 8, 0, "t0", 4, "literal", -32, 1, False, JAL),
        ("call-ops", 8, 8, 8, 4, "t0", 8, "literal", -8, 1, True, PCREL),
        ("call-ops-direct", 8, 8, 8, 4, "t0", 8, "literal", -8, 1, True, PCREL),
        ("dynamic-trampoline", 0, 8, 4, 0, "t0", 8, "own", None, 2, False, PCREL),
        ("call-ops-cfi", 16, 12, 8, 8, "t0", 12, "literal", -16, 1, True, PCREL),
        ("bpf-fentry", 0, 8, 4, 0, "t0", 8, "own", None, 2, False, PCREL),
        ("bpf-fentry-ra16", 0, 16, 4, 0, "ra", 12, "own", None, 4, False, PCREL),
    ],
)
def test_the_numbers_of_a_scheme(
    name: str, before: int, after: int, alignment: int, ip: int, link: str, back: int, ops: str, literal: int | None,
    patched: int, frozen: bool, reach: tuple[int, int],
) -> None:  # fmt: skip
    scheme = CATALOG[name]
    assert (scheme.before, scheme.after, scheme.alignment, scheme.ip_offset) == (before, after, alignment, ip)
    assert (scheme.link.value, scheme.return_offset, scheme.ops_in.value) == (link, back, ops)
    assert (scheme.literal, scheme.words_patched) == (literal, patched)
    assert scheme.is_multi_word is (patched > 1)
    assert scheme.frozen_auipc is frozen
    assert scheme.direct_call is (name == "call-ops-direct")
    assert scheme.base == ("gp" if name == "nop-jalr" else None)
    assert scheme.dispatcher == (-24 if name == "jal-per-func" else None)
    assert (scheme.reach[0], scheme.reach[-1]) == reach


_PAIR, _SLED = [("func", 0, 8)], [("func", 0, 16)]
_FIXED = [("slot", 0, 8), ("func", 4, 4)]
_JAL = [("func", -8, 8), ("func", 0, 4)]
_JAL_FAR = [("func", -32, 8), ("func", 0, 4)]
_OPS = [("func", -8, 8), ("func", 4, 4)]
_OPS_FAR = [("func", -16, 8), ("func", 8, 4)]
_DYNAMIC = [("trampoline", 0, 0), *_PAIR]


@pytest.mark.parametrize(
    ("name", "enable", "change", "disable"),
    [
        ("mcount-ra16", _SLED, [("func", 4, 8)], _SLED),
        ("pair-t0", _PAIR, _PAIR, _PAIR),
        ("pair-aligned8", _PAIR, _PAIR, _PAIR),
        ("nop-jalr", [("func", 4, 4)], [("func", 4, 4)], [("func", 4, 4)]),
        ("detour-24", [("func", 16, 8), ("func", 0, 4)], [("func", 16, 8)], [("func", 0, 4)]),
        ("auipc-fixed", _FIXED, _FIXED[:1], _FIXED),
        ("jal-dispatch", _JAL, _JAL[:1], _JAL),
        ("jal-per-func", _JAL_FAR, _JAL_FAR[:1], _JAL_FAR),
        ("call-ops", _OPS, _OPS, _OPS),
        ("call-ops-direct", _OPS, _OPS, _OPS),
        ("dynamic-trampoline", _DYNAMIC, _DYNAMIC, _PAIR),
        ("call-ops-cfi", _OPS_FAR, _OPS_FAR, _OPS_FAR),
        ("bpf-fentry", _PAIR, _PAIR, _PAIR),
        ("bpf-fentry-ra16", _SLED, _SLED, _SLED),
    ],
)
def test_the_stores_of_a_scheme(name: str, enable: list[object], change: list[object], disable: list[object]) -> None:
    scheme = CATALOG[name]
    for stores, wanted in ((scheme.enable, enable), (scheme.change, change), (scheme.disable, disable)):
        assert [(store.place.value, store.at, store.width) for store in stores] == wanted


def places(lines: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Return (distance from func, size, text) of each line."""
    sizes = [8 if line.startswith(".dword") else 4 for line in lines]
    return [(sum(sizes[:at]), size, line) for at, (size, line) in enumerate(zip(sizes, lines, strict=True))]


@SCHEMES
def test_a_scheme_agrees_with_itself(scheme: CallScheme) -> None:
    off, on = places(scheme.disabled), places(scheme.enabled)
    assert sum(size for _, size, _ in off) == sum(size for _, size, _ in on) == scheme.after
    changed = {at for old, new in zip(off, on, strict=True) if old != new for at in range(old[0], old[0] + old[1], 4)}
    in_sled = [store for store in scheme.enable if store.place is Place.FUNC and store.at >= 0]
    stored = {at for store in in_sled for at in range(store.at, store.at + store.width, 4)}
    assert stored == changed
    assert {at for at, _, line in on if line.startswith(".")} == {store.at for store in in_sled if store.is_data}
    below = [store for store in scheme.enable if store.place is Place.FUNC and store.at < 0]
    assert all(store.is_data and store.at % store.width == 0 for store in below)
    assert [store.at for store in below] == ([] if scheme.literal is None else [scheme.literal])
    assert (scheme.literal is not None) == (scheme.ops_in is OpsIn.LITERAL)
    assert any(store.place is Place.SLOT for store in scheme.enable) == (scheme.ops_in is OpsIn.SLOT)
    if scheme.literal is not None:
        assert Need.STORE_8 in scheme.needs
        assert -scheme.literal <= scheme.before
        assert scheme.alignment % scheme.literal_alignment == 0
    assert bool({Need.STOP_MACHINE, Need.FUSED_PAIR} & scheme.needs) == scheme.is_multi_word
    assert scheme.code_store.at >= 0
    assert 0 <= scheme.ip_offset < scheme.after


@SCHEMES
def test_data_is_seen_before_the_code_that_loads_it(scheme: CallScheme) -> None:
    for stores in (scheme.enable, scheme.disable):
        assert all(store.is_published for store in stores if not store.patches)
    assert not any(store.is_published for store in scheme.enable if store.patches)
    for stores in (scheme.enable, scheme.change, scheme.disable):
        assert [store.patches for store in stores] == sorted(store.patches for store in stores)


@SCHEMES
def test_a_source_is_a_commit_with_its_version_or_says_what_it_is(scheme: CallScheme) -> None:
    commit = re.fullmatch(r'linux (before )?[0-9a-f]{12} \(".+"\), v\d+\.\d+', scheme.source)
    assert (commit is not None) == scheme.is_in_linux
    assert scheme.is_in_linux or scheme.source.startswith("linux-riscv") or scheme.name == "call-ops-cfi"
    assert scheme.summary
    assert scheme.owner in ("ftrace", "bpf")


def test_which_schemes_are_proposals() -> None:
    assert [name for name, scheme in CATALOG.items() if not scheme.is_in_linux] == [
        "pair-aligned8", "nop-jalr", "detour-24", "jal-dispatch", "jal-per-func", "dynamic-trampoline", "call-ops-cfi",
    ]  # fmt: skip


@SCHEMES
def test_what_is_refined_exists(scheme: CallScheme) -> None:
    if scheme.refines is not None:
        base = CATALOG[scheme.refines]
        assert base.refines is None
        if scheme.owner == "ftrace":
            assert (base.before, base.after, base.disabled) == (scheme.before, scheme.after, scheme.disabled)


def test_ftrace_schemes_are_told_apart() -> None:
    """But for those that leave the same traces as another one, of which none are claimed."""
    traits = {each.name: tuple(sorted(each.traits.known().items())) for each in CATALOG.values()}
    silent = [name for name, known in traits.items() if not known]
    assert silent == [
        "pair-aligned8", "nop-jalr", "dynamic-trampoline", "bpf-fentry", "bpf-fentry-ra16",
    ]  # fmt: skip
    told = [known for name, known in traits.items() if name not in silent]
    assert len(set(told)) == len(told)


@SCHEMES
def test_traits_are_the_schemes(scheme: CallScheme) -> None:
    for name in scheme.traits.known().keys() & {"before", "after", "ip_offset", "link"}:
        assert getattr(scheme.traits, name) == getattr(scheme, name)


def test_known_traits() -> None:
    assert CATALOG["bpf-fentry"].traits.known() == {}
    assert CATALOG["pair-t0"].traits.known() == {
        "before": 0, "after": 8, "ip_offset": 0, "link": "t0", "literal": 0, "call_width": 8,
    }  # fmt: skip


def test_names_are_unique() -> None:
    scheme = CATALOG["pair-t0"]
    assert dict(named((scheme,))) == {"pair-t0": scheme}
    with pytest.raises(AssertionError, match="two schemes share a name"):
        named((scheme, replace(CATALOG["call-ops"], name="pair-t0")))


def test_the_catalog_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOG["new"] = CATALOG["pair-t0"]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        CATALOG["pair-t0"].before = 4  # type: ignore[misc]


def test_get_scheme() -> None:
    assert get_scheme("call-ops") is CATALOG["call-ops"]
    with pytest.raises(
        SchemeError, match=r"^unknown scheme 'x'; known: auipc-fixed, bpf-fentry, bpf-fentry-ra16, call-ops, "
    ):
        get_scheme("x")
