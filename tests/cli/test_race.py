# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch race``: schemes and kernels, statuses, formats, choices, bad inputs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch.race.environment import ENVIRONMENTS
from genpatch.report.formats import format_names
from genpatch.report.races import CATALOG_FORMATS
from genpatch.report.schema import RACE_JSON_SCHEMA
from genpatch.schemes import CATALOG
from tests.report.builders import HOSTILE
from tests.report.test_json import closed
from tests.report.test_ktap import Checker

from .conftest import Run
from .test_verify import LOST_A3, NAMES, kernel

pytestmark = pytest.mark.usefixtures("here")

SMP = ("--config", "smp.config")


@pytest.fixture(autouse=True)
def kernels(here: Path) -> None:
    (here / "live").write_bytes(kernel())
    (here / "lost").write_bytes(kernel(LOST_A3))
    (here / "smp.config").write_text("CONFIG_SMP=y\nCONFIG_FUNCTION_TRACER=y\n")


def document(run: Run, *args: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(run("race", *args, "--format", "json").out)
    return loaded


# --- schemes


def test_a_scheme(run: Run) -> None:
    ran = run("race", "pair-t0", "--env", "up", "--env", "smp")
    assert (ran.status, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["pair-t0"]
    assert lines[1] == ["environment", "enable", "change", "disable", "retire"]
    assert lines[2][:2] == ["up", "safe"]
    assert lines[2][2].isdecimal()
    assert lines[3][:3] == ["smp", "UNSAFE", "wild"]
    assert "4 safe, 4 unsafe, 0 unfinished, 0 skipped; " in ran.out
    assert "a second" in ran.out


def test_all_environments_unless_some_are_named(run: Run) -> None:
    loaded = document(run, "call-ops", "--transition", "enable")
    assert [row["environment"]["name"] for row in loaded["cases"]] == list(ENVIRONMENTS)
    assert {row["transition"] for row in loaded["cases"]} == {"enable"}
    assert [each["name"] for each in loaded["environments"]] == list(ENVIRONMENTS)
    again = document(run, "call-ops", "--transition", "enable", "--env", "smp", "--env", "all")
    assert {row["environment"]["name"] for row in again["cases"]} == set(ENVIRONMENTS)
    assert len(again["cases"]) == len(ENVIRONMENTS)


def test_an_environment_of_ones_own(run: Run) -> None:
    rows = document(run, "call-ops", "--transition", "enable", "--env", "smp,fetch=parcel", "--env", "smp")["cases"]
    assert [row["environment"]["name"] for row in rows] == ["smp,fetch=parcel", "smp"]
    assert [row["verdict"] for row in rows] == ["unsafe", "safe"]


def test_rows_keep_the_order_of_transitions(run: Run) -> None:
    rows = document(run, "call-ops", "--transition", "disable", "--transition", "enable", "--env", "up")["cases"]
    assert [row["transition"] for row in rows] == ["enable", "disable"]


def test_a_frame(run: Run) -> None:
    args, regs = (
        document(run, "call-ops", "--env", "smp-preempt", "--transition", "enable", "--frame", frame)["cases"]
        for frame in ("args", "regs")
    )
    assert [row["verdict"] for row in (*args, *regs)] == ["safe", "safe"]


def test_many_schemes_are_one_table(run: Run) -> None:
    args = ("race", "--all", "--env", "up", "--env", "smp", "--transition", "enable")
    ran = run(*args)
    assert (ran.status, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert len(ran.out.splitlines()) < 30
    assert "wild" in ran.out
    every = run(*args, "--verbose").out
    assert [line for line in every.splitlines() if line in CATALOG] == list(CATALOG)


def test_jobs_change_nothing(run: Run) -> None:
    args = ("race", "call-ops", "pair-t0", "--env", "smp", "--env", "up", "--format", "markdown", "--jobs")
    assert run(*args, "1").out == run(*args, "2").out


def test_a_witness(run: Run) -> None:
    ran = run("race", "pair-t0", "--env", "smp", "--transition", "enable", "--witness")
    assert ran.status == 0
    assert "pair-t0 enable: wild in smp" in ran.out
    assert "  patcher " in ran.out
    assert "=> wild: the pc is 0x" in ran.out
    assert "=> wild" not in run("race", "pair-t0", "--env", "smp").out


def test_what_makes_the_status(run: Run) -> None:
    unsafe = ("race", "pair-t0", "--env", "smp", "--transition", "enable")
    assert run(*unsafe).status == 0
    assert run(*unsafe, "--fail-on", "never").status == 0
    assert run(*unsafe, "--fail-on", "unsafe").status == 1
    assert run("race", "call-ops", "--env", "smp", "--fail-on", "unsafe").status == 0


def test_too_many_states_are_no_pass(run: Run) -> None:
    ran = run("race", "call-ops", "--env", "smp", "--transition", "enable", "--max-states", "20")
    assert ran.status == 2
    assert "unfinished >20" in ran.out
    assert "safe" not in ran.out.splitlines()[2]
    assert ran.err == "genpatch: 1 row of 1 not decided: more than 20 states (first: call-ops enable in smp)\n"
    ktap = run("race", "call-ops", "--env", "smp", "--max-states", "20", "--format", "ktap").out
    assert "  not ok 1 enable in smp # TIMEOUT 20 states were visited and there are more\n" in ktap


def test_an_unknown_row_beside_an_unsafe_one(run: Run) -> None:
    args = ("race", "call-ops", "pair-t0", "--env", "smp-preempt", "--transition", "enable", "--max-states", "99")
    line = "genpatch: 1 row of 2 not decided: more than 99 states (first: call-ops enable in smp-preempt)\n"
    for more, status in (((), 2), (("--fail-on", "never"), 2), (("--fail-on", "unsafe"), 1)):
        ran = run(*args, *more)
        assert "unfinished >99" in ran.out
        assert "UNSAFE" in ran.out
        assert (ran.status, ran.err) == (status, line)


def test_nothing_explored(run: Run) -> None:
    ran = run("race", "call-ops", "--env", "up,patchers=2")
    assert ran.status == 2
    assert ran.err == (
        "genpatch: nothing was explored: all rows were skipped: two patchers at the same time need more than one hart\n"
    )
    assert "0 safe, 0 unsafe, 0 unfinished, 4 skipped" in ran.out


def test_environments_are_listed(run: Run) -> None:
    ran = run("race", "--list")
    assert ran.status == 0
    for environment in ENVIRONMENTS.values():
        assert any(line.split() == [environment.name, *environment.what.split()] for line in ran.out.splitlines())
    assert "preemption=full, remote_fence=missing" in ran.out
    assert "  preemption    none (default), voluntary, full\n" in ran.out
    assert "  alignment     2, 4, 8 (default)\n" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


# --- documents


def test_the_document_of_schemes(run: Run) -> None:
    loaded = document(run, "pair-t0", "--env", "smp")
    Draft202012Validator(closed(RACE_JSON_SCHEMA)).validate(loaded)
    assert loaded["schema"] == "genpatch/race/1"
    assert loaded["about"] == "schemes"
    assert loaded["subjects"] == ["pair-t0"]
    assert loaded["counts"] == {"safe": 0, "unsafe": 4, "unfinished": 0, "skipped": 0}
    assert loaded["environments"][0] == {**loaded["cases"][0]["environment"], "what": ENVIRONMENTS["smp"].what}
    assert loaded["function_choice"] == ""
    row = loaded["cases"][0]
    assert (row["subject"], row["transition"], row["environment"]["name"]) == ("pair-t0", "enable", "smp")
    assert (row["verdict"], row["kinds"], row["complete"]) == ("unsafe", ["wild"], True)
    assert row["witnesses"]["wild"][-1]["text"].startswith("wild: the pc is 0x")
    assert {line["who"] for line in row["witnesses"]["wild"][:-1]} <= {"patcher", "victim", "harts"}
    assert "findings" not in loaded
    assert "table" not in loaded


def test_the_document_of_a_kernel(run: Run) -> None:
    loaded = document(run, "lost", *SMP)
    Draft202012Validator(closed(RACE_JSON_SCHEMA)).validate(loaded)
    assert loaded["about"] == "kernel"
    assert loaded["subjects"] == ["start_kernel"]
    assert {each["rule"] for each in loaded["findings"]} >= {"GP412"}
    assert loaded["scheme"] == "call-ops"
    assert any("CONFIG_SMP=y" in line for line in loaded["evidence"])
    assert any("no kprobe" in line for line in loaded["notes"])
    assert not any("lost: " in line for line in loaded["notes"])
    assert loaded["function_choice"].startswith("start_kernel, 1 of ")
    assert [each["name"] for each in loaded["environments"]] == ["own"]
    assert {row["transition"] for row in loaded["cases"]} >= {"enable", "disable"}


def test_the_schema_is_printed(run: Run) -> None:
    assert json.loads(run("schema", "race").out) == RACE_JSON_SCHEMA
    Draft202012Validator.check_schema(RACE_JSON_SCHEMA)
    assert "and for race" in run("schema", "nonsense").err


@pytest.mark.parametrize("name", CATALOG_FORMATS)
def test_each_format_of_schemes(run: Run, name: str) -> None:
    ran = run("race", "pair-t0", "--env", "smp", "--format", name)
    assert (ran.status, ran.err) == (0, "")
    assert "wild" in ran.out


@pytest.mark.parametrize("name", format_names())
def test_each_format_of_a_kernel(run: Run, name: str) -> None:
    ran = run("race", "lost", "--format", name)
    assert (ran.status, ran.err) == (1, "")
    assert ("registers" if name == "ktap" else "start_kernel" if name == "jsonl" else "GP412") in ran.out
    assert run("race", "live", "--format", name).status == 0


def test_formats_to_files(run: Run) -> None:
    every = [f"{name}=out.{name}" for name in CATALOG_FORMATS]
    ran = run("race", "pair-t0", "--env", "smp", *(part for each in every for part in ("--format", each)))
    assert (ran.status, ran.out) == (0, "")
    assert all(Path(f"out.{name}").stat().st_size for name in CATALOG_FORMATS)
    assert run("race", "pair-t0", "--env", "smp", "-o", "out").out == ""
    assert Path("out").read_text().startswith("pair-t0\n")


def test_markdown_is_the_same_every_time(run: Run) -> None:
    args = ("race", "pair-t0", "call-ops", "--env", "smp", "--env", "stop", "--witness", "--format", "markdown")
    first, second = run(*args).out, run(*args).out
    assert first == second
    assert "| `pair-t0` | **UNSAFE wild** | safe |" in first
    assert "```text\npatcher" in first
    assert " a second" not in first


@pytest.mark.parametrize("args", [("pair-t0", "call-ops", "--env", "smp"), ("lost",), ("live",)])
def test_ktap(run: Run, args: tuple[str, ...]) -> None:
    checker = Checker(run("race", *args, "--format", "ktap").out)
    tests = checker.read(0)
    assert checker.at == len(checker.lines)
    failed = [title for result, title, _ in tests if result == "not ok"]
    assert bool(failed) == ("live" not in args)


def test_colour(run: Run) -> None:
    args = ("race", "pair-t0", "--env", "smp")
    assert "\x1b[" not in run(*args).out
    assert "\x1b[1;31mUNSAFE wild" in run(*args, "--color", "always").out
    assert "\x1b[" not in run(*args, "--color", "never").out


def test_quiet(run: Run) -> None:
    ran = run("race", "pair-t0", "--env", "smp", "-q")
    assert "UNSAFE wild" in ran.out
    assert "a second" not in ran.out


# --- kernels


def test_a_kernel_that_does_it_right(run: Run) -> None:
    ran = run("race", "live")
    assert (ran.status, ran.err) == (0, "")
    assert "0 errors, 0 warnings, 0 notes" in ran.out
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("  enable ")]
    assert rows[0][:2] == ["enable", "safe"]
    assert all("safe" in row or row[-1] == "-" for row in rows)
    assert "one hart" in ran.out


def test_a_kernel_that_does_not(run: Run) -> None:
    ran = run("race", "lost")
    assert (ran.status, ran.err) == (1, "")
    assert "GP412 register-overwritten-amid-patching" in ran.out
    assert "genpatch explain GP412" in ran.out
    assert "start_kernel: enable in environment own: the body is entered with a3 = " in " ".join(ran.out.split())


def test_what_is_warned_of(run: Run) -> None:
    """Nobody tells the other harts of what was stored."""
    ran = run("race", "live", *SMP, "--transition", "enable")
    assert ran.status == 0
    assert "warning GP415 stale-after-patching" in ran.out
    assert run("race", "live", *SMP, "--fail-on", "warning").status == 1
    assert run("race", "live", *SMP, "--fail-on", "warning", "--ignore", "GP415").status == 1  # nor does it lock
    assert run("race", "live", *SMP, "--fail-on", "warning", "--ignore", "GP415", "--ignore", "GP417").status == 0
    assert run("race", "lost", "--select", "wild-execution").status == 0
    assert run("race", "lost", "--fail-on", "never").status == 0


def test_environments_of_a_kernel(run: Run) -> None:
    rows = document(run, "live", "--transition", "enable", "--env", "own,preemption=full", "--env", "smp")["cases"]
    assert [row["environment"]["name"] for row in rows] == ["own,preemption=full", "smp"]
    assert [row["verdict"] for row in rows] == ["safe", "unsafe"]
    rows = document(run, "live", "--transition", "enable", "--env", "all")["cases"]
    names = [row["environment"]["name"] for row in rows]
    assert names[0] == "own"
    assert "up" in names
    assert not {"stop", "no-fence", "align4", "no-wait", "two-locked"} & set(names)
    ran = run("race", "live", "--transition", "enable", "--env", "all")
    assert "--env all leaves out stop, stop-voluntary, " in " ".join(ran.out.split())


def test_a_function(run: Run) -> None:
    loaded = document(run, "lost", "--function", "vfs_read")
    assert loaded["subjects"] == ["vfs_read"]
    assert {each["symbol"] for each in loaded["findings"]} == {"vfs_read"}


def test_a_pattern_of_a_function(run: Run) -> None:
    assert document(run, "lost", "--function", "vfs_rea[cd]")["subjects"] == ["vfs_read"]
    several = run("race", "lost", "--function", "*")
    assert several.status == 2
    assert several.err.startswith(f"genpatch: lost: '*' matches {len(NAMES)} traced functions, expected one: ")
    assert several.err.count("\n") == 1
    assert run("race", "lost", "--function", "x*y").err == "genpatch: lost: 'x*y' matches no traced function\n"


def test_the_function_is_said(run: Run) -> None:
    for name in ("text", "markdown"):
        out = " ".join(run("race", "live", "--format", name).out.split())
        assert f"function start_kernel, 1 of {len(NAMES)} sites: worst aligned, on a multiple of " in out
        assert "; --function F for another" in out
    assert "sites: as named, on a multiple of " in " ".join(run("race", "live", "--function", "vfs_read").out.split())


def test_a_kernel_with_too_many_states(run: Run) -> None:
    ran = run("race", "live", "--max-states", "10", "--transition", "enable")
    assert ran.status == 2
    line = "genpatch: 1 row of 1 not decided: more than 10 states (first: start_kernel enable in own)\n"
    assert ran.err == line
    assert "not decided\n  GP411 wild-execution, " in ran.out


@pytest.mark.parametrize(
    ("more", "status"),
    [((), 1), (("--fail-on", "never"), 2), (("--ignore", "GP412"), 2), (("--select", "GP417"), 2)],
)
def test_an_unknown_row_beside_a_finding(run: Run, more: tuple[str, ...], status: int) -> None:
    rows = document(run, "lost", "--env", "own", "--env", "smp")["cases"]
    most = min(row["states"] for row in rows if row["verdict"] == "unsafe") + 1
    ran = run("race", "lost", "--env", "own", "--env", "smp", "--max-states", str(most), *more)
    assert "unfinished >" in ran.out
    assert (ran.status, ran.err.count("\n")) == (status, 1)
    assert f" not decided: more than {most:,} states (first: start_kernel " in ran.err


def test_a_witness_of_a_kernel(run: Run) -> None:
    out = run("race", "lost", "--witness", "--transition", "enable").out
    assert "start_kernel enable: registers in own" in out
    assert "=> registers: the body is entered with a3 = " in out


def test_what_others_do_not_speak_of(run: Run) -> None:
    for verb in ("audit", "verify"):
        assert "GP41" not in run(verb, "lost").out
        assert run(verb, "lost", "--select", "GP411").err == (
            "genpatch: no rule is left to run: those are rules for what is seen when 'genpatch race' explores "
            "interleavings\n"
        )


@pytest.mark.parametrize("number", range(411, 418))
def test_explain(run: Run, number: int) -> None:
    ran = run("explain", f"GP{number}")
    assert ran.status == 0
    assert "Remedy" in ran.out


def test_a_sample(run: Run) -> None:
    ran = run("race", "sample:verify-call-ops")
    assert ran.status == 0
    assert "safe" in ran.out


# --- what cannot be done


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "expected schemes ('genpatch schemes' lists them), --all, or a kernel"),
        (("",), "expected a scheme or a kernel, got an empty name"),
        (("call-op",), "unknown scheme 'call-op'; is it 'call-ops'?"),
        (("call-ops", "pair-t1"), "unknown scheme 'pair-t1'; is it 'pair-t0'?"),
        (("vmlinux",), "vmlinux: no such file, and no scheme is called so; 'genpatch schemes' lists them"),
        (("./vmlinux",), "./vmlinux: No such file or directory"),
        (("sample:nonsense",), "no sample 'nonsense'; "),
        (("call-ops", "live"), "live: a kernel is explored alone; got 2 names"),
        (("live", "live"), "live: a kernel is explored alone; got 2 names"),
        (("call-ops", "--all"), "--all means all schemes: leave out the names"),
        (("call-ops", "--env", "smpp"), "unknown environment 'smpp'; is it 'smp'?"),
        (("call-ops", "--env", "own"), "environment 'own': only of a kernel"),
        (("call-ops", "--env", "nosuch"), "unknown environment 'nosuch'; known: up, "),
        (("call-ops", "--env", "smp,preemption"), "setting 'preemption' of an environment: expected SETTING=VALUE"),
        (("call-ops", "--env", "smp,fetch=no"), "fetch='no'"),
        (("call-ops", "--transition", "enabled"), "--transition 'enabled': expected one of enable, change"),
        (("call-ops", "--frame", "x"), "--frame 'x': expected one of args, regs"),
        (("call-ops", "--format", "sarif"), "--format 'sarif': expected one of html, json, ktap, markdown, text"),
        (("call-ops", "--fail-on", "error"), "--fail-on 'error': expected one of unsafe, never"),
        (("call-ops", "--color", "x"), "--color 'x': "),
        (("call-ops", "--max-states", "0"), "Invalid value for '--max-states': "),
        (("call-ops", "--jobs", "-1"), "Invalid value for '--jobs' / '-j': "),
        (("call-ops", "--function", "vfs_read"), "--function is about a kernel, not about schemes"),
        (("call-ops", "--select", "GP411"), "--select is about a kernel, not about schemes"),
        (("live", "--frame", "args"), "--frame is about schemes: a kernel has trampolines of its own"),
        (("live", "--fail-on", "unsafe"), "--fail-on 'unsafe': "),
        (("live", "--format", "nonsense"), "--format 'nonsense': "),
        (("live", "--env", "stop"), "--env 'stop': stop_machine: what a kernel does is in its own events; "),
        (("live", "--env", "own,lock=no"), "--env 'own,lock=no': lock: "),
        (("live", "--env", "own,nonsense=1"), "unknown setting 'nonsense=1' of an environment"),
        (("live", "--env", "owm"), "unknown environment 'owm'"),
        (("live", "--transition", "retire"), "--transition 'retire': of this kernel there are enable, "),
        (("live", "--function", "vfs_rea"), "live: 'vfs_rea' is no traced function; is it vfs_read?"),
        (("live", "--select", "GP304"), "no rule is left to run: those are rules for what is seen when 'genpatch v"),
        (("live", "--select", "GP999"), "no rule matches 'GP999'"),
        (("live", "--config", "nowhere"), "nowhere: "),
        (("ext.ko",), "ext.ko: module"),
        (("program",), "program: "),
        (("x86",), "x86: e_machine: expected 243"),
        (("text",), "text: expected a RISC-V kernel image"),
        (("empty",), "empty: "),
        (("short",), "short: "),
        (("hollow",), "hollow: "),
        (("untraced",), "untraced: "),
        (("live", "--bogus"), ""),
    ],
)  # fmt: skip
def test_what_cannot_be_done(run: Run, args: tuple[str, ...], message: str) -> None:
    ran = run("race", *args)
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith(f"genpatch: {message}")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err


def test_a_file_that_is_called_like_a_scheme(run: Run, here: Path) -> None:
    (here / "call-ops").write_bytes(kernel())
    assert document(run, "call-ops", "--env", "up")["about"] == "schemes"
    assert document(run, "./call-ops")["about"] == "kernel"


def test_no_patching_functions_is_no_pass(run: Run, here: Path) -> None:
    data = kernel()
    for name in ("init_nop", "make_call", "make_nop", "modify_call"):
        data = data.replace(f"ftrace_{name}\0".encode(), f"gtrace_{name}\0".encode())
    (here / "none").write_bytes(data)
    ran = run("race", "none")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("genpatch: none: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in HOSTILE if name and "\0" not in name and not name.isprintable()])
def test_hostile_names(run: Run, here: Path, name: str) -> None:
    text = name.encode("utf-8", "replace").decode()
    (here / "hostile").write_bytes(kernel(LOST_A3, names=("start_kernel", text)))
    for how in ("text", "concise", "ktap", "markdown"):
        ran = run("race", "hostile", "--function", text, "--witness", "--format", how)
        assert ran.status in (1, 2)
        assert "\x1b" not in ran.out + ran.err
        assert "\r" not in ran.out
        assert not any(line.startswith("::") for line in ran.out.splitlines())
        assert "internal error" not in ran.err


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_image(run: Run, here: Path, seed: int) -> None:
    """Whatever the bytes are: a report or one line, never a traceback."""
    data, chance = bytearray(kernel()), random.Random(seed)
    if seed % 3 == 0:
        data = data[: chance.randrange(64, len(data))]
    at, size = (data.index(bytes.fromhex("03b302ff")), 0xE00) if seed % 3 == 1 else (0, len(data))
    for _ in range(1 << seed % 8):
        data[at + chance.randrange(size)] = chance.randrange(256)
    (here / "damaged").write_bytes(data)
    ran = run("race", "damaged", "--max-states", "2000")
    assert ran.status in (0, 1, 2)
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err


def test_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "genpatch", "race", "call-ops", "pair-t0", "--env", "smp", "--jobs", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert NAMES[0] not in ran.stdout
