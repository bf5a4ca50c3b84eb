# SPDX-License-Identifier: GPL-2.0-or-later
"""What running an image came to, as a document: the audit's, with states, stores and failures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audit.facts import Facts
from ..audit.model import Rule
from ..audit.runner import run_rules
from ..errors import UsageError
from ..image.containers import InputRef
from ..image.model import KernelImage
from ..units import as_hex
from ..verify.contract import Failure
from ..verify.modules import ModuleResult, verify_modules
from ..verify.modules import Progress as ModuleProgress
from ..verify.run import Progress, Verification, prepare_verification, verify
from ..verify.scene import prepare_scene
from .build import build_document, image_record
from .document import VERIFY_SCHEMA, AuditDocument, ImageRecord, SiteRows, plain

if TYPE_CHECKING:
    from ..verify.bpf.run import BpfResult

__all__ = ["VERIFY_SCHEMA", "FailureRecord", "RunRecord", "VerifyDocument", "verify_document"]

_MOST_FAILURES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """One state: sites = passed + failed; `skipped` says why it was not tried."""

    state: str
    what: str
    sites: int
    passed: int
    failed: int
    skipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord:
    """Stores of one kind that were executed, all states together."""

    what: str
    width: int
    aligned: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """One site that broke a promise in one state."""

    symbol: str
    address: str
    state: str
    promise: str
    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRecord:
    """How one site came to break a promise: executed instructions, a line each."""

    state: str
    promise: str
    what: str
    symbol: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfFailureRecord:
    """One thing that BPF trampolines or programs broke.

    Args:
        requested: whether the kernel asks for such ones.
        unused: why nothing in the kernel as it is comes to this; empty if something may.
    """

    promise: str
    what: str
    alike: int
    cases: int
    example: str
    expected: str
    got: str
    note: str
    requested: bool
    listing: tuple[str, ...]
    unused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfRecord:
    """What running a kernel's BPF JIT came to; `trouble` says why it was not run.

    Counts: combinations of flags that were `accepted` and `refused`; `trampolines` that were asked for, `made`, and
    `passed`, and `programs` that were compiled, refused, and passed; `pokes` of their sleds; trampolines that were
    run again with a program `detached`.
    """

    trouble: str
    function: str
    accepted: int
    refused: int
    flags: tuple[str, ...]
    trampolines: int
    made: int
    passed: int
    programs: int
    programs_refused: int
    programs_passed: int
    pokes: int
    detached: int
    jit_insns: int
    insns: int
    failures: tuple[BpfFailureRecord, ...]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that running one image came to; `sequences` has what each patching function did in order."""

    path: str
    sites: int
    states: tuple[StateRecord, ...]
    stores: tuple[StoreRecord, ...]
    sequences: dict[str, tuple[str, ...]]
    failures: tuple[FailureRecord, ...]
    listings: tuple[ListingRecord, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    insns: int
    seconds: float
    bpf: BpfRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyDocument(AuditDocument):
    """The document of `genpatch verify`: findings as in an audit, and a run for each image."""

    runs: tuple[RunRecord, ...] = ()

    @property
    def verb(self) -> str:
        """Whose document it is."""
        return "verify"

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain data; of several images the runs are under `runs`."""
        body = super(VerifyDocument, self).as_json()
        one = plain(self.runs[0]) if len(self.runs) == 1 else {}
        one.pop("path", None)
        return {
            **body,
            **one,
            "schema": VERIFY_SCHEMA,
            "notes": [*body["notes"], *one.get("notes", ())],
            "runs": [plain(run) for run in self.runs] if len(self.runs) > 1 else [],
            "insns": sum(run.insns for run in self.runs),
            "seconds": round(self.seconds, 3),
        }


def verify_document(
    image: KernelImage,
    rules: tuple[Rule, ...],
    *,
    patterns: Sequence[str] = (),
    states: tuple[str, ...] = (),
    keep_sites: bool = False,
    keep_sleds: bool = False,
    modules: Sequence[InputRef] = (),
    progress: Progress | None = None,
    told: ModuleProgress | None = None,
    with_sites: bool = True,
    with_bpf: bool = True,
) -> VerifyDocument:
    """Run an image and return what came of it.

    Args:
        image: a kernel.
        rules: to judge it by; only those about executed code are asked.
        patterns: globs for the functions to run, all by default.
        states: names of the states to report on and to fail for, all by default.
        keep_sites: keep the sites for renderers that list them.
        keep_sleds: with them the bytes of each sled in some states.
        modules: of the kernel, to be loaded and run after it.
        progress: called with the name of each state before it is tried.
        told: called with (modules done, modules in all, path).
        with_sites: run the sites.
        with_bpf: run the BPF JIT.
    """
    started = perf_counter()
    facts = Facts(image=image)
    chosen = _matching(facts, patterns) if patterns else None
    verification = _run(image, chosen, states, progress, with_sites=with_sites, with_bpf=with_bpf)
    facts = Facts(image=image, verification=verification)
    record = image_record(facts, run_rules(rules, facts), keep_sites=keep_sites)
    if keep_sleds and record.site_rows is not None:
        record = replace(record, site_rows=_with_sleds(record.site_rows, facts, verification))
    records, runs, trouble = [record], [run_record(verification)], []
    for result in _modules(facts, modules, rules, states, told or _silent):
        if result.trouble:
            trouble.append(f"{result.path}: {result.trouble}")
        elif result.conclusion is not None:
            records.append(result.conclusion[0])
            runs.append(result.conclusion[1])
    document = build_document(
        records, title=image.path, seconds=perf_counter() - started, trouble=trouble, notes=record.notes
    )
    return VerifyDocument(
        title=document.title,
        images=document.images,
        total=document.total,
        summary=document.summary,
        seconds=document.seconds,
        trouble=document.trouble,
        runs=tuple(runs),
    )


def _with_sleds(rows: SiteRows, facts: Facts, verification: Verification) -> SiteRows:
    """Return the sites with their bytes in the states that the kernel's patching functions bring them into."""
    from .site_life import names_in, sleds_in_states

    tried = [state.name for state in verification.states if state.sites]
    states = sleds_in_states(facts, tried)
    return replace(rows, states=states, names=names_in(facts, states, tried))


def _run(
    image: KernelImage,
    chosen: Any,
    states: tuple[str, ...],
    progress: Progress | None,
    *,
    with_sites: bool,
    with_bpf: bool,
) -> Verification:
    """Run the sites of an image, bool[n], its BPF JIT, or both."""
    if with_sites:
        verification = verify(image, chosen=chosen, states=states, progress=progress)
    else:
        verification = prepare_verification(image)[0]
        verification.notes.append("sites were not run, only BPF")
    if with_bpf:
        from ..verify.bpf.run import verify_bpf

        verification.bpf = verify_bpf(image, progress=progress)
    return verification


def _modules(
    kernel: Facts, modules: Sequence[InputRef], rules: tuple[Rule, ...], states: tuple[str, ...], told: ModuleProgress
) -> Iterator[ModuleResult]:
    """Yield what came of each module; its conclusion is (ImageRecord, RunRecord)."""
    if not modules:
        return

    def conclude(verification: Verification) -> tuple[ImageRecord, RunRecord]:
        facts = Facts(image=verification.image, kernel=kernel, verification=verification)
        return image_record(facts, run_rules(rules, facts)), run_record(verification)

    scene = prepare_scene(kernel.image)
    yield from verify_modules(kernel.image, scene, modules, told, states=states, conclude=conclude)


def _silent(done: int, total: int, path: str) -> None:
    """Tell nobody."""


def _matching(facts: Facts, patterns: Sequence[str]) -> Any:
    """Return which sites' functions match some glob: bool[n].

    Raises:
        UsageError: a glob matches none.
    """
    from fnmatch import translate
    from re import compile as compile_pattern

    named = facts.image.symbols.named(facts.sites.symbol.tolist())
    chosen = np.zeros(len(named), np.bool_)
    for pattern in patterns:
        match = compile_pattern(translate(pattern)).match
        found = np.array([bool(name) and match(name) is not None for name in named], np.bool_)
        if not found.any():
            raise UsageError(f"--function {pattern!r}: no traced function is called so")
        chosen |= found
    return chosen


def run_record(verification: Verification) -> RunRecord:
    """Return the record of one image that was run."""
    stores: dict[tuple[str, int, bool], int] = {}
    for each in verification.stores:
        key = each.what, each.width, each.aligned
        stores[key] = stores.get(key, 0) + each.count
    return RunRecord(
        path=verification.image.path,
        sites=max((state.sites for state in verification.states), default=0),
        states=tuple(
            StateRecord(
                state=state.name, what=state.what, sites=state.sites, passed=state.sites - len(state.failed),
                failed=len(state.failed), skipped=state.skipped,
            )
            for state in verification.states
        ),
        stores=tuple(
            StoreRecord(what=what, width=width, aligned=aligned, count=count)
            for (what, width, aligned), count in sorted(stores.items())
        ),
        sequences=verification.sequences,
        failures=_failures(verification),
        listings=tuple(_listings(verification)),
        missing=verification.missing,
        notes=tuple(verification.notes),
        insns=verification.insns,
        seconds=round(verification.seconds, 3),
        bpf=_bpf(verification.bpf),
    )  # fmt: skip


def _failures(verification: Verification) -> tuple[FailureRecord, ...]:
    records: list[FailureRecord] = []
    for failure in verification.failures:
        if len(records) >= _MOST_FAILURES:
            break
        records += _of_sites(verification, failure)[: _MOST_FAILURES - len(records)]
    return tuple(records)


def _of_sites(verification: Verification, failure: Failure) -> list[FailureRecord]:
    sites, facts = verification.sites, Facts(image=verification.image)
    return [
        FailureRecord(
            symbol=facts.image.symbols.name(index) if index >= 0 else facts.symbol_at(address),
            address=as_hex(address), state=failure.state, promise=failure.promise.value, what=failure.what,
            expected=as_hex(expected), got=as_hex(got),
        )
        for index, address, expected, got in zip(
            sites.symbol[failure.lanes].tolist(), sites.func[failure.lanes].tolist(),
            failure.expected.tolist(), failure.got.tolist(), strict=True,
        )
    ]  # fmt: skip


def _bpf(result: BpfResult | None) -> BpfRecord | None:
    if result is None:
        return None
    failures = tuple(
        BpfFailureRecord(
            promise=each.promise.value, what=each.what, alike=each.alike, cases=each.cases, example=each.example,
            expected=as_hex(each.expected), got=as_hex(each.got), note=each.note, requested=each.requested,
            listing=tuple(each.listing), unused=each.unused,
        )
        for each in result.failures
    )  # fmt: skip
    return BpfRecord(
        trouble=result.trouble, function=result.function, accepted=result.accepted, refused=result.refused,
        flags=result.flags, trampolines=result.cases, made=result.made, passed=result.passed,
        programs=result.programs, programs_refused=result.programs_refused, programs_passed=result.programs_passed,
        pokes=result.pokes, detached=result.detached,
        jit_insns=result.jit_insns, insns=result.insns, failures=failures, notes=tuple(result.notes),
        seconds=round(result.seconds, 3),
    )  # fmt: skip


def _listings(verification: Verification) -> list[ListingRecord]:
    firsts = {(each.state, each.promise, each.what): int(each.lanes[0]) for each in reversed(verification.failures)}
    return [
        ListingRecord(
            state=state, promise=promise.value, what=what, lines=tuple(lines),
            symbol=verification.image.symbols.nearest(int(verification.sites.func[firsts[state, promise, what]])),
        )
        for (state, promise, what), lines in verification.listings.items()
    ]  # fmt: skip
