# SPDX-License-Identifier: GPL-2.0-or-later
"""GP503: a review by the author."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..patches import address_of
from ..registry import message_rule

_TAG = re.compile(r"(Reviewed-by|Acked-by|Tested-by):[ \t]*(.*)$", re.I)


@message_rule("GP503", "own-review")
def own_review(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """The author of a patch has reviewed, acknowledged or tested it in a tag.

    ## What it checks
    Reviewed-by, Acked-by and Tested-by lines with the address of the patch's author.

    ## Why it matters
    These lines say what somebody else did. Of an author all of it is taken for granted.

    ## Remedy
    Take the line out. What was tested, and how, belongs in the text.

    ## References
    Documentation/process/submitting-patches.rst, "Using Reported-by:, Tested-by:, Reviewed-by: ...".
    """
    author = address_of(patch.author)
    for line in patch.body if author else ():
        if (tag := _TAG.match(line.text)) is not None and address_of(tag[2]) == author:
            yield line, f"{tag[1]}: by the author of the patch"
