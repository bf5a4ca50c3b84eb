# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree reader: what is a tree, what may be read, what differs from the last commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from genpatch.emit.errors import EmitError
from genpatch.emit.tree import MOST_BYTES, blob_id, open_tree
from tests.emit.trees import MAKEFILE, git, repository, toy


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
    ],
)
def test_blob_id_is_git_s(data: bytes, name: str) -> None:
    assert blob_id(data) == name


@pytest.mark.parametrize(
    ("top", "version"),
    [
        (MAKEFILE, "7.2.13-rc1"),
        ("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 107\nEXTRAVERSION =\n", "6.12.107"),
        ("VERSION = 6\nPATCHLEVEL = 1\n", "6.1"),
    ],
)
def test_the_version_is_the_makefile_s(tmp_path: Path, top: str, version: str) -> None:
    assert open_tree(toy(tmp_path, top=top)).version == version


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(EmitError, match=r"^.*/none: no directory, expected a kernel source tree$"):
        open_tree(tmp_path / "none")
    with pytest.raises(EmitError, match=r"no kernel source tree \(expected Makefile, Kconfig and arch/riscv\)$"):
        open_tree(tmp_path)
    with pytest.raises(EmitError, match=r"its Makefile names no kernel version$"):
        open_tree(toy(tmp_path, top="all:\n"))


@pytest.mark.parametrize("path", ["../x", "/etc/hostname", "a/../../x", ""])
def test_paths_stay_in_the_tree(tmp_path: Path, path: str) -> None:
    tree = open_tree(toy(tmp_path / "t"))
    with pytest.raises(EmitError, match=r"not a path in a tree$"):
        tree.read(path)


def test_links_stay_in_the_tree(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path / "t"))
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "t" / "out").symlink_to("../secret")
    (tmp_path / "t" / "in").symlink_to("Kconfig")
    (tmp_path / "t" / "ring").symlink_to("ring")
    (tmp_path / "t" / "up").symlink_to("..")
    assert tree.read("in") == 'mainmenu "toy"\n'
    for path in ("out", "ring", "up/secret"):
        with pytest.raises(EmitError, match=r"leads out of|Too many levels"):
            tree.read(path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\n", "not UTF-8"),
        (b"a\r\n", "carriage returns or NUL"),
        (b"x" * (MOST_BYTES + 1), "more than 4,194,304 bytes"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    tree = open_tree(toy(tmp_path))
    (tmp_path / "odd").write_bytes(data)
    with pytest.raises(EmitError, match=f"^odd: {why}"):
        tree.read("odd")


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path))
    with pytest.raises(EmitError, match=r"nowhere: No such file or directory$"):
        tree.read("nowhere")
    with pytest.raises(EmitError, match=r"arch: not a file$"):
        tree.read("arch")


def test_changes_since_the_last_commit(tmp_path: Path) -> None:
    tree = open_tree(repository(toy(tmp_path)))
    paths = ["Kconfig", "Makefile", "arch/riscv/Kconfig"]
    assert tree.changed(paths) == []
    (tmp_path / "Kconfig").write_text("other\n")
    (tmp_path / "arch/riscv/Kconfig").unlink()
    assert tree.changed(paths) == ["Kconfig", "arch/riscv/Kconfig"]
    (tmp_path / "new").write_text("x\n")
    assert tree.changed(["new"]) == ["new"]
    assert tree.head_date == 1000000000


def test_nothing_of_the_tree_is_run(tmp_path: Path) -> None:
    repository(toy(tmp_path / "t"))
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    (tmp_path / "t" / ".gitattributes").write_text("* filter=trap\n")
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.process", "diff.external", "gpg.program"):
        git(tmp_path / "t", "config", key, str(trap))
    tree = open_tree(tmp_path / "t")
    (tmp_path / "t" / "Kconfig").write_text("other\n")
    assert tree.changed(["Kconfig"]) == ["Kconfig"]
    assert tree.public_base == ""
    assert not (tmp_path / "sprung").exists()


def test_outside_of_git_nothing_is_known(tmp_path: Path) -> None:
    tree = open_tree(toy(tmp_path))
    assert (tree.head, tree.head_date, tree.public_base, tree.changed(["Kconfig"])) == ("", None, "", [])


def test_another_repository_in_the_environment_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(toy(tmp_path / "other"))
    tree = open_tree(repository(toy(tmp_path / "t", kconfig="config A\n")))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert tree.changed(["arch/riscv/Kconfig"]) == []


def test_a_repository_that_git_refuses(tmp_path: Path) -> None:
    toy(tmp_path)
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(EmitError, match=r"a git work tree that git does not read: fatal: not a git repository"):
        _ = open_tree(tmp_path).head


def test_a_base_is_named_only_if_others_have_it(tmp_path: Path) -> None:
    repository(toy(tmp_path))
    assert open_tree(tmp_path).public_base == ""
    git(tmp_path, "tag", "v7.2.13")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "mine")
    assert open_tree(tmp_path).public_base == ""
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert open_tree(tmp_path).public_base == git(tmp_path, "rev-parse", "HEAD").strip()
    assert open_tree(tmp_path).knows_commit("HEAD", "mine")
    assert not open_tree(tmp_path).knows_commit("HEAD", "theirs")
    assert not open_tree(tmp_path).knows_commit("0123456789ab", "mine")
