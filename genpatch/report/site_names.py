# SPDX-License-Identifier: GPL-2.0-or-later
"""The sites of a document by the names of their functions, which is how another build's are recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .documents import Document
from .fingerprint import artefact_name, plain_symbol

__all__ = ["Named", "named_sites"]

Place = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Named:
    """Sites by name.

    Args:
        place: name to (address, section, sled); of functions that share a name the second is ``name (2)``, and so on.
        sites: how many there are, those without a name too.
        hits: rule to its level and the names of the functions that it names.
    """

    place: Mapping[str, Place]
    sites: int
    hits: Mapping[str, tuple[str, frozenset[str]]]


def named_sites(document: Document) -> Named | None:
    """Return the sites that a document lists; None if it lists none."""
    listed = list(_images(document))
    if not listed:
        return None
    place: dict[str, Place] = {}
    hits: dict[str, tuple[str, set[str]]] = {}
    for prefix, rows in listed:
        names = _names(rows["symbols"], prefix)
        place.update(zip(names, _places(rows), strict=True))
        for hit in rows["hits"]:
            hits.setdefault(hit["rule"], (hit["level"], set()))[1].update(map(names.__getitem__, hit["sites"]))
    place.pop("", None)
    named = {rule: (level, frozenset(found - {""})) for rule, (level, found) in hits.items()}
    return Named(place, sum(rows["count"] for _, rows in listed), named)


def _images(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield what stands before the names of an image's functions, and its sites; nothing before a kernel's."""
    if "site_rows" in document:
        yield "", document["site_rows"]
    for image in document.get("images", ()):
        if isinstance(image, dict) and "site_rows" in image:
            is_kernel = image["table"]["sorted"] is not None
            yield "" if is_kernel else f"{artefact_name(image['input']['path'])}: ", image["site_rows"]


def _names(symbols: Sequence[str], prefix: str) -> list[str]:
    """Return a name for each symbol that no other has, without what compilers add; none for none."""
    bare = [plain_symbol(name) if "." in name else name for name in symbols]
    twins = {name for name, count in Counter(bare).items() if count > 1 and name}
    seen: Counter[str] = Counter()
    for number, name in enumerate(bare) if twins else ():
        if name in twins:
            seen[name] += 1
            bare[number] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return [prefix + name if name else "" for name in bare] if prefix else bare


def _places(rows: Document) -> Iterator[Place]:
    base = int(rows["base"], 16)
    sleds = [f"{kind['before']}+{kind['after']} {kind['nop']}" for kind in rows["shapes"]]
    return zip(
        (base + distance for distance in rows["func"]),
        map(rows["sections"].__getitem__, rows["section"]),
        map(sleds.__getitem__, rows["shape"]),
        strict=True,
    )
