# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from an image made fit to print. Symbol names and paths are input, and input may be hostile."""

from __future__ import annotations

import re

MAX_TEXT = 4000
# A line of a CI log that starts with "::" or holds "##[" is a command to the CI system.
_COMMANDS = re.compile(r"::|##\[")


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def printable(text: str, *, ascii_only: bool = False, limit: int = MAX_TEXT) -> str:
    r"""Return one line that does nothing to a terminal or a CI log.

    Control, format (bidirectional, zero width), surrogate, private and unassigned characters and all
    separators but the space become ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``; so does the second character of
    ``::`` and ``##[``.

    Args:
        ascii_only: escape everything outside ASCII as well.
        limit: characters of the text that are kept; ``...`` stands for the rest.
    """
    if len(text) > limit:
        text = text[:limit] + "..."
    if ":" in text or "#" in text:
        text = _COMMANDS.sub(lambda match: match[0][0] + _escape(match[0][1]) + match[0][2:], text)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escape(char) for char in text)
    if ascii_only and not text.isascii():
        text = "".join(char if char.isascii() else _escape(char) for char in text)
    return text
