# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch prove`` as a user meets it, with programs that only pretend."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genpatch import __version__
from genpatch.prove.model import Judgement
from genpatch.report import judging
from genpatch.report.schema import JSON_SCHEMAS
from tests.cli.conftest import Run
from tests.emit.trees import FTRACE_C, repository
from tests.prove.fakes import CONSOLE, Judges, diff, programs, tree

FTRACE = "arch/riscv/kernel/ftrace.c"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in: tree t, series s.patch, console of the kernel; the kernel is judged by its text."""
    programs(tmp_path / "bin", monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FAKE_CONSOLE", str(tmp_path / "console"))
    monkeypatch.setenv("FAKE_HANG", "")
    monkeypatch.setattr(judging, "JUDGES", Judges().all())
    (tmp_path / "console").write_text(CONSOLE)
    tree(tmp_path / "t")
    write_series(tmp_path, "// toy", "// good")
    return tmp_path


def write_series(root: Path, old: str, new: str) -> None:
    subject = "riscv: ftrace: say a better word, just as subjects of real patches may do"
    (root / "s.patch").write_text(diff(FTRACE, FTRACE_C, FTRACE_C.replace(old, new), subject))


PLAIN = (
    "prove",
    "s.patch",
    "--linux",
    "t",
    "--base",
    "tinyconfig",
    "--toolchain",
    "clang-19",
    "-j1",
    "--work",
    "w",
    "-q",
)

REPORT = """\
genpatch prove: 1 patch on Linux 7.2.13-rc1: every stage passed

  1. riscv: ftrace: say a better word, just as subjects of real patches may
     do

tree      7 files as they lie there, no git work tree
series    DIGEST (what it makes of the tree)
config    tinyconfig, CONFIG_PREEMPT=y
genpatch  VERSION
compiler  clang-19 of the fakes 19.1.7
linker    ld.lld-19 of the fakes 19.1.7
make      GNU Make 4.4.1
qemu      QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)

stage      status   seconds  evidence
apply      ok           0.0  1 patch, 1 file, 1 hunk
check      ok           0.0  no findings
configure  ok           0.0  all 1 line kept
objects    ok           0.0  arch/riscv/kernel/ftrace.o, no warning
build      ok           0.0  vmlinux SIZE bytes, Image SIZE bytes, 1
                             module, no warning
audit      ok           0.0  0 findings
verify     ok           0.0  0 findings
race       ok           0.0  0 findings
boot       ok           0.0  6 start-up tests passed; 2 event tests in
                             order; no complaint

verify:
  looked at vmlinux

boot:
  Linux version 6.12.107-rc1 (u@h) (clang version 19.1.7) #1 SMP PREEMPT
  2000-01-01
  passed: tracer function, dynamic ftrace, dynamic ftrace ops #1, ftrace
  regs(no arch support), all events, kprobe tracing
"""


def plain(text: str) -> str:
    """Return a report without what is another each time."""
    text = re.sub(r"^(series +)[0-9a-f]{12}", r"\1DIGEST", text, flags=re.M)
    text = re.sub(r"(vmlinux|Image) [\d,]+ bytes", r"\1 SIZE bytes", text)
    return re.sub(r"^((?:\w+) +(?:ok|failed) +)\d+\.\d  ", r"\g<1>0.0  ", text, flags=re.M).replace(
        __version__, "VERSION"
    )


def test_the_report(run: Run, place: Path) -> None:
    ran = run(*PLAIN, "--boot", "--config", "CONFIG_PREEMPT=y")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    assert re.sub(r" +", " ", plain(ran.out)) == re.sub(r" +", " ", REPORT)
    assert max(map(len, ran.out.splitlines())) <= 75
    assert str(place) not in ran.out


def test_json_fits_its_schema(run: Run, place: Path) -> None:
    (place / "t" / FTRACE).write_text("// FINDING old error 532\n" + FTRACE_C)
    ran = run(*PLAIN, "--baseline", "--format", "json", "-o", "out.json")
    assert (ran.status, ran.out) == (0, "")
    text = (place / "out.json").read_text()
    document = json.loads(text)
    Draft202012Validator(JSON_SCHEMAS["prove"]).validate(document)
    assert json.loads(run("schema", "prove").out) == JSON_SCHEMAS["prove"]
    assert str(place) not in text
    assert document["proved"] is True
    assert document["changes"] == {"new": [], "mended": [], "same": ["audit:old", "verify:old", "race:old"]}
    assert [stage["name"] for stage in document["baseline"]] == ["configure", "build", "audit", "verify", "race"]


def test_what_a_series_mends_is_the_proof(run: Run, place: Path) -> None:
    text = "// FINDING old error 532\n" + FTRACE_C
    (place / "t" / FTRACE).write_text(text)
    (place / "s.patch").write_text(diff(FTRACE, text, FTRACE_C))
    ran = run(*PLAIN, "--baseline")
    assert ran.status == 0, ran.out
    assert "\nWhat the series changes:\n  mended: 3 findings\n    GP105 error: vmlinux: old is wrong\n" in ran.out
    assert "\n  new: nothing\n  as before: nothing\n" in ran.out
    assert "\nWithout the series:\nstage " in ran.out
    markdown = run(*PLAIN, "--baseline", "--format", "markdown").out
    assert markdown.startswith("## genpatch prove: 1 patch on Linux 7.2.13-rc1\n\nevery stage passed\n\n1. riscv: ")
    assert "\n| audit (without) | ok | 0.0 | 1 findings |\n" in markdown
    assert "\n3 mended, 0 new, 0 as before\n- mended: GP105 vmlinux: old is wrong\n" in markdown


def test_several_formats_at_once_and_a_page(run: Run, place: Path) -> None:
    ran = run(
        *PLAIN, "--boot", "--format", "html=x.html", "--format", "json=x.json", "--format", "text", "--svg", "svg"
    )
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("genpatch prove: 1 patch on Linux")
    text = (place / "x.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "every stage passed" in text
    assert "kprobe tracing</li>" in text
    assert str(place) not in text
    assert run("report", "x.json").out == text
    assert [path.name for path in (place / "svg").iterdir()] == ["stages.svg"]
    write_series(place, "// toy", "// BROKEN")
    ran = run(*PLAIN, "--format", "html", "-o", "y.html")
    assert (ran.status, ran.out) == (1, "")
    assert "not proved: objects failed" in (place / "y.html").read_text()


def test_what_fails_is_in_the_first_line(run: Run, place: Path) -> None:
    write_series(place, "// toy", "// BROKEN")
    ran = run(*PLAIN)
    assert ran.status == 1
    assert ran.out.startswith("genpatch prove: 1 patch on Linux 7.2.13-rc1: NOT proved: objects failed\n")
    assert "\nobjects:\n  arch/riscv/kernel/ftrace.c:1:1: error: use of undeclared identifier" in ran.out
    assert str(place) not in ran.out


def test_a_series_that_emit_makes(run: Run, place: Path) -> None:
    ran = run("prove", "--emit", "hi20-check", *PLAIN[2:], "--objects-only", "--work", "w")
    assert ran.status == 0, ran.out
    assert "\n  1. riscv: ftrace: compare auipc before a near target is called\n" in ran.out
    assert "objects    ok" in ran.out


def test_of_a_git_tree_the_commit_and_what_differs_from_it(run: Run, place: Path) -> None:
    repository(place / "t")
    ran = run(*PLAIN, "--objects-only")
    assert re.search(r"^tree +7 files as they lie there, commit [0-9a-f]{12}$", ran.out, re.M)
    (place / "t" / FTRACE).write_text(FTRACE_C + "/* draft */\n")
    ran = run(*PLAIN, "--objects-only")
    assert ran.status == 0
    assert re.search(r"commit [0-9a-f]{12}, not as committed:\n +arch/riscv/kernel/ftrace\.c\n", ran.out), ran.out


def test_the_work_directory_is_named_and_its_own(run: Run, place: Path) -> None:
    ran = run(*PLAIN[:-3], "--objects-only")
    assert ran.status == 0, ran.err
    found = re.fullmatch(r"genpatch: note: work directory (.*/cache/genpatch/prove-[0-9a-f]{12})\n", ran.err)
    assert found is not None
    assert (Path(found[1]) / "logs" / "objects.log").is_file()
    ran = run(*PLAIN[:-3], "--objects-only", "--restart", "-q")
    assert (ran.status, "kept from" in ran.out) == (0, False)
    assert "kept from" in run(*PLAIN[:-3], "--objects-only", "-q").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_proof_that_is_stopped(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def stop(*args: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(judging, "JUDGES", {**judging.JUDGES, "verify": stop})
    ran = run(*PLAIN)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "genpatch: note: stopped; the same command goes on from there\n"
    monkeypatch.setattr(judging, "JUDGES", Judges().all())
    note = "note: kept from an earlier run on the same inputs: configure, objects,\n      build, audit\n"
    assert run(*PLAIN).out.endswith(note)


def test_processes_that_a_judge_starts_end_without_a_word(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def fork(*args: object) -> Judgement:
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return Judgement("a child was ended")

    monkeypatch.setattr(judging, "JUDGES", {**judging.JUDGES, "audit": fork})
    assert run(*PLAIN).status == 0
    assert ended == [-signal.SIGTERM]


def test_a_process_that_waits_for_a_lock_is_ended(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pool of workers does to them: a handler that Python has to get to would never run there."""
    kinds: list[Any] = []

    def pool(*args: object) -> Judgement:
        reading, writing = os.pipe()
        if not (child := os.fork()):
            os.write(writing, b"x" if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else b"-")
            lock = multiprocessing.get_context("fork").Lock()
            lock.acquire()
            lock.acquire()
        kinds.append(os.read(reading, 1))
        os.kill(child, signal.SIGTERM)
        kinds.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        kinds.append(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        return Judgement("a child was ended")

    monkeypatch.setattr(judging, "JUDGES", {**judging.JUDGES, "audit": pool})
    assert run(*PLAIN).status == 0
    assert kinds == [b"x", -signal.SIGTERM, False]  # its parent still goes on where it was


MISTAKES = {
    "no tree": (("prove", "s.patch"), "name the kernel source tree: --linux TREE"),
    "not a tree": (
        ("prove", "s.patch", "--linux", "bin"),
        "bin: no kernel source tree (expected Makefile, Kconfig and arch/riscv)",
    ),
    "no such tree": (("prove", "s.patch", "--linux", "x"), "x: no directory, expected a kernel source tree"),
    "no series": (("prove", "--linux", "t"), "name a series, or what to make: --emit NAME"),
    "two series": (
        ("prove", "s.patch", "--emit", "hi20-check", "--linux", "t"),
        "--emit makes a series of its own: leave out the other",
    ),
    "no such recipe": (
        ("prove", "--emit", "hi21-check", "--linux", "t"),
        "'hi21-check': nothing of that name can be emitted; is it 'hi20-check'?",
    ),
    "no patch": (("prove", "console", "--linux", "t"), "console: no diff in it"),
    "not there": (("prove", "x.patch", "--linux", "t"), "x.patch: No such file or directory"),
    "toolchain": (
        (*PLAIN, "--toolchain", "tcc"),
        "--toolchain 'tcc': expected clang, clang-19, gcc, gcc-13 or a prefix as riscv64-linux-gnu-",
    ),
    "missing": (
        (*PLAIN, "--toolchain", "gcc", "--ccache"),
        "not on this machine: riscv64-linux-gnu-gcc, riscv64-linux-gnu-ld, riscv64-linux-gnu-nm, "
        "riscv64-linux-gnu-objcopy, gcc, ccache; in Debian: apt install binutils-riscv64-linux-gnu ccache gcc "
        "gcc-riscv64-linux-gnu",
    ),
    "config": ((*PLAIN, "--config", "empty"), "--config 'empty': no line of a kernel configuration in it"),
    "base": ((*PLAIN, "--base", "x"), "--base 'x': No such file or directory"),
    "work": ((*PLAIN, "--work", "t/w"), "{}/t/w: the work directory must lie outside of the tree"),
    "foreign work": (
        (*PLAIN, "--work", "bin"),
        "{}/bin: not empty, and no work directory of genpatch prove; choose another",
    ),
    "format": ((*PLAIN, "--format", "xml"), "--format 'xml': expected one of text, json, markdown, html"),
    "build": ((*PLAIN, "--build", "all"), "--build 'all': expected one of kernel, objects"),
    "output": ((*PLAIN, "-o", "x/y"), "x/y: No such file or directory"),
    "no output": ((*PLAIN, "-o", ""), "--output, --format: expected a file name, got an empty one"),
    "outside": (
        ("prove", "evil.patch", "--linux", "t"),
        "evil.patch:2: ../x: not a path in a tree",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes_are_one_line(run: Run, place: Path, name: str) -> None:
    (place / "empty").write_text("")
    (place / "evil.patch").write_text("--- /dev/null\n+++ ../x\n@@ -0,0 +1 @@\n+x\n")
    args, message = MISTAKES[name]
    ran = run(*args)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {message.format(place)}\n")
    assert not (place / "t" / "w").exists()


def test_a_series_that_does_not_apply_is_no_proof(run: Run, place: Path) -> None:
    (place / "t" / FTRACE).write_text(FTRACE_C.replace("// toy", "// another"))
    ran = run(*PLAIN)
    assert ran.status == 1
    assert "NOT proved: apply failed" in ran.out
    assert f"\napply:\n  patch 1: {FTRACE}:1: " in ran.out


def test_a_work_directory_that_cannot_be_written(run: Run, place: Path) -> None:
    (place / "file").write_text("x")
    ran = run(*PLAIN, "--work", "file/w")
    assert (ran.status, ran.err) == (2, f"genpatch: {place}/file/w: Not a directory\n")


def test_help_says_that_the_tree_is_run(run: Run) -> None:
    text = " ".join(run("prove", "--help").out.split())
    assert "Building a kernel runs what its Makefiles say" in text
    assert "copied, never written to" in text
