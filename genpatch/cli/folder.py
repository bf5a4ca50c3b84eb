# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing files whole, one or a directory of them, and leaving nothing behind where that fails."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..report.documents import Document

__all__ = ["folder", "write_all", "write_one", "write_pictures"]


@contextmanager
def folder(path: Path | None) -> Iterator[None]:
    """Make a directory that can be written to, before anything else; it goes again if nothing comes of it.

    Raises:
        InputError: it cannot be.
    """
    made: list[Path] = []
    try:
        if path is not None:
            _make(path, made)
        yield
    finally:
        with suppress(OSError):  # one that holds something stays
            for each in reversed(made):
                each.rmdir()


def _make(path: Path, made: list[Path]) -> None:
    """Make a directory and its parents, and list those made."""
    try:
        for each in (*reversed(path.parents), path):
            if not each.is_dir():
                each.mkdir()
                made.append(each)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError as error:
        raise InputError(f"--svg {path}", got=f"{each} is not a directory") from error
    except OSError as error:
        raise InputError(f"--svg {path}", got=f"{each}: {error.strerror or error}") from error


def write_one(path: str, text: str) -> None:
    """Write a file whole; a link stays, and a pipe or a device is written to."""
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return
        target = target.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(path, got=getattr(error, "strerror", None) or str(error)) from error
    write_all({target: text})


def write_all(files: Mapping[Path, str]) -> None:
    """Write files whole: none is touched before all could be written, and a link is replaced, never followed.

    Raises:
        InputError: one cannot be written.
    """
    made: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in files.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            made[path] = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            made[path].chmod(0o666 & ~_umask())
        for path, temporary in made.items():
            temporary.replace(path)
    except OSError as error:
        raise InputError(str(path), got=error.strerror or str(error)) from error
    finally:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_pictures(path: Path, documents: Mapping[str, Document]) -> None:
    """Write the pictures of documents as SVG files; where there is nothing to draw that is said on stderr.

    Args:
        path: a directory that is there.
        documents: by what the names of their files start with, which may be nothing.

    Raises:
        InputError: one cannot be written.
    """
    from ..report.gallery import pictures_of

    files = {
        path / f"{prefix}{picture.name}.svg": picture.standalone()
        for prefix, document in documents.items()
        for picture in pictures_of(document)
    }
    if not files:
        sys.stderr.write("genpatch: note: --svg: there is nothing to draw, so nothing was written\n")
    write_all(files)
