# SPDX-License-Identifier: GPL-2.0-or-later
"""What patches a scheme's sites, as C: rendered from the scheme's record, with nothing of any other scheme in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from .model import CallScheme, Need, OpsIn, Place, Store
from .trampoline import template_root

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["entry_offset", "patching_source"]

_HOLES = ("{hi20}", "{lo12}", "{target}")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a sled: what it is, as C and as assembler text, where a site is off and where it is on."""

    off: str
    on: str
    off_text: str
    on_text: str


def entry_offset(scheme: CallScheme) -> int:
    """Return where a compiler's entry for a function is, minus func [bytes]: its nops start behind a landing pad."""
    return 4 if Need.LANDING_PAD in scheme.needs else -scheme.before


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(template_root() / "patching")
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def patching_source(scheme: CallScheme) -> str:
    """Return the functions that patch sites of a scheme, as C.

    For ftrace these are ftrace_init_nop(), ftrace_make_call(), ftrace_modify_call(), ftrace_make_nop() and what
    decides when they may write; for BPF programs bpf_arch_text_poke(). They stand on patch_insn_write(), which makes
    one store of what is aligned to its width, on patch_text_nosync(), behind which every hart fetches what was
    stored, and on flush_icache_all(). In an ops pointer's place other schemes than `OpsIn.OWN` store ops_of(rec).
    """
    text = "\n".join(scheme.enabled)
    dword = next((at for at, line in _placed(scheme.enabled) if "{target}" in line and line.startswith(".dword")), None)
    return (
        _environment()
        .get_template(f"{scheme.owner}.c.j2")
        .render(
            s=scheme,
            words=_words(scheme),
            hi20_at=_place_of(scheme, "{hi20}"),
            lo12_at=_place_of(scheme, "{lo12}"),
            has_jal="{target}" in text and dword is None,
            jal_at=None if dword is not None else _place_of(scheme, "{target}"),
            is_stopped=Need.STOP_MACHINE in scheme.needs,
            is_own=scheme.ops_in is OpsIn.OWN,
            is_slot=scheme.ops_in is OpsIn.SLOT,
            is_allocated=any(store.place is Place.TRAMPOLINE for store in scheme.enable),
            to_ip=scheme.ip_offset - entry_offset(scheme),
            stores={name: _stores(scheme, name) for name in ("init", "enable", "change", "disable")},
        )
        .strip()
        + "\n"
    )


def _placed(lines: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return (distance from func, line) of each line of a sled."""
    found, at = [], 0
    for line in lines:
        found.append((at, line))
        at += 8 if line.startswith(".dword") else 4
    return found


def _place_of(scheme: CallScheme, hole: str) -> int | None:
    return next((at for at, line in _placed(scheme.enabled) if hole in line), None)


def _expressions(lines: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (C, assembler text) of each word of a sled's lines."""
    from ..isa.assemble import assemble

    found: list[tuple[str, str]] = []
    for at, line in _placed(lines):
        if line.startswith(".dword"):
            is_target = "{target}" in line
            low, high = ("(u32)target", "(u32)(target >> 32)") if is_target else ("0", "0")
            found += [(low, "where it goes, lower half" if is_target else line), (high, "upper half")]
            continue
        code = assemble(line.format(hi20=0, lo12=0, target=at), at)
        value = f"0x{int.from_bytes(code, 'little'):08x}"
        hole = next((hole for hole in _HOLES if hole in line), "")
        made = {"{hi20}": " | hi20(far)", "{lo12}": " | lo12(far)", "{target}": " | jal20(far)"}.get(hole, "")
        for each in _HOLES:
            line = line.replace(each, "..")
        found.append((value + made, line))
    return found


def _words(scheme: CallScheme) -> list[_Word]:
    pairs = zip(_expressions(scheme.disabled), _expressions(scheme.enabled), strict=True)
    return [_Word(off, on, off_text, on_text) for (off, off_text), (on, on_text) in pairs]


def _stores(scheme: CallScheme, transition: str) -> list[tuple[str, str]]:
    """Return (C of a call that makes a store, what is stored) for each store of a transition."""
    return [(_store(scheme, store), store.what) for store in getattr(scheme, transition)]


def _store(scheme: CallScheme, store: Store) -> str:
    if store.place is Place.TRAMPOLINE:
        return ""
    if store.place is Place.SLOT:
        assert store.is_published, scheme.name  # else a slot is stored to without set_slot()
        return "set_slot(site.ops)"
    write = "patch_text_nosync" if store.is_published or Need.STOP_MACHINE in scheme.needs else "patch_insn_write"
    if store.at >= 0:
        source = f"&site.word[{store.at // 4}]"
    else:
        source = "&site.ops" if store.at == scheme.literal else "site.dispatcher"
    place = f"(func {'+' if store.at > 0 else '-'} {abs(store.at)})" if store.at else "func"
    return f"{write}((void *){place}, {source}, {store.width})"
