# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of each verb's document, for a page and for --svg."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import PurePath

from ..audit.model import plural
from .bpf_changes import bpf_of, finding_of, unit_of
from .documents import Document, verb_of
from .pictures import LEVELS, Bar, Mark, Picture, bars, columns, grid

__all__ = ["findings_of", "kernel_rows", "pictures_of"]

_MIB = 1 << 20
_MOST_MODULES = 24
_MOST_BARS = 40
_KIND_OF = {"safe": "clean", "unsafe": "error", "unfinished": "warning", "skipped": "none"}
_JAL = 1 << 20


def pictures_of(document: Document) -> list[Picture]:
    """Return what can be drawn of a document; what it says nothing about is left out."""
    return list(_PAINTERS.get(verb_of(document), _nothing)(document))


def _nothing(document: Document) -> Iterator[Picture]:
    yield from ()


# -- audit


def _audit(document: Document) -> Iterator[Picture]:
    spread, sites = document.get("spread"), document["table"]["sites"]
    if spread is not None:
        yield _strip(spread)
        if document["reach"] is not None:
            yield _distances(spread, document["reach"])
    if sites:
        yield bars(
            "alignment", "Alignment of functions", "functions on a multiple of so many bytes",
            [_share(f"{size} bytes", count, sites) for size, count in document["alignment"].items()], most=sites,
        )  # fmt: skip
        yield bars(
            "sleds", "Kinds of sleds", "sites by bytes before and after the symbol, and how the nops are spelt",
            [_share(f"{each['before']} + {each['after']}, {each['nop']}", each["sites"], sites)
             for each in document["sleds"][:8]], most=sites,
        )  # fmt: skip
    if len(document["images"]) > 1:
        yield _modules(document)


def kernel_rows(document: Document) -> Document | None:
    """Return the sites of a document's kernel, or of its first image that has any listed; None without."""
    if "site_rows" in document:
        return dict(document["site_rows"])
    images = [image for image in document.get("images", ()) if "site_rows" in image]
    images.sort(key=lambda image: image["table"]["sorted"] is None)
    return dict(images[0]["site_rows"]) if images else None


def _share(label: str, count: int, total: int) -> Bar:
    value = "all" if count == total and total else f"{count:,}"
    return Bar(label=label, value=value, parts=(("clean", count),))


def _strip(spread: Document) -> Picture:
    width, total = spread["bin"], sum(spread["sites"])
    scale, end = _MIB / width, width * len(spread["sites"])
    named = [spread["levels"].get(level, [0] * len(spread["sites"])) for level in LEVELS[:-1]]
    stacks = [(*levels, count - sum(levels)) for count, *levels in zip(spread["sites"], *named, strict=True)]
    said = ", ".join(f"{sum(counts):,} {level}" for level, counts in zip(LEVELS, named, strict=False) if any(counts))
    return columns(
        "strip", "The kernel's text", f"sites per MiB, from {spread['base']} on; by the worst that a rule says of each",
        [[value * scale for value in stack] for stack in stacks], first=0, last=end,
        ticks=[(at * _MIB, f"{at} MiB") for at in _steps(end / _MIB)],
        about=f"{total:,} sites over {end / _MIB:.1f} MiB: {said or 'nothing is said of any'}", tracked=True,
    )  # fmt: skip


def _steps(span: float) -> list[float]:
    """Return at most ten round numbers from 0 to span."""
    round_steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)
    step = next((each for each in round_steps if span / each <= 10), span / 10)
    return [round(step * number, 2) if step < 1 else int(step * number) for number in range(int(span / step) + 1)]


def _distances(spread: Document, reach: Document) -> Picture:
    counts = spread["sites"][::-1]
    last = float(reach["max"] + spread["bin"] - 1)
    first, low, high = last - spread["bin"] * len(counts), min(reach["min"], 0), max(reach["max"], 0)
    used = max(abs(low), abs(high)) / (1 << 31)
    ticks = _signed_steps(first / _MIB, last / _MIB)
    return columns(
        "reach", f"Distance to {reach['target']}",
        f"sites by distance; auipc + jalr reach 2 GiB either way, of which {used:.1%} are needed",
        [[0, 0, 0, value] for value in counts], first=first, last=last,
        ticks=[(at * _MIB, f"{at:+g} MiB" if at else "0") for at in ticks],
        about=f"{reach['min']:,} to {reach['max']:,} bytes; {reach['within_jal']:,} sites are within 1 MiB",
        marks=[Mark(label=f"within reach of jal: {reach['within_jal']:,} sites", at=-_JAL, end=_JAL - 2),
               Mark(label=f"{reach['target']} itself", at=0)],
    )  # fmt: skip


def _signed_steps(low: float, high: float) -> list[float]:
    step = _steps(high - low)
    width = step[1] if len(step) > 1 else 1
    return [number * width for number in range(ceil(low / width), int(high / width) + 1)]


def _modules(document: Document) -> Picture:
    counted = []
    for image in document["images"]:
        levels = [each["level"] for each in document["findings"] if each["image"] == image["input"]["path"]]
        kind = next((level for level in ("error", "warning", "note") if level in levels), "clean")
        counted.append((PurePath(image["input"]["path"]).name, image["table"]["sites"], kind))
    counted.sort(key=lambda each: (LEVELS.index(each[2]), -each[1]))
    left = len(counted) - _MOST_MODULES
    rest = f"; {left:,} more images are not shown" if left > 0 else ""
    return bars(
        "images", "Images by sites and verdict", f"sites of an image, the worst first{rest}",
        [Bar(label=name, value=f"{sites:,}", parts=((kind, sites),)) for name, sites, kind in counted[:_MOST_MODULES]],
    )  # fmt: skip


# -- verify, race, compare


def _verify(document: Document) -> Iterator[Picture]:
    runs = document["runs"] or [document]
    tried = [state for state in runs[0].get("states", ()) if state["sites"]]
    if tried:
        most = max(state["sites"] for state in tried)
        yield bars(
            "states", "Sites in each state", "sites that kept the contract, and in red those that broke it",
            [Bar(label=each["state"], value=_failed(each), parts=(("error", each["failed"]), ("clean", each["passed"])))
             for each in tried], most=most,
        )  # fmt: skip
    bpf = bpf_of(document)
    if bpf is not None and not bpf["trouble"]:
        yield from _bpf(bpf, document["findings"])


def _failed(state: Document) -> str:
    return f"{state['failed']:,} failed" if state["failed"] else "all"


def _bpf(bpf: Document, findings: Sequence[Document]) -> Iterator[Picture]:
    """Yield what became of BPF trampolines and programs, and what failed of those that the kernel asks for."""
    made = [("trampolines", bpf["made"], bpf["passed"]), ("programs", bpf["programs"], bpf["programs_passed"])]
    yield bars(
        "bpf", "BPF trampolines and programs", "share of what the JIT made; in red what failed when it was run",
        [Bar(label=what, value=_passed_of(passed, count),
             parts=(("error", (count - passed) / count), ("clean", passed / count)))
         for what, count, passed in made if count], most=1,
    )  # fmt: skip
    failures = [each for each in bpf["failures"] if each["requested"]][:_MOST_BARS]
    if failures:
        told = [finding_of(each, findings) for each in failures]
        yield bars(
            "bpf-failures", "What failed of BPF", "trampolines or programs in which it did",
            [Bar(label=each["what"], value=plural(each["cases"], unit_of(each["promise"])),
                 parts=((finding["level"] if finding is not None else "error", each["cases"]),))
             for each, finding in zip(failures, told, strict=True)],
        )  # fmt: skip


def _passed_of(passed: int, count: int) -> str:
    return f"all {count:,}" if passed == count else f"{count - passed:,} of {count:,} failed"


def _race(document: Document) -> Iterator[Picture]:
    for number, subject in enumerate(document["subjects"] if document["about"] == "schemes" else [""]):
        cases = [case for case in document["cases"] if not subject or case["subject"] == subject]
        across = list(dict.fromkeys(case["environment"]["name"] for case in cases))
        down = list(dict.fromkeys(case["transition"] for case in cases))
        if subject:
            across, down = down, across
        found = {_place(case, bool(subject)): case for case in cases}
        rows = [(label, [_cell(found.get((label, head))) for head in across]) for label in down]
        title = f"Races of {subject}" if subject else "Races"
        yield grid(
            f"races-{number}" if subject else "races", title, "what exploring every interleaving came to", across, rows
        )


def _place(case: Document, turned: bool) -> tuple[str, str]:
    name = str(case["environment"]["name"])
    return (name, str(case["transition"])) if turned else (str(case["transition"]), name)


def _cell(case: Document | None) -> tuple[str, str]:
    if case is None:
        return "none", ""
    return _KIND_OF[case["verdict"]], ", ".join(case["kinds"]) or case["verdict"]


Measure = Callable[[Document], int | None]
_QUANTITIES: tuple[tuple[str, str, str, Measure], ...] = (
    ("text-bytes", "Text bytes added", "bytes: sleds and padding", lambda row: row["text"] and row["text"]["added"]),
    ("disabled", "A call that is not traced", "instructions", lambda row: row["instructions"]["disabled"]),
    ("traced", "A traced call", "instructions, without the callback", lambda row: row["instructions"]["traced"]),
    ("tracers", "A traced call with 10 tracers", "instructions, each tracer with functions of its own",
     lambda row: next((each["call"] for each in row["tracers"] if each["tracers"] == 10), None)),
    ("stores", "Stores for enabling one site", "stores",
     lambda row: sum(each["count"] for each in row["toggles"][0]["per_site"]) if row["toggles"] else None),
    ("in-reach", "Sites in reach of what they call", "sites", lambda row: row["reach"] and row["reach"]["reached"]),
    ("trampolines", "Trampolines of the most tracers", "bytes, in pages of their own where they are made",
     lambda row: row["tracers"][-1]["paged"] if row["tracers"] else None),
)  # fmt: skip


def _compare(document: Document) -> Iterator[Picture]:
    for name, title, unit, measure in _QUANTITIES:
        measured = [(row, measure(row)) for row in document["schemes"]]
        some = [
            Bar(label=row["scheme"], value=f"{value:,}", parts=(("own" if row["own"] else "clean", value),))
            for row, value in measured
            if value is not None
        ]
        if some:
            yield bars(name, title, unit, some)


# -- check, prove

_STAGE_KINDS = {"ok": "clean", "failed": "error"}


def _check(document: Document) -> Iterator[Picture]:
    parts = [*document["patches"], *document["images"]]
    levels = [Counter(each["level"] for each in findings_of(document, part)) for part in parts]
    if any(levels):
        yield bars(
            "findings", "Findings in each patch", "by their level, the worst first",
            [Bar(label=PurePath(part["name"]).name, value=f"{sum(counts.values()):,}",
                 parts=tuple((level, counts[level]) for level in LEVELS[:-1]))
             for part, counts in list(zip(parts, levels, strict=True))[:_MOST_BARS]],
        )  # fmt: skip


def findings_of(document: Document, part: Document) -> list[Document]:
    """Return the findings of a patch, or of an image, in a document of check."""
    findings: list[Document] = document["findings"]
    if "found" in part:
        return [findings[number] for number in part["found"] if number < len(findings)]
    return [each for each in findings if each["patch"] == part["name"]]


def _prove(document: Document) -> Iterator[Picture]:
    stages = [each for each in document["stages"] if each["status"] in _STAGE_KINDS]
    if stages:
        yield bars(
            "stages", "Stages of the proof", "seconds; in red what failed",
            [Bar(label=each["name"], value=f"{each['seconds']:.1f} s",
                 parts=((_STAGE_KINDS[each["status"]], each["seconds"]),))
             for each in stages],
        )  # fmt: skip


_PAINTERS: dict[str, Callable[[Document], Iterator[Picture]]] = {
    "audit": _audit,
    "verify": _verify,
    "race": _race,
    "compare": _compare,
    "check": _check,
    "prove": _prove,
}
