# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with an input that should be a patch."""

from __future__ import annotations

from ..errors import GenpatchError


class PatchError(GenpatchError):
    """An input is no patch, or one that is not touched.

    Args:
        name: the input as the user named it.
        line: in the input, 0 if none.
        why: in words.
    """

    def __init__(self, name: str, line: int, why: str) -> None:
        self.name = name
        self.line = line
        self.why = why
        super().__init__(name, line, why)

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: {self.why}" if self.line else f"{self.name}: {self.why}"


class NoDiffError(PatchError):
    """An input holds no diff: a cover letter, or something else."""
