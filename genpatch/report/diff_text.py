# SPDX-License-Identifier: GPL-2.0-or-later
"""What has changed between two kernels, for a terminal or a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap

from ..audit.model import plural
from .bpf_changes import BpfChange, BpfChanges, BpfCounts, has_values, unit_of
from .diffing import Broken, Diff, Pair, RaceChange, SiteChanges, StateChange
from .escape import printable

__all__ = ["diff_text", "verdict_of"]

_NAMES = 5
_CHANGES = ("new", "grown", "shrunk", "gone", "same")
_MOST_FACT = 44


def diff_text(diff: Diff, *, ascii_only: bool = False, width: int = 80, most: int = 50) -> Iterator[str]:
    """Yield lines that fit a width where names let them.

    Args:
        ascii_only: escape everything outside ASCII.
        most: names, findings or rows listed of a kind before the rest is only counted.
    """
    for line in _lines(diff, max(min(width, 100), 60), most):
        yield printable(line, ascii_only=ascii_only) + "\n"


def verdict_of(diff: Diff) -> str:
    """Return one line: what is worse, and what is better."""
    counts = Counter(pair.change for pair in diff.findings)
    parts = [f"{plural(counts[each], 'finding')} {each}" for each in _CHANGES if counts[each]]
    broken = sum(len(each.kept) for each in diff.sites.broken) if diff.sites else 0
    parts += [f"{plural(broken, 'site')} newly named by a rule"] if broken else []
    for what, changes in (("state", diff.states), ("race row", diff.races)):
        for change in ("broken", "mended"):
            count = sum(each.change == change for each in changes)
            parts += [f"{plural(count, what)} {change}"] if count else []
    failures = Counter(each.change for each in diff.bpf.failures if each.requested) if diff.bpf else Counter()
    parts += [f"{plural(failures[each], 'BPF failure')} {each}" for each in _CHANGES[:-1] if failures[each]]
    return "; ".join(parts) or "nothing to compare but what is above"


def _lines(diff: Diff, width: int, most: int) -> Iterator[str]:
    for name, side in (("old", diff.old), ("new", diff.new)):
        source = side["input"] or {}
        yield f"{name}  {source.get('kernel_release') or 'a kernel'}, {source.get('path', 'no image')}"
    yield ""
    yield from _facts(diff)
    for change in _CHANGES:
        yield from _findings([pair for pair in diff.findings if pair.change == change], change, width, most)
    if diff.sites is not None:
        yield from _sites(diff.sites, width)
    yield from _states(diff.states, width)
    if diff.bpf is not None:
        yield from _bpf(diff.bpf, width, most)
    yield from _races(diff.races)
    if diff.notes:
        yield ""
        for note in diff.notes:
            yield from _hanging("not compared  ", note, width)
    yield ""
    yield verdict_of(diff)


def _hanging(head: str, text: str, width: int) -> Iterator[str]:
    yield from wrap(
        printable(text), width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _facts(diff: Diff) -> Iterator[str]:
    changed = [fact for fact in diff.facts if fact.changed]
    if changed:
        what = max(len(fact.what) for fact in changed)
        old = min(max(len(fact.old) for fact in changed), _MOST_FACT)
        for fact in changed:
            yield f"{fact.what:<{what}}  {fact.old:<{old}}  {fact.new}"
    same = [fact.what for fact in diff.facts if not fact.changed]
    if same:
        yield f"the same: {', '.join(same)}"


def _findings(pairs: Sequence[Pair], change: str, width: int, most: int) -> Iterator[str]:
    if not pairs:
        return
    yield ""
    yield f"{change}: {plural(len(pairs), 'finding')}"
    for pair in pairs[:most]:
        yield f"  {pair.level} {pair.rule} {pair.name}{_counted(pair)}"
        if change != "same":
            yield from _hanging("    ", pair.message, width)
        if pair.remark:
            yield from _hanging("    ", pair.remark, width)
    if len(pairs) > most:
        yield f"  ... {plural(len(pairs) - most, 'more finding')}"


def _counted(pair: Pair) -> str:
    """Return at how many sites a finding is, with a colon before it; empty for one that is about none."""
    if not pair.sites_old and not pair.sites_new:
        return ""
    if pair.change in ("grown", "shrunk"):
        return f": {pair.sites_old:,} -> {plural(pair.sites_new, 'site')}"
    return f": {plural(max(pair.sites_old, pair.sites_new), 'site')}"


def _sites(sites: SiteChanges, width: int) -> Iterator[str]:
    yield ""
    yield f"sites: {sites.old:,} -> {sites.new:,}; {sites.kept:,} functions in both, {sites.elsewhere:,} elsewhere"
    for what, names in (("gone", sites.gone), ("new", sites.added)):
        if names:
            yield from _hanging(f"  {what:<8}", f"{len(names):,}: {_some(names)}", width)
    for each in sites.reshaped:
        text = f"{each.what} {each.old or '(none)'} -> {each.new or '(none)'}: {each.count:,}: {_some(each.symbols)}"
        yield from _hanging("  moved   ", text, width)
    for title, changes in (("broken", sites.broken), ("mended", sites.mended)):
        for change in changes:
            yield from _hanging(f"  {title:<8}", _named(change, title), width)


def _named(change: Broken, title: str) -> str:
    parts = []
    if change.kept:
        parts.append(f"{plural(len(change.kept), 'function')} in both: {_some(change.kept)}")
    if change.others:
        whose = "only the new kernel has" if title == "broken" else "only the old kernel has"
        parts.append(f"{plural(len(change.others), 'function')} that {whose}: {_some(change.others)}")
    parts += [change.remark] if change.remark else []
    return f"{change.level} {change.rule}: {'; '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_NAMES])
    return listed + (f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else "")


def _states(states: Sequence[StateChange], width: int) -> Iterator[str]:
    changed = [state for state in states if state.change != "same" or state.broken or state.mended]
    if not states:
        return
    yield ""
    yield f"states: {len(states) - len(changed)} of {len(states)} as before"
    for state in changed:
        counts = [f"not tried ({why})" if count is None else f"{count:,} failed"
                  for count, why in ((state.failed_old, state.why_old), (state.failed_new, state.why_new))]  # fmt: skip
        yield from _hanging(f"  {state.change:<8}", f"{state.state}: {counts[0]} -> {counts[1]}", width)
        for title, names in (("newly failing", state.broken), ("no longer", state.mended)):
            if names:
                yield from _hanging("            ", f"{title}: {len(names):,}: {_some(names)}", width)


def _bpf(bpf: BpfChanges, width: int, most: int) -> Iterator[str]:
    """Yield counts of both kernels and the failures that they ask for; the others are counted."""
    yield ""
    yield from _hanging("bpf: ", f"{_bpf_counts(bpf.old)} -> {_bpf_counts(bpf.new)}", width)
    asked = [each for each in bpf.failures if each.requested]
    for each in asked[:most]:
        yield from _hanging(f"  {each.change:<8}", _bpf_failure(each), width)
    if len(asked) > most:
        yield f"  ... {plural(len(asked) - most, 'more failure')}"
    others = Counter(each.change for each in bpf.failures if not each.requested)
    if others:
        counted = ", ".join(f"{others[each]:,} {each}" for each in _CHANGES if others[each])
        text = f"with flags that nothing in the kernel asks for: {plural(others.total(), 'failure')} ({counted})"
        yield from _hanging("  others  ", text, width)


def _bpf_counts(counts: BpfCounts | None) -> str:
    if counts is None:
        return "not run"
    return (
        f"{counts.passed:,} of {plural(counts.made, 'trampoline')} and {counts.programs_passed:,} of "
        f"{plural(counts.programs, 'program')} passed"
    )


def _bpf_failure(failure: BpfChange) -> str:
    """Return a failure in words: who tells of it, what it is about, how often, and as with what."""
    told = f"{failure.level} {failure.rule} " if failure.rule else ""
    more = f" (and {failure.alike:,} more like it)" if failure.alike else ""
    known = [count for count in dict.fromkeys((failure.cases_old, failure.cases_new)) if count]
    counts = " -> ".join([*(f"{count:,}" for count in known[:-1]), plural(known[-1], unit_of(failure.promise))])
    is_number = has_values(failure.promise, failure.expected, failure.got)
    values = f": {failure.got} instead of {failure.expected}" if is_number else ""
    note = f"; {failure.note}" if failure.note else ""
    return f"{told}{failure.promise}: {failure.what}{more}: {counts}, as with {failure.example}{values}{note}"


def _races(races: Sequence[RaceChange]) -> Iterator[str]:
    if not races:
        return
    changed = [race for race in races if race.change != "same"]
    yield ""
    yield f"races: {len(races) - len(changed)} of {len(races)} rows as before"
    for race in changed:
        where = f" in {race.environment}" if race.environment != "own" else ""
        yield f"  {race.change:<8}{race.transition}{where}: {race.old} -> {race.new}"
