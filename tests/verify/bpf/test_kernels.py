# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels: what is wrong with their trampolines, and real functions traced with right values.

Two things are known of both. Trampolines for struct_ops (INDIRECT) load arguments that their caller left on the stack
from 16 bytes above where they are: the frame of a traced function, which the offset is for, is not there. And an
unsigned value below 32 bits is returned with whatever bits the program left above its own.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from genpatch.errors import GenpatchError, UsageError
from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.verify.bpf.cases import REQUESTED, Flag, matrix
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.bpf.run import BpfResult, stage_of, verify_bpf
from genpatch.verify.bpf.trace import trace_bpf

pytestmark = pytest.mark.kernels
VERSIONS = ("7.2", "6.12")


@cache
def kernel(version: str) -> KernelImage:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder or not Path(folder, version, "vmlinux").exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/vmlinux")
    return read_image(open_content(str(Path(folder, version, "vmlinux"))))


@cache
def whole(version: str) -> BpfResult:
    return verify_bpf(kernel(version))


@pytest.mark.parametrize("version", VERSIONS)
def test_two_of_nine_flags_are_refused(version: str) -> None:
    result = whole(version)
    assert not result.trouble
    assert (result.accepted, result.refused) == (128, 384)  # without ORIG_STACK and SHARE_IPMODIFY: a quarter of 512
    assert len(result.flags) == 64  # TAIL_CALL_CTX changes nothing
    assert result.function == "kernel_clone"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_trampoline_is_made_and_run(version: str) -> None:
    result = whole(version)
    assert result.cases > 9_000
    assert result.ran == result.made >= 0.98 * result.cases
    assert result.jit_insns > 2_000 * result.cases
    assert result.insns > 50 * result.cases


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_wrong_is_what_is_known(version: str) -> None:
    result = whole(version)
    stage, _ = stage_of(kernel(version))
    flags = [Flag(value) for value in range(1 << 9) if not value & 0xE0]
    cases = [case for case in matrix(stage.programs, flags, 12) if case.flags in REQUESTED]
    stacked = [case for case in cases if case.flags & Flag.INDIRECT and case.slots > 8]
    found = {
        each.promise: each
        for each in result.failures
        if each.requested and each.promise not in (BpfPromise.PROGRAM, BpfPromise.POKE)
    }
    assert set(found) == {BpfPromise.ARGUMENTS, BpfPromise.NARROW}
    assert found[BpfPromise.ARGUMENTS].cases == len(stacked)
    assert found[BpfPromise.ARGUMENTS].what == "argument slot 8 of ctx"
    assert found[BpfPromise.NARROW].cases == 4  # unsigned, 8 and 16 bits, near and far
    assert any("ld t1, 0x10(s0)" in line for line in found[BpfPromise.ARGUMENTS].listing)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("function", "values", "seen", "value"),
    [
        ("bpf_fentry_test1", ["41"], "0x29", 42),
        ("bpf_fentry_test6", ["16", "17", "18", "19", "20", "21"], "0x10, 0x11, 0x12, 0x13, 0x14, 0x15", 111),
        # a struct of 16 bytes by value: value, mask, then the size; aligned if neither has bits below it
        ("tnum_is_aligned", ["0x1000", "0xf0", "0x10"], "0x1000, 0xf0, 0x10", 1),
        ("tnum_is_aligned", ["0x1000", "0xf8", "0x10"], "0x1000, 0xf8, 0x10", 0),
    ],
)
def test_a_real_function_between_fentry_and_fexit(
    version: str, function: str, values: list[str], seen: str, value: int
) -> None:
    lines, broken, _ = trace_bpf(kernel(version), function, ("fentry", "fexit"), values)
    assert not broken
    slots = [line for line in lines if "it sees" in line]
    assert len(slots) == 2
    assert slots[0].endswith(f": {seen}")
    assert slots[1].endswith(f": {seen}, return value {value:#x}")
    assert lines[-1].endswith("(the caller)")


def test_eleven_arguments_of_a_real_function() -> None:
    values = ["buf:4", "buf:64", "10", "7", "7", "6", "buf:64", "buf:64", "5", "1", "3"]
    lines, broken, _ = trace_bpf(kernel("7.2"), "ZSTD_selectEncodingType", ("fentry", "fexit"), values)
    assert not broken
    first, second = (line for line in lines if "it sees 11 argument slots" in line)
    assert first.endswith(", 0x5, 0x1, 0x3")
    assert second.endswith(", 0x5, 0x1, 0x3, return value 0x1")  # all symbols are one: set_rle


@pytest.mark.parametrize("kinds", [("fentry",), ("fmod_ret",), ("fentry", "fmod_ret", "fexit"), ("struct_ops",)])
def test_ten_arguments(kinds: tuple[str, ...]) -> None:
    lines, broken, _ = trace_bpf(kernel("7.2"), "__kernfs_create_file", kinds, ())
    assert bool(broken) is ("struct_ops" in kinds)
    assert any("it sees 10 argument slots" in line for line in lines)


@pytest.mark.parametrize(
    ("function", "kinds", "values", "message"),
    [
        ("adjust_scalar_min_max_vals", ("fentry",), (), "by value: trampolines take 16 bytes at most"),
        ("ZSTD_buildCTable", ("fentry",), (), "takes 16 of arguments: trampolines take 12 at most"),
        ("bpf_fentry_test1", ("uprobe",), (), "expected some of fentry, fexit"),
        ("bpf_fentry_test1", ("fexit",) * 4, (), "4 programs of kind fexit, 3 at most"),
        ("bpf_fentry_test1", ("struct_ops",) * 2, (), "calls its one program and nothing else"),
        ("bpf_fentry_test1", ("fentry", "struct_ops"), (), "calls its one program and nothing else"),
        ("bpf_fentry_test1", ("fentry",), ("1", "2"), "expected 1 value, one for each"),
        ("no_such_function", ("fentry",), (), "no symbol of that name"),
        ("arch_ftrace_ops_list_func", ("fentry",), (), "no patch site there"),
    ],
)
def test_what_cannot_be_traced_is_said(
    function: str, kinds: tuple[str, ...], values: tuple[str, ...], message: str
) -> None:
    with pytest.raises((UsageError, GenpatchError), match=message):
        trace_bpf(kernel("7.2"), function, kinds, values)


def test_sessions_are_refused_where_there_are_none() -> None:
    with pytest.raises(UsageError, match="has no such programs"):
        trace_bpf(kernel("6.12"), "bpf_fentry_test1", ("fsession",), ())
    lines, broken, _ = trace_bpf(kernel("7.2"), "bpf_fentry_test1", ("fsession",), ("41",))
    assert not broken
    assert sum("BPF program fsession 0" in line for line in lines) == 2


def test_a_function_that_faults_with_what_it_was_given() -> None:
    lines, broken, ended = trace_bpf(kernel("7.2"), "kernel_clone", ("fentry", "fexit"), ("0",))
    assert (broken, ended is not None) == (0, True)
    assert not any(line.startswith(("!!", "not executed")) for line in lines)
    assert lines[-1].endswith("(kernel_clone+0x16)")
