# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong when patches are made."""

from __future__ import annotations

from ..errors import GenpatchError


class EmitError(GenpatchError):
    """A series cannot be made from this tree, or not be written there."""


class AnchorError(EmitError):
    """The place of an edit is missing from a file, or there are several.

    Args:
        path: the file, as the tree names it.
        anchor: the place in words.
        places: how many there are.
    """

    def __init__(self, path: str, anchor: str, places: int) -> None:
        self.path = path
        self.anchor = anchor
        self.places = places
        super().__init__(path, anchor, places)

    def __str__(self) -> str:
        why = f"ambiguous ({self.places} places)" if self.places else "missing"
        return f"{self.path}: {self.anchor}: {why}"
