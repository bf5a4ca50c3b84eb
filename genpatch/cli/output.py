# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing to stdout, quietly when nobody reads it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from ..errors import InputError


def write_out(chunks: Iterable[str]) -> None:
    """Write text to stdout; when the reader has gone (``| head``) the rest is dropped without a word.

    Raises:
        InputError: it cannot be written (the disk is full).
    """
    try:
        sys.stdout.writelines(chunks)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered goes there at exit
        if not isinstance(error, BrokenPipeError):
            raise InputError("standard output", got=error.strerror or str(error)) from error
