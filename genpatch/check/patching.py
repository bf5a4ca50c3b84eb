# SPDX-License-Identifier: GPL-2.0-or-later
"""What the names of functions in arch/riscv say about patching."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .change import Change
from .source import Function, functions_of

__all__ = ["FLUSHES_HERE", "FLUSHES_THERE", "KPROBES", "STORES", "sources"]

KPROBES = "arch/riscv/kernel/probes/kprobes.c"
MOST_TEXT = 1 << 19  # characters; no source of the kernel is half as long
_PATCH_TEXT = ("patch_text", "patch_text_nosync", "patch_text_set_nosync")
STORES = frozenset(
    (
        *_PATCH_TEXT,
        "patch_insn_write",
        "patch_insn_set",
        "__patch_insn_write",
        "__patch_insn_set",
        "copy_to_kernel_nofault",
        "ftrace_modify_all_code",
    )
)
"""They write to text."""
FLUSHES_THERE = frozenset(
    (*_PATCH_TEXT, "flush_icache_range", "flush_icache_all", "flush_icache_mm", "sbi_remote_fence_i")
)
"""Behind them every hart sees the new text."""
FLUSHES_HERE = frozenset(("local_flush_icache_all", "local_flush_icache_range"))
"""Behind them this hart does."""


def sources(change: Change) -> Iterator[tuple[str, dict[str, Function], dict[str, Function]]]:
    """Yield path, functions before and functions after of the C files that may patch text and are changed."""
    for path in change.paths:
        if not re.fullmatch(r"arch/riscv/.+\.[ch]", path):
            continue
        old, new = change.before.read(path), change.after.read(path)
        if old is not None and new is not None and max(len(old), len(new)) <= MOST_TEXT:
            yield path, dict(functions_of(old)), dict(functions_of(new))
