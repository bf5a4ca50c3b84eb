# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of a tree that may be patched and built. Nothing in it shares bytes with the tree."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from ..emit.tree import Tree
from .errors import ProveError

__all__ = ["Scratch", "listing_of"]

MOST_ENTRIES = 1_000_000
_CLONE = 0x40049409  # FICLONE: share the blocks until one side is written to
_BUILT = (".config", "include/config/auto.conf", "include/generated/autoconf.h")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or link of a tree: what tells whether it is the same as before.

    Args:
        mode: permissions; 0 of a link.
        size: [bytes].
        mtime: [nanoseconds since 1970]; 0 of a link.
        target: of a link, else empty.
    """

    mode: int
    size: int
    mtime: int
    target: str


def listing_of(tree: Tree) -> dict[str, Entry]:
    """Return what lies in a tree, by path: of a git work tree what git does not ignore, else everything.

    Raises:
        ProveError: it was built in, is too large, or a link leads out of it.
    """
    root = tree.root.resolve()
    found: dict[str, Entry] = {}
    if not tree.is_git and (built := [path for path in _BUILT if (root / path).exists()]):
        raise ProveError(
            f"{tree.root}: a kernel was built in it ({built[0]}); 'make mrproper' there, or name a clean tree"
        )
    for path in _of_git(tree) if tree.is_git else _walk(root):
        if len(found) >= MOST_ENTRIES:
            raise ProveError(f"{tree.root}: more than {MOST_ENTRIES:,} files")
        entry = _entry(root, path)
        if entry is not None:
            found[path] = entry
    return found


def _of_git(tree: Tree) -> Iterator[str]:
    listed = tree.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", timeout=300)
    if listed is None:
        raise ProveError(f"{tree.root}: git does not list its files")
    yield from sorted(set(filter(None, listed.split("\0"))))


def _walk(root: Path) -> Iterator[str]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git":
                        waiting.append(f"{path}/")
                elif entry.name != ".git":
                    yield path


def _entry(root: Path, path: str) -> Entry | None:
    """Return what is at a path; None if that is no file (a file that was deleted, a submodule, a socket)."""
    try:
        found = (root / path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        target = str((root / path).readlink())
        whole = os.path.normpath(os.path.join(root, os.path.dirname(path), target))  # noqa: PTH118, PTH120
        if not Path(whole).is_relative_to(root):
            raise ProveError(f"{path}: a link that leads out of the tree")
        return Entry(0, 0, 0, target)
    if not stat.S_ISREG(found.st_mode):
        return None
    return Entry(stat.S_IMODE(found.st_mode), found.st_size, found.st_mtime_ns, "")


@dataclass
class Scratch:
    """The copy.

    Args:
        tree: what is copied.
        folder: where to; it and ``touched.json`` beside it are this copy's alone.
    """

    tree: Tree
    folder: Path

    @cached_property
    def listing(self) -> dict[str, Entry]:
        """What lies in the tree."""
        return listing_of(self.tree)

    @cached_property
    def identity(self) -> str:
        """What names the tree as it lies there: 64 hexadecimal digits over paths, sizes, modes and times."""
        hashed = sha256()
        for path, entry in sorted(self.listing.items()):
            hashed.update(
                f"{path}\0{entry.mode:o}\0{entry.size}\0{entry.mtime}\0{entry.target}\0".encode("utf-8", "replace")
            )
        return hashed.hexdigest()

    @cached_property
    def size(self) -> int:
        """What the copy takes [bytes], blocks of 4 KiB."""
        return sum(-(-entry.size // 4096) * 4096 for entry in self.listing.values())

    def refresh(self, progress: Callable[[str], None]) -> bool:
        """Make the copy what the tree is, but for the files that series change; tell whether it was another before.

        Raises:
            ProveError: it cannot be written.
        """
        touched = self._touched()
        was_there = self.folder.is_dir() and not (self.folder / ".copying").exists()
        changed = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            marker = self.folder / ".copying"
            if not was_there:
                marker.touch()
            changed += self._remove_extra(touched)
            for number, (path, entry) in enumerate(self.listing.items()):
                if path not in touched and self._copy(path, entry):
                    changed += 1
                    if not changed % 500:
                        progress(f"copying the tree: {number:,} of {len(self.listing):,} files")
            marker.unlink(missing_ok=True)
        except OSError as error:
            raise ProveError(f"{self.folder}: {error.strerror or error}") from None
        return was_there and changed > 0

    def _remove_extra(self, touched: Iterable[str]) -> int:
        known, extra = set(touched) | {".copying"}, 0
        for path in list(_walk(self.folder)):
            if path not in self.listing and path not in known:
                (self.folder / path).unlink()
                extra += 1
        return extra

    def _copy(self, path: str, entry: Entry) -> bool:
        """Copy a file unless it is there already; tell whether it was copied."""
        target = self.folder / path
        if _entry_or_none(target) == entry:
            return False
        _make_room(self.folder, target)
        if entry.target:
            target.symlink_to(entry.target)
            return True
        source = self.tree.root / path
        with source.open("rb") as old, target.open("xb") as new:
            try:
                fcntl.ioctl(new.fileno(), _CLONE, old.fileno())
            except OSError:
                shutil.copyfileobj(old, new, 1 << 20)
        target.chmod(entry.mode | stat.S_IWUSR)
        os.utime(target, ns=(entry.mtime, entry.mtime))
        if entry.mode != entry.mode | stat.S_IWUSR:
            target.chmod(entry.mode)
        return True

    def put(self, texts: Mapping[str, str | None]) -> None:
        """Make the copy the tree with some texts; what earlier calls changed and this one does not is as in the tree.

        Only files that differ are replaced, so that make builds only what must be built.

        Raises:
            ProveError: one cannot be written.
        """
        for path in texts:
            if link := next((each for each in _parents(path) if each in self.listing), ""):
                raise ProveError(f"{path}: behind {link}, which is no directory")
        touched = sorted({*self._touched(), *texts})
        try:
            self._touched_file.write_text(json.dumps(touched), encoding="utf-8")
            for path in touched:
                self._set(path, texts[path] if path in texts else self._original(path))
        except OSError as error:
            raise ProveError(f"{self.folder}: {error.strerror or error}") from None

    def _original(self, path: str) -> bytes | None:
        file = self.tree.root / path
        return file.read_bytes() if path in self.listing and file.is_file() else None

    def _set(self, path: str, text: str | bytes | None) -> None:
        file = self.folder / path
        data = text.encode() if isinstance(text, str) else text
        if data is None:
            with suppress(FileNotFoundError, NotADirectoryError):
                file.unlink()
            return
        if file.is_file() and not file.is_symlink() and file.read_bytes() == data:
            return
        _make_room(self.folder, file)
        mode = self.listing[path].mode if path in self.listing else 0o644
        waiting = file.with_name(f".{file.name[:200]}.new")
        waiting.write_bytes(data)
        waiting.chmod(mode or 0o644)
        waiting.replace(file)

    @property
    def _touched_file(self) -> Path:
        return self.folder.with_name("touched.json")

    def _touched(self) -> tuple[str, ...]:
        try:
            found = json.loads(self._touched_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        return tuple(map(str, found)) if isinstance(found, list) else ()


def _entry_or_none(path: Path) -> Entry | None:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        return Entry(0, 0, 0, str(path.readlink()))
    return Entry(stat.S_IMODE(found.st_mode), found.st_size, found.st_mtime_ns, "")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _make_room(root: Path, file: Path) -> None:
    """Make the directory of a file, and take away what stands where it or its directory is to be."""
    for parent in reversed(file.relative_to(root).parents[:-1]):
        folder = root / parent
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            folder.unlink()
        folder.mkdir(exist_ok=True)
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    elif file.is_symlink() or file.exists():
        file.unlink()
