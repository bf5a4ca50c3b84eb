# SPDX-License-Identifier: GPL-2.0-or-later
"""A series on its way out: a directory, a mailbox, a branch. All of it or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .errors import EmitError
from .run import Series
from .tree import Tree

__all__ = ["branch_position", "in_directory", "in_mailbox", "make_commits", "set_branch", "write_files"]


def in_directory(series: Series, directory: Path) -> dict[Path, str]:
    """Return the files of ``git format-patch -o``."""
    mails = [*([series.letter] if series.letter else []), *series.mails]
    return {directory / mail.name: mail.text for mail in mails}


def in_mailbox(series: Series, mailbox: Path) -> dict[Path, str]:
    """Return a mailbox for ``git am``; the letter stands beside it, where git does not stumble over it."""
    files = {mailbox: "".join(mail.text for mail in series.mails)}
    if series.letter is not None:
        files[mailbox.with_name(f"{mailbox.name}.cover")] = series.letter.text
    return files


def write_files(files: Mapping[Path, str], *, directory: Path | None = None, force: bool = False) -> None:
    """Write files whole: under other names first, then all are renamed.

    Args:
        files: by path.
        directory: made if it is missing, and taken away again if the files cannot be written.
        force: replace files that hold something else.

    Raises:
        EmitError: one cannot be written, or stands there with other content; nothing is left behind.
    """
    made_directories: list[Path] = []
    waiting: dict[Path, Path] = {}
    done: list[Path] = []
    path = directory or Path()
    try:
        if directory is not None:
            made_directories = _make(directory)
        for path, text in files.items():
            if _is_written(path, text, force):
                continue
            handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
            waiting[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
            waiting[path].chmod(0o666 & ~_umask())
        for path, temporary in waiting.items():
            is_new = not path.exists()
            temporary.replace(path)
            done += [path] if is_new else []
        waiting = {}
    except BaseException as error:
        for left in (*waiting.values(), *done):
            left.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else has put something there
            for left in reversed(made_directories):
                left.rmdir()
        if not isinstance(error, OSError):
            raise
        raise EmitError(f"{path}: {error.strerror or error}") from error


def _make(directory: Path) -> list[Path]:
    """Make a directory and those above it; return what was made."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
    if not directory.is_dir():
        raise EmitError(f"{directory}: not a directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise EmitError(f"{directory}: Permission denied")
    return missing[::-1]


def _is_written(path: Path, text: str, force: bool) -> bool:
    """Tell whether a file holds a text already.

    Raises:
        EmitError: it holds something else, and may not be replaced.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_symlink() or not path.is_file():
        raise EmitError(f"{path}: not a file of its own, it is not replaced")
    if path.read_bytes() == text.encode():
        return True
    if not force:
        raise EmitError(f"{path}: exists with other content; --force replaces it")
    return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def make_commits(tree: Tree, series: Series) -> str:
    """Make commits of a series on top of the tree's last one, and return the last; no branch has them yet.

    Raises:
        EmitError: git does not make them.
    """
    name, _, address = series.identity.removesuffix(">").rpartition(" <")
    when = f"{series.date} +0000"
    with tempfile.TemporaryDirectory() as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address, f"GIT_{role}_DATE": when}
        commit = tree.head
        _git(tree, "read-tree", commit, env=env)
        for patch in series.patches:
            for change in patch.changes:
                if not change.new:
                    _git(tree, "update-index", "--force-remove", "--", change.path, env=env)
                    continue
                blob = _git(tree, "hash-object", "-w", "--stdin", "--no-filters", stdin=change.new.encode(), env=env)
                _git(tree, "update-index", "--add", "--cacheinfo", f"{change.mode},{blob},{change.path}", env=env)
            made = _git(tree, "write-tree", env=env)
            text = f"{patch.subject}\n\n{patch.body}".encode()
            commit = _git(tree, "commit-tree", "--no-gpg-sign", "-p", commit, "-F", "-", made, stdin=text, env=env)
    return commit


def set_branch(tree: Tree, series: Series, branch: str, commit: str, *, force: bool = False) -> None:
    """Let a branch of the tree's repository name a commit; work tree, index and HEAD stay as they are.

    Args:
        force: move it if it exists.

    Raises:
        EmitError: the name is none for a branch, or it exists, or was made in the meantime.
    """
    old = branch_position(tree, branch, force=force)
    _git(tree, "update-ref", "-m", f"genpatch emit {series.recipe.name}", f"refs/heads/{branch}", commit, old)


def branch_position(tree: Tree, branch: str, *, force: bool) -> str:
    """Return where a branch is that is to be made, zeros if it is not there.

    Raises:
        EmitError: it cannot be made.
    """
    if not tree.head:
        raise EmitError(f"{tree.root}: --branch: not a git work tree with a commit")
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or branch == "HEAD" or tree.git("check-ref-format", ref) is None:
        raise EmitError(f"--branch {branch!r}: not a name for a branch")
    old = (tree.git("rev-parse", "--verify", "-q", ref) or "").strip()
    if not old:
        return "0" * 40
    if not force:
        raise EmitError(f"--branch {branch}: exists; --force moves it")
    used = tree.git("worktree", "list", "--porcelain") or ""
    if f"branch {ref}" in used.split("\n"):
        raise EmitError(f"--branch {branch}: is checked out, it is not moved")
    return old


def _git(tree: Tree, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    found = tree.git(*arguments, stdin=stdin, env=env, timeout=120)
    if found is None:
        raise EmitError(f"{tree.root}: git {arguments[0]} failed; no branch was made")
    return found.strip()
