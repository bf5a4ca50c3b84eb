# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch emit``: patch series, made from the user's own tree."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .output import write_out

if TYPE_CHECKING:
    from ..emit.recipe import Recipe
    from ..emit.run import Series
    from ..emit.tree import Tree


def emit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to make; see --list.")] = "",
    linux: Annotated[
        Path | None, typer.Option("--linux", metavar="TREE", help="Kernel source tree or git work tree; only read.")
    ] = None,
    base: Annotated[
        str, typer.Option("--base", metavar="COMMIT", help="Make it for this commit of TREE, not for what lies there.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write files as git format-patch does; without --linux, sources."
        ),
    ] = None,
    mbox: Annotated[
        str,
        typer.Option("--mbox", metavar="FILE", help="Write a mailbox for git am, the cover beside it; - is stdout."),
    ] = "",
    branch: Annotated[
        str, typer.Option("--branch", metavar="BRANCH", help="Commit to a new branch; work tree and HEAD stay.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make it in memory, say what would be written.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List what can be made; with --linux, of that tree.")] = False,
    cover: Annotated[bool, typer.Option("--cover", help="A cover letter also for a single patch.")] = False,
    signoff: Annotated[bool, typer.Option("--signoff", "-s", help="Add your Signed-off-by, as git knows you.")] = False,
    trailer: Annotated[
        list[str] | None, typer.Option("--trailer", metavar="LINE", help="Add a line to each message; may be repeated.")
    ] = None,
    date: Annotated[
        str, typer.Option("--date", metavar="DATE", help="Of the patches: ISO 8601, or @ and seconds since 1970.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files and a branch that exist.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing about what was written.")] = False,
) -> None:
    """Make a patch series that fits a kernel tree: from its own text, at places found by what stands there.

    Without --linux: the sources of a scheme, of any that 'genpatch schemes' lists: what patches its sites, as C, and
    its trampolines. They are printed after they were assembled, executed in a bundled sample that is built from them,
    and explored beside concurrent calls; what came of it goes to stderr, and the exit status is 1 if it is not good.

    The tree is looked at, not its version: what is there already, or has no place there, is said. Every diff is
    read back and applied in memory before anything is written. The author is who git says you are, or genpatch;
    the date is --date, SOURCE_DATE_EPOCH, that of the tree's last commit, or a fixed one: two runs give the same
    bytes. Exit status: 0, or 2 if nothing was made.
    """
    from ..emit.run import find_recipe, make_series
    from ..emit.tree import open_tree

    if listing:
        if name:
            raise UsageError(f"--list lists everything: leave out {name!r}")
        write_out(_listed(open_tree(linux, base) if linux is not None else None))
        return
    if not name:
        raise UsageError("name what to make; 'genpatch emit --list' lists what there is")
    if linux is None:
        if base or mbox or branch or dry_run or cover or signoff or trailer or date:
            raise UsageError("patches are made for a tree: name it with --linux TREE")
        _print_sources(name, output, force=force, quiet=quiet)
        return
    recipe = find_recipe(name)
    if not (output is not None or mbox or branch or dry_run):
        raise UsageError("where to: -o DIR, --mbox FILE, --branch BRANCH or --dry-run")
    for line in trailer or ():
        if not re.fullmatch(r"[A-Z][A-Za-z-]+: \S[^\r\n]*", line):
            raise UsageError(f"--trailer {line!r}: expected 'Name: text'")
    when = _date(date)
    tree = open_tree(linux, base)
    series = make_series(tree, recipe, with_cover=cover, signoff=signoff, trailers=trailer or (), date=when)
    _write(tree, series, output, mbox, branch, dry_run, force, quiet)


def _print_sources(name: str, output: Path | None, *, force: bool, quiet: bool) -> None:
    """Print or write the sources of a scheme, and what trying them has shown.

    Raises:
        UsageError: the name is no scheme's.
        Exit: they are not what they should be.
    """
    from ..emit.sources import scheme_name, scheme_sources
    from ..emit.write import write_files

    sources = scheme_sources(scheme_name(name))
    if output is None:
        write_out(f"==> {file} <==\n{text}\n" for file, text in sources.files.items())
    else:
        write_files({output / file: text for file, text in sources.files.items()}, directory=output, force=force)
        if not quiet:
            write_out(f"{output / file}\n" for file in sources.files)
    for line in sources.verdict:
        typer.echo(f"genpatch: {sources.scheme.name}: {line}", err=True)
    if not sources.passed:
        raise typer.Exit(1)


def _write(
    tree: Tree, series: Series, output: Path | None, mbox: str, branch: str, dry_run: bool, force: bool, quiet: bool
) -> None:
    """Write a series to every place that was named, or say what would be written."""
    from ..emit.write import branch_position, in_directory, in_mailbox, make_commits, set_branch, write_files

    files = in_directory(series, output) if output is not None else {}
    if mbox and mbox != "-":
        files |= in_mailbox(series, Path(mbox))
    commit = ""
    if branch:
        branch_position(tree, branch, force=force)
        commit = "" if dry_run else make_commits(tree, series)
    if not dry_run:
        write_files(files, directory=output, force=force)
    said = [f"{path}\n" for path in files]
    if branch:
        if not dry_run:
            set_branch(tree, series, branch, commit, force=force)
        said.append(f"branch {branch} {commit[:12]}".rstrip() + "\n")
        if not dry_run and not quiet:
            said.append(_next_steps(tree, branch))
    if dry_run:
        said = [f"would write {line}" for line in said] or [f"{patch.subject}\n" for patch in series.patches]
    if mbox == "-" and not dry_run:
        write_out(mail.text for mail in series.mails)
    elif not quiet:
        write_out(said)
    for note in series.notes if not quiet else ():
        typer.echo(f"genpatch: note: {note}", err=True)


def _next_steps(tree: Tree, branch: str) -> str:
    """Return the commands that make a branch a series of b4's, as its manual has them."""
    steps = (f"git switch {branch}", f"b4 prep -e {tree.head[:12]}", "b4 prep --edit-cover", "b4 prep --check")
    return f"next: {' && '.join(steps)}\n"


def _listed(tree: Tree | None) -> list[str]:
    from ..emit.recipe import find_recipes

    lines = []
    for recipe in find_recipes().values():
        lines.append(f"{recipe.name}: {recipe.summary}\n    for trees {recipe.trees}\n")
        if tree is not None:
            lines.append(f"    {_state(tree, recipe)}\n")
    return lines


def _state(tree: Tree, recipe: Recipe) -> str:
    """Return how a tree stands to a series; one that can be made is made, in memory."""
    from ..emit.errors import EmitError
    from ..emit.recipe import Verdict
    from ..emit.run import make_series

    try:
        state = recipe.look(tree)
        if state.verdict is Verdict.CAN:
            make_series(tree, recipe)
    except EmitError as error:
        return f"cannot be made: {error}"
    return str(state)


def _date(given: str) -> int | None:
    """Return the date that the command line or the environment gives [seconds since 1970].

    Raises:
        UsageError: it is none.
    """
    name, text = ("--date", given) if given else ("SOURCE_DATE_EPOCH", os.environ.get("SOURCE_DATE_EPOCH", ""))
    if not text:
        return None
    try:
        if name == "SOURCE_DATE_EPOCH" or text.startswith("@"):
            seconds = int(text.removeprefix("@"))
        else:
            parsed = datetime.fromisoformat(text)
            seconds = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{name} {text!r}: not a date; 2026-01-31T12:00:00Z or @ and seconds since 1970") from None
    if seconds < 0:
        raise UsageError(f"{name} {text!r}: before 1970")
    return seconds
