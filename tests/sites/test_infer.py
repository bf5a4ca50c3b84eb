# SPDX-License-Identifier: GPL-2.0-or-later
"""Each scheme of the catalog is recognised from a toy kernel, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from genpatch.audit.cases import (
    CALL_OPS_CALLER,
    CALL_OPS_CODE,
    CALL_OPS_MAKE_CALL,
    NOP,
    PAIR_CODE,
    PAIR_MAKE_CALL,
    Code,
    Fn,
    kernel,
    replaced,
)
from genpatch.image.model import ImageKind
from genpatch.schemes import Link
from genpatch.sites.infer import SchemeVerdict

RA_CALLER = """
    addi sp, sp, -32
    sd ra, 8(sp)
    sd a0, 0(sp)
    addi a0, ra, -12
    jal ra, callback
    ld a0, 0(sp)
    ld ra, 8(sp)
    addi sp, sp, 32
    jalr zero, 0(ra)
    callback: jalr zero, 0(ra)
"""
RA_CODE = replaced(
    replaced(PAIR_CODE, "ftrace_caller", RA_CALLER),
    "ftrace_make_call",
    PAIR_MAKE_CALL.replace("addi a2, zero, 8", "addi a2, zero, 16"),
)
FIXED_MAKE_CALL = PAIR_MAKE_CALL.replace("patch_text_nosync", "patch_insn_write").replace(
    "addi a2, zero, 8", "addi a2, zero, 4"
)
FIXED_CODE = replaced(PAIR_CODE, "ftrace_make_call", FIXED_MAKE_CALL)
LATE_CALLER = (
    CALL_OPS_CALLER.replace("    ld t1, -16(t0)\n    ld t1, 192(t1)\n    bne t1, zero, direct\n", "")
    .replace("    bne t1, zero, direct\n", "")
    .replace("direct:\n    jalr zero, 0(t1)\n", "")
)
OPS_CODE = replaced(CALL_OPS_CODE, "ftrace_caller", LATE_CALLER)


def verdict(code: tuple[Code, ...], before: int, after: int, **more: Any) -> SchemeVerdict:
    functions = [Fn(name=name, before=before, after=after) for name in ("a", "b", "c")]
    return kernel(*functions, code=code, **more).verdict


@pytest.mark.parametrize(
    ("code", "before", "after", "name", "variant"),
    [
        (RA_CODE, 0, 16, "mcount-ra16", None),
        (PAIR_CODE, 0, 8, "pair-t0", None),
        (FIXED_CODE, 0, 8, "auipc-fixed", None),
        (OPS_CODE, 8, 8, "call-ops", None),
        (CALL_OPS_CODE, 8, 8, "call-ops", "call-ops-direct"),
    ],
)
def test_each_scheme(code: tuple[Code, ...], before: int, after: int, name: str, variant: str | None) -> None:
    found = verdict(code, before, after)
    assert found.name == name
    assert (found.variant.name if found.variant else None) == variant
    assert found.scheme is not None
    assert (found.scheme.before, found.scheme.after) == (before, after)
    assert found.evidence[0] == f"sleds: {before} bytes before and {after} from the function symbol on"


@pytest.mark.parametrize(
    ("code", "before", "after", "name"),
    [
        (PAIR_CODE, 0, 16, "pair-t0"),
        (PAIR_CODE, 8, 8, "pair-t0"),
        (CALL_OPS_CODE, 0, 8, "call-ops"),
        (CALL_OPS_CODE, 8, 16, "call-ops"),
        (FIXED_CODE, 0, 16, "auipc-fixed"),
    ],
)
def test_code_decides_before_sleds(code: tuple[Code, ...], before: int, after: int, name: str) -> None:
    assert verdict(code, before, after).name == name


@pytest.mark.parametrize(
    ("make_call", "mismatch"),
    [
        (CALL_OPS_MAKE_CALL.replace("addi a2, zero, 4", "addi a2, zero, 12"), "writes 12 bytes of instructions"),
        (PAIR_MAKE_CALL, "writes 8 bytes of instructions"),
    ],
)
def test_traits_that_fit_no_scheme(make_call: str, mismatch: str) -> None:
    """The scheme that fits best is told, and what speaks against it."""
    found = verdict(replaced(CALL_OPS_CODE, "ftrace_make_call", make_call), 8, 8)
    assert found.name == "call-ops"
    assert found.mismatches == (f"ftrace_make_call {mismatch}",)
    assert [line.split(":")[0] for line in found.contradictions] == [
        "mcount-ra16", "pair-t0", "auipc-fixed", "call-ops", "call-ops-direct",
    ]  # fmt: skip


def test_too_much_speaks_against_each_scheme() -> None:
    odd = CALL_OPS_MAKE_CALL.replace("addi a2, zero, 4", "addi a2, zero, 12")
    found = verdict(replaced(CALL_OPS_CODE, "ftrace_make_call", odd), 0, 24)
    assert (found.name, found.scheme, found.mismatches) == ("unknown", None, ())
    assert [line.split(":")[0] for line in found.contradictions] == [
        "mcount-ra16", "pair-t0", "detour-24", "auipc-fixed", "call-ops", "call-ops-direct",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "before", "after", "name"),
    [
        (OPS_CODE, 8, 4, "jal-dispatch"),
        (OPS_CODE, 16, 12, "call-ops-cfi"),
        (FIXED_CODE, 32, 4, "jal-per-func"),
        (PAIR_CODE, 0, 24, "pair-t0"),
        (CALL_OPS_CODE, 8, 4, "call-ops"),
    ],
)
def test_a_scheme_of_no_kernel_needs_its_sleds(code: tuple[Code, ...], before: int, after: int, name: str) -> None:
    assert verdict(code, before, after).name == name


def test_a_mismatch_is_true() -> None:
    found = verdict(replaced(PAIR_CODE, "ftrace_caller", CALL_OPS_CALLER), 0, 8)
    assert found.name == "pair-t0"
    assert "ftrace_caller loads no ops literal" not in found.mismatches


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (8, 8, "call-ops"),
        (0, 16, "mcount-ra16"),
        (0, 8, "unknown"),
        (4, 4, "unknown"),
        (0, 32, "unknown"),
        (0, 24, "detour-24"),
        (8, 4, "jal-dispatch"),
        (32, 4, "jal-per-func"),
        (16, 12, "call-ops-cfi"),
    ],
)
def test_by_sleds_alone(before: int, after: int, name: str) -> None:
    """pair-t0 and auipc-fixed have the same sleds: without code nothing tells them apart."""
    assert verdict((), before, after).name == name


def test_without_sites() -> None:
    found = kernel(code=()).verdict
    assert (found.name, found.evidence, found.contradictions) == ("unknown", (), ())


def test_a_kernel_without_sites_is_known_by_its_code() -> None:
    assert kernel(code=CALL_OPS_CODE).verdict.name == "call-ops"


def test_how_nops_are_spelt_does_not_matter() -> None:
    assert kernel(Fn(name="a", before=0, nop=NOP), code=PAIR_CODE).verdict.name == "pair-t0"


def test_what_was_seen() -> None:
    seen = verdict(CALL_OPS_CODE, 8, 8).seen
    assert (seen.link, seen.literal, seen.direct, seen.call_width) == (Link.T0, -8, True, 4)
    assert (seen.before, seen.after) == (8, 8)
    seen = verdict(PAIR_CODE, 0, 8).seen
    assert (seen.link, seen.literal, seen.direct, seen.call_width) == (Link.T0, 0, None, 8)


def test_the_evidence_is_text() -> None:
    assert verdict(CALL_OPS_CODE, 8, 8).evidence == (
        "sleds: 8 bytes before and 8 from the function symbol on",
        "ftrace_caller returns through t0 and loads the ops at func-8, tests ops->direct_call first",
        "ftrace_make_call writes 4 bytes of instructions",
        "ftrace_call_adjust adds 12",
    )


def test_a_module_has_its_kernels_scheme() -> None:
    functions = (Fn(name="m", before=0),)
    of = kernel(Fn(name="a", before=0), code=PAIR_CODE)
    assert kernel(*functions, code=(), kind=ImageKind.MODULE, of=of).verdict is of.verdict
    assert kernel(*functions, code=(), kind=ImageKind.MODULE).verdict.name == "unknown"
    assert kernel(Fn(name="m"), code=(), kind=ImageKind.MODULE).verdict.name == "call-ops"
