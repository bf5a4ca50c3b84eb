# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's JIT can do: asked as the verifier asks it, before a program that needs it is compiled."""

from __future__ import annotations

from .bytecode import assemble
from .compile import JitBench, Source
from .fixups import can_fix

__all__ = ["Needs"]

_INLINE = "inline "
_PROBES = {"v4": "r0 = 1; r0 = bswap16 r0; exit"}
"""What an older JIT takes for something else, by a program that it does not accept."""
_INSNS = {
    "arena atomics": "lock *(u64 *)(r1 + 0) += r2",
    "arena cmpxchg": "r0 = cmpxchg_64(r1 + 0, r0, r2)",
}
PER_CPU = "__per_cpu_offset"


class Needs:
    """Answers for one kernel; each is found out once.

    Args:
        bench: the kernel and its JIT.
    """

    def __init__(self, bench: JitBench):
        self.bench = bench
        self._known: dict[str, bool] = {}

    def has(self, needs: str) -> bool:
        """Tell whether a kernel has all that a program needs, names joined by ``+``; none are always there."""
        return all(self._has(each) for each in needs.split("+") if each)

    def _has(self, need: str) -> bool:
        if need not in self._known:
            self._known[need] = self._asked(need)
        return self._known[need]

    def _asked(self, need: str) -> bool:
        bench = self.bench
        if need == "kfunc":
            return bench.asks("bpf_jit_supports_kfunc_call") is True
        if need == "percpu":
            there = bench.image.address_of(PER_CPU) is not None
            return there and bench.asks("bpf_jit_supports_percpu_insn") is True
        if need == "probe":
            return can_fix(bench.image)
        if need == "arena":
            return self._has("probe") and bench.has_arenas
        if need in _INSNS:
            insn = bench.allocate(assemble(_INSNS[need]))
            return self._has("arena") and bench.asks("bpf_jit_supports_insn", insn, 1) is True
        if need.startswith(_INLINE):
            number = self.inlined(need)
            return number is not None and bench.asks("bpf_jit_inlines_helper_call", number) is True
        return need not in _PROBES or bench.compile(Source(_PROBES[need])).accepted

    def inlined(self, needs: str) -> int | None:
        """Return the number of the helper that ``inline NAME`` is about; None if it is unknown, or another need."""
        return self.bench.types.enumerator(f"BPF_FUNC_{name}") if (name := inlined_name(needs)) else None


def inlined_name(needs: str) -> str:
    """Return the name of the helper that ``inline NAME`` is about, else an empty text."""
    return needs.removeprefix(_INLINE) if needs.startswith(_INLINE) else ""
