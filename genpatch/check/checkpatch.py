# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree's own scripts/checkpatch.pl, run on the same patches when it is asked for by name."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO

from ..emit.tree import Tree
from ..errors import GenpatchError, UsageError
from .model import MESSAGE, Finding, Level, Outcome, Patch
from .run import Checked, Judged

__all__ = ["SCRIPT", "CheckpatchError", "with_checkpatch"]

SCRIPT = "scripts/checkpatch.pl"
MOST_SECONDS = 120
MOST_OUTPUT = 1 << 20
MOST_ENTRIES = 1000
_OPTIONS = ("-q", "--terse", "--no-summary", "--mailback", "--show-types", "--color=never")
_LINE = re.compile(r"[^:]*:(\d+): (ERROR|WARNING|CHECK):([A-Z0-9_]+): (.*)$")
_LEVELS = {"ERROR": Level.ERROR, "WARNING": Level.WARNING, "CHECK": Level.NOTE}
# what a rule here says of the same line, in other words
_SAME = {"COMMIT_LOG_LONG_LINE": "GP504", "BAD_FIXES_TAG": "GP502"}


class CheckpatchError(GenpatchError):
    """checkpatch.pl cannot be run, or does not end as it should."""


def with_checkpatch(checked: Checked, tree: Tree, *, strict: bool) -> Checked:
    """Run the tree's checkpatch.pl on each patch and take in what it says.

    Args:
        checked: the patches, judged.
        tree: whose script is run.
        strict: also ask it for what it calls checks.
    Raises:
        UsageError: there is no perl, or no such script.
        CheckpatchError: it takes too long, says too much or breaks.
    """
    perl = shutil.which("perl")
    if perl is None:
        raise UsageError("--checkpatch: perl is not installed")
    if not tree.has(SCRIPT):
        raise UsageError(f"--checkpatch: {tree.root} has no {SCRIPT}")
    root = tree.root.resolve()
    command = (perl, str(root / SCRIPT), *_OPTIONS, f"--root={root}", *(("--strict",) if strict else ()), "-")
    with tempfile.TemporaryDirectory(prefix="genpatch-") as here:
        _link(root, Path(here))
        parts = [
            _with_findings(part, command, Path(here)) if part.patch is not None else part for part in checked.parts
        ]
    return checked._replace(parts=tuple(parts))


def _link(root: Path, here: Path) -> None:
    """Make a directory look like the top of a tree: what the script puts there, such as its cache, stays out of it.

    Raises:
        CheckpatchError: that cannot be done.
    """
    try:
        for entry in islice(root.iterdir(), MOST_ENTRIES):
            (here / entry.name).symlink_to(entry)
    except OSError as error:
        raise CheckpatchError(f"{SCRIPT}: {error.strerror or error}") from None


def _with_findings(part: Judged, command: Sequence[str], here: Path) -> Judged:
    assert part.patch is not None
    said = {(each.rule, each.line) for each in part.findings}
    found: dict[Finding, None] = {}
    for line, level, kind, message in _run(command, here, part.patch):
        at = part.patch.first + line - 1
        if (_SAME.get(kind), at) not in said:
            file, shown = _place(part.patch, at)
            name = kind.lower().replace("_", "-")
            found[Finding(f"CP-{kind}", level, file, shown, message, part.patch.name, name)] = None
    outcomes = {each.rule: Outcome(each.rule, each.name, each.level, "fail", 0) for each in found}
    counted = [each._replace(findings=sum(one.rule == each.rule for one in found)) for each in outcomes.values()]
    ran = Outcome("CP", "checkpatch", Level.ERROR, "pass")
    more = tuple(sorted(counted, key=lambda each: each.rule)) or (ran,)
    return part._replace(findings=(*part.findings, *found), outcomes=(*part.outcomes, *more))


def _run(command: Sequence[str], here: Path, patch: Patch) -> Iterator[tuple[int, Level, str, str]]:
    """Yield (line of the patch, level, type, text) of what it says of one patch.

    Raises:
        CheckpatchError: it does not end as it should.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = _status(command, here, patch.raw, out, err)
        out.seek(0)
        err.seek(0)
        said, trouble = out.read(MOST_OUTPUT + 1), err.read(2000).decode("utf-8", "replace")
    if len(said) > MOST_OUTPUT:
        raise CheckpatchError(f"{SCRIPT}: more than {MOST_OUTPUT:,} bytes of output")
    lines = [_LINE.match(line) for line in said.decode("utf-8", "replace").split("\n") if line.strip()]
    if status not in (0, 1) or (status and not lines) or None in lines:
        first = (trouble.strip() or said.decode("utf-8", "replace").strip()).split("\n")[0]
        raise CheckpatchError(f"{SCRIPT}: status {status}: {first[:200] or 'no word'}")
    for line in lines:
        if line is not None:
            yield int(line[1]), _LEVELS[line[2]], line[3], line[4]


def _status(command: Sequence[str], here: Path, given: bytes, out: IO[bytes], err: IO[bytes]) -> int:
    """Run a command in a directory and return how it ended; it is killed with its children if it takes too long."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            cwd=here,
            start_new_session=True,
            preexec_fn=_limited,
        )
    except OSError as error:
        raise CheckpatchError(f"{SCRIPT}: {error.strerror or error}") from None
    try:
        process.communicate(given, timeout=MOST_SECONDS)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CheckpatchError(f"{SCRIPT}: no end after {MOST_SECONDS} s") from None
        raise
    return process.returncode


def _limited() -> None:
    """Let no file grow beyond what is read of it."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MOST_OUTPUT, 2 * MOST_OUTPUT))


def _place(patch: Patch, at: int) -> tuple[str, int]:
    """Return file and line that a line of the input is about."""
    for file in patch.files:
        for hunk in file.hunks:
            number = hunk.new_start - 1
            shown = hunk.at
            for line in hunk.lines:
                shown += 1
                number += line.kind != "-"
                if shown == at:
                    return file.path, number
                shown += not line.text.endswith("\n")
    return MESSAGE, at
