# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch compare``: the schemes side by side, with a kernel's own numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .audit import read_config, read_system_map, require, targets_of
from .folder import folder, write_all, write_one
from .output import write_out
from .progress_line import progress_line

if TYPE_CHECKING:
    from ..schemes import CallScheme

_LEAST_WIDTH, _MOST_WIDTH = 80, 120


def compare(
    kernel: Annotated[str, typer.Argument(metavar="KERNEL", help="vmlinux or boot image, or sample:NAME.")],
    scheme: Annotated[
        list[str] | None,
        typer.Option("--scheme", metavar="NAME", help="Only this one (see 'genpatch schemes'); may be repeated."),
    ] = None,
    frame: Annotated[str, typer.Option(help="args or regs: what the schemes' trampolines make.")] = "args",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "--output-format",
            metavar="F[=PATH]",
            help="text, json, markdown or html; may be repeated with paths.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="DIR", help="Also write a bar chart for each quantity there; made if need be."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Kernel configuration, if the image holds none.")] = None,
    system_map: Annotated[Path | None, typer.Option(help="Symbols for an image that has none.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tables only: no notes, no progress.")] = False,
) -> None:
    """Show what each way of putting a call into a function would cost on a kernel.

    Text bytes: the kernel's functions are laid out anew with each scheme's sled and alignment. Instructions of a
    call, disabled and traced: executed on the catalog's trampolines, and beside them on the kernel's own code.
    Stores and fences: from each scheme's steps, and from running the kernel's own patching on every site. Reach and
    dispatchers: counted over its sites. Races: explored. Exit status: 0, or 2 if there is nothing to compare.
    """
    from ..compare.run import compare as compare_schemes
    from ..image.containers import open_content
    from ..image.read import ReadOptions, read_image
    from ..report.comparing import RENDERERS
    from ..report.escape import printable
    from ..samples import resolve

    targets = targets_of(formats or ["text"], output)
    for name, _ in targets:
        require("--format", name, tuple(RENDERERS))
    require("--frame", frame, ("args", "regs"))
    chosen = _schemes(scheme or [])
    options = ReadOptions(
        config=None if config is None else read_config(config),
        system_map=None if system_map is None else read_system_map(system_map),
    )
    with folder(svg):
        image = read_image(open_content(resolve(kernel)), options)
        with progress_line(quiet) as progress:
            comparison = compare_schemes(image, schemes=chosen, frame=frame, progress=progress)
        for name, path in targets:
            chunks = RENDERERS[name](comparison, notes=not quiet, width=_width(path))
            if path == "-":
                write_out(_printable_in(chunks, sys.stdout.encoding or "utf-8"))
            else:
                write_one(path, "".join(chunks))
        if svg is not None:
            from ..report.charts import charts_of

            write_all({svg / name: text for name, text in charts_of(comparison).items()})
    if comparison.warning:
        typer.echo(f"genpatch: warning: {printable(comparison.warning)}", err=True)


def _width(path: str) -> int:
    """Return how wide text may be that goes to a path: a terminal's width, within reason."""
    from shutil import get_terminal_size

    from ..report.comparing import WIDTH

    if path != "-" or not sys.stdout.isatty():
        return WIDTH
    return min(max(get_terminal_size((WIDTH, 24)).columns, _LEAST_WIDTH), _MOST_WIDTH)


def _schemes(names: list[str]) -> list[CallScheme]:
    """Return the schemes that were named, each once, in the catalog's order; all by default.

    Raises:
        UsageError: there is none of that name; the nearest is named.
    """
    from ..schemes import CATALOG

    for name in names:
        if name not in CATALOG:
            near = get_close_matches(name, CATALOG, 1, 0.5)
            hint = f"is it {near[0]!r}?" if near else "'genpatch schemes' lists them"
            raise UsageError(f"--scheme {name!r}: no such scheme; {hint}")
    return [scheme for scheme in CATALOG.values() if not names or scheme.name in names]


def _printable_in(chunks: Iterator[str], encoding: str) -> Iterator[str]:
    """Yield text that an encoding can hold."""
    for chunk in chunks:
        yield chunk.encode(encoding, "backslashreplace").decode(encoding)
