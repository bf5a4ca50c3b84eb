# SPDX-License-Identifier: GPL-2.0-or-later
"""GP501: a subject that a maintainer can file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..registry import message_rule

_LONGEST = 75
_PREFIX = re.compile(r"(?:Revert \"|[\w./+-]+(?:(?:, ?| )[\w./+-]+){0,3}: *\S)")


@message_rule("GP501", "subject")
def subject(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """The subject is missing, too long or does not say what it is about.

    ## What it checks
    The subject without ``[PATCH ...]``: at most 75 characters, and a subsystem and a colon before the text.

    ## Why it matters
    Maintainers sort mail by it, and it is what ``git log --oneline`` and a later Fixes: line quote.

    ## Remedy
    Write ``riscv: ftrace: say what the patch does``.

    ## References
    Documentation/process/submitting-patches.rst, "The canonical patch format".
    """
    line = patch.subject
    if line is None:
        return
    if not line.text.strip():
        yield line, "no subject"
        return
    if len(line.text) > _LONGEST and not line.text.startswith('Revert "'):
        yield line, f"the subject has {len(line.text)} characters, expected at most {_LONGEST}"
    if not _PREFIX.match(line.text):
        yield line, "the subject names no subsystem, expected 'riscv: ftrace: text' or the like"
