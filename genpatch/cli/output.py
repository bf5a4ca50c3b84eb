# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing to stdout, quietly when nobody reads it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable


def write_out(chunks: Iterable[str]) -> None:
    """Write text to stdout; when the reader has gone (``| head``) the rest is dropped without a word."""
    try:
        sys.stdout.writelines(chunks)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
