# SPDX-License-Identifier: GPL-2.0-or-later
"""One line on a terminal's stderr that says what is being done, and is gone in the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_line"]


@contextmanager
def progress_line(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield what shows a text; it does nothing if nobody is there to read it."""
    from ..report.escape import printable

    if quiet or os.environ.get("CI") or not sys.stderr.isatty():
        yield lambda _: None
        return
    yield lambda text: print(f"\r\033[K{printable(text)}", end="", file=sys.stderr, flush=True)
    print("\r\033[K", end="", file=sys.stderr, flush=True)
