# SPDX-License-Identifier: GPL-2.0-or-later
"""GP903: the image was read without trouble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity
from ..registry import rule


def _noted(note: str) -> Facts:
    facts = kernel(Fn(name="one"))
    return replace(facts, image=replace(facts.image, trouble=(note,)))


@rule(
    "GP903",
    "reader-trouble",
    severity=Severity.WARNING,
    source="the readers of the image",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: _noted("BTF: bad magic"), "bad magic"),
    ),
)
def reader_trouble(facts: Facts) -> Iterator[Finding]:
    """Part of the image could not be read.

    ## What it checks
    What the readers noted: unreadable BTF, a broken embedded configuration, no symbols, instructions that
    are not stored.

    ## Why it matters
    Rules that need that part were skipped or see less than there is.

    ## Remedy
    Give what is missing (--system-map, --config, the unstripped file), or repair the build step that damaged
    the image.

    ## References
    genpatch/image/read.py.
    """
    for text in facts.image.trouble:
        yield Finding(message=text, kind="trouble", subject=text.split(":")[0])
