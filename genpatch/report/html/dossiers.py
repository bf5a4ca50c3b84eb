# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents put together by the kernel that they are about, in the words that a page shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...audit.model import plural
from ..bpf_changes import bpf_of
from ..documents import Document, verb_of
from ..gallery import kernel_rows
from ..views import LEVELS, rank

__all__ = ["Dossier", "Line", "dossiers_of", "rows_of"]

_KERNEL_VERBS = ("audit", "verify", "race", "compare")
_WHAT = {
    "audit": "what lies in the image was not judged",
    "verify": "its patching code was not run",
    "race": "interleavings were not explored",
    "compare": "other schemes were not measured",
}
_MOST_NAMES, _MOST_TITLE = 5, 60
_NOT_CHECKED, _UNTRIED = "not checked: ", " not tried: "
_NOT_RUN = " not run: "
"""What notes about BPF say of what could not be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A thing and what there is to say of it; `detail` is what it looks like in full, empty for nothing more."""

    name: str
    text: str
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Dossier:
    """Everything that a page knows of one kernel, or of something that is none.

    Args:
        number: of the chapter, from 0.
        identity: what tells it from others.
        source: the `input` of its documents, None where they are about no image.
        documents: by verb.
        remark: what tells it from others of the same release; empty if there is none.
    """

    number: int
    identity: tuple[str, ...]
    source: Document | None
    documents: dict[str, Document] = field(default_factory=dict)
    remark: str = ""

    @property
    def anchor(self) -> str:
        """What identifiers of its chapter start with."""
        return f"k{self.number}"

    @property
    def is_kernel(self) -> bool:
        """Whether it is about an image."""
        return self.source is not None

    @property
    def first(self) -> Document:
        """The document that says most of the image."""
        return next((self.documents[verb] for verb in _KERNEL_VERBS if verb in self.documents), self._any)

    @property
    def _any(self) -> Document:
        return next(iter(self.documents.values()))

    @property
    def title(self) -> str:
        """What stands above its chapter."""
        if self.source is None:
            return str(_TITLES.get(verb_of(self._any), verb_of)(self._any))
        release = self.source["kernel_release"]
        name = f"Linux {release}" if release else f"{self.source['kind']}, release unknown"
        return f"{name} ({self.remark})" if self.remark else name

    @property
    def short(self) -> str:
        """A few characters for a list."""
        if self.source is None:
            title = self.title
            return title if len(title) <= _MOST_TITLE else f"{title[: _MOST_TITLE - 3]}..."
        name = str(self.source["kernel_release"] or self.source["path"].rpartition("/")[2])
        return f"{name} ({self.remark})" if self.remark else name

    @property
    def findings(self) -> list[Document]:
        """All findings, the worst first; those in a baseline last."""
        found = [
            {**finding, "verb": verb, "number": number}
            for verb, document in self.documents.items()
            for number, finding in enumerate(document.get("findings", ()))
        ]
        return sorted(
            found,
            key=lambda each: (
                each.get("baseline") == "unchanged",
                rank(each["level"]),
                -each.get("sites", 0),
                each["rule"],
            ),
        )

    @property
    def counts(self) -> dict[str, int]:
        """Findings by level, those of a baseline left out."""
        open_ones = [each["level"] for each in self.findings if each.get("baseline") != "unchanged"]
        return {level: open_ones.count(level) for level in LEVELS}

    @property
    def worst(self) -> str:
        """The worst level, ``clean`` if there is none."""
        if verb_of(self._any) == "prove" and not self._any["proved"]:
            return "error"
        if not self.is_kernel and any(case["verdict"] == "unsafe" for case in self._any.get("cases", ())):
            return "note"  # of schemes it is a result, not a fault
        if not self.is_judged:
            return "note"
        return next((level for level, count in self.counts.items() if count), "clean")

    @property
    def is_judged(self) -> bool:
        """Whether some rule gave a verdict, or no rule was asked."""
        rules = [rule["status"] for document in self.documents.values() for rule in document.get("rules", ())]
        return not rules or any(status not in ("skipped", "error") for status in rules)

    @property
    def failed_states(self) -> list[Document]:
        """The states in which sites failed."""
        document = self.documents.get("verify")
        runs = (document["runs"] or [document]) if document is not None else []
        return [state for run in runs for state in run.get("states", ()) if state["failed"]]

    @property
    def unlooked(self) -> list[Line]:
        """What was not looked at, and why: silence is no pass."""
        return list(_unlooked(self))


def _unlooked(dossier: Dossier) -> Iterator[Line]:
    for verb, document in dossier.documents.items():
        yield from (Line(name=f"{verb}: input", text=line) for line in document.get("trouble", ()))
    if dossier.is_kernel:
        for verb in _KERNEL_VERBS:
            if verb not in dossier.documents:
                yield Line(name=f"genpatch {verb}", text=f"is not in this report: {_WHAT[verb]}")
    for verb, document in dossier.documents.items():
        yield from _unasked(verb, document)
        if verb != "compare":  # its notes say how it measures
            yield from (Line(name=f"{verb}: note", text=line) for line in _notes(document))


def _unasked(verb: str, document: Document) -> Iterator[Line]:
    """Yield the rules, states, rows and patches of a document that nobody judged."""
    reasons: dict[str, list[str]] = {}
    for rule in document.get("rules", ()):
        if rule["status"] in ("skipped", "error"):
            broke = "failed: " if rule["status"] == "error" else ""
            reasons.setdefault(f"{broke}{rule['reason'] or 'not decided'}", []).append(f"{rule['rule']} {rule['name']}")
    for why, names in reasons.items():
        yield Line(name=", ".join(names), text=why)
    if verb == "verify":
        yield from _untried(document)
    for case in document.get("cases", ()):
        if case["verdict"] in ("skipped", "unfinished") and document["about"] == "kernel":
            yield Line(name=f"race: {case['transition']}", text=f"{case['verdict']}: {case['reason']}")
    yield from (Line(name="patches", text=line) for line in document.get("skipped", ()))
    if verb == "check":
        yield from _unasked_of_patches(document)
    if verb == "prove":
        yield from _unproved(document)


def _unasked_of_patches(document: Document) -> Iterator[Line]:
    """Yield the rules that judged no patch, or not all of them, by the reason."""
    reasons: dict[str, dict[str, int]] = {}
    parts = [*document["patches"], *document["images"]]
    for rule in (rule for part in parts for rule in part["rules"]):
        if rule["status"] in ("skipped", "error"):
            names = reasons.setdefault(rule["reason"] or "not decided", {})
            name = f"{rule['rule']} {rule['name']}"
            names[name] = names.get(name, 0) + 1
    for why, names in reasons.items():
        most = max(names.values())
        of = f" (of {plural(most, 'patch', 'patches')})" if len(parts) > 1 else ""
        yield Line(name=_named(list(names)) + of, text=why)


def _named(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _MOST_NAMES else plural(len(names), "rule")


def _unproved(document: Document) -> Iterator[Line]:
    """Yield the stages that were left out or came to no verdict, and what they say that they did not judge."""
    for which, stages in (("", document["stages"]), (" without the series", document["baseline"])):
        for stage in stages:
            if stage["status"] == "skipped":
                yield Line(name=f"{stage['name']}{which}", text=stage["evidence"] or "was not asked for")
            if stage["trouble"]:
                yield Line(name=f"{stage['name']}{which}", text=f"no verdict: {stage['trouble']}")
            told = [each.removeprefix(_NOT_CHECKED) for each in stage["lines"] if each.startswith(_NOT_CHECKED)]
            yield from (Line(name=f"{stage['name']}{which}", text=each) for each in told)
            yield from (Line(name=f"{stage['name']}{which}", text=each) for each in stage["lines"] if _UNTRIED in each)


def _untried(document: Document) -> Iterator[Line]:
    """Yield what verify did not run: states, BPF trampolines, BPF programs."""
    untried: dict[str, list[str]] = {}
    run = (document.get("runs") or [document])[0]
    for state in run.get("states", ()):
        if state["skipped"]:
            untried.setdefault(state["skipped"], []).append(state["state"])
    for why, names in untried.items():
        yield Line(name=f"{'state' if len(names) == 1 else 'states'} {', '.join(names)}", text=why)
    bpf = bpf_of(document)
    if bpf is None:
        yield Line(name="BPF", text="trampolines and programs of the kernel's BPF JIT were not run (--no-bpf)")
        return
    if bpf["trouble"]:
        yield Line(name="BPF trampolines and programs", text=f"were not run: {bpf['trouble']}")
    yield from (Line(name="BPF", text=note.removeprefix("bpf: ")) for note in bpf["notes"] if _NOT_RUN in note)


def _notes(document: Document) -> Sequence[str]:
    notes = document.get("notes", ())
    return list(dict.fromkeys(notes))


def _title_of(patches: Sequence[Document], done: str) -> str:
    """Return the subject of a patch, or how many there are."""
    if len(patches) != 1:
        return f"{len(patches):,} patches, {done}"
    return f"{patches[0]['subject'] or patches[0].get('name', 'a patch')}, {done}"


_TITLES: dict[str, Any] = {
    "race": lambda document: plural(len(document["subjects"]), "scheme") + ", explored",
    "check": lambda document: _title_of(document["patches"], "checked"),
    "prove": lambda document: (
        f"{_title_of(document['series']['patches'], 'proved' if document['proved'] else 'not proved')}"
        f" on Linux {document['tree']['version']}"
    ),
}


def dossiers_of(documents: Iterable[Document]) -> list[Dossier]:
    """Return a dossier for each kernel, in the order of the documents; two of one verb are two kernels."""
    found: list[Dossier] = []
    for document in documents:
        verb, (identity, source) = verb_of(document), _identity(document)
        place = next((each for each in found if each.identity == identity and verb not in each.documents), None)
        if place is None:
            place = Dossier(number=len(found), identity=identity, source=source)
            found.append(place)
        place.documents[verb] = document
    for dossier in found:
        dossier.documents = dict(sorted(dossier.documents.items(), key=lambda item: _order(item[0])))
    _tell_apart([each for each in found if each.is_kernel])
    return found


def _tell_apart(kernels: Sequence[Dossier]) -> None:
    """Give kernels of one title a remark each: what their paths differ in, else the build-id, else a number."""
    by_title: dict[str, list[tuple[Dossier, Document]]] = {}
    for each in kernels:
        if each.source is not None:
            by_title.setdefault(each.title, []).append((each, each.source))
    for same in by_title.values():
        if len(same) < 2:
            continue
        parts = [source["path"].split("/") for _, source in same]
        builds = [str(source["build_id"] or "")[:12] for _, source in same]
        tails = ["/".join(path[-depth:]) for depth in (1, 2, 3) for path in parts]
        choices = [tails[at : at + len(same)] for at in range(0, len(tails), len(same))]
        numbers = [f"number {number}" for number in range(1, len(same) + 1)]
        names = next(each for each in (*choices, builds, numbers) if len(set(each)) == len(same))
        for (dossier, _), name in zip(same, names, strict=True):
            dossier.remark = name


def _order(verb: str) -> int:
    return _KERNEL_VERBS.index(verb) if verb in _KERNEL_VERBS else len(_KERNEL_VERBS)


def _identity(document: Document) -> tuple[tuple[str, ...], Document | None]:
    """Return what tells a kernel from others: its build-id if it has one, else release and path."""
    images = [image for image in document.get("images", ()) if isinstance(image, dict) and "input" in image]
    images.sort(key=lambda image: image["table"]["sorted"] is None)
    source = images[0]["input"] if images else document.get("input")
    if source is None:
        return (str(document["schema"]), str(id(document))), None
    if source["build_id"]:
        return (source["build_id"],), source
    return (source["kernel_release"] or "", source["path"]), source


def rows_of(dossier: Dossier) -> Document | None:
    """Return the sites of a dossier's kernel with what every verb says of them; None where none are listed."""
    found = [
        rows for verb in ("verify", "audit", "race") if verb in dossier.documents
        if (rows := kernel_rows(dossier.documents[verb])) is not None
    ]  # fmt: skip
    if not found:
        return None
    first = max(found, key=lambda rows: len(rows["states"]))
    same = [rows for rows in found if rows["func"] == first["func"]]
    hits = {(hit["rule"], tuple(hit["sites"][:8]), len(hit["sites"])): hit for rows in same for hit in rows["hits"]}
    return {**first, "hits": list(hits.values())}
