# SPDX-License-Identifier: GPL-2.0-or-later
"""GP132: a module is judged against the kernel it was built for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...image.model import ImageKind
from ..cases import Fn, clean, fires, kernel
from ..facts import Facts
from ..model import Finding, Severity, Skip
from ..registry import rule


def _module(release: str) -> Facts:
    module = kernel(Fn(name="one"), kind=ImageKind.MODULE, of=kernel(Fn(name="k")))
    return replace(module, image=replace(module.image, release=release))


@rule(
    "GP132",
    "module-release-differs",
    severity=Severity.WARNING,
    applies="module",
    source="linux kernel/module/main.c: vermagic must equal the kernel's",
    cases=(
        clean(lambda: _module("7.2.0-toy")),
        fires(lambda: _module("6.12.0-toy"), "built for 6.12.0-toy"),
    ),
)
def module_release_differs(facts: Facts) -> Iterator[Finding]:
    """A module was built for another release than the kernel it is audited with.

    ## What it checks
    The release in the module's vermagic against the one in the kernel's banner.

    ## Why it matters
    The kernel refuses to load it, and what this audit says of the pair means nothing.

    ## Remedy
    Audit modules with their own kernel.

    ## References
    include/linux/vermagic.h.
    """
    if facts.kernel is None:
        raise Skip("the module's kernel was not given")
    mine, theirs = facts.image.release, facts.kernel.image.release
    if mine is None or theirs is None:
        raise Skip("the release of the module or of its kernel is not known")
    if mine != theirs:
        yield Finding(message=f"the module was built for {mine}, its kernel is {theirs}", kind="release")
