# SPDX-License-Identifier: GPL-2.0-or-later
"""The sites of modules through all states, many modules in memory at once.

A batch of modules is read, each is given addresses in the kernel's module range and relocated there, and all
their sites become the lanes of one run against the kernel's patching code and trampoline.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import GenpatchError, UsageError
from ..image.containers import DEFAULT_LIMIT, InputRef, open_ref
from ..image.memory import AddressSpace, Region
from ..image.model import ImageKind, KernelImage
from ..image.read import read_image
from ..machine.memory import PAGE
from ..run.kernel import Place
from ..run.module import PARTS, KernelSymbols, LoadedModule, lay_out, load, module_window
from ..sites.discover import find_sites
from ..sites.model import Sites
from ..units import I64Array, Span
from .contract import Failure
from .pages import ModuleText, find_module_text
from .patcher import Guests
from .run import StateResult, Verification, prepare_verification, run_states
from .scene import Scene

__all__ = ["FailedSite", "ModuleResult", "verify_modules"]

_U64 = np.uint64
_CHUNK = 256
"""Modules in a batch: enough sites for lanes to be worth it, few enough for batches to be shared out."""
_NOWHERE = 1 << 20
"""Addresses for symbols that only other modules have [bytes]; nothing is mapped there."""
_HOST_ROOM = 1 << 22
"""What is left free at the lower end, so that what stands behind the kernel is in reach of a call [bytes]."""
_MOST_NAMES = 3

Progress = Callable[[int, int, str], None]
"""Called with (modules done, modules in all, the path of the last)."""


@dataclass(frozen=True, slots=True)
class FailedSite:
    """A site of a module that a failure is about.

    Args:
        symbol: of its function, empty where there is none.
        section, offset: where func is in the module's file.
        address: of func, where the module was loaded.
    """

    symbol: str
    section: str
    offset: int
    address: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleResult:
    """What verification found out about one module.

    Args:
        path: as reports print it.
        sites: how many it has.
        states: what came of each state, for this module's sites; no instructions are counted.
        failures: what was broken; lanes are numbers of this module's sites.
        where: number of each site that a failure is about to where it is.
        notes: what else there is to say.
        trouble: why the module was not run, empty if it was.
        conclusion: what the caller's function made of the module's verification.
    """

    path: str
    sites: int = 0
    states: tuple[StateResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    where: dict[int, FailedSite] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trouble: str = ""
    conclusion: Any = None


Conclude = Callable[[Verification], Any]
"""Makes something that can be pickled of a module's verification, in the process that ran it."""


def verify_modules(
    kernel: KernelImage,
    scene: Scene,
    modules: Iterable[InputRef | KernelImage],
    progress: Progress = lambda done, total, path: None,
    *,
    jobs: int = 0,
    limit: int = DEFAULT_LIMIT,
    states: tuple[str, ...] = (),
    conclude: Conclude | None = None,
) -> Iterator[ModuleResult]:
    """Run the kernel's patching code on the sites of modules, and those sites in every state.

    Args:
        kernel: their kernel.
        scene: prepared for it.
        modules: which, as inputs or as images that were read.
        progress: told of each module that is done.
        jobs: processes; 0 for one a processor.
        limit: how much may come out of one file's compression [bytes].
        states: names of those to judge; all by default.
        conclude: called with the verification of each module that was run, whose image and sites are as they
            are in the file; so are addresses in its failures, if they are in the module.
    Returns:
        A result a module, in order; one that cannot be read or run has its trouble in it.
    Raises:
        UsageError: the kernel's scheme is not known, so that there is nothing to run.
    """
    wanted = list(modules)
    worker = _Worker(kernel, scene, wanted, limit, states, conclude)
    for done, result in enumerate(worker.results(jobs), 1):
        progress(done, len(wanted), result.path)
        yield result


class _Worker:
    """Verifies batches; a forked process inherits it with the kernel."""

    def __init__(
        self,
        kernel: KernelImage,
        scene: Scene,
        modules: Sequence[InputRef | KernelImage],
        limit: int,
        states: tuple[str, ...],
        conclude: Conclude | None,
    ):
        self.kernel, self.scene, self.modules, self.limit = kernel, scene, modules, limit
        self.states, self.conclude = states, conclude
        self.base, self.code = prepare_verification(kernel)
        if self.base.verdict.scheme is None:
            raise UsageError(f"{kernel.path}: the scheme is not known: modules cannot be run")
        window = module_window(kernel)
        nowhere = Span(window.start + _HOST_ROOM, window.start + _HOST_ROOM + _NOWHERE)
        self.window = Span(nowhere.end, window.end)
        self.symbols = KernelSymbols(kernel, nowhere)
        self.text = find_module_text(scene, self.window.start)
        self.traced = frozenset(self.base.sites.func.tolist())
        _ = self.code.call_adjust, self.code.caller  # computed once, before processes part

    def results(self, jobs: int) -> Iterator[ModuleResult]:
        """Yield the results in order; several batches are verified in parallel."""
        count = min(jobs or os.cpu_count() or 1, len(self.modules))
        size = max(1, min(_CHUNK, -(-len(self.modules) // max(count, 1))))
        chunks = [range(first, min(first + size, len(self.modules))) for first in range(0, len(self.modules), size)]
        if count < 2 or "fork" not in multiprocessing.get_all_start_methods():
            for chunk in chunks:
                yield from self.verify(chunk)
            return
        gc.collect()
        gc.freeze()  # what was read so far stays shared between the processes
        with multiprocessing.get_context("fork").Pool(count, _inherit, (self,)) as pool:
            for results in pool.imap(_verify_inherited, chunks):
                yield from results

    def verify(self, chunk: range) -> list[ModuleResult]:
        """Verify some modules, by their numbers."""
        results: dict[int, ModuleResult] = {}
        batch = _Batch(self)
        for number in chunk:
            trouble = ""
            try:
                image = self._read(self.modules[number])
                trouble = self._misfit(image)
                if not trouble and not batch.add(number, image):
                    results |= batch.run()
                    batch = _Batch(self)
                    if not batch.add(number, image):
                        trouble = f"larger than {self.window}"
            except GenpatchError as error:
                trouble = str(error)
            except Exception as error:
                trouble = _internal(error)
            if trouble:
                results[number] = ModuleResult(path=self.modules[number].path, trouble=trouble)
        results |= batch.run()
        return [results[number] for number in chunk]

    def _misfit(self, image: KernelImage) -> str:
        """Tell why a module is not one of this kernel's, empty if it is."""
        kernel = self.kernel.release
        if image.release is None or kernel is None or image.release == kernel:
            return ""
        return f"built for {image.release}, the kernel is {kernel}"

    def _read(self, module: InputRef | KernelImage) -> KernelImage:
        if isinstance(module, KernelImage):
            return module
        return replace(read_image(open_ref(module, limit=self.limit)), path=module.path)


def _internal(error: Exception) -> str:
    return f"internal error: {type(error).__name__}: {error}"


_inherited: _Worker | None = None


def _inherit(worker: _Worker) -> None:
    """Keep the worker that a forked process came with; it never passes through a pipe."""
    global _inherited
    _inherited = worker
    gc.disable()


def _verify_inherited(chunk: range) -> list[ModuleResult]:
    assert _inherited is not None
    results = _inherited.verify(chunk)
    gc.collect()  # a run's hooks and memory refer to each other
    return results


@dataclass
class _Member:
    """A module of a batch.

    Args:
        number: its position among all modules.
        module: where it is.
        sites: as they are in its file.
        first: number of its first site among those of the batch.
    """

    number: int
    module: LoadedModule
    sites: Sites
    first: int

    @property
    def image(self) -> KernelImage:
        """The module as it was read."""
        return self.module.layout.image


class _Batch:
    """Modules that are in memory together."""

    def __init__(self, worker: _Worker):
        self.worker = worker
        window = worker.window
        share = window.size // len(PARTS) // PAGE * PAGE
        self._arenas = [Span(window.start + n * share, window.start + (n + 1) * share) for n in range(len(PARTS))]
        self._ends = [arena.start + PAGE for arena in self._arenas]  # behind zeros, as between modules
        self._members: list[_Member] = []
        self._count = 0

    def add(self, number: int, image: KernelImage) -> bool:
        """Load a module behind the others; tell whether there was room.

        Raises:
            GenpatchError: it cannot be loaded.
        """
        if image.kind is not ImageKind.MODULE:
            raise UsageError(f"{image.path}: a module is needed, this is {image.kind_text}")
        layout = lay_out(image)
        starts, sizes = self._ends, layout.sizes
        ends = [start + size + PAGE * (size > 0) for start, size in zip(starts, sizes, strict=True)]
        if any(end > arena.end for end, arena in zip(ends, self._arenas, strict=True)):
            return False
        loaded = load(layout, (starts[0], starts[1], starts[2]), self.worker.symbols)
        sites = find_sites(image)
        self._members.append(_Member(number, loaded, sites, self._count))
        self._ends, self._count = ends, self._count + len(sites)
        return True

    def run(self) -> dict[int, ModuleResult]:
        """Run all sites; return the results by the numbers of the modules.

        What goes wrong in a run of many modules is tried again with each alone, to know whose fault it is.
        """
        try:
            return self._run(self._members)
        except Exception as error:
            if len(self._members) == 1:
                member = self._members[0]
                return {member.number: ModuleResult(path=member.image.path, trouble=_internal(error))}
        return {number: result for member in self._members for number, result in self._alone(member).run().items()}

    def _alone(self, member: _Member) -> _Batch:
        batch = _Batch(self.worker)
        batch._ends, batch._members = self._ends, [replace(member, first=0)]
        return batch

    def _run(self, members: Sequence[_Member]) -> dict[int, ModuleResult]:
        worker = self.worker
        if not members:
            return {}
        sites = _together(members)
        wanted = np.flatnonzero(sites.in_text).astype(np.int64)
        result = replace(
            worker.base, sites=sites, states=[], failures=[], stores=[], sequences={}, listings={}, notes=[]
        )
        if len(wanted):
            text = worker.text
            run_states(result, worker.scene, worker.code, wanted, guests=self._guests(text), states=worker.states)
        return {member.number: self._result(member, result) for member in members}

    def _guests(self, text: ModuleText) -> Guests:
        permissions = ("rwx" if text.writable else PARTS[0], *PARTS[1:])
        places = tuple(
            self._arena(number, Span(arena.start, end), permissions[number])
            for number, (arena, end) in enumerate(zip(self._arenas, self._ends, strict=True))
            if end > arena.start + PAGE
        )
        regions = tuple(_region(place) for place in places)
        return Guests(places, text, self.worker.traced, AddressSpace(regions=regions))

    def _arena(self, number: int, span: Span, permissions: str) -> Place:
        """Return one part of all modules as one place, with a page of zeros behind each."""
        content = np.zeros(span.size, np.uint8)
        for member in self._members:
            for place in member.module.places:
                if place.permissions == PARTS[number]:
                    at = place.span.start - span.start
                    content[at : at + len(place.content)] = place.content
        return Place(span, content, permissions, f"modules {permissions}")

    def _result(self, member: _Member, result: Verification) -> ModuleResult:
        """Return what a run of all says of one module."""
        first, last = member.first, member.first + len(member.sites)
        failures = [part for failure in result.failures if (part := _part_of(failure, first, last)) is not None]
        states = tuple(
            replace(
                state,
                sites=len(member.sites) if not state.skipped else 0,
                failed=_between(state.failed, first, last),
                insns=0,
            )
            for state in result.states
        )
        notes = tuple(_notes(member, result, self.worker.text))
        states = states if len(member.sites) else ()
        conclusion = None
        if self.worker.conclude is not None:
            conclusion = self.worker.conclude(_as_in_file(member, result, states, failures, notes))
        return ModuleResult(
            path=member.image.path,
            sites=len(member.sites),
            states=states,
            failures=tuple(failures),
            where=_where(member, failures),
            notes=notes,
            conclusion=conclusion,
        )


def _as_in_file(
    member: _Member,
    result: Verification,
    states: Sequence[StateResult],
    failures: Sequence[Failure],
    notes: Sequence[str],
) -> Verification:
    """Return the verification of one module, in terms of its file."""
    terms, unmoved = result.terms, member.module.unmoved
    if terms is not None:
        mine = slice(member.first, member.first + len(member.sites))
        terms = replace(
            terms, func=unmoved(terms.func[mine]), ip=unmoved(terms.ip[mine]), body=unmoved(terms.body[mine])
        )
    return replace(
        result,
        image=member.image,
        sites=member.sites,
        terms=terms,
        states=list(states),
        failures=[replace(each, expected=unmoved(each.expected), got=unmoved(each.got)) for each in failures],
        stores=[],
        sequences={},
        listings={},
        notes=list(notes),
        insns=0,
    )


def _region(place: Place) -> Region:
    return Region(
        name=place.name,
        span=place.span,
        data=place.content,
        executable="x" in place.permissions,
        writable="w" in place.permissions,
        alignment=PAGE,
    )


def _together(members: Sequence[_Member]) -> Sites:
    """Return the sites of all modules where they were loaded."""
    columns: dict[str, list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]] = {}
    for member in members:
        sites, module = member.sites, member.module
        moved = {"entry": module.moved(sites.entry), "func": module.moved(sites.func, sites.entry)}
        for name in Sites.__dataclass_fields__:
            columns.setdefault(name, []).append(moved.get(name, getattr(sites, name)))
    return Sites(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _between(numbers: I64Array, first: int, last: int) -> I64Array:
    """Return the numbers in [first, last), counted from first."""
    return numbers[(numbers >= first) & (numbers < last)] - first


def _part_of(failure: Failure, first: int, last: int) -> Failure | None:
    """Return what a failure says of the sites in [first, last), None for nothing."""
    inside = (failure.lanes >= first) & (failure.lanes < last)
    if not inside.any():
        return None
    return replace(
        failure, lanes=failure.lanes[inside] - first, expected=failure.expected[inside], got=failure.got[inside]
    )


def _where(member: _Member, failures: Sequence[Failure]) -> dict[int, FailedSite]:
    numbers = sorted({number for failure in failures for number in failure.lanes.tolist()})
    chosen = np.array(numbers, np.int64)
    sites, image = member.sites, member.image
    funcs = sites.func[chosen] if numbers else np.empty(0, _U64)
    now = member.module.moved(funcs, sites.entry[chosen]) if numbers else funcs
    names = image.symbols.named(sites.symbol[chosen].tolist()) if numbers else []
    return {
        number: FailedSite(name, *_in_section(image, func), address)
        for number, name, func, address in zip(numbers, names, funcs.tolist(), now.tolist(), strict=True)
    }


def _in_section(image: KernelImage, address: int) -> tuple[str, int]:
    region = image.memory.region_at(address)
    return ("", address) if region is None else (region.name, address - region.span.start)


def _notes(member: _Member, result: Verification, text: ModuleText) -> Iterator[str]:
    """Say what there is to say of a module beside its failures."""
    image, sites, scheme = member.image, member.sites, result.verdict.scheme
    assert scheme is not None
    if image.table is None:
        yield "no site table"
    elif image.table.missing:
        yield f"{image.table.missing} entries of the site table have no relocation"
    kernel = result.image.release
    if image.release is not None and kernel is not None and image.release != kernel:
        yield f"built for {image.release}, the kernel is {kernel}"
    yield from (*result.notes, *image.trouble, *((text.note,) if text.note else ()))
    if len(sites) and sites.usual != (scheme.before, scheme.after):
        before, after = sites.usual
        yield (
            f"sleds of {before} bytes before and {after} from the function on, "
            f"the kernel's scheme has {scheme.before} and {scheme.after}"
        )
    outside = int(np.count_nonzero(~sites.in_text))
    if outside:
        yield f"{outside} sites are outside the module"
    absent = member.module.absent
    if absent:
        more = f" and {len(absent) - _MOST_NAMES} more" if len(absent) > _MOST_NAMES else ""
        yield f"symbols of other modules stand for nothing: {', '.join(absent[:_MOST_NAMES])}{more}"
