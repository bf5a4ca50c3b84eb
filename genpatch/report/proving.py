# SPDX-License-Identifier: GPL-2.0-or-later
"""A proof as people and programs read it: text that fits a mail, markdown, JSON, a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from .. import __version__
from ..audit.model import plural
from ..prove.model import JUDGED, RANK, Found, Proof, StageResult, Status
from .document import PROVE_SCHEMA
from .escape import printable

__all__ = [
    "PROOF_FORMATS", "PROVE_SCHEMA", "Changes", "changes_of", "proof_html", "proof_json", "proof_markdown",
    "proof_record", "proof_text",
]  # fmt: skip

_WIDTH = 75
_MOST_FINDINGS = 20
_MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class Changes:
    """What a series does to the findings in a kernel.

    Args:
        new: only with it.
        mended: only without it.
        same: there both ways: (without, with).
    """

    new: tuple[Found, ...]
    mended: tuple[Found, ...]
    same: tuple[tuple[Found, Found], ...]


def changes_of(proof: Proof) -> Changes | None:
    """Return what the series changes; None if that is not known for every stage that judges."""
    done = [{stage.name for stage in stages if stage.name in JUDGED and stage.status is not Status.SKIPPED
             and not stage.trouble} for stages in (proof.stages, proof.baseline)]  # fmt: skip
    if not all(set(JUDGED) <= names for names in done):
        return None
    before = {found.key: found for found in proof.findings(baseline=True)}
    after = {found.key: found for found in proof.findings()}
    return Changes(
        tuple(found for key, found in after.items() if key not in before),
        tuple(found for key, found in before.items() if key not in after),
        tuple((before[key], found) for key, found in after.items() if key in before),
    )


def proof_text(proof: Proof) -> Iterator[str]:
    """Yield the report, 75 columns wide; no name of a directory of this machine is in it."""
    for line in _lines(proof):
        yield f"{printable(line)}\n"


def _lines(proof: Proof) -> Iterator[str]:
    count = len(proof.patches)
    yield from wrap(
        f"genpatch prove: {plural(count, 'patch', 'patches')} on Linux {proof.version}: "
        f"{'every stage passed' if proof.is_proved else 'NOT proved: ' + _failed(proof)}",
        _WIDTH, subsequent_indent="  ",
    )  # fmt: skip
    yield ""
    width = len(str(count))
    for number, patch in enumerate(proof.patches, 1):
        yield from _hanging(f"  {number:>{width}}. ", patch.title)
    yield ""
    facts = {"tree": proof.tree, "series": f"{proof.digest} (what it makes of the tree)", "config": proof.config}
    facts |= proof.programs
    for name, text in facts.items():
        yield from _hanging(f"{name:<10}", text)
    for stages, title in ((proof.baseline, "Without the series"), (proof.stages, "With the series")):
        if stages:
            yield ""
            if proof.baseline:
                yield f"{title}:"
            yield from _table(stages)
    yield from _details(proof)
    for note in _notes(proof):
        yield ""
        yield from _hanging("note: ", note)


def _failed(proof: Proof) -> str:
    return f"{', '.join(stage.name for stage in proof.stages if stage.is_bad)} failed"


def _table(stages: Sequence[StageResult]) -> Iterator[str]:
    yield f"{'stage':<10} {'status':<8} {'seconds':>7}  evidence"
    for stage in stages:
        seconds = "" if stage.status is Status.SKIPPED else f"{stage.seconds:.1f}"
        yield from _hanging(f"{stage.name:<10} {stage.status.value:<8} {seconds:>7}  ", _evidence(stage))


def _evidence(stage: StageResult) -> str:
    text = stage.evidence
    if stage.trouble and stage.trouble not in text:
        text = f"{text}; no verdict: {stage.trouble}"
    return text


def _notes(proof: Proof) -> list[str]:
    """Return what a reader should know of the run: which stages are an earlier one's, and what else was told."""
    kept = [f"{stage.name} without the series" for stage in proof.baseline if stage.kept]
    kept += [stage.name for stage in proof.stages if stage.kept]
    from_before = [f"kept from an earlier run on the same inputs: {', '.join(kept)}"] if kept else []
    bad = [stage.name for stage in proof.baseline if stage.is_bad]
    blind = [f"{', '.join(bad)} failed without the series, so what it mends is not known"] if bad else []
    return [*from_before, *blind, *proof.notes]


def _details(proof: Proof) -> Iterator[str]:
    changes = changes_of(proof)
    if changes is not None:
        yield ""
        yield "What the series changes:"
        yield from _changed("mended", changes.mended)
        yield from _changed("new", changes.new)
        yield from _hanging("  ", f"as before: {_by_rule([after for _, after in changes.same])}")
        for before, after in changes.same:
            if before.sites != after.sites:
                yield from _hanging("    ", f"{after.rule} {before.sites:,} -> {after.sites:,} sites")
    else:
        for stage in proof.stages:
            if stage.findings and stage.name in JUDGED:
                yield ""
                yield from _changed(f"{stage.name} found", stage.findings)
    for title, stages in (("without the series", proof.baseline), ("", proof.stages)):
        for stage in stages:
            if stage.lines and (stage.name not in JUDGED or stage.is_bad or stage.name == "verify"):
                yield ""
                yield f"{stage.name}{f', {title}' if title else ''}:"
                for line in stage.lines[:_MOST_LINES]:
                    yield from _hanging("  ", line)
                if len(stage.lines) > _MOST_LINES:
                    yield f"  and {len(stage.lines) - _MOST_LINES} more lines"


def _changed(what: str, findings: Sequence[Found]) -> Iterator[str]:
    if not findings:
        yield f"  {what}: nothing"
        return
    yield f"  {what}: {plural(len(findings), 'finding')}"
    ranked = sorted(findings, key=lambda found: -RANK[found.level])
    for found in ranked[:_MOST_FINDINGS]:
        yield from _hanging("    ", f"{found.rule} {found.level}: {found.message}")
    if len(findings) > _MOST_FINDINGS:
        yield f"    and {len(findings) - _MOST_FINDINGS} more"


def _by_rule(findings: Sequence[Found]) -> str:
    counts: dict[str, int] = {}
    for found in findings:
        counts[found.rule] = counts.get(found.rule, 0) + 1
    return ", ".join(f"{rule} x{count}" if count > 1 else rule for rule, count in sorted(counts.items())) or "nothing"


def _hanging(first: str, text: str) -> list[str]:
    indent = " " * len(first) if len(first) < 40 else "    "
    return wrap(
        f"{first}{printable(text)}", _WIDTH, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def proof_markdown(proof: Proof) -> Iterator[str]:
    """Yield a table of the stages for a review or a summary of a CI run."""
    verdict = "every stage passed" if proof.is_proved else f"**not proved**: {_failed(proof)}"
    yield f"## genpatch prove: {plural(len(proof.patches), 'patch', 'patches')} on Linux {_cell(proof.version)}\n\n"
    yield f"{verdict}\n\n"
    for patch in proof.patches:
        yield f"1. {_cell(patch.title)}\n"
    yield "\n| stage | status | seconds | evidence |\n|---|---|---:|---|\n"
    for title, stages in ((" (without)", proof.baseline), ("", proof.stages)):
        for stage in stages:
            seconds = "" if stage.status is Status.SKIPPED else f"{stage.seconds:.1f}"
            yield f"| {stage.name}{title} | {stage.status.value} | {seconds} | {_cell(_evidence(stage))} |\n"
    changes = changes_of(proof)
    if changes is not None:
        yield f"\n{len(changes.mended)} mended, {len(changes.new)} new, {len(changes.same)} as before\n"
        for what, findings in (("mended", changes.mended), ("new", changes.new)):
            for found in findings[:_MOST_FINDINGS]:
                yield f"- {what}: {found.rule} {_cell(found.message)}\n"
    for note in _notes(proof):
        yield f"\n{_cell(note)}\n"
    programs = ", ".join(f"{name}: {_cell(text)}" for name, text in proof.programs.items())
    yield f"\n{_cell(proof.tree)}; {_cell(proof.config)}; {programs}\n"


def _cell(text: str) -> str:
    plain = printable(text)
    return "".join(f"\\{char}" if char in "\\`*_[]<>|" else char for char in plain)


def proof_record(proof: Proof) -> dict[str, Any]:
    """Return the document, as `report.schema` describes it."""
    changes = changes_of(proof)
    return {
        "schema": PROVE_SCHEMA,
        "tool": {"name": "genpatch", "version": __version__},
        "proved": proof.is_proved,
        "fail_on": proof.fail_on,
        "tree": {"version": proof.version, "what": proof.tree},
        "series": {
            "digest": proof.digest,
            "patches": [{"subject": patch.title, "files": list(patch.files)} for patch in proof.patches],
        },
        "programs": dict(proof.programs),
        "config": proof.config,
        "stages": [stage.as_json() for stage in proof.stages],
        "baseline": [stage.as_json() for stage in proof.baseline],
        "changes": None if changes is None else {
            "new": [found.key for found in changes.new],
            "mended": [found.key for found in changes.mended],
            "same": [after.key for _, after in changes.same],
        },
        "notes": list(proof.notes),
        "seconds": proof.seconds,
    }  # fmt: skip


def proof_json(proof: Proof) -> Iterator[str]:
    """Yield the document as JSON."""
    yield json.dumps(proof_record(proof), indent=2) + "\n"


def proof_html(proof: Proof) -> Iterator[str]:
    """Yield one page that opens offline."""
    from .html import page_of

    yield from page_of([proof_record(proof)])


PROOF_FORMATS: Mapping[str, Callable[[Proof], Iterator[str]]] = {
    "text": proof_text,
    "json": proof_json,
    "markdown": proof_markdown,
    "html": proof_html,
}
