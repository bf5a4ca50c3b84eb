# SPDX-License-Identifier: GPL-2.0-or-later
"""GP202: a call with a frozen auipc only takes targets that share its upper immediate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...isa.encoding import hi20_of
from ...schemes import Link
from ...units import Span
from ..cases import CALL_OPS_CODE, CALL_OPS_MAKE_CALL, SITES_AT, Code, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip, plural, where
from ..registry import rule

_GUARD = """
    auipc a5, 0
    sub a4, a5, a1
    addi a2, zero, 2047
    bgeu a2, a4, near
    near: addi a0, a0, 0
"""
_WITH_GUARD = replaced(CALL_OPS_CODE, "ftrace_make_call", _GUARD + CALL_OPS_MAKE_CALL)
_DIRECT = Code(name="ftrace_stub_direct_tramp", source="jalr zero, 0(t0)", at=CALL_OPS_CODE[0].at + 0xC0)
_REGISTER = {"register_ftrace_direct": SITES_AT + 0x8000}
_MOST = 256
_JR_T0 = (b"\x82\x82", b"\x67\x80\x02\x00")  # c.jr t0; jalr zero, 0(t0)
_CROSSES = SITES_AT + 0x808  # from here ftrace_caller is below, the direct target above a multiple of 4096 + 2048


@rule(
    "GP202",
    "frozen-auipc-overreach",
    severity=Severity.ERROR,
    applies="kernel",
    source="RISC-V unprivileged ISA: auipc adds hi20 << 12, jalr's immediate is signed 12 bits",
    cases=(
        clean(lambda: kernel(Fn(name="one"), code=(*_WITH_GUARD, _DIRECT), symbols=_REGISTER)),
        clean(lambda: kernel(Fn(name="one", at=_CROSSES), code=_WITH_GUARD, symbols=_REGISTER)),
        fires(
            lambda: kernel(Fn(name="one", at=_CROSSES), code=(*_WITH_GUARD, _DIRECT), symbols=_REGISTER),
            "ftrace_stub_direct_tramp .* 1 site of 1",
        ),
    ),
)
def frozen_auipc_overreach(facts: Facts) -> Iterator[Finding]:
    """A target that ftrace_make_call takes for reachable lies 4096 bytes beside where the call goes.

    ## What it checks
    In schemes that write auipc once (for ftrace_caller) and then change only jalr: for each routine near
    ftrace_caller that can be called from a site (it returns through the call's link register), within the
    distance that ftrace_make_call accepts (decoded), whether it has the same upper immediate as ftrace_caller
    as seen from every site.

    ## Why it matters
    A distance below 2 KiB does not mean that the upper immediate is the same: it changes wherever the low
    twelve bits cross 0x800. At those sites jalr lands 4096 bytes away from the target, in the middle of
    something else, as soon as that target is used as a direct call.

    ## Remedy
    Compare what auipc computes, (addr - pc + 0x800) >> 12, for both targets instead of their distance, and fall
    back to ftrace_caller where they differ.

    ## References
    arch/riscv/kernel/ftrace.c (ftrace_make_call); linux b2137c3b6d7a ("riscv: ftrace: prepare ftrace for
    atomic code patching").
    """
    scheme, sites = facts.need_scheme(), facts.need_sites()
    if not scheme.frozen_auipc:
        raise Skip(f"{scheme.name} rewrites auipc with each call")
    caller = facts.image.address_of("ftrace_caller")
    if caller is None:
        raise Skip("there is no ftrace_caller")
    if facts.image.address_of("register_ftrace_direct") is None:
        raise Skip("the kernel has no direct calls")
    if facts.image.address_of("ftrace_make_call") is None:
        raise Skip("there is no ftrace_make_call")
    limit = facts.code.direct_guard
    if limit is None:
        raise Skip("ftrace_make_call compares no distance that could be read")
    if facts.code.has_second_guard:
        raise Skip("ftrace_make_call compares more than the distance; genpatch verify runs it with such targets")
    frozen = hi20_of(facts.distances_to(caller))
    for name, target in _callable_near(facts, caller, limit):
        hit = where((hi20_of(facts.distances_to(target)) != frozen) & sites.in_text)
        if len(hit):
            yield facts.about_sites(
                hit,
                f"ftrace_make_call takes {name} ({target - caller:+d} bytes from ftrace_caller, limit {limit}) for "
                f"reachable, but at {plural(len(hit), 'site')} of {len(sites):,} auipc has another hi20: jalr lands "
                "4096 bytes beside it",
                "hi20",
                subject=name,
            )


def _callable_near(facts: Facts, caller: int, limit: int) -> list[tuple[str, int]]:
    """Return (name, address) of the routines within `limit` of ftrace_caller that return through t0."""
    symbols = facts.image.symbols
    own = facts.code.span("ftrace_caller")
    low, high = max(caller - limit, 0), caller + limit
    found: dict[int, str] = {}
    near = symbols.code_between(low, high)
    for index in near[~np.isin(symbols.address[near], facts.sites.func)][:_MOST]:
        address = int(symbols.address[index])  # what has a sled itself returns through ra
        if address == caller or (own is not None and address in own):
            continue
        span = facts.code.span_of(int(index))
        if span is None or not _may_return_through_t0(facts, span):
            continue
        trampoline = facts.code.trampoline_at(symbols.name(int(index)), int(index))
        if trampoline is not None and trampoline.link is Link.T0 and trampoline.complete:
            found.setdefault(address, symbols.name(int(index)))
    return [(name, address) for address, name in found.items()]


def _may_return_through_t0(facts: Facts, span: Span) -> bool:
    """Tell quickly whether a routine holds the bytes of jr t0 at all."""
    region = facts.image.memory.region_at(span.start)
    if region is None:
        return False
    at = span.start - region.span.start
    text = region.data[at : at + span.size].tobytes()
    return any(jump in text for jump in _JR_T0)
