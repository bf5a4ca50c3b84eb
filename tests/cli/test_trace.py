# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch trace``: the listing, how it ends, and what may be typed."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genpatch.samples import sample_names
from tests.cli.conftest import Run
from tests.elfwriter import ABS, Symbol
from tests.run.toy import DATA, TEXT, at, toy_bytes

GENPATCH = [sys.executable, "-m", "genpatch"]
STACK_END, SCRATCH = 0xFFFF_AF80_0001_0000, 0xFFFF_AF80_0010_0000
FORMS = "a number, a symbol or symbol+0x10, str:TEXT, hex:BYTES, buf:SIZE (zeros)"
HUGE = "0x10000000000000000"
EVIL = "evil\x1b[31m\n::error::x\u202e"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    evil = Symbol(name=EVIL, value=at("busy") + 4)
    Path("toy").write_bytes(toy_bytes(symbols=(evil, Symbol(name="far", value=0x10, section=ABS))))
    return "toy"


def start(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GENPATCH, "trace", *args], capture_output=True, text=True, timeout=60)


def test_a_listing(run: Run, toy: str) -> None:
    ran = run("trace", toy, "outer", "20", "1")
    here, add = at("outer"), at("add")
    sp, back = STACK_END - 256, "0xfffffffffffff000"
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "outer(20, 1)",
        f"{here:#x} {'outer':32} ff010113  {'addi sp, sp, -0x10':34} sp={sp - 16:#x}",
        f"{here + 4:#x} {'outer+0x4':32} 00113423  {'sd ra, 8(sp)':34} [{sp - 8:#x}]={back}",
        f"{here + 8:#x} {'outer+0x8':32} {jal(add - here - 8):08x}  {'jal add':34} ra={here + 12:#x}",
        f"{add:#x} {'add':32} 00b50533  {'add a0, a0, a1':34} a0=0x15",
        f"{add + 4:#x} {'add+0x4':32} 00008067  ret",
        f"{here + 12:#x} {'outer+0xc':32} 00151513  {'slli a0, a0, 1':34} a0=0x2a",
        f"{here + 16:#x} {'outer+0x10':32} 00813083  {'ld ra, 8(sp)':34} ra={back}  [{sp - 8:#x}] -> {back}",
        f"{here + 20:#x} {'outer+0x14':32} 01010113  {'addi sp, sp, 0x10':34} sp={sp:#x}",
        f"{here + 24:#x} {'outer+0x18':32} 00008067  ret",
        "returned 0x2a (42) after 9 instructions",
    ]


def jal(offset: int) -> int:
    """The word of ``jal ra`` (RISC-V unprivileged ISA, J-type)."""
    bits = offset & 0x1F_FFFF
    return bits >> 20 << 31 | (bits >> 1 & 0x3FF) << 21 | (bits >> 11 & 1) << 20 | (bits >> 12 & 0xFF) << 12 | 0xEF


@pytest.mark.parametrize(
    "args",
    [
        ("2", "3"),
        ("--args", "2", "3"),
        ("--args", "2", "--args", "3"),
        ("2", "--args", "3"),
        ("--args", "--", "2", "3"),
        ("--", "2", "3"),
    ],
)
def test_arguments_keep_their_order(run: Run, toy: str, args: tuple[str, ...]) -> None:
    ran = run("trace", "-q", toy, "add", *args)
    assert (ran.status, ran.out, ran.err) == (0, "add(2, 3)\nreturned 0x5 after 2 instructions\n", "")


def test_mixed_forms_keep_their_order(run: Run, toy: str) -> None:
    ran = run("trace", "-q", toy, "ninth", "1", "2", "--args", "3", "4", "--args", "5", "6", "7", "8", "9", "10")
    assert ran.out == "ninth(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)\nreturned 0x9 after 2 instructions\n"


@pytest.mark.parametrize(
    ("args", "out"),
    [
        (("minus_one",), "minus_one()\nreturned 0xffffffffffffffff (-1) after 2 instructions\n"),
        (("add", "--", "-5", "0x10"), "add(-5 (0xfffffffffffffffb), 0x10)\nreturned 0xb (11) after 2 instructions\n"),
        (("add", "number", "0"), f"add(number ({DATA + 64:#x}), 0)\nreturned {DATA + 64:#x} after 2 instructions\n"),
        (
            ("add", "start_kernel+0x8", "0"),
            f"add(start_kernel+0x8 ({TEXT + 8:#x}), 0)\nreturned {TEXT + 8:#x} after 2 instructions\n",
        ),
        (("length", "str:hello"), f"length(str:hello ({SCRATCH:#x}))\nreturned 0x5 after 22 instructions\n"),
        (("counter",), "counter()\nreturned 0x2a (42) after 6 instructions\n"),
        ((hex(at("add")), "1", "2"), "add(1, 2)\nreturned 0x3 after 2 instructions\n"),
        (
            ("fill", "buf:6", "0x5a", "3"),
            f"fill(buf:6 ({SCRATCH:#x}), 0x5a, 3)\nreturned 0x0 after 14 instructions\n"
            "argument 0 now points to 5a 5a 5a 00 00 00\n",
        ),
    ],
)
def test_quiet(run: Run, toy: str, args: tuple[str, ...], out: str) -> None:
    ran = run("trace", "--quiet", toy, *args)
    assert (ran.status, ran.out, ran.err) == (0, out, "")


def test_long_buffers_are_cut(run: Run, toy: str) -> None:
    ran = run("trace", "-q", toy, "fill", "buf:600", "1", "500")
    assert ran.out.splitlines()[-1] == "argument 0 now points to " + "01 " * 256 + "..."


# --- how it ends


@pytest.mark.parametrize(
    ("args", "status", "error"),
    [
        (
            ("bug",),
            2,
            f"breakpoint (ebreak), pc {at('bug'):#x} (bug), address {at('bug'):#x}: a BUG or WARN of the kernel",
        ),
        (("wild",), 2, f"load from memory that is not readable, pc {at('wild') + 4:#x} (wild+0x4), address 0x10"),
        (("odd",), 2, f"illegal instruction, pc {at('odd'):#x} (odd), instruction 0xffffffff"),
        (
            ("fill", "start_kernel", "0", "1"),
            2,
            f"store to memory that is not writable, pc {at('fill'):#x} (fill), address {TEXT:#x}",
        ),
        (("spin",), 124, f"an instruction that jumps to itself at pc {at('spin'):#x} (spin)"),
        (("busy",), 124, f"instruction budget used up at pc {at('busy'):#x} (busy)"),
        (("busy", "--max-insns", "7"), 124, f"instruction budget used up at pc {at('busy') + 4:#x} ({'@'})"),
        (
            ("number",),
            2,
            f"fetch from memory that is not executable, pc {DATA + 64:#x} (number), address {DATA + 64:#x}",
        ),
        (("0x10",), 2, "fetch from memory that is not executable, pc 0x10, address 0x10"),
        (("0x11",), 2, "misaligned instruction address, pc 0x11, address 0x11"),
    ],
)
def test_functions_that_do_not_return(run: Run, toy: str, args: tuple[str, ...], status: int, error: str) -> None:
    ran = run("trace", "-q", toy, *args)
    error = error.replace("(@)", "(evil\\x1b[31m\\x0a:\\x3aerror:\\x3ax\\u202e)")
    assert (ran.status, ran.err) == (status, f"genpatch: {error}\n")
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("bug", "00100073  ebreak"), ("wild", "00053503  ld a0, 0(a0)"),
    ],
)  # fmt: skip
def test_the_instruction_that_could_not_be_executed_is_listed(run: Run, toy: str, name: str, line: str) -> None:
    ran = run("trace", toy, name)
    assert ran.status == 2
    assert ran.out.splitlines()[-1].endswith(line)


@pytest.mark.parametrize("name", ["odd", "0x10", "number"])
def test_what_is_no_instruction_is_not_listed(run: Run, toy: str, name: str) -> None:
    ran = run("trace", toy, name)
    assert (ran.status, ran.out.count("\n")) == (2, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_max_insns(run: Run, toy: str, count: int) -> None:
    ran = run("trace", toy, "busy", "--max-insns", str(count))
    assert ran.status == 124
    assert ran.out.count("\n") == count + 1


def test_exactly_enough_instructions(run: Run, toy: str) -> None:
    assert run("trace", toy, "add", "1", "2", "--max-insns", "2").status == 0
    assert run("trace", toy, "add", "1", "2", "--max-insns", "1").status == 124


# --- stubs


@pytest.mark.parametrize(
    ("stub", "result"),
    [
        ("add=21", "0x2a (42)"),
        ("add", "0x0"),
        ("add=", "0x0"),
        ("add=-1", "0xfffffffffffffffe (-2)"),
        ("add=0x8000000000000000", "0x0"),
    ],
)
def test_a_stub(run: Run, toy: str, stub: str, result: str) -> None:
    ran = run("trace", "-q", toy, "outer", "1", "2", "--stub", stub)
    assert (ran.status, ran.out) == (0, f"outer(1, 2)\nreturned {result} after 7 instructions\n")


def test_stubs_by_address_and_more_than_one(run: Run, toy: str) -> None:
    ran = run("trace", "-q", toy, "outer", "--stub", "bug=1", "--stub", f"{at('add'):#x}=3")
    assert ran.out == "outer()\nreturned 0x6 after 7 instructions\n"


def test_a_stub_of_the_function_itself(run: Run, toy: str) -> None:
    assert (
        run("trace", toy, "bug", "--stub", "bug=-1").out
        == "bug()\nreturned 0xffffffffffffffff (-1) after 0 instructions\n"
    )


# --- mistakes


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("toy", "nothing"), "toy: no symbol 'nothing'"),
        (("toy", ""), "toy: no symbol ''"),
        (("toy", "\udcff"), "toy: no symbol '\\udcff'"),
        (("toy", "add", "x"), f"argument 'x': no such symbol; expected {FORMS}"),
        (("toy", "add", "hex:1"), "argument 'hex:1': expected pairs of hex digits"),
        (("toy", "add", "buf:-1"), "argument 'buf:-1': expected a size up to 16777216"),
        (("toy", "add", "0x10000000000000000"), "'0x10000000000000000' does not fit into 64 bits"),
        (("toy", "0x10000000000000000"), "'0x10000000000000000' does not fit into 64 bits"),
        (("toy", "add", "--stub", "nothing"), "toy: no symbol 'nothing'"),
        (("toy", "add", "--stub", "=5"), "toy: no symbol ''"),
        (("toy", "add", "--stub", "add=x"), "--stub 'add=x': expected FUNC or FUNC=NUMBER"),
        (("toy", "add", "--stub", f"add={HUGE}"), f"'{HUGE}' does not fit into 64 bits"),
        (("toy", "add", "--max-insns", "0"), "Invalid value for '--max-insns': 0 is not in the range x>=1."),
        (("toy", "add", "--max-insns", "x"), "Invalid value for '--max-insns': 'x' is not a valid integer range."),
        (("toy",), "Missing argument 'FUNC'."),
        (("toy", "add", "--nothing"), "No such option '--nothing'."),
        (("sample:nothing", "add"), "no sample 'nothing'; 'genpatch samples' lists them"),
        (("nowhere", "add"), "nowhere: No such file or directory"),
        ((".", "add"), ".: expected a regular file, got a directory"),
    ],
)  # fmt: skip
def test_mistakes(run: Run, toy: str, args: tuple[str, ...], error: str) -> None:
    ran = run("trace", *args)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {error}\n")


@pytest.mark.parametrize("name", ["ext.ko", "x86", "arm", "empty", "text", "program", "short", "hollow"])
def test_images_that_are_no_kernel(run: Run, here: Path, name: str) -> None:
    ran = run("trace", name, "main")
    assert (ran.status, ran.out) == (2, "")
    assert re.fullmatch(rf"genpatch: {name}\S*: .+\n", ran.err)


def test_a_module_is_refused(run: Run, here: Path) -> None:
    assert (
        run("trace", "ext.ko", "ext_open").err
        == "genpatch: ext.ko: expected a linked kernel, got module, not relocated\n"
    )


def test_hostile_names_are_printed_safely(run: Run, toy: str) -> None:
    ran = run("trace", toy, "busy", "--max-insns", "4")
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
    assert ran.out.count("\n") == 5
    assert "evil\\x1b[31m" in ran.out
    ran = run("trace", toy, EVIL, "--max-insns", "2")
    assert ran.out.splitlines()[0].startswith("evil\\x1b[31m\\x0a")
    assert "\x1b" not in ran.out + ran.err


# --- as a process


def test_a_reader_that_leaves(toy: str) -> None:
    command = f"{sys.executable} -m genpatch trace toy busy --max-insns 1000000000 | head -n 3"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.count("\n"), ran.stderr) == (3, "")


def test_a_reader_that_was_never_there(toy: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        ran = subprocess.run(
            [*GENPATCH, "trace", toy, "add"], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ran.stderr == ""


def test_output_that_has_no_room(toy: str) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    with full.open("w") as out:
        ran = subprocess.run(
            [*GENPATCH, "trace", toy, "add"], stdout=out, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (ran.returncode, ran.stderr) == (2, "genpatch: standard output: No space left on device\n")


def test_the_listing_comes_before_the_error(toy: str) -> None:
    ran = subprocess.run(
        [*GENPATCH, "trace", toy, "bug"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert ran.returncode == 2
    assert ran.stdout.splitlines()[-1].startswith("genpatch: breakpoint")


def test_bytes_of_the_command_line_that_are_no_text(toy: str) -> None:
    ran = subprocess.run(
        [*map(os.fsencode, GENPATCH), b"trace", b"-q", b"toy", b"length", b"str:\xff\xfe"],
        capture_output=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.endswith(b"returned 0x2 after 13 instructions\n")


def test_a_budget_beyond_everything_is_taken(toy: str) -> None:
    assert start("-q", toy, "spin", "--max-insns", "9" * 25).returncode == 124


def test_help_names_what_an_argument_may_be() -> None:
    ran = start("--help")
    assert ran.returncode == 0
    for word in ("KERNEL", "FUNC", "--args", "--stub", "--max-insns", "--quiet", "124"):
        assert word in ran.stdout


# --- samples


@pytest.mark.parametrize("name", ["call-ops", "boot"])
def test_a_sample(run: Run, name: str) -> None:
    ran = run("trace", "-q", f"sample:{name}", "start_kernel")
    assert ran.out.startswith("start_kernel()\n")
    assert (ran.status, "returned" in ran.out) in ((0, True), (2, False), (124, False))
    assert "internal error" not in ran.err


def test_no_traceback_ever(run: Run) -> None:
    rng = random.Random(21)
    words = (
        "ftrace_caller",
        "vfs_read",
        "0x10",
        "0xffffffff80000000",
        "-1",
        "str:x",
        "hex:0",
        "buf:9",
        "--stub",
        "-q",
        "--",
        "--args",
        "a=b",
        "\udc80",
    )
    for _ in range(150):
        args = [f"sample:{rng.choice(sample_names())}", *rng.choices(words, k=rng.randrange(6)), "--max-insns=50"]
        ran = run("trace", *args)
        assert ran.status in (0, 2, 124)
        assert "internal error" not in ran.err, args
        assert ran.err.count("\n") == (ran.status != 0), args


# --- Debian's kernels


@pytest.fixture(params=["7.2/vmlinux", "6.12/vmlinux", "7.2/boot"])
def kernel(request: pytest.FixtureRequest) -> str:
    folder = os.environ.get("GENPATCH_KERNELS")
    if not folder or not Path(folder, request.param).exists():
        pytest.skip(f"GENPATCH_KERNELS holds no {request.param}")
    return str(Path(folder, request.param))


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("args", "out"),
    [
        (("gcd", "84", "36"), "0xc (12)"), (("int_sqrt", "1000000"), "0x3e8 (1000)"),
        (("strlen", "str:hello"), "0x5"), (("crc32_le", "0xffffffff", "str:123456789", "9"), "0x340bc6d9"),
    ],
)  # fmt: skip
def test_functions_of_real_kernels(run: Run, kernel: str, args: tuple[str, ...], out: str) -> None:
    """crc32_le does not invert at the end: 0x340bc6d9 is the complement of the catalogue's 0xcbf43926."""
    ran = run("trace", "-q", kernel, *args)
    assert (ran.status, ran.err) == (0, "")
    assert re.match(rf"returned (0xffffffff)?{re.escape(out).replace('0x', '(?:0x)?')}", ran.out.splitlines()[1])
