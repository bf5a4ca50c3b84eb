# SPDX-License-Identifier: GPL-2.0-or-later
"""A series read from what people have of it, and what it makes of a tree, patch by patch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ..check.change import Texts, Unfit, apply_patch
from ..check.model import Patch
from ..check.patches import MOST_BYTES, is_cover, read_patches
from ..emit.tree import Tree
from .errors import ProveError
from .model import Subject

__all__ = ["Applied", "Part", "apply_series", "read_series", "subjects_of"]

_ENDS = (".patch", ".diff", ".eml", ".mbox")
MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """An input: its name and the patches in it."""

    name: str
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class Applied:
    """What a series makes of a tree.

    Args:
        states: text by path after 0, 1, ... patches, as far as they apply; None is a file that is taken away.
        unfit: what of which patch (the first is 1) does not apply.
    """

    states: tuple[Mapping[str, str | None], ...]
    unfit: tuple[tuple[int, Unfit], ...]

    @property
    def last(self) -> Mapping[str, str | None]:
        """What the whole series makes."""
        return self.states[-1]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that some patch changes."""
        return tuple(sorted({path for state in self.states for path in state}))

    @property
    def digest(self) -> str:
        """What names the result: 64 hexadecimal digits."""
        hashed = sha256()
        for state in self.states:
            for path, text in sorted(state.items()):
                hashed.update(f"{path}\0{text is not None}\0{text or ''}\0".encode())
            hashed.update(b"\1")
        return hashed.hexdigest()


def read_series(names: Sequence[str]) -> list[Part]:
    """Return the inputs of a series, in order; ``-`` is standard input, a directory stands for its patches.

    Raises:
        ProveError: one cannot be read, or holds no patch.
        PatchError: one is refused.
    """
    parts: list[Part] = []
    for name in names:
        for label, data in _contents(name):
            if is_cover(data):
                continue
            found = read_patches(data, label)
            parts.append(Part(label, tuple(replace(patch, name=Path(label).name) for patch in found)))
    if not parts:
        raise ProveError(f"{', '.join(names)}: a cover letter, and no patch")
    return parts


def _contents(name: str) -> list[tuple[str, bytes]]:
    if name == "-":
        return [("standard input", sys.stdin.buffer.read(MOST_BYTES + 1))]
    path = Path(name)
    try:
        if not path.is_dir():
            return [(name, _bytes(path))]
        files = sorted(each for each in path.iterdir() if each.suffix in _ENDS)
        if not files:
            raise ProveError(f"{name}: no patch in this directory ({', '.join('*' + end for end in _ENDS)})")
        if len(files) > MOST_FILES:
            raise ProveError(f"{name}: more than {MOST_FILES:,} patches")
        return [(str(each), _bytes(each)) for each in files]
    except (OSError, ValueError) as error:
        raise ProveError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)


def subjects_of(parts: Sequence[Part]) -> tuple[Subject, ...]:
    """Return what the patches are called and what they change."""
    return tuple(
        Subject(
            patch.subject.text if patch.subject is not None else f"a diff without a message ({Path(part.name).name})",
            tuple(sorted({path for each in patch.files for path in (each.old, each.new) if path})),
        )
        for part in parts
        for patch in part.patches
    )


def apply_series(tree: Tree, patches: Sequence[Patch]) -> Applied:
    """Apply patches in memory, one after the other; it stops at the first that does not apply whole."""
    texts = Texts(tree)
    states: list[Mapping[str, str | None]] = [{}]
    for number, patch in enumerate(patches, 1):
        change, unfit = apply_patch(texts, patch, may_be_there=False)
        if unfit:
            return Applied(tuple(states), tuple((number, each) for each in unfit))
        texts = change.after
        states.append(dict(texts.changed))
    return Applied(tuple(states), ())
