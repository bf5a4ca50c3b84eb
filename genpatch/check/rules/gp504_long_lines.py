# SPDX-License-Identifier: GPL-2.0-or-later
"""GP504: a commit message that fits a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..registry import message_rule

_LONGEST = 75
# quotes, indented text such as logs, tags and addresses stay as they are
_LEFT_ALONE = re.compile(r"[>|#\s]|[A-Z][A-Za-z-]*:\s|\[\s*\d+(?:\.\d+)?\]|Link:|.*\w://\S|\S+$")


@message_rule("GP504", "long-line")
def long_line(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """A line of the commit message is longer than 75 characters.

    ## What it checks
    Lines of prose. Quotes, indented lines, tags, links and lines without a space may be as long as they are.

    ## Why it matters
    ``git log`` indents messages by four columns, and nobody's terminal wraps them well.

    ## Remedy
    Wrap the text; indent what must not be wrapped.

    ## References
    Documentation/process/submitting-patches.rst, "The canonical patch format".
    """
    for line in patch.body:
        if len(line.text) > _LONGEST and not _LEFT_ALONE.match(line.text):
            yield line, f"a line of {len(line.text)} characters, expected at most {_LONGEST}"
