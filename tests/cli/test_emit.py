# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch emit`` as a user meets it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.emit.trees import FTRACE_C, git, real, repository, toy
from tests.test_layers import ROOT

NAME = "0001-riscv-ftrace-compare-auipc-before-a-near-target-is-c.patch"
HI20 = ("emit", "hi20-check", "--linux")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


def test_the_list(run: Run, tmp_path: Path) -> None:
    ran = run("emit", "--list")
    assert (ran.status, ran.err) == (0, "")
    named = [line.split(":")[0] for line in ran.out.splitlines()[::2]]
    files = (ROOT / "genpatch/emit/recipes").glob("[a-z]*.py")
    assert named == sorted(file.stem.replace("_", "-") for file in files)
    toy(tmp_path, ftrace_c=FTRACE_C.replace("distance > JALR_RANGE", "distance > MOST"))
    ran = run("emit", "--list", "--linux", tmp_path)
    assert ran.status == 0
    states = dict(zip(named, (line.strip().split(":")[0] for line in ran.out.splitlines()[2::3]), strict=True))
    assert states["bpf-sled"] == "already there"
    assert states["cfi-prefix"] == "can be made"
    assert states["hi20-check"] == "cannot be made"
    assert states["no-preempt"] == "not applicable"


def test_a_directory(run: Run, tmp_path: Path) -> None:
    toy(tmp_path / "t")
    ran = run(*HI20, tmp_path / "t", "-o", tmp_path / "out")
    assert (ran.status, ran.out) == (0, f"{tmp_path}/out/{NAME}\n")
    assert ran.err.startswith("genpatch: note: no Fixes: line, ")
    text = (tmp_path / "out" / NAME).read_text()
    assert text.startswith(f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: genpatch <genpatch@invalid>\n")
    assert "\nDate: Sat, 01 Jan 2000 00:00:00 +0000\n" in text
    repository(tmp_path / "t")
    git(tmp_path / "t", "am", "-q", str(tmp_path / "out" / NAME))


def test_what_is_said_is_quiet(run: Run, tmp_path: Path) -> None:
    toy(tmp_path / "t")
    ran = run(*HI20, tmp_path / "t", "-o", tmp_path / "out", "-q")
    assert (ran.status, ran.out, ran.err) == (0, "", "")


def test_a_mailbox(run: Run, tmp_path: Path) -> None:
    toy(tmp_path / "t")
    ran = run(*HI20, tmp_path / "t", "--mbox", tmp_path / "m", "--cover")
    assert ran.out == f"{tmp_path}/m\n{tmp_path}/m.cover\n"
    assert run(*HI20, tmp_path / "t", "--mbox", "-", "--cover").out == (tmp_path / "m").read_text()


def test_a_branch(run: Run, tmp_path: Path) -> None:
    repository(toy(tmp_path))
    ran = run(*HI20, tmp_path, "--branch", "topic")
    commit = git(tmp_path, "rev-parse", "topic").strip()
    first, second = ran.out.splitlines()
    assert (ran.status, first) == (0, f"branch topic {commit[:12]}")
    base = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert second == f"next: git switch topic && b4 prep -e {base} && b4 prep --edit-cover && b4 prep --check"
    assert git(tmp_path, "status", "--porcelain") == ""


def test_a_branch_that_git_would_not_make(run: Run, tmp_path: Path) -> None:
    repository(toy(tmp_path))
    ran = run(*HI20, tmp_path, "--branch", "HEAD")
    assert (ran.status, ran.err) == (2, "genpatch: --branch 'HEAD': not a name for a branch\n")
    assert git(tmp_path, "branch", "--list").split() == ["*", "main"]


def test_a_base(run: Run, tmp_path: Path) -> None:
    """What lies in the tree, and what was committed since, does not matter."""
    repository(toy(tmp_path / "t"))
    base = git(tmp_path / "t", "rev-parse", "HEAD").strip()
    wanted = run(*HI20, tmp_path / "t", "--mbox", "-").out
    file = tmp_path / "t/arch/riscv/kernel/ftrace.c"
    file.write_text("/* nothing */\n")
    git(tmp_path / "t", "commit", "-qam", "away with it")
    assert run(*HI20, tmp_path / "t", "--mbox", "-").status == 2
    file.write_text("/* still nothing */\n")
    ran = run(*HI20, tmp_path / "t", "--mbox", "-", "--base", "HEAD~1")
    assert (ran.status, ran.out) == (0, wanted)
    assert run(*HI20, tmp_path / "t", "--branch", "topic", "--base", base[:10]).status == 0
    assert git(tmp_path / "t", "rev-parse", "topic~1").strip() == base
    assert file.read_text() == "/* still nothing */\n"


def test_sources_of_a_scheme(run: Run, tmp_path: Path) -> None:
    ran = run("emit", "auipc-fixed")
    assert ran.status == 0
    assert [line for line in ran.out.splitlines() if line.startswith("==>")] == [
        "==> patching.c <==",
        "==> ftrace_caller.S <==",
    ]
    starts = [line.split(":")[2] for line in ran.err.splitlines()]
    assert starts == [" assembled", " executed", " explored"]
    ran = run("emit", "auipc-fixed", "-o", tmp_path / "out", "-q")
    assert ran.out == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ftrace_caller.S", "patching.c"]
    assert run("emit", "pair-aligned8").status == 1


def test_a_dry_run(run: Run, tmp_path: Path) -> None:
    repository(toy(tmp_path / "t"))
    places = ("-o", tmp_path / "out", "--mbox", tmp_path / "m", "--branch", "topic")
    ran = run(*HI20, tmp_path / "t", *places, "--dry-run")
    assert (ran.status, ran.out) == (
        0,
        f"would write {tmp_path}/out/{NAME}\nwould write {tmp_path}/m\nwould write branch topic\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert git(tmp_path / "t", "branch", "--list", "topic") == ""
    ran = run(*HI20, tmp_path / "t", "--dry-run")
    assert ran.out == "riscv: ftrace: compare auipc before a near target is called\n"


@pytest.mark.parametrize(
    ("given", "environment", "header"),
    [
        ("@1", "", "Thu, 01 Jan 1970 00:00:01 +0000"),
        ("2026-01-31T12:00:00+01:00", "9", "Sat, 31 Jan 2026 11:00:00 +0000"),
        ("", "86400", "Fri, 02 Jan 1970 00:00:00 +0000"),
    ],
)
def test_dates(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, environment: str, header: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", environment)
    toy(tmp_path)
    ran = run(*HI20, tmp_path, "--mbox", "-", *(("--date", given) if given else ()))
    assert f"\nDate: {header}\n" in ran.out


def test_trailers_and_sign_off(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "A. Hacker")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "a@example.org")
    toy(tmp_path)
    plain = run(*HI20, tmp_path, "--mbox", "-").out
    assert "\nSigned-off-by" not in plain
    ran = run(*HI20, tmp_path, "--mbox", "-", "-s", "--trailer", "Cc: x@example.org")
    assert "\n\nCc: x@example.org\nSigned-off-by: A. Hacker <a@example.org>\n---\n" in ran.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("emit",), "name what to make; 'genpatch emit --list' lists what there is"),
        (("emit", "hi20-chek"), "'hi20-chek': nothing of that name can be emitted; is it 'hi20-check'?"),
        (
            ("emit", "hi20-check"),
            "hi20-check: mends a tree and has no sources of its own: name the tree with --linux TREE",
        ),
        (("emit", "pair-t0", "--mbox", "m"), "patches are made for a tree: name it with --linux TREE"),
        ((*HI20, "t", "--base", "HEAD", "-o", "o"), "t: --base 'HEAD': not a git work tree"),
        ((*HI20, "dirty", "--base", "v9", "-o", "o"), "dirty: --base 'v9': no such commit"),
        ((*HI20, "dirty", "--base", "--all", "-o", "o"), "dirty: --base '--all': no such commit"),
        (("emit", "hi20-check", "--list"), "--list lists everything: leave out 'hi20-check'"),
        ((*HI20, "t"), "where to: -o DIR, --mbox FILE, --branch BRANCH or --dry-run"),
        ((*HI20, "none", "--dry-run"), "none: no directory, expected a kernel source tree"),
        ((*HI20, ".", "--dry-run"), ".: no kernel source tree (expected Makefile, Kconfig and arch/riscv)"),
        (
            ("emit", "bpf-sled", "--linux", "t", "-o", "o"),
            "t: bpf-sled: already there: the BPF JIT counts on the kernel's sled: 2 instructions that link through t0",
        ),
        (
            ("emit", "no-preempt", "--linux", "t", "-o", "o"),
            "t: no-preempt: not applicable: one word is patched (MCOUNT_INSN_SIZE is 4): preemption does no harm",
        ),
        (
            (*HI20, "renamed", "-o", "o"),
            "arch/riscv/kernel/ftrace.c: function ftrace_make_call(): missing",
        ),
        (
            (*HI20, "dirty", "-o", "o"),
            "dirty: not what the last commit has: arch/riscv/kernel/ftrace.c; commit or restore it first",
        ),
        ((*HI20, "t", "-o", "file"), "file: not a directory"),
        ((*HI20, "t", "--mbox", "none/m"), "none/m: No such file or directory"),
        ((*HI20, "t", "--branch", "x"), "t: --branch: not a git work tree with a commit"),
        ((*HI20, "t", "-s", "-o", "o"), "--signoff: git knows no name and address to sign with"),
        ((*HI20, "t", "-o", "o", "--date", "soon"), "--date 'soon': not a date; 2026-01-31T12:00:00Z or @ and"),
        ((*HI20, "t", "-o", "o", "--date", "@-5"), "--date '@-5': before 1970"),
        ((*HI20, "t", "-o", "o", "--trailer", "me"), "--trailer 'me': expected 'Name: text'"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    toy(tmp_path / "t")
    toy(tmp_path / "renamed", ftrace_c=FTRACE_C.replace("ftrace_make_call", "x"))
    repository(toy(tmp_path / "dirty"))
    (tmp_path / "dirty/arch/riscv/kernel/ftrace.c").write_text(FTRACE_C + "\n")
    (tmp_path / "file").write_text("x\n")
    ran = run(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"genpatch: {why}")
    assert ran.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dirty", "file", "renamed", "t"]


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_it_is_quick_on_real_trees(run: Run, version: str) -> None:
    tree = real(version)
    start = time.perf_counter()
    assert run("emit", "--list", "--linux", tree).status == 0
    assert time.perf_counter() - start < 2
