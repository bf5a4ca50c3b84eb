# SPDX-License-Identifier: GPL-2.0-or-later
"""GP902: the kernel's patching code could be read."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CALL_OPS_CODE, SITES_AT, Fn, clean, fires, kernel, replaced
from ..facts import Facts
from ..model import Finding, Severity
from ..registry import rule

_STRANGE = replaced(CALL_OPS_CODE, "ftrace_call_adjust", "add a0, a0, a1\n jalr zero, 0(ra)")


@rule(
    "GP902",
    "code-not-understood",
    severity=Severity.NOTE,
    applies="kernel",
    source="the instructions of ftrace_caller, ftrace_call_adjust and ftrace_make_call",
    cases=(
        clean(lambda: kernel(Fn(name="one"))),
        fires(lambda: kernel(Fn(name="one"), code=_STRANGE), "ftrace_call_adjust"),
        fires(
            lambda: kernel(Fn(name="one"), code=CALL_OPS_CODE[1:], symbols={"ftrace_caller": SITES_AT + 0xE000}),
            "ftrace_caller",
        ),
    ),
)
def code_not_understood(facts: Facts) -> Iterator[Finding]:
    """A routine that rules rely on is in the image but could not be followed.

    ## What it checks
    That ftrace_caller, ftrace_call_adjust and ftrace_make_call, where they are there, could be decoded to
    their end and mean something: a jump back, a constant added, a write to the site.

    ## Why it matters
    Rules that need them were skipped, so this image is judged less than fully.

    ## Remedy
    If the routine is right, its shape is new: report it with the image.

    ## References
    genpatch/sites/patching.py.
    """
    code = facts.code
    unread = []
    if facts.image.address_of("ftrace_caller") is not None and (code.caller is None or not code.caller.complete):
        unread.append("ftrace_caller")
    if facts.image.address_of("ftrace_call_adjust") is not None and code.call_adjust is None:
        unread.append("ftrace_call_adjust")
    if facts.image.address_of("ftrace_make_call") is not None and not code.call_stores:
        unread.append("ftrace_make_call")
    for name in unread:
        yield Finding(
            message=f"{name} could not be followed, so what it does was not judged",
            kind="unread", address=facts.image.address_of(name), symbol=name, subject=name,
        )  # fmt: skip
