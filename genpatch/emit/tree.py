# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel source tree as it lies on disk: read, never changed, and nothing of it is executed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from .errors import EmitError

__all__ = ["Tree", "blob_id", "open_tree"]

MOST_BYTES = 4 << 20
_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*([\w.+~-]*)[ \t]*$", re.MULTILINE)
# No hook, monitor, helper or fetch of the repository's configuration may run.
_GIT_QUIET = tuple(
    word
    for setting in (
        "core.fsmonitor=false",
        f"core.hooksPath={os.devnull}",
        "core.splitIndex=false",
        "protocol.allow=never",
        "user.useConfigOnly=true",
        "i18n.commitEncoding=utf-8",
        "log.showSignature=false",
    )
    for word in ("-c", setting)
)
# What would make git look at another repository than the tree's.
_ELSEWHERE = frozenset(
    f"GIT_{name}"
    for name in (
        "DIR",
        "WORK_TREE",
        "INDEX_FILE",
        "COMMON_DIR",
        "OBJECT_DIRECTORY",
        "ALTERNATE_OBJECT_DIRECTORIES",
        "NAMESPACE",
        "PREFIX",
        "EXTERNAL_DIFF",
        "CONFIG_PARAMETERS",
        "CONFIG_COUNT",
        "TRACE",
        "TRACE2",
        "TRACE2_EVENT",
        "TRACE2_PERF",
    )
)


def blob_id(data: bytes) -> str:
    """Return the name that git gives to a file's content: 40 hexadecimal digits (SHA-1)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Tree:
    """One tree.

    Args:
        root: its top directory.
        version: as its Makefile has it: ``6.12.107``.
        base: the commit whose files are read; empty for those that lie on disk.
    """

    root: Path
    version: str
    base: str = ""
    _texts: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    _entries: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    def has(self, path: str) -> bool:
        """Tell whether a file is there."""
        return bool(self._committed(path)) if self.base else self._inside(path).is_file()

    def read(self, path: str) -> str:
        """Return a file's text.

        Raises:
            EmitError: it is not there, too large, not UTF-8, has no line ends of Unix or leads out of the tree.
        """
        if path not in self._texts:
            try:
                text = self._bytes(path).decode("utf-8")
            except UnicodeDecodeError:
                raise EmitError(f"{path}: not UTF-8") from None
            if "\r" in text or "\0" in text:
                raise EmitError(f"{path}: carriage returns or NUL, expected source code")
            self._texts[path] = text
        return self._texts[path]

    def mode(self, path: str) -> str:
        """Return a file's mode as git writes it."""
        if self.base:
            return self._committed(path)[0]
        return "100755" if self._inside(path).stat().st_mode & 0o100 else "100644"

    def _inside(self, path: str) -> Path:
        """Return where a file of the tree is.

        Raises:
            EmitError: the path, or a link on it, leads out of the tree.
        """
        if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise EmitError(f"{path}: not a path in a tree")
        file = self.root / path
        try:
            is_inside = file.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):  # links in a circle
            is_inside = False
        if not is_inside:
            raise EmitError(f"{path}: leads out of {self.root}")
        return file

    def _committed(self, path: str) -> tuple[str, ...]:
        """Return (mode, blob, size in bytes) of a file of the base; nothing if it has no such file.

        Raises:
            EmitError: the path is none.
        """
        if not path or path.startswith((":", "/")) or ".." in PurePosixPath(path).parts:
            raise EmitError(f"{path}: not a path in a tree")
        if path not in self._entries:
            listed = self.git("--literal-pathspecs", "ls-tree", "-l", "-z", "--full-tree", self.base, "--", path) or ""
            words, _, name = listed.rstrip("\0").partition("\t")
            mode, kind, blob, size = words.split() if name == path else ("", "", "", "")
            self._entries[path] = (mode, blob, size) if kind == "blob" and mode.startswith("100") else ()
        return self._entries[path]

    def _committed_bytes(self, path: str) -> bytes:
        entry = self._committed(path)
        if not entry:
            raise EmitError(f"{self.root}: {path}: {self.base[:12]} has no such file")
        if int(entry[2]) > MOST_BYTES:
            raise EmitError(f"{path}: more than {MOST_BYTES:,} bytes, expected source code")
        done = self._git(("cat-file", "blob", entry[1]), b"", {}, 30)
        if done is None or done.returncode:
            raise EmitError(f"{self.root}: {path}: git does not give it")
        return done.stdout

    def _bytes(self, path: str) -> bytes:
        if self.base:
            return self._committed_bytes(path)
        file = self._inside(path)
        try:
            if file.exists() and not file.is_file():
                raise EmitError(f"{self.root}: {path}: not a file")
            with file.open("rb") as stream:
                data = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise EmitError(f"{self.root}: {path}: {error.strerror or error}") from None
        if len(data) > MOST_BYTES:
            raise EmitError(f"{path}: more than {MOST_BYTES:,} bytes, expected source code")
        return data

    def git(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, timeout: float = 30
    ) -> str | None:
        """Return what a git command prints; None if it fails or there is no git."""
        done = self._git(arguments, stdin, env or {}, timeout)
        return done.stdout.decode("utf-8", "replace") if done is not None and done.returncode == 0 else None

    def _git(
        self, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes] | None:
        command = ("git", *_GIT_QUIET, "-C", str(self.root), *arguments)
        known = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        known |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **env}
        try:
            return subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=known, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None

    @cached_property
    def is_git(self) -> bool:
        """Whether it is the top of a git work tree.

        Raises:
            EmitError: it is one, but git does not read it.
        """
        if not (self.root / ".git").exists():
            return False
        done = self._git(("rev-parse", "--git-dir"), b"", {}, 30)
        if done is None or done.returncode:
            said = done.stderr.decode("utf-8", "replace").split("\n")[0] if done is not None else "git is not installed"
            raise EmitError(f"{self.root}: a git work tree that git does not read: {said}")
        return True

    @cached_property
    def head(self) -> str:
        """The base, or the commit that is checked out; empty outside of git and before the first commit."""
        if self.base:
            return self.base
        return (self.git("rev-parse", "--verify", "-q", "HEAD^{commit}") or "").strip() if self.is_git else ""

    @cached_property
    def head_date(self) -> int | None:
        """When the commit that is checked out was made [seconds since 1970]; None outside of git."""
        found = (self.git("show", "-s", "--no-patch", "--format=%ct", self.head) or "").strip() if self.head else ""
        return int(found) if found.isdecimal() else None

    @cached_property
    def public_base(self) -> str:
        """The commit that is checked out, if a version tag or a remote branch has it; else empty."""
        if not self.head:
            return ""
        names = ("refs/tags/v[0-9]*", "refs/remotes")
        listed = self.git("for-each-ref", "--count=1", f"--points-at={self.head}", *names)
        listed = listed or self.git("for-each-ref", "--count=1", f"--contains={self.head}", *names, timeout=1)
        return self.head if listed and listed.strip() else ""

    def knows_commit(self, commit: str, subject: str) -> bool:
        """Tell whether the history here has a commit, with this subject."""
        if not self.head:
            return False
        found = self.git("show", "-s", "--no-patch", "--format=%s", f"{commit}^{{commit}}", "--")
        return found is not None and found.strip() == subject

    def changed(self, paths: Sequence[str]) -> list[str]:
        """Return which files are not what the last commit has; none outside of git. No filter of the tree is run."""
        if not self.head or self.base:
            return []
        listed = self.git("ls-tree", "-z", "--full-tree", "HEAD", "--", *paths)
        if listed is None:
            raise EmitError(f"{self.root}: git does not list the last commit")
        known = {entry.partition("\t")[2]: entry.split()[2] for entry in listed.split("\0") if entry}
        return [path for path in paths if known.get(path) != (blob_id(self._bytes(path)) if self.has(path) else None)]


def open_tree(path: Path, base: str = "") -> Tree:
    """Return the tree at a path.

    Args:
        base: a commit, in any way that git names one, whose files are read in place of those on disk.

    Raises:
        EmitError: it is no kernel tree, or has no such commit.
    """
    if not path.is_dir():
        raise EmitError(f"{path}: no directory, expected a kernel source tree")
    commit = _commit(Tree(path, ""), base) if base else ""
    tree = Tree(path, "", commit)
    where = f"{path}: {base}" if base else str(path)
    is_riscv = tree.has("arch/riscv/Makefile") if base else (path / "arch/riscv").is_dir()
    if not (tree.has("Makefile") and tree.has("Kconfig") and is_riscv):
        raise EmitError(f"{where}: no kernel source tree (expected Makefile, Kconfig and arch/riscv)")
    found = dict(_VERSION.findall(tree.read("Makefile")))
    if not found.get("VERSION") or not found.get("PATCHLEVEL"):
        raise EmitError(f"{path}: its Makefile names no kernel version")
    version = ".".join(found[key] for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if found.get(key))
    return Tree(path, version + found.get("EXTRAVERSION", ""), commit)


def _commit(tree: Tree, name: str) -> str:
    """Return the commit that a name means.

    Raises:
        EmitError: there is none.
    """
    if not tree.is_git:
        raise EmitError(f"{tree.root}: --base {name!r}: not a git work tree")
    found = None
    if not name.startswith("-"):
        found = tree.git("rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}")
    if not found:
        raise EmitError(f"{tree.root}: --base {name!r}: no such commit")
    return found.strip()
