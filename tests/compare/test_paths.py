# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts are worked out from the trampolines' listings: none of them has a loop."""

from __future__ import annotations

import pytest

from genpatch.compare.paths import executed_path, trampoline_bytes
from genpatch.schemes import CATALOG, CallScheme, get_scheme

# sp down; 18 stores: t0, t1, s0, a0-a7, t2-t6, ra, sp; four for the arguments but the ops (sp to be stored, ip,
# parent ip, frame); the callback's address and the call; 17 loads: the same but sp; sp up; back
ARGS = 1 + 18 + 4 + 2 + 17 + 1 + 1
# beside those the rest of pt_regs: s1, s2-s11 twice, gp, tp and four words of zero
REGS = ARGS + 11 + 11 + 2 + 4 + 1
LITERAL, AUIPC_AND_LOAD = 1, 2


@pytest.mark.parametrize(
    ("scheme", "disabled", "traced"),
    [
        ("pair-t0", 2, 2 + ARGS + AUIPC_AND_LOAD),
        ("nop-jalr", 2, 2 + ARGS + AUIPC_AND_LOAD),
        ("dynamic-trampoline", 2, 2 + ARGS + AUIPC_AND_LOAD),
        ("auipc-fixed", 2, 2 + ARGS + AUIPC_AND_LOAD),
        ("detour-24", 1, 4 + ARGS + AUIPC_AND_LOAD),  # jumps over the target behind its own call
        ("jal-dispatch", 1, 1 + ARGS + LITERAL),
        ("jal-per-func", 1, 1 + 6 + ARGS + LITERAL),  # six instructions of a dispatcher
        ("call-ops", 2, 2 + ARGS + LITERAL),
        ("call-ops-cfi", 3, 3 + ARGS + LITERAL),
        ("call-ops-direct", 2, 2 + 3 + ARGS + LITERAL + 1),  # looks twice for a direct routine
        ("mcount-ra16", 4, 4 + ARGS + AUIPC_AND_LOAD + 1),  # the parent's ra is loaded and stored, not copied
    ],
)
def test_instructions_with_the_small_frame(scheme: str, disabled: int, traced: int) -> None:
    found = get_scheme(scheme)
    assert executed_path(found, "off").instructions == disabled
    path = executed_path(found, "A")
    assert path.instructions == traced
    assert path.called == ("A",)


def test_loads_and_stores() -> None:
    path = executed_path(get_scheme("call-ops"), "A")
    assert (path.stores, path.loads) == (18, 17 + 2)
    assert executed_path(get_scheme("call-ops"), "off").loads == 0
    assert executed_path(get_scheme("jal-per-func"), "A").stores == 19


def test_instructions_with_all_registers() -> None:
    assert executed_path(get_scheme("call-ops"), "A", frame="regs").instructions == 2 + REGS + LITERAL
    assert executed_path(get_scheme("call-ops"), "A", frame="regs").stores == 36


def test_a_direct_routine_is_called_at_once() -> None:
    path = executed_path(get_scheme("call-ops-direct"), "A", direct=True)
    assert path.instructions == 2 + 4  # two loads, a branch, a jump
    assert (path.loads, path.stores, path.called) == (2, 0, ("A",))


def test_who_is_called_is_who_traces() -> None:
    assert executed_path(get_scheme("call-ops"), "B").called == ("B",)
    assert executed_path(get_scheme("call-ops"), "off").called == ()


@pytest.mark.parametrize("scheme", CATALOG.values(), ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("frame", ["args", "regs"])
def test_every_scheme_comes_to_its_body(scheme: CallScheme, frame: str) -> None:
    off, traced = (executed_path(scheme, state, frame=frame) for state in ("off", "A"))
    assert 0 < off.instructions == off.sled
    assert 0 < traced.sled < traced.instructions
    # what is executed outside the function is no more than the trampoline, of 4-byte instructions
    assert traced.instructions - traced.sled <= trampoline_bytes(scheme, frame) // 4


def test_bytes_of_a_trampoline() -> None:
    assert trampoline_bytes(get_scheme("call-ops"), "args") == 4 * (ARGS + LITERAL)
    assert trampoline_bytes(get_scheme("dynamic-trampoline"), "args") == 4 * (ARGS + AUIPC_AND_LOAD) + 8
