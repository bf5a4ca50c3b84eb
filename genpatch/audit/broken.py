# SPDX-License-Identifier: GPL-2.0-or-later
"""From promises that a run kernel has broken to findings: what all rules about executed code share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..units import I64Array, as_hex
from ..verify.promises import Promise
from .facts import Facts, join_names
from .model import Finding, Severity, plural

if TYPE_CHECKING:
    from ..verify.contract import Failure

__all__ = ["broken"]


def broken(facts: Facts, *promises: Promise) -> Iterator[Finding]:
    """Yield a finding for what was broken at the same sites in the same states: several registers are one thing."""
    verification = facts.need_verification()
    about: dict[tuple[Promise, str], list[Failure]] = {}
    for failure in verification.failures:
        if failure.promise in promises:
            about.setdefault((failure.promise, failure.what), []).append(failure)
    alike: dict[tuple[Promise, tuple[str, ...], bytes, str], list[tuple[str, list[Failure]]]] = {}
    for (promise, what), failures in about.items():
        sites = np.unique(np.concatenate([failure.lanes for failure in failures]))
        states = tuple(dict.fromkeys(failure.state for failure in failures))
        apart = "" if promise in _SUBJECTS else what
        alike.setdefault((promise, states, sites.tobytes(), apart), []).append((what, failures))
    for (promise, states, raw, _), members in alike.items():
        yield _finding(facts, promise, states, np.frombuffer(raw, np.int64), members)


def _finding(
    facts: Facts, promise: Promise, states: tuple[str, ...], sites: I64Array, members: list[tuple[str, list[Failure]]]
) -> Finding:
    names = [what for what, _ in members]
    subject = (_SUBJECT if len(names) == 1 else _SUBJECTS)[promise].format(
        what=_joined([_PLACES.get(name, name) for name in names])
    )
    message = (
        f"{subject} at {plural(len(sites), 'site')} of {len(facts.sites):,} "
        f"in {'state' if len(states) == 1 else 'states'} {join_names(states)}: {_example(facts, members[0][1][0])}"
    )
    kind = f"{promise.value}-{_slug(names[0])}"
    level = None
    if _is_plain(facts, promise, states):
        message += "; callbacks without SAVE_REGS must not look at it, but nothing keeps them from that"
        level = Severity.WARNING
    return facts.about_sites(sites, message, kind, level=level, subject=" ".join(names))


def _is_plain(facts: Facts, promise: Promise, states: tuple[str, ...]) -> bool:
    """Tell whether this is about the frame of a trampoline that has another beside it, with all registers."""
    is_frame = promise in (Promise.FRAME, Promise.FRAME_SET, Promise.STACK)
    return is_frame and states == ("enabled",) and facts.code.image.address_of("ftrace_regs_caller") is not None


def _joined(names: list[str]) -> str:
    """Return ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_PLACES = {
    "body": "the body",
    "elsewhere": "the place that the callback sent it to",
    "parent": "the function's caller",
}
"""Where a run must end, in words."""

_SUBJECT = {
    Promise.PATCH_RETURNS: "{what} fails",
    Promise.PATCH_STAYS: "{what} writes to other instructions than the site's",
    Promise.RESTORES: "disabling does not bring back the bytes of the boot state",
    Promise.ARRIVES: "execution does not arrive in {what}",
    Promise.CALLS: "the {what} is not called once",
    Promise.ARGUMENTS: "{what} is wrong",
    Promise.REGISTERS: "{what} is not preserved",
    Promise.FRAME: "{what} in the frame is wrong",
    Promise.FRAME_SET: "{what} in the frame is never written",
    Promise.STACK: "{what} is out of order when the callback is called",
    Promise.INITIALISED: "the {what} is read where nothing was written",
    Promise.OBEYS: "{what} is not what the callback asked for",
    Promise.RETURNS: "{what} is lost on the way back",
    Promise.LIVE: "{what}, which a traced call changes, is read first",
}


_SUBJECTS = {
    Promise.REGISTERS: "{what} are not preserved",
    Promise.FRAME: "{what} in the frame are wrong",
    Promise.FRAME_SET: "{what} in the frame are never written",
    Promise.OBEYS: "{what} are not what the callback asked for",
    Promise.RETURNS: "{what} are lost on the way back",
}
"""The same of several things, where what was broken about one is broken about all of them."""


def _example(facts: Facts, failure: Failure) -> str:
    """Return one site's numbers in words."""
    name = facts.site_name(int(failure.lanes[0]))
    expected, got = int(failure.expected[0]), int(failure.got[0])
    if failure.promise is Promise.ARRIVES:
        there, wanted = (_place(address, _symbol(facts, address)) for address in (got, expected))
        text = f"{name} goes to {there} instead of {wanted}"
        return f"{text}, {failure.note}" if failure.note else text
    if failure.promise is Promise.LIVE:
        return f"{name}, {failure.note}"
    if failure.promise in (Promise.PATCH_RETURNS, Promise.INITIALISED):
        where = f" at {_symbol(facts, got)}" if got == expected and got > 0xFFFF else ""
        return f"{name}, {failure.note}{where}"
    text = f"{name}, {as_hex(got)} instead of {as_hex(expected)}"
    return f"{text}, {failure.note}" if failure.note else text


def _symbol(facts: Facts, address: int) -> str:
    """Return the name of an address: of the image's own, or for a module else of its kernel's."""
    for each in (facts, facts.kernel):
        if each is not None and each.image.memory.region_at(address) is not None:
            return each.symbol_at(address)
    return as_hex(address)  # of the host, or nothing's


def _place(address: int, name: str) -> str:
    return f"{as_hex(address)} ({name})" if not name.startswith("0x") else as_hex(address)


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")
