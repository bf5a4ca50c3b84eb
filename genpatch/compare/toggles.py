# SPDX-License-Identifier: GPL-2.0-or-later
"""What a patcher does under a scheme, counted from the steps of its transitions: for one site, and for all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..schemes import CallScheme
from ..schemes.bench import StepKind, bench_of
from ..schemes.model import Need, Place

__all__ = ["Toggle", "toggle_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggle:
    """One transition.

    Args:
        stores: to the site: width to how many, for one site [bytes].
        shared: the same of what is stored once however many sites there are: a slot, a trampoline.
        publishes: how often every hart must be made to see what was stored before the patcher goes on.
        stopped: that is done by stop_machine, else by a remote fence.i.
        sites: how many sites there are.
    """

    stores: dict[int, int] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    publishes: int
    stopped: bool
    sites: int

    @property
    def per_site(self) -> int:
        """Stores to one site."""
        return sum(self.stores.values())

    @property
    def all_stores(self) -> dict[int, int]:
        """Stores for all sites together: width to how many."""
        total = Counter({width: count * self.sites for width, count in self.stores.items()})
        return dict(sorted((total + Counter(self.shared)).items()))

    @property
    def fences(self) -> int:
        """Remote fences for all sites together, where sites go through each step together."""
        return 0 if self.stopped else self.publishes

    @property
    def fences_apart(self) -> int:
        """Remote fences for all sites where each is patched by itself."""
        return 0 if self.stopped else self.publishes * self.sites

    @property
    def stops(self) -> int:
        """Calls of stop_machine for all sites together; what can be stored first, unseen, needs none."""
        return 1 if self.stopped else 0


def toggle_of(scheme: CallScheme, transition: str, sites: int, *, frame: str = "args") -> Toggle:
    """Count what a transition of all sites takes.

    Args:
        scheme: which.
        transition: ``enable``, ``change`` or ``disable``.
        sites: how many.
        frame: what trampolines make, for those that are made when a tracer comes.
    """
    state = "off" if transition == "enable" else "A"
    bench = bench_of(scheme, frame=frame, state=state)
    steps = bench.steps(transition)
    made = [step for step in steps if step.kind is StepKind.STORE]
    stores, shared = Counter[int](), Counter[int]()
    for step, store in zip(made, getattr(scheme, transition), strict=True):
        (stores if store.place is Place.FUNC else shared)[len(step.data)] += 1
    return Toggle(
        stores=dict(sorted(stores.items())),
        shared=dict(sorted(shared.items())),
        publishes=sum(step.kind is StepKind.PUBLISH for step in steps),
        stopped=Need.STOP_MACHINE in scheme.needs,
        sites=sites,
    )
