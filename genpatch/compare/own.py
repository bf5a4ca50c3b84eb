# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's own scheme costs, by running its own code: patching of all sites, and a call of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..machine.outcome import Trap
from ..sites.patching import PatchingCode
from ..units import BoolArray, I64Array, U64Array
from ..verify.patcher import Call, Patcher
from ..verify.run import MOST_SITES, Verification, terms_of
from ..verify.scene import Scene
from ..verify.trial import Observation, Trial, arrived

__all__ = ["OwnPatching", "OwnPaths", "OwnRun", "run_own"]

_U64 = np.uint64
_LIST_FUNCTIONS = ("arch_ftrace_ops_list_func", "ftrace_ops_list_func")
_NEAR = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPatching:
    """What one patching function did, called for every site.

    Args:
        function: its name.
        sites: how many it was called for and came back with success.
        stores: to sites: (width, whether aligned) to how many.
        per_site: what single sites got, ((width, how many), ...) to how many sites, the most frequent first.
        events: what else others may see: ``remote fence.i``, ``fence.i``, ``lock``, to how many.
        insns: instructions executed.
    """

    function: str
    sites: int
    stores: dict[tuple[int, bool], int]
    per_site: dict[tuple[tuple[int, int], ...], int]
    events: dict[str, int]
    insns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPaths:
    """Instructions from func to the body at every site.

    Args:
        state: ``disabled`` or ``traced``.
        sites: how many came to their body.
        least, most: instructions.
        usual: instructions that most sites take.
    """

    state: str
    sites: int
    least: int
    most: int
    usual: int


@dataclass(kw_only=True)
class OwnRun:
    """What running a kernel's own patching came to.

    Args:
        sites: how many went through it.
        patching: each function that was called.
        paths: disabled and traced.
        framing: what the kernel does around the patching of many sites, in order.
        notes: what could not be run and why.
    """

    sites: int = 0
    patching: list[OwnPatching] = field(default_factory=list)
    paths: list[OwnPaths] = field(default_factory=list)
    framing: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def run_own(result: Verification, scene: Scene, code: PatchingCode) -> OwnRun:
    """Enable and disable all sites with the kernel's own code, and call each function in either state.

    Args:
        result: of the kernel, with nothing run.
        scene: its.
        code: its patching code.
    """
    own = OwnRun(framing=scene.framing)
    image, scheme = result.image, result.verdict.scheme
    caller = image.address_of("ftrace_caller")
    if scheme is None or caller is None:
        own.notes.append("the scheme is not known" if scheme is None else "no ftrace_caller")
        return own
    chosen = np.flatnonzero(result.sites.in_text)[:MOST_SITES]
    terms = terms_of(result, scene, code)
    patcher = Patcher(scene, terms.ip[chosen], result.layouts)
    func, body = terms.func[chosen], terms.body[chosen]
    walkers = (image.address_of(name) for name in _LIST_FUNCTIONS)
    callbacks = frozenset({scene.callback, *(address for address in walkers if address is not None)})
    trial = Trial(patcher, func, body, callbacks, terms.return_hook, terms.link)
    patcher.let_pass(callbacks, terms.link)
    own.sites = len(chosen)
    record = patcher.record
    patcher.memory.write_u64(None, record + result.layouts.record_flags, 0)
    if image.address_of("ftrace_init_nop") is not None:
        own.patching.append(_patched(patcher.call("ftrace_init_nop", {0: 0, 1: record}), func, body))
    patching = (
        ("ftrace_make_call", {0: record, 1: caller}, "traced", 1),
        ("ftrace_make_nop", {0: 0, 1: record, 2: caller}, "disabled", 0),
    )
    missing = [name for name, *_ in patching if image.address_of(name) is None]
    if missing:
        own.notes.append(f"no {', no '.join(missing)}")
    for name, arguments, state, calls in patching:
        if name in missing:
            break
        try:
            own.patching.append(_patched(patcher.call(name, arguments), func, body))
            _add_path(own, state, trial.run(), body, calls)
        except Trap as trap:  # the host has nowhere to write to
            own.notes.append(f"{name}: {trap}")
            break
    return own


def _patched(call: Call, func: U64Array, body: U64Array) -> OwnPatching:
    done = call.returned & (call.value == 0)
    stores: Counter[tuple[int, bool]] = Counter()
    events: Counter[str] = Counter()
    got: dict[int, I64Array] = {}
    for event in call.events:
        if event.kind != "store":
            events[event.kind] += len(event.lanes)
            continue
        at = (event.targets - func[event.lanes]).astype(np.int64)
        ours: BoolArray = (at >= -_NEAR) & (event.targets < body[event.lanes])
        aligned = event.targets % _U64(event.width) == 0
        stores[event.width, True] += int((ours & aligned).sum())
        stores[event.width, False] += int((ours & ~aligned).sum())
        np.add.at(got.setdefault(event.width, np.zeros(len(func), np.int64)), event.lanes[ours], 1)
    return OwnPatching(
        function=call.name,
        sites=int(done.sum()),
        stores={key: count for key, count in sorted(stores.items()) if count},
        per_site=_per_site(got, call.lanes[done]),
        events=dict(sorted(events.items())),
        insns=call.insns,
    )


def _per_site(got: dict[int, I64Array], lanes: I64Array) -> dict[tuple[tuple[int, int], ...], int]:
    """Count sites by what they got: width to int64[n], stores to each site."""
    widths = [width for width in sorted(got) if got[width][lanes].any()]
    if not widths:
        return {}
    kinds, sites = np.unique(np.stack([got[width][lanes] for width in widths], axis=1), axis=0, return_counts=True)
    return {
        tuple((width, count) for width, count in zip(widths, kinds[at].tolist(), strict=True) if count): int(sites[at])
        for at in np.argsort(-sites, kind="stable").tolist()
    }


def _add_path(own: OwnRun, state: str, seen: Observation, body: U64Array, calls: int) -> None:
    came = arrived(seen, body) & (seen.calls == calls)
    insns: I64Array = seen.insns[came]
    if not len(insns):
        own.notes.append(f"{state}: no site came to its body (callbacks expected: {calls})")
        return
    values, counts = np.unique(insns, return_counts=True)
    own.paths.append(
        OwnPaths(
            state=state,
            sites=len(insns),
            least=int(values[0]),
            most=int(values[-1]),
            usual=int(values[counts.argmax()]),
        )
    )
