# SPDX-License-Identifier: GPL-2.0-or-later
"""The copy of a tree: what is in it, what is not, and that the tree never notices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genpatch.emit.tree import open_tree
from genpatch.prove.errors import ProveError
from genpatch.prove.scratch import Scratch
from tests.emit.trees import FILES, FTRACE_C, git, repository
from tests.prove.fakes import tree

FTRACE = "arch/riscv/kernel/ftrace.c"


def scratch(tmp_path: Path) -> Scratch:
    (tmp_path / "w").mkdir(exist_ok=True)
    return Scratch(open_tree(tmp_path / "t"), tmp_path / "w" / "src")


def state(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return inode, mode, time and content of everything below a directory."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            stat = path.lstat()
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(root))] = (stat.st_ino, stat.st_mode, stat.st_mtime_ns, content)
    return found


def test_the_copy_is_the_tree_and_shares_nothing_with_it(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    (root / "scripts").mkdir()
    (root / "scripts" / "link").symlink_to("../Makefile")
    (root / "scripts" / "run.sh").write_text("#!/bin/sh\n")
    (root / "scripts" / "run.sh").chmod(0o555)
    before = state(root)
    made = scratch(tmp_path)
    assert made.refresh(lambda text: None) is False
    copy = state(tmp_path / "w" / "src")
    assert {path: each[1:] for path, each in copy.items() if path != "scripts/link"} == {
        path: each[1:] for path, each in before.items() if path != "scripts/link"
    }
    assert (tmp_path / "w" / "src" / "scripts" / "link").readlink() == Path("../Makefile")
    assert not {each[0] for each in before.values()} & {each[0] for each in copy.values()}
    for path in (tmp_path / "w" / "src").rglob("*"):  # the worst that a build can do: write into every file
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)
            path.write_bytes(b"overwritten\n")
    assert state(root) == before


def test_put_changes_what_differs_and_puts_back_the_rest(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    before = state(root)
    made = scratch(tmp_path)
    made.refresh(lambda text: None)
    made.put({FTRACE: "// one\n", "Kconfig": None, "arch/riscv/new/a.c": "int a;\n"})
    copy = tmp_path / "w" / "src"
    assert (copy / FTRACE).read_text() == "// one\n"
    assert not (copy / "Kconfig").exists()
    assert (copy / "arch/riscv/new/a.c").read_text() == "int a;\n"
    inode = (copy / FTRACE).stat().st_ino
    made.put({FTRACE: "// one\n"})
    assert (copy / FTRACE).stat().st_ino == inode, (
        "a file that is right already is not touched: make would build it again"
    )
    assert (copy / "Kconfig").read_text() == FILES["Kconfig"]
    assert not (copy / "arch/riscv/new/a.c").exists()
    again = scratch(tmp_path)
    assert again.refresh(lambda text: None) is False, "what a series changed is no change of the tree"
    assert (copy / FTRACE).read_text() == "// one\n"
    again.put({})
    assert (copy / FTRACE).read_text() == FTRACE_C
    assert state(root) == before


def test_a_tree_that_changes_is_copied_again(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    first = scratch(tmp_path)
    first.refresh(lambda text: None)
    (root / FTRACE).write_text("// edited\n")
    (root / "Kconfig").unlink()
    (root / "more").write_text("x\n")
    (root / "Kconfig").write_text("mainmenu\n")
    second = scratch(tmp_path)
    assert second.identity != first.identity
    assert second.refresh(lambda text: None) is True
    assert (tmp_path / "w/src" / FTRACE).read_text() == "// edited\n"
    assert (tmp_path / "w/src/more").is_file()
    (root / "more").unlink()
    assert scratch(tmp_path).refresh(lambda text: None) is True
    assert not (tmp_path / "w/src/more").exists()


def test_a_copy_that_was_interrupted_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "t")
    made = scratch(tmp_path)
    real = Scratch._copy
    left = [3]

    def stopped(self: Scratch, path: str, entry: object) -> bool:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(self, path, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(Scratch, "_copy", stopped)
    with pytest.raises(KeyboardInterrupt):
        made.refresh(lambda text: None)
    monkeypatch.setattr(Scratch, "_copy", real)
    assert scratch(tmp_path).refresh(lambda text: None) is False, "nothing was built of half a copy"
    assert set(state(tmp_path / "w" / "src")) == set(FILES)


def test_of_a_git_tree_what_git_ignores_stays_behind(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    (root / ".gitignore").write_text("*.o\n.config\n")
    repository(root)
    (root / "a.o").write_text("object\n")
    (root / ".config").write_text("CONFIG_X=y\n")
    (root / "draft.c").write_text("int x;\n")
    (root / FTRACE).write_text("// not committed\n")
    before = state(root)
    scratch(tmp_path).refresh(lambda text: None)
    copy = tmp_path / "w" / "src"
    assert set(state(copy)) == {*FILES, ".gitignore", "draft.c"}
    assert (copy / FTRACE).read_text() == "// not committed\n"
    assert state(root) == before, "nothing was written into .git either"
    git(root, "rm", "-q", "--cached", FTRACE)
    (root / FTRACE).unlink()
    assert FTRACE not in scratch(tmp_path).listing


def test_a_tree_that_was_built_in_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    (root / ".config").write_text("CONFIG_X=y\n")
    with pytest.raises(ProveError) as caught:
        scratch(tmp_path).refresh(lambda text: None)
    assert str(caught.value) == (
        f"{root}: a kernel was built in it (.config); 'make mrproper' there, or name a clean tree"
    )


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "arch/../../x"])
def test_a_link_out_of_the_tree_is_refused(tmp_path: Path, target: str) -> None:
    root = tree(tmp_path / "t")
    (root / "away").symlink_to(target)
    with pytest.raises(ProveError, match="away: a link that leads out of the tree"):
        scratch(tmp_path).refresh(lambda text: None)


def test_a_patch_does_not_go_through_a_link(tmp_path: Path) -> None:
    root = tree(tmp_path / "t")
    (root / "short").symlink_to("arch/riscv/kernel")
    made = scratch(tmp_path)
    made.refresh(lambda text: None)
    with pytest.raises(ProveError, match=r"short/ftrace\.c: behind short, which is no directory"):
        made.put({"short/ftrace.c": "x"})
    assert (tmp_path / "w/src" / FTRACE).read_text() == FTRACE_C
