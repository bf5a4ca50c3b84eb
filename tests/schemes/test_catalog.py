# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalog against words that were written down independently of it."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import pytest

from genpatch.errors import SchemeError
from genpatch.isa.assemble import assemble
from genpatch.schemes import CATALOG, CallScheme, get_scheme
from genpatch.schemes.model import Need, named

from .checks import AUIPC_RA, AUIPC_T0, JALR_RA, JALR_T0, LD_RA, NOP, SD_RA

SCHEMES = pytest.mark.parametrize("scheme", CATALOG.values(), ids=CATALOG.keys())


def words(lines: tuple[str, ...]) -> tuple[int, ...]:
    """Assemble a scheme's words for a target at distance 0."""
    source = "\n".join("addi zero, zero, 0" if line == "nop" else line for line in lines)
    raw = assemble(source.format(hi20=0, lo12=0), 0x1000)
    return tuple(int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4))


CHECKS = {
    "mcount-ra16": ((NOP, NOP, NOP, NOP), (SD_RA, AUIPC_RA, JALR_RA, LD_RA)),
    "pair-t0": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
    "auipc-fixed": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "call-ops": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "call-ops-direct": ((AUIPC_T0, NOP), (AUIPC_T0, JALR_T0)),
    "bpf-fentry": ((NOP, NOP), (AUIPC_T0, JALR_T0)),
}


def test_every_scheme_has_a_check() -> None:
    assert list(CATALOG) == list(CHECKS)


@SCHEMES
def test_the_words_of_a_site(scheme: CallScheme) -> None:
    assert (words(scheme.disabled), words(scheme.enabled)) == CHECKS[scheme.name]


@pytest.mark.parametrize(
    ("name", "before", "after", "alignment", "ip", "link", "literal", "patched", "frozen"),
    [
        ("mcount-ra16", 0, 16, 4, 0, "ra", None, 4, False),
        ("pair-t0", 0, 8, 4, 0, "t0", None, 2, False),
        ("auipc-fixed", 0, 8, 4, 4, "t0", None, 1, True),
        ("call-ops", 8, 8, 8, 4, "t0", -8, 1, True),
        ("call-ops-direct", 8, 8, 8, 4, "t0", -8, 1, True),
        ("bpf-fentry", 0, 8, 4, 0, "t0", None, 2, False),
    ],
)
def test_the_numbers_of_a_scheme(
    name: str, before: int, after: int, alignment: int, ip: int, link: str, literal: int | None, patched: int,
    frozen: bool,
) -> None:  # fmt: skip
    scheme = CATALOG[name]
    assert (scheme.before, scheme.after, scheme.alignment, scheme.ip_offset) == (before, after, alignment, ip)
    assert (scheme.link.value, scheme.literal, scheme.words_patched) == (link, literal, patched)
    assert scheme.is_multi_word is (patched > 1)
    assert scheme.frozen_auipc is frozen
    assert (scheme.reach[0], scheme.reach[-1]) == (-0x8000_0800, 0x7FFF_F7FF)


@SCHEMES
def test_a_scheme_agrees_with_itself(scheme: CallScheme) -> None:
    assert len(scheme.disabled) == len(scheme.enabled) == scheme.after // 4
    changed = {4 * n for n, pair in enumerate(zip(scheme.disabled, scheme.enabled, strict=True)) if pair[0] != pair[1]}
    stored = {at for store in scheme.enable if store.at >= 0 for at in range(store.at, store.at + store.width, 4)}
    assert stored == changed
    assert all(store.at % store.width == 0 for store in scheme.enable if store.at < 0)
    assert (scheme.literal is not None) == any(store.at < 0 for store in scheme.enable)
    if scheme.literal is not None:
        assert Need.STORE_8 in scheme.needs
        assert -scheme.literal <= scheme.before
        assert scheme.alignment % scheme.literal_alignment == 0
    assert (Need.STOP_MACHINE in scheme.needs) == scheme.is_multi_word
    assert scheme.code_store.at >= 0


@SCHEMES
def test_a_source_is_a_commit_with_its_version(scheme: CallScheme) -> None:
    assert re.fullmatch(r'linux [0-9a-f]{12} \(".+"\), v\d+\.\d+', scheme.source)
    assert scheme.summary
    assert scheme.owner in ("ftrace", "bpf")


@SCHEMES
def test_what_is_refined_exists(scheme: CallScheme) -> None:
    if scheme.refines is not None:
        base = CATALOG[scheme.refines]
        assert base.refines is None
        assert (base.before, base.after, base.disabled) == (scheme.before, scheme.after, scheme.disabled)


def test_ftrace_schemes_are_told_apart() -> None:
    traits = [tuple(sorted(each.traits.known().items())) for each in CATALOG.values() if each.owner == "ftrace"]
    assert len(set(traits)) == len(traits)


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
        SchemeError, match=r"^unknown scheme 'x'; known: auipc-fixed, bpf-fentry, call-ops, call-ops-direct, "
    ):
        get_scheme("x")
