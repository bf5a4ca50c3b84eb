# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks: installed, run by git as git runs them, shown and removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genpatch.cli.hook import HOOKS, comment_mark
from tests.check.trees import BPF, FTRACE, MAKEFILE, edited, mail, toy
from tests.cli.conftest import Run


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree under git, to be in; genpatch is in PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    genpatch = programs / "genpatch"
    genpatch.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genpatch "$@"\n')
    genpatch.chmod(0o755)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A. Hacker")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    root = toy(tmp_path / "linux")
    monkeypatch.chdir(root)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "Linux 7.2")
    return root


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("git", *arguments), capture_output=True, text=True, check=False)


def hooks(root: Path) -> Path:
    return root / ".git/hooks"


def test_installed_shown_removed(run: Run, repository: Path) -> None:
    place = hooks(repository) / "commit-msg"
    assert run("hook", "show").out.endswith(f"commit-msg: {place}: not installed\n")
    assert run("hook", "install", "commit-msg").out == f"{place}: installed\n"
    assert place.stat().st_mode & 0o777 == 0o755
    written = place.read_bytes()
    assert run("hook", "install", "commit-msg").out == f"{place}: is there already\n"
    assert place.read_bytes() == written
    assert run("hook", "show").out.endswith(f"commit-msg: {place}: installed\n")
    place.chmod(0o644)
    assert run("hook", "show").out.endswith(": installed, not executable: git passes it over\n")
    assert run("hook", "install", "commit-msg").out == f"{place}: installed\n"
    assert os.access(place, os.X_OK)
    assert run("hook", "uninstall", "commit-msg").out == f"{place}: removed\n"
    ran = run("hook", "uninstall", "commit-msg")
    assert (ran.status, ran.out) == (0, f"{place}: is not there\n")
    assert [path.name for path in place.parent.glob("*") if path.suffix != ".sample"] == []


@pytest.mark.parametrize("name", HOOKS)
def test_the_shell_can_read_it(run: Run, repository: Path, name: str) -> None:
    run("hook", "install", name)
    assert subprocess.run(["sh", "-n", hooks(repository) / name], check=False).returncode == 0


def test_a_foreign_hook_stays(run: Run, repository: Path) -> None:
    place = hooks(repository) / "commit-msg"
    place.parent.mkdir(exist_ok=True)
    place.write_text("#!/bin/sh\nexit 0\n")
    for arguments in (("install",), ("install", "--force"), ("uninstall",), ("uninstall", "--force")):
        ran = run("hook", arguments[0], "commit-msg", *arguments[1:])
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert place.read_text() == "#!/bin/sh\nexit 0\n"
    ran = run("hook", "install", "commit-msg")
    assert ran.err == (
        f"genpatch: {place}: another hook is there; to have both, add to it: "
        'genpatch check --commit-msg "$1" || exit 1\n'
    )
    place.unlink()
    (repository / "elsewhere").write_text("#!/bin/sh\n")
    place.symlink_to(repository / "elsewhere")
    assert run("hook", "install", "commit-msg", "--force").status == 2
    assert (repository / "elsewhere").read_text() == "#!/bin/sh\n"


def test_one_that_was_changed(run: Run, repository: Path) -> None:
    place = hooks(repository) / "commit-msg"
    run("hook", "install", "commit-msg")
    original = place.read_text()
    place.write_text(original + "# mine\n")
    for verb in ("install", "uninstall"):
        ran = run("hook", verb, "commit-msg")
        assert (ran.status, "changed since; --force" in ran.err) == (2, True)
    assert run("hook", "install", "commit-msg", "--force").status == 0
    assert place.read_text() == original


def test_where_git_looks(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("worktree", "add", "-q", "../other", "-b", "other")
    run("hook", "install", "commit-msg", "--repo", "../other")
    assert (hooks(repository) / "commit-msg").is_file()
    git("config", "core.hooksPath", "my/hooks")
    monkeypatch.chdir(repository / "arch/riscv")
    run("hook", "install", "commit-msg")
    assert (repository / "my/hooks/commit-msg").is_file()
    git("config", "core.hooksPath", os.devnull)
    assert run("hook", "install", "commit-msg").err == (
        f"genpatch: {os.devnull}: git looks for hooks there, but it is no directory\n"
    )


def test_refused(run: Run, repository: Path, tmp_path: Path) -> None:
    ran = run("hook", "install", "pre-push")
    assert (ran.status, ran.err) == (2, "genpatch: no hook 'pre-push': expected sendemail-validate or commit-msg\n")
    (tmp_path / "plain").mkdir()
    git("init", "-q", "--bare", "../bare")
    for where in ("../plain", "../bare", "../nowhere"):
        ran = run("hook", "show", "--repo", where)
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert ran.err.startswith(f"genpatch: {where}: no git work tree: ")


def test_git_commit(run: Run, repository: Path) -> None:
    run("hook", "install", "commit-msg")
    (repository / FTRACE).write_text("// changed\n")
    done = git("commit", "-qam", "bad message")
    assert done.returncode == 1
    assert done.stderr.startswith(".git/COMMIT_EDITMSG:1: warning: GP501: the subject names no subsystem")
    done = git("commit", "-qam", "riscv: a message\n\nIt was wrong.")
    assert (done.returncode, done.stderr) == (0, "")
    (repository / FTRACE).write_text("// changed again\n")
    done = git("commit", "-qam", "fixup! whatever")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "'fixup!' is not sent as it is, so it was not checked" in done.stderr


def test_what_an_editor_leaves(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("hook", "install", "commit-msg")
    editor = repository.parent / "editor"
    editor.write_text(
        f"#!/bin/sh\n{{ echo 'riscv: a'; echo; echo It was; echo '; {'x ' * 60}'; cat \"$1\"; }} >t && mv t \"$1\"\n"
    )
    editor.chmod(0o755)
    monkeypatch.setenv("GIT_EDITOR", str(editor))
    git("config", "core.commentChar", ";")
    (repository / FTRACE).write_text(f"// {'long ' * 40}\n")
    done = git("commit", "-q", "-v", "-a")  # the diff stands behind scissors
    assert (done.returncode, done.stderr) == (0, "")
    git("config", "core.commentChar", "#")
    done = git("commit", "-q", "-v", "--amend")
    assert "GP504: a line of " in done.stderr


def test_what_starts_a_comment(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert comment_mark(b"") == "#"
    git("config", "core.commentChar", "auto")
    assert comment_mark(b"# 1\n\n; Please enter\n") == ";"
    assert comment_mark(b"text\n") == "#"
    git("config", "--unset", "core.commentChar")
    monkeypatch.setenv("GIT_EDITOR", ":")
    assert comment_mark(b"# 1\n") == ""
    git("config", "commit.cleanup", "strip")
    assert comment_mark(b"# 1\n") == "#"
    git("config", "commit.cleanup", "verbatim")
    monkeypatch.delenv("GIT_EDITOR")
    assert comment_mark(b"# 1\n") == ""


def validated(repository: Path, *texts: str, headers: str = "") -> subprocess.CompletedProcess[str]:
    """Call the hook as git send-email does: in the top directory, with the mail and its headers."""
    folder = repository.parent / "out"
    folder.mkdir(exist_ok=True)
    (folder / "mail").write_text(texts[0])
    files = [str(folder / "mail")]
    if headers:
        (folder / "headers").write_text(headers)
        files.append(str(folder / "headers"))
    env = os.environ | {"GIT_SENDEMAIL_FILE_COUNTER": "1", "GIT_SENDEMAIL_FILE_TOTAL": "2"}
    hook = hooks(repository) / "sendemail-validate"
    return subprocess.run([hook, *files], cwd=repository, env=env, capture_output=True, text=True, check=False)


def test_git_send_email(run: Run, repository: Path) -> None:
    run("hook", "install", "sendemail-validate")
    good = mail(edited(FTRACE, ("// toy", "// a toy")))
    bad = mail(edited(BPF, ("NINSNS 2", "NINSNS 4")))
    done = validated(repository, good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = validated(repository, bad, headers="From: A <a@example.org>\n")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"{BPF}:1: error: GP511: RV_FENTRY_NINSNS is 16 bytes")


def test_mails_that_are_no_patches(run: Run, repository: Path) -> None:
    run("hook", "install", "sendemail-validate")
    cover = mail(subject="[PATCH v2 00/12] riscv: x").partition("---\n arch")[0]
    done = validated(repository, cover)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = validated(repository, cover.replace(" 00/12", ""))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("no diff in it, so nothing was checked\n")


def test_a_patch_for_another_tree(run: Run, repository: Path) -> None:
    run("hook", "install", "sendemail-validate")
    other = mail(edited(MAKEFILE, ("norelro", "relro"), text="norelro\n"))
    done = validated(repository, other)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{MAKEFILE}:1: note: GP510: the hunk at line 14 of the patch does not apply")
    assert "so what it makes of the source was not checked" in done.stderr


def test_the_sender_is_the_author_of_a_patch_that_names_none(run: Run, repository: Path) -> None:
    run("hook", "install", "sendemail-validate")
    text = mail(edited(FTRACE, ("// toy", "// a toy")), body="Text.\n\nReviewed-by: A <a@example.org>\n")
    text = text.replace("From: A. Hacker <a@example.org>\n", "")
    assert validated(repository, text).returncode == 0
    done = validated(repository, text, headers="To: b@example.org\nFrom: A <a@example.org>\n")
    assert (done.returncode, "GP503" in done.stdout) == (1, True)


def test_without_genpatch(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("hook", "install", "sendemail-validate")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = validated(repository, "")
    assert done.returncode == 1
    assert done.stderr.startswith("genpatch: not found; to do without it remove ")


def test_options_of_the_hook(run: Run, repository: Path) -> None:
    for arguments, said in (
        (("--hook=pre-push", "x"), "--hook 'pre-push': expected sendemail-validate"),
        (("--hook=commit-msg", "x"), "which is asked for with --commit-msg FILE"),
        (("--hook=sendemail-validate",), "--hook=sendemail-validate: expected one file, got 0"),
        (("--smtp-headers", "x", "y"), "--smtp-headers goes with --hook=sendemail-validate"),
    ):
        ran = run("check", *arguments)
        assert (ran.status, ran.out, said in ran.err) == (2, "", True)


def test_hooks_for_pre_commit(run: Run) -> None:
    manifest = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text()
    entries = [line.split()[1:] for line in manifest.splitlines() if line.strip().startswith("entry: ")]
    assert [" ".join(entry) for entry in entries] == ["genpatch check", "genpatch check --commit-msg", "genpatch audit"]
    for _, verb, *options in entries:
        said = run(verb, "--help").out
        assert all(option in said for option in options)


def test_pre_commit_takes_the_manifest() -> None:
    program = shutil.which("pre-commit") or shutil.which("pre-commit", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("pre-commit is not installed: nobody has validated .pre-commit-hooks.yaml")
    command = (program, "validate-manifest", str(Path(__file__).parents[2] / ".pre-commit-hooks.yaml"))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_alone_it_says_what_there_is() -> None:
    done = subprocess.run([sys.executable, "-m", "genpatch", "hook"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "uninstall" in done.stdout
