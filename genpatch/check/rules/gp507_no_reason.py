# SPDX-License-Identifier: GPL-2.0-or-later
"""GP507: a message says why."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..registry import message_rule

_TAG = re.compile(r"(?:[A-Z][\w-]*-by|Fixes|Cc|Link|Closes|References?|BugLink|Change-Id|Message-ID|Depends-on):", re.I)


@message_rule("GP507", "no-reason")
def no_reason(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """The commit message has tags only, and no text.

    ## What it checks
    Whether anything stands between the subject and the tags.

    ## Why it matters
    What a patch does can be read in it; why it does so, and what goes wrong without it, can not.

    ## Remedy
    Say what is wrong today, what the patch does about it, and why in this way.

    ## References
    Documentation/process/submitting-patches.rst, "Describe your changes".
    """
    if patch.subject is None or patch.subject.text.startswith('Revert "'):
        return
    if not any(line.text.strip() and not _TAG.match(line.text) for line in patch.body):
        yield patch.subject, "the message says nothing but its subject"
