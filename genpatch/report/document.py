# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit document: everything a renderer may know, frozen, with the schema of its JSON.

Addresses are hex strings (JSON readers use doubles); keys are only ever added within a schema number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .. import __version__
from ..units import BoolArray, I64Array, U8Array, U64Array

AUDIT_SCHEMA, VERIFY_SCHEMA, RACE_SCHEMA = "genpatch/audit/1", "genpatch/verify/1", "genpatch/race/1"
COMPARE_SCHEMA = "genpatch/compare/1"
PROVE_SCHEMA = "genpatch/prove/1"
DIFF_SCHEMA = "genpatch/diff/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """What was read, and what it had to offer; texts for people."""

    path: str
    kind: str
    kernel_release: str | None
    build_id: str | None
    symbols: str
    types: str
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRecord:
    """The site table: entries = zero + sites; `sorted` is None where the order does not matter."""

    entries: int
    zero: int
    sites: int
    source: str
    sorted: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SledRecord:
    """One shape of sled: bytes before and after the symbol, how its nops are spelt, how many sites have it."""

    before: int
    after: int
    nop: str
    sites: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachRecord:
    """Distances to the trampoline: target minus the address of the call's first instruction [bytes]."""

    target: str
    min: int
    max: int
    within_jal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """How many call pairs straddle a 4 KiB page and a 64-byte line."""

    across_page: int
    across_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRecord:
    """Where the sites lie: how many in each `bin` bytes from `base` on, and of those the ones that a level names.

    A site counts for the worst level that a rule gives it.
    """

    base: str
    bin: int
    sites: tuple[int, ...]
    levels: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """What became of a rule: status is pass, fail, skipped or error."""

    rule: str
    name: str
    level: str
    status: str
    findings: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One of the places that a finding is about."""

    address: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRecord:
    """One finding; `sites` counts the places, `examples` names the first few.

    `image` is the path of the image it is about; `baseline` is "new", "unchanged" or None without a baseline.
    """

    rule: str
    name: str
    level: str
    image: str
    address: str | None
    symbol: str
    section: str
    message: str
    sites: int
    examples: tuple[Example, ...]
    fingerprint: str
    baseline: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for people; empty for an image as a whole."""
        return " ".join(part for part in (self.address or "", self.symbol) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFinding(FindingRecord):
    """A finding in a patch or a source file; `line` is 0 where it is about none, the first line is 1."""

    file: str
    line: int

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class SledBytes:
    """The bytes around func of n sites in one state.

    Args:
        state: ``image`` for what the file holds, else the name of a state of `genpatch verify`.
        what: one sentence.
        offset: of the first byte, from func [bytes].
        data: uint8[n, w]; w is a multiple of 4.
        known: bool[n, w], which bytes could be read.
    """

    state: str
    what: str
    offset: int
    data: U8Array
    known: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRows:
    """The sites of one image as columns, n of them; kept only when a renderer lists sites.

    Args:
        entry, func, ip: uint64[n], addresses.
        before, after, alignment: int64[n] [bytes].
        nop: uint8[n], positions in `nop_names`.
        symbols, sections: n names each.
        hits: for each rule that named sites, (rule code, int64[k] positions).
        states: what the sleds hold, in the file and in states that were run.
        literal: where a sled holds a pointer, from func [bytes]; None where it holds code alone.
        names: of what calls and pointers in sleds lead to, by hex address.
    """

    entry: U64Array
    func: U64Array
    ip: U64Array
    before: I64Array
    after: I64Array
    alignment: I64Array
    nop: U8Array
    nop_names: tuple[str, ...]
    symbols: tuple[str, ...]
    sections: tuple[str, ...]
    hits: tuple[tuple[str, I64Array], ...]
    states: tuple[SledBytes, ...] = ()
    literal: int | None = None
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """Everything about one image. `scheme` is a catalog name, "none" or "unknown"."""

    input: InputRecord
    table: TableRecord
    scheme: str
    scheme_variant: str | None
    scheme_evidence: tuple[str, ...]
    sleds: tuple[SledRecord, ...]
    alignment: dict[str, int]
    reach: ReachRecord | None
    pair: PairRecord | None
    rules: tuple[RuleRecord, ...]
    findings: tuple[FindingRecord, ...]
    notes: tuple[str, ...] = ()
    spread: SpreadRecord | None = None
    site_rows: SiteRows | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts over the whole document; `worst` is error, warning, note or none."""

    images: int
    errors: int
    warnings: int
    notes: int
    skipped_rules: int
    failed_rules: int
    worst: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDocument:
    """One audit of one or several images; `trouble` has a line for each input that could not be read.

    For a single image the top-level facts are that image's. For several they are sums (input.kind says so)
    and `images` holds each.
    """

    title: str
    images: tuple[ImageRecord, ...]
    total: ImageRecord
    summary: Summary
    seconds: float
    trouble: tuple[str, ...] = ()
    tool: dict[str, str] = field(default_factory=lambda: {"name": "genpatch", "version": __version__})

    @property
    def verb(self) -> str:
        """Whose document it is, as headings and identifiers name it."""
        return "audit"

    @property
    def is_about_source(self) -> bool:
        """Whether its findings are about lines, not about addresses."""
        return False

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain data for `json.dumps`."""
        body = _record(self.total)
        body.pop("notes")
        return {
            "schema": AUDIT_SCHEMA,
            "tool": self.tool,
            **body,
            "summary": plain(self.summary),
            "notes": list(self.total.notes),
            "trouble": list(self.trouble),
            "images": [_brief(image) for image in self.images] if len(self.images) > 1 else [],
            "seconds": round(self.seconds, 3),
        }


def plain(value: Any) -> Any:
    """Return records as dictionaries, tuples as lists; everything else is already plain."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    return value


def _record(image: ImageRecord) -> dict[str, Any]:
    return {name: plain(getattr(image, name)) for name in image.__slots__ if name != "site_rows"}


def _brief(image: ImageRecord) -> dict[str, Any]:
    """One image within a document of several: its findings stand once, at the top level."""
    ran = tuple(rule for rule in image.rules if rule.status != "pass")
    return {**_record(replace(image, findings=(), rules=ran)), "findings": len(image.findings)}
