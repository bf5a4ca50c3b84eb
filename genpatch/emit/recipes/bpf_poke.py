# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-poke: a BPF program is traced by one instruction and one address, each stored at once."""

from __future__ import annotations

from ..parts.poke import look_at_poke, poke_plans
from ..recipe import Recipe

RECIPE = Recipe(
    name="bpf-poke",
    summary="a BPF program is traced by one instruction that is patched, and an address in front of the program",
    trees="whose bpf_arch_text_poke() writes a whole sled by one patch_text() (6.12, 7.2)",
    look=look_at_poke,
    plan=poke_plans,
)
