# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch diff``: two kernels, or what was said of them before, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .audit import render_options, require, targets_of, write_file
from .exits import status_of
from .folder import folder, write_pictures
from .kernels import documents_of
from .output import write_out
from .progress_line import progress_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..report.diffing import Diff
    from ..report.documents import Document

_FORMATS = ("text", "json", "html")


def diff(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="Kernel, or a JSON document of it, or a directory of such documents."),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same of the other kernel.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Of kernels: also run them, as genpatch verify does.")
    ] = False,
    race: Annotated[bool, typer.Option("--race", help="Of kernels: also explore them, as genpatch race does.")] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "--output-format", metavar="F[=PATH]", help="text, json or html; may be repeated with paths."
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="DIR", help="Also write the pictures of both there; made if need be."),
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="error, warning, note or never: what is worse by that much makes the exit status 1.")
    ] = "error",
    max_findings: Annotated[int, typer.Option(min=1, help="Findings shown of a kind.")] = 50,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Show what has changed between two kernels: before a series and after it, or two releases.

    Findings are the same if their fingerprints are, sites if their functions have the same name. Kernels are audited;
    documents are compared as they are, each verb's with its like, sites if they were written with --sites. What cannot
    be compared is named.

    Exit status: 1 if something is worse: a finding that is new or names more sites, at or above --fail-on, or a state
    in which more sites fail, or a race that is no longer safe (both are errors); 2 if something went wrong; else 0.
    """
    from ..report.diffing import compare_sides, sides_of
    from ..report.documents import verb_of

    targets = targets_of(formats or ["text"], output)
    for name, _ in targets:
        require("--format", name, _FORMATS)
    require("--fail-on", fail_on, ("error", "warning", "note", "never"))
    verbs = ("audit", *(["verify"] if verify else []), *(["race"] if race else []))
    with folder(svg):
        with progress_line(quiet) as progress:
            before, after = (documents_of(path, verbs, progress) for path in (old, new))
        changes = compare_sides(sides_of(before), sides_of(after))
        if not changes.compared:
            has = [", ".join(sorted(sides_of(each))) for each in (before, after)]
            raise UsageError(f"nothing to compare: {old} has {has[0]}, {new} has {has[1]}")
        if svg is not None:
            sides = (("old", before), ("new", after))
            write_pictures(svg, {f"{side}-{verb_of(each)}-": each for side, some in sides for each in some})
    for name, path in targets:
        chunks = _rendered(changes, name, path, max_findings, (*before, *after))
        if path == "-":
            write_out(chunks)
        else:
            write_file(path, "".join(chunks))
    raise typer.Exit(status_of(changes.levels, fail_on=fail_on, style="default", undecided=False))


def _rendered(changes: Diff, name: str, path: str, most: int, documents: Iterable[Document]) -> Iterable[str]:
    if name == "json":
        import json

        return [json.dumps(changes.as_json(), indent=2), "\n"]
    if name == "html":
        from ..report.html import page_of

        return page_of(documents)
    from ..report.diff_text import diff_text

    options = render_options(path, "never", most, {}, False, False)
    width = options.width if path == "-" and sys.stdout.isatty() else 80
    return diff_text(changes, ascii_only=options.ascii_only, width=width, most=most)
