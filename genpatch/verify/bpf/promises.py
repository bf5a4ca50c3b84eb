# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be broken about BPF: names only, so that naming them needs no machine."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BpfPromise"]


class BpfPromise(StrEnum):
    """What the JIT and its trampolines promise."""

    MADE = "made"
    """The JIT returns, without a WARN, and writes nowhere else than into what it was given."""
    SIZE = "size"
    """The dry run's size is never below the real one."""
    SEQUENCE = "sequence"
    """What is called, in which order, how often."""
    ORIGINAL = "original"
    """The traced function is entered exactly behind its sled."""
    LEAVES = "leaves"
    """Where the trampoline leaves to, with ra, sp and the saved registers as they were."""
    ARGUMENTS = "arguments"
    """What programs, and the functions around them, are called with."""
    PASSED = "passed"
    """What the traced function is called with."""
    VALUE = "value"
    """The value that is returned, and what programs see of it."""
    NARROW = "narrow"
    """The same of unsigned values below 32 bits: the program may have cleared the rest itself."""
    STACK = "stack"
    """sp, frames, slots: aligned, disjoint, written before they are read."""
    PROGRAM = "program"
    """A JITed program computes what its instructions say."""
    LOCAL = "local"
    """Registers that clang passes arguments of local functions in."""
    POKE = "poke"
    """bpf_arch_text_poke() changes what it is told to, and refuses what is not there."""
