# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes a finding the same finding in the next build: no address, no build-id, no version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import PurePosixPath

# Suffixes that compilers give to clones of a function; their numbers change from build to build.
_CLONE = re.compile(r"(?:\.(?:constprop|isra|part|llvm)\.\d+|\.cold(?:\.\d+)?)+\Z")
_MODULE = re.compile(r"(?:^|/)lib/modules/[^/]+/(?:kernel/)?(?P<name>.+)\Z", re.DOTALL)
_COMPRESSED = (".gz", ".xz", ".zst", ".bz2", ".lz4")


def plain_symbol(symbol: str) -> str:
    """Return a symbol's name without the suffixes of compilers' clones (``.constprop.0``, ``.cold``, ...)."""
    return _CLONE.sub("", symbol) if "." in symbol else symbol


def artefact_name(path: str) -> str:
    """Return what an image is called wherever it lies: ``vmlinux``, ``fs/ext4/ext4.ko``.

    Behind ``lib/modules/<release>/kernel`` that is the rest of the path, of an absolute path or one that
    leaves the directory the last part, else the path itself; always without the ending of a compressor.
    """
    for ending in _COMPRESSED:
        path = path.removesuffix(ending)
    module = _MODULE.search(path)
    if module:
        path = module["name"]
    pure = PurePosixPath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else str(pure)


def fingerprint(rule: str, artefact: str, subject: str, kind: str) -> str:
    """Return 16 hex digits that name a finding across builds.

    Args:
        artefact: name of the image, see `artefact_name`.
        subject: usually the symbol; suffixes of clones do not count.
        kind: what tells this finding from others of its rule.
    """
    text = "\0".join(("1", rule, artefact, plain_symbol(subject), kind))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def unique(fingerprints: Iterable[str]) -> Iterator[str]:
    """Give each fingerprint an ordinal, ``:1`` first, so that all differ.

    One that has an ordinal already keeps it unless it is taken.
    """
    taken: set[str] = set()
    following: dict[str, int] = {}
    for value in fingerprints:
        base, _, ordinal = value.partition(":")
        candidate = f"{base}:{ordinal or 1}"
        while candidate in taken:
            following[base] = following.get(base, 1) + 1
            candidate = f"{base}:{following[base]}"
        taken.add(candidate)
        yield candidate
