# SPDX-License-Identifier: GPL-2.0-or-later
"""All that a scheme is made of, as sources: what patches its sites, and what stands behind its calls."""

from __future__ import annotations

from .model import CallScheme, OpsIn
from .patching import patching_source
from .trampoline import FRAMES, OpsLayout, dispatcher_source, trampoline_source

__all__ = ["PATCHING", "frame_of", "ops_symbol", "sources_of", "trampoline_names"]

PATCHING = "patching.c"
DISPATCHER = "dispatcher.S"


def frame_of(scheme: CallScheme) -> str:
    """Return which of FRAMES its trampolines make: released kernels that had one for each tracer saved pt_regs."""
    return FRAMES[1] if scheme.ops_in is OpsIn.OWN else FRAMES[0]


def trampoline_names(scheme: CallScheme) -> tuple[str, ...]:
    """Return the names of a scheme's trampolines: those of the kernel's, or for two BPF programs."""
    if scheme.owner == "bpf":
        return ("first", "second")
    return ("ftrace_caller", "ftrace_regs_caller") if scheme.ops_in is OpsIn.OWN else ("ftrace_caller",)


def ops_symbol(scheme: CallScheme, trampoline: str) -> str:
    """Return the symbol that a trampoline has in place of its ops' address."""
    return f"run_{trampoline}" if scheme.owner == "bpf" else "ops"


def sources_of(scheme: CallScheme, layout: OpsLayout) -> dict[str, str]:
    """Return the sources of a scheme by file name: PATCHING, a trampoline or two, a dispatcher if it has one.

    A trampoline's text is what stands behind its label.

    Args:
        layout: of struct ftrace_ops, as the trampolines find its members.
    """
    found = {PATCHING: patching_source(scheme)}
    for name in trampoline_names(scheme):
        ops = ops_symbol(scheme, name)
        found[f"{name}.S"] = trampoline_source(scheme, frame=frame_of(scheme), ops=ops, layout=layout)
    if scheme.dispatcher is not None:
        found[DISPATCHER] = dispatcher_source(scheme)
    return found
