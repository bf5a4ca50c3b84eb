# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a kernel is for several harts, by its configuration or by what only such a kernel has."""

from __future__ import annotations

from ..image.model import KernelImage

__all__ = ["harts_of"]

_SMP_ONLY = ("flush_icache_all", "smp_call_function_many", "smp_call_function_many_cond", "smp_callin")


def harts_of(image: KernelImage) -> tuple[int, str]:
    """Return 2 for several harts or 1, and the evidence."""
    smp = image.config.enabled("SMP")
    if smp is not None:
        return (2 if smp else 1), f"CONFIG_SMP={'y' if smp else 'n'} in {image.config.source}"
    found = next((name for name in _SMP_ONLY if image.address_of(name) is not None), None)
    if found is not None:
        return 2, f"several harts: {found} is in the image"
    return 1, "one hart: nothing that calls other harts is in the image"
