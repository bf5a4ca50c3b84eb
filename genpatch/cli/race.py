# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch race``: every interleaving of patching with execution."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .audit import (
    needs_sites,
    read_config,
    read_system_map,
    render,
    render_options,
    require,
    rules_of,
    targets_of,
    write_svg,
)
from .exits import exit_status
from .folder import folder
from .output import write_out
from .progress_line import progress_line

if TYPE_CHECKING:
    from ..audit.model import Rule
    from ..race.environment import Environment
    from ..report.racing import RaceDocument
    from ..schemes import CallScheme

_MOST_STATES = 2_000_000
_LEVELS = ("error", "warning", "note", "never")
_KERNEL_ONLY = ("--function", "--select", "--ignore", "--config", "--system-map")


def race(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCHEME...|KERNEL]",
            help="Schemes of the catalog (see 'genpatch schemes'), or one kernel: a path or sample:NAME.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All schemes of the catalog.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENV", help="Environment: smp; smp,fetch=parcel; all; of a kernel also own. May be repeated."
        ),
    ] = None,
    transition: Annotated[
        list[str] | None,
        typer.Option(metavar="T", help="enable, change, disable, retire, or what a kernel has; may be repeated."),
    ] = None,
    frame: Annotated[str | None, typer.Option(help="Schemes: args or regs, what is saved. [default: args]")] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="F",
            help="Kernel: the traced function, or a pattern that matches one. [default: one that is worst aligned]",
        ),
    ] = None,
    witness: Annotated[bool, typer.Option("--witness", help="List the shortest path to each failure.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Of many schemes, too, a table each.")] = False,
    max_states: Annotated[
        int, typer.Option(min=1, metavar="N", help="States visited at most for a row.")
    ] = _MOST_STATES,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Schemes: processes; 0: one a CPU.")] = 0,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "--output-format",
            metavar="F[=PATH]",
            help="text, json, markdown, html or ktap; of a kernel all of audit's. May be repeated with paths.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write its pictures there; made if need be.")
    ] = None,
    select: Annotated[list[str] | None, typer.Option(help="Kernel: rules to judge by: GP41, GP411 or a name.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Kernel: rules not to judge by.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="What makes the exit status 1. Schemes: unsafe or never [default: never]; "
            "kernel: error, warning, note or never [default: error]."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Kernel: its configuration, if the image holds none.")] = None,
    system_map: Annotated[Path | None, typer.Option(help="Kernel: symbols for an image that has none.")] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="Findings shown. [default: 50]")] = None,
    color: Annotated[str, typer.Option(help="auto, always or never.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the environments and exit.")] = False,
) -> None:
    """Explore every interleaving of patching a function with calling it.

    For schemes of the catalog: enabling, changing, disabling and retiring a tracer, in each environment (--list).
    For a kernel: the same of what its own functions do, seen by running them, in its own environment; what goes
    wrong is a finding (rules GP41x, see 'genpatch explain GP411').

    Ways to go wrong: wild (execution leaves sled, trampoline and body), registers, ops, freed, stale, missed, lost.
    A row of which not all states were visited is 'unfinished', never 'safe'.

    Exit status: 1 if a scheme is unsafe with --fail-on unsafe, or a kernel has a finding at or above --fail-on; else 2
    if a row is unfinished, whatever the others are and whatever --fail-on is, if nothing was explored, or if something
    went wrong; else 0. What is unfinished is told on stderr in one line.
    """
    from ..report.escape import printable

    if listed:
        _list_environments()
        return
    named = list(subjects or ())
    if everything and named:
        raise UsageError("--all means all schemes: leave out the names")
    if not everything and not named:
        raise UsageError("expected schemes ('genpatch schemes' lists them), --all, or a kernel")
    require("--color", color, ("auto", "always", "never"))
    targets = targets_of(formats or ["text"], output)
    kernels = [name for name in named if _is_kernel(name)]
    if not kernels:
        for option, given in zip(_KERNEL_ONLY, (function, select, ignore, config, system_map), strict=True):
            if given:
                raise UsageError(f"{option} is about a kernel, not about schemes")
        require("--fail-on", fail_on or "never", ("unsafe", "never"))
        require("--frame", frame or "args", ("args", "regs"))
        document = _of_schemes(
            named,
            targets,
            env=env or ["all"],
            transitions=transition or [],
            frame=frame or "args",
            max_states=max_states,
            jobs=jobs,
            quiet=quiet,
        )
        status = int(fail_on == "unsafe" and document.counts["unsafe"] > 0)
    else:
        if len(named) > 1:
            raise UsageError(f"{kernels[0]}: a kernel is explored alone; got {len(named)} names")
        if frame is not None:
            raise UsageError("--frame is about schemes: a kernel has trampolines of its own")
        level = require("--fail-on", fail_on or "error", _LEVELS)
        document = _of_kernel(
            named[0],
            targets,
            env=env or [],
            transitions=transition or [],
            function=function,
            rules=rules_of(select or ["GP41"], ignore or [], verb="race"),
            config=config,
            system_map=system_map,
            max_states=max_states,
            quiet=quiet,
        )
        status = exit_status(document, fail_on=level, style="default")
    with folder(svg):
        write_svg(document, svg)
    for name, path in targets:
        _render(document, name, path, color, max_findings, quiet, witness, verbose)
    for line in document.trouble:
        typer.echo(f"genpatch: {printable(line)}", err=True)
    raise typer.Exit(status or (2 if document.trouble else 0))


def _is_kernel(name: str) -> bool:
    """Tell whether a name is a path rather than a scheme.

    Raises:
        UsageError: it can be neither.
    """
    from ..schemes import CATALOG

    if name in CATALOG:
        return False
    if name.startswith("sample:") or os.sep in name or os.path.lexists(name):
        return True
    if not name:
        raise UsageError("expected a scheme or a kernel, got an empty name")
    near = get_close_matches(name, CATALOG, 1, 0.6)
    if near:
        raise UsageError(f"unknown scheme {name!r}; is it {near[0]!r}?")
    raise UsageError(f"{name}: no such file, and no scheme is called so; 'genpatch schemes' lists them")


def _of_schemes(
    named: Sequence[str],
    targets: Sequence[tuple[str, str]],
    *,
    env: Sequence[str],
    transitions: Sequence[str],
    frame: str,
    max_states: int,
    jobs: int,
    quiet: bool,
) -> RaceDocument:
    from ..report.races import CATALOG_FORMATS
    from ..report.racing import TRANSITIONS, catalog_document
    from ..schemes import CATALOG

    for name, _ in targets:
        require("--format", name, CATALOG_FORMATS)
    for wanted in transitions:
        require("--transition", wanted, TRANSITIONS)
    schemes: list[CallScheme] = [CATALOG[name] for name in dict.fromkeys(named or CATALOG)]
    kinds = [kind for kind in TRANSITIONS if not transitions or kind in transitions]
    environments = _environments(env)
    rows = len(schemes) * len(environments) * len(kinds)
    with progress_line(quiet) as progress:
        return catalog_document(
            schemes,
            environments,
            kinds,
            frame=frame,
            max_states=max_states,
            jobs=min(jobs or _usable_cpus(), rows),
            progress=lambda done, total, name: progress(f"{done} of {total}: {name}"),
        )


def _of_kernel(
    path: str,
    targets: Sequence[tuple[str, str]],
    *,
    env: Sequence[str],
    transitions: Sequence[str],
    function: str | None,
    rules: tuple[Rule, ...],
    config: Path | None,
    system_map: Path | None,
    max_states: int,
    quiet: bool,
) -> RaceDocument:
    from ..image.containers import open_content
    from ..image.read import ReadOptions, read_image
    from ..race.environment import Environment
    from ..report.formats import format_names
    from ..report.racing import kernel_document, kernel_environments
    from ..samples import resolve

    for name, _ in targets:
        require("--format", name, format_names())
    kernel_environments(env, Environment(name="own"))
    options = ReadOptions(
        config=None if config is None else read_config(config),
        system_map=None if system_map is None else read_system_map(system_map),
    )
    image = read_image(open_content(resolve(path)), options)
    if not image.kind.is_kernel:
        raise UsageError(f"{path}: {image.kind}, expected a linked kernel")
    with progress_line(quiet) as progress:
        return kernel_document(
            image,
            rules,
            function=function,
            environments=env,
            transitions=transitions,
            max_states=max_states,
            keep_sites=needs_sites(list(targets)),
            progress=progress,
        )


def _environments(texts: Sequence[str]) -> list[Environment]:
    """Return the environments that were named, each once."""
    from ..race.environment import ENVIRONMENTS, get_environment

    found: dict[str, Environment] = {}
    for text in texts:
        found |= ENVIRONMENTS if text == "all" else {text: get_environment(text)}
    return list(found.values())


def _render(
    document: RaceDocument,
    name: str,
    path: str,
    color: str,
    max_findings: int | None,
    quiet: bool,
    witness: bool,
    verbose: bool,
) -> None:
    from ..report.races import render_of

    options = replace(
        render_options(path, color, max_findings, {}, quiet, strict=False), witness=witness, verbose=verbose
    )
    render(document, name, path, options, how=render_of(name))


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _list_environments() -> None:
    from shutil import get_terminal_size
    from textwrap import wrap

    from ..race.environment import CHOICES, ENVIRONMENTS, Environment

    columns = get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
    usual = Environment(name="").settings()
    width = max(map(len, ENVIRONMENTS))
    lines: list[str] = []

    def laid_out(label: str, width: int, text: str) -> list[str]:
        first, rest = f"{label:<{width}}  ", " " * (width + 2)
        return wrap(
            text, max(columns, width + 22), initial_indent=first, subsequent_indent=rest, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip

    for each in ENVIRONMENTS.values():
        other = [f"{name}={value}" for name, value in each.settings().items() if value != usual[name]]
        lines += laid_out(each.name, width, each.what)
        lines += laid_out("", width, ", ".join(other) or "the defaults")
    lines += ["", *wrap("What can be set, as in smp,fetch=parcel, and what it is unless said otherwise:", columns)]
    width = 2 + max(map(len, CHOICES))
    for name, value in usual.items():
        values = ", ".join(f"{each} (default)" if each == value else each for each in CHOICES[name])
        lines += laid_out(f"  {name}", width, values)
    write_out(f"{line}\n" for line in lines)
