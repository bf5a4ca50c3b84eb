# SPDX-License-Identifier: GPL-2.0-or-later
"""What a path names, as documents: those that are written down, or those that are made of a kernel now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .audit import rules_of

if TYPE_CHECKING:
    from ..image.model import KernelImage
    from ..report.documents import Document

__all__ = ["documents_of"]

Progress = Callable[[str], None]


def documents_of(path: str, verbs: Sequence[str], progress: Progress) -> list[Document]:
    """Return the documents that a path names, or holds as a directory; of a kernel those of some verbs.

    Args:
        path: a document, a directory of documents, a kernel, ``sample:NAME``.
        verbs: audit, verify, race, compare: what is done with a kernel.
        progress: called with what is being done.

    Raises:
        InputError: it cannot be read.
    """
    from ..report.documents import documents_in, is_json, read_document
    from ..samples import resolve

    if not path:
        raise UsageError("expected a path, got an empty one")
    found = Path(resolve(path))
    if found.is_dir() and (listed := documents_in(found)):
        return [read_document(each) for each in listed]
    if found.is_file() and is_json(found):
        return [read_document(found)]
    return [_MAKERS[verb](str(found), progress) for verb in verbs]


def _audited(path: str, progress: Progress) -> Document:
    from ..report.auditing import AuditOptions, audit_paths
    from ..report.site_columns import with_sites

    options = AuditOptions(
        rules=rules_of([], []),
        keep_sites=True,
        progress=lambda done, total, name: progress(f"audit: {Path(name).name}"),
    )
    return with_sites(audit_paths([path], options))


def _verified(path: str, progress: Progress) -> Document:
    from ..report.site_columns import with_sites
    from ..report.verifying import verify_document

    document = verify_document(
        _image(path),
        rules_of([], [], verb="verify"),
        keep_sites=True,
        keep_sleds=True,
        progress=lambda state: progress(f"verify: {Path(path).name}: {state}"),
    )
    return with_sites(document)


def _raced(path: str, progress: Progress) -> Document:
    from ..report.racing import kernel_document

    document = kernel_document(
        _image(path), rules_of([], [], verb="race"), progress=lambda text: progress(f"race: {Path(path).name}: {text}")
    )
    return document.as_json()


def _compared(path: str, progress: Progress) -> Document:
    from ..compare.run import compare
    from ..report.comparing import as_json
    from ..schemes import CATALOG

    return as_json(compare(_image(path), schemes=list(CATALOG.values()), frame="args", progress=progress))


def _image(path: str) -> KernelImage:
    from ..image.containers import open_content
    from ..image.read import read_image

    image = read_image(open_content(path))
    if not image.kind.is_kernel:
        raise UsageError(f"{path}: {image.kind}, expected a linked kernel")
    return image


_MAKERS: dict[str, Callable[[str, Progress], Document]] = {
    "audit": _audited,
    "verify": _verified,
    "race": _raced,
    "compare": _compared,
}
