# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's own patching code makes of each sled: its bytes in the states that a site goes through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from ..audit.facts import Facts
from ..machine.outcome import Trap
from ..sites.patching import PatchingCode
from ..units import BoolArray, I64Array, U64Array, as_hex
from ..verify.patcher import Patcher
from ..verify.run import MOST_SITES, Verification, prepare_verification, terms_of
from ..verify.scene import prepare_scene
from .build import sled_in_file
from .document import SledBytes

__all__ = ["names_in", "sleds_in_states"]

_MOST_NAMES = 64
_DIRECT = "direct:"
_POINTED_TO = ("ftrace_nop_ops", "ftrace_list_ops", "global_ops")
_U64 = np.uint64
_Arguments = dict[int, U64Array | int]


def sleds_in_states(facts: Facts, tried: Sequence[str] = ()) -> tuple[SledBytes, ...]:
    """Return the bytes of all sleds in the file, and after each of the kernel's patching functions.

    Args:
        facts: of a kernel whose scheme is known; of another only the file's bytes are returned.
        tried: states that were run; of those the kernel's own direct calls are shown, too.
    """
    in_file = sled_in_file(facts)
    result, code = prepare_verification(facts.image)
    if result.verdict.scheme is None or facts.image.address_of("ftrace_caller") is None:
        return (in_file,)
    with suppress(Trap):
        return (in_file, *_run(facts, result, code, in_file, tried))
    return (in_file,)


def _run(
    facts: Facts, result: Verification, code: PatchingCode, in_file: SledBytes, tried: Sequence[str]
) -> Iterator[SledBytes]:
    scene = prepare_scene(facts.image)
    chosen = np.flatnonzero(in_file.known.all(axis=1) & facts.sites.in_text)[:MOST_SITES]
    if not len(chosen):
        return
    terms = terms_of(result, scene, code)
    patcher = Patcher(scene, terms.ip[chosen], result.layouts)
    patcher.let_pass(frozenset({scene.callback}), terms.link)
    patcher.memory.write_u64(None, patcher.record + result.layouts.record_flags, 0)
    low = facts.sites.func[chosen] - _U64(-in_file.offset)
    for function, state, what, arguments in _steps(facts, patcher.record, tried):
        if facts.image.address_of(function) is None:
            continue
        patcher.call(function, arguments)
        if state:
            data, known = np.zeros_like(in_file.data), np.zeros_like(in_file.known)
            data[chosen] = patcher.memory.read(None, low, data.shape[1])
            known[chosen] = True
            yield SledBytes(state=state, what=what, offset=in_file.offset, data=data, known=known)


def _steps(facts: Facts, record: int, tried: Sequence[str]) -> Iterator[tuple[str, str, str, _Arguments]]:
    """Yield calls of patching functions: the function, the state that it leads to (or none), what it is, arguments."""
    caller = facts.image.address_of("ftrace_caller") or 0
    off: _Arguments = {0: 0, 1: record, 2: caller}
    yield "ftrace_init_nop", "boot", "after ftrace_init_nop", {0: 0, 1: record}
    yield "ftrace_make_call", "enabled", "after ftrace_make_call to ftrace_caller", {0: record, 1: caller}
    yield "ftrace_make_nop", "disabled", "after ftrace_make_nop", off
    for state in tried:
        target = facts.image.address_of(state.removeprefix(_DIRECT)) if state.startswith(_DIRECT) else None
        if target is not None:
            what = f"after ftrace_make_call to {state.removeprefix(_DIRECT)}"
            yield "ftrace_make_call", state, what, {0: record, 1: target}
            yield "ftrace_make_nop", "", "", off


def names_in(facts: Facts, states: Sequence[SledBytes], tried: Sequence[str] = ()) -> dict[str, str]:
    """Return names of what sleds lead to or point to: hex address to ``symbol+0x12``, some of them at most.

    Args:
        tried: states that were run, by whose names the kernel's own direct calls are known.
    """
    literal = facts.scheme.literal if facts.scheme is not None else None
    found: list[U64Array] = []
    for sled in states[1:]:
        if literal is not None and 0 <= literal - sled.offset <= sled.data.shape[1] - 8:
            at = literal - sled.offset
            found.append(np.ascontiguousarray(sled.data[:, at : at + 8]).view("<u8").reshape(-1))
        for at in range(0, sled.data.shape[1] - 7, 4):
            found.append(_call_targets(facts.sites.func + _U64((sled.offset + at) % (1 << 64)), sled, at))
    values, counts = np.unique(np.concatenate([*found, np.zeros(0, _U64)]), return_counts=True)
    usual = values[np.argsort(-counts, kind="stable")][:_MOST_NAMES].tolist()
    return {as_hex(value): name for value in usual if (name := _name(facts, value, tried))}


def _name(facts: Facts, address: int, tried: Sequence[str]) -> str:
    """Return what stands at an address, as far as that is known; empty otherwise."""
    known = (*_POINTED_TO, "ftrace_caller", "ftrace_regs_caller", *(each.removeprefix(_DIRECT) for each in tried))
    exact = next((name for name in known if facts.image.address_of(name) == address), "")
    region = facts.image.memory.region_at(address)
    if exact or region is None or not region.executable:
        return exact
    return facts.image.symbols.nearest(address)


def _call_targets(pc: U64Array, sled: SledBytes, at: int) -> U64Array:
    """Return where auipc and jalr at some offset lead, of the sleds that have such a pair there: uint64[m]."""
    words = np.ascontiguousarray(sled.data[:, at : at + 8]).view("<u4")
    first, second = words[:, 0].astype(np.int64), words[:, 1].astype(np.int64)
    register = first >> 7 & 31
    is_pair: BoolArray = (first & 0x7F == 0x17) & (second & 0x707F == 0x67) & (second >> 15 & 31 == register)
    high: I64Array = (first >> 12 ^ 0x80000) - 0x80000
    low: I64Array = (second >> 20 ^ 0x800) - 0x800
    targets: U64Array = (pc[is_pair].view(np.int64) + (high[is_pair] << 12) + low[is_pair]).view(_U64)
    return targets
