# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios of a real kernel: what its own functions do when they are called, against its own site and trampoline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from ..errors import ImageError, UsageError
from ..image.model import KernelImage
from ..machine.memory import PAGE
from ..sites.harts import harts_of
from ..sites.model import Sites
from .environment import Environment, Fetch, Preemption, RemoteFence
from .kernel_poke import poke_program, probe
from .kernel_site import FtraceSite, Kernel, prepare_kernel
from .kernel_text import beside_a_writer, new_text
from .model import Act, Event, Scenario

__all__ = ["KernelRaces", "functions_by_alignment", "kernel_races", "pair_of", "settings_of"]

_ALIGNMENTS = 8
_MOST_NEAR = 3

Progress = Callable[[str], None]


@dataclass(frozen=True)
class KernelRaces:
    """The transitions of one kernel, ready to be explored.

    Args:
        image: the kernel.
        function, func: the traced function that they are about, and its address.
        settings: what the kernel's configuration, its symbols and its own events say of the environment.
        scenarios: ``enable``, ``change``, ``disable``, ``bpf text poke: attach``, ``kprobe: arm``, ...
        evidence: what the settings were read from, one sentence each.
        notes: what could not be made and why, one sentence each.
    """

    image: KernelImage
    function: str
    func: int
    settings: Environment
    scenarios: tuple[Scenario, ...]
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def scenario(self, name: str) -> Scenario:
        """Return a scenario by name.

        Raises:
            UsageError: there is none.
        """
        for scenario in self.scenarios:
            if scenario.name == name:
                return scenario
        raise UsageError(f"no scenario {name!r}; known: {', '.join(each.name for each in self.scenarios)}")


def kernel_races(
    image: KernelImage, *, function: str | None = None, writers: bool = False, progress: Progress | None = None
) -> KernelRaces:
    """Return what can happen at one site of a kernel, from what its own functions do.

    Args:
        image: the kernel.
        function: a traced function; by default one whose alignment is the worst that there is.
        writers: also what anybody who writes text has to keep to: ``init beside another writer``,
            ``enable beside another writer``, ``patch_text_nosync``.
        progress: called with a line before each part.
    Raises:
        ImageError: the kernel's patching could not be watched, or leaves the site alone.
        UsageError: the function is not traced; the nearest are named.
    """
    tell = progress or _silent
    tell("reading sites and patching code")
    kernel = prepare_kernel(image)
    number = _numbered(kernel, function) if function is not None else _worst(kernel)
    site = FtraceSite(kernel, number)
    tell(f"patching {site.name}")
    site.go_through()
    tell("patching a BPF program")
    programs, program_notes = poke_program(kernel)
    tell(f"probing {site.name}")
    probes, probe_notes = probe(site)
    texts, text_notes = _writers(kernel, number) if writers else ([], [])
    settings, evidence = settings_of(kernel, site.func, site.scenarios[0].patchers[0])
    return KernelRaces(
        image=image,
        function=site.name,
        func=site.func,
        settings=settings,
        scenarios=(*site.scenarios, *programs, *probes, *texts),
        evidence=evidence,
        notes=tuple(dict.fromkeys((*kernel.scene.notes, *site.notes, *program_notes, *probe_notes, *text_notes))),
    )


def _writers(kernel: Kernel, number: int) -> tuple[list[Scenario], list[str]]:
    func = int(kernel.terms.func[number])
    others = [other for other in _ordinary(kernel) if other != number]
    elsewhere = (other for other in others if int(kernel.terms.func[other]) // PAGE != func // PAGE)
    other = next(elsewhere, others[0] if others else None)
    if other is None:
        pairs, notes = list[Scenario](), ["no two writers: one traced function"]
    else:
        pairs, notes = beside_a_writer(kernel, number, other)
    texts, text_notes = new_text(kernel)
    return [*pairs, *texts], [*notes, *text_notes]


def functions_by_alignment(image: KernelImage) -> dict[int, str]:
    """Return for each value of func % 8 that there is one traced function, ascending.

    Raises:
        ImageError: as `kernel_races`.
    """
    kernel = prepare_kernel(image)
    residue = kernel.terms.func % np.uint64(_ALIGNMENTS)
    chosen = {}
    for value in np.unique(residue).tolist():
        here = [number for number in _ordinary(kernel) if residue[number] == value]
        if here:
            chosen[int(value)] = kernel.name_of(here[0])
    return chosen


def pair_of(first: Scenario, second: Scenario, *, lock: bool = True) -> Scenario:
    """Return two patchers at the same time, in the first one's memory and against its site.

    Args:
        first, second: with one patcher each, of the same kernel.
        lock: whether they exclude each other as they were seen to; without it they do not.
    Raises:
        UsageError: one of them has two patchers.
    """
    if len(first.patchers) != 1 or len(second.patchers) != 1:
        raise UsageError(f"{first.name} and {second.name}: one patcher each is needed to make a pair")
    patchers = tuple(each.patchers[0] if lock else _unlocked(each.patchers[0]) for each in (first, second))
    same = first.site.func == second.site.func
    site = replace(
        first.site,
        code={**second.site.code, **first.site.code} if same else first.site.code,
        callbacks=first.site.callbacks | second.site.callbacks,
        directs={**second.site.directs, **first.site.directs},
        clobbers=first.site.clobbers | second.site.clobbers if same else first.site.clobbers,
    )
    return replace(
        first,
        name=f"{first.name} against {second.name}" + ("" if lock else ", without a lock"),
        site=site,
        patchers=patchers,
        other=second.new if same else first.new,
        quiet=first.quiet | second.quiet,
        ops=first.ops | second.ops,
        pointers=tuple(dict.fromkeys((*first.pointers, *second.pointers))),
        lines={**second.lines, **first.lines},
    )


def _unlocked(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(event for event in events if event.act not in (Act.LOCK, Act.UNLOCK))


def _silent(line: str) -> None:
    """Tell nobody."""


# -- which function


def _ordinary(kernel: Kernel) -> list[int]:
    """Return the sites that a function's symbol stands at and that lie within one page, those of .text first."""
    terms, sites, image = kernel.terms, kernel.result.sites, kernel.image
    low = terms.func - np.uint64(kernel.scheme.before if kernel.scheme.literal is not None else 0)
    page = np.uint64(PAGE)
    alone = (low // page == (terms.body + np.uint64(_ALIGNMENTS)) // page) & sites.named & sites.in_text
    usual = (sites.after == kernel.result.sites.usual[1]) & (sites.before == kernel.result.sites.usual[0])
    names = [region.name for region in image.memory.regions]
    is_text = np.array([name == ".text" for name in names] + [False], np.bool_)[sites.region]
    found: list[int] = []
    for chosen in (alone & usual & is_text, alone & usual & ~is_text, alone & ~usual):
        found += np.flatnonzero(chosen).tolist()
    return found


def _worst(kernel: Kernel) -> int:
    """Return a site whose func is a multiple of the least power of two."""
    sites = _ordinary(kernel)
    if not sites:
        raise ImageError(kernel.image.path, expected="a traced function", got="none")

    def rank(number: int) -> tuple[int, int]:
        residue = int(kernel.terms.func[number]) % _ALIGNMENTS
        return -(_alignment(residue)), residue

    wanted = max(rank(number) for number in sites)
    return next(number for number in sites if rank(number) == wanted)


def _alignment(func: int) -> int:
    """Return what func is a multiple of, at most 8."""
    return (func & -func) if func % _ALIGNMENTS else _ALIGNMENTS


def _numbered(kernel: Kernel, function: str) -> int:
    sites: Sites = kernel.result.sites
    names = kernel.image.symbols.named(sites.symbol.tolist())
    if function in names:
        return names.index(function)
    address = kernel.image.address_of(function) if function and function.isascii() else None
    same: list[int] = np.flatnonzero(sites.func == np.uint64(address)).tolist() if address is not None else []
    if same:
        return same[0]
    known = sorted(set(names) - {""})
    near = [name for name in known if name.startswith(function)][:_MOST_NEAR] if function else []
    near = near or get_close_matches(function, known, _MOST_NEAR, 0.7)
    what = f"{kernel.image.path}: {function!r} is no traced function"
    raise UsageError(what + (f"; is it {' or '.join(near)}?" if near else ""))


# -- the environment


def settings_of(kernel: Kernel, func: int, events: Sequence[Event]) -> tuple[Environment, tuple[str, ...]]:
    """Return the environment that a kernel is made for, and what that was read from.

    Args:
        kernel: the kernel.
        func: address of the function.
        events: what enabling it did.
    """
    harts, about_harts = harts_of(kernel.image)
    preemption, about_preemption = _preemption(kernel.image)
    stops = any(event.act is Act.STOP for event in events)
    fence, about_fence = _remote_fence(events)
    waits = kernel.waits_for_tasks
    alignment = _alignment(func)
    about_waiting = {
        True: "unregistering waits for tasks", False: "unregistering waits for no tasks",
        None: "whether unregistering waits for tasks was not seen",
    }[waits]  # fmt: skip
    environment = Environment(
        name="kernel",
        what=f"as {kernel.image.release or kernel.image.path} is configured",
        harts=harts,
        preemption=preemption,
        fetch=Fetch.ZICCIF,
        alignment=alignment,
        stop_machine=stops,
        remote_fence=fence,
        tasks_wait=waits is not False,
    )
    evidence = (
        about_harts,
        about_preemption,
        "harts are taken to have Ziccif",
        f"the function is on a multiple of {alignment}",
        "ftrace updates are done under stop_machine" if stops else "ftrace updates stop nothing",
        about_fence,
        about_waiting,
    )
    return environment, evidence


def _preemption(image: KernelImage) -> tuple[Preemption, str]:
    config = image.config
    full = config.enabled("PREEMPTION")
    if full:
        name = next((each for each in ("PREEMPT_LAZY", "PREEMPT_RT", "PREEMPT") if config.enabled(each)), "PREEMPTION")
        return Preemption.FULL, f"CONFIG_{name}=y in {config.source}: tasks are preempted anywhere"
    if full is False and image.address_of("preempt_schedule") is not None:
        return Preemption.FULL, (
            f"{config.source} has no PREEMPTION, but preempt_schedule is in the image: it is not this kernel's; "
            "tasks are taken to be preempted anywhere"
        )
    if full is False:
        voluntary = config.enabled("PREEMPT_VOLUNTARY")
        name = "PREEMPT_VOLUNTARY=y" if voluntary else "PREEMPTION=n"
        return (Preemption.VOLUNTARY if voluntary else Preemption.NONE), f"CONFIG_{name} in {config.source}"
    if image.address_of("preempt_schedule") is not None:
        return Preemption.FULL, "preempt_schedule is in the image: tasks are preempted anywhere"
    if not len(image.symbols):
        return Preemption.FULL, "preemption: neither configuration nor symbols; taken for full"
    return Preemption.VOLUNTARY, "there is no preempt_schedule in the image: tasks give up their hart of their own"


def _remote_fence(events: Sequence[Event]) -> tuple[RemoteFence, str]:
    """Tell where the patcher's remote fence.i is, by the last one."""
    acts = [event.act for event in events]
    last = max((n for n, act in enumerate(acts) if act is Act.STORE), default=-1)
    behind = acts[last + 1 :]
    if Act.REMOTE_FENCE_I in behind:
        if Act.FENCE in behind[: behind.index(Act.REMOTE_FENCE_I)]:
            return RemoteFence.PRESENT, "a fence and a remote fence.i behind the last store"
        return RemoteFence.UNORDERED, "a remote fence.i behind the last store, with no fence before it"
    if any(event.act is Act.RESUME and event.fences for event in events[last + 1 :]):
        return RemoteFence.PRESENT, "the harts that stop_machine keeps waiting execute fence.i"
    if Act.REMOTE_FENCE_I in acts:
        return RemoteFence.EARLY, "no remote fence.i behind the last store, but one before it"
    return RemoteFence.MISSING, "no remote fence.i"
