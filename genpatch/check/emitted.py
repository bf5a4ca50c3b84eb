# SPDX-License-Identifier: GPL-2.0-or-later
"""What the BPF JIT emits, asked about only where a patch may change it: what runs the JIT takes time to load."""

from __future__ import annotations

from .change import Change
from .layout import HEADER
from .model import Problem

__all__ = ["new_faults"]

_JIT = "arch/riscv/net/"


def new_faults(change: Change, *kinds: str) -> list[Problem]:
    """Return the faults of some kinds that a patch brings to what the JIT emits.

    Raises:
        Skip: the JIT could be run before the patch, and cannot any more.
    """
    if not any(path == HEADER or path.startswith(_JIT) for path in change.paths):
        return []
    from .bpf import new_faults as judged

    return judged(change, *kinds)
