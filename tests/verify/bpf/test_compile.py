# SPDX-License-Identifier: GPL-2.0-or-later
"""The JITs of Debian's kernels, executed.

How long a program is, and how it begins, was read from arch/riscv/net/bpf_jit_comp64.c of both: two nops, the
counter of tail calls in a6, the frame. What 6.12 does wrong is in that file too: only arguments of 4 bytes are
extended before a kfunc is called.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from genpatch.image.containers import open_content
from genpatch.image.model import KernelImage
from genpatch.image.read import read_image
from genpatch.isa.assemble import assemble
from genpatch.verify.bpf.compile import JitBench, Kfunc, Source
from genpatch.verify.bpf.compiled_programs import catalogue
from genpatch.verify.bpf.compiled_run import ProgramsResult, Runner, Trials, verify_programs
from genpatch.verify.bpf.poke import Poker, Target
from genpatch.verify.bpf.promises import BpfPromise
from genpatch.verify.scene import prepare_scene

pytestmark = pytest.mark.kernels
VERSIONS = ("7.2", "6.12")


@cache
def kernel(version: str) -> KernelImage:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder or not Path(folder, version, "vmlinux").exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {version}/vmlinux")
    return read_image(open_content(str(Path(folder, version, "vmlinux"))))


@cache
def bench(version: str) -> JitBench:
    return JitBench(kernel(version), prepare_scene(kernel(version)))


@cache
def whole(version: str) -> ProgramsResult:
    return verify_programs(kernel(version), prepare_scene(kernel(version)))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_smallest_program(version: str) -> None:
    made = bench(version).compile(Source("r0 = 0; exit"))
    assert made.accepted
    assert (made.trouble, made.warnings) == ("", ())
    body = "c.addi16sp sp, -16; c.sdsp s0, 8(sp); c.addi4spn s0, sp, 16; c.li a5, 0; c.ldsp s0, 8(sp)"
    end = "c.addi16sp sp, 16; addiw a0, a5, 0; c.jr ra"
    expected = assemble(f"nop; nop; addi a6, zero, 33; {body}; {end}", made.entry)
    assert made.code[made.entry - made.span.start :] == expected
    assert (made.sled, made.length) == (2, len(expected))
    assert made.entry % 8 == 4  # as little aligned as it may come to stand


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_far_away(version: str) -> None:
    low = min(region.span.start for region in kernel(version).memory.regions) & -4096
    near, far = (bench(version).compile(Source("r0 = 0; exit", far=each)) for each in (False, True))
    assert low - near.entry < 1 << 25
    assert (1 << 27) - (1 << 20) < low - far.entry < (1 << 27) + 4096


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_does_not_know(version: str) -> None:
    made = bench(version).compile(Source("r0 = 0; r1 = atomic_fetch_add((u8 *)(r10 - 8), r1); exit", stack=8))
    assert not made.accepted
    assert (made.trouble, made.entry, made.code, made.length) == ("", 0, b"", 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_subprograms(version: str) -> None:
    made = bench(version).compile(Source("call sub1; exit", functions=(("r0 = 5; exit", 0),)))
    main, sub = made.functions
    memory = bench(version).bench.memory
    expected = assemble(f"call t1, {sub.entry:#x}", main.entry + 20).hex()[:8]
    assert memory.read(main.entry + 20, 4).hex() == expected
    assert sub.sled == 2


def test_narrow_signed_arguments_of_kfuncs() -> None:
    """7.2 extends them, 6.12 does not."""
    lengths = {}
    for version in VERSIONS:
        kfunc = Kfunc("kfunc", bench(version).call_base, (1, 2), (True, True))
        plain = Kfunc("kfunc", bench(version).call_base, (8, 8), (True, True))
        sizes = [bench(version).compile(Source("call kfunc; exit", kfuncs=(each,))).length for each in (kfunc, plain)]
        lengths[version] = sizes[0] - sizes[1]
    assert lengths == {"7.2": 8, "6.12": 0}  # two pairs of compressed shifts


@pytest.mark.parametrize("version", VERSIONS)
def test_all_programs(version: str) -> None:
    result = whole(version)
    assert not result.trouble
    assert result.programs == len(catalogue())
    assert result.refused == {"7.2": 0, "6.12": 8}[version]  # 6.12 has no atomics in arenas, for one
    once = result.programs - {"7.2": 11, "6.12": 8}[version]  # 7.2 has arenas only with Zacas
    assert once + 50 <= result.compiled <= once + result.programs
    assert result.insns > 20_000
    assert result.jit_insns > 4_000_000
    failures = [(each.promise, each.example, each.expected, each.got) for each in result.failures]
    narrow, leaks = (
        "a kfunc with signed arguments of 8 and 16 bits",
        "compare and exchange at the address in R0, 32 bits",
    )
    known = [each for each in failures if each[1] != leaks]
    assert known == {"7.2": [], "6.12": [(BpfPromise.PROGRAM, narrow, 0xFFFF_FFFF_FFFF_FF81, 0xFFFF_FF81)]}[version]
    for each in result.failures:
        assert any("jalr ra" in line or "sc.w" in line for line in each.listing)


@pytest.mark.parametrize("version", VERSIONS)
def test_compare_and_exchange_at_the_address_in_r0(version: str) -> None:
    """Without Zacas the load of lr.w takes the address's place, so that sc.w goes to its low half, sign-extended."""
    (found,) = [each for each in whole(version).failures if each.example.startswith("compare and exchange")]
    at = next(number for number, line in enumerate(found.listing) if "lr.w a5, (a5)" in line)
    assert "sc.w.rl t3, a1, (a5)" in found.listing[at + 2]
    assert "load from memory that is not readable (0x40)" in found.note
    assert found.unused.endswith("only where pointers may leak (CAP_PERFMON)")
    assert found.cases == {"7.2": 1, "6.12": 2}[version]  # 7.2 uses amocas.w where there is one


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hart_with_more_extensions(version: str) -> None:
    (note,) = [each for each in whole(version).notes if "more" not in each and "for a hart with" in each]
    assert {"zba", "zbb", "zacas"} <= set(note.replace(",", "").split())


def guarded(version: str, name: str) -> tuple[JitBench, Runner]:
    """Compile one of the programs whose accesses may fault, and return what runs it."""
    one = JitBench(kernel(version))
    trials = Trials(one, prepare_scene(kernel(version)), ProgramsResult(), lambda _: None)
    subject = trials.ready(next(each for each in catalogue() if each.name == name))
    assert subject is not None
    return one, Runner(subject)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_kernel_itself_handles_faults(version: str) -> None:
    _, runner = guarded(version, "loads from nowhere, into each register")
    runner.run()
    assert runner.breaches == []
    assert runner.subject.fixups is not None
    assert runner.subject.fixups.faults == 18
    assert len(runner.subject.fixups.entries) == 18


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("insn", "a fault that is to be handled"),  # nothing is known of the instruction that faults
        ("fixup", "r0, its own base"),  # another register is cleared
        ("none", ""),
    ],
)
def test_wrong_entries_of_the_table(change: str, what: str) -> None:
    one, runner = guarded("7.2", "loads from nowhere, into each register")
    fixups = runner.subject.fixups
    assert fixups is not None
    memory, (pc, at) = one.bench.memory, next(iter(fixups.entries.items()))
    if change == "insn":
        fixups.entries[pc + 2] = fixups.entries.pop(pc)
    elif change == "fixup":
        word = int.from_bytes(memory.read(at + 4, 4), "little")
        assert word >> 27 == 15  # a5, the register of R0
        memory.write(at + 4, (word & (1 << 27) - 1 | 11 << 27).to_bytes(4, "little"))
    runner.run()
    assert (runner.breaches[0].what if runner.breaches else "") == what


@pytest.mark.parametrize("version", VERSIONS)
def test_all_pokes(version: str) -> None:
    result = whole(version)
    assert result.pokes == 2 * 3 * 2 * 7  # programs, pairs of trampolines, kinds, steps and refusals
    assert not any(each.promise is BpfPromise.POKE for each in result.failures)


def test_poke_words() -> None:
    one = JitBench(kernel("7.2"))
    made = one.compile(Source("r0 = 0; exit"))
    poker = Poker(one, prepare_scene(kernel("7.2")))
    assert not poker.trouble
    nop, call, jump = Target("nop"), Target("call", made.entry + 0x123456), Target("jump", made.entry - 0x123456)
    words = {
        call: "auipc t1, 0x123; jalr t0, 0x456(t1)",
        jump: "auipc t1, 0xffedd; jalr zero, -0x456(t1)",
        nop: "nop; nop",
    }
    for old, new in ((nop, call), (call, jump), (jump, nop)):
        assert poker.poke(made.entry, old, new) == (0, "")
        assert one.bench.memory.read(made.entry, 8) == assemble(words[new], made.entry)
    assert poker.poke(made.entry, call, nop) == (-14, "")
