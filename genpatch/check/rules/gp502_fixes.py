# SPDX-License-Identifier: GPL-2.0-or-later
"""GP502: a Fixes: line that programs can read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..model import MessageLine, Patch
from ..registry import message_rule

_FIXES = re.compile(r"fixes:\s*(?:commit\s+)?(?:[0-9a-f]{5,}\b|[0-9a-f]+\s*\()|fixes:\s*<", re.I)
_FORM = re.compile(r"Fixes: [0-9a-f]{12,40} \(\".+\"\)$")


@message_rule("GP502", "fixes-format")
def fixes_format(patch: Patch) -> Iterator[tuple[MessageLine, str]]:
    """A Fixes: line has not the form that stable maintainers' programs read.

    ## What it checks
    Each line that starts with ``Fixes:`` and names a commit: 12 to 40 hexadecimal digits, then the subject of
    that commit in double quotes and parentheses, all on one line. Lines that name a report are left alone.

    ## Why it matters
    What is picked for stable trees is found by this line; a digit too few may name two commits.

    ## Remedy
    ``git show -s --pretty='Fixes: %h ("%s")' --abbrev=12 COMMIT``.

    ## References
    Documentation/process/submitting-patches.rst, "Describe your changes".
    """
    for line in patch.body:
        if _FIXES.match(line.text) and not _FORM.match(line.text.rstrip()):
            yield line, "expected 'Fixes: <12 or more hexadecimal digits> (\"subject\")' on one line"
