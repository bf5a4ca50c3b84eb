# SPDX-License-Identifier: GPL-2.0-or-later
"""Which scheme an image implements, from what is seen in it and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.model import KernelImage
from ..schemes import CATALOG, CallScheme, Traits
from .model import Sites
from .patching import PatchingCode


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeVerdict:
    """The scheme of an image.

    Args:
        scheme: the base scheme, or None.
        variant: the scheme that refines it, or None.
        seen: the traits that were observed.
        evidence: what they were read from, one sentence each.
        contradictions: for each other candidate the trait that speaks against it.
        mismatches: what speaks against the chosen scheme, one sentence each; empty where all fits.
    """

    scheme: CallScheme | None
    variant: CallScheme | None
    seen: Traits
    evidence: tuple[str, ...]
    contradictions: tuple[str, ...]
    mismatches: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The catalog name, or ``"unknown"``."""
        return self.scheme.name if self.scheme else "unknown"


def infer_scheme(image: KernelImage, sites: Sites, code: PatchingCode) -> SchemeVerdict:
    """Compare what is seen with the traits of every ftrace scheme in the catalog.

    The code decides first (how much ftrace_make_call writes, what ftrace_caller loads, how it returns);
    the sled shape decides only among schemes that the code does not tell apart, so that an image whose
    sleds do not suit its code is still recognised as what its code implements. A scheme that no released
    kernel has had is thought of only where the sleds are its own.
    """
    seen, evidence = _observe(sites, code)
    code_traits = {"link", "literal", "direct", "call_width", "ip_offset"}
    candidates, contradictions = [], []
    for scheme in CATALOG.values():
        if scheme.owner != "ftrace" or not scheme.traits.known():
            continue
        wanted, got = scheme.traits.known(), seen.known()
        by_sled = sum(wanted[name] == got[name] for name in wanted.keys() & got.keys() - code_traits)
        if by_sled < 2 and not scheme.is_in_linux:
            continue
        wrong = [name for name in wanted.keys() & got.keys() if name in code_traits and wanted[name] != got[name]]
        if wrong:
            contradictions.append(f"{scheme.name}: {', '.join(f'{n} is {got[n]}' for n in sorted(wrong))}")
            continue
        by_code = sum(name in code_traits for name in wanted.keys() & got.keys())
        candidates.append((by_code, by_sled, scheme))
    chosen = _choose(candidates, seen)
    mismatches: tuple[str, ...] = ()
    if chosen is None and not candidates:
        chosen, mismatches = _nearest(seen, _adjusted(image, seen, code))
    if chosen is None:
        return SchemeVerdict(
            scheme=None, variant=None, seen=seen, evidence=evidence, contradictions=tuple(contradictions)
        )
    base = CATALOG[chosen.refines] if chosen.refines else chosen
    return SchemeVerdict(
        scheme=base,
        variant=chosen if chosen is not base else None,
        seen=seen,
        evidence=evidence,
        contradictions=tuple(contradictions),
        mismatches=mismatches,
    )


_SAYS = {
    "link": "ftrace_caller returns through {}",
    "literal": "ftrace_caller loads an ops literal",
    "direct": "ftrace_caller tests ops->direct_call",
    "call_width": "ftrace_make_call writes {} bytes of instructions",
    "ip_offset": "the kernel patches func{:+d}",
    "before": "sleds have {} bytes before the symbol",
    "after": "sleds have {} bytes from the symbol on",
}


def _text_of(trait: str, value: object) -> str:
    return "ftrace_caller loads no ops literal" if trait == "literal" and not value else _SAYS[trait].format(value)


def _adjusted(image: KernelImage, seen: Traits, code: PatchingCode) -> int | None:
    """Return where the kernel patches, minus func: what ftrace_call_adjust adds, 0 where it is inlined."""
    if code.call_adjust is not None:
        return code.call_adjust - (seen.before or 0)
    return 0 if image.address_of("ftrace_call_adjust") is None else None


def _nearest(seen: Traits, ip_offset: int | None) -> tuple[CallScheme | None, tuple[str, ...]]:
    """Pick the scheme with the fewest contradictions, if it is the only one and more speaks for it than against.

    A kernel whose trampoline or patcher is broken is still recognised; what is broken is said.
    """
    ranked = []
    got = {**seen.known(), **({} if ip_offset is None else {"ip_offset": ip_offset})}
    for scheme in CATALOG.values():
        wanted = scheme.traits.known()
        shared = wanted.keys() & got.keys()
        if scheme.owner == "ftrace" and scheme.is_in_linux and shared and scheme.refines is None:
            wrong = sorted(name for name in shared if wanted[name] != got[name])
            ranked.append((len(wrong), len(wrong) - len(shared), scheme.name, scheme, wrong))
    ranked.sort(key=lambda row: row[:3])
    if not ranked or (len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]):
        return None, ()
    count, minus_right, _, scheme, wrong = ranked[0]
    if -minus_right - count < 2 * count:
        return None, ()
    return scheme, tuple(_text_of(name, got[name]) for name in wrong)


def _choose(candidates: list[tuple[int, int, CallScheme]], seen: Traits) -> CallScheme | None:
    """Pick the scheme with most support; none where there is too little or a tie between different ones."""
    ranked = sorted(candidates, key=lambda row: (row[1] == 2, row[0], row[1]) if row[0] < 2 else (True, row[0], row[1]))
    if not ranked:
        return None
    by_code, by_sled, best = ranked[-1]
    if by_code < 2 and by_sled < 2:
        return None
    ties = [row[2] for row in ranked if row[:2] == (by_code, by_sled)]
    bases = {scheme.refines or scheme.name for scheme in ties}
    if len(bases) > 1:
        return None
    plain = [scheme for scheme in ties if scheme.refines is None]
    if seen.direct is None and plain:
        return plain[0]
    return best


def _observe(sites: Sites, code: PatchingCode) -> tuple[Traits, tuple[str, ...]]:
    """Return the traits seen and where each was seen."""
    before, after = sites.usual
    lead = _pad(sites)
    evidence = []
    if len(sites):
        evidence.append(f"sleds: {before} bytes before and {after} from the function symbol on")
    caller, ip_base = code.caller, before
    link = literal = direct = None
    if caller is not None and caller.link is not None:
        link = caller.link
        literal = -8 if caller.literal is not None else 0  # that there is one; where is for the rules to judge
        direct = True if caller.direct_at is not None else None
        back = lead + (4 if after == 4 else 8)  # the call's last instruction ends there
        evidence.append(_trampoline_text(caller.link.value, caller.literal, direct, back))
        if lead and caller.literal is not None:  # an entry behind the pad says nothing of a prefix, its load does
            before, after, ip_base = max(-caller.literal - back, 0), lead + after, -lead
    elif caller is not None and (regs := code.trampoline("ftrace_regs_caller")) is not None:
        link = regs.link
    width = code.call_width
    if width is not None:
        evidence.append(f"ftrace_make_call writes {width} bytes of instructions")
    ip_offset = None
    if code.call_adjust is not None and len(sites):
        ip_offset = code.call_adjust - ip_base
        evidence.append(f"ftrace_call_adjust adds {code.call_adjust}")
        if ip_offset not in (0, 4):  # a broken layout says nothing about the scheme
            ip_offset = None
    seen = Traits(
        before=before if len(sites) else None,
        after=after if len(sites) else None,
        ip_offset=None if width is not None else ip_offset,
        link=link,
        literal=literal,
        direct=direct,
        call_width=width,
    )
    return seen, tuple(evidence)


def _pad(sites: Sites) -> int:
    """Return the size of the landing pad that most functions start with, in front of their entry [bytes]."""
    return int(np.median(sites.lead)) if len(sites) else 0


def _trampoline_text(link: str, literal: int | None, direct: bool | None, back: int) -> str:
    text = f"ftrace_caller returns through {link}"
    if literal is not None:
        text += f" and loads the ops at func{literal + back:+d}"
    return text + (", tests ops->direct_call first" if direct else "")
