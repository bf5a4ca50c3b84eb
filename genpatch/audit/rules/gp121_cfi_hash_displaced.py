# SPDX-License-Identifier: GPL-2.0-or-later
"""GP121: the kCFI hash stands where callers look for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...units import I64Array
from ..cases import DATA, SITES_AT, TEXT, Fn, clean, fires, kernel, words
from ..facts import Facts, join_names
from ..model import Finding, Severity, Skip, agree, plural
from ..registry import rule

_CHECK_AT = TEXT + 0x900
_CHECK = {-12: words(0xFF45A303), -4: words(0xFFC5A303)}  # lw t1, -12(a1) and lw t1, -4(a1)
_REST = words(0x123453B7, 0x6783839B, 0x00730463, 0x00100073)  # lui t2; addiw t2; beq t1,t2,+8; ebreak
_TRAPS = DATA + 0x200


def _cfi(offset: int, hash_offset: int) -> Facts:
    """A kernel with one check that reads at `offset` and a typed function whose hash stands at `hash_offset`."""
    function = SITES_AT + 0x100
    trap = _CHECK_AT + 16
    return kernel(
        Fn(name="one"),
        Fn(name="typed", at=function, before=0, entry=None),
        symbols={
            "__start___kcfi_traps": _TRAPS,
            "__stop___kcfi_traps": _TRAPS + 4,
            "__kcfi_typeid_typed": 0x12345678,
        },
        data={
            _CHECK_AT: _CHECK[offset] + _REST,
            _TRAPS: ((trap - _TRAPS) & 0xFFFFFFFF).to_bytes(4, "little"),
            function + hash_offset: words(0x12345678),
        },
    )


@rule(
    "GP121",
    "cfi-hash-displaced",
    severity=Severity.ERROR,
    applies="kernel",
    source="clang documentation, -fsanitize=kcfi: the hash stands before the prefix of -fpatchable-function-entry",
    cases=(
        clean(lambda: _cfi(-4, -4)),
        fires(lambda: _cfi(-12, -4), "look for the hash at func-12"),
    ),
)
def cfi_hash_displaced(facts: Facts) -> Iterator[Finding]:
    """Callers look for a function's kCFI hash at another place than where it stands.

    ## What it checks
    The distance that indirect calls read the hash at (decoded before each trap of __kcfi_traps) against where
    functions whose hash is known by name (__kcfi_typeid_*) carry it.

    ## Why it matters
    With -fpatchable-function-entry=N,M the compiler looks M nops further down, in every object built with
    that flag. Assembly functions and notrace functions have no prefix: their hash stands right before the
    symbol, the check reads something else, and the kernel panics at the first such indirect call.

    ## Remedy
    Build without prefix nops where call-ops is off (it excludes CFI), or give assembly and notrace functions
    the same prefix.

    ## References
    arch/riscv/kernel/cfi.c; include/linux/cfi_types.h; arch/riscv/Makefile (CC_FLAGS_FTRACE).
    """
    looked_at, calls = _check_offsets(facts)
    if not len(looked_at):
        raise Skip("the image has no kCFI checks that could be read")
    wrong: dict[tuple[int, int], list[int]] = {}
    for index in facts.image.symbols.with_prefix("__kcfi_typeid_"):
        found = _hash_place(facts, int(index))
        if found is not None and found[1] != looked_at[0]:
            wrong.setdefault((int(looked_at[0]), found[1]), []).append(found[0])
    for (expected, actual), functions in wrong.items():
        names = join_names(facts.symbol_at(address) for address in functions)
        yield Finding(
            message=f"indirect calls ({calls:,} checks) look for the hash at func{expected:+d}, but "
            f"{plural(len(functions), 'function')} {agree(len(functions), 'carries', 'carry')} it at "
            f"func{actual:+d}: {names}",
            kind="displaced",
            address=functions[0],
            symbol=facts.symbol_at(functions[0]),
            count=len(functions),
            subject=f"{expected:+d}{actual:+d}",
        )
    if not wrong:
        yield from _mixed_offsets(looked_at, calls)


def _mixed_offsets(looked_at: I64Array, calls: int) -> Iterator[Finding]:
    if len(looked_at) > 1:
        places = ", ".join(f"func{int(offset):+d}" for offset in looked_at)
        yield Finding(
            message=f"of {calls:,} checks some look for the hash at another place than others: {places}",
            kind="mixed",
        )


def _check_offsets(facts: Facts) -> tuple[I64Array, int]:
    """Return the distances that checks read at, the most frequent first, and the number of checks.

    A check is lw t1, k(reg); lui t2; addiw t2; beq t1, t2; ebreak, and the table holds the ebreak's address
    relative to the slot.
    """
    span = _traps(facts)
    if span is None:
        return np.empty(0, np.int64), 0
    raw = np.frombuffer(facts.image.memory.read(*span), "<i4").astype(np.int64)
    at = np.uint64(span[0]) + np.arange(len(raw), dtype=np.uint64) * np.uint64(4)
    data, stored = facts.image.memory.windows(at + raw.astype(np.uint64), 16, 16)
    load = np.ascontiguousarray(data[:, :4]).view("<u4")[:, 0]
    is_load = stored.all(axis=1) & ((load & 0x707F) == 0x2003)
    offsets = load[is_load].astype(np.int64) << 32 >> 52
    values, count = np.unique(offsets, return_counts=True)
    return values[np.argsort(-count)], int(is_load.sum())


def _traps(facts: Facts) -> tuple[int, int] | None:
    """Return (address, size) of __kcfi_traps: by its bounding symbols or as a section."""
    span = facts.image.span_of("__start___kcfi_traps", "__stop___kcfi_traps")
    if span is not None and span.size:
        return span.start, span.size // 4 * 4
    for region in facts.image.memory.regions:
        if region.name == "__kcfi_traps" and len(region.data):
            return region.span.start, len(region.data) // 4 * 4
    return None


def _hash_place(facts: Facts, index: int) -> tuple[int, int] | None:
    """Return (function, distance) of a hash that is known by name; None where it is not before the function."""
    symbols = facts.image.symbols
    function = symbols.find(symbols.name(index).removeprefix("__kcfi_typeid_"))
    if function is None or not facts.image.memory.has(function - 16, 16):
        return None
    wanted = int(symbols.address[index]) & 0xFFFFFFFF
    for distance in (-4, -8, -12, -16):
        if facts.image.memory.unsigned(function + distance, 4) == wanted:
            return function, distance
    return None
