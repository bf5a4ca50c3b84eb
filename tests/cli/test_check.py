# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch check`` as a user and b4 meet it."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.check.trees import BPF, FTRACE, edited, mail, toy
from tests.cli.conftest import Run
from tests.emit.trees import git, repository

GOOD = mail(edited(FTRACE, ("// toy", "// a toy")))
BAD = mail(edited(BPF, ("NINSNS 2", "NINSNS 4")), subject="[PATCH] a thing that says ERROR: here")
TEXT = "RV_FENTRY_NINSNS is 16 bytes, the Makefile asks for 8 bytes of nops in a function (every configuration)"
SUBJECT = "the subject names no subsystem, expected 'riscv: ftrace: text' or the like"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = toy(tmp_path / "linux")
    (tmp_path / "good").write_text(GOOD)
    (tmp_path / "bad").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    return root


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_text(run: Run, tree: Path) -> None:
    ran = run("check", "good", "--linux", tree)
    assert (ran.status, ran.out, ran.err) == (0, "no findings\n", "")
    ran = run("check", "good", "bad", "--linux", tree)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == f"bad:4: warning: GP501: {SUBJECT}\n{BPF}:1: error: GP511: {TEXT}\n2 findings\n"


def test_b4(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    piped(monkeypatch, GOOD.partition("\n")[2])
    ran = run("check", "--format=b4", "--salt", "2", "-")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    piped(monkeypatch, BAD.partition("\n")[2])
    ran = run("check", "--format=b4")
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == f"-:3: WARNING: GP501: {SUBJECT}\n{BPF}:1: ERROR: GP511: {TEXT}\n"


def test_b4_of_a_commit_that_is_made_already(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tree)
    (tree / BPF).write_text((tree / BPF).read_text().replace("NINSNS 2", "NINSNS 4"))
    git(tree, "commit", "-qam", "riscv, bpf: one\n\nIt was wrong.")
    first = git(tree, "format-patch", "-1", "--stdout")
    (tree / BPF).write_text((tree / BPF).read_text().replace("NINSNS 4", "NINSNS 2"))
    git(tree, "commit", "-qam", "riscv, bpf: two\n\nIt was wrong.")
    monkeypatch.chdir(tree)
    for text, status in ((first, 1), (git(tree, "format-patch", "-1", "--stdout"), 0)):
        piped(monkeypatch, text)
        ran = run("check", "--format=b4")
        assert (ran.status, ran.err) == (status, "")


def test_json(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "json")
    assert (ran.status, ran.err) == (1, "")
    document = json.loads(ran.out)
    assert document["schema"] == "genpatch/check/1"
    assert document["findings"] == [
        {
            "rule": "GP501",
            "name": "subject",
            "level": "warning",
            "file": "-",
            "line": 4,
            "message": SUBJECT,
            "patch": "bad",
        },
        {
            "rule": "GP511",
            "name": "layout-equation",
            "level": "error",
            "file": BPF,
            "line": 1,
            "message": TEXT,
            "patch": "bad",
        },
    ]
    schema = json.loads(run("schema", "check").out)
    Draft202012Validator(schema).validate(document)


def test_several_formats_at_once(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "sarif=a.sarif", "--format", "text", "--format", "ktap=k")
    assert (ran.status, ran.out.count("\n")) == (1, 3)
    assert json.loads(Path("a.sarif").read_text())["version"] == "2.1.0"
    assert Path("k").read_text().startswith("KTAP version 1\n")
    ran = run("check", "bad", "--linux", tree, "-o", "out")
    assert (ran.status, ran.out, Path("out").read_text().splitlines()[-1]) == (1, "", "2 findings")


def test_a_page_has_the_diff_with_what_is_found_in_it(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "html", "-o", "x.html")
    assert (ran.status, ran.out, ran.err) == (1, "", "")
    text = Path("x.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    line = text.index('<tr class="added hit">')
    assert "#define RV_FENTRY_NINSNS 4" in text[line : line + 300]
    assert TEXT in text[line : line + 900]
    assert run("check", "bad", "--linux", tree, "--format", "json", "-o", "x.json").status == 1
    assert run("report", "x.json").out == text


def test_pictures(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "good", "--linux", tree, "--svg", "a/svg", "-q")
    assert (ran.status, ran.err) == (1, "")
    assert [path.name for path in Path("a/svg").iterdir()] == ["findings.svg"]
    ran = run("check", "good", "--linux", tree, "--svg", "b/svg")
    assert (ran.status, ran.err) == (0, "genpatch: note: --svg: there is nothing to draw, so nothing was written\n")
    assert not Path("b").exists()
    Path("c").mkdir()
    assert run("check", "good", "--linux", tree, "--svg", "c").status == 0
    assert Path("c").is_dir()


@pytest.mark.parametrize(
    ("args", "rules"),
    [
        (("--select", "GP51"), ["GP511"]),
        (("--select", "subject"), ["GP501"]),
        (("--ignore", "GP511,subject"), []),
        (("--select", "ALL", "--ignore", "GP501"), ["GP511"]),
    ],
)
def test_selection(run: Run, tree: Path, args: tuple[str, ...], rules: list[str]) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "json", *args)
    assert [each["rule"] for each in json.loads(ran.out)["findings"]] == rules
    assert ran.status == (1 if rules else 0)


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("--select", "GP501"), 1),
        (("--select", "GP501", "--fail-on", "error"), 0),
        (("--fail-on", "error"), 1),
        (("--fail-on", "never"), 0),
        (("--exit-zero",), 0),
        (("--exit-style", "nipa"), 1),
        (("--exit-style", "nipa", "--select", "GP501"), 250),
        (("--exit-style", "bisect"), 1),
        (("--silent",), 1),
    ],
)
def test_exit_status(run: Run, tree: Path, args: tuple[str, ...], status: int) -> None:
    ran = run("check", "bad", "--linux", tree, *args)
    assert ran.status == status
    assert bool(ran.out) == ("--silent" not in args)


@pytest.mark.parametrize(("style", "status"), [("kselftest", 4), ("bisect", 125), ("default", 0)])
def test_exit_status_of_what_was_not_judged(run: Run, tree: Path, style: str, status: int) -> None:
    assert run("check", "good", "--exit-style", style).status == status  # no tree: messages alone
    assert run("check", "good", "--exit-style", style, "--linux", tree).status == 0


def test_settings(run: Run, tree: Path) -> None:
    Path(".genpatch.toml").write_text('select = ["GP1", "GP2"]\nfail-on = "error"\nignore = ["GP511"]\n')
    ran = run("check", "bad", "--linux", tree)  # what is selected there is for audits
    assert (ran.status, ran.out) == (0, f"bad:4: warning: GP501: {SUBJECT}\n1 finding\n")
    assert run("check", "bad", "--linux", tree, "--isolated").status == 1


def test_cover_letters_among_patches(run: Run, tree: Path) -> None:
    Path("cover").write_text(mail(subject="[PATCH 0/1] riscv: x"))
    assert run("check", "cover", "good", "--linux", tree).out == "no findings\n"
    ran = run("check", "cover", "--linux", tree)
    assert (ran.status, ran.err) == (2, "genpatch: cover: no diff in it\n")
    ran = run("check", "cover", "--linux", tree, "--format", "b4-review")
    assert (ran.status, ran.out, ran.err) == (0, "[]\n", "")


def test_b4_review(run: Run, tree: Path) -> None:
    ran = run("check", "bad", "--linux", tree, "--format", "b4-review")
    (result,) = json.loads(ran.out)
    assert (result["tool"], result["status"], result["summary"]) == ("genpatch", "fail", "1 error, 1 warning")


def test_images(run: Run, tree: Path) -> None:
    pair = ("--vmlinux", "sample:call-ops", "--vmlinux", "sample:call-ops-broken")
    ran = run("check", "good", "--linux", tree, *pair, "--format", "json")
    document = json.loads(ran.out)
    assert ran.status == 1
    assert {each["rule"] for each in document["findings"]} >= {"GP101", "GP304"}
    assert [each["name"] for each in document["images"]] == ["sample:call-ops-broken"]
    ran = run("check", "good", "--linux", tree, "--vmlinux", "sample:call-ops-broken")
    assert ran.status == 0  # what was wrong before is not the patch's doing
    assert "sample:call-ops-broken: note: GP101: already there, error: 4 sleds" in ran.out
    ran = run("check", "good", "--linux", tree, *pair, "--select", "GP101", "--format", "b4")
    assert ran.out == (
        "sample:call-ops-broken:0: ERROR: GP101: 4 sleds of 0 bytes before the function symbol, call-ops needs 8\n"
    )


def test_what_configuration_is_printed(run: Run) -> None:
    assert "prep-perpatch-check-cmd = genpatch check --format=b4 -\n" in run("check", "--print-config", "b4").out
    review = run("check", "--print-config", "b4-review").out
    assert "review-perpatch-check-cmd = genpatch check --format=b4-review -\n" in review


def test_without_a_tree(run: Run, tree: Path) -> None:
    ran = run("check", "good")
    assert (ran.status, ran.out) == (0, "no findings\n")
    assert ran.err == "genpatch: note: no kernel source tree, so only messages were checked; name one with --linux\n"
    ran = run("check", "good", "--format", "b4")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "genpatch: the current directory is no kernel source tree; name one with --linux TREE\n"


def test_a_commit_message(run: Run, tree: Path) -> None:
    Path("msg").write_text("riscv: a\n\nIt was wrong.\n\nFixes: 1234567\n# comment\n")
    ran = run("check", "--commit-msg", "msg", "--format", "b4")
    want = "expected 'Fixes: <12 or more hexadecimal digits> (\"subject\")' on one line"
    assert (ran.status, ran.out, ran.err) == (1, f"-:5: WARNING: GP502: {want}\n", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("none",), "none: No such file or directory"),
        (("linux",), "linux: a directory without *.patch"),
        (
            ("good", "--format", "xml"),
            "--format 'xml': expected one of text, b4, b4-review, json, html, github, gitlab, junit, ktap, sarif",
        ),
        (("good", "--select", "GP2"), "no rule for patches matches 'GP2'; 'genpatch check --list' lists them"),
        (
            ("good", "--select", "GP501", "--ignore", "ALL"),
            "no rule is left to run: --select names none that --ignore leaves",
        ),
        (
            ("good", "--vmlinux", "sample:call-ops", "--select", "GP9x"),
            "no rule matches 'GP9x'; 'genpatch rules' lists them",
        ),
        (("good", "--vmlinux", "none"), "none: No such file or directory"),
        (
            ("good", *("--vmlinux", "a") * 3),
            "--vmlinux: expected one kernel, or two: without the patches, and with them",
        ),
        (("good", "--checkpatch"), "--checkpatch: no kernel source tree; name one with --linux TREE"),
        (("good", "--checkpatch", "--linux", "linux"), "--checkpatch: linux has no scripts/checkpatch.pl"),
        (("good", "--fail-on", "all"), "--fail-on 'all': expected one of error, warning, note, never"),
        (("--print-config", "vim"), "--print-config 'vim': expected one of b4, b4-review"),
        (("good", "--commit-msg", "good"), "--commit-msg checks a message alone: leave out the patches"),
        (("good", "--linux", "none"), "none: no directory, expected a kernel source tree"),
        (("--explain", "GP599"), "no rule 'GP599'; 'genpatch check --list' lists them"),
        (("linux/Kconfig",), "linux/Kconfig: no diff in it"),
    ],
)
def test_refused(run: Run, tree: Path, args: tuple[str, ...], said: str) -> None:
    ran = run("check", *args)
    assert (ran.status, ran.out, ran.err) == (2, "", f"genpatch: {said}\n")


def test_a_link_that_leaves_the_tree(run: Run, tree: Path) -> None:
    Path("secret").write_text("a\n")
    (tree / "arch/riscv/link.c").symlink_to(Path("secret").resolve())
    Path("p").write_text("--- a/arch/riscv/link.c\n+++ b/arch/riscv/link.c\n@@ -1 +1 @@\n-a\n+b\n")
    ran = run("check", "p", "--linux", tree)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("genpatch: arch/riscv/link.c: leads out of ")


def test_rules(run: Run) -> None:
    ran = run("check", "--list")
    listed = [line[:5] for line in ran.out.splitlines()]
    assert listed[:4] == ["GP501", "GP502", "GP503", "GP504"]
    assert "GP510" in listed
    assert listed == sorted(set(listed))
    ran = run("check", "--explain", "gp511")
    assert ran.out.startswith("GP511 layout-equation (error)\n\nThe files that know the layout")
    assert "\n## Remedy\n" in ran.out


def test_the_tree_is_not_changed_and_it_is_quick(tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    command = (sys.executable, "-m", "genpatch", "check", "bad", "--linux", str(tree))
    took = []
    for _ in range(3):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, check=False)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
        assert (done.returncode, done.stderr) == (1, b"")
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before
    assert min(took) < 1.0  # of the processor; 0.2 s where nothing else runs and Python may keep what it has compiled


def test_a_directory_of_patches(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("series").mkdir()
    for number, subject in enumerate(("riscv: ftrace: one", "two"), 1):
        text = f"From: a@example.org\nSubject: [PATCH] {subject}\n\nWhy.\n---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n"
        Path(f"series/000{number}.patch").write_text(f"{text}@@ -1 +1 @@\n-a\n+b\n")
    Path("series/notes").write_text("no patch\n")
    ran = run("check", "series")
    assert ran.status == 1
    assert [line.split(":")[0] for line in ran.out.splitlines()[:-1]] == ["series/0002.patch"]
