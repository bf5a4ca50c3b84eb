# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch prove``: a series applied, built, judged and booted, on a copy of a tree."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .audit import require, targets_of, write_file
from .folder import folder, write_pictures
from .output import write_out
from .progress_line import progress_line

if TYPE_CHECKING:
    from ..emit.tree import Tree
    from ..prove.model import Proof
    from ..prove.run import Order
    from ..prove.series import Part


_STOPPING = (signal.SIGTERM, signal.SIGHUP)
_OWN = os.getpid()


def prove(
    series: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERIES...]", help="Directory of git format-patch, mailbox, patches in order, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    linux: Annotated[
        Path | None, typer.Option("--linux", metavar="TREE", help="Kernel source tree; copied, never written to.")
    ] = None,
    emit: Annotated[str, typer.Option("--emit", metavar="NAME", help="Prove what 'genpatch emit NAME' makes.")] = "",
    base: Annotated[
        str, typer.Option("--base", metavar="CONFIG", help="small (genpatch's own), tinyconfig, defconfig or a file.")
    ] = "small",
    config: Annotated[
        list[str] | None,
        typer.Option("--config", metavar="FRAGMENT", help="File, or CONFIG_X=y; must be kept. May be repeated."),
    ] = None,
    toolchain: Annotated[
        str, typer.Option("--toolchain", metavar="NAME", help="clang, clang-19, gcc, gcc-13, riscv64-linux-gnu-, ...")
    ] = "clang",
    build: Annotated[
        str, typer.Option("--build", metavar="WHAT", help="kernel, or objects: only those of the files touched.")
    ] = "kernel",
    objects_only: Annotated[bool, typer.Option("--objects-only", help="The same as --build objects.")] = False,
    each: Annotated[
        bool, typer.Option("--each", help="Make the objects after each patch: bisection stays possible.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Build and judge without the series, too; only what it brings fails.")
    ] = False,
    checkpatch: Annotated[bool, typer.Option("--checkpatch", help="Run the tree's own scripts/checkpatch.pl.")] = False,
    boot: Annotated[bool, typer.Option("--boot", help="Start the kernel in qemu and read its start-up tests.")] = False,
    boot_timeout: Annotated[int, typer.Option(min=1, max=86400, metavar="SECONDS", help="For the boot.")] = 600,
    work: Annotated[
        Path | None, typer.Option("--work", metavar="DIR", help="Work directory. [default: in ~/.cache/genpatch]")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what is done in the work directory.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Of make; 0: one a CPU.")] = 0,
    ccache: Annotated[
        bool | None,
        typer.Option("--ccache/--no-ccache", help="Compile through ccache. [default: if CCACHE_DIR is set]"),
    ] = None,
    fail_on: Annotated[str, typer.Option(help="error, warning, note or never: findings that fail a stage.")] = "error",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "--output-format", metavar="F[=PATH]",
            help="text, json, markdown or html; may be repeated with paths.",
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")] = "-",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="DIR", help="Also write its pictures there; made if need be.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Prove a patch series: apply, check, build, audit, verify, race and boot it.

    All is done on a copy of the tree, made of its files as they lie there (of a git work tree what git does not
    ignore). Building a kernel runs what its Makefiles say: that is what this verb is asked to do. Beside that,
    only the tree's checkpatch (--checkpatch) and qemu (--boot) are run.

    A proof that is stopped goes on where it was with the same command: stages that were in order are not repeated
    while series, tree, configuration and tools are the same. Logs and documents lie in DIR/logs.

    Exit status: 0 every stage passed or was not asked for, 1 one failed, 2 the proof could not be tried.
    """
    from ..report.proving import PROOF_FORMATS, proof_record

    targets = targets_of(formats or ["text"], output)
    for name, _ in targets:
        require("--format", name, tuple(PROOF_FORMATS))
    require("--fail-on", fail_on, ("error", "warning", "note", "never"))
    require("--build", build, ("kernel", "objects"))
    for _, path in targets:
        _require_place(path)
    if linux is None:
        raise UsageError("name the kernel source tree: --linux TREE")
    if bool(series) == bool(emit):
        raise UsageError(
            "name a series, or what to make: --emit NAME"
            if not series
            else "--emit makes a series of its own: leave out the other"
        )
    order = _order(
        base, config or [], toolchain, objects_only or build == "objects", each, baseline, checkpatch, boot,
        boot_timeout, jobs, ccache, fail_on,
    )  # fmt: skip
    with folder(svg):
        try:
            proof = _proved(order, linux, series or [], emit, work, restart, quiet)
        except KeyboardInterrupt:
            typer.echo("genpatch: note: stopped; the same command goes on from there", err=True)
            raise
        for name, path in targets:
            _write(path, "".join(PROOF_FORMATS[name](proof)))
        if svg is not None:
            write_pictures(svg, {"": proof_record(proof)})
    raise typer.Exit(0 if proof.is_proved else 1)


def _write(path: str, text: str) -> None:
    if path == "-":
        write_out([text])
    else:
        write_file(path, text)


def _require_place(output: str) -> None:
    """Find out before hours of work that the report cannot be written.

    Raises:
        UsageError: there is no such directory, or nothing may be written there.
    """
    folder = Path(output).parent
    if output != "-" and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UsageError(f"--output {output!r}: no directory that can be written to")


def _order(
    base: str, config: list[str], toolchain: str, objects_only: bool, each: bool, baseline: bool, checkpatch: bool,
    boot: bool, boot_timeout: int, jobs: int, ccache: bool | None, fail_on: str,
) -> Order:  # fmt: skip
    from ..prove.config import read_wanted
    from ..prove.run import Order
    from ..prove.tools import toolchain_of

    return Order(
        wanted=read_wanted(base, config),
        toolchain=toolchain_of(toolchain),
        each=each,
        objects_only=objects_only,
        checkpatch=checkpatch,
        boot=boot,
        baseline=baseline,
        ccache=bool(os.environ.get("CCACHE_DIR")) if ccache is None else ccache,
        jobs=jobs or len(os.sched_getaffinity(0)),
        boot_timeout=boot_timeout,
        fail_on=fail_on,
    )


def _proved(
    order: Order, linux: Path, series: list[str], emit: str, work: Path | None, restart: bool, quiet: bool
) -> Proof:
    from ..emit.tree import open_tree
    from ..prove.run import prove as run_prove
    from ..prove.work import open_work
    from ..report.judging import JUDGES

    tree = open_tree(linux)
    parts = _emitted(tree, emit) if emit else _read(series)
    order.check_tools()
    root = work if work is not None else _default_work(linux)
    if not quiet:
        typer.echo(f"genpatch: note: work directory {root}", err=True)
    with _stopped_by_signals(), open_work(root, linux) as place, progress_line(quiet) as progress:
        if restart:
            place.restart()
        return run_prove(order, tree, parts, place, JUDGES, progress)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let what ends a program end a proof as Ctrl-C does: the build or the machine that it runs ends with it."""
    _leave_children_alone()
    old = {number: signal.signal(number, _stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    if os.getpid() != _OWN:
        os._exit(128 + number)
    raise KeyboardInterrupt


@cache
def _leave_children_alone() -> None:
    """Let processes that are forked be ended at once.

    A handler in Python runs when the interpreter gets to it: a worker that is about to wait for a lock never does,
    and who has ended it waits forever.
    """
    os.register_at_fork(after_in_child=_end_as_others_do)


def _end_as_others_do() -> None:
    for number in _STOPPING:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)


def _read(series: list[str]) -> list[Part]:
    from ..prove.series import read_series

    return read_series(series)


def _emitted(tree: Tree, name: str) -> list[Part]:
    from ..check.patches import read_patches
    from ..emit.run import find_recipe, make_series
    from ..prove.series import Part

    mails = [(mail.name, mail.text.encode()) for mail in make_series(tree, find_recipe(name)).mails]
    return [Part(label, tuple(read_patches(data, label))) for label, data in mails]


def _default_work(linux: Path) -> Path:
    """Return a work directory of a tree's own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - raises nothing
    place = linux.resolve()
    return cache / "genpatch" / f"prove-{sha256(str(place).encode()).hexdigest()[:12]}"
