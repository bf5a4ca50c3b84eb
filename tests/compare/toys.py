# SPDX-License-Identifier: GPL-2.0-or-later
"""Three functions laid out by hand, on multiples of 8 with sleds of 8 and 8 bytes; bodies of 2, 4 and 2 bytes."""

from __future__ import annotations

from genpatch.audit.cases import RET, SITES_AT, Fn, kernel
from genpatch.audit.facts import Facts
from genpatch.compare.layout import TextLayout, read_layout
from genpatch.schemes import get_scheme

THREE = (
    Fn(name="a", at=SITES_AT + 0x08),
    Fn(name="b", at=SITES_AT + 0x20, body=RET * 2),
    Fn(name="c", at=SITES_AT + 0x38),
)


def layout(*functions: Fn, scheme: str = "call-ops") -> TextLayout:
    facts = toy(*functions)
    return read_layout(facts.image, facts.sites, get_scheme(scheme))


def toy(*functions: Fn) -> Facts:
    return kernel(*functions, code=())
