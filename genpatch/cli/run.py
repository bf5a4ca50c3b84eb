# SPDX-License-Identifier: GPL-2.0-or-later
"""``genpatch run``: a riscv64 program, executed by the interpreter."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import GenpatchError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.program import Program
    from ..machine.outcome import Outcome
    from ..run.program import Process, Setting

OUT_OF_BUDGET = 124
"""What timeout(1) exits with."""


class GuestError(GenpatchError):
    """The program did what it must not, or what this machine does not know."""


def run(
    program: Annotated[str, typer.Argument(metavar="PROG.elf", help="A static riscv64 executable.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARG...]", help="What the program finds in argv.")
    ] = None,
    max_insns: Annotated[
        int | None,
        typer.Option("--max-insns", min=0, metavar="N", help="Instructions at most; exit 124 when they are used up."),
    ] = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Print each instruction on stderr: pc, word, text, registers written, accesses."),
    ] = False,
    lanes: Annotated[
        int | None,
        typer.Option("--lanes", min=1, max=1 << 20, metavar="N", help="Run N copies in lockstep and compare them."),
    ] = None,
    stack: Annotated[
        int, typer.Option("--stack", min=4096, max=1 << 30, metavar="BYTES", help="Size of the stack.")
    ] = 1 << 20,
    misaligned: Annotated[
        str, typer.Option("--misaligned", metavar="HOW", help="Loads and stores that are not aligned: allow or fault.")
    ] = "allow",
    stats: Annotated[
        bool, typer.Option("--stats", help="Say on stderr how many instructions ran, and how fast.")
    ] = False,
) -> None:
    """Run a static riscv64 program.

    ecall with a7 = 93 or 94 exits with a0, 64 writes to stdout or stderr, any other returns -ENOSYS. The exit
    status is the program's; 124 if --max-insns ran out or the program can only repeat itself; 2 for a fault,
    with its cause on one line.
    """
    from ..errors import UsageError
    from ..image.containers import open_content
    from ..image.program import read_program
    from ..run.program import Process, Setting

    if misaligned not in ("allow", "fault"):
        raise UsageError(f"--misaligned {misaligned!r}: expected allow or fault")
    if lanes is not None and trace:
        raise UsageError("--trace shows one hart; leave out --lanes")
    loaded = read_program(open_content(program))
    setting = Setting(tuple(arguments or ()), stack, misaligned == "allow")
    if lanes is not None:
        raise typer.Exit(_run_lanes(loaded, lanes, max_insns, stats, setting))
    process = Process(loaded, _write, setting)
    outcome = _timed(lambda: _run_one(process, loaded, max_insns, trace), lambda: process.hart.retired, stats)
    raise typer.Exit(_status(outcome, loaded))


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, at once: what a program said before it fails must be there."""
    stream = sys.stdout if descriptor == 1 else sys.stderr
    stream.flush()
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(stream.fileno(), view) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError("standard output", got=error.strerror or str(error)) from error


def _run_one(process: Process, loaded: Program, budget: int | None, trace: bool) -> Outcome:
    if not trace:
        return process.run(budget)
    from ..machine.outcome import Outcome
    from ..run.listing import line_of

    name_at = loaded.symbols.nearest if len(loaded.symbols.functions) else None
    for entry in process.hart.trace(budget):
        if isinstance(entry, Outcome):
            return entry
        sys.stderr.write(line_of(entry, name_at) + "\n")
    raise AssertionError("a trace ends with an outcome")


def _run_lanes(loaded: Program, lanes: int, budget: int | None, stats: bool, setting: Setting) -> int:
    from ..run.program_lanes import LaneProcess

    process = LaneProcess(loaded, lanes, setting)
    outcome = _timed(lambda: process.run(budget), lambda: process.lanes.insns, stats)
    for descriptor, data in process.output:
        _write(descriptor, data)
    differing = process.differing()
    if len(differing):
        shown = ", ".join(str(lane) for lane in differing[:8].tolist())
        raise GuestError(f"{loaded.path}: {len(differing)} of {lanes} lanes differ from lane 0: {shown}")
    return _status(outcome, loaded)


def _timed(run_it: Callable[[], Outcome], count: Callable[[], int], stats: bool) -> Outcome:
    from time import perf_counter

    started = perf_counter()
    outcome = run_it()
    if stats:
        seconds = perf_counter() - started
        sys.stderr.write(
            f"{count():,} instructions in {seconds:.2f} s, {count() / seconds / 1e6:.1f} million a second\n"
        )
    return outcome


def _status(outcome: Outcome, loaded: Program) -> int:
    """Return the exit status that an outcome comes to.

    Raises:
        GuestError: the program did not exit by itself.
    """
    from ..machine.outcome import Status
    from ..run.listing import reason_of

    if outcome.status == Status.EXITED:
        return outcome.value
    name_at = loaded.symbols.nearest if len(loaded.symbols.functions) else None
    error = GuestError(f"{loaded.path}: {reason_of(outcome, name_at)}")
    if outcome.status in (Status.BUDGET, Status.STUCK):
        error.exit_code = OUT_OF_BUDGET
    raise error
