# SPDX-License-Identifier: GPL-2.0-or-later
"""GP901: the image's scheme is known."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CALL_OPS_CODE, CALL_OPS_MAKE_CALL, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule

_ODD_STORE = replaced(
    CALL_OPS_CODE, "ftrace_make_call", CALL_OPS_MAKE_CALL.replace("addi a2, zero, 4", "addi a2, zero, 12")
)


@rule(
    "GP901",
    "scheme-undetermined",
    severity=Severity.WARNING,
    source="the catalog of schemes",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(
            lambda: kernel(Fn(name="one"), code=_ODD_STORE), "looks like call-ops, but ftrace_make_call writes 12 bytes"
        ),
        fires(lambda: kernel(Fn(name="one", before=4, after=4), code=()), "no scheme"),
    ),
)
def scheme_undetermined(facts: Facts) -> Iterator[Finding]:
    """What is seen in the image fits no scheme, or several.

    ## What it checks
    Whether sleds, the trampoline and the patcher's stores together fit exactly one scheme of the catalog.

    ## Why it matters
    Most rules measure an image against its scheme. Without one they cannot run, and say so.

    ## Remedy
    Look at the evidence in the report. A new scheme needs a record in the catalog; a broken image shows its
    fault in the trait that contradicts.

    ## References
    genpatch/schemes/catalog.py.
    """
    if not len(facts.sites) and facts.image.table is None:
        raise Skip("the image has no table")
    if facts.is_module and facts.kernel is None:
        raise Skip("which scheme a module is for is its kernel's to tell: give --kernel")
    if not facts.is_module and facts.verdict.mismatches:
        yield Finding(
            message=f"the image looks like {facts.verdict.name}, but {'; '.join(facts.verdict.mismatches)}",
            kind="mismatch",
            level=Severity.ERROR,
        )
    if facts.scheme is None:
        seen = "; ".join(facts.verdict.evidence) or "nothing was seen"
        against = "; ".join(facts.verdict.contradictions) or "too little to tell schemes apart"
        yield Finding(
            message=f"no scheme of the catalog fits: {seen} ({against})",
            kind="scheme",
            level=Severity.WARNING if facts.is_module else Severity.ERROR,
        )
