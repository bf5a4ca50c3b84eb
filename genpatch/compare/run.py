# SPDX-License-Identifier: GPL-2.0-or-later
"""All schemes on one kernel: what `genpatch compare` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from ..audit.facts import Facts, Preemption
from ..errors import GenpatchError
from ..image.model import KernelImage
from ..machine.memory import PAGE
from ..race.environment import ENVIRONMENTS
from ..race.rows import RaceRow
from ..race.run import catalog_rows
from ..schemes import CATALOG, CallScheme
from ..schemes.model import Need, OpsIn, Place
from ..sites.infer import SchemeVerdict
from ..sites.model import Sites
from ..sites.patching import PatchingCode
from ..verify.run import Verification, prepare_verification
from ..verify.scene import prepare_scene
from .layout import Relaid, TextLayout, read_layout, relaid
from .own import OwnRun, run_own
from .paths import Path, executed_path, trampoline_bytes
from .reach import Dispatchers, Reach, boundaries, call_offset, dispatchers_for, reach_of
from .toggles import Toggle, toggle_of
from .walk import Walk, walk_of

__all__ = [
    "RACED", "TOGGLED", "TRACERS", "Comparison", "NothingToCompareError", "SchemeRow", "Tracers", "compare", "finds_by",
    "worst",
]  # fmt: skip

TRACERS = (1, 10, 1000)
"""Numbers of tracers that memory and calls are reckoned for."""
RACED = ("smp", "smp-preempt", "stop", "stop-preempt")
"""Environments that races are explored in."""
TOGGLED = ("enable", "change", "disable")

_VERDICTS = ("safe", "skipped", "unfinished", "unsafe")
Progress = Callable[[str], None]


class NothingToCompareError(GenpatchError):
    """A kernel has nothing that schemes could be compared by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracers:
    """What several tracers cost, each of which traces other functions.

    Args:
        finds: how a call finds its tracer: ``literal``, ``trampoline`` (each has its own) or ``list``.
        packed: number of tracers to bytes of trampolines and dispatchers, one behind the other.
        paged: the same where each takes pages of its own.
        call: number of tracers to instructions of a traced call, the callback excluded.
    """

    finds: str
    packed: dict[int, int]
    paged: dict[int, int]
    call: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeRow:
    """One scheme on a kernel.

    Args:
        scheme: which.
        text: the kernel's text with it; None for a scheme that is not about the kernel's own functions.
        traced_only: the same where only traced functions are aligned.
        disabled, traced: executed calls.
        direct: a call that goes to a direct routine, None where the trampoline does not look for one.
        trampoline: bytes of one.
        toggles: transition to what it takes for all sites.
        reach: sites that reach what they call; None as `text`.
        dispatchers: the fewest that serve all sites, where one does not.
        tracers: what several cost.
        races: explored, all transitions in each environment of RACED.
        here: the environment of RACED that is this kernel's, if it had the scheme; None if that is not known.
        why_not: why this kernel cannot have the scheme as it is, empty if nothing is known against it.
    """

    scheme: CallScheme
    text: Relaid | None
    traced_only: Relaid | None
    disabled: Path
    traced: Path
    direct: Path | None
    trampoline: int
    toggles: dict[str, Toggle]
    reach: Reach | None
    dispatchers: Dispatchers | None
    tracers: Tracers
    races: dict[str, tuple[RaceRow, ...]]
    here: str | None
    why_not: str


@dataclass(kw_only=True)
class Comparison:
    """The schemes on one kernel.

    Args:
        image: the kernel.
        sites: of it.
        verdict: the scheme that it has.
        frame: what the catalog's trampolines make.
        layout: its text.
        rows: ftrace schemes, in the catalog's order.
        others: schemes of what is compiled at run time.
        own: what running its own code came to.
        own_trampoline: bytes of its ftrace_caller, None if that is not there.
        walk: what walking the list of tracers takes.
        preemption: of the kernel.
        notes: what was assumed, and what could not be had.
        seconds: time taken.
    """

    image: KernelImage
    sites: Sites
    verdict: SchemeVerdict
    frame: str
    layout: TextLayout
    rows: tuple[SchemeRow, ...] = ()
    others: tuple[SchemeRow, ...] = ()
    own: OwnRun
    own_trampoline: int | None
    walk: Walk
    preemption: Preemption
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_own(self) -> frozenset[str]:
        """Names of the scheme that the kernel has, and of its variant."""
        return frozenset(each.name for each in (self.verdict.scheme, self.verdict.variant) if each is not None)

    @property
    def warning(self) -> str:
        """Why figures of the kernel's own code are missing, empty if none are."""
        reasons = "; ".join(self.own.notes)
        return f"this kernel's own code was not run, or not in full: {reasons}" if reasons else ""


def compare(
    image: KernelImage,
    *,
    schemes: Iterable[CallScheme] = CATALOG.values(),
    frame: str = "args",
    progress: Progress | None = None,
) -> Comparison:
    """Compare schemes on a kernel.

    Args:
        image: a linked kernel.
        schemes: which.
        frame: ``args`` or ``regs``: what the catalog's trampolines make.
        progress: called with what is done next.
    Raises:
        NothingToCompareError: it is no kernel, or has no sites.
    """
    started = perf_counter()
    told = progress or _silent
    if not image.kind.is_kernel:
        raise NothingToCompareError(f"nothing to compare: {image.path}: {image.kind}, expected a linked kernel")
    told("sites")
    result, code = prepare_verification(image)
    sites, verdict = result.sites, result.verdict
    if not sites.in_text.any():
        raise NothingToCompareError(f"nothing to compare: {image.path} has no patch sites")
    layout = read_layout(image, sites, verdict.scheme)
    own = _run_own(result, code, told)
    told("list of tracers")
    caller = code.span("ftrace_caller")
    comparison = Comparison(
        image=image,
        sites=sites,
        verdict=verdict,
        frame=frame,
        layout=layout,
        own=own,
        own_trampoline=caller.size if caller is not None else None,
        walk=walk_of(image, int(sites.func[sites.in_text][0]), TRACERS),
        preemption=Facts(image=image).preemption,
    )
    chosen = tuple(schemes)
    rows = tuple(_row(scheme, comparison, told) for scheme in chosen)
    comparison.rows = tuple(row for row in rows if row.scheme.owner == "ftrace")
    comparison.others = tuple(row for row in rows if row.scheme.owner != "ftrace")
    warnings = [comparison.warning] if comparison.warning else []
    comparison.notes += [*_notes(comparison), *warnings, *comparison.walk.notes]
    comparison.seconds = perf_counter() - started
    return comparison


def worst(rows: Iterable[RaceRow]) -> tuple[str, tuple[str, ...]]:
    """Return the worst verdict of some rows, and the kinds of what broke, in the order of rows."""
    found = tuple(rows)
    verdict = max((row.verdict for row in found), key=_VERDICTS.index, default="skipped")
    return verdict, tuple(dict.fromkeys(kind for row in found for kind in row.kinds))


def _silent(what: str) -> None:
    """Tell nobody."""


def _run_own(result: Verification, code: PatchingCode, told: Progress) -> OwnRun:
    told("the kernel's own code")
    try:
        return run_own(result, prepare_scene(result.image), code)
    except GenpatchError as error:
        return OwnRun(notes=[str(error)])


def _row(scheme: CallScheme, comparison: Comparison, told: Progress) -> SchemeRow:
    told(scheme.name)
    image, layout, frame = comparison.image, comparison.layout, comparison.frame
    is_text = scheme.owner == "ftrace"
    sites = comparison.sites if is_text else None
    count = int(comparison.sites.in_text.sum()) if is_text else 1
    reach = reach_of(scheme, image, sites) if sites is not None else None
    dispatchers = _dispatchers(scheme, sites, layout) if sites is not None else None
    traced, trampoline = executed_path(scheme, "A", frame=frame), trampoline_bytes(scheme, frame)
    return SchemeRow(
        scheme=scheme,
        text=relaid(layout, scheme) if is_text else None,
        traced_only=relaid(layout, scheme, traced_only=True) if is_text else None,
        disabled=executed_path(scheme, "off", frame=frame),
        traced=traced,
        direct=executed_path(scheme, "A", frame=frame, direct=True) if scheme.direct_call else None,
        trampoline=trampoline,
        toggles={name: toggle_of(scheme, name, count, frame=frame) for name in TOGGLED},
        reach=reach,
        dispatchers=dispatchers,
        tracers=_tracers(scheme, traced, trampoline, len(dispatchers.at) if dispatchers else 1, comparison.walk),
        races=_races(scheme, frame),
        here=_here(scheme, comparison.preemption),
        why_not=_why_not(scheme, image, reach),
    )


def _dispatchers(scheme: CallScheme, sites: Sites, layout: TextLayout) -> Dispatchers | None:
    """Return where dispatchers must stand for a call that does not reach all of a kernel from one place."""
    if scheme.base is not None or scheme.dispatcher is not None or scheme.reach.stop > 1 << 24:
        return None
    call = sites.func[sites.in_text] + np.uint64(call_offset(scheme))
    return dispatchers_for(call, boundaries(layout), scheme.reach)


def _tracers(scheme: CallScheme, traced: Path, trampoline: int, dispatchers: int, walk: Walk) -> Tracers:
    finds = finds_by(scheme)
    each = finds == "trampoline"
    made = {n: n if each else dispatchers for n in TRACERS}
    calls = {n: traced.instructions + (walk.one[n] if finds == "list" and n > 1 else 0) for n in TRACERS}
    return Tracers(
        finds=finds,
        packed={n: count * _rounded(trampoline, 8) for n, count in made.items()},
        paged={n: count * _rounded(trampoline, PAGE if each else 8) for n, count in made.items()},
        call=calls,
    )


def finds_by(scheme: CallScheme) -> str:
    """Return how a call finds its tracer: ``literal``, ``trampoline`` (of each its own) or ``list``."""
    if scheme.owner == "bpf" or any(store.place is Place.TRAMPOLINE for store in scheme.enable):
        return "trampoline"
    return "literal" if scheme.ops_in is OpsIn.LITERAL else "list"


def _rounded(size: int, to: int) -> int:
    return -(-size // to) * to


def _races(scheme: CallScheme, frame: str) -> dict[str, tuple[RaceRow, ...]]:
    alignment = min(scheme.alignment, ENVIRONMENTS[RACED[0]].alignment)
    environments = [replace(ENVIRONMENTS[name], alignment=alignment) for name in RACED]
    rows = tuple(catalog_rows([scheme], environments, frame=frame))
    return {name: tuple(row for row in rows if row.environment == name) for name in RACED}


def _here(scheme: CallScheme, preemption: Preemption) -> str | None:
    """Return the environment that a scheme would have in a kernel of some preemption."""
    if preemption.full is None:
        return None
    patching = "stop" if Need.STOP_MACHINE in scheme.needs else "smp"
    return f"{patching}-preempt" if preemption.full else patching


def _why_not(scheme: CallScheme, image: KernelImage, reach: Reach | None) -> str:
    """Return what speaks against a scheme in a kernel as it is, but for races."""
    if scheme.base == "gp" and image.address_of("init_shadow_call_stack") is not None:
        return "gp is the shadow call stack's"
    if reach is None or reach.reached is None or reach.reached == reach.sites:
        return ""
    return f"{reach.sites - reach.reached:,} sites do not reach {reach.what}"


def _notes(comparison: Comparison) -> list[str]:
    layout, image = comparison.layout, comparison.image
    notes = [
        f"text: {', '.join(layout.sections)}; {len(layout):,} functions, of which {int(layout.traced.sum()):,} traced; "
        f"nearly all stand on a multiple of {layout.alignment}, without a scheme it would be {layout.natural}",
        "text: a scheme's alignment is asked of the compiler, for all functions; those that do not stand on the "
        "kernel's alignment now (assembly) keep none",
    ]
    if not layout.sized:
        notes.append(
            f"{image.symbols.source} tells no sizes: they are guessed from the next symbol, nops and zeros before it "
            "count as padding; sizes are upper estimates, and a vmlinux with a symbol table gives other figures"
        )
    if layout.unplaced:
        notes.append(f"text: {layout.unplaced:,} sites share a function with another or lie within one: not relaid")
    zeros = len(image.table.entries) - len(comparison.sites) if image.table is not None else 0
    if zeros:
        notes.append(f"text: {zeros:,} zero entries: those functions stand nobody knows where and keep their bytes")
    if comparison.verdict.scheme is None:
        notes.append("the kernel's scheme is not known: its alignment counts as its own")
    if any(row.tracers.finds == "list" for row in comparison.rows):
        notes.append(
            "several tracers: each traces one function, not the same; a scheme with neither literal nor own "
            f"trampolines walks a list of them, for which {comparison.walk.function} was executed"
        )
    return notes
