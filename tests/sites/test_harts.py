# SPDX-License-Identifier: GPL-2.0-or-later
"""One hart or several, by what a kernel says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genpatch.audit.live import patching
from genpatch.image.config import parse_config
from genpatch.image.model import KernelImage
from genpatch.sites.harts import harts_of


def image(*functions: str) -> KernelImage:
    return patching(routines=dict.fromkeys(functions, "jr ra")).image


@pytest.mark.parametrize("name", ["flush_icache_all", "smp_call_function_many_cond", "smp_callin"])
def test_what_calls_other_harts_is_for_several(name: str) -> None:
    assert harts_of(image(name)) == (2, f"several harts: {name} is in the image")


def test_without_it_there_is_one() -> None:
    assert harts_of(image("smp_call_function_single")) == (
        1, "one hart: nothing that calls other harts is in the image",
    )  # fmt: skip


@pytest.mark.parametrize(("line", "harts"), [("CONFIG_SMP=y\n", 2), ("# CONFIG_SMP is not set\n", 1)])
def test_the_configuration_wins(line: str, harts: int) -> None:
    config = parse_config(f"CONFIG_MMU=y\n{line}".encode(), "a .config")
    found, evidence = harts_of(replace(image("flush_icache_all"), config=config))
    assert found == harts
    assert "in a .config" in evidence
