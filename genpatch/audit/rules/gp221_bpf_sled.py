# SPDX-License-Identifier: GPL-2.0-or-later
"""GP221: BPF's idea of a sled is the kernel's."""

from __future__ import annotations

from collections.abc import Iterator

from ...sites.flow import A0
from ..cases import PAIR_CODE, SITES_AT, Code, Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_WORD = 4
_SITE = Fn(name="one", before=0)


def _poke(size: int, written: int | None = None) -> tuple[Code, ...]:
    """Kernel code with a bpf_arch_text_poke that compares `size` bytes and writes as many, or `written`."""
    source = (
        f"addi sp, sp, -16\n sd ra, 0(sp)\n addi a2, zero, {size}\n jal ra, memcmp\n addi a2, zero, {written or size}\n"
        "jal ra, patch_text\n ld ra, 0(sp)\n addi sp, sp, 16\n jalr zero, 0(ra)"
    )
    return (
        *PAIR_CODE,
        Code(name="memcmp", source="jalr zero, 0(ra)", at=SITES_AT - 0x700),
        Code(name="patch_text", source="jalr zero, 0(ra)", at=SITES_AT - 0x6C0),
        Code(name="bpf_arch_text_poke", source=source, at=SITES_AT - 0x600),
    )


@rule(
    "GP221",
    "bpf-sled-mismatch",
    severity=Severity.ERROR,
    applies="kernel",
    source='linux 25ad10658dc1 ("riscv, bpf: Adapt bpf trampoline to optimized riscv ftrace framework"), v6.6',
    cases=(
        clean(lambda: kernel(_SITE, code=_poke(8))),
        fires(lambda: kernel(_SITE, code=_poke(16)), "16 bytes, .* 8"),
        fires(lambda: kernel(_SITE, code=_poke(8, 16)), "compares 8 bytes and writes 16"),
    ),
)
def bpf_sled_mismatch(facts: Facts) -> Iterator[Finding]:
    """bpf_arch_text_poke works on another sled size than functions have.

    ## What it checks
    How many bytes bpf_arch_text_poke compares and rewrites (constants of its calls, decoded) against the
    bytes from the symbol on that the scheme uses. The same constant (RV_FENTRY_NINSNS) tells BPF trampolines
    how much of a kernel function to skip. Where it compares a single instruction, this says nothing.

    ## Why it matters
    With 16 bytes on an 8-byte sled the trampoline enters the function behind its first real instructions:
    its frame is never made, and the caller's return address is lost.

    ## Remedy
    Set RV_FENTRY_NINSNS so that it spans the kernel's sled, and use the same link register.

    ## References
    arch/riscv/net/bpf_jit_comp64.c (RV_FENTRY_NINSNS, bpf_arch_text_poke).
    """
    scheme = facts.need_scheme()
    size, written = poked_size(facts), _written(facts)
    if size is not None and written and not written & {size, size // 4}:
        yield Finding(
            message=f"bpf_arch_text_poke compares {size} bytes and writes {', '.join(map(str, sorted(written)))}",
            kind="written", symbol="bpf_arch_text_poke",
        )  # fmt: skip
    if size is None:
        raise Skip("bpf_arch_text_poke is not there or its constants could not be followed")
    if size == _WORD:
        raise Skip("bpf_arch_text_poke compares one instruction: how long it takes a sled to be does not show")
    if size != scheme.after:
        span = facts.code.span("bpf_arch_text_poke")
        yield Finding(
            message=f"bpf_arch_text_poke works on {size} bytes, a function's sled has {scheme.after}",
            kind="size",
            address=span.start if span else None,
            symbol="bpf_arch_text_poke",
        )


def _written(facts: Facts) -> set[int]:
    """Return the lengths that bpf_arch_text_poke passes to a writer: bytes, or before v6.10 instructions."""
    routine = facts.code.routine("bpf_arch_text_poke")
    lengths = (
        call.registers[A0 + 2].constant
        for call in (routine.calls() if routine is not None else ())
        if call.target in facts.code.primitives
    )
    return {length for length in lengths if length is not None}


def poked_size(facts: Facts) -> int | None:
    """Return the bytes that bpf_arch_text_poke compares with what it expects, None if that is not known."""
    routine = facts.code.routine("bpf_arch_text_poke")
    compare = {facts.image.address_of(name) for name in ("memcmp", "__pi_memcmp", "bcmp")} - {None}
    if routine is None:
        return None
    sizes = {
        call.registers[A0 + 2].constant
        for call in routine.calls()
        if call.target in compare and call.registers[A0 + 2].constant is not None
    }
    return sizes.pop() if len(sizes) == 1 else None
