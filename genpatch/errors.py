# SPDX-License-Identifier: GPL-2.0-or-later
"""The error tree. Library code raises these; only the command line turns them into an exit status."""

from __future__ import annotations


class GenpatchError(Exception):
    """Anything genpatch reports as one line on stderr."""

    exit_code = 2


class UsageError(GenpatchError):
    """The command line, an option or a configuration file is wrong."""


class InputError(GenpatchError):
    """An input cannot be read as what it claims to be.

    Args:
        path: the file as the user named it.
        place: where in the file (``"section header 7"``, ``"offset 0x40"``), may be empty.
        expected: what should have been there, may be empty.
        got: what was there.
    """

    def __init__(self, path: str, place: str = "", *, expected: str = "", got: str = "") -> None:
        self.path = path
        self.place = place
        self.expected = expected
        self.got = got
        super().__init__(path, place, expected, got)

    def __str__(self) -> str:
        what = f"expected {self.expected}, got {self.got}" if self.expected else self.got
        text = ": ".join(part for part in (self.path, self.place, what) if part)
        return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

    def at(self, path: str) -> InputError:
        """Return the same error for the file that the user named."""
        return type(self)(path, self.place, expected=self.expected, got=self.got)


class ImageError(InputError):
    """A kernel image, module or object is malformed, truncated or not RISC-V."""


class RelocationError(ImageError):
    """A relocation is of a kind or at a place that cannot be applied."""


class TypesError(ImageError):
    """BTF type information is malformed or lacks what was asked for."""


class SchemeError(GenpatchError):
    """A call scheme is unknown or ambiguous."""


class OutOfReach(GenpatchError):  # noqa: N818 - named after what happened
    """A distance does not fit the instruction sequence that should cover it."""
