# SPDX-License-Identifier: GPL-2.0-or-later
"""From facts and rule results to the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ..audit.facts import Facts
from ..audit.model import Finding, Rule, RuleResult, Severity, Status
from ..isa.encoding import REACH_JAL
from ..sites.model import Nops
from ..units import as_hex
from .document import (
    AuditDocument,
    Example,
    FindingRecord,
    ImageRecord,
    InputRecord,
    PairRecord,
    ReachRecord,
    RuleRecord,
    SiteRows,
    SledBytes,
    SledRecord,
    SpreadRecord,
    Summary,
    TableRecord,
)
from .fingerprint import artefact_name, fingerprint, unique

ALIGNMENTS = (2, 4, 8, 16)
MAX_EXAMPLES = 5
MAX_SLED = 32
LEAST_BIN, MOST_BINS = 4096, 72
_PAIR_SIZE, _PAGE, _LINE = 8, 4096, 64


def image_record(facts: Facts, results: Sequence[RuleResult], *, keep_sites: bool = False) -> ImageRecord:
    """Return everything a report may say about one image."""
    findings = [(result, finding) for result in results for finding in result.findings]
    image, verdict = facts.image, facts.verdict
    return ImageRecord(
        input=_input(facts),
        table=_table(facts),
        scheme="none" if image.table is None else verdict.name,
        scheme_variant=verdict.variant.name if verdict.variant else None,
        scheme_evidence=verdict.evidence,
        sleds=tuple(
            SledRecord(before=before, after=after, nop=Nops(spelling).text, sites=count)
            for before, after, spelling, count in facts.sites.sled_kinds
        ),
        alignment={str(size): int(np.count_nonzero(facts.sites.alignment >= size)) for size in ALIGNMENTS},
        reach=_reach(facts),
        pair=_pair(facts),
        rules=tuple(_rule(result) for result in results),
        findings=_findings(facts, findings),
        notes=image.notes,
        spread=_spread(facts, findings),
        site_rows=_site_rows(facts, findings) if keep_sites else None,
    )


def _input(facts: Facts) -> InputRecord:
    image = facts.image
    symbols = f"{image.symbols.source} ({len(image.symbols):,})" if len(image.symbols) else "none"
    return InputRecord(
        path=image.path,
        kind=image.kind_text,
        kernel_release=image.release,
        build_id=image.build_id,
        symbols=symbols,
        types=image.types_note,
        config=image.config.source,
    )


def _table(facts: Facts) -> TableRecord:
    table = facts.image.table
    if table is None:
        return TableRecord(entries=0, zero=0, sites=0, source="none", sorted=None)
    entries = table.entries
    return TableRecord(
        entries=len(entries),
        zero=len(entries) - len(facts.sites),
        sites=len(facts.sites),
        source=table.source,
        sorted=bool((entries[1:] >= entries[:-1]).all()) if facts.image.kind.is_kernel else None,
    )


def _reach(facts: Facts) -> ReachRecord | None:
    target = facts.image.address_of("ftrace_caller") if not facts.is_module else None
    if target is None or not len(facts.sites):
        return None
    distance = facts.distances_to(target)
    within = (distance >= REACH_JAL.start) & (distance < REACH_JAL.stop)
    return ReachRecord(
        target="ftrace_caller",
        min=int(distance.min()),
        max=int(distance.max()),
        within_jal=int(np.count_nonzero(within)),
    )


def _pair(facts: Facts) -> PairRecord | None:
    if facts.is_module or not len(facts.sites):
        return None
    last = facts.call + np.uint64(_PAIR_SIZE - 1)
    return PairRecord(
        across_page=int(np.count_nonzero(facts.call // _PAGE != last // _PAGE)),
        across_line=int(np.count_nonzero(facts.call // _LINE != last // _LINE)),
    )


def _spread(facts: Facts, findings: Sequence[tuple[RuleResult, Finding]]) -> SpreadRecord | None:
    """Return how the sites of a kernel lie in its text; None of a module, whose addresses are not final."""
    func = facts.sites.func[facts.sites.in_text]
    if facts.is_module or not len(func):
        return None
    base, span = int(func.min()), int(func.max() - func.min()) + 1
    width = LEAST_BIN
    while span / width > MOST_BINS:
        width *= 2
    count = (span - 1) // width + 1
    numbers = ((facts.sites.func - np.uint64(base)) // np.uint64(width)).astype(np.int64)
    worst = np.zeros(len(facts.sites), np.int64)
    for result, finding in findings:
        if finding.sites is not None:
            level = int(finding.level or result.rule.severity)
            worst[finding.sites] = np.maximum(worst[finding.sites], level)
    inside = facts.sites.in_text
    levels = {
        each.text: tuple(np.bincount(numbers[inside & (worst == each)], minlength=count).tolist())
        for each in sorted(Severity, reverse=True)
    }
    total = tuple(np.bincount(numbers[inside], minlength=count).tolist())
    return SpreadRecord(base=as_hex(base), bin=width, sites=total, levels=levels)


def _rule(result: RuleResult) -> RuleRecord:
    if not result.findings:
        return _quiet_rule(result.rule, result.status, result.reason)
    return RuleRecord(
        rule=result.rule.code,
        name=result.rule.name,
        level=max(Severity(finding.level or result.rule.severity) for finding in result.findings).text,
        status=result.status.value,
        findings=len(result.findings),
        reason=result.reason,
    )


@cache
def _quiet_rule(rule: Rule, status: Status, reason: str) -> RuleRecord:
    """The record of a rule that found nothing: the same object for thousands of modules."""
    return RuleRecord(
        rule=rule.code,
        name=rule.name,
        level=rule.severity.text,
        status=status.value,
        findings=0,
        reason=reason,
    )


def _findings(facts: Facts, findings: Sequence[tuple[RuleResult, Finding]]) -> tuple[FindingRecord, ...]:
    artefact = artefact_name(facts.image.path)
    prints = unique(
        fingerprint(
            result.rule.code,
            artefact,
            finding.symbol if finding.subject is None else finding.subject,
            finding.kind,
        )
        for result, finding in findings
    )
    return tuple(
        _finding(facts, result, finding, mark) for (result, finding), mark in zip(findings, prints, strict=True)
    )


def _finding(facts: Facts, result: RuleResult, finding: Finding, mark: str) -> FindingRecord:
    placed = facts.image.memory.placed
    return FindingRecord(
        rule=result.rule.code,
        name=result.rule.name,
        level=Severity(finding.level or result.rule.severity).text,
        image=facts.image.path,
        address=None if finding.address is None else _address(facts, finding.address, placed),
        symbol=finding.symbol,
        section="" if finding.address is None else facts.section_name(finding.address),
        message=finding.message,
        sites=len(finding.sites) if finding.sites is not None else (finding.count or 0),
        examples=_examples(facts, finding, placed),
        fingerprint=mark,
    )


def _examples(facts: Facts, finding: Finding, placed: bool) -> tuple[Example, ...]:
    if finding.sites is None:
        return ()
    return tuple(
        Example(address=_address(facts, int(facts.sites.func[site]), placed), symbol=facts.site_name(int(site)))
        for site in finding.sites[:MAX_EXAMPLES]
    )


def _address(facts: Facts, address: int, placed: bool) -> str:
    """Return an address; in a relocatable object, where addresses are ours, the offset in its section."""
    region = facts.image.memory.region_at(address) if placed else None
    return as_hex(address if region is None else address - region.span.start)


def _site_rows(facts: Facts, findings: Sequence[tuple[RuleResult, Finding]]) -> SiteRows:
    sites, memory = facts.sites, facts.image.memory
    names = [region.name for region in memory.regions] + [""]
    base = sites.entry - sites.offset.astype(np.uint64) if memory.placed else np.zeros(len(sites), np.uint64)
    ip = facts.ip if facts.ip is not None else sites.func
    return SiteRows(
        entry=sites.entry - base,
        func=sites.func - base,
        ip=ip - base,
        before=sites.before,
        after=sites.after,
        alignment=sites.alignment,
        nop=sites.spelling,
        nop_names=tuple(nop.text for nop in Nops),
        symbols=tuple(facts.image.symbols.named(sites.symbol.tolist())),
        sections=tuple(names[number] for number in sites.region.tolist()),
        hits=tuple((result.rule.code, finding.sites) for result, finding in findings if finding.sites is not None),
        states=(sled_in_file(facts),),
        literal=facts.scheme.literal if facts.scheme is not None else None,
    )


def sled_window(facts: Facts) -> tuple[int, int]:
    """Return where the sleds of most sites begin and how long they are, whole words: (from func, length) [bytes]."""
    before, after = facts.sites.usual
    if facts.scheme is not None:
        before, after = max(before, facts.scheme.before), max(after, facts.scheme.after)
    lead = int(facts.sites.lead.max()) if len(facts.sites) else 0
    below, above = -(-min(before, MAX_SLED) // 4) * 4, -(-min(after + lead, MAX_SLED) // 4) * 4
    return -below, max(below + above, 4)


def sled_in_file(facts: Facts) -> SledBytes:
    """Return the bytes of all sleds as the image has them."""
    offset, width = sled_window(facts)
    data, known = facts.image.memory.windows(facts.sites.func, -offset, width)
    return SledBytes(state="image", what="as the file has it", offset=offset, data=data, known=known)


# --- the whole


def build_document(
    images: Sequence[ImageRecord],
    *,
    title: str,
    seconds: float,
    notes: Sequence[str] = (),
    trouble: Sequence[str] = (),
) -> AuditDocument:
    """Return the document of one or several images.

    Args:
        images: their records, kernels first.
        title: what the user named.
        seconds: how long it took.
        notes: what was left out and why.
        trouble: a line for each input that could not be read.
    """
    total = images[0] if len(images) == 1 else _total(images, title)
    total = replace(total, notes=(*total.notes, *notes))
    return AuditDocument(
        title=title,
        images=tuple(images),
        total=total,
        summary=summarise(images),
        seconds=seconds,
        trouble=tuple(trouble),
    )


def summarise(images: Sequence[ImageRecord]) -> Summary:
    """Count findings and rules over some images."""
    levels = Counter(finding.level for image in images for finding in image.findings)
    statuses = Counter(rule.status for image in images for rule in image.rules)
    worst = next((level for level in ("error", "warning", "note") if levels[level]), "none")
    return Summary(
        images=len(images),
        errors=levels["error"],
        warnings=levels["warning"],
        notes=levels["note"],
        skipped_rules=statuses[Status.SKIPPED.value],
        failed_rules=statuses[Status.ERROR.value],
        worst=worst,
    )


def _total(images: Sequence[ImageRecord], title: str) -> ImageRecord:
    """Add several images up; what differs between them is said to be mixed."""
    tables = [image.table for image in images]
    schemes = {image.scheme for image in images if image.scheme != "none"}
    variants = {image.scheme_variant for image in images if image.scheme_variant}
    sleds: Counter[tuple[int, int, str]] = Counter()
    for image in images:
        for sled in image.sleds:
            sleds[sled.before, sled.after, sled.nop] += sled.sites
    kernel = next((image for image in images if image.reach is not None), None)
    return ImageRecord(
        input=InputRecord(
            path=title,
            kind=f"{len(images)} images",
            kernel_release=_common([image.input.kernel_release for image in images if image.input.kernel_release]),
            build_id=None,
            symbols=_common([image.input.symbols.split(" ")[0] for image in images]) or "mixed",
            types=_common([image.input.types for image in images]) or "mixed",
            config=_common([image.input.config for image in images]) or "mixed",
        ),
        table=TableRecord(
            entries=sum(table.entries for table in tables),
            zero=sum(table.zero for table in tables),
            sites=sum(table.sites for table in tables),
            source=_common([table.source for table in tables if table.source != "none"]) or "mixed",
            sorted=None,
        ),
        scheme=schemes.pop() if len(schemes) == 1 else ("mixed" if schemes else "none"),
        scheme_variant=variants.pop() if len(variants) == 1 else None,
        scheme_evidence=(),
        sleds=tuple(
            SledRecord(before=before, after=after, nop=nop, sites=count)
            for (before, after, nop), count in sorted(sleds.items(), key=lambda item: (-item[1], item[0]))
        ),
        alignment={str(size): sum(image.alignment[str(size)] for image in images) for size in ALIGNMENTS},
        reach=kernel.reach if kernel else None,
        pair=kernel.pair if kernel else None,
        spread=next((image.spread for image in images if image.spread is not None), None),
        rules=_merged_rules(images),
        findings=tuple(finding for image in images for finding in image.findings),
    )


def _common(values: Sequence[str | None]) -> str | None:
    """Return the value that all have, None if they differ."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _merged_rules(images: Sequence[ImageRecord]) -> tuple[RuleRecord, ...]:
    """Merge what became of each rule over all images: the worst status wins, findings are added."""
    order = {"skipped": 0, "pass": 1, "fail": 2, "error": 3}
    levels = {"note": 1, "warning": 2, "error": 3}
    merged: dict[str, RuleRecord] = {}
    for image in images:
        for rule in image.rules:
            known = merged.get(rule.rule)
            if known is None:
                merged[rule.rule] = rule
            if known is None or (not rule.findings and order[rule.status] <= order[known.status]):
                continue
            worse = rule if order[rule.status] > order[known.status] else known
            fired = [each for each in (rule, known) if each.findings]
            merged[rule.rule] = RuleRecord(
                rule=rule.rule,
                name=rule.name,
                level=max((each.level for each in fired), key=levels.__getitem__, default=worse.level),
                status=worse.status,
                findings=rule.findings + known.findings,
                reason=worse.reason,
            )
    return tuple(merged[code] for code in sorted(merged))
