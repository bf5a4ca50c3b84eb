# SPDX-License-Identifier: GPL-2.0-or-later
"""The report for a terminal: what the image is, what is wrong with it, what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from ...audit.model import Status, plural
from ..blocks import distributions
from ..document import AuditDocument, Example, FindingRecord, RuleRecord
from ..escape import printable
from ..overview import facts
from ..views import (
    Group,
    artefact_names,
    groups,
    images_with_findings,
    open_findings,
    places,
    shares,
    undecided_rules,
    verdict,
)
from . import RenderOptions

if TYPE_CHECKING:
    from rich.text import Text

    from ..verifying import BpfFailureRecord, BpfRecord, RunRecord

NAME = "text"
DESCRIPTION = "a report for people, on a terminal"

MAX_WIDTH = 100
MIN_WIDTH = 60
MAX_SYMBOL = 120
MAX_IMAGES = 12
MAX_LISTINGS, MAX_LINES, LAST_LINES, MAX_NOTES = 6, 24, 6, 6
_HEAD = 2
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan", "none": "bold green"}

Part = tuple[str, str]


class Page:
    """Lines laid out for a terminal. Whatever is added is made printable; nothing in it is markup."""

    def __init__(self, options: RenderOptions) -> None:
        # rich takes longer to import than everything else here, so only who renders text pays for it.
        from rich.console import Console

        self.width = max(min(options.width, MAX_WIDTH), MIN_WIDTH)
        self._ascii_only = options.ascii_only
        self._stream = StringIO()
        self._console = Console(
            file=self._stream,
            width=self.width,
            color_system="standard" if options.color else None,
            force_terminal=options.color,
            force_jupyter=False,
            no_color=not options.color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )

    def text(self, *parts: Part) -> Text:
        """Return styled text; parts: (text, style)."""
        from rich.text import Text

        return Text.assemble(*((printable(text, ascii_only=self._ascii_only), style) for text, style in parts))

    def line(self, *parts: Part, indent: int = 0) -> None:
        """Add text, wrapped; further lines are indented like the first."""
        self.labelled((" " * indent, ""), *parts)

    def plain(self, line: str, indent: int = 0) -> None:
        """Add a line that is neither wrapped nor styled."""
        self._console.print(self.text((" " * indent + line, "")), soft_wrap=True)

    def row(self, *parts: Part) -> None:
        """Add a line that is styled and not wrapped."""
        line = self.text(*parts)
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def labelled(self, label: Part, *parts: Part) -> None:
        """Add text behind a label; further lines are indented by the label's width."""
        head = self.text(label)
        wrapped = self.text(*parts).wrap(self._console, max(self.width - head.cell_len, 20), overflow="fold")
        for number, line in enumerate(wrapped or [self.text()]):
            lead = head if number == 0 else self.text((" " * head.cell_len, ""))
            whole = lead + line
            whole.rstrip()
            self._console.print(whole, soft_wrap=True)

    def heading(self, left: list[Part], right: Part) -> None:
        """Add a line with something at its right edge, or below it where there is no room."""
        gap = self.width - self.text(*left, right).cell_len
        if gap >= 2 and right[0]:
            self.line(*left, (" " * gap, ""), right)
            return
        self.line(*left)
        if right[0]:
            self.line(right, indent=2)

    def take(self) -> str:
        """Return what was added since the last time."""
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return text


def render(document: AuditDocument, options: RenderOptions) -> Iterator[str]:
    """Yield a summary, the findings by rule with the worst first, and the rules that could not run."""
    page = Page(options)
    names = artefact_names(document)
    if options.summary:
        _summary(page, document, options)
        _images(page, document, names)
        runs = getattr(document, "runs", ())
        for run in runs[:1]:
            _run(page, run)
        if len(runs) > 1:
            _module_runs(page, runs[1:])
        yield page.take()
    ranked = groups(open_findings(document.total.findings))
    budgets = shares([len(group.findings) for group in ranked], options.max_findings)
    for group, budget in zip(ranked, budgets, strict=True):
        _group(page, group, budget, names if len(document.images) > 1 else {}, options)
        yield page.take()
    if options.summary:
        rules, undecided = document.total.rules, undecided_rules(document)
        broken = [rule for rule in rules if rule.status == Status.ERROR and rule not in undecided]
        _without_verdict(page, broken, "failed to run", "bold red")
        _without_verdict(page, undecided, "not decided", "bold yellow")
        _without_verdict(page, [rule for rule in rules if rule.status == Status.SKIPPED], "not run", "bold")
        for run in getattr(document, "runs", ())[:1]:
            _listings(page, run)
            _bpf_listings(page, run)
        if ranked and options.verdict:
            page.line()
            say_verdict(page, document)
        yield page.take()


def _summary(page: Page, document: AuditDocument, options: RenderOptions) -> None:
    page.line((document.title, "bold"))
    for label, lines in facts(document.total):
        for number, line in enumerate(lines):
            page.labelled((f"  {label if number == 0 else '':9} ", "dim"), (line, ""))
    for label, lines in distributions(document.total, page.width - 12, ascii_only=options.ascii_only):
        for number, line in enumerate(lines):
            page.row((f"  {label if number == 0 else '':9} ", "dim"), (line, ""))
    if options.verdict:
        page.line()
        say_verdict(page, document)


def _run(page: Page, run: RunRecord) -> None:
    """What came of running an image: states, stores, what was not tried."""
    page.line()
    if run.states:
        page.line((f"{'state':34}{'sites':>8}{'passed':>10}{'failed':>10}", "dim"), indent=2)
    for state in run.states:
        if state.skipped:
            continue
        style = _STYLES["error"] if state.failed else ""
        cells = f"{state.sites:>8,}{state.passed:>10,}"
        page.labelled((f"  {state.state:34}", ""), (cells, ""), (f"{state.failed:>10,}", style or "dim"))
    skipped = [f"{state.state} ({state.skipped})" for state in run.states if state.skipped]
    if skipped:
        page.labelled(("  not tried ", "dim"), ("; ".join(skipped), "dim"))
    widths: dict[tuple[int, bool], int] = {}
    for store in run.stores:
        widths[store.width, store.aligned] = widths.get((store.width, store.aligned), 0) + store.count
    parts = [
        f"{count:,} of {width} bytes{'' if aligned else ' misaligned'}"
        for (width, aligned), count in sorted(widths.items(), reverse=True)
    ]
    if parts:
        page.labelled(("  stores    ", "dim"), (", ".join(parts), ""))
    for note in run.notes:
        page.labelled(("  note      ", "dim"), (note, ""))
    if run.states:
        rate = f"{run.insns:,} instructions in {run.seconds:.1f} s"
        page.labelled(("  executed  ", "dim"), (rate, ""))
    if run.bpf is not None:
        _bpf(page, run.bpf)


def _bpf(page: Page, bpf: BpfRecord) -> None:
    """What came of running the BPF JIT and its trampolines."""
    page.line()
    if bpf.trouble:
        page.labelled(("  BPF       ", "dim"), (f"not run: {bpf.trouble}", ""))
        return
    page.line((f"{'BPF':34}{'made':>8}{'passed':>10}{'failed':>10}", "dim"), indent=2)
    for what, made, passed in (
        ("trampolines", bpf.made, bpf.passed),
        ("programs", bpf.programs, bpf.programs_passed),
    ):
        failed = made - passed
        cells = (f"{made:>8,}{passed:>10,}", "")
        page.labelled((f"  {what:34}", ""), cells, (f"{failed:>10,}", _STYLES["error"] if failed else "dim"))
    refused = bpf.trampolines - bpf.made
    asked = f"{bpf.trampolines:,} trampolines over {bpf.function}" + (f", {refused:,} are refused" if refused else "")
    page.labelled(("  asked for ", "dim"), (asked, ""))
    alike = bpf.accepted - len(bpf.flags)
    flags = f"{len(bpf.flags):,} combinations; of {bpf.accepted + bpf.refused:,} the JIT refuses {bpf.refused:,}"
    flags += f" and makes nothing else of {alike:,}" if alike else ""
    page.labelled(("  flags     ", "dim"), (flags, ""))
    again = f"{bpf.detached:,} of them run again with a program detached; {bpf.pokes:,} pokes of programs' sleds"
    page.labelled(("  and       ", "dim"), (again, ""))
    for note in bpf.notes:
        page.labelled(("  note      ", "dim"), (note.removeprefix("bpf: "), ""))
    other = [each for each in bpf.failures if not each.requested]
    if other:
        text = f"{sum(each.cases for each in other):,} times, something else happens than the flags of a trampoline say"
        page.labelled(("  note      ", "dim"), (f"{text}; nothing in the kernel asks for those combinations", ""))
    rate = f"{bpf.jit_insns:,} instructions of the JIT, {bpf.insns:,} of what it made, in {bpf.seconds:.1f} s"
    page.labelled(("  executed  ", "dim"), (rate, ""))


def _module_runs(page: Page, runs: tuple[RunRecord, ...]) -> None:
    """What came of running modules, all together."""
    passed: dict[str, list[int]] = {}
    for run in runs:
        for state in run.states:
            counts = passed.setdefault(state.state, [0, 0])
            counts[0] += state.sites
            counts[1] += state.failed
    page.line()
    with_sites = sum(1 for run in runs if run.sites)
    page.line((f"{plural(len(runs), 'module')}, {with_sites:,} with sites that were run", "bold"))
    page.line((f"{'state':34}{'sites':>8}{'passed':>10}{'failed':>10}", "dim"), indent=2)
    for name, (sites, failed) in passed.items():
        if sites:
            cells = f"{sites:>8,}{sites - failed:>10,}"
            page.labelled((f"  {name:34}", ""), (cells, ""), (f"{failed:>10,}", _STYLES["error"] if failed else "dim"))
    notes: dict[str, int] = {}
    for run in runs:
        for note in run.notes:
            kind = note.partition(": ")[0]
            notes[kind] = notes.get(kind, 0) + 1
    for note, count in sorted(notes.items(), key=lambda item: -item[1])[:MAX_NOTES]:
        page.labelled(("  note      ", "dim"), (f"{plural(count, 'module')}: {note}", ""))


def _bpf_listings(page: Page, run: RunRecord) -> None:
    """One worked listing for each kind of failure of a trampoline or program."""
    from ..bpf_changes import cause_of

    shown: set[tuple[str, ...]] = set()
    for failure in run.bpf.failures if run.bpf is not None else ():
        kind = failure.promise, failure.what, cause_of(failure.note)
        if failure.listing and kind not in shown:
            shown.add(kind)
            page.line()
            page.line((f"{failure.example}: {failure.what}", "bold"))
            _around(page, failure)


def _around(page: Page, failure: BpfFailureRecord) -> None:
    """Show how a listing begins, and what leads to the first thing that is wrong."""
    lines = list(failure.listing)
    wrong = next((number for number, line in enumerate(lines) if line.startswith("!!")), None)
    if wrong is None:
        lines.append(f"!! {failure.what}: {failure.got}, not {failure.expected}")
        wrong = len(lines) - 1
    end = wrong + LAST_LINES
    start = max(_HEAD, end - MAX_LINES)
    for line in lines[:_HEAD]:
        page.plain(line, indent=2)
    if start > _HEAD:
        page.line((f"... {plural(start - _HEAD, 'line')} more", "dim"), indent=2)
    for line in lines[start:end]:
        page.plain(line, indent=2)


def _excerpt(page: Page, lines: tuple[str, ...]) -> None:
    """Show the beginning and the end of a listing."""
    hidden = len(lines) - MAX_LINES
    head = MAX_LINES - LAST_LINES if hidden > 0 else len(lines)
    for line in lines[:head]:
        page.plain(line, indent=2)
    if hidden > 0:
        page.line((f"... {plural(hidden, 'line')} more", "dim"), indent=2)
        for line in lines[-LAST_LINES:]:
            page.plain(line, indent=2)


def _listings(page: Page, run: RunRecord) -> None:
    """One worked listing for each kind of failure."""
    shown: set[tuple[str, ...]] = set()
    for listing in run.listings[:MAX_LISTINGS]:
        if listing.lines in shown:
            continue
        shown.add(listing.lines)
        page.line()
        page.line((f"{listing.symbol}, state {listing.state}: {listing.promise} {listing.what}", "bold"))
        _excerpt(page, listing.lines)


def say_verdict(page: Page, document: AuditDocument) -> None:
    """Add the line that counts findings."""
    page.line((verdict(document), _STYLES.get(document.summary.worst, "bold")))


def _images(page: Page, document: AuditDocument, names: dict[str, str]) -> None:
    """A line for each of the worst images; the others are counted."""
    if len(document.images) < 2:
        return
    ranked = images_with_findings(document)
    page.line()
    columns = ("sites", "errors", "warnings", "notes")
    room = page.width - 2 - 10 * len(columns)
    if ranked:
        page.line((f"{'image':{room}}" + "".join(f"{column:>10}" for column in columns), "dim"), indent=2)
    for image, counts in ranked[:MAX_IMAGES]:
        name = page.text((names[image.input.path], ""))
        if name.cell_len > room:
            name = page.text(("..." + name.plain[3 - room :], ""))
        name.truncate(room, pad=True)
        cells = [(f"{image.table.sites:>10,}", "")]
        cells += [(f"{count:>10,}", _STYLES[level] if count else "dim") for level, count in counts.items()]
        page.labelled((f"  {name.plain}", ""), *cells)
    if len(ranked) > MAX_IMAGES:
        page.line((f"... {plural(len(ranked) - MAX_IMAGES, 'more image')} with findings", "dim"), indent=2)
    page.line((f"{plural(len(document.images) - len(ranked), 'image')} without findings", ""), indent=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Findings of one rule that say the same."""

    level: str
    message: str
    images: tuple[str, ...]
    places: tuple[Example, ...]
    sites: int


def _merge(findings: tuple[FindingRecord, ...]) -> list[_Entry]:
    alike: dict[tuple[str, str], list[FindingRecord]] = {}
    for finding in findings:
        alike.setdefault((finding.level, finding.message), []).append(finding)
    return [
        _Entry(
            level=level,
            message=message,
            images=tuple(dict.fromkeys(finding.image for finding in members)),
            places=tuple(place for finding in members for place in places(finding)),
            sites=sum(max(finding.sites, len(places(finding))) for finding in members),
        )
        for (level, message), members in alike.items()
    ]


def _group(page: Page, group: Group, budget: int, names: dict[str, str], options: RenderOptions) -> None:
    """One rule: heading, what it found, how to learn more. `names` is empty for a single image."""
    page.line()
    counts = _counts(group)
    heading = [
        (group.level, _STYLES.get(group.level, "bold")),
        (f" {group.rule} {group.name}", "bold"),
        (f": {counts}" if counts else "", ""),
    ]
    page.heading(heading, (f"genpatch explain {group.rule}" if options.explain else "", "dim"))
    for entry in _merge(group.findings[:budget]):
        mixed = entry.level if entry.level != group.level else ""
        _entry(page, entry, mixed, names, options)
    if len(group.findings) > budget:
        page.line((f"... {plural(len(group.findings) - budget, 'more finding')}", "dim"), indent=2)


def _counts(group: Group) -> str:
    sites = sum(finding.sites for finding in group.findings)
    parts = [plural(len(group.findings), "finding")] if len(group.findings) > 1 else []
    return ", ".join([*parts, plural(sites, "site")] if sites > 1 else parts)


def _entry(page: Page, entry: _Entry, level: str, names: dict[str, str], options: RenderOptions) -> None:
    parts = [(f"{level}: ", _STYLES.get(level, ""))] if level else []
    page.line(*parts, (entry.message, ""), indent=2)
    if names:
        shown = ", ".join(names[image] for image in entry.images[: options.max_examples])
        rest = len(entry.images) - options.max_examples
        more = f" and {plural(rest, 'more image')}" if rest > 0 else ""
        page.labelled(("    in ", "dim"), (shown + more, ""))
    examples = entry.places[: options.max_examples]
    for place in examples:
        symbol = printable(place.symbol, limit=MAX_SYMBOL)
        page.labelled((f"    {place.address}  ", ""), (symbol, "bold"))
    if examples and entry.sites > len(examples):
        page.line((f"... {entry.sites - len(examples):,} more", "dim"), indent=4)


def _without_verdict(page: Page, rules: Sequence[RuleRecord], title: str, style: str) -> None:
    """The rules without a verdict, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for rule in rules:
        reasons.setdefault(rule.reason, []).append(f"{rule.rule} {rule.name}")
    if not reasons:
        return
    page.line()
    page.line((title, style))
    for reason, affected in reasons.items():
        page.labelled(("  ", ""), (", ".join(affected), ""), (f": {reason}", "dim"))
