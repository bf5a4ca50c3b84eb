# SPDX-License-Identifier: GPL-2.0-or-later
"""What running an image came to, as a document: the audit's, with states, stores and failures beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

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
from ..verify.run import Progress, Verification, verify
from ..verify.scene import prepare_scene
from .build import build_document, image_record
from .document import VERIFY_SCHEMA, AuditDocument, ImageRecord, plain

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyDocument(AuditDocument):
    """The document of `genpatch verify`: findings as in an audit, and a run for each image."""

    runs: tuple[RunRecord, ...] = ()

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
    modules: Sequence[InputRef] = (),
    progress: Progress | None = None,
    told: ModuleProgress | None = None,
) -> VerifyDocument:
    """Run an image and return what came of it.

    Args:
        image: a kernel.
        rules: to judge it by; only those about executed code are asked.
        patterns: globs for the functions to run, all by default.
        states: names of the states to report on and to fail for, all by default.
        keep_sites: keep the sites for renderers that list them.
        modules: of the kernel, to be loaded and run after it.
        progress: called with the name of each state before it is tried.
        told: called with (modules done, modules in all, path).
    """
    started = perf_counter()
    facts = Facts(image=image)
    chosen = _matching(facts, patterns) if patterns else None
    verification = verify(image, chosen=chosen, states=states, progress=progress)
    facts = Facts(image=image, verification=verification)
    record = image_record(facts, run_rules(rules, facts), keep_sites=keep_sites)
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


def _listings(verification: Verification) -> list[ListingRecord]:
    firsts = {(each.state, each.promise, each.what): int(each.lanes[0]) for each in reversed(verification.failures)}
    return [
        ListingRecord(
            state=state, promise=promise.value, what=what, lines=tuple(lines),
            symbol=verification.image.symbols.nearest(int(verification.sites.func[firsts[state, promise, what]])),
        )
        for (state, promise, what), lines in verification.listings.items()
    ]  # fmt: skip
