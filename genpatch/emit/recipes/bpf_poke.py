# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf-poke: a BPF program's sled is poked in steps that a preempted task may be between."""

from __future__ import annotations

from ..parts.poke import look_at_poke, poke_plans
from ..recipe import Recipe

RECIPE = Recipe(
    name="bpf-poke",
    summary="the BPF JIT waits for tasks in a sled before it writes the second of two instructions",
    trees="whose bpf_arch_text_poke() writes a whole sled by one patch_text() (6.12, 7.2)",
    look=look_at_poke,
    plan=poke_plans,
    scheme="bpf-fentry",
)
