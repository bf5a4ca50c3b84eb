# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels: 7.2, whose only failures are known, and 6.12, which has none.

Numbers of sites and of functions on each alignment were counted with nm and readelf; widths of stores follow
from them: 6.12 copies with the widest store that an address allows, 7.2 writes a literal and a word.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.sites.discover import find_sites
from genpatch.verify.run import Verification, verify

pytestmark = pytest.mark.kernels

SITES = {"7.2": 43_709, "6.12": 39_507}
STUB = "direct:ftrace_stub_direct_tramp"
OUT_OF_REACH = 1_020
"""Sites for which the hi20 of ftrace_caller is not that of ftrace_stub_direct_tramp, which stands 0x800 behind."""
TRIED = {
    "7.2": {
        "boot", "enabled", "redirected", "overridden", "graph", "direct-in-frame", "changed", "changed-direct",
        "disabled", "enabled-one", "direct", "kprobed", "disabled-again", STUB, "returned", "rethook",
    },
    "6.12": {
        "boot", "enabled", "redirected", "overridden", "graph", "direct-in-frame", "changed-direct", "disabled",
        "direct", "disabled-again", STUB, "returned", "rethook",
    },
}  # fmt: skip


@cache
def kernel(version: str, kind: str) -> KernelImage:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder:
        pytest.skip("GENPATCH_KERNELS names no directory of kernels")
    path = Path(folder, version, kind)
    if not path.exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/{kind}")
    return read_image(open_content(str(path)))


def some(image: KernelImage, prefix: str) -> Any:
    """Return which sites' functions have a name that begins so."""
    names = image.symbols.named(find_sites(image).symbol.tolist())
    return np.array([name.startswith(prefix) for name in names], np.bool_)


@cache
def whole(version: str, kind: str) -> Verification:
    return verify(kernel(version, kind))


@cache
def part(version: str, kind: str) -> Verification:
    image = kernel(version, kind)
    return verify(image, chosen=some(image, "vfs_"))


def stores(verification: Verification, *states: str) -> Counter[tuple[str, int, bool]]:
    counted: Counter[tuple[str, int, bool]] = Counter()
    for each in verification.stores:
        if each.state in states:
            counted["literal" if each.what == "literal" else "code", each.width, each.aligned] += each.count
    return counted


# --- all sites, once for each kernel; the boot image of the one, the vmlinux of the other


def test_every_site_of_7_2() -> None:
    verification = whole("7.2", "vmlinux")
    states = {state.name: (state.sites, len(state.failed)) for state in verification.states if not state.skipped}
    assert set(states) == TRIED["7.2"]
    assert states.pop(STUB) == (43_709, OUT_OF_REACH)
    assert set(states.values()) == {(43_709, 0)}
    assert {failure.promise.value for failure in verification.failures} == {"arrives"}


def test_stores_of_7_2() -> None:
    """One 8-byte store to the literal and one word a site; both words of the call at boot."""
    n, verification = SITES["7.2"], whole("7.2", "vmlinux")
    assert stores(verification, "boot") == {("literal", 8, True): n, ("code", 8, True): n}
    for state in ("enabled", "changed", "disabled", "enabled-one", "disabled-again"):
        assert stores(verification, state) == {("literal", 8, True): n, ("code", 4, True): n}, state


def test_the_order_of_stores_of_7_2() -> None:
    steps = whole("7.2", "vmlinux").sequences["ftrace_make_call, func % 8 == 0"]
    done = [step.split(":")[0] for step in steps if step.startswith("store")]
    assert done == ["store 8 at func-8", "store 4 at func+4"]


def test_every_site_of_6_12() -> None:
    verification = whole("6.12", "boot")
    states = {state.name: (state.sites, len(state.failed)) for state in verification.states if not state.skipped}
    assert set(states) == TRIED["6.12"]
    assert set(states.values()) == {(39_507, 0)}
    assert verification.failures == []


def test_stores_of_6_12() -> None:
    """10,277 functions on a multiple of 8, 10,369 more on one of 4, the other 18,861 on one of 2."""
    assert SITES["6.12"] == 10_277 + 10_369 + 18_861
    expected = {("code", 8, True): 10_277, ("code", 4, True): 2 * 10_369, ("code", 2, True): 4 * 18_861}
    for state in ("boot", "enabled", "disabled"):
        assert stores(whole("6.12", "boot"), state) == expected, state


# --- the same image in another container, on some of its sites


@pytest.mark.parametrize(("version", "kind"), [(v, k) for v in SITES for k in ("vmlinux", "boot")])
def test_some_sites(version: str, kind: str) -> None:
    verification = part(version, kind)
    tried = {state.name for state in verification.states if not state.skipped}
    assert tried == TRIED[version]
    assert len({state.sites for state in verification.states if not state.skipped}) == 1
    assert {failure.state for failure in verification.failures} <= {STUB}


@pytest.mark.parametrize("version", SITES)
def test_a_boot_image_is_its_vmlinux(version: str) -> None:
    """Only where the host's own functions stand differs, and with it what is stored."""
    elf, boot = part(version, "vmlinux"), part(version, "boot")
    assert elf.stores == boot.stores
    steps = [
        {name: [step.split(":")[0] for step in steps] for name, steps in each.sequences.items()} for each in (elf, boot)
    ]
    assert steps[0] == steps[1]
    for one, other in zip(elf.states, boot.states, strict=True):
        assert (one.name, one.sites, one.insns) == (other.name, other.sites, other.insns)
        assert len(one.failed) == len(other.failed)


@pytest.mark.parametrize("version", SITES)
def test_cost_follows_sites(version: str) -> None:
    """As many instructions a site, whether they are many or few."""
    few, many = part(version, "vmlinux"), whole(version, "vmlinux" if version == "7.2" else "boot")
    per_site = [each.insns / each.states[0].sites for each in (few, many)]
    assert per_site[0] == pytest.approx(per_site[1], rel=0.05)


def test_the_locks_and_fences_of_7_2() -> None:
    steps = part("7.2", "vmlinux").sequences["ftrace_make_call, func % 8 == 0"]
    assert "fence.i" in steps or "remote fence.i" in steps
