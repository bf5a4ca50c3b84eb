# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs run with a log, a time limit and nothing left behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import ProveError

__all__ = ["MOST_LOG", "Ran", "run", "said"]

MOST_LOG = 64 << 20
"""Bytes of output that are kept; a program that says more is ended."""
_GRACE = 5.0
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program.

    Args:
        status: its exit status; negative if a signal ended it.
        seconds: that it ran.
        why: it was ended: ``"time"``, ``"output"`` or ``"enough"``; empty if it ended itself.
    """

    status: int
    seconds: float
    why: str = ""


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout: float,
    on_line: Callable[[str], bool | None] | None = None,
) -> Ran:
    """Run a program; what it says goes to the end of a log.

    Args:
        on_line: called with each line; the program is ended when it returns True.
        timeout: [seconds].

    Raises:
        ProveError: it cannot be started, or the log not be written.
    """
    started = time.monotonic()
    try:
        with log.open("ab", buffering=0) as stream:
            stream.write(f"$ {' '.join(command)}\n".encode())
            process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                why = _follow(process, stream.write, on_line, started + timeout)
            finally:
                _end(process)
    except OSError as error:
        raise ProveError(f"{Path(command[0]).name}: {error.strerror or error}") from None
    return Ran(process.returncode, time.monotonic() - started, why)


def _follow(
    process: subprocess.Popen[bytes],
    write: Callable[[bytes], object],
    on_line: Callable[[str], bool | None] | None,
    deadline: float,
) -> str:
    """Read what a program says until it ends; return why it is to be ended before that."""
    assert process.stdout is not None
    pending, total = b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if time.monotonic() > deadline:
                return "time"
            if not selector.select(_POLL):
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            write(data)
            total += len(data)
            if total > MOST_LOG:
                return "output"
            *lines, pending = (pending + data).split(b"\n")
            pending = pending[-4096:]
            if on_line is not None and any(on_line(line.decode("utf-8", "replace")[:4096]) for line in lines):
                return "enough"
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.1, deadline - time.monotonic()))
        return ""
    return "time"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started, if it has not ended itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    if process.stdout is not None:
        process.stdout.close()


def said(command: Sequence[str]) -> str:
    """Return the first line that a program says of itself; empty if it says nothing."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.decode("utf-8", "replace").strip()
    return text.split("\n")[0].strip()[:200]
