# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch check``: patches, read as a reviewer reads them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .output import write_out

if TYPE_CHECKING:
    from ..emit.tree import Tree


def check(
    patches: Annotated[
        list[str] | None, typer.Argument(metavar="PATCH", help="Patch, mailbox or git show; - is stdin.")
    ] = None,
    linux: Annotated[
        Path | None,
        typer.Option("--linux", metavar="TREE", help="Kernel source tree; the current directory if it is one."),
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help="text, b4 or json.")] = "text",
    commit_msg: Annotated[
        Path | None, typer.Option("--commit-msg", metavar="FILE", help="Check a commit message alone, as a hook.")
    ] = None,
    explain: Annotated[str, typer.Option("--explain", metavar="RULE", help="Say what a rule checks.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the rules.")] = False,
    salt: Annotated[str, typer.Option("--salt", metavar="TEXT", help="Ignored: changes the key of b4's cache.")] = "",
) -> None:
    """Check patches before they are sent: their messages, and what they make of the kernel's patching code.

    The patches are applied in memory, one after the other; the tree is only read, and nothing of it is run.
    What was wrong with the tree before is not reported. A single patch that the tree already has is undone in
    memory first, so that a commit can be checked where it was made. Exit status: 0 no findings, 1 findings,
    2 an input that is no patch or is refused.
    """
    from ..check.patches import read_message, read_patches
    from ..check.render import FORMATS, as_b4, as_json, as_text
    from ..check.run import check_patches

    if listing or explain:
        write_out(_rules(explain))
        return
    if output_format not in FORMATS:
        raise UsageError(f"--format {output_format!r}: expected one of {', '.join(FORMATS)}")
    if commit_msg is not None:
        if patches:
            raise UsageError("--commit-msg checks a message alone: leave out the patches")
        found = [read_message(_content(str(commit_msg)), str(commit_msg))]
    else:
        if not patches and sys.stdin.isatty():
            raise UsageError("name a patch, or pipe one in")
        found = [each for name in patches or ["-"] for each in read_patches(_content(name), name)]
    tree = _tree(linux)
    if output_format == "b4" and tree is None and any(patch.files for patch in found):
        raise UsageError("the current directory is no kernel source tree; name one with --linux TREE")
    checked = check_patches(found, tree)
    if output_format == "json":
        write_out([as_json(checked)])
    elif output_format == "b4":
        write_out(as_b4(checked))
    else:
        write_out(as_text(checked))
        for reason in checked.skipped:
            typer.echo(f"genpatch: note: {reason}", err=True)
    raise typer.Exit(1 if checked.findings else 0)


def _content(name: str) -> bytes:
    """Return the bytes of an input, no more than are read of one.

    Raises:
        UsageError: it cannot be read.
    """
    from ..check.patches import MOST_BYTES

    if name == "-":
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        with Path(name).open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _tree(linux: Path | None) -> Tree | None:
    from ..emit.errors import EmitError
    from ..emit.tree import open_tree

    if linux is not None:
        return open_tree(linux)
    try:
        return open_tree(Path())
    except EmitError:
        return None


def _rules(wanted: str) -> list[str]:
    from ..check.registry import all_rules

    rules = all_rules()
    if not wanted:
        return [
            f"{each.code}  {each.level:<7}  {each.name:<16} {each.doc.splitlines()[0]}\n" for each in rules.values()
        ]
    found = next((each for each in rules.values() if wanted.upper() == each.code or wanted == each.name), None)
    if found is None:
        raise UsageError(f"no rule {wanted!r}; 'genpatch check --list' lists them")
    return [f"{found.code} {found.name} ({found.level})\n\n{found.doc}\n"]
