# SPDX-License-Identifier: GPL-2.0-or-later
"""What has changed between two kernels: their documents compared, each verb's with its like.

Findings are the same by their fingerprints, else by rule and wording; sites by the names of their functions, since
addresses change with every build.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from .bpf_changes import BpfChanges, bpf_changes, grown, matched
from .document import DIFF_SCHEMA, plain
from .documents import Document, verb_of
from .fingerprint import artefact_name, plain_symbol
from .racing import ranked_kinds
from .site_names import Named, Place, named_sites
from .views import rank

__all__ = [
    "Broken", "Diff", "Fact", "Pair", "RaceChange", "Reshaped", "Side", "SiteChanges", "StateChange",
    "compare_sides", "sides_of",
]  # fmt: skip

_NUMBER = re.compile(r"0x[0-9a-f]+|\d[\d,.]*")
_ORDER = ("audit", "verify", "race", "compare")
_BAD = ("unsafe", "unfinished")

Side = Mapping[str, Document]
"""The documents of one kernel by their verbs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that is known of both kernels, in words; `changed` tells whether it is the same."""

    what: str
    old: str
    new: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A finding in one kernel or in both: change is new, grown, shrunk, gone or same; counts are of sites."""

    change: str
    rule: str
    name: str
    level: str
    symbol: str
    message: str
    sites_old: int
    sites_new: int
    verb: str
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """Functions that both have, whose site stands or looks otherwise: what is section or sled."""

    what: str
    old: str
    new: str
    count: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Functions that a rule names in one kernel only: of `kept` the other has a site, too, of `others` it has none.

    `remark` says why the other kernel's silence may mean nothing.
    """

    rule: str
    level: str
    kept: tuple[str, ...]
    others: tuple[str, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteChanges:
    """What became of the sites; names of functions, with the module before them where it is not the kernel's."""

    old: int
    new: int
    kept: int
    elsewhere: int
    gone: tuple[str, ...]
    added: tuple[str, ...]
    reshaped: tuple[Reshaped, ...]
    broken: tuple[Broken, ...]
    mended: tuple[Broken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A state that sites were run in; counts are None where the kernel was not run in it, the reason beside it."""

    state: str
    change: str
    failed_old: int | None
    failed_new: int | None
    why_old: str
    why_new: str
    broken: tuple[str, ...]
    mended: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceChange:
    """A row of races: change is new, gone, broken, mended, changed or same."""

    transition: str
    environment: str
    change: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Everything that has changed; `notes` says what could not be compared and why."""

    old: dict[str, Any]
    new: dict[str, Any]
    compared: tuple[str, ...]
    facts: tuple[Fact, ...]
    findings: tuple[Pair, ...]
    sites: SiteChanges | None
    states: tuple[StateChange, ...]
    races: tuple[RaceChange, ...]
    notes: tuple[str, ...]
    bpf: BpfChanges | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data for `json.dumps`."""
        body: dict[str, Any] = plain(self)
        return {"schema": DIFF_SCHEMA, "tool": {"name": "genpatch", "version": __version__}, **body}

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels of what is worse than it was: of findings, also of those for BPF, and errors for states and races."""
        worse = [pair.level for pair in self.findings if pair.change in ("new", "grown")]
        worse += ["error" for state in self.states if state.change == "broken"]
        worse += ["error" for race in self.races if race.change == "broken"]
        failures = self.bpf.failures if self.bpf is not None else ()
        worse += [each.level for each in failures if each.change in ("new", "grown") and each.level]
        return tuple(worse)


def compare_sides(old: Side, new: Side) -> Diff:
    """Compare two kernels by what is known of both.

    Args:
        old, new: documents by verb; at least one verb should be in both.
    """
    both = tuple(verb for verb in _ORDER if verb in old and verb in new)
    notes = [
        f"{verb}: only the {'old' if verb in old else 'new'} kernel has a document of it"
        for verb in _ORDER
        if (verb in old) != (verb in new)
    ]
    pairs = [pair for verb in both if verb != "compare" for pair in _pairs(verb, old[verb], new[verb])]
    pairs.sort(key=lambda pair: (rank(pair.level), pair.rule, pair.verb))
    names_old, names_new = _site_names(old, both), _site_names(new, both)
    asked = _unasked(old, both, "the old kernel"), _unasked(new, both, "the new kernel")
    lacking = [side for side, found in (("old", names_old), ("new", names_new)) if found is None]
    if both and lacking:
        notes.append(f"sites: the document of the {' and of the '.join(lacking)} kernel has none (--sites)")
    first = both[0] if both else ""
    bpf = bpf_changes(old["verify"], new["verify"]) if "verify" in both else None
    if bpf is not None:
        sides = ("old", bpf.old, bpf.why_old), ("new", bpf.new, bpf.why_new)
        notes += [f"bpf: the {name} kernel's was not run: {why}" for name, counts, why in sides if counts is None]
    return Diff(
        old=_identity(old, first), new=_identity(new, first), compared=both,
        facts=tuple(_facts(old, new, both)), findings=tuple(pairs),
        sites=_site_changes(names_old, names_new, *asked) if names_old is not None and names_new is not None else None,
        states=tuple(_states(old["verify"], new["verify"])) if "verify" in both else (),
        races=tuple(_races(old["race"], new["race"])) if "race" in both else (),
        notes=tuple(notes), bpf=bpf,
    )  # fmt: skip


def _identity(side: Side, first: str) -> dict[str, Any]:
    document = side.get(first) or next(iter(side.values()))
    return {"input": document.get("input"), "scheme": document.get("scheme", ""), "verbs": sorted(side)}


# -- facts


def _facts(old: Side, new: Side, both: Sequence[str]) -> Iterator[Fact]:
    verb = next((each for each in both if "table" in old[each] and "table" in new[each]), None)
    if verb is not None:
        before, after = dict(_audit_facts(old[verb])), dict(_audit_facts(new[verb]))
        yield from _told(before, after)
    if "compare" in both:
        yield from _told(dict(_compare_facts(old["compare"])), dict(_compare_facts(new["compare"])))


def _told(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Fact]:
    for what in dict.fromkeys((*before, *after)):
        old, new = before.get(what, "-"), after.get(what, "-")
        yield Fact(what=what, old=old, new=new, changed=old != new)


def _audit_facts(document: Document) -> Iterator[tuple[str, str]]:
    table, reach, pair = document["table"], document["reach"], document["pair"]
    yield "kernel", document["input"]["kernel_release"] or "unknown"
    yield "build-id", (document["input"]["build_id"] or "none")[:12]
    variant = document["scheme_variant"]
    yield "scheme", document["scheme"] + (f" ({variant})" if variant else "")
    yield "sites", f"{table['sites']:,}"
    yield "zero entries", f"{table['zero']:,}"
    yield "sleds", "; ".join(f"{sled['before']}+{sled['after']} {sled['nop']}" for sled in document["sleds"][:4]) or "-"
    for size, count in document["alignment"].items():
        yield f"on a multiple of {size}", f"{count:,}"
    if reach is not None:
        yield f"{reach['target']}, least", f"{reach['min']:,}"
        yield f"{reach['target']}, most", f"{reach['max']:,}"
        yield "sites within jal", f"{reach['within_jal']:,}"
    if pair is not None:
        yield "pairs across a page", f"{pair['across_page']:,}"
        yield "pairs across a line", f"{pair['across_line']:,}"


def _compare_facts(document: Document) -> Iterator[tuple[str, str]]:
    yield "text", f"{document['text']['size']:,} bytes"
    for row in document["schemes"]:
        if row["own"] and row["text"] is not None:
            yield "text for its scheme", f"{row['text']['added']:,} bytes"
    for path in document["own"]["paths"]:
        yield f"instructions, {path['state']}", f"{path['usual']:,}"


# -- findings


def _pairs(verb: str, old: Document, new: Document) -> Iterator[Pair]:
    before, after = list(old.get("findings", ())), list(new.get("findings", ()))
    matched = list(_matched(before, after))
    for first, second in matched:
        change = grown(first["sites"], second["sites"])
        yield _pair(verb, change, second, first["sites"], second["sites"])
    taken = {id(each) for pair in matched for each in pair}
    asked_old, asked_new = _asked(old), _asked(new)
    for each in after:
        if id(each) not in taken:
            yield _pair(verb, "new", each, 0, each["sites"], asked_old.get(each["rule"], ""), "the old kernel")
    for each in before:
        if id(each) not in taken:
            yield _pair(verb, "gone", each, each["sites"], 0, asked_new.get(each["rule"], ""), "the new kernel")


def _asked(document: Document) -> dict[str, str]:
    """Return why rules gave no verdict: rule to reason."""
    rules = document.get("rules", ())
    return {rule["rule"]: rule["reason"] or "it failed" for rule in rules if rule["status"] in ("skipped", "error")}


def _pair(verb: str, change: str, finding: Document, old: int, new: int, why: str = "", whom: str = "") -> Pair:
    return Pair(
        change=change, rule=finding["rule"], name=finding["name"], level=finding["level"], symbol=finding["symbol"],
        message=finding["message"], sites_old=old, sites_new=new, verb=verb,
        remark=f"{whom} could not be asked: {why}" if why else "",
    )  # fmt: skip


_Key = Callable[[Document], tuple[str, ...]]
_KEYS: tuple[_Key, ...] = (
    lambda each: (each["fingerprint"],),
    lambda each: (each["rule"], artefact_name(each["image"]), plain_symbol(each["symbol"]), _masked(each["message"])),
    lambda each: (each["rule"], plain_symbol(each["symbol"]), _masked(each["message"])),
    lambda each: (each["rule"], _masked(each["message"])),
)


def _masked(message: str) -> str:
    return _NUMBER.sub("#", message)


def _matched(old: Sequence[Document], new: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    """Yield findings that are the same, by the narrowest key that tells, at last the only ones of their rule."""
    pairs, left, right = matched(old, new, _KEYS)
    yield from pairs
    counts = Counter(each["rule"] for each in left), Counter(each["rule"] for each in right)
    alone = {each["rule"]: each for each in left if counts[0][each["rule"]] == 1}
    yield from ((alone[each["rule"]], each) for each in right if each["rule"] in alone and counts[1][each["rule"]] == 1)


# -- sites


def _site_names(side: Side, both: Iterable[str]) -> Named | None:
    """Return the sites of a kernel by name, with what every verb's rules say of them; None if no document has any."""
    found = [named for verb in both if verb != "compare" and (named := named_sites(side[verb])) is not None]
    if not found:
        return None
    hits: dict[str, tuple[str, frozenset[str]]] = {}
    for named in found:
        hits |= named.hits
    return Named(found[0].place, found[0].sites, hits)


def _unasked(side: Side, both: Iterable[str], whose: str) -> dict[str, str]:
    """Return why rules gave no verdict of a kernel's sites, in a clause."""
    found = {rule: why for verb in both if verb != "compare" for rule, why in _asked(side[verb]).items()}
    return {rule: f"{whose} could not be asked: {why}" for rule, why in found.items()}


def _site_changes(
    old: Named, new: Named, unasked_old: Mapping[str, str], unasked_new: Mapping[str, str]
) -> SiteChanges:
    before, after = old.place, new.place
    kept = before.keys() & after.keys()
    same_place = sum(before[name][0] == after[name][0] for name in kept)
    return SiteChanges(
        old=old.sites, new=new.sites, kept=len(kept), elsewhere=len(kept) - same_place,
        gone=tuple(sorted(before.keys() - kept)), added=tuple(sorted(after.keys() - kept)),
        reshaped=tuple(_reshaped(before, after, kept)),
        broken=tuple(_broken(old, new, kept, unasked_old)), mended=tuple(_broken(new, old, kept, unasked_new)),
    )  # fmt: skip


_PLACE = ("address", "section", "sled")


def _reshaped(old: Mapping[str, Place], new: Mapping[str, Place], kept: Iterable[str]) -> Iterator[Reshaped]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name in kept:
        before, after = old[name], new[name]
        for number in (1, 2):
            was, now = str(before[number]), str(after[number])
            if was != now:
                groups.setdefault((_PLACE[number], was, now), []).append(name)
    for (what, was, now), names in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[0])):
        yield Reshaped(what=what, old=was, new=now, count=len(names), symbols=tuple(sorted(names)))


def _broken(old: Named, new: Named, kept: Iterable[str], unasked: Mapping[str, str]) -> Iterator[Broken]:
    """Yield what a rule names in `new` and not in `old`."""
    common = frozenset(kept)
    for rule, (level, names) in sorted(new.hits.items(), key=lambda item: (rank(item[1][0]), item[0])):
        more = names - old.hits.get(rule, ("", frozenset()))[1]
        if more:
            yield Broken(
                rule=rule, level=level, kept=tuple(sorted(more & common)), others=tuple(sorted(more - common)),
                remark=unasked.get(rule, ""),
            )  # fmt: skip


# -- states


def _states(old: Document, new: Document) -> Iterator[StateChange]:
    before, after = _by_state(old), _by_state(new)
    failed = _failing(old), _failing(new)
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        count_old, count_new = _failures(was), _failures(now)
        names_old, names_new = failed[0].get(name, frozenset()), failed[1].get(name, frozenset())
        yield StateChange(
            state=name, change=_state_change(count_old, count_new), failed_old=count_old, failed_new=count_new,
            why_old=_untried(was), why_new=_untried(now),
            broken=tuple(sorted(names_new - names_old)), mended=tuple(sorted(names_old - names_new)),
        )  # fmt: skip


def _by_state(document: Document) -> dict[str, Document]:
    """Return the states of the kernel, which is the first of several runs."""
    runs = document.get("runs") or [document]
    return {state["state"]: state for state in runs[0].get("states", ())}


def _failures(state: Document | None) -> int | None:
    return None if state is None or state["skipped"] else int(state["failed"])


def _untried(state: Document | None) -> str:
    return "there is no such state" if state is None else str(state["skipped"])


def _state_change(old: int | None, new: int | None) -> str:
    if old is None and new is None:
        return "same"
    if new is None:
        return "gone"
    if old is None:
        return "broken" if new else "new"
    return "same" if old == new else ("broken" if new > old else "mended")


def _failing(document: Document) -> dict[str, frozenset[str]]:
    runs = document.get("runs") or [document]
    found: dict[str, set[str]] = {}
    for failure in runs[0].get("failures", ()):
        found.setdefault(failure["state"], set()).add(plain_symbol(failure["symbol"]))
    return {state: frozenset(names) for state, names in found.items()}


# -- races


def _races(old: Document, new: Document) -> Iterator[RaceChange]:
    before, after = _by_row(old), _by_row(new)
    for key in dict.fromkeys((*before, *after)):
        was, now = before.get(key), after.get(key)
        yield RaceChange(
            transition=key[0], environment=key[1], change=_race_change(was, now), old=_verdict(was), new=_verdict(now)
        )


def _by_row(document: Document) -> dict[tuple[str, str], Document]:
    """Return the rows by transition and environment; of schemes the subject stands before the transition."""
    about_schemes = document.get("about") == "schemes"
    return {
        (
            f"{row['subject']}: {row['transition']}" if about_schemes else row["transition"],
            row["environment"]["name"],
        ): row
        for row in document["cases"]
    }


def _verdict(row: Document | None) -> str:
    if row is None:
        return "-"
    kinds = ", ".join(row["kinds"])
    return f"{row['verdict']} {kinds}".rstrip()


def _race_change(old: Document | None, new: Document | None) -> str:
    if old is None or new is None:
        if new is not None and new["verdict"] in _BAD:
            return "broken"
        return "new" if old is None else "gone"
    if old["verdict"] == new["verdict"]:
        return _kinds_change(ranked_kinds(old["kinds"]), ranked_kinds(new["kinds"]))
    if new["verdict"] == "unsafe" or (new["verdict"] == "unfinished" and old["verdict"] == "safe"):
        return "broken"
    return "mended" if old["verdict"] in _BAD and new["verdict"] == "safe" else "changed"


def _kinds_change(old: Sequence[str], new: Sequence[str]) -> str:
    """Compare ways to fail, the worst first: what is new is broken, unless the worst of before is gone."""
    if old == new:
        return "same"
    if set(new) < set(old):
        return "mended"
    is_milder = bool(old and new) and new[0] != old[0] and ranked_kinds((old[0], new[0]))[0] == old[0]
    return "changed" if is_milder else "broken"


def sides_of(documents: Iterable[Document]) -> dict[str, Document]:
    """Return documents by their verbs; of several of one verb the last."""
    return {verb_of(document): document for document in documents}
