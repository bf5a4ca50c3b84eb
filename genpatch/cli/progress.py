# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..report.escape import printable

_SHORT = 2


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int | None, str], None]]:
    """Show a bar while more than a few images are audited; yields the callback that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("audit", total=None, visible=False)

        def advance(done: int, total: int | None, name: str) -> None:
            label = printable(PurePath(name).name)[:32]
            bar.update(
                task, completed=done, total=total, description=f"{label:<32}", visible=total is None or total > _SHORT
            )

        yield advance
