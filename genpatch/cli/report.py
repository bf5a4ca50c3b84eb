# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch report``: documents, or kernels, as one page."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .audit import write_file
from .folder import folder, write_pictures
from .kernels import documents_of
from .output import write_out
from .progress_line import progress_line

if TYPE_CHECKING:
    from ..report.documents import Document


def report(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="DOC...",
            help="JSON documents of any verb, directories of them, or kernels, which are audited then; sample:NAME.",
            show_default=False,
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The page; - is stdout.")] = "-",
    verify: Annotated[
        bool, typer.Option("--verify", help="Of kernels: also run them, as genpatch verify does.")
    ] = False,
    race: Annotated[bool, typer.Option("--race", help="Of kernels: also explore them, as genpatch race does.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Of kernels: also measure the schemes, as genpatch compare does.")
    ] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write the pictures there; made if need be.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Put documents together into one page that opens offline, in a browser, on paper and on a phone.

    What is about one kernel (by its build-id) becomes one chapter; of two kernels the page says first what changed.
    The page has a table of sites where documents were written with --sites, and always of kernels given here.
    """
    from ..report.html import page_of

    if output == "-" and sys.stdout.isatty():
        raise UsageError("a page is nothing for a terminal: name a file with -o")
    chosen = {"audit": True, "verify": verify, "race": race, "compare": compare}
    verbs = [verb for verb, is_wanted in chosen.items() if is_wanted]
    with folder(svg), progress_line(quiet) as progress:
        documents = [document for path in inputs for document in documents_of(path, verbs, progress)]
        text = "".join(page_of(documents))
        if svg is not None:
            write_pictures(svg, _prefixed(documents))
    if output == "-":
        write_out([text])
    else:
        write_file(output, text)


def _prefixed(documents: list[Document]) -> dict[str, Document]:
    """Return documents by what the names of their pictures start with: the verb, and a number where two are of one."""
    from ..report.documents import verb_of

    counts = Counter(map(verb_of, documents))
    if max(counts.values()) > 1:
        return {f"{number}-{verb_of(each)}-": each for number, each in enumerate(documents, 1)}
    return {f"{verb_of(each)}-": each for each in documents}
