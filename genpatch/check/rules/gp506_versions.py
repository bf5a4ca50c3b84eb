# SPDX-License-Identifier: GPL-2.0-or-later
"""GP506: what changed between versions of a patch is not history of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..registry import message_rule

_HEAD = re.compile(
    r"(?:change ?log|changes|changed|differences?)\s+(?:in|since|from|between)\s+(?:PATCH\s+)?v\d+\b(?![.\w])"
    r"|change ?log\s*:?\s*$|v\d+\s*(?:->|=>|\.\.)\s*v\d+\s*:?\s*$|(?:since|from) v\d+\s*:\s*$|v[2-9]\d*:\s*$",
    re.I,
)


@message_rule("GP506", "versions-in-message")
def versions_in_message(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """The commit message tells what changed since an earlier version of the patch.

    ## What it checks
    Lines of the message, above ``---``, that head such a list: "Changes in v2", "v1 -> v2:", "Changelog:".

    ## Why it matters
    Nobody who reads the history has seen the first version. Maintainers have to cut the list out by hand.

    ## Remedy
    Put the list behind the line of three dashes, or into the cover letter.

    ## References
    Documentation/process/submitting-patches.rst, "The canonical patch format".
    """
    for line in patch.body:
        if _HEAD.match(line.text):
            yield line, "what changed since another version belongs behind the line of three dashes"
            return
