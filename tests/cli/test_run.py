# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch run``: programs that must run, compared with what they must print and with QEMU; what must be refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genpatch.cli.app import main
from tests.programs import Programs
from tests.programs import programs_fixture as programs_fixture
from tests.programs.bad import BAD, ODD
from tests.programs.build import PROGRAMS, VARIANTS
from tests.programs.expected import expected

from .conftest import Ran

Run = Callable[..., Ran]

QEMU = shutil.which("qemu-riscv64")
PLENTY = "5000000"
"""Instructions, more than any of the programs needs."""
SECONDS = 60

LANES_VARIANT = "gcc-O2"
"""The one variant that runs in a thousand lanes: all of them would take too long."""

QEMU_UNSURE = {("bits", "clang-zb"): "ctzw", ("bits", "clang-zicond"): "ctzw"}
"""Lines, by their first word, that QEMU 7.2 gets wrong: its ctzw looks at bits above the word when the word is zero."""


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "GENPATCH_DEBUG", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """``genpatch run`` in this process, which must end in time; what goes to the file descriptors is seen too."""

    def too_long(*_: object) -> None:
        pytest.fail(f"it has not ended after {SECONDS} s")

    def run(*args: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["genpatch", "run", *map(str, args)])
        capfd.readouterr()
        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(SECONDS)
        try:
            with pytest.raises(SystemExit) as caught:
                main()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        sys.stdout.flush()
        sys.stderr.flush()
        captured = capfd.readouterr()
        code = caught.value.code
        return Ran(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return run


def run_alone(*args: str | Path) -> Ran:
    """``genpatch run`` as a process of its own, which must end in time."""
    command = [sys.executable, "-m", "genpatch", "run", *map(str, args)]
    ran = subprocess.run(command, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file, as an executable."""

    def put(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(0o755)
        return path

    return put


Put = Callable[[str, bytes], Path]


# Programs that must run


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(name: str, variant: str, programs: Programs, run_here: Run) -> None:
    right = expected(name)
    ran = run_here("--max-insns", PLENTY, programs(name, variant))
    assert ran.out == right.out
    assert (ran.status, ran.err) == (right.status, right.err)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_qemu_agrees_with_what_is_expected(name: str, variant: str, programs: Programs) -> None:
    """And so with genpatch, by the test above; here the expectations are what is tested."""
    path = programs(name, variant)
    if QEMU is None:
        pytest.skip("qemu-riscv64 is not installed: the expected output is not compared with QEMU's")
    ran = subprocess.run([QEMU, path], capture_output=True, timeout=SECONDS, env={}, stdin=subprocess.DEVNULL)
    if ran.returncode == -4 and "zicond" in variant:
        pytest.skip("this qemu-riscv64 does not know Zicond")
    right, unsure = expected(name), QEMU_UNSURE.get((name, variant))
    out, expected_out = ran.stdout.decode().splitlines(), right.out.splitlines()
    if unsure is None:
        assert ran.returncode == right.status
    else:
        out, expected_out = ([each for each in lines if each.split()[0] != unsure] for lines in (out, expected_out))
    assert out == expected_out
    assert ran.stderr.decode().startswith(right.err)  # before what QEMU says of a core dump


@pytest.mark.parametrize("name", ["entry", "selfmod", "sort"])
def test_a_program_in_a_process_of_its_own(name: str, programs: Programs) -> None:
    right = expected(name)
    ran = run_alone(programs(name, "gcc-O2"))
    assert (ran.status, ran.out, ran.err) == (right.status, right.out, right.err)


def test_a_reader_that_leaves_is_no_trouble(programs: Programs) -> None:
    """Standard output is closed by its reader before the program writes."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "genpatch", "run", str(programs("entry", "gcc-O2"))]
    with os.fdopen(writer, "w") as pipe:
        ran = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_thousand_lanes(name: str, programs: Programs, run_here: Run) -> None:
    """They agree, and the output is there once."""
    right = expected(name)
    ran = run_here("--lanes", "1000", "--max-insns", PLENTY, programs(name, LANES_VARIANT))
    assert ran.out == right.out
    assert (ran.status, ran.err) == (right.status, right.err)


@pytest.mark.parametrize("variant", ["gcc-O0-noc", "clang-zicond"])
@pytest.mark.parametrize("lanes", ["1", "3"])
def test_a_few_lanes(lanes: str, variant: str, programs: Programs, run_here: Run) -> None:
    right = expected("queens")
    ran = run_here("--lanes", lanes, programs("queens", variant))
    assert (ran.status, ran.out, ran.err) == (right.status, right.out, right.err)


@pytest.mark.parametrize("lanes", [(), ("--lanes", "5")])
def test_the_budget_ends_a_program(lanes: tuple[str, ...], programs: Programs) -> None:
    ran = run_alone("--max-insns", "1000", *lanes, programs("sort", "gcc-O2"))
    assert ran.status == 124
    assert ran.out == ""
    assert ran.err.count("\n") == 1


def test_a_trace_changes_nothing_else(programs: Programs, run_here: Run) -> None:
    right = expected("selfmod")
    ran = run_here("--trace", programs("selfmod", "gcc-O2"))
    assert ran.status == right.status
    assert [each for each in ran.out.splitlines() if each in right.out.splitlines()] == right.out.splitlines()
    assert ran.out.count("\n") + ran.err.count("\n") > 3000


# Programs that only look bad


@pytest.mark.parametrize("name", ODD)
def test_an_odd_program(name: str, put: Put, run_here: Run) -> None:
    ran = run_here("--max-insns", "1000", put(name, ODD[name].data))
    assert (ran.status, ran.out, ran.err) == (ODD[name].status, ODD[name].out, "")


@pytest.mark.parametrize("name", ["as-the-bad-files-were", "exit-minus-1", "write-unmapped", "write-text"])
def test_an_odd_program_in_lanes(name: str, put: Put, run_here: Run) -> None:
    ran = run_here("--lanes", "4", "--max-insns", "1000", put(name, ODD[name].data))
    assert (ran.status, ran.out, ran.err) == (ODD[name].status, ODD[name].out, "")


# What must be refused


def is_refused(ran: Ran, name: str, path: Path) -> None:
    """One line that says why, and where if that can be said."""
    case = BAD[name]
    assert ran.status in case.statuses, ran
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert ran.err.startswith("genpatch: ")
    said = ran.err.replace(str(path), "")
    if case.pc is not None:
        assert f"{case.pc:x}" in said
    if case.address is not None:
        assert f"{case.address:x}" in said


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input(name: str, put: Put, run_here: Run) -> None:
    path = put(name, BAD[name].data)
    is_refused(run_here("--max-insns", str(BAD[name].budget), path), name, path)


@pytest.mark.parametrize("name", ["riscv32", "recursion", "ebreak", "changes-itself-for-ever"])
def test_a_bad_input_in_a_process_of_its_own(name: str, put: Put) -> None:
    path = put(name, BAD[name].data)
    is_refused(run_alone("--max-insns", str(BAD[name].budget), path), name, path)


IN_LANES = ("riscv32", "interpreter", "reserved-zero", "misaligned-jalr", "jump-to-itself", "recursion", "load-0",
            "changes-itself-for-ever", "m-handler-returns-to-the-fault", "store-text", "ebreak")  # fmt: skip


@pytest.mark.parametrize("name", IN_LANES)
def test_a_bad_input_in_lanes(name: str, put: Put, run_here: Run) -> None:
    path = put(name, BAD[name].data)
    is_refused(run_here("--lanes", "3", "--max-insns", "20000", path), name, path)


@pytest.mark.parametrize("what", ["nowhere", "."])
def test_what_is_no_file(what: str, run_here: Run) -> None:
    ran = run_here(what)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "Traceback" not in ran.err
