# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch audit``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, UsageError
from .exits import STYLES, exit_status
from .folder import folder, write_pictures
from .output import write_out
from .settings import load_settings

if TYPE_CHECKING:
    from ..audit.model import Rule
    from ..image.model import ConfigFacts
    from ..image.symbols import SymbolTable
    from ..report.auditing import AuditOptions, Progress
    from ..report.document import AuditDocument
    from ..report.formats import Render, RenderOptions

_MAX_TEXT = 1 << 26


def audit(
    kernels: Annotated[
        list[str],
        typer.Argument(
            metavar="KERNEL...",
            help="vmlinux, boot image, module, directory or archive of them, in any compression; sample:NAME.",
            show_default=False,
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "--output-format",
            metavar="F[=PATH]",
            help="Output format; may be repeated with paths.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    select: Annotated[list[str] | None, typer.Option(help="Rules to run: GP1, GP108, ALL or a name.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Rules not to run.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(help="error, warning, note or never: what makes the exit status 1. [default: error]"),
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever was found.")] = False,
    exit_style: Annotated[
        str | None, typer.Option(help="default, nipa (0/250/1), kselftest (0/1/4) or bisect (0/1/125).")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Findings that are known; only new ones count.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Write the findings as a baseline and exit 0.")] = None,
    sites: Annotated[bool, typer.Option("--sites", help="Put every site into the JSON document, too.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write its pictures there; made if need be.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(help="The kernel that the modules are for.")] = None,
    config: Annotated[Path | None, typer.Option(help="Kernel configuration, if the image holds none.")] = None,
    system_map: Annotated[Path | None, typer.Option(help="Symbols for an image that has none.")] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="Findings shown. [default: 50]")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=0, help="Processes. [default: one a CPU]")] = None,
    color: Annotated[str | None, typer.Option(help="auto, always or never. [default: auto]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Findings only, no progress.")] = False,
    silent: Annotated[bool, typer.Option("--silent", "-s", help="No output: the exit status says it all.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Notes fail a rule in ktap and junit.")] = False,
    settings: Annotated[Path | None, typer.Option(help="Settings file instead of .genpatch.toml.")] = None,
    isolated: Annotated[bool, typer.Option("--isolated", help="Read no settings file.")] = False,
    max_size: Annotated[int, typer.Option(min=1, metavar="MIB", help="What may come out of a compressed file.")] = 4096,
) -> None:
    """Find every patch site of a kernel image and say what is wrong with it.

    Kernels are read as they are on disk: vmlinux, boot images with kallsyms, modules, whole build
    directories. Nothing of them is executed.
    """
    from ..report.formats import format_names

    found = load_settings(settings, isolated=isolated)
    targets = targets_of(formats or ["text"], output)
    require("--fail-on", fail_on or found.get("fail-on", "error"), ("error", "warning", "note", "never"))
    chosen = require("--color", color or found.get("color", "auto"), ("auto", "always", "never"))
    style = require("--exit-style", exit_style or found.get("exit-style", "default"), STYLES)
    for name, _ in targets:
        require("--format", name, format_names())
    options = _audit_options(
        rules=rules_of(select or found.get("select", []), ignore or found.get("ignore", [])),
        config=config,
        system_map=system_map,
        kernel=kernel,
        jobs=jobs if jobs is not None else found.get("jobs", 0),
        keep_sites=sites or svg is not None or needs_sites(targets),
        limit=max_size << 20,
    )
    with folder(svg), _progress(quiet or silent) as progress:
        document = _audit(kernels, replace(options, progress=progress))
        write_svg(document, svg)
    if write_baseline is not None:
        _write_baseline(document, write_baseline)
        tell_trouble(document)
        return
    document = _with_baseline(document, baseline or _path(found.get("baseline")))
    if not silent:
        for name, path in targets:
            options_of = replace(render_options(path, chosen, max_findings, found, quiet, strict), sites=sites)
            render(document, name, path, options_of)
    status = exit_status(
        document,
        fail_on="never" if exit_zero else (fail_on or found.get("fail-on", "error")),
        style=style,
    )
    tell_trouble(document)
    raise typer.Exit(status)


def require(option: str, value: str, known: tuple[str, ...]) -> str:
    """Return an option's value if it is one of those known; else UsageError."""
    if value not in known:
        raise UsageError(f"{option} {value!r}: expected one of {', '.join(known)}")
    return value


def write_svg(document: AuditDocument, path: Path | None) -> None:
    """Write a document's pictures into a directory that is there, if one was named."""
    if path is None:
        return
    from ..report.site_columns import with_sites

    write_pictures(path, {"": with_sites(document)})


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


def targets_of(formats: list[str], output: str) -> list[tuple[str, str]]:
    """Return (format, path) pairs; a format without a path goes to --output."""
    pairs = [(name, path if sign else output) for name, sign, path in (each.partition("=") for each in formats)]
    paths = [path for _, path in pairs]
    if "" in paths:
        raise UsageError("--output, --format: expected a file name, got an empty one")
    if len(set(paths)) != len(paths):
        raise UsageError("two formats cannot be written to one place; give paths: --format json=FILE")
    for path in paths:
        _require_place(path)
    return pairs


def _require_place(path: str) -> None:
    """Raise a UsageError, before any work is done, if nothing can be written to a path."""
    from errno import EISDIR, ENOENT, ENOTDIR
    from os import strerror

    found, folder = Path(path), Path(path).parent
    if path == "-" or (found.exists() and not found.is_dir()):
        return
    error = EISDIR if found.is_dir() else 0 if folder.is_dir() else ENOTDIR if folder.exists() else ENOENT
    if error:
        raise UsageError(f"{path}: {strerror(error)}")


def needs_sites(targets: list[tuple[str, str]]) -> bool:
    """Tell whether some format lists sites."""
    from ..report.formats import get_format

    return any(get_format(name).needs_sites for name, _ in targets)


def rules_of(select: list[str], ignore: list[str], *, verb: str = "audit") -> tuple[Rule, ...]:
    """Return the rules that --select and --ignore leave; UsageError if there are none.

    Args:
        select, ignore: prefixes and names, several separated by commas.
        verb: whose rules: audit, verify or race.
    """
    from ..audit.registry import select as select_rules

    def split(values: list[str]) -> tuple[str, ...]:
        return tuple(part.strip() for value in values for part in value.split(",") if part.strip())

    chosen = tuple(select_rules(split(select), split(ignore)).values())
    if not chosen:
        raise UsageError("no rule is left to run: --ignore names all that --select does")
    fitting = tuple(rule for rule in chosen if _verb_of(rule) == verb)
    if not fitting:
        others = " or ".join(f"'genpatch {each}' {_DOES[each]}" for each in sorted({_verb_of(rule) for rule in chosen}))
        raise UsageError(f"no rule is left to run: those are rules for what is seen when {others}")
    return fitting


_DOES = {"audit": "reads code", "verify": "runs code", "race": "explores interleavings"}


def _verb_of(rule: Rule) -> str:
    """Return the verb that asks a rule."""
    return rule.applies if rule.applies in _DOES else "audit"


def _audit_options(*, config: Path | None, system_map: Path | None, kernel: str | None, **rest: Any) -> AuditOptions:
    from ..report.auditing import AuditOptions
    from ..samples import resolve

    return AuditOptions(
        config=None if config is None else read_config(config),
        system_map=None if system_map is None else read_system_map(system_map),
        kernel=None if kernel is None else resolve(kernel),
        **rest,
    )


def read_config(path: Path) -> ConfigFacts:
    """Read a kernel configuration."""
    from ..image.config import config_label, parse_config
    from ..image.containers import open_content

    return parse_config(open_content(path, limit=_MAX_TEXT).data.tobytes(), config_label(str(path)))


def read_system_map(path: Path) -> SymbolTable:
    """Read a System.map."""
    from ..image.containers import open_content
    from ..image.system_map import read_system_map as parse

    return parse(open_content(path, limit=_MAX_TEXT).data.tobytes(), str(path))


def _audit(kernels: list[str], options: AuditOptions) -> AuditDocument:
    from ..report.auditing import audit_paths
    from ..samples import resolve

    if "" in kernels:
        raise UsageError("KERNEL: expected a path, got an empty one")
    return audit_paths([resolve(path) for path in kernels], options)


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Give a progress callback: a bar on a terminal once there is more than a moment's work, else nothing."""
    if quiet or os.environ.get("CI") or not sys.stderr.isatty():
        yield lambda done, total, name: None
        return
    from .progress import progress_bar

    with progress_bar() as progress:
        yield progress


def _write_baseline(document: AuditDocument, path: Path) -> None:
    from ..report.baseline import read_baseline, write_baseline

    previous = read_baseline(path.read_bytes(), str(path)) if path.is_file() else None
    write_file(str(path), write_baseline(document, previous))


def _with_baseline(document: AuditDocument, path: Path | None) -> AuditDocument:
    if path is None:
        return document
    from ..report.baseline import apply_baseline, read_baseline

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), got=error.strerror or str(error)) from error
    return apply_baseline(document, read_baseline(data, str(path)))[0]


def render_options(
    path: str, color: str, max_findings: int | None, found: dict[str, Any], quiet: bool, strict: bool
) -> RenderOptions:
    """Return how a format is to be rendered to a path."""
    from shutil import get_terminal_size

    from ..report.formats import RenderOptions

    to_terminal = path == "-" and sys.stdout.isatty()
    return RenderOptions(
        color=wants_color(color, to_terminal),
        width=get_terminal_size((80, 24)).columns if to_terminal else 80,
        encoding=(sys.stdout.encoding or "utf-8") if path == "-" else "utf-8",
        max_findings=max_findings or found.get("max-findings", 50),
        summary=not quiet,
        strict=strict,
    )


def wants_color(choice: str, to_terminal: bool) -> bool:
    """Decide on colour: --color, then FORCE_COLOR, NO_COLOR, CLICOLOR_FORCE, then the terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return to_terminal and os.environ.get("TERM") != "dumb"


def render(document: AuditDocument, name: str, path: str, options: RenderOptions, *, how: Render | None = None) -> None:
    """Write a document in one format, or as `how` renders it, to a file or to stdout."""
    from ..report.formats import get_format

    chunks = (how or get_format(name).render)(document, options)
    if path == "-":
        write_out(chunks)
    else:
        write_file(path, "".join(chunks))
    if name == "github" and (summary := os.environ.get("GITHUB_STEP_SUMMARY")):
        from ..report.formats.github import render_markdown

        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(render_markdown(document, options))
        except OSError as error:
            raise InputError(summary, got=error.strerror or str(error)) from error


def write_file(path: str, text: str) -> None:
    """Write a file whole or not at all; InputError if it cannot be."""
    import tempfile

    target = Path(path)
    try:
        if target.exists() and not target.is_file():  # a pipe or a device is written to, never replaced
            target.write_text(text, encoding="utf-8")
            return
        target = target.resolve()  # a link stays, what it leads to is replaced
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        raise InputError(path, got=getattr(error, "strerror", None) or str(error)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def tell_trouble(document: AuditDocument) -> None:
    """Name on stderr each input that could not be judged, and leave with 2 if there was one."""
    from ..report.escape import printable

    for line in document.trouble[:20]:
        typer.echo(f"genpatch: {printable(line)}", err=True)
    if len(document.trouble) > 20:
        typer.echo(f"genpatch: {len(document.trouble) - 20} more inputs could not be read", err=True)
    if document.trouble:
        raise typer.Exit(2)
