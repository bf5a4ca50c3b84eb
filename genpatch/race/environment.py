# SPDX-License-Identifier: GPL-2.0-or-later
"""Under what a transition is explored, as data: the machine, the kernel's configuration, how careful the patcher is.

Two kinds of settings stand side by side. `harts`, `preemption`, `fetch`, `fused`, `patcher` and `migration` are about
the world, and the explorer honours them. `alignment`, `stop_machine`, `remote_fence`, `tasks_wait`, `patchers` and
`lock` change what the patcher does, and whoever makes a scenario honours those; a real kernel's events have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from ..errors import UsageError

__all__ = [
    "CHOICES", "ENVIRONMENTS", "Environment", "Fetch", "Fused", "Patching", "Preemption", "RemoteFence",
    "get_environment",
]  # fmt: skip


class Preemption(StrEnum):
    """Where a task gives up its hart: anywhere when it is full; else only where it sleeps, which is outside of sleds
    and trampolines, and for a patcher before and after patching and where it waits."""

    NONE = "none"
    VOLUNTARY = "voluntary"
    FULL = "full"


class Fetch(StrEnum):
    """What an instruction fetch may return while stores are under way."""

    STRONG = "strong"
    """Always the newest bytes."""
    ZICCIF = "ziccif"
    """Each aligned 4-byte unit is fetched at once, stale or new, each fetch on its own."""
    PARCEL = "parcel"
    """The same with aligned 2-byte units."""


class Fused(StrEnum):
    """Which aligned pairs of instructions are fetched at once and never interrupted inside; imagined hardware."""

    NO = "no"
    CALL = "auipc-jalr"
    ANY = "any"


class RemoteFence(StrEnum):
    """How the patcher makes other harts forget what they have fetched."""

    PRESENT = "present"
    MISSING = "missing"
    EARLY = "early"
    """Sent before the last store to instructions."""
    UNORDERED = "unordered"
    """Sent behind the stores in program order, with no fence between."""


class Patching(StrEnum):
    """Where the victim's call comes from."""

    ELSEWHERE = "elsewhere"
    """Another task, on any hart."""
    INTERRUPTED = "interrupted"
    """An interrupt handler on the patcher's hart, amid patching."""
    ITSELF = "itself"
    """The patcher, which calls the function amid patching it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment.

    Args:
        name: ``smp``; with what was changed behind it: ``smp,fetch=parcel``.
        what: one line.
        harts: 1, or 2 for "more than one".
        preemption: of the kernel.
        fetch: of the harts.
        fused: pairs that the harts fetch at once.
        alignment: what func is a multiple of, at most 8 [bytes].
        stop_machine: whether patching is done under it.
        remote_fence: as the patcher has it; stop_machine ends with a fence.i on every hart whatever this says.
        tasks_wait: whether the patcher waits for tasks before it frees or rewrites what they may be in.
        patcher: where the victim's call comes from.
        patchers: 1, or 2 at the same time.
        lock: whether patchers exclude each other.
        migration: whether a preempted task may go on on another hart.
    """

    name: str
    what: str = ""
    harts: int = 2
    preemption: Preemption = Preemption.NONE
    fetch: Fetch = Fetch.ZICCIF
    fused: Fused = Fused.NO
    alignment: int = 8
    stop_machine: bool = False
    remote_fence: RemoteFence = RemoteFence.PRESENT
    tasks_wait: bool = True
    patcher: Patching = Patching.ELSEWHERE
    patchers: int = 1
    lock: bool = True
    migration: bool = True

    def settings(self) -> dict[str, str]:
        """Return the settings as they are written on a command line."""
        return {each.name: _written(getattr(self, each.name)) for each in fields(self) if each.name not in _WORDS}


_WORDS = ("name", "what")
_FULL = Preemption.FULL

_LIST = (
    Environment(name="up", what="one hart, no preemption", harts=1),
    Environment(name="up-preempt", what="one hart, full preemption", harts=1, preemption=_FULL),
    Environment(name="smp", what="several harts, no preemption, nothing stopped"),
    Environment(name="smp-preempt", what="several harts, full preemption, nothing stopped", preemption=_FULL),
    Environment(name="stop", what="stop_machine, no preemption", stop_machine=True),
    Environment(
        name="stop-voluntary", what="stop_machine, voluntary preemption", stop_machine=True,
        preemption=Preemption.VOLUNTARY,
    ),
    Environment(name="stop-preempt", what="stop_machine, full preemption", stop_machine=True, preemption=_FULL),
    Environment(name="strong", what="harts that fetch the newest bytes", preemption=_FULL, fetch=Fetch.STRONG),
    Environment(name="parcel", what="harts without Ziccif", preemption=_FULL, fetch=Fetch.PARCEL),
    Environment(name="align4", what="functions on a multiple of 4", preemption=_FULL, alignment=4),
    Environment(name="align2", what="functions on a multiple of 2", preemption=_FULL, alignment=2),
    Environment(name="fused", what="any aligned pair is one", preemption=_FULL, fused=Fused.ANY),
    Environment(name="fused-call", what="an aligned auipc+jalr is one", preemption=_FULL, fused=Fused.CALL),
    Environment(
        name="no-fence", what="no remote fence.i", preemption=_FULL, remote_fence=RemoteFence.MISSING,
    ),
    Environment(
        name="early-fence", what="remote fence.i before the last store", preemption=_FULL,
        remote_fence=RemoteFence.EARLY,
    ),
    Environment(
        name="unordered-fence", what="remote fence.i with no fence before it", preemption=_FULL,
        remote_fence=RemoteFence.UNORDERED,
    ),
    Environment(name="no-wait", what="nobody waits for tasks", preemption=_FULL, tasks_wait=False),
    Environment(
        name="interrupted", what="interrupts on the patcher's hart call the function",
        patcher=Patching.INTERRUPTED,
    ),
    Environment(name="itself", what="the patcher calls the function", patcher=Patching.ITSELF),
    Environment(name="two-locked", what="two patchers that take turns", patchers=2),
    Environment(name="two-patchers", what="two patchers without a lock", patchers=2, lock=False),
)  # fmt: skip
ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType({each.name: each for each in _LIST})
"""Those that have a name, in the order of tables. To add one, add a record."""


def get_environment(text: str) -> Environment:
    """Return an environment by name, with settings changed as in ``smp,fetch=parcel,alignment=4``.

    Raises:
        UsageError: there is no such environment, setting or value; the nearest is named.
    """
    name, *changes = text.split(",")
    if name not in ENVIRONMENTS:
        if name == "own":
            raise UsageError("environment 'own': only of a kernel")
        raise UsageError(f"unknown environment {name!r}{_nearest(name, list(ENVIRONMENTS), 0.6)}")
    environment = ENVIRONMENTS[name]
    for change in changes:
        setting, equals, value = change.partition("=")
        known = environment.settings()
        if not equals:
            raise UsageError(f"setting {change!r} of an environment: expected SETTING=VALUE")
        if setting not in known:
            raise UsageError(f"unknown setting {change!r} of an environment{_nearest(setting, list(known))}")
        environment = replace(environment, **{setting: _read(setting, value)})
    return replace(environment, name=text, what=environment.what if not changes else "")


def _nearest(name: str, known: list[str], cutoff: float = 0.4) -> str:
    near = get_close_matches(name, known, 1, cutoff)
    return f"; is it {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _written(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


CHOICES: Mapping[str, Mapping[str, Any]] = {
    "harts": {"1": 1, "2": 2},
    "alignment": {"2": 2, "4": 4, "8": 8},
    "patchers": {"1": 1, "2": 2},
    "preemption": {each.value: each for each in Preemption},
    "fetch": {each.value: each for each in Fetch},
    "fused": {each.value: each for each in Fused},
    "remote_fence": {each.value: each for each in RemoteFence},
    "patcher": {each.value: each for each in Patching},
    **{name: {"yes": True, "no": False} for name in ("stop_machine", "tasks_wait", "lock", "migration")},
}
"""What each setting can be, as it is written."""


def _read(setting: str, value: str) -> Any:
    choices = CHOICES[setting]
    if value not in choices:
        raise UsageError(f"{setting}={value!r}: expected one of {', '.join(choices)}")
    return choices[value]
