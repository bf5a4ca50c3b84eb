# SPDX-License-Identifier: GPL-2.0-or-later
"""The work directory: logs, what is done already, and a lock, so that a proof can be stopped and resumed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from .errors import ProveError
from .model import StageResult

__all__ = ["Work", "digest_of", "key_of", "open_work"]

_MARK = "genpatch-prove"
_OWN = ("src", "out", "base", "logs", "state.json", "touched.json")
_FORBIDDEN = frozenset(" \t\n:;'\"\\$&|<>*?()#%=")
_SCHEMA = 1


def key_of(*parts: object) -> str:
    """Return what names some inputs: 64 hexadecimal digits."""
    return sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()


@dataclass
class Work:
    """A work directory that this process alone uses.

    Args:
        root: of it; ``src`` is the copy, ``out`` and ``base`` what is built with and without the series.
        done: record of each stage that ran to its end, by ``with/build``: its key and its result.
    """

    root: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """The copy of the tree."""
        return self.root / "src"

    def out(self, *, baseline: bool) -> Path:
        """Where a kernel is built."""
        return self.root / ("base" if baseline else "out")

    def log(self, name: str, *, baseline: bool) -> Path:
        """Return the place of a new log; an old one is gone."""
        path = self.root / "logs" / f"{'without-' if baseline else ''}{name}"
        path.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()
        return path

    def kept(self, name: str, key: str) -> StageResult | None:
        """Return what a stage came to on the same inputs; None if it was not done."""
        record = self.done.get(name)
        if record is None or record.get("key") != key:
            return None
        try:
            return StageResult.from_json(record["result"]).as_kept()
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, name: str, key: str, result: StageResult) -> None:
        """Remember what a stage came to.

        Raises:
            ProveError: it cannot be written.
        """
        self.done[name] = {"key": key, "result": result.as_json()}
        self._save()

    def forget(self, *names: str) -> None:
        """Forget stages that are about to be done again."""
        if any(self.done.pop(name, None) is not None for name in names):
            self._save()

    def seal(self, file: Path, key: str) -> None:
        """Remember what a stage made."""
        file.with_name(f".{file.name}.proved").write_text(f"{key} {digest_of(file)}", encoding="ascii")

    def sealed(self, file: Path, key: str) -> bool:
        """Tell whether a file is what a stage made of the same inputs."""
        try:
            return file.with_name(f".{file.name}.proved").read_text(encoding="ascii") == f"{key} {digest_of(file)}"
        except (OSError, ValueError):
            return False

    def drop_builds(self) -> None:
        """Take away what was built."""
        for folder in ("out", "base"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        self.done.clear()
        self._save()

    def restart(self) -> None:
        """Take away everything that is genpatch's, and nothing else."""
        for name in _OWN:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.done.clear()

    def _save(self) -> None:
        file = self.root / "state.json"
        try:
            waiting = file.with_name(".state.json.new")
            waiting.write_text(json.dumps({"schema": _SCHEMA, "done": self.done}, indent=1), encoding="utf-8")
            waiting.replace(file)
        except OSError as error:
            raise ProveError(f"{file}: {error.strerror or error}") from None

    def load(self) -> None:
        """Read what is done; what is not understood is not done."""
        try:
            found = json.loads((self.root / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        done = found.get("done") if isinstance(found, dict) and found.get("schema") == _SCHEMA else None
        if isinstance(done, dict):
            self.done = {str(name): record for name, record in done.items() if isinstance(record, dict)}


def digest_of(file: Path) -> str:
    """Return what names a file's content: 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def open_work(root: Path, tree: Path) -> Iterator[Work]:
    """Open a work directory, made if it is missing, for this process alone.

    Raises:
        ProveError: it lies in the tree or around it, holds something else, is in use, or cannot be written.
    """
    root, tree = root.absolute(), tree.resolve()
    if _FORBIDDEN & set(str(root)):
        raise ProveError(f"{root}: a kernel cannot be built under this name; choose a work directory with a plain one")
    if root.resolve().is_relative_to(tree) or tree.is_relative_to(root.resolve()):
        raise ProveError(f"{root}: the work directory must lie outside of the tree")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / _MARK).exists() and any(root.iterdir()):
            raise ProveError(f"{root}: not empty, and no work directory of genpatch prove; choose another")
        (root / _MARK).touch()
        handle = os.open(root / _MARK, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ProveError(f"{root}: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ProveError(f"{root}: another genpatch prove works there") from None
        work = Work(root)
        work.load()
        yield work
    finally:
        os.close(handle)
