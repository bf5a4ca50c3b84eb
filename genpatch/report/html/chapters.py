# SPDX-License-Identifier: GPL-2.0-or-later
"""One kernel's chapter: facts, findings, pictures, states, races and costs, ready for the template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from ...audit.model import plural
from ...check.model import MESSAGE
from ..documents import Document, verb_of
from ..escape import printable
from ..gallery import pictures_of
from ..rule_docs import rule_docs
from ..views import LEVELS, rank
from .bpf import bpf_chapter, failure_anchors
from .columns import Columns
from .dossiers import Dossier, rows_of
from .pack import packed_failures, packed_rows
from .proof import proof_chapter, verdict_of_proof
from .series import series_chapter
from .witness import witness_rows

__all__ = ["chapter_of"]

_MOST_PLACES = 3
_MOST_FINDINGS = 200
_MOST_IMAGES, _SHOWN_IMAGES = 4000, 100
_MOST_SITES = 400_000
_MOST_WITNESSES = 60
_EXPLAINED = 30
_MOST_LISTINGS = 12


def chapter_of(dossier: Dossier, columns: Columns) -> dict[str, Any]:
    """Return what the template and the scripts need of a kernel; `data` and `columns` are for the scripts."""
    documents, rows = dossier.documents, rows_of(dossier)
    findings, bpf, images = dossier.findings, bpf_chapter(dossier), _images(dossier)
    anchors, series = failure_anchors(bpf), series_chapter(dossier)
    return {
        "dossier": dossier,
        "worst": dossier.worst,
        "verdict": _verdict(dossier),
        "facts": list(_facts(dossier.first)) if dossier.is_kernel else [],
        "findings": [
            _finding(dossier, each, why, anchors, series["anchors"] if series is not None else {})
            for each, why in zip(findings, _reasons(findings[:_MOST_FINDINGS]), strict=False)
        ],
        "more_findings": max(len(findings) - _MOST_FINDINGS, 0),
        "unlooked": dossier.unlooked,
        "pictures": {verb: _pictures(dossier, document) for verb, document in documents.items()},
        "has_sites": rows is not None and rows["count"] > 0,
        "images": images[:_SHOWN_IMAGES],
        "more_images": len(images) - len(images[:_SHOWN_IMAGES]),
        "verify": _verify(documents["verify"]) if "verify" in documents else None,
        "bpf": bpf,
        "race": _race(dossier, documents["race"]) if "race" in documents else None,
        "compare": _compare(documents["compare"]) if "compare" in documents else None,
        "proof": proof_chapter(dossier),
        "series": series,
        "data": {**_data(dossier, rows, columns), "listed": _listed(images[_SHOWN_IMAGES:])},
    }


def _verdict(dossier: Dossier) -> str:
    """Return what was found, in one line."""
    counts = [plural(count, level) for level, count in dossier.counts.items() if count]
    failed = dossier.failed_states
    if failed:
        counts.append(f"sites fail in {plural(len({state['state'] for state in failed}), 'state')}")
    document = dossier.first
    if verb_of(document) == "race" and not dossier.is_kernel:
        counts = [f"{count:,} {verdict}" for verdict, count in document["counts"].items() if count]
    if verb_of(document) == "prove":
        return verdict_of_proof(document)
    if not dossier.is_judged:
        return "nothing could be judged"
    return ", ".join(counts) or "nothing wrong was found"


# -- facts


def _facts(document: Document) -> Iterator[dict[str, Any]]:
    """Yield the facts of a kernel: a label, a value, a line more, and what is told on asking."""
    variant = document.get("scheme_variant")
    evidence = "; ".join(document.get("scheme_evidence", ()))
    yield _fact("Scheme", document["scheme"] or "none", f"as {variant}" if variant else "", evidence)
    if "table" not in document:
        yield _fact("Sites", f"{document['sites']:,}")
        return
    table = document["table"]
    zero = f", {table['zero']:,} zero" if table["zero"] else ""
    yield _fact("Sites", f"{table['sites']:,}", f"of {table['entries']:,} entries{zero}")
    sleds = document["sleds"]
    if sleds:
        first, others = sleds[0], len(sleds) - 1
        more = f"{first['nop']}, all sites" if not others else f"{first['nop']}, and {plural(others, 'other kind')}"
        yield _fact("Sled", f"{first['before']} + {first['after']} bytes", more)
    if table["sites"]:
        yield _alignment(document["alignment"], table["sites"])
    if document["reach"] is not None:
        reach = document["reach"]
        far = max(abs(reach["min"]), abs(reach["max"]))
        more = f"jal would do for {reach['within_jal']:,}"
        value = f"{far / (1 << 20):.1f} MiB" if far >= 1 << 20 else f"{far:,} bytes"
        yield _fact(f"Farthest from {reach['target']}", value, more)


def _fact(label: str, value: str, more: str = "", title: str = "") -> dict[str, Any]:
    return {"label": label, "value": value, "more": more, "title": title}


def _alignment(alignment: dict[str, int], sites: int) -> dict[str, Any]:
    """Return on what all functions stand, and how many on the next multiple."""
    sizes = sorted(map(int, alignment))
    common = max((size for size in sizes if alignment[str(size)] >= sites), default=1)
    following = next((size for size in sizes if size > common), None)
    more = f"{alignment[str(following)] * 100 // sites} % on {following}" if following else ""
    return _fact("Aligned to", plural(common, "byte"), more)


# -- findings


def _finding(
    dossier: Dossier, finding: Document, why: str, anchors: dict[tuple[str, str], str], in_patches: dict[int, str]
) -> dict[str, Any]:
    places = [{"text": f"{each['address']} {each['symbol']}".strip(), "address": each["address"], "anchor": ""}
              for each in finding.get("examples", ())[:_MOST_PLACES]]  # fmt: skip
    if not places and finding.get("address"):
        places = [{"text": f"{finding['address']} {finding.get('symbol', '')}".strip(), "address": "", "anchor": ""}]
    if "file" in finding:
        where = finding["patch"] if finding["file"] == MESSAGE else finding["file"]
        text = f"{where}:{finding['line']}" if finding["line"] else where
        places = [{"text": text, "address": "", "anchor": in_patches.get(finding["number"], "")}]
    several = len(dossier.first.get("images", ())) > 1 and finding.get("image")
    name = PurePath(finding["image"]).name if several else ""
    of_kernel = not several or (dossier.source is not None and finding["image"] == dossier.source["path"])
    return {
        "level": finding["level"],
        "rule": finding["rule"],
        "name": finding["name"],
        "message": finding["message"],
        "sites": finding.get("sites", 0),
        "image": name,
        "of_kernel": of_kernel,
        "known": finding.get("baseline") == "unchanged",
        "bpf": anchors.get((finding["rule"], finding["message"]), "") if of_kernel else "",
        "places": places,
        "why": why,
    }


def _reasons(findings: Sequence[Document]) -> Iterator[str]:
    """Yield for each finding what its rule checks, where a rule comes for the first time; else nothing."""
    explained: set[str] = set()
    for each in findings:
        is_new = each["rule"] not in explained and len(explained) < _EXPLAINED
        explained.add(each["rule"])
        yield rule_docs(each["rule"], each["name"]).help_text if is_new else ""


def _pictures(dossier: Dossier, document: Document) -> list[dict[str, Any]]:
    prefix = f"{dossier.anchor}-{verb_of(document)}-"
    return [
        {"name": each.name, "title": each.title, "svg": Markup(each.inline(prefix))} for each in pictures_of(document)
    ]


def _images(dossier: Dossier) -> list[dict[str, Any]]:
    """Return the images of an audit of several, the worst and largest first."""
    document = dossier.first
    if len(document.get("images", ())) < 2:
        return []
    levels: dict[str, list[str]] = {}
    for finding in document["findings"]:
        levels.setdefault(finding["image"], []).append(finding["level"])
    listed = []
    for image in document["images"][:_MOST_IMAGES]:
        found = levels.get(image["input"]["path"], [])
        worst = next((level for level in LEVELS if level in found), "clean")
        counts = [found.count(level) for level in LEVELS]
        name = PurePath(image["input"]["path"]).name
        listed.append({"name": name, "sites": image["table"]["sites"], "worst": worst, "counts": counts})
    return sorted(listed, key=lambda each: (rank(each["worst"]), -each["sites"], each["name"]))


def _listed(images: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Return images that the page lists on asking: name, sites, counts of findings by level."""
    return [[printable(each["name"]), each["sites"], *each["counts"]] for each in images]


# -- verify


def _verify(document: Document) -> dict[str, Any] | None:
    """Return what running the sites came to; None if only BPF was run."""
    runs = document["runs"] or [document]
    first = runs[0]
    if not first.get("states") and len(runs) == 1:
        return None
    return {
        "states": first.get("states", []),
        "promises": _promises(first),
        "listings": _distinct(first.get("listings", ())),
        "sequences": first.get("sequences", {}),
        "stores": first.get("stores", []),
        "insns": document["insns"],
        "sites": first.get("sites", 0),
        "modules": len(runs) - 1,
        "module_states": _module_states(runs[1:]),
    }


def _distinct(listings: Sequence[Document]) -> list[Document]:
    """Return listings, of those with the same lines the first."""
    return list({tuple(each["lines"]): each for each in reversed(listings)}.values())[::-1][:_MOST_LISTINGS]


def _promises(run: Document) -> dict[str, Any]:
    """Return which promises were broken in which states: the names of both, and counts of sites by (state, promise)."""
    counts: dict[tuple[str, str], int] = {}
    for failure in run.get("failures", ()):
        key = failure["state"], f"{failure['promise']} {failure['what']}".strip()
        counts[key] = counts.get(key, 0) + 1
    return {"names": list(dict.fromkeys(name for _, name in counts)), "counts": counts}


def _module_states(runs: Sequence[Document]) -> list[dict[str, Any]]:
    counts: dict[str, list[int]] = {}
    for run in runs:
        for state in run["states"]:
            held = counts.setdefault(state["state"], [0, 0])
            held[0] += state["sites"]
            held[1] += state["failed"]
    return [{"state": name, "sites": sites, "failed": failed} for name, (sites, failed) in counts.items() if sites]


# -- race


def _race(dossier: Dossier, document: Document) -> dict[str, Any]:
    cases = document["cases"]
    witnesses: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}
    for case in cases:
        for kind, lines in case["witnesses"].items():
            key = (case["subject"], case["transition"], kind, tuple((line["who"], line["text"]) for line in lines))
            if key in seen:
                seen[key]["environments"].append(case["environment"]["name"])
            elif lines and len(witnesses) < _MOST_WITNESSES:
                anchor = f"{dossier.anchor}-w{len(witnesses)}"
                seen[key] = {
                    "anchor": anchor, "subject": case["subject"], "transition": case["transition"], "kind": kind,
                    "environments": [case["environment"]["name"]], "rows": witness_rows(lines, anchor),
                }  # fmt: skip
                witnesses.append(seen[key])
    anchors = {
        (each["subject"], each["transition"], name): each["anchor"]
        for each in witnesses
        for name in each["environments"]
    }
    return {
        "tables": list(_race_tables(document, anchors)),
        "witnesses": witnesses,
        "counts": document["counts"],
        "states": document["states"],
        "choice": document["function_choice"],
        "evidence": document["evidence"],
        "environments": document["environments"],
    }


def _race_tables(document: Document, anchors: dict[tuple[str, str, str], str]) -> Iterator[dict[str, Any]]:
    """Yield a table for each subject: a kernel's many transitions down, a scheme's many environments down."""
    is_kernel = document["about"] == "kernel"
    for subject in document["subjects"]:
        cases = [case for case in document["cases"] if case["subject"] == subject]
        found = {(case["transition"], case["environment"]["name"]): case for case in cases}
        transitions = list(dict.fromkeys(case["transition"] for case in cases))
        environments = list(dict.fromkeys(case["environment"]["name"] for case in cases))
        down, across = (transitions, environments) if is_kernel else (environments, transitions)
        rows = []
        for label in down:
            keys = [(label, head) if is_kernel else (head, label) for head in across]
            cells = [_race_cell(found.get(key), anchors.get((subject, *key), "")) for key in keys]
            rows.append({"label": label, "cells": cells})
        yield {
            "subject": subject,
            "corner": "transition" if is_kernel else "environment",
            "heads": across,
            "rows": rows,
        }


_CELLS = {"safe": "clean", "unsafe": "error", "unfinished": "warning", "skipped": "none"}


def _race_cell(case: Document | None, anchor: str) -> dict[str, Any]:
    if case is None:
        return {"kind": "none", "text": "-", "states": 0, "anchor": "", "reason": ""}
    text = f"unsafe: {', '.join(case['kinds'])}" if case["kinds"] else case["verdict"]
    return {
        "kind": _CELLS[case["verdict"]], "text": text, "states": case["states"], "anchor": anchor,
        "reason": case["reason"],
    }  # fmt: skip


# -- compare


def _compare(document: Document) -> dict[str, Any]:
    races = list(dict.fromkeys(each["environment"] for row in document["schemes"] for each in row["races"]))
    rows = [
        {
            "scheme": row["scheme"], "summary": row["summary"], "own": row["own"], "text": row["text"],
            "instructions": row["instructions"], "trampoline": row["trampoline"], "reach": row["reach"],
            "dispatchers": len(row["dispatchers"]["at"]) if row["dispatchers"] else None, "here": row["here"],
            "races": {each["environment"]: each for each in row["races"]},
        }
        for row in document["schemes"]
    ]  # fmt: skip
    return {"rows": rows, "races": races, "text": document["text"], "notes": document["notes"]}


# -- for the scripts


def _data(dossier: Dossier, rows: Document | None, columns: Columns) -> dict[str, Any]:
    """Return what the scripts get: the kernel's sites, those of modules while there is room, what failed, sequences."""
    verify, audit = dossier.documents.get("verify"), dossier.documents.get("audit")
    run = (verify["runs"] or [verify])[0] if verify is not None else {}
    images, room = [], _MOST_SITES
    if rows is not None:
        room -= rows["count"]
        failures = packed_failures(run.get("failures", ()), rows)
        images.append({"name": "kernel", "rows": packed_rows(rows, columns), "failures": failures})
    for image in audit["images"] if audit is not None else ():
        is_module = image["table"]["sorted"] is None
        if is_module and "site_rows" in image and 0 < image["site_rows"]["count"] <= room:
            room -= image["site_rows"]["count"]
            name = printable(PurePath(image["input"]["path"]).name)
            images.append({"name": name, "rows": packed_rows(image["site_rows"], columns), "failures": []})
    reach = dossier.first.get("reach")
    return {
        "anchor": dossier.anchor,
        "images": images,
        "sequences": {
            printable(name): [printable(step) for step in steps] for name, steps in run.get("sequences", {}).items()
        },
        "target": {"name": printable(reach["target"]), "farthest": reach["max"]} if reach is not None else None,
        "messages": {
            each["rule"]: printable(f"{each['name']}: {each['message']}") for each in reversed(dossier.findings)
        },
    }
