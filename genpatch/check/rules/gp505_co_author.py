# SPDX-License-Identifier: GPL-2.0-or-later
"""GP505: who developed a patch with its author has signed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from ..model import MessageLine, Patch
from ..patches import address_of
from ..registry import message_rule

_TAG = re.compile(r"Co-developed-by:[ \t]*(.*)$", re.I)
_SIGNED = re.compile(r"Signed-off-by:[ \t]*(.*)$", re.I)


@message_rule("GP505", "co-author")
def co_author(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """A patch names somebody who developed it too, and who has not signed it.

    ## What it checks
    Whether the line behind a Co-developed-by line is a Signed-off-by line with the same address.

    ## Why it matters
    Whoever wrote a part of a patch has to say that it may be given away. Maintainers cannot say it for them, and
    send the patch back.

    ## Remedy
    Put the Signed-off-by line of that person directly behind, with their consent.

    ## References
    Documentation/process/submitting-patches.rst, "When to use Acked-by:, Cc:, and Co-developed-by:".
    """
    lines = [line for line in patch.body if line.text.strip()]
    for line, behind in zip_longest(lines, lines[1:]):
        if (tag := _TAG.match(line.text)) is None:
            continue
        signed = _SIGNED.match(behind.text) if behind is not None else None
        if signed is None or address_of(signed[1]) != address_of(tag[1]):
            yield line, "Co-developed-by: without a Signed-off-by: of the same person directly behind it"
