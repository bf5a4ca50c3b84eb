# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing a series: all of it or nothing, and a repository whose work tree does not notice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genpatch.emit import write
from genpatch.emit.errors import EmitError
from genpatch.emit.run import Series, find_recipe, make_series
from genpatch.emit.tree import Tree, open_tree
from genpatch.emit.write import in_directory, in_mailbox, make_commits, set_branch, write_files
from tests.emit.trees import git, repository, toy

NAME = "0001-riscv-ftrace-compare-auipc-before-a-near-target-is-c.patch"


def series(tree: Tree, **options: bool) -> Series:
    return make_series(tree, find_recipe("hi20-check"), **options)  # type: ignore[arg-type]


def make_branch(tree: Tree, made: Series, branch: str, *, force: bool = False) -> str:
    commit = make_commits(tree, made)
    set_branch(tree, made, branch, commit, force=force)
    return commit


def everything(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_a_directory(tmp_path: Path) -> None:
    made = series(open_tree(toy(tmp_path / "t")))
    files = in_directory(made, tmp_path / "new" / "out")
    write_files(files, directory=tmp_path / "new" / "out")
    write_files(files, directory=tmp_path / "new" / "out")
    assert everything(tmp_path / "new") == {f"out/{NAME}": made.mails[0].text.encode()}


def test_a_mailbox_and_its_cover(tmp_path: Path) -> None:
    made = series(open_tree(toy(tmp_path / "t")), with_cover=True)
    write_files(in_mailbox(made, tmp_path / "m"))
    assert made.letter is not None
    assert (tmp_path / "m").read_text() == made.mails[0].text
    assert (tmp_path / "m.cover").read_text() == made.letter.text


def test_other_content_stays(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine\n")
    with pytest.raises(EmitError, match=r"/b: exists with other content; --force replaces it$"):
        write_files({tmp_path / "a": "1\n", tmp_path / "b": "2\n"}, directory=tmp_path)
    assert everything(tmp_path) == {"b": b"mine\n"}
    write_files({tmp_path / "a": "1\n", tmp_path / "b": "2\n"}, directory=tmp_path, force=True)
    assert everything(tmp_path) == {"a": b"1\n", "b": b"2\n"}


def test_links_and_directories_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("elsewhere")
    (tmp_path / "b").mkdir()
    for name in "ab":
        with pytest.raises(EmitError, match=r"not a file of its own, it is not replaced$"):
            write_files({tmp_path / name: "1\n"}, directory=tmp_path, force=True)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x\n")
    with pytest.raises(EmitError, match=r"Not a directory|not a directory"):
        write_files({tmp_path / "file" / "out" / "a": "1\n"}, directory=tmp_path / "file" / "out")
    with pytest.raises(EmitError, match=r"No such file or directory$"):
        write_files({tmp_path / "none" / "m": "1\n"})
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "b":
            raise OSError(28, os.strerror(28))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EmitError, match=r"/b: No space left on device$"):
        write_files({tmp_path / "o/p/a": "1\n", tmp_path / "o/p/b": "2\n"}, directory=tmp_path / "o/p")
    assert everything(tmp_path) == {"file": b"x\n"}
    assert not (tmp_path / "o").exists()


def test_a_directory_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    monkeypatch.setattr(write.os, "access", lambda *_: False)  # whoever runs the tests may write anywhere
    with pytest.raises(EmitError, match=r"/out: Permission denied$"):
        write_files({tmp_path / "out" / "a": "1\n"}, directory=tmp_path / "out")
    assert everything(tmp_path) == {}


def test_a_branch(tmp_path: Path) -> None:
    tree = open_tree(repository(toy(tmp_path)))
    before = (everything(tmp_path / ".git" / "refs"), (tmp_path / ".git/index").read_bytes(), git(tmp_path, "status"))
    made = series(tree)
    commit = make_branch(tree, made, "topic/x")
    assert git(tmp_path, "rev-parse", "topic/x").strip() == commit
    assert git(tmp_path, "log", "-1", "--format=%an|%at|%ct|%s", commit).strip() == (
        f"{made.identity.split(' <')[0]}|1000000000|1000000000|{made.patches[0].subject}"
    )
    assert git(tmp_path, "rev-parse", f"{commit}^", "main").split() == [tree.head] * 2
    change = made.patches[0].changes[0]
    assert git(tmp_path, "show", f"{commit}:{change.path}") == change.new
    assert git(tmp_path, "diff", "--name-only", "main", commit).split() == [change.path]
    git(tmp_path, "update-ref", "-d", "refs/heads/topic/x")
    after = (everything(tmp_path / ".git" / "refs"), (tmp_path / ".git/index").read_bytes(), git(tmp_path, "status"))
    assert after == before
    assert make_branch(tree, made, "again") == commit


def test_a_branch_gives_what_git_am_gives(tmp_path: Path) -> None:
    tree = open_tree(repository(toy(tmp_path)))
    made = series(tree)
    commit = make_branch(tree, made, "x")
    git(tmp_path, "am", "-q", stdin=made.mails[0].text)
    assert git(tmp_path, "rev-parse", "HEAD^{tree}", f"{commit}^{{tree}}").split()[0::2] == (
        git(tmp_path, "rev-parse", "HEAD^{tree}").split()
    )
    assert git(tmp_path, "log", "-1", "--format=%B") == git(tmp_path, "log", "-1", "--format=%B", commit)
    assert git(tmp_path, "diff", "HEAD", commit) == ""


@pytest.mark.parametrize(
    ("branch", "force", "why"),
    [
        ("there", False, "--branch there: exists; --force moves it"),
        ("main", True, "--branch main: is checked out, it is not moved"),
        ("a..b", False, "--branch 'a..b': not a name for a branch"),
        ("-x", False, "--branch '-x': not a name for a branch"),
    ],
)
def test_branches_that_are_refused(tmp_path: Path, branch: str, force: bool, why: str) -> None:
    tree = open_tree(repository(toy(tmp_path)))
    git(tmp_path, "branch", "there")
    with pytest.raises(EmitError) as caught:
        make_branch(tree, series(tree), branch, force=force)
    assert str(caught.value) == why
    assert git(tmp_path, "rev-parse", "there").strip() == tree.head


def test_a_branch_is_moved_when_asked(tmp_path: Path) -> None:
    tree = open_tree(repository(toy(tmp_path)))
    git(tmp_path, "branch", "there")
    commit = make_branch(tree, series(tree), "there", force=True)
    assert git(tmp_path, "rev-parse", "there").strip() == commit


def test_no_branch_without_a_repository(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path))
    with pytest.raises(EmitError, match=r"--branch: not a git work tree with a commit$"):
        set_branch(tree, series(tree), "x", "0" * 40)


def test_hooks_and_filters_do_not_run(tmp_path: Path) -> None:
    root = toy(tmp_path / "t")
    (root / ".gitattributes").write_text("* filter=trap text=auto eol=crlf\n")
    repository(root)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    git(root, "config", "filter.trap.clean", str(trap))
    git(root, "config", "commit.gpgSign", "true")
    git(root, "config", "gpg.program", str(trap))
    hook = root / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(trap.read_text())
    hook.chmod(0o755)
    tree = open_tree(root)
    made = series(tree)
    commit = make_branch(tree, made, "x")
    assert not (tmp_path / "sprung").exists()
    hook.unlink()
    change = made.patches[0].changes[0]
    assert git(root, "cat-file", "blob", f"{commit}:{change.path}") == change.new
