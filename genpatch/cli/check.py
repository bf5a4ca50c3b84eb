# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch check``: patches, read as a reviewer reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .audit import require, targets_of, wants_color, write_file
from .exits import STYLES, status_of
from .folder import folder, write_pictures
from .hook import HOOKS, comment_mark, sender
from .output import write_out
from .progress_line import progress_line
from .settings import load_settings

if TYPE_CHECKING:
    from ..audit.model import Rule as ImageRule
    from ..check.model import Patch, Rule
    from ..check.run import Checked
    from ..emit.tree import Tree

_LEVELS = ("error", "warning", "note", "never")
_FORMATS = ("text", "b4", "b4-review", "json", "html", "github", "gitlab", "junit", "ktap", "sarif")
_GARBAGE = 100_000  # what is read of a tree is kept to the end, so looking for garbage in it would find nothing
_NOT_SENT = ("fixup! ", "squash! ", "amend! ", "Merge ")
_CONFIG = {
    "b4": """\
[b4]
	prep-perpatch-check-cmd = ./scripts/checkpatch.pl -q --terse --no-summary --mailback --showfile
	prep-perpatch-check-cmd = genpatch check --format=b4 -
""",
    "b4-review": """\
[b4]
	review-perpatch-check-cmd = genpatch check --format=b4-review -
""",
}


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the command line and the settings ask for.

    Args:
        rules: about patches.
        image_rules: about kernels.
        targets: (format, path) pairs.
        fail_on, style: as `status_of` wants them.
        strict: notes count, too.
        color: auto, always or never.
        quiet: findings only.
        most: findings listed.
        images: the kernels named.
    """

    rules: dict[str, Rule]
    image_rules: tuple[ImageRule, ...]
    targets: list[tuple[str, str]]
    fail_on: str
    style: str
    strict: bool
    color: str
    quiet: bool
    most: int
    images: list[str] = field(default_factory=list)


def check(
    patches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATCH...]",
            help="Patch, mail, mailbox or git show, or a directory of *.patch; - is stdin, as is nothing.",
        ),
    ] = None,
    linux: Annotated[
        Path | None,
        typer.Option("--linux", metavar="TREE", help="Kernel source tree; the current directory if it is one."),
    ] = None,
    vmlinux: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KERNEL",
            help="Kernel built without the patches, to say what is wrong with it already; "
            "given twice: without and with them, to say what they change. Or sample:NAME.",
        ),
    ] = None,
    checkpatch: Annotated[
        bool, typer.Option("--checkpatch", help="Also run the tree's scripts/checkpatch.pl; findings are CP-TYPE.")
    ] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "--output-format",
            metavar="F[=PATH]",
            help=f"{', '.join(_FORMATS)}; may be repeated with paths.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write its pictures there; made if need be.")
    ] = None,
    select: Annotated[list[str] | None, typer.Option(help="Rules to run: GP5, GP511, ALL or a name.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Rules not to run.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="error, warning, note or never: what makes the exit status 1. [default: warning; --strict: note]"
        ),
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever was found.")] = False,
    exit_style: Annotated[
        str | None, typer.Option(help="default, nipa (0/250/1), kselftest (0/1/4) or bisect (0/1/125).")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Notes count, too: for b4, in ktap and junit, from checkpatch.")
    ] = False,
    commit_msg: Annotated[
        Path | None, typer.Option("--commit-msg", metavar="FILE", help="Check a commit message alone, as a hook.")
    ] = None,
    hook: Annotated[
        str, typer.Option("--hook", metavar="NAME", help="sendemail-validate: as git runs that hook, on one mail.")
    ] = "",
    smtp_headers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --hook: the headers that git is going to send.")
    ] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="Findings shown. [default: 50]")] = None,
    color: Annotated[str | None, typer.Option(help="auto, always or never. [default: auto]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Findings only.")] = False,
    silent: Annotated[bool, typer.Option("--silent", "-s", help="No output: the exit status says it all.")] = False,
    settings: Annotated[Path | None, typer.Option(help="Settings file instead of .genpatch.toml.")] = None,
    isolated: Annotated[bool, typer.Option("--isolated", help="Read no settings file.")] = False,
    print_config: Annotated[
        str, typer.Option(metavar="FOR", help="Print lines for git's configuration: b4 or b4-review.")
    ] = "",
    explain: Annotated[str, typer.Option("--explain", metavar="RULE", help="Say what a rule checks.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the rules.")] = False,
    salt: Annotated[str, typer.Option("--salt", metavar="TEXT", help="Ignored: changes the key of b4's cache.")] = "",
) -> None:
    """Check patches before they are sent: their messages, and what they make of the kernel's patching code.

    The patches are applied in memory, one after the other; the tree is only read, and nothing of it is run unless
    --checkpatch asks for it. What was wrong with the tree before is not reported. A single patch that the tree
    already has is undone in memory first, so that a commit can be checked where it was made.

    b4 keeps what it was told of a commit until the commit changes: 'b4 prep --no-cache --check' asks again.
    Exit status: 0 nothing at or above --fail-on, 1 findings, 2 an input that is no patch or is refused.
    """
    if listing or explain or print_config:
        write_out(_config(print_config) if print_config else _rules(explain))
        return
    found = load_settings(settings, isolated=isolated)
    wanted = _wanted(
        found,
        formats=formats or ["text"],
        output=output,
        select=select,
        ignore=ignore,
        fail_on="never" if exit_zero else fail_on,
        exit_style=exit_style,
        strict=strict,
        color=color,
        quiet=quiet or bool(hook) or commit_msg is not None,
        most=max_findings or found.get("max-findings", 50),
        images=list(vmlinux or ()),
    )
    inputs = _inputs(patches or [], commit_msg, hook, smtp_headers, wanted)
    if commit_msg is not None and (checkpatch or vmlinux or linux):
        raise UsageError("--commit-msg checks a message alone: leave out --linux, --vmlinux and --checkpatch")
    tree = _tree(linux)
    names = [name for name, _ in wanted.targets]
    if "b4" in names and tree is None and any(patch.files for patch in inputs):
        raise UsageError("the current directory is no kernel source tree; name one with --linux TREE")
    with folder(svg):
        checked = _checked(inputs, tree, wanted, checkpatch=checkpatch, is_for_tree=not hook)
        if svg is not None:
            write_pictures(svg, {"": _document(checked)})
    if not silent:
        _show(checked, wanted)
    if not silent and set(names).isdisjoint(("b4", "b4-review")):
        _tell(checked.skipped)
    levels = [str(each.level) for each in checked.findings]
    raise typer.Exit(
        status_of(levels, fail_on=wanted.fail_on, style=wanted.style, undecided=bool(checked.skipped or not inputs))
    )


def _config(which: str) -> Iterable[str]:
    require("--print-config", which, tuple(_CONFIG))
    return [_CONFIG[which]]


def _wanted(
    found: dict[str, Any],
    *,
    formats: list[str],
    output: str,
    select: list[str] | None,
    ignore: list[str] | None,
    fail_on: str | None,
    exit_style: str | None,
    color: str | None,
    strict: bool,
    images: list[str],
    **rest: Any,
) -> _Wanted:
    """Return what is asked for; UsageError if something is unknown."""
    if len(images) > 2:
        raise UsageError("--vmlinux: expected one kernel, or two: without the patches, and with them")
    targets = targets_of(formats, output)
    for name, _ in targets:
        require("--format", name, _FORMATS)
    rules, image_rules = _selected(found, select, ignore, bool(images))
    return _Wanted(
        rules=rules,
        image_rules=image_rules,
        targets=targets,
        fail_on=require("--fail-on", fail_on or found.get("fail-on", "note" if strict else "warning"), _LEVELS),
        style=require("--exit-style", exit_style or found.get("exit-style", "default"), STYLES),
        color=require("--color", color or found.get("color", "auto"), ("auto", "always", "never")),
        strict=strict,
        images=images,
        **rest,
    )


def _selected(
    found: dict[str, Any], select: list[str] | None, ignore: list[str] | None, with_images: bool
) -> tuple[dict[str, Rule], tuple[ImageRule, ...]]:
    """Return the rules about patches and, if there are images, those about kernels.

    What a settings file selects may be all about kernels, for the audit; of that only what fits is taken.
    """
    from ..check.registry import matching
    from ..check.registry import select as select_rules

    chosen, ignored = _split(select or ()), _split(ignore or ())
    given = (*chosen, *ignored)
    if select is None:
        chosen = _split(found.get("select", ()))
    if ignore is None:
        ignored = _split(found.get("ignore", ()))
    of_images = _image_rules(chosen, ignored, given) if with_images else ()
    unknown = [prefix for prefix in given if not matching(prefix)]
    if unknown and not with_images:
        select_rules(unknown)
    own = [prefix for prefix in chosen if matching(prefix)]
    rules = select_rules(own, [prefix for prefix in ignored if matching(prefix)])
    if select is not None and not own:
        rules = {}
    if not rules and not of_images:
        raise UsageError("no rule is left to run: --select names none that --ignore leaves")
    return rules, of_images


def _split(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _image_rules(chosen: Sequence[str], ignored: Sequence[str], given: Sequence[str]) -> tuple[ImageRule, ...]:
    """Return the rules of audit and verify that are left; UsageError for a name that is nobody's."""
    from ..audit.model import RuleError
    from ..audit.registry import select as select_rules
    from ..check.registry import matching

    def known(prefixes: Sequence[str]) -> tuple[str, ...]:
        found = []
        for prefix in prefixes:
            try:
                select_rules((prefix,))
            except RuleError:
                if prefix in given and not matching(prefix):
                    raise
            else:
                found.append(prefix)
        return tuple(found)

    mine = known(chosen)
    if chosen and not mine:
        return ()
    return tuple(rule for rule in select_rules(mine, known(ignored)).values() if rule.applies not in ("race", "module"))


def _inputs(
    names: list[str], commit_msg: Path | None, hook: str, smtp_headers: Path | None, wanted: _Wanted
) -> list[Patch]:
    """Return the patches that are named; none for what is nobody's patch.

    Raises:
        UsageError: nothing is named, or too much.
        PatchError: one of them is refused.
    """
    from ..check.errors import NoDiffError
    from ..check.patches import is_cover, read_patches

    if commit_msg is not None:
        if names:
            raise UsageError("--commit-msg checks a message alone: leave out the patches")
        return _message(commit_msg)
    if hook:
        return _mail(names, hook, smtp_headers)
    if smtp_headers is not None:
        raise UsageError("--smtp-headers goes with --hook=sendemail-validate")
    if not names and sys.stdin.isatty():
        raise UsageError("name a patch, or pipe one in")
    contents = [(_content(name), name) for given in names or ["-"] for name in _files(given)]
    try:
        return [
            patch
            for data, name in contents
            if len(contents) == 1 or not is_cover(data)
            for patch in read_patches(data, name)
        ]
    except NoDiffError:
        if all(name == "b4-review" for name, _ in wanted.targets):  # b4 gives it cover letters, too
            return []
        raise


def _message(path: Path) -> list[Patch]:
    from ..check.patches import read_message

    data = _content(str(path))
    patch = read_message(data, str(path), comment_mark(data))
    subject = patch.subject.text if patch.subject is not None else ""
    if not subject.strip():
        return []  # git itself refuses an empty message
    if subject.startswith(_NOT_SENT):
        _tell([f"{path}: {subject.split()[0]!r} is not sent as it is, so it was not checked"])
        return []
    return [patch]


def _mail(names: list[str], hook: str, smtp_headers: Path | None) -> list[Patch]:
    """Return the patch of a mail that git is going to send; none for a cover letter."""
    from dataclasses import replace

    from ..check.errors import NoDiffError
    from ..check.patches import is_cover, read_patches

    if hook != "sendemail-validate":
        what = ", which is asked for with --commit-msg FILE" if hook in HOOKS else ""
        raise UsageError(f"--hook {hook!r}: expected sendemail-validate{what}")
    if len(names) != 1:
        raise UsageError(f"--hook={hook}: expected one file, got {len(names)}")
    data = _content(names[0])
    if is_cover(data):
        return []
    try:
        found = read_patches(data, names[0])
    except NoDiffError:
        _tell([f"{names[0]}: no diff in it, so nothing was checked"])
        return []
    author = sender(_content(str(smtp_headers))) if smtp_headers is not None else ""
    return [patch if patch.author else replace(patch, author=author) for patch in found]


def _files(name: str) -> list[str]:
    """Return the patches of a directory in order of their names, and of anything else its name.

    Raises:
        UsageError: the directory has none.
    """
    if name == "-" or not Path(name).is_dir():
        return [name]
    found = sorted(str(path) for path in Path(name).glob("*.patch") if path.is_file())
    if not found:
        raise UsageError(f"{name}: a directory without *.patch")
    return found


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


def _checked(
    inputs: list[Patch], tree: Tree | None, wanted: _Wanted, *, checkpatch: bool, is_for_tree: bool
) -> Checked:
    import gc

    from ..check.run import check_patches

    gc.set_threshold(_GARBAGE)
    checked = check_patches(inputs, tree, wanted.rules, is_for_tree=is_for_tree)
    if checkpatch:
        from ..check.checkpatch import with_checkpatch

        if tree is None:
            raise UsageError("--checkpatch: no kernel source tree; name one with --linux TREE")
        checked = with_checkpatch(checked, tree, strict=wanted.strict)
    if wanted.images:
        from ..check.images import already, differences, observe, touched_by

        touched = touched_by(checked)
        with progress_line(wanted.quiet) as told:
            first, *others = [observe(name, wanted.image_rules, told) for name in wanted.images]
        part = differences(first, others[0], touched) if others else already(first, touched)
        checked = checked.with_parts(part)
    return checked


def _show(checked: Checked, wanted: _Wanted) -> None:
    """Write every format that is asked for."""
    for name, path in wanted.targets:
        chunks = _rendered(checked, name, path, wanted)
        if path == "-":
            write_out(chunks)
        else:
            write_file(path, "".join(chunks))


def _rendered(checked: Checked, name: str, path: str, wanted: _Wanted) -> Iterable[str]:
    from ..check.render import as_b4, as_b4_review, as_text, b4_findings

    if name == "text":
        colored = wants_color(wanted.color, path == "-" and sys.stdout.isatty())
        return as_text(checked, color=colored, most=wanted.most, summary=not wanted.quiet)
    if name in ("json", "html"):
        return _whole(checked, name)
    if name == "b4":
        return as_b4(b4_findings(checked, strict=wanted.strict))
    if name == "b4-review":
        return [as_b4_review(checked, strict=wanted.strict)]
    from ..report.checking import check_document, render_of
    from ..report.formats import RenderOptions

    return render_of(name)(check_document(checked), RenderOptions(max_findings=wanted.most, strict=wanted.strict))


def _whole(checked: Checked, name: str) -> Iterable[str]:
    """Return the document as JSON or as a page."""
    import json

    if name == "json":
        return [json.dumps(_document(checked), indent=2), "\n"]
    from ..report.html import page_of

    return page_of([_document(checked)])


def _document(checked: Checked) -> dict[str, Any]:
    """Return the document, with the patches in it."""
    from ..report.patch_record import check_record

    return check_record(checked)


def _tell(reasons: Iterable[str]) -> None:
    from ..report.escape import printable

    for reason in reasons:
        typer.echo(f"genpatch: note: {printable(reason)}", err=True)


def _rules(wanted: str) -> list[str]:
    from ..check.registry import all_rules

    rules = all_rules()
    if not wanted:
        width = max(len(each.name) for each in rules.values())
        return [
            f"{each.code}  {each.level:<7}  {each.name:<{width}} {each.doc.splitlines()[0]}\n"
            for each in rules.values()
        ]
    found = next((each for each in rules.values() if wanted.upper() == each.code or wanted == each.name), None)
    if found is None:
        raise UsageError(f"no rule {wanted!r}; 'genpatch check --list' lists them")
    return [f"{found.code} {found.name} ({found.level})\n\n{found.doc}\n"]
